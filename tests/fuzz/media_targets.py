"""Readers of videos and pictures: headers that are looked at here, and decoding in the decoder's process."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.videos.datasets.headers import HeaderError, decode_picture, look_at_picture, look_at_video
from pipeline.videos.frames import Limits, VideoError, probe
from pipeline.videos.picture_decoding import probe_folder, read_folder
from tests.fuzz.law import Read, Target, must

LIMITS = Limits(timeout_s=20.0, max_side_px=512, max_frame_px=200_000, max_frames=2000)


def _pictures() -> Iterable[bytes]:
    from PIL import Image

    rgb = np.random.default_rng(1).integers(0, 255, (16, 12, 3), np.uint8)
    for form, more in (
        ("JPEG", {"exif": _turned()}),
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {}),
    ):
        made = io.BytesIO()
        Image.fromarray(rgb).save(made, form, **more)
        yield made.getvalue()
    for mode in ("I;16", "P", "LA", "1", "CMYK"):
        made = io.BytesIO()
        grey = (
            Image.fromarray(rgb[:, :, 0].astype(np.uint16) << 8)
            if mode == "I;16"
            else Image.fromarray(rgb).convert(mode)
        )
        grey.save(made, "JPEG" if mode == "CMYK" else "PNG")
        yield made.getvalue()


def _turned() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def _open_look_at_picture(folder: Path) -> Read:
    path = str(folder / "1.jpg")

    def read(data: bytes) -> None:
        Path(path).write_bytes(data)
        facts = look_at_picture(path)
        must(facts.width_px >= 0 and facts.height_px >= 0, "a size that is none")

    return read


def _open_decode_picture(folder: Path) -> Read:
    path = str(folder / "1.jpg")

    def read(data: bytes) -> None:
        Path(path).write_bytes(data)
        decode_picture(path)

    return read


def _open_frame(folder: Path) -> Read:
    path = folder / "1.png"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        facts = probe_folder(folder, LIMITS, 25.0, _nothing)
        for frame in read_folder(folder, 25.0, _nothing):
            must(
                frame.rgb.shape == (facts.height_px, facts.width_px, 3),
                f"a frame of {frame.rgb.shape}, and facts of another",
            )

    return read


def _nothing() -> None:
    pass


def _videos() -> Iterable[bytes]:
    import tempfile

    import av

    for name, codec in (
        ("a.mp4", "mpeg4"),
        ("a.avi", "mpeg4"),
        ("a.mkv", "ffv1"),
        ("a.ts", "mpeg2video"),
        ("a.gif", "gif"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            with av.open(str(path), "w") as container:
                stream: Any = container.add_stream(codec, rate=25)
                stream.width, stream.height = 32, 32
                stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
                for number in range(3):
                    picture = np.full((32, 32, 3), 40 * number, np.uint8)
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
            yield path.read_bytes()


def _open_look_at_video(folder: Path) -> Read:
    path = folder / "a.mp4"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        must(look_at_video(path) == len(data), "another size")

    return read


def _open_probe(folder: Path) -> Read:
    path = folder / "a.mp4"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        facts = probe(path, LIMITS)
        must(facts.num_frames > 0 and 0 < facts.width_px <= LIMITS.max_side_px, "facts of no video")

    return read


_BOXES = ("ftyp", "moov", "mdat", "trak", "mvhd", "stsz", "stts", "elst", "RIFF", "AVI ", "idx1", "free", "wide")
_CHUNKS = (
    "IHDR",
    "IEND",
    "IDAT",
    "eXIf",
    "iCCP",
    "tRNS",
    "acTL",
    "Exif\0\0",
    "RIFF",
    "WEBP",
    "VP8X",
    "VP8L",
    "\0\0\0\x01",
)

Pictures = Callable[[], Iterable[bytes]]

TARGETS = (
    Target("picture_header", (HeaderError,), _pictures, _open_look_at_picture, words=_CHUNKS),
    Target("picture", (HeaderError,), _pictures, _open_decode_picture, words=_CHUNKS),
    Target("frame", (VideoError,), _pictures, _open_frame, words=_CHUNKS),
    Target("video_header", (HeaderError,), _videos, _open_look_at_video, words=_BOXES),
    Target("video", (VideoError,), _videos, _open_probe, words=_BOXES),
)
