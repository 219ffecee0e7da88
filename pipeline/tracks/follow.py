"""Find the faces of each frame of a video: search with the detector now and then, follow their landmarks in between.

Shape letters: N = faces of a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.tracks.config import TrackConfig
from pipeline.tracks.detectors import Detector
from pipeline.tracks.link import pairwise_iou
from pipeline.tracks.networks import (
    NUM_LANDMARKS,
    FaceNetworks,
    Landmarks,
    Roi,
    landmark_box,
    roi_of_detection,
    roi_of_landmarks,
)

_SAME_FACE_IOU = 0.4  # two meshes that overlap more lie on one face: of a face behind another not enough is seen
_SAME_PLACE = 0.35  # a detection is a followed face's where their middles are nearer than this part of the face's side


@dataclass(frozen=True)
class Faces:
    """The faces of one frame, best first.

    boxes_xyxy float32 [N, 4], the smallest around the landmarks; scores float32 [N] of the detector, not a number
    where it did not find the face or was not asked; presence float32 [N]; landmarks_px float32 [N, 478, 3].
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    presence: NDArray[np.float32]
    landmarks_px: NDArray[np.float32]


@dataclass(frozen=True)
class _Face:
    mesh: Landmarks
    box: NDArray[np.float32]
    score: float


class FaceFollower:
    """Takes the frames of one video in order. What it knows of the frame before decides where it looks, nothing else:
    which face is whose is settled by `link.py`.
    """

    def __init__(self, detector: Detector, networks: FaceNetworks, config: TrackConfig) -> None:
        self._detector, self._networks, self._config = detector, networks, config
        self._followed: list[_Face] = []
        self._num_since_search = 0

    def see(self, rgb: NDArray[np.uint8], *, may_be_cut: bool) -> Faces:
        """The faces of the next frame, uint8 [H, W, 3]. After a cut nothing is where it was, so all is searched."""
        followed = [] if may_be_cut else self._followed
        is_search = not followed or self._num_since_search + 1 >= self._config.redetect_every
        if is_search:
            faces = self._search(rgb, followed)
        else:
            faces = self._place(rgb, [(roi_of_landmarks(face.mesh.points), np.nan) for face in followed])
            if len(faces) < len(followed):  # one is lost: it may have moved too far to be followed
                is_search, faces = True, self._search(rgb, faces)
        self._num_since_search = 0 if is_search else self._num_since_search + 1
        self._followed = faces
        return Faces(
            boxes_xyxy=np.array([face.box for face in faces], np.float32).reshape(-1, 4),
            scores=np.array([face.score for face in faces], np.float32),
            presence=np.array([face.mesh.presence for face in faces], np.float32),
            landmarks_px=np.array([face.mesh.points for face in faces], np.float32).reshape(-1, NUM_LANDMARKS, 3),
        )

    def _search(self, rgb: NDArray[np.uint8], followed: Sequence[_Face]) -> list[_Face]:
        """Where a face was followed to, its landmarks say better than the detector where to look."""
        found = self._detector.detect(rgb, min_score=self._config.min_detection_score)
        scores = np.full(len(followed), np.nan)
        looks = []
        for box, keypoints, score in zip(found.boxes_xyxy, found.keypoints_xy, found.scores, strict=True):
            number = _nearest(box, followed)
            if number is None:
                # The detector's square is rough: landmarks placed in it would step aside from those that are followed.
                rough = self._networks.landmarks(rgb, roi_of_detection(box, keypoints))
                looks.append((roi_of_landmarks(rough.points), float(score)))
            else:
                scores[number] = score
        looks += [
            (roi_of_landmarks(face.mesh.points), float(score)) for face, score in zip(followed, scores, strict=True)
        ]
        return self._place(rgb, looks)

    def _place(self, rgb: NDArray[np.uint8], looks: Sequence[tuple[Roi, float]]) -> list[_Face]:
        faces = []
        for roi, score in looks:
            mesh = self._networks.landmarks(rgb, roi)
            if mesh.presence >= self._config.min_presence:
                faces.append(_Face(mesh, landmark_box(mesh.points), score))
        faces.sort(key=lambda face: -face.mesh.presence)
        kept: list[_Face] = []
        for face in faces:
            if not kept or _overlap(face, kept) < _SAME_FACE_IOU:
                kept.append(face)
        return kept


def _nearest(box: NDArray[np.float32], followed: Sequence[_Face]) -> int | None:
    """Number of the followed face that a detected box lies on, if it lies on one."""
    if not followed:
        return None
    boxes = np.array([face.box for face in followed])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = np.hypot(*((box[:2] + box[2:]) / 2 - middles).T) / (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    nearest = int(away.argmin())
    return nearest if away[nearest] < _SAME_PLACE else None


def _overlap(face: _Face, others: Sequence[_Face]) -> float:
    return float(pairwise_iou(face.box[None], np.array([other.box for other in others])).max())
