"""What a step is: its tables, its config, the units it is asked for, and what its results are keyed by."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, Self, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.assets import ASSETS
from schemas.rejects import REASONS
from schemas.table import Table

NO_GENERATIONS: Mapping[str, int] = {}
"""Of no unit a backfill has asked for more."""


class StageConfig(BaseModel):
    """What to compute. Every field enters the key of every result, so a changed field recomputes what it touches."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def hashes_of_files(self) -> dict[str, str]:
        """Hash of what stands in each file that a field names: another content is looked at again, unit by unit.

        A name with a dot, such as `prompt.seen`, stands for a part of a file that only some units use.
        """
        return {}


class Resources(BaseModel):
    """How to compute it. No field enters a key: changing one never recomputes anything."""

    # What is refused may be a key that was written in the wrong place: errors do not repeat it.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    workers: int = Field(default=2, ge=1)
    """Shards computed side by side."""

    runner: Literal["threads", "dask", "ray"] = "threads"
    """What computes them: threads of the run's own process, or processes of a Dask or Ray cluster. Stages that ask a
    language model stay with the run, which knows all its servers."""

    cluster: str | None = None
    """Address of a Dask scheduler (tcp://HOST:8786) or a Ray cluster (ray://HOST:10001, or HOST:6379 on one of its
    machines). None: `workers` processes on this machine, which end with the run."""

    server: str | None = None
    """Address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1, or of several of the same model, with
    commas between them. None: an embedded one is started."""

    api_key_variable: str | None = None
    """Name of the environment variable that holds the server's key. The key itself is never stored."""

    concurrency: int = Field(default=32, ge=1)
    """Requests in flight at the language-model server, or at all of them together, whatever number of shards ask."""

    request_timeout_s: float = Field(default=120.0, gt=0)
    """Seconds one attempt of a request may take before it counts as failed."""

    request_attempts: int = Field(default=4, ge=1)
    """Attempts per request and server, with exponential back-off between them, before its unit is refused as transient;
    also how often in a row a server that is away is looked at before nobody waits for it."""

    decode_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds without a new frame after which a decoder counts as hung and is ended; its video is refused."""

    vision_server: str | None = None
    """Address of the server of the vision-language model, where it is another than `server`."""

    max_duplicate_share: float | None = Field(default=None, ge=0, le=1)
    """Share of the refined texts that may be nearly the same as a text of other evidence; more of them, and the build
    is not committed. None: as in pipeline/descriptions/duplicates.py."""

    log_file: Path | None = None
    """Where each event is written as a line of JSON; `-` is standard error. On each machine that computes, of its own.
    """

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """DEBUG has a line for every unit that is done; the others, for those that are refused."""

    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of the loopback address on which a run's figures are served to Prometheus while it lasts; 0 is a free one.
    """

    metrics_file: Path | None = None
    """File, ending in .prom, that the figures are written to when a run ends, for node_exporter's textfile collector.
    """

    run: str = ""
    """Name of the run in its log. Set by the flow."""

    source: Path = Path()
    """Folder that the videos' paths are relative to. Set by the flow."""

    answers: str | Path | None = None
    """The journal in which every answer of a language model is kept the moment it arrives: a file, or the address of a
    corpus in object storage. Set by the flow."""

    @model_validator(mode="after")
    def _has_runner_for_cluster(self) -> Self:
        if self.cluster is not None and self.runner == "threads":
            raise ValueError(f'cluster = "{self.cluster}" needs runner = "dask" or "ray"')
        return self

    @field_validator("api_key_variable")
    @classmethod
    def _is_a_name(cls, variable: str | None) -> str | None:
        if variable is not None and not re.fullmatch("[A-Z][A-Z0-9_]{0,63}", variable):  # it may be a key: not repeated
            raise ValueError("expected the name of an environment variable in capitals, such as MY_KEY, never the key")
        return variable

    @field_validator("server", "vision_server")
    @classmethod
    def _is_addresses(cls, server: str | None) -> str | None:
        for address in () if server is None else server.split(","):
            parts = urlsplit(address.strip())
            if parts.username or parts.password or parts.query:  # addresses are stored, and shown: never repeated here
                raise ValueError(
                    "an address holds a user, a key or a question mark: give the key in an environment variable, name "
                    "that in api_key_variable, and give the plain address here"
                )
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError(f"expected an address such as http://127.0.0.1:8000/v1, got {address.strip()!r}")
        return server


