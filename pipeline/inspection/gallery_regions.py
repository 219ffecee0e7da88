"""Where the regions of a face lie in its aligned crops, so that a page can point at what a claim speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.actions.geometry import REGION_POINTS
from pipeline.tracks.crop import EYES_X, LEFT_EYE, RIGHT_EYE
from schemas.table import read_cell
from schemas.tracks import TRACKS

MARGIN = 4.0
"""Percent of the crop's side around a region's landmarks, so that the outline does not cover what it points at."""

MOST_FRAMES = 32
"""Frames of a track that are looked at: eyes lie at the same place in all of its crops."""


@dataclass(frozen=True)
class Outline:
    """An ellipse around a region, in percent of the crop's side."""

    region: str
    side: str
    x: float
    y: float
    half_width: float
    half_height: float


def outlines_of(passport: Mapping[str, Any], wanted: set[tuple[str, str]]) -> list[Outline]:
    """Ellipses around the wanted (region, side) of a track; left and right are the person's own.

    `passport` holds landmarks_px [T, 478, 3] and transforms [T, 2, 3] as cells. None where they say nothing.
    """
    landmarks = read_cell(TRACKS.field("landmarks_px"), passport["landmarks_px"])
    transforms = read_cell(TRACKS.field("transforms"), passport["transforms"])
    chosen: list[int] = np.unique(np.linspace(0, len(landmarks) - 1, MOST_FRAMES).astype(int)).tolist()
    places = [_in_crop(landmarks[frame, :, :2], transforms[frame]) for frame in chosen if len(landmarks)]
    if not places:
        return []
    points = np.median(np.stack(places), axis=0)  # [478, 2] in pixels of the crop
    # The middle between the eyes lies at EYES_X of every crop: so its side is known without opening a picture.
    side_px = float(points[[*RIGHT_EYE, *LEFT_EYE], 0].mean()) / EYES_X
    if not np.isfinite(points).all() or side_px < 1:
        return []
    percent = 100 * points / side_px
    found = [_outline(region, side, percent) for region, side in sorted(wanted)]
    return [outline for outline in found if outline is not None]


def _in_crop(points: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Places of landmarks [478, 2] in pixels of the crop."""
    return np.asarray(points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2], np.float64)


def _outline(region: str, side: str, percent: NDArray[np.float64]) -> Outline | None:
    if region == "head":
        points = percent
    else:
        listed = REGION_POINTS.get("eyes" if region == "gaze" else region)
        if listed is None:
            return None
        points = percent[np.asarray(listed)]
    middle = float(points[:, 0].mean())
    if region != "head" and side in ("left", "right"):  # the person's left is at the right of the picture
        points = points[points[:, 0] >= middle] if side == "left" else points[points[:, 0] <= middle]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    (x, y), (width, height) = (low + high) / 2, (high - low) / 2 + MARGIN
    return Outline(region, side, *(round(float(value), 1) for value in (x, y, width, height)))
