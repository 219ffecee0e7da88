"""Walk through a video twice: first find and follow its faces, then cut their aligned crops.

Twice, because a crop's transform is smoothed over the frames after it too, and no frame is held in memory.
Shape letters: T = frames of a track, N = faces of a frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.tracks.config import TrackConfig
from pipeline.tracks.crop import align, crop
from pipeline.tracks.link import Link, link_boxes
from pipeline.tracks.networks import NUM_LANDMARKS, FaceNetworks, roi_of_detection
from pipeline.tracks.quality import pose_deg
from pipeline.videos.frames import Frame

ReadFrames = Callable[[], Iterator[Frame]]
"""Decodes the video from its start. Called once for each pass; both must give the same frames."""


@dataclass(frozen=True)
class FaceTrack:
    """One face through the frames of a video; lengths in pixels are of the displayed source frame."""

    times_s: NDArray[np.float64]
    """[T] presentation times."""

    frame_indices: NDArray[np.int32]
    """[T] index of the frame in the source."""

    boxes_xyxy: NDArray[np.float32]
    """[T, 4] as detected; may overstep the frame."""

    scores: NDArray[np.float32]
    """[T] the detector's score, 0 to 1."""

    landmarks_px: NDArray[np.float32]
    """[T, 478, 3]; z, on the same scale, grows away from the camera."""

    presence: NDArray[np.float32]
    """[T] the landmark network's belief, 0 to 1, that it was shown a face."""

    is_gap_before: NDArray[np.bool_]
    """[T] the face was missed in the frame just before this one; false for the first."""

    transforms: NDArray[np.float32]
    """[T, 2, 3] similarity from pixels of the source to pixels of the crop, smooth in time between gaps."""

    pose_deg: NDArray[np.float32]
    """[T, 3] yaw, pitch, roll: positive to the right of the image, chin up, clockwise as seen."""

    start_reason: Literal["video_start", "appeared"]
    end_reason: Literal["video_end", "lost"]


@dataclass(frozen=True)
class _Faces:
    """The faces of one frame: time_s, index, boxes_xyxy [N, 4], scores [N], landmarks_px [N, 478, 3], presence [N]."""

    time_s: float
    index: int
    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks_px: NDArray[np.float32]
    presence: NDArray[np.float32]


def extract_tracks(read: ReadFrames, networks: FaceNetworks, config: TrackConfig) -> list[FaceTrack]:
    """Find the faces of every frame and follow them; tracks come in the order of their first frame.

    Memory grows by about 6 kB for each face of each frame. The errors are those of `read`.
    """
    seen = [find_faces(frame, networks, config) for frame in read()]
    links = link_boxes(
        [faces.time_s for faces in seen],
        [faces.boxes_xyxy for faces in seen],
        min_iou=config.min_iou,
        max_gap_s=config.max_gap_s,
        min_track_s=config.min_track_s,
    )
    return [_track(link, seen, config.crop_px) for link in links]


def crop_tracks(
    read: ReadFrames, tracks: Sequence[FaceTrack], size: int
) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Decode again and yield (number of the track, position in the track, crop uint8 [size, size, 3]) frame by frame.

    `size` must be the side that the tracks' transforms were made for.

    Raises:
        ValueError: the second reading gave fewer frames than the tracks were made from.
    """
    wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, track in enumerate(tracks):
        for position, index in enumerate(track.frame_indices.tolist()):
            wanted[index].append((number, position))
    for frame in read():
        for number, position in wanted.pop(frame.index, ()):
            yield number, position, crop(frame.rgb, tracks[number].transforms[position], size)
        if not wanted:
            return
    if wanted:
        raise ValueError(
            f"the second reading lacks {len(wanted)} frames that the tracks have, the first is frame {min(wanted)}: "
            "the video changed between the two readings, extract its tracks again"
        )


def find_faces(frame: Frame, networks: FaceNetworks, config: TrackConfig) -> _Faces:
    """Detect the faces of one frame and place their landmarks; boxes that turn out to be no face are dropped."""
    found = networks.detect(frame.rgb, min_score=config.min_detection_score)
    meshes = [
        networks.landmarks(frame.rgb, roi_of_detection(box, keypoints))
        for box, keypoints in zip(found.boxes_xyxy, found.keypoints_xy, strict=True)
    ]
    presence = np.array([mesh.presence for mesh in meshes], np.float32)
    is_face = presence >= config.min_presence
    points = np.array([mesh.points for mesh in meshes], np.float32).reshape(-1, NUM_LANDMARKS, 3)
    return _Faces(
        time_s=frame.time_s,
        index=frame.index,
        boxes_xyxy=found.boxes_xyxy[is_face],
        scores=found.scores[is_face],
        landmarks_px=points[is_face],
        presence=presence[is_face],
    )


def _track(link: Link, seen: Sequence[_Faces], size: int) -> FaceTrack:
    sightings = [(seen[frame], box) for frame, box in zip(link.frames.tolist(), link.boxes.tolist(), strict=True)]
    times_s = np.array([faces.time_s for faces, _ in sightings], np.float64)
    landmarks_px = np.array([faces.landmarks_px[box] for faces, box in sightings], np.float32)
    is_gap_before = np.diff(link.frames, prepend=link.frames[0] - 1) > 1
    return FaceTrack(
        times_s=times_s,
        frame_indices=np.array([faces.index for faces, _ in sightings], np.int32),
        boxes_xyxy=np.array([faces.boxes_xyxy[box] for faces, box in sightings], np.float32),
        scores=np.array([faces.scores[box] for faces, box in sightings], np.float32),
        landmarks_px=landmarks_px,
        presence=np.array([faces.presence[box] for faces, box in sightings], np.float32),
        is_gap_before=is_gap_before,
        transforms=align(landmarks_px, times_s, is_gap_before, size),
        pose_deg=pose_deg(landmarks_px),
        start_reason="video_start" if link.frames[0] == 0 else "appeared",
        end_reason="video_end" if link.frames[-1] == len(seen) - 1 else "lost",
    )
