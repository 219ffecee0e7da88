"""Figures against numbers worked out by hand, and the laws that they keep whatever the predictions are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from pipeline.training.metrics import (
    confusion_of,
    draws_of,
    ece_of,
    figures,
    macro_f1_of,
    recall_of,
    reliability_of,
    spread,
    uar_of,
    war_of,
)
from pipeline.training.predictions import Scored


def scored(
    truth: list[int], predicted: list[int], *, groups: list[str | None] | None = None, labels: str = "abc"
) -> Scored:
    """Videos that are predicted with certainty enough."""
    logits = np.eye(len(labels))[predicted] * 3.0
    return Scored(
        labels=tuple(labels),
        video_ids=tuple(f"{number:04d}" for number in range(len(truth))),
        groups=tuple(groups or [None] * len(truth)),
        truth_N=np.array(truth, dtype=np.int64),
        log_probabilities_NK=log_softmax(logits, axis=1),
    )


# Six of a (five right, one called b), three of b (two right, one called a), one of c (called a).
TRUTH = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2]
PREDICTED = [0, 0, 0, 0, 0, 1, 1, 1, 0, 0]


def test_the_figures_of_a_small_table_are_those_worked_out_by_hand() -> None:
    found = figures(scored(TRUTH, PREDICTED))
    assert found.confusion == [[5, 1, 0], [1, 2, 0], [1, 0, 0]]
    assert found.war.value == pytest.approx(7 / 10)
    assert found.uar.value == pytest.approx((5 / 6 + 2 / 3 + 0) / 3)
    assert found.macro_f1.value == pytest.approx((2 * 5 / 13 + 2 * 2 / 6 + 0) / 3)
    assert [(one.hits, one.asked) for one in found.recalls] == [(5, 6), (2, 3), (0, 1)]
    assert found.chance == pytest.approx(1 / 3)
    sure = math.exp(3) / (math.exp(3) + 2)
    assert found.nll.value == pytest.approx(-(7 * math.log(sure) + 3 * math.log((1 - sure) / 2)) / 10)
    assert found.ece == pytest.approx(abs(sure - 0.7)), "all videos are of one confidence"


def test_a_label_without_a_test_video_is_left_out_and_named_and_never_a_zero() -> None:
    with_it, without = figures(scored(TRUTH, PREDICTED, labels="abcd")), figures(scored(TRUTH, PREDICTED))
    assert with_it.absent == ["d"] and with_it.uar.value == without.uar.value
    assert with_it.macro_f1.value == without.macro_f1.value
    assert with_it.recalls[3].value is None and with_it.recalls[3].interval is None
    assert with_it.chance == without.chance
    assert math.isnan(uar_of([0, 0], [0, 0])), "of nothing there is no recall"


def test_one_video_of_the_rarest_label_is_worth_what_the_field_says() -> None:
    truth = [0] * 489 + [1] * 379 + [2] * 534 + [3] * 435 + [4] * 294 + [5] * 29 + [6] * 181
    found = figures(scored(truth, truth, labels="abcdefg"), num_draws=10)
    assert found.smallest_step == pytest.approx(0.00493, abs=1e-5), "a disgust clip of DFEW's fold 1: 0.49 UAR"


@pytest.mark.parametrize(
    ("hits", "asked", "low", "high"),
    [(5, 10, 0.2366, 0.7634), (0, 29, 0.0, 0.1170), (29, 29, 0.8830, 1.0), (1, 1, 0.2065, 1.0)],
)
def test_a_recall_has_wilsons_interval(hits: int, asked: int, low: float, high: float) -> None:
    found = recall_of("a", hits, asked)
    assert found.interval == pytest.approx((low, high), abs=5e-5)


def test_calibration_is_measured_in_bins_that_have_their_upper_bound() -> None:
    confidence = np.array([0.2, 0.2, 0.95, 0.9501, 1.0])
    bins = reliability_of(confidence, np.array([True, False, True, True, False]), bins=20)
    assert [(one.count, one.accuracy) for one in bins] == [(2, 0.5), (1, 1.0), (2, 0.5)]
    assert ece_of(bins) == pytest.approx((2 * 0.3 + 0.05 + 2 * abs(0.5 - 0.97505)) / 5)
    assert ece_of(reliability_of(np.array([1.0, 1.0]), np.array([True, True]))) == 0


def test_the_interval_draws_groups_where_they_are_known() -> None:
    truth, predicted = [0, 1, 2] * 20, [0, 1, 2] * 10 + [1, 2, 0] * 10
    alone = figures(scored(truth, predicted))
    people: list[str | None] = [f"person {number // 15}" for number in range(60)]
    by_person = figures(scored(truth, predicted, groups=people))
    assert (alone.drawn_by, alone.num_clusters) == ("video", 60)
    assert (by_person.drawn_by, by_person.num_clusters) == ("group", 4)
    assert alone.uar.interval is not None and by_person.uar.interval is not None
    assert np.ptp(by_person.uar.interval) > 2 * np.ptp(alone.uar.interval), "four people are no sixty videos"
    some = figures(scored(truth, predicted, groups=[*people[:30], *[None] * 30]))
    assert (some.drawn_by, some.num_clusters) == ("group where known, else video", 32)


def test_one_group_has_no_interval_and_says_why() -> None:
    found = figures(scored(TRUTH, PREDICTED, groups=["p"] * 10))
    assert found.uar.interval is None and found.uar.missing == "no interval: all test videos are of one group"
    assert found.uar.value is not None


def test_draws_are_the_same_each_time_and_hold_as_many_clusters_as_there_are() -> None:
    one, two = (np.concatenate(list(draws_of(7, 500, 3))) for _ in range(2))
    assert np.array_equal(one, two) and one.shape == (500, 7)
    assert (one.sum(axis=1) == 7).all() and abs(one.mean() - 1) < 1e-9


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    recalls, held = np.array([0.9, 0.7, 0.4]), 0
    for _ in range(120):
        truth = np.repeat([0, 1, 2], [60, 40, 30])
        right = rng.random(truth.size) < recalls[truth]
        found = figures(scored(truth.tolist(), np.where(right, truth, (truth + 1) % 3).tolist()), num_draws=300)
        assert found.uar.interval is not None
        held += found.uar.interval[0] <= recalls.mean() <= found.uar.interval[1]
    assert 0.86 <= held / 120 <= 1.0


def test_folds_have_a_mean_and_the_deviation_of_a_sample() -> None:
    found = spread([0.6259, 0.6196, 0.6400, 0.6307, 0.6542])
    assert (round(found.mean, 4), round(found.deviation or 0, 4)) == (0.6341, 0.0135)
    assert spread([0.5]).deviation is None and str(spread([0.5])) == "0.500"


labelled = st.integers(2, 5).flatmap(
    lambda k: st.lists(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=1, max_size=40).map(
        lambda pairs: (k, pairs)
    )
)


@settings(max_examples=60, deadline=None)
@given(labelled, st.randoms(use_true_random=False))
def test_order_and_names_of_labels_do_not_matter_and_shares_stay_shares(
    given_: tuple[int, list[tuple[int, int]]], random: object
) -> None:
    k, pairs = given_
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    table = confusion_of(truth, predicted, k)
    hits, asked, claimed = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    figures_ = [float(uar_of(hits, asked)), float(war_of(hits, asked)), float(macro_f1_of(hits, asked, claimed))]
    assert all(0 <= one <= 1 for one in figures_) and table.sum() == len(pairs)
    mixed = list(range(k))
    random.shuffle(mixed)  # type: ignore[attr-defined]
    renamed = confusion_of(np.array(mixed)[truth], np.array(mixed)[predicted], k)
    other = renamed.diagonal(), renamed.sum(axis=1), renamed.sum(axis=0)
    again = [float(uar_of(*other[:2])), float(war_of(*other[:2])), float(macro_f1_of(*other))]
    assert again == pytest.approx(figures_)
    doubled = [float(uar_of(2 * hits, 2 * asked)), float(war_of(2 * hits, 2 * asked))]
    assert doubled == pytest.approx(figures_[:2])


@settings(max_examples=40, deadline=None)
@given(labelled, labelled)
def test_confusion_adds_up_over_folds(
    one: tuple[int, list[tuple[int, int]]], two: tuple[int, list[tuple[int, int]]]
) -> None:
    k = max(one[0], two[0])
    parts = [np.array(pairs).T for _, pairs in (one, two)]
    summed = sum(confusion_of(truth, predicted, k) for truth, predicted in parts)
    both = np.concatenate(parts, axis=1)
    assert np.array_equal(summed, confusion_of(both[0], both[1], k))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=7), st.integers(1, 6))
def test_with_equally_many_of_each_label_both_recalls_are_one(hits: list[int], asked: int) -> None:
    found = np.minimum(hits, asked)
    assert float(uar_of(found, [asked] * len(hits))) == pytest.approx(float(war_of(found, [asked] * len(hits))))
