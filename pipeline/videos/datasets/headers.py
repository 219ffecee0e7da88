"""What a look at a file's first and last bytes tells: a picture's size, and whether a picture or video is cut short.

Nothing is decoded here. Of a picture some 2 kB at its start and a few bytes at its end are read, so that hundreds of
thousands of frames are looked at in seconds; where these bytes are not as in nearly every file, Pillow is the judge.
Of a video the container's boxes are counted against the size of the file: a download that was broken off shows.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

HEAD_BYTES = 2048
"""Of a picture: JPEG files of video frames say their size within the first few hundred."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG segments that hold the size of the picture. Source: ITU-T T.81, table B.1."""

_SIGNATURES = (
    (0, b"RIFF", "AVI"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (0, b"FLV", "FLV"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
    (0, b"OggS", "Ogg"),
    (0, b"\x00\x00\x01\xba", "MPEG programme stream"),
    (0, b"\x00\x00\x01\xb3", "MPEG video"),
    (0, b"GIF8", "GIF"),
    (0, b"G", "MPEG transport stream"),
    (4, b"ftyp", "MP4"),
    (4, b"moov", "QuickTime"),
    (4, b"mdat", "QuickTime"),
    (4, b"wide", "QuickTime"),
    (4, b"free", "QuickTime"),
    (4, b"skip", "QuickTime"),
)
"""Where a container's first bytes stand, what they are, and its name."""


class HeaderError(Exception):
    """A file that is not what its name says, or not whole: the message says what was found."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What a picture's file says of itself."""

    width_px: int
    height_px: int
    num_bytes: int


def look_at_picture(path: str) -> PictureFacts:
    """Size of a picture from its header; `path` is a str, because a Path for each of many frames takes long.

    Raises:
        HeaderError: empty, no picture, cut short, or it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe must not hold us
        try:
            num_bytes = os.fstat(file).st_size
            head = os.pread(file, HEAD_BYTES, 0)
            tail = head[-12:] if num_bytes <= len(head) else os.pread(file, 12, num_bytes - 12)
        finally:
            os.close(file)
    except OSError as error:
        raise HeaderError(error.strerror or str(error)) from error
    if not num_bytes:
        raise HeaderError("the file is empty")
    size = None
    if head.startswith(b"\xff\xd8") and tail.endswith(_JPEG_END):
        size = _jpeg_size(head)
    elif head.startswith(_PNG) and tail.endswith(_PNG_END) and head[12:16] == b"IHDR":
        size = struct.unpack_from(">II", head, 16)
    width, height = size or decode_picture(path)
    return PictureFacts(width, height, num_bytes)


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """Width and height, or None where these bytes do not say it."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return (width, height) if width and height else None
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def decode_picture(path: str) -> tuple[int, int]:
    """Decode a picture whole, and return its width and height in pixels.

    Raises:
        HeaderError: it cannot be decoded: what Pillow says.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.size
    except UnidentifiedImageError as error:
        raise HeaderError("no picture that Pillow knows") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what its readers raise
        raise HeaderError(str(error)) from error


def look_at_video(path: Path) -> int:
    """Bytes of a video file that begins as one and, if it is MP4, QuickTime or AVI, is as long as it says.

    Raises:
        HeaderError: empty, no container that is known, cut short, or it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            num_bytes = os.fstat(file).st_size
            head = os.pread(file, 16, 0)
            if not num_bytes:
                raise HeaderError("the file is empty")
            name = next((name for at, sign, name in _SIGNATURES if head.startswith(sign, at)), None)
            if name is None:
                raise HeaderError(f"no video: it begins with {head[:8]!r}")
            if name in ("MP4", "QuickTime"):
                _walk_boxes(file, num_bytes)
            elif name == "AVI" and (says := 8 + int.from_bytes(head[4:8], "little")) > num_bytes + 1:
                raise HeaderError(f"cut short: its header says {says} bytes, {num_bytes} are there")
        finally:
            os.close(file)
    except OSError as error:
        raise HeaderError(error.strerror or str(error)) from error
    return num_bytes


def _walk_boxes(file: int, num_bytes: int) -> None:
    """Follow the boxes of an MP4 from one to the next. Source: ISO/IEC 14496-12, 4.2."""
    at, kinds = 0, set()
    while at + 8 <= num_bytes:
        head = os.pread(file, 16, at)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        elif size == 0:  # to the end of the file
            size = num_bytes - at
        if size < 8:
            break  # no box: what comes after the last one is not ours to judge
        if at + size > num_bytes:
            told = kind.decode("latin-1")
            raise HeaderError(f"cut short: its part {told!r} ends at byte {at + size}, {num_bytes} are there")
        kinds.add(kind)
        at += size
    if b"moov" not in kinds:
        raise HeaderError(
            "cut short, or never finished: the part 'moov', which says where the frames lie, is not there"
        )
