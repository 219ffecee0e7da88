"""Turn the packaged GGUF weights, once, into the Hugging Face folder that `vllm serve` loads without a network.

    python -m pipeline.descriptions.model GGUF FOLDER

A process of its own keeps torch, a gigabyte of memory while it converts, out of the caller's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock

ORIGIN_NAME = "origin.json"
"""The file in a converted folder that says which GGUF file it came from."""


class ModelError(RuntimeError):
    """The weights cannot be converted: the message names the file, what is wrong and what to do."""


def convert_gguf(gguf: Path, folder: Path) -> Path:
    """The folder with `gguf` as bfloat16 safetensors, tokenizer and chat template; converted unless it is there.

    It is written beside its place and renamed whole, so that an interrupted conversion is never taken for a finished
    one. A second process that asks for the same folder waits for the first.

    Raises:
        ModelError: the file is missing or no GGUF, it has no chat template, or `folder` holds something else.
    """
    if not gguf.is_file():
        raise ModelError(f"no weights at {gguf}: fetch the assets first")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        origin = {"file": gguf.name, "sha256": _sha256(gguf)}
        if folder.exists():
            _refuse_another_origin(folder, origin)
            return folder
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of an interrupted conversion; the lock says nobody is at it
        _convert(gguf, partial)
        (partial / ORIGIN_NAME).write_text(json.dumps(origin, indent=2) + "\n")
        partial.rename(folder)
    return folder


def origin_of(folder: Path) -> dict[str, str]:
    """`file` and `sha256` of the GGUF file that `folder` was converted from: the revision of the weights.

    Raises:
        ModelError: the folder was not written by `convert_gguf`.
    """
    try:
        return dict(json.loads((folder / ORIGIN_NAME).read_text()))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{folder} is no converted model, its {ORIGIN_NAME} is missing or damaged: {error}") from None


def _refuse_another_origin(folder: Path, origin: dict[str, str]) -> None:
    got = origin_of(folder)
    if got["sha256"] != origin["sha256"]:
        raise ModelError(
            f"{folder} was converted from {got['file']} (sha256 {got['sha256'][:16]}), "
            f"expected {origin['file']} (sha256 {origin['sha256'][:16]}): remove it or name another folder"
        )


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where, name = str(gguf.parent), gguf.name
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(where, gguf_file=name, local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(
            where,
            gguf_file=name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
            local_files_only=True,
        )
    except (ValueError, OSError, KeyError) as error:
        raise ModelError(f"{gguf} cannot be read as GGUF weights of a known architecture: {error}") from error
    if not tokenizer.chat_template:
        raise ModelError(f"{gguf} has no chat template, so it is a base model: take the instruct version")
    model.hf_quantizer = None  # the weights are dense by now, but with it transformers refuses to save them
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """The command line: convert and print the folder."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.descriptions.model", description="Convert GGUF weights.")
    parser.add_argument("gguf", type=Path, help="the weights, one .gguf file")
    parser.add_argument("folder", type=Path, help="where the converted model shall be")
    arguments = parser.parse_args()
    sys.stdout.write(f"{convert_gguf(arguments.gguf, arguments.folder)}\n")


if __name__ == "__main__":
    main()
