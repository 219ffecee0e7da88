"""How far reviewers agree: Cohen's kappa of two, Krippendorff's alpha of any number, with confidence by bootstrap.

Both compare how often reviewers agree with how often they would by chance, 1 being always and 0 no more than chance.
They count texts that several people judged without seeing each other's decisions. Decisions are names without order.

Sources: J. Cohen, "A coefficient of agreement for nominal scales", 1960; K. Krippendorff, "Content analysis", chapter
11, with the limits 0.667 and 0.8 for what may be concluded; J. R. Landis and G. G. Koch, "The measurement of observer
agreement for categorical data", 1977, for the words of kappa; B. Efron, "Bootstrap methods", 1979, percentiles.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.reviews.edits import Row
from pipeline.reviews.standing import last_of_each
from schemas.reviews import DECISIONS

RESAMPLES = 1000
SEED = 7
CONFIDENCE = 0.95

FEW_ITEMS = 50
"""Below so many shared texts the interval is wide, and words say so."""

KAPPA_WORDS = ((0.8, "almost perfect"), (0.6, "substantial"), (0.4, "moderate"), (0.2, "fair"), (0.0, "slight"))
"""Landis and Koch: what is above each limit."""

RELIABLE, TENTATIVE = 0.8, 0.667
"""Krippendorff: from the first on decisions may be relied on, from the second on for tentative conclusions."""

Counts = NDArray[np.int64]
"""Decisions by text and kind of decision, shape [N, 4], in the order of DECISIONS."""


@dataclass(frozen=True)
class Coefficient:
    """A coefficient with its interval; None where it is not defined, as where all say the same of everything."""

    value: float | None
    low: float | None = None
    high: float | None = None
    """Ends of the interval of CONFIDENCE, over resamples of the shared texts."""


@dataclass(frozen=True)
class PairAgreement:
    """Two reviewers and the texts that both judged."""

    first: str
    second: str
    num_shared: int
    share_same: float
    """Part of these on which they came to the same decision."""
    kappa: Coefficient


@dataclass(frozen=True)
class Disagreement:
    """A text on which reviewers differ: each one's decision and reason."""

    track_id: str
    text_version: int
    decisions: Mapping[str, tuple[str, str | None]]


@dataclass(frozen=True)
class Agreement:
    """How far reviewers agree on what several of them judged."""

    reviewers: Sequence[str]
    num_shared: int
    """Texts that at least two people judged."""
    num_not_blind: int
    """Decisions left out, because whoever took them may have seen others'."""
    alpha: Coefficient
    pairs: Sequence[PairAgreement]
    differing: Sequence[Disagreement]


def agreement(reviews: Iterable[Row], *, blind_only: bool = True, resamples: int = RESAMPLES) -> Agreement:
    """Compare the decisions of all reviewers on exactly the same texts; of each reviewer the last one counts.

    Args:
        reviews: rows of REVIEWS, also of texts that are gone by now: they were judged all the same.
        blind_only: whether to leave out decisions that are not known to be blind.
    """
    listed = list(reviews)
    counted = [row for row in listed if row["is_blind"]] if blind_only else listed
    shared = {text: by_name for text, by_name in last_of_each(counted).items() if len(by_name) > 1}
    names = sorted({name for by_name in shared.values() for name in by_name})
    counts = np.array([_count(row["decision"] for row in by_name.values()) for by_name in shared.values()], np.int64)
    pairs = []
    for first, second in itertools.combinations(names, 2):
        both = [
            (DECISIONS.index(by_name[first]["decision"]), DECISIONS.index(by_name[second]["decision"]))
            for by_name in shared.values()
            if first in by_name and second in by_name
        ]
        if both:
            pairs.append(_pair(first, second, np.array(both), resamples))
    return Agreement(
        reviewers=names,
        num_shared=len(shared),
        num_not_blind=len(listed) - len(counted),
        alpha=_alpha_with_interval(counts.reshape(-1, len(DECISIONS)), resamples),
        pairs=pairs,
        differing=[
            Disagreement(
                track_id, version, {name: (row["decision"], row["reason"]) for name, row in sorted(by_name.items())}
            )
            for (track_id, version, _), by_name in sorted(shared.items())
            if len({row["decision"] for row in by_name.values()}) > 1
        ],
    )


