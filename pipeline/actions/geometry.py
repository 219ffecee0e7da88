"""Read distances off a face mesh with pose and size taken out: what brows, lids, cheeks, nose and lips do, by side.

Shape letters: T = frames of a track. The last axis of every feature is the side, left then right, the person's own.
Lengths are in face units: 1 is the root-mean-square distance of the rigid points from their centre, about 5 cm.
Landmark numbers are those of MediaPipe's face mesh; a pair of tuples is (left side, right side).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Sides = NDArray[np.float64]

_Pair = tuple[tuple[int, ...], tuple[int, ...]]

_RIGID = (33, 133, 263, 362, 168, 6, 197, 195, 127, 356, 234, 454)  # eye corners, bridge of the nose, temples
_BRIDGE = (168, 6, 197, 195)
_EYE_CORNERS: _Pair = ((263, 362), (33, 133))
_UPPER_LID: _Pair = ((385, 386, 387), (158, 159, 160))
_LOWER_LID: _Pair = ((373, 374, 380), (144, 145, 153))
_INNER_BROW: _Pair = ((285, 336, 295, 296), (55, 107, 65, 66))
_OUTER_BROW: _Pair = ((283, 293, 276, 300), (53, 63, 46, 70))
_CHEEK: _Pair = ((280, 330, 347, 346), (50, 101, 118, 117))
_NOSTRIL_WING: _Pair = ((278, 294, 327, 358), (48, 64, 98, 129))
_LIP_CORNER: _Pair = ((291, 308), (61, 78))
_UPPER_LIP_OUTER: _Pair = ((0, 267, 269), (0, 37, 39))
_UPPER_LIP_INNER: _Pair = ((13, 312, 311), (13, 82, 81))
_LOWER_LIP_INNER: _Pair = ((14, 317, 402), (14, 87, 178))
_LOWER_LIP_OUTER: _Pair = ((17, 314, 405), (17, 84, 181))
_CHIN = (152, 148, 377, 175)
_CHIN_BOSS = (199, 200, 18)
_NOSE_BASE = (2, 97, 326)

REGION_POINTS: dict[str, tuple[int, ...]] = {
    "brows": (*_INNER_BROW[0], *_INNER_BROW[1], *_OUTER_BROW[0], *_OUTER_BROW[1]),
    "eyes": (*_UPPER_LID[0], *_UPPER_LID[1], *_LOWER_LID[0], *_LOWER_LID[1]),
    "nose": (*_NOSTRIL_WING[0], *_NOSTRIL_WING[1], *_NOSE_BASE),
    "cheeks": (*_CHEEK[0], *_CHEEK[1]),
    "mouth": (
        0,
        13,
        14,
        17,
        37,
        39,
        61,
        78,
        81,
        82,
        84,
        87,
        178,
        181,
        267,
        269,
        291,
        308,
        311,
        312,
        314,
        317,
        402,
        405,
    ),
    "jaw": (*_CHIN, *_CHIN_BOSS),
}
"""The landmarks by which each of schemas.actions.REGIONS is followed."""

_X, _Y, _Z = 0, 1, 2  # x to the person's left, y down, z away from the camera


def features(landmarks_px: NDArray[np.float32], pose_deg: NDArray[np.float32]) -> dict[str, Sides]:
    """Each feature [T, 2] of landmarks [T, 478, 3] in pixels with head pose [T, 3] as TRACKS has it.

    Every feature grows with what its name says. Those of the middle of the face have both sides equal.
    """
    points = in_face_frame(landmarks_px, pose_deg)
    eye_y = _mean(points, _EYE_CORNERS, _Y)
    bridge_y = _middle(points, _BRIDGE, _Y)  # steadier than the eyes' corners, which a closing lid moves
    upper_lip_y, lower_lip_y = _mean(points, _UPPER_LIP_OUTER, _Y), _mean(points, _LOWER_LIP_OUTER, _Y)
    gap = _mean(points, _LOWER_LIP_INNER, _Y) - _mean(points, _UPPER_LIP_INNER, _Y)
    chin_y, boss_y, nose_y = (_middle(points, which, _Y) for which in (_CHIN, _CHIN_BOSS, _NOSE_BASE))
    lips_z = (_mean(points, _UPPER_LIP_OUTER, _Z) + _mean(points, _LOWER_LIP_OUTER, _Z)) / 2
    corner_x = np.abs(_mean(points, _LIP_CORNER, _X) - _middle(points, _NOSE_BASE, _X))
    corner_y = _mean(points, _LIP_CORNER, _Y)
    return {
        "inner_brow_up": bridge_y - _mean(points, _INNER_BROW, _Y),
        "outer_brow_up": bridge_y - _mean(points, _OUTER_BROW, _Y),
        "brows_together": -np.abs(_mean(points, _INNER_BROW, _X) - _middle(points, _BRIDGE, _X)),
        "upper_lid_up": eye_y - _mean(points, _UPPER_LID, _Y),
        "lower_lid_up": eye_y - _mean(points, _LOWER_LID, _Y),
        "aperture": _mean(points, _LOWER_LID, _Y) - _mean(points, _UPPER_LID, _Y),
        "cheek_up": bridge_y - _mean(points, _CHEEK, _Y),
        "cheek_out": -_mean(points, _CHEEK, _Z),
        "nostril_up": bridge_y - _mean(points, _NOSTRIL_WING, _Y),
        "nostril_out": np.abs(_mean(points, _NOSTRIL_WING, _X) - _middle(points, _NOSE_BASE, _X)),
        "upper_lip_up": nose_y - upper_lip_y,
        "lower_lip_down": lower_lip_y - nose_y,
        "lip_corner_up": -corner_y + nose_y,
        "lip_corner_up_from_lips": (upper_lip_y + lower_lip_y) / 2 - corner_y,
        "lip_corner_out": corner_x,
        "lips_apart": gap,
        "lips_thin": -(_mean(points, _UPPER_LIP_INNER, _Y) - upper_lip_y)
        - (lower_lip_y - _mean(points, _LOWER_LIP_INNER, _Y)),
        "upper_lip_thin": -(_mean(points, _UPPER_LIP_INNER, _Y) - upper_lip_y),
        "lower_lip_thin": -(lower_lip_y - _mean(points, _LOWER_LIP_INNER, _Y)),
        "lips_forward": (_mean(points, _LIP_CORNER, _Z) - lips_z),
        "chin_down": chin_y - nose_y,
        "chin_boss_up": nose_y - boss_y,
        "lower_lip_from_chin": chin_y - lower_lip_y,
    }


def in_face_frame(landmarks_px: NDArray[np.float32], pose_deg: NDArray[np.float32]) -> Points:
    """Landmarks [T, 478, 3] turned to face the camera, centred between the rigid points, in face units."""
    points = landmarks_px.astype(np.float64)
    points = np.einsum("tki,tij->tkj", points, _rotation(pose_deg))  # the transpose turns back
    rigid = points[:, _RIGID]
    centre = rigid.mean(axis=1, keepdims=True)
    size = np.sqrt(((rigid - centre) ** 2).sum(axis=2).mean(axis=1))
    return np.asarray((points - centre) / np.maximum(size, 1e-9)[:, None, None])


def _rotation(pose_deg: NDArray[np.float32]) -> NDArray[np.float64]:
    """The rotations [T, 3, 3] from the face's own axes to the picture's: about x, then y, then z, by TRACKS' signs."""
    yaw, pitch, roll = np.radians(pose_deg.astype(np.float64)).T
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)
    about_x = np.array([[one, zero, zero], [zero, np.cos(pitch), np.sin(pitch)], [zero, -np.sin(pitch), np.cos(pitch)]])
    about_y = np.array([[np.cos(yaw), zero, -np.sin(yaw)], [zero, one, zero], [np.sin(yaw), zero, np.cos(yaw)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), zero], [np.sin(roll), np.cos(roll), zero], [zero, zero, one]])
    return np.asarray(np.einsum("ijt,jkt,klt->til", about_z, about_y, about_x))


def _mean(points: Points, pair: _Pair, axis: int) -> Sides:
    return np.stack([points[:, side, axis].mean(axis=1) for side in pair], axis=1)


def _middle(points: Points, which: tuple[int, ...], axis: int) -> Sides:
    return np.repeat(points[:, which, axis].mean(axis=1)[:, None], 2, axis=1)
