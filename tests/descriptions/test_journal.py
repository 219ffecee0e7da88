from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.descriptions.ask import AskSettings, Patience, Talk, converse
from pipeline.descriptions.chat import Reply, Request
from pipeline.descriptions.journal import AnswerJournal, JournalError, answer_key, keeping
from tests.descriptions.fault_server import fault_server, question_of, slowly

REPLY = Reply("the mouth opens \u2028 \x00 ü 🙂", "stop", 7, 3, "tiny")
REQUEST = Request("tiny", [{"role": "user", "content": "hello"}], {"type": "object"}, 99, 0.5, 0.9, 7)

OTHER: dict[str, Any] = {
    "model": "tinY",
    "messages": [{"role": "user", "content": "hello "}],
    "json_schema": None,
    "max_tokens": 100,
    "temperature": 0.0,
    "top_p": 1.0,
    "seed": None,
}
"""Another value of each field of a request."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corpus" / "answers.sqlite"


def test_what_was_put_is_there_when_the_file_is_opened_again(path: Path) -> None:
    with AnswerJournal(path) as journal:
        assert journal.get("k") is None
        journal.put("k", REPLY, "v")
    with AnswerJournal(path) as journal:
        assert journal.get("k") == REPLY
        journal.put("k", replace(REPLY, text="another"), "v")
        assert journal.get("k") == REPLY, "the first answer stays"
        assert journal.keys() == {"k"}


def test_changing_any_single_field_misses() -> None:
    """So a new field of a request needs a value here, and must change the key."""
    assert {each.name for each in fields(Request)} == set(OTHER)
    key = answer_key(REQUEST, "revision", "engine")
    assert key == answer_key(replace(REQUEST), "revision", "engine")
    others = [answer_key(replace(REQUEST, **{name: value}), "revision", "engine") for name, value in OTHER.items()]
    others += [answer_key(REQUEST, "revision 2", "engine"), answer_key(REQUEST, "revision", "engine 2")]
    others += [answer_key(REQUEST, "revisione", "ngine"), answer_key(REQUEST, "engine", "revision")]
    assert len({key, *others}) == 1 + len(others)


def test_order_of_messages_and_of_a_schema_count() -> None:
    turned = [{"content": "hello", "role": "user"}]
    assert answer_key(REQUEST, "", "") != answer_key(replace(REQUEST, messages=turned), "", "")
    assert answer_key(REQUEST, "", "") != answer_key(replace(REQUEST, messages=[*REQUEST.messages] * 2), "", "")


def test_the_key_that_converse_uses_is_the_answer_key(path: Path) -> None:
    with fault_server() as server, keeping(path, "revision", "engine") as kept:
        assert kept is not None
        list(converse([Talk(REQUEST)], asker=AskSettings((server.address,)), kept=kept))
        assert kept.journal.keys() == {answer_key(REQUEST, "revision", "engine")}
    with keeping(None, "revision", "engine") as nothing:
        assert nothing is None


def test_a_forgotten_video_leaves_no_trace_in_the_file(path: Path) -> None:
    with AnswerJournal(path) as journal:
        for n in range(200):
            journal.put(f"k{n}", replace(REPLY, text=f"secret {n} of video {n % 2}"), f"v{n % 2}")
        assert journal.forget(["v0", "unknown"]) == 100
        assert journal.get("k0") is None
        assert journal.get("k1") is not None
        assert len(journal.keys()) == 100
        content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"of video 1" in content
    assert b"of video 0" not in content


def test_threads_may_use_one_journal(path: Path) -> None:
    with AnswerJournal(path) as journal, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: journal.put(f"k{n}", REPLY, "v"), range(400)))
        assert all(threads.map(lambda n: journal.get(f"k{n}") == REPLY, range(400)))


WRITER = """
import sys
from pathlib import Path
from pipeline.descriptions.chat import Reply
from pipeline.descriptions.journal import AnswerJournal
with AnswerJournal(Path(sys.argv[1])) as journal:
    for n in range(200):
        journal.put(f"{sys.argv[2]} {n}", Reply("fine", "stop", 1, 1, "tiny"), "v")
