"""What a step is: its tables, its config, and what its results are keyed by."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from pipeline.assets import ASSETS
from schemas.rejects import REASONS
from schemas.table import Table


class StageConfig(BaseModel):
    """What to compute. Every field enters the key of every result, so a changed field recomputes what it touches."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Resources(BaseModel):
    """How to compute it. No field enters a key: changing one never recomputes anything."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    workers: int = Field(default=2, ge=1)
    """Shards computed side by side."""

    server: str | None = None
    """Address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1. None: an embedded one is started."""

    api_key_variable: str | None = None
    """Name of the environment variable that holds the server's key. The key itself is never stored."""

    concurrency: int = Field(default=8, ge=1)
    """Requests in flight at the language-model server."""

    request_timeout_s: float = Field(default=120.0, gt=0)
    """Seconds one request may take before it counts as failed."""

    request_attempts: int = Field(default=4, ge=1)
    """Attempts per request, with exponential back-off between them, before its unit is refused as transient."""

    source: Path = Path()
    """Folder that the videos' paths are relative to. Set by the flow."""


@dataclass(frozen=True)
class Read:
    """One input table of a stage. Columns in `content` enter the unit key, those in `locate` are only handed over."""

    table: Table
    content: tuple[str, ...]
    locate: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Every column that the stage is given."""
        return [*self.content, *self.locate]


@dataclass(frozen=True)
class Unit:
    """What a stage is asked for: one video or one track, with its rows of each table that the stage reads."""

    unit_id: str
    unit_key: str
    rows: Mapping[str, pa.Table]

    def row(self, table: Table) -> dict[str, Any]:
        """The unit's single row of `table`."""
        (row,) = self.rows[table.name].to_pylist()
        return dict(row)


@dataclass(frozen=True)
class Done:
    """A unit's result: rows for each table that the stage writes, without `unit_key`, which is added for them."""

    unit: Unit
    rows: Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Refused:
    """A unit without a result, and why: a reason of the closed list, and a sentence of detail."""

    unit: Unit
    reason: str
    detail: str

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"{self.reason!r} is no reason of the closed list in schemas/rejects.py")


Outcome = Done | Refused
Config = TypeVar("Config", bound=StageConfig)


@dataclass(frozen=True)
class Stage(Generic[Config]):
    """One step of the walk. Describing it is light; `run` loads what is heavy where the work is done.

    `version` is raised by a person when the same config and input would give another result.
    `run` takes units and yields one outcome for each, in any order. `weights` names the assets that it computes with:
    their hashes enter the key. `request`, for a stage that asks a language model,
    renders exactly what would be sent and to what; it enters the key beside the unit's content.
    """

    name: str
    version: int
    reads: tuple[Read, ...]
    writes: tuple[Table, ...]
    unit: str
    config: type[Config]
    run: Callable[[Sequence[Unit], Config, Resources], Iterator[Outcome]]
    weights: tuple[str, ...] = ()
    request: Callable[[Unit, Config], str] | None = None

    def identity(self, config: Config) -> dict[str, Any]:
        """What every result of this stage with this config has in common."""
        weights = {name: ASSETS[name].sha256 for name in self.weights}
        made_with = {"config": config.model_dump(mode="json"), "weights": weights}
        return {"stage": self.name, "version": self.version, **made_with}

    def shard_key(self, config: Config, bucket: int, input_keys: Sequence[str]) -> str:
        """Key of what this stage writes for one bucket, from the keys of the inputs."""
        return key_of({**self.identity(config), "bucket": bucket, "inputs": list(input_keys)})

    def units(self, inputs: Mapping[str, pa.Table], config: Config) -> list[Unit]:
        """Cut the input tables into units, by id, each with its key."""
        first, *_ = self.reads
        units = []
        for unit_id in sorted(set(inputs[first.table.name].column(self.unit).to_pylist())):
            rows = {read.table.name: _rows_of(inputs[read.table.name], self.unit, unit_id) for read in self.reads}
            units.append(self._keyed(Unit(unit_id, "", rows), config))
        return units

    def _keyed(self, unit: Unit, config: Config) -> Unit:
        content = content_hash([unit.rows[read.table.name].select(list(read.content)) for read in self.reads])
        parts = {**self.identity(config), "unit": unit.unit_id, "content": content}
        if self.request is not None:
            parts["request"] = hashlib.sha256(self.request(unit, config).encode()).hexdigest()
        key = key_of(parts)
        return Unit(unit.unit_id, key, unit.rows)


def _rows_of(table: pa.Table, column: str, value: str) -> pa.Table:
    import pyarrow.compute as pc

    return table.filter(pc.equal(table.column(column), value))


def key_of(parts: Mapping[str, Any]) -> str:
    """32 hex digits of the SHA-256 of the canonical JSON of `parts`."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def content_hash(tables: Sequence[pa.Table]) -> str:
    """SHA-256 over the values of the tables, independent of how Arrow chunks or pads them."""
    digest = hashlib.sha256()
    for table in tables:
        for name in table.column_names:
            _feed(digest, name)
            for chunk in table.column(name).chunks:
                for value in chunk:
                    _feed(digest, value.as_buffer() if _is_bytes(value) and value.is_valid else value.as_py())
            digest.update(b"|")
    return digest.hexdigest()


def _is_bytes(value: pa.Scalar) -> bool:
    return bool(pa.types.is_binary(value.type) or pa.types.is_fixed_size_binary(value.type))


def _feed(digest: Any, value: Any) -> None:
    """Add one value, tagged by its type and length so that no two different values feed the same bytes."""
    if isinstance(value, list):
        digest.update(b"l%d:" % len(value))
        for item in value:
            _feed(digest, item)
    elif isinstance(value, dict):
        _feed(digest, [part for item in sorted(value.items()) for part in item])
    elif isinstance(value, float):
        digest.update(b"f" + struct.pack("<d", value))
    elif isinstance(value, pa.Buffer):
        digest.update(b"b%d:" % value.size)
        digest.update(value)
    else:  # str, int, bool, None, datetime: repr is exact
        text = f"{type(value).__name__}:{value!r}".encode()
        digest.update(b"r%d:" % len(text) + text)
