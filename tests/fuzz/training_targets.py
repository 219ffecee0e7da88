"""Parsers of what a training reads: its config, its run folder, and what others' runs left."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from pipeline.training.checkpoint import Place, read_checkpoint, write_tensors
from pipeline.training.config import TrainConfig, TrainConfigError, TrainResources, load_train_file, train_config
from pipeline.training.errors import CheckpointError, EvaluationError, RunError
from pipeline.training.manifest import TrainingError
from pipeline.training.predictions import PREDICTIONS, read_predictions
from pipeline.training.run_folder import RunFacts, RunFolder
from pipeline.training.sampling import SamplingPlan
from pipeline.training.splits import SplitPlan
from tests.fuzz.law import Read, Target
from tests.fuzz.made_tables import TYPES, NoTable, spec_of, write_table

_TRAIN = b"""
epochs = 3
labels = ["anger", "fear"]
[split]
by = "identity"
validation_share = 0.1
[loss]
votes = "votes.csv"
[resources]
device = "cpu"
"""


def _toml_words() -> tuple[str, ...]:
    found: list[str] = []
    rest: list[type[Any]] = [TrainConfig, TrainResources]
    while rest:
        for name, field in rest.pop().model_fields.items():
            found += [f"{name} = ", f"\n[{name}]\n"]
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                rest.append(field.annotation)
    return tuple(found)


def _open_train_file(folder: Path) -> Read:
    path = folder / "train.toml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_train_file(path).train.model_dump_json()

    return read


def _facts() -> Iterable[bytes]:
    facts = RunFacts(
        config=train_config({"corpus": "c"} if "corpus" in TrainConfig.model_fields else {}),
        config_key="k",
        labels=("anger", "fear"),
        prior=(0.5, 0.5),
        corpus="c",
        snapshot=1,
        clips_key="k",
        split_key="k",
        plan_key="k",
        weights={},
        software={},
        device="cpu",
        precision="float32",
        started_at="2026",
    )
    yield facts.model_dump_json().encode()


def _open_run(folder: Path) -> Read:
    def read(data: bytes) -> None:
        (folder / "run.json").write_bytes(data)
        RunFolder.open(folder).read_facts().model_dump_json()

    return read


def _checkpoints() -> Iterable[bytes]:
    place = Place(config_key="c", snapshot=3, clips_key="k", world_size=1, epoch=0, batch=1, step=7)
    tensors = {"a/b": torch.zeros(2, 3), "step": torch.tensor(4.0), "half": torch.zeros(2).bfloat16()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "0000-000001.safetensors")
        write_tensors(path, tensors, {"place": place.model_dump_json()})
        yield path.read_bytes()


def _open_checkpoint(folder: Path) -> Read:
    path = folder / "0000-000001.safetensors"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_checkpoint(path)

    return read


def _headers() -> Iterable[bytes]:
    for data in _checkpoints():
        (size,) = struct.unpack_from("<Q", data)
        yield data[8 : 8 + size]


def _open_header(folder: Path) -> Read:
    """The JSON of the header, before numbers that stay."""
    path = folder / "0000-000001.safetensors"

    def read(data: bytes) -> None:
        path.write_bytes(struct.pack("<Q", len(data)) + data + bytes(64))
        read_checkpoint(path)

    return read


def _of_table(parser: Callable[[Path], object]) -> Callable[[Path], Read]:
    """`[columns, metadata]`."""

    def open_(folder: Path) -> Read:
        def read(data: bytes) -> None:
            try:
                columns, metadata = json.loads(data)
                said = {
                    str(key): value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()
                }
                path = write_table(folder / "a.parquet", json.dumps(columns).encode(), said)
            except (NoTable, ValueError, TypeError, AttributeError, RecursionError):
                return
            parser(path)

        return read

    return open_


def _of_bytes(parser: Callable[[Path], object]) -> Callable[[Path], Read]:
    def open_(folder: Path) -> Read:
        path = folder / "a.parquet"

        def read(data: bytes) -> None:
            path.write_bytes(data)
            parser(path)

        return read

    return open_


def _table_with(metadata: dict[str, Any], *columns: tuple[str, str, list[Any]]) -> Callable[[], Iterable[bytes]]:
    return lambda: [json.dumps([json.loads(spec_of(*columns)), metadata]).encode()]


_SPLIT = (("clip_id", "string", ["a", "b"]), ("label", "string", ["x", "y"]), ("split", "string", ["train", "test"]))
_PLAN = (("clip_id", "string", ["a", "b"]), ("label", "string", ["x", "y"]), ("class_draws", "int64", [1, 1]))


def _predictions() -> Iterable[bytes]:
    from pipeline.training.predictions import Predictions

    row = {"clip_id": "a", "track_id": "a", "video_id": "a", "label": "x", "seed": 0, "control": "none"}
    table = PREDICTIONS.rows([row | {"probabilities": [0.5, 0.5], "predicted": "x"}])
    with tempfile.TemporaryDirectory() as folder:
        yield Predictions(table, ("x", "y"), "k").write(Path(folder, "a.parquet")).read_bytes()


TARGETS = (
    Target("train_file", (TrainConfigError,), lambda: (_TRAIN,), _open_train_file, words=_toml_words()),
    Target("run_json", (RunError,), _facts, _open_run, form="json", words=tuple(TrainConfig.model_fields)),
    Target("checkpoint", (CheckpointError, OSError), _checkpoints, _open_checkpoint),
    Target(
        *("checkpoint_header", (CheckpointError, OSError), _headers, _open_header),
        form="json",
        words=("__metadata__", "dtype", "shape", "data_offsets", "F32", "BF16", "F8_E4M3", "I64", "BOOL", "place"),
    ),
    Target(
        *(
            "split_plan",
            (TrainingError,),
            _table_with({"left_out": {"x": 1}, "key": ""}, *_SPLIT),
            _of_table(SplitPlan.read),
        ),
        form="json",
        words=(*TYPES, "left_out", "key"),
    ),
    Target(
        *("sampling_plan", (TrainingError,), _table_with({"sampling": {"balance": "natural"}, "key": ""}, *_PLAN)),
        open=_of_table(SamplingPlan.read),
        form="json",
        words=(*TYPES, "sampling", "key", "beta", "max_repeats", "shuffle"),
    ),
    Target(
        *("predictions_table", (EvaluationError,), _table_with({"labels": ["x"], "made_with": "k"}, *_SPLIT)),
        open=_of_table(read_predictions),
        form="json",
        words=(*TYPES, "labels", "made_with", *(field.name for field in PREDICTIONS.columns)),
    ),
    Target("predictions", (EvaluationError,), _predictions, _of_bytes(read_predictions)),
)
