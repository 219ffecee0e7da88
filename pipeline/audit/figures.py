"""A share with its interval, or the reason why there is none: the form in which the audit tells its figures."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist, fmean, median

from pydantic import BaseModel, ConfigDict, computed_field

_Z = NormalDist().inv_cdf(0.975)


class Share(BaseModel):
    """`hits` of `asked`; where nothing could be asked, `missing` says why, and there is no value at all."""

    model_config = ConfigDict(frozen=True)

    hits: int = 0
    asked: int = 0
    missing: str | None = None
    is_sample: bool = True
    """Whether the cases stand for more of their kind; an interval around a plain count would mean nothing."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def value(self) -> float | None:
        """The share from 0 to 1, or None where it is missing."""
        return self.hits / self.asked if self.asked and self.missing is None else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the share.

        Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
        """
        if self.value is None or not self.is_sample:
            return None
        z2_n = _Z**2 / self.asked
        middle = (self.value + z2_n / 2) / (1 + z2_n)
        half = (self.value * (1 - self.value) * z2_n + z2_n**2 / 4) ** 0.5 / (1 + z2_n)
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        if self.value is None:
            return self.missing or ""
        within = "" if self.interval is None else f" ({self.interval[0]:.3f} to {self.interval[1]:.3f})"
        return f"{self.value:.3f}{within}, {self.hits} of {self.asked}"


def share(hits: int, asked: int, *, otherwise: str, is_sample: bool = True) -> Share:
    """`hits` of `asked`, or missing because of `otherwise` where nothing was asked."""
    return Share(hits=hits, asked=asked, missing=None if asked else otherwise, is_sample=is_sample)


def change_between(before: Share, after: Share) -> tuple[float, float] | None:
    """95 % interval of how much a share grew, as of two independent samples; None where one of them is missing.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions", 1998, method 10.
    """
    if before.value is None or after.value is None or before.interval is None or after.interval is None:
        return None
    (low, high), (later_low, later_high) = before.interval, after.interval
    grown = after.value - before.value
    less = ((after.value - later_low) ** 2 + (high - before.value) ** 2) ** 0.5
    more = ((later_high - after.value) ** 2 + (before.value - low) ** 2) ** 0.5
    return grown - less, grown + more


class Spread(BaseModel):
    """Smallest, middle and greatest of some numbers, and their mean."""

    model_config = ConfigDict(frozen=True)

    least: float
    median: float
    mean: float
    most: float


def spread(numbers: Sequence[float]) -> Spread | None:
    """The spread of the numbers, or None where there are none."""
    if not numbers:
        return None
    return Spread(least=min(numbers), median=median(numbers), mean=fmean(numbers), most=max(numbers))
