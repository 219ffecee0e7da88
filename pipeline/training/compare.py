"""Is one run better than another? Paired bootstrap over the same test videos, drawn by group.

Shape letters: N videos, K labels, C clusters, R draws, S seeds. Two runs go wrong on the same hard videos, so that the
interval of their difference is narrower than what their own intervals suggest; comparing those would hide it.

Each side may be several runs that differ in their seed alone. A draw then draws clusters and seeds: what training would
give with other seeds is part of the doubt. Of three seeds this part comes out too small by about a fifth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipeline.training.errors import EvaluationError
from pipeline.training.metrics import (
    NUM_DRAWS,
    Estimate,
    Floats,
    confusion_of,
    draws_of,
    middle,
    one_hot,
    spread,
    sums_by_cluster,
    uar_of,
    war_of,
)
from pipeline.training.predictions import Scored

SHOWN = 3
"""Videos that an error names on each side."""


class ComparisonError(EvaluationError):
    """Runs that cannot be compared: the message says in what they differ, and what to do."""


class Difference(BaseModel):
    """A figure of both sides and the first less the second, with its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    figure: str
    """uar, war, or the recall of a label."""
    value: float
    reference: float
    difference: float
    interval: tuple[float, float] | None
    p: float | None
    """Twice the share of draws in which the difference has the other sign or is 0, at most 1."""

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    def __str__(self) -> str:
        within = "" if self.interval is None else f" ({self.interval[0]:+.3f} to {self.interval[1]:+.3f})"
        return f"{self.difference:+.3f}{within}"


class Comparison(BaseModel):
    """What a paired bootstrap between two sides found."""

    model_config = ConfigDict(frozen=True)

    num_videos: int
    num_clusters: int
    drawn_by: str
    num_runs: tuple[int, int]
    uar: Difference
    war: Difference
    recalls: list[Difference]
    num_fixed: int
    """Videos that the first side has right in most of its runs and the second in fewer."""
    num_broken: int
    """The other way round."""


def compare(
    runs: Sequence[Scored], reference: Sequence[Scored], *, num_draws: int = NUM_DRAWS, seed: int = 0
) -> Comparison:
    """The mean over `runs` less the mean over `reference`; of as many runs on both sides the seeds are paired too.

    Raises:
        ComparisonError: a side is empty, or test videos, labels or groups are not the same in all of them.
    """
    if not runs or not reference:
        raise ComparisonError("a comparison needs at least one run on each side")
    refuse_other_videos([*reference, *runs])
    first, labels = reference[0], reference[0].labels
    ours, theirs = _hits(runs, first), _hits(reference, first)
    asked_CK = sums_by_cluster(first.clusters_N, one_hot(first.truth_N, len(labels)))
    rng = np.random.default_rng([seed, len(runs), len(reference)])
    drawn: list[Floats] = []
    for counts_RC in draws_of(len(asked_CK), num_draws, seed):
        ours_RS = _draw_seeds(len(runs), len(counts_RC), rng)
        theirs_RS = ours_RS if len(runs) == len(reference) else _draw_seeds(len(reference), len(counts_RC), rng)
        asked_RK = counts_RC @ asked_CK
        drawn.append(_values(counts_RC, ours_RS, ours, asked_RK) - _values(counts_RC, theirs_RS, theirs, asked_RK))
    draws_RJ = np.concatenate(drawn)
    ours_J, theirs_J = (_values_of_all(hits, asked_CK) for hits in (ours, theirs))
    names = ["uar", "war", *labels]
    found = [
        _difference(name, float(ours_J[j]), float(theirs_J[j]), draws_RJ[:, j], len(asked_CK))
        for j, name in enumerate(names)
        if not np.isnan(ours_J[j])
    ]
    right, theirs_right = _mostly_right(runs, first), _mostly_right(reference, first)
    return Comparison(
        num_videos=first.truth_N.size,
        num_clusters=len(asked_CK),
        drawn_by=first.drawn_by,
        num_runs=(len(runs), len(reference)),
        uar=found[0],
        war=found[1],
        recalls=found[2:],
        num_fixed=int((right & ~theirs_right).sum()),
        num_broken=int((~right & theirs_right).sum()),
    )


