"""What computes shards: threads of the flow's process, or processes of a Dask or Ray cluster, of one or many machines.

A cluster of this machine is made for one run and ends with it. Whoever may send it work may run any code, so that it
asks who connects for what only this process and its workers know: Dask, on loopback only, for a certificate; Ray, which
listens on all addresses whatever it is told, for a token.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from pipeline.local_server import HOST
from pipeline.stage import Resources
from pipeline.walk import ConfigError

REPOSITORY = Path(__file__).parents[1]
"""Where the code lies that worker processes import."""

RAY_HOST = "127.0.0.2" if sys.platform == "linux" else HOST
"""Where its parts look for each other: of 127.0.0.1 Ray would make the address that other machines see."""

RAY_TOKEN = secrets.token_hex(32)
"""What processes of this one's Ray clusters know each other by."""

_shown: set[str] = set()
"""Holds the token once Ray knows it."""

RAY_OBJECTS_BYTES = 128 << 20
"""Of Ray's store of what tasks give each other: ours give receipts, and read and write the corpus themselves."""


@dataclass(frozen=True)
class Runners:
    """Who does the work of a run."""

    computing: TaskRunner[Any]
    asking: TaskRunner[Any]
    """Of shards that ask a language model: always threads of the flow's process, so that there is one bound of requests
    for all of them, one memory of which server lives, one writer of the journal, and no server's key elsewhere."""

    @property
    def are_elsewhere(self) -> bool:
        """Whether shards are computed by other processes."""
        return self.computing is not self.asking


@contextmanager
def shard_runners(resources: Resources) -> Iterator[Runners]:
    """Start what the resources name, and end it with the context.

    Raises:
        ConfigError: the extra of that name is not installed.
    """
    threads: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner()
    with threads:
        if resources.runner == "threads":
            yield Runners(threads, threads)
            return
        cluster = _dask(resources) if resources.runner == "dask" else _ray(resources)
        with cluster as processes:
            yield Runners(processes, threads)


@contextmanager
def _dask(resources: Resources) -> Iterator[TaskRunner[Any]]:
    try:
        from distributed import LocalCluster
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise _not_installed("dask", error) from error
    if resources.cluster is not None:
        with DaskTaskRunner(address=resources.cluster) as runner:
            yield runner
        return
    local = {
        "n_workers": resources.workers,
        "threads_per_worker": 1,  # networks and OpenCV hold the interpreter's lock longer than threads would gain
        "processes": True,
        "host": HOST,
        "security": True,  # certificates of its own: loopback is open to everybody on the machine
        "dashboard_address": None,
        "memory_limit": 0,  # shards bound their memory themselves; a worker that is ended at a limit would do so again
        "silence_logs": logging.ERROR,
    }
    with _importable(), DaskTaskRunner(cluster_class=LocalCluster, cluster_kwargs=local) as runner:
        yield runner


@contextmanager
def _ray(resources: Resources) -> Iterator[TaskRunner[Any]]:
    if resources.cluster is not None:
        with _ray_runner(address=resources.cluster) as runner:
            yield runner
        return
    local = {
        "num_cpus": resources.workers,
        "_node_ip_address": RAY_HOST,
        "include_dashboard": False,
        "object_store_memory": RAY_OBJECTS_BYTES,
        "logging_level": "ERROR",
        "log_to_driver": False,
    }
    # Ray looks once in a process, when it is imported, how it shall show who it is.
    own = (
        {}
        if "ray" in sys.modules and RAY_TOKEN not in _shown
        else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": RAY_TOKEN}
    )
    _shown.update(own.values())
    with _importable(), _environment({"RAY_USAGE_STATS_ENABLED": "0", **own}), _ray_runner(init_kwargs=local) as runner:
        yield runner


def _ray_runner(**how: Any) -> AbstractContextManager[TaskRunner[Any]]:
    try:
        import ray  # noqa: F401 - the runner imports it when it is used, which is too late for a good message
        from prefect_ray.task_runners import RayTaskRunner  # type: ignore[import-untyped]
    except ImportError as error:
        raise _not_installed("ray", error) from error
    runner: AbstractContextManager[TaskRunner[Any]] = RayTaskRunner(**how)
    return runner


def _not_installed(name: str, error: ImportError) -> ConfigError:
    return ConfigError(
        f'[resources] runner = "{name}" needs the extra of that name ({error}): pip install "facescribe[{name}]"'
    )


@contextmanager
def _importable() -> Iterator[None]:
    """Let processes that start meanwhile import this very code, wherever they start."""
    search = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    with _environment({"PYTHONPATH": search}):
        yield


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
