"""The log of a run: one JSON object a line, with what it is about, from any number of threads and processes."""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.run import ShardInput, each_unit, run_stage
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, StageConfig, Unit, content_hash
from pipeline.store import Store
from pipeline.telemetry.events import LOG, about
from pipeline.telemetry.logs import logging_to, shard_logged
from pipeline.telemetry.observing import observed
from schemas.table import UNIT_KEY_MEANING, Table, column

WORDS = Table("words", 1, "given", ("video_id",), (column("video_id", pa.string(), "id"),))
VIDEOS = Table(
    "videos",  # a name that the store knows
    1,
    "made",
    ("video_id",),
    (column("video_id", pa.string(), "id"), column("unit_key", pa.string(), UNIT_KEY_MEANING)),
)


def work(units: Sequence[Unit], config: StageConfig, resources: Resources) -> Iterator[Outcome]:
    def one(unit: Unit) -> Done | Refused:
        LOG.warning("looked at\nit: \u2028 ümläut")
        if unit.unit_id == "b":
            return Refused(unit, "no_face", "in /a/path of somebody")
        if unit.unit_id == "c":
            raise ZeroDivisionError("a defect")
        return Done(unit, {"videos": [{"video_id": unit.unit_id}]}, num_tokens=7)

    yield from each_unit(units, one)


STAGE = Stage("count_words", 1, (Read(WORDS, ("video_id",)),), (VIDEOS,), "video_id", StageConfig, work)


def run_in(root: Path, resources: Resources, names: str = "abc", bucket: int = 3) -> None:
    store = Store.open_or_create(root, 4)
    rows = WORDS.rows({"video_id": name} for name in names)
    run_stage(STAGE, bucket, [ShardInput(content_hash([rows]), rows=rows)], StageConfig(), resources, store)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().decode().split("\n")[:-1]]


def test_every_line_says_what_it_is_about(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "run.jsonl"
    with observed(Resources(log_file=log, log_level="DEBUG"), "corpus", flow_run="f-1") as resources:
        run_in(tmp_path / "corpus", resources)
    told = lines(log)
    assert [line.get("event") for line in told] == [
        "RunBegan", "ShardBegan", None, "UnitEnded", None, "UnitEnded", None, "UnitEnded", "ShardEnded", "RunEnded",
    ]  # fmt: skip
    for line in told:
        assert list(line)[:2] == ["time", "level"]
        assert (line["run"], line["flow_run"]) == ("f-1", "f-1")
        assert isinstance(line["message"], str) and line["process"] and line["host"]
    assert all((line["stage"], line["shard"]) == ("count_words", 3) for line in told[1:-1])
    assert [(line["unit"], line["message"]) for line in told if "event" not in line] == [
        (unit, "looked at\nit: \u2028 ümläut") for unit in "abc"
    ]
    ended = {line["unit"]: line for line in told if line.get("event") == "UnitEnded"}
    assert (ended["a"]["level"], ended["a"]["num_tokens"]) == ("debug", 7)
    assert (ended["b"]["level"], ended["b"]["reason"]) == ("info", "no_face")
    assert (ended["c"]["level"], ended["c"]["reason"]) == ("warning", "unexpected_error")
    shard = told[-2]
    assert (shard["num_computed"], shard["num_refused"], shard["num_tokens"]) == (3, 2, 7)


def test_what_a_refusal_says_besides_its_reason_is_not_logged(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    with observed(Resources(log_file=log, log_level="DEBUG"), "corpus") as resources:
        run_in(tmp_path / "corpus", resources)
    assert "of somebody" not in log.read_text()


def test_units_that_are_done_have_lines_only_if_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    with observed(Resources(log_file=log), "corpus") as resources:
        run_in(tmp_path / "corpus", resources)
    assert [line["unit"] for line in lines(log) if line.get("event") == "UnitEnded"] == ["b", "c"]


def test_a_run_that_fails_says_so_and_with_what(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    with pytest.raises(KeyError), observed(Resources(log_file=log), "corpus"):
        raise KeyError("what-was-missing")
    last = lines(log)[-1]
    assert (last["event"], last["level"], last["error"]) == ("RunEnded", "error", "KeyError")
    assert "what-was-missing" not in log.read_text()


def test_a_flow_within_a_command_is_the_same_run(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    with observed(Resources(log_file=log), "corpus") as outer, observed(outer, "corpus", flow_run="f") as inner:
        LOG.info("within")
    assert inner.run == outer.run != ""
    began, within, _ = lines(log)
    assert "flow_run" not in began and (within["run"], within["flow_run"]) == (outer.run, "f")


def test_without_a_log_nothing_is_written_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with observed(Resources(), "corpus") as resources:
        run_in(tmp_path / "corpus", resources)
    assert capfd.readouterr() == ("", "")


def test_a_dash_is_standard_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with observed(Resources(log_file=Path("-")), "corpus"):
        LOG.info("hello")
    out, errors = capfd.readouterr()
    assert out == "" and [json.loads(line)["message"] for line in errors.splitlines()][1] == "hello"


def test_a_log_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    with logging_to(log):
        LOG.info("one")
        log.rename(tmp_path / "run.1")
        LOG.info("two")
    assert [line["message"] for line in lines(log)] == ["two"]


def test_the_log_is_opened_once_and_closed_when_nobody_wants_it(tmp_path: Path) -> None:
    before = list(LOG.handlers)
    with logging_to(tmp_path / "run.jsonl"):
        with logging_to(tmp_path / "run.jsonl"):
            LOG.info("one")
        assert len(LOG.handlers) == len(before) + 1
    assert LOG.handlers == before


def write_lines(path: Path, number: int) -> None:
    with shard_logged(Resources(log_file=path, run="r"), "stage", number):
        for position in range(200):
            LOG.info("%d %s", position, "x" * 500)


def test_threads_and_processes_that_write_one_log_leave_every_line_whole(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    spawning = multiprocessing.get_context("spawn")
    workers: list[Any] = [spawning.Process(target=write_lines, args=(log, number)) for number in range(2)]
    workers += [threading.Thread(target=write_lines, args=(log, number)) for number in range(2, 4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    told = lines(log)
    assert len(told) == 800
    for number in range(4):
        mine = [line["message"].split()[0] for line in told if line["shard"] == number]
        assert mine == [str(position) for position in range(200)]
        assert {line["run"] for line in told} == {"r"}


def test_facts_end_with_their_context(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    with logging_to(log):
        with about(unit="u"):
            LOG.info("in")
        LOG.info("out")
    assert [line.get("unit") for line in lines(log)] == ["u", None]
