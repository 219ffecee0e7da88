"""Stages that take their rows from an export instead of asking a language model.

A row's key says what it was made from. Where the unit's input, config and request here are what they were there, the
key comes out the same as in the export, and the row is the one that the stage would have to give: it is taken under it.
Where they are not (the measurement differs, say), the row is taken all the same, but under a key that says: out of this
export. So a later `facescribe build` keeps the first kind and writes the second anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pipeline.descriptions.draft_stage import DRAFT_DESCRIPTIONS
from pipeline.descriptions.prompt import PromptError
from pipeline.stage import Config, Done, Outcome, Refused, Resources, Rows, Stage, Unit, key_of

FROM_EXPORT = "rebuilt_from"
"""Names the export among the files that a stage was made with."""


@dataclass(frozen=True, eq=False)
class TakenStage(Stage[Config]):
    """A stage that gives rows of an export, by the id of the track here."""

    taken: Mapping[str, Sequence[Mapping[str, Any]]] = ()  # type: ignore[assignment]
    """Rows of the one table that the stage writes, as they stand in the export but for the id of their track."""

    fingerprint: str = ""
    """Of the export."""

    def made_with(self, config: Config) -> dict[str, Any]:
        """As of the stage, and the export that it took from."""
        made = super().made_with(config)
        return {**made, "files": {**made["files"], FROM_EXPORT: self.fingerprint}}

    def is_as_there(self, unit: Unit) -> bool:
        """Whether the unit's rows here are made from exactly what they were made from there."""
        return any(row["unit_key"] == unit.unit_key for row in self.taken.get(unit.unit_id, ()))

    def _unit(self, unit_id: str, rows: Mapping[str, Rows], config: Config, generation: int) -> Unit:
        there = self.taken.get(unit_id)
        if there is None:
            return super()._unit(unit_id, rows, config, generation)
        try:
            unit = super()._unit(unit_id, rows, config, generation)
        except PromptError:  # a prompt of one's own that the export does not hold
            unit = replace(self, request=None)._unit(unit_id, rows, config, generation)
        if self.is_as_there(unit):
            return unit
        made_from = {"stage": self.name, FROM_EXPORT: self.fingerprint, "row": there[0]["unit_key"], "unit": unit_id}
        return replace(unit, unit_key=key_of(made_from))


def taking(stage: Stage[Any], taken: Mapping[str, Sequence[Mapping[str, Any]]], fingerprint: str) -> TakenStage[Any]:
    """The stage, with the rows that it shall give. What the export has no row for a template still writes."""
    (table,) = stage.writes

    def run(units: Sequence[Unit], config: Any, resources: Resources) -> Iterator[Outcome]:
        for unit in units:
            if unit.unit_id in taken:
                rows = [
                    {name: value for name, value in row.items() if name != "unit_key"} for row in taken[unit.unit_id]
                ]
                yield Done(unit, {table.name: rows}, sum(map(_num_tokens, rows)))
            elif stage.name == DRAFT_DESCRIPTIONS.name and config.vision is None:
                yield from stage.run([unit], config, resources)
            else:
                detail = "the export holds no text of this track: `facescribe build` asks a language model for it"
                yield Refused(unit, "server_unavailable", detail)

    known = {field.name: getattr(stage, field.name) for field in fields(stage)}
    return TakenStage(**(known | {"run": run}), taken=taken, fingerprint=fingerprint)


def _num_tokens(row: Mapping[str, Any]) -> int:
    asked = [*(row.get("asked") or ()), *([row["seen_asked"]] if row.get("seen_asked") else ())]
    return sum(int(one["prompt_tokens"]) + int(one["completion_tokens"]) for one in asked)