"""


def test_processes_may_make_and_use_one_file_at_once(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)]) for n in range(4)]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    with AnswerJournal(path) as journal:
        assert len(journal.keys()) == 800


# A file that cannot be used


def test_a_file_that_is_no_database_is_told_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("some notes of mine, " * 100)
    with pytest.raises(JournalError, match=r"answers\.sqlite is damaged or no journal .*; move it away"):
        AnswerJournal(path)
    assert path.read_text().startswith("some notes of mine")


def test_another_programs_database_is_told_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE things (a)")
    with pytest.raises(JournalError, match="another SQLite file: choose another path"):
        AnswerJournal(path)
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("things",)]
    other.close()


def test_a_newer_journal_is_told(path: Path) -> None:
    AnswerJournal(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(JournalError, match="has format 99, this facescribe knows 1"):
        AnswerJournal(path)


def test_a_damaged_journal_is_told(path: Path) -> None:
    with AnswerJournal(path) as journal:
        for n in range(200):
            journal.put(f"k{n}", REPLY, "v")
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xaa" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(JournalError, match="move it away with its -wal and -shm, and its questions are asked again"):
        AnswerJournal(path).get("k0")


def test_an_answer_that_cannot_be_read_is_told(path: Path) -> None:
    with AnswerJournal(path) as journal:
        journal.put("k", REPLY, "v")
    with sqlite3.connect(path) as rows:
        rows.execute("UPDATE answers SET reply = '{\"text\": 1'")
    rows.close()
    with AnswerJournal(path) as journal, pytest.raises(JournalError, match="the answer k cannot be read"):
        journal.get("k")


def test_a_folder_in_the_files_place_is_told(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(JournalError, match="cannot be used .*: check that its folder is there and can be written"):
        AnswerJournal(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_what_was_kept_stays(small_disk: Path) -> None:
    path, kept = small_disk / "answers.sqlite", 0
    with AnswerJournal(path) as journal:
        with pytest.raises(OSError) as raised:
            for n in range(10_000):
                journal.put(f"k{n}", replace(REPLY, text="x" * 2000), "v")
                kept += 1
        assert raised.value.errno == errno.ENOSPC
        assert kept > 20
        subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
        journal.put("more", REPLY, "v")
    with AnswerJournal(path) as journal:
        assert {f"k{n}" for n in range(kept)} | {"more"} <= journal.keys()


def test_a_disk_that_is_full_from_the_start_is_told(small_disk: Path) -> None:
    with pytest.raises(OSError), (small_disk / "filler").open("wb") as filler:
        while True:
            filler.write(b"x" * 4096)
            filler.flush()
    with pytest.raises(OSError) as raised:
        AnswerJournal(small_disk / "answers.sqlite")
    assert raised.value.errno == errno.ENOSPC


def test_many_that_make_the_same_journal_at_once_all_have_it(tmp_path: Path) -> None:
    def keep(folder: Path, number: int) -> None:
        start.wait()
        with AnswerJournal(folder / "answers.sqlite") as journal:
            journal.put(f"k{number}", REPLY, "v")

    for turn in range(30):
        folder = tmp_path / str(turn)
        start = threading.Barrier(8)
        with ThreadPoolExecutor(8) as threads:
            for done in [threads.submit(keep, folder, number) for number in range(8)]:
                done.result()
        with AnswerJournal(folder / "answers.sqlite") as journal:
            assert journal.keys() == {f"k{number}" for number in range(8)}


# Interrupted

ASKING = """
import signal
import sys
from pathlib import Path
from pipeline.descriptions.ask import AskSettings, Request, Talk, converse
from pipeline.descriptions.journal import keeping

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background may have it ignored
address, path = sys.argv[1:3]
talks = [Talk(Request("tiny", [{"role": "user", "content": str(n)}])) for n in range(60)]
with keeping(Path(path), "revision", "engine") as kept:
    for position, ended in converse(talks, asker=AskSettings((address,), 4), kept=kept):
        print(position, ended.replies[0].text, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_keeps_what_was_answered_and_the_next_asks_the_rest(path: Path, how: signal.Signals) -> None:
    with fault_server(answer=slowly(0.05, question_of)) as server:
        command = [sys.executable, "-c", ASKING, server.address, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = {process.stdout.readline().split()[0] for _ in range(15)}
            os.kill(process.pid, how)
            sent_at = time.monotonic()
            rest, errors = process.communicate(timeout=20)
        assert time.monotonic() - sent_at < 3
        assert process.returncode == -how
        if how == signal.SIGINT:
            assert errors.rstrip().endswith("KeyboardInterrupt"), errors
            assert errors.count("Traceback") == 1, errors
        told |= {line.split()[0] for line in rest.splitlines() if len(line.split()) == 2}
        with AnswerJournal(path) as journal:
            kept = journal.keys()
        keys = {str(n): answer_key(_question(n), "revision", "engine") for n in range(60)}
        assert {keys[n] for n in told} <= kept, "what was told is kept"
        num_asked = len(server.bodies)
        assert len(kept) >= num_asked - 4, "only those under way are lost"
        assert len(kept) < 60

        again = subprocess.run(command, capture_output=True, text=True, check=True)
        assert sorted(int(line.split()[0]) for line in again.stdout.splitlines()) == list(range(60))
        assert all(len(set(line.split())) == 1 for line in again.stdout.splitlines()), "each its own answer"
        asked_again = [question_of(body) for body in server.bodies[num_asked:]]
        assert sorted(asked_again) == sorted(n for n, key in keys.items() if key not in kept)


def _question(n: int) -> Request:
    return Request("tiny", [{"role": "user", "content": str(n)}])


def test_a_full_disk_ends_the_asking(small_disk: Path) -> None:
    with fault_server(answer=lambda _: "x" * 50_000) as server, AnswerJournal(small_disk / "answers.sqlite") as journal:
        asker = AskSettings((server.address,), 4, patience=Patience(5.0))
        with pytest.raises(OSError) as raised:
            list(converse([Talk(_question(n)) for n in range(200)], asker=asker, kept=journal.of_model("r", "e")))
    assert raised.value.errno == errno.ENOSPC
    assert len(server.bodies) < 100


def test_kept_answers_are_plain_json(path: Path) -> None:
    with AnswerJournal(path) as journal:
        journal.put("k", REPLY, "v")
    rows = sqlite3.connect(path)
    ((key, video_id, reply, created_at),) = rows.execute("SELECT * FROM answers").fetchall()
    rows.close()
    assert (key, video_id, json.loads(reply)["text"]) == ("k", "v", REPLY.text)
    assert created_at.endswith("+00:00")
