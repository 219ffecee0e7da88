"""Tables with a sentence each: what a terminal prints and a page draws (`panels.html.j2`)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Gauge:
    """A figure from 0 to 1 that can be drawn as a bar, with an interval; without a value, `words` says why."""

    value: float | None
    words: str
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class Swing:
    """A difference from -1 to 1 that can be drawn to either side of a middle line, with an interval."""

    value: float
    words: str
    interval: tuple[float, float] | None = None
    reach: float = 1.0
    """What the ends of the drawn line stand for; one for all rows of a panel."""

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    def __str__(self) -> str:
        return self.words


Cell = Gauge | Swing | str | int | None


@dataclass(frozen=True)
class Panel:
    """One table of a report."""

    part: str
    title: str
    meaning: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    missing: str | None = None
    """Why there are no rows."""
    is_list: bool = False
    """Whether its rows are single items: long, and folded away on the page."""
