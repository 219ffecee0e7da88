"""Which rows and units differ between two snapshots, and why: files that both share are never opened.

A bucket at a time: everything that is made from a video lies in its bucket.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from pipeline.audit.diversity import words_of
from pipeline.audit.drift import similarity
from pipeline.causes import Cause, cause_of_source, cause_of_stage, cause_of_unit
from pipeline.inspection.corpus import LONG_COLUMNS, Corpus
from pipeline.reviews.shards import IMPORT_REVIEWS
from pipeline.snapshot import Snapshot
from pipeline.stage import Stage
from pipeline.store import Receipt, ShardFile, Store
from pipeline.walk import LIST_SOURCES, WALK, producer_of
from schemas.corpus import TABLES
from schemas.descriptions import DESCRIPTIONS
from schemas.ledger import LEDGER
from schemas.rejects import REJECTS
from schemas.table import Table
from schemas.videos import ANNOTATIONS, SOURCES

if TYPE_CHECKING:
    import duckdb

COMPARED = tuple(table for table in TABLES.values() if table is not LEDGER)

WHAT = {
    "added": "its key is new",
    "removed": "its key is gone",
    "changed": "made from something else, and other values",
    "recomputed": "made from something else, and the same values",
    "rewritten": "made from the same, and other values: this must not be",
}

ROW_COLUMNS = ("table", "key", "track_id", "video_id", "what", "stage", "unit_id")
UNIT_COLUMNS = ("stage", "unit_id", "video_id", "what", "cause", "root", "detail", "is_asked", "is_asked_again")
_FLAGS = ("output_changed", "is_asked", "is_asked_again")
_TEXT_COLUMNS = ("text", "status", "fallback_reason")


@dataclass(frozen=True)
class Changes:
    """All that differs.

    `rows` has ROW_COLUMNS and for DESCRIPTIONS text, status and fallback_reason of both sides: one line per row.
    `units` has UNIT_COLUMNS: one line per unit of a stage that was computed, is gone, or ended otherwise. `cause` is
    what made its own stage compute it, `root` what began it, perhaps stages before; both are of pipeline/causes.py.
    `is_asked`: in both, and of a language model in other words, of another one, or once more; `is_asked_again`: the
    last of these alone. `stages` says how each stage itself changed.
    """

    rows: pd.DataFrame
    units: pd.DataFrame
    stages: dict[str, Cause]


def changes(before: Corpus, after: Corpus) -> Changes:
    """Compare two snapshots of one corpus."""
    import duckdb

    with duckdb.connect() as connection:
        stages = _stage_causes(before.snapshot, after.snapshot)
        units = _units(connection, before, after, stages)
        rows = _rows(connection, before, after, units)
    return Changes(rows, units.drop(columns=["output_changed", "own_detail"]), stages)


def _stage_causes(before: Snapshot, after: Snapshot) -> dict[str, Cause]:
    found = {
        stage.name: cause_of_stage(before.made_with.get(stage.name), after.made_with[stage.name])
        for stage in WALK
        if stage.name in after.made_with
    }
    return {name: cause for name, cause in found.items() if cause is not None}


# --- rows


def _rows(connection: duckdb.DuckDBPyConnection, before: Corpus, after: Corpus, units: pd.DataFrame) -> pd.DataFrame:
    found = [
        _compared(connection, table, stage, *_read_both(before.store, table, files))
        for table in COMPARED
        for stage, files in _differing(before.snapshot, after.snapshot, table)
    ]
    columns = [*ROW_COLUMNS, *(f"{name}_{side}" for name in _TEXT_COLUMNS for side in ("before", "after"))]
    if not found:
        return pd.DataFrame(columns=columns, dtype=object)
    rows = pd.concat(found, ignore_index=True).reindex(columns=columns)
    return _judge_by_ledger(rows, units)


def _judge_by_ledger(rows: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    """Cells that are too long to be read are judged by the ledger's hash of all that the unit wrote."""
    has_long = [table.name for table in COMPARED if any(field.name in LONG_COLUMNS for field in table.columns)]
    other = units[units["output_changed"]].set_index(["stage", "unit_id"]).index
    is_other = pd.MultiIndex.from_frame(rows[["stage", "unit_id"]]).isin(other)
    rows.loc[rows["table"].isin(has_long) & (rows["what"] == "recomputed") & is_other, "what"] = "changed"
    return rows


def _differing(
    before: Snapshot, after: Snapshot, table: Table
) -> Iterator[tuple[str, tuple[ShardFile | None, ShardFile | None]]]:
    """The stage that wrote it and the files of each bucket that are not the same in both."""
    sides = [_by_place(snapshot, table) for snapshot in (before, after)]
    for place in sorted(sides[0].keys() | sides[1].keys()):
        old, new = sides[0].get(place), sides[1].get(place)
        if old != new:
            yield place[0], (old, new)


