"""What changed between two snapshots: rows, units by cause, texts side by side, figures, canaries, and the balance."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from pipeline.audit.canaries import Canaries, canaries
from pipeline.audit.changes import COMPARED, WHAT, Changes, changes, paths_of
from pipeline.audit.corpus_figures import CorpusShift, corpus_shift
from pipeline.audit.drift import CauseDrift, TrackDrift, cause_drift, track_drift
from pipeline.audit.texts import texts_of
from pipeline.descriptions.refine_stage import REFINE_DESCRIPTIONS
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.page import name_unseen
from pipeline.reviews.shards import IMPORT_REVIEWS
from pipeline.snapshot import Snapshot
from pipeline.walk import WALK
from schemas.descriptions import DESCRIPTIONS
from schemas.ledger import LEDGER
from schemas.rejects import REJECTS
from schemas.videos import SOURCES

SHOWN = 100
"""Texts that are told side by side, and rows of any other list; the dataframe has all."""

COMPARED_TEXTS = 2000
"""Changed texts of which claims and verdicts are compared, chosen by hash where there are more."""

UNRECORDED = "unrecorded"


class TableDrift(BaseModel):
    """Rows of one table. All but `same` have their meaning in `changes.WHAT`."""

    model_config = ConfigDict(frozen=True)

    table: str
    added: int
    removed: int
    changed: int
    recomputed: int
    rewritten: int
    same: int


class UnitDrift(BaseModel):
    """Units of one stage that were computed, or are gone, for one cause."""

    model_config = ConfigDict(frozen=True)

    stage: str
    cause: str
    root: str
    """Where it began, perhaps stages before: `cause` itself, if here."""
    detail: str
    num_units: int
    num_other: int
    """Of these, units that came out otherwise."""


class Rewritten(BaseModel):
    """A row, or all of a unit's, that came out otherwise though it was made from the same."""

    model_config = ConfigDict(frozen=True)

    where: str
    """The table, or the stage whose ledger tells it."""
    key: str
    video_id: str


class ChangedText(BaseModel):
    """One text that changed, and why."""

    model_config = ConfigDict(frozen=True)

    path: str
    cause: str
    detail: str
    text: TrackDrift


class TextDrift(BaseModel):
    """What became of the texts."""

    model_config = ConfigDict(frozen=True)

    num_before: int
    num_after: int
    num_added: int
    num_removed: int
    num_changed: int
    """In both, of other words or another status."""
    by_root: dict[str, int]
    """Of these, how many for each cause; UNRECORDED are those that have none."""
    num_asked: int
    """In both, asked for in other words, of another model, or once more: where noise of the engine can show."""
    num_asked_again: int
    """Of these, asked once more in the same words of the same model: where nothing but noise can."""
    num_asked_again_changed: int
    by_cause: list[CauseDrift]
    """Of the texts that were compared."""
    num_compared: int
    shown: list[ChangedText]
    """The least similar of each cause."""

    @property
    def num_unrecorded(self) -> int:
        """Changed texts that have no recorded cause."""
        return self.by_root.get(UNRECORDED, 0)


class StageBalance(BaseModel):
    """Whether what went into a stage is what came out of it."""

    model_config = ConfigDict(frozen=True)

    stage: str
    num_in: int | None
    """Rows of what it reads; None where they were not stored."""
    num_units: int
    num_done: int
    num_refused: int
    num_waiting: int
    """Of the refused, those for a reason that passes by itself."""
    problem: str | None
    """What does not add up."""


