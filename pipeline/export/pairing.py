"""Which track of a rebuild is which of the export, where another decoder or runtime gave it another id.

An id is the hash of a track's video, first time and first box to a hundredth of a pixel, so a shift that nobody sees
gives another. Tracks of one video that cover the same face in the same frames are the same track.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from schemas.table import read_cell
from schemas.tracks import TRACKS

LEAST_OVERLAP = 0.8
"""Mean IoU over all frames of both tracks, those that only one has counting as 0, from which they are the same."""

COLUMNS = ("track_id", "video_id", "times_s", "boxes_xyxy")


def pair_tracks(there: Iterable[Mapping[str, Any]], here: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, float]]:
    """For tracks here whose id is not in the export: the track that each is there, and their overlap.

    Rows need COLUMNS. Tracks with ids that are on both sides are themselves, and paired with no other.
    """
    exported, rebuilt = ({str(row["track_id"]): row for row in rows} for rows in (there, here))
    by_video: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for track_id in exported.keys() - rebuilt.keys():
        by_video[exported[track_id]["video_id"]].append(exported[track_id])
    found = [
        (_overlap(one, other), str(one["track_id"]), str(other["track_id"]))
        for track_id in sorted(rebuilt.keys() - exported.keys())
        for one in [rebuilt[track_id]]
        for other in by_video[one["video_id"]]
    ]
    pairs: dict[str, tuple[str, float]] = {}
    taken: set[str] = set()
    for overlap, ours, theirs in sorted(found, key=lambda pair: (-pair[0], *pair[1:])):
        if overlap >= LEAST_OVERLAP and ours not in pairs and theirs not in taken:
            pairs[ours] = (theirs, overlap)
            taken.add(theirs)
    return pairs


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    boxes_a, boxes_b = (read_cell(TRACKS.field("boxes_xyxy"), row["boxes_xyxy"]) for row in (one, other))
    times_a, times_b = (np.round(np.asarray(row["times_s"]), 4) for row in (one, other))
    _, a, b = np.intersect1d(times_a, times_b, return_indices=True)
    if not len(a):
        return 0.0
    left_top = np.maximum(boxes_a[a, :2], boxes_b[b, :2])
    right_bottom = np.minimum(boxes_a[a, 2:], boxes_b[b, 2:])
    both = np.prod(np.clip(right_bottom - left_top, 0, None), axis=1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (boxes_a[a], boxes_b[b])]
    iou = both / np.maximum(areas[0] + areas[1] - both, 1e-9)
    return float(iou.sum() / (len(times_a) + len(times_b) - len(a)))
