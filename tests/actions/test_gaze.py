from __future__ import annotations

import numpy as np
import pytest

from pipeline.actions.config import ActionConfig
from pipeline.actions.events import Event
from pipeline.actions.gaze import find_gaze_movements
from pipeline.actions.measurable import Passport, UnclearSpan, measurability
from schemas.tracks import FACE_REGIONS

NUM = 90
TIMES_S = np.arange(NUM) / 30
WAVE = np.sin(np.pi * np.clip(TIMES_S - 1, 0, 1))
LOOKS = ("eyeLookOut", "eyeLookIn", "eyeLookUp", "eyeLookDown", "eyeBlink")


def gaze_of(tell: bool = True, /, **looks: tuple[float, float]) -> tuple[list[Event], list[UnclearSpan]]:
    """What is told of eyes of which some scores (left, right) rise once."""
    signals = {name: np.outer(WAVE, looks.get(name, (0.0, 0.0))) for name in LOOKS}
    ones = np.ones(NUM, np.float32)
    visibility = np.ones((NUM, len(FACE_REGIONS)), np.float32)
    passport = Passport(TIMES_S, ones, np.zeros((NUM, 3), np.float32), 200 * ones, 100 * ones, visibility)
    config = ActionConfig(tell_gaze=tell)
    return find_gaze_movements(passport, signals, measurability(passport, config), np.zeros(NUM, np.bool_), config)


@pytest.mark.parametrize(
    ("looks", "action", "side"),
    [
        ({"eyeLookOut": (0.7, 0.0), "eyeLookIn": (0.0, 0.7)}, "gaze_turn", "left"),
        ({"eyeLookOut": (0.0, 0.7), "eyeLookIn": (0.7, 0.0)}, "gaze_turn", "right"),
        ({"eyeLookUp": (0.7, 0.7)}, "gaze_raise", "middle"),
        ({"eyeLookDown": (0.7, 0.7)}, "gaze_lower", "middle"),
    ],
)
def test_the_eyes_turn_to_the_persons_own_side(looks: dict[str, tuple[float, float]], action: str, side: str) -> None:
    (event,), _ = gaze_of(True, **looks)
    assert (event.action, event.side, event.intensity) == (action, side, "strong")


def test_gaze_is_not_told_unless_asked_for() -> None:
    events, unclear = gaze_of(False, eyeLookUp=(0.7, 0.7))
    assert not events
    assert [(span.action, span.side) for span in unclear] == [
        ("gaze_turn", "left"),
        ("gaze_turn", "right"),
        ("gaze_raise", "middle"),
        ("gaze_lower", "middle"),
    ]
    assert {(span.start_s, span.end_s, span.why) for span in unclear} == {(0.0, TIMES_S[-1], "not_told")}


def test_closed_eyes_look_nowhere() -> None:
    events, unclear = gaze_of(eyeLookDown=(0.7, 0.7), eyeBlink=(1.0, 1.0))
    assert not events
    assert {span.why for span in unclear} <= {"covered", "in_between"}
