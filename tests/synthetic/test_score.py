"""Scores of small tables whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.synthetic.score import ActionFigures, FaceFigures, score_actions, score_faces
from schemas.actions import ACTIONS, FACIAL_ACTIONS
from schemas.table import write_cell
from schemas.tracks import TRACKS
from schemas.truth import TRUTH

FPS, NUM_FRAMES = 25, 50
TIMES_S = np.arange(NUM_FRAMES) / FPS
CLIP, VIDEO = "clip_0.mp4", "video_0"
NAMES = {VIDEO: CLIP}

Boxes = NDArray[np.float64]
Span = tuple[int, int]


def walking(x: float, speed: float = 0.0, y: float = 40.0) -> Boxes:
    """A box of 80 x 100 px [T, 4] whose left side starts at `x` and moves `speed` px a frame."""
    left, top = x + speed * np.arange(NUM_FRAMES), np.full(NUM_FRAMES, y)
    return np.column_stack([left, top, left + 80, top + 100])


LEFT, RIGHT = walking(20), walking(300)


def a_face(
    face: int,
    boxes: Boxes,
    *,
    visible: dict[Span, float] | None = None,
    present: Span = (0, NUM_FRAMES),
    cuts: Sequence[int] = (),
    units: dict[str, NDArray[np.float64]] | None = None,
    events: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """A row of TRUTH. `visible` maps frames [first, stop) to the share that is seen there; elsewhere all is."""
    is_present = np.isin(np.arange(NUM_FRAMES), np.arange(*present))
    share = is_present.astype(np.float64)
    for (first, stop), seen in (visible or {}).items():
        share[first:stop] = seen
    weights = np.zeros((NUM_FRAMES, len(BLENDSHAPE_NAMES)))
    for name, series in (units or {}).items():
        weights[:, BLENDSHAPE_NAMES.index(name)] = series
    return {
        "clip": CLIP,
        "face": face,
        "identity": f"person_{face}",
        "label": "neutral",
        "distractors": [],
        "seed": 0,
        "times_s": TIMES_S.tolist(),
        "is_present": is_present.tolist(),
        "visible_share": share.tolist(),
        "boxes_xyxy": write_cell(TRUTH.field("boxes_xyxy"), np.where(is_present[:, None], boxes, 0.0)),
        "pose_deg": write_cell(TRUTH.field("pose_deg"), np.zeros((NUM_FRAMES, 3))),
        "blendshapes": write_cell(TRUTH.field("blendshapes"), weights),
        "events": list(events),
        "cuts_s": [float(TIMES_S[cut]) for cut in cuts],
        "licence": "CC0-1.0",
    }


def truth_of(*faces: dict[str, Any]) -> pa.Table:
    return TRUTH.rows(faces)


def a_track(name: str, boxes: Boxes, frames: Sequence[int] = range(NUM_FRAMES), video: str = VIDEO) -> dict[str, Any]:
    """What is scored of a row of TRACKS."""
    kept = np.array(frames, int)
    return {
        "track_id": name,
        "video_id": video,
        "times_s": TIMES_S[kept].tolist(),
        "boxes_xyxy": write_cell(TRACKS.field("boxes_xyxy"), boxes[kept]),
    }


def tracks_of(*tracks: dict[str, Any]) -> pa.Table:
    names = ("track_id", "video_id", "times_s", "boxes_xyxy")
    return pa.Table.from_pylist(list(tracks), schema=pa.schema([TRACKS.field(name) for name in names]))


def faces_of(truth: pa.Table, *tracks: dict[str, Any]) -> FaceFigures:
    return score_faces(truth, tracks_of(*tracks), NAMES).pooled


def test_a_perfect_track_has_no_fault() -> None:
    got = faces_of(truth_of(a_face(0, LEFT)), a_track("a", LEFT))
    assert (got.recall, got.iou_median, got.num_wanted) == (1.0, 1.0, NUM_FRAMES)
    assert (got.num_switches, got.num_fragmentations, got.num_false, got.num_across_cuts) == (0, 0, 0, 0)
    assert (got.late_starts_s, got.early_ends_s) == ((0.0,), (0.0,))


def test_without_tracks_nothing_is_found() -> None:
    got = faces_of(truth_of(a_face(0, LEFT)))
    assert (got.recall, got.num_false, got.late_starts_s) == (0.0, 0, ())


def test_overlap_is_that_of_the_boxes_and_too_little_is_both_a_miss_and_a_false_box() -> None:
    truth = truth_of(a_face(0, LEFT))
    assert faces_of(truth, a_track("a", LEFT + np.array([0, 0, 0, 25]))).iou_median == pytest.approx(0.8)
    got = faces_of(truth, a_track("a", LEFT + np.array([50, 0, 50, 0])))
    assert (got.num_found, got.num_false, got.false_per_frame) == (0, NUM_FRAMES, 1.0)


def test_a_late_start_and_an_early_end_are_told_in_seconds() -> None:
    got = faces_of(truth_of(a_face(0, LEFT)), a_track("a", LEFT, range(5, 40)))
    assert got.late_starts_s == pytest.approx([5 / FPS])
    assert got.early_ends_s == pytest.approx([10 / FPS])
    assert got.recall == pytest.approx(35 / 50)


def test_a_face_half_covered_may_be_found_and_may_be_missed() -> None:
    truth = truth_of(a_face(0, LEFT, visible={(10, 20): 0.3}))
    without = [*range(10), *range(20, 50)]
    for frames in (range(NUM_FRAMES), without):
        got = faces_of(truth, a_track("a", LEFT, frames))
        assert (got.num_wanted, got.recall, got.num_false) == (40, 1.0, 0)


def test_a_box_around_a_hidden_or_absent_face_is_a_false_one() -> None:
    hidden = faces_of(truth_of(a_face(0, LEFT, visible={(10, 20): 0.05})), a_track("a", LEFT))
    absent = faces_of(truth_of(a_face(0, LEFT, present=(0, 40))), a_track("a", LEFT))
    assert (hidden.num_false, absent.num_false) == (10, 10)


def test_tracks_that_change_person_are_switches() -> None:
    truth = truth_of(a_face(0, LEFT), a_face(1, RIGHT))
    swapped = np.concatenate([LEFT[:25], RIGHT[25:]]), np.concatenate([RIGHT[:25], LEFT[25:]])
    got = faces_of(truth, a_track("a", swapped[0]), a_track("b", swapped[1]))
    assert (got.recall, got.num_switches) == (1.0, 2)


def test_two_faces_that_cross_are_told_apart_by_their_overlap() -> None:
    one, other = walking(0, speed=10), walking(490, speed=-10)
    truth = truth_of(a_face(0, one), a_face(1, other, visible={(20, 30): 0.2}))
    got = faces_of(truth, a_track("a", one), a_track("b", other))
    assert (got.recall, got.num_switches, got.num_fragmentations, got.num_false) == (1.0, 0, 0, 0)


def test_one_box_for_two_faces_is_the_one_in_plain_view() -> None:
    truth = truth_of(a_face(0, LEFT), a_face(1, LEFT + 5, visible={(0, NUM_FRAMES): 0.2}))
    got = faces_of(truth, a_track("a", LEFT + 5))
    assert (got.recall, got.num_false) == (1.0, 0)


@pytest.mark.parametrize(
    ("visible", "frames", "fragmentations", "restarts"),
    [
        ({}, (range(25), range(25, 50)), 1, 0),
        ({}, (range(20), range(30, 50)), 1, 0),
        ({(20, 30): 0.0}, (range(20), range(30, 50)), 0, 1),
        ({(20, 30): 0.0}, (range(25), range(30, 50)), 0, 1),
    ],
    ids=["at once", "after a miss", "after a cover", "after a cover that the first track overran"],
)
def test_a_new_track_for_the_same_face_is_a_fault_only_in_plain_view(
    visible: dict[Span, float], frames: tuple[range, range], fragmentations: int, restarts: int
) -> None:
    truth = truth_of(a_face(0, LEFT, visible=visible))
    got = faces_of(truth, a_track("a", LEFT, frames[0]), a_track("b", LEFT, frames[1]))
    assert (got.num_fragmentations, got.num_restarts, got.num_switches) == (fragmentations, restarts, 0)


def test_a_track_over_a_cut_is_counted_even_if_it_stays_with_one_person() -> None:
    truth = truth_of(a_face(0, LEFT, cuts=[25]))
    whole = faces_of(truth, a_track("a", LEFT))
    split = faces_of(truth, a_track("a", LEFT, range(25)), a_track("b", LEFT, range(25, 50)))
    assert (whole.num_across_cuts, whole.num_restarts) == (1, 0)
    assert (split.num_across_cuts, split.num_restarts, split.num_fragmentations) == (0, 1, 0)


def test_boxes_are_joined_by_time_and_not_by_position() -> None:
    moving = walking(0, speed=8)
    every_other = range(0, NUM_FRAMES, 2)
    got = faces_of(truth_of(a_face(0, moving)), a_track("a", moving, every_other))
    assert (got.iou_median, got.recall) == (1.0, 0.5)


def test_a_box_at_a_time_that_the_clip_has_not_is_a_false_one() -> None:
    late = a_track("a", LEFT) | {"times_s": (TIMES_S + 10.0).tolist()}
    got = faces_of(truth_of(a_face(0, LEFT)), late)
    assert (got.num_found, got.num_false) == (0, NUM_FRAMES)


def test_a_track_of_an_unknown_video_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"track a is of video video_9, which is no clip of TRUTH: `names` has no"):
        faces_of(truth_of(a_face(0, LEFT)), a_track("a", LEFT, video="video_9"))


def test_clips_have_a_row_each_and_add_up() -> None:
    other = a_face(0, LEFT) | {"clip": "clip_1.mp4"}
    scores = score_faces(truth_of(a_face(0, LEFT), other), tracks_of(a_track("a", LEFT)), NAMES)
    frame = scores.to_frame().set_index("clip")
    assert frame["recall"].to_dict() == {"clip_0.mp4": 1.0, "clip_1.mp4": 0.0}
    assert scores.pooled.recall == 0.5


spans = st.tuples(st.integers(0, NUM_FRAMES - 1), st.integers(1, NUM_FRAMES)).filter(lambda span: span[0] < span[1])
shares = st.dictionaries(spans, st.floats(0, 1), max_size=3)
some_faces = st.lists(
    st.tuples(st.floats(-50, 600), st.floats(-12, 12), spans, shares), min_size=1, max_size=4, unique_by=lambda f: f[0]
)
cut_lists = st.lists(st.integers(1, NUM_FRAMES - 1), max_size=2, unique=True).map(sorted)


@settings(max_examples=50, deadline=None)
@given(some_faces, cut_lists)
def test_tracks_that_are_the_truth_have_no_fault(
    drawn: list[tuple[float, float, Span, dict[Span, float]]], cuts: list[int]
) -> None:
    faces, tracks = [], []
    for number, (x, speed, present, visible) in enumerate(drawn):
        boxes = walking(x, speed, y=40 + number)  # two faces in the very same place could not be told apart
        row = a_face(number, boxes, present=present, visible=visible, cuts=cuts)
        row["visible_share"] = (np.array(row["visible_share"]) * row["is_present"]).tolist()
        faces.append(row)
        # As the tables store it: in single precision.
        seen = np.flatnonzero(np.array(row["visible_share"], np.float32) >= 0.5)
        for piece, frames in enumerate(np.split(seen, np.searchsorted(seen, cuts))):
            tracks.append(a_track(f"{number} {piece}", boxes, frames.tolist()))
    got = faces_of(truth_of(*faces), *tracks)
    if not got.num_wanted:
        return
    assert got.recall == 1.0
    assert np.min(got.ious) > 0.999
    assert (got.num_switches, got.num_fragmentations, got.num_false, got.num_across_cuts) == (0, 0, 0, 0)
    assert not any(got.late_starts_s) and not any(got.early_ends_s)


@settings(max_examples=50, deadline=None)
@given(some_faces, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(
    drawn: list[tuple[float, float, Span, dict[Span, float]]], chance: Any
) -> None:
    faces = [a_face(n, walking(x, v), present=p, visible=seen) for n, (x, v, p, seen) in enumerate(drawn)]
    tracks = [a_track(f"t{n}", walking(x + 7, v), range(*p)) for n, (x, v, p, _) in enumerate(drawn)]
    before = faces_of(truth_of(*faces), *tracks)
    chance.shuffle(faces)
    chance.shuffle(tracks)
    after = faces_of(truth_of(*faces), *tracks)
    assert replace(before, ious=tuple(sorted(before.ious))) == replace(after, ious=tuple(sorted(after.ious)))


def bump(first: int, stop: int, peak: float) -> NDArray[np.float64]:
    """A weight [T] that is `peak` in the frames [first, stop) and 0 elsewhere."""
    return np.where(np.isin(np.arange(NUM_FRAMES), np.arange(first, stop)), peak, 0.0)


def an_event(action: str, side: str, first: int, apex: int, last: int, peak: float = 0.8) -> dict[str, Any]:
    moments = {name: float(TIMES_S[at]) for name, at in (("onset_s", first), ("apex_s", apex), ("offset_s", last))}
    return {"action": action, "side": side, "peak": peak, **moments}


def measured(
    track: str,
    events: Sequence[dict[str, Any]] = (),
    *,
    not_measurable: Sequence[tuple[str, int, int]] = (),
    unclear: Sequence[tuple[str, int, int]] = (),
) -> dict[str, Any]:
    """What is scored of a row of ACTIONS; spans are an action and its frames [first, stop)."""
    measurable = np.ones((NUM_FRAMES, len(FACIAL_ACTIONS), 2), np.uint8)
    for action, first, stop in not_measurable:
        measurable[first:stop, list(FACIAL_ACTIONS).index(action)] = 0
    return {
        "track_id": track,
        "times_s": TIMES_S.tolist(),
        "measurable": write_cell(ACTIONS.field("measurable"), measurable),
        "events": [{**event, "intensity": "slight"} for event in events],
        "unclear": [
            {"action": a, "side": "both", "start_s": TIMES_S[f], "end_s": TIMES_S[s - 1], "why": "in_between"}
            for a, f, s in unclear
        ],
    }


SMILE = ("mouthSmileLeft", "mouthSmileRight")


def smile_of(face_events: Sequence[dict[str, Any]], units: dict[str, Any], row: dict[str, Any]) -> ActionFigures:
    """The figures of lip_corner_raise, of one face with one track."""
    return all_actions(face_events, units, row)["lip_corner_raise"]


def all_actions(
    face_events: Sequence[dict[str, Any]], units: dict[str, Any], row: dict[str, Any]
) -> dict[str, ActionFigures]:
    truth = truth_of(a_face(0, LEFT, events=face_events, units=units))
    fields = [ACTIONS.field(name) for name in ("track_id", "times_s", "measurable", "events", "unclear")]
    actions = pa.Table.from_pylist([row], schema=pa.schema(fields))
    return dict(score_actions(truth, tracks_of(a_track("a", LEFT)), actions, NAMES).actions)


DRAWN = {name: bump(10, 31, 0.8) for name in SMILE}
TRUE_SMILE = an_event("lip_corner_raise", "both", 10, 20, 30)


def test_an_event_told_as_it_was_drawn_is_a_hit_in_every_frame() -> None:
    got = smile_of([TRUE_SMILE], DRAWN, measured("a", [TRUE_SMILE]))
    assert (got.num_events, got.num_hits, got.num_extra, got.num_right_side, got.f1) == (1, 1, 0, 1, 1.0)
    assert got.apex_errors_frames == (0.0,)
    assert (got.num_true, got.num_false, got.num_missed, got.frame_f1) == (2 * 21, 0, 0, 1.0)
    assert (got.num_seen, got.num_measurable) == (2 * NUM_FRAMES, 2 * NUM_FRAMES)


def test_an_event_on_one_side_only_is_a_hit_with_the_wrong_side() -> None:
    got = smile_of([TRUE_SMILE], DRAWN, measured("a", [an_event("lip_corner_raise", "left", 10, 23, 30)]))
    assert (got.num_hits, got.num_right_side) == (1, 0)
    assert got.apex_errors_frames == pytest.approx([3.0])
    assert (got.num_true, got.num_missed) == (21, 21)


def test_an_event_that_is_not_told_is_missed_and_what_is_unclear_is_not_denied() -> None:
    denied = smile_of([TRUE_SMILE], DRAWN, measured("a"))
    unclear = smile_of([TRUE_SMILE], DRAWN, measured("a", unclear=[("lip_corner_raise", 10, 20)]))
    assert (denied.num_events, denied.num_hits, denied.f1) == (1, 0, 0.0)
    assert (denied.num_missed, denied.num_denied) == (42, 42)
    assert (unclear.num_missed, unclear.num_denied) == (42, 22)


def test_an_event_that_was_called_not_measurable_is_not_asked() -> None:
    hidden = smile_of([TRUE_SMILE], DRAWN, measured("a", not_measurable=[("lip_corner_raise", 0, 22)]))
    assert (hidden.num_events, hidden.num_unasked) == (0, 1)
    assert hidden.num_measurable == 2 * 28
    assert (hidden.num_true, hidden.num_missed) == (0, 2 * 9)


def test_an_event_too_weak_to_be_wanted_may_be_told() -> None:
    weak = [an_event("lip_corner_raise", "both", 10, 20, 30, peak=0.2)]
    units = {name: bump(10, 31, 0.2) for name in SMILE}
    for told in ([], weak):
        got = smile_of(weak, units, measured("a", told))
        assert (got.num_events, got.num_unasked, got.num_extra, got.num_false, got.num_missed) == (0, 0, 0, 0, 0)


def test_an_event_where_nothing_was_drawn_is_extra_and_one_that_was_only_drawn_is_not() -> None:
    nothing = smile_of([], {}, measured("a", [TRUE_SMILE]))
    spoken = smile_of([], DRAWN, measured("a", [TRUE_SMILE]))
    assert (nothing.num_extra, nothing.num_false) == (1, 42)
    assert (spoken.num_extra, spoken.num_false, spoken.num_missed) == (0, 0, 0)


def test_an_event_told_twice_is_a_hit_and_an_extra_one() -> None:
    halves = [an_event("lip_corner_raise", "both", 10, 12, 18), an_event("lip_corner_raise", "both", 19, 21, 30)]
    got = smile_of([TRUE_SMILE], DRAWN, measured("a", halves))
    assert (got.num_hits, got.num_extra) == (1, 1)
    assert got.apex_errors_frames == pytest.approx([1.0]), "the nearest apex counts"


def test_another_action_in_its_place_is_a_miss_and_an_extra_one() -> None:
    got = all_actions([TRUE_SMILE], DRAWN, measured("a", [an_event("jaw_drop", "middle", 10, 20, 30)]))
    assert (got["lip_corner_raise"].f1, got["jaw_drop"].num_extra, got["jaw_drop"].num_false) == (0.0, 1, 21)


def test_an_action_of_the_middle_is_counted_once_a_frame() -> None:
    event = an_event("jaw_drop", "middle", 10, 20, 30)
    got = all_actions([event], {"jawOpen": bump(10, 31, 0.5)}, measured("a", [event]))["jaw_drop"]
    assert (got.num_true, got.num_seen, got.num_right_side) == (21, NUM_FRAMES, 1)


def test_the_mean_is_over_the_actions_that_were_shown_and_called_measurable() -> None:
    events = [TRUE_SMILE, an_event("jaw_drop", "middle", 10, 20, 30), an_event("eye_widen", "both", 10, 20, 30)]
    units = DRAWN | {"jawOpen": bump(10, 31, 0.8), "eyeWideLeft": bump(10, 31, 0.8), "eyeWideRight": bump(10, 31, 0.8)}
    row = measured("a", events[:1], not_measurable=[("eye_widen", 0, NUM_FRAMES)])
    actions = pa.Table.from_pylist(
        [row], schema=pa.schema([ACTIONS.field(n) for n in ("track_id", "times_s", "measurable", "events", "unclear")])
    )
    truth = truth_of(a_face(0, LEFT, events=events, units=units))
    scores = score_actions(truth, tracks_of(a_track("a", LEFT)), actions, NAMES)
    assert set(scores.shown) == {"lip_corner_raise", "jaw_drop", "eye_widen"}
    assert set(scores.called_measurable) == {"lip_corner_raise", "jaw_drop"}
    assert scores.mean_f1 == 0.5
    assert scores.to_frame().set_index("action").loc["jaw_drop", "recall"] == 0.0