class SnapshotDrift(BaseModel):
    """Two snapshots of one corpus compared."""

    model_config = ConfigDict(frozen=True)

    root: str
    before: int
    after: int
    created_at: tuple[str, str]
    stages: dict[str, tuple[str, str]]
    """By stage: cause and detail of how the stage itself changed."""
    tables: list[TableDrift]
    units: list[UnitDrift]
    num_rewritten: int
    rewritten: list[Rewritten]
    texts: TextDrift
    corpus: CorpusShift
    canaries: Canaries
    balance: tuple[list[StageBalance], list[StageBalance]]

    @property
    def problems(self) -> list[str]:
        """What does not add up in either snapshot."""
        return [
            f"snapshot {number}, {one.stage}: {one.problem}"
            for number, listed in zip((self.before, self.after), self.balance, strict=True)
            for one in listed
            if one.problem
        ]

    def in_words(self) -> list[str]:
        """The report in sentences, what matters most first."""
        texts = self.texts
        rows = Counter[str]()
        for table in self.tables:
            rows.update({what: getattr(table, what) for what in WHAT})
        said = [_rewritten_in_words(self.num_rewritten)]
        said.append("Rows: " + ", ".join(f"{rows[what]} {what}" for what in WHAT if what != "rewritten") + ".")
        said += [f"{stage}: {cause} ({detail})." for stage, (cause, detail) in self.stages.items()]
        said.append(_texts_in_words(texts))
        said += self.canaries.in_words()
        said += _noise_in_words(texts, self.canaries)
        said += [
            f"Of all texts, {one.name}: {one.before} before, {one.after} after." for one in self.corpus.of("texts")
        ]
        said += self.problems or ["The ledger of both snapshots adds up."]
        return said

    def to_markdown(self) -> str:
        """The report for a place that shows Markdown."""
        lines = [f"### Snapshot {self.before} → {self.after}", "", *(f"- {_escaped(line)}" for line in self.in_words())]
        lines += ["", f"| table | {' | '.join(WHAT)} | same |", "|---" * (len(WHAT) + 2) + "|"]
        for table in self.tables:
            counts = [getattr(table, what) for what in WHAT]
            if any(counts):
                lines.append(f"| {table.table} | {' | '.join(map(str, counts))} | {table.same} |")
        names, rows = self.units_by_root()
        lines += ["", f"| began with | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for root, detail, counts in rows:
            began = _escaped(f"{root} ({detail})" if detail else root)
            lines.append(f"| {began} | {' | '.join(counts)} |")
        return "\n".join(lines)

    def units_by_root(self) -> tuple[list[str], list[tuple[str, str, list[str]]]]:
        """The stages that have such units; then of each thing that began a change its name, detail, units by stage."""
        names = list(dict.fromkeys(unit.stage for unit in self.units))
        rows: dict[tuple[str, str], dict[str, Counter[str]]] = {}
        for unit in self.units:
            counted = rows.setdefault((unit.root, unit.detail), {}).setdefault(unit.stage, Counter())
            counted.update(units=unit.num_units, same=unit.num_units - unit.num_other)
        return names, [
            (root, detail, [_counted(by_stage.get(name)) for name in names])
            for (root, detail), by_stage in rows.items()
        ]


def _escaped(text: str) -> str:
    """For a cell of a Markdown table: what a path or a label holds is text, never a tag or another cell."""
    return "".join(f"&#{ord(c)};" if c in "|<>&`*_[]\\\n\r" else str(name_unseen(c)) for c in text)


def _counted(counted: Counter[str] | None) -> str:
    if counted is None:
        return ""
    return f"{counted['units']}, {counted['same']} as before" if counted["same"] else str(counted["units"])


def _rewritten_in_words(num_rewritten: int) -> str:
    if not num_rewritten:
        return "No row was rewritten: whatever was made from the same is the same."
    return f"ALARM: {num_rewritten} rows or units came out otherwise though they were made from the same."


def _texts_in_words(texts: TextDrift) -> str:
    recorded = {root: count for root, count in texts.by_root.items() if root != UNRECORDED}
    causes = ", ".join(f"{root} {count}" for root, count in recorded.items())
    return (
        f"Of {texts.num_changed} changed texts, {sum(recorded.values())} have a recorded cause"
        f"{f' ({causes})' if causes else ''}, {texts.num_unrecorded} have none; "
        f"{texts.num_added} are new, {texts.num_removed} are gone, {texts.num_after} there are."
    )


def _noise_in_words(texts: TextDrift, found: Canaries) -> list[str]:
    if not texts.num_asked:
        return ["No text of both snapshots was asked for anew, so noise of the engine changed none."]
    noise, within = found.noise.value, found.noise.interval
    if noise is None or within is None:
        return [f"How many texts noise alone would have changed is not known: {found.noise.missing}."] * bool(
            found.nights
        )
    said = [
        f"At the canaries' noise of {noise:.1%} one would expect {_expected(texts.num_asked, noise, within)} of the "
        f"{texts.num_asked} texts that were asked for anew to change without a cause."
    ]
    if texts.num_asked_again:
        said.append(
            f"{texts.num_asked_again} texts were asked for once more in the same words of the same model: "
            f"{texts.num_asked_again_changed} changed, expected by noise: "
            f"{_expected(texts.num_asked_again, noise, within)}."
        )
    return said


def _expected(num_texts: int, noise: float, within: tuple[float, float]) -> str:
    return f"{num_texts * noise:.1f} ({num_texts * within[0]:.1f} to {num_texts * within[1]:.1f})"


def snapshot_drift(before: Corpus, after: Corpus, found: Changes | None = None) -> SnapshotDrift:
    """Compare two snapshots of one corpus; `found` spares looking for the changes once more.

    Raises:
        AuditError: a table of a changed text is of another version.
    """
    found = found or changes(before, after)
    rewritten = _rewritten(found)
    return SnapshotDrift(
        root=after.store.address,
        before=before.snapshot.number,
        after=after.snapshot.number,
        created_at=(before.snapshot.created_at, after.snapshot.created_at),
        stages={stage: (cause.name, cause.detail) for stage, cause in found.stages.items()},
        tables=_tables(found.rows, before.snapshot, after.snapshot),
        units=_unit_counts(found.units),
        num_rewritten=len(rewritten),
        rewritten=rewritten[:SHOWN],
        texts=_texts(found, before, after),
        corpus=corpus_shift(before, after),
        canaries=canaries(after.store, before.snapshot.number, after.snapshot.number),
        balance=(_balance(before.snapshot), _balance(after.snapshot)),
    )


def _tables(rows: pd.DataFrame, before: Snapshot, after: Snapshot) -> list[TableDrift]:
    counted = Counter(zip(rows["table"], rows["what"], strict=True))
    drifts = []
    for table in COMPARED:
        counts = {what: counted[table.name, what] for what in WHAT}
        others = sum(counts[what] for what in WHAT if what != "removed")
        same = after.counts.get(table.name, 0) - others
        if any(counts.values()) or same or before.counts.get(table.name, 0):
            drifts.append(TableDrift(table=table.name, same=same, **counts))
    return drifts


def _unit_counts(units: pd.DataFrame) -> list[UnitDrift]:
    """The units by cause; of causes that each video has in its own words, one example."""
    if units.empty:
        return []
    keys = ["stage", "cause", "root"]
    told = units[units["cause"].notna()]
    drifts = []
    for (stage, cause, root), group in told.groupby(keys, sort=False):
        details = Counter(group["detail"]).most_common()
        words = details[0][0] if len(details) == 1 else f"{details[0][0]}, and {len(details) - 1} like it"
        num_other = int((group["what"] != "recomputed").sum())
        drifts.append(
            UnitDrift(stage=stage, cause=cause, root=root, detail=words, num_units=len(group), num_other=num_other)
        )
    return drifts


def _rewritten(found: Changes) -> list[Rewritten]:
    rows = found.rows[found.rows["what"] == "rewritten"]
    units = found.units[found.units["what"] == "rewritten"]
    told = {(row.stage, row.unit_id) for row in rows.itertuples()}
    return [
        *(Rewritten(where=row.table, key=row.key, video_id=row.video_id) for row in rows.itertuples()),
        *(
            Rewritten(where=f"ledger of {unit.stage}", key=unit.unit_id, video_id=unit.video_id)
            for unit in units.itertuples()
            if (unit.stage, unit.unit_id) not in told
        ),
    ]


# --- texts


def _texts(found: Changes, before: Corpus, after: Corpus) -> TextDrift:
    rows = found.rows[found.rows["table"] == DESCRIPTIONS.name]
    units = found.units[found.units["stage"] == REFINE_DESCRIPTIONS.name]
    in_both = rows[~rows["what"].isin(["added", "removed"])]
    is_other = (in_both["text_before"] != in_both["text_after"]) | (in_both["status_before"] != in_both["status_after"])
    causes = units[["unit_id", "root", "detail", "is_asked", "is_asked_again"]]
    changed = in_both[is_other].merge(causes, on="unit_id", how="left")
    changed["root"] = changed["root"].where(changed["what"] != "rewritten").fillna(UNRECORDED)
    changed["root"] = changed["root"].mask(changed["stage"] == IMPORT_REVIEWS, "reviewed")
    changed = changed.fillna({"detail": "", "is_asked": False, "is_asked_again": False})
    compared = _compared_texts(changed, before, after)
    roots = dict(zip(changed["track_id"], zip(changed["root"], changed["detail"], strict=True), strict=True))
    by_cause: dict[str, list[TrackDrift]] = {}
    for one in compared:
        by_cause.setdefault(roots[one.track_id][0], []).append(one)
    shown = _least_similar(by_cause)
    paths = paths_of(before) | paths_of(after) if shown else {}
    videos = dict(zip(changed["track_id"], changed["video_id"], strict=True))
    return TextDrift(
        num_before=before.snapshot.counts[DESCRIPTIONS.name],
        num_after=after.snapshot.counts[DESCRIPTIONS.name],
        num_added=int((rows["what"] == "added").sum()),
        num_removed=int((rows["what"] == "removed").sum()),
        num_changed=len(changed),
        by_root=dict(Counter(changed["root"]).most_common()),
        num_asked=int(units["is_asked"].sum()),
        num_asked_again=int(units["is_asked_again"].sum()),
        num_asked_again_changed=int(changed["is_asked_again"].sum()),
        by_cause=[
            cause_drift([root], listed) for root, listed in sorted(by_cause.items(), key=lambda one: -len(one[1]))
        ],
        num_compared=len(compared),
        shown=[
            ChangedText(path=paths.get(videos[one.track_id], ""), cause=root, detail=roots[one.track_id][1], text=one)
            for root, one in shown
        ],
    )


def _compared_texts(changed: pd.DataFrame, before: Corpus, after: Corpus) -> list[TrackDrift]:
    """The changed texts, or as many as COMPARED_TEXTS of them, with their claims."""
    wanted = sorted(set(changed["track_id"]), key=lambda track_id: hashlib.sha256(track_id.encode()).digest())
    wanted = wanted[:COMPARED_TEXTS]
    is_wanted = changed["track_id"].isin(wanted)
    buckets = {after.store.bucket_of(video_id) for video_id in changed.loc[is_wanted, "video_id"]}
    old, new = (
        {text.track_id: text for text in texts_of(side.of_buckets(buckets), wanted)} if wanted else {}
        for side in (before, after)
    )
    return [track_drift(old[track_id], new[track_id]) for track_id in wanted]


def _least_similar(by_cause: dict[str, list[TrackDrift]]) -> list[tuple[str, TrackDrift]]:
    """SHOWN texts in all, of each cause as many as of any other if it has them."""
    left = {root: sorted(listed, key=lambda one: (one.similarity, one.track_id)) for root, listed in by_cause.items()}
    taken: dict[str, int] = dict.fromkeys(left, 0)
    while sum(taken.values()) < SHOWN and (open_ := [root for root in left if taken[root] < len(left[root])]):
        for root in open_[: SHOWN - sum(taken.values())]:
            taken[root] += 1
    return [(root, one) for root, listed in left.items() for one in listed[: taken[root]]]


# --- balance


def _balance(snapshot: Snapshot) -> list[StageBalance]:
    """Each stage's account, from the receipts alone."""
    return [_stage_balance(snapshot, stage) for stage in WALK]


def _stage_balance(snapshot: Snapshot, stage: Any) -> StageBalance:
    receipts = [receipt for receipt in snapshot.receipts if receipt.stage == stage.name]
    num_units, num_refused, num_waiting = (
        sum(getattr(receipt, name) for receipt in receipts) for name in ("num_units", "num_rejected", "num_transient")
    )
    reads, writes = stage.reads[0].table, stage.writes[0]
    is_stored = reads is not SOURCES or any(SOURCES.name in receipt.files for receipt in snapshot.receipts)
    num_in = snapshot.counts.get(reads.name, 0) if is_stored else None
    num_done = num_units - num_refused
    counted = {
        table: sum(receipt.files[table].rows for receipt in receipts if table in receipt.files)
        for table in (writes.name, REJECTS.name, LEDGER.name)
    }
    has_ledger = any(LEDGER.name in receipt.files for receipt in receipts)
    is_one_row_each = writes.primary_key == (stage.unit,)
    problems = [
        f"{num_in} rows went in, {num_units} units were asked for" if num_in not in (None, num_units) else "",
        f"{counted[LEDGER.name]} lines of the ledger for {num_units} units"
        if has_ledger and counted[LEDGER.name] != num_units
        else "",
        f"{counted[REJECTS.name]} rejects for {num_refused} refused units"
        if counted[REJECTS.name] != num_refused
        else "",
        f"{counted[writes.name]} rows of {writes.name} for {num_done} units that are done"
        if counted[writes.name] < num_done or (is_one_row_each and counted[writes.name] != num_done)
        else "",
    ]
    return StageBalance(
        stage=stage.name,
        num_in=num_in,
        num_units=num_units,
        num_done=num_done,
        num_refused=num_refused,
        num_waiting=num_waiting,
        problem="; ".join(filter(None, problems)) or None,
    )
