"""What a table is: a name, a key, a version, and columns that carry their meaning and unit.

The contract travels in every Parquet file as Arrow metadata. Tensors are binary cells: Parquet stores a uint8 tensor
column as INT32 values with levels, four times larger and some 75 times slower to read than the same bytes in a cell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SCHEMA_VERSION = 1
"""Version of the whole set of tables. Raised when a reader of the old one could misread the new one."""

UNIT_KEY_MEANING = "hash of the stage, its version and config, and exactly the input that this row was made from"


class SchemaError(ValueError):
    """Rows do not fit their table: the message names the table, the column, what was got and what was expected."""


def column(name: str, dtype: pa.DataType, meaning: str, *, unit: str = "", nullable: bool = False) -> pa.Field:
    """A column with its meaning and unit as field metadata; nulls are refused unless `nullable`."""
    metadata = {"meaning": meaning} | ({"unit": unit} if unit else {})
    return pa.field(name, dtype, nullable=nullable, metadata=metadata)


def tensor(name: str, dtype: str, dims: Mapping[str, int | None], meaning: str, *, unit: str = "") -> pa.Field:
    """A tensor column of binary cells, C order, little endian.

    `dims` names each dimension and gives its size; at most the first may be None, its size then follows from the
    cell's length. All sizes known: a fixed-size binary column.
    """
    sizes = list(dims.values())
    if None in sizes[1:]:
        raise SchemaError(f"tensor column {name}: only the first dimension may be open, got {dict(dims)}")
    item_bytes = np.dtype(dtype).itemsize
    cell = pa.binary() if sizes[0] is None else pa.binary(item_bytes * int(np.prod(sizes)))  # type: ignore[arg-type]
    metadata = {"meaning": meaning, "dtype": dtype, "dims": json.dumps(dict(dims))} | ({"unit": unit} if unit else {})
    return pa.field(name, cell, nullable=False, metadata=metadata)


def read_cell(field: pa.Field, cell: bytes | memoryview | pa.Buffer) -> np.ndarray[Any, Any]:
    """The array in a tensor cell, read-only and sharing the cell's memory.

    Raises:
        SchemaError: the field is no tensor column, or the cell's length does not fit the dimensions.
    """
    dtype, sizes = _tensor_layout(field)
    try:
        flat: np.ndarray[Any, Any] = np.frombuffer(cell, dtype=dtype)
        return flat.reshape([-1 if size is None else size for size in sizes])
    except ValueError:
        num_bytes = memoryview(cell).nbytes
        raise SchemaError(
            f"{field.name}: cell of {num_bytes // dtype.itemsize} values does not fit the dimensions {sizes}"
        ) from None


def write_cell(field: pa.Field, array: np.ndarray[Any, Any]) -> bytes:
    """The array as a tensor cell. The shape must be the column's; the dtype is converted.

    Raises:
        SchemaError: the field is no tensor column, or the array's shape is not the column's.
    """
    dtype, sizes = _tensor_layout(field)
    fits = array.ndim == len(sizes) and all(want in (None, got) for want, got in zip(sizes, array.shape, strict=True))
    if not fits:
        raise SchemaError(f"{field.name}: expected shape {sizes}, got {list(array.shape)}")
    return np.ascontiguousarray(array, dtype=dtype).tobytes()


def _tensor_layout(field: pa.Field) -> tuple[np.dtype[Any], list[int | None]]:
    metadata = field.metadata or {}
    if b"dims" not in metadata or b"dtype" not in metadata:
        raise SchemaError(f"{field.name} is not a tensor column")
    try:
        dtype = np.dtype(metadata[b"dtype"].decode("ascii")).newbyteorder("<")
        sizes = list(json.loads(metadata[b"dims"]).values())
    except (TypeError, ValueError, SyntaxError, AttributeError, RecursionError) as error:  # SyntaxError is NumPy's
        raise SchemaError(f"{field.name}: its dtype or dimensions cannot be read: {error}") from error
    if dtype.kind not in "biuf" or not all(size is None or (type(size) is int and size >= 0) for size in sizes):
        raise SchemaError(f"{field.name}: {dtype} {sizes} is no tensor of numbers")
    return dtype, sizes


@dataclass(frozen=True)
class Table:
    """One table of the corpus: what its rows mean, what identifies them, and how they are typed."""

    name: str
    version: int
    meaning: str
    primary_key: tuple[str, ...]
    columns: tuple[pa.Field, ...]

    @property
    def schema(self) -> pa.Schema:
        metadata = {
            "table": self.name,
            "table_version": str(self.version),
            "schema_version": str(SCHEMA_VERSION),
            "meaning": self.meaning,
            "primary_key": json.dumps(self.primary_key),
        }
        return pa.schema(list(self.columns), metadata=metadata)

    def field(self, name: str) -> pa.Field:
        """The column of that name. Raises SchemaError when there is none."""
        for field in self.columns:
            if field.name == name:
                return field
        known = ", ".join(field.name for field in self.columns)
        raise SchemaError(f"table {self.name} has no column {name!r}; its columns are: {known}")

    def empty(self) -> pa.Table:
        """A table of no rows with this schema."""
        return self.schema.empty_table()

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """Build and conform a table from mappings. A key that is no column is an error, never dropped."""
        listed = list(rows)
        known = {field.name for field in self.columns}
        for row in listed:
            if extra := set(row) - known:
                raise SchemaError(f"table {self.name}: unknown columns {sorted(extra)} in a row")
        try:
            arrays = [pa.array([row.get(f.name) for row in listed], type=f.type) for f in self.columns]
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SchemaError(f"table {self.name}: {error}") from error
        return self.conform(pa.Table.from_arrays(arrays, schema=self.schema))

    def conform(self, table: pa.Table) -> pa.Table:
        """Return `table` in this schema, or say what does not fit.

        Nullable columns that a file of an older version lacks are filled with null (evolution only adds). Types are
        never cast and nothing is inferred. Nulls are checked here because pyarrow's own validation does not.

        Raises:
            SchemaError: a column is missing, unknown, of another type, or holds null where it must not, or the
                primary key repeats.
        """
        if extra := set(table.column_names) - {field.name for field in self.columns}:
            raise SchemaError(f"table {self.name}: unknown columns {sorted(extra)}")
        arrays = []
        for field in self.columns:
            arrays.append(self._conform_column(field, table))
        conformed = pa.Table.from_arrays(arrays, schema=self.schema)
        self._refuse_repeated_keys(conformed)
        return conformed

    def _conform_column(self, field: pa.Field, table: pa.Table) -> pa.ChunkedArray:
        if field.name not in table.column_names:
            if not field.nullable:
                raise SchemaError(f"table {self.name}: column {field.name} is missing")
            return pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        if table.column_names.count(field.name) > 1:
            raise SchemaError(f"table {self.name}: column {field.name} is there twice")
        values = table.column(field.name)
        if not values.type.equals(field.type):
            raise SchemaError(f"table {self.name}: column {field.name} is {values.type}, expected {field.type}")
        if values.null_count and not field.nullable:
            row = pc.index(pc.is_null(values), True).as_py()
            raise SchemaError(f"table {self.name}: column {field.name} is null in row {row}, which it may not be")
        return values

    def _refuse_repeated_keys(self, table: pa.Table) -> None:
        if table.num_rows < 2:  # most units have one row, and the grouping is the dearest part of it
            return
        keys = table.select(list(self.primary_key))
        counts = keys.group_by(list(self.primary_key)).aggregate([([], "count_all")])
        repeated = counts.filter(pc.greater(counts["count_all"], 1))
        if repeated.num_rows:
            first = {name: repeated[name][0].as_py() for name in self.primary_key}
            raise SchemaError(f"table {self.name}: {repeated.num_rows} keys repeat, the first is {first}")


def describe(tables: Sequence[Table]) -> list[dict[str, str]]:
    """One mapping per column of the tables: table, column, type, unit, meaning. For documentation and `--help`."""
    return [
        {
            "table": table.name,
            "column": field.name,
            "type": _type_in_words(field),
            "unit": (field.metadata or {}).get(b"unit", b"").decode(),
            "meaning": (field.metadata or {}).get(b"meaning", b"").decode(),
        }
        for table in tables
        for field in table.columns
    ]


def _type_in_words(field: pa.Field) -> str:
    metadata = field.metadata or {}
    if b"dims" not in metadata:
        return str(field.type) + (" or null" if field.nullable else "")
    dims = json.loads(metadata[b"dims"])
    return f"{metadata[b'dtype'].decode()} [{', '.join(f'{k} {v}' if v else k for k, v in dims.items())}]"
