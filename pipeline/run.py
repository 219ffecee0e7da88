"""Run one stage on one shard: reuse what is known, compute the rest, reconcile, write."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import progress
from pipeline.stage import Config, Done, InMemory, Outcome, Refused, Resources, RowGroups, Stage, Unit, content_hash
from pipeline.store import Receipt, ShardFile, Store
from pipeline.telemetry.events import (
    PROCESS,
    ShardBegan,
    ShardBrokeOff,
    ShardCameBack,
    ShardEnded,
    UnitEnded,
    about,
    tell,
)
from pipeline.telemetry.logs import shard_logged
from pipeline.telemetry.tally import Tally
from schemas.ledger import DONE, LEDGER, REFUSED
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
    """A shard's receipt, and what this run did for it: units computed and taken over, from when to when, and tokens.

    The times are seconds since 1970 by the clock of the machine that did it; how far they are apart is measured.
    """

    receipt: Receipt
    num_computed: int
    num_taken_over: int
    began_s: float
    ended_s: float
    num_tokens: int = 0
    tally: Tally = field(default_factory=Tally)
    """How the units ended that this run computed."""
    process: str = field(default_factory=lambda: PROCESS)
    """Where that was, and where each of them was told."""

    def came_back(self) -> ShardCameBack:
        """What the run tells of the shard: with the tally, if nobody in this process has heard of its units."""
        is_heard = self.process == PROCESS
        return ShardCameBack(
            stage=self.receipt.stage,
            shard=self.receipt.bucket,
            is_done=True,
            unheard=None if is_heard else self.tally,
            unheard_s=0.0 if is_heard else self.ended_s - self.began_s,
        )


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
    of the same key already settled are taken over by their unit key, and only the rest is computed. Where all of them
    are, and no other, the files stay as they are: the change that led here ends here.

    Raises:
        ReconcileError: a unit ended neither as rows nor as a reason, or twice.
    """
    with shard_logged(resources, stage.name, bucket):
        tell(ShardBegan(stage=stage.name, shard=bucket))
        try:
            result = _bring_up_to_date(stage, bucket, inputs, config, resources, store, previous)
        except Exception as error:
            tell(ShardBrokeOff(stage=stage.name, shard=bucket, error=type(error).__name__))
            raise
        tell(
            ShardEnded(
                stage=stage.name,
                shard=bucket,
                num_computed=result.num_computed,
                num_taken_over=result.num_taken_over,
                num_refused=result.tally.refused.total(),
                num_tokens=result.num_tokens,
                seconds=result.ended_s - result.began_s,
            )
        )
        return result


def _bring_up_to_date(
    stage: Stage[Config],
    bucket: int,
    inputs: Sequence[ShardInput],
    config: Config,
    resources: Resources,
    store: Store,
    previous: Receipt | None,
) -> ShardResult:
    clock = _Clock()
    generations = store.generations(stage.name, bucket)
    key = stage.shard_key(config, bucket, [item.key for item in inputs], generations)
    found = store.receipt(stage.name, bucket, key)
    if found is not None and found.is_settled:
        return ShardResult(found, 0, 0, *clock.span_s())
    # A shard of which a file is gone, since it was found damaged, is computed as if there had been none.
    found, previous = (known if known is not None and store.holds(known) else None for known in (found, previous))

    opened = {read.table.name: item.open(store, read.table) for read, item in zip(stage.reads, inputs, strict=True)}
    units = stage.units(opened, config, generations)
    progress.report(stage.name, bucket, done=0, total=len(units))
    if previous is not None and previous.is_settled and _settled_keys(store, previous) == {u.unit_key for u in units}:
        receipt = previous.model_copy(update={"key": key})
        store.write_receipt(receipt)
        progress.report(stage.name, bucket, done=len(units), total=len(units))
        return ShardResult(receipt, 0, len(units), *clock.span_s(), tally=Tally(num_taken_over=len(units)))
    made_from = {**stage.identity(config), "bucket": bucket, "inputs": [item.key for item in inputs]}
    with _Shard(stage, bucket, made_from, store) as shard:
        settled = [receipt for receipt in (found, previous) if receipt is not None]
        known = shard.take_over(units, settled)
        wanted = [unit for unit in units if unit.unit_id not in known]
        since = time.monotonic()
        for outcome in stage.run(wanted, config, resources) if wanted else ():
            shard.add(outcome, since)
            del outcome  # its rows would else be held while the next unit is computed
            since = time.monotonic()
            progress.report(stage.name, bucket, done=len(shard.ended), total=len(units))
        shard.reconcile(units)
    receipt = shard.receipt(key, len(units))
    store.write_receipt(receipt)
    progress.report(stage.name, bucket, done=len(units), total=len(units))
    shard.tally.num_taken_over = len(known)
    return ShardResult(receipt, len(wanted), len(known), *clock.span_s(), shard.tally.num_tokens, shard.tally)


