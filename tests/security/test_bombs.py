"""Videos that are small as files and endless as work: refused by what they declare, before their frames are decoded."""

from __future__ import annotations

import resource
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import psutil
import pytest

from pipeline.videos.decoder_process import DecoderProcess
from pipeline.videos.decoding import MOST_WRITTEN_BYTES
from pipeline.videos.frames import Limits, VideoError, probe
from tests.videos.fault_files import write_video


def refused(path: Path, limits: Limits) -> VideoError:
    with pytest.raises(VideoError) as told:
        probe(path, limits)
    return told.value


def test_two_frames_that_lie_years_apart_are_too_large(tmp_path: Path) -> None:
    write_video(tmp_path / "far.mkv", ticks=[0, 10**12], time_base=Fraction(1, 1000))
    error = refused(tmp_path / "far.mkv", Limits())
    assert error.reason == "too_large" and "lasts 1000000000 s" in error.detail


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_all_pixels_together_have_a_limit_in_both_decoders(tmp_path: Path, name: str) -> None:
    codec, pixels = ("gif", "rgb8") if name.endswith("gif") else ("libx264", "yuv420p")
    write_video(tmp_path / name, codec=codec, pixels=pixels, ticks=range(20))
    error = refused(tmp_path / name, Limits(max_video_px=20 * 64 * 48 - 1))
    assert error.reason == "too_large" and "px in all are the most" in error.detail
    assert probe(tmp_path / name, Limits(max_video_px=20 * 64 * 48)).num_frames == 20


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="limits of other processes are told on Linux alone")
def test_a_decoder_leaves_no_core_and_writes_little(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4")
    decoder = DecoderProcess()
    try:
        request = {"do": "probe", "assumed_fps": 25.0, "with_decord": False, "path": str(tmp_path / "clip.mp4")}
        decoder.ask({**request, "limits": asdict(Limits())})
        decoder.receive(30)
        process = psutil.Process(decoder.pid)
        assert process.rlimit(resource.RLIMIT_CORE) == (0, 0)
        assert process.rlimit(resource.RLIMIT_FSIZE) == (MOST_WRITTEN_BYTES, MOST_WRITTEN_BYTES)
        assert process.rlimit(resource.RLIMIT_NOFILE)[1] <= 256
        assert process.rlimit(resource.RLIMIT_AS)[0] == Limits().memory_bytes
        assert "NoNewPrivs:\t1" in Path(f"/proc/{decoder.pid}/status").read_text()
    finally:
        decoder.kill()