@dataclass(frozen=True)
class Read:
    """One input table of a stage. Columns in `content` enter the unit key, those in `locate` are only handed over.

    `by` names the column that says which unit a row belongs to, where that is not the stage's unit itself: the first
    table of the stage has it too, as in a video's row that belongs to each of its tracks.
    """

    table: Table
    content: tuple[str, ...]
    locate: tuple[str, ...] = ()
    by: str | None = None

    @property
    def columns(self) -> list[str]:
        """Every column that the stage is given."""
        return [*self.content, *self.locate]


class RowGroups(Protocol):
    """An input table, a bounded group of rows at a time."""

    @property
    def schema(self) -> pa.Schema:
        """Every column that there is."""

    @property
    def num_groups(self) -> int:
        """Groups, in the order of the rows."""

    def column(self, group: int, name: str) -> pa.ChunkedArray:
        """One column of one group."""


@dataclass(frozen=True)
class InMemory:
    """A table in memory as an input: all of it is one group."""

    table: pa.Table
    num_groups: int = 1

    @property
    def schema(self) -> pa.Schema:
        """Every column that there is."""
        return self.table.schema

    def column(self, group: int, name: str) -> pa.ChunkedArray:
        """One column."""
        return self.table.column(name)


Span = tuple[int, int, int]
"""Row group, first row in it, row after the last."""


@dataclass(frozen=True)
class Cells(Sequence[pa.Scalar]):
    """One column of a unit's rows, in the order of the input. It holds none of them: a row group is read when asked."""

    source: RowGroups
    name: str
    spans: Sequence[Span]

    @property
    def chunks(self) -> Iterator[pa.Array]:
        """The cells, at most one row group's at a time."""
        for group, start, stop in self.spans:
            yield from self.source.column(group, self.name).slice(start, stop - start).chunks

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(stop - start for _, start, stop in self.spans))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, position: Any) -> Any:
        number = bisect_right(self._ends, position) if position >= 0 else len(self.spans)
        if number == len(self.spans):
            raise IndexError(f"{self.name}: no row {position}, the unit has {len(self)}")
        group, _, stop = self.spans[number]
        return self.source.column(group, self.name)[stop - self._ends[number] + position]


@dataclass(frozen=True)
class Rows:
    """A unit's rows of one input, as the places where they lie."""

    source: RowGroups
    column_names: Sequence[str]
    spans: Sequence[Span]

    def column(self, name: str) -> Cells:
        """One column, not yet read."""
        return Cells(self.source, name, self.spans)

    def select(self, column_names: Sequence[str]) -> Rows:
        """The same rows with these columns."""
        return Rows(self.source, column_names, self.spans)

    def read(self) -> pa.Table:
        """The rows, all in memory."""
        schema = pa.schema([self.source.schema.field(name) for name in self.column_names], self.source.schema.metadata)
        return pa.table([pa.chunked_array(self.column(f.name).chunks, f.type) for f in schema], schema=schema)


@dataclass(frozen=True, eq=False)
class UnitRows(Mapping[str, pa.Table]):
    """A unit's rows by the name of the table, read anew each time they are asked for."""

    lie_in: Mapping[str, Rows]

    def __getitem__(self, name: str) -> pa.Table:
        return self.lie_in[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.lie_in)

    def __len__(self) -> int:
        return len(self.lie_in)


@dataclass(frozen=True)
class Unit:
    """What a stage is asked for: one video or one track, with its rows of each table that the stage reads.

    A unit of a stored input only knows where its rows lie. Keep what was read no longer than the unit is worked on.
    """

    unit_id: str
    unit_key: str
    rows: Mapping[str, pa.Table]
    content_key: str = ""
    """Hash of the input's values alone."""
    request_key: str | None = None
    """Hash of the exact first request, of a stage that asks a language model."""
    generation: int = 0
    """How often a backfill has asked for the unit anew; each time it is computed once more."""

    def row(self, table: Table) -> dict[str, Any]:
        """The unit's single row of `table`."""
        (row,) = self.rows[table.name].to_pylist()
        return dict(row)

    def column(self, table: Table, name: str) -> Sequence[Any]:
        """One column of the unit's rows of `table`, by position in the order of the input: Arrow scalars.

        It is read a row group at a time, so that going through `unit.column(CROPS, "crop_jpeg")` takes the same memory
        for every length of track; `unit.rows["crops"]` holds all of it.
        """
        if isinstance(self.rows, UnitRows):
            return self.rows.lie_in[table.name].column(name)
        cells: Sequence[Any] = self.rows[table.name].column(name)
        return cells


