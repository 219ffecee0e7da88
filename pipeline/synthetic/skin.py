"""Paint the surface of a head: skin, lips, brows, beard, hair, clothes, and which part of it is the face.

The picture is the head's surface unrolled around an upright axis: `surface_of` says where a vertex lies on it.
Places are (angle, height): radians to the person's own left and decimetres of the mesh at rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
"""RGB, 0 to 1, as displayed."""

_Line = Sequence[tuple[float, float]]

_SIDE_PX = 640
_AXIS_Z, _HALF_ANGLE_RAD = 0.5, 1.9
_TOP, _BOTTOM = 8.6, 5.6
_SUB_PIXEL_BITS = 4

_EYELIDS = (
    (0.17, 7.26),
    (0.22, 7.34),
    (0.34, 7.385),
    (0.46, 7.35),
    (0.53, 7.27),
    (0.45, 7.21),
    (0.34, 7.185),
    (0.22, 7.21),
)
_UPPER_LIP = ((0.0, 6.692), (0.05, 6.706), (0.11, 6.688), (0.18, 6.655), (0.235, 6.618))
_LOWER_LIP = ((0.0, 6.497), (0.09, 6.502), (0.16, 6.535), (0.235, 6.6))
_BROW = ((0.12, 7.445), (0.2, 7.46), (0.33, 7.478), (0.46, 7.46), (0.58, 7.4))
_BROW_THICKNESS = (0.062, 0.072, 0.066, 0.046, 0.012)
_HAIRLINE = (  # over the forehead, down before the ear, over it, and down behind it
    (0.0, 7.92),
    (0.35, 7.92),
    (0.62, 7.84),
    (0.78, 7.67),
    (0.92, 7.42),
    (1.04, 7.2),
    (1.12, 6.98),
    (1.26, 6.98),
    (1.3, 7.5),
    (1.76, 7.45),
    (1.82, 6.75),
    (1.9, 6.6),
)
_BEARD_LINE = ((0.0, 6.48), (0.17, 6.49), (0.24, 6.58), (0.3, 6.72), (0.55, 6.55), (0.8, 6.65), (1.05, 7.0), (1.3, 7.0))
_NECKLINE = ((0.0, 5.72), (0.6, 5.78), (1.2, 6.0), (1.9, 6.15))
FACE_EDGE = (  # x, y, z, forehead to chin: where MediaPipe's face oval lies on average over rendered heads and poses
    (0.0, 7.73, 1.51),
    (0.16, 7.73, 1.48),
    (0.37, 7.69, 1.39),
    (0.47, 7.68, 1.32),
    (0.55, 7.62, 1.23),
    (0.65, 7.49, 1.01),
    (0.67, 7.39, 0.95),
    (0.68, 7.29, 0.90),
    (0.69, 7.13, 0.85),
    (0.68, 7.0, 0.86),
    (0.66, 6.84, 0.86),
    (0.61, 6.66, 0.88),
    (0.55, 6.53, 0.9),
    (0.46, 6.45, 1.1),
    (0.4, 6.4, 1.16),
    (0.28, 6.32, 1.31),
    (0.22, 6.26, 1.36),
    (0.15, 6.23, 1.4),
    (0.0, 6.22, 1.45),
)


@dataclass(frozen=True)
class Look:
    """What is painted on a head; amounts are 0 to 1, brow_thickness about 1."""

    skin: Colour
    lips: Colour
    hair: Colour
    brows: Colour
    clothes: Colour
    hair_cover: float
    hairline_lift_dm: float
    brow_thickness: float
    brow_density: float
    beard: float
    moustache: float
    blush: float
    freckles: float
    lines: float
    grain_seed: int


def surface_of(vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where vertices [V, 3] of the mesh at rest lie on the picture [V, 2], 0 to 1, rightwards and downwards."""
    angle = np.arctan2(vertices[:, 0], vertices[:, 2] - _AXIS_Z)
    across, down = angle / (2 * _HALF_ANGLE_RAD) + 0.5, (_TOP - vertices[:, 1]) / (_TOP - _BOTTOM)
    return np.column_stack([across, down]).astype(np.float32)


