"""`kill -9` at any moment, then the same command again: the same corpus as without it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.inspection.corpus import Corpus
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


@pytest.mark.slow
def test_ctrl_c_finishes_the_shards_under_way_says_so_and_leaves_no_server(
    clips: Path, tmp_path: Path, start: CommandLine, facescribe: Facescribe, answers: AnswerServer
) -> None:
    root = tmp_path / "corpus"
    process = start("build", clips, "--root", root, *server_arguments(answers))
    wait_for(lambda: list(root.glob("receipts/probe_videos/*")) and list(root.glob("tmp/*")), process)
    servers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopping once the shards under way are written" in errors
    assert "interrupted; what was finished is kept, the same command goes on from there" in errors
    assert "Traceback" not in errors
    assert servers
    assert not psutil.wait_procs(servers, timeout=20)[1]
    assert not list(root.glob("tmp/*")), "a shard under way was thrown away"
    assert facescribe("build", clips, "--root", root, *server_arguments(answers)).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_of_two_builds_at_once_one_commits_and_the_other_is_told_waits_and_finds_it_done(
    clips: Path, tmp_path: Path, start: CommandLine, facescribe: Facescribe, answers: AnswerServer
) -> None:
    root = tmp_path / "corpus"
    answers.may_answer.clear()
    first = start("build", clips, "--root", root, *server_arguments(answers))
    wait_for(answers.asked.is_set, first)
    second = start("build", clips, "--root", root, *server_arguments(answers))
    assert second.stderr is not None
    told = next(line for line in second.stderr if "waiting for its end" in line)
    assert told.startswith(f"facescribe: {root} is worked on by build-corpus ")
    answers.may_answer.set()
    printed = {process: process.communicate(timeout=240)[0] for process in (first, second)}
    assert (first.returncode, second.returncode) == (0, 0), printed
    assert "units computed: probe_videos 4" in printed[first]
    assert "snapshot 1 (unchanged)" in printed[second]
    assert "units computed: nothing" in printed[second]
    assert Corpus(root).store.snapshot_numbers() == [1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 5 MB, which one command can make larger."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_full_disk_is_told_the_corpus_stays_as_it_was_and_after_making_room_the_run_goes_on(
    small_disk: Path, assets: Callable[[str], Path], tmp_path: Path, facescribe: Facescribe, answers: AnswerServer
) -> None:
    root, source = small_disk / "corpus", tmp_path / "videos"
    source.mkdir()
    shutil.copy(assets("WolfgangLanger_Pexels.mp4"), source)
    full = facescribe("build", source, "--root", root, *server_arguments(answers))
    assert full.returncode == 1
    assert "no space left on the disk; what was finished is kept" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list(root.glob("snapshots/*"))
    assert not list(root.glob("tmp/*"))

    resize(small_disk, "200m")
    again = facescribe("build", source, "--root", root, *server_arguments(answers))
    assert again.returncode == 0, again.stderr
    before = content(root)
    assert len(before["descriptions"]) == 1

    shutil.copy(assets("single_face.mp4"), source)
    resize(small_disk, f"{shutil.disk_usage(small_disk).used + (1 << 20)}")
    full = facescribe("build", source, "--root", root, *server_arguments(answers))
    assert full.returncode == 1
    assert "no space left on the disk" in full.stderr
    assert content(root) == before
    assert facescribe("check", "--root", root).returncode == 0

    resize(small_disk, "200m")
    assert facescribe("build", source, "--root", root, *server_arguments(answers)).returncode == 0
    assert len(content(root)["descriptions"]) == 2


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_kills_at_random_moments_never_show_a_mixture_and_the_next_run_ends_the_same() -> None:
    """A few of the hundred that `bench/interruptions.py` does; what it checks after each is said there."""
    command = [sys.executable, "bench/interruptions.py", "--kills", "8", "--minutes", "2", "--seed", "11"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| next run ended in the same content |" in done.stdout
