"""Which shards are the corpus: numbered, immutable, committed only if no other run committed first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from pipeline.store import MEND_SNAPSHOT, DamagedFileError, Receipt, ShardFile, Store, now
from schemas.corpus import TABLES
from schemas.ledger import LEDGER
from schemas.rejects import REJECTS
from schemas.table import SCHEMA_VERSION, Table
from schemas.videos import SOURCES

NOTHING_MADE: Mapping[str, Mapping[str, Any]] = {}


class SnapshotConflictError(Exception):
    """Another run committed while this one worked."""


class DatasetFacts(BaseModel):
    """The data set that a corpus was built from: which copy, and how much of it was there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    variant: str
    fingerprint: str
    """Of the annotation files' bytes, and of the name, place and size of every clip: `datasets/fingerprint.py`."""
    counts: dict[str, int]
    """`clips` that the annotation names, how many are `there`, and by kind whatever the reader found wrong."""


class StageCost(BaseModel):
    """What the units of one stage that stand in a snapshot took, each when it was computed, in whichever run that was.

    Nothing in it hangs on who took units over or how often a run was broken off: it adds up the ledgers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_units: int
    num_timed: int
    """Units of which it is known how long they took: those that wait for another run are not among them."""
    work_s: float
    """Seconds of work, all timed units added up."""
    num_tokens: int
    """Tokens of the requests and answers that the rows were made from."""
    num_bytes: int
    """Of the rows in memory, before compression."""


class Snapshot(BaseModel):
    """One state of the corpus: the receipts that make it up, what they were made with, and its counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    parent: int | None
    created_at: str
    schema_version: int
    source: str
    config: dict[str, Any]
    made_with: dict[str, dict[str, Any]] = {}
    """By stage: its version, config, weights, and hashes of the files that the config names."""
    software: dict[str, str]
    dataset: DatasetFacts | None = None
    """None where the source is a folder or a manifest, and in snapshots of before there were data sets."""
    counts: dict[str, int]
    rejects: dict[str, int]
    costs: dict[str, StageCost] | None = None
    """By stage; None in snapshots of before this was kept."""
    receipts: list[Receipt]

    def has_just(self, receipts: Iterable[Receipt]) -> bool:
        """Whether these receipts, in any order, are the snapshot's."""
        return self.receipts == _in_order(receipts)

    def files(self, table: str) -> list[ShardFile]:
        """The Parquet files of one table. Every stage may have one of `rejects` for each bucket."""
        return [receipt.files[table] for receipt in self.receipts if table in receipt.files]


def newest(store: Store) -> Snapshot | None:
    """The corpus as it is now, or None before the first commit."""
    numbers = store.snapshot_numbers()
    return read(store, numbers[-1]) if numbers else None


def read(store: Store, number: int) -> Snapshot:
    """Read one snapshot.

    Raises:
        KeyError: there is none of that number; the message lists those there are.
        DamagedFileError: its file cannot be read.
    """
    try:
        return Snapshot.model_validate_json(store.read_snapshot(number))
    except FileNotFoundError:
        have = ", ".join(str(n) for n in store.snapshot_numbers()) or "none"
        raise KeyError(f"no snapshot {number} in {store.address}; there are: {have}") from None
    except ValueError as error:
        raise DamagedFileError(store.address, f"snapshots/{number:06d}.json", error, MEND_SNAPSHOT) from error


def commit(
    store: Store,
    receipts: Sequence[Receipt],
    *,
    parent: Snapshot | None,
    source: str,
    config: Mapping[str, Any],
    made_with: Mapping[str, Mapping[str, Any]] = NOTHING_MADE,
    software: Mapping[str, str],
    dataset: DatasetFacts | None = None,
) -> Snapshot:
    """Make these receipts the corpus. Nothing changed since `parent`: return `parent`.

    Raises:
        SnapshotConflictError: another run committed after `parent` was read. The shards computed here are kept, so the
            same command again has little left to do.
    """
    ordered = _in_order(receipts)
    if parent is not None and parent.has_just(ordered):
        return parent
    number = 1 if parent is None else parent.number + 1
    snapshot = Snapshot(
        number=number,
        parent=None if parent is None else parent.number,
        created_at=now(),
        schema_version=SCHEMA_VERSION,
        source=source,
        config=dict(config),
        made_with={stage: dict(made) for stage, made in made_with.items()},
        software=dict(software),
        dataset=dataset,
        counts=_counts(ordered),
        rejects=_reject_counts(store, ordered),
        costs=_costs(store, ordered, parent),
        receipts=ordered,
    )
    if not store.create_snapshot(number, snapshot.model_dump_json(indent=1)):
        raise SnapshotConflictError(
            f"another run committed snapshot {number} of {store.address} while this one worked; nothing of this run is "
            "lost: run the same command again and it takes over what was computed"
        )
    return snapshot


