"""Find the faces of one frame: "near" for faces that fill much of it, "far" for small and for many ones.

Pixel coordinates are continuous: (0, 0) is the outer corner of the first pixel and its centre is (0.5, 0.5).
Shape letters: N = faces in the frame, A = anchors of a network. Points [N, 8, 2] are two corners and six keypoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.assets import fetch
from pipeline.tracks.networks import Network, load_network, sigmoid

NUM_KEYPOINTS = 6
"""Right eye, left eye, nose tip, mouth, right ear, left ear: right and left are the subject's."""

DetectorName = Literal["near", "far"]

DETECTOR_WEIGHTS: Mapping[DetectorName, tuple[str, ...]] = MappingProxyType(
    {
        "near": ("face_landmarker.task",),
        "far": ("face_landmarker.task", "face_detection_full_range.tflite"),
    }
)
"""The assets that each detector reads."""

_SHORT_GRIDS, _FULL_GRIDS = ((16, 2), (8, 6)), ((48, 1),)  # cells a side, anchors a cell
_MERGE_IOU = 0.5
_SAME_FACE = 0.5  # of the smaller of two boxes; a face cut off by a view's edge lies inside its whole box

_PROPOSAL_SCORE = 0.1
_SURE_SCORE = 0.8
_SECOND_LOOK_SCORE = 0.7  # at 0.5 the second look believed eight times as many false boxes, and no more faces
_SECOND_LOOK_SCALE = 2.5
_MOST_SECOND_LOOKS = 12
_VIEW_OVERLAP = 0.2
_MOST_VIEWS = 4  # of a very long frame; what lies between them is seen in the whole frame alone


