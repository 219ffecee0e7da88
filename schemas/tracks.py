"""TRACKS and CROPS: one row per face track (its passport), and one row per aligned crop of it."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import UNIT_KEY_MEANING, Table, column, tensor

FACE_REGIONS = (
    "brow_left",
    "brow_right",
    "eye_left",
    "eye_right",
    "nose",
    "cheek_left",
    "cheek_right",
    "mouth",
    "chin",
)
"""The parts of a face whose visibility is measured; left and right are the person's own."""

START_REASONS = {
    "video_start": "the face is there in the first frame",
    "appeared": "the face was not there before",
    "cut": "a shot begins",
    "other_person": "until then another person was in this place",
    "max_length": "the same face goes on from the track before, which had reached its greatest length",
}

END_REASONS = {
    "video_end": "the face is there in the last frame",
    "lost": "the face could not be found any longer",
    "cut": "the shot ends",
    "other_person": "from then on another person is in this place",
    "max_length": "the track had reached its greatest length; the same face goes on in the next one",
}

GAP = pa.struct(
    [
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("num_frames", pa.int32(), nullable=False),
    ]
)

WEIGHTS = pa.struct(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("licence", pa.string(), nullable=False),
    ]
)

TRACKS = Table(
    name="tracks",
    version=2,
    meaning="one row per face track: one face followed through the frames of one video",
    primary_key=("track_id",),
    columns=(
        column("track_id", pa.string(), "hash of video_id, first time and first box"),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("video_id", pa.string(), "the video that the face was found in"),
        column("start_s", pa.float64(), "presentation time of the first frame", unit="second"),
        column("end_s", pa.float64(), "presentation time of the last frame", unit="second"),
        column("num_frames", pa.int32(), "T, frames in which the face was found"),
        column("frame_width_px", pa.int32(), "width of the displayed source frame", unit="pixel"),
        column("frame_height_px", pa.int32(), "height of the displayed source frame", unit="pixel"),
        column("start_reason", pa.string(), "; ".join(f"{name}: {why}" for name, why in START_REASONS.items())),
        column("end_reason", pa.string(), "; ".join(f"{name}: {why}" for name, why in END_REASONS.items())),
        column("cuts_s", pa.list_(pa.float64()), "first frame after each cut of the whole video", unit="second"),
        column(
            "gaps",
            pa.list_(GAP),
            "stretches inside the track whose frames lack the face: from the last frame before to the first after",
        ),
        column("times_s", pa.list_(pa.float64()), "presentation time of each frame [T]", unit="second"),
        column(
            "frame_indices",
            pa.list_(pa.int32()),
            "index of each frame in the source [T]; in a folder of frames its number less that of the first",
        ),
        column(
            "is_gap_before",
            pa.list_(pa.bool_()),
            "whether frames without the face, or missing ones, lie just before this one [T]",
        ),
        column(
            "detection_scores",
            pa.list_(pa.float32()),
            "score of the face detector [T]; null where the face was followed by its landmarks alone",
            unit="0..1",
        ),
        column("presence", pa.list_(pa.float32()), "face presence as the landmark network sees it [T]", unit="0..1"),
        column("sharpness", pa.list_(pa.float32()), "variance of the crop's Laplacian [T]", unit="grey level squared"),
        tensor(
            "visibility",
            "float32",
            {"frame": None, "region": len(FACE_REGIONS)},
            f"how well each region can be seen, below 0.5 it is covered: {', '.join(FACE_REGIONS)}",
            unit="0..1",
        ),
        tensor(
            "boxes_xyxy",
            "float32",
            {"frame": None, "xyxy": 4},
            "smallest box around the face's landmarks, in the displayed source frame; may overstep it",
            unit="pixel",
        ),
        tensor(
            "landmarks_px",
            "float32",
            {"frame": None, "landmark": 478, "xyz": 3},
            "face mesh and irises in the displayed source frame; z on the scale of x, smaller is nearer",
            unit="pixel",
        ),
        tensor(
            "transforms", "float32", {"frame": None, "row": 2, "column": 3}, "similarity from source to crop pixels"
        ),
        tensor("pose_deg", "float32", {"frame": None, "yaw_pitch_roll": 3}, "head pose", unit="degree"),
        column("median_face_px", pa.float32(), "median of the larger box side", unit="pixel"),
        column(
            "identity_times_s",
            pa.list_(pa.float64()),
            "frames in which the face was compared with itself",
            unit="second",
        ),
        column(
            "identity_distances",
            pa.list_(pa.float32()),
            "distance of each of these to the middle one of them; the face descriptors themselves are not kept",
        ),
        column("decoder", pa.string(), "decoder that gave the frames, with its version"),
        column("detector", pa.string(), "detector and landmark networks, with the runtime that ran them"),
        column("weights", pa.list_(WEIGHTS), "weight files that were used: name, SHA-256, licence"),
    ),
)

CROPS = Table(
    name="crops",
    version=1,
    meaning="one row per aligned face crop: a track's frame, turned upright and brought to a fixed size",
    primary_key=("track_id", "position"),
    columns=(
        column("track_id", pa.string(), "the track"),
        column("position", pa.int32(), "position in the track, 0..T-1"),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("video_id", pa.string(), "the video that the face was found in"),
        column("time_s", pa.float64(), "presentation time", unit="second"),
        column("crop_jpeg", pa.binary(), "aligned crop, square, JPEG without chroma subsampling"),
        column("sharpness", pa.float32(), "variance of the crop's Laplacian", unit="grey level squared"),
    ),
)
