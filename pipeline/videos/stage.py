"""Stage: sources -> videos. Light: says what is computed; `frames.py` opens the files and the folders of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.run import each_unit
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, Unit
from pipeline.videos.config import VideoConfig
from pipeline.videos.paths import path_of
from pipeline.videos.sources import reason_of
from schemas.videos import ANNOTATIONS, SOURCES, VIDEOS


def _run(units: Sequence[Unit], config: VideoConfig, resources: Resources) -> Iterator[Outcome]:
    from pipeline.videos.frames import Limits, VideoError, probe  # starts a decoder process, from the worker

    limits = Limits(
        timeout_s=resources.decode_timeout_s,
        max_side_px=config.max_side_px,
        max_frame_px=config.max_frame_px,
        max_frames=config.max_frames,
        max_duration_s=config.max_duration_s,
        max_video_px=config.max_video_px,
    )

    def video(unit: Unit) -> Done | Refused:
        source = unit.row(SOURCES)
        if source["read_error"] is not None:
            return Refused(unit, reason_of(source["read_error"]), source["read_error"])
        try:
            path = path_of(resources.source, source["path"])
        except OSError as error:  # an object that cannot be fetched
            return Refused(unit, "unreadable", str(error))
        try:
            facts = asdict(probe(path, limits, assumed_fps=config.frames_per_second))
        except VideoError as error:
            return Refused(unit, error.reason, error.detail)
        if _size_bytes(path) != source["size_bytes"]:
            return Refused(unit, "file_changed", "its size is another than when it was listed: run again")
        return Done(unit, {VIDEOS.name: [{**facts, **{n: source[n] for n in COPIED}}]})

    return each_unit(units, video)


def _size_bytes(path: Path) -> int:
    from pipeline.videos.frame_folder import folder_state

    return folder_state(path).size_bytes if path.is_dir() else path.stat().st_size


ANNOTATED = tuple(field.name for field in ANNOTATIONS)
COPIED = ("video_id", "path", "other_paths", "size_bytes", *ANNOTATED)

PROBE_VIDEOS = Stage(
    name="probe_videos",
    version=3,
    reads=(Read(SOURCES, content=("video_id", "path", "other_paths", "size_bytes", "read_error", *ANNOTATED)),),
    writes=(VIDEOS,),
    unit="video_id",
    config=VideoConfig,
    run=_run,
)
