"""What a training learns and how: TrainConfig, and the train.toml that it is read from."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.model.config import ModelConfig
from pipeline.stage import StageConfig
from pipeline.training.sampling import SamplingConfig
from pipeline.training.splits import SplitConfig


class TrainConfigError(Exception):
    """A train.toml that cannot be used: the message names the file, the field, and what to do."""


class LossConfig(StageConfig):
    """What is made small: cross-entropy, plus the price of transport, plus the contrast of clips and their texts."""

    logit_adjustment: float = Field(default=1.0, ge=0)
    """Tau: how many times the logarithm of each class's share of the training clips is added to its logit while
    training, so that rare classes are not given up. 0 is plain cross-entropy."""

    votes: Path | Literal[True] | None = None
    """How many people voted for which label. True: as the corpus has it, in `videos.votes`. A path: CSV or Parquet with
    a column `path` or `video_id` and one column per label. Videos with votes are learnt against the distribution of
    those for the classes, others against their label."""

    transport_weight: float = Field(default=0.1, ge=0)
    """Weight of the transport's cost."""

    contrast_weight: float = Field(default=0.1, ge=0)
    """Weight of the InfoNCE between clips and their texts."""

    contrast_temperature: float = Field(default=0.07, gt=0)
    """Temperature of the contrast, or where it begins if it is learnt."""

    learns_temperature: bool = False
    """Whether the temperature of the contrast is learnt."""

    def hashes_of_files(self) -> dict[str, str]:
        """Of the votes, where they are a file: the corpus' own are in its snapshot."""
        return {"votes": content_of(self.votes, "loss.votes")} if isinstance(self.votes, Path) else {}


class AugmentConfig(StageConfig):
    """How training clips are changed by chance, every frame of a clip in the same way. All zero: not at all."""

    flip: float = Field(default=0.5, ge=0, le=1)
    """Chance that a clip is mirrored; "left" and "right" change places in its text."""

    shift: float = Field(default=0.06, ge=0, lt=0.5)
    """Largest shift along each axis, as part of the side."""

    zoom: float = Field(default=0.08, ge=0, lt=0.5)
    """Largest change of scale, in or out."""

    brightness: float = Field(default=0.2, ge=0, lt=1)
    """Largest relative change of brightness."""

    contrast: float = Field(default=0.2, ge=0, lt=1)
    """Largest relative change of contrast about the clip's mean."""

    saturation: float = Field(default=0.2, ge=0, lt=1)
    """Largest relative change of the colours' distance from grey."""


class TrainConfig(StageConfig):
    """What to learn from which clips. Every field enters the run's key: a run goes on under this config alone."""

    model: ModelConfig = ModelConfig()
    """The network."""

    loss: LossConfig = LossConfig()
    """What is made small."""

    sampling: SamplingConfig = SamplingConfig()
    """Which clips an epoch draws."""

    split: SplitConfig = SplitConfig()
    """Which clips train, which validate, which test."""

    augment: AugmentConfig = AugmentConfig()
    """How training clips are changed by chance."""

    labels: tuple[str, ...] | None = None
    """The classes, in order; clips of other labels are left out. None: all that training clips have, sorted."""

    text: Literal["description", "draft"] = "description"
    """Which text is read: the refined one, or the template's."""

    text_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Chance that a training clip comes without its text, so that the network works with and without one."""

    epochs: int = Field(default=30, ge=1)
    """Passes over the training clips."""

    batch: int = Field(default=32, ge=1)
    """Clips of one step, over all GPUs together."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Highest rate of parts that begin from nothing; 1e-4 is usual beside a pretrained tower."""

    lora_learning_rate: float = Field(default=5e-5, gt=0)
    """Highest rate of the low-rank updates of a pretrained tower."""

    weight_decay: float = Field(default=0.05, ge=0)
    """Decay of weight matrices; norms, biases and scalars have none."""

    warmup_epochs: float = Field(default=2.0, ge=0)
    """Epochs in which the rates rise from zero; then they follow a cosine down to zero."""

    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients of a larger norm are scaled down to it."""

    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Of the running mean of the weights, which is what a run gives; shorter at first: (1 + n) / (10 + n) at step n.
    0: the last weights themselves."""

    keep: Literal["last", "best"] = "last"
    """Which weights a run gives: those after the last epoch, or those of the epoch with the best UAR on the validation
    clips. The test clips are never asked."""

    seed: int = Field(default=0, ge=0)
    """Of first weights, order, split, augmentation and dropout; each has a stream of its own."""

    shuffle_labels: bool = False
    """Control: training videos have each other's labels. What still scores above chance then leaks."""

    shuffle_captions: bool = False
    """Control: every clip has the text of a clip of another video."""

    shuffle_frames: bool = False
    """Control: the frames of each training clip come in another order, their motion with them."""

    @property
    def needs_text(self) -> bool:
        """Whether any part of the training looks at texts."""
        return self.model.reads_text or self.loss.contrast_weight > 0

    def key(self) -> str:
        """Hash of every field, and of the files that fields name."""
        said = self.model_dump(mode="json") | {"files": self.loss.hashes_of_files()}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


