"""Find which triangle is in front at each pixel, and interpolate what its corners carry: a depth buffer in numpy.

Triangles become rows of pixels, rows become pixels, and the nearest of each place stays; nothing is done pixel by pixel
that can be done row by row.
Shape letters: V = vertices, F = triangles, R = rows of triangles, P = pixels, K = values that a vertex carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Fragments:
    """What is in front: place in the picture [P], counted along its rows; triangle [P]; interpolated values [P, K]."""

    pixels: NDArray[np.int64]
    triangles: NDArray[np.int64]
    values: NDArray[np.float32]


def draw_triangles(
    xy: NDArray[np.float64],
    depth: NDArray[np.float64],
    carried: NDArray[np.float32],
    triangles: NDArray[np.int64],
    size: tuple[int, int],
) -> Fragments:
    """Draw triangles [F, 3] of vertices at xy [V, 2] and depth [V] into a picture of `size`, width and height.

    A pixel belongs to the triangle that holds its centre; smaller depth is in front; values are carried [V, K].
    """
    triangles, kept = _not_flat(xy, triangles)
    owner, row, left, length = _rows(xy[triangles], size)
    at_left, per_pixel = _along_rows(xy, np.column_stack([depth, carried]), triangles, owner, row, left)
    of_pixel = np.repeat(np.arange(len(row)), length)
    step = np.arange(len(of_pixel)) - np.repeat(np.cumsum(length) - length, length)
    pixels = (row * size[0] + left)[of_pixel] + step
    depths = at_left[of_pixel, 0] + per_pixel[of_pixel, 0] * step.astype(np.float32)
    nearest = np.full(size[0] * size[1], np.inf, np.float32)
    np.minimum.at(nearest, pixels, depths)
    front = np.flatnonzero(depths == nearest[pixels])
    rows = of_pixel[front]
    values = at_left[rows, 1:] + per_pixel[rows, 1:] * step[front, None].astype(np.float32)
    return Fragments(pixels[front], kept[owner[rows]], values)


def signed_areas(xy: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    """Twice the area of each triangle [F]; below zero where its corners run anticlockwise as seen."""
    a, b, c = (xy[triangles[:, corner]] for corner in range(3))
    areas: NDArray[np.float64] = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return areas


def _not_flat(xy: NDArray[np.float64], triangles: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    kept = np.flatnonzero(np.abs(signed_areas(xy, triangles)) > 1e-9)
    return triangles[kept], kept


def _rows(
    corners: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows of pixel centres inside triangles [F, 3, 2] and the picture: triangle, row, first pixel, length."""
    width, height = size
    low, high = corners[..., 1].min(axis=1), corners[..., 1].max(axis=1)
    first, stop = (np.clip(np.ceil(edge - 0.5), 0, height).astype(np.int64) for edge in (low, high))
    counts = stop - first
    owner = np.repeat(np.arange(len(corners)), counts)
    row = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    begin, end = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for side in range(3):
        (x, y), (next_x, next_y) = _upper_first(corners[:, side], corners[:, (side + 1) % 3])
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (next_x - x) / (next_y - y)
        is_met = (y[owner] <= row + 0.5) & (row + 0.5 < next_y[owner])
        met = owner[is_met]
        crossing = x[met] + (row[is_met] + 0.5 - y[met]) * slope[met]
        begin[is_met] = np.minimum(begin[is_met], crossing)
        end[is_met] = np.maximum(end[is_met], crossing)
    left, right = (np.clip(np.ceil(edge - 0.5), 0, width).astype(np.int64) for edge in (begin, end))
    is_seen = right > left
    return owner[is_seen], row[is_seen], left[is_seen], (right - left)[is_seen]


def _upper_first(start: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The two ends [2, F] of sides: two triangles that share one then cut a row at the very same place."""
    is_upper = start[:, 1:] <= end[:, 1:]
    return np.where(is_upper, start, end).T, np.where(is_upper, end, start).T


def _along_rows(
    xy: NDArray[np.float64],
    carried: NDArray[np.float64],
    triangles: NDArray[np.int64],
    owner: NDArray[np.int64],
    row: NDArray[np.int64],
    left: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Values at the first pixel of each row [R, K], and how much they grow by pixel to the right [R, K]."""
    a, b, c = (xy[triangles[:, corner]] for corner in range(3))
    of_a, of_b, of_c = (carried[triangles[:, corner]] for corner in range(3))
    area = signed_areas(xy, triangles)[:, None]

    def slope(axis: int) -> NDArray[Any]:
        other, sign = 1 - axis, 1 - 2 * axis
        to_b, to_c = (b - a)[:, other, None], (c - a)[:, other, None]
        return np.asarray(sign * (to_c * (of_b - of_a) - to_b * (of_c - of_a)) / area)

    across, down = slope(0), slope(1)
    away_x, away_y = (left + 0.5 - a[owner, 0])[:, None], (row + 0.5 - a[owner, 1])[:, None]
    at_left = of_a[owner] + away_x * across[owner] + away_y * down[owner]
    return at_left.astype(np.float32), across[owner].astype(np.float32)
