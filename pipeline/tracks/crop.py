"""Cut a face out of a frame so that its eyes lie in the same place, at the same size, in every crop of a track.

One similarity (shift, scale, in-plane turn) a frame, from landmarks that no expression moves. Scale is taken from the
landmarks in three dimensions: between the eyes alone, a face would be enlarged whenever it turns to the side.
Pixel coordinates are continuous: (0, 0) is the outer corner of the first pixel and its centre is (0.5, 0.5).
Shape letters: T = frames of a track, W = frames in a smoothing window.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

RIGHT_EYE, LEFT_EYE = (33, 133), (263, 362)
"""Outer and inner corner; right and left are the subject's."""

NOSE_BRIDGE = (168, 6, 197, 195)

EYES_X, EYES_Y = 0.5, 0.375
"""Where the middle between the eyes lies in the crop, as parts of its side: forehead and an open jaw fit around it."""

STABLE_RADIUS = 0.1165
"""Root-mean-square distance of the stable landmarks from their mean, in three dimensions, as part of the crop's side.
It makes the outer eye corners of MediaPipe's canonical face 0.365 sides apart, and its height 0.73 sides."""

PLACE_S, SCALE_S, ROLL_S = 0.02, 0.2, 0.03
"""Widths in seconds of the Gaussians that smooth a track's transforms.

Chosen by optical flow around the eyes of the crops of three real videos. Landmarks follow the head's place to some
0.2 px of the crop, so wider smoothing there only leaves quick head motion in (four times the flow at 0.1 s); their
scale jitters by 0.5 % a frame, which 0.2 s brings to a quarter. At 30 frames a second or less, place stays as it is.
"""

_STABLE = [*RIGHT_EYE, *LEFT_EYE, *NOSE_BRIDGE]


def crop(rgb: NDArray[np.uint8], matrix_2x3: NDArray[np.floating], size: int) -> NDArray[np.uint8]:
    """Cut uint8 [size, size, 3] out of a frame, uint8 [H, W, 3], by a transform from its pixels to the crop's.

    Outside the frame its border is continued, so that a face at the edge brings no moving black edge with it.
    """
    matrix = np.asarray(matrix_2x3, np.float64)
    rgb, matrix = _shrink(rgb, matrix)
    turn, shift = matrix[:, :2], matrix[:, 2]
    # OpenCV's origin is the centre of the first pixel, ours its corner.
    centred = np.column_stack([turn, shift + turn @ [0.5, 0.5] - 0.5])
    cut = cv2.warpAffine(rgb, centred, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cut.astype(np.uint8, copy=False)


def align(
    placement: NDArray[np.float64], times_s: NDArray[np.float64], is_gap_before: NDArray[np.bool_], size: int
) -> NDArray[np.float32]:
    """The transforms [T, 2, 3] from pixels of the frames to pixels of a track's crops, smooth in time.

    placement [T, 4] as `locate` gives it, times_s [T] rising, is_gap_before [T]: smoothing never reaches across a gap.
    """
    placement = placement.copy()
    placement[:, 3] = np.unwrap(placement[:, 3])
    starts = np.flatnonzero(is_gap_before)
    for part in np.split(np.arange(len(times_s)), starts[starts > 0]):
        place, scale, roll = np.split(placement[part], [2, 3], axis=1)
        placement[part] = np.hstack(
            [
                smooth(place, times_s[part], PLACE_S),
                smooth(median_of_three(scale), times_s[part], SCALE_S),
                smooth(median_of_three(roll), times_s[part], ROLL_S),
            ]
        )
    return transforms(placement, size)


def locate(landmarks_px: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where a face lies in its frame [T, 4]: middle between the eyes x and y (px), log of its radius (px), roll (rad).

    landmarks_px [T, 478, 3]. Roll is clockwise as seen.
    """
    points = landmarks_px.astype(np.float64)
    right, left = points[:, RIGHT_EYE, :2].mean(axis=1), points[:, LEFT_EYE, :2].mean(axis=1)
    stable = points[:, _STABLE]
    radius = np.sqrt(((stable - stable.mean(axis=1, keepdims=True)) ** 2).sum(axis=2).mean(axis=1))
    across = left - right
    return np.column_stack([(right + left) / 2, np.log(radius), np.arctan2(across[:, 1], across[:, 0])])


def transforms(placement: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """The transforms [T, 2, 3] that bring faces lying as `locate` says [T, 4] to their place in a crop."""
    scale = STABLE_RADIUS * size / np.exp(placement[:, 2])
    cos, sin = scale * np.cos(placement[:, 3]), scale * np.sin(placement[:, 3])
    turn = np.stack([np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)], axis=1)
    shift = np.array([EYES_X, EYES_Y]) * size - np.einsum("tij,tj->ti", turn, placement[:, :2])
    matrices: NDArray[np.float64] = np.concatenate([turn, shift[:, :, None]], axis=2)
    return matrices.astype(np.float32)


def median_of_three(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each of values [T, K] as the median of itself and its neighbours: takes out a jump in a single frame."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    middle: NDArray[np.float64] = np.sort(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)[1]
    return middle


def smooth(values: NDArray[np.float64], times_s: NDArray[np.float64], width_s: float) -> NDArray[np.float64]:
    """Smooth values [T, K] at rising times [T] by the parabola that fits best around each time, Gaussian weights.

    A Savitzky-Golay filter that asks for no steady frame rate and keeps the peaks and both ends unbiased.
    """
    reach_s = 3 * width_s
    first = np.searchsorted(times_s, times_s - reach_s)
    last = np.searchsorted(times_s, times_s + reach_s, side="right")
    windows = zip(times_s, first, last, strict=True)
    return np.array([_fit_parabola((times_s[a:b] - time_s) / width_s, values[a:b]) for time_s, a, b in windows])


def _fit_parabola(offsets_W: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value at offset 0 of the parabola through values [W, K]; of a line or a constant where W is 2 or 1."""
    root_weights = np.exp(-(offsets_W**2) / 4)[:, None]
    powers = offsets_W[:, None] ** np.arange(min(3, len(offsets_W)))
    coefficients = np.linalg.lstsq(root_weights * powers, root_weights * values, rcond=None)[0]
    at_zero: NDArray[np.float64] = coefficients[0]
    return at_zero


def _shrink(rgb: NDArray[np.uint8], matrix: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Average blocks of pixels first where the crop is less than half as large: sampling alone would flicker."""
    blocks = int(1 / max(np.hypot(*matrix[:, 0]), 1e-6))
    if blocks < 2:
        return rgb, matrix
    height, width = (max(1, side // blocks) for side in rgb.shape[:2])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    back = np.array([rgb.shape[1] / width, rgb.shape[0] / height, 1.0])
    return small.astype(np.uint8, copy=False), matrix * back
