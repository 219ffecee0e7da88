"""Linking boxes into pieces and pieces into tracks: the laws, and the cases that matter."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.tracks.link import Link, Look, clear_pairs, join_pieces, link_pieces, pairwise_iou

Boxes = NDArray[np.float32]
A, B = np.eye(128, dtype=np.float32)[:2]
"""Descriptors of two persons; they lie farther apart than any threshold."""


def boxes_at(*lefts: float) -> Boxes:
    """Boxes 10 px wide and high, side by side at these distances from the left."""
    return np.array([[left, 0, left + 10, 10] for left in lefts], np.float32).reshape(-1, 4)


def link(frames: list[Boxes], *, breaks: list[int] | None = None) -> list[Link]:
    return link_pieces([number / 10 for number in range(len(frames))], frames, breaks=breaks or [], min_iou=0.3)


def look(
    start_s: float, end_s: float, left: float, who: Boxes | None = None, *, shot: int = 0, speed: float = 0
) -> Look:
    return Look(
        start_s=start_s,
        end_s=end_s,
        shot=shot,
        first_box=boxes_at(left)[0],
        last_box=boxes_at(left + speed * (end_s - start_s))[0],
        velocity_px_s=np.array([speed, 0, speed, 0], np.float32),
        descriptors=np.array([] if who is None else [who], np.float32).reshape(-1, 128),
    )


def join(*looks: Look) -> list[list[int]]:
    return join_pieces(looks, min_iou=0.3, max_gap_s=0.25, same_below=0.45, other_above=0.6)


def sightings(pieces: list[Link], frames: list[Boxes]) -> list[list[tuple[float, ...]]]:
    """Each piece as its frames and boxes by value, so that pieces from boxes in another order can be compared."""
    return sorted(
        [(frame, *frames[frame][box].tolist()) for frame, box in zip(piece.frames, piece.boxes, strict=True)]
        for piece in pieces
    )


def test_a_face_that_moves_is_one_piece() -> None:
    pieces = link([boxes_at(2.0 * number) for number in range(20)])
    assert [piece.frames.tolist() for piece in pieces] == [list(range(20))]


def test_a_face_that_moves_fast_is_expected_where_it_is_going() -> None:
    lefts = np.concatenate([[0, 3, 7, 12, 18], 18 + 7.5 * np.arange(1, 8)])  # at last no two boxes overlap by 0.3
    pieces = link([boxes_at(left) for left in lefts])
    assert [piece.frames.tolist() for piece in pieces] == [list(range(len(lefts)))]


def test_a_miss_ends_a_piece() -> None:
    pieces = link([boxes_at(0)] * 5 + [boxes_at()] + [boxes_at(0)] * 5)
    assert [piece.frames.tolist() for piece in pieces] == [[0, 1, 2, 3, 4], [6, 7, 8, 9, 10]]


def test_where_the_picture_breaks_off_every_piece_ends() -> None:
    pieces = link([boxes_at(0, 30)] * 6, breaks=[3])
    assert [piece.frames.tolist() for piece in pieces] == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]


def test_where_two_faces_could_be_meant_both_pieces_end() -> None:
    frames = [boxes_at(0, 4)] * 3 + [boxes_at(2)] + [boxes_at(0, 4)] * 3
    assert [piece.frames.tolist() for piece in link(frames)] == [[0, 1, 2], [0, 1, 2], [3], [4, 5, 6], [4, 5, 6]]


def test_no_frames_give_no_pieces() -> None:
    assert link([]) == []
    assert link([boxes_at()] * 3) == []


def test_a_pair_with_a_rival_nearly_as_near_is_in_doubt() -> None:
    assert clear_pairs(boxes_at(0, 20), boxes_at(1, 21), min_iou=0.3) == [(0, 0), (1, 1)]
    assert clear_pairs(boxes_at(0, 2), boxes_at(1), min_iou=0.3) == []


def test_boxes_that_do_not_touch_never_pair_even_when_no_overlap_is_asked_for() -> None:
    assert clear_pairs(boxes_at(0), boxes_at(50), min_iou=0.0) == []


@pytest.mark.parametrize(
    ("second", "is_joined"),
    [
        pytest.param(look(1.2, 2.0, 0, A), True, id="the same person after a short miss"),
        pytest.param(look(1.2, 2.0, 0, B), False, id="another person in the same place"),
        pytest.param(look(1.2, 2.0, 0), True, id="nobody can tell who, nobody else is near"),
        pytest.param(look(1.3, 2.0, 0, A), False, id="too long a miss"),
        pytest.param(look(1.2, 2.0, 0, A, shot=1), False, id="a cut between"),
        pytest.param(look(1.2, 2.0, 7, A), True, id="farther off, but surely the same"),
        pytest.param(look(1.2, 2.0, 7), False, id="farther off, and nobody can tell who"),
        pytest.param(look(1.2, 2.0, 40, A), False, id="too far for any face to get"),
    ],
)
def test_a_piece_goes_on_where_it_can_be_the_same_face(second: Look, is_joined: bool) -> None:
    assert join(look(0, 1, 0, A), second) == ([[0, 1]] if is_joined else [[0], [1]])


def test_faces_that_cross_are_told_apart_by_who_they_are_not_by_where_they_were() -> None:
    before = look(0, 1, 0, A, speed=2), look(0, 1, 5, B, speed=-2)
    after = look(1.2, 2, 3, B), look(1.2, 2, 2, A)
    assert join(*before, *after) == [[0, 3], [1, 2]]


def test_without_knowing_who_two_candidates_are_left_apart() -> None:
    assert join(look(0, 1, 0), look(0, 1, 3), look(1.1, 2, 1)) == [[0], [1], [2]]


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


@given(frames=video, breaks=st.lists(st.integers(0, 8)))
def test_every_box_belongs_to_exactly_one_piece_and_a_piece_has_no_gap(frames: list[Boxes], breaks: list[int]) -> None:
    pieces = link(frames, breaks=breaks)
    given_boxes = sorted((number, box) for number, boxes in enumerate(frames) for box in range(len(boxes)))
    linked = sorted((int(f), int(b)) for piece in pieces for f, b in zip(piece.frames, piece.boxes, strict=True))
    assert linked == given_boxes
    assert all((np.diff(piece.frames) == 1).all() for piece in pieces)
    assert not any(piece.frames[0] < start <= piece.frames[-1] for piece in pieces for start in breaks)


moment = st.integers(0, 12).map(lambda tenths: tenths / 10)
some_look = st.builds(
    lambda start_s, lasts_s, left, who, shot: look(start_s, start_s + lasts_s, left, who, shot=shot),
    moment,
    moment,
    st.integers(0, 15).map(float),
    st.sampled_from([A, B, None]),
    st.integers(0, 1),
)


@given(looks=st.lists(some_look, max_size=8))
def test_no_track_holds_two_persons_two_shots_or_two_moments_at_once(looks: list[Look]) -> None:
    chains = join(*looks)
    assert sorted(number for chain in chains for number in chain) == list(range(len(looks)))
    for before, after in (pair for chain in chains for pair in pairwise(chain)):
        a, b = looks[before], looks[after]
        assert a.end_s < b.start_s and a.shot == b.shot
        assert not (len(a.descriptors) and len(b.descriptors)) or np.array_equal(a.descriptors, b.descriptors)


@given(a=frame, b=frame)
def test_overlap_is_symmetric_between_0_and_1_and_1_with_itself(a: Boxes, b: Boxes) -> None:
    iou = pairwise_iou(a, b)
    assert ((iou >= 0) & (iou <= 1 + 1e-9)).all()
    np.testing.assert_allclose(iou, pairwise_iou(b, a).T)
    np.testing.assert_allclose(np.diag(pairwise_iou(a, a)), 1)
