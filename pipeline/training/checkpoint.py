"""Keep all that a training needs to go on, and its weights, as safetensors: numbers and JSON, nothing that runs.

A checkpoint is one file, so that its parts cannot be of different moments: tensors, and in the header the JSON of where
the training stood. It is written beside, flushed, and renamed.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pipeline.training.errors import CheckpointError

KEPT = 2
"""Checkpoints that stay; older ones are deleted after a newer one has its name."""

_NAME = re.compile(r"\A(\d{4,})-(\d{6,})\.safetensors\Z")


class Place(BaseModel):
    """Where a training stood: `batch` batches of `epoch` were learnt, `step` in all; what it had found until then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config_key: str
    snapshot: int | None
    clips_key: str
    world_size: int
    epoch: int
    batch: int
    step: int
    best_epoch: int | None = None
    best_uar: float | None = None
    trained_s: float = 0.0


def write_checkpoint(folder: Path, place: Place, tensors: Mapping[str, Tensor]) -> Path:
    """Write a checkpoint and delete those before the last KEPT. Raises OSError; then those before are untouched."""
    path = folder / f"{place.epoch:04d}-{place.batch:06d}.safetensors"
    write_tensors(path, tensors, {"place": place.model_dump_json()})
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Those that there are, oldest first."""
    found = [path for path in folder.glob("*.safetensors") if _NAME.match(path.name)]
    return sorted(found, key=lambda path: tuple(map(int, path.stem.split("-"))))


def read_checkpoint(path: Path) -> tuple[Place, dict[str, Tensor]]:
    """Where the training stood, and its tensors.

    Raises:
        CheckpointError: the file is damaged, or none of ours.
    """
    tensors, said = read_tensors(path)
    try:
        return Place.model_validate_json(said["place"]), tensors
    except (KeyError, ValueError) as error:
        raise CheckpointError(_damaged(path, error)) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], said: Mapping[str, str]) -> None:
    """Write tensors with words in the header. The name appears when the file is whole."""
    plain = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in tensors.items()}
    encoded = save(plain, dict(said))
    with appearing_whole(path) as temporary:
        temporary.write_bytes(encoded)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and the words in the header. Raises CheckpointError or OSError."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(_damaged(path, error)) from error


@contextmanager
def appearing_whole(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to; it gets the name when the context ends without an error, and is gone else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def remove_leftovers(folder: Path) -> None:
    """Delete what killed runs were writing. For who holds the folder's lock."""
    for path in folder.rglob(".*.????????"):
        if path.is_file():
            path.unlink(missing_ok=True)


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write JSON for people and programs to read; the name appears when the file is whole."""
    with appearing_whole(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")


def state_of_optimizer(optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
    """What the optimizer remembers of each parameter, by the parameter's name."""
    kept = {}
    for parameter, state in optimizer.state.items():
        for what, value in state.items():
            kept[f"{names[parameter]}/{what}"] = torch.as_tensor(value)
    return kept


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str], kept: Mapping[str, Tensor]
) -> None:
    """Remember again what `state_of_optimizer` told. Raises CheckpointError if a parameter is unknown."""
    parameters = {name: parameter for parameter, name in names.items()}
    for key, value in kept.items():
        name, _, what = key.rpartition("/")
        if name not in parameters:
            raise CheckpointError(f"the checkpoint has a parameter {name!r} that the network lacks")
        parameter = parameters[name]
        # `step` stays where AdamW keeps it: on the CPU
        optimizer.state[parameter][what] = value if what == "step" else value.to(parameter.device)


def _damaged(path: Path, error: Exception) -> str:
    words = str(error).splitlines()
    return (
        f"{path} is damaged ({type(error).__name__}: {words[0] if words else 'no words'}): delete it, and the same "
        "command goes on from the checkpoint before, or begins anew if there is none"
    )
