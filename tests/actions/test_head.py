from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.actions.config import ActionConfig
from pipeline.actions.events import Event
from pipeline.actions.head import find_head_movements
from pipeline.actions.measurable import Passport, UnclearSpan, measurability
from schemas.tracks import FACE_REGIONS

TIMES_S = np.arange(120) / 30
CONFIG = ActionConfig()
YAW, PITCH, ROLL = 0, 1, 2


def bump(height: float, start_s: float = 1.0, end_s: float = 2.0) -> NDArray[np.float64]:
    """Half a sine between two times, zero elsewhere."""
    return height * np.sin(np.pi * np.clip((TIMES_S - start_s) / (end_s - start_s), 0, 1))


def moved(
    axis: int, by: NDArray[np.float64], usual: float = 5.0, covered: tuple[str, ...] = (), gap_at: int | None = None
) -> tuple[list[Event], list[UnclearSpan]]:
    """What is told of a head that moves about one axis, away from a usual pose that is not straight ahead."""
    pose = np.full((len(TIMES_S), 3), usual)
    pose[:, axis] += by
    visibility = np.ones((len(TIMES_S), len(FACE_REGIONS)), np.float32)
    visibility[:, [FACE_REGIONS.index(region) for region in covered]] = 0
    ones = np.ones(len(TIMES_S), np.float32)
    passport = Passport(TIMES_S, ones, pose.astype(np.float32), 200 * ones, 100 * ones, visibility)
    is_gap_before = np.arange(len(TIMES_S)) == (-1 if gap_at is None else gap_at)
    return find_head_movements(passport, measurability(passport, CONFIG), is_gap_before, CONFIG)


@pytest.mark.parametrize(
    ("axis", "by", "action", "side"),
    [
        (YAW, 30, "head_turn", "left"),  # to the right of the image, which is the person's left
        (YAW, -30, "head_turn", "right"),
        (ROLL, 25, "head_tilt", "left"),
        (ROLL, -25, "head_tilt", "right"),
        (PITCH, 20, "head_raise", "middle"),
        (PITCH, -20, "head_lower", "middle"),
    ],
)
def test_each_movement_has_its_name_side_and_strength(axis: int, by: float, action: str, side: str) -> None:
    (event,), unclear = moved(axis, bump(by))
    assert (event.action, event.side, event.intensity) == (action, side, "strong")
    assert 1.0 < event.onset_s < event.apex_s < event.offset_s < 2.0
    assert event.peak == pytest.approx(abs(by) / {YAW: 40, ROLL: 30, PITCH: 25}[axis], abs=0.05)
    assert {(span.action, span.side, span.why) for span in unclear} == {(action, side, "in_between")}


def test_between_rest_and_an_event_nothing_is_claimed_and_below_it_is_denied() -> None:
    events, unclear = moved(YAW, bump(8.0))
    assert not events
    ((action, side),) = {(span.action, span.side) for span in unclear}
    assert (action, side) == ("head_turn", "left")
    assert moved(YAW, bump(3.0)) == ([], [])


def test_a_turn_goes_on_where_the_face_is_turned_away() -> None:
    (event,), unclear = moved(YAW, bump(60.0))
    assert event.peak > 1.4
    assert event.offset_s - event.onset_s > 0.8
    assert max(span.end_s - span.start_s for span in unclear) < 0.4, "not in frames in which nothing is denied anyway"


def test_what_covers_the_face_makes_every_movement_of_the_head_unclear() -> None:
    events, unclear = moved(YAW, bump(30.0), covered=("mouth", "chin"))
    assert not events
    assert len(unclear) == 6 and {span.why for span in unclear} == {"covered"}
    events, _ = moved(YAW, bump(30.0), covered=("mouth",))
    assert len(events) == 1


def test_no_event_reaches_across_a_gap() -> None:
    events, _ = moved(YAW, bump(30.0), gap_at=45)
    assert [event.offset_s < 1.5 <= event.onset_s + 0.6 for event in events] == [True, False]
    assert events[1].onset_s == pytest.approx(1.5)


def test_one_limit_can_be_changed_alone_and_must_be_in_order() -> None:
    changed = ActionConfig.model_validate({"head_turn_deg": {"strong_from": 35}})
    assert changed.head_turn_deg == CONFIG.head_turn_deg.model_copy(update={"strong_from": 35.0})
    with pytest.raises(ValidationError, match="absent_below 12"):
        ActionConfig.model_validate({"head_turn_deg": {"absent_below": 12}})
