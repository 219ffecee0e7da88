"""The facts and the frames of a video, as a decoder process reads them: what the other rooms ask for.

A video is a file, or a folder of pictures, one a frame (`frame_folder.py`).

Nothing here opens a video: a file may hang or kill what decodes it, so `decoding.py` does so in a process of its own.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DECODERS_OWN = ("corrupt", "decoder_crashed", "decoder_hung")
"""Reasons for which one decoder may fail and the other not."""

FRAME_FOLDER = "frame_folder"
"""The container of a clip that is a folder of pictures."""

ASSUMED_FPS = 25.0
"""Frames a second of a folder of pictures, which says nothing of its clock."""


@dataclass(frozen=True)
class Frame:
    """One decoded frame: its place in presentation order, presentation time in seconds, and RGB uint8 [H, W, 3].

    Of a folder of pictures the place is the picture's number less that of the first, so that places may be missing.
    Times grow strictly, and may begin below zero where the container's do. All frames of a video have one size.
    """

    index: int
    time_s: float
    rgb: NDArray[np.uint8]


@dataclass(frozen=True)
class VideoFacts:
    """What a container says of its video stream and what decoding it showed."""

    duration_s: float
    num_frames: int
    mean_fps: float
    width_px: int
    height_px: int
    rotation_deg: int
    codec: str
    container: str
    has_audio: bool
    decoder: str
    assumed_fps: float | None = None
    """The clock of a folder of pictures, which has none; None where the container states its frames' times."""


@dataclass(frozen=True)
class Limits:
    """How far a file may go before it is refused. After the first two, they hold in `probe`."""

    timeout_s: float = 30.0
    """Seconds without a new frame before the decoder is taken for hung; the consumer's own time is not counted."""

    memory_bytes: int = 4 << 30
    """Address space of the decoder process."""

    max_side_px: int = 8192
    max_frame_px: int = 50_000_000
    max_frames: int = 1_000_000
    max_duration_s: float = 12 * 3600.0
    max_video_px: int = 4_000_000_000_000
    """Pixels of all frames together."""


class VideoError(Exception):
    """A file that gives no frames. `reason` is one word of the closed list in `schemas.rejects`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def probe(path: Path, limits: Limits = Limits(), *, assumed_fps: float = ASSUMED_FPS) -> VideoFacts:
    """Choose the decoder, and return the facts without decoding every frame where decord reads.

    `assumed_fps` is the clock of a folder of pictures, of which the headers are read and the first picture is decoded.

    Raises:
        VideoError: `unreadable`, `not_a_file`, `empty_file`, `not_a_video`, `no_video_stream`, `no_times`, `corrupt`,
            `size_changes`, `too_large`, `file_changed`, `decoder_hung` or `decoder_crashed`.
    """
    request = {"do": "probe", "assumed_fps": assumed_fps}
    try:
        ((answer, _),) = _ask(path, limits, {**request, "with_decord": True})
    except VideoError as error:
        if error.reason not in DECODERS_OWN or path.is_dir():
            raise
        # decord aborts on headers that PyAV reads well: a count of times that is wrong, for one.
        ((answer, _),) = _ask(path, limits, {**request, "with_decord": False})
    return VideoFacts(**answer["facts"])


def read_frames(
    path: Path, decoder: str, limits: Limits = Limits(), *, assumed_fps: float = ASSUMED_FPS
) -> Iterator[Frame]:
    """Yield every frame in presentation order, with the decoder that `probe` chose, decoded a few frames ahead.

    `assumed_fps` is the clock of a folder of pictures, as `probe` was given it.

    Two readings give the same frames. An iterator that is closed early leaves its decoder process to the next video.

    Raises:
        VideoError: as `probe`; after some frames most likely `corrupt`. Where the reason is one of `DECODERS_OWN`, the
            `other_decoder` may read the video, from its start.
    """
    with closing(_ask(path, limits, {"do": "read", "decoder": decoder, "assumed_fps": assumed_fps})) as answers:
        for message, rgb in answers:
            yield Frame(message["index"], message["time_s"], rgb)


def other_decoder(decoder: str) -> str | None:
    """The decoder to try when `decoder` failed for a reason of `DECODERS_OWN`; None after the last."""
    return av_version() if decoder == decord_version() else None


@cache
def decord_version() -> str:
    """Name and version of the first decoder, as rows record it."""
    return f"decord {version('decord')}"


@cache
def av_version() -> str:
    """Name and version of the second decoder, as rows record it."""
    return f"av {version('av')}"


@cache
def pillow_version() -> str:
    """Name and version of the decoder of pictures, as rows record it."""
    return f"pillow {version('pillow')}"


Answer = tuple[dict[str, Any], NDArray[np.uint8]]


def _ask(path: Path, limits: Limits, request: dict[str, Any]) -> Generator[Answer]:
    """Give a request to a decoder process and yield its answers, each with its picture, until the last."""
    from pipeline.videos.decoder_process import DecoderLostError, borrow

    with borrow() as decoder:
        decoder.ask({**request, "path": str(path), "limits": asdict(limits)})
        while True:
            try:
                message, rgb = decoder.receive(limits.timeout_s)
            except DecoderLostError as lost:
                raise VideoError(lost.reason, str(lost)) from lost
            if message["kind"] == "end":
                return
            if message["kind"] == "refused":
                raise VideoError(message["reason"], message["detail"])
            if message["kind"] == "failed":
                raise RuntimeError(f"the decoder process failed: {message['detail']}")
            yield message, rgb
