"""MOTION: one row per training clip: sixteen aligned frames, where in them the face moved, and what is masked."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import UNIT_KEY_MEANING, Table, column, tensor

CLIP_FRAMES = 16
CROP_PX = 224
GRID = 14
"""Side of the patch grid that motion is pooled to: 224 px in patches of 16, as ViT-B/16 sees them."""

MOTION = Table(
    name="motion",
    version=1,
    meaning="one row per training clip of a track",
    primary_key=("clip_id",),
    columns=(
        column("clip_id", pa.string(), "hash of track_id and the clip's start"),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("track_id", pa.string(), "the track"),
        column("video_id", pa.string(), "the video that the face was found in"),
        column("start_s", pa.float64(), "presentation time of the first frame", unit="second"),
        column("end_s", pa.float64(), "presentation time of the last frame", unit="second"),
        tensor("times_s", "float64", {"frame": CLIP_FRAMES}, "presentation time of each frame", unit="second"),
        tensor(
            "frames",
            "uint8",
            {"frame": CLIP_FRAMES, "row": CROP_PX, "column": CROP_PX, "rgb": 3},
            "aligned face crops",
            unit="0..255",
        ),
        tensor(
            "motion_weights",
            "float16",
            {"frame": CLIP_FRAMES, "row": GRID, "column": GRID},
            "how much of the face changes until a moment later, the head's own movement, light and noise taken out, "
            "scaled robustly over the clip; 0 where is_motion_known is 0",
            unit="0..1",
        ),
        tensor(
            "is_motion_known",
            "uint8",
            {"frame": CLIP_FRAMES},
            "0 where the next frame lies beyond a gap, a cut or the end",
        ),
        tensor("is_padding", "uint8", {"frame": CLIP_FRAMES}, "1 where the clip had fewer frames and the last repeats"),
    ),
)
