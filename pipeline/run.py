"""Run one stage on one shard: reuse what is known, compute the rest, reconcile, write."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import progress
from pipeline.stage import Config, Done, InMemory, Outcome, Refused, Resources, RowGroups, Stage, Unit
from pipeline.store import Receipt, ShardFile, Store
from schemas.rejects import REASONS, REJECTS
from schemas.table import SchemaError, Table

PIECE_BYTES = 8 << 20
"""Rows of a unit that are held at a time, roughly, while they are written."""


class ReconcileError(RuntimeError):
    """A stage lost, repeated or invented a unit. Nothing was written."""


@dataclass(frozen=True)
class ShardInput:
    """One input table of a shard: a stored file, or rows in memory, or neither when the bucket has none."""

    key: str
    file: ShardFile | None = None
    rows: pa.Table | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read."""
        return self.file is None and self.rows is None

    def open(self, store: Store, table: Table) -> RowGroups:
        """The rows of the input, to be read when they are needed."""
        if self.file is not None:
            return store.reader(self.file)
        return InMemory(table.empty() if self.rows is None else self.rows)


@dataclass(frozen=True)
class ShardResult:
    """A shard's receipt, and what this run did for it: units computed and taken over, and from when to when.

    The times are seconds of the monotonic clock.
    """

    receipt: Receipt
    num_computed: int
    num_taken_over: int
    began_s: float
    ended_s: float


def run_stage(
    stage: Stage[Config],
    bucket: int,
    inputs: Sequence[ShardInput],
    config: Config,
    resources: Resources,
    store: Store,
    previous: Receipt | None = None,
) -> ShardResult:
    """Bring one shard up to date and return its receipt.

    Same shard key: nothing to do. Else units that `previous` (the shard in the newest snapshot) or an unfinished shard
    of the same key already settled are taken over by their unit key, and only the rest is computed.

    Raises:
        ReconcileError: a unit ended neither as rows nor as a reason, or twice.
    """
    began = time.monotonic()
    key = stage.shard_key(config, bucket, [item.key for item in inputs])
    found = store.receipt(stage.name, bucket, key)
    if found is not None and found.is_settled:
        return ShardResult(found, 0, 0, began, time.monotonic())

    opened = {read.table.name: item.open(store, read.table) for read, item in zip(stage.reads, inputs, strict=True)}
    units = stage.units(opened, config)
    progress.report(stage.name, bucket, done=0, total=len(units))
    made_from = {**stage.identity(config), "bucket": bucket, "inputs": [item.key for item in inputs]}
    with _Shard(stage, bucket, made_from, store) as shard:
        settled = [receipt for receipt in (found, previous) if receipt is not None]
        known = shard.take_over(units, settled)
        wanted = [unit for unit in units if unit.unit_id not in known]
        for outcome in stage.run(wanted, config, resources) if wanted else ():
            shard.add(outcome)
            del outcome  # its rows would else be held while the next unit is computed
            progress.report(stage.name, bucket, done=len(shard.ended), total=len(units))
        shard.reconcile(units)
    receipt = shard.receipt(key, len(units))
    store.write_receipt(receipt)
    progress.report(stage.name, bucket, done=len(units), total=len(units))
    return ShardResult(receipt, len(wanted), len(known), began, time.monotonic())


def each_unit(units: Sequence[Unit], work: Callable[[Unit], Done | Refused]) -> Iterator[Outcome]:
    """Do `work` for each unit; what it raises becomes that unit's refusal and no other's."""
    for unit in units:
        try:
            yield work(unit)
        except Exception as error:
            yield unexpected(unit, error)


