from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.actions.config import ActionConfig
from pipeline.actions.events import Event, find_events, rises_of, unclear_spans
from pipeline.actions.measurable import UnclearSpan
from pipeline.actions.thresholds import ActionThresholds, Witness
from schemas.actions import FACIAL_ACTIONS

NUM = len(FACIAL_ACTIONS)
REST = Witness(weights={}, neutral=0.0, highest_rest=0.3)
JUDGED = ActionThresholds(
    is_told=True,
    is_deniable=True,
    witnesses=(REST,),
    absent_below=0.15,
    present_above=0.3,
    max_turn_deg=90.0,
    min_face_px=40.0,
)
CONFIG = ActionConfig(thresholds=dict.fromkeys(FACIAL_ACTIONS, JUDGED))
INDEX = {action: index for index, action in enumerate(FACIAL_ACTIONS)}


def steady(duration_s: float, fps: float) -> NDArray[np.float64]:
    return np.arange(int(duration_s * fps), dtype=np.float64) / fps


def bump(times_s: NDArray[np.float64], onset_s: float, offset_s: float, height: float) -> NDArray[np.float64]:
    """Half a sine from onset to offset, zero elsewhere."""
    phase = np.clip((times_s - onset_s) / (offset_s - onset_s), 0, 1)
    return height * np.sin(np.pi * phase)