def cohen_kappa(first: NDArray[np.int64], second: NDArray[np.int64]) -> float | None:
    """Cohen's kappa of two reviewers' decisions [N] as numbers; None: both say one and the same of everything."""
    num_kinds = int(max(first.max(), second.max())) + 1
    table = np.zeros((num_kinds, num_kinds))
    np.add.at(table, (first, second), 1)
    table /= table.sum()
    observed = float(np.trace(table))
    expected = float(table.sum(axis=1) @ table.sum(axis=0))
    return None if np.isclose(expected, 1) else (observed - expected) / (1 - expected)


def krippendorff_alpha(counts: Counts) -> float | None:
    """Krippendorff's alpha for names; None: no text was judged twice, or all say one and the same of everything."""
    import krippendorff

    pairable = counts[counts.sum(axis=1) > 1]
    if (pairable.sum(axis=0) > 0).sum() < 2:
        return None
    return float(krippendorff.alpha(value_counts=pairable, level_of_measurement="nominal"))


def kappa_in_words(kappa: Coefficient) -> str:
    """What a kappa means, after Landis and Koch."""
    if kappa.value is None:
        return "not defined: every decision of both is the same one"
    if kappa.value < 0:
        return "poor: they agree less than by chance"
    return next((word for limit, word in KAPPA_WORDS if kappa.value > limit), "slight") + " agreement"


def alpha_in_words(alpha: Coefficient) -> str:
    """What an alpha allows to conclude, after Krippendorff."""
    if alpha.value is None:
        return "not defined: no text was judged twice, or every decision is the same one"
    if alpha.value >= RELIABLE:
        return "reliable: decisions may be relied on"
    if alpha.value >= TENTATIVE:
        return "tentative: conclusions from these decisions are tentative"
    return "not reliable: draw no conclusions from these decisions; agree on what to accept and why, and judge again"


def caution(num_shared: int) -> str | None:
    """What to keep in mind where few texts are shared."""
    return f"only {num_shared} shared texts: the interval is what to read" if 0 < num_shared < FEW_ITEMS else None


def _count(decisions: Iterable[str]) -> list[int]:
    found = list(decisions)
    return [found.count(name) for name in DECISIONS]


def _pair(first: str, second: str, both: NDArray[np.int64], resamples: int) -> PairAgreement:
    value = cohen_kappa(both[:, 0], both[:, 1])
    drawn = [cohen_kappa(both[places, 0], both[places, 1]) for places in _resampled(len(both), resamples)]
    return PairAgreement(
        first, second, len(both), float((both[:, 0] == both[:, 1]).mean()), _with_interval(value, drawn)
    )


def _alpha_with_interval(counts: Counts, resamples: int) -> Coefficient:
    value = krippendorff_alpha(counts)
    if value is None:
        return Coefficient(None)
    return _with_interval(value, [krippendorff_alpha(counts[places]) for places in _resampled(len(counts), resamples)])


def _resampled(num_items: int, resamples: int) -> Iterable[NDArray[np.int64]]:
    chance = np.random.default_rng(SEED)
    return (chance.integers(0, num_items, num_items) for _ in range(resamples))


def _with_interval(value: float | None, drawn: Sequence[float | None]) -> Coefficient:
    """A resample in which the coefficient is not defined says nothing and is left out."""
    known = [one for one in drawn if one is not None]
    if value is None or not known:
        return Coefficient(value)
    outside = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(known, [outside, 100 - outside])
    return Coefficient(value, float(low), float(high))
