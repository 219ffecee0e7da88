"""Stage: sources -> videos. Light: says what is computed; `frames.py` opens the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from pipeline.run import each_unit
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, Unit
from pipeline.videos.config import VideoConfig
from pipeline.videos.paths import path_of
from pipeline.videos.sources import NO_FILE
from schemas.videos import ANNOTATIONS, SOURCES, VIDEOS


def _run(units: Sequence[Unit], config: VideoConfig, resources: Resources) -> Iterator[Outcome]:
    from pipeline.videos.frames import Limits, VideoError, probe  # starts a decoder process, from the worker

    limits = Limits(timeout_s=resources.decode_timeout_s, **config.model_dump())

    def video(unit: Unit) -> Done | Refused:
        source = unit.row(SOURCES)
        if source["read_error"] is not None:
            reason = "not_a_file" if source["read_error"] in NO_FILE else "unreadable"
            return Refused(unit, reason, source["read_error"])
        path = path_of(resources.source, source["path"])
        try:
            facts = asdict(probe(path, limits))
        except VideoError as error:
            return Refused(unit, error.reason, error.detail)
        if path.stat().st_size != source["size_bytes"]:
            return Refused(unit, "file_changed", "its size is another than when it was listed: run again")
        return Done(unit, {VIDEOS.name: [{**facts, **{n: source[n] for n in COPIED}}]})

    return each_unit(units, video)


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
