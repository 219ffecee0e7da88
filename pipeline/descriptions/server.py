"""Start the embedded language model server, `vllm serve` on a local folder, and stop all of it.

vLLM is a program here, never a module: it is started, asked over HTTP (`ask.py`) and stopped.
"""

from __future__ import annotations

import importlib.metadata
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.local_server import HOST, LocalServer, ServerError

NEVER_PASSED_ON = ("trust", "host", "load-format=", "config")
"""Beginnings of arguments that would undo what `_arguments` says about whom the server hears and what it runs."""


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
    max_images: int = 0
    """Most images in one request, for a vision-language model; a request with more is refused. 0: a text model."""
    more_arguments: tuple[str, ...] = ()
    """Handed to `vllm serve` after all others, such as `("--tensor-parallel-size", "2")`."""


class EmbeddedServer(LocalServer):
    """A `vllm serve` that lives no longer than this process."""

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings.log_path, settings.port)
        self.settings = settings

    @property
    def address(self) -> str:
        """The address of the OpenAI API, known before the server is up."""
        return f"{self.origin}/v1"

    def command(self) -> list[str]:
        """The `vllm` beside this Python, with its arguments.

        Raises:
            ServerError: vLLM or the model is missing.
        """
        if not (self.settings.model_folder / "config.json").is_file():
            raise ServerError(
                f"no model at {self.settings.model_folder}: convert it first, see pipeline/descriptions/model.py"
            )
        return [str(_vllm_program()), *_arguments(self.settings, self.port)]

    def environment(self) -> dict[str, str]:
        """vLLM's switches: offline, nothing reported, caches where the settings say."""
        return _environment(self.settings)


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


def _vllm_program() -> Path:
    program = Path(sys.executable).with_name("vllm")
    if not program.is_file():
        raise ServerError(f"no program {program}: run `make setup`, or name a server's address instead")
    return program


def _arguments(settings: ServerSettings, port: int) -> list[str]:
    for given in settings.more_arguments:
        if given.lstrip("-").replace("_", "-").startswith(NEVER_PASSED_ON):
            raise ServerError(
                f"{given} is not passed on: the server listens to this machine alone, and runs nothing out of a folder "
                "of weights; start `vllm serve` yourself where you need it, and name its address"
            )
    arguments = ["serve", str(settings.model_folder), "--served-model-name", settings.served_name]
    arguments += ["--host", HOST, "--port", str(port), "--max-model-len", str(settings.max_model_len)]
    # Otherwise the model folder's sampling defaults would apply, unseen by the request and so by its key.
    arguments += ["--generation-config", "vllm", "--disable-uvicorn-access-log"]
    # White space between JSON fields is part of no schema; a small model was seen to fill its answer with it.
    compact_json = {"backend": "xgrammar", "disable_any_whitespace": True}
    arguments += ["--structured-outputs-config", json.dumps(compact_json)]
    if "--load-format" not in settings.more_arguments:
        arguments += ["--load-format", "safetensors"]  # else a folder with pickles alone would be unpickled
    if settings.eager:
        arguments.append("--enforce-eager")
    if settings.max_images:
        arguments += ["--limit-mm-per-prompt", json.dumps({"image": settings.max_images})]
    if uses_gpu():
        arguments += ["--gpu-memory-utilization", str(settings.gpu_memory_fraction)]
    else:
        arguments.append("--no-enable-chunked-prefill")  # with it, a request's seed ends the whole CPU engine
    return [*arguments, *settings.more_arguments]


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
