"""Why a unit is computed: what differs between two ledgers' lines of it, and between how its stage was then and is now.

The same rule says before a run why it will compute something (`plan.py`) and after it why a row changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.videos import ANNOTATIONS

CAUSES: dict[str, str] = {
    "new_video": "the source holds a video that it did not hold",
    "changed_video": "a file of the source has other bytes under its old path",
    "moved": "a file of the source has another path, or another copy of it came or went",
    "changed_label": "what is said of a video has changed, such as its label, votes, split, folds, licence or consent",
    "input_changed": "what the stage reads came out otherwise",
    "version_raised": "the stage's version was raised: the same input would give another result",
    "weights_changed": "a network or language model has other weights",
    "engine_changed": "another engine, or another version of it, serves the language model",
    "prompt_changed": "the language model is asked in other words",
    "config_changed": "a field of the stage's config has another value",
    "retry": "it was refused for a reason that passes by itself",
    "backfill": "a backfill asks for it anew",
    "reviewed": "a person edited the text, or the text that was edited is another",
    "removed": "its video is no longer in the source, or it is no longer found in it",
    "unrecorded": "nothing that is recorded: the corpus was made before there were ledgers, or a file was lost",
}

NOT_KNOWN_BEFORE = "not computed before"


@dataclass(frozen=True)
class Cause:
    """One of CAUSES, and what exactly: `temperature: 0.0 -> 0.2`."""

    name: str
    detail: str = ""
    is_sure: bool = True
    """Whether it touches every unit of its stage, and not only some."""

    def __post_init__(self) -> None:
        if self.name not in CAUSES:
            raise ValueError(f"{self.name!r} is no cause of the closed list in pipeline/causes.py")


_BY_FIELD = {
    "model": "weights_changed",
    "model_revision": "weights_changed",
    "engine": "engine_changed",
    "prompt": "prompt_changed",
}
"""Fields of configs that are known by more than that they differ."""

_FIRST = ("version_raised", "weights_changed", "engine_changed", "prompt_changed", "config_changed")
"""Of several differences the one that is told, the most telling first."""


def cause_of_source(columns: Collection[str]) -> Cause:
    """Why the row of SOURCES of a video that was there before is another, given the columns that differ."""
    said = ", ".join(field.name for field in ANNOTATIONS if field.name in columns)
    if not {"path", "other_paths"}.isdisjoint(columns):
        return Cause("moved", said)
    return Cause("changed_label", said) if said else Cause("changed_video", "it can or cannot be read")


def cause_of_stage(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Cause | None:
    """What of a stage changed, from what `Stage.made_with` said then and says now; None: nothing."""
    if not before:
        return Cause("unrecorded", "how the stage was then is not recorded")
    causes: dict[str, list[str]] = {}
    is_sure = False
    for path, old, new in _differences(before, after):
        name, detail = _cause_of_field(path, old, new)
        causes.setdefault(name, []).append(detail)
        is_sure = is_sure or path[0] != "files" or "." not in path[-1]
    if not causes:
        return None
    name = min(causes, key=_FIRST.index)
    others = [detail for other, details in causes.items() if other != name for detail in details]
    return Cause(name, ", ".join([*causes[name], *others]), is_sure)


def cause_of_unit(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], of_stage: Cause | None, *, is_root: bool
) -> Cause | None:
    """Why a unit that was `before` in the ledger is computed as `after`; None: it is not.

    Args:
        before, after: its lines in the ledger: unit_key, content_key, request_key, generation, is_transient.
        of_stage: what changed of its stage.
        is_root: whether the stage reads the source itself, so that what is new there is a new video.
    """
    if before is None:
        return Cause("new_video") if is_root else Cause("input_changed", NOT_KNOWN_BEFORE)
    if before["unit_key"] == after["unit_key"]:
        return Cause("retry", before.get("reason") or "") if before["is_transient"] else None
    if before["content_key"] != after["content_key"]:
        return Cause("input_changed")
    if before["generation"] != after["generation"]:
        return Cause("backfill")
    if of_stage is not None:
        return of_stage
    if before["request_key"] != after["request_key"]:
        return Cause("prompt_changed")
    return Cause("unrecorded")


def _differences(before: Any, after: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Each leaf that differs, with both values."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            yield from _differences(before.get(name), after.get(name), (*path, name))
    elif before != after:
        yield path, before, after


def _cause_of_field(path: tuple[str, ...], old: Any, new: Any) -> tuple[str, str]:
    kind, name = path[0], path[-1]
    if kind == "version":
        return "version_raised", f"{old} -> {new}"
    if kind == "weights":
        return "weights_changed", name
    if kind == "files":
        return "prompt_changed", f"the text of {name}"
    field = ".".join(path[1:])
    return _BY_FIELD.get(name, "config_changed"), f"{field}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