def measures_of(times_s: NDArray[np.float64], **series: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measures [T, A, 2], 0 but for the named actions; `_left` and `_right` name one side."""
    measured = np.zeros((len(times_s), NUM, 2))
    for name, values in series.items():
        action, _, side = name.rpartition("_")
        if side in ("left", "right"):
            measured[:, INDEX[action], int(side == "right")] += values
        else:
            measured[:, INDEX[name]] += values[:, None]
    return measured


def events_in(
    times_s: NDArray[np.float64],
    measured: NDArray[np.float64],
    mask: NDArray[np.bool_] | None = None,
    is_gap_before: NDArray[np.bool_] | None = None,
    config: ActionConfig = CONFIG,
) -> list[Event]:
    seen = np.ones(measured.shape, np.bool_) if mask is None else mask
    gaps = np.zeros(len(times_s), np.bool_) if is_gap_before is None else is_gap_before
    rises = rises_of(times_s, measured, seen, gaps, config.smoothing_s)
    return find_events(times_s, rises, seen, gaps, config)


def variable_rate(duration_s: float, seed: int = 0) -> NDArray[np.float64]:
    """Frame times between 15 and 60 frames a second, changing from frame to frame."""
    steps = np.random.default_rng(seed).uniform(1 / 60, 1 / 15, size=int(duration_s * 60))
    times_s = np.cumsum(steps)
    return times_s[times_s < duration_s]


@pytest.mark.parametrize("fps", [12.0, 30.0, 60.0, None])
def test_onset_apex_and_offset_are_where_they_were_put(fps: float | None) -> None:
    times_s = variable_rate(6.0) if fps is None else steady(6, fps)
    (event,) = events_in(times_s, measures_of(times_s, lip_corner_raise=bump(times_s, 2.0, 4.0, 0.8)))
    leave = JUDGED.present_above * CONFIG.leave_ratio
    rise_s = 2.0 / np.pi * np.arcsin(leave / 0.8)  # until the half sine reaches the leaving threshold
    assert (event.action, event.side, event.intensity) == ("lip_corner_raise", "both", "moderate")
    assert event.onset_s == pytest.approx(2.0 + rise_s, abs=0.1)
    reached_s = 2.0 + 2.0 / np.pi * np.arcsin(CONFIG.apex_share)
    assert event.apex_s == pytest.approx(reached_s, abs=0.1)
    assert event.offset_s == pytest.approx(4.0 - rise_s, abs=0.1)
    assert event.peak == pytest.approx(0.8, abs=0.03)


@settings(max_examples=30, deadline=None)
@given(shift_s=st.floats(-50, 5000), seed=st.integers(0, 100))
def test_later_frames_give_later_events(shift_s: float, seed: int) -> None:
    times_s = variable_rate(5.0, seed)
    jaw, brows = bump(times_s, 1, 2, 0.5), bump(times_s, 3, 4.5, 0.7)
    measured = measures_of(times_s, jaw_drop=jaw, inner_brow_raise=brows)
    before, after = events_in(times_s, measured), events_in(times_s + shift_s, measured)
    assert len(before) == 2
    for old, new in zip(before, after, strict=True):
        assert (new.action, new.side, new.intensity) == (old.action, old.side, old.intensity)
        for name in ("onset_s", "apex_s", "offset_s"):
            assert getattr(new, name) - shift_s == pytest.approx(getattr(old, name), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(low=st.floats(0.35, 0.9), high=st.floats(0.35, 0.9))
def test_a_higher_bump_is_never_weaker_nor_shorter(low: float, high: float) -> None:
    low, high = sorted((low, high))
    times_s = steady(5, 30)
    (weak,) = events_in(times_s, measures_of(times_s, jaw_drop=bump(times_s, 1, 3, low)))
    (strong,) = events_in(times_s, measures_of(times_s, jaw_drop=bump(times_s, 1, 3, high)))
    assert strong.peak >= weak.peak
    assert strong.onset_s <= weak.onset_s and strong.offset_s >= weak.offset_s
    assert weak.onset_s <= weak.apex_s <= weak.offset_s


@pytest.mark.parametrize(
    ("left", "right", "sides"),
    [
        (0.6, 0.6, ["both"]),
        (0.6, 0.4, ["both"]),
        (0.9, 0.4, ["left", "right"]),
        (0.8, 0.0, ["left"]),
        (0.1, 0.8, ["right"]),
    ],
)
def test_sides_merge_unless_one_is_clearly_stronger(left: float, right: float, sides: list[str]) -> None:
    times_s = steady(5, 30)
    up = bump(times_s, 1, 3, 1.0)
    found = events_in(times_s, measures_of(times_s, eye_narrow_left=left * up, eye_narrow_right=right * up))
    assert sorted(event.side for event in found) == sides


def test_of_a_side_that_is_hidden_nothing_is_said() -> None:
    times_s = steady(5, 30)
    mask = np.ones((len(times_s), NUM, 2), np.bool_)
    mask[:, INDEX["lip_corner_raise"], 1] = False
    measured = measures_of(times_s, lip_corner_raise=bump(times_s, 1, 3, 0.8))
    (event,) = events_in(times_s, measured, mask)
    assert event.side == "left", "the right was not seen, so the event cannot be one of both sides"


def test_no_event_reaches_across_a_gap_or_an_unmeasurable_frame() -> None:
    times_s = steady(6, 30)
    measured = measures_of(times_s, jaw_drop=bump(times_s, 1, 5, 0.8))
    is_gap_before = np.zeros(len(times_s), np.bool_)
    is_gap_before[80] = True
    mask = np.ones(measured.shape, np.bool_)
    mask[100:106] = False
    first, second, third = events_in(times_s, measured, mask, is_gap_before)
    assert first.offset_s == times_s[79] and second.onset_s == times_s[80]
    assert second.offset_s == times_s[99] and third.onset_s == times_s[106]


def test_a_flicker_of_one_frame_is_no_event() -> None:
    times_s = steady(4, 30)
    flicker = np.where(np.arange(len(times_s)) == 60, 0.9, 0.0)
    assert events_in(times_s, measures_of(times_s, jaw_drop=flicker)) == []


@pytest.mark.parametrize(("closed_s", "num_events"), [(0.25, 0), (1.0, 1)])
def test_a_blink_is_no_event_and_a_closure_is(closed_s: float, num_events: int) -> None:
    times_s = steady(4, 30)
    found = events_in(times_s, measures_of(times_s, eye_close=bump(times_s, 1, 1 + closed_s, 0.9)))
    assert [event.action for event in found] == ["eye_close"] * num_events


@pytest.mark.parametrize(
    ("height", "intensity"), [(0.36, "slight"), (0.55, "moderate"), (0.9, "moderate"), (1.05, "strong")]
)
def test_intensity_is_a_share_of_the_whole_movement(height: float, intensity: str) -> None:
    times_s = steady(5, 30)
    (event,) = events_in(times_s, measures_of(times_s, lip_pucker=bump(times_s, 1, 4, height)))
    assert (event.action, event.side, event.intensity) == ("lip_pucker", "middle", intensity)


def test_between_the_thresholds_there_is_no_event_and_no_absence() -> None:
    times_s = steady(5, 30)
    measured = measures_of(times_s, eye_widen_left=bump(times_s, 1, 3, 0.25))
    assert events_in(times_s, measured) == []
    mask = np.ones(measured.shape, np.bool_)
    (span,) = unclear_spans(times_s, measured, np.ones((NUM, 2)), mask, CONFIG)
    assert (span.action, span.side, span.why) == ("eye_widen", "left", "in_between")
    assert 1 < span.start_s < 2 < span.end_s < 3


def test_what_cannot_be_told_is_unclear_all_through_and_never_an_event() -> None:
    times_s = steady(5, 30)
    untold = CONFIG.model_copy(update={"thresholds": {**CONFIG.thresholds, "jaw_drop": _untold()}})
    measured = measures_of(times_s, jaw_drop=bump(times_s, 1, 3, 0.9))
    mask = np.ones(measured.shape, np.bool_)
    assert events_in(times_s, measured, config=untold) == []
    whole = UnclearSpan("jaw_drop", "middle", float(times_s[0]), float(times_s[-1]), "not_told")
    assert unclear_spans(times_s, measured, np.ones((NUM, 2)), mask, untold) == [whole]


def test_what_is_told_only_where_it_is_strong_is_an_event_and_never_denied() -> None:
    times_s = steady(5, 30)
    shy = JUDGED.model_copy(update={"is_deniable": False})
    config = CONFIG.model_copy(update={"thresholds": {**CONFIG.thresholds, "brow_lower": shy}})
    measured = measures_of(times_s, brow_lower=bump(times_s, 1, 3, 0.9))
    mask = np.ones(measured.shape, np.bool_)
    assert [event.action for event in events_in(times_s, measured, config=config)] == ["brow_lower"]
    unclear = unclear_spans(times_s, measured, np.ones((NUM, 2)), mask, config)
    assert {(span.side, span.start_s, span.why) for span in unclear} == {
        (side, 0.0, "not_deniable") for side in ("left", "right")
    }


def _untold() -> ActionThresholds:
    return JUDGED.model_copy(update={"is_told": False})


def test_where_rest_is_a_guess_absence_is_not_claimed() -> None:
    times_s = steady(3, 30)
    measured = measures_of(times_s)
    share = np.ones((NUM, 2))
    share[INDEX["eye_close"], 1] = 0.1
    (span,) = unclear_spans(times_s, measured, share, np.ones(measured.shape, np.bool_), CONFIG)
    assert (span.action, span.side, span.why) == ("eye_close", "right", "rest_unknown")
