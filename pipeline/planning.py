"""Make a plan of a walk: what a run would compute, why, and what it would cost, before any of it is spent.

Read are names, sizes and times of the source's files, receipts, and ledgers: no video, no crop, no text. Where a change
may end at a stage that comes out as before, what lies behind it is told as "may".
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import pyarrow.compute as pc

from pipeline.causes import Cause, cause_of_source, cause_of_stage
from pipeline.plan import NOTHING, Certainty, Cost, Plan, StagePlan, Work
from pipeline.stage import Stage
from pipeline.store import Receipt, ShardFile
from pipeline.videos.sources import UNREAD
from pipeline.walk import LIST_SOURCES, WALK, Walk, producer_of
from schemas.ledger import LEDGER
from schemas.videos import SOURCES

LOST = Cause("unrecorded", "a file was lost")


def plan_walk(walk: Walk) -> Plan:
    """Say what a run of `walk` would compute. Writes nothing."""
    planner = _Planner(walk)
    for bucket in sorted({*walk.sources, *(r.bucket for r in planner.receipts_before)}):
        planner.look_at(bucket)
    return planner.plan()


@dataclass
class _Expected:
    """What is expected of one stage, over all buckets."""

    num_removed: int = 0
    existing: Counter[tuple[Cause, Certainty]] = field(default_factory=Counter)
    new_videos: list[str] = field(default_factory=list)


@dataclass
class _Touched:
    """Units of one stage and bucket whose output may change, and why. Of the source, which columns changed too."""

    causes: dict[str, Cause] = field(default_factory=dict)
    columns: dict[str, frozenset[str]] = field(default_factory=dict)


class _Planner:
    def __init__(self, walk: Walk) -> None:
        self._walk, self._store = walk, walk.store
        self.receipts_before = walk.previous.receipts if walk.previous else []
        self._expected = {stage.name: _Expected() for stage in WALK}
        self._new: dict[str, tuple[str, int]] = {}
        """Path and size of each new video."""
        self._removed_paths: set[str] = set()
        self._num_leaving = 0
        made_with = walk.previous.made_with if walk.previous else {}
        self._of_stage = {
            stage.name: cause_of_stage(made_with.get(stage.name), stage.made_with(walk.config.of(stage)))
            for stage in WALK
        }

    def look_at(self, bucket: int) -> None:
        """Expect what a run would do in one bucket."""
        new, gone, of_sources = self._compare_sources(bucket)
        touched = {LIST_SOURCES: of_sources}
        settled = {LIST_SOURCES} if bucket in self._walk.sources else set()
        for stage in WALK:
            is_known = settled.issuperset(producer_of(read.table) for read in stage.reads)
            if is_known and self._walk.is_settled(stage, bucket):
                settled.add(stage.name)
                touched[stage.name] = self._come_in(stage, bucket, new, of_sources)
                continue
            found = self._walk.find(stage, bucket) if is_known else None
            self._expected[stage.name].new_videos += [] if found else new
            touched[stage.name] = self._expect(stage, bucket, found, gone, touched)

    def _compare_sources(self, bucket: int) -> tuple[list[str], set[str], _Touched]:
        """Videos that are new, ids of those that are gone, and what changed of the others."""
        before = self._walk.before(LIST_SOURCES, bucket)
        rows = self._walk.sources.get(bucket)
        if before is not None and rows is not None and before.key == self._walk.source_key(bucket):
            return [], set(), _Touched()
        old = self._store.read(before.files[SOURCES.name]).to_pylist() if before and self._store.holds(before) else []
        was = {row["video_id"]: row for row in old}
        now = {row["video_id"]: row for row in (rows.to_pylist() if rows is not None else [])}
        new = [video_id for video_id in now if video_id not in was]
        self._new.update({video_id: (now[video_id]["path"], now[video_id]["size_bytes"]) for video_id in new})
        gone = was.keys() - now.keys()
        self._num_leaving += len(gone)
        self._removed_paths.update(was[video_id]["path"] for video_id in gone)
        touched = _Touched()
        for video_id in was.keys() & now.keys():
            names = frozenset(name for name in now[video_id] if now[video_id][name] != was[video_id].get(name))
            if names:
                touched.causes[video_id] = cause_of_source(names)
                touched.columns[video_id] = names
        return new, gone, touched

    def _expect(
        self, stage: Stage[Any], bucket: int, found: Receipt | None, gone: set[str], touched: Mapping[str, _Touched]
    ) -> _Touched:
        """Expect what a run would do to units that the ledger knows; which of them may come out otherwise."""
        expected, result = self._expected[stage.name], _Touched()
        receipt = found or self._walk.before(stage.name, bucket)
        if receipt is None or LEDGER.name not in receipt.files:
            return result
        of_stage = None if found else self._of_stage[stage.name]
        if not self._store.holds(receipt):
            expected.existing[LOST, "will"] += receipt.num_units  # its ledger may be what was lost
            return result
        sources = [(read, touched[producer_of(read.table)]) for read in stage.reads]
        generations = self._store.generations(stage.name, bucket)
        is_quiet = not (gone or of_stage or receipt.num_transient or generations)
        if is_quiet and not any(upstream.causes for _, upstream in sources):
            return result
        columns = ["unit_id", "video_id", "is_transient", "generation", "reason"]
        for line in self._store.read(receipt.files[LEDGER.name], columns).to_pylist():
            if line["video_id"] in gone:
                expected.num_removed += 1
                continue
            cause, certainty = self._cause(stage, line, of_stage, generations.get(line["unit_id"], 0), sources)
            if cause is not None:
                expected.existing[cause, certainty] += 1
                result.causes[line["unit_id"]] = cause
                result.columns[line["unit_id"]] = frozenset(field.name for t in stage.writes for field in t.columns)
        if stage.unit == "video_id":  # what changed of the source alone is handed on, such as a label or a path
            for video_id, names in touched[LIST_SOURCES].columns.items():
                if result.causes.get(video_id) == touched[LIST_SOURCES].causes[video_id]:
                    result.columns[video_id] = names
        return result

    def _cause(
        self,
        stage: Stage[Any],
        line: Mapping[str, Any],
        of_stage: Cause | None,
        generation: int,
        sources: Sequence[tuple[Any, _Touched]],
    ) -> tuple[Cause | None, Certainty]:
        if line["is_transient"]:
            return Cause("retry", line["reason"]), "will"
        if line["generation"] != generation:
            return Cause("backfill"), "will"
        if of_stage is not None:
            return of_stage, "will" if of_stage.is_sure else "may"
        for read, upstream in sources:
            same = line["unit_id"] if line["unit_id"] in upstream.causes else line["video_id"]
            reads = read.columns if stage.request is not None else read.content
            if same in upstream.causes and not upstream.columns[same].isdisjoint(reads):
                return upstream.causes[same], "will" if read.table is SOURCES else "may"
        return None, "will"

    def _come_in(self, stage: Stage[Any], bucket: int, new: Sequence[str], of_sources: _Touched) -> _Touched:
        """Expect what a finished shard brings in that is not as in the snapshot; which of its units are otherwise."""
        before, now = self._walk.before(stage.name, bucket), self._walk.find(stage, bucket)
        if before is not None and not self._store.holds(before):
            return _Touched()  # what is there now stands in for what was lost
        old, there = (receipt.files.get(LEDGER.name) if receipt else None for receipt in (before, now))
        if old == there:
            return _Touched()
        expected, was, came = self._expected[stage.name], self._outputs(old), self._outputs(there)
        expected.num_removed += len(was.keys() - came.keys())
        of_new = dict.fromkeys(new, Cause("new_video"))
        causes = {}
        for unit, (video_id, output) in came.items():
            if unit not in was or was[unit][1] != output:
                known = of_new.get(video_id) or of_sources.causes.get(video_id) or self._of_stage[stage.name]
                causes[unit] = known or Cause("input_changed")
                expected.existing[causes[unit], "done"] += 1
        every = frozenset(field.name for table in stage.writes for field in table.columns)
        return _Touched(causes, dict.fromkeys(causes, every))

    def _outputs(self, ledger: ShardFile | None) -> dict[str, tuple[str, str | None]]:
        """Of each unit its video, and the hash of what came out."""
        if ledger is None:
            return {}
        lines = self._store.read(ledger, ["unit_id", "video_id", "output_key"]).to_pydict()
        pairs = zip(lines["video_id"], lines["output_key"], strict=True)
        return dict(zip(lines["unit_id"], pairs, strict=True))

    def plan(self) -> Plan:
        """What was expected, with what it would cost."""
        history = {stage.name: _History(self._walk, stage) for stage in WALK}
        num_unread = sum(video_id.startswith(UNREAD) for video_id in self._new)
        notes = list(self._walk.notes)
        if num_unread:
            notes.append(
                f"new or changed files that were not read: {num_unread:,}; copies and moved files among them count as "
                "new, and a build may find less to do"
            )
            if self._store.denied().hashes:
                notes.append("among them may be videos that were taken down: these stay out")
        num_units = {LIST_SOURCES: float(len(self._new))}
        stages = []
        for stage in WALK:
            per_unit = history[stage.name].units_per(history.get(producer_of(stage.reads[0].table)))
            num_units[stage.name] = num_units[producer_of(stage.reads[0].table)] * per_unit
            stages.append(self._stage_plan(stage, history[stage.name], num_units[stage.name]))
        num_sources = sum(rows.num_rows for rows in self._walk.sources.values())
        snapshot = self._walk.previous.number if self._walk.previous else None
        return Plan(
            snapshot=snapshot,
            num_sources=num_sources,
            num_unread=num_unread,
            is_empty=self._walk.is_done(),
            num_leaving=self._num_leaving,
            stages=stages,
            notes=notes,
        )

    def _stage_plan(self, stage: Stage[Any], history: _History, num_new: float) -> StagePlan:
        expected = self._expected[stage.name]
        is_root = stage.reads[0].table is SOURCES
        by_cause: dict[Cause, list[str]] = defaultdict(list)
        for video_id in expected.new_videos:
            is_known_path = self._new[video_id][0] in self._removed_paths
            by_cause[Cause("changed_video" if is_known_path else "new_video")].append(video_id)
        work = [
            Work(
                cause=cause.name,
                detail=cause.detail,
                certainty="will" if is_root else "about",
                num_units=len(videos) if is_root else ceil(num_new * len(videos) / len(self._new)),
                cost=history.cost_of_videos(sum(self._new[video_id][1] for video_id in videos)),
            )
            for cause, videos in by_cause.items()
        ]
        work += [
            Work(
                cause=cause.name,
                detail=cause.detail,
                certainty=certainty,
                num_units=count,
                cost=NOTHING if certainty == "done" else history.cost_of_units(count),
            )
            for (cause, certainty), count in expected.existing.items()
        ]
        return StagePlan(
            stage=stage.name,
            num_before=history.num_units,
            num_removed=expected.num_removed,
            work=sorted(work, key=lambda one: (-one.num_units, one.cause)),
        )


class _History:
    """What the units of a stage in the newest snapshot took."""

    def __init__(self, walk: Walk, stage: Stage[Any]) -> None:
        self._walk = walk
        self._receipts = [r for r in walk.previous.receipts if r.stage == stage.name] if walk.previous else []
        self.num_units = sum(receipt.num_units for receipt in self._receipts)
        self._totals: dict[str, float] | None = None

    def units_per(self, producer: _History | None) -> float:
        """Units of this stage to one unit of the stage that it reads from; 1 where nothing is known."""
        num_read = producer.num_units if producer else self.num_units
        return self.num_units / num_read if num_read else 1.0

    def cost_of_units(self, count: int) -> Cost:
        """Of so many units, each as dear as the mean."""
        return self._cost(count, "num_measured")

    def cost_of_videos(self, size_bytes: int) -> Cost:
        """Of all units of new videos of so many bytes."""
        return self._cost(size_bytes, "source_bytes")

    def _cost(self, amount: int, per: str) -> Cost:
        totals = self._read()
        if not totals[per]:
            return Cost(work_s=None, num_tokens=None, num_bytes=None)
        share = amount / totals[per]
        return Cost(**{name: totals[name] * share for name in Cost.model_fields})

    def _read(self) -> dict[str, float]:
        if self._totals is None:
            totals: Counter[str] = Counter(dict.fromkeys((*Cost.model_fields, "num_measured", "source_bytes"), 0))
            for receipt in self._receipts:
                if LEDGER.name not in receipt.files or not self._walk.store.holds(receipt):
                    continue
                lines = self._walk.store.read(receipt.files[LEDGER.name], list(Cost.model_fields))
                totals.update({name: pc.sum(lines[name]).as_py() or 0 for name in Cost.model_fields})
                totals["num_measured"] += lines.num_rows - lines["work_s"].null_count
            for receipt in self._walk.previous.receipts if self._walk.previous else []:
                if SOURCES.name in receipt.files and self._walk.store.holds(receipt):
                    sizes = self._walk.store.read(receipt.files[SOURCES.name], ["size_bytes"])["size_bytes"]
                    totals["source_bytes"] += pc.sum(sizes).as_py() or 0
            self._totals = dict(totals)
        return self._totals
