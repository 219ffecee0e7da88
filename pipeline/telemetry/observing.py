"""What a run tells while it goes on, and at its end: opened once, by whichever command or flow comes first."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from importlib.metadata import PackageNotFoundError, version

from pipeline import progress
from pipeline.snapshot import Snapshot
from pipeline.stage import Resources
from pipeline.telemetry import metrics
from pipeline.telemetry.events import CorpusIs, Event, RunBegan, RunEnded, about, hearing, tell
from pipeline.telemetry.logs import STANDARD_ERROR, logging_to
from pipeline.telemetry.metrics import RunFigures, ServerFigures

_run: ContextVar[str] = ContextVar("_run", default="")
"""The run that is told of here, or nothing."""


@contextmanager
def observed(resources: Resources, root: str, *, flow_run: str = "") -> Iterator[Resources]:
    """Log what happens in the context, and publish its figures, as the resources say; give them the run's name.

    Within another `observed`, as a flow is in a command, this is the same run: lines only get `flow_run` besides.

    Args:
        resources: where the log goes, and the figures.
        root: the corpus that the run is on.
        flow_run: Prefect's id of the flow's run.

    Raises:
        OSError: the log or the file of figures cannot be written, or the port is taken.
    """
    facts = {"flow_run": flow_run} if flow_run else {}
    if outer := _run.get():
        with about(**facts):
            yield resources.model_copy(update={"run": outer})
        return
    run = flow_run or uuid.uuid4().hex
    if resources.log_file not in (None, STANDARD_ERROR):  # workers need not stand in the folder where the run began
        resources = resources.model_copy(update={"log_file": resources.log_file.absolute()})
    figures = RunFigures()
    registry = metrics.registry_of(figures, _servers)
    if resources.metrics_file is not None:
        figures.note_last_success(metrics.last_success(resources.metrics_file))
    with ExitStack() as stack:
        stack.enter_context(logging_to(resources.log_file, resources.log_level))
        stack.enter_context(metrics.served(registry, resources.metrics_port))
        stack.enter_context(about(run=run, **facts))
        stack.enter_context(hearing(figures.hear))
        stack.enter_context(progress.listening(figures.note_progress))
        token = _run.set(run)
        try:
            yield from _told(resources.model_copy(update={"run": run}), run, root)
        finally:
            _run.reset(token)
            if resources.metrics_file is not None:
                metrics.write(registry, resources.metrics_file)


def _told(resources: Resources, run: str, root: str) -> Iterator[Resources]:
    began = time.monotonic()
    tell(RunBegan(run=run, root=root, version=_version()))
    try:
        yield resources
    except BaseException as error:
        tell(RunEnded(seconds=time.monotonic() - began, error=type(error).__name__))
        raise
    tell(RunEnded(seconds=time.monotonic() - began))


def _servers() -> Iterable[ServerFigures]:
    from pipeline.descriptions.ask import fleet_figures  # heavy, and loaded anyway by a run that asks

    return fleet_figures()


def _version() -> str:
    try:
        return version("facescribe")
    except PackageNotFoundError:
        return "not installed"


def corpus_is(snapshot: Snapshot, *, is_new: bool) -> Event:
    """What a snapshot holds, as an event."""
    costs = snapshot.costs or {}
    return CorpusIs(
        snapshot=snapshot.number,
        is_new=is_new,
        rows=snapshot.counts,
        rejects=snapshot.rejects,
        num_waiting=sum(receipt.num_transient for receipt in snapshot.receipts),
        work_s={stage: cost.work_s for stage, cost in costs.items()},
        num_tokens={stage: cost.num_tokens for stage, cost in costs.items()},
    )