def _in_order(receipts: Iterable[Receipt]) -> list[Receipt]:
    return sorted(receipts, key=lambda receipt: (receipt.stage, receipt.bucket))


def _counts(receipts: Sequence[Receipt]) -> dict[str, int]:
    counts = dict.fromkeys(TABLES, 0)
    for receipt in receipts:
        for table, file in receipt.files.items():
            counts[table] += file.rows
    return counts


def _reject_counts(store: Store, receipts: Sequence[Receipt]) -> dict[str, int]:
    reasons: Counter[str] = Counter()
    for receipt in receipts:
        if REJECTS.name in receipt.files:
            reasons.update(store.read(receipt.files[REJECTS.name], ["reason"])["reason"].to_pylist())
    return dict(sorted(reasons.items()))


def _costs(store: Store, receipts: Sequence[Receipt], parent: Snapshot | None) -> dict[str, StageCost]:
    """What each stage's units took. A stage whose ledgers are the parent's is not read again."""
    known = parent.costs or {} if parent is not None else {}
    before = _ledgers(parent.receipts) if parent is not None else {}
    return {
        stage: known[stage] if stage in known and ledgers == before.get(stage) else _cost(store, ledgers)
        for stage, ledgers in _ledgers(receipts).items()
    }


def _ledgers(receipts: Sequence[Receipt]) -> dict[str, list[Receipt]]:
    """The receipts of each stage, with no other file than their ledger."""
    ledgers: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        if LEDGER.name in receipt.files:
            only = receipt.model_copy(update={"files": {LEDGER.name: receipt.files[LEDGER.name]}})
            ledgers.setdefault(receipt.stage, []).append(only)
    return ledgers


def _cost(store: Store, ledgers: Sequence[Receipt]) -> StageCost:
    """What stands in the ledgers that are there; one that is lost is for `check` to tell."""
    columns = ["work_s", "num_tokens", "num_bytes"]
    there = [store.read(receipt.files[LEDGER.name], columns) for receipt in ledgers if store.holds(receipt)]
    lines = pa.concat_tables([LEDGER.empty().select(columns), *there])
    return StageCost(
        num_units=lines.num_rows,
        num_timed=lines.num_rows - lines["work_s"].null_count,
        work_s=pc.sum(lines["work_s"]).as_py() or 0.0,
        num_tokens=pc.sum(lines["num_tokens"]).as_py() or 0,
        num_bytes=pc.sum(lines["num_bytes"]).as_py() or 0,
    )


class TableDiff(BaseModel):
    """How one table differs between two snapshots, by primary key: what came, what went, what was made anew."""

    model_config = ConfigDict(frozen=True)

    table: str
    added: list[tuple[Any, ...]]
    removed: list[tuple[Any, ...]]
    changed: list[tuple[Any, ...]]
    num_same: int


def diff(store: Store, before: Snapshot, after: Snapshot) -> list[TableDiff]:
    """Compare two snapshots, table by table. Reads keys only, and no file that both share."""
    return [_diff_table(store, table, before, after) for table in TABLES.values() if table is not LEDGER]


def _diff_table(store: Store, table: Table, before: Snapshot, after: Snapshot) -> TableDiff:
    old_files, new_files = before.files(table.name), after.files(table.name)
    shared = {file.path for file in old_files} & {file.path for file in new_files}
    old = _unit_keys(store, table, [file for file in old_files if file.path not in shared])
    new = _unit_keys(store, table, [file for file in new_files if file.path not in shared])
    both = old.keys() & new.keys()
    changed = sorted(key for key in both if old[key] != new[key])
    return TableDiff(
        table=table.name,
        added=sorted(new.keys() - old.keys()),
        removed=sorted(old.keys() - new.keys()),
        changed=changed,
        num_same=sum(file.rows for file in old_files if file.path in shared) + len(both) - len(changed),
    )


def _unit_keys(store: Store, table: Table, files: Sequence[ShardFile]) -> dict[tuple[Any, ...], Any]:
    """What each row was made from, by its primary key; of a source's row, all that it says."""
    made_from = [field.name for field in table.columns if table is SOURCES or field.name == "unit_key"]
    columns = list(dict.fromkeys([*table.primary_key, *made_from]))
    rows = pa.concat_tables([table.empty().select(columns), *(store.read(file, columns) for file in files)])
    return {
        tuple(row[name] for name in table.primary_key): tuple(repr(row[name]) for name in made_from)
        for row in rows.to_pylist()
    }