class _Clock:
    """From when to when something lasted: comparable between machines, and right even if the clock is set meanwhile."""

    def __init__(self) -> None:
        self._began_s, self._since = time.time(), time.monotonic()

    def span_s(self) -> tuple[float, float]:
        """The beginning, and now, in seconds since 1970."""
        return self._began_s, self._began_s + time.monotonic() - self._since


def _settled_keys(store: Store, receipt: Receipt) -> set[str]:
    """Keys of the units that a shard need not be asked for again."""
    if LEDGER.name not in receipt.files:  # no unit, or written before there were ledgers
        return set()
    ended = store.read(receipt.files[LEDGER.name], ["unit_key", "is_transient"])
    return set(ended.filter(pc.invert(ended["is_transient"]))["unit_key"].to_pylist())


def each_unit(units: Sequence[Unit], work: Callable[[Unit], Done | Refused]) -> Iterator[Outcome]:
    """Do `work` for each unit; what it raises becomes that unit's refusal and no other's."""
    for unit in units:
        with about(unit=unit.unit_id):
            try:
                outcome = work(unit)
            except Exception as error:
                outcome = unexpected(unit, error)
        yield outcome
        del outcome  # its rows would else be held while the next unit is worked on


def unexpected(unit: Unit, error: Exception) -> Refused:
    """The refusal of a unit on which the code itself failed, with the place in the detail."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} in {frame.name}"
    return Refused(unit, "unexpected_error", f"{type(error).__name__}: {error} ({where})"[:1000])


class _Shard:
    """The files that one shard is written to, and the ledger of how each of its units ended."""

    def __init__(self, stage: Stage[Any], bucket: int, made_from: Mapping[str, Any], store: Store) -> None:
        self._stage, self._bucket, self._store = stage, bucket, store
        self._tables = {table.name: table for table in (*stage.writes, REJECTS, LEDGER)}
        self._writers = {table.name: store.writer(table, bucket, made_from) for table in self._tables.values()}
        self._stack = ExitStack()
        self.ended: set[str] = set()
        self.tally = Tally()
        """Of what this run computed; of what it took over, the ledger tells."""
        self._num_rejected = self._num_transient = 0

    def __enter__(self) -> _Shard:
        for writer in self._writers.values():
            self._stack.enter_context(writer)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def take_over(self, units: Sequence[Unit], receipts: Sequence[Receipt]) -> set[str]:
        """Copy the rows and permanent refusals of units that the receipts' shards hold; return their ids.

        Nothing is copied out of damaged files: the copy would have a name that says it is whole.
        """
        wanted = {unit.unit_key: unit.unit_id for unit in units}
        known: set[str] = set()
        for receipt in receipts:
            missing = {key for key, unit_id in wanted.items() if unit_id not in known}
            keys = _settled_keys(self._store, receipt) & missing
            if keys and all(self._store.is_whole(file) for file in receipt.files.values()):
                self._copy(receipt, keys)
                known |= {wanted[key] for key in keys}
        self.ended |= known
        return known

    def _copy(self, receipt: Receipt, keys: set[str]) -> None:
        wanted = pa.array(sorted(keys))
        for name, file in receipt.files.items():
            for batch in self._store.iter_batches(file):
                rows = batch.filter(pc.is_in(batch["unit_key"], wanted))
                if rows.num_rows:
                    self._append(name, self._tables[name].conform(rows))

    def add(self, outcome: Outcome, since: float) -> None:
        """Write one outcome, on which the stage was at work since that time, and note that its unit has ended."""
        unit = outcome.unit
        if unit.unit_id in self.ended:
            raise ReconcileError(f"stage {self._stage.name} ended unit {unit.unit_id} twice")
        self.ended.add(unit.unit_id)
        if isinstance(outcome, Refused):
            self._refuse(outcome, since)
            return
        before = {name: writer.num_rows for name, writer in self._writers.items()}
        output = _Output()
        try:
            for name, rows in outcome.rows.items():
                self._write(name, rows, unit, output)
        except _BrokeOffError as error:
            for name, num_rows in before.items():
                self._writers[name].take_back(num_rows)
            self._refuse(unexpected(unit, error.why), since)
            return
        first = self._stage.writes[0].name
        if self._writers[first].num_rows == before[first]:
            raise ReconcileError(f"stage {self._stage.name} gave unit {unit.unit_id} neither a row nor a reason")
        facts = {"outcome": DONE, "is_transient": False, **output.facts(), "num_tokens": outcome.num_tokens}
        self._enter(unit, {**facts, "work_s": (work_s := time.monotonic() - since)})
        self._tell(unit, work_s, output, num_tokens=outcome.num_tokens)

    def _refuse(self, refused: Refused, since: float) -> None:
        row = _reject_row(self._stage, refused)
        self._append(REJECTS.name, REJECTS.rows([row]))
        is_transient = row["is_transient"]
        facts = {"outcome": REFUSED, "reason": refused.reason, "is_transient": is_transient, **_Output().facts()}
        # A unit that fails for the same passing reason night after night shall leave the same ledger.
        work_s = time.monotonic() - since
        costs = {"num_tokens": 0, "work_s": None if is_transient else work_s}
        self._enter(refused.unit, {**facts, "output_key": None, **costs})
        self._tell(refused.unit, work_s, _Output(), reason=refused.reason, is_transient=is_transient)

    def _tell(
        self,
        unit: Unit,
        work_s: float,
        output: _Output,
        *,
        num_tokens: int = 0,
        reason: str | None = None,
        is_transient: bool | None = None,
    ) -> None:
        """Count how a unit ended, and tell it."""
        size = {"num_rows": output.num_rows, "num_bytes": output.num_bytes, "num_tokens": num_tokens}
        self.tally.enter(reason, work_s, **size)
        tell(
            UnitEnded(
                stage=self._stage.name,
                shard=self._bucket,
                unit=unit.unit_id,
                reason=reason,
                is_transient=is_transient,
                seconds=work_s,
                **size,
            )
        )

    def _enter(self, unit: Unit, ended: Mapping[str, Any]) -> None:
        """Write a unit's line of the ledger."""
        asked = {
            "stage": self._stage.name,
            "unit_id": unit.unit_id,
            "video_id": _video_of(self._stage, unit),
            "unit_key": unit.unit_key,
            "content_key": unit.content_key,
            "request_key": unit.request_key,
            "generation": unit.generation,
        }
        self._append(LEDGER.name, LEDGER.rows([{**asked, **ended}]))

    def _write(self, name: str, rows: Iterable[Mapping[str, Any]], unit: Unit, output: _Output) -> None:
        table, keys = self._tables[name], []
        for piece in _pieces(rows):
            conformed = table.rows({**row, "unit_key": unit.unit_key} for row in piece)
            keys.append(conformed.select(list(table.primary_key)))
            output.add(conformed)
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


class _Output:
    """What one unit came out as: how much, and a hash of its values."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.num_rows = self.num_bytes = 0

    def add(self, rows: pa.Table) -> None:
        """Rows in the order in which they are written."""
        self._digest.update(content_hash([rows.drop_columns("unit_key")]).encode())
        self.num_rows += rows.num_rows
        self.num_bytes += rows.nbytes

    def facts(self) -> dict[str, Any]:
        """As columns of the ledger."""
        key = self._digest.hexdigest()[:32]
        return {"output_key": key, "num_rows": self.num_rows, "num_bytes": self.num_bytes}


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
    return {
        "stage": stage.name,
        "unit_id": unit.unit_id,
        "unit_key": unit.unit_key,
        "video_id": _video_of(stage, unit),
        "path": unit.column(first.table, "path")[0].as_py() if "path" in first.columns else None,
        "reason": refused.reason,
        "is_transient": REASONS[refused.reason].is_transient,
        "detail": refused.detail,
    }


def _video_of(stage: Stage[Any], unit: Unit) -> str:
    """The video that a unit belongs to: each stage reads it in its first table."""
    if stage.unit == "video_id":
        return unit.unit_id
    return str(unit.column(stage.reads[0].table, "video_id")[0].as_py())
