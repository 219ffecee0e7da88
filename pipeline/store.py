"""Where a corpus lies: the only module that knows a path below the root.

    corpus.json                            what this folder is, its schema version, its number of buckets
    shards/TABLE/BUCKET/CONTENT.parquet    immutable, named by the SHA-256 of their bytes
    receipts/STAGE/BUCKET-KEY.json         what one stage wrote for one bucket; its existence means it is whole
    snapshots/NUMBER.json                  which receipts are the corpus
    memory/SOURCE.json                     sizes and times of the source's files, to hash only what changed
    canary/NUMBER.parquet                  what the canaries were answered in one night
    generations/STAGE/BUCKET.json          which units a backfill has asked for anew, and how often
    denied.json                            salted hashes of the videos that were taken down
    takedowns/NUMBER.json                  what a take-down rewrote, deleted, searched and found
    takedowns/under_way.json               what a take-down that was broken off still has to do; gone when all is done
    in_use                                 locked by who works here; empty
    turn                                   locked by the one run whose turn it is to change the corpus; says who that is
    training/NUMBER.json                   what a training that begins from a snapshot reads
    pages/NAME                             what the schedule writes for people to look at; may be deleted at any time
    answers.sqlite                         every answer of a language model, kept the moment it arrives

A file appears under its name only when it is complete: it is written beside, flushed, and renamed, or sent whole to
object storage. The answers alone are a database, which grows; in object storage they are `answers/`, a file for every
few seconds in which some came, and `in_use` and `turn` are leases (pipeline/leases.py).
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipeline.files import Files, Hold, content_of, files_at
from pipeline.files import StoredFile as StoredFile  # noqa: PLC0414  # they are of what a store offers
from pipeline.files import StoreError as StoreError  # noqa: PLC0414
from schemas.table import SCHEMA_VERSION, Table

if TYPE_CHECKING:
    from pipeline.object_file import ObjectFile

ROW_GROUP_BYTES = 8 << 20
"""Largest row group, unless a single row is larger. What is read beside a unit's own rows is less than two of them."""

PIECES_THAT_WAIT = 64
"""Most tables that wait for a row group before they become one: a table of a single row takes some 40 KB beside it."""

OWN_GROUP_BYTES = 2 << 20
"""A row at least this large is a row group of its own: who picks single rows, as shuffling does, reads nothing else."""

DEFAULT_BUCKETS = 16

KINDS = frozenset(
    {
        "shards",
        "receipts",
        "snapshots",
        "memory",
        "canary",
        "generations",
        "takedowns",
        "training",
        "pages",
        "answers",
        "in_use",
        "tmp",
    }
)
"""Folders below the root."""

ANSWERS_FILE, ANSWERS_FOLDER = "answers.sqlite", "answers"
"""Below a folder; in object storage."""

UNDER_WAY = "takedowns/under_way.json"
"""Of a take-down that was broken off. It holds what must not be found any more, so it goes when nothing is."""

LOOK_EVERY_S = 0.5
"""Between two looks whether a turn has come."""

_turns: ContextVar[frozenset[str]] = ContextVar("_turns", default=frozenset())
"""Corpora whose turn the code that runs now has."""


class DamagedFileError(StoreError):
    """A file below the root that is not what it should be: which, what is wrong with it, and what to do next."""

    def __init__(self, address: str, path: str, error: Exception, next: str) -> None:
        self.path, self.next = path, next
        self.why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no words'}"
        super().__init__(f"{address.rstrip('/')}/{path} is damaged ({self.why}): {next}")


class CorpusInUseError(StoreError):
    """Someone works on this corpus in a way that does not bear company."""


MEND_RECEIPT = "`facescribe check --forget-damaged` removes it, and the next build makes its shard anew"
MEND_SNAPSHOT = "move the file away; if it is the newest, the next build commits the same again"

_GENERATIONS = TypeAdapter(dict[str, int])
_MEMORY = TypeAdapter(dict[str, tuple[int, int, str]])


