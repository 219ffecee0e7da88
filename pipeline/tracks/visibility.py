"""Tell from the picture how well each region of a face can be seen, since landmarks are placed under a hand as well.

Colour and texture are read at landmarks, which follow the head and the expression, so that a smile or a turn changes
little. A region counts as covered for either of two reasons. It does not look like a face: its colour is far from the
rest of the skin, or its marks (brow, lash line, nostrils, line of the mouth) are no darker and no more structured than
the skin around them. Or it does not look as it usually does in this track, where usually means in those frames in
which the whole face looks most like one.
Shape letters: T = frames of a track, R = regions, P = points of a region, C = channels of a point.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.tracks import FACE_REGIONS

Floats = NDArray[np.float32]

_CELL_PX = 4  # colour is read as the mean of a cell: finer, it would follow the jitter of the landmarks
_NUM_POINTS = 16
_NUM_CHANNELS = 4
"""Lightness, red over green, blue over green, texture over lightness: logarithms, so that light adds to them."""


@dataclass(frozen=True)
class _Region:
    """Where a region is looked at, and from where on it is no longer that of a face.

    marks: landmarks that are darker and more structured than the landmarks `skin` around them, on skin of any colour;
    none on cheeks and chin. 16 in all; the first half of each is one end of the region, the second half the other.
    contrast: by how much they are, at the covered and at the seen end. odd_colour: how far its colour is from the
    skin's, at the seen and at the covered end. tolerance: how many times as far from its usual look as usual a region
    is that counts as half seen. is_steady: marks that stand out clearly in a track do not fade with expression or pose.
    is_in_beard: there the marks are not darker, but of another colour.
    """

    marks: tuple[int, ...]
    skin: tuple[int, ...]
    contrast: tuple[float, float]
    tolerance: float
    odd_colour: tuple[float, float] = (0.25, 0.4)
    is_steady: bool = False
    is_in_beard: bool = False


_REGIONS = {
    "brow_left": _Region(
        (300, 293, 283, 334, 282, 295, 296, 336),
        (445, 444, 298, 333, 443, 442, 299, 337),
        (-0.25, -0.05),
        1.6,
    ),
    "brow_right": _Region(
        (70, 63, 53, 105, 52, 65, 66, 107),
        (225, 224, 68, 104, 223, 222, 69, 108),
        (-0.25, -0.05),
        1.6,
    ),
    "eye_left": _Region(
        (263, 387, 373, 386, 362, 385, 380, 374),
        (346, 347, 348, 259, 329, 330, 257, 258),
        (0.05, 0.2),
        2.1,
        is_steady=True,
    ),
    "eye_right": _Region(
        (33, 160, 144, 159, 133, 158, 153, 145), (117, 118, 119, 29, 100, 101, 27, 28), (0.05, 0.2), 2.1, is_steady=True
    ),
    "nose": _Region(
        (98, 97, 75, 60, 327, 326, 305, 290),
        (45, 220, 1, 197, 275, 440, 4, 195),
        (-0.35, -0.1),
        1.4,
    ),
    "cheek_left": _Region(
        (), (280, 425, 411, 376, 352, 346, 347, 330, 266, 426, 427, 329, 348, 423, 371, 436), (0.0, 0.0), 1.65
    ),
    "cheek_right": _Region(
        (), (50, 205, 187, 147, 123, 117, 118, 101, 36, 206, 207, 100, 119, 203, 142, 216), (0.0, 0.0), 1.65
    ),
    "mouth": _Region(
        (78, 191, 95, 13, 308, 415, 324, 14),
        (165, 57, 83, 164, 391, 287, 313, 18),
        (0.0, 0.2),
        2.1,
        odd_colour=(0.4, 0.55),
        is_steady=True,
        is_in_beard=True,
    ),
    "chin": _Region(
        (), (152, 175, 199, 200, 18, 83, 313, 201, 421, 208, 428, 171, 396, 140, 369, 148), (0.0, 0.0), 1.4
    ),
}
"""The numbers were chosen on six clips of five people, untouched and with hands, bars and objects laid over them, and
loosened where photographs and rendered faces, some with beards, were called covered without reason."""

_POINTS = np.array([_REGIONS[name].marks + _REGIONS[name].skin for name in FACE_REGIONS])
_TOLERANCE = np.array([_REGIONS[name].tolerance for name in FACE_REGIONS], np.float32)

_LEAST_SPREAD = np.array([0.06, 0.12, 0.03, 0.03, 0.10], np.float32)
"""Of a point within a region, of a region's lightness, and of the three other channels: what compression
and the jitter of landmarks show where nothing moves."""

_FARTHEST = 5.0  # spreads: one point that is far off does not make a region
_NUM_LEARNED = 512  # frames, spread over the track: the middle of them says as much as that of all
_CHUNK = 1024  # frames worked on at once, so that a long track takes little more memory than its features
_CONTRAST_LEFT = (0.1, 0.4)  # of the usual contrast, at the covered and at the seen end
_COLOUR_WEIGHT = 1.5  # against lightness, in which marks differ more
_CLEAR_CONTRAST = 0.1  # above the seen end: marks that usually stand out so much are missed when they do not
_BEST_SHARE = 0.2  # of the frames, in which nothing is taken to cover a region for long
_FACELIKE_MARGIN = 0.04
_WIDER_DEG = 45.0  # a head turned so far from where it was learned may look twice as different


def region_features(crop: NDArray[np.uint8], points_in_crop: Floats) -> Floats:
    """What the picture shows at the landmarks of each of `FACE_REGIONS`, float32 [R, P * C], for `visibility`.

    crop uint8 [224, 224, 3] RGB; points_in_crop float32 [478, 2] in its pixels, which may lie outside of it.
    """
    side = len(crop) // _CELL_PX
    colour = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    edges = cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_16S)
    texture = cv2.resize(cv2.convertScaleAbs(edges, alpha=2), (side, side), interpolation=cv2.INTER_AREA)
    # OpenCV's origin is the centre of the first cell, ours its corner.
    at = points_in_crop[_POINTS].astype(np.float32) / np.float32(_CELL_PX) - np.float32(0.5)
    cells = cv2.merge([colour, texture]).astype(np.float32)
    seen = cv2.remap(cells, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    red, green, blue, structure = np.moveaxis(np.log(seen + np.float32(8)), 2, 0)
    light = (red + green + blue) / np.float32(3)
    features = np.stack([light, red - green, blue - green, structure - light], axis=2)
    return features.reshape(len(FACE_REGIONS), -1)


def visibility(features: Floats, pose_deg: Floats) -> Floats:
    """How well each region can be seen, float32 [T, R]: 1 as usual, 0 covered; below 0.5 it counts as covered.

    features [T, R, F] from `region_features`, pose_deg [T, 3] as TRACKS has it. What is covered by something of the
    colour of skin from the first frame to the last is noticed at eyes and mouth alone. What a turned head hides is not
    told from what a thing in front of it hides.
    """
    points = features.reshape(len(features), len(FACE_REGIONS), _NUM_POINTS, _NUM_CHANNELS)
    if not len(points):
        return np.zeros((0, len(FACE_REGIONS)), np.float32)
    chunks = [slice(first, first + _CHUNK) for first in range(0, len(points), _CHUNK)]
    odd_colour = np.concatenate([_odd_colour(points[chunk]) for chunk in chunks])
    darker, coloured = map(np.concatenate, zip(*(_contrast(points[chunk]) for chunk in chunks), strict=True))
    facelike = _facelike(odd_colour, darker, coloured)
    learned = _most_facelike(facelike)
    usual = _learn(points[learned])
    distance = np.concatenate([_distance(points[chunk], usual) for chunk in chunks])
    turn_deg = np.linalg.norm(pose_deg[:, :2] - np.median(pose_deg[learned, :2], axis=0), axis=1)
    limit = _TOLERANCE * (1 + (turn_deg / _WIDER_DEG) ** 2)[:, None]
    seen: NDArray[np.float64] = np.minimum(facelike, 1 / (1 + (distance / limit) ** 4))
    return seen.astype(np.float32)


@dataclass(frozen=True)
class _Usual:
    """How a track's face usually looks: look [R, P, C], spread [R, P, C + 1], distance [R, C + 1] of a usual frame."""

    look: Floats
    spread: Floats
    distance: Floats


