"""Figures of a classifier: recall with and without regard to how frequent a class is, calibration, and intervals.

Shape letters: N videos, K labels, C clusters (persons or films; a video whose group is not known is one by itself),
R draws, S seeds. The bootstrap draws clusters, never clips: clips of one person go wrong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest

from pipeline.training.predictions import Scored

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NUM_DRAWS = 2000
NUM_BINS = 15
"""Bins of the calibration error, as in Guo et al., "On calibration of modern neural networks", 2017."""

LEVEL = 0.95
_CELLS = 4_000_000
"""Numbers of one block of draws: what the bootstrap holds in memory at a time."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Estimate(_Frozen):
    """A figure with its 95 % interval; without a value or an interval, `missing` says why."""

    value: float | None
    interval: tuple[float, float] | None = None
    missing: str | None = None

    def __str__(self) -> str:
        if self.value is None:
            return self.missing or ""
        within = "" if self.interval is None else f" ({self.interval[0]:.3f} to {self.interval[1]:.3f})"
        return f"{self.value:.3f}{within}"


class Recall(_Frozen):
    """How many videos of one label were found, with Wilson's 95 % interval; no value where there is no such video."""

    label: str
    hits: int
    asked: int
    value: float | None
    interval: tuple[float, float] | None


class Bin(_Frozen):
    """Videos whose greatest probability lies between two bounds: what was promised, and what came true."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


class Figures(_Frozen):
    """All figures of one run over some videos."""

    labels: list[str]
    num_videos: int
    num_clusters: int
    drawn_by: str
    absent: list[str]
    """Labels without a test video: left out of UAR and macro-F1, never counted as 0."""
    unlearnt: list[str]
    """Labels of the test videos that the run never learnt: counted, with recall 0."""
    uar: Estimate
    """Unweighted average recall: mean of the recalls of the labels that have a test video."""
    war: Estimate
    """Weighted average recall: share of the videos that are right, the accuracy."""
    macro_f1: Estimate
    nll: Estimate
    """Mean negative log-likelihood of the true label, natural logarithm."""
    ece: float
    """Expected calibration error: mean gap between promise and truth over equal bins of confidence."""
    recalls: list[Recall]
    confusion: list[list[int]]
    """A row for each true label, a column for each predicted one."""
    reliability: list[Bin]
    smallest_step: float
    """What a single video of the rarest label is worth in UAR."""

    @property
    def chance(self) -> float:
        """UAR of guessing."""
        return 1 / max(1, len(self.labels) - len(self.absent))


class Spread(_Frozen):
    """A figure over folds or seeds: mean, and deviation of the sample (None for a single one)."""

    values: list[float]
    mean: float
    deviation: float | None

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + ("" if self.deviation is None else f" ± {self.deviation:.3f}")


def spread(values: Sequence[float]) -> Spread:
    """Mean and deviation over folds or seeds."""
    return Spread(values=list(values), mean=fmean(values), deviation=stdev(values) if len(values) > 1 else None)


# --- figures of plain arrays


def confusion_of(truth_N: Ints, predicted_N: Ints, num_labels: int) -> Ints:
    """How often each true label (row) was predicted as each label (column)."""
    cells = np.bincount(truth_N * num_labels + predicted_N, minlength=num_labels**2)
    return cells.reshape(num_labels, num_labels).astype(np.int64)


def uar_of(hits_K: Any, asked_K: Any) -> Any:
    """Mean recall over the labels that were asked for; the labels are the last axis. NaN where none was."""
    hits, asked = np.asarray(hits_K, dtype=np.float64), np.asarray(asked_K, dtype=np.float64)
    return _mean_of_present(hits / np.maximum(asked, 1), asked > 0)


def war_of(hits_K: Any, asked_K: Any) -> Any:
    """Share of all that was asked for that is right; the labels are the last axis."""
    return np.sum(hits_K, axis=-1) / np.maximum(np.sum(asked_K, axis=-1), 1)


def macro_f1_of(hits_K: Any, asked_K: Any, predicted_K: Any) -> Any:
    """Mean of the harmonic means of precision and recall, over the labels that were asked for."""
    hits, asked, predicted = (np.asarray(one, dtype=np.float64) for one in (hits_K, asked_K, predicted_K))
    return _mean_of_present(2 * hits / np.maximum(asked + predicted, 1), asked > 0)


def _mean_of_present(values: Floats, is_present: NDArray[np.bool_]) -> Any:
    number = is_present.sum(axis=-1)
    mean = np.where(is_present, values, 0.0).sum(axis=-1) / np.maximum(number, 1)
    return np.where(number > 0, mean, np.nan)


def reliability_of(confidence_N: Floats, is_right_N: NDArray[np.bool_], bins: int = NUM_BINS) -> list[Bin]:
    """Equal bins of confidence, those without a video left out. A bin has its upper bound and not its lower."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    number = np.clip(np.digitize(confidence_N, edges[1:-1], right=True), 0, bins - 1)
    return [
        Bin(
            low=float(edges[one]),
            high=float(edges[one + 1]),
            count=int((number == one).sum()),
            confidence=float(confidence_N[number == one].mean()),
            accuracy=float(is_right_N[number == one].mean()),
        )
        for one in np.unique(number)
    ]


