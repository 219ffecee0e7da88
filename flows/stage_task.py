"""The one Prefect task, and how the shards of a stage are mapped over a task runner."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from threading import BoundedSemaphore
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from pipeline.run import ShardResult
from pipeline.stage import Resources, Stage
from pipeline.walk import ShardJob, Walk

SHARDS_THAT_WAIT = 8
"""Shards side by side in a stage that asks a language model."""

STAYS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
"""What the system says where only a person can help."""


def may_pass(task: object, task_run: TaskRun, state: State[Any]) -> bool:
    """Whether another attempt at a shard can end otherwise: after a fault of disk or network, never after a defect.

    Requests are repeated where they are sent, and a unit that was refused for a passing reason by the next pass.
    """
    error = state.result(raise_on_failure=False)
    # A full disk is told by Arrow in words only.
    return isinstance(error, OSError) and error.errno not in STAYS and "[errno 28]" not in str(error)


# Prefect's own cache is off: it was seen returning a stale result after a function it calls had changed. The store is
# the one memory of what is done.
@task(
    name="run_stage",
    task_run_name="{name} {bucket}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=[2, 20],
    retry_condition_fn=may_pass,
)
def run_shard(name: str, bucket: int, job: ShardJob) -> ShardResult:
    """Bring one shard of one stage up to date: in a thread of the flow, or in whatever process got the job."""
    return job.run()


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
        future = run_shard.submit(stage.name, bucket, walk.job(stage, bucket, resources))
        future.add_done_callback(lambda _: slots.release())
        futures.append(future)
    for future in futures:
        future.wait()
    results = [future.result() for future in futures]
    for result in results:
        walk.note(result.receipt)
    return results
