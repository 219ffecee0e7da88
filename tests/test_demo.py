"""The demo's input: the same bytes each time, and bad files that are bad in the way they should be."""

from __future__ import annotations

from pathlib import Path

import av
import decord
import pytest

from flows.demo import FACE_VIDEOS, NO_FACE_VIDEO, demo_folder


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
