"""Place the landmarks in frames that are known to show one face: the crops that data sets of faces are published as.

No detector is asked. The landmark network looks at the whole frame, then at the square around the landmarks that it
found, which is the square it was trained on; from frame to frame landmarks are followed as in any video.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.tracks.follow import Faces
from pipeline.tracks.link import Link
from pipeline.tracks.networks import (
    NUM_LANDMARKS,
    FaceNetworks,
    Landmarks,
    Roi,
    landmark_box,
    roi_of_landmarks,
)

_PARTS = (1.0, 0.7)
"""Of the frame's longer side: all of it, and where no face is seen so, its middle.

Measured on three clips, cut with the face filling 0.3 to 1.1 of the frame, at 112 and 224 px: from the whole frame the
face is found down to 0.4 of it, from its middle down to 0.3."""

_LOOKS_CLOSER = 2
"""After the first look: then the landmarks are within 0.03 eye distances of those that are followed in the video, and
a third look changes nothing."""


class GivenFace:
    """Takes the frames of one clip in order, as `FaceFollower` does, and says of each where its one face is."""

    def __init__(self, networks: FaceNetworks, min_presence: float) -> None:
        self._networks, self._min_presence = networks, min_presence
        self._last: Landmarks | None = None

    def see(self, rgb: NDArray[np.uint8], *, may_be_cut: bool) -> Faces:
        """The face of the next frame, uint8 [H, W, 3], or none where the landmark network believes that there is none.

        Its score is not a number: no detector was asked.
        """
        # After a cut the face is another's, or turned, but about in the same place: a second look finds it.
        followed = None if self._last is None else self._closer(rgb, self._last, looks=2 if may_be_cut else 1)
        self._last = followed or self._found(rgb)
        seen = [] if self._last is None else [self._last]
        return Faces(
            boxes_xyxy=np.array([landmark_box(mesh.points) for mesh in seen], np.float32).reshape(-1, 4),
            scores=np.full(len(seen), np.nan, np.float32),
            presence=np.array([mesh.presence for mesh in seen], np.float32),
            landmarks_px=np.array([mesh.points for mesh in seen], np.float32).reshape(-1, NUM_LANDMARKS, 3),
            is_crowded=False,
        )

    def _found(self, rgb: NDArray[np.uint8]) -> Landmarks | None:
        height, width = rgb.shape[:2]
        for part in _PARTS:
            roi = Roi(width / 2, height / 2, part * max(width, height), 0.0)
            if found := self._closer(rgb, self._networks.landmarks(rgb, roi), looks=_LOOKS_CLOSER):
                return found
        return None

    def _closer(self, rgb: NDArray[np.uint8], mesh: Landmarks, *, looks: int) -> Landmarks | None:
        """From landmarks that are near the face to its own, or none where it is not there."""
        for _ in range(looks):
            mesh = self._networks.landmarks(rgb, roi_of_landmarks(mesh.points))
        return mesh if mesh.presence >= self._min_presence else None


def link_given(is_seen: NDArray[np.bool_], breaks: list[int]) -> list[Link]:
    """Pieces of the one face of a clip: frames, is_seen [T], that follow each other without a gap and without a break.

    `breaks` are positions before which the picture breaks off.
    """
    frames = np.flatnonzero(is_seen).astype(np.int32)
    is_first = (np.diff(frames, prepend=-2) > 1) | np.isin(frames, breaks)
    runs = np.split(frames, np.flatnonzero(is_first)[1:]) if len(frames) else []
    return [Link(run, np.zeros(len(run), np.int32)) for run in runs]
