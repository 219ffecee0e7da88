"""Walk through a video twice: first find and follow its faces, then cut their aligned crops and look who they are.

Twice, because a crop's transform is smoothed over the frames after it too, and no frame is held in memory. Landmarks
and crops lie in temporary files, so that a long video needs hardly more memory than a short one.
Shape letters: T = frames of a track, K = looks at who the face is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.tracks.config import TrackConfig
from pipeline.tracks.crop import crop, locate
from pipeline.tracks.detectors import Detector
from pipeline.tracks.follow import FaceFollower, Faces
from pipeline.tracks.given import GivenFace, link_given
from pipeline.tracks.identity import IdentityNetwork
from pipeline.tracks.link import join_pieces, link_pieces
from pipeline.tracks.networks import NUM_LANDMARKS, FaceNetworks
from pipeline.tracks.pieces import SIGHTING, Piece, Sightings, look_of, piece_of, split_persons
from pipeline.tracks.quality import pose_deg, sharpness
from pipeline.tracks.spool import Spool
from pipeline.tracks.visibility import region_features, visibility
from pipeline.videos.cuts import CutFinder
from pipeline.videos.frames import Frame
from schemas.tracks import FACE_REGIONS

ReadFrames = Callable[[], Iterator[Frame]]
"""Decodes the video from its start. Called once for each pass; both must give the same frames."""


@dataclass(frozen=True)
class Networks:
    """What looks at the frames. Belongs to one thread."""

    detector: Detector
    faces: FaceNetworks
    identity: IdentityNetwork


@dataclass(frozen=True)
class FaceTrack:
    """One face through the frames of a video; lengths in pixels are of the displayed source frame.

    Its landmarks, its crops and how well they show the face are read from the `Extraction` that holds the track.
    """

    times_s: NDArray[np.float64]
    """[T] presentation times."""

    frame_indices: NDArray[np.int32]
    """[T] index of the frame in the source."""

    boxes_xyxy: NDArray[np.float32]
    """[T, 4] smallest around the landmarks; may overstep the frame."""

    scores: NDArray[np.float32]
    """[T] the detector's score, 0 to 1; not a number where the face was followed by its landmarks alone."""

    presence: NDArray[np.float32]
    """[T] the landmark network's belief, 0 to 1, that it was shown a face."""

    pose_deg: NDArray[np.float32]
    """[T, 3] yaw, pitch, roll: positive to the right of the image, chin up, clockwise as seen."""

    is_gap_before: NDArray[np.bool_]
    """[T] the face was missed in the frame just before this one, or that frame is not there; false for the first."""

    transforms: NDArray[np.float32]
    """[T, 2, 3] similarity from pixels of the source to pixels of the crop, smooth in time between gaps."""

    sharpness: NDArray[np.float32]
    """[T] variance of the crops' Laplacian."""

    identity_times_s: NDArray[np.float64]
    """[K] when it was looked who the face is."""

    identity_distances: NDArray[np.float32]
    """[K] from each look to the middle one of them."""

    start_reason: str
    """One of `schemas.tracks.START_REASONS`."""

    end_reason: str
    """One of `schemas.tracks.END_REASONS`."""

    landmarks_spooled: NDArray[np.int64]
    """[T] numbers in the extraction's spool of landmarks."""

    crops_spooled: NDArray[np.int64]
    """[T] numbers in its spools of crops and of region features."""


