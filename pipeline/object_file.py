"""An object as a file that pyarrow reads: no other part of it comes than what is asked for, in few requests.

Arrow's own threads are kept away from it: one of them that still held such a file while the program ended would end it
with a crash. So what a table needs is fetched before, many ranges at once, and decoded by the thread that asks.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

Span = tuple[int, int]
"""First byte, and byte after the last."""

ReadSpans = Callable[[Sequence[Span]], Sequence[bytes]]
"""Fetches parts of an object, all at once."""


class ObjectFile(pa.PythonFile):  # type: ignore[misc]  # pyarrow is not typed
    """An object of known size, read in parts. Made by `open_object`."""

    def __init__(self, parts: _Parts, mode: str) -> None:
        self._parts = parts  # pyarrow takes the rest

    def read_at(self, nbytes: int, offset: int) -> bytes:
        """A part; unlike pyarrow's own, for any number of threads at once."""
        return self._parts.part(offset, nbytes)

    def prefetch(self, spans: Sequence[Span]) -> None:
        """Have these parts, before they are read one by one."""
        self._parts.prefetch(spans)


def open_object(read_spans: ReadSpans, num_bytes: int) -> ObjectFile:
    """A file over what fetches parts of it."""
    return ObjectFile(_Parts(read_spans, num_bytes), mode="r")


def read_table(file: ObjectFile, columns: Sequence[str] | None) -> pa.Table:
    """All rows of a Parquet file, or only the named columns of them: two requests, or a few if it is large."""
    with pq.ParquetFile(file) as parquet:
        names = parquet.schema_arrow.names if columns is None else list(columns)
        file.prefetch(_spans_of(parquet.metadata, set(names)))
        return parquet.read(names, use_threads=False)


def _spans_of(metadata: pq.FileMetaData, names: set[str]) -> list[Span]:
    """Where the cells of some columns lie."""
    spans = []
    for group in range(metadata.num_row_groups):
        for leaf in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(leaf)
            if chunk.path_in_schema.split(".")[0] in names:
                start = chunk.data_page_offset
                if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                    start = min(start, chunk.dictionary_page_offset)
                spans.append((start, start + chunk.total_compressed_size))
    return spans


class _Parts(io.RawIOBase):
    def __init__(self, read_spans: ReadSpans, num_bytes: int) -> None:
        self._read_spans, self._num_bytes, self._at = read_spans, num_bytes, 0
        self._had: list[tuple[Span, bytes]] = []

    def prefetch(self, spans: Sequence[Span]) -> None:
        if spans:
            self._had = list(zip(spans, self._read_spans(spans), strict=True))

    def part(self, offset: int, size: int) -> bytes:
        start, end = offset, min(offset + size, self._num_bytes)
        if end <= start:
            return b""
        for (first, last), data in self._had:
            if first <= start and end <= last:
                return data[start - first : end - first]
        return self._read_spans([(start, end)])[0]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._num_bytes}[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        data = self.part(self._at, self._num_bytes if size is None or size < 0 else size)
        self._at += len(data)
        return data