def ece_of(bins: Sequence[Bin]) -> float:
    """Gap between confidence and accuracy, weighted by how many videos lie in each bin."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.accuracy - one.confidence) for one in bins) / max(total, 1)


def recall_of(label: str, hits: int, asked: int) -> Recall:
    """A recall with its interval.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if not asked:
        return Recall(label=label, hits=0, asked=0, value=None, interval=None)
    found = binomtest(hits, asked).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Recall(
        label=label, hits=hits, asked=asked, value=hits / asked, interval=(max(0.0, found.low), min(1.0, found.high))
    )


# --- the bootstrap


def draws_of(num_clusters: int, num_draws: int, seed: int) -> Iterator[Floats]:
    """Blocks [R, C]: how often each cluster is in each draw. The same arguments give the same draws."""
    rng = np.random.default_rng([seed, num_clusters])
    shares = np.full(num_clusters, 1 / num_clusters)
    block = max(1, _CELLS // num_clusters)
    for start in range(0, num_draws, block):
        size = min(block, num_draws - start)
        yield rng.multinomial(num_clusters, shares, size=size).astype(np.float64)


def sums_by_cluster(clusters_N: Ints, values_NK: Floats) -> Floats:
    """Sum of each column over the videos of each cluster: [C, K]."""
    sums = np.zeros((int(clusters_N.max()) + 1, values_NK.shape[1]))
    np.add.at(sums, clusters_N, values_NK)
    return sums


def middle(values_R: Floats) -> tuple[float, float] | None:
    """The bounds between which the middle 95 % lie; None if any draw had no value."""
    if not values_R.size or np.isnan(values_R).any():
        return None
    low, high = np.quantile(values_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def one_hot(numbers_N: Ints, num_labels: int) -> Floats:
    """A row of zeros with a one for each number: [N, K]."""
    return np.eye(num_labels)[numbers_N]


def figures(scored: Scored, *, num_draws: int = NUM_DRAWS, seed: int = 0) -> Figures:
    """Every figure of a run over its videos, with intervals that draw groups where they are known."""
    num_labels, truth, predicted = len(scored.labels), scored.truth_N, scored.predicted_N
    table = confusion_of(truth, predicted, num_labels)
    hits, asked, claimed = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    is_right = predicted == truth
    own = scored.log_probabilities_NK[np.arange(truth.size), truth]
    columns = np.concatenate(
        [
            one_hot(truth, num_labels) * is_right[:, None],
            one_hot(truth, num_labels),
            one_hot(predicted, num_labels),
            -own[:, None],
        ],
        axis=1,
    )
    sums_CJ = sums_by_cluster(scored.clusters_N, columns)
    drawn = _draws_of_figures(sums_CJ, num_labels, num_draws, seed)
    why = None if len(sums_CJ) > 1 else f"no interval: all test videos are of one {scored.drawn_by}"

    def estimate(name: str, value: float) -> Estimate:
        return Estimate(value=value, interval=None if why else middle(drawn[name]), missing=why)

    bins = reliability_of(np.exp(scored.log_probabilities_NK.max(axis=1)), is_right)
    present = asked > 0
    return Figures(
        labels=list(scored.labels),
        num_videos=truth.size,
        num_clusters=len(sums_CJ),
        drawn_by=scored.drawn_by,
        absent=[label for label, one in zip(scored.labels, asked, strict=True) if not one],
        unlearnt=list(scored.unlearnt),
        uar=estimate("uar", float(uar_of(hits, asked))),
        war=estimate("war", float(war_of(hits, asked))),
        macro_f1=estimate("macro_f1", float(macro_f1_of(hits, asked, claimed))),
        nll=estimate("nll", float(-own.mean())),
        ece=ece_of(bins),
        recalls=[
            recall_of(label, int(hit), int(one)) for label, hit, one in zip(scored.labels, hits, asked, strict=True)
        ],
        confusion=table.tolist(),
        reliability=bins,
        smallest_step=1 / float(asked[present].min()) / int(present.sum()),
    )


def _draws_of_figures(sums_CJ: Floats, num_labels: int, num_draws: int, seed: int) -> dict[str, Floats]:
    """Each figure in every draw. A label that a draw misses is left out of that draw's means."""
    drawn: dict[str, list[Floats]] = {"uar": [], "war": [], "macro_f1": [], "nll": []}
    for counts_RC in draws_of(len(sums_CJ), num_draws, seed):
        hits, asked, claimed, loss = np.split(counts_RC @ sums_CJ, [num_labels, 2 * num_labels, 3 * num_labels], axis=1)
        drawn["uar"].append(uar_of(hits, asked))
        drawn["war"].append(war_of(hits, asked))
        drawn["macro_f1"].append(macro_f1_of(hits, asked, claimed))
        drawn["nll"].append(loss[:, 0] / asked.sum(axis=1))
    return {name: np.concatenate(parts) for name, parts in drawn.items()}
