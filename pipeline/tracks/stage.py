"""Stage: videos -> tracks and crops. Light: says what is computed; `extract.py` computes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pipeline.assets import ASSETS
from pipeline.run import each_unit
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, Unit
from pipeline.tracks.config import TrackConfig
from pipeline.videos.paths import path_of
from schemas.table import write_cell
from schemas.tracks import CROPS, TRACKS
from schemas.videos import VIDEOS

if TYPE_CHECKING:
    from pipeline.tracks.extract import Extraction, FaceTrack, Networks

NETWORKS = "face_landmarker.task"
IDENTITY = "dlib_face_recognition_resnet_model_v1.dat"
FAR_DETECTOR = "face_detection_full_range.tflite"
RUNTIMES = {"LiteRT": "ai-edge-litert", "OpenCV": "opencv-python-headless", "dlib": "dlib-bin"}


def _run(units: Sequence[Unit], config: TrackConfig, resources: Resources) -> Iterator[Outcome]:
    import cv2  # loaded in the worker, like everything that decodes or computes

    cv2.setNumThreads(1)  # shards run side by side; OpenCV's own threads would only wait for each other
    networks = open_networks(config)
    for unit in units:
        with ExitStack() as put_aside:  # closed when the unit's rows have been written
            yield from each_unit([unit], lambda unit: _extract(unit, networks, config, resources, put_aside))


def open_networks(config: TrackConfig) -> Networks:
    """What the stage looks at frames with; the weights are fetched where they are missing. Raises AssetError."""
    from pipeline.assets import fetch
    from pipeline.tracks.detectors import open_detector
    from pipeline.tracks.extract import Networks
    from pipeline.tracks.identity import IdentityNetwork
    from pipeline.tracks.networks import FaceNetworks

    return Networks(open_detector(config.detector), FaceNetworks(fetch(NETWORKS)), IdentityNetwork(fetch(IDENTITY)))


def _extract(
    unit: Unit, networks: Networks, config: TrackConfig, resources: Resources, put_aside: ExitStack
) -> Done | Refused:
    from pipeline.tracks.extract import extract_tracks
    from pipeline.videos.frames import (
        ASSUMED_FPS,
        DECODERS_OWN,
        FRAME_FOLDER,
        Limits,
        VideoError,
        other_decoder,
        read_frames,
    )

    video = unit.row(VIDEOS)
    path = path_of(resources.source, video["path"])
    limits = Limits(timeout_s=resources.decode_timeout_s)
    decoder: str = video["decoder"]
    is_face_given = video["container"] == FRAME_FOLDER and config.faces_in_frame_folders == "given"
    assumed_fps = ASSUMED_FPS if video["assumed_fps"] is None else video["assumed_fps"]
    while True:
        read = partial(read_frames, path, decoder, limits, assumed_fps=assumed_fps)
        try:
            extraction = put_aside.enter_context(extract_tracks(read, networks, config, is_face_given=is_face_given))
            break
        except VideoError as error:
            second = other_decoder(decoder) if error.reason in DECODERS_OWN else None
            if second is None:
                return Refused(unit, error.reason, error.detail)
            decoder = second
        except FileNotFoundError as error:
            return Refused(unit, "unreadable", f"the file is gone since it was listed: {error}")
    if not extraction.tracks:
        unseen = "in any frame" if is_face_given else f"for {config.min_track_s} s on end"
        return Refused(unit, "no_face", f"no face was seen {unseen}")
    needs_far = config.detector == "far" and not is_face_given
    provenance = {
        "video_id": video["video_id"],
        "frame_width_px": video["width_px"],
        "frame_height_px": video["height_px"],
        "decoder": decoder,
        "detector": _in_words(config, is_face_given=is_face_given),
        "weights": [
            {"name": name, "sha256": ASSETS[name].sha256, "licence": ASSETS[name].licence}
            for name in (NETWORKS, IDENTITY, *([FAR_DETECTOR] if needs_far else []))
        ],
        "cuts_s": extraction.cuts_s,
    }
    tracks = {_track_id(video["video_id"], track): track for track in extraction.tracks}
    return Done(
        unit,
        {
            TRACKS.name: (_track_row(track_id, track, extraction) | provenance for track_id, track in tracks.items()),
            CROPS.name: (
                row | {"video_id": video["video_id"]}
                for track_id in sorted(tracks)
                for row in _crop_rows(track_id, tracks[track_id], extraction)
            ),
        },
    )


def _in_words(config: TrackConfig, *, is_face_given: bool) -> str:
    searches = {"near": "BlazeFace short range", "far": "BlazeFace full range and short range"}[config.detector]
    found = "no detector, each frame is a face" if is_face_given else searches
    runtimes = ", ".join(f"{name} {version(package)}" for name, package in RUNTIMES.items())
    return f"{found}, face mesh v2, dlib face recognition v1; {runtimes}"


def _track_id(video_id: str, track: FaceTrack) -> str:
    first = [round(float(track.times_s[0]), 6), *(round(float(side), 2) for side in track.boxes_xyxy[0])]
    return hashlib.sha256(f"{video_id} {first}".encode()).hexdigest()[:32]


def _track_row(track_id: str, track: FaceTrack, extraction: Extraction) -> dict[str, Any]:
    sides = track.boxes_xyxy[:, 2:] - track.boxes_xyxy[:, :2]
    tensors = {
        "boxes_xyxy": track.boxes_xyxy,
        "transforms": track.transforms,
        "pose_deg": track.pose_deg,
        "landmarks_px": extraction.landmarks_px(track),
        "visibility": extraction.visibility(track),
    }
    return {name: write_cell(TRACKS.field(name), values) for name, values in tensors.items()} | {
        "track_id": track_id,
        "start_s": float(track.times_s[0]),
        "end_s": float(track.times_s[-1]),
        "num_frames": len(track.times_s),
        "start_reason": track.start_reason,
        "end_reason": track.end_reason,
        "gaps": _gaps(track),
        "times_s": track.times_s,
        "frame_indices": track.frame_indices,
        "is_gap_before": track.is_gap_before,
        "detection_scores": [None if score != score else score for score in track.scores.tolist()],
        "presence": track.presence,
        "sharpness": track.sharpness,
        "median_face_px": float(sorted(sides.max(axis=1))[len(sides) // 2]),
        "identity_times_s": track.identity_times_s,
        "identity_distances": track.identity_distances,
    }


def _gaps(track: FaceTrack) -> list[dict[str, Any]]:
    return [
        {
            "start_s": float(track.times_s[after - 1]),
            "end_s": float(track.times_s[after]),
            "num_frames": int(track.frame_indices[after] - track.frame_indices[after - 1]) - 1,
        }
        for after in track.is_gap_before.nonzero()[0].tolist()
    ]


def _crop_rows(track_id: str, track: FaceTrack, extraction: Extraction) -> Iterator[dict[str, Any]]:
    for position, crop_jpeg in enumerate(extraction.crops_jpeg(track)):
        yield {
            "track_id": track_id,
            "position": position,
            "time_s": float(track.times_s[position]),
            "crop_jpeg": crop_jpeg,
            "sharpness": float(track.sharpness[position]),
        }


EXTRACT_TRACKS = Stage(
    name="extract_tracks",
    version=2,
    reads=(
        Read(
            VIDEOS,
            content=("video_id", "decoder", "width_px", "height_px", "container", "assumed_fps"),
            locate=("path",),
        ),
    ),
    writes=(TRACKS, CROPS),
    unit="video_id",
    config=TrackConfig,
    run=_run,
    weights=(NETWORKS, IDENTITY, FAR_DETECTOR),
)
