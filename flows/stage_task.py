"""The one Prefect task, and how the shards of a walk are handed to a task runner."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from queue import SimpleQueue
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner

from flows.runners import shard_runners
from pipeline import progress
from pipeline.descriptions.refine_stage import REFINE_DESCRIPTIONS
from pipeline.files import StorageError
from pipeline.run import ShardResult
from pipeline.stage import Resources, Stage
from pipeline.telemetry.events import ShardCameBack, ShardHandedOut, ShardWaits, tell
from pipeline.walk import WALK, ShardJob, Walk

SHARDS_THAT_WAIT = 8
"""Shards that ask a language model side by side."""

STAYS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
"""What the system says where only a person can help."""


def may_pass(task: object, task_run: TaskRun, state: State[Any]) -> bool:
    """Whether another attempt at a shard can end otherwise: after a fault of disk or network, never after a defect.

    Requests are repeated where they are sent, and a unit that was refused for a passing reason by the next pass.
    """
    error = state.result(raise_on_failure=False)
    if isinstance(error, StorageError):
        return error.may_pass
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


@dataclass
class Done:
    """What came of a walk's shards."""

    results: dict[str, list[ShardResult]] = field(default_factory=dict)
    """By stage."""
    waited_s: float = 0.0
    """Seconds in which nothing was computed because the embedded language model was still starting."""


def run_shards(
    walk: Walk, resources: Resources, warm_up: Callable[[], None], language_model: Callable[[], str]
) -> Done:
    """Bring every shard of the walk up to date, and note it there; raise the first failure when all others are done.

    A bucket goes from stage to stage by itself: none of its shards reads another bucket. So the language model's
    servers have questions while other buckets' tracks are still computed, and no stage waits for the slowest shard of
    the one before. Only the embedded model, which would take the same cores, is asked when everything else is done.

    Args:
        walk: knows what is settled already.
        resources: how many shards at a time, and what computes them. Without a `server` the embedded model is asked.
        warm_up: begins to start the embedded model. Called if there is anything to compute.
        language_model: the address of the embedded model, once it answers. Called if it is to be asked.
    """
    return _Shards(walk, resources, warm_up, language_model).run()


@dataclass
class _Lane:
    """Shards that wait for the same thing, as minus the number of their stage, and bucket: the furthest goes first."""

    at_once: int
    waiting: list[tuple[int, int]] = field(default_factory=list)
    num_at_work: int = 0

    @property
    def is_empty(self) -> bool:
        return not self.waiting and not self.num_at_work


class _Shards:
    """The shards that wait, those at work, and what came of the others. All is decided in the flow's own thread."""

    def __init__(
        self, walk: Walk, resources: Resources, warm_up: Callable[[], None], language_model: Callable[[], str]
    ) -> None:
        self._walk, self._resources = walk, resources
        self._warm_up, self._language_model = warm_up, language_model
        self._computing = _Lane(resources.workers)
        # Shards that ask share one bound of requests; while one's last answers come in, the next keeps servers full.
        self._asking = _Lane(max(resources.workers, SHARDS_THAT_WAIT))
        self._asking_last = _Lane(self._asking.at_once)
        self._ended: SimpleQueue[tuple[_Lane, int, int, PrefectFuture[ShardResult]]] = SimpleQueue()
        self._failures: list[Exception] = []
        self._done = Done()

    def run(self) -> Done:
        for bucket in self._walk.sources:
            self._go_on(bucket, 0)
        lanes = (self._computing, self._asking, self._asking_last)
        if all(lane.is_empty for lane in lanes):
            return self._done
        if self._resources.server is None:
            self._warm_up()  # it takes half a minute, beside the other stages
        with shard_runners(self._resources) as runners:
            while not all(lane.is_empty for lane in lanes):
                if self._computing.is_empty and self._asking.is_empty:
                    self._wait_for_language_model()
                self._start(self._computing, runners.computing, is_elsewhere=runners.are_elsewhere)
                self._start(self._asking, runners.asking, is_elsewhere=False)
                self._end(*self._ended.get())
        if self._failures:
            raise self._failures[0]
        return self._done

    def _go_on(self, bucket: int, number: int) -> None:
        """Let a bucket wait for its first stage, from the one of this number on, that is not settled."""
        for position in range(number, len(WALK)):
            if not self._walk.is_settled(WALK[position], bucket):
                heappush(self._lane(WALK[position]).waiting, (-position, bucket))
                tell(ShardWaits(stage=WALK[position].name, shard=bucket))
                if not number:  # so that all buckets are counted before the first ones are through
                    progress.report(WALK[position].name, bucket, done=0, total=self._walk.sources[bucket].num_rows)
                return
            if number:
                progress.report(WALK[position].name, bucket, done=0, total=0)

    def _lane(self, stage: Stage[Any]) -> _Lane:
        if not self._walk.asks(stage):
            return self._computing
        is_embedded = stage is REFINE_DESCRIPTIONS and self._resources.server is None
        return self._asking_last if is_embedded else self._asking

    def _start(self, lane: _Lane, runner: TaskRunner[Any], *, is_elsewhere: bool) -> None:
        while lane.waiting and lane.num_at_work < lane.at_once:
            position, bucket = heappop(lane.waiting)
            stage = WALK[-position]
            job = self._walk.job(stage, bucket, self._resources)
            parameters = {"name": stage.name, "bucket": bucket, "job": job.anywhere() if is_elsewhere else job}
            tell(ShardHandedOut(stage=stage.name, shard=bucket))
            future = runner.submit(run_shard, parameters)
            lane.num_at_work += 1
            future.add_done_callback(partial(self._tell, lane, -position, bucket))

    def _tell(self, lane: _Lane, number: int, bucket: int, future: PrefectFuture[ShardResult]) -> None:
        self._ended.put((lane, number, bucket, future))

    def _end(self, lane: _Lane, number: int, bucket: int, future: PrefectFuture[ShardResult]) -> None:
        lane.num_at_work -= 1
        try:
            result = future.result()
        except Exception as error:
            tell(ShardCameBack(stage=WALK[number].name, shard=bucket, is_done=False))
            self._failures.append(error)
            return
        tell(result.came_back())
        self._walk.note(result.receipt)
        self._done.results.setdefault(WALK[number].name, []).append(result)
        # Of a shard in another process this is all that is told of how far it is.
        progress.report(WALK[number].name, bucket, done=result.receipt.num_units, total=result.receipt.num_units)
        self._go_on(bucket, number + 1)

    def _wait_for_language_model(self) -> None:
        began = time.monotonic()
        self._resources = self._resources.model_copy(update={"server": self._language_model()})
        self._done.waited_s = time.monotonic() - began
        self._asking.waiting, self._asking_last.waiting = self._asking_last.waiting, []
