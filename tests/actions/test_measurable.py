from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.actions.config import ActionConfig
from pipeline.actions.measurable import (
    BLURRED,
    COVERED,
    TOO_SMALL,
    TURNED_AWAY,
    UNCLEAR,
    Measurability,
    Passport,
    UnmeasuredSpan,
    measurability,
)
from schemas.actions import FACIAL_ACTIONS
from schemas.tracks import FACE_REGIONS

STEADY, SHAKY = "lip_corner_raise", "brow_lower"
CONFIG = ActionConfig.model_validate(
    {
        "thresholds": {
            action: {"max_turn_deg": 10.0, "min_face_px": 100.0, "is_told": True}
            if action == SHAKY
            else {"max_turn_deg": 90.0, "min_face_px": 40.0, "is_told": True}
            for action in FACIAL_ACTIONS
        }
    }
)
INDEX = {action: index for index, action in enumerate(FACIAL_ACTIONS)}


def seen(**changed: Any) -> Measurability:
    good = {
        "times_s": np.arange(10) / 10,
        "presence": np.ones(10, np.float32),
        "pose_deg": np.zeros((10, 3), np.float32),
        "face_px": np.full(10, 200.0, np.float32),
        "sharpness": np.full(10, 80.0, np.float32),
        "visibility": np.ones((10, len(FACE_REGIONS)), np.float32),
    }
    return measurability(Passport(**{**good, **changed}), CONFIG)


def series(value: float, first: int, last: int, other: float) -> Any:
    return np.where((np.arange(10) >= first) & (np.arange(10) <= last), value, other).astype(np.float32)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"presence": series(0.3, 2, 3, 1.0)}, UNCLEAR),
        ({"pose_deg": np.outer(series(-70, 2, 3, 0), [1, 0, 0]).astype(np.float32)}, TURNED_AWAY),
        ({"pose_deg": np.outer(series(50, 2, 3, 0), [0, 1, 0]).astype(np.float32)}, TURNED_AWAY),
        ({"face_px": series(20, 2, 3, 200)}, TOO_SMALL),
        ({"sharpness": series(2, 2, 3, 80)}, BLURRED),
        ({"visibility": np.outer(series(0, 2, 3, 1), np.ones(9)).astype(np.float32)}, COVERED),
    ],
)
def test_a_frame_that_cannot_be_measured_is_said_with_its_reason(changed: dict[str, Any], why: str) -> None:
    found = seen(**changed)
    assert found.is_measurable.tolist() == [frame not in (2, 3) for frame in range(10)]
    assert found.unmeasured == [UnmeasuredSpan(0.2, 0.3, why)]
    assert not found.mask[2:4].any() and found.mask[4:].all() and found.unclear == []


@pytest.mark.parametrize(("yaw", "far"), [(35, "left"), (-35, "right")])
def test_a_turned_head_hides_the_far_side_and_no_other(yaw: float, far: str) -> None:
    found = seen(pose_deg=np.outer(series(yaw, 6, 9, 0), [1, 0, 0]).astype(np.float32))
    assert found.is_measurable.all()
    for action in ("lip_corner_raise", "eye_close"):
        assert found.mask[7, INDEX[action]].tolist() == [far != "left", far != "right"]
    assert found.mask[7, INDEX["jaw_drop"]].all(), "the middle of the face is still seen"
    told = {(span.side, span.start_s, span.why) for span in found.unclear if span.action != SHAKY}
    assert told == {(far, 0.6, "far_side")}


def test_the_corner_of_the_mouth_is_hidden_sooner_than_the_eye() -> None:
    found = seen(pose_deg=np.tile(np.array([28, 0, 0], np.float32), (10, 1)))
    assert found.mask[0, INDEX["eye_close"]].all()
    assert found.mask[0, INDEX["lip_corner_raise"]].tolist() == [False, True]


@pytest.mark.parametrize(
    ("region", "hidden", "still_seen"),
    [
        ("mouth", ("lip_corner_raise", "jaw_drop", "chin_raise"), ("eye_close", "nose_wrinkle", "brow_lower")),
        ("chin", ("jaw_drop", "chin_raise"), ("lip_corner_raise",)),
        ("nose", ("nose_wrinkle",), ("lip_press",)),
    ],
)
def test_a_covered_region_hides_its_actions(region: str, hidden: tuple[str, ...], still_seen: tuple[str, ...]) -> None:
    visibility = np.ones((10, len(FACE_REGIONS)), np.float32)
    visibility[:, FACE_REGIONS.index(region)] = 0.2
    found = seen(visibility=visibility)
    assert not any(found.mask[:, INDEX[action]].any() for action in hidden)
    assert all(found.mask[:, INDEX[action]].all() for action in still_seen)
    assert {span.why for span in found.unclear} == {COVERED} and set(hidden) <= {span.action for span in found.unclear}


def test_one_covered_brow_hides_its_side_and_what_needs_both() -> None:
    visibility = np.ones((10, len(FACE_REGIONS)), np.float32)
    visibility[:, FACE_REGIONS.index("brow_left")] = 0.0
    mask = seen(visibility=visibility).mask[0]
    assert mask[INDEX["outer_brow_raise"]].tolist() == [False, True]
    assert mask[INDEX["inner_brow_raise"]].tolist() == [False, False]


def test_an_action_that_a_turn_could_pass_for_is_measured_in_the_usual_pose_alone() -> None:
    found = seen(pose_deg=np.outer(series(14, 8, 9, 0), [1, 0, 0]).astype(np.float32))
    assert found.mask[:8, INDEX[SHAKY]].all() and not found.mask[8:, INDEX[SHAKY]].any()
    assert found.mask[:, INDEX[STEADY]].all()
    assert {(span.action, span.why) for span in found.unclear} == {(SHAKY, "turned")}


def test_an_action_may_need_a_larger_face_than_others() -> None:
    found = seen(face_px=series(80, 0, 4, 200))
    assert not found.mask[:5, INDEX[SHAKY]].any() and found.mask[5:, INDEX[SHAKY]].all()
    assert found.mask[:, INDEX[STEADY]].all()
    assert {(span.action, span.why) for span in found.unclear} == {(SHAKY, "small")}
