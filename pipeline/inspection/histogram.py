"""Count numbers in bins of round widths, so that a picture of them has an axis that people read."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

NUM_BINS = 24
"""Bins that are aimed at; round widths make it a few more or fewer."""

REACH = 0.995
"""Part of the numbers that lies within the bins: what is beyond is counted in the last one."""

NARROWEST = 1e-6
"""Numbers that lie nearer together than this count as one: nobody reads an axis of such numbers."""


class Histogram(BaseModel):
    """How often numbers lie where."""

    model_config = ConfigDict(frozen=True)

    unit: str
    edges: list[float]
    """One more than there are counts."""
    counts: list[int]
    num_beyond: int
    """Of the last bin: numbers above its edge."""
    num: int
    num_missing: int
    """Numbers that are none: not counted."""
    least: float
    low: float
    """One in twenty is smaller."""
    median: float
    high: float
    """One in twenty is greater."""
    most: float


def histogram(numbers: NDArray[np.float64], unit: str, *, is_whole: bool = False) -> Histogram | None:
    """Bins of the numbers, or None where there are none; `is_whole`: no bin is narrower than 1."""
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return None
    least, low, median, high, reach, most = np.quantile(known, [0, 0.05, 0.5, 0.95, REACH, 1])
    start = 0.0 if 0 <= least < reach / 2 else float(least)
    width = _round_width((float(reach) - start) / NUM_BINS, is_whole=is_whole)
    first = math.floor(start / width)
    first -= first * width > start  # a number hardly below 0 divides to 0
    num_bins = max(1, math.floor(float(reach) / width) + 1 - first)
    edges = (first + np.arange(num_bins + 1)) * width
    counts, _ = np.histogram(np.minimum(known, edges[-1]), edges)
    return Histogram(
        unit=unit,
        edges=[float(edge) for edge in np.round(edges, 9)],
        counts=[int(count) for count in counts],
        num_beyond=int((known > edges[-1]).sum()),
        num=len(known),
        num_missing=len(numbers) - len(known),
        least=float(least),
        low=float(low),
        median=float(median),
        high=float(high),
        most=float(most),
    )


def _round_width(width: float, *, is_whole: bool) -> float:
    """The next 1, 2 or 5 times a power of ten that is no smaller."""
    if width < NARROWEST:
        return 1.0
    power = 10.0 ** math.floor(math.log10(width))
    found = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= width * (1 - 1e-9))
    return max(1.0, found) if is_whole else found
