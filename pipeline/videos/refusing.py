"""Say why a file gives no frames, for what decodes videos and for what decodes pictures: one word, and a sentence."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.videos.frames import Limits, VideoError
from pipeline.videos.paths import path_text

ASPECT_TOLERANCE = 0.02
"""Relative change of width / height up to which a frame is scaled to the size of the first."""


@contextmanager
def reasons(path: Path) -> Iterator[None]:
    """Give a reason for what the decoders raise on damaged files, which is of many kinds: IndexError, StopIteration."""
    try:
        yield
    except (VideoError, ImportError):  # an environment that is broken is not the file's fault
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            raise VideoError("too_large", f"{name_of(path)} needs more memory than a decoder may have") from error
        words = in_words(error).replace(os.path.abspath(path), name_of(path))  # noqa: PTH100
        raise VideoError("corrupt", f"{name_of(path)} does not decode: {words}") from error


def refuse_large(name: str, width: int, height: int, limits: Limits) -> None:
    """Raise `too_large` where a frame of the file `name` is larger than it may be."""
    if max(width, height) > limits.max_side_px or width * height > limits.max_frame_px:
        most = f"{limits.max_side_px} px a side and {limits.max_frame_px} px a frame are the most"
        raise VideoError("too_large", f"{name} has frames of {width} x {height} px; {most}")


def refuse_too_many(path: Path, num_frames: int, limits: Limits) -> None:
    """Raise `too_large` where a clip has more frames than it may have."""
    if num_frames > limits.max_frames:
        raise VideoError("too_large", f"{name_of(path)} has more than {limits.max_frames} frames, which is the most")


def refuse_long(path: Path, num_frames: int, frame_px: int, duration_s: float, limits: Limits) -> None:
    """Raise `too_large` where a clip lasts longer than it may, or all its frames hold more pixels than they may.

    Args:
        frame_px: pixels of one frame.
        duration_s: from the first frame to the last.
    """
    refuse_too_many(path, num_frames, limits)
    if duration_s > limits.max_duration_s:
        most = f"{limits.max_duration_s:g} s are the most"
        raise VideoError(
            "too_large", f"{name_of(path)} lasts {duration_s:.0f} s from its first frame to its last; {most}"
        )
    if num_frames * frame_px > limits.max_video_px:
        most = f"{limits.max_video_px} px in all are the most"
        raise VideoError("too_large", f"{name_of(path)} has {num_frames} frames of {frame_px} px; {most}")


def refuse_distorting(path: Path, frame: str, size: tuple[int, int], first: tuple[int, int]) -> None:
    """Raise `size_changes` where a frame, width and height, cannot be scaled to the size of the first one."""
    if size != first and abs(size[0] * first[1] / (size[1] * first[0]) - 1) > ASPECT_TOLERANCE:
        sizes = f"from {first[0]} x {first[1]} to {size[0]} x {size[1]} px"
        raise VideoError("size_changes", f"{name_of(path)}: the picture changes its shape {sizes} at {frame}")


def name_of(path: Path) -> str:
    """The name without its folder: a reject does not depend on where the file lay."""
    return path_text(path.name)


def in_words(error: Exception) -> str:
    """The error's kind and the first line of what it says."""
    return f"{type(error).__name__}: {first_line(error)}"


def first_line(error: Exception) -> str:
    """Of what an error says, without what differs from one run to the next."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if not lines:
        return "no message"
    # decord begins with the time of day and a place in its own source: two runs must give the same words.
    return re.sub(r"\[\d\d:\d\d:\d\d\] \S+ ", "", lines[0])[:300]