def hair_cover(vertices: NDArray[np.float32], lift_dm: float) -> NDArray[np.float32]:
    """How much of the hair's full thickness stands on vertices [V, 3] of the mesh at rest [V], 0 to 1."""
    angle = np.abs(np.arctan2(vertices[:, 0], vertices[:, 2] - _AXIS_Z))
    above = vertices[:, 1] - _interpolated(_HAIRLINE, angle) - lift_dm * (angle < 0.8)
    is_ear = (angle > 1.2) & (angle < 1.85) & (vertices[:, 1] < 7.5)
    cover: NDArray[np.float32] = (np.clip(above / 0.25, 0, 1) * ~is_ear).astype(np.float32)
    return cover


def paint(look: Look) -> NDArray[np.uint8]:
    """The picture of a head's surface, RGB and, in the fourth channel, whether it is the face [640, 640, 4]."""
    rng = np.random.default_rng(look.grain_seed)
    angle, height = _places()
    picture = np.broadcast_to(np.array(look.skin, np.float32), (_SIDE_PX, _SIDE_PX, 3)).copy()
    picture *= (1 + 0.03 * _noise(rng, 9) + 0.025 * _noise(rng, 1.2))[..., None]
    _blend(picture, _scaled(look.skin, (1.05, 0.72, 0.7)), look.blush * _spots(angle, height))
    if look.freckles:
        spots = (_noise(rng, 1.5) > 2.1) * np.exp(-(((height - 7.0) / 0.25) ** 2)) * (np.abs(angle) < 0.8)
        _blend(picture, _scaled(look.skin, (0.72, 0.6, 0.5)), look.freckles * spots)
    picture *= 1 - (look.lines * _lines() * 0.25)[..., None]
    _blend(picture, _scaled(look.skin, (0.8, 0.72, 0.72)), 0.45 * _soft(_mirrored(_EYELIDS), 5))
    stubble = np.clip(0.8 + 0.2 * _noise(rng, 0.9), 0, 1)
    _blend(picture, look.hair, look.beard * stubble * _beard(angle, height, look.moustache))
    _blend(picture, look.lips, 0.85 * _soft(_mirrored(_UPPER_LIP[::-1] + _LOWER_LIP), 1.6))
    strands = np.clip(look.brow_density + 0.25 * _noise(rng, 0.9), 0, 1)
    _blend(picture, look.brows, strands * _soft(_mirrored(_brow_outline(look.brow_thickness)), 1.8))
    _paint_hair(picture, look, angle, height, rng)
    _blend(picture, look.clothes, _above(_interpolated(_NECKLINE, np.abs(angle)) - height, 0.015))
    edge = [(float(np.arctan2(x, z - _AXIS_Z)), y) for x, y, z in FACE_EDGE]
    face = 255 * _filled([[*edge, *((-x, y) for x, y in edge[::-1])]])
    return np.dstack([np.rint(255 * np.clip(picture, 0, 1)), face]).astype(np.uint8)


def _paint_hair(
    picture: NDArray[np.float32],
    look: Look,
    angle: NDArray[np.float32],
    height: NDArray[np.float32],
    rng: np.random.Generator,
) -> None:
    streaks = _noise(rng, 1.2, grain_y_px=14)
    line = _interpolated(_HAIRLINE, np.abs(angle)) + look.hairline_lift_dm * (np.abs(angle) < 0.8)
    cover = _above(height - line + 0.012 * streaks, 0.09)
    colour = np.array(look.hair, np.float32) * (1 + 0.22 * streaks[..., None]).astype(np.float32)
    picture += (look.hair_cover * cover)[..., None] * (colour - picture)


def _places() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    steps = (np.arange(_SIDE_PX, dtype=np.float32) + 0.5) / _SIDE_PX
    angle, height = np.meshgrid((2 * steps - 1) * _HALF_ANGLE_RAD, _TOP - steps * (_TOP - _BOTTOM))
    return angle.astype(np.float32), height.astype(np.float32)


def _noise(rng: np.random.Generator, grain_px: float, grain_y_px: float = 0.0) -> NDArray[np.float32]:
    """Blurred noise of unit spread [S, S]; grain_y_px 0: as coarse downwards as across."""
    noise = np.asarray(rng.standard_normal((_SIDE_PX, _SIDE_PX)), np.float32)
    blurred = np.asarray(cv2.GaussianBlur(noise, (0, 0), grain_px, sigmaY=grain_y_px), np.float32)
    return np.asarray(blurred / blurred.std(), np.float32)


def _scaled(colour: Colour, factors: Colour) -> Colour:
    red, green, blue = (min(1.0, part * factor) for part, factor in zip(colour, factors, strict=True))
    return red, green, blue


