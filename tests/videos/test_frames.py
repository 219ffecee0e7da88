"""What is read of a video: the container's clock, the displayed picture, and a reason for each file that gives none."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.videos.frames import VideoError, _first_line, av_version, decord_version, probe, read_frames


def write_video(
    path: Path, ticks: Sequence[int], *, codec: str = "libx264", time_base: Fraction = Fraction(1, 1000)
) -> Path:
    """Frames whose grey level is ten times their number (modulo 25), shown at the given ticks."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=30, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 48, "yuv420p", time_base
        stream.codec_context.time_base = time_base
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * (number % 25), np.uint8), format="rgb24")
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_uneven_frame_times_are_the_containers(tmp_path: Path) -> None:
    ticks = [0, 33, 100, 133, 400, 433]
    path = write_video(tmp_path / "uneven.mp4", ticks)
    facts = probe(path)
    frames = list(read_frames(path, facts.decoder))
    assert [round(1000 * frame.time_s) for frame in frames] == ticks
    assert [round(float(frame.rgb.mean()) / 10) for frame in frames] == list(range(6))
    assert (facts.num_frames, facts.width_px, facts.height_px) == (6, 64, 48)
    assert facts.duration_s == pytest.approx(0.466, abs=2e-3)


def test_both_decoders_give_the_same_pictures_at_the_same_times(assets: Callable[[str], Path]) -> None:
    path = assets("single_face.mp4")
    pairs = zip(read_frames(path, decord_version()), read_frames(path, av_version()), strict=True)
    for first, second in pairs:
        assert (first.index, first.time_s) == (second.index, second.time_s)
        assert np.abs(first.rgb.astype(int) - second.rgb).max() <= 2


def test_what_decord_cannot_read_is_read_by_av(tmp_path: Path) -> None:
    path = write_video(tmp_path / "new.mp4", [0, 40, 80, 120], codec="libsvtav1")
    facts = probe(path)
    assert (facts.decoder, facts.codec) == (av_version(), "libdav1d")
    assert [round(frame.time_s, 3) for frame in read_frames(path, facts.decoder)] == [0, 0.04, 0.08, 0.12]


def test_times_below_zero_of_an_edit_list_go_to_av(tmp_path: Path, assets: Callable[[str], Path]) -> None:
    path = tmp_path / "cut.mp4"
    with av.open(str(assets("single_face.mp4"))) as whole, av.open(str(path), "w") as cut:
        video: Any = whole.streams.video[0]
        copy = cut.add_stream_from_template(video)
        begin = int(1.0 / video.time_base)
        for packet in whole.demux(video):
            if packet.size and packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - begin, packet.dts - begin, copy
                cut.mux(packet)
    facts = probe(path)
    assert facts.decoder == av_version()
    assert next(read_frames(path, facts.decoder)).time_s >= 0


# Rows of the display matrix in an mp4's track header, for a clockwise turn, and the corner that the first one turns to.
TURNS = {90: ((0, 1, -1, 0), "top right"), 180: ((-1, 0, 0, -1), "bottom right"), 270: ((0, -1, 1, 0), "bottom left")}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("size", [(64, 48), (640, 384)])
def test_a_turned_video_is_read_as_it_is_displayed(tmp_path: Path, turn: int, size: tuple[int, int]) -> None:
    width, height = size
    picture = np.full((height, width, 3), 40, np.uint8)
    picture[: height // 3, : width // 3] = 250  # the top left corner is bright
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    (a, b, c, d), corner = TURNS[turn]
    content[matrix : matrix + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)

    facts = probe(path)
    frame = next(read_frames(path, facts.decoder))

    assert (facts.width_px, facts.height_px) == (size if turn == 180 else size[::-1])
    assert frame.rgb.shape == (facts.height_px, facts.width_px, 3)
    corners = {
        f"{y_name} {x_name}": frame.rgb[y, x].mean()
        for y_name, y in (("top", slice(8)), ("bottom", slice(-8, None)))
        for x_name, x in (("left", slice(8)), ("right", slice(-8, None)))
    }
    assert max(corners, key=lambda name: corners[name]) == corner


def test_a_decoders_words_do_not_hold_the_time_of_day() -> None:
    words = _first_line(RuntimeError("[18:31:17] /src/runtime/ndarray.cc:171: Check failed: sizes differ\nstack"))
    assert words == "Check failed: sizes differ"


def test_a_file_cut_short_is_corrupt_even_where_it_still_plays(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", range(0, 3000, 40))
    moved = tmp_path / "moved.mp4"
    with av.open(str(whole)) as source, av.open(str(moved), "w", options={"movflags": "faststart"}) as target:
        video = source.streams.video[0]
        copy = target.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    content = moved.read_bytes()
    short = tmp_path / "short.mp4"
    short.write_bytes(content[: len(content) - len(content) // 4])
    with pytest.raises(VideoError) as refused:
        probe(short)
    assert refused.value.reason == "corrupt"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "empty_file", id="no bytes"),
        pytest.param(b"dear diary, " * 50, "not_a_video", id="text"),
        pytest.param(bytes(2000), "not_a_video", id="zeros"),
        pytest.param(b"\0\0\0\x18ftypmp42" + bytes(200), "corrupt", id="an mp4 that ends after its first box"),
        pytest.param(b"\x1aE\xdf\xa3" + b"\xff" * 300, "corrupt", id="a Matroska file of noise"),
    ],
)
def test_bad_bytes_have_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError) as refused:
        probe(path)
    assert refused.value.reason == reason
    assert str(tmp_path) not in refused.value.detail, "a reject must not depend on where the file lay"


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as refused:
        probe(tmp_path / "gone.mp4")
    assert refused.value.reason == "unreadable"
