"""Stage: tracks and crops -> motion. Light: says what is computed; `encode.py` computes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipeline.motion.config import MotionConfig
from pipeline.run import each_unit
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, Unit
from schemas.motion import CROP_PX, MOTION
from schemas.table import write_cell
from schemas.tracks import CROPS, TRACKS

if TYPE_CHECKING:
    from pipeline.motion.encode import Clip

TENSORS = ("times_s", "frames", "motion_weights", "is_motion_known", "is_padding")


def _run(units: Sequence[Unit], config: MotionConfig, resources: Resources) -> Iterator[Outcome]:
    import cv2
    import numpy as np

    from pipeline.motion.encode import encode_clips

    def clips_of(unit: Unit) -> Done | Refused:
        track = unit.row(TRACKS)
        crops = unit.column(CROPS, "crop_jpeg")  # in the order of the track, as they were written

        @lru_cache(maxsize=4)  # a frame and its neighbour are read by turns
        def read_crop(position: int) -> Any:
            encoded = np.frombuffer(crops[position].as_buffer(), np.uint8)
            rgb: Any = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
            return rgb if len(rgb) == CROP_PX else cv2.resize(rgb, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA)

        times_s, is_gap_before = np.array(track["times_s"]), np.array(track["is_gap_before"])
        rows = [_row(track, clip) for clip in encode_clips(times_s, is_gap_before, read_crop, config)]
        if not rows:
            detail = f"the track has {len(times_s)} frames, one clip needs {config.min_frames}"
            return Refused(unit, "track_too_short", detail)
        return Done(unit, {MOTION.name: rows})

    return each_unit(units, clips_of)


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
    version=2,
    reads=(
        Read(TRACKS, content=("track_id", "video_id", "times_s", "is_gap_before")),
        Read(CROPS, content=("track_id", "position", "crop_jpeg")),
    ),
    writes=(MOTION,),
    unit="track_id",
    config=MotionConfig,
    run=_run,
)
