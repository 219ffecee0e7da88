"""Say how well a face can be seen: where it looks to, and how sharp its picture is."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_RIGID = (33, 133, 263, 362, 168, 6, 197, 195, 9, 151, 10, 127, 356, 234, 454)
_CANONICAL = np.array(  # centimetres; x to the image's right, y down, z away from the camera, as landmarks have them
    [
        [-4.446, -2.664, -3.173],  # outer and inner eye corners
        [-1.856, -2.585, -3.758],
        [4.446, -2.664, -3.173],
        [1.856, -2.585, -3.758],
        [0.0, -3.271, -5.236],  # bridge of the nose, downwards
        [0.0, -2.473, -5.789],
        [0.0, -1.728, -6.317],
        [0.0, -1.059, -6.775],
        [0.0, -4.886, -5.385],  # forehead, upwards
        [0.0, -6.545, -5.027],
        [0.0, -8.262, -4.482],
        [-7.743, -2.365, 2.005],  # temples and ears
        [7.743, -2.365, 2.005],
        [-7.664, -0.673, 2.436],
        [7.664, -0.673, 2.436],
    ]
)


def pose_deg(landmarks_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """Yaw, pitch and roll in degrees [T, 3] of faces with landmarks [T, 478, 3] in pixels.

    Yaw is positive where the face turns to the right of the image, pitch where the chin goes up, roll clockwise as
    seen; applied in the order pitch, yaw, roll. The camera is taken as distant, so a face near the edge of a wide
    picture reads some degrees off.
    Source: rotation by Kabsch 1976; the canonical face is MediaPipe's (Apache-2.0).
    """
    rotation = _rotation(landmarks_px[:, _RIGID].astype(np.float64))
    yaw = np.arcsin(np.clip(rotation[:, 2, 0], -1, 1))
    pitch = -np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2])
    roll = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    angles: NDArray[np.float64] = np.degrees(np.column_stack([yaw, pitch, roll]))
    return angles.astype(np.float32)


def sharpness(rgb: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of a crop's grey values, uint8 [size, size, 3].

    Comparable between crops of one size only, and lower where a small face was enlarged to it.
    Source: Pech-Pacheco et al. 2000, Diatom autofocusing in brightfield microscopy.
    """
    return float(cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def _rotation(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotations [T, 3, 3] that turn the canonical face into points [T, K, 3], scale and place aside."""
    points = points - points.mean(axis=1, keepdims=True)
    canonical = _CANONICAL - _CANONICAL.mean(axis=0)
    u, _, vt = np.linalg.svd(np.einsum("tki,kj->tij", points, canonical))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]  # a turn, never a mirror image
    rotation: NDArray[np.float64] = u @ vt
    return rotation
