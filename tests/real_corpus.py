"""A corpus of short real clips, made by the real stages without a scheduler, and answered by rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from pipeline.plan import Plan
from pipeline.planning import plan_walk
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.videos.frames import decord_version, read_frames
from pipeline.videos.sources import source_folder
from pipeline.walk import BuildConfig, Walk, open_walk
from tests.answer_server import MODEL, answering, join_notes

NUM_FRAMES = 36


def cut_clip(video: Path, target: Path, first: int = 0, num_frames: int = NUM_FRAMES) -> None:
    """Write some frames of a video from frame `first` on as a video of its own."""
    target.parent.mkdir(exist_ok=True)
    with av.open(str(target), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"crf": "18"})
        for frame in read_frames(video, decord_version() if "no_face" not in video.name else "av"):
            if frame.index == 0:
                stream.height, stream.width = frame.rgb.shape[0] // 2 * 2, frame.rgb.shape[1] // 2 * 2
            if frame.index >= first + num_frames:
                break
            if frame.index >= first:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.rgb, format="rgb24")))
        container.mux(stream.encode(None))


@dataclass(frozen=True)
class Built:
    """What was planned, and how many units each stage computed."""

    plan: Plan
    computed: dict[str, int]
    walk: Walk


def asking_by_rule(config: BuildConfig | None = None) -> BuildConfig:
    """The config with the answer server's model."""
    config = config or BuildConfig()
    return config.model_copy(update={"descriptions": config.descriptions.model_copy(update={"model": MODEL})})


def build_without_scheduler(
    source: Path,
    root: str | Path,
    config: BuildConfig | None = None,
    annotations: Path | None = None,
    answer: Callable[[dict[str, Any]], str] = join_notes,
    *,
    keeps_answers: bool = False,
) -> Built:
    """Every stage, shard after shard."""
    from pipeline.walk import WALK  # here, because a test may have put other stages there

    with answering() as answers:
        answers.answer = answer
        walk = open_walk(Store.open_or_create(root, 4), source, asking_by_rule(config), annotations)
        plan = plan_walk(walk)
        walk.keep_sources()
        kept = walk.store.answers if keeps_answers else None
        resources = Resources(source=source_folder(source), server=answers.address, answers=kept)
        computed = {}
        for stage in WALK:
            results = [walk.run(stage, bucket, resources) for bucket in walk.take_settled(stage)]
            computed[stage.name] = sum(result.num_computed for result in results)
        walk.commit(source)
    return Built(plan, computed, walk)
