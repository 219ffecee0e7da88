"""Checkpoints: whole or not there, exact, and nothing in them that runs."""

from __future__ import annotations

import ast
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from pipeline.training.checkpoint import (
    KEPT,
    Place,
    checkpoints,
    read_checkpoint,
    remove_leftovers,
    restore_optimizer,
    state_of_optimizer,
    write_checkpoint,
)
from pipeline.training.errors import CheckpointError

ROOT = Path(__file__).parents[2]


def place(epoch: int = 0, batch: int = 0) -> Place:
    return Place(
        config_key="c", snapshot=3, clips_key="k", world_size=1, epoch=epoch, batch=batch, step=7, trained_s=1 / 3
    )


def test_what_was_written_comes_back_to_the_bit(tmp_path: Path) -> None:
    tensors = {
        "a/b": torch.randn(3, 5).T,
        "step": torch.tensor(4.0),
        "half": torch.randn(2).bfloat16(),
        "none": torch.zeros(0, 3),
        "numbers": torch.arange(3),
    }
    path = write_checkpoint(tmp_path / "checkpoints", place(2, 5), tensors)
    told, found = read_checkpoint(path)
    assert told == place(2, 5)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype


def test_the_last_ones_stay_in_the_order_of_the_training(tmp_path: Path) -> None:
    for epoch, batch in ((0, 5), (1, 0), (1, 12), (9, 0), (10, 0)):
        write_checkpoint(tmp_path, place(epoch, batch), {"a": torch.ones(1)})
    assert [path.stem for path in checkpoints(tmp_path)] == ["0009-000000", "0010-000000"]
    assert len(checkpoints(tmp_path)) == KEPT


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """Writing more than this into a file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_leaves_those_before_whole_and_nothing_else(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, place(0), {"a": torch.ones(10)})
    with files_of_at_most(10_000), pytest.raises(OSError):
        write_checkpoint(tmp_path, place(1), {"a": torch.ones(100_000)})
    assert [path.name for path in tmp_path.iterdir()] == ["0000-000000.safetensors"]
    assert read_checkpoint(checkpoints(tmp_path)[-1])[0] == place(0)


def test_a_killed_write_leaves_no_checkpoint_and_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".0001-000000.safetensors.1a2b3c4d").write_bytes(b"half")
    assert checkpoints(tmp_path) == []
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b"", lambda b: b"\x80\x04" + b[2:]])
def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path: Path, damage: object) -> None:
    path = write_checkpoint(tmp_path, place(), {"a": torch.ones(10)})
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(CheckpointError, match="0000-000000.safetensors is damaged .* delete it, and the same command"):
        read_checkpoint(path)


def test_an_optimizer_that_was_kept_takes_the_same_next_step() -> None:
    def begin() -> tuple[torch.nn.Linear, torch.optim.AdamW, dict[torch.Tensor, str]]:
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        names: dict[torch.Tensor, str] = {parameter: name for name, parameter in layer.named_parameters()}
        return layer, torch.optim.AdamW(layer.parameters(), lr=0.1), names

    def step(layer: torch.nn.Linear, optimizer: torch.optim.AdamW) -> None:
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    layer, optimizer, names = begin()
    step(layer, optimizer)
    kept, weights = state_of_optimizer(optimizer, names), {k: v.clone() for k, v in layer.state_dict().items()}
    kept = {name: tensor.clone() for name, tensor in kept.items()}
    other, again, other_names = begin()
    other.load_state_dict(weights)
    restore_optimizer(again, other_names, kept)
    step(layer, optimizer)
    step(other, again)
    assert torch.equal(layer.weight, other.weight) and torch.equal(layer.bias, other.bias)
    with pytest.raises(CheckpointError, match="a parameter 'strange' that the network lacks"):
        restore_optimizer(again, other_names, {"strange/exp_avg": torch.ones(1)})


def test_no_module_reads_or_writes_pickles() -> None:
    """A pickle runs what it says when it is read. torch.load and torch.save are pickles; so may numpy's be."""
    found = []
    for path in sorted([*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
                names = [f"torch.{node.attr}"]
            elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                names = [] if isinstance(node.value, ast.Constant) and node.value.value is False else ["allow_pickle"]
            bad = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "torch.load", "torch.save", "allow_pickle"}
            found += [f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {name}" for name in names if name in bad]
    assert not found, f"{found}: weights are safetensors, everything else Parquet or JSON"