def unexpected(unit: Unit, error: Exception) -> Refused:
    """The refusal of a unit on which the code itself failed, with the place in the detail."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} in {frame.name}"
    return Refused(unit, "unexpected_error", f"{type(error).__name__}: {error} ({where})"[:1000])


class _Shard:
    """The files that one shard is written to, and the ledger of how each of its units ended."""

    def __init__(self, stage: Stage[Any], bucket: int, made_from: Mapping[str, Any], store: Store) -> None:
        self._stage, self._bucket, self._store = stage, bucket, store
        self._writers = {table.name: store.writer(table, bucket, made_from) for table in (*stage.writes, REJECTS)}
        self._tables = {table.name: table for table in (*stage.writes, REJECTS)}
        self._stack = ExitStack()
        self.ended: set[str] = set()
        self._num_rejected = self._num_transient = 0

    def __enter__(self) -> _Shard:
        for writer in self._writers.values():
            self._stack.enter_context(writer)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def take_over(self, units: Sequence[Unit], receipts: Sequence[Receipt]) -> set[str]:
        """Copy the rows and permanent refusals of units that the receipts' shards hold; return their ids."""
        wanted = {unit.unit_key: unit.unit_id for unit in units}
        known: set[str] = set()
        for receipt in receipts:
            keys = self._settled_keys(receipt) & {key for key, unit_id in wanted.items() if unit_id not in known}
            if keys:
                self._copy(receipt, keys)
                known |= {wanted[key] for key in keys}
        self.ended |= known
        return known

    def _settled_keys(self, receipt: Receipt) -> set[str]:
        keys: set[str] = set()
        first = self._stage.writes[0].name
        if first in receipt.files:
            keys |= set(self._store.read(receipt.files[first], ["unit_key"])["unit_key"].unique().to_pylist())
        if REJECTS.name in receipt.files:
            rejects = self._store.read(receipt.files[REJECTS.name], ["unit_key", "is_transient"])
            permanent = rejects.filter(pc.invert(rejects["is_transient"]))
            keys |= set(permanent["unit_key"].to_pylist())
        return keys

    def _copy(self, receipt: Receipt, keys: set[str]) -> None:
        wanted = pa.array(sorted(keys))
        for name, file in receipt.files.items():
            for batch in self._store.iter_batches(file):
                rows = batch.filter(pc.is_in(batch["unit_key"], wanted))
                if rows.num_rows:
                    self._append(name, self._tables[name].conform(rows))

    def add(self, outcome: Outcome) -> None:
        """Write one outcome and note that its unit has ended."""
        unit = outcome.unit
        if unit.unit_id in self.ended:
            raise ReconcileError(f"stage {self._stage.name} ended unit {unit.unit_id} twice")
        self.ended.add(unit.unit_id)
        if isinstance(outcome, Refused):
            self._refuse(outcome)
            return
        before = {name: writer.num_rows for name, writer in self._writers.items()}
        try:
            for name, rows in outcome.rows.items():
                self._write(name, rows, unit)
        except _BrokeOffError as error:
            for name, num_rows in before.items():
                self._writers[name].take_back(num_rows)
            self._refuse(unexpected(unit, error.why))
            return
        first = self._stage.writes[0].name
        if self._writers[first].num_rows == before[first]:
            raise ReconcileError(f"stage {self._stage.name} gave unit {unit.unit_id} neither a row nor a reason")

    def _refuse(self, refused: Refused) -> None:
        self._append(REJECTS.name, REJECTS.rows([_reject_row(self._stage, refused)]))

    def _write(self, name: str, rows: Iterable[Mapping[str, Any]], unit: Unit) -> None:
        table, keys = self._tables[name], []
        for piece in _pieces(rows):
            conformed = table.rows({**row, "unit_key": unit.unit_key} for row in piece)
            keys.append(conformed.select(list(table.primary_key)))
            self._append(name, conformed)
        if len(keys) > 1:  # one piece was checked when it was conformed
            every = pa.concat_tables(keys)
            if (num_keys := every.group_by(list(table.primary_key)).aggregate([]).num_rows) < every.num_rows:
                place = f"stage {self._stage.name}, unit {unit.unit_id}"
                raise SchemaError(f"table {name}: {place}: {every.num_rows} rows have only {num_keys} keys")

    def _append(self, name: str, rows: pa.Table) -> None:
        self._writers[name].append(rows)
        if name == REJECTS.name:
            self._num_rejected += rows.num_rows
            self._num_transient += pc.sum(rows["is_transient"]).as_py() or 0

    def reconcile(self, units: Sequence[Unit]) -> None:
        """Raise ReconcileError unless exactly the units that were asked for have ended."""
        asked = {unit.unit_id for unit in units}
        if lost := sorted(asked - self.ended):
            raise ReconcileError(f"stage {self._stage.name} lost {len(lost)} of {len(asked)} units, first: {lost[0]}")
        if strange := sorted(self.ended - asked):
            raise ReconcileError(f"stage {self._stage.name} returned a unit that was not asked for: {strange[0]}")

    def receipt(self, key: str, num_units: int) -> Receipt:
        """The receipt of the closed files."""
        files = {name: writer.file for name, writer in self._writers.items() if writer.file is not None}
        return Receipt(
            stage=self._stage.name,
            bucket=self._bucket,
            key=key,
            files=files,
            num_units=num_units,
            num_rejected=self._num_rejected,
            num_transient=self._num_transient,
        )


class _BrokeOffError(Exception):
    """A unit's rows ended with an error of the stage instead of their last row."""

    def __init__(self, why: Exception) -> None:
        self.why = why


def _pieces(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The rows in lists of PIECE_BYTES or one row more. Raises _BrokeOffError for what `rows` raises."""
    piece: list[Mapping[str, Any]] = []
    num_bytes = 0
    given = iter(rows)
    while True:
        try:
            row = next(given)
        except StopIteration:
            break
        except Exception as error:
            raise _BrokeOffError(error) from error
        piece.append(row)
        num_bytes += _num_bytes(row)
        if num_bytes >= PIECE_BYTES:
            yield piece
            piece, num_bytes = [], 0
    if piece:
        yield piece


def _num_bytes(value: Any) -> int:
    """Roughly what a row's values take in Arrow."""
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_num_bytes(part) for part in value.values())
    if isinstance(value, list | tuple):
        return sum(_num_bytes(part) for part in value)
    return int(getattr(value, "nbytes", 8))


def _reject_row(stage: Stage[Any], refused: Refused) -> dict[str, Any]:
    unit, first = refused.unit, stage.reads[0]
    told = [name for name in ("video_id", "path") if name in first.columns]
    facts = {name: unit.column(first.table, name)[0].as_py() for name in told}
    return {
        "stage": stage.name,
        "unit_id": unit.unit_id,
        "unit_key": unit.unit_key,
        "video_id": facts.get("video_id", unit.unit_id),
        "path": facts.get("path"),
        "reason": refused.reason,
        "is_transient": REASONS[refused.reason].is_transient,
        "detail": refused.detail,
    }