def _by_place(snapshot: Snapshot, table: Table) -> dict[tuple[str, int], ShardFile]:
    return {(r.stage, r.bucket): r.files[table.name] for r in snapshot.receipts if table.name in r.files}


def _read_both(
    store: Store, table: Table, files: tuple[ShardFile | None, ShardFile | None]
) -> tuple[pa.Table, pa.Table]:
    """Both sides with the short columns that both have; of columns that one version lacks, nothing can be said."""
    schemas = [store.reader(file).schema if file else table.schema for file in files]
    names = [
        field.name
        for field in table.columns
        if field.name not in LONG_COLUMNS
        and all(field.name in schema.names and schema.field(field.name).type == field.type for schema in schemas)
    ]
    old, new = (store.read(file, names) if file else table.empty().select(names) for file in files)
    return old, new


def _compared(
    connection: duckdb.DuckDBPyConnection, table: Table, stage: str, before: pa.Table, after: pa.Table
) -> pd.DataFrame:
    """The rows of one bucket that are not the same on both sides."""
    connection.register("b", before)
    connection.register("a", after)
    names, key = before.column_names, list(table.primary_key)
    values = [name for name in names if name not in (*key, "unit_key")]
    is_other = " or ".join(f'a."{name}" is distinct from b."{name}"' for name in values) or "false"
    is_made_anew = "a.unit_key <> b.unit_key" if "unit_key" in names else "true"
    unit = "unit_id" if table is REJECTS else _unit_of(stage)
    either = {name: f'coalesce(a."{name}", b."{name}")' for name in names}
    texts = [
        f'{side[0]}."{name}" as {name}_{side}'
        for name in _TEXT_COLUMNS
        for side in ("before", "after")
        if table is DESCRIPTIONS
    ]
    joined = " and ".join(f'a."{name}" = b."{name}"' for name in key)
    selected = [
        f"'{table.name}' as \"table\"",
        "concat_ws('/', " + ", ".join(either[name] for name in key) + ") as key",
        f"{either['track_id'] if 'track_id' in names else 'null'} as track_id",
        f"{either['video_id']} as video_id",
        f"""case when b."{key[0]}" is null then 'added' when a."{key[0]}" is null then 'removed'
            when {is_made_anew} then case when {is_other} then 'changed' else 'recomputed' end
            when {is_other} then 'rewritten' end as what""",
        f"'{stage}' as stage",
        f"{either[unit]} as unit_id",
        *texts,
    ]
    same = f"({is_made_anew} or {is_other})" if "unit_key" in names else f"({is_other})"
    query = f"""select {", ".join(selected)} from b full outer join a on {joined}
        where b."{key[0]}" is null or a."{key[0]}" is null or {same} order by key"""
    return pd.DataFrame(connection.sql(query).df())


def _unit_of(stage: str) -> str:
    return "track_id" if stage == IMPORT_REVIEWS else next((one.unit for one in WALK if one.name == stage), "video_id")


# --- units


def _units(
    connection: duckdb.DuckDBPyConnection, before: Corpus, after: Corpus, stages: dict[str, Cause]
) -> pd.DataFrame:
    """Every unit that was computed, is gone, or ended otherwise, stage by stage down the walk."""
    found = {LIST_SOURCES: _sources(before, after)}
    unrecorded = _without_ledger(before.snapshot)
    compared = _ledgers(connection, before, after)
    for stage in WALK:
        units = compared[compared["stage"] == stage.name].reset_index(drop=True)
        of_stage = stages.get(stage.name)
        causes = {
            pattern: _cause_of(dict(zip(_PATTERN, pattern, strict=True)), of_stage, stage)
            for pattern in units[list(_PATTERN)].drop_duplicates().itertuples(index=False, name=None)
        }
        told = [causes[pattern] for pattern in units[list(_PATTERN)].itertuples(index=False, name=None)]
        units["cause"] = [cause.name if cause else None for cause in told]
        units["own_detail"] = [cause.detail if cause else "" for cause in told]
        units["what"] = _what_of_units(units)
        units = units[units["cause"].notna() | (units["what"] == "rewritten")].reset_index(drop=True)
        lost = {bucket for name, bucket in unrecorded if name == stage.name}
        if lost:
            is_lost = units["video_id"].map(before.store.bucket_of).isin(lost)
            units.loc[is_lost, ["cause", "own_detail"]] = ["unrecorded", "the older snapshot has no ledger"]
        found[stage.name] = _with_roots(units, stage, of_stage, found)
    columns, flags = [*UNIT_COLUMNS, "output_changed", "own_detail"], dict.fromkeys(_FLAGS, bool)
    listed = [units.reindex(columns=columns) for units in found.values() if len(units)]
    if not listed:
        return pd.DataFrame(columns=columns).astype(flags)
    return pd.concat(listed, ignore_index=True).astype(flags)


