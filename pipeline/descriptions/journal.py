"""Keep every answer of a language model the moment it arrives, so that no question is ever asked twice.

One SQLite file in write-ahead mode: one short transaction an answer, for any number of threads and processes. What was
put survives the process, however that ends; a power cut may take the last few answers, never the file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock

from pipeline.descriptions.chat import Reply, Request

APPLICATION_ID = 0x66616A6E
"""Tells a journal from any other SQLite file: `fajn`."""

FORMAT = 1
"""Raised when `Reply` or the table changes."""

BUSY_TIMEOUT_S = 30.0
"""A transaction takes well below a millisecond; who holds one longer is stopped or stuck."""

_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, video_id TEXT NOT NULL, reply TEXT NOT NULL, created_at TEXT NOT NULL
) WITHOUT ROWID
"""
_INDEX = "CREATE INDEX IF NOT EXISTS answers_by_video ON answers (video_id)"


class JournalError(Exception):
    """A journal that cannot be used: the message says which file, why, and what to do next."""


def answer_key(request: Request, revision: str, engine: str) -> str:
    """64 hex digits that change with every field of the request, the revision of the weights, and the engine."""
    return _key(request.canonical(), revision, engine)


def _key(question: str, revision: str, engine: str) -> str:
    return hashlib.sha256(json.dumps([question, revision, engine]).encode()).hexdigest()


class AnswerJournal:
    """The kept answers in one file, made if it is not there.

    Raises (each method too):
        JournalError: the file is damaged, foreign, newer than this program, locked for long, or cannot be written.
        OSError: ENOSPC, the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock = threading.Lock()
        with self._troubles_told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(
                self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._open()
            except BaseException:
                self._rows.close()
                raise

    def _open(self) -> None:
        if not self._is_ready():
            with FileLock(f"{self.path}.lock", timeout=BUSY_TIMEOUT_S):  # SQLite lets two that change to WAL both fail
                self._create_or_refuse()
                self._rows.execute("PRAGMA journal_mode = WAL")
        self._rows.execute("PRAGMA synchronous = NORMAL")  # written to the system by each commit, not to the platter
        self._rows.execute("PRAGMA secure_delete = ON")  # what is forgotten leaves no trace in free pages

    def _is_ready(self) -> bool:
        is_ours = (self._number("application_id"), self._number("user_version")) == (APPLICATION_ID, FORMAT)
        return is_ours and self._rows.execute("PRAGMA journal_mode").fetchone()[0] == "wal"

    def _create_or_refuse(self) -> None:
        """Look again under the lock: another may have made the journal while it was looked at."""
        self._rows.execute("BEGIN IMMEDIATE")
        application, form = self._number("application_id"), self._number("user_version")
        if application == 0 and form == 0 and not self._number("schema_version"):
            self._rows.execute(_TABLE)
            self._rows.execute(_INDEX)
            self._rows.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._rows.execute(f"PRAGMA user_version = {FORMAT}")
        elif application != APPLICATION_ID:
            raise JournalError(f"{self.path} is no journal of answers but another SQLite file: choose another path")
        elif form != FORMAT:
            raise JournalError(
                f"{self.path} has format {form}, this facescribe knows {FORMAT}: use the facescribe that wrote it, or "
                "move the file away and its questions are asked again"
            )
        self._rows.execute("COMMIT")

    def _number(self, pragma: str) -> int:
        return int(self._rows.execute(f"PRAGMA {pragma}").fetchone()[0])

    def of_model(self, revision: str, engine: str) -> KeptAnswers:
        """The answers of one model under one engine, as `converse` takes them."""
        return KeptAnswers(self, revision, engine)

    def get(self, key: str) -> Reply | None:
        """The answer kept under `key`."""
        with self._lock, self._troubles_told():
            row = self._rows.execute("SELECT reply FROM answers WHERE key = ?", [key]).fetchone()
        if row is None:
            return None
        try:
            return _kept(json.loads(row[0]))
        except (ValueError, TypeError, RecursionError) as error:
            raise JournalError(f"{self.path}: the answer {key} cannot be read ({error}); {_MOVE_AWAY}") from error

    def put(self, key: str, reply: Reply, video_id: str) -> None:
        """Keep an answer; the first one that was kept under a key stays."""
        row = [key, video_id, json.dumps(asdict(reply)), created_now()]
        with self._lock, self._troubles_told():
            self._rows.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", row)

    def forget(self, video_ids: Iterable[str]) -> int:
        """Remove the answers first asked for these videos, out of the file too; return how many there were.

        The file is written anew for that. Killed in the midst, the same call again ends in the same file.
        """
        with self._lock, self._troubles_told():
            self._rows.execute("BEGIN IMMEDIATE")
            try:
                deleted = [
                    self._rows.execute("DELETE FROM answers WHERE video_id = ?", [video_id]).rowcount
                    for video_id in video_ids
                ]
            except BaseException:
                self._rows.execute("ROLLBACK")
                raise
            self._rows.execute("COMMIT")
            self._rows.execute("VACUUM")  # a page that was split may hold an old copy beside its rows
            self._rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the log would still hold them
        return sum(deleted)

    def replies(self) -> Iterator[tuple[str, str]]:
        """Every kept answer as it lies in the file, with the video that it was first asked for."""
        with self._lock, self._troubles_told():
            yield from self._rows.execute("SELECT video_id, reply FROM answers")

    def keys(self) -> set[str]:
        """The keys of all kept answers."""
        with self._lock, self._troubles_told():
            return {key for (key,) in self._rows.execute("SELECT key FROM answers")}

    def close(self) -> None:
        """Let the file go; everything is in it already."""
        with self._lock:
            self._rows.close()

    def __enter__(self) -> AnswerJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _troubles_told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._told(error) from error
        except UnicodeDecodeError as error:  # what SQLite says of a damaged file quotes it
            raise JournalError(f"{self.path} is damaged or no journal of answers ({error}); {_MOVE_AWAY}") from error

    def _told(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the details above the lowest byte
        if code == sqlite3.SQLITE_FULL or (code in _MAYBE_FULL and self._is_disk_full()):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            return JournalError(f"{self.path} is damaged or no journal of answers ({error}); {_MOVE_AWAY}")
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return JournalError(
                f"{self.path} was locked for {BUSY_TIMEOUT_S:g} s ({error}): end the process that holds it, or let it "
                "go on, then run again"
            )
        return JournalError(
            f"{self.path} cannot be used ({error}): check that its folder is there and can be written, on a local disk"
        )

    def _is_disk_full(self) -> bool:
        return shutil.disk_usage(self.path.parent).free < 1 << 16


def created_now() -> str:
    """The present time in UTC, as a row of the journal says it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def open_journal(answers: str | Path) -> AnswerJournal:
    """The journal in a file, or that of a corpus in object storage, by its address.

    Raises:
        JournalError, OSError: as AnswerJournal.
        StoreError: as SharedJournal.
    """
    if "://" not in str(answers):
        return AnswerJournal(Path(answers))
    from pipeline.descriptions.shared_journal import SharedJournal

    return SharedJournal(str(answers))


