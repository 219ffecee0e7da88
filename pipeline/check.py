"""Check that a corpus is what it says it is: every shard, its rows, the ledgers, and that every unit was accounted for.

Nothing is believed that can be looked at. A fault names where it is, what was expected, what was got, and what to do.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from pipeline import progress
from pipeline import snapshot as snapshots
from pipeline.descriptions.journal import JournalError, open_journal
from pipeline.reviews.edits import judges
from pipeline.reviews.shards import IMPORT_REVIEWS, reviews_of
from pipeline.snapshot import Snapshot
from pipeline.stage import Stage
from pipeline.store import MEND_RECEIPT, MEND_SNAPSHOT, UNDER_WAY, DamagedFileError, Receipt, ShardFile, Store
from pipeline.takedown import left_to_do
from pipeline.walk import LIST_SOURCES, WALK, producer_of
from schemas.corpus import TABLES
from schemas.descriptions import DESCRIPTIONS
from schemas.ledger import DONE, LEDGER, REFUSED
from schemas.rejects import REJECTS
from schemas.reviews import REVIEWS
from schemas.table import SchemaError, Table
from schemas.videos import SOURCES, VIDEOS

MAKE_ANEW = "`facescribe check --forget-damaged` removes it, and the next build makes it anew"
OLDER = "only older snapshots name it, and no build makes it anew: let `facescribe gc` delete those snapshots"
NOT_MADE_ANEW = (
    "no build makes reviews anew: restore it from a backup; or `facescribe check --forget-damaged` gives them up, and "
    "`facescribe review import` takes the review files again"
)

Read = TypeVar("Read")

KEYS_MEMORY = "1GB"
"""What looking for repeated keys may hold; beyond it lies on the disk."""


class Fault(BaseModel):
    """One thing that is not as it should be."""

    model_config = ConfigDict(frozen=True)

    where: str
    """The file below the root."""
    table: str | None = None
    bucket: int | None = None
    expected: str
    got: str
    next: str
    damaged: tuple[str, ...] = ()
    """What `forget_damaged` removes because of it."""

    def in_words(self) -> str:
        """As a line."""
        place = "".join([f", table {self.table}" if self.table else "", *self._bucket()])
        return f"{self.where}{place}: expected {self.expected}, got {self.got}. Next: {self.next}"

    def _bucket(self) -> Iterator[str]:
        if self.bucket is not None:
            yield f", bucket {self.bucket}"


class CheckReport(BaseModel):
    """What was looked at, and every fault."""

    snapshots: list[int]
    is_quick: bool
    num_files: int
    num_bytes: int
    num_rows: int
    faults: list[Fault]


def check(store: Store, numbers: Sequence[int] | None = None, *, quick: bool = False) -> CheckReport:
    """Verify snapshots, by default the newest one, and what lies beside them.

    Args:
        quick: do not hash the files' bytes; all else is looked at.

    Raises:
        CorpusInUseError: files are being deleted.
        KeyError: there is no such snapshot.
    """
    with store.in_use():
        return _Check(store, quick).run(numbers)


def forget_damaged(store: Store, numbers: Sequence[int] | None = None) -> tuple[CheckReport, list[str]]:
    """Check, then remove what is damaged and every receipt that names it, so that the next build makes it anew.

    Raises:
        CorpusInUseError: somebody works on the corpus.
        KeyError: there is no such snapshot.
    """
    with store.turn("the removal of damaged shards", wait_s=0, on_wait=lambda _: None), store.in_use(alone=True):
        report = _Check(store, quick=False).run(numbers)
        damaged = {path for fault in report.faults for path in fault.damaged}
        receipts = []
        for file in store.stored("receipts"):
            receipt = _read_receipt(store, file.path)
            if receipt is None or any(shard.path in damaged for shard in receipt.files.values()):
                receipts.append(file.path)
        there = {file.path for file in store.stored("shards")}
        removed = [*receipts, *sorted(damaged & there)]
        for path in removed:
            store.remove(path)
        return report, removed


class _Check:
    """One check. What several snapshots share is looked at once."""

    def __init__(self, store: Store, quick: bool) -> None:
        self._store, self._quick = store, quick
        self._faults: list[Fault] = []
        self._sound: dict[str, bool] = {}
        self._seen: set[str] = set()
        self._checked_keys: set[tuple[str, ...]] = set()
        self._named_by_newest: set[str] = set()
        self._num_bytes = self._num_rows = 0

    def run(self, numbers: Sequence[int] | None) -> CheckReport:
        """Look at everything."""
        store = self._store
        listed = store.snapshot_numbers()
        for number in numbers or ():
            if number not in listed:
                snapshots.read(store, number)  # raises, with words
        newest = listed[-1] if listed else None
        wanted = list(numbers) if numbers is not None else listed[-1:]
        read = {number: self._read_snapshot(number) for number in sorted({*wanted, *listed[-1:]}, reverse=True)}
        if newest is not None and (snapshot := read[newest]) is not None:
            self._named_by_newest = {file.path for r in snapshot.receipts for file in r.files.values()}
        for number in wanted:
            snapshot = read[number]
            if snapshot is not None:
                self._snapshot(snapshot, is_newest=number == newest)
        self._refuse_denied(listed)
        self._beside()
        return CheckReport(
            snapshots=wanted,
            is_quick=self._quick,
            num_files=len(self._sound),
            num_bytes=self._num_bytes,
            num_rows=self._num_rows,
            faults=list(dict.fromkeys(self._faults)),
        )

    def _tell(self, where: str, expected: object, got: object, next: str = "", **more: Any) -> None:
        if not next:
            damaged = more.get("damaged", ())
            is_now = self._named_by_newest.issuperset(damaged)
            next = OLDER if not is_now else NOT_MADE_ANEW if more.get("table") == REVIEWS.name else MAKE_ANEW
        self._faults.append(Fault(where=where, expected=str(expected), got=str(got), next=next, **more))

    def _tell_damaged(self, error: DamagedFileError, expected: str) -> None:
        self._tell(error.path, expected, error.why, error.next)

    def _read_snapshot(self, number: int) -> Snapshot | None:
        try:
            return snapshots.read(self._store, number)
        except DamagedFileError as error:
            self._tell_damaged(error, "a snapshot")
            return None

    def _snapshot(self, snapshot: Snapshot, *, is_newest: bool) -> None:
        where = f"snapshots/{snapshot.number:06d}.json"
        for place, receipt in enumerate(snapshot.receipts):
            self._receipt(receipt)
            if is_newest:
                self._receipt_on_disk(receipt)
            progress.report("check", snapshot.number, done=place + 1, total=len(snapshot.receipts))
        with self._unreadable_told(where):
            self._refuse_repeated_keys(snapshot)
        with self._unreadable_told(where):
            self._every_unit_ended(snapshot)
        for receipt in snapshot.receipts:
            if receipt.stage == IMPORT_REVIEWS:
                with self._unreadable_told(where):
                    self._edited_texts(snapshot, receipt)
        counts = dict.fromkeys(TABLES, 0)
        for receipt in snapshot.receipts:
            for table, file in receipt.files.items():
                counts[table] = counts.get(table, 0) + file.rows
        reasons: Counter[str] = Counter()
        files = snapshot.files(REJECTS.name)
        with self._unreadable_told(where):
            for file in files:
                if self._sound[file.path]:
                    reasons.update(self._store.read(file, ["reason"])["reason"].to_pylist())
        mend = MEND_SNAPSHOT
        if counts != dict.fromkeys(TABLES, 0) | snapshot.counts:
            self._tell(where, f"counts {counts}, as its receipts say", snapshot.counts, mend)
        if all(self._sound[file.path] for file in files) and reasons != Counter(snapshot.rejects):
            self._tell(where, f"rejects {dict(reasons)}, as its shards say", snapshot.rejects, mend)

    @contextmanager
    def _unreadable_told(self, where: str) -> Iterator[None]:
        """Of a shard that is not hashed, a column may be damaged that was not looked at when its file was."""
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            next = "`facescribe check` without --quick tells which" if self._quick else MAKE_ANEW
            self._tell(where, "shards that can be read", str(error).splitlines()[0] if str(error) else error, next)

    def _receipt_on_disk(self, receipt: Receipt) -> None:
        name = f"receipts/{receipt.stage}/{receipt.bucket:04d}-{receipt.key}.json"
        expected = "the receipt that the newest snapshot names"
        try:
            if self._store.receipt(receipt.stage, receipt.bucket, receipt.key) is None:
                self._tell(name, expected, "none", "build: it is made again")
        except DamagedFileError as error:
            self._tell_damaged(error, expected)

    def _receipt(self, receipt: Receipt) -> None:
        """A receipt's files, and that its ledger, its rows and its sums tell the same."""
        seen = receipt.model_dump_json()
        if seen in self._seen:
            return
        self._seen.add(seen)
        sound = [self._file(receipt, table, file) for table, file in receipt.files.items()]
        if not all(sound):
            return
        try:
            if receipt.stage == LIST_SOURCES:
                self._is_sum(receipt, SOURCES, "num_units", sum(file.rows for file in receipt.files.values()))
            elif receipt.stage == IMPORT_REVIEWS:
                num_reviews = receipt.files[REVIEWS.name].rows if REVIEWS.name in receipt.files else 0
                self._is_sum(receipt, REVIEWS, "num_units", num_reviews)
            elif stage := _STAGES.get(receipt.stage):
                self._ledger(receipt, stage)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            self._tell_receipt(receipt, LEDGER, "rows that can be read", error)

    def _file(self, receipt: Receipt, name: str, file: ShardFile) -> bool:
        """Whether a shard is there, whole, of its table, and of its stage and bucket."""
        if file.path in self._sound:
            return self._sound[file.path]
        num_faults = len(self._faults)
        of: dict[str, Any] = {"table": name, "bucket": receipt.bucket, "damaged": (file.path,)}
        try:
            if (size := self._store.size(file.path)) != file.bytes:
                self._tell(file.path, f"{file.bytes} bytes", f"{size}", **of)
            elif not self._quick:
                content = self._store.content_of(file)
                self._num_bytes += size
                if content != file.content:
                    self._tell(file.path, f"bytes of hash {file.content}, its name", content, **of)
            if len(self._faults) == num_faults:
                self._rows(receipt, name, file, of)
        except FileNotFoundError:
            self._tell(file.path, f"{file.bytes} bytes", "no such file", **of)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            self._tell(file.path, "a Parquet file that can be read", str(error).splitlines()[0], **of)
        self._sound[file.path] = len(self._faults) == num_faults
        return self._sound[file.path]

    def _rows(self, receipt: Receipt, name: str, file: ShardFile, of: Mapping[str, Any]) -> None:
        table = TABLES.get(name)
        if table is None:
            self._tell(
                file.path, f"one of the tables {', '.join(TABLES)}", name, "upgrade facescribe", bucket=of["bucket"]
            )
            return
        with pq.ParquetFile(self._store.source(file)) as parquet:
            schema = parquet.schema_arrow
            self._num_rows += parquet.metadata.num_rows
            if parquet.metadata.num_rows != file.rows:
                self._tell(file.path, f"{file.rows} rows", parquet.metadata.num_rows, **of)
            try:
                table.conform(schema.empty_table())
            except SchemaError as error:
                self._tell(file.path, f"the columns of table {name}", error, **of)
                return
            # What is declared as never null is stored so that it cannot be.
            if loose := [f.name for f in schema if f.nullable and not table.field(f.name).nullable]:
                self._tell(file.path, f"column {loose[0]} that cannot be null", "one that can", **of)
            told = schema.metadata or {}
            if (of_table := told.get(b"table", b"none").decode(errors="replace")) != name:
                self._tell(file.path, f"a footer of table {name}", of_table, **of)
            made_from = _made_from(told)
            made = (made_from.get("stage"), made_from.get("bucket", receipt.bucket))
            if made != (receipt.stage, receipt.bucket):
                expected = f"a footer of stage {receipt.stage}, bucket {receipt.bucket}"
                self._tell(file.path, expected, f"stage {_shown(made[0])}, bucket {_shown(made[1])}", **of)
            if "video_id" in schema.names:
                strange = [v for v in _distinct(parquet, "video_id") if not self._is_of_bucket(v, receipt.bucket)]
                if strange:
                    got = f"{len(strange)} of others, the first is {strange[0]}"
                    self._tell(file.path, f"videos of bucket {receipt.bucket}", got, **of)

    def _is_of_bucket(self, video_id: str, bucket: int) -> bool:
        try:
            return self._store.bucket_of(video_id) == bucket
        except ValueError:
            return False

    def _tell_receipt(self, receipt: Receipt, table: Table, expected: object, got: object) -> None:
        """A fault of how a receipt's files go together: none of them can be trusted."""
        paths = tuple(file.path for file in receipt.files.values())
        file = receipt.files.get(table.name, receipt.files.get(LEDGER.name))
        where = file.path if file else f"receipts/{receipt.stage}/{receipt.bucket:04d}-{receipt.key}.json"
        self._tell(where, expected, got, table=table.name, bucket=receipt.bucket, damaged=paths)

    def _is_sum(self, receipt: Receipt, table: Table, name: str, total: int) -> None:
        if getattr(receipt, name) != total:
            told = f"{name} {getattr(receipt, name)}, as the receipt of {receipt.stage} says"
            self._tell_receipt(receipt, table, told, f"{total} in the {table.name}")

    def _ledger(self, receipt: Receipt, stage: Stage[Any]) -> None:
        if LEDGER.name not in receipt.files:
            if receipt.num_units:
                self._tell_receipt(receipt, LEDGER, f"a ledger of {receipt.num_units} units", "none")
            return
        names = ["stage", "unit_id", "unit_key", "outcome", "reason", "is_transient", "num_rows"]
        lines = self._store.read(receipt.files[LEDGER.name], names).to_pylist()
        refused = {_refusal(line) for line in lines if line["outcome"] == REFUSED}
        done = {line["unit_key"] for line in lines if line["outcome"] == DONE}
        self._is_sum(receipt, LEDGER, "num_units", len(lines))
        self._is_sum(receipt, LEDGER, "num_rejected", len(refused))
        self._is_sum(receipt, LEDGER, "num_transient", sum(line["is_transient"] for line in lines))
        if strange := {line["stage"] for line in lines} - {stage.name}:
            self._tell_receipt(receipt, LEDGER, f"lines of stage {stage.name}", f"lines of {sorted(strange)[0]}")
        for table in stage.writes:
            keys = self._distinct(receipt, table, "unit_key")
            self._same(receipt, table, "rows whose unit the ledger calls done", keys - done, "unit_key")
        first = stage.writes[0]
        unwritten = done - self._distinct(receipt, first, "unit_key")
        self._same(receipt, first, "a row of each unit that the ledger calls done", unwritten, "no row of unit_key")
        told = sum(line["num_rows"] for line in lines)
        rows = sum(receipt.files[table.name].rows for table in stage.writes if table.name in receipt.files)
        if told != rows:
            self._tell_receipt(receipt, LEDGER, f"{rows} rows, as there are in the shards", f"{told} in its lines")
        rejects = set()
        if REJECTS.name in receipt.files:
            columns = ["unit_id", "unit_key", "reason", "is_transient"]
            rejects = {_refusal(row) for row in self._store.read(receipt.files[REJECTS.name], columns).to_pylist()}
        self._same(receipt, REJECTS, "rows that the ledger calls refused, with its reason", rejects - refused, "")
        self._same(receipt, REJECTS, "a row of each unit that the ledger calls refused", refused - rejects, "no row of")

    def _same(self, receipt: Receipt, table: Table, expected: str, strange: Collection[object], what: str) -> None:
        if strange:
            first = sorted(map(str, strange))[0]
            got = f"{what} {first}".strip() + (f" and {len(strange) - 1} more" if len(strange) > 1 else "")
            self._tell_receipt(receipt, table, expected, got)

    def _distinct(self, receipt: Receipt, table: Table, column: str) -> set[str]:
        if table.name not in receipt.files:
            return set()
        with pq.ParquetFile(self._store.source(receipt.files[table.name])) as parquet:
            return set(_distinct(parquet, column))

    def _refuse_repeated_keys(self, snapshot: Snapshot) -> None:
        import duckdb  # a training asks this module for less, and needs no database

        for table in TABLES.values():
            files = [file for file in snapshot.files(table.name) if self._sound[file.path]]
            paths = tuple(sorted({file.path for file in files}))
            if not files or paths in self._checked_keys:
                continue
            self._checked_keys.add(paths)
            keys = ", ".join(f'"{name}"' for name in table.primary_key)
            with tempfile.TemporaryDirectory() as spilled, duckdb.connect() as connection:
                connection.execute("set memory_limit = ?", [KEYS_MEMORY])
                connection.execute("set temp_directory = ?", [spilled])
                rows = "read_parquet($files, filename = true, union_by_name = true)"
                given = {"files": [self._store.path(file) for file in files]}
                if self._store.folder is None:
                    connection.register("keys_of_files", _keys_of_files(self._store, table, files))
                    rows, given = "keys_of_files", {}
                try:
                    repeated = connection.execute(
                        f"select {keys}, count(*), list(distinct filename) from {rows} "
                        f"group by {keys} having count(*) > 1 order by all limit 3",
                        given,
                    ).fetchall()
                except duckdb.Error as error:
                    raise OSError(str(error)) from error
            for *key, count, held in repeated:
                names = tuple(sorted(path for path in paths if any(place.endswith(path) for place in held)))
                told = dict(zip(table.primary_key, key, strict=True))
                self._tell(names[0], f"one row of {told}", f"{count}", table=table.name, damaged=names)

    def _every_unit_ended(self, snapshot: Snapshot) -> None:
        """Each stage's ledger has exactly the units of the first table that the stage reads."""
        by_place = {(receipt.stage, receipt.bucket): receipt for receipt in snapshot.receipts}
        for stage in WALK:
            if snapshot.made_with and stage.name not in snapshot.made_with:
                continue  # the walk had no such stage then
            read = stage.reads[0].table
            for bucket in sorted({receipt.bucket for receipt in snapshot.receipts}):
                asked_by, ended_by = (by_place.get((name, bucket)) for name in (producer_of(read), stage.name))
                files = [
                    receipt.files[table.name]
                    for receipt, table in ((asked_by, read), (ended_by, LEDGER))
                    if receipt is not None and table.name in receipt.files
                ]
                if not all(self._sound[file.path] for file in files):
                    continue
                asked = self._distinct(asked_by, read, stage.unit) if asked_by else set()
                ended = self._distinct(ended_by, LEDGER, "unit_id") if ended_by else set()
                if asked == ended:
                    continue
                owner = ended_by or asked_by
                assert owner is not None  # one of them has units
                lost, strange = sorted(asked - ended), sorted(ended - asked)
                got = (
                    f"none of {lost[0]}, {len(lost)} in all" if lost else f"one of {strange[0]}, {len(strange)} in all"
                )
                expected = f"a line of {stage.name} for each {stage.unit} of table {read.name}, and no other"
                where = files[-1].path if files else f"snapshots/{snapshot.number:06d}.json"
                damaged = tuple(file.path for file in owner.files.values())
                self._tell(where, expected, got, table=LEDGER.name, bucket=bucket, damaged=damaged)

    def _edited_texts(self, snapshot: Snapshot, receipt: Receipt) -> None:
        """Each edited text is the words of its review, and that review is of the version before."""
        of_bucket = [one for one in snapshot.receipts if one.bucket == receipt.bucket]
        file = receipt.files.get(DESCRIPTIONS.name)
        if file is None or not all(self._sound[f.path] for one in of_bucket for f in one.files.values()):
            return
        reviews = {row["review_id"]: row for row in reviews_of(self._store, [receipt])}
        names = ["track_id", "text_version", "text"]
        listed = [one.files[DESCRIPTIONS.name] for one in of_bucket if DESCRIPTIONS.name in one.files]
        rows = [row for one in listed for row in self._store.read(one, names).to_pylist()]
        versions = {(row["track_id"], row["text_version"]): row for row in rows}
        for row in self._store.read(file, [*names, "review_id", "edited_from"]).to_pylist():
            review, base = reviews.get(row["review_id"]), versions.get((row["track_id"], row["edited_from"]))
            is_its = review is not None and row["text"] == (review["edited_text"] or "").strip()
            if review is None or base is None or not is_its or not judges(review, base):
                where: dict[str, Any] = {"table": DESCRIPTIONS.name, "bucket": receipt.bucket, "damaged": (file.path,)}
                told = f"{row['track_id']}, version {row['text_version']}"
                expected = f"of {told} the words of a review of the version before"
                self._tell(file.path, expected, f"review {row['review_id']}, which is not that", **where)

    def _refuse_denied(self, numbers: Iterable[int]) -> None:
        """Of every snapshot that is listed: a take-down that was broken off may have left the video in older ones."""
        try:
            denied = self._store.denied()
        except DamagedFileError as error:
            self._tell_damaged(error, "the deny list")
            return
        read = [self._read_snapshot(number) for number in numbers] if denied.hashes else []
        looked_at: set[str] = set()
        for snapshot in filter(None, read):
            # Before sources were stored, only `videos` names them.
            listed = snapshot.files(SOURCES.name) or snapshot.files(VIDEOS.name)
            for file in [*listed, *snapshot.files(REVIEWS.name)]:  # reviews stay when a video leaves the source
                if file.path in looked_at or not self._sound.get(file.path, True):
                    continue
                looked_at.add(file.path)
                try:
                    ids = self._store.read(file, ["video_id"])["video_id"].to_pylist()
                except (pa.ArrowException, OSError, UnicodeDecodeError):
                    continue  # of a snapshot that was not asked for: `--all` tells it
                if held := [video_id for video_id in ids if denied.holds(video_id)]:
                    mend = f"`facescribe takedown {held[0]}` takes it down"
                    self._tell(file.path, "no video of the deny list", held[0], mend, table=file.path.split("/")[1])

    def _beside(self) -> None:
        """What lies beside snapshots: receipts of no snapshot, the journal, and what a take-down left to do."""
        store = self._store
        for file in store.stored("receipts"):
            told = any(fault.where == file.path for fault in self._faults)
            if not told and _read_receipt(store, file.path) is None:
                self._tell(file.path, "a receipt", "something else", MEND_RECEIPT)
        if store.has_answers():
            try:
                with open_journal(store.answers) as journal:
                    journal.keys()
            except JournalError as error:
                self._tell(store.answers_name, "the journal of answers", "another", str(error))
        for file in store.stored("generations"):
            _, stage, name = file.path.split("/")
            self._readable("what backfills asked for", partial(store.generations, stage, int(name[:4])))
        for night in store.canary_nights():
            self._readable("the canaries of a night", partial(store.read_canaries, night))
        for path, memory in store.memories():
            if memory is None:
                mend = "delete it: it only spares reading, and a build counts it as empty"
                self._tell(path, "what was remembered of a source", "something else", mend)
        if left := self._readable("what a take-down left to do", partial(left_to_do, store)):
            mend = "`facescribe takedown` without a name finishes it"
            self._tell(UNDER_WAY, "no take-down that was broken off", f"one of {len(left)} videos", mend)

    def _readable(self, expected: str, read: Callable[[], Read]) -> Read | None:
        """What `read` returns; a damaged file is told, and None returned."""
        try:
            return read()
        except DamagedFileError as error:
            self._tell_damaged(error, expected)
            return None


