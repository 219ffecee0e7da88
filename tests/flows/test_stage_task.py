"""What the one Prefect task tries again, and what it does not."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prefect import flow
from prefect.testing.utilities import prefect_test_harness

from flows.stage_task import run_shard, run_shards
from pipeline.actions.stage import MEASURE_ACTIONS
from pipeline.descriptions.draft_stage import DRAFT_DESCRIPTIONS
from pipeline.descriptions.refine_stage import REFINE_DESCRIPTIONS
from pipeline.run import ReconcileError, ShardResult
from pipeline.stage import Resources, Stage
from pipeline.store import Receipt
from pipeline.videos.stage import PROBE_VIDEOS
from pipeline.walk import WALK, Walk
from schemas.table import SchemaError
from schemas.videos import SOURCES

DONE = ShardResult(
    Receipt(stage="measure_actions", bucket=0, key="k", files={}, num_units=0), num_computed=0, num_taken_over=0,
    began_s=0.0, ended_s=0.0,
)  # fmt: skip


class WalkThatFails:
    """A walk of one bucket, and its one job, on a disk that fails: what it raises by attempt, then a shard."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.num_attempts = 0
        self.noted: list[Receipt] = []
        self.sources = {0: SOURCES.empty()}

    def is_settled(self, stage: Stage[Any], bucket: int) -> bool:
        return stage is not MEASURE_ACTIONS or bool(self.noted)

    def asks(self, stage: Stage[Any]) -> bool:
        return False

    def job(self, *_: Any) -> WalkThatFails:
        return self

    def run(self) -> ShardResult:
        self.num_attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return DONE

    def note(self, receipt: Receipt) -> None:
        self.noted.append(receipt)


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_shard, "retry_delay_seconds", 0)


def run(walk: WalkThatFails) -> dict[str, list[ShardResult]]:
    @flow
    def one_shard() -> dict[str, list[ShardResult]]:
        return run_shards(cast(Walk, walk), Resources(), lambda: None, lambda: "nobody is asked").results

    return one_shard()


@pytest.mark.server
def test_a_shard_is_tried_again_where_the_disk_or_the_network_failed(prefect: None) -> None:
    walk = WalkThatFails(OSError(errno.EIO, "Input/output error"), OSError(errno.ESTALE, "Stale file handle"))
    assert run(walk) == {"measure_actions": [DONE]}
    assert walk.num_attempts == 3
    assert walk.noted == [DONE.receipt]


@pytest.mark.server
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("IOError: Error writing bytes to file. Detail: [errno 28] No space left on device"),
        PermissionError(errno.EACCES, "Permission denied"),
        ReconcileError("stage measure_actions lost 1 of 2 units, first: a"),
        SchemaError("table actions: column events is missing"),
    ],
)
def test_what_another_attempt_cannot_mend_fails_at_once(prefect: None, error: Exception) -> None:
    walk = WalkThatFails(error)
    with pytest.raises(type(error), match=str(error).split(":", maxsplit=1)[0].replace("[", "\\[")):
        run(walk)
    assert walk.num_attempts == 1
    assert not walk.noted


class WalkOfBuckets:
    """A walk of three buckets, all stages to do; what was done, in order, and which server was to be asked."""

    def __init__(self) -> None:
        self.sources = {bucket: SOURCES.empty() for bucket in range(3)}
        self.done: list[tuple[str, int]] = []
        self.servers: dict[str, set[str | None]] = {}

    def is_settled(self, stage: Stage[Any], bucket: int) -> bool:
        return (stage.name, bucket) in self.done

    def asks(self, stage: Stage[Any]) -> bool:
        return stage is REFINE_DESCRIPTIONS

    def job(self, stage: Stage[Any], bucket: int, resources: Resources) -> Any:
        self.servers.setdefault(stage.name, set()).add(resources.server)
        receipt = Receipt(stage=stage.name, bucket=bucket, key="k", files={}, num_units=1)
        return SimpleNamespace(run=lambda: replace(DONE, receipt=receipt))

    def note(self, receipt: Receipt) -> None:
        self.done.append((receipt.stage, receipt.bucket))


def walk_through(server: str | None) -> tuple[WalkOfBuckets, list[str]]:
    walk, told = WalkOfBuckets(), list[str]()

    def address() -> str:
        told.append(f"asked for after {len(walk.done)}")
        return "http://127.0.0.1:9/v1"

    @flow
    def all_shards() -> None:
        how = Resources(workers=1, server=server)
        run_shards(cast(Walk, walk), how, lambda: told.append("warmed up"), address)

    all_shards()
    assert sorted(walk.done) == sorted((stage.name, bucket) for stage in WALK for bucket in range(3))
    for bucket in range(3):
        assert [stage for stage, one in walk.done if one == bucket] == [stage.name for stage in WALK]
    return walk, told


@pytest.mark.server
def test_a_bucket_goes_on_by_itself_and_is_described_while_others_are_computed(prefect: None) -> None:
    walk, told = walk_through("http://127.0.0.1:8000/v1")
    order = walk.done
    assert order.index((DRAFT_DESCRIPTIONS.name, 0)) < order.index((PROBE_VIDEOS.name, 2))
    assert not told
    assert walk.servers[REFINE_DESCRIPTIONS.name] == {"http://127.0.0.1:8000/v1"}


@pytest.mark.server
def test_the_embedded_model_is_warmed_up_at_once_and_asked_when_nothing_else_is_left(prefect: None) -> None:
    walk, told = walk_through(None)
    assert told == ["warmed up", f"asked for after {3 * (len(WALK) - 1)}"]
    assert walk.servers[REFINE_DESCRIPTIONS.name] == {"http://127.0.0.1:9/v1"}