def _kept(said: Mapping[str, Any]) -> Reply:
    """The answer in a row's JSON. Raises ValueError or TypeError where it is none."""
    reply = Reply(**said)
    if not all(type(getattr(reply, field.name)).__name__ == field.type for field in fields(Reply)):
        raise ValueError("an answer of another form")
    return reply


@contextmanager
def keeping(answers: str | Path | None, revision: str, engine: str) -> Iterator[KeptAnswers | None]:
    """The answers of one model under one engine in a journal, for `converse`; None keeps nothing.

    Raises as `open_journal`.
    """
    if answers is None:
        yield None
        return
    with open_journal(answers) as journal:
        yield journal.of_model(revision, engine)


_MAYBE_FULL = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
"""What a full disk is called where the write-ahead index finds no room."""

_MOVE_AWAY = "move it away with its -wal and -shm, and its questions are asked again"


@dataclass(frozen=True)
class KeptAnswers:
    """A journal as one model under one engine uses it."""

    journal: AnswerJournal
    revision: str
    """Of the weights."""
    engine: str
    """Name and version of what serves them."""

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self.journal.path

    def key(self, question: str, generation: int = 0) -> str:
        """The `answer_key` of a canonical request; another generation is another question."""
        return _key(f"{question} generation {generation}" if generation else question, self.revision, self.engine)

    def get(self, key: str) -> Reply | None:
        """As of the journal."""
        return self.journal.get(key)

    def put(self, key: str, reply: Reply, video_id: str) -> None:
        """As of the journal."""
        self.journal.put(key, reply, video_id)