@dataclass(frozen=True)
class Done:
    """A unit's result: rows for each table that the stage writes, without `unit_key`, which is added for them.

    Rows may come from a generator, which is run once, before the stage is asked for its next outcome, and of which a
    few megabytes are held at a time. If it raises, what it gave is taken back and the unit is refused as
    `unexpected_error`: whatever can be wrong with the input itself is better found, and its reason told, before.

    `num_tokens` counts what a language model read and wrote for it.
    """

    unit: Unit
    rows: Mapping[str, Iterable[Mapping[str, Any]]]
    num_tokens: int = 0


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

    def made_with(self, config: Config) -> dict[str, Any]:
        """What a snapshot records of how rows were made: `identity`, and hashes of the files that the config names."""
        return {**self.identity(config), "files": config.hashes_of_files()}

    def shard_key(
        self, config: Config, bucket: int, input_keys: Sequence[str], generations: Mapping[str, int] = NO_GENERATIONS
    ) -> str:
        """Key of what this stage writes for one bucket, from the keys of the inputs."""
        return shard_key_of(self.made_with(config), bucket, input_keys, generations)

    def units(
        self,
        inputs: Mapping[str, pa.Table | RowGroups],
        config: Config,
        generations: Mapping[str, int] = NO_GENERATIONS,
    ) -> list[Unit]:
        """Cut the inputs into units, each with its key, in the order in which they begin in the first input.

        Reads every input twice, column by column of a row group, and holds no more of it.
        """
        sources = {name: InMemory(rows) if isinstance(rows, pa.Table) else rows for name, rows in inputs.items()}
        first = sources[self.reads[0].table.name]
        spans = {read.table.name: _spans(sources[read.table.name], read.by or self.unit) for read in self.reads}
        belongs_to = {read.table.name: _pairs(first, self.unit, read.by) for read in self.reads if read.by}
        units = []
        for unit_id in spans[self.reads[0].table.name]:
            rows = {
                name: Rows(sources[name], read.columns, spans[name].get(belonging, ()))
                for read in self.reads
                for name in [read.table.name]
                for belonging in [belongs_to[name][unit_id] if read.by else unit_id]
            }
            units.append(self._unit(unit_id, rows, config, generations.get(unit_id, 0)))
        return units

    def _unit(self, unit_id: str, rows: Mapping[str, Rows], config: Config, generation: int) -> Unit:
        content = content_hash([rows[read.table.name].select(read.content) for read in self.reads])
        parts = {**self.identity(config), "unit": unit_id, "content": content}
        request = None
        if self.request is not None:
            asked = self.request(Unit(unit_id, "", UnitRows(rows)), config)
            parts["request"] = request = hashlib.sha256(asked.encode()).hexdigest()
        if generation:
            parts["generation"] = generation
        return Unit(unit_id, key_of(parts), UnitRows(rows), content, request, generation)


def shard_key_of(
    made_with: Mapping[str, Any],
    bucket: int,
    input_keys: Sequence[str],
    generations: Mapping[str, int] = NO_GENERATIONS,
) -> str:
    """Key of a shard, from what `Stage.made_with` says of its stage, the keys of its inputs, and backfills."""
    again = {"generations": dict(generations)} if generations else {}
    return key_of({**made_with, "bucket": bucket, "inputs": list(input_keys), **again})


def _spans(source: RowGroups, column: str) -> dict[str, list[Span]]:
    """Where the rows of each value lie: one span for most, more where a row group ends or values take turns."""
    spans: dict[str, list[Span]] = {}
    for group in range(source.num_groups):
        runs = pc.run_end_encode(source.column(group, column).combine_chunks())
        start = 0
        for value, stop in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            spans.setdefault(value, []).append((group, start, stop))
            start = stop
    return spans


def _pairs(source: RowGroups, column: str, other: str) -> dict[str, str]:
    """For each value of `column`, the value of `other` in its rows."""
    groups = range(source.num_groups)
    return {
        value: belonging
        for group in groups
        for value, belonging in zip(
            source.column(group, column).to_pylist(), source.column(group, other).to_pylist(), strict=True
        )
    }


def key_of(parts: Mapping[str, Any]) -> str:
    """32 hex digits of the SHA-256 of the canonical JSON of `parts`."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def content_hash(tables: Sequence[pa.Table | Rows]) -> str:
    """SHA-256 over the values of the tables, column by column, independent of how Arrow chunks or pads them."""
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