@dataclass(frozen=True)
class Detections:
    """Faces found in one frame, best first.

    boxes_xyxy float32 [N, 4] and keypoints_xy float32 [N, 6, 2] in pixels of the frame, which they may overstep;
    scores float32 [N], 0 to 1.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    keypoints_xy: NDArray[np.float32]


class Detector(Protocol):
    """What finds faces. An instance belongs to one thread: open one for each."""

    def detect(self, rgb: NDArray[np.uint8], *, min_score: float) -> Detections:
        """Find the faces of a frame, uint8 [H, W, 3], that score at least `min_score`, 0 to 1."""
        ...


def open_detector(name: DetectorName) -> Detector:
    """Load a detector; its weights are fetched when the cache lacks them. The errors are those of `fetch`."""
    short_range = _BlazeFace(load_network(fetch("face_landmarker.task"), "face_detector.tflite"), 128, _SHORT_GRIDS)
    if name == "near":
        return NearDetector(short_range)
    full_range = fetch("face_detection_full_range.tflite").read_bytes()
    return FarDetector(_BlazeFace(Network(full_range), 192, _FULL_GRIDS), short_range)


class NearDetector:
    """BlazeFace's short-range network on the whole frame.

    Its limit is size: of faces (hairline to chin) of 1/6 of the frame's longer side it finds nearly all, of 1/8 half,
    of 1/10 a few, and it places those badly.
    Source: Bazarevsky et al. 2019, BlazeFace (arXiv:1907.05047), with its blending instead of suppression; weights of
    MediaPipe (Apache-2.0).
    """

    def __init__(self, short_range: _BlazeFace) -> None:
        """Detect with a loaded network; `open_detector` loads it."""
        self._short_range = short_range

    def detect(self, rgb: NDArray[np.uint8], *, min_score: float) -> Detections:
        """Find the faces of a frame, uint8 [H, W, 3], that score at least `min_score`, 0 to 1."""
        return _detections(*self._short_range.find(rgb, _whole(rgb), min_score))


class FarDetector:
    """BlazeFace's full-range network on the whole frame and on squares along it, with a second look at the unsure.

    A box of less than 0.8 counts where the short-range network, shown only its surroundings, finds a face in the same
    place and scores it at least 0.7. In 640x360 it finds all faces from 28 pixels (hairline to chin) and most from 20,
    in 1280x720 all from 64 and most from 40; it takes eight times as long as the near one.
    Source: networks of MediaPipe (Apache-2.0), Bazarevsky et al. 2019, BlazeFace (arXiv:1907.05047); the second look
    is ours.
    """

    def __init__(self, full_range: _BlazeFace, short_range: _BlazeFace) -> None:
        """Detect with loaded networks; `open_detector` loads them."""
        self._full_range = full_range
        self._short_range = short_range

    def detect(self, rgb: NDArray[np.uint8], *, min_score: float) -> Detections:
        """Find the faces of a frame, uint8 [H, W, 3], that score at least `min_score`, 0 to 1."""
        views = [_whole(rgb), *_squares(rgb)]
        points, scores = _best_of(self._full_range.find(rgb, view, _PROPOSAL_SCORE) for view in views)
        is_sure = scores >= _SURE_SCORE
        looks = [self._look_again(rgb, face) for face in points[~is_sure][:_MOST_SECOND_LOOKS]]
        points, scores = _best_of([(points[is_sure], scores[is_sure]), *looks])
        return _detections(points[scores >= min_score], scores[scores >= min_score])

    def _look_again(self, rgb: NDArray[np.uint8], proposed: NDArray[np.float64]) -> _Found:
        """What the short-range network finds around one proposed face [8, 2], in the same place."""
        points, scores = self._short_range.find(rgb, _around(proposed), _SECOND_LOOK_SCORE)
        overlap, areas = _overlap_with_first(np.concatenate([proposed[None], points]))
        is_there = (overlap / np.maximum(areas + areas[0] - overlap, 1e-9))[1:] >= 0.3
        return points[is_there], scores[is_there]


@dataclass(frozen=True)
class _View:
    """A square of the frame, in whole pixels, that is shown to a network; it may overstep the frame."""

    left: int
    top: int
    side: int


_Found = tuple[NDArray[np.float64], NDArray[np.float32]]
"""Points [N, 8, 2] in pixels of the frame and scores [N], best first."""


class _BlazeFace:
    """One network of the BlazeFace family: a grid of anchors, each with a score, a box and six keypoints."""

    def __init__(self, network: Network, input_px: int, grids: tuple[tuple[int, int], ...]) -> None:
        """`grids` are cells a side and anchors a cell, in the network's order."""
        self._network = network
        self._input_px = input_px
        self._anchors = _anchors(input_px, grids)

    def find(self, rgb: NDArray[np.uint8], view: _View, min_score: float) -> _Found:
        """The faces in one square of a frame, uint8 [H, W, 3]; none where the square lies beside the frame."""
        shown = _show(rgb, view, self._input_px)
        if shown is None:
            return np.empty((0, 2 + NUM_KEYPOINTS, 2)), np.empty(0, np.float32)
        image, scale_xy, shift_xy = shown
        logits, regressed = sorted(self._network(image).values(), key=lambda output: output.shape[-1])  # 1, 16 columns
        scores_A = sigmoid(logits.reshape(-1))
        is_face_A = scores_A >= min_score
        values = regressed.reshape(-1, 2 + NUM_KEYPOINTS, 2)[is_face_A]
        anchors = self._anchors[is_face_A, None]
        centres, half_sizes = values[:, :1] + anchors, values[:, 1:2] / 2
        points = np.concatenate([centres - half_sizes, centres + half_sizes, values[:, 2:] + anchors], axis=1)
        return _blend_overlapping((points - shift_xy) / scale_xy, scores_A[is_face_A])


