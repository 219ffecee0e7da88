"""Cut a track into clips of sixteen aligned frames and weigh where in them the face moves.

Shape letters: T = frames of the track, F = 16 frames of a clip, G = 14 patches a side, N = landmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.motion.change import change, grey
from pipeline.motion.config import MotionConfig
from schemas.motion import CLIP_FRAMES, GRID

ReadCrop = Callable[[int], NDArray[np.uint8]]
"""The aligned crop, RGB uint8 [224, 224, 3], at a position of the track."""


@dataclass(frozen=True, eq=False)
class AlignedTrack:
    """A face as its crops show it: times [T] rising, whether a gap or a cut lies before each frame [T], and landmarks
    [T, N, 3] in pixels of the crops, depth included."""

    times_s: NDArray[np.float64]
    is_break_before: NDArray[np.bool_]
    landmarks: NDArray[np.float32]
    read_crop: ReadCrop


@dataclass(frozen=True)
class Clip:
    """One training clip; `positions` [F] are the frames' positions in the track."""

    positions: NDArray[np.int64]
    times_s: NDArray[np.float64]
    frames: NDArray[np.uint8]
    motion_weights: NDArray[np.float16]
    is_motion_known: NDArray[np.uint8]
    is_padding: NDArray[np.uint8]


def encode_clips(track: AlignedTrack, config: MotionConfig) -> Iterator[Clip]:
    """Yield the clips of a track in time order."""
    for span in clip_spans(track.times_s, config.clip_s):
        if len(span) >= config.min_frames:
            yield _encode_clip(track, span, config)


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


def compared_with(
    times_s: NDArray[np.float64], is_break_before: NDArray[np.bool_], position: int, step_s: float
) -> int | None:
    """The position of the first frame at least `step_s` later, or of the last one before a break or the end.

    None where the very next frame is already beyond.
    """
    last = position
    while last + 1 < len(times_s) and not is_break_before[last + 1]:
        last += 1
        if times_s[last] - times_s[position] >= step_s - 1e-6:  # frame times are rounded
            break
    return last if last > position else None


def _encode_clip(track: AlignedTrack, span: NDArray[np.int64], config: MotionConfig) -> Clip:
    positions, is_padding = sample_positions(span)
    later = [
        None if padded else compared_with(track.times_s, track.is_break_before, position, config.step_s)
        for position, padded in zip(positions.tolist(), is_padding.tolist(), strict=True)
    ]
    is_known = np.array([position is not None for position in later])
    frames = np.stack([track.read_crop(position) for position in positions.tolist()])
    changes = np.zeros((CLIP_FRAMES, GRID, GRID), np.float32)
    for number, (position, other) in enumerate(zip(positions.tolist(), later, strict=True)):
        if other is not None:
            before, after = grey(frames[number]), grey(track.read_crop(other))
            changed = change(before, after, track.landmarks[position], track.landmarks[other], config)
            changes[number] = changed / (track.times_s[other] - track.times_s[position])
    return Clip(
        positions=positions,
        times_s=track.times_s[positions],
        frames=frames,
        motion_weights=motion_weights(changes, is_known, config),
        is_motion_known=is_known.astype(np.uint8),
        is_padding=is_padding,
    )


def motion_weights(
    changes: NDArray[np.floating], is_known: NDArray[np.bool_], config: MotionConfig
) -> NDArray[np.float16]:
    """Weights 0..1 [F, G, G] from changes per second [F, G, G]; zero where `is_known` [F] is false.

    What changed is scaled by its own median and median absolute deviation over the clip, so that one outlier does not
    hide everything else, and never by less than `least_reach`.
    """
    weights = np.zeros((CLIP_FRAMES, GRID, GRID), np.float16)
    changed = changes[is_known]
    moved = changed[changed > 0]
    if not moved.size:
        return weights
    median = np.median(moved)
    reach = max(float(median + config.scale_mad * np.median(np.abs(moved - median))), config.least_reach)
    weights[is_known] = np.clip(changed / reach, 0, 1) ** config.gamma
    return weights