# A snapshot may come from elsewhere: what it names is no other file, whose name or place the system could mind.
_NAME = r"^[0-9A-Za-z_-]{1,64}$"


class ShardFile(BaseModel):
    """One immutable Parquet file: path below the root, rows, bytes. Its name is the hash of its bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(pattern=r"^shards/[a-z_]{1,64}/[0-9]{4,9}/[0-9A-Za-z._-]{1,100}\.parquet$")
    rows: int
    bytes: int

    @property
    def content(self) -> str:
        """Leading hex digits of the SHA-256 of the file."""
        return self.path.rsplit("/", 1)[-1].removesuffix(".parquet")


class Receipt(BaseModel):
    """What one stage wrote for one bucket, and how its units ended. Tables without rows have no file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str = Field(pattern=_NAME)
    bucket: int
    key: str = Field(pattern=_NAME)
    files: dict[str, ShardFile]
    num_units: int
    num_rejected: int = 0
    num_transient: int = 0

    @property
    def is_settled(self) -> bool:
        """Whether no unit waits to be tried again."""
        return self.num_transient == 0


class DenyList(BaseModel):
    """Videos that were taken down and may not come back. Who reads the list learns no id from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    salt: str
    hashes: frozenset[str] = frozenset()

    def hash_of(self, video_id: str) -> str:
        """What stands for an id in the list."""
        return hashlib.sha256(f"{self.salt}{video_id}".encode()).hexdigest()

    def holds(self, video_id: str) -> bool:
        """Whether the video was taken down."""
        return bool(self.hashes) and self.hash_of(video_id) in self.hashes


class Store:
    """A corpus in a folder or in object storage. Reading needs no lock, because no file ever changes once it is seen.

    A store may be sent to another process: it goes by its address.
    """

    def __init__(self, root: str | Path, num_buckets: int) -> None:
        self.given = root
        """The address as it was given, by which the same can be opened again."""
        self._files: Files = files_at(root)
        self._holds: list[Hold] = []
        self.num_buckets = num_buckets

    def __reduce__(self) -> tuple[type[Store], tuple[str | Path, int]]:
        return Store, (self.given, self.num_buckets)

    @property
    def address(self) -> str:
        """Where the corpus lies, in words: a path or a URI."""
        return self._files.address

    @property
    def key(self) -> str:
        """The same for every way to name the place: a path without links, or a URI."""
        return self._files.key

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.key.rstrip("/").rpartition("/")[2] or self.key

    @property
    def folder(self) -> Path | None:
        """The corpus' folder, where it lies in one."""
        return self._files.folder

    @property
    def root(self) -> Path:
        """The corpus' folder, for what can do with nothing else. Raises StoreError if it lies in object storage."""
        if self.folder is None:
            raise StoreError(f"{self.address} is no folder on this machine: copy the corpus to a disk for this")
        return self.folder

    @staticmethod
    def is_at(root: str | Path) -> bool:
        """Whether there is a corpus, of whatever version. Raises StoreError where nobody can tell."""
        try:
            return files_at(root).size("corpus.json") >= 0
        except (FileNotFoundError, NotADirectoryError):
            return False

    @classmethod
    def open(cls, root: str | Path) -> Store:
        """Open an existing corpus.

        Raises:
            StoreError: nothing there, not a corpus, or made by a newer schema version.
        """
        files = files_at(root)
        path = files.uri("corpus.json")
        try:
            facts = json.loads(files.read("corpus.json"))
            version, num_buckets = int(facts["schema_version"]), int(facts["num_buckets"])
            if num_buckets < 1:
                raise ValueError(f"num_buckets is {num_buckets}")
        except FileNotFoundError:
            raise StoreError(f"no corpus at {root}: run `facescribe build SOURCE --root {root}` first") from None
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            facts = f'{{"format": "facescribe corpus", "schema_version": {SCHEMA_VERSION}, "num_buckets": NUMBER}}'
            raise StoreError(
                f"{path} is not a corpus file ({type(error).__name__}: {error}): choose another --root, or, if there "
                f"was a corpus, restore the file from a backup or write {facts} into it, NUMBER being the --buckets of "
                "its first build (16 by default, and above each folder's number in shards/TABLE/); `facescribe check` "
                "says if it is another"
            ) from error
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{root} was made by schema version {version}, this facescribe knows up to {SCHEMA_VERSION}: "
                "upgrade facescribe, or choose another --root"
            )
        return cls(root, num_buckets)

    @classmethod
    def open_or_create(cls, root: str | Path, num_buckets: int = DEFAULT_BUCKETS) -> Store:
        """Open the corpus at `root`, or make an empty one. An existing corpus keeps its own number of buckets.

        Raises:
            StoreError: as `open`, or the place cannot be written, or holds something else.
        """
        is_there = cls.is_at(root)
        store = cls.open(root) if is_there else cls.not_yet(root, num_buckets)
        try:
            store._files.begin()
            if not is_there:
                facts = {"format": "facescribe corpus", "schema_version": SCHEMA_VERSION, "num_buckets": num_buckets}
                store._put("corpus.json", json.dumps(facts, indent=2), only_if_absent=True)
        except OSError as error:
            raise StoreError(f"cannot write to {root}: {error.strerror}: choose another --root") from error
        return store if is_there else cls.open(root)  # another may have created it first, with a number of its own

    @classmethod
    def not_yet(cls, root: str | Path, num_buckets: int = DEFAULT_BUCKETS) -> Store:
        """The corpus that could be made at `root`; nothing is written.

        Raises:
            StoreError: something else lies there.
        """
        store = cls(root, num_buckets)
        strangers = [name for name in store._files.names() if name != "tmp"]
        if strangers:
            raise StoreError(
                f"{root} is not empty and not a corpus (it holds {strangers[0]!r}): "
                "choose a new or empty folder as --root"
            )
        return store

    def bucket_of(self, video_id: str) -> int:
        """The bucket that everything made from this video belongs to."""
        return int(video_id.rpartition(":")[2], 16) % self.num_buckets

    def writer(self, table: Table, bucket: int, made_from: Mapping[str, Any]) -> ShardWriter:
        """Begin one shard of `table`. Nothing can be seen until the writer is closed without an error."""
        return ShardWriter(self, table, bucket, made_from)

    def read(self, file: ShardFile, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a shard, or only the named columns."""
        return _read_table(self.source(file), columns)

    def dataset(self, files: Iterable[ShardFile], schema: pa.Schema) -> pads.Dataset:
        """Shards of a table together, to be asked for some columns and rows; columns that a file lacks are null."""
        files = list(files)
        try:
            where, root = pafs.FileSystem.from_uri(self.path(files[0]))  # which asks by itself, in its own threads
            paths = [root.removesuffix(files[0].path) + file.path for file in files]
        except pa.ArrowInvalid:  # a kind of place that Arrow does not know
            where, paths = None, [str(self._files.local(file.path)) for file in files]
        return pads.dataset(paths, schema=schema, filesystem=where, format="parquet", partitioning=None)

    def iter_batches(self, file: ShardFile) -> Iterator[pa.Table]:
        """The rows of a shard, one row group at a time."""
        return _row_groups(str(self._files.local(file.path)))

    def reader(self, file: ShardFile) -> ShardReader:
        """The rows of a shard, to be read when they are needed."""
        return ShardReader(file.path, self._files)

    def path(self, file: ShardFile) -> str:
        """Where any Parquet reader finds the shard: a path, or a URI."""
        return self._files.uri(file.path)

    def source(self, file: ShardFile | StoredFile) -> str | ObjectFile:
        """What pyarrow opens to read any part of a Parquet file, and no other part."""
        return self._files.source(file.path, file.bytes)

    def open_input(self, path: str, num_bytes: int | None = None) -> pa.Buffer | pa.NativeFile:
        """A file by its path below the root, to read any part of: all of it, mapped, where it lies on disk.

        Raises:
            FileNotFoundError: it is gone.
        """
        if self.folder is None:
            return self._files.source(path, num_bytes)
        with (self.folder / path).open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return pa.py_buffer(b"")
            return pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def fetched(self, path: str) -> AbstractContextManager[Path]:
        """All of a file on this machine as it lies there now, damaged or not, while the context is open.

        Raises:
            FileNotFoundError: it is gone.
        """
        return self._files.fetched(path)

    def read_file(self, path: str) -> bytes:
        """All of a small file. Raises FileNotFoundError."""
        return self._files.read(path)

    def size(self, path: str) -> int:
        """Bytes of a file. Raises FileNotFoundError."""
        return self._files.size(path)

    def receipt(self, stage: str, bucket: int, key: str) -> Receipt | None:
        """What `stage` wrote for this bucket under this key, or None if it never finished. Raises DamagedFileError."""
        try:
            return self._receipt(_receipt_name(stage, bucket, key))
        except FileNotFoundError:
            return None

    def _receipt(self, path: str) -> Receipt:
        try:
            return Receipt.model_validate_json(self._files.read(path))
        except ValueError as error:
            raise DamagedFileError(self.address, path, error, MEND_RECEIPT) from error

    def write_receipt(self, receipt: Receipt) -> None:
        """Make a finished shard known. Written last, so a receipt's files are always there."""
        self._put(_receipt_name(receipt.stage, receipt.bucket, receipt.key), receipt.model_dump_json(indent=1))

    def generations(self, stage: str, bucket: int) -> dict[str, int]:
        """How often backfills have asked for units of this shard anew; units that none asked for are not in it.

        Raises:
            DamagedFileError: nobody can tell any more.
        """
        name = self.generations_name(stage, bucket)
        try:
            return _GENERATIONS.validate_json(self._files.read(name))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            mend = (
                "restore it from a backup, or move it away: the next build then computes the units it named once more"
            )
            raise DamagedFileError(self.address, name, error, mend) from error

    def write_generations(self, stage: str, bucket: int, generations: Mapping[str, int]) -> None:
        """Ask for units anew: a unit whose number is another than before is computed by the next build."""
        name = self.generations_name(stage, bucket)
        if generations:
            self._put(name, json.dumps(dict(sorted(generations.items())), indent=0))
        else:
            self._files.remove(name)

    def generations_name(self, stage: str, bucket: int) -> str:
        """Path below the root of what backfills ask of a shard."""
        return f"generations/{stage}/{bucket:04d}.json"

    def denied(self) -> DenyList:
        """The videos that may not come back. Raises DamagedFileError."""
        try:
            return DenyList.model_validate_json(self._files.read("denied.json"))
        except FileNotFoundError:
            return DenyList(salt=secrets.token_hex(16))
        except ValueError as error:
            mend = "restore it from a backup, or move it away and take down again the ids that takedowns/*.json name"
            raise DamagedFileError(self.address, "denied.json", error, mend) from error

    def deny(self, video_ids: Iterable[str]) -> DenyList:
        """Put videos on the deny list, for good."""
        known = self.denied()
        longer = known.model_copy(update={"hashes": known.hashes | {known.hash_of(one) for one in video_ids}})
        listed = {"salt": longer.salt, "hashes": sorted(longer.hashes)}
        self._put("denied.json", json.dumps(listed, indent=1))
        return longer

    @contextmanager
    def in_use(self, *, alone: bool = False) -> Iterator[None]:
        """Hold the corpus while working on it: any number of builds side by side, or one who deletes, `alone`.

        The lock ends with the process, however that ends: at once in a folder, for the processes of one machine, or of
        several that share a file system with locks; in object storage a minute later. Of what it does not reach, the
        commit of a snapshot still lets only one win.

        Raises:
            CorpusInUseError: who is there does not bear this one; the message says what to do.
        """
        hold = self._files.hold("in_use", alone=alone)
        if hold is None:
            raise CorpusInUseError(
                f"{self.address} is in use: "
                + ("a build works there; wait for its end" if alone else "files are being deleted there; wait")
                + ", then run the same command again"
                + ("" if self.folder else "; a run that was killed counts for a minute more")
            )
        with self._holding(hold):
            yield

    @contextmanager
    def turn(self, who: str, *, wait_s: float, on_wait: Callable[[str], None]) -> Iterator[None]:
        """Change the corpus while no other turn does; within a turn, the same one. `who` is told to those who wait.

        Where another is at it, `on_wait` is told so once, and its end is waited for. It ends and holds as `in_use`.

        Raises:
            CorpusInUseError: the other did not end within `wait_s`.
        """
        if self.key in _turns.get():
            yield
            return
        deadline = time.monotonic() + wait_s
        has_told = False
        while (hold := self._files.hold("turn", f"{who} since {now()}", alone=True)) is None:
            other = f"{self.address} is worked on by {self._files.holder('turn') or 'another run'}"
            if time.monotonic() >= deadline:
                raise CorpusInUseError(f"{other}, which did not end within {wait_s:.0f} s: run the same again after it")
            if not has_told:
                on_wait(f"{other}: waiting for its end, at most {wait_s:.0f} s")
                has_told = True
            time.sleep(LOOK_EVERY_S)
        token = _turns.set(_turns.get() | {self.key})
        try:
            with self._holding(hold):
                yield
        finally:
            _turns.reset(token)

    @contextmanager
    def _holding(self, hold: Hold) -> Iterator[None]:
        self._holds.append(hold)
        try:
            yield
        finally:
            self._holds.remove(hold)
            hold.release()

    def _refuse_lost(self) -> None:
        """Raise StoreError if the corpus is not ours to change any more."""
        for hold in self._holds:
            hold.refuse_lost()

    def write_training(self, number: int, text: str) -> str:
        """Keep what a training from this snapshot reads; where it lies."""
        name = f"training/{number:06d}.json"
        self._put(name, text)
        return self._files.uri(name)

    def write_page(self, name: str, write: Callable[[Path], object]) -> str:
        """Keep a page that people look at, which `write` writes to a file; its absolute path, or its URI."""
        path = f"pages/{name}"
        with self.temporary() as temporary:
            write(temporary)
            self._files.place(temporary, path)
        return self._files.uri(path) if self.folder is None else str(self.folder.absolute() / path)

    def stored(self, kind: str = "") -> list[StoredFile]:
        """What lies below the root, of one kind such as "shards" or "receipts" or all of it, by name."""
        return self._files.listed(kind)

    def receipts(self) -> Iterator[tuple[StoredFile, Receipt]]:
        """Every receipt that lies here, whether a snapshot names it or not.

        Raises:
            StoreError: one cannot be read.
        """
        for file in self.stored("receipts"):
            yield file, self._receipt(file.path)

    def shards_of_buckets(self, buckets: Iterable[int]) -> list[StoredFile]:
        """Every shard of these buckets, of any table, whether anything names it or not."""
        names = {f"{bucket:04d}" for bucket in buckets}
        return [file for file in self.stored("shards") if file.path.split("/")[2] in names]

    def is_stranger(self, file: StoredFile) -> bool:
        """Whether a file lies here that no part of facescribe puts where it lies."""
        return "/" not in file.path or file.path.split("/")[0] not in KINDS

    def remove(self, path: str) -> None:
        """Delete a file, named by its path below the root; nothing happens if it is gone."""
        self._refuse_lost()
        self._files.remove(path)

    def holds(self, receipt: Receipt) -> bool:
        """Whether every file that the receipt names is there, in its full size."""
        try:
            return all(self._files.size(file.path) == file.bytes for file in receipt.files.values())
        except FileNotFoundError:
            return False

    def is_whole(self, file: ShardFile) -> bool:
        """Whether the bytes of a shard are still those that its name is the hash of. Reads all of them."""
        return self.content_of(file) == file.content

    def content_of(self, file: ShardFile) -> str:
        """What the shard would have to be called: another name than its own if it is damaged. Raises OSError."""
        with self._files.fetched(file.path) as path:
            return content_of(path)

    def snapshot_numbers(self) -> list[int]:
        """Numbers of all snapshots, ascending."""
        return sorted(file.number for file in self.stored("snapshots") if file.path.endswith(".json"))

    def read_snapshot(self, number: int) -> bytes:
        """The JSON of one snapshot. Raises FileNotFoundError."""
        return self._files.read(_snapshot_name(number))

    def create_snapshot(self, number: int, text: str) -> bool:
        """Write a snapshot unless one of that number exists; return whether it was written."""
        self._refuse_lost()
        return self._put(_snapshot_name(number), text, only_if_absent=True)

    def read_memory(self, source: Path) -> dict[str, tuple[int, int, str]]:
        """What an earlier listing of `source` remembered of its files; empty when there was none, or a damaged one."""
        try:
            return _MEMORY.validate_json(self._files.read(_memory_name(source)))
        except (FileNotFoundError, ValueError):
            return {}

    def write_memory(self, source: Path, memory: Mapping[str, tuple[int, int, str]]) -> None:
        """Keep a listing's memory. It only spares reading: without it the same rows come out."""
        self._put(_memory_name(source), json.dumps(memory))

    def memories(self) -> list[tuple[str, dict[str, tuple[int, int, str]] | None]]:
        """What is remembered of every source, with the path of the file that holds it; None: it is damaged."""
        found: list[tuple[str, dict[str, tuple[int, int, str]] | None]] = []
        for file in self.stored("memory"):
            try:
                found.append((file.path, _MEMORY.validate_json(self._files.read(file.path))))
            except ValueError:
                found.append((file.path, None))
        return found

    def rewrite_memory(self, path: str, memory: Mapping[str, Any]) -> None:
        """Remember less of a source."""
        self._put(path, json.dumps(memory))

    def write_takedown(self, number: int, text: str) -> str:
        """Keep the report of a take-down; where it lies."""
        name = _takedown_name(number)
        self._put(name, text)
        return self._files.uri(name)

    def takedown_numbers(self) -> list[int]:
        """Numbers of the take-downs that have a report, ascending."""
        return sorted(file.number for file in self.stored("takedowns") if file.path != UNDER_WAY)

    def read_under_way(self) -> bytes | None:
        """What a take-down that was broken off left to do, or None."""
        try:
            return self._files.read(UNDER_WAY)
        except FileNotFoundError:
            return None

    def write_under_way(self, text: str) -> None:
        """Note what a take-down has to do, so that a killed one can be finished."""
        self._put(UNDER_WAY, text)

    def canary_nights(self) -> list[int]:
        """Numbers of the nights in which canaries were asked, ascending."""
        return sorted(file.number for file in self.stored("canary") if file.path.endswith(".parquet"))

    def read_canaries(self, night: int) -> pa.Table:
        """The rows of one night. Raises FileNotFoundError or DamagedFileError."""
        name = _canary_name(night)
        try:
            return self.read_parquet(name)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            mend = "restore it from a backup, or move it away: that night is then as if no canary had been asked"
            raise DamagedFileError(self.address, name, error, mend) from error

    def create_canaries(self, night: int, rows: pa.Table) -> bool:
        """Write the rows of a night unless it has some; return whether they were written."""
        with self.temporary() as temporary:
            pq.write_table(rows, temporary, compression="zstd")
            return self._files.place(temporary, _canary_name(night), only_if_absent=True)

    def read_parquet(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of any Parquet file by its path below the root, or only the named columns."""
        return _read_table(self._files.source(path), columns)

    def rewrite(self, path: str, rows: pa.Table) -> None:
        """Put other rows into a Parquet file that is no shard, in place."""
        with self.temporary() as temporary:
            pq.write_table(rows, temporary, compression="zstd")
            self._files.place(temporary, path)

    @property
    def answers(self) -> str | Path:
        """Where every answer is kept that a language model gave: the file of a journal (pipeline/descriptions/
        journal.py), or of a corpus in object storage its address (shared_journal.py)."""
        return self.root / ANSWERS_FILE if self.folder is not None else str(self.given)

    @property
    def answers_name(self) -> str:
        """What lies below the root for them."""
        return ANSWERS_FILE if self.folder is not None else ANSWERS_FOLDER

    def has_answers(self) -> bool:
        """Whether any was kept."""
        return (self.folder / ANSWERS_FILE).exists() if self.folder is not None else bool(self.stored(ANSWERS_FOLDER))

    def temporary(self) -> AbstractContextManager[Path]:
        """A file name on this machine that no one else uses; what lies there afterwards is deleted."""
        return self._files.temporary()

    def adopt(self, temporary: Path, table: Table, bucket: int, rows: int) -> ShardFile:
        """Move a finished Parquet file to the place that its content names."""
        shard = ShardFile(
            path=f"shards/{table.name}/{bucket:04d}/{content_of(temporary)}.parquet",
            rows=rows,
            bytes=temporary.stat().st_size,
        )
        self._files.place(temporary, shard.path)
        return shard

    def _put(self, name: str, text: str, *, only_if_absent: bool = False) -> bool:
        with self.temporary() as temporary:
            temporary.write_text(text)
            return self._files.place(temporary, name, only_if_absent=only_if_absent)


class ShardReader:
    """A shard's rows, column by column of one row group at a time.

    What a thread read of its last row group is kept for the next unit. No file stays open, and a reader may be sent to
    another process.
    """

    def __init__(self, path: str, files: Files | None = None) -> None:
        """`path` is one on this machine, or below the root of `files`."""
        self._path, self._files = path, files
        with pq.ParquetFile(self._here()) as parquet:
            self._metadata, self.schema = parquet.metadata, parquet.schema_arrow
        self._kept = threading.local()

    @property
    def num_groups(self) -> int:
        """Row groups of the file."""
        return int(self._metadata.num_row_groups)

    def column(self, group: int, name: str) -> pa.ChunkedArray:
        """One column of one row group."""
        if getattr(self._kept, "group", None) != group:
            self._kept.group, self._kept.columns = group, {}
        if name not in self._kept.columns:
            with pq.ParquetFile(self._here(), metadata=self._metadata) as parquet:
                self._kept.columns[name] = parquet.read_row_group(group, [name]).column(name)
        return self._kept.columns[name]

    def _here(self) -> str:
        return self._path if self._files is None else str(self._files.local(self._path))

    def __reduce__(self) -> tuple[type[ShardReader], tuple[str, Files | None]]:
        return ShardReader, (self._path, self._files)


class ShardWriter:
    """Writes one Parquet file piece by piece; as a context manager it leaves nothing behind on an error."""

    def __init__(self, store: Store, table: Table, bucket: int, made_from: Mapping[str, Any]) -> None:
        self._store, self._table, self._bucket = store, table, bucket
        metadata = {**table.schema.metadata, b"made_from": json.dumps(made_from, sort_keys=True).encode()}
        self._schema = table.schema.with_metadata(metadata)
        self._place = store.temporary()
        self._parquet: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        self.num_rows = 0
        self.file: ShardFile | None = None

    def __enter__(self) -> ShardWriter:
        self._path = self._place.__enter__()
        return self

    def append(self, rows: pa.Table) -> None:
        """Add rows that conform to the table."""
        for piece in _bounded(rows):
            is_full = self._waiting_bytes + piece.nbytes > ROW_GROUP_BYTES
            if is_full or _is_alone(piece) or (self._waiting and _is_alone(self._waiting[-1])):
                self._write_waiting()
            self._waiting.append(piece)
            self._waiting_bytes += piece.nbytes
            self.num_rows += piece.num_rows
            if len(self._waiting) > PIECES_THAT_WAIT:
                self._waiting = [pa.concat_tables(self._waiting).combine_chunks()]

    def take_back(self, num_rows: int) -> None:
        """Keep the first `num_rows` rows and drop what was added after them."""
        num_written = self.num_rows - sum(rows.num_rows for rows in self._waiting)
        if num_rows >= num_written:
            kept = pa.concat_tables([self._schema.empty_table(), *self._waiting]).slice(0, num_rows - num_written)
            self._forget(num_rows=num_written)
            self.append(kept)
        elif self._parquet is not None:
            self._parquet.close()  # a row group that is written cannot be taken out, so the file is written again
            self._parquet = None
            self._forget(num_rows=0)
            with self._store.temporary() as spoilt:
                self._path.replace(spoilt)
                for group in _row_groups(str(spoilt)):
                    self.append(group.slice(0, num_rows - self.num_rows))

    def _forget(self, *, num_rows: int) -> None:
        self._waiting, self._waiting_bytes, self.num_rows = [], 0, num_rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.num_rows:
                self._write_waiting()
            if self._parquet is not None:
                self._parquet.close()
            if kind is None and self.num_rows:
                self.file = self._store.adopt(self._path, self._table, self._bucket, self.num_rows)
        finally:
            self._place.__exit__(None, None, None)

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        if self._parquet is None:
            cells = {field.name for field in self._schema if _is_cell(field)}
            self._parquet = pq.ParquetWriter(
                self._path,
                self._schema,
                # Pictures are compressed already, and float cells shrink by a tenth at a quarter of the reading speed.
                compression={
                    f.name: "none" if f.name in cells else "zstd"
                    for f in self._schema
                    if not pa.types.is_nested(f.type)
                },
                use_dictionary=[f.name for f in self._schema if pa.types.is_string(f.type)],
                write_statistics=[f.name for f in self._schema if pa.types.is_string(f.type)],
            )
        self._parquet.write_table(pa.concat_tables(self._waiting).combine_chunks())
        self._waiting, self._waiting_bytes = [], 0


def _bounded(rows: pa.Table) -> Iterator[pa.Table]:
    """The rows in pieces that fit into a row group each."""
    if rows.num_rows > 1 and rows.nbytes > min(ROW_GROUP_BYTES, rows.num_rows * OWN_GROUP_BYTES):
        half = rows.num_rows // 2
        yield from _bounded(rows.slice(0, half))
        yield from _bounded(rows.slice(half))
    elif rows.num_rows:
        yield rows


def _is_alone(rows: pa.Table) -> bool:
    return bool(rows.num_rows == 1 and rows.nbytes >= OWN_GROUP_BYTES)


def _row_groups(path: str) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as parquet:
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group)


def _read_table(source: str | ObjectFile, columns: Sequence[str] | None) -> pa.Table:
    if isinstance(source, str):
        return pq.read_table(source, columns=None if columns is None else list(columns), partitioning=None)
    from pipeline.object_file import read_table

    return read_table(source, columns)


def _is_cell(field: pa.Field) -> bool:
    return bool(pa.types.is_binary(field.type) or pa.types.is_fixed_size_binary(field.type))


def _receipt_name(stage: str, bucket: int, key: str) -> str:
    return f"receipts/{stage}/{bucket:04d}-{key}.json"


def _takedown_name(number: int) -> str:
    return f"takedowns/{number:06d}.json"


def _snapshot_name(number: int) -> str:
    return f"snapshots/{number:06d}.json"


def _canary_name(night: int) -> str:
    return f"canary/{night:06d}.parquet"


def _memory_name(source: Path) -> str:
    return f"memory/{hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:16]}.json"


def now() -> str:
    """The present time in UTC, as snapshots record it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
