"""Stage: videos -> tracks and crops. Light: says what is computed; `extract.py` computes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.run import each_unit
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, Unit
from pipeline.tracks.config import TrackConfig
from schemas.table import write_cell
from schemas.tracks import CROPS, TRACKS
from schemas.videos import VIDEOS

if TYPE_CHECKING:
    from pipeline.tracks.extract import FaceTrack

NETWORKS = "face_landmarker.task"


def _run(units: Sequence[Unit], config: TrackConfig, resources: Resources) -> Iterator[Outcome]:
    import cv2  # loaded in the worker, like everything that decodes or computes

    from pipeline.assets import ASSETS, fetch
    from pipeline.tracks.extract import crop_tracks, extract_tracks
    from pipeline.tracks.networks import FaceNetworks
    from pipeline.tracks.quality import sharpness
    from pipeline.videos.frames import Frame, VideoError, read_frames

    cv2.setNumThreads(1)  # shards run side by side; OpenCV's own threads would only wait for each other
    networks = FaceNetworks(fetch(NETWORKS))
    provenance = {
        "detector": f"BlazeFace short range and face mesh v2, OpenCV {cv2.__version__}",
        "weights_sha256": ASSETS[NETWORKS].sha256,
        "weights_licence": ASSETS[NETWORKS].licence,
    }

    def tracks_of(unit: Unit) -> Done | Refused:
        video = unit.row(VIDEOS)

        def read() -> Iterator[Frame]:
            return read_frames(resources.source / video["path"], video["decoder"])

        try:
            tracks = extract_tracks(read, networks, config)
            if not tracks:
                return Refused(unit, "no_face", f"no face was seen for {config.min_track_s} s on end")
            ids = [_track_id(video["video_id"], track) for track in tracks]
            crops = [
                {
                    "track_id": ids[number],
                    "position": position,
                    "video_id": video["video_id"],
                    "time_s": float(tracks[number].times_s[position]),
                    "crop_jpeg": _jpeg(crop, config.jpeg_quality),
                    "sharpness": sharpness(crop),
                }
                for number, position, crop in crop_tracks(read, tracks, config.crop_px)
            ]
        except VideoError as error:
            return Refused(unit, error.reason, error.detail)
        except FileNotFoundError as error:
            return Refused(unit, "unreadable", f"the file is gone since it was listed: {error}")
        crops.sort(key=lambda row: (row["track_id"], row["position"]))
        rows = [_row(track_id, video, track) | provenance for track_id, track in zip(ids, tracks, strict=True)]
        return Done(unit, {TRACKS.name: rows, CROPS.name: crops})

    return each_unit(units, tracks_of)


def _track_id(video_id: str, track: FaceTrack) -> str:
    first = [round(float(track.times_s[0]), 6), *(round(float(side), 2) for side in track.boxes_xyxy[0])]
    return hashlib.sha256(f"{video_id} {first}".encode()).hexdigest()[:32]


def _row(track_id: str, video: dict[str, Any], track: FaceTrack) -> dict[str, Any]:
    sides = track.boxes_xyxy[:, 2:] - track.boxes_xyxy[:, :2]
    cells = {name: write_cell(TRACKS.field(name), getattr(track, name)) for name in TENSORS}
    return cells | {
        "track_id": track_id,
        "video_id": video["video_id"],
        "start_s": float(track.times_s[0]),
        "end_s": float(track.times_s[-1]),
        "num_frames": len(track.times_s),
        "frame_width_px": video["width_px"],
        "frame_height_px": video["height_px"],
        "times_s": track.times_s,
        "frame_indices": track.frame_indices,
        "is_gap_before": track.is_gap_before,
        "detection_scores": track.scores,
        "presence": track.presence,
        "median_face_px": float(sorted(sides.max(axis=1))[len(sides) // 2]),
        "start_reason": track.start_reason,
        "end_reason": track.end_reason,
        "decoder": video["decoder"],
    }


TENSORS = ("boxes_xyxy", "landmarks_px", "transforms", "pose_deg")


def _jpeg(rgb: Any, quality: int) -> bytes:
    import cv2

    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling]
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise RuntimeError("OpenCV could not encode a crop as JPEG")
    return bytes(encoded)


EXTRACT_TRACKS = Stage(
    name="extract_tracks",
    version=1,
    reads=(Read(VIDEOS, content=("video_id", "decoder", "width_px", "height_px"), locate=("path",)),),
    writes=(TRACKS, CROPS),
    unit="video_id",
    config=TrackConfig,
    run=_run,
    weights=(NETWORKS,),
)
