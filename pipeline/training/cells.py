"""Any row of a Parquet file's large cells at once: by the place where its bytes lie, or by Parquet's own reader.

A row group of one row holds each column as one page header and then the cell itself, if the column is of a fixed size,
required, and neither compressed nor encoded: the cell ends where the column chunk ends. Read there, a mapped file gives
it without a copy, and a file in object storage without a byte of any other row. Files of another form, such as older
shards with several rows in a group, are read by row groups.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

Place = tuple[int, int]
"""Where a cell begins in the file, and its bytes."""

HEADER_BYTES = 512
"""More than any page header of a column without statistics takes."""

KEPT_GROUPS = 2
"""Row groups of a file that is read by row groups which are kept: the clips of one often follow each other."""


class CellError(Exception):
    """A file does not hold what its footer says."""


class CellFile:
    """Cells of one open Parquet file. May be used by any number of threads."""

    def __init__(self, source: pa.Buffer | pa.NativeFile, name: str, columns: Sequence[str]) -> None:
        """`source`: the whole file mapped into memory, or an open one. `name` is said in errors.

        Raises:
            CellError: the file has no such columns, or cells read by place are not those that Parquet reads.
        """
        self._source, self._name, self._columns = source, name, list(columns)
        try:
            self._parquet = pq.ParquetFile(source)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise CellError(f"{name} is no whole Parquet file ({error}): `facescribe check` says what to do") from error
        self._metadata = self._parquet.metadata
        known = self._parquet.schema_arrow.names
        if missing := [column for column in columns if column not in known]:
            raise CellError(f"{name} has no column {missing[0]!r}, it has: {', '.join(known)}")
        self._lock = threading.Lock()
        self._groups: OrderedDict[int, pa.Table] = OrderedDict()
        self._places: dict[int, list[Place] | None] = {}
        self._widths = [_width(self._parquet.schema_arrow.field(column).type) for column in columns]
        leaves = {self._metadata.schema.column(leaf).path: leaf for leaf in range(self._metadata.num_columns)}
        self._leaves = [leaves.get(column) for column in columns]
        self._is_required = all(
            leaf is not None and self._metadata.schema.column(leaf).max_definition_level == 0 for leaf in self._leaves
        )
        self._verify()

    @property
    def reads_by_place(self) -> bool:
        """Whether the first row group, and so as a rule each, is read by place."""
        return bool(self._metadata.num_row_groups) and self._places_of(0) is not None

    def row(self, group: int, row: int) -> list[pa.Buffer]:
        """The cell of each column in one row, sharing memory with the file where that is mapped.

        Raises:
            CellError: there is no such row, or the file ends before it.
        """
        if not (0 <= group < self._metadata.num_row_groups and 0 <= row < self._metadata.row_group(group).num_rows):
            raise CellError(f"{self._name} has no row {row} in row group {group}: the list of clips is of another file")
        places = self._places_of(group)
        if places is None:
            return self._by_row_group(group, row)
        start, end = min(at for at, _ in places), max(at + size for at, size in places)
        span = self._read(start, end)  # one request, where each costs a round trip
        if span.size < end - start:
            raise CellError(f"{self._name} ends before row group {group}: `facescribe check` says what to do")
        return [span.slice(at - start, size) for at, size in places]

    def close(self) -> None:
        """Close the file. A mapped one goes with the last cell that shares its memory."""
        self._parquet.close(force=True)

    def _read(self, start: int, end: int) -> pa.Buffer:
        if isinstance(self._source, pa.Buffer):
            return self._source.slice(start, end - start)
        return pa.py_buffer(self._source.read_at(end - start, start))

    def _places_of(self, group: int) -> list[Place] | None:
        if group not in self._places:
            self._places[group] = self._find_places(group)
        return self._places[group]

    def _find_places(self, group: int) -> list[Place] | None:
        facts = self._metadata.row_group(group)
        if facts.num_rows != 1 or not self._is_required:
            return None
        places = []
        for leaf, width in zip(self._leaves, self._widths, strict=True):
            chunk = facts.column(leaf)
            header = chunk.total_compressed_size - width
            is_plain = chunk.compression == "UNCOMPRESSED" and set(chunk.encodings) <= {"PLAIN", "RLE"}
            if not (width and is_plain and not chunk.has_dictionary_page and 0 < header <= HEADER_BYTES):
                return None
            places.append((chunk.data_page_offset + header, width))
        return places

    def _by_row_group(self, group: int, row: int) -> list[pa.Buffer]:
        with self._lock:
            table = self._groups.pop(group, None)
            if table is None:
                table = self._parquet.read_row_group(group, self._columns)
            self._groups[group] = table
            while len(self._groups) > KEPT_GROUPS:
                self._groups.popitem(last=False)
        return [table.column(column)[row].as_buffer() for column in self._columns]

    def _verify(self) -> None:
        """Read one row in both ways. What holds of the writer's first row group holds of its others."""
        if not self.reads_by_place:
            return
        by_place, by_parquet = self.row(0, 0), self._by_row_group(0, 0)
        for column, got, expected in zip(self._columns, by_place, by_parquet, strict=True):
            if not got.equals(expected):
                raise CellError(
                    f"{self._name}: the first {column} read by its place is not what Parquet reads: the file is "
                    "damaged, or of a writer that this reader does not know; `facescribe check` says which"
                )
        self._groups.clear()


def _width(dtype: pa.DataType) -> int:
    """Bytes of a fixed-size cell, 0 of another."""
    return int(dtype.byte_width) if pa.types.is_fixed_size_binary(dtype) else 0
