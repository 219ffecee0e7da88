"""Answers of a language model in object storage, where no database can lie: a journal here, and batches there.

    answers/ID.jsonl     answers that came within a few seconds on one machine, each a line; never changed

A machine works with a journal of its own in its cache, which takes in all batches that lie there when it is opened.
What it is given goes there every few seconds, and when the journal is closed; a killed run's last answers go there with
the next run of the same machine, and if the machine is lost, they are asked again. A journal that took in a batch which
is there no more, because of a take-down, is made anew out of those that are.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Iterable
from dataclasses import asdict

from filelock import FileLock

from pipeline.descriptions.chat import Reply
from pipeline.descriptions.journal import AnswerJournal, created_now
from pipeline.files import Files, StoreError, files_at
from pipeline.shard_cache import corpus_cache
from pipeline.store import ANSWERS_FOLDER, DenyList, Store

PUT_EVERY_S = 5.0
"""Answers that came are put there so often."""

Row = tuple[str, str, str, str]
"""Of the table `answers`: key, video_id, reply, created_at."""

_TABLES = """
CREATE TABLE IF NOT EXISTS batches (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unsent (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class SharedJournal(AnswerJournal):
    """The kept answers of a corpus in object storage, as a journal on this machine.

    Raises (each method too):
        StoreError: the store cannot be reached, or refuses.
        JournalError, OSError: as AnswerJournal.
    """

    def __init__(self, address: str) -> None:
        self._files: Files = files_at(address)
        self._denied: DenyList = Store(address, 1).denied()
        super().__init__(corpus_cache(self._files.key) / "answers.sqlite")
        self._sends = FileLock(f"{self.path}.send")
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._send_until_the_end, name="answers to object storage", daemon=True)
        try:
            with self._sends, self._troubles_told():
                self._rows.executescript(_TABLES)
                self._take_in()
        except BaseException:
            super().close()
            raise
        self._thread.start()

    def _take_in(self) -> None:
        there = {file.path for file in self._files.listed(ANSWERS_FOLDER)}
        known = {name for (name,) in self._rows.execute("SELECT name FROM batches")}
        if known - there:
            for table in ("answers", "batches", "unsent"):
                self._rows.execute(f"DELETE FROM {table}")
            self._rows.execute("VACUUM")
            known = set()
        for name in sorted(there - known):
            rows = _rows_in(self._files.read(name))
            self._rows.execute("BEGIN IMMEDIATE")
            self._rows.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", rows)
            self._rows.execute("INSERT OR IGNORE INTO batches VALUES (?)", [name])
            self._rows.execute("COMMIT")

    def put(self, key: str, reply: Reply, video_id: str) -> None:
        """Keep an answer here at once, and there within a few seconds."""
        row = [key, video_id, json.dumps(asdict(reply)), created_now()]
        with self._lock, self._troubles_told():
            self._rows.execute("BEGIN IMMEDIATE")
            if self._rows.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", row).rowcount:
                self._rows.execute("INSERT OR IGNORE INTO unsent VALUES (?)", [key])
            self._rows.execute("COMMIT")

    def forget(self, video_ids: Iterable[str]) -> int:
        """Remove the answers first asked for these videos, there and here; other machines see it when they begin."""
        gone = set(video_ids)
        with self._sends:
            for file in self._files.listed(ANSWERS_FOLDER):
                rows = _rows_in(self._files.read(file.path))
                left = [row for row in rows if row[1] not in gone]
                if len(left) < len(rows):
                    if left:
                        self._send(left)  # before the old one goes: killed here, both are there
                    self._files.remove(file.path)
                    with self._lock, self._troubles_told():
                        self._rows.execute("DELETE FROM batches WHERE name = ?", [file.path])
            return super().forget(gone)

    def close(self) -> None:
        """Put there what is not there yet.

        Raises:
            StoreError: it could not be put there; it is kept here, and goes there with the next run of this machine.
        """
        self._ends.set()
        self._thread.join()
        try:
            self._send_unsent()
        finally:
            super().close()

    def _send_until_the_end(self) -> None:
        while not self._ends.wait(PUT_EVERY_S):
            try:
                self._send_unsent()
            except Exception as error:  # closing tells it, if it lasts
                logging.getLogger(__name__).warning("answers wait to be put into object storage: %s", error)

    def _send_unsent(self) -> None:
        """Put there what came, by whichever run of this machine."""
        with self._sends:
            with self._lock, self._troubles_told():
                rows: list[Row] = self._rows.execute(
                    "SELECT key, video_id, reply, created_at FROM answers JOIN unsent USING (key)"
                ).fetchall()
            rows = [row for row in rows if not self._denied.holds(row[1])]
            if rows:
                self._send(rows)

    def _send(self, rows: list[Row]) -> None:
        name = f"{ANSWERS_FOLDER}/{uuid.uuid4().hex}.jsonl"
        with self._files.temporary() as file:
            file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
            self._files.place(file, name)
        with self._lock, self._troubles_told():
            self._rows.execute("BEGIN IMMEDIATE")
            self._rows.execute("INSERT INTO batches VALUES (?)", [name])
            self._rows.executemany("DELETE FROM unsent WHERE key = ?", [(row[0],) for row in rows])
            self._rows.execute("COMMIT")


def _rows_in(batch: bytes) -> list[Row]:
    """Raises StoreError if it is no batch of answers."""
    try:
        rows: list[Row] = []
        for line in batch.splitlines():
            key, video_id, reply, created_at = json.loads(line)
            row = (str(key), str(video_id), str(reply), str(created_at))
            "".join(row).encode()  # half a surrogate pair is JSON, but no text
            rows.append(row)
        return rows
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(
            f"a file below {ANSWERS_FOLDER}/ is no batch of answers ({error}): move it away, and its questions are "
            "asked again"
        ) from error
