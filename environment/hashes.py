"""Write beside each version of the lock the SHA-256 of the files that pip may install for it: it takes no other.

    python environment/hashes.py environment/cpu.lock

Asked is pip's own index. Kept are the files for CPython 3.11 on Linux, on x86-64 and on ARM; a source archive only
where there is no such wheel. torch and torchvision stay without: which build of them fits is the index' matter, and not
every index has the same. So they lie in a lock of their own, environment/torch.lock.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_wheel_filename
from pip._internal.models.index import PyPI

MACHINES = ("_x86_64", "_aarch64")
LIST = "application/vnd.pypi.simple.v1+json"


def main() -> None:
    """Rewrite the lock with hashes."""
    lock = Path(sys.argv[1])
    lines = lock.read_text(encoding="utf-8").splitlines()
    pins = [line.split(" ")[0] for line in lines if line and not line.startswith(("#", " "))]
    index = _index()
    with ThreadPoolExecutor(8) as pool:
        hashes = pool.map(lambda pin: _hashes(index, *pin.split("==")), pins)
        pinned = [
            " \\\n    ".join([pin, *(f"--hash=sha256:{one}" for one in found)])
            for pin, found in zip(pins, hashes, strict=True)
        ]
    head = [line for line in lines if line.startswith("#")]
    lock.write_text("\n".join([*head, *pinned]) + "\n", encoding="utf-8")


def _index() -> str:
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    return (told.stdout.strip() or PyPI.simple_url).rstrip("/")


def _hashes(index: str, name: str, version: str) -> list[str]:
    request = urllib.request.Request(f"{index}/{canonicalize_name(name)}/", headers={"Accept": LIST})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = [one for one in json.load(answer)["files"] if "sha256" in one["hashes"]]
    wheels, sources = [], []
    for one in files:
        filename: str = one["filename"]
        if filename.endswith(".whl"):
            try:
                _, of, _, tags = parse_wheel_filename(filename)
            except ValueError:
                continue
            if str(of) == version and any(map(_fits, tags)):
                wheels.append(one["hashes"]["sha256"])
        elif filename.endswith((f"-{version}.tar.gz", f"-{version}.zip")):
            sources.append(one["hashes"]["sha256"])
    if not (found := sorted(wheels or sources)):
        raise SystemExit(
            f"the index has no file of {name} {version} for this Python, with a hash: choose another version"
        )
    return found


def _fits(tag: Tag) -> bool:
    is_ours = tag.interpreter in {"py3", "cp311"} or (tag.abi == "abi3" and tag.interpreter.startswith("cp3"))
    return is_ours and (tag.platform == "any" or ("linux" in tag.platform and tag.platform.endswith(MACHINES)))


if __name__ == "__main__":
    main()
