"""Measure what a face changes between two frames, patch by patch, with head movement, light and noise taken out.

Shape letters: P = side of the crop in pixels, N = landmarks, G = 14 patches a side.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.motion.config import MotionConfig
from pipeline.motion.head import Grey, brought_back, face_cover, moved_by_head, shift_field
from schemas.motion import GRID

_LEAST_FACE_PX = 400.0  # about two patches: of less there is no median to speak of
_GAIN_LIMIT = 4.0


def grey(rgb: NDArray[np.uint8]) -> Grey:
    """Grey levels float32 [P, P] of a crop, uint8 [P, P, 3]."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.float32)


def change(
    before: Grey,
    after: Grey,
    landmarks_before: NDArray[np.float32],
    landmarks_after: NDArray[np.float32],
    config: MotionConfig,
) -> NDArray[np.float32]:
    """How much each patch [G, G] of a face changed on its own, 0 or more, in parts of the face's brightness.

    before and after [P, P]: grey levels of two aligned crops; landmarks [N, 3] in their pixels. Of both frames only
    detail is compared, with the contrast of the one brought to that of the other, so that no gain, offset or slow shade
    counts. A pixel's change counts as far as neither noise nor an error of the landmarks explains it.
    """
    cover = face_cover(landmarks_before[:, :2], config.edge_px)
    if cover.sum() < _LEAST_FACE_PX:
        return np.zeros((GRID, GRID), np.float32)
    shifts = moved_by_head(landmarks_before, landmarks_after)[:, :2] - landmarks_before[:, :2]
    field = shift_field(landmarks_before[:, :2], shifts)
    is_face = cover > 0.5
    detail = _detail(before, config)
    # Landmarks tremble a little: of a head that hardly moved, the later frame is nearer as it is.
    detail_after = min(
        (_like(detail, _detail(later, config), is_face) for later in (brought_back(after, field), after)),
        key=lambda other: float(np.abs(detail - other)[is_face].mean()),
    )
    explained = config.slack_px * (_steepness(detail) + _steepness(detail_after)) / 2
    brightness = max(float(before[is_face].mean()), 1.0)
    counted = np.maximum((np.abs(detail - detail_after) - explained) / brightness - config.noise, 0.0) * cover
    return _without_median(_pooled(counted), _pooled(cover) > 0.5, config.frame_medians)


def _detail(picture: Grey, config: MotionConfig) -> Grey:
    smooth = cv2.GaussianBlur(picture, (0, 0), config.blur_px)
    return np.asarray(smooth - cv2.GaussianBlur(smooth, (0, 0), config.light_px), np.float32)


def _like(detail: Grey, other: Grey, is_face: NDArray[np.bool_]) -> Grey:
    """`other` with the contrast of `detail`: by medians over the face, which no moving part of it sways."""
    contrast, other_contrast = (float(np.median(np.abs(picture[is_face]))) for picture in (detail, other))
    return other * np.float32(np.clip(contrast / max(other_contrast, 1e-6), 1 / _GAIN_LIMIT, _GAIN_LIMIT))


def _steepness(picture: Grey) -> Grey:
    """Change of grey level over one pixel [P, P]."""
    across, down = (cv2.Sobel(picture, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    return np.asarray(np.hypot(across, down), np.float32)


def _pooled(picture: Grey) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(picture, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32)


def _without_median(patches: NDArray[np.float32], is_face: NDArray[np.bool_], medians: float) -> NDArray[np.float32]:
    if not is_face.any():
        return np.zeros_like(patches)
    return np.asarray(np.maximum(patches - medians * np.median(patches[is_face]), 0.0), np.float32)
