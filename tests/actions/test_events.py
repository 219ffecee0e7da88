from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.actions.config import ActionConfig
from pipeline.actions.events import (
    TOO_SMALL,
    TURNED_AWAY,
    UNCLEAR,
    Event,
    UnmeasuredSpan,
    baseline,
    find_events,
    measurability,
)

CONFIG = ActionConfig()


def steady(duration_s: float, fps: float) -> NDArray[np.float64]:
    return np.arange(int(duration_s * fps), dtype=np.float64) / fps


def bump(times_s: NDArray[np.float64], onset_s: float, offset_s: float, height: float) -> NDArray[np.float64]:
    """Half a sine from onset to offset, zero elsewhere."""
    phase = np.clip((times_s - onset_s) / (offset_s - onset_s), 0, 1)
    return height * np.sin(np.pi * phase)


def scores_of(
    times_s: NDArray[np.float64], rest: float = 0.05, /, **series: NDArray[np.float64]
) -> NDArray[np.float32]:
    scores = np.full((len(times_s), len(BLENDSHAPE_NAMES)), rest, np.float32)
    for name, values in series.items():
        scores[:, BLENDSHAPE_NAMES.index(name)] += values.astype(np.float32)
    return scores


def events_in(
    times_s: NDArray[np.float64],
    scores: NDArray[np.float32],
    is_measurable: NDArray[np.bool_] | None = None,
    is_gap_before: NDArray[np.bool_] | None = None,
) -> list[Event]:
    measurable = np.ones(len(times_s), np.bool_) if is_measurable is None else is_measurable
    gaps = np.zeros(len(times_s), np.bool_) if is_gap_before is None else is_gap_before
    return find_events(times_s, scores, measurable, gaps, baseline(scores, measurable, CONFIG), CONFIG)


def variable_rate(duration_s: float, seed: int = 0) -> NDArray[np.float64]:
    """Frame times between 15 and 60 frames a second, changing from frame to frame."""
    steps = np.random.default_rng(seed).uniform(1 / 60, 1 / 15, size=int(duration_s * 60))
    times_s = np.cumsum(steps)
    return times_s[times_s < duration_s]


@pytest.mark.parametrize("fps", [12.0, 30.0, 60.0, None])
def test_onset_apex_and_offset_are_where_they_were_put(fps: float | None) -> None:
    times_s = variable_rate(6.0) if fps is None else steady(6, fps)
    smile = bump(times_s, 2.0, 4.0, 0.6)
    (event,) = events_in(times_s, scores_of(times_s, mouthSmileLeft=smile, mouthSmileRight=smile))
    leave = CONFIG.enter_for("lip_corner_raise") * CONFIG.leave_ratio
    rise_s = 2.0 / np.pi * np.arcsin(leave / 0.6)  # until the half sine reaches the leaving threshold
    assert (event.action, event.side, event.intensity) == ("lip_corner_raise", "both", "strong")
    assert event.onset_s == pytest.approx(2.0 + rise_s, abs=0.1)
    assert event.apex_s == pytest.approx(3.0, abs=0.1)
    assert event.offset_s == pytest.approx(4.0 - rise_s, abs=0.1)
    assert event.peak == pytest.approx(0.6, abs=0.03)


