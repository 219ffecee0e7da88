"""The one Prefect task, and how the shards of a stage are mapped over a task runner."""

from __future__ import annotations

from collections.abc import Sequence
from threading import BoundedSemaphore
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from pipeline.run import ShardResult
from pipeline.stage import Resources, Stage
from pipeline.walk import Walk

SHARDS_THAT_WAIT = 8
"""Shards side by side in a stage that asks a language model."""


# Prefect's own cache is off: it was seen returning a stale result after a function it calls had changed. The store is
# the one memory of what is done.
@task(name="run_stage", task_run_name="{name} {bucket}", cache_policy=NO_CACHE, persist_result=False)
def run_shard(name: str, bucket: int, stage: Stage[Any], walk: Walk, resources: Resources) -> ShardResult:
    """Bring one shard of one stage up to date."""
    return walk.run(stage, bucket, resources)


def map_stage(stage: Stage[Any], buckets: Sequence[int], walk: Walk, resources: Resources) -> list[ShardResult]:
    """Run the shards over the flow's task runner, `resources.workers` at a time; raise the first failure at the end.

    Shards that wait for a server run many at a time: they share its bound of requests, and while one shard's last
    answers come in, the next one's requests keep the server full.
    """
    at_once = resources.workers if stage.request is None else max(resources.workers, SHARDS_THAT_WAIT)
    slots = BoundedSemaphore(at_once)  # taken before a shard is submitted, so that none waits in a thread
    futures = []
    for bucket in buckets:
        slots.acquire()
        future = run_shard.submit(stage.name, bucket, stage, walk, resources)
        future.add_done_callback(lambda _: slots.release())
        futures.append(future)
    for future in futures:
        future.wait()
    return [future.result() for future in futures]
