"""The same corpus whatever computes its shards: threads, Dask or Ray processes, also with a worker killed meanwhile."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, LocalCluster
from prefect.testing.utilities import prefect_test_harness

from flows.corpus import BuildReport, build_corpus
from flows.runners import shard_runners
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Resources
from pipeline.walk import ConfigError
from tests.answer_server import AnswerServer
from tests.flows.conftest import content
from tests.real_corpus import asking_by_rule

TITLES = {"dask": "dask worker", "ray": "ray::"}
"""How the command of a worker process begins."""


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def build(clips: Path, root: Path, answers: AnswerServer, runner: str, cluster: str | None = None) -> BuildReport:
    how = Resources(runner=runner, cluster=cluster, server=answers.address, workers=2)
    return build_corpus(clips, root, asking_by_rule(), how, 4)


def files(root: Path) -> set[str]:
    """Names, which are hashes of their bytes, of all shards but ledgers, which say how long the work took, and
    texts, whose rows lie in the order in which answers came."""
    receipts = Corpus(root).snapshot.receipts
    differ = {"ledger", "descriptions"}
    return {file.path for receipt in receipts for name, file in receipt.files.items() if name not in differ}


@pytest.fixture(scope="module")
def of_threads() -> dict[str, Any]:
    return {}


@pytest.fixture
def by_threads(
    of_threads: dict[str, Any], clips: Path, tmp_path: Path, prefect: None, answers: AnswerServer
) -> dict[str, Any]:
    """What threads made of the clips, once for all."""
    if not of_threads:
        build(clips, tmp_path / "threads", answers, "threads")
        of_threads.update(content=content(tmp_path / "threads"), files=files(tmp_path / "threads"))
    return of_threads


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(900)
@pytest.mark.parametrize("runner", ["dask", "ray"])
@pytest.mark.parametrize("is_killed", [False, True], ids=["undisturbed", "with a worker killed"])
def test_the_corpus_is_the_same_to_the_byte(
    runner: str,
    is_killed: bool,
    clips: Path,
    tmp_path: Path,
    prefect: None,
    answers: AnswerServer,
    by_threads: dict[str, Any],
) -> None:
    root = tmp_path / runner
    killed: list[int] = []
    if is_killed:
        threading.Thread(target=kill_one_at_work, args=(runner, root, killed), daemon=True).start()

    report = build(clips, root, answers, runner)

    assert bool(killed) is is_killed
    assert report.stages["extract_tracks"].num_computed == 3
    assert content(root) == by_threads["content"]
    assert files(root) == by_threads["files"]
    assert not list(root.glob("tmp/*")) or is_killed
    assert not workers(runner), "the cluster outlived its run"


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(900)
def test_a_cluster_that_is_there_computes_the_same_and_stays(
    clips: Path, tmp_path: Path, prefect: None, answers: AnswerServer, by_threads: dict[str, Any]
) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:  # type: ignore[no-untyped-call]
        build(clips, tmp_path / "dask", answers, "dask", cluster.scheduler_address)
        with Client(cluster) as client:  # type: ignore[no-untyped-call]
            assert len(client.scheduler_info()["workers"]) == 2
            began = client.run(lambda: "pipeline.tracks.stage" in __import__("sys").modules)
            assert any(began.values()), "the work was done there"
    assert content(tmp_path / "dask") == by_threads["content"]
    assert files(tmp_path / "dask") == by_threads["files"]


def workers(runner: str) -> dict[int, psutil.Process]:
    """Worker processes of this one's cluster."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if command.startswith(TITLES[runner]):
            found[process.pid] = process
    return found


def kill_one_at_work(runner: str, root: Path, killed: list[int]) -> None:
    """Kill the worker that has a decoder, once a shard of tracks is being written."""
    while not killed:
        time.sleep(0.02)
        if not list(root.glob("receipts/probe_videos/*")) or not list(root.glob("tmp/*")):
            continue
        at_work = workers(runner)
        for process in psutil.Process().children(recursive=True):
            try:
                if process.ppid() in at_work and "pipeline.videos.decoding" in process.cmdline():
                    at_work[process.ppid()].send_signal(signal.SIGKILL)
                    killed.append(process.ppid())
                    break
            except psutil.Error:
                continue


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_an_extra_that_is_missing_is_told_with_what_to_do(runner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, f"prefect_{runner}.task_runners", None)
    with (
        pytest.raises(ConfigError, match=rf'pip install "facescribe\[{runner}\]"'),
        shard_runners(Resources(runner=runner)),
    ):
        raise AssertionError("nothing can be computed")
