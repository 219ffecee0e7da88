"""Short real clips, and the command line as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.inspection.corpus import Corpus
from schemas.corpus import TABLES
from schemas.ledger import COSTS
from tests.answer_server import MODEL, AnswerServer, answering


@pytest.fixture
def answers() -> Iterator[AnswerServer]:
    """A server that gives each draft back as its description."""
    with answering() as server:
        yield server


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prefect home of the tests' own: its database is made once."""
    return tmp_path_factory.mktemp("prefect")


CommandLine = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(prefect_home: Path, tmp_path: Path) -> Iterator[CommandLine]:
    """Start `facescribe` with arguments, in an empty folder; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*arguments: object) -> subprocess.Popen[str]:
        environment = os.environ | {"PREFECT_HOME": str(prefect_home), "COLUMNS": "200", "NO_COLOR": "1"}
        environment.pop("FACESCRIBE_ROOT", None)
        process = subprocess.Popen(
            [sys.executable, "-m", "flows", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def facescribe(start: CommandLine) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `facescribe` with arguments to its end."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        process = start(*arguments)
        out, errors = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    return run


def server_arguments(answers: AnswerServer) -> tuple[str, ...]:
    return ("--server", answers.address, "--model", MODEL)


def content(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of the newest snapshot, in key order, without what the work took."""
    corpus = Corpus(root)
    columns = {name: [f.name for f in table.columns if f.name not in COSTS] for name, table in TABLES.items()}
    return {name: corpus.arrow(name, columns[name]).to_pylist() for name in TABLES}