_PATTERN = ("is_before", "is_after", "was_transient", "reason", "same_unit", "same_content", "same_generation",
            "same_request")  # fmt: skip
"""All of two lines of the ledger that decides on the cause."""


def _ledgers(connection: duckdb.DuckDBPyConnection, before: Corpus, after: Corpus) -> pd.DataFrame:
    """Each unit of which the ledgers do not say the same."""
    found = [_compared_ledgers(connection, LEDGER.empty(), LEDGER.empty())]
    for _, files in _differing(before.snapshot, after.snapshot, LEDGER):
        old, new = (LEDGER.conform(before.store.read(file)) if file else LEDGER.empty() for file in files)
        found.append(_compared_ledgers(connection, old, new))
    return pd.concat([one for one in found if len(one)] or found, ignore_index=True)


def _compared_ledgers(connection: duckdb.DuckDBPyConnection, before: pa.Table, after: pa.Table) -> pd.DataFrame:
    connection.register("b", before)
    connection.register("a", after)
    query = """
        select coalesce(a.stage, b.stage) as stage, coalesce(a.unit_id, b.unit_id) as unit_id,
            coalesce(a.video_id, b.video_id) as video_id,
            b.unit_id is not null as is_before, a.unit_id is not null as is_after,
            coalesce(b.is_transient, false) as was_transient, coalesce(b.reason, '') as reason,
            coalesce(a.unit_key = b.unit_key, false) as same_unit,
            coalesce(a.content_key = b.content_key, false) as same_content,
            coalesce(a.generation = b.generation, false) as same_generation,
            a.request_key is not distinct from b.request_key as same_request,
            a.output_key is distinct from b.output_key or a.reason is distinct from b.reason as output_changed
        from b full outer join a on a.stage = b.stage and a.unit_id = b.unit_id
        where not (same_unit and not output_changed)
        order by 1, 2"""
    return pd.DataFrame(connection.sql(query).df())


def _cause_of(pattern: dict[str, Any], of_stage: Cause | None, stage: Stage[Any]) -> Cause | None:
    """The cause of all units of which the ledgers' lines compare in this way."""
    if not pattern["is_after"]:
        return Cause("removed")
    keys = {"unit_key": "same_unit", "content_key": "same_content", "generation": "same_generation",
            "request_key": "same_request"}  # fmt: skip
    line = {**dict.fromkeys(keys, 0), "is_transient": pattern["was_transient"], "reason": pattern["reason"]}
    other = {name: 0 if pattern[same] else 1 for name, same in keys.items()}
    return cause_of_unit(line if pattern["is_before"] else None, other, of_stage, is_root=_is_root(stage))


def _is_root(stage: Stage[Any]) -> bool:
    return stage.reads[0].table is SOURCES


def _what_of_units(units: pd.DataFrame) -> pd.Series:
    what = pd.Series("recomputed", index=units.index, dtype=object)
    what[units["output_changed"]] = "changed"
    what[units["same_unit"] & units["output_changed"] & ~units["was_transient"]] = "rewritten"
    what[~units["is_before"]] = "added"
    what[~units["is_after"]] = "removed"
    return what


def _with_roots(
    units: pd.DataFrame, stage: Stage[Any], of_stage: Cause | None, found: dict[str, pd.DataFrame]
) -> pd.DataFrame:
    """Trace what came from the input to the stage where it began."""
    units["root"], units["detail"] = units["cause"], units["own_detail"]
    is_anew = units["is_before"] & units["is_after"] & ~units["same_generation"]
    is_other = units["is_before"] & units["is_after"] & ~units["same_request"]
    units["is_asked"], units["is_asked_again"] = is_anew | is_other, is_anew & ~is_other & units["same_content"]
    from_input = units["cause"].isin(["input_changed", "new_video", "removed"])
    if of_stage is None:  # what is shown but is no content, such as a label, enters by the request alone
        from_input |= units["cause"] == "prompt_changed"
    for read in reversed(stage.reads):  # the first input that changed is told
        parent = found[producer_of(read.table)]
        if not len(parent):
            continue
        began = parent[parent["output_changed"]].set_index("unit_id")[["root", "detail"]]
        is_same_unit = producer_of(read.table) != LIST_SOURCES and _unit_of(producer_of(read.table)) == stage.unit
        ids = units["unit_id"] if is_same_unit or stage.unit == "video_id" else units["video_id"]
        began = began.reindex(ids.to_numpy())
        is_known = from_input.to_numpy() & began["root"].notna().to_numpy()
        for name in ("root", "detail"):
            units.loc[is_known, name] = began[name].to_numpy()[is_known]
    if _is_root(stage):
        units.loc[from_input, "cause"] = units.loc[from_input, "root"]
    return units


