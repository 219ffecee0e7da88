"""A flow's run as it is observed: one run with the command around it, and its log on Prefect's pages too."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from pipeline.stage import Resources
from pipeline.telemetry.events import LOG, facts_here
from pipeline.telemetry.observing import observed

__all__ = ["LOG", "observed_flow"]


class _ToRunLog(logging.Handler):
    """Gives lines to the log of the flow or task that they belong to, which Prefect's pages show.

    Those that speak of a unit are left out: Prefect's server keeps them, and a video that is taken down shall not have
    been named to it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if "unit" in {**facts_here(), **getattr(record, "facts", {})}:
            return
        try:
            get_run_logger().log(record.levelno, "%s", record.getMessage())
        except MissingContextError:
            return  # no run of Prefect's


if not any(isinstance(handler, _ToRunLog) for handler in LOG.handlers):
    LOG.addHandler(_ToRunLog())


@contextmanager
def observed_flow(resources: Resources, root: Path | str) -> Iterator[Resources]:
    """Log what happens in the flow's run, and publish its figures, as the resources say; give them the run's name.

    Raises:
        OSError: the log or the file of figures cannot be written, or the port is taken.
    """
    with observed(resources, str(root), flow_run=str(flow_run.id or "")) as told:
        yield told
