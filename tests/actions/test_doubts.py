"""Each doubt on a hand-made series that has it, and on one that differs only in not having it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.actions.config import ActionConfig
from pipeline.actions.doubts import Measured, without_doubtful
from pipeline.actions.events import Event, find_events, rises_of, unclear_spans
from pipeline.actions.measurable import Passport, measurability
from pipeline.actions.measures import read_measures
from schemas.actions import FACIAL_ACTIONS
from schemas.tracks import FACE_REGIONS

NUM = 90
TIMES_S = np.arange(NUM) / 30
INDEX = {action: index for index, action in enumerate(FACIAL_ACTIONS)}
HIGHEST_REST = 0.3


def judged(*signals: str) -> dict[str, object]:
    witnesses = [{"weights": {name: 1.0}, "neutral": 0.0, "highest_rest": HIGHEST_REST} for name in signals]
    limits = {"absent_below": 0.15, "present_above": 0.3, "max_turn_deg": 90.0, "min_face_px": 40.0}
    return {"is_told": True, "is_deniable": True, "witnesses": witnesses} | limits


CONFIG = ActionConfig.model_validate(
    {
        "thresholds": dict.fromkeys(FACIAL_ACTIONS, judged("nothing"))
        | {
            "lip_corner_raise": judged("smile"),
            "lip_funnel": judged("funnel"),
            "jaw_drop": judged("jaw", "lower_lip"),
            "eye_close": judged("lids"),
        }
    }
)


def pieces(*values: tuple[float, int]) -> NDArray[np.float64]:
    """So many frames at each value, the last one held to the end."""
    series = np.concatenate([np.full(count, value) for value, count in values])
    return np.concatenate([series, np.full(NUM - len(series), series[-1])])


def measured_of(
    given: Mapping[str, NDArray[np.float64]], covered: Mapping[str, slice] | None = None
) -> tuple[list[Event], Measured]:
    """All events found in signals [T] or [T, 2], and what they were found in; `covered` regions in these frames."""
    ones = np.ones(NUM, np.float32)
    visibility = np.ones((NUM, len(FACE_REGIONS)), np.float32)
    for region, frames in (covered or {}).items():
        visibility[frames, FACE_REGIONS.index(region)] = 0.4
    passport = Passport(TIMES_S, ones, np.zeros((NUM, 3), np.float32), 200 * ones, 100 * ones, visibility)
    seen = measurability(passport, CONFIG)
    names = ("nothing", "smile", "funnel", "jaw", "lower_lip", "lids")
    parts = dict.fromkeys(names, np.zeros((NUM, 2)))
    parts |= {name: np.stack([one, one], axis=1) if one.ndim == 1 else one for name, one in given.items()}
    reading = read_measures(parts, seen.mask, CONFIG)
    is_gap_before = np.zeros(NUM, np.bool_)
    rises = rises_of(TIMES_S, reading.rises, seen.mask, is_gap_before, CONFIG.smoothing_s)
    found = find_events(TIMES_S, rises, seen.mask, is_gap_before, CONFIG)
    return found, Measured(TIMES_S, reading, rises, seen, is_gap_before)


def told(**given: NDArray[np.float64]) -> list[str]:
    found, measured = measured_of(given)
    return [event.action for event in without_doubtful(found, measured, CONFIG)[0]]


def test_a_mouth_that_is_lowered_for_a_while_does_not_smile_before_and_after() -> None:
    lowered = pieces((0.0, 25), (-0.6, 35), (0.0, 30))
    found, measured = measured_of({"smile": lowered})
    assert [event.action for event in found] == ["lip_corner_raise"] * 2
    events, sure_rises = without_doubtful(found, measured, CONFIG)
    assert events == [] and sure_rises[:20].max() == 0.0 and measured.rises[:20].max() > 0.5
    unclear = unclear_spans(TIMES_S, measured.rises, measured.reading.rest_share, measured.seen.mask, CONFIG)
    smiles = [span for span in unclear if span.action == "lip_corner_raise"]
    for event in found:
        assert any(s.start_s <= event.onset_s and event.offset_s <= s.end_s for s in smiles), "left out, and yet denied"


@pytest.mark.parametrize(
    ("smile", "num_events"),
    [
        (pieces((0.0, 25), (0.8, 65)), 1),  # begins at rest, and is held until the end
        (pieces((0.8, 65), (0.0, 25)), 1),
        (pieces((0.5, 10), (0.0, 60), (0.5, 20)), 2),  # at rest in the middle only, but for most of the time
        (pieces((0.8, 30), (0.0, 30), (0.8, 30)), 0),  # rest is in the middle only, and short: which one is the rest?
        (pieces((-0.2, 55), (0.2, 15), (-0.2, 20)), 1),  # low all along, but seen to come and go
        (pieces((-0.2, 70), (0.2, 20)), 0),  # low, and not seen to go
    ],
)
def test_what_may_be_a_return_to_rest_is_no_event(smile: NDArray[np.float64], num_events: int) -> None:
    assert told(smile=smile) == ["lip_corner_raise"] * num_events


@pytest.mark.parametrize(("jaw", "is_told"), [(0.35, False), (0.8, True)])
def test_lips_that_funnel_drop_no_jaw_unless_it_drops_further(jaw: float, is_told: bool) -> None:
    wave = pieces((0.0, 30), (1.0, 20), (0.0, 40))
    events = told(funnel=wave, jaw=jaw * wave, lower_lip=jaw * wave)
    assert ("jaw_drop" in events) == is_told and "lip_funnel" in events
    assert told(jaw=jaw * wave, lower_lip=jaw * wave) == ["jaw_drop"]


@pytest.mark.parametrize(("lower_lip", "is_told"), [(2.0, False), (0.8, True)])
def test_witnesses_that_see_different_things_tell_nothing(lower_lip: float, is_told: bool) -> None:
    wave = pieces((0.0, 30), (1.0, 20), (0.0, 40))
    assert told(jaw=0.4 * wave, lower_lip=lower_lip * wave) == ["jaw_drop"] * is_told


def test_of_a_pair_of_eyes_of_which_one_is_covered_neither_is_said_to_close_alone() -> None:
    closed = pieces((0.0, 30), (0.9, 25), (0.0, 35))
    found, measured = measured_of({"lids": closed}, {"eye_left": slice(28, 58)})
    assert [event.side for event in found] == ["right"]
    assert without_doubtful(found, measured, CONFIG)[0] == []
    one_sided = np.stack([np.zeros(NUM), closed], axis=1)
    found, measured = measured_of({"lids": one_sided})
    assert [event.side for event in without_doubtful(found, measured, CONFIG)[0]] == ["right"]


def test_an_event_goes_on_while_what_shows_it_flickers() -> None:
    wave = pieces((0.0, 30), (0.9, 30), (0.0, 30))
    given = {"jaw": wave, "lower_lip": wave}
    (event,) = measured_of(given, {"chin": slice(40, 42)})[0]
    assert event.offset_s - event.onset_s > 0.9
    parted = measured_of(given, {"chin": slice(40, 46)})[0]
    assert len(parted) == 2, "what is covered for longer is covered"
    both = {"chin": slice(40, 42), "mouth": slice(40, 42)}
    assert len(measured_of(given, both)[0]) == 2, "two regions at once are no flicker"


@pytest.mark.parametrize(("height", "is_denied"), [(0.1, True), (0.2, False)])
def test_what_moves_a_little_less_than_an_event_is_not_denied(height: float, is_denied: bool) -> None:
    level = {"absent_below": 0.4, "present_above": 0.4}
    config = ActionConfig.model_validate({"thresholds": {"eye_close": judged("lids") | level}})
    steep = pieces((0.0, 30), (height, 30), (0.0, 30))
    rises = np.zeros((NUM, len(FACIAL_ACTIONS), 2))
    rises[:, INDEX["eye_close"]] = steep[:, None]
    unclear = unclear_spans(TIMES_S, rises, np.ones((len(FACIAL_ACTIONS), 2)), np.ones_like(rises, np.bool_), config)
    assert any(span.action == "eye_close" for span in unclear) != is_denied