def _without_ledger(snapshot: Snapshot) -> set[tuple[str, int]]:
    """Stage and bucket of what was made before there were ledgers."""

    def lacks(receipt: Receipt) -> bool:
        return receipt.stage != LIST_SOURCES and receipt.num_units > 0 and LEDGER.name not in receipt.files

    return {(receipt.stage, receipt.bucket) for receipt in snapshot.receipts if lacks(receipt)}


# --- sources


def _sources(before: Corpus, after: Corpus) -> pd.DataFrame:
    """What became of each video of the source, as units of the listing."""
    files = [files for _, files in _differing(before.snapshot, after.snapshot, SOURCES)]
    old, new = (_source_rows(before.store, [both[side] for both in files]) for side in (0, 1))
    paths = [{path: row["video_id"] for row in rows.values() for path in _paths(row)} for rows in (old, new)]
    denied = before.store.denied()
    units = []
    for video_id in sorted(old.keys() | new.keys()):
        was, now = old.get(video_id), new.get(video_id)
        if was == now:
            continue
        row = now or was or {}
        cause = _cause_of_source(was, now, paths[1 if was else 0])
        if cause.name == "removed" and denied.holds(video_id):
            cause = Cause("removed", "taken down")
        what = "added" if was is None else "removed" if now is None else "changed"
        units.append({"stage": LIST_SOURCES, "unit_id": video_id, "video_id": row["video_id"], "what": what,
                      "cause": cause.name, "root": cause.name, "detail": cause.detail, "own_detail": cause.detail,
                      "is_asked": False, "is_asked_again": False, "output_changed": True})  # fmt: skip
    return pd.DataFrame(units)


def _source_rows(store: Store, files: Sequence[ShardFile | None]) -> dict[str, dict[str, Any]]:
    return {row["video_id"]: row for file in files if file is not None for row in store.read(file).to_pylist()}


def _paths(row: dict[str, Any]) -> list[str]:
    return [row["path"], *row["other_paths"]]


def _cause_of_source(was: dict[str, Any] | None, now: dict[str, Any] | None, elsewhere: dict[str, str]) -> Cause:
    """Why a video of the source is not as it was. `elsewhere`: the videos of the other snapshot, by path."""
    if was is None or now is None:
        row: dict[str, Any] = now or was or {}
        other = next(
            (elsewhere[path] for path in _paths(row) if elsewhere.get(path) not in (None, row["video_id"])), None
        )
        if other is not None:
            return Cause("changed_video", "other bytes under the same path")
        return Cause("new_video") if was is None else Cause("removed", "no longer in the source")
    cause = cause_of_source([name for name in now if now[name] != was.get(name)])
    names = [field.name for field in ANNOTATIONS]
    told = [f"{name}: {was.get(name)} -> {now.get(name)}" for name in names if was.get(name) != now.get(name)]
    if cause.name == "moved":
        told = [f"{' and '.join(_paths(was))} -> {' and '.join(_paths(now))}", *told]
    return Cause(cause.name, ", ".join(told) or cause.detail)


# --- as one dataframe


def frame_of_changes(before: Corpus, after: Corpus, found: Changes | None = None) -> pd.DataFrame:
    """One line per row that is not the same, as `Corpus.drift` gives it; `found` if it is known already."""
    found = found or changes(before, after)
    causes = found.units[["stage", "unit_id", "root", "detail"]].rename(columns={"root": "cause"})
    rows = found.rows.merge(causes, on=["stage", "unit_id"], how="left", validate="many_to_one")
    rows["cause"] = rows["cause"].mask(rows["stage"] == IMPORT_REVIEWS, "reviewed").fillna("unrecorded")
    rows["path"] = rows["video_id"].map(paths_of(before) | paths_of(after))
    rows["similarity"] = [
        similarity(words_of(old), words_of(new)) if isinstance(old, str) and isinstance(new, str) else None
        for old, new in zip(rows["text_before"], rows["text_after"], strict=True)
    ]
    texts = [f"{name}_{side}" for name in ("text", "status") for side in ("before", "after")]
    shown = ("table", "key", "track_id", "video_id", "path", "what", "stage", "cause", "detail", *texts, "similarity")
    return rows[list(shown)]


def paths_of(corpus: Corpus) -> dict[str, str]:
    """The path of each video, by its id."""
    tables = (SOURCES.name, "videos")
    listed = [corpus.arrow(table, ["video_id", "path"]).to_pydict() for table in tables]
    return {video_id: path for one in listed for video_id, path in zip(one["video_id"], one["path"], strict=True)}