_STAGES: Mapping[str, Stage[Any]] = {stage.name: stage for stage in WALK}


def _refusal(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["unit_id"], row["unit_key"], row["reason"], row["is_transient"]


def _shown(value: object) -> str:
    """A value of a footer as text that can be stored: half a surrogate pair cannot."""
    return str(value).encode(errors="backslashreplace").decode()


def _made_from(metadata: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    """What a footer says that the rows were made from; nothing where it says nothing that can be read."""
    try:
        said = json.loads(metadata.get(b"made_from", b"{}"))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _distinct(parquet: pq.ParquetFile, column: str) -> Iterable[str]:
    """The values of a column, each once, a row group at a time."""
    found: dict[str, None] = {}
    for group in range(parquet.num_row_groups):
        found |= dict.fromkeys(pc.unique(parquet.read_row_group(group, [column]).column(0)).to_pylist())
    return found


def _keys_of_files(store: Store, table: Table, files: Sequence[ShardFile]) -> pa.RecordBatchReader:
    """The keys of every row with the path of its file, as they are asked for: they need not fit into memory."""
    names = list(table.primary_key)
    schema = table.empty().select(names).schema.append(pa.field("filename", pa.string()))

    def batches() -> Iterator[pa.RecordBatch]:
        for file in files:
            with pq.ParquetFile(store.source(file)) as parquet:
                for batch in parquet.iter_batches(columns=names):
                    path = pa.repeat(pa.scalar(file.path), batch.num_rows)
                    rows = pa.Table.from_batches([batch]).select(names).append_column("filename", path)
                    yield from rows.cast(schema).to_batches()

    return pa.RecordBatchReader.from_batches(schema, batches())


def _read_receipt(store: Store, path: str) -> Receipt | None:
    try:
        return Receipt.model_validate_json(store.read_file(path))
    except ValueError:
        return None
