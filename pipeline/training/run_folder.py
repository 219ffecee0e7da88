"""A training's folder: what it was made of, how far it is, what came out.

run.json                 config, labels, snapshot, keys, software, state
split.parquet            the part of each clip
plan.parquet             which clips an epoch draws, and how often
checkpoints/*.safetensors  the last ones, to go on from
metrics.parquet          every logged figure; tensorboard/ has the same for TensorBoard
weights.safetensors      what the training gives, when it is over
predictions/, report.html  what `facescribe evaluate` adds
lock                     held by the run that works here; empty
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.training.checkpoint import read_tensors, write_json
from pipeline.training.config import TrainConfig, content_of
from pipeline.training.errors import CheckpointError, RunError
from pipeline.training.sampling import SamplingPlan
from pipeline.training.splits import SplitPlan

if TYPE_CHECKING:
    from pipeline.model.network import GraceNetwork
    from pipeline.model.text import TextTower

SOFTWARE = ("facescribe", "torch", "transformers", "peft", "numpy", "pyarrow", "safetensors")


class RunFacts(BaseModel):
    """What run.json says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["facescribe run"] = "facescribe run"
    version: Literal[1] = 1
    state: Literal["training", "done"] = "training"
    config: TrainConfig
    config_key: str
    labels: tuple[str, ...]
    prior: tuple[float, ...]
    """Share of each label among the clips that an epoch draws."""
    corpus: str
    snapshot: int
    clips_key: str
    split_key: str
    plan_key: str
    weights: dict[str, str]
    """SHA-256 of pretrained weights that the network stands on, by what they are."""
    software: dict[str, str]
    device: str
    precision: str
    started_at: str
    epochs_done: int = 0
    steps_done: int = 0
    kept_epoch: int | None = None
    """The epoch that weights.safetensors is of, counted from 0."""
    trained_s: float = 0.0
    validation: dict[str, float] = {}
    """Figures of the kept weights on the validation clips."""


class RunFolder:
    """A run that lies at `path`. Reading needs no lock: every file is whole when it has its name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """An existing run.

        Raises:
            RunError: there is none, or run.json is damaged.
        """
        run = cls(Path(path))
        _ = run.facts
        return run

    @property
    def is_begun(self) -> bool:
        """Whether a run is here."""
        return (self.path / "run.json").exists()

    @cached_property
    def facts(self) -> RunFacts:
        """run.json, as it was when it was first looked at."""
        return self.read_facts()

    def read_facts(self) -> RunFacts:
        """run.json as it is now. Raises RunError."""
        path = self.path / "run.json"
        try:
            return RunFacts.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise RunError(f"no run at {self.path}: `facescribe train --out {self.path}` makes one") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise RunError(
                f"{path} is damaged or of another version ({place}: {first['msg']}): restore it from a backup, or "
                "train into another folder"
            ) from error

    def write_facts(self, facts: RunFacts) -> None:
        """Say how the run stands."""
        write_json(self.path / "run.json", facts.model_dump(mode="json"))
        self.__dict__["facts"] = facts

    @property
    def config(self) -> TrainConfig:
        """What was learnt, and how."""
        return self.facts.config

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return self.facts.labels

    @property
    def split(self) -> SplitPlan:
        """Which clips trained, which validated, which test."""
        return SplitPlan.read(self.path / "split.parquet")

    @property
    def plan(self) -> SamplingPlan:
        """Which clips an epoch draws."""
        return SamplingPlan.read(self.path / "plan.parquet")

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        """The file of the weights that the training gives."""
        return self.path / "weights.safetensors"

    @property
    def is_done(self) -> bool:
        """Whether the training is over, and its weights are here."""
        return self.facts.state == "done" and self.weights.exists()

    def text_tower(self) -> TextTower:
        """The frozen reader of texts that the network was trained with. Raises RunError where it is another now."""
        from pipeline.model.text import load_text_tower

        tower = load_text_tower(self.config.model)
        self._refuse_other("text tower", tower.key)
        return tower

    def load_network(self, device: torch.device | str = "cpu", text_tower: TextTower | None = None) -> GraceNetwork:
        """The trained network, ready to be asked.

        Raises:
            RunError: the training is not over, or pretrained weights are others than it was trained on.
            CheckpointError: the file of the weights is damaged.
        """
        from pipeline.model.network import build_network

        if not self.is_done:
            raise RunError(
                f"the training at {self.path} is not over ({self.facts.epochs_done} of {self.config.epochs} epochs): "
                "the command that began it goes on"
            )
        for what, content in pretrained_weights(self.config).items():
            self._refuse_other(what, content)
        network = build_network(self.config.model, self.labels, text_tower or self.text_tower())
        tensors, _ = read_tensors(self.weights)
        load_learnt(network, tensors, self.weights)
        return network.to(device).eval()

    def _refuse_other(self, what: str, content: str) -> None:
        then = self.facts.weights.get(what)
        if then != content:
            raise RunError(
                f"the run at {self.path} was trained on a {what} of content {then}, here it is {content}: put the "
                "former one back"
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Work here alone. The lock ends with the process.

        Raises:
            RunError: another run works here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"another training works in {self.path}: wait for its end, or give this one another folder with --out"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def refuse_strangers(self) -> None:
        """Raise RunError if the folder holds something that is no run."""
        known = {"lock", "checkpoints", "split.parquet", "plan.parquet", "tensorboard", "metrics.parquet"}
        strangers = sorted(p.name for p in self.path.iterdir() if p.name not in known and not p.name.startswith("."))
        if not self.is_begun and strangers:
            raise RunError(
                f"{self.path} is not empty and no run (it holds {strangers[0]!r}): give a new or empty folder "
                "with --out"
            )


def learnt(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What a training changes or computes: parameters that learn, and buffers; not frozen pretrained weights."""
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    return parameters | {name: b for name, b in network.state_dict().items() if name not in frozen | parameters.keys()}


def load_learnt(network: torch.nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Put what was learnt into a network. Raises CheckpointError if names or shapes are others."""
    expected = learnt(network)
    if tensors.keys() != expected.keys():
        lost, strange = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
        raise CheckpointError(
            f"{path} is of another network: it lacks {lost[:1] or 'nothing'} and has {strange[:1] or 'nothing else'}; "
            "use the version of facescribe that trained it (run.json says which)"
        )
    try:
        network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is of another network: {str(error).splitlines()[-1].strip()}") from error


def pretrained_weights(config: TrainConfig) -> dict[str, str]:
    """SHA-256 of the vision tower's pretrained weights, if the config has one."""
    if config.model.tower != "clip" or config.model.tower_path is None:
        return {}
    return {"vision tower": content_of(config.model.tower_path / "model.safetensors", "model.tower_path")}


def software() -> dict[str, str]:
    """Versions of what computes."""
    return {"python": platform.python_version()} | {name: _version(name) for name in SOFTWARE}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # run out of a checkout, such as on a GPU machine
        return "not installed"
