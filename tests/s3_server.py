"""A server that speaks S3 on this machine: moto's.

It is looked for in this environment and in build/s3, where `python -m venv build/s3` and
`build/s3/bin/pip install "moto[server]"` put it without touching this one.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.assets import cache_folder
from pipeline.shard_cache import NAME

PYTHONS = [Path(sys.executable), Path(__file__).parents[1] / "build" / "s3" / "bin" / "python"]


@contextmanager
def s3_server() -> Iterator[str]:
    """host:port of an S3 server that ends with the context. Skips the test where there is none."""
    able = [
        p
        for p in PYTHONS
        if p.exists() and not subprocess.run([p, "-c", "import moto.server"], capture_output=True).returncode
    ]
    if not able:
        pytest.skip('no S3 server: `pip install "moto[server]"` here or in a venv at build/s3')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(able[0]), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
                    break
                except OSError:
                    assert server.poll() is None and time.monotonic() < deadline, "the S3 server did not start"
                    time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            forget_cached(f"127.0.0.1:{port}")


def forget_cached(place: str) -> None:
    """Delete what this machine's cache holds of corpora at a host:port that nobody will ask again."""
    for name in (cache_folder() / "corpora").glob(f"*/{NAME}"):
        if f"//{place}/" in name.read_text(encoding="utf-8"):
            shutil.rmtree(name.parent, ignore_errors=True)
