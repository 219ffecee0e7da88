"""A plan: what a run would compute, why, and what it would cost; in words, and held against what the run then did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipeline.snapshot import StageCost

Certainty = Literal["will", "may", "about", "done"]
CERTAINTIES: dict[str, str] = {
    "done": "were computed for an earlier state of the corpus, or by a run that was broken off, and only come in",
    "will": "will be computed",
    "may": "will be computed only if what it is made from comes out otherwise than before",
    "about": "of new videos, as many as such videos had so far",
}


class Cost(BaseModel):
    """An estimate from what the corpus' own units took; None where it has none to go by."""

    model_config = ConfigDict(frozen=True)

    work_s: float | None
    """Seconds of work, all shards added up."""
    num_tokens: float | None
    num_bytes: float | None
    """Of rows in memory, before compression."""


NOTHING = Cost(work_s=0.0, num_tokens=0.0, num_bytes=0.0)


class Work(BaseModel):
    """Units of one stage that one cause makes a run compute."""

    model_config = ConfigDict(frozen=True)

    cause: str
    """One of pipeline.causes.CAUSES."""
    detail: str
    certainty: Certainty
    num_units: int
    cost: Cost


class StagePlan(BaseModel):
    """What a run would do in one stage."""

    model_config = ConfigDict(frozen=True)

    stage: str
    num_before: int
    """Units in the newest snapshot."""
    num_removed: int
    """Units of videos that are no longer there."""
    work: list[Work]

    def num(self, certainty: str) -> int:
        """Units of one of CERTAINTIES."""
        return sum(work.num_units for work in self.work if work.certainty == certainty)


class Plan(BaseModel):
    """What a run would do, stage by stage."""

    model_config = ConfigDict(frozen=True)

    snapshot: int | None
    """The newest snapshot, which all is compared with."""
    num_sources: int
    num_unread: int
    """Files that are new or changed and were not read, so that copies and moved files among them count as new."""
    is_empty: bool
    """Whether a run would leave the corpus as it is."""
    num_leaving: int
    """Videos of the newest snapshot that are no longer in the source."""
    stages: list[StagePlan]
    notes: list[str]

    def cost(self, *certainties: Certainty) -> Cost:
        """Of all stages together; what has no history is not in it."""
        works = [w for stage in self.stages for w in stage.work if w.certainty in certainties]
        return Cost(**{name: _sum(getattr(work.cost, name) for work in works) for name in Cost.model_fields})

    def to_markdown(self) -> str:
        """The plan as a table, and what it would cost in a sentence."""
        rows = planned_rows(self)
        table = markdown_table(PLANNED, rows)
        return "\n\n".join([self.summary(), *([table] if rows else []), *self.notes])

    def summary(self) -> str:
        """One sentence: how many units, and what they would cost."""
        if self.is_empty:
            return f"nothing to do: {self.num_sources:,} files are as snapshot {self.snapshot} knows them"
        sure, most = self.cost("will", "about"), self.cost("will", "about", "may")
        counts = {name: sum(stage.num(name) for stage in self.stages) for name in CERTAINTIES}
        units = f"{self.num_leaving:,} videos leave; " if self.num_leaving else ""
        units += f"{counts['done']:,} units come in that are computed already; " if counts["done"] else ""
        units += f"{counts['will']:,} units to compute"
        units += f", about {counts['about']:,} more of new videos" if counts["about"] else ""
        units += f", {counts['may']:,} more if what they are made from changes" if counts["may"] else ""
        if sure.work_s is None and counts["will"] + counts["about"] == 0:
            return units + (
                f"; at most {_time(most.work_s)}, {_count(most.num_tokens)} tokens" if counts["may"] else ""
            )
        if sure.work_s is None:
            return f"{units}; what it costs is not known: the corpus has no history"
        words = f"{units}; some {_time(sure.work_s)} of work, {_count(sure.num_tokens)} tokens"
        return words + (f"; at most {_time(most.work_s)}, {_count(most.num_tokens)} tokens" if counts["may"] else "")


class StageReport(BaseModel):
    """What one run did in one stage: units computed and taken over, tokens of the computed ones, and how long it took.

    `work_s` adds up the shards, `busy_s` is the time in which at least one of them was at work.
    """

    model_config = ConfigDict(frozen=True)

    num_computed: int
    num_taken_over: int
    work_s: float
    busy_s: float
    num_tokens: int


class Compared(BaseModel):
    """What was planned for a stage beside what was done."""

    model_config = ConfigDict(frozen=True)

    stage: str
    planned: int
    """Units that were sure, or expected of new videos."""
    at_most: int
    """With those that hung on what they are made from."""
    computed: int
    planned_work_s: float | None
    work_s: float
    planned_tokens: float | None
    num_tokens: int


def compare(plan: Plan, done: Mapping[str, StageReport]) -> list[Compared]:
    """Hold a plan against what the run did, stage by stage."""
    compared = []
    for stage in plan.stages:
        report = done[stage.stage]
        sure = [work.cost for work in stage.work if work.certainty in ("will", "about")]
        compared.append(
            Compared(
                stage=stage.stage,
                planned=stage.num("will") + stage.num("about"),
                at_most=sum(work.num_units for work in stage.work if work.certainty != "done"),
                computed=report.num_computed,
                planned_work_s=_sum(cost.work_s for cost in sure),
                work_s=report.work_s,
                planned_tokens=_sum(cost.num_tokens for cost in sure),
                num_tokens=report.num_tokens,
            )
        )
    return compared


COMPARED = ("stage", "planned", "at most", "computed", "work planned", "work", "tokens planned", "tokens")


def compared_rows(compared: Iterable[Compared]) -> list[list[str]]:
    """The comparison as rows under COMPARED, without stages in which nothing was planned or done."""
    return [
        [
            one.stage,
            f"{one.planned:,}",
            f"{one.at_most:,}",
            f"{one.computed:,}",
            _time(one.planned_work_s),
            _time(one.work_s),
            _count(one.planned_tokens),
            _count(one.num_tokens),
        ]
        for one in compared
        if one.at_most or one.computed
    ]


PLANNED = ("stage", "cause", "units", "", "work", "tokens", "bytes", "detail")


def planned_rows(plan: Plan) -> list[list[str]]:
    """A plan as rows under PLANNED: a row for each stage and cause."""
    rows = []
    for stage in plan.stages:
        for work in stage.work:
            cost = [_time(work.cost.work_s), _count(work.cost.num_tokens), _size(work.cost.num_bytes)]
            rows.append([stage.stage, work.cause, f"{work.num_units:,}", work.certainty, *cost, work.detail])
        if stage.num_removed:
            rows.append([stage.stage, "removed", f"{stage.num_removed:,}", *[""] * 5])
    return rows


COSTS = ("stage", "units", "work", "tokens", "bytes")


def costs_rows(costs: Mapping[str, StageCost]) -> list[list[str]]:
    """What the units of a snapshot took, as rows under COSTS: a row for each stage."""
    return [
        [stage, f"{cost.num_units:,}", _time(cost.work_s), _count(cost.num_tokens), _size(cost.num_bytes)]
        for stage, cost in costs.items()
    ]


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _count(number: float | None) -> str:
    return "?" if number is None else f"{number:,.0f}"


def _size(num_bytes: float | None) -> str:
    return "?" if num_bytes is None else f"{num_bytes / 1e6:,.1f} MB"
