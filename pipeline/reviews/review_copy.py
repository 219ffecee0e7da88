"""A film of a track's crops at a steady rate, as browsers play and labelling tools count it, and what each frame shows.

Tools that count frames count them by one rate, so that spans drift where a video's own rate changes. The copy has one
rate, and for each of its frames it is known which frame of the track it shows: a span comes back by looking it up.
Shape letters: T = frames of the track, K = frames of the copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

LOWEST_FPS, HIGHEST_FPS = 10, 120
"""Whole frames a second only: tools that are told 29.97 count other frames than the browser shows."""

ASSUMED_FRAME_S = 0.1
"""How long the only frame of a track is shown."""

QUALITY_CRF = "18"
KEYFRAME_EVERY = 10
"""Short, so that a step backwards or a jump is shown at once."""

DIMMED = 0.35
"""Brightness while the face is not found: the last crop is held."""


@dataclass(frozen=True)
class CopyPlan:
    """Which frame of the track each frame of the copy shows."""

    fps: int
    shown: NDArray[np.int64]
    """Position in the track [K], rising."""
    is_held: NDArray[np.bool_]
    """Whether the copy's frame lies in a stretch without the face [K]."""


def plan_copy(times_s: Sequence[float], is_gap_before: Sequence[bool] | None = None) -> CopyPlan:
    """The lowest rate at which every frame of the track is shown, or HIGHEST_FPS if none does, and what is shown when.

    A frame of the copy shows what the video showed in the middle of its time.

    Args:
        times_s: presentation times of the track's frames [T], rising.
        is_gap_before: whether frames without the face lie just before each [T].

    Raises:
        ValueError: there is no frame, or the times do not rise.
    """
    times = np.asarray(times_s, np.float64)
    gaps_s = np.diff(times)
    if not len(times) or not np.isfinite(times).all() or (gaps_s <= 0).any():
        raise ValueError(f"times_s: expected at least one time, each later than the one before, got {len(times)}")
    since_start = times - times[0]
    last_for_s = float(np.median(gaps_s)) if len(gaps_s) else ASSUMED_FRAME_S
    for fps in range(LOWEST_FPS, HIGHEST_FPS + 1):
        num_frames = max(1, int(np.ceil((since_start[-1] + last_for_s) * fps - 0.5)))
        middles = (np.arange(num_frames) + 0.5) / fps
        shown = np.searchsorted(since_start, middles, side="right") - 1
        if num_frames >= len(times) and len(np.unique(shown)) == len(times):
            break
    is_held = np.zeros(num_frames, np.bool_)
    if is_gap_before is not None:
        gap_follows = np.append(np.asarray(is_gap_before, np.bool_)[1:], False)
        is_held = gap_follows[shown] & (middles > since_start[shown] + 1.5 * last_for_s)
    return CopyPlan(fps, shown, is_held)


def write_copy(path: Path, plan: CopyPlan, crops_jpeg: Sequence[bytes]) -> None:
    """Write the copy as MP4 with H.264, without sound: what every browser plays.

    No frame refers to a later one, so that the film begins at 0 s: else tools count from another frame than the first.

    Args:
        path: a new file.
        crops_jpeg: the track's crops [T], all of one size.
    """
    import av

    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        options = {"crf": QUALITY_CRF, "bf": "0", "g": str(KEYFRAME_EVERY), "preset": "veryfast"}
        stream: Any = container.add_stream("libx264", rate=plan.fps, options=options)
        stream.pix_fmt = "yuv420p"
        for number, rgb in enumerate(_pictures(plan, crops_jpeg)):
            if number == 0:
                stream.height, stream.width = rgb.shape[:2]
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _pictures(plan: CopyPlan, crops_jpeg: Sequence[bytes]) -> Iterator[NDArray[np.uint8]]:
    """The copy's frames, uint8 [H, W, 3], sides even as yuv420p asks for."""
    before, rgb = -1, np.zeros((0, 0, 3), np.uint8)
    for position, is_held in zip(plan.shown.tolist(), plan.is_held.tolist(), strict=True):
        if position != before:
            decoded: Any = cv2.imdecode(np.frombuffer(crops_jpeg[position], np.uint8), cv2.IMREAD_COLOR_RGB)
            height, width = (side // 2 * 2 for side in decoded.shape[:2])
            before, rgb = position, np.ascontiguousarray(decoded[:height, :width], np.uint8)
        yield (rgb * DIMMED).astype(np.uint8) if is_held else rgb
