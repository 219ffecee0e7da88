"""TRUTH: one row per rendered face of one rendered clip: what it did in every frame, because it was drawn that way."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import Table, column, tensor

TRUE_EVENT = pa.struct(
    [
        pa.field("action", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("onset_s", pa.float64(), nullable=False),
        pa.field("apex_s", pa.float64(), nullable=False),
        pa.field("offset_s", pa.float64(), nullable=False),
        pa.field("peak", pa.float32(), nullable=False),
    ]
)

TRUTH = Table(
    name="truth",
    version=1,
    meaning="one row per face of a rendered clip; arrays [T] run over all frames of the clip",
    primary_key=("clip", "face"),
    columns=(
        column("clip", pa.string(), "file name of the video beside this file"),
        column("face", pa.int32(), "number of the face in the clip"),
        column("identity", pa.string(), "the person; the same name is the same face in every clip"),
        column("label", pa.string(), "the expression recipe that the face follows"),
        column("distractors", pa.list_(pa.string()), "what was added to make the clip hard"),
        column("seed", pa.int64(), "the clip's own seed: with it and the switches the clip can be rendered again"),
        column("times_s", pa.list_(pa.float64()), "presentation time of each frame [T]", unit="second"),
        column("is_present", pa.list_(pa.bool_()), "whether the face is drawn into this frame at all [T]"),
        column(
            "visible_share",
            pa.list_(pa.float32()),
            "part of the face's own pixels that lies in the frame and is not covered by anything [T]",
            unit="0..1",
        ),
        tensor(
            "boxes_xyxy",
            "float32",
            {"frame": None, "xyxy": 4},
            "smallest box around the face (hairline to chin, temple to temple), covered or not; zeros where absent",
            unit="pixel",
        ),
        tensor(
            "pose_deg",
            "float32",
            {"frame": None, "yaw_pitch_roll": 3},
            "head pose, with the signs of the tracks table",
            unit="degree",
        ),
        tensor(
            "blendshapes",
            "float32",
            {"frame": None, "blendshape": 52},
            "weight with which each ARKit face unit was drawn, in the order of the actions table",
            unit="0..1",
        ),
        column(
            "events",
            pa.list_(TRUE_EVENT),
            "the actions of the recipe: onset (first rise), apex, offset (back at rest) in seconds, peak weight, "
            "side (left, right, both, middle; the person's own)",
        ),
        column("cuts_s", pa.list_(pa.float64()), "presentation time of the first frame after each cut", unit="second"),
        column("licence", pa.string(), "licence of the pictures"),
    ),
)
