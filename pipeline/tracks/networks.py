"""Find the faces of one frame and their 478 landmarks, with the networks of a MediaPipe .task file run by OpenCV.

Pixel coordinates are continuous: (0, 0) is the outer corner of the first pixel and its centre is (0.5, 0.5).
Shape letters: N = faces in the frame, A = anchors of the detector.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.tracks.crop import crop

NUM_LANDMARKS = 478
NUM_KEYPOINTS = 6
"""Right eye, left eye, nose tip, mouth, right ear, left ear: right and left are the subject's."""

_DETECTOR_PX = 128
_MESH_PX = 256
_MERGE_IOU = 0.3
_ROI_SCALE = 1.5  # what the landmark network was trained on: the detected box, half as large again
_DETECTOR_GRIDS = ((16, 2), (8, 6))  # cells a side, anchors a cell


@dataclass(frozen=True)
class Detections:
    """Faces found in one frame, best first.

    boxes_xyxy float32 [N, 4] and keypoints_xy float32 [N, 6, 2] in pixels of the frame, which they may overstep;
    scores float32 [N], 0 to 1.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    keypoints_xy: NDArray[np.float32]


@dataclass(frozen=True)
class Landmarks:
    """The 478 landmarks of one face.

    points float32 [478, 3] in pixels of the frame; z, on the same scale, grows away from the camera. presence is the
    network's belief, 0 to 1, that it was shown a face at all.
    """

    points: NDArray[np.float32]
    presence: float


@dataclass(frozen=True)
class Roi:
    """A square around one face: centre and side in pixels of the frame, angle in radians, clockwise as seen."""

    centre_x: float
    centre_y: float
    side_px: float
    angle_rad: float


class FaceNetworks:
    """The face detector (BlazeFace short range) and the landmark network (478 points).

    An OpenCV network keeps its activations inside, so an instance belongs to one thread: make one for each.
    Source: MediaPipe Face Landmarker, float16 version 1 (Apache-2.0).
    """

    def __init__(self, task_path: Path) -> None:
        """Load both networks; the errors are those of `load_network`."""
        self._detector = load_network(task_path, "face_detector.tflite")
        self._mesh = load_network(task_path, "face_landmarks_detector.tflite")

    def detect(self, rgb: NDArray[np.uint8], *, min_score: float) -> Detections:
        """Find the faces of a frame, uint8 [H, W, 3].

        Its limit is size: a face whose eyes are less than 1/20 of the frame's longer side apart (its box is then
        about 1/7 of it) is placed badly, and one of half that size is missed.

        Source: Bazarevsky et al. 2019, BlazeFace (arXiv:1907.05047), with its blending instead of suppression.
        """
        blob, scale_xy, margin_xy = _letterbox(rgb)
        self._detector.setInput(blob)
        logits, regressed = self._detector.forward(("classificators", "regressors"))
        scores_A = _sigmoid(np.asarray(logits, np.float32).reshape(-1))
        is_face_A = scores_A >= min_score
        coordinates = np.asarray(regressed, np.float32).reshape(-1, 2 + NUM_KEYPOINTS, 2)[is_face_A]
        centres, sizes = coordinates[:, 0] + _ANCHORS[is_face_A], coordinates[:, 1]
        keypoints = coordinates[:, 2:] + _ANCHORS[is_face_A, None]
        corners = np.stack([centres - sizes / 2, centres + sizes / 2], axis=1)
        points = (np.concatenate([corners, keypoints], axis=1) - margin_xy) / scale_xy
        points, scores = _blend_overlapping(points, scores_A[is_face_A])
        return Detections(
            boxes_xyxy=points[:, :2].reshape(-1, 4).astype(np.float32),
            scores=scores.astype(np.float32),
            keypoints_xy=points[:, 2:].astype(np.float32),
        )

    def landmarks(self, rgb: NDArray[np.uint8], roi: Roi) -> Landmarks:
        """Place the landmarks of the face in `roi` of a frame, uint8 [H, W, 3].

        Source: Grishchenko et al. 2020, Attention Mesh (arXiv:2006.10962).
        """
        matrix = _matrix_of(roi)
        self._mesh.setInput(cv2.dnn.blobFromImage(crop(rgb, matrix, _MESH_PX), 1 / 255))
        points, logit = self._mesh.forward(("Identity", "Identity_1"))  # Identity_2 is not the presence
        return Landmarks(
            points=_back_project(np.asarray(points, np.float32).reshape(NUM_LANDMARKS, 3), matrix).astype(np.float32),
            presence=float(_sigmoid(np.asarray(logit, np.float32)).item()),
        )


def load_network(task_path: Path, member: str) -> cv2.dnn.Net:
    """One network out of a .task file, which is a zip archive.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a .task file, or has no such member.
    """
    try:
        with zipfile.ZipFile(task_path) as task:
            model = task.read(member)
    except zipfile.BadZipFile:
        raise ValueError(f"{task_path.name} is not a .task file (a zip archive): fetch it again") from None
    except KeyError:
        raise ValueError(f"{task_path.name} holds no {member}: expected a MediaPipe face_landmarker.task") from None
    return cv2.dnn.readNetFromTFLite(np.frombuffer(model, np.uint8))


def roi_of_detection(box_xyxy: NDArray[np.float32], keypoints_xy: NDArray[np.float32]) -> Roi:
    """The square that the landmark network wants, from a box [4] and its keypoints [6, 2]: the eyes lie level in it."""
    left, top, right, bottom = box_xyxy.tolist()
    eyes_x, eyes_y = (keypoints_xy[1] - keypoints_xy[0]).tolist()
    return Roi(
        centre_x=(left + right) / 2,
        centre_y=(top + bottom) / 2,
        side_px=_ROI_SCALE * max(right - left, bottom - top),
        angle_rad=float(np.arctan2(eyes_y, eyes_x)),
    )


def _letterbox(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """The detector's input [1, 3, 128, 128], the frame's longer side filling it; its scale [2] and its margin [2].

    Whole areas are averaged, where MediaPipe samples: it makes boxes steadier from frame to frame (by a quarter on
    one of three test videos, by little on the others).
    """
    sides = np.array(rgb.shape[1::-1])
    sides_px = np.maximum(1, np.rint(sides * _DETECTOR_PX / sides.max())).astype(int)
    left, top = ((_DETECTOR_PX - sides_px) // 2).tolist()
    width, height = sides_px.tolist()
    square = np.zeros((_DETECTOR_PX, _DETECTOR_PX, 3), np.uint8)
    square[top : top + height, left : left + width] = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    blob = cv2.dnn.blobFromImage(square, 1 / 127.5, mean=(127.5, 127.5, 127.5))
    return np.asarray(blob, np.float32), sides_px / sides, np.array([left, top], np.float64)


def _anchors() -> NDArray[np.float32]:
    """Anchor centres in pixels of the detector's input [896, 2]: grid by grid, row by row, cell by cell."""
    grids = []
    for cells, per_cell in _DETECTOR_GRIDS:
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * (_DETECTOR_PX / cells)
        grids.append(np.repeat(centres, per_cell, axis=0))
    return np.concatenate(grids).astype(np.float32)


