"""`kill -9` at any moment, then the same command again: the same corpus as without it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.answer_server import AnswerServer
from tests.flows.conftest import CommandLine, content, server_arguments

Facescribe = Callable[..., "subprocess.CompletedProcess[str]"]


def wait_for(reached: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, f"ended before the moment came: {process.communicate()}"
        assert time.monotonic() < deadline, "the moment to kill at never came"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, Any]:
    return {}


MOMENTS: dict[str, Callable[[Path, AnswerServer], Any]] = {
    "while the videos are probed": lambda root, _: list(root.glob("tmp/*")),
    "while a shard of tracks is written": lambda root, _: (
        list(root.glob("receipts/probe_videos/*")) and list(root.glob("tmp/*"))
    ),
    "when the first tracks are there": lambda root, _: list(root.glob("receipts/extract_tracks/*.json")),
    "when actions are there": lambda root, _: list(root.glob("receipts/measure_actions/*.json")),
    "while the language model is asked": lambda _, answers: answers.asked.is_set(),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_started_again(
    moment: str,
    clips: Path,
    tmp_path: Path,
    start: CommandLine,
    facescribe: Facescribe,
    answers: AnswerServer,
    uninterrupted: dict[str, Any],
) -> None:
    if not uninterrupted:
        whole = facescribe("build", clips, "--root", tmp_path / "whole", *server_arguments(answers))
        assert whole.returncode == 0, whole.stderr
        uninterrupted.update(content(tmp_path / "whole"))
        answers.asked.clear()
    root = tmp_path / "killed"
    if "asked" in moment:
        answers.may_answer.clear()
    process = start("build", clips, "--root", root, *server_arguments(answers))
    wait_for(lambda: MOMENTS[moment](root, answers), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(root.glob("snapshots/*")), "the kill came too late to interrupt anything"
    answers.may_answer.set()

    again = facescribe("build", clips, "--root", root, *server_arguments(answers))

    assert again.returncode == 0, again.stderr
    assert content(root) == uninterrupted
