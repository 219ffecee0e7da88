"""The other side of `decoding.py`: start decoder processes, lend them, and outlive what happens to them.

A process serves one video at a time and is kept for the next. Frames come through its standard output: measured at
640x360 that costs 0.3 ms a frame, which is too little to keep a ring of shared memory for.
"""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

HEADER = struct.Struct("<I")
"""Before each message: the bytes of its JSON. The picture after it is as large as the JSON's `shape` says."""

START_S = 60.0
"""Seconds that a process may take to start; it is slow only where the disk or the machine is."""

MOST_REQUESTS = 1000
"""After which a process is replaced: what decord and PyAV take and give back by turns leaves holes in its memory, some
20 KB for each video of 160 px that is probed. Starting another one takes a third of a second."""

STOP_S = 5.0
"""Seconds that a process may take to leave a video that nobody reads further, before it is killed."""

F_SETPIPE_SZ = 1031
PIPE_BYTES = 1 << 20
"""Most that Linux gives without privileges: fewer turns for each frame."""

ROOT = Path(__file__).parents[2]

KEPT = {
    *("PATH", "HOME", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD", "TZ"),
    *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE"),
    *("PYTHONPYCACHEPREFIX", "COVERAGE_PROCESS_START", "OMP_NUM_THREADS"),
}
"""What a decoder gets of the environment: keys of servers and stores lie there too, and it reads strangers' files."""

_idle: list[DecoderProcess] = []
# A forked process must not speak to its parent's decoders.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)


class DecoderLostError(Exception):
    """The process hung or is gone. `reason` is `decoder_hung` or `decoder_crashed`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@contextmanager
def borrow() -> Iterator[DecoderProcess]:
    """Lend a decoder process: one that is idle, or a new one. It is kept afterwards if it can be used again."""
    decoder = _take_idle() or DecoderProcess()
    try:
        yield decoder
    finally:
        if decoder.is_free_again() and decoder.num_requests < MOST_REQUESTS:
            _idle.append(decoder)
        else:
            decoder.kill()


def _take_idle() -> DecoderProcess | None:
    while True:
        try:
            decoder = _idle.pop()  # atomic: no lock is needed between threads
        except IndexError:
            return None
        if decoder.is_idle():
            return decoder
        decoder.kill()


class DecoderProcess:
    """One process of `decoding.py`, which ends when this one does, however that ends."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        self._start_error: OSError | None = None
        self._is_up = False
        self._number = 0
        self._is_busy = False
        self._is_in_step = True  # both sides know where the next message begins
        started = threading.Event()
        # Linux ends the child with the *thread* that started it, so that thread must live as long: it waits for it.
        threading.Thread(target=self._keep, args=(started,), name="decoder-process", daemon=True).start()
        started.wait()
        if self._start_error is not None:
            raise RuntimeError(f"the decoder process did not start: {self._start_error}") from self._start_error

    def _keep(self, started: threading.Event) -> None:
        try:
            self._process = self._start()
        except OSError as error:
            self._start_error = error
            return
        finally:
            started.set()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        # By path, and not from the current folder, which may hold a `pipeline` of somebody else.
        search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.videos.decoding", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            env={name: value for name, value in os.environ.items() if name in KEPT}
            | {"PYTHONPATH": search, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for us: shards under way are finished
        )
        assert process.stdin and process.stdout
        self._requests, self._answers = process.stdin, cast(FileIO, process.stdout)  # raw, for its bufsize is 0
        if sys.platform == "linux":
            import fcntl

            with suppress(OSError):
                fcntl.fcntl(self._answers, F_SETPIPE_SZ, PIPE_BYTES)
        self._waiting = select.poll()
        self._waiting.register(self._answers, select.POLLIN)
        return process

    @property
    def num_requests(self) -> int:
        """Requests that it was given so far."""
        return self._number

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def is_idle(self) -> bool:
        """Whether the process is there and waits for a request: then its pipe is open and empty."""
        return self._is_in_step and not self._is_busy and not self._waiting.poll(0)

    def ask(self, request: dict[str, Any]) -> None:
        """Begin a request; its answers are then received one by one, to the last."""
        self._number += 1
        self._is_busy = True
        self._send({**request, "number": self._number})

    def _send(self, message: dict[str, Any]) -> None:
        # A process that is gone is noticed where its answer is awaited.
        with suppress(BrokenPipeError):
            self._requests.write(json.dumps(message).encode() + b"\n")

    def receive(self, timeout_s: float) -> tuple[dict[str, Any], NDArray[np.uint8]]:
        """The next answer that says something, with its picture uint8 [H, W, 3] ([0] where it has none).

        Raises:
            DecoderLostError: nothing came for `timeout_s` seconds, or the process ended.
            RuntimeError: the process could not be started.
        """
        while True:
            limit_s = timeout_s if self._is_up else max(timeout_s, START_S)
            self._is_in_step = False  # and stays so where this is interrupted
            (json_bytes,) = HEADER.unpack(self._read(HEADER.size, limit_s).tobytes())
            message = json.loads(self._read(json_bytes, limit_s).tobytes())
            picture = self._read(message.get("shape", 0), limit_s)
            self._is_up = self._is_in_step = True
            self._is_busy = message["kind"] not in LAST
            if message["kind"] != "alive":
                return message, picture

    def _read(self, shape: int | tuple[int, ...], timeout_s: float) -> NDArray[np.uint8]:
        into = np.empty(shape, np.uint8)
        rest = into.reshape(-1).data
        while len(rest):
            if not self._waiting.poll(timeout_s * 1000):
                raise DecoderLostError("decoder_hung", f"no new frame in {timeout_s:g} s; the decoder was ended")
            count = self._answers.readinto(rest)
            if not count:
                raise self._how_it_ended()
            rest = rest[count:]
        return into

    def _how_it_ended(self) -> Exception:
        try:
            status = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return DecoderLostError("decoder_crashed", "the decoder process closed its output")
        if not self._is_up:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
            return RuntimeError(f"the decoder process did not start (status {status}): {''.join(last)}")
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return DecoderLostError("decoder_crashed", f"the decoder process ended with {how}")

    def is_free_again(self) -> bool:
        """Leave the request under way, if there is one, and tell whether the process can take another."""
        if not self._is_in_step:
            return False
        if not self._is_busy:
            return True
        self._send({"do": "stop", "number": self._number})
        try:
            while self._is_busy:  # the few frames that were decoded ahead
                self.receive(STOP_S)
        except (DecoderLostError, RuntimeError):
            return False
        return True

    def kill(self) -> None:
        """End the process; also one that is stopped or hangs. Not waited for: a lost disk may hold it even now."""
        self._process.kill()
        self._requests.close()
        self._answers.close()
        self._errors.close()


LAST = ("end", "refused", "failed")
"""Kinds of message that end a request."""
