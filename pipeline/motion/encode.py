"""Cut a track into clips of sixteen aligned frames and weigh where in them the face moves.

Shape letters: T = frames of the track, F = 16 frames of a clip, G = 14 patches a side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.config import MotionConfig
from schemas.motion import CLIP_FRAMES, GRID

ReadCrop = Callable[[int], NDArray[np.uint8]]
"""The aligned crop, RGB uint8 [224, 224, 3], at a position of the track."""


@dataclass(frozen=True)
class Clip:
    """One training clip; `positions` [F] are the frames' positions in the track."""

    positions: NDArray[np.int64]
    times_s: NDArray[np.float64]
    frames: NDArray[np.uint8]
    motion_weights: NDArray[np.float16]
    is_motion_known: NDArray[np.uint8]
    is_padding: NDArray[np.uint8]


def encode_clips(
    times_s: NDArray[np.float64], is_gap_before: NDArray[np.bool_], read_crop: ReadCrop, config: MotionConfig
) -> Iterator[Clip]:
    """Yield the clips of a track in time order. times_s [T] rising, is_gap_before [T]."""
    for span in clip_spans(times_s, config.clip_s):
        if len(span) >= config.min_frames:
            yield _encode_clip(span, times_s, is_gap_before, read_crop, config)


def clip_spans(times_s: NDArray[np.float64], clip_s: float) -> list[NDArray[np.int64]]:
    """Cut a track's positions into stretches of equal duration, none longer than `clip_s`."""
    duration_s = float(times_s[-1] - times_s[0])
    num_clips = max(1, int(np.ceil(duration_s / clip_s)))
    number = np.minimum(((times_s - times_s[0]) / max(duration_s, 1e-9) * num_clips).astype(np.int64), num_clips - 1)
    return [np.flatnonzero(number == clip) for clip in range(num_clips) if (number == clip).any()]


def sample_positions(span: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Positions [F] in the middle of sixteen equal segments, and which of them [F] only repeat the last frame.

    Segment sampling as in TSN (Wang et al. 2016). A stretch of fewer than sixteen frames is kept whole and padded.
    """
    if len(span) < CLIP_FRAMES:
        padded = np.pad(span, (0, CLIP_FRAMES - len(span)), mode="edge")
        return padded, (np.arange(CLIP_FRAMES) >= len(span)).astype(np.uint8)
    middles = ((np.arange(CLIP_FRAMES) + 0.5) * len(span) / CLIP_FRAMES).astype(np.int64)
    return span[middles], np.zeros(CLIP_FRAMES, np.uint8)


def _encode_clip(
    span: NDArray[np.int64],
    times_s: NDArray[np.float64],
    is_gap_before: NDArray[np.bool_],
    read_crop: ReadCrop,
    config: MotionConfig,
) -> Clip:
    positions, is_padding = sample_positions(span)
    has_next = positions + 1 < len(times_s)
    neighbours = np.minimum(positions + 1, len(times_s) - 1)
    is_known = has_next & ~is_gap_before[neighbours] & (is_padding == 0)
    frames = np.stack([read_crop(position) for position in positions.tolist()])
    following = [
        read_crop(n) if known else frames[f]
        for f, (n, known) in enumerate(zip(neighbours.tolist(), is_known, strict=True))
    ]
    step_s = np.where(is_known, times_s[neighbours] - times_s[positions], 1.0)
    differences = pooled_differences(frames, following) / step_s[:, None, None]
    return Clip(
        positions=positions,
        times_s=times_s[positions],
        frames=frames,
        motion_weights=motion_weights(differences, is_known, config),
        is_motion_known=is_known.astype(np.uint8),
        is_padding=is_padding,
    )


def pooled_differences(
    frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], following: Sequence[NDArray[np.uint8]]
) -> NDArray[np.float32]:
    """Mean absolute grey difference of each frame to the one after it in time, pooled to [F, G, G]."""
    pooled = []
    for frame, after in zip(frames, following, strict=True):
        difference = cv2.absdiff(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.cvtColor(after, cv2.COLOR_RGB2GRAY))
        pooled.append(cv2.resize(difference.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA))
    return np.stack(pooled).astype(np.float32)


def motion_weights(
    differences: NDArray[np.floating], is_known: NDArray[np.bool_], config: MotionConfig
) -> NDArray[np.float16]:
    """Weights 0..1 [F, G, G] from differences per second [F, G, G]; zero where `is_known` [F] is false.

    Each frame's median is removed, because what changes everywhere at once is light, camera or head. What lies above it
    is scaled by its own median and median absolute deviation over the clip: one outlier does not hide everything else.
    """
    weights = np.zeros((CLIP_FRAMES, GRID, GRID), np.float16)
    if not is_known.any():
        return weights
    known = differences[is_known]
    above = np.maximum(known - np.median(known, axis=(1, 2), keepdims=True), 0)
    moved = above[above > 0]
    if not moved.size:
        return weights
    median = np.median(moved)
    reach = median + config.scale_mad * np.median(np.abs(moved - median))
    weights[is_known] = np.clip(above / reach, 0, 1) ** config.gamma
    return weights
