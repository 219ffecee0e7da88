"""An HTTP server of this machine, started as a program and ended with this process, however that ends.

What is started is `supervise.py`, which owns the program's processes, so that none of them outlives this one.
"""

from __future__ import annotations

import atexit
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import httpx

HOST = "127.0.0.1"
STOP_GRACE_S = 15.0
"""Seconds from SIGTERM to SIGKILL."""
POLL_S = 0.25
LOG_TAIL_LINES = 30

_SUPERVISE = Path(__file__).with_name("supervise.py")


class ServerError(RuntimeError):
    """A server of this machine is not there: the message says why, where its log is, and how the log ends."""


class LocalServer:
    """A program that serves HTTP on loopback; use it in a `with`, or `start` and `stop` it.

    A subclass says what to start (`command`, `environment`) and where its health is asked (`health_path`).
    """

    health_path = "/health"

    def __init__(self, log_path: Path, port: int | None = None) -> None:
        self.log_path = log_path
        self.port = port or free_port()
        self._supervisor: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        """The program and its arguments. Raises ServerError when something that it needs is missing."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """What is set for the program beside this process's own environment."""
        return {}

    @property
    def origin(self) -> str:
        """The server's address without a path, known before it is up."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The supervising process: all of the server is below it. None when not started."""
        return self._supervisor.pid if self._supervisor else None

    def start(self) -> None:
        """Start the program and return at once.

        Raises:
            ServerError: something it needs is missing, the port is taken, or it was started already.
        """
        if self._supervisor is not None:
            raise ServerError(f"the server at {self.origin} was started already")
        if _is_taken(self.port):  # else the other program's health would pass for ours
            raise ServerError(f"port {self.port} of {HOST} is taken by another program: end it or give another port")
        command = [str(os.getpid()), str(STOP_GRACE_S), *self.command()]
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("wb") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", str(_SUPERVISE), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment()},
                start_new_session=True,  # Ctrl-C reaches the owner only, which stops the server in order
            )
        atexit.register(self.stop)

    def wait_until_ready(self, timeout_s: float) -> None:
        """Return once the server answers.

        Raises:
            ServerError: it was not started, ended, or did not answer in time (it is stopped then).
        """
        if self._supervisor is None:
            raise ServerError("the server was not started: call start() first")
        deadline = time.monotonic() + timeout_s
        with httpx.Client(trust_env=False, timeout=2.0) as client:  # a proxy would not find our loopback
            while not self._answers(client):
                if (status := self._supervisor.poll()) is not None:
                    raise ServerError(f"the server ended with status {status} before it answered; {self._log_tail()}")
                if time.monotonic() > deadline:
                    self.stop()
                    raise ServerError(f"the server did not answer within {timeout_s:.0f} s; {self._log_tail()}")
                time.sleep(POLL_S)

    def run_to_its_end(self) -> NoReturn:
        """Wait for as long as the server runs.

        Raises:
            ServerError: it ended, which it never does by itself when all is well.
        """
        if self._supervisor is None:
            raise ServerError("the server was not started: call start() first")
        raise ServerError(f"the server ended with status {self._supervisor.wait()}; {self._log_tail()}")

    def stop(self) -> None:
        """End every process of the server and wait until they are gone. Does nothing where none runs."""
        atexit.unregister(self.stop)
        if self._supervisor is None:
            return
        self._supervisor.terminate()
        self._supervisor.wait()
        self._supervisor = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _answers(self, client: httpx.Client) -> bool:
        try:
            return client.get(self.origin + self.health_path).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return f"its log {self.log_path} ends with:\n" + "\n".join(f"    {line}" for line in lines)


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel gives to outgoing connections.

    A server binds it only seconds later; from the kernel's own range another program's connection could take it.

    Raises:
        ServerError: a hundred ports tried, and all are taken.
    """
    for port in random.SystemRandom().sample(range(20000, 32000), k=100):
        with socket.socket() as candidate:
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerError(f"no free port on {HOST} among 100 tried between 20000 and 32000: give one as `port`")


def _is_taken(port: int) -> bool:
    with socket.socket() as candidate:
        return candidate.connect_ex((HOST, port)) == 0
