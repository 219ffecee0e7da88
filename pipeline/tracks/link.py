"""Link the face boxes of a video's frames into tracks: one track for each face, from its first frame to its last.

Pure: values in, values out. Times are seconds of presentation time.
Shape letters: P = faces still followed, C = boxes in the current frame, T = frames of a track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class Link:
    """One face through the frames: `frames` and `boxes`, int32 [T], say which box of which frame, by position."""

    frames: NDArray[np.int32]
    boxes: NDArray[np.int32]


@dataclass
class _Followed:
    """A face as it is followed: where and when it was last seen, and every sighting so far."""

    last_box: NDArray[np.float32]
    last_s: float
    sightings: list[tuple[int, int]] = field(default_factory=list)


def link_boxes(
    times_s: Sequence[float],
    boxes_xyxy: Sequence[NDArray[np.float32]],
    *,
    min_iou: float,
    max_gap_s: float,
    min_track_s: float,
) -> list[Link]:
    """Link boxes [C, 4] of frames at rising times into tracks, in the order of their first frame.

    A face keeps its track while it is seen again within `max_gap_s` seconds with an overlap of at least `min_iou`.
    Tracks shorter than `min_track_s` seconds are left out. The order of the boxes within a frame does not matter.

    Raises:
        ValueError: there are not as many times as frames.
    """
    following: list[_Followed] = []
    ended: list[_Followed] = []
    for position, (time_s, boxes) in enumerate(zip(times_s, boxes_xyxy, strict=True)):
        ended += [face for face in following if time_s - face.last_s > max_gap_s]
        following = [face for face in following if time_s - face.last_s <= max_gap_s]
        following += _see(following, position, time_s, boxes, min_iou)
    tracks = [face for face in ended + following if face.last_s - times_s[face.sightings[0][0]] >= min_track_s]
    tracks.sort(key=lambda face: _place(boxes_xyxy, face.sightings[0]))
    return [Link(*np.array(face.sightings, np.int32).T) for face in tracks]


def match_boxes(
    previous_P4: NDArray[np.float32], current_C4: NDArray[np.float32], *, min_iou: float
) -> list[tuple[int, int]]:
    """Pair previous with current boxes so that the sum of their overlaps is largest; no pair overlaps by less."""
    iou_PC = pairwise_iou(previous_P4, current_C4)
    allowed_PC = np.where(iou_PC >= min_iou, iou_PC, 0.0)
    rows, columns = linear_sum_assignment(allowed_PC, maximize=True)
    return [(int(p), int(c)) for p, c in zip(rows, columns, strict=True) if iou_PC[p, c] >= max(min_iou, 1e-9)]


def pairwise_iou(a_P4: NDArray[np.float32], b_C4: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union [P, C] of boxes left, top, right, bottom."""
    a, b = a_P4[:, None].astype(np.float64), b_C4[None].astype(np.float64)
    overlap = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=-1)
    area_a, area_b = (np.clip(box[..., 2:] - box[..., :2], 0, None).prod(axis=-1) for box in (a, b))
    iou: NDArray[np.float64] = overlap / np.maximum(area_a + area_b - overlap, 1e-9)
    return iou


def _see(
    following: list[_Followed], position: int, time_s: float, boxes: NDArray[np.float32], min_iou: float
) -> list[_Followed]:
    """Give each box to the face it belongs to, in place; return the faces that are new in this frame."""
    order = np.lexsort(boxes.T)  # ties between overlaps must not be settled by the order in which boxes came
    sorted_boxes = boxes[order]
    last_boxes = np.array([face.last_box for face in following], np.float32).reshape(-1, 4)
    owner = {c: following[p] for p, c in match_boxes(last_boxes, sorted_boxes, min_iou=min_iou)}
    new = []
    for c, box in enumerate(sorted_boxes):
        if c not in owner:
            owner[c] = _Followed(box, time_s)
            new.append(owner[c])
        owner[c].last_box, owner[c].last_s = box, time_s
        owner[c].sightings.append((position, int(order[c])))
    return new


def _place(boxes_xyxy: Sequence[NDArray[np.float32]], sighting: tuple[int, int]) -> tuple[float, ...]:
    position, box = sighting
    return (position, *boxes_xyxy[position][box].tolist())
