"""TRACKS and CROPS: one row per face track (its passport), and one row per aligned crop of it."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import UNIT_KEY_MEANING, Table, column, tensor

TRACKS = Table(
    name="tracks",
    version=1,
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
        column("times_s", pa.list_(pa.float64()), "presentation time of each frame [T]", unit="second"),
        column("frame_indices", pa.list_(pa.int32()), "index of each frame in the source [T]"),
        column("is_gap_before", pa.list_(pa.bool_()), "whether frames without the face lie just before this one [T]"),
        column("detection_scores", pa.list_(pa.float32()), "score of the face detector [T]", unit="0..1"),
        column("presence", pa.list_(pa.float32()), "face presence as the landmark network sees it [T]", unit="0..1"),
        tensor(
            "boxes_xyxy", "float32", {"frame": None, "xyxy": 4}, "face box in the displayed source frame", unit="pixel"
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
        column("start_reason", pa.string(), "video_start or appeared"),
        column("end_reason", pa.string(), "video_end or lost"),
        column("decoder", pa.string(), "decoder that gave the frames, with its version"),
        column("detector", pa.string(), "detector and landmark networks, with the runtime that ran them"),
        column("weights_sha256", pa.string(), "SHA-256 of the networks' weight file"),
        column("weights_licence", pa.string(), "licence of that weight file"),
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
        column("crop_jpeg", pa.binary(), "aligned crop, 224 x 224, JPEG without chroma subsampling"),
        column("sharpness", pa.float32(), "variance of the crop's Laplacian", unit="grey level squared"),
    ),
)
