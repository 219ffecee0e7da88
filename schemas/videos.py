"""SOURCES and VIDEOS: what files a source holds, and one row per source video with its clock and provenance."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import UNIT_KEY_MEANING, Table, column

VOTE = pa.struct([pa.field("label", pa.string(), nullable=False), pa.field("votes", pa.float64(), nullable=False)])

FOLD = pa.struct(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("protocol", "fold", "part")),
        pa.field("label", pa.string()),  # null: the video's own
    ]
)

CAPTION = pa.struct([pa.field(name, pa.string(), nullable=False) for name in ("language", "text")])

ANNOTATIONS = (
    column("label", pa.string(), "emotion label of the source's annotation, by name", nullable=True),
    column("split", pa.string(), "train, validation or test, as the source says", nullable=True),
    column("group", pa.string(), "identity or film that must not be on both sides of a split", nullable=True),
    column("licence", pa.string(), "licence of the video; export asks for it", nullable=True),
    column("consent", pa.string(), "what the person shown agreed to, or on what ground; export asks", nullable=True),
    column("dataset", pa.string(), "data set and its variant, such as dfew@clip_224x224", nullable=True),
    column("clip_name", pa.string(), "what the data set's own annotation calls the clip", nullable=True),
    column("votes", pa.list_(VOTE), "how many annotators, or frames, said what, by name of the label", nullable=True),
    column(
        "folds",
        pa.list_(FOLD),
        "part of the clip in each fold of each protocol of its set, and its label there",
        nullable=True,
    ),
    column(
        "captions",
        pa.list_(CAPTION),
        "what people wrote of the clip: a reference to score texts against, never shown to a writer unless asked for",
        nullable=True,
    ),
)
"""What people say of a video, and its bytes do not."""

VIDEO_ID_MEANING = (
    "first 32 hex digits of the SHA-256 of the file's bytes; of a folder of frames, of its frames' bytes and numbers"
)

SOURCES = Table(
    name="sources",
    version=3,
    meaning="one row per distinct content found in the source: what every other row of the corpus goes back to",
    primary_key=("video_id",),
    columns=(
        column("video_id", pa.string(), VIDEO_ID_MEANING),
        column("path", pa.string(), "path below the source folder; the first in name order when copies exist"),
        column("other_paths", pa.list_(pa.string()), "paths of further files with the same bytes"),
        column("size_bytes", pa.int64(), "size of the file, or of a folder's files together", unit="byte"),
        column(
            "read_error", pa.string(), "why the bytes could not be read; video_id is then of the path", nullable=True
        ),
        *ANNOTATIONS,
    ),
)

VIDEOS = Table(
    name="videos",
    version=3,
    meaning="one row per source video",
    primary_key=("video_id",),
    columns=(
        column("video_id", pa.string(), VIDEO_ID_MEANING),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("path", pa.string(), "path below the source folder, odd bytes as \\xNN; never what the video is"),
        column("other_paths", pa.list_(pa.string()), "paths of further files with the same bytes"),
        column("size_bytes", pa.int64(), "size of the file, or of a folder's files together", unit="byte"),
        column("duration_s", pa.float64(), "from the first frame's presentation to the end of the last", unit="second"),
        column("num_frames", pa.int32(), "frames that the stream presents"),
        column("mean_fps", pa.float64(), "num_frames / duration_s; never used as a clock", unit="frame per second"),
        column("width_px", pa.int32(), "width of the displayed (rotated) frame", unit="pixel"),
        column("height_px", pa.int32(), "height of the displayed (rotated) frame", unit="pixel"),
        column("rotation_deg", pa.int32(), "rotation that the container asks for, already applied", unit="degree"),
        column("codec", pa.string(), "codec of the video stream; of a folder of frames its pictures' formats"),
        column("container", pa.string(), "container format as the demuxer names it; frame_folder: one file a frame"),
        column("has_audio", pa.bool_(), "whether an audio stream is present"),
        column("decoder", pa.string(), "name and version of the decoder that reads this file's frames"),
        column(
            "assumed_fps",
            pa.float64(),
            "clock that was assumed for a folder of frames, which states none; null: the container states its times",
            unit="frame per second",
            nullable=True,
        ),
        *ANNOTATIONS,
    ),
)
