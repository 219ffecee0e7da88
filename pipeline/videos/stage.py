"""Stage: sources -> videos. Light: says what is computed; `frames.py` opens the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from pipeline.run import each_unit
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, Unit
from pipeline.videos.config import VideoConfig
from schemas.videos import SOURCES, VIDEOS


def _run(units: Sequence[Unit], config: VideoConfig, resources: Resources) -> Iterator[Outcome]:
    from pipeline.videos.frames import VideoError, probe  # loads decord and PyAV, in the worker

    def video(unit: Unit) -> Done | Refused:
        source = unit.row(SOURCES)
        if source["read_error"] is not None:
            return Refused(unit, "unreadable", source["read_error"])
        try:
            facts = asdict(probe(resources.source / source["path"]))
        except VideoError as error:
            return Refused(unit, error.reason, error.detail)
        return Done(unit, {VIDEOS.name: [{**facts, **{n: source[n] for n in COPIED}}]})

    return each_unit(units, video)


COPIED = ("video_id", "path", "other_paths", "size_bytes")

PROBE_VIDEOS = Stage(
    name="probe_videos",
    version=1,
    reads=(Read(SOURCES, content=("video_id", "path", "other_paths", "size_bytes", "read_error")),),
    writes=(VIDEOS,),
    unit="video_id",
    config=VideoConfig,
    run=_run,
)
