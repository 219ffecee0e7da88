"""Link the face boxes of a video's frames into tracks: one track for each face, from its first frame to its last.

In two steps. `link_pieces` follows boxes from frame to frame as long as there is no doubt: a piece has no gap, and ends
where another face could be meant. `join_pieces` puts the pieces of one face together, once pictures have been compared.
Pure: values in, values out. Times are seconds of presentation time.
Shape letters: P = faces still followed, C = boxes in the current frame, T = frames of a piece.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

_RIVAL_SHARE = 0.5
"""Part of an overlap from which another one is a rival, and the match in doubt."""

_NEAR_IOU = 0.1
"""Overlap with where a face was going from which the same face, once recognised, can have gone on there."""


@dataclass(frozen=True)
class Link:
    """One face through successive frames: `frames` and `boxes`, int32 [T], say which box of which frame."""

    frames: NDArray[np.int32]
    boxes: NDArray[np.int32]


@dataclass(frozen=True)
class Look:
    """A piece as `join_pieces` sees it: from when to when, from where to where, in which shot, and who it is.

    first_box and last_box [4]; velocity_px_s [4] of the last box's sides; descriptors [K, 128] of the face, K may be 0.
    """

    start_s: float
    end_s: float
    shot: int
    first_box: NDArray[np.float32]
    last_box: NDArray[np.float32]
    velocity_px_s: NDArray[np.float32]
    descriptors: NDArray[np.float32]


@dataclass
class _Followed:
    last_box: NDArray[np.float32]
    last_s: float
    velocity_px_s: NDArray[np.float32] = field(default_factory=lambda: np.zeros(4, np.float32))
    sightings: list[tuple[int, int]] = field(default_factory=list)

    def at(self, time_s: float) -> NDArray[np.float32]:
        return expected_box(self.last_box, self.velocity_px_s, time_s - self.last_s)


def link_pieces(
    times_s: Sequence[float], boxes_xyxy: Sequence[NDArray[np.float32]], *, breaks: Sequence[int], min_iou: float
) -> list[Link]:
    """Link boxes [C, 4] of frames at rising times into pieces without gap or doubt, in the order of their first frame.

    `breaks` are positions of frames before which the picture breaks off: no piece reaches across one. A box belongs to
    a piece where it overlaps the expected place by at least `min_iou`, and no rival overlaps nearly as much. The order
    of the boxes within a frame does not matter.

    Raises:
        ValueError: there are not as many times as frames.
    """
    pieces: list[_Followed] = []
    following: list[_Followed] = []
    begins_anew = set(breaks)
    for position, (time_s, boxes) in enumerate(zip(times_s, boxes_xyxy, strict=True)):
        if position in begins_anew:
            following = []
        order = np.lexsort(boxes.T)  # ties between overlaps must not be settled by the order in which boxes came
        expected = np.array([face.at(time_s) for face in following], np.float32).reshape(-1, 4)
        pairs = {column: row for row, column in clear_pairs(expected, boxes[order], min_iou=min_iou)}
        seen = []
        for column, box in enumerate(order.tolist()):
            face = following[pairs[column]] if column in pairs else _Followed(boxes[box], time_s)
            if column in pairs:
                _move(face, boxes[box], time_s)
            else:
                pieces.append(face)
            face.sightings.append((position, box))
            seen.append(face)
        following = seen
    return [Link(*np.array(face.sightings, np.int32).T) for face in pieces]


def join_pieces(
    looks: Sequence[Look], *, min_iou: float, max_gap_s: float, same_below: float, other_above: float
) -> list[list[int]]:
    """Put pieces together that are one face: lists of their numbers in time order, sorted by first piece.

    A piece goes on in another that begins at most `max_gap_s` after its end, in the same shot, where the face can have
    got to by then. Surely one person (descriptors nearer than `same_below`): a small overlap will do. Surely two (all
    farther than `other_above`): never. Else the overlap must be `min_iou` and no other piece may come into question.
    """
    worths = _worths(looks, min_iou, max_gap_s, same_below, other_above)
    num_choices = Counter(place for pair in worths for place in (("end", pair[0]), ("start", pair[1])))
    next_of: dict[int, int] = {}
    taken: set[int] = set()
    for (before, after), worth in sorted(worths.items(), key=lambda item: (-item[1], item[0])):
        is_rivalled = num_choices["end", before] > 1 or num_choices["start", after] > 1
        if before not in next_of and after not in taken and not (worth < 1 and is_rivalled):
            next_of[before] = after
            taken.add(after)
    firsts = sorted(set(range(len(looks))) - taken)
    joined = []
    for number in firsts:
        chain = [number]
        while chain[-1] in next_of:
            chain.append(next_of[chain[-1]])
        joined.append(chain)
    return joined


def _worths(
    looks: Sequence[Look], min_iou: float, max_gap_s: float, same_below: float, other_above: float
) -> dict[tuple[int, int], float]:
    """What it is worth to go on from one piece to another, for those where it is worth anything."""
    order = sorted(range(len(looks)), key=lambda number: looks[number].start_s)
    starts_s = [looks[number].start_s for number in order]
    worths = {}
    for before, a in enumerate(looks):
        for after in order[bisect_right(starts_s, a.end_s) : bisect_right(starts_s, a.end_s + max_gap_s)]:
            if a.shot == looks[after].shot:
                worths[before, after] = _worth(a, looks[after], min_iou, same_below, other_above)
    return {pair: worth for pair, worth in worths.items() if worth > 0}


def _worth(a: Look, b: Look, min_iou: float, same_below: float, other_above: float) -> float:
    """0: b does not go on with a; below 1: it may; above 1: it does, by overlap and likeness."""
    expected = expected_box(a.last_box, a.velocity_px_s, b.start_s - a.end_s)
    overlap = float(pairwise_iou(np.stack([expected, a.last_box]), b.first_box[None]).max())
    distances = np.linalg.norm(a.descriptors[:, None] - b.descriptors[None], axis=-1)
    nearest = float(distances.min()) if distances.size else (same_below + other_above) / 2
    if overlap < _NEAR_IOU or nearest > other_above:
        return 0.0
    if nearest < same_below:
        return 1.0 + overlap + (1.0 - nearest)
    return 0.5 * overlap if overlap >= min_iou else 0.0


def expected_box(box: NDArray[np.float32], velocity_px_s: NDArray[np.float32], after_s: float) -> NDArray[np.float32]:
    """Where a box [4] that moves so is after that time; never farther off than half its own side."""
    reach = 0.5 * float(max(box[2] - box[0], box[3] - box[1]))
    moved: NDArray[np.float32] = (box + np.clip(velocity_px_s * after_s, -reach, reach)).astype(np.float32)
    return moved


def clear_pairs(
    previous_P4: NDArray[np.float32], current_C4: NDArray[np.float32], *, min_iou: float
) -> list[tuple[int, int]]:
    """Pair previous with current boxes so that the overlaps are largest together; keep the pairs beyond doubt."""
    iou_PC = pairwise_iou(previous_P4, current_C4)
    rows, columns = linear_sum_assignment(np.where(iou_PC >= min_iou, iou_PC, 0.0), maximize=True)
    pairs = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        rival = max(np.delete(iou_PC[row], column).max(initial=0), np.delete(iou_PC[:, column], row).max(initial=0))
        if iou_PC[row, column] >= max(min_iou, 1e-9) and rival <= _RIVAL_SHARE * iou_PC[row, column]:
            pairs.append((row, column))
    return pairs


def pairwise_iou(a_P4: NDArray[np.float32], b_C4: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union [P, C] of boxes left, top, right, bottom."""
    a, b = a_P4[:, None].astype(np.float64), b_C4[None].astype(np.float64)
    overlap = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=-1)
    area_a, area_b = (np.clip(box[..., 2:] - box[..., :2], 0, None).prod(axis=-1) for box in (a, b))
    iou: NDArray[np.float64] = overlap / np.maximum(area_a + area_b - overlap, 1e-9)
    return iou


def _move(face: _Followed, box: NDArray[np.float32], time_s: float) -> None:
    """Half of the velocity is new: a box trembles by more than it moves in one frame."""
    step_s = max(time_s - face.last_s, 1e-6)
    face.velocity_px_s = (0.5 * face.velocity_px_s + 0.5 * (box - face.last_box) / step_s).astype(np.float32)
    face.last_box, face.last_s = box, time_s
