"""Start the embedded language model server, `vllm serve` on a local folder, and stop all of it.

vLLM is a program here, never a module: it is started, asked over HTTP (`ask.py`) and stopped. What is started is
`supervise.py`, which owns the server's processes, so that none of them outlives this process however it ends.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn
from urllib.parse import urlsplit

import httpx

HOST = "127.0.0.1"
STOP_GRACE_S = 15.0
"""Seconds from SIGTERM to SIGKILL. vLLM needs about two."""
POLL_S = 0.25
LOG_TAIL_LINES = 30


class ServerError(RuntimeError):
    """The embedded server is not there: the message says why, where its log is, and how the log ends."""


@dataclass(frozen=True)
class ServerSettings:
    """What is served, and with how much of the machine."""

    model_folder: Path
    """A Hugging Face folder on this machine, as `model.convert_gguf` writes it."""
    served_name: str
    """The model's name in requests."""
    cache_folder: Path
    """Where compiled kernels are kept between starts."""
    log_path: Path
    """Everything the server prints. Overwritten by each start."""
    port: int | None = None
    """None takes a free one."""
    max_model_len: int = 2048
    """Most tokens of a prompt and its answer together."""
    kv_cache_gib: int = 1
    """Memory for attention keys and values, CPU only; 1 GiB holds 46,592 tokens of SmolLM2-135M."""
    gpu_memory_fraction: float = 0.9
    """Share of the GPU's memory that vLLM takes, GPU only."""
    eager: bool = True
    """Start without compiling: up sooner, answers slower. Compiling pays from some thousands of requests on."""


class EmbeddedServer:
    """A `vllm serve` that lives no longer than this process; use it in a `with`, or `start` and `stop` it."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.port = settings.port or _free_port()
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """The address of the OpenAI API, known before the server is up."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def pid(self) -> int | None:
        """The supervising process: all of the server is below it. None when not started."""
        return self._supervisor.pid if self._supervisor else None

    def start(self) -> None:
        """Start the program and return at once.

        Raises:
            ServerError: vLLM is not installed, the model folder is missing, the port is taken, or it was started already.
        """
        if self._supervisor is not None:
            raise ServerError(f"the server at {self.address} was started already")
        if not (self.settings.model_folder / "config.json").is_file():
            raise ServerError(
                f"no model at {self.settings.model_folder}: convert it first, see pipeline/descriptions/model.py"
            )
        if _is_taken(self.port):  # else the other program's /health would pass for ours
            raise ServerError(f"port {self.port} of {HOST} is taken by another program: end it or give another port")
        command = [str(_vllm_program()), *_arguments(self.settings, self.port)]
        self.settings.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.settings.log_path.open("wb") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", str(_SUPERVISE), str(os.getpid()), str(STOP_GRACE_S), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | _environment(self.settings),
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
            while not _answers(client, self.address):
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

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _log_tail(self) -> str:
        lines = self.settings.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return f"its log {self.settings.log_path} ends with:\n" + "\n".join(f"    {line}" for line in lines)


def serve_in_foreground(settings: ServerSettings, *, timeout_s: float, say: Callable[[str], None] = print) -> None:
    """Serve until Ctrl-C or SIGTERM, for `facescribe serve`; says the address once it answers. Main thread only.

    Raises:
        ServerError: the server did not come up, or ended by itself.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with EmbeddedServer(settings) as server:
        try:
            say(f"starting {settings.served_name}, log in {settings.log_path}")
            server.wait_until_ready(timeout_s)
            say(f"{settings.served_name} answers at {server.address}; Ctrl-C stops it")
            server.run_to_its_end()
        except KeyboardInterrupt:
            say("stopping")


def uses_gpu() -> bool:
    """Whether the installed vLLM runs on a GPU: the CPU build says so in its version, and has no GPU kernels.

    Raises:
        ServerError: vLLM is not installed.
    """
    try:
        return not importlib.metadata.version("vllm").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        raise ServerError("vLLM is not installed here: run `make setup`, or name a server's address instead") from None


_SUPERVISE = Path(__file__).with_name("supervise.py")


def _vllm_program() -> Path:
    program = Path(sys.executable).with_name("vllm")
    if not program.is_file():
        raise ServerError(f"no program {program}: run `make setup`, or name a server's address instead")
    return program


def _arguments(settings: ServerSettings, port: int) -> list[str]:
    arguments = ["serve", str(settings.model_folder), "--served-model-name", settings.served_name]
    arguments += ["--host", HOST, "--port", str(port), "--max-model-len", str(settings.max_model_len)]
    # Otherwise the model folder's sampling defaults would apply, unseen by the request and so by its key.
    arguments += ["--generation-config", "vllm", "--disable-uvicorn-access-log"]
    # White space between JSON fields is part of no schema; a small model was seen to fill its answer with it.
    compact_json = {"backend": "xgrammar", "disable_any_whitespace": True}
    arguments += ["--structured-outputs-config", json.dumps(compact_json)]
    if settings.eager:
        arguments.append("--enforce-eager")
    if uses_gpu():
        arguments += ["--gpu-memory-utilization", str(settings.gpu_memory_fraction)]
    else:
        arguments.append("--no-enable-chunked-prefill")  # with it, a request's seed ends the whole CPU engine
    return arguments


def _environment(settings: ServerSettings) -> dict[str, str]:
    cache = settings.cache_folder.absolute()
    return {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CACHE_ROOT": str(cache / "vllm"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "torchinductor"),
        "VLLM_USE_AOT_COMPILE": "0",  # in 0.32 its cache fails to load: the second start is as slow as the first
        "VLLM_CPU_KVCACHE_SPACE": str(settings.kv_cache_gib),
    }


def _free_port() -> int:
    """A port that nobody listens on, below those that the kernel gives to outgoing connections.

    vLLM binds it only seconds later; from the kernel's own range another program's connection could take it meanwhile.
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


def _answers(client: httpx.Client, address: str) -> bool:
    try:
        return client.get(f"http://{urlsplit(address).netloc}/health").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
