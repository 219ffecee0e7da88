"""REJECTS: one row per refused unit, with a reason from a closed list. Refused rows are data too."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.table import UNIT_KEY_MEANING, Table, column


@dataclass(frozen=True)
class Reason:
    """Why a unit was refused. A transient reason is tried again by the next run, a permanent one is carried."""

    meaning: str
    is_transient: bool = False


REASONS: dict[str, Reason] = {
    "unreadable": Reason("the file could not be opened or read", is_transient=True),
    "missing": Reason("the source's annotation or manifest names the video, and it is not there"),
    "not_a_file": Reason("the path is no regular file: a pipe, a device, or a symbolic link that leads back to itself"),
    "file_changed": Reason("the file was changed between its listing and the end of its reading", is_transient=True),
    "empty_file": Reason("the file, or a frame of a folder, has no bytes; or the folder has no frames"),
    "not_a_video": Reason(
        "no demuxer recognises the file as a media container; or a folder holds something else than one clip's frames"
    ),
    "no_video_stream": Reason("the container holds no video stream, only audio or data"),
    "corrupt": Reason("the video stream does not decode to its end, or a frame of a folder does not decode"),
    "no_times": Reason(
        "the stream does not say when its frames are shown, or its clock jumps back; or names of frames give no order"
    ),
    "size_changes": Reason("the picture changes its shape in the middle of the video"),
    "too_large": Reason("the frames, their number or the memory that they need are beyond the limits"),
    "decoder_hung": Reason(
        "the decoder gave no frame for the time limit and was ended; perhaps the machine's fault", is_transient=True
    ),
    "decoder_crashed": Reason("the decoder's process ended; perhaps for want of memory", is_transient=True),
    "no_face": Reason("no face was found in any frame, or none for long enough to be a track"),
    "nothing_measurable": Reason("the face was never visible well enough to measure an action"),
    "track_too_short": Reason("the track has too few frames for one training clip"),
    "server_unavailable": Reason("the language-model server did not answer after every attempt", is_transient=True),
    "request_refused": Reason("the language-model server refused the request as wrong"),
    "unexpected_error": Reason(
        "a defect of facescribe or of a library it calls; the detail says where", is_transient=True
    ),
}

REJECTS = Table(
    name="rejects",
    version=1,
    meaning="one row per unit that a stage refused, so that every input ends as a row or as a reason",
    primary_key=("stage", "unit_id"),
    columns=(
        column("stage", pa.string(), "the stage that refused"),
        column("unit_id", pa.string(), "the video_id or track_id that was refused"),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("video_id", pa.string(), "the video that the unit belongs to"),
        column("path", pa.string(), "path of the video below the source folder", nullable=True),
        column("reason", pa.string(), f"one of: {', '.join(REASONS)}"),
        column("is_transient", pa.bool_(), "whether the next run tries the unit again"),
        column("detail", pa.string(), "what was seen, in a sentence"),
    ),
)
