"""The Prefect API that a command runs its flow against: the one the user's settings name, or one for its own length.

Prefect starts a temporary server by itself where none is set. That one outlives a killed command; this one does not.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from filelock import FileLock
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from pipeline import progress
from pipeline.local_server import HOST, LocalServer, ServerError

START_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 30.0
"""Longest wait for a server that the settings name: it may just be starting again."""


class PrefectServer(LocalServer):
    """Prefect's API on loopback, without its pages, with the database of the user's Prefect home."""

    health_path = "/api/health"

    def command(self) -> list[str]:
        """The API under uvicorn, as Prefect starts its temporary server."""
        options = ["--host", HOST, "--port", str(self.port), "--log-level", "error", "--lifespan", "on"]
        return [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", *options]

    def environment(self) -> dict[str, str]:
        """No pages to serve, and the switches that tell Prefect that the server is temporary."""
        return {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


@contextmanager
def prefect_api() -> Iterator[None]:
    """Make sure that there is an API while the context is open; start one only where none is set.

    Raises:
        ServerError: the server did not come up, or nothing answers where the settings say that one is.
    """
    if address := PREFECT_API_URL.value():
        _wait_for(address)
        yield
        return
    home = PREFECT_HOME.value()
    home.mkdir(parents=True, exist_ok=True)
    with (
        # Two servers that make or upgrade the same database at the same moment both fail.
        FileLock(home / "facescribe-start.lock", timeout=START_TIMEOUT_S) as starts,
        tempfile.TemporaryDirectory(prefix="facescribe-") as folder,
        PrefectServer(Path(folder) / "prefect.log") as server,
    ):
        progress.report("start_prefect", 0, done=0, total=1)
        server.wait_until_ready(START_TIMEOUT_S)
        starts.release()
        progress.report("start_prefect", 0, done=1, total=1)
        # Logs kept by a server that ends with the command would be read by nobody.
        with temporary_settings({PREFECT_API_URL: f"{server.origin}/api", PREFECT_LOGGING_TO_API_ENABLED: False}):
            yield


def _wait_for(address: str) -> None:
    """Return once anything answers there. Prefect itself would say so after as long, with a traceback."""
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while True:
        try:
            httpx.get(f"{address}/health", timeout=5)  # whatever it answers: flows say better what it does not like
            return
        except httpx.TransportError as error:
            if time.monotonic() > deadline:
                message = f"no Prefect server answers at PREFECT_API_URL = {address} ({error}): start it, or unset"
                raise ServerError(f"{message} PREFECT_API_URL, and one is started for the run") from error
            time.sleep(0.5)
