"""What is read of a video: the container's clock and the displayed picture, by either decoder alike."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.videos.frames import VideoError, av_version, decord_version, other_decoder, probe, read_frames
from pipeline.videos.refusing import first_line
from tests.videos.fault_files import TURNS, join
from tests.videos.fault_files import write_video as write_texture


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


CORNERS = {90: "top right", 180: "bottom right", 270: "bottom left"}  # where the first one turns to


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
    a, b, c, d = TURNS[turn]
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
    assert max(corners, key=lambda name: corners[name]) == CORNERS[turn]


def test_a_decoders_words_do_not_hold_the_time_of_day() -> None:
    words = first_line(RuntimeError("[18:31:17] /src/runtime/ndarray.cc:171: Check failed: sizes differ\nstack"))
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
    ("codec", "pixels", "name"),
    [
        ("libx264", "yuv444p10le", "ten_bits.mp4"),
        ("libx264", "yuvj420p", "full_range.mp4"),
        ("ffv1", "gray", "gray.mkv"),
        ("png", "rgba", "alpha.mov"),
        ("qtrle", "rgb24", "palette.mov"),
        ("mjpeg", "yuvj420p", "motion_jpeg.avi"),
    ],
)
def test_odd_pixel_formats_are_read_alike_by_both_decoders(tmp_path: Path, codec: str, pixels: str, name: str) -> None:
    write_texture(tmp_path / name, codec=codec, pixels=pixels, ticks=range(6))
    assert probe(tmp_path / name).decoder == decord_version()
    pairs = zip(read_frames(tmp_path / name, decord_version()), read_frames(tmp_path / name, av_version()), strict=True)
    for first, second in pairs:
        assert (first.index, first.time_s) == (second.index, second.time_s)
        assert np.abs(first.rgb.astype(int) - second.rgb).mean() <= 1


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.avi", "a.webm"])
def test_two_readings_are_equal(tmp_path: Path, name: str) -> None:
    write_texture(tmp_path / name, codec="libvpx-vp9" if name.endswith("webm") else "libx264", ticks=range(20))
    decoder = probe(tmp_path / name).decoder
    readings = zip(read_frames(tmp_path / name, decoder), read_frames(tmp_path / name, decoder), strict=True)
    for first, second in readings:  # side by side: each reading has a decoder process of its own
        assert (first.index, first.time_s) == (second.index, second.time_s)
        assert np.array_equal(first.rgb, second.rgb)


def test_a_picture_that_gets_smaller_keeps_the_first_size(tmp_path: Path) -> None:
    sizes = [(128, 96), (64, 48)]
    parts = [tmp_path / f"{width}.webm" for width, _ in sizes]
    for number, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        write_texture(part, codec="libvpx-vp9", size=size, ticks=range(6 * number, 6 * number + 6))
    join(tmp_path / "call.webm", parts)
    facts = probe(tmp_path / "call.webm")
    frames = list(read_frames(tmp_path / "call.webm", facts.decoder))
    assert facts.num_frames == len(frames) == 12
    assert {frame.rgb.shape for frame in frames} == {(96, 128, 3)}


def test_b_frames_in_an_avi_come_in_order_and_none_is_lost(tmp_path: Path) -> None:
    write_texture(tmp_path / "b.avi", options={"bf": "2"}, ticks=range(12))
    facts = probe(tmp_path / "b.avi")
    times_s = [frame.time_s for frame in read_frames(tmp_path / "b.avi", facts.decoder)]
    assert np.allclose(np.diff(times_s), 0.04)
    assert len(times_s) == facts.num_frames == 12


def test_dropped_pictures_that_an_avi_counts_are_not_missed(tmp_path: Path) -> None:
    ticks = [0, 1, 2, 5, 6, 7, 12, 13]
    write_texture(tmp_path / "gaps.avi", codec="mjpeg", pixels="yuvj420p", ticks=ticks)
    facts = probe(tmp_path / "gaps.avi")
    assert facts.num_frames == len(ticks)
    times_s = [frame.time_s for frame in read_frames(tmp_path / "gaps.avi", facts.decoder)]
    assert times_s == pytest.approx([tick / 25 for tick in ticks])


def test_frames_without_a_time_of_their_own_are_left_out(tmp_path: Path) -> None:
    write_texture(tmp_path / "twice.mkv", codec="ffv1", ticks=[0, 1, 2, 2, 3, 3, 4, 5])
    facts = probe(tmp_path / "twice.mkv")
    frames = list(read_frames(tmp_path / "twice.mkv", facts.decoder))
    assert [frame.index for frame in frames] == list(range(facts.num_frames)) == list(range(6))
    assert (np.diff([frame.time_s for frame in frames]) > 0).all()


def test_after_decord_comes_av_and_then_none() -> None:
    assert other_decoder(decord_version()) == av_version()
    assert other_decoder(av_version()) is None