class TrainResources(BaseModel):
    """How to compute it. No field changes what is learnt, but for rounding."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto: a GPU where there is one."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 halves memory and time on a GPU; weights and losses stay fp32. auto: bf16 on a GPU, fp32 on a CPU."""

    compiles: bool = False
    """Whether torch compiles the layers of a CLIP tower: on an H200 a step is 1.6 times as fast. It needs a C++
    compiler, and rounds otherwise."""

    workers: int = Field(default=1, ge=0)
    """Threads that read clips ahead of the step, in each process; from object storage 8 or more are better."""

    threads: int | None = Field(default=None, ge=1)
    """Threads of a CPU's arithmetic. None: as torch finds best. Another number may round otherwise."""

    cache_mb: int = Field(default=2048, ge=0)
    """Memory of each process, in MB, in which clips are kept from epoch to epoch, at the size that the tower sees."""

    checkpoint_s: float = Field(default=600.0, gt=0)
    """Longest time between two checkpoints. There is one after every epoch and at an interruption, too."""

    log_every: int = Field(default=10, ge=1)
    """Steps between two lines of the log."""

    @property
    def torch_device(self) -> str:
        """The device by the name that torch has for it. Loads torch where it has to look for a GPU."""
        if self.device != "auto":
            return self.device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"


class TrainFile(BaseModel):
    """A train.toml: TrainConfig's fields and sections, and `[resources]`."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    train: TrainConfig = TrainConfig()
    resources: TrainResources = TrainResources()


def load_train_file(path: Path | None) -> TrainFile:
    """Read a train.toml; None gives the defaults. Relative paths in it are relative to where the command runs.

    Raises:
        TrainConfigError: no such file, no TOML, an unknown field (with the nearest known one), or a wrong value.
    """
    if path is None:
        return TrainFile()
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainConfigError(f"cannot read config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrainConfigError(f"{path} is not TOML: {error}") from error
    resources = sections.pop("resources", {})
    try:
        how = TrainResources.model_validate(resources)
        return TrainFile(train=train_config(sections), resources=how)
    except ValidationError as error:
        raise TrainConfigError(f"{path}: {in_words(error)}") from error


def train_config(fields: dict[str, Any]) -> TrainConfig:
    """A config from plain values, as a TOML or JSON file has them. Raises pydantic's ValidationError."""
    return TrainConfig.model_validate(fields)


def in_words(error: ValidationError) -> str:
    """The first fault: which field, what is wrong, and the nearest known name."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    shown = ["resources", *place] if error.title == "TrainResources" else place
    if first["type"] != "extra_forbidden":
        return f"{'.'.join(shown) or 'config'}: {first['msg']}, got {first['input']!r}"
    model: Any = TrainResources if error.title == "TrainResources" else TrainConfig
    for part in place[:-1]:
        model = model.model_fields[part].annotation
    known = [*model.model_fields, *(["resources"] if model is TrainConfig else [])]
    near = difflib.get_close_matches(place[-1], known, n=1)
    return f"unknown field {'.'.join(shown)!r}; " + (
        f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    )


def first_difference(there: TrainConfig, here: TrainConfig) -> str | None:
    """The first field in which two configs differ, with both values; None if they are the same."""
    before, now = (_flat(config.model_dump(mode="json")) for config in (there, here))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            return f"{name} is {before.get(name)!r} there and {now.get(name)!r} here"
    return None


def _flat(fields: dict[str, Any], inside: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= _flat(value, f"{inside}{name}.") if isinstance(value, dict) else {inside + name: value}
    return flat


def content_of(path: Path, field: str) -> str:
    """SHA-256 of the file that a field names. Raises TrainConfigError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TrainConfigError(f"cannot read {field} {path}: {error.strerror}") from error
