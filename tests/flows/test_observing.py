"""A real build, looked at from outside while it works and afterwards; and what of its log Prefect's pages get."""

from __future__ import annotations

import json
import logging
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.testing.utilities import prefect_test_harness

from flows.observing import LOG, observed_flow
from pipeline.local_server import free_port
from pipeline.stage import Resources
from pipeline.telemetry.events import UnitEnded, about, tell
from tests.answer_server import AnswerServer
from tests.flows.conftest import CommandLine, server_arguments
from tests.telemetry.test_metrics import Samples, samples, value


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def scraped(port: int) -> Samples:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return samples(answer.read().decode())
    except OSError:  # not yet
        return {}


@pytest.mark.server
@pytest.mark.timeout(900)
def test_a_build_is_seen_while_it_works_and_in_what_it_leaves(
    clips: Path, tmp_path: Path, start: CommandLine, answers: AnswerServer
) -> None:
    log, file, port = tmp_path / "run.jsonl", tmp_path / "run.prom", free_port()
    build = ("build", clips, "--root", tmp_path / "corpus", *server_arguments(answers), "--log-file", log)
    answers.may_answer.clear()
    process = start(*build, "--metrics-port", port, "--metrics-file", file)
    server = answers.address.split("/")[2]
    asked = ("facescribe_server_in_flight", (("server", server),))
    deadline = time.monotonic() + 400
    while not (during := scraped(port)).get(asked):
        assert process.poll() is None, f"ended before it asked the language model: {process.communicate()}"
        assert time.monotonic() < deadline, "the language model was never asked"
        time.sleep(0.2)
    assert value(during, "facescribe_shards_under_way", stage="refine_descriptions") >= 1
    assert value(during, "facescribe_units_total", stage="extract_tracks", outcome="done") == 2
    assert value(during, "facescribe_run_ended_timestamp_seconds") == 0
    answers.may_answer.set()
    out, errors = process.communicate(timeout=400)
    assert process.returncode == 0, out + errors
    assert "RunBegan" not in out + errors, "the console stays as it is"

    left = samples(file.read_text(encoding="utf-8"))
    assert value(left, "facescribe_refused_total", stage="extract_tracks", reason="no_face") == 1
    assert value(left, "facescribe_units_total", stage="refine_descriptions", outcome="done") == 2
    assert value(left, "facescribe_tokens_total", stage="refine_descriptions") == 4
    assert value(left, "facescribe_snapshot_tokens", stage="refine_descriptions") == 4
    assert value(left, "facescribe_shards_under_way", stage="refine_descriptions") == 0
    assert value(left, "facescribe_run_failed") == 0
    told = lines(log)
    assert len({line["run"] for line in told}) == 1
    assert [told[0]["event"], told[-1]["event"]] == ["RunBegan", "RunEnded"]
    refused = {(line["stage"], line["reason"]) for line in told if line.get("event") == "UnitEnded"}
    assert refused == {("probe_videos", "not_a_video"), ("extract_tracks", "no_face")}
    (corpus,) = [line for line in told if line.get("event") == "CorpusIs"]
    assert (corpus["snapshot"], corpus["is_new"], corpus["num_tokens"]["refine_descriptions"]) == (1, True, 4)

    again = start(*build, "--metrics-file", file)
    assert "nothing to do" in again.communicate(timeout=400)[0]
    idle = samples(file.read_text(encoding="utf-8"))
    assert value(idle, "facescribe_snapshot_number") == 1
    ended = "facescribe_run_last_success_timestamp_seconds"
    assert value(idle, ended) > value(left, ended)
    assert [line["event"] for line in lines(log)[len(told) :]] == ["RunBegan", "CorpusIs", "RunEnded"]


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=240):
        yield


class Kept(logging.Handler):
    """What a log of Prefect's got."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append((record.name, record.levelno, record.getMessage()))


@pytest.mark.server
def test_prefect_gets_the_lines_of_a_run_except_those_about_a_unit(prefect: None, tmp_path: Path) -> None:
    @task
    def shard() -> None:
        LOG.warning("of a task")
        with about(unit="u"):
            LOG.warning("of a unit, by its context")
        tell(UnitEnded(stage="s", shard=0, unit="u", reason="unexpected_error", seconds=1.0))

    @flow
    def one() -> None:
        with observed_flow(Resources(log_file=tmp_path / "run.jsonl"), "corpus"):
            LOG.info("of a flow")
            shard()

    kept = Kept()
    loggers = [logging.getLogger(name) for name in ("prefect.flow_runs", "prefect.task_runs")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(kept)
        logger.setLevel(logging.INFO)
    try:
        one()
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(kept)
            logger.setLevel(level)
    assert ("prefect.flow_runs", logging.INFO, "of a flow") in kept.told
    assert ("prefect.task_runs", logging.WARNING, "of a task") in kept.told
    assert not [words for _, _, words in kept.told if "unit" in words or "refused" in words]
    told = lines(tmp_path / "run.jsonl")
    assert [line["message"] for line in told if "event" not in line] == [
        "of a flow", "of a task", "of a unit, by its context",
    ]  # fmt: skip
    assert len({(line["run"], line["flow_run"]) for line in told}) == 1 and told[0]["run"] == told[0]["flow_run"]
