"""Predict where every point of a face goes if only the head moves, and bring the later frame back by it.

A crop is upright and of one size by a similarity of its plane. What remains of a turn or a nod is parallax: the nose
goes another way than the temples. The face mesh has depth, so a rigid motion of its stable points predicts it.
Shape letters: N = landmarks, P = side of the crop in pixels.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.tracks.crop import LEFT_EYE, NOSE_BRIDGE, RIGHT_EYE
from schemas.motion import CROP_PX

STABLE = (*RIGHT_EYE, *LEFT_EYE, *NOSE_BRIDGE, 5, 4, 127, 356, 234, 454)
"""Landmarks that no expression moves: corners of the eyes, ridge and tip of the nose, temples."""

_FIELD_STEP_PX = 16
_FIELD_WIDTH_PX = 10.0

Grey = NDArray[np.float32]
Field = NDArray[np.float32]
"""Shift of each pixel, x and y [P, P, 2]."""


def landmarks_in_crop(
    landmarks_px: NDArray[np.float32], transforms: NDArray[np.float32], scale: float
) -> NDArray[np.float32]:
    """Landmarks [T, N, 3] in pixels of the frames as pixels of the crops, by the track's transforms [T, 2, 3].

    `scale` is CROP_PX by the side of the crops that the transforms lead to. Depth is on the scale of x.
    """
    turn = scale * transforms[:, :, :2]
    placed = np.empty_like(landmarks_px)
    placed[..., :2] = landmarks_px[..., :2] @ turn.transpose(0, 2, 1) + scale * transforms[:, None, :, 2]
    placed[..., 2] = landmarks_px[..., 2] * np.hypot(turn[:, 0, 0], turn[:, 1, 0])[:, None]
    return placed


def moved_by_head(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where landmarks `before` [N, 3] would be if the head alone had moved as the stable ones did until `after`.

    The motion is a turn in three dimensions, a scale and a shift.
    Source: least squares by Umeyama 1991.
    """
    start, end = before[STABLE, :].astype(np.float64), after[STABLE, :].astype(np.float64)
    centre, new_centre = start.mean(axis=0), end.mean(axis=0)
    start, end = start - centre, end - new_centre
    u, spread, vt = np.linalg.svd(end.T @ start)
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])  # a turn, never a mirror image
    turn = u * mirror @ vt
    scale = (spread * mirror).sum() / max((start**2).sum(), 1e-9)
    moved: NDArray[np.float64] = scale * (before - centre) @ turn.T + new_centre
    return moved


def shift_field(points: NDArray[np.floating], shifts: NDArray[np.floating]) -> Field:
    """The smooth field through shifts [N, 2] of points [N, 2] px: a Gaussian mean, wider where points are rare."""
    coarse, around = _coarse_grid(), points.astype(np.float32)
    squared = (coarse**2).sum(axis=1)[:, None] + (around**2).sum(axis=1) - 2 * coarse @ around.T
    nearest = np.maximum(squared.min(axis=1, keepdims=True), 0)
    width = np.maximum(_FIELD_WIDTH_PX**2, nearest)
    weights = np.exp((nearest - squared) / (2 * width))
    means = (weights @ shifts.astype(np.float32)) / weights.sum(axis=1, keepdims=True)
    side = CROP_PX // _FIELD_STEP_PX
    field = cv2.resize(means.reshape(side, side, 2), (CROP_PX, CROP_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(field, np.float32)


def brought_back(later: Grey, field: Field) -> Grey:
    """The later picture [P, P] as it would be without the shifts of the field."""
    x, y = _pixels()
    back = cv2.remap(later, x + field[..., 0], y + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(back, np.float32)


def face_cover(points: NDArray[np.floating], edge_px: float) -> Grey:
    """How far each pixel [P, P] is inside the outline of landmarks [N, 2]: 0 up to half of `edge_px`, 1 beyond it."""
    outline = cv2.convexHull(points.astype(np.float32)).round().astype(np.int32)
    inside = np.zeros((CROP_PX + 2, CROP_PX + 2), np.uint8)  # a rim of zeros: the crop's border is an edge too
    cv2.fillConvexPoly(inside, outline + 1, 1)
    inside[[0, -1]] = inside[:, [0, -1]] = 0
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(np.clip(2 * distance / edge_px - 1, 0, 1), np.float32)


@lru_cache(maxsize=1)
def _coarse_grid() -> NDArray[np.float32]:
    middles = np.arange(_FIELD_STEP_PX / 2, CROP_PX, _FIELD_STEP_PX, dtype=np.float32)
    x, y = np.meshgrid(middles, middles)
    return np.column_stack([x.ravel(), y.ravel()])


@lru_cache(maxsize=1)
def _pixels() -> tuple[Grey, Grey]:
    x, y = np.meshgrid(np.arange(CROP_PX, dtype=np.float32), np.arange(CROP_PX, dtype=np.float32))
    return x, y
