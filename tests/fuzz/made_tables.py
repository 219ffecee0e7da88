"""Parquet of any types, made from JSON: `[[name, type, [cells]], …]`, so that what is changed is what a column holds.

Changing Parquet's own bytes seldom gets past its pages; `tests/fuzz/corpus_targets.py` does that too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_FOLD = pa.struct([(name, pa.string()) for name in ("protocol", "fold", "part", "label")])
_VOTE = pa.struct([("label", pa.string()), ("votes", pa.float64())])
_CAPTION = pa.struct([("language", pa.string()), ("text", pa.string())])

TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "fixed": pa.binary(4),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "half": pa.float16(),
    "float": pa.float32(),
    "double": pa.float64(),
    "decimal": pa.decimal128(20, 3),
    "date": pa.date32(),
    "time": pa.time64("ns"),
    "timestamp": pa.timestamp("ns"),
    "zoned": pa.timestamp("us", "Europe/Berlin"),
    "duration": pa.duration("ns"),
    "null": pa.null(),
    "words": pa.dictionary(pa.int32(), pa.string()),
    "list": pa.list_(pa.string()),
    "lists": pa.list_(pa.list_(pa.int64())),
    "numbers": pa.list_(pa.float64(), 2),
    "folds": pa.list_(_FOLD),
    "votes": pa.list_(_VOTE),
    "captions": pa.list_(_CAPTION),
    "fold": _FOLD,
    "counts": pa.struct([("anger", pa.float64()), ("fear", pa.int64())]),
    "map": pa.map_(pa.string(), pa.float64()),
}


class NoTable(Exception):
    """The JSON says no table."""


def write_table(path: Path, spec: bytes, metadata: dict[str, str] | None = None) -> Path:
    """Write the table that the JSON says. Raises NoTable."""
    try:
        columns = [(name, TYPES[type_name], cells) for name, type_name, cells in json.loads(spec)]
        arrays = [pa.array(_cells(cells, dtype), dtype) for _, dtype, cells in columns]
        table = pa.Table.from_arrays(arrays, names=[str(name) for name, _, _ in columns])
        pq.write_table(table.replace_schema_metadata(metadata), path)
    except Exception as error:  # what is no table is none of the parser's business
        raise NoTable(str(error)) from None
    return path


def spec_of(*columns: tuple[str, str, list[Any]]) -> bytes:
    """The JSON of a table."""
    return json.dumps([list(column) for column in columns]).encode()


def _cells(cells: list[Any], dtype: pa.DataType) -> list[Any]:
    """As Arrow takes them: JSON has neither bytes nor pairs."""
    if pa.types.is_binary(dtype) or pa.types.is_fixed_size_binary(dtype):
        return [None if cell is None else cell.encode("utf-8", "surrogatepass") for cell in cells]
    if pa.types.is_map(dtype):
        return [None if cell is None else [tuple(pair) for pair in cell] for cell in cells]
    return cells
