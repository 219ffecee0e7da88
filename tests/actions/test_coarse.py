from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.actions import coarse
from pipeline.actions.coarse_model import CoarseModel, CoarseRegion, calibrated_coarse
from pipeline.actions.config import ActionConfig
from pipeline.actions.events import Event
from pipeline.actions.limits import MovementLimits
from pipeline.actions.measurable import Passport, UnclearSpan, measurability
from schemas.actions import FACIAL_ACTIONS, REGIONS
from schemas.tracks import FACE_REGIONS

NUM = 90
TIMES_S = np.arange(NUM) / 30
WAVE = np.sin(np.pi * np.clip(TIMES_S - 1, 0, 1))
LIMITS = MovementLimits(absent_below=0.1, present_above=0.2, moderate_from=0.4, strong_from=0.6, whole=0.8)


def region(**changes: object) -> CoarseRegion:
    return CoarseRegion.model_validate({"is_told": True, "is_deniable": True, "limits": LIMITS} | changes)


def find(
    monkeypatch: pytest.MonkeyPatch,
    regions: dict[str, CoarseRegion] | None = None,
    turned_deg: float = 0.0,
    covered: str | None = None,
    rises: NDArray[np.float64] | None = None,
    **signals: NDArray[np.float64],
) -> tuple[list[Event], list[UnclearSpan]]:
    """What is told by a model in which the signal of an action's name is its estimate."""
    judged = dict.fromkeys(REGIONS, region()) | (regions or {})
    weights = {action: (*np.eye(len(FACIAL_ACTIONS))[a], 0.0) for a, action in enumerate(FACIAL_ACTIONS)}
    model = CoarseModel.model_validate({"signals": (*FACIAL_ACTIONS, "yaw"), "weights": weights, "regions": judged})
    monkeypatch.setattr(coarse, "calibrated_coarse", lambda: model)
    given = {name: np.repeat(signals.get(name, np.zeros(NUM))[:, None], 2, axis=1) for name in FACIAL_ACTIONS}
    pose_deg = np.zeros((NUM, 3), np.float32)
    pose_deg[60:, 0] = turned_deg
    visibility = np.ones((NUM, len(FACE_REGIONS)), np.float32)
    if covered:
        visibility[60:, FACE_REGIONS.index(covered)] = 0
    ones = np.ones(NUM, np.float32)
    passport = Passport(TIMES_S, ones, pose_deg, 200 * ones, 100 * ones, visibility)
    config = ActionConfig(coarse_regions=judged)
    rises = np.zeros((NUM, len(FACIAL_ACTIONS), 2)) if rises is None else rises
    return coarse.find_coarse_movements(
        passport, given, rises, measurability(passport, config), np.zeros(NUM, np.bool_), config
    )


def test_any_action_moves_its_region_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    (event,), unclear = find(monkeypatch, brow_lower=WAVE * 0.7)
    assert (event.action, event.side, event.intensity) == ("brows_move", "middle", "strong")
    assert 1.0 < event.onset_s < event.apex_s < event.offset_s < 2.0
    assert event.peak == pytest.approx(0.7 / 0.8, abs=0.03)
    assert {(span.action, span.why) for span in unclear} == {("brows_move", "in_between")}


def test_what_a_neighbour_pulls_along_is_no_movement(monkeypatch: pytest.MonkeyPatch) -> None:
    pulled = {"mouth": region(pulled_along_by={"jaw": 0.3})}
    events, _ = find(monkeypatch, pulled, jaw_drop=WAVE, lip_funnel=WAVE * 0.35)
    assert [event.action for event in events] == ["jaw_move"]
    events, _ = find(monkeypatch, pulled, lip_funnel=WAVE * 0.35)
    assert [event.action for event in events] == ["mouth_move"]


def test_blinks_do_not_move_the_eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    blink = np.sin(np.pi * np.clip((TIMES_S - 1) / 0.3, 0, 1))
    assert find(monkeypatch, eye_close=blink)[0] == []
    assert len(find(monkeypatch, eye_widen=WAVE)[0]) == 1


def test_a_region_that_is_not_told_is_never_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    events, unclear = find(monkeypatch, {"nose": region(is_told=False)}, nose_wrinkle=WAVE)
    assert not events
    assert unclear == [UnclearSpan("nose_move", "middle", 0.0, TIMES_S[-1], "not_told")]
    events, unclear = find(monkeypatch, {"nose": region(is_deniable=False)}, nose_wrinkle=WAVE)
    assert [event.action for event in events] == ["nose_move"]
    assert unclear == [UnclearSpan("nose_move", "middle", 0.0, TIMES_S[-1], "not_deniable")]


@pytest.mark.parametrize(("turned_deg", "covered", "why"), [(15.0, None, "turned"), (0.0, "chin", "covered")])
def test_a_turned_or_covered_face_tells_of_no_region(
    monkeypatch: pytest.MonkeyPatch, turned_deg: float, covered: str | None, why: str
) -> None:
    late = np.where(TIMES_S >= 2, 0.7, 0.0)
    events, unclear = find(monkeypatch, turned_deg=turned_deg, covered=covered, brow_lower=late)
    assert not events
    assert {span.action for span in unclear if span.why == why} == {f"{name}_move" for name in REGIONS}


def test_rest_is_taken_where_no_told_action_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    smiling = TIMES_S >= 0.5
    rises = np.zeros((NUM, len(FACIAL_ACTIONS), 2))
    rises[smiling, list(FACIAL_ACTIONS).index("lip_corner_raise")] = 1.0
    lowered_by_it = np.where(smiling, -0.5, 0.0)
    assert find(monkeypatch, rises=rises, lip_corner_lower=lowered_by_it)[0] == []
    (misled,), _ = find(monkeypatch, lip_corner_lower=lowered_by_it)
    assert misled.onset_s == 0.0, "else the smile is taken for rest"


def test_the_calibrated_model_is_whole_and_a_region_can_be_changed_alone() -> None:
    model = calibrated_coarse()
    assert set(model.weights) == set(FACIAL_ACTIONS) and set(model.regions) == set(REGIONS)
    assert {len(weights) for weights in model.weights.values()} == {len(model.signals)}
    changed = ActionConfig.model_validate({"coarse_regions": {"brows": {"is_told": True}}}).coarse_regions
    assert changed["brows"] == model.regions["brows"].model_copy(update={"is_told": True})
    assert changed["mouth"] == model.regions["mouth"]
    with pytest.raises(ValidationError, match="leave this field out"):
        ActionConfig(coarse_weights="other")
    with pytest.raises(ValidationError, match="no regions"):
        ActionConfig.model_validate({"coarse_regions": {"ears": {}}})
