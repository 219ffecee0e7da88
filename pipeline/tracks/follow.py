"""Find the faces of each frame of a video: search with the detector now and then, follow their landmarks in between.

Shape letters: N = faces of a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.tracks.config import TrackConfig
from pipeline.tracks.detectors import Detector
from pipeline.tracks.link import pairwise_iou
from pipeline.tracks.networks import (
    NUM_LANDMARKS,
    FaceNetworks,
    Landmarks,
    landmark_box,
    roi_of_detection,
    roi_of_landmarks,
)

_SAME_FACE = 0.5  # IoU: two meshes that overlap more lie on one face: of a face behind another not enough is seen
_SAME_PLACE = 0.35  # a detection is a followed face's where their middles are nearer than this part of the face's side
_CLOSE = 1.6  # faces whose boxes, so much larger, touch: landmarks that are followed slide from one to the other
_ON_COURSE_IOU = 0.5
_WARY_FRAMES = 20  # for so long after faces were close every frame is searched afresh: one may be behind the other


@dataclass(frozen=True)
class Faces:
    """The faces of one frame, best first.

    boxes_xyxy float32 [N, 4], the smallest around the landmarks; scores float32 [N] of the detector, not a number
    where it did not find the face or was not asked; presence float32 [N]; landmarks_px float32 [N, 478, 3]. is_crowded:
    faces are near each other or just were, so that a mesh may lie on two.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    presence: NDArray[np.float32]
    landmarks_px: NDArray[np.float32]
    is_crowded: bool


@dataclass(frozen=True)
class _Face:
    mesh: Landmarks
    score: float = np.nan
    velocity: NDArray[np.float32] = field(default_factory=lambda: np.zeros(2, np.float32))
    """Of its middle, in pixels a frame, smoothed; while another face is near, as it was before."""

    expected: NDArray[np.float32] | None = None
    """Where its box should be, going on so from before another face came near."""

    @cached_property
    def box(self) -> NDArray[np.float32]:
        return landmark_box(self.mesh.points)


class FaceFollower:
    """Takes the frames of one video in order. What it knows of the frame before decides where it looks, nothing else:
    which face is whose is settled by `link.py`.
    """

    def __init__(self, detector: Detector, networks: FaceNetworks, config: TrackConfig) -> None:
        self._detector, self._networks, self._config = detector, networks, config
        self._followed: list[_Face] = []
        self._num_since_search = 0
        self._num_wary = 0

    def see(self, rgb: NDArray[np.uint8], *, may_be_cut: bool) -> Faces:
        """The faces of the next frame, uint8 [H, W, 3]. After a cut nothing is where it was, so all is searched."""
        followed = [] if may_be_cut else self._followed
        was_wary = self._num_wary > 0
        self._num_wary = _WARY_FRAMES if _are_close(followed) else max(0, self._num_wary - 1)
        if self._num_wary and not was_wary:
            followed = [replace(face, expected=face.box) for face in followed]
        kept = self._follow(rgb, followed)
        self._num_since_search += 1
        is_due = self._num_since_search >= self._config.redetect_every or self._num_wary > 0
        if not followed or is_due or len(kept) < len(followed):  # who is lost may have moved too far to be followed
            self._num_since_search = 0
            kept = self._search(rgb, kept)
        self._followed = kept
        return Faces(
            boxes_xyxy=np.array([face.box for face in kept], np.float32).reshape(-1, 4),
            scores=np.array([face.score for face in kept], np.float32),
            presence=np.array([face.mesh.presence for face in kept], np.float32),
            landmarks_px=np.array([face.mesh.points for face in kept], np.float32).reshape(-1, NUM_LANDMARKS, 3),
            is_crowded=self._num_wary > 0,
        )

    def _follow(self, rgb: NDArray[np.uint8], followed: Sequence[_Face]) -> list[_Face]:
        """The faces that are found where they were or were going. Near others a face must be just where it was going:
        in a square that shows parts of two faces the landmarks lie between them."""
        moved = [self._move(rgb, face) for face in followed]
        kept: list[_Face] = []
        for face in sorted((face for face in moved if face is not None), key=_off_course):
            if _overlap(face.box, kept) < _SAME_FACE:
                kept.append(face)
        return kept

    def _move(self, rgb: NDArray[np.uint8], face: _Face) -> _Face | None:
        """The face in the next frame, if it is there."""
        expected = face.expected + np.tile(face.velocity, 2) if face.expected is not None and self._num_wary else None
        points = face.mesh.points
        if expected is not None:
            points = points + np.append(_middle(expected) - _middle(face.box), np.float32(0))
        mesh = self._networks.landmarks(rgb, roi_of_landmarks(points))
        velocity = face.velocity
        if expected is None:
            step = _middle(landmark_box(mesh.points)) - _middle(face.box)
            velocity = (0.7 * face.velocity + 0.3 * step).astype(np.float32)
        moved = _Face(mesh, velocity=velocity, expected=expected)
        is_astray = expected is not None and _overlap(expected, [moved]) < _ON_COURSE_IOU
        return moved if mesh.presence >= self._config.min_presence and not is_astray else None

    def _search(self, rgb: NDArray[np.uint8], kept: Sequence[_Face]) -> list[_Face]:
        """What the detector finds, beside the faces that were followed already, and its score for these."""
        found = self._detector.detect(rgb, min_score=self._config.min_detection_score)
        faces = list(kept)
        for box, keypoints, score in zip(found.boxes_xyxy, found.keypoints_xy, found.scores, strict=True):
            number = _nearest(box, faces)
            if number is not None:
                if np.isnan(faces[number].score):
                    faces[number] = replace(faces[number], score=float(score))
                continue
            # The detector's square is rough: landmarks placed in it would step aside from those that are followed.
            rough = self._networks.landmarks(rgb, roi_of_detection(box, keypoints))
            mesh = self._networks.landmarks(rgb, roi_of_landmarks(rough.points))
            face = _Face(mesh, float(score))
            if mesh.presence >= self._config.min_presence and _overlap(face.box, faces) < _SAME_FACE:
                faces.append(face)
        return faces


def _off_course(face: _Face) -> float:
    """Where two have slid onto one face, it is the one's that was going there."""
    return 0.0 if face.expected is None else -_overlap(face.expected, [face])


def _middle(box: NDArray[np.float32]) -> NDArray[np.float32]:
    middle: NDArray[np.float32] = ((box[:2] + box[2:]) / 2).astype(np.float32)
    return middle


def _nearest(box: NDArray[np.float32], followed: Sequence[_Face]) -> int | None:
    """Number of the followed face that a detected box lies on, if it lies on one."""
    if not followed:
        return None
    boxes = np.array([face.box for face in followed])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = np.hypot(*((box[:2] + box[2:]) / 2 - middles).T) / (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    nearest = int(away.argmin())
    return nearest if away[nearest] < _SAME_PLACE else None


def _are_close(faces: Sequence[_Face]) -> bool:
    if len(faces) < 2:
        return False
    boxes = np.array([face.box for face in faces])
    middles, reach = (boxes[:, :2] + boxes[:, 2:]) / 2, _CLOSE / 2 * (boxes[:, 2:] - boxes[:, :2])
    iou = pairwise_iou(*[np.concatenate([middles - reach, middles + reach], axis=1)] * 2)
    return bool((iou[~np.eye(len(faces), dtype=bool)] > 0).any())


def _overlap(box: NDArray[np.float32], faces: Sequence[_Face]) -> float:
    """Of a box [4] with the face that it overlaps most."""
    return float(pairwise_iou(box[None], np.array([face.box for face in faces])).max()) if faces else 0.0