class Extraction:
    """The tracks of one video in the order of their first frame, its cuts, and the files that hold what is large.

    Where frames are missing between two that were read (their indices are not neighbours), no face was seen, and none
    is followed across as if nothing had been there.
    """

    def __init__(self, config: TrackConfig, *, is_face_given: bool = False) -> None:
        self.config, self.is_face_given = config, is_face_given
        self.tracks: list[FaceTrack] = []
        self.cuts_s: list[float] = []
        self._files = ExitStack()
        self._landmarks, self._crops, self._features = (self._files.enter_context(Spool()) for _ in range(3))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def landmarks_px(self, track: FaceTrack) -> NDArray[np.float32]:
        """[T, 478, 3]; z, on the same scale, grows away from the camera."""
        cells = b"".join(map(self._landmarks.read, track.landmarks_spooled.tolist()))
        return np.frombuffer(cells, np.float32).reshape(-1, NUM_LANDMARKS, 3)

    def crops_jpeg(self, track: FaceTrack) -> Iterator[bytes]:
        """The aligned crops in the order of the track, as JPEG."""
        return map(self._crops.read, track.crops_spooled.tolist())

    def visibility(self, track: FaceTrack) -> NDArray[np.float32]:
        """[T, 9] how well each of `FACE_REGIONS` can be seen, 0 to 1."""
        cells = b"".join(map(self._features.read, track.crops_spooled.tolist()))
        features = np.frombuffer(cells, np.float32).reshape(len(track.times_s), len(FACE_REGIONS), -1)
        return visibility(features, track.pose_deg)

    def find_pieces(self, read: ReadFrames, networks: Networks) -> list[Piece]:
        """The first pass."""
        follower: FaceFollower | GivenFace = (
            GivenFace(networks.faces, self.config.min_presence)
            if self.is_face_given
            else FaceFollower(networks.detector, networks.faces, self.config)
        )
        finder = CutFinder(threshold=self.config.cut_threshold)
        seen: list[Sightings] = []
        times_s: list[float] = []
        positions: list[int] = []  # of the frames in `seen`, which has an empty place for each hole in their numbers
        next_index = 0
        for frame in read():
            is_after_hole = frame.index > next_index
            if is_after_hole:
                seen.append(np.zeros(0, SIGHTING))
                times_s.append(frame.time_s)
            next_index = frame.index + 1
            may_be_cut = finder.see(frame.rgb, frame.time_s) or is_after_hole
            positions.append(len(seen))
            seen.append(self._sightings(follower.see(frame.rgb, may_be_cut=may_be_cut), frame, len(seen)))
            times_s.append(frame.time_s)
        breaks, cuts = ([positions[number] for number in found] for found in (finder.breaks(), finder.cuts()))
        self.cuts_s = [times_s[position] for position in cuts]
        boxes = [sightings["box"] for sightings in seen]
        if self.is_face_given:
            links = link_given(np.array([len(box) > 0 for box in boxes], np.bool_), breaks)
        else:
            links = link_pieces(times_s, boxes, breaks=breaks, min_iou=self.config.min_iou)
        return [piece_of(link, seen, cuts, self.config) for link in links]

    def cut_crops(self, read: ReadFrames, pieces: Sequence[Piece], identity: IdentityNetwork) -> None:
        """The second pass: fill in what the crops of the pieces show."""
        wanted: dict[int, list[tuple[Piece, int]]] = defaultdict(list)
        for piece in pieces:
            for position, index in enumerate(piece.seen["index"].tolist()):
                wanted[index].append((piece, position))
        for frame in read() if wanted else ():
            for piece, position in wanted.pop(frame.index, ()):
                self._cut_crop(frame, piece, position, identity)
            if not wanted:
                return
        if wanted:
            raise ValueError(
                f"the second reading lacks {len(wanted)} frames that the first one had, the first is frame "
                f"{min(wanted)}: the video changed between the two readings, extract its tracks again"
            )

    def _sightings(self, faces: Faces, frame: Frame, position: int) -> Sightings:
        sightings = np.zeros(len(faces.scores), SIGHTING)
        if not len(sightings):
            return sightings
        facts: dict[str, Any] = {
            "frame": position,
            "index": frame.index,
            "time_s": frame.time_s,
            "box": faces.boxes_xyxy,
            "score": faces.scores,
            "presence": faces.presence,
            "is_crowded": faces.is_crowded,
            "placement": locate(faces.landmarks_px),
            "pose": pose_deg(faces.landmarks_px),
            "spooled": [self._landmarks.append(points.tobytes()) for points in faces.landmarks_px],
        }
        for name, values in facts.items():
            sightings[name] = values
        return sightings

    def _cut_crop(self, frame: Frame, piece: Piece, position: int, identity: IdentityNetwork) -> None:
        matrix = piece.transforms[position]
        rgb = crop(frame.rgb, matrix, self.config.crop_px)
        points = np.frombuffer(self._landmarks.read(int(piece.seen["spooled"][position])), np.float32).reshape(-1, 3)
        features = region_features(rgb, points[:, :2] @ matrix[:, :2].T + matrix[:, 2])
        self._features.append(features.tobytes())
        piece.crops_spooled[position] = self._crops.append(_jpeg(rgb, self.config.jpeg_quality))
        piece.sharpness[position] = sharpness(rgb)
        piece.remember(position, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False))
        if position in piece.looks:
            piece.looks[position] = identity.embed(frame.rgb, points)


