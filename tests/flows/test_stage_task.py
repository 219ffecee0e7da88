"""What the one Prefect task tries again, and what it does not."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any, cast

import pytest
from prefect import flow
from prefect.testing.utilities import prefect_test_harness

from flows.stage_task import run_shard, run_shards
from pipeline.actions.stage import MEASURE_ACTIONS
from pipeline.run import ReconcileError, ShardResult
from pipeline.stage import Resources, Stage
from pipeline.store import Receipt
from pipeline.walk import Walk
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
