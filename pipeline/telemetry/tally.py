"""Sums over units of one stage, which can be added up: over threads, processes and machines."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

BOUNDS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Upper bounds of how long a unit took, in seconds; the last class has none."""


@dataclass
class Tally:
    """How many units ended and how, and what that took."""

    num_done: int = 0
    num_taken_over: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By reason."""
    num_rows: int = 0
    num_bytes: int = 0
    """Of rows in memory, before compression."""
    num_tokens: int = 0
    seconds: float = 0.0
    """Of the units that were computed or refused, added up."""
    took: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    """How many of these units took so long, by the classes of BOUNDS_S."""

    def enter(self, reason: str | None, seconds: float, num_rows: int, num_bytes: int, num_tokens: int) -> None:
        """Add one unit; `reason` is None if it is done."""
        if reason is None:
            self.num_done += 1
        else:
            self.refused[reason] += 1
        self.num_rows += num_rows
        self.num_bytes += num_bytes
        self.num_tokens += num_tokens
        self.seconds += seconds
        self.took[bisect_left(BOUNDS_S, seconds)] += 1

    def add(self, other: Tally) -> None:
        """Add all of another."""
        self.num_done += other.num_done
        self.num_taken_over += other.num_taken_over
        self.refused.update(other.refused)
        self.num_rows += other.num_rows
        self.num_bytes += other.num_bytes
        self.num_tokens += other.num_tokens
        self.seconds += other.seconds
        self.took = [mine + theirs for mine, theirs in zip(self.took, other.took, strict=True)]
