"""A corpus of one short real clip, made by the real stages without a scheduler, and answered by rule."""

from __future__ import annotations

from pathlib import Path

from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.videos.sources import source_folder
from pipeline.walk import WALK, BuildConfig, open_walk
from tests.answer_server import MODEL, answering


def build_without_scheduler(source: Path, root: Path, config: BuildConfig | None = None) -> None:
    """Every stage, shard after shard."""
    config = config or BuildConfig()
    config = config.model_copy(update={"descriptions": config.descriptions.model_copy(update={"model": MODEL})})
    with answering() as answers:
        walk = open_walk(Store.open_or_create(root, 4), source, config)
        walk.keep_sources()
        resources = Resources(source=source_folder(source), server=answers.address)
        for stage in WALK:
            for bucket in walk.take_settled(stage):
                walk.run(stage, bucket, resources)
        walk.commit(source)
