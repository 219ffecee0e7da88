"""Stage: tracks and crops -> motion. Light: says what is computed; `encode.py` computes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.motion.config import MotionConfig
from pipeline.run import each_unit
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, Unit
from schemas.motion import CROP_PX, MOTION
from schemas.table import read_cell, write_cell
from schemas.tracks import CROPS, TRACKS

if TYPE_CHECKING:
    from pipeline.motion.encode import AlignedTrack, Clip

TENSORS = ("times_s", "frames", "motion_weights", "is_motion_known", "is_padding")


def _run(units: Sequence[Unit], config: MotionConfig, resources: Resources) -> Iterator[Outcome]:
    import cv2

    from pipeline.motion.encode import encode_clips

    cv2.setNumThreads(1)  # shards run side by side; OpenCV's own threads would only wait for each other

    def clips_of(unit: Unit) -> Done | Refused:
        track = unit.row(TRACKS)
        aligned = _aligned(track, unit.column(CROPS, "crop_jpeg"))  # in the order of the track, as they were written
        rows = [_row(track, clip) for clip in encode_clips(aligned, config)]
        if not rows:
            detail = f"the track has {len(aligned.times_s)} frames, one clip needs {config.min_frames}"
            return Refused(unit, "track_too_short", detail)
        return Done(unit, {MOTION.name: rows})

    return each_unit(units, clips_of)


def _aligned(track: dict[str, Any], crops: Sequence[Any]) -> AlignedTrack:
    import cv2
    import numpy as np

    from pipeline.motion.encode import AlignedTrack
    from pipeline.motion.head import landmarks_in_crop

    def decode(position: int) -> Any:
        return cv2.imdecode(np.frombuffer(crops[position].as_buffer(), np.uint8), cv2.IMREAD_COLOR_RGB)

    def read_crop(position: int) -> Any:
        rgb = decode(position)
        return rgb if len(rgb) == CROP_PX else cv2.resize(rgb, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA)

    times_s = np.array(track["times_s"], np.float64)
    # A cut lies before the first frame that is not before it.
    is_cut_before = np.zeros(len(times_s) + 1, np.bool_)
    is_cut_before[np.searchsorted(times_s, np.array(track["cuts_s"], np.float64))] = True
    landmarks, transforms = (read_cell(TRACKS.field(name), track[name]) for name in ("landmarks_px", "transforms"))
    return AlignedTrack(
        times_s=times_s,
        is_break_before=np.array(track["is_gap_before"], np.bool_) | is_cut_before[:-1],
        landmarks=landmarks_in_crop(landmarks, transforms, CROP_PX / len(decode(0))),
        read_crop=read_crop,
    )


def _row(track: dict[str, Any], clip: Clip) -> dict[str, Any]:
    start_s, end_s = float(clip.times_s[0]), float(clip.times_s[-1])
    return {
        "clip_id": hashlib.sha256(f"{track['track_id']} {start_s:.6f}".encode()).hexdigest()[:32],
        "track_id": track["track_id"],
        "video_id": track["video_id"],
        "start_s": start_s,
        "end_s": end_s,
        **{name: write_cell(MOTION.field(name), getattr(clip, name)) for name in TENSORS},
    }


ENCODE_MOTION = Stage(
    name="encode_motion",
    version=3,
    reads=(
        Read(
            TRACKS, content=("track_id", "video_id", "times_s", "cuts_s", "is_gap_before", "landmarks_px", "transforms")
        ),
        Read(CROPS, content=("track_id", "position", "crop_jpeg")),
    ),
    writes=(MOTION,),
    unit="track_id",
    config=MotionConfig,
    run=_run,
)
