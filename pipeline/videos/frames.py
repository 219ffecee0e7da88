"""Decode a video's frames with their presentation times: the only module that opens a video file.

decord reads first. PyAV reads where decord is known to be wrong (edit lists: times that start below zero, frame numbers
that shift; rotated pictures, on whose padding it fails) or cannot read at all (AV1, broken indexes). Frames are the
displayed picture: a rotation that the container asks for has been applied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DECORD_BATCH = 16
"""Frames asked of decord at once: few enough that 16 frames of 4K stay below half a gigabyte."""

CONTAINER_STARTS = (b"RIFF", b"\x1aE\xdf\xa3", b"FLV", b"OggS", b"\x00\x00\x01\xba", b"G@")
"""First bytes of AVI, Matroska, Flash, Ogg, MPEG program and transport streams. MP4 has `ftyp` after its first four."""


@dataclass(frozen=True)
class Frame:
    """One decoded frame: its index in decoding order, presentation time in seconds, and RGB uint8 [H, W, 3]."""

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


class VideoError(Exception):
    """A file that gives no frames. `reason` is one word of the closed list in `schemas.rejects`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def probe(path: Path) -> VideoFacts:
    """Open the container, choose the decoder, and return the facts without decoding every frame where decord reads.

    Raises:
        VideoError: `unreadable`, `empty_file`, `not_a_video`, `no_video_stream` or `corrupt`.
    """
    _refuse_unreadable(path)
    facts, times_s = _probe_container(path)
    if facts["rotation_deg"] == 0 and _decord_agrees(path, times_s):
        decoder = decord_version()
    else:
        times_s = np.array([frame.time_s for frame in _read_with_av(path)])
        decoder = av_version()
        if not len(times_s):
            raise VideoError("corrupt", f"{path.name} holds a video stream but no frame of it decodes")
    last_step_s = float(times_s[-1] - times_s[-2]) if len(times_s) > 1 else 0.0
    duration_s = float(times_s[-1] - times_s[0]) + last_step_s
    mean_fps = len(times_s) / duration_s if duration_s > 0 else 0.0
    return VideoFacts(duration_s=duration_s, num_frames=len(times_s), mean_fps=mean_fps, decoder=decoder, **facts)


def read_frames(path: Path, decoder: str) -> Iterator[Frame]:
    """Yield every frame in presentation order, with the decoder that `probe` chose.

    Raises:
        VideoError: `corrupt`, when the stream breaks before its end.
    """
    return _read_with_decord(path) if decoder == decord_version() else _read_with_av(path)


def decord_version() -> str:
    """Name and version of the first decoder, as rows record it."""
    return f"decord {version('decord')}"


def av_version() -> str:
    """Name and version of the second decoder, as rows record it."""
    return f"av {version('av')}"


def _refuse_unreadable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            first = file.read(1)
    except OSError as error:
        raise VideoError("unreadable", f"{error.strerror}: {path.name}") from error
    if not first:
        raise VideoError("empty_file", f"{path.name} has no bytes")


def _probe_container(path: Path) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Facts of the first video stream, and the presentation times that its packets state, sorted, in seconds [T]."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
                raise VideoError("no_video_stream", f"{path.name} has no video stream; its streams: {kinds}")
            stream = container.streams.video[0]
            first = next(container.decode(stream))
            upright = first.rotation % 180 == 0
            facts = {
                "width_px": first.width if upright else first.height,
                "height_px": first.height if upright else first.width,
                "rotation_deg": int(first.rotation),
                "codec": stream.codec_context.name,
                "container": container.format.name,
                "has_audio": bool(container.streams.audio),
            }
        return facts, _packet_times(path)
    except VideoError:
        raise
    except av.error.InvalidDataError as error:
        if _looks_like_a_container(path):
            raise VideoError(
                "corrupt", f"{path.name} begins like a video and cannot be opened: {error.strerror}"
            ) from error
        raise VideoError("not_a_video", f"{path.name} is no media container that is known") from error
    except Exception as error:
        # PyAV raises many kinds on damaged files: IndexError, UnicodeDecodeError, StopIteration.
        raise VideoError("corrupt", f"{path.name} does not decode: {type(error).__name__}: {error}") from error


def _looks_like_a_container(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" or start.startswith(CONTAINER_STARTS)


def _packet_times(path: Path) -> NDArray[np.float64]:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        times = [float(packet.pts * packet.time_base) for packet in packets if packet.pts is not None]
        if len(packets) < stream.frames:  # a file cut short decodes without an error, so the count must tell
            detail = f"{path.name} declares {stream.frames} frames and holds {len(packets)}: the file is cut short"
            raise VideoError("corrupt", detail)
    return np.sort(np.array(times, dtype=np.float64))


def _decord_agrees(path: Path, times_s: NDArray[np.float64]) -> bool:
    """Whether decord opens the file and gives each frame the time that the container states, none below zero.

    With an edit list decord's times start below zero and its frame numbers point at other frames.
    """
    try:
        seen_s = _open_decord(path).get_frame_timestamp(range(len(times_s)))[:, 0]
    except Exception:  # whatever decord cannot open (AV1, a broken index), PyAV is asked next
        return False
    return bool(len(seen_s) == len(times_s) and times_s[0] >= 0 and np.abs(seen_s - times_s).max() < 1e-3)


def _open_decord(path: Path) -> Any:
    import decord

    # One thread a reader: shards are what runs side by side. A reader is never shared between threads (it aborts).
    return decord.VideoReader(str(path), num_threads=1)


def _read_with_decord(path: Path) -> Iterator[Frame]:
    import decord

    times_s = _packet_times(path)  # decord's own are float32
    try:
        reader = _open_decord(path)
        for start in range(0, len(reader), DECORD_BATCH):
            indices = list(range(start, min(start + DECORD_BATCH, len(reader))))
            for index, rgb in zip(indices, reader.get_batch(indices).asnumpy(), strict=True):
                yield Frame(index, float(times_s[index]), rgb)
    except decord.DECORDError as error:
        raise VideoError("corrupt", f"{path.name}: decord: {_first_line(error)}") from error


def _read_with_av(path: Path) -> Iterator[Frame]:
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            for index, frame in enumerate(container.decode(stream)):
                if frame.pts is None:
                    raise VideoError("corrupt", f"{path.name}: frame {index} has no presentation time")
                time_s = float(frame.pts * (frame.time_base or Fraction(1, 1)))
                upright = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                yield Frame(index, time_s, np.ascontiguousarray(upright))
    except VideoError:
        raise
    except Exception as error:
        raise VideoError("corrupt", f"{path.name}: PyAV: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # decord begins with the time of day and a place in its own source: two runs must give the same words.
    return re.sub(r"^\[[\d:]+\] \S+ ", "", lines[0])[:300]
