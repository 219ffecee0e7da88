"""The demo's input: the same bytes each time, and bad files that are bad in the way they should be."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import av
import decord
import psutil
import pytest

from flows.demo import FACE_VIDEOS, NO_FACE_VIDEO, demo_folder
from pipeline.inspection.corpus import Corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_folder(tmp_path_factory.mktemp("demo"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_bytes_are_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    first = contents(folder)
    assert contents(demo_folder(tmp_path / "again")) == first
    assert contents(demo_folder(folder)) == first
    assert set(first) == {*FACE_VIDEOS, NO_FACE_VIDEO, "corrupt.mp4", "audio_only.mp4"}


@pytest.mark.parametrize("name", [*FACE_VIDEOS, NO_FACE_VIDEO])
def test_the_real_videos_open(folder: Path, name: str) -> None:
    assert len(decord.VideoReader(str(folder / name))) > 70


@pytest.mark.parametrize("name", ["corrupt.mp4", "audio_only.mp4"])
def test_decord_refuses_the_bad_files(folder: Path, name: str) -> None:
    with pytest.raises((RuntimeError, decord.DECORDError)):
        decord.VideoReader(str(folder / name))


def test_pyav_agrees(folder: Path) -> None:
    with pytest.raises(av.InvalidDataError):
        av.open(str(folder / "corrupt.mp4"))
    with av.open(str(folder / "audio_only.mp4")) as container:
        assert (len(container.streams.video), len(container.streams.audio)) == (0, 1)
        assert sum(frame.samples for frame in container.decode(audio=0)) >= 16_000


def start_demo(folder: Path) -> subprocess.Popen[str]:
    """The demo as `make demo` runs it, in an empty folder."""
    environment = os.environ | {"PREFECT_HOME": str(folder / "prefect"), "COLUMNS": "160"}
    command = [sys.executable, "-m", "flows.demo"]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.server
@pytest.mark.timeout(900)
def test_the_whole_demo_with_the_real_language_model_server(tmp_path: Path) -> None:
    first = start_demo(tmp_path)
    out, errors = first.communicate(timeout=600)
    assert first.returncode == 0, out + errors
    for line in ("videos        6", "tracks        5", "motion clips  9"):
        assert line in out
    assert "3 (1 corrupt, 1 no_face, 1 no_video_stream)" in out
    assert (tmp_path / "data/demo/corpus/gallery.html").is_file()
    texts = Corpus(tmp_path / "data/demo/corpus").descriptions(
        ["text", "status", "fallback_reason", "fallback_detail", "asked"]
    )
    assert len(texts) == 5
    for asked in texts["asked"]:
        assert asked[0]["completion_tokens"] > 0, "every text was asked of the model"
    assert texts.loc[texts["status"] == "refined", "fallback_reason"].isna().all()
    assert texts.loc[texts["status"] == "fallback", "fallback_reason"].notna().all()
    assert (texts["status"] == "refined").any(), texts[["text", "fallback_detail"]].to_string()

    second = start_demo(tmp_path)
    out, errors = second.communicate(timeout=120)
    assert "nothing to do: snapshot 1 is up to date; computed nothing, asked the language model nothing" in out, errors


@pytest.mark.server
@pytest.mark.timeout(900)
def test_killed_while_the_servers_start_nothing_of_them_is_left(tmp_path: Path) -> None:
    demo = start_demo(tmp_path)
    deadline = time.monotonic() + 120
    processes: list[psutil.Process] = []
    while not any("vllm" in " ".join(process.cmdline()) for process in processes if process.is_running()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
        processes = psutil.Process(demo.pid).children(recursive=True)
    time.sleep(5)
    processes = psutil.Process(demo.pid).children(recursive=True)
    demo.kill()
    demo.communicate()
    assert len(processes) >= 2
    assert not psutil.wait_procs(processes, timeout=40)[1]
