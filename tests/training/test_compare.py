"""The paired bootstrap: laws, a known answer, and refusals that name the videos."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from pipeline.training.compare import ComparisonError, compare, over_seeds
from pipeline.training.metrics import figures
from pipeline.training.predictions import Scored

LABELS = ("anger", "fear", "happiness")


def run_of(truth: list[int], predicted: list[int], groups: list[str | None] | None = None) -> Scored:
    return Scored(
        labels=LABELS,
        video_ids=tuple(f"{number:04d}" for number in range(len(truth))),
        groups=tuple(groups or [None] * len(truth)),
        truth_N=np.array(truth, dtype=np.int64),
        log_probabilities_NK=log_softmax(np.eye(len(LABELS))[predicted] * 3.0, axis=1),
    )


def noisy(recall: float, seed: int, *, videos: int = 240, hard: float = 0.0) -> Scored:
    """A run that is right with this probability; `hard` of the videos nobody has right."""
    rng = np.random.default_rng(seed)
    truth = np.arange(videos) % 3
    is_hard = np.random.default_rng(99).random(videos) < hard
    right = (rng.random(videos) < recall) & ~is_hard
    return run_of(truth.tolist(), np.where(right, truth, (truth + 1) % 3).tolist())


def test_a_run_differs_from_itself_by_nothing_at_all() -> None:
    run = noisy(0.7, 1)
    found = compare([run], [run])
    for one in (found.uar, found.war, *found.recalls):
        assert (one.difference, one.interval, one.p, one.is_certain) == (0.0, (0.0, 0.0), 1.0, False)
    assert (found.num_fixed, found.num_broken) == (0, 0)


def test_means_of_both_sides_are_those_of_the_figures() -> None:
    ours, theirs = [noisy(0.8, seed) for seed in (1, 2, 3)], [noisy(0.6, seed) for seed in (4, 5)]
    found = compare(ours, theirs)
    values = [np.mean([figures(run, num_draws=2).uar.value or 0 for run in side]) for side in (ours, theirs)]
    assert (found.uar.value, found.uar.reference) == pytest.approx(values)
    assert found.uar.difference == pytest.approx(values[0] - values[1])
    assert found.num_runs == (3, 2) and [one.figure for one in found.recalls] == list(LABELS)
    means = over_seeds(ours)
    assert means.uar.value == pytest.approx(values[0]) and np.mean(means.uar_values) == pytest.approx(values[0])
    assert np.sum(means.confusion) == 3 * 240


def test_the_other_way_round_is_the_same_with_the_other_sign() -> None:
    one, two = noisy(0.75, 1), noisy(0.65, 2)
    there, back = compare([one], [two]).uar, compare([two], [one]).uar
    assert there.difference == -back.difference and there.p == back.p
    assert there.interval is not None and back.interval is not None
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))


def test_pairing_sees_what_two_separate_intervals_hide() -> None:
    base = noisy(0.95, 1, hard=0.4)
    better = base.log_probabilities_NK.copy()
    wrong = np.flatnonzero(base.predicted_N != base.truth_N)[:12]
    better[wrong] = log_softmax(np.eye(3)[base.truth_N[wrong]] * 3.0, axis=1)
    mended = dataclasses.replace(base, log_probabilities_NK=better)
    found = compare([mended], [base])
    own = [figures(run).uar.interval for run in (base, mended)]
    assert own[0] is not None and own[1] is not None and own[0][1] > own[1][0], "their own intervals overlap"
    assert found.uar.is_certain and (found.num_fixed, found.num_broken) == (12, 0)


def test_more_doubt_where_seeds_disagree() -> None:
    base = [noisy(0.6, 7)] * 3
    steady = compare([noisy(0.7, 1)] * 3, base).uar.interval
    shaky = compare([noisy(0.5, 1), noisy(0.7, 1), noisy(0.9, 1)], base).uar.interval
    assert steady is not None and shaky is not None
    assert np.ptp(shaky) > 1.5 * np.ptp(steady)
    assert (over_seeds([noisy(0.7, 1)] * 3).deviation(), over_seeds(base[:1]).deviation()) == (0.0, None)


def test_groups_are_drawn_whole() -> None:
    truth = [0, 1, 2] * 40
    people: list[str | None] = [f"person {number // 24}" for number in range(120)]
    wrong = [(label + 1) % 3 if number < 48 else label for number, label in enumerate(truth)]
    by_video = compare([run_of(truth, truth)], [run_of(truth, wrong)])
    by_person = compare([run_of(truth, truth, people)], [run_of(truth, wrong, people)])
    assert (by_person.num_clusters, by_person.drawn_by, by_video.drawn_by) == (5, "group", "video")
    assert by_video.uar.interval is not None and by_person.uar.interval is not None
    assert np.ptp(by_person.uar.interval) > 2 * np.ptp(by_video.uar.interval)
    alone = compare([run_of(truth, truth, ["p"] * 120)], [run_of(truth, wrong, ["p"] * 120)])
    assert alone.uar.interval is None and not alone.uar.is_certain


def test_other_test_videos_are_refused_and_named() -> None:
    run = noisy(0.7, 1, videos=30)
    fewer = Scored(
        labels=run.labels,
        video_ids=(*run.video_ids[:28], "other"),
        groups=run.groups[:29],
        truth_N=run.truth_N[:29],
        log_probabilities_NK=run.log_probabilities_NK[:29],
    )
    with pytest.raises(ComparisonError) as refused:
        compare([fewer], [run])
    told = str(refused.value)
    assert "1 only in the first (other), 2 only in the reference (0028, 0029), 28 in both" in told
    assert "same split and snapshot" in told


def test_other_labels_of_the_same_videos_are_refused_and_named() -> None:
    run = noisy(0.7, 1, videos=30)
    truth = run.truth_N.copy()
    truth[4] = 2
    with pytest.raises(
        ComparisonError, match=r"1 test videos have another label or group .* 0004: \('happiness', None\)"
    ):
        compare([dataclasses.replace(run, truth_N=truth)], [run])
    renamed = dataclasses.replace(run, labels=("anger", "fear", "joy"))
    with pytest.raises(ComparisonError, match="other labels, happiness, joy only one of them"):
        compare([renamed], [run])
    with pytest.raises(ComparisonError, match="at least one run"):
        compare([], [run])


def test_runs_that_number_their_labels_otherwise_are_matched_by_name() -> None:
    run = noisy(0.7, 1)
    order = [2, 0, 1]
    turned = dataclasses.replace(
        run,
        labels=tuple(LABELS[number] for number in order),
        truth_N=np.array([order.index(number) for number in run.truth_N]),
        log_probabilities_NK=run.log_probabilities_NK[:, order],
    )
    found = compare([turned], [run])
    assert found.uar.difference == 0 and (found.num_fixed, found.num_broken) == (0, 0)


def test_under_no_difference_the_interval_leaves_out_zero_about_as_rarely_as_it_says() -> None:
    certain = [compare([noisy(0.7, 2 * n)], [noisy(0.7, 2 * n + 1)], num_draws=300).uar.is_certain for n in range(120)]
    assert sum(certain) / 120 <= 0.12


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=3, max_size=40))
def test_an_interval_never_leaves_the_range_of_a_difference(rows: list[tuple[int, int, int]]) -> None:
    truth, one, two = (list(column) for column in zip(*rows, strict=True))
    found = compare([run_of(truth, one)], [run_of(truth, two)], num_draws=50)
    for figure in (found.uar, found.war, *found.recalls):
        assert -1 <= figure.difference <= 1 and figure.p is not None and 0 < figure.p <= 1
        if figure.interval is not None:
            assert -1 <= figure.interval[0] <= figure.interval[1] <= 1