class OverSeeds(BaseModel):
    """Runs that differ in their seed alone: their mean, its interval, and how far they lie apart."""

    model_config = ConfigDict(frozen=True)

    uar: Estimate
    war: Estimate
    uar_values: list[float]
    war_values: list[float]
    recalls: dict[str, float]
    """Mean recall of each label that has a test video."""
    confusion: list[list[int]]
    """Summed over the runs."""

    def deviation(self) -> float | None:
        """Deviation of the UAR from seed to seed."""
        return spread(self.uar_values).deviation


FLAT = (
    "An interval without width says that every draw gave the same, as where no video is wrong: a bootstrap knows of no "
    "error that it has not seen. The recalls' own intervals (Wilson) do allow for some."
)


def is_flat(found: OverSeeds) -> bool:
    """Whether the interval of the UAR has no width."""
    return found.uar.interval is not None and found.uar.interval[0] == found.uar.interval[1]


def over_seeds(runs: Sequence[Scored], *, num_draws: int = NUM_DRAWS, seed: int = 0) -> OverSeeds:
    """Mean UAR and WAR of runs over the same videos; an interval draws clusters and seeds.

    Raises:
        ComparisonError: there is no run, or their test videos are not the same.
    """
    if not runs:
        raise ComparisonError("there is no run to take a mean of")
    refuse_other_videos(runs)
    first = runs[0]
    hits = _hits(runs, first)
    asked_CK = sums_by_cluster(first.clusters_N, one_hot(first.truth_N, len(first.labels)))
    rng = np.random.default_rng([seed, len(runs)])
    draws_RJ = np.concatenate(
        [
            _values(counts_RC, _draw_seeds(len(runs), len(counts_RC), rng), hits, counts_RC @ asked_CK)
            for counts_RC in draws_of(len(asked_CK), num_draws, seed)
        ]
    )
    means_J = _values_of_all(hits, asked_CK)
    why = None if len(asked_CK) > 1 else f"no interval: all test videos are of one {first.drawn_by}"
    each = [_values_of_all(hits[:, [one]], asked_CK) for one in range(len(runs))]
    tables = [confusion_of(first.truth_N, _predicted(run, first), len(first.labels)) for run in runs]
    return OverSeeds(
        uar=Estimate(value=float(means_J[0]), interval=None if why else middle(draws_RJ[:, 0]), missing=why),
        war=Estimate(value=float(means_J[1]), interval=None if why else middle(draws_RJ[:, 1]), missing=why),
        uar_values=[float(one[0]) for one in each],
        war_values=[float(one[1]) for one in each],
        recalls={
            label: float(value) for label, value in zip(first.labels, means_J[2:], strict=True) if not np.isnan(value)
        },
        confusion=np.sum(tables, axis=0).tolist(),
    )


def refuse_other_videos(runs: Sequence[Scored]) -> None:
    """Raise ComparisonError unless all runs were tested on the same videos, with the same labels and groups."""
    first = runs[0]
    facts = _facts(first)
    for run in runs[1:]:
        if set(run.labels) != set(first.labels):
            only = sorted(set(run.labels) ^ set(first.labels))
            raise ComparisonError(
                f"the runs know other labels, {', '.join(only)} only one of them: their recalls are not comparable; "
                "train both with the same `labels`"
            )
        own = _facts(run)
        if lost := sorted(facts.keys() ^ own.keys()):
            here, there = [v for v in lost if v in own], [v for v in lost if v in facts]
            raise ComparisonError(
                f"the runs were tested on other videos: {len(here)} only in the first ({_some(here)}), {len(there)} "
                f"only in the reference ({_some(there)}), {len(facts.keys() & own.keys())} in both. Give both the same "
                "split and snapshot and evaluate again; a paired comparison is of the same videos"
            )
        if other := sorted(video for video in facts if facts[video] != own[video]):
            raise ComparisonError(
                f"{len(other)} test videos have another label or group in the other run, the first is {other[0]}: "
                f"{own[other[0]]} and {facts[other[0]]}. They come from snapshots with other annotations: "
                "evaluate both on one"
            )