@settings(max_examples=30, deadline=None)
@given(shift_s=st.floats(-50, 5000), seed=st.integers(0, 100))
def test_later_frames_give_later_events(shift_s: float, seed: int) -> None:
    times_s = variable_rate(5.0, seed)
    scores = scores_of(times_s, jawOpen=bump(times_s, 1, 2, 0.5), browInnerUp=bump(times_s, 3, 4.5, 0.7))
    before, after = events_in(times_s, scores), events_in(times_s + shift_s, scores)
    assert len(before) == 2
    for old, new in zip(before, after, strict=True):
        assert (new.action, new.side, new.intensity) == (old.action, old.side, old.intensity)
        for name in ("onset_s", "apex_s", "offset_s"):
            assert getattr(new, name) - shift_s == pytest.approx(getattr(old, name), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(offset=st.floats(0, 0.3), seed=st.integers(0, 100))
def test_a_face_with_another_rest_has_the_same_events(offset: float, seed: int) -> None:
    times_s = variable_rate(5.0, seed)
    smile = bump(times_s, 1, 3, 0.6)
    one = events_in(times_s, scores_of(times_s, 0.0, mouthSmileLeft=smile, mouthSmileRight=smile))
    other = events_in(times_s, scores_of(times_s, offset, mouthSmileLeft=smile, mouthSmileRight=smile))
    assert [(e.action, e.onset_s, e.offset_s) for e in one] == [(e.action, e.onset_s, e.offset_s) for e in other]


@settings(max_examples=30, deadline=None)
@given(low=st.floats(0.35, 0.9), high=st.floats(0.35, 0.9))
def test_a_higher_bump_is_never_weaker_nor_shorter(low: float, high: float) -> None:
    low, high = sorted((low, high))
    times_s = steady(5, 30)
    (weak,) = events_in(times_s, scores_of(times_s, jawOpen=bump(times_s, 1, 3, low)))
    (strong,) = events_in(times_s, scores_of(times_s, jawOpen=bump(times_s, 1, 3, high)))
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
    found = events_in(times_s, scores_of(times_s, mouthSmileLeft=left * up, mouthSmileRight=right * up))
    assert sorted(event.side for event in found) == sides


def test_no_event_reaches_across_a_gap_or_an_unmeasurable_frame() -> None:
    times_s = steady(6, 30)
    scores = scores_of(times_s, jawOpen=bump(times_s, 1, 5, 0.8))
    is_gap_before = np.zeros(len(times_s), np.bool_)
    is_gap_before[80] = True
    is_measurable = np.ones(len(times_s), np.bool_)
    is_measurable[100:106] = False
    first, second, third = events_in(times_s, scores, is_measurable, is_gap_before)
    assert first.offset_s == times_s[79] and second.onset_s == times_s[80]
    assert second.offset_s == times_s[99] and third.onset_s == times_s[106]


def test_a_flicker_of_one_frame_is_no_event() -> None:
    times_s = steady(4, 30)
    flicker = np.where(np.arange(len(times_s)) == 60, 0.9, 0.0)
    assert events_in(times_s, scores_of(times_s, jawOpen=flicker)) == []


@pytest.mark.parametrize(("closed_s", "num_events"), [(0.25, 0), (1.0, 1)])
def test_a_blink_is_no_event_and_a_closure_is(closed_s: float, num_events: int) -> None:
    times_s = steady(4, 30)
    lids = bump(times_s, 1, 1 + closed_s, 0.7)
    scores = scores_of(
        times_s, eyeBlinkLeft=lids, eyeBlinkRight=lids, eyeSquintLeft=0.8 * lids, eyeSquintRight=0.8 * lids
    )
    found = events_in(times_s, scores)
    assert [event.action for event in found] == ["eye_close"] * num_events, "closing lids must not read as a squint"


@pytest.mark.parametrize(
    ("action", "name", "height", "intensity"),
    [
        ("jaw_drop", "jawOpen", 0.35, "slight"),
        ("jaw_drop", "jawOpen", 0.5, "moderate"),
        ("jaw_drop", "jawOpen", 0.7, "strong"),
        ("lip_pucker", "mouthPucker", 0.6, "slight"),
    ],
)
def test_intensity_is_relative_to_what_the_action_needs(action: str, name: str, height: float, intensity: str) -> None:
    times_s = steady(5, 30)
    (event,) = events_in(times_s, scores_of(times_s, 0.05, **{name: bump(times_s, 1, 4, height)}))
    assert (event.action, event.side, event.intensity) == (action, "middle", intensity)


def test_what_cannot_be_measured_is_said_with_its_reason() -> None:
    times_s = np.arange(10) / 10
    presence = np.ones(10, np.float32)
    presence[2:4] = 0.3
    pose_deg = np.zeros((10, 3), np.float32)
    pose_deg[6:9, 0] = -70
    is_measurable, spans = measurability(times_s, presence, pose_deg, 200.0, CONFIG)
    assert is_measurable.tolist() == [True, True, False, False, True, True, False, False, False, True]
    assert spans == [UnmeasuredSpan(0.2, 0.3, UNCLEAR), UnmeasuredSpan(0.6, 0.8, TURNED_AWAY)]
    _, spans = measurability(times_s, presence, pose_deg, 20.0, CONFIG)
    assert spans == [UnmeasuredSpan(0.0, 0.9, TOO_SMALL)]


def test_a_track_without_a_measurable_frame_has_no_baseline() -> None:
    with pytest.raises(ValueError, match="no frame is measurable"):
        baseline(scores_of(steady(1, 3)), np.zeros(3, np.bool_), CONFIG)