_ANCHORS = _anchors()


def _blend_overlapping(
    points: NDArray[np.float64], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Merge what overlaps the best detection into its score-weighted mean, then the next best, and so on.

    points [N, 8, 2] are two corners and six keypoints. Blending, unlike suppression, keeps boxes from jumping between
    neighbouring anchors from frame to frame.
    """
    order = np.argsort(-scores, kind="stable")
    points, scores = points[order], scores[order]
    blended, best = [], []
    while len(scores):
        together = _iou_with_first(points) >= _MERGE_IOU
        together[0] = True  # a box without area overlaps nothing, not even itself
        blended.append(np.average(points[together], axis=0, weights=scores[together]))
        best.append(scores[0])
        points, scores = points[~together], scores[~together]
    return np.array(blended).reshape(-1, 2 + NUM_KEYPOINTS, 2), np.array(best, np.float32)


def _iou_with_first(points: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = points[:, 0], points[:, 1]
    overlap = np.prod(np.clip(np.minimum(high, high[0]) - np.maximum(low, low[0]), 0, None), axis=1)
    area = np.prod(np.clip(high - low, 0, None), axis=1)
    iou: NDArray[np.float64] = overlap / np.maximum(area + area[0] - overlap, 1e-9)
    return iou


def _matrix_of(roi: Roi) -> NDArray[np.float64]:
    """The similarity [2, 3] from pixels of the frame to pixels of the landmark network's input."""
    scale = _MESH_PX / roi.side_px
    cos, sin = scale * np.cos(roi.angle_rad), scale * np.sin(roi.angle_rad)
    turn = np.array([[cos, sin], [-sin, cos]])
    shift = _MESH_PX / 2 - turn @ np.array([roi.centre_x, roi.centre_y])
    return np.column_stack([turn, shift])


def _back_project(points: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [478, 3] from pixels of the network's input to pixels of the frame."""
    turn, shift = matrix[:, :2], matrix[:, 2]
    xy = (points[:, :2] - shift) @ np.linalg.inv(turn).T
    return np.column_stack([xy, points[:, 2] / np.hypot(turn[0, 0], turn[0, 1])])


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)
