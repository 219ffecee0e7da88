"""Draw what surrounds a face: indoor-like backgrounds, and the desks, hands, bars and boards in front.

Shape letters: H, W = the picture's sides, T = frames. Colours are RGB 0 to 255. Everything is drawn, nothing is copied.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.recipes import Series

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Points = NDArray[np.float64]
Colour = tuple[float, float, float]

MARGIN_PX = 24
"""A background reaches this far beyond the frame on each side, so that the camera may shake."""

SKIN_TONES: tuple[Colour, ...] = ((240, 205, 180), (222, 178, 148), (190, 140, 105), (140, 95, 68), (92, 60, 44))

_SUB_PIXEL_BITS = 4

# A hand in units of its height, fingers up: the root, tip and half width of forearm, palm, four fingers and thumb.
_LIMBS = (
    ((0.0, 0.3), (0.02, 14.0), 0.15),
    ((-0.2, -0.05), (-0.27, -0.36), 0.058),
    ((-0.07, -0.1), (-0.09, -0.46), 0.062),
    ((0.07, -0.1), (0.09, -0.43), 0.06),
    ((0.19, -0.04), (0.25, -0.3), 0.052),
    ((-0.15, 0.25), (-0.4, 0.02), 0.066),
    ((-0.02, 0.08), (0.0, 0.26), 0.235),
)


@dataclass(frozen=True, eq=False)
class Occluder:
    """A thing in front of the faces: centre [T, 2] and height in px, and when it is there [T]."""

    kind: Literal["hand", "bar", "board", "desk"]
    colour: Colour
    angle_deg: float
    centre_xy: Series
    height_px: float
    is_present: Mask


def draw_background(rng: np.random.Generator, size: tuple[int, int]) -> Picture:
    """A picture [H + 2 MARGIN_PX, W + 2 MARGIN_PX, 3]: graded wall, furniture-like boxes, blobs, out of focus."""
    width, height = size[0] + 2 * MARGIN_PX, size[1] + 2 * MARGIN_PX
    picture = _gradient(rng, width, height)
    for _ in range(rng.integers(3, 9)):
        _draw_box(rng, picture)
    for _ in range(rng.integers(0, 6)):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(height // 20, height // 4)), int(rng.integers(height // 20, height // 4)))
        cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, _muted(rng), -1, cv2.LINE_AA)
    blurred = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.004, 0.025)) * height)
    return np.asarray(blurred, np.uint8)


def _gradient(rng: np.random.Generator, width: int, height: int) -> Picture:
    turn = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    share = np.clip(0.5 + 0.35 * (np.cos(turn) * x + np.sin(turn) * y), 0, 1)[..., None]
    return np.asarray((1 - share) * _muted(rng) + share * _muted(rng), np.uint8)


def _draw_box(rng: np.random.Generator, picture: Picture) -> None:
    """A shelf, a window with bars, a door: a filled rectangle, sometimes framed or divided."""
    height, width = picture.shape[:2]
    x, y = int(rng.integers(-width // 10, width)), int(rng.integers(-height // 10, height))
    far = (x + int(rng.integers(width // 12, width // 2)), y + int(rng.integers(height // 10, height)))
    cv2.rectangle(picture, (x, y), far, _muted(rng), -1, cv2.LINE_AA)
    if rng.random() < 0.5:
        line = _muted(rng)
        cv2.rectangle(picture, (x, y), far, line, int(rng.integers(2, 9)), cv2.LINE_AA)
        for part in np.linspace(0, 1, int(rng.integers(2, 6)))[1:-1]:
            at = round(x + part * (far[0] - x))
            cv2.line(picture, (at, y), (at, far[1]), line, 3, cv2.LINE_AA)


def _muted(rng: np.random.Generator) -> Colour:
    hue, saturation, value = rng.uniform((0, 0.02, 0.15), (1, 0.35, 0.85))
    red, green, blue = (255 * part for part in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def shifted_view(background: Picture, shift_xy: Series) -> Picture:
    """The frame [H, W, 3] cut out of a background, moved by `shift_xy` px (at most MARGIN_PX, parts of pixels too)."""
    height, width = (side - 2 * MARGIN_PX for side in background.shape[:2])
    if not shift_xy.any():
        return np.ascontiguousarray(background[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX])
    move = np.array([[1, 0, shift_xy[0] - MARGIN_PX], [0, 1, shift_xy[1] - MARGIN_PX]], np.float64)
    return np.asarray(cv2.warpAffine(background, move, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def draw_occluder(picture: Picture, occluder: Occluder, frame: int, shift_xy: Series) -> Mask:
    """Draw it over the picture [H, W, 3], moved by `shift_xy` px, and return the pixels that it hides [H, W]."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    for outline, shade in _outlines(occluder.kind):
        corners = _placed(outline, occluder, occluder.centre_xy[frame] + shift_xy)
        colour = tuple(min(255.0, shade * part) for part in occluder.colour)
        cv2.fillPoly(picture, [corners], colour, cv2.LINE_AA, _SUB_PIXEL_BITS)
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, _SUB_PIXEL_BITS)
    return mask > 127


def _outlines(kind: str) -> list[tuple[Points, float]]:
    """Polygons [P, 2] in units of the thing's height, and how light each is, in the order in which they are drawn."""
    if kind == "hand":
        return [
            outline
            for root, tip, half_width in _LIMBS
            for outline in ((_capsule(root, tip, half_width), 0.85), (_capsule(root, tip, 0.86 * half_width), 1.0))
        ]
    if kind == "desk":
        return [(_rectangle(-2.0, 2.0, 0.0, 2.0), 1.0), (_rectangle(-2.0, 2.0, 0.0, 0.012), 1.4)]
    half_width, half_length = (0.11, 8.0) if kind == "bar" else (0.5, 0.5)
    return [
        (_rectangle(-half_width, half_width, -half_length, half_length), 1.0),
        (
            _rectangle(0.5 * half_width, 0.85 * half_width, -half_length, half_length),
            1.4,
        ),  # a lighter edge: a thing and not a hole
    ]


def _rectangle(left: float, right: float, top: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _capsule(root: tuple[float, float], tip: tuple[float, float], half_width: float) -> Points:
    """A stroke with round ends."""
    start, end = np.array(root), np.array(tip)
    heading = np.arctan2(*(end - start)[::-1])
    half_turn = np.linspace(-np.pi / 2, np.pi / 2, 9)
    ends = [
        centre + half_width * np.column_stack([np.cos(heading + turn), np.sin(heading + turn)])
        for centre, turn in ((end, half_turn), (start, half_turn + np.pi))
    ]
    return np.concatenate(ends)


def _placed(outline: Points, occluder: Occluder, centre_xy: Series) -> NDArray[np.int32]:
    """The outline turned, enlarged and moved to where the thing is, in OpenCV's fixed-point pixels."""
    angle = np.radians(occluder.angle_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # clockwise as seen
    # OpenCV counts from the centre of the first pixel, boxes from its corner.
    placed = outline @ turn * occluder.height_px + centre_xy - 0.5
    fixed_point: NDArray[np.int32] = np.round(placed * 2**_SUB_PIXEL_BITS).astype(np.int32)
    return fixed_point