def extract_tracks(
    read: ReadFrames, networks: Networks, config: TrackConfig, *, is_face_given: bool = False
) -> Extraction:
    """Find the faces of a video, follow them and cut their crops. Close what is returned: it holds temporary files.

    With `is_face_given` the frames are taken for crops of one face: it is not searched for, and all that is seen of it
    is one track (only cut where it gets too long), however short it is, with a gap wherever it is not seen.

    The errors are those of `read`, and ValueError when its second reading gives fewer frames than its first.
    """
    with ExitStack() as on_error:
        extraction = on_error.enter_context(Extraction(config, is_face_given=is_face_given))
        pieces = extraction.find_pieces(read, networks)
        extraction.cut_crops(read, pieces, networks.identity)
        extraction.tracks = _one_track(pieces, config) if is_face_given else _tracks(pieces, config)
        on_error.pop_all()
    return extraction


def _one_track(pieces: Sequence[Piece], config: TrackConfig) -> list[FaceTrack]:
    return list(_shortened(_Joined(pieces), config.max_track_s)) if pieces else []


def _tracks(pieces: Sequence[Piece], config: TrackConfig) -> list[FaceTrack]:
    parts = [part for piece in pieces for part in split_persons(piece, config)]
    chains = join_pieces(
        [look_of(part) for part in parts],
        min_iou=config.min_iou,
        max_gap_s=config.max_gap_s,
        same_below=config.same_person_below,
        other_above=config.other_person_above,
    )
    tracks: list[FaceTrack] = []
    for chain in chains:
        joined = [parts[number] for number in chain]
        duration_s = joined[-1].seen["time_s"][-1] - joined[0].seen["time_s"][0]
        if duration_s >= config.min_track_s:
            tracks += _shortened(_Joined(joined), config.max_track_s)
    return sorted(tracks, key=lambda track: (track.times_s[0], *track.boxes_xyxy[0].tolist()))


class _Joined:
    """The pieces of one face, one after the other."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.seen = np.concatenate([piece.seen for piece in pieces])
        self.transforms = np.concatenate([piece.transforms for piece in pieces])
        self.sharpness = np.concatenate([piece.sharpness for piece in pieces])
        self.crops_spooled = np.concatenate([piece.crops_spooled for piece in pieces])
        self.looks = [(float(p.seen["time_s"][position]), face) for p in pieces for position, face in p.descriptors]
        self.start_reason, self.end_reason = pieces[0].start_reason, pieces[-1].end_reason

    def track(self, start: int, end: int) -> FaceTrack:
        """The positions from `start` to before `end` as a track."""
        seen = self.seen[start:end]
        times_s = seen["time_s"].copy()
        looks = [(time_s, face) for time_s, face in self.looks if times_s[0] <= time_s <= times_s[-1]]
        return FaceTrack(
            times_s=times_s,
            frame_indices=seen["index"].copy(),
            boxes_xyxy=seen["box"].copy(),
            scores=seen["score"].copy(),
            presence=seen["presence"].copy(),
            pose_deg=seen["pose"].copy(),
            is_gap_before=np.diff(seen["frame"], prepend=seen["frame"][0] - 1) > 1,
            transforms=self.transforms[start:end],
            sharpness=self.sharpness[start:end],
            identity_times_s=np.array([time_s for time_s, _ in looks], np.float64),
            identity_distances=_distances_to_middle([face for _, face in looks]),
            start_reason="max_length" if start else self.start_reason,
            end_reason=self.end_reason if end == len(self.seen) else "max_length",
            landmarks_spooled=seen["spooled"].copy(),
            crops_spooled=self.crops_spooled[start:end],
        )


def _shortened(joined: _Joined, max_track_s: float) -> Iterator[FaceTrack]:
    """The face as one track, or as equal parts where it would be too long."""
    times_s = joined.seen["time_s"]
    duration_s = float(times_s[-1] - times_s[0])
    num_parts = max(1, int(np.ceil(duration_s / max_track_s)))
    borders = np.searchsorted(times_s, times_s[0] + duration_s * np.arange(1, num_parts) / num_parts)
    for start, end in pairwise([0, *borders.tolist(), len(times_s)]):
        yield joined.track(start, end)


def _distances_to_middle(faces: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """From each face descriptor to the one that is nearest to all of them [K]."""
    if not faces:
        return np.zeros(0, np.float32)
    stacked = np.stack(faces)
    distances = np.linalg.norm(stacked[:, None] - stacked[None], axis=-1)
    middle: NDArray[np.float32] = distances[distances.sum(axis=1).argmin()].astype(np.float32)
    return middle


def _jpeg(rgb: NDArray[np.uint8], quality: int) -> bytes:
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling]
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise RuntimeError("OpenCV could not encode a crop as JPEG")
    return bytes(encoded)