def _facts(run: Scored) -> dict[str, tuple[str, str | None]]:
    labels = (run.labels[number] for number in run.truth_N)
    return dict(zip(run.video_ids, zip(labels, run.groups, strict=True), strict=True))


def _some(videos: Sequence[str]) -> str:
    return ", ".join(videos[:SHOWN]) + (", …" if len(videos) > SHOWN else "") if videos else "-"


def _predicted(run: Scored, first: Scored) -> NDArray[np.int64]:
    """What a run predicts, as numbers of the first run's labels."""
    return np.array([first.labels.index(label) for label in run.labels], dtype=np.int64)[run.predicted_N]


def _mostly_right(runs: Sequence[Scored], first: Scored) -> NDArray[np.bool_]:
    right = [_predicted(run, first) == first.truth_N for run in runs]
    return np.asarray(np.mean(right, axis=0) > 0.5)


def _hits(runs: Sequence[Scored], first: Scored) -> Floats:
    """Right videos of each cluster, run and label: [C, S, K]."""
    truth_NK = one_hot(first.truth_N, len(first.labels))
    right = [(_predicted(run, first) == first.truth_N)[:, None] * truth_NK for run in runs]
    return np.stack([sums_by_cluster(first.clusters_N, one) for one in right], axis=1)


def _draw_seeds(num_seeds: int, num_draws: int, rng: np.random.Generator) -> Floats:
    """Share of each seed in each draw: [R, S]."""
    return rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_draws) / num_seeds


def _values(counts_RC: Floats, seeds_RS: Floats, hits_CSK: Floats, asked_RK: Floats) -> Floats:
    """UAR, WAR and the recall of each label in each draw, averaged over its seeds: [R, 2 + K]."""
    num_clusters, num_seeds, num_labels = hits_CSK.shape
    hits_RSK = (counts_RC @ hits_CSK.reshape(num_clusters, -1)).reshape(-1, num_seeds, num_labels)
    hits_RK = np.einsum("rs,rsk->rk", seeds_RS, hits_RSK)
    # All runs are asked the same, so that the mean of their recalls is the recall of their mean hits.
    recalls_RK = np.where(asked_RK > 0, hits_RK / np.maximum(asked_RK, 1), np.nan)
    return np.column_stack([uar_of(hits_RK, asked_RK), war_of(hits_RK, asked_RK), recalls_RK])


def _values_of_all(hits_CSK: Floats, asked_CK: Floats) -> Floats:
    num_seeds = hits_CSK.shape[1]
    ones = np.ones((1, len(asked_CK)))
    values: Floats = _values(ones, np.full((1, num_seeds), 1 / num_seeds), hits_CSK, asked_CK.sum(axis=0)[None])[0]
    return values


def _difference(name: str, ours: float, theirs: float, draws_R: Floats, num_clusters: int) -> Difference:
    known = draws_R[~np.isnan(draws_R)]  # a draw may miss every video of a rare label
    if num_clusters < 2:
        return Difference(figure=name, value=ours, reference=theirs, difference=ours - theirs, interval=None, p=None)
    # Rounding must not make a difference of two equal sums: counts are whole, so that less than this is none.
    signs = np.where(np.abs(known) < 1e-12, 0.0, known)
    p = min(1.0, 2 * min(float((signs <= 0).mean()), float((signs >= 0).mean())))
    return Difference(
        figure=name,
        value=ours,
        reference=theirs,
        difference=ours - theirs,
        interval=middle(signs),
        p=max(p, 1 / signs.size),
    )
