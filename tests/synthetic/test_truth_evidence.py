"""What was drawn, as evidence and as a yardstick for claims and prose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from pipeline.descriptions.judging import CONTRADICTED, NOT_MEASURABLE, SUPPORTED
from pipeline.synthetic.recipes import Movement, blend
from pipeline.synthetic.truth_evidence import (
    DrawnFace,
    drawn_face,
    drawn_faces,
    evidence_of_truth,
    judge_against_truth,
    judge_prose_against_truth,
)
from schemas.actions import COARSE_ACTIONS, FACIAL_ACTIONS, TOLD_ACTIONS
from schemas.answer import Claim
from schemas.table import write_cell
from schemas.tracks import TRACKS
from schemas.truth import TRUTH

TIMES_S = np.arange(76) / 30.0
END_S = float(TIMES_S[-1])


def a_movement(action: str, side: str = "both", peak: float = 0.8, start_s: float = 0.8) -> Movement:
    """It rises in 0.3 s, holds for 0.4 s and falls in 0.3 s."""
    side = "middle" if FACIAL_ACTIONS[action].middle else side
    return Movement(action, side, start_s, start_s + 0.3, start_s + 0.7, start_s + 1.0, peak)


def a_row(
    *movements: Movement, pose_deg: NDArray[np.float64] | None = None, face: int = 0, left_px: float = 20.0
) -> dict[str, Any]:
    """A row of TRUTH of one face that stands still at `left_px`."""
    boxes = np.tile([left_px, 40.0, left_px + 80.0, 140.0], (len(TIMES_S), 1))
    pose_deg = np.zeros((len(TIMES_S), 3)) if pose_deg is None else pose_deg
    return {
        "clip": "clip.mp4",
        "face": face,
        "identity": f"person_{face}",
        "label": "neutral",
        "distractors": [],
        "seed": 0,
        "times_s": TIMES_S.tolist(),
        "is_present": [True] * len(TIMES_S),
        "visible_share": [1.0] * len(TIMES_S),
        "boxes_xyxy": write_cell(TRUTH.field("boxes_xyxy"), boxes),
        "pose_deg": write_cell(TRUTH.field("pose_deg"), pose_deg),
        "blendshapes": write_cell(TRUTH.field("blendshapes"), blend(movements, TIMES_S)),
        "events": [],
        "cuts_s": [],
        "licence": "CC0-1.0",
    }


def a_face(*movements: Movement, pose_deg: NDArray[np.float64] | None = None) -> DrawnFace:
    return drawn_face(a_row(*movements, pose_deg=pose_deg), 0.0, END_S)


def a_turn(peak_deg: float, axis: int = 0) -> NDArray[np.float64]:
    """A head that leaves its usual pose of 5 degrees for a while."""
    pose_deg = np.full((len(TIMES_S), 3), 5.0)
    pose_deg[:, axis] += peak_deg * np.exp(-(((TIMES_S - 1.2) / 0.2) ** 2))
    return pose_deg


def verdict_on(face: DrawnFace, action: str, polarity: str = "present", **changed: Any) -> str:
    """The verdict on a claim, by default of a strong movement of both sides at the time of `a_movement`."""
    side = "both" if action in FACIAL_ACTIONS and not FACIAL_ACTIONS[action].middle else "middle"
    claim = {"action": action, "side": side, "start_s": 0.9, "end_s": 1.7, "polarity": polarity, "intensity": "strong"}
    return judge_against_truth([Claim.model_validate(claim | changed)], face)[0][0]


def test_a_movement_is_one_event_with_its_side_its_times_and_its_weight() -> None:
    (event,) = a_face(a_movement("lip_corner_raise", "left")).evidence.events
    assert (event.action, event.side, event.intensity) == ("lip_corner_raise", "left", "strong")
    assert event.peak == pytest.approx(0.8, abs=0.01)
    assert event.apex_s == pytest.approx(1.1, abs=0.04)
    assert 0.8 < event.onset_s < 0.95
    assert 1.65 < event.offset_s < 1.8


def test_two_sides_are_one_event_unless_one_is_twice_as_strong() -> None:
    def sides(right: float) -> list[str]:
        movements = a_movement("cheek_raise", "left", 0.8), a_movement("cheek_raise", "right", right)
        return [event.side for event in a_face(*movements).evidence.events]

    assert sides(0.5) == ["both"]
    assert sides(0.3) == ["left", "right"]


def test_the_bounds_of_intensity_are_those_of_measured_events() -> None:
    def intensity(peak: float) -> str:
        return a_face(a_movement("jaw_drop", peak=peak)).evidence.events[0].intensity

    assert [intensity(peak) for peak in (0.2, 0.38, 0.42, 0.68, 0.75)] == [
        "slight", "slight", "moderate", "moderate", "strong",
    ]  # fmt: skip


def test_times_count_from_the_start_of_the_track_and_nothing_outside_of_it_is_told() -> None:
    row = a_row(a_movement("jaw_drop", start_s=0.2), a_movement("eye_widen", start_s=1.4))
    evidence = evidence_of_truth(row, 1.3, END_S)
    assert [event.action for event in evidence.events] == ["eye_widen"]
    assert 0.1 < evidence.events[0].onset_s < 0.3
    assert evidence.duration_s == pytest.approx(END_S - 1.3)
    with pytest.raises(ValueError, match=r"no frame from 9\.00 to 10\.00 s"):
        evidence_of_truth(row, 9.0, 10.0)


def test_a_weight_too_small_for_an_event_is_in_between() -> None:
    evidence = a_face(a_movement("jaw_drop", peak=0.12)).evidence
    assert not evidence.events
    assert evidence.doubt_about("jaw_drop", 1.0, 1.5) is not None
    assert evidence.doubt_about("jaw_drop", 0.0, 0.7) is None
    assert evidence.doubt_about("brow_lower", 0.0, END_S) is None


def test_the_gaze_is_not_told() -> None:
    evidence = a_face().evidence
    assert {span.action for span in evidence.unclear} == {"gaze_turn", "gaze_raise", "gaze_lower"}
    assert verdict_on(a_face(), "gaze_raise") == NOT_MEASURABLE


@pytest.mark.parametrize(
    ("axis", "peak_deg", "expected"),
    [
        (0, 30.0, ("head_turn", "left")),
        (0, -30.0, ("head_turn", "right")),
        (1, 20.0, ("head_raise", "middle")),
        (1, -20.0, ("head_lower", "middle")),
        (2, 25.0, ("head_tilt", "left")),
    ],
)
def test_the_head_is_told_from_its_usual_pose(axis: int, peak_deg: float, expected: tuple[str, str]) -> None:
    (event,) = a_face(pose_deg=a_turn(peak_deg, axis)).evidence.events
    assert (event.action, event.side, event.intensity) == (*expected, "strong")


def test_the_usual_pose_is_the_one_in_which_the_face_is_seen() -> None:
    pose_deg = np.zeros((len(TIMES_S), 3))
    pose_deg[TIMES_S > 0.8, 0] = 80.0  # for most of the clip
    (event,) = a_face(pose_deg=pose_deg).evidence.events
    assert (event.action, event.side) == ("head_turn", "left")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, SUPPORTED),
        ({"start_s": 1.9, "end_s": 2.0}, SUPPORTED),  # within the slack
        ({"start_s": 2.2, "end_s": 2.5}, CONTRADICTED),
        ({"side": "right"}, CONTRADICTED),
        ({"side": "both"}, CONTRADICTED),
        ({"intensity": "moderate"}, SUPPORTED),
        ({"intensity": "slight"}, CONTRADICTED),
        ({"action": "cheek_raise"}, CONTRADICTED),
    ],
)
def test_what_is_claimed_to_be_present(changed: dict[str, Any], expected: str) -> None:
    face = a_face(a_movement("lip_corner_raise", "left"))
    asked = {"action": "lip_corner_raise", "side": "left"} | changed
    assert verdict_on(face, **asked) == expected


@pytest.mark.parametrize(("peak", "expected"), [(0.08, CONTRADICTED), (0.12, NOT_MEASURABLE), (0.2, SUPPORTED)])
def test_presence_is_contradicted_only_where_hardly_anything_was_drawn(peak: float, expected: str) -> None:
    assert verdict_on(a_face(a_movement("jaw_drop", peak=peak)), "jaw_drop", intensity="slight") == expected


@pytest.mark.parametrize(("peak", "expected"), [(0.08, SUPPORTED), (0.2, NOT_MEASURABLE), (0.4, CONTRADICTED)])
def test_absence_is_contradicted_only_by_what_was_surely_shown(peak: float, expected: str) -> None:
    face = a_face(a_movement("jaw_drop", peak=peak))
    assert verdict_on(face, "jaw_drop", "absent", start_s=0.0, end_s=END_S) == expected


def test_the_ends_of_a_denied_span_are_not_judged() -> None:
    face = a_face(a_movement("jaw_drop"))
    assert verdict_on(face, "jaw_drop", "absent", start_s=1.6, end_s=2.5) == SUPPORTED
    assert verdict_on(face, "jaw_drop", "absent", start_s=1.0, end_s=1.5) == NOT_MEASURABLE


def test_one_side_can_be_denied_while_the_other_moves() -> None:
    face = a_face(a_movement("lip_corner_raise", "left"))
    sides = {
        side: verdict_on(face, "lip_corner_raise", "absent", side=side, start_s=0.0, end_s=END_S)
        for side in ("left", "right", "both")
    }
    assert sides == {"left": CONTRADICTED, "right": SUPPORTED, "both": CONTRADICTED}


def test_a_blink_is_no_event_and_to_deny_it_is_not_wrong() -> None:
    blink = Movement("eye_close", "both", 1.0, 1.1, 1.15, 1.25, 1.0)
    face = a_face(blink)
    assert not face.evidence.events
    assert verdict_on(face, "eye_close", "absent", start_s=0.0, end_s=END_S) == NOT_MEASURABLE
    assert verdict_on(face, "eye_close") == SUPPORTED


def test_a_region_moves_where_an_action_of_it_does_or_one_that_moves_its_skin() -> None:
    face = a_face(a_movement("jaw_drop"))
    verdicts = {action: verdict_on(face, action, intensity="slight") for action in COARSE_ACTIONS}
    moving = [action for action, verdict in verdicts.items() if verdict == SUPPORTED]
    assert moving == ["nose_move", "cheeks_move", "mouth_move", "jaw_move"]
    assert {verdict for action, verdict in verdicts.items() if action not in moving} == {CONTRADICTED}


def test_each_told_action_is_drawn_but_those_of_the_gaze() -> None:
    assert {action for action in TOLD_ACTIONS if not action.startswith("gaze_")} == set(a_face().levels)


@pytest.mark.parametrize(
    ("prose", "expected"),
    [
        ("The lip corners rise.", SUPPORTED),
        ("The left lip corner rises.", SUPPORTED),
        ("The right lip corner rises.", CONTRADICTED),
        ("There is no smile.", CONTRADICTED),
        ("The brows lower.", CONTRADICTED),
        ("The brows do not lower.", SUPPORTED),
        ("The jaw does not drop.", NOT_MEASURABLE),  # it was drawn, and too little for an event that may not be denied
    ],
)
def test_prose_is_held_against_what_was_drawn(prose: str, expected: str) -> None:
    face = a_face(a_movement("lip_corner_raise", "left"), a_movement("jaw_drop", peak=0.2))
    assert [judgement.verdict for judgement in judge_prose_against_truth(prose, face)] == [expected]


def test_a_track_is_of_the_face_that_its_boxes_are_on() -> None:
    truth = TRUTH.rows([a_row(a_movement("jaw_drop"), face=0), a_row(a_movement("eye_widen"), face=1, left_px=300.0)])

    def a_track(name: str, left_px: float, first: int = 0) -> dict[str, Any]:
        boxes = np.tile([left_px, 40.0, left_px + 80.0, 140.0], (len(TIMES_S) - first, 1))
        cell = write_cell(TRACKS.field("boxes_xyxy"), boxes)
        return {"track_id": name, "video_id": "video", "times_s": TIMES_S[first:].tolist(), "boxes_xyxy": cell}

    names = ("track_id", "video_id", "times_s", "boxes_xyxy")
    rows = [a_track("a", 301.0, first=15), a_track("b", 21.0), a_track("nobody", 600.0)]
    tracks = pa.Table.from_pylist(rows, schema=pa.schema([TRACKS.field(name) for name in names]))
    found = drawn_faces(truth, tracks, {"video": "clip.mp4"})
    assert {track_id: face.face for track_id, face in found.items()} == {"a": 1, "b": 0}
    assert found["a"].evidence.events[0].action == "eye_widen"
    assert found["a"].evidence.events[0].onset_s < 0.5 < found["b"].evidence.events[0].onset_s
