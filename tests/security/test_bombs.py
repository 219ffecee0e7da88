"""Videos and pictures that are small as files and endless as work: refused by what they declare, before it is done."""

from __future__ import annotations

import resource
import struct
import zlib
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


def png(width_px: int, height_px: int, data: bytes, *further: tuple[bytes, bytes]) -> bytes:
    """A picture of grey pixels with these packed data, whatever they unpack to."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), *further, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(said)) + kind + said + struct.pack(">I", zlib.crc32(kind + said)) for kind, said in chunks
    )


def zeros(num_bytes: int) -> bytes:
    """So many zeros, packed."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(num_bytes >> 20)) + packer.flush()


def frames(folder: Path, name: str, picture: bytes) -> Path:
    """A clip of one picture."""
    folder.mkdir()
    (folder / name).write_bytes(picture)
    return folder


JPEG_OF_65500_PX = b"\xff\xd8\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 65500, 65500) + b"\x01\x01\x11\x00\xff\xd9"


@pytest.mark.parametrize(
    ("name", "picture"),
    [("1.png", png(2**31 - 1, 2**31 - 1, zlib.compress(b""))), ("1.jpg", JPEG_OF_65500_PX)],
    ids=["png", "jpeg"],
)
def test_a_picture_that_declares_a_huge_size_is_not_decoded(tmp_path: Path, name: str, picture: bytes) -> None:
    assert refused(frames(tmp_path / "clip", name, picture), Limits()).reason == "too_large"


def test_data_that_unpack_to_more_than_the_picture_end_with_the_picture(tmp_path: Path) -> None:
    picture = png(16, 16, zeros(500 << 20))
    assert len(picture) < 1 << 20
    facts = probe(frames(tmp_path / "clip", "1.png", picture), Limits())
    assert (facts.width_px, facts.height_px) == (16, 16)


@pytest.mark.parametrize("chunk", [(b"zTXt", b"note\0\0"), (b"iCCP", b"profile\0\0")], ids=["zTXt", "iCCP"])
def test_metadata_that_unpack_without_end_are_not_unpacked(tmp_path: Path, chunk: tuple[bytes, bytes]) -> None:
    kind, begins = chunk
    picture = png(16, 16, zlib.compress(bytes(17 * 16)), (kind, begins + zeros(900 << 20)))
    error = refused(frames(tmp_path / "clip", "1.png", picture), Limits(memory_bytes=1 << 30))
    assert error.reason == "corrupt"


DECLARED = [
    ("clip.mp4", b"stsz", 12, "I"),  # number of samples
    ("clip.mp4", b"stts", 8, "I"),  # number of runs of equal durations
    ("clip.mp4", b"stco", 8, "I"),  # number of chunks
    ("clip.mp4", b"mdhd", 20, "I"),  # duration
    ("clip.mp4", b"avc1", 28, "HH"),  # width and height
    ("clip.avi", b"avih", 24, "<I"),  # number of frames
    ("clip.avi", b"avih", 40, "<II"),  # width and height
    ("clip.gif", b"GIF89a", 6, "<HH"),  # width and height
]
"""File, the box that says it, bytes from its name, and the numbers there."""


@pytest.mark.parametrize(("name", "box", "at", "form"), DECLARED)
def test_a_file_that_declares_endless_tables_costs_its_own_length(
    tmp_path: Path, name: str, box: bytes, at: int, form: str
) -> None:
    codec, pixels = {"gif": ("gif", "rgb8"), "avi": ("mpeg4", "yuv420p"), "mp4": ("libx264", "yuv420p")}[name[-3:]]
    write_video(tmp_path / name, codec=codec, pixels=pixels, ticks=range(20))
    data = bytearray((tmp_path / name).read_bytes())
    form = form if form.startswith("<") else ">" + form
    most = (1 << 8 * struct.calcsize(form) // len(form[1:])) - 1
    struct.pack_into(form, data, data.index(box) + at, *[most] * len(form[1:]))
    (tmp_path / name).write_bytes(data)
    try:
        facts = probe(tmp_path / name, Limits(memory_bytes=2 << 30))
        assert facts.num_frames <= 20, "no more than there are"
    except VideoError as error:
        assert error.reason in {"corrupt", "too_large"}
