"""Linking boxes into tracks: the laws, and the cases that matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.tracks.link import Link, link_boxes, match_boxes, pairwise_iou

Boxes = NDArray[np.float32]


def boxes_at(*lefts: float) -> Boxes:
    """Boxes 10 px wide and high, side by side at these distances from the left."""
    return np.array([[left, 0, left + 10, 10] for left in lefts], np.float32).reshape(-1, 4)


def link(frames: list[Boxes], *, fps: float = 10, max_gap_s: float = 0.25, min_track_s: float = 0.0) -> list[Link]:
    times_s = [number / fps for number in range(len(frames))]
    return link_boxes(times_s, frames, min_iou=0.3, max_gap_s=max_gap_s, min_track_s=min_track_s)


def sightings(tracks: list[Link], frames: list[Boxes]) -> list[list[tuple[int, ...]]]:
    """Each track as its frames and boxes by value, so that tracks from boxes in another order can be compared."""
    return [
        [(frame, *frames[frame][box].tolist()) for frame, box in zip(track.frames, track.boxes, strict=True)]
        for track in tracks
    ]


def test_a_face_that_moves_slowly_is_one_track() -> None:
    tracks = link([boxes_at(2.0 * number) for number in range(20)])
    assert [track.frames.tolist() for track in tracks] == [list(range(20))]


@pytest.mark.parametrize(
    ("missed", "num_tracks"),
    [pytest.param(1, 1, id="short miss, same track"), pytest.param(2, 2, id="too long a miss, new track")],
)
def test_a_miss_ends_a_track_when_it_lasts_too_long(missed: int, num_tracks: int) -> None:
    frames = [boxes_at(0)] * 5 + [boxes_at()] * missed + [boxes_at(0)] * 5
    tracks = link(frames)
    assert len(tracks) == num_tracks
    assert sum(len(track.frames) for track in tracks) == 10


def test_misses_are_measured_in_seconds_not_in_frames() -> None:
    frames = [boxes_at(0)] * 5 + [boxes_at()] * 5 + [boxes_at(0)] * 5
    assert len(link(frames, fps=10)) == 2
    assert len(link(frames, fps=100)) == 1


def test_a_face_elsewhere_is_another_track() -> None:
    tracks = link([boxes_at(0)] * 3 + [boxes_at(50)] * 3)
    assert [track.frames.tolist() for track in tracks] == [[0, 1, 2], [3, 4, 5]]


def test_tracks_that_last_less_are_left_out() -> None:
    assert link([boxes_at(0)] * 5, fps=10, min_track_s=0.45) == []
    assert len(link([boxes_at(0)] * 5, fps=10, min_track_s=0.35)) == 1


def test_no_frames_give_no_tracks() -> None:
    assert link([]) == []
    assert link([boxes_at()] * 3) == []


def test_pairs_are_the_best_together_not_one_by_one() -> None:
    previous, current = boxes_at(0, 4), boxes_at(3, 7)
    # Best first would pair 4 with 3 (IoU 0.82) and leave 0 and 7 unpaired.
    assert match_boxes(previous, current, min_iou=0.3) == [(0, 0), (1, 1)]


def test_boxes_that_do_not_touch_never_pair_even_when_no_overlap_is_asked_for() -> None:
    assert match_boxes(boxes_at(0), boxes_at(50), min_iou=0.0) == []


coordinate = st.integers(0, 60).map(float)
box = st.tuples(coordinate, coordinate, st.integers(1, 40), st.integers(1, 40)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)
frame = st.lists(box, max_size=4, unique_by=tuple).map(lambda boxes: np.array(boxes, np.float32).reshape(-1, 4))
video = st.lists(frame, max_size=8)


@given(frames=video, data=st.data())
def test_the_order_of_boxes_within_a_frame_does_not_matter(frames: list[Boxes], data: st.DataObject) -> None:
    shuffled = [boxes[data.draw(st.permutations(range(len(boxes))))] if len(boxes) else boxes for boxes in frames]
    assert sightings(link(shuffled), shuffled) == sightings(link(frames), frames)


@given(frames=video)
def test_every_box_belongs_to_exactly_one_track_and_a_track_has_at_most_one_box_a_frame(frames: list[Boxes]) -> None:
    tracks = link(frames)
    given_boxes = sorted((number, box) for number, boxes in enumerate(frames) for box in range(len(boxes)))
    linked = sorted((int(f), int(b)) for track in tracks for f, b in zip(track.frames, track.boxes, strict=True))
    assert linked == given_boxes
    assert all((np.diff(track.frames) > 0).all() for track in tracks)


@given(a=frame, b=frame)
def test_overlap_is_symmetric_between_0_and_1_and_1_with_itself(a: Boxes, b: Boxes) -> None:
    iou = pairwise_iou(a, b)
    assert ((iou >= 0) & (iou <= 1 + 1e-9)).all()
    np.testing.assert_allclose(iou, pairwise_iou(b, a).T)
    np.testing.assert_allclose(np.diag(pairwise_iou(a, a)), 1)