def _whole(rgb: NDArray[np.uint8]) -> _View:
    height, width = rgb.shape[:2]
    side = max(height, width)
    return _View((width - side) // 2, (height - side) // 2, side)


def _squares(rgb: NDArray[np.uint8]) -> list[_View]:
    """Squares as high as the frame (or as wide, if it stands upright), side by side with some overlap."""
    height, width = rgb.shape[:2]
    side, length = sorted((height, width))
    number = min(_MOST_VIEWS, int(np.ceil((length / side - _VIEW_OVERLAP) / (1 - _VIEW_OVERLAP))))
    if number < 2:
        return []
    starts = np.rint(np.linspace(0, length - side, number)).astype(int).tolist()
    return [_View(start, 0, side) if width > height else _View(0, start, side) for start in starts]


def _around(face: NDArray[np.float64]) -> _View:
    side = _SECOND_LOOK_SCALE * (face[1] - face[0]).max()
    left, top = np.floor((face[0] + face[1] - side) / 2).astype(int).tolist()
    return _View(left, top, max(1, round(side)))


def _show(
    rgb: NDArray[np.uint8], view: _View, input_px: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]] | None:
    """A network's input [1, px, px, 3] of what lies in the view, black outside the frame; its scale [2] and shift [2].

    Whole areas are averaged, where MediaPipe samples: it makes boxes steadier from frame to frame (by a quarter on
    one of three test videos, by little on the others).
    """
    corner = np.array([view.left, view.top])
    low, high = np.maximum(corner, 0), np.minimum(corner + view.side, rgb.shape[1::-1])
    if (high <= low).any():
        return None
    zoom = input_px / view.side
    left, top = ((low - corner) * zoom).astype(int).tolist()
    width, height = np.clip(np.rint((high - low) * zoom), 1, [input_px - left, input_px - top]).astype(int).tolist()
    seen = rgb[low[1] : high[1], low[0] : high[0]]
    square = np.zeros((1, input_px, input_px, 3), np.uint8)
    square[0, top : top + height, left : left + width] = _resize(seen, width, height)
    image = np.multiply(square, np.float32(1 / 127.5), dtype=np.float32) - np.float32(1)
    scale = np.array([width, height]) / (high - low)
    return image, scale, np.array([left, top]) - low * scale


def _resize(rgb: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    old_height, old_width = rgb.shape[:2]
    if old_width >= 2 * width and old_height >= 2 * height:  # halving is fast in OpenCV, odd factors are slow
        rgb = cv2.resize(rgb, (old_width // 2, old_height // 2), interpolation=cv2.INTER_AREA).astype(
            np.uint8, copy=False
        )
    way = cv2.INTER_AREA if old_width > width else cv2.INTER_LINEAR
    return cv2.resize(rgb, (width, height), interpolation=way).astype(np.uint8, copy=False)


def _anchors(input_px: int, grids: Iterable[tuple[int, int]]) -> NDArray[np.float32]:
    """Anchor centres in pixels of the network's input [A, 2]: grid by grid, row by row, cell by cell."""
    anchors = []
    for cells, per_cell in grids:
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * (input_px / cells)
        anchors.append(np.repeat(centres, per_cell, axis=0))
    return np.concatenate(anchors).astype(np.float32)


def _blend_overlapping(points: NDArray[np.float64], scores: NDArray[np.float32]) -> _Found:
    """Merge what overlaps the best detection into its score-weighted mean, then the next best, and so on.

    Blending, unlike suppression, keeps boxes from jumping between neighbouring anchors from frame to frame.
    """
    order = np.argsort(-scores, kind="stable")
    points, scores = points[order], scores[order]
    blended, best = [], []
    while len(scores):
        overlap, areas = _overlap_with_first(points)
        together = overlap >= _MERGE_IOU * np.maximum(areas + areas[0] - overlap, 1e-9)
        together[0] = True  # a box without area overlaps nothing, not even itself
        blended.append(np.average(points[together], axis=0, weights=scores[together]))
        best.append(scores[0])
        points, scores = points[~together], scores[~together]
    return np.array(blended).reshape(-1, 2 + NUM_KEYPOINTS, 2), np.array(best, np.float32)


def _best_of(found: Iterable[_Found]) -> _Found:
    """All that was found in several views, without the worse of two boxes of the same face."""
    all_points, all_scores = zip(*found, strict=True)
    points, scores = np.concatenate(all_points), np.concatenate(all_scores)
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        kept.append(int(order[0]))
        overlap, areas = _overlap_with_first(points[order])
        is_same = overlap >= _SAME_FACE * np.maximum(np.minimum(areas, areas[0]), 1e-9)
        is_same[0] = True
        order = order[~is_same]
    return points[kept], scores[kept]


def _overlap_with_first(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The area that each box of points [N, 8, 2] shares with the first one [N], and its own area [N]."""
    low, high = points[:, 0], points[:, 1]
    shared = np.prod(np.clip(np.minimum(high, high[0]) - np.maximum(low, low[0]), 0, None), axis=1)
    return shared, np.prod(np.clip(high - low, 0, None), axis=1)


def _detections(points: NDArray[np.float64], scores: NDArray[np.float32]) -> Detections:
    return Detections(
        boxes_xyxy=points[:, :2].reshape(-1, 4).astype(np.float32),
        scores=scores,
        keypoints_xy=points[:, 2:].astype(np.float32),
    )
