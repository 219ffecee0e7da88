"""One run at a time on one corpus, whichever deployment or command it is of.

The guard is a lock on a file of the corpus, not a concurrency limit of Prefect: it holds for commands as well, which
know no such limit; it needs no server; and it ends with the process that holds it, even by `kill -9`, where a limit's
slot stays taken until its lease runs out, some minutes later.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.runtime import flow_run

from flows.observing import LOG
from pipeline import progress
from pipeline.store import Store

WAIT_S = 12 * 3600.0
"""Longest wait for the run before: a night."""


@contextmanager
def its_turn(store: Store) -> Iterator[None]:
    """Wait until no other run changes the corpus, and keep others waiting while the context is open.

    Raises:
        CorpusInUseError: the other run did not end.
    """
    who = f"{flow_run.flow_name} {flow_run.name} (process {os.getpid()} of {socket.gethostname()})"
    waited_for: list[str] = []

    def tell(message: str) -> None:
        waited_for.append(message)
        LOG.warning("%s", message)
        print(f"facescribe: {message}", file=sys.stderr)  # a command shows no log
        progress.report("wait_for_other_run", 0, done=0, total=1)

    with store.turn(who, wait_s=WAIT_S, on_wait=tell):
        if waited_for:
            progress.report("wait_for_other_run", 0, done=1, total=1)
        yield