def _odd_colour(points: Floats) -> Floats:
    """How far the colour of each region is from that of the skin [T, R], from points [T, R, P, C]."""
    colour = points[..., 1:3]
    skin = np.median(colour, axis=(1, 2), keepdims=True)
    odd: Floats = np.median(np.linalg.norm(colour - skin, axis=3), axis=2)
    return odd


def _contrast(points: Floats) -> tuple[Floats, Floats]:
    """How much darker and more structured marks are than the skin around them, and how far their colour is [T, R] each.

    Each at the worse end of the region: a hand over one corner of the mouth leaves the other as it was.
    """
    ends = points.reshape(*points.shape[:2], 2, 2, -1, _NUM_CHANNELS).mean(axis=4)  # marks or skin, one end or other
    over = ends[:, :, 0] - ends[:, :, 1]
    darker: Floats = (0.5 * over[..., 3] - over[..., 0]).min(axis=2)
    coloured: Floats = np.linalg.norm(over[..., 1:3], axis=3).min(axis=2)
    return darker, coloured


def _facelike(odd_colour: Floats, darker: Floats, coloured: Floats) -> Floats:
    """How much each region looks like that of a face [T, R]."""
    usual = np.quantile(darker, 1 - _BEST_SHARE, axis=0)
    columns = []
    for index, name in enumerate(FACE_REGIONS):
        region, contrast = _REGIONS[name], darker[:, index]
        facelike = 1 - _ramp(odd_colour[:, index], *region.odd_colour)
        if region.marks:
            distinct = np.maximum(contrast, _COLOUR_WEIGHT * coloured[:, index]) if region.is_in_beard else contrast
            facelike *= _ramp(distinct, *region.contrast)
        if region.is_steady and usual[index] > region.contrast[1] + _CLEAR_CONTRAST:
            facelike *= _ramp(contrast / usual[index], *_CONTRAST_LEFT)
        columns.append(facelike)
    return np.stack(columns, axis=1).astype(np.float32)


