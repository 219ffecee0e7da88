from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.actions.config import ActionConfig
from pipeline.actions.measures import measures, resting, signals
from pipeline.actions.thresholds import calibrated
from schemas.actions import FACIAL_ACTIONS

WIDTH, HIGHEST, MIN_SHARE = 0.1, 0.3, 0.2


def rest_of_one(values: NDArray[np.float64]) -> tuple[float, float]:
    seen = np.ones((len(values), 1), np.bool_)
    rest, share = resting(values[:, None], seen, width=WIDTH, highest=HIGHEST, min_share=MIN_SHARE)
    return float(rest[0]), float(share[0])


def noisy(*pieces: tuple[float, int]) -> NDArray[np.float64]:
    """Pieces of so many frames around a value."""
    chance = np.random.default_rng(0)
    return np.concatenate([chance.normal(value, 0.01, count) for value, count in pieces])


@pytest.mark.parametrize(
    ("pieces", "rest"),
    [
        ([(0.1, 50), (0.8, 50)], 0.1),
        ([(0.1, 30), (0.8, 70)], 0.1),  # held for most of the track
        ([(-0.5, 10), (0.1, 90)], 0.1),  # a short dip, such as the brows' when they rise
        ([(0.05, 12), (0.9, 88)], 0.05),  # at rest for less than the share: no face rests at 0.9
    ],
)
def test_rest_is_where_the_low_values_gather(pieces: list[tuple[float, int]], rest: float) -> None:
    assert rest_of_one(noisy(*pieces))[0] == pytest.approx(rest, abs=0.05)


def test_a_face_that_is_never_at_rest_has_no_sure_rest() -> None:
    _, share = rest_of_one(noisy((0.9, 100)))
    assert share < MIN_SHARE
    _, share = rest_of_one(np.linspace(0, 2, 200))
    assert share < MIN_SHARE


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(-0.2, 0.25), min_size=1, max_size=40), shift=st.floats(-0.05, 0.05))
def test_rest_moves_with_the_face_and_stays_among_its_values(values: list[float], shift: float) -> None:
    series = np.array(values)
    rest, share = rest_of_one(series)
    assert series.min() - 1e-9 <= rest <= series.max() + 1e-9 and 0 < share <= 1
    moved, _ = rest_of_one(series + shift)
    assert moved == pytest.approx(rest + shift, abs=WIDTH)


def test_what_was_never_measurable_has_no_rest() -> None:
    unseen = np.zeros((5, 1), np.bool_)
    _, share = resting(np.ones((5, 1)), unseen, width=WIDTH, highest=HIGHEST, min_share=MIN_SHARE)
    assert share.tolist() == [0.0]


def test_a_blendshape_without_a_side_is_in_both_columns_and_one_with_sides_in_its_own() -> None:
    scores = np.zeros((1, len(BLENDSHAPE_NAMES)), np.float32)
    for name, score in {"jawOpen": 0.5, "mouthSmileLeft": 0.75, "mouthSmileRight": 0.25, "jawLeft": 1.0}.items():
        scores[0, BLENDSHAPE_NAMES.index(name)] = score
    found = signals(
        scores, np.random.default_rng(0).random((1, 478, 3)).astype(np.float32), np.zeros((1, 3), np.float32)
    )
    assert found["jawOpen"].tolist() == [[0.5, 0.5]]
    assert found["mouthSmile"].tolist() == [[0.75, 0.25]]


def test_the_calibrated_measures_are_made_of_signals_that_there_are() -> None:
    points = np.random.default_rng(0).random((3, 478, 3)).astype(np.float32)
    parts = signals(np.zeros((3, 52), np.float32), points, np.zeros((3, 3), np.float32))
    measured, rest_share = measures(parts, np.ones((3, len(FACIAL_ACTIONS), 2), np.bool_), ActionConfig())
    assert measured.shape == (3, len(FACIAL_ACTIONS), 2) and np.isfinite(measured).all()
    assert rest_share.shape == (len(FACIAL_ACTIONS), 2)
    for a, facial in enumerate(FACIAL_ACTIONS.values()):
        assert not facial.middle or np.array_equal(measured[:, a, 0], measured[:, a, 1])


@pytest.mark.parametrize(("seen_by", "rises"), [(("jawOpen", "lips_apart"), True), (("jawOpen",), False)])
def test_an_action_rises_only_as_far_as_every_witness_says(seen_by: tuple[str, ...], rises: bool) -> None:
    names = ("jawOpen", "lips_apart")
    witnesses = [{"weights": {name: 1.0}, "neutral": 0.0, "highest_rest": 0.3} for name in names]
    config = ActionConfig.model_validate({"thresholds": {"jaw_drop": {"witnesses": witnesses}}})
    blank = np.zeros((100, 2))
    up = np.repeat((np.arange(100) > 60)[:, None] * 0.8, 2, axis=1)
    used = {name for one in config.thresholds.values() for witness in one.witnesses for name in witness.weights}
    parts = dict.fromkeys(used, blank) | dict.fromkeys(seen_by, up)
    measured, _ = measures(parts, np.ones((100, len(FACIAL_ACTIONS), 2), np.bool_), config)
    assert measured[80, list(FACIAL_ACTIONS).index("jaw_drop")].tolist() == [0.8 if rises else 0.0] * 2


def test_thresholds_are_part_of_the_config_and_change_one_by_one() -> None:
    changed = ActionConfig.model_validate({"thresholds": {"jaw_drop": {"is_told": False}}})
    assert set(changed.model_dump(mode="json")["thresholds"]) == set(FACIAL_ACTIONS)
    assert changed.thresholds["jaw_drop"] == calibrated()["jaw_drop"].model_copy(update={"is_told": False})
    assert changed.thresholds["eye_close"] == calibrated()["eye_close"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"jaw_drop": {"absent_below": 9.0}}, "lies above present_above"),
        ({"jaw_drop": {"absent": 0.1}}, "jaw_drop: unknown"),
        ({"jaw_dropp": {}}, "the nearest is 'jaw_drop'"),
    ],
)
def test_thresholds_that_cannot_be_are_refused(given: dict[str, dict[str, float]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ActionConfig.model_validate({"thresholds": given})
