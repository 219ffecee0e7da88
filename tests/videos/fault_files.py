"""Write a folder of files as a crawl of the world brings them: damaged, lying, hostile, odd, or merely unusual."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

NUM_FRAMES = 50
MILLISECONDS = Fraction(1, 1000)
LARGE, IMPOSSIBLE = 16000, 65535
"""Sides of pictures that FFmpeg would decode, and that it does not: a file of a few kB may declare either."""

# The first rows of the display matrix in an mp4's track header, for a turn clockwise.
TURNS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def write_fault_corpus(folder: Path) -> dict[str, str]:
    """Fill `folder` and return, for each file by its path below it, the reason that refuses it, or "ok"."""
    expected: dict[str, str] = {}
    for write in (_cut, _no_videos, _odd_shapes, _lying, _damaged, _no_files, _named, _formats, _clocks, _resized):
        expected |= write(folder)
    return expected


def picture(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A texture uint8 [height, width, 3] that moves with the number of its frame."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(number).integers(0, 40, (height, width))
    return np.stack([(3 * x + 9 * number) % 200 + noise, (5 * y) % 200 + noise, noise + 4 * number], -1).astype(
        np.uint8
    )


def write_video(
    path: Path,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    ticks: Iterable[int] = range(NUM_FRAMES),
    time_base: Fraction = Fraction(1, 25),
    options: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    **opened_with: Any,
) -> bytes:
    """Write a video whose frames are shown at the given ticks; return its bytes."""
    width, height = size
    with av.open(str(path), "w", **opened_with) as container:
        container.metadata.update(tags or {})
        stream: Any = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = width, height, pixels, time_base
        stream.codec_context.time_base = time_base
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(number, width, height), format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def _cut(folder: Path) -> dict[str, str]:
    first = write_video(folder / "moov_first.mp4", container_options={"movflags": "faststart"})
    (folder / "moov_first_cut.mp4").write_bytes(first[: len(first) * 7 // 10])
    (folder / "moov_first_cut_late.mp4").write_bytes(first[:-20])
    (folder / "only_the_moov.mp4").write_bytes(first[: first.index(b"mdat") + 4])
    last = write_video(folder / "moov_last.mp4", size=(64, 64))
    (folder / "moov_last_cut.mp4").write_bytes(last[: len(last) * 7 // 10])
    (folder / "header_only.mp4").write_bytes(last[:40])
    long_gop = write_video(folder / "long_gop.mkv", options={"g": "250"})
    (folder / "mid_gop_cut.mkv").write_bytes(long_gop[: len(long_gop) // 2])
    pictures = write_video(folder / "motion_jpeg.avi", codec="mjpeg", pixels="yuvj420p")
    (folder / "cut.avi").write_bytes(pictures[: len(pictures) // 2])
    broadcast = write_video(folder / "broadcast.ts")
    (folder / "cut.ts").write_bytes(broadcast[: len(broadcast) // 188 // 2 * 188])
    return {
        "moov_first.mp4": "ok",
        "moov_first_cut.mp4": "corrupt",
        "moov_first_cut_late.mp4": "corrupt",
        "only_the_moov.mp4": "corrupt",
        "moov_last.mp4": "ok",
        "moov_last_cut.mp4": "corrupt",
        "header_only.mp4": "corrupt",
        "long_gop.mkv": "ok",
        "mid_gop_cut.mkv": "corrupt",
        "motion_jpeg.avi": "ok",
        "cut.avi": "corrupt",
        "broadcast.ts": "ok",
        "cut.ts": "ok",  # a broadcast has no end of its own: what was recorded is what there is
    }


def _no_videos(folder: Path) -> dict[str, str]:
    (folder / "zero_bytes.mp4").write_bytes(b"")
    (folder / "one_byte.mp4").write_bytes(b"\0")
    (folder / "text.mp4").write_text("dear diary, " * 50)
    (folder / "playlist.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nbroadcast.ts\n#EXT-X-ENDLIST\n")
    (folder / "list.mp4").write_text("ffconcat version 1.0\nfile broadcast.ts\n")
    still = write_video(folder / "picture.jpg", codec="mjpeg", pixels="yuvj420p", ticks=[0], format="image2")
    (folder / "jpeg.mp4").write_bytes(still + b"\0")  # one byte more, so that it is another content
    _write_sound(folder / "sound.wav", "pcm_s16le")
    _write_sound(folder / "sound.mp4", "aac")
    _write_sound(folder / "cover.flac", "flac")
    _add_cover(folder / "cover.flac", still)
    return {
        "zero_bytes.mp4": "empty_file",
        "one_byte.mp4": "not_a_video",
        "text.mp4": "not_a_video",
        "playlist.mp4": "not_a_video",  # nothing that a file names is opened
        "list.mp4": "not_a_video",
        "picture.jpg": "not_a_video",
        "jpeg.mp4": "not_a_video",
        "sound.wav": "no_video_stream",
        "sound.mp4": "no_video_stream",
        "cover.flac": "no_video_stream",
    }


def _write_sound(path: Path, codec: str) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), format="s16", layout="mono")
        silence.sample_rate = 16000
        for frame in av.AudioResampler(stream.format.name, "mono", 16000, stream.frame_size).resample(silence):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _add_cover(path: Path, still: bytes) -> None:
    """Put a picture block behind the first block of a FLAC file."""
    content, mime = path.read_bytes(), b"image/jpeg"
    size = struct.pack(">4I", 64, 48, 24, 0)
    block = (
        struct.pack(">2I", 3, len(mime)) + mime + struct.pack(">I", 0) + size + struct.pack(">I", len(still)) + still
    )
    behind = 4 + 4 + int.from_bytes(content[5:8])
    path.write_bytes(content[:behind] + b"\x06" + len(block).to_bytes(3) + block + content[behind:])


def _odd_shapes(folder: Path) -> dict[str, str]:
    flat: dict[str, Any] = {"codec": "png", "pixels": "rgb24", "ticks": range(3)}
    write_video(folder / "10000x1.mov", size=(10000, 1), **flat)
    write_video(folder / "1x10000.mov", size=(1, 10000), **flat)
    write_video(folder / "8000x1.mov", size=(8000, 1), **flat)
    write_video(folder / "1x8000.mov", size=(1, 8000), **flat)
    write_video(folder / "16x16.mp4", size=(16, 16))
    write_video(folder / "odd_chroma.webm", codec="libvpx-vp9", size=(333, 251), ticks=range(8))
    write_video(folder / "odd_lossless.mkv", codec="ffv1", size=(333, 251), ticks=range(8))
    write_video(folder / "one_frame.mp4", ticks=[0])
    write_video(folder / "two_frames.mp4", ticks=[0, 1])
    for degrees, rows in TURNS.items():
        turned = bytearray(write_video(folder / f"turned_{degrees}.mp4", size=(96, 48)))
        matrix = turned.index(b"tkhd") + 44
        a, b, c, d = (value << 16 for value in rows)
        turned[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        (folder / f"turned_{degrees}.mp4").write_bytes(turned)
    few = write_video(folder / "few.gif", codec="gif", pixels="rgb8", ticks=range(3))
    for name, side in (("large_declared.gif", LARGE), ("impossible.gif", IMPOSSIBLE)):
        (folder / name).write_bytes(few[:6] + struct.pack("<2H", side, side) + few[10:])
    jpeg = write_video(folder / "few.avi", codec="mjpeg", pixels="yuvj420p", ticks=range(3))
    declared = jpeg.replace(b"\x08" + struct.pack(">2H", 48, 64), b"\x08" + struct.pack(">2H", LARGE, LARGE))
    (folder / "large_declared.avi").write_bytes(declared)
    fine = [f"turned_{degrees}.mp4" for degrees in TURNS]
    fine += ["8000x1.mov", "1x8000.mov", "16x16.mp4", "odd_chroma.webm", "odd_lossless.mkv"]
    fine += ["one_frame.mp4", "two_frames.mp4", "few.gif", "few.avi"]
    large = ["10000x1.mov", "1x10000.mov", "large_declared.gif"]
    no_picture = ["impossible.gif", "large_declared.avi"]
    return {**dict.fromkeys(fine, "ok"), **dict.fromkeys(large, "too_large"), **dict.fromkeys(no_picture, "corrupt")}


def _lying(folder: Path) -> dict[str, str]:
    still = bytearray(write_video(folder / "no_duration.mp4", size=(64, 32)))
    for box, place in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        at = still.index(box) + place
        still[at : at + 4] = bytes(4)
    (folder / "no_duration.mp4").write_bytes(still)
    gaps = [tick for tick in range(NUM_FRAMES) if tick % 7 < 4]
    write_video(folder / "dropped_frames.avi", codec="mjpeg", pixels="yuvj420p", ticks=[*gaps, NUM_FRAMES])
    tags = {
        "title": "../../../etc/passwd " + "T" * 200_000,
        "artist": "<script>alert(1)</script>'; DROP TABLE videos; --",
        "comment": "two\nlines \x1b[2J\x1b]0;owned\x07 NUL",
        "description": "\u202egpj.\N{PILE OF POO}",
    }
    hostile = write_video(folder / "hostile_tags.mp4", tags=tags)
    (folder / "hostile_tags.mp4").write_bytes(hostile.replace(b" NUL", b"\0\0\0\0"))
    # AVI counts the pictures that were dropped: more than there are, and yet it is whole.
    return {"no_duration.mp4": "ok", "dropped_frames.avi": "ok", "hostile_tags.mp4": "ok"}


def _damaged(folder: Path) -> dict[str, str]:
    # The same bytes every time: x264's look-ahead was seen to choose otherwise for equal pictures, even on one thread.
    options = {"crf": "10", "threads": "1", "x264-params": "rc-lookahead=0:sync-lookahead=0:no-mbtree=1"}
    content = write_video(folder / "flipped_bits.mp4", size=(160, 128), options=options)
    start, stop = content.index(b"mdat") + 8, content.index(b"moov")
    flips = np.random.default_rng(1).integers(start + (stop - start) // 3, start + 2 * (stop - start) // 3, 60)
    flipped = np.frombuffer(content, np.uint8).copy()
    flipped[flips] ^= (1 << (flips % 8)).astype(np.uint8)
    (folder / "flipped_bits.mp4").write_bytes(flipped.tobytes())
    middle = (start + stop) // 2
    zeroed = content[:middle] + bytes(4096) + content[middle + 4096 :]
    (folder / "zeroed_block.mp4").write_bytes(zeroed)
    index = content.index(b"stco")
    (folder / "broken_index.mp4").write_bytes(content[:index] + b"\xff" * 64 + content[index + 64 :])
    write_what_aborts_decord(folder / "aborts_decord.mp4")
    (folder / "noise.mkv").write_bytes(b"\x1aE\xdf\xa3" + np.random.default_rng(2).bytes(3000))
    damaged = dict.fromkeys(["zeroed_block.mp4", "broken_index.mp4", "noise.mkv"], "corrupt")
    # Both decoders smear over flipped bits without a word. decord ends its process over the other, PyAV reads it.
    return {**damaged, "flipped_bits.mp4": "ok", "aborts_decord.mp4": "ok"}


def write_what_aborts_decord(path: Path) -> None:
    """Write a video whose header announces 64 entries of its table of times, of which there is one."""
    content = bytearray(write_video(path, container_options={"movflags": "faststart"}))
    content[content.index(b"stts") + 11] = 64
    path.write_bytes(content)


def _no_files(folder: Path) -> dict[str, str]:
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "loop_there.mp4").symlink_to("loop_back.mp4")
    (folder / "loop_back.mp4").symlink_to("loop_there.mp4")
    (folder / "dangling.mp4").symlink_to("nothing.mp4")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "device.mp4").symlink_to("/dev/zero")
    (folder / "bad_disk.mp4").symlink_to("/proc/self/mem")  # a regular file whose first byte gives an I/O error
    (folder / "folder.mp4").mkdir()
    write_video(folder / "folder.mp4" / "inside.mp4", size=(48, 48))
    write_video(folder / "locked.mp4", size=(48, 64))
    (folder / "locked.mp4").chmod(0)
    none = ["loop.mp4", "loop_there.mp4", "loop_back.mp4", "pipe.mp4", "device.mp4"]
    closed = ["dangling.mp4", "bad_disk.mp4"]
    expected = dict.fromkeys(none, "not_a_file") | dict.fromkeys(closed, "unreadable")
    is_root = os.geteuid() == 0  # who may read everything
    return {**expected, "folder.mp4/inside.mp4": "ok", "locked.mp4": "ok" if is_root else "unreadable"}


def _named(folder: Path) -> dict[str, str]:
    content = (folder / "moov_first.mp4").read_bytes()
    names = [
        "new\nline.mp4",
        "quotes'\"`$(ls).mp4",
        "\N{GRINNING FACE}\u202e\u0301.mp4",
        "-i.mp4",
        "http:%2d?x=1&y#z.mp4",
        "frame%03d.mp4",
        "back\\slash\\x41.mp4",
        "\x1b[31mred\x9b.mp4",
        "no_ending",
        "x" * 251 + ".mp4",
        os.fsdecode(b"not utf-8 \xff\xfe\xe9.mp4"),
    ]
    for name in names:
        unlike = os.fsencode(name)  # an mp4 may end with free space: no two are the same content
        (folder / name).write_bytes(content + struct.pack(">I4s", 8 + len(unlike), b"free") + unlike)
    return dict.fromkeys(names, "ok")


def _formats(folder: Path) -> dict[str, str]:
    wanted: dict[str, tuple[str, str, dict[str, str]]] = {
        "av1.mp4": ("libsvtav1", "yuv420p", {}),
        "vp9.webm": ("libvpx-vp9", "yuv420p", {}),
        "hevc.mp4": ("libx265", "yuv420p", {"x265-params": "log-level=none"}),
        "mpeg4.avi": ("mpeg4", "yuv420p", {"bf": "2"}),
        "h264_b_frames.avi": ("libx264", "yuv420p", {"bf": "2"}),
        "mpeg2.mpg": ("mpeg2video", "yuv420p", {}),
        "flash.flv": ("libx264", "yuv420p", {}),
        "animated.gif": ("gif", "rgb8", {}),
        "palette.mov": ("qtrle", "rgb24", {}),
        "gray.mkv": ("ffv1", "gray", {}),
        "alpha.mov": ("png", "rgba", {}),
        "ten_bits.mp4": ("libx264", "yuv444p10le", {}),
        "full_range.mp4": ("libx264", "yuvj420p", {}),
        "interlaced.mp4": ("libx264", "yuv420p", {"x264-params": "tff=1", "flags": "+ildct+ilme"}),
    }
    for name, (codec, pixels, options) in wanted.items():
        write_video(folder / name, codec=codec, pixels=pixels, options=options, ticks=range(12))
    return dict.fromkeys(wanted, "ok")


def _clocks(folder: Path) -> dict[str, str]:
    write_video(folder / "uneven.mp4", ticks=[0, 33, 100, 133, 400, 433, 2000], time_base=MILLISECONDS)
    write_video(folder / "late_start.mkv", ticks=range(5000, 6000, 40), time_base=MILLISECONDS)
    write_video(folder / "twice_the_same_time.mkv", codec="ffv1", ticks=[0, 1, 2, 2, 3, 3, 4, 5])
    write_video(folder / "no_clock.h264")
    # Two recordings in one file: the clock begins again.
    (folder / "clock_begins_again.ts").write_bytes((folder / "broadcast.ts").read_bytes() * 2)
    _shift(folder / "long_gop.mkv", folder / "negative_start.mp4", by_s=1.0)
    fine = ["uneven.mp4", "late_start.mkv", "twice_the_same_time.mkv", "negative_start.mp4"]
    return dict.fromkeys(fine, "ok") | dict.fromkeys(["no_clock.h264", "clock_begins_again.ts"], "no_times")


def _shift(whole: Path, path: Path, *, by_s: float) -> None:
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        video: Any = source.streams.video[0]
        copy = target.add_stream_from_template(video)
        ticks = int(by_s / video.time_base)
        for packet in source.demux(video):
            if packet.size and packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, copy
                target.mux(packet)


def _resized(folder: Path) -> dict[str, str]:
    sizes: dict[str, Sequence[tuple[int, int]]] = {
        "call_gets_smaller.webm": [(128, 96), (64, 48)],
        "call_is_turned.webm": [(128, 96), (96, 128)],
    }
    for name, parts in sizes.items():
        join(folder / name, [_part(folder, size, number) for number, size in enumerate(parts)])
    return {"call_gets_smaller.webm": "ok", "call_is_turned.webm": "size_changes"}


def _part(folder: Path, size: tuple[int, int], number: int) -> Path:
    path = folder / f".part{number}.webm"  # a name that no listing looks at
    write_video(path, codec="libvpx-vp9", size=size, ticks=range(12 * number, 12 * number + 12))
    return path


def join(path: Path, parts: Sequence[Path]) -> None:
    """Put the packets of the parts into one stream, with the header of the first."""
    with av.open(str(path), "w") as target:
        copy: Any = None
        for part in parts:
            with av.open(str(part)) as source:
                copy = copy or target.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.stream = copy
                        target.mux(packet)