def _most_facelike(facelike: Floats) -> NDArray[np.int64]:
    """Numbers of frames to learn the usual look from, rising, out of facelike [T, R].

    Marks tell frames in which they can be seen, and what hides a cheek or a chin mostly hides a mark as well.
    """
    whole = facelike.mean(axis=1)
    best = np.flatnonzero(whole >= np.quantile(whole, 1 - _BEST_SHARE) - _FACELIKE_MARGIN)
    return best[np.linspace(0, len(best) - 1, min(len(best), _NUM_LEARNED)).round().astype(np.int64)]


def _learn(points: Floats) -> _Usual:
    look = np.median(points, axis=0)
    for _ in range(3):
        look = np.median(points - _light(points, look), axis=0)
    off = _off(points, look)
    spread = np.maximum(1.4826 * np.median(np.abs(off), axis=0), _LEAST_SPREAD)
    distance = np.maximum(np.quantile(_in_spreads(off, spread), 0.6, axis=0), 1.0)
    return _Usual(look, spread.astype(np.float32), distance.astype(np.float32))


def _distance(points: Floats, usual: _Usual) -> Floats:
    """How far each region is from its usual look [T, R], as a multiple of what is usual."""
    times = _in_spreads(_off(points, usual.look), usual.spread) / usual.distance
    distance: Floats = np.sqrt((times**2).mean(axis=2))
    return distance


def _light(points: Floats, look: Floats) -> Floats:
    """What the light of each frame adds to every point [T, 1, 1, C]: points that look otherwise have little say."""
    off = points - look
    light: Floats = np.median(off, axis=(1, 2), keepdims=True)
    for _ in range(2):
        weights = 1 / (1 + (((off - light)[..., :3] / (2 * _LEAST_SPREAD[[0, 2, 3]])) ** 2).sum(axis=3, keepdims=True))
        light = (off * weights).sum(axis=(1, 2), keepdims=True) / weights.sum(axis=(1, 2), keepdims=True)
    return light


def _off(points: Floats, look: Floats) -> Floats:
    """How points [T, R, P, C] differ from the look, apart from the frame's light [T, R, P, C + 1].

    Lightness comes apart into that of a point within its region and that of the whole region, which shading changes.
    """
    off = points - _light(points, look) - look
    whole = off[..., :1].mean(axis=2, keepdims=True)
    return np.concatenate([off[..., :1] - whole, np.broadcast_to(whole, off[..., :1].shape), off[..., 1:]], axis=3)


def _in_spreads(off: Floats, spread: Floats) -> Floats:
    """Root mean square over the points of each region [T, R, C + 1]."""
    distance: Floats = np.sqrt(np.minimum((off / spread) ** 2, _FARTHEST**2).mean(axis=2))
    return distance


def _ramp(values: Floats, low: float, high: float) -> Floats:
    """0 up to `low`, 1 from `high` on."""
    ramp: Floats = np.clip((values - low) / (high - low), 0.0, 1.0)
    return ramp
