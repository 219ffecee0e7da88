"""How an expression rises and falls, what it is made of, and what of it the truth lists as events."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.synthetic.distractors import DistractorError, blinks, check_distractors, frame_ticks, speech
from pipeline.synthetic.recipes import LABELS, Movement, RecipeError, Series, blend, plan_recipe, true_events
from schemas.actions import FACIAL_ACTIONS, SIDES

TIMES_S: Series = np.arange(0, 4, 0.01, dtype=np.float64)
RECIPES = [*LABELS, *FACIAL_ACTIONS]


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def moved(weights: np.ndarray) -> set[str]:
    return {name for name, column in zip(BLENDSHAPE_NAMES, weights.T, strict=True) if column.any()}


@given(
    st.lists(st.floats(0.1, 1.0), min_size=4, max_size=4),
    st.floats(0.1, 1.0),
)
def test_a_movement_has_its_peak_at_the_apex_alone_and_rests_outside(steps: list[float], peak: float) -> None:
    onset_s, apex_s, release_s, offset_s = np.cumsum(steps).tolist()
    movement = Movement("jaw_drop", "middle", onset_s, apex_s, release_s, offset_s, peak)
    weights = movement.weight_at(TIMES_S)
    assert movement.weight_at(np.array([movement.apex_s]))[0] == pytest.approx(peak)
    assert abs(TIMES_S[weights.argmax()] - movement.apex_s) <= 0.03
    assert not weights[(onset_s > TIMES_S) | (offset_s < TIMES_S)].any()
    assert weights.min() >= 0


@pytest.mark.parametrize("name", RECIPES)
@given(seed=st.integers(0, 2**31))
def test_every_recipe_is_at_rest_at_both_ends_and_names_known_actions(name: str, seed: int) -> None:
    movements = plan_recipe(name, random(seed), 0.5, 3.0)
    for movement in movements:
        assert 0.5 < movement.onset_s < movement.apex_s < movement.release_s < movement.offset_s < 3.0
        assert 0 < movement.peak <= 1
        assert movement.side in SIDES
        assert (movement.side == "middle") == bool(FACIAL_ACTIONS[movement.action].middle)
    assert bool(movements) == (name != "neutral")


def test_a_single_action_moves_one_side_alone_and_as_far_as_asked() -> None:
    movements = plan_recipe("lip_corner_raise", random(), 0, 2.5, side="left", peak=0.6)
    weights = blend(movements, TIMES_S)
    assert moved(weights) == {"mouthSmileLeft"}
    assert weights.max() == pytest.approx(0.6, abs=0.01)
    assert [(event["action"], event["side"]) for event in true_events(movements)] == [("lip_corner_raise", "left")]


def test_contempt_is_shown_on_one_side() -> None:
    sides = {movement.side for seed in range(9) for movement in plan_recipe("contempt", random(seed), 0, 2.5)}
    assert sides == {"left", "right"}
    assert all(len({m.side for m in plan_recipe("contempt", random(seed), 0, 2.5)}) == 1 for seed in range(9))


def test_a_long_stretch_holds_the_recipe_several_times() -> None:
    events = true_events(plan_recipe("surprise", random(), 0, 7.5))
    jaws = [event for event in events if event["action"] == "jaw_drop"]
    assert len(jaws) == 3
    assert all(first["offset_s"] < second["onset_s"] for first, second in pairwise(jaws))


@pytest.mark.parametrize(
    ("name", "side", "peak", "words"),
    [
        pytest.param("hapiness", None, None, "the nearest is 'happiness'", id="unknown label"),
        pytest.param("jaw_drop", "left", None, "its sides: middle", id="a side it has not"),
        pytest.param("anger", "right", None, "its sides: both", id="a label without sides"),
        pytest.param("jaw_drop", None, 1.5, "got 1.5", id="too far"),
    ],
)
def test_what_no_face_can_do_is_refused(name: str, side: str | None, peak: float | None, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        plan_recipe(name, random(), 0, 2.5, side=side, peak=peak)


def test_blinks_close_the_eyes_and_only_long_closures_are_events() -> None:
    lids = [blinks(random(seed), 0, 10) for seed in range(8)]
    assert all({"eyeBlinkLeft", "eyeBlinkRight"} == moved(blend(movements, TIMES_S)) for movements in lids)
    events = [true_events(movements) for movements in lids]
    assert all(event["offset_s"] - event["onset_s"] >= 0.4 for found in events for event in found)
    assert {len(found) for found in events} == {0, 1}


def test_speech_moves_the_mouth_and_nothing_else() -> None:
    names = moved(speech(random(), TIMES_S))
    assert "jawOpen" in names
    assert all(name.startswith(("jaw", "mouth")) for name in names)
    jaw = speech(random(), TIMES_S)[:, BLENDSHAPE_NAMES.index("jawOpen")]
    rises = int(((jaw[1:-1] > jaw[:-2]) & (jaw[1:-1] >= jaw[2:]) & (jaw[1:-1] > 0.1)).sum())
    assert 4 <= rises <= 24


def test_an_unknown_distractor_names_the_nearest() -> None:
    with pytest.raises(DistractorError, match="'croosing', the nearest is 'crossing'"):
        check_distractors(["blinks", "croosing"])


def test_uneven_frame_times_rise_and_keep_to_the_length() -> None:
    ticks = frame_ticks(2.0, 30.0, random())
    steps = np.diff(ticks)
    assert steps.min() > 0
    assert steps.max() > 3 * steps.min()
    assert 1.8 < ticks[-1] / 90_000 < 2.0
    assert frame_ticks(2.0, 30.0, None).tolist() == list(range(0, 180_000, 3000))