def _blend(picture: NDArray[np.float32], colour: Colour, share: NDArray[Any]) -> None:
    picture += np.clip(share, 0, 1)[..., None].astype(np.float32) * (np.array(colour, np.float32) - picture)


def _above(distance: NDArray[Any], softness: float) -> NDArray[Any]:
    return np.asarray(np.clip(distance / softness + 0.5, 0, 1))


def _interpolated(line: _Line, angle: NDArray[Any]) -> NDArray[Any]:
    angles, heights = zip(*line, strict=True)
    return np.asarray(np.interp(angle, angles, heights))


def _spots(angle: NDArray[np.float32], height: NDArray[np.float32]) -> NDArray[np.float32]:
    cheeks = np.exp(-(((np.abs(angle) - 0.5) / 0.22) ** 2) - ((height - 6.95) / 0.16) ** 2)
    nose = 0.7 * np.exp(-((angle / 0.1) ** 2) - ((height - 6.93) / 0.08) ** 2)
    return np.asarray(cheeks + nose, np.float32)


def _beard(angle: NDArray[np.float32], height: NDArray[np.float32], moustache: float) -> NDArray[np.float32]:
    below = _above(_interpolated(_BEARD_LINE, np.abs(angle)) - height, 0.08) * _above(height - 5.98, 0.15)
    beside, from_it = np.maximum(np.abs(angle) - 0.2, 0), np.maximum(np.abs(height - 6.735) - 0.03, 0)
    over_lip = np.exp(-((beside / 0.05) ** 2) - (from_it / 0.025) ** 2)
    return np.asarray(np.maximum(below, moustache * over_lip), np.float32)


def _lines() -> NDArray[np.float32]:
    """The creases of age: across the forehead, between the brows, from nose to mouth, beside the eyes."""
    canvas = np.zeros((_SIDE_PX, _SIDE_PX), np.uint8)
    creases: list[_Line] = [
        ((-0.45, y - 0.02), (-0.2, y), (0.0, y + 0.01), (0.2, y), (0.45, y - 0.02)) for y in (7.66, 7.75, 7.84)
    ]
    for side in (-1, 1):
        creases += [
            ((0.05 * side, 7.42), (0.06 * side, 7.52)),
            ((0.2 * side, 6.86), (0.27 * side, 6.74), (0.31 * side, 6.6)),
            ((0.3 * side, 7.15), (0.42 * side, 7.13), (0.5 * side, 7.16)),
            *(((0.6 * side, 7.28 + k * 0.02), (0.72 * side, 7.28 + k * 0.06)) for k in (-1, 0, 1)),
        ]
    for crease in creases:
        cv2.polylines(canvas, [_pixels(crease)], False, 255, 2, cv2.LINE_AA, _SUB_PIXEL_BITS)
    return _soft(np.asarray(canvas / 255, np.float32), 1.8)


def _brow_outline(thickness: float) -> tuple[tuple[float, float], ...]:
    halves = [0.5 * thickness * each for each in _BROW_THICKNESS]
    upper = [(x, y + half) for (x, y), half in zip(_BROW, halves, strict=True)]
    lower = [(x, y - half) for (x, y), half in zip(_BROW, halves, strict=True)]
    return (*upper, *lower[::-1])


def _mirrored(outline: _Line) -> NDArray[np.float32]:
    """A filled outline on the left and its like on the right [S, S], 0 to 1."""
    return _filled([outline, [(-x, y) for x, y in outline]])


def _filled(outlines: Sequence[_Line]) -> NDArray[np.float32]:
    canvas = np.zeros((_SIDE_PX, _SIDE_PX), np.uint8)
    for outline in outlines:
        cv2.fillPoly(canvas, [_pixels(outline)], 255, cv2.LINE_AA, _SUB_PIXEL_BITS)
    return np.asarray(canvas / 255, np.float32)


def _pixels(line: _Line) -> NDArray[np.int32]:
    places = np.array(line, np.float64)
    across = (places[:, 0] / (2 * _HALF_ANGLE_RAD) + 0.5) * _SIDE_PX
    down = (_TOP - places[:, 1]) / (_TOP - _BOTTOM) * _SIDE_PX
    # OpenCV counts from the centre of the first pixel.
    return np.asarray(np.round((np.column_stack([across, down]) - 0.5) * 2**_SUB_PIXEL_BITS), np.int32)


def _soft(mask: NDArray[np.float32], blur_px: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), blur_px), np.float32)
