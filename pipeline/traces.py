"""What a video left behind, as bytes that can be looked for, and where they are found: in files and in Parquet values.

A file is looked at twice where it is Parquet: byte by byte, and decoded, because compressed columns hold no text that
a search of bytes could find.
"""

from __future__ import annotations

import base64
import html
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]

PICTURES = frozenset({"crop_jpeg", "frames", "landmarks_px"})
"""Columns whose cells are pictures of the face, or its shape."""

TEXTS = frozenset({"text", "seen_text", "evidence", "raw_answer", "edited_text", "request", "group", "consent"})
"""Columns, and fields within columns, whose text is about the person."""

MOST_PICTURES = 256
"""Cells of one column and row group that are looked for, evenly spread. Who copies a track copies more than one."""

SNIPPET_BYTES = 32
"""Of each such cell, from its middle: no two cells share so much, unless they are the same."""

FEWEST_BYTES = 8
"""What is shorter is found everywhere, and is not looked for."""


class Traces(BaseModel):
    """What the rows of some videos said: ids by column, paths, texts, and a snippet of each picture as hex."""

    ids: dict[str, set[str]] = {}
    paths: set[str] = set()
    texts: set[str] = set()
    pictures: set[str] = set()

    def add_rows(self, rows: pa.Table) -> None:
        """Note what rows of these videos say. The rows may hold any of the columns of a table."""
        for name in rows.column_names:
            values = rows.column(name)
            if name.endswith("_id") and pa.types.is_string(values.type):
                ids = set(filter(None, pc.unique(values).to_pylist()))
                if name == "unit_id":  # of a ledger: a video or a track
                    self.ids.setdefault("track_id", set()).update(ids - self.ids.get("video_id", set()))
                else:
                    self.ids.setdefault(name, set()).update(ids)
            elif name in {"path", "other_paths"}:
                self.paths.update(text for _, text in _strings(name, values))
            elif name in PICTURES:
                self._add_pictures(values)
            elif name == "reason" and "reviewer" in rows.column_names:  # a reviewer's words; elsewhere one of a list
                self.texts.update(text for _, text in _strings(name, values))
            else:
                self.texts.update(text for leaf, text in _strings(name, values) if leaf in TEXTS)

    def _add_pictures(self, cells: pa.ChunkedArray) -> None:
        step = -(-len(cells) // MOST_PICTURES) or 1
        for place in range(0, len(cells), step):
            cell = memoryview(cells[place].as_buffer())
            # A plain background is found everywhere: of some places the one with the most different bytes.
            starts = range(len(cell) // 2, max(1, len(cell) - SNIPPET_BYTES), max(1, len(cell) // 16))
            snippets = [bytes(cell[start : start + SNIPPET_BYTES]) for start in starts]
            best = max(snippets, key=lambda snippet: len(set(snippet)), default=b"")
            if len(set(best)) >= SNIPPET_BYTES // 2:
                self.pictures.add(best.hex())

    def needles(self) -> dict[bytes, str]:
        """Every form in which a trace could be written, and what it is: the name of an id, path, text or picture."""
        found: dict[bytes, str] = {}
        for snippet in map(bytes.fromhex, self.pictures):
            found |= dict.fromkeys((snippet, *_in_base64(snippet)), "picture")
        for kind, texts in (("text", self.texts), ("path", self.paths), *self.ids.items()):
            for text in texts:
                found |= dict.fromkeys(_written(text), kind)
        return {needle: kind for needle, kind in found.items() if len(needle) >= FEWEST_BYTES}

    def counts(self) -> dict[str, int]:
        """How many traces of each kind there are to look for."""
        kinds = {**self.ids, "path": self.paths, "text": self.texts, "picture": self.pictures}
        return {kind: len(found) for kind, found in sorted(kinds.items()) if found}

    def too_short(self) -> int:
        """How many are too short to be looked for."""
        every = [*self.paths, *self.texts, *(one for ids in self.ids.values() for one in ids)]
        return sum(len(text.encode()) < FEWEST_BYTES for text in every)


def _strings(name: str, values: pa.ChunkedArray | pa.Array) -> Iterator[tuple[str, str]]:
    """Every string of a column, however deep it lies, with the name of the field that it stands in."""
    for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
        if pa.types.is_string(chunk.type):
            yield from ((name, text) for text in pc.unique(chunk).to_pylist() if text)
        elif pa.types.is_list(chunk.type):
            yield from _strings(name, chunk.flatten())
        elif pa.types.is_struct(chunk.type):
            for field, part in zip(chunk.type, chunk.flatten(), strict=True):
                yield from _strings(field.name, part)


def _written(text: str) -> set[bytes]:
    """A text as itself, within JSON once and twice, and within HTML."""
    once = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    twice = {json.dumps(form)[1:-1] for form in once}
    in_html = {html.escape(text, quote=False), html.escape(text), html.escape(text).replace("&quot;", "&#34;")}
    forms = {text, *once, *twice, *in_html, *(form.replace("&#x27;", "&#39;") for form in in_html)}
    return {form.encode("utf-8", "surrogateescape") for form in forms}


def _in_base64(snippet: bytes) -> Iterator[bytes]:
    """What stands in base64 for certain if the snippet lies somewhere within what was encoded."""
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + snippet)
        yield encoded[4 if shift else 0 : (shift + len(snippet)) // 3 * 4]


class Needles:
    """Looks for many byte strings at once."""

    BITS = 20

    def __init__(self, needles: Mapping[bytes, str]) -> None:
        self.kinds = dict(needles)
        anchors: dict[int, list[tuple[int, bytes]]] = {}
        for needle in needles:
            offset = (len(needle) - 8) // 2
            anchors.setdefault(int.from_bytes(needle[offset : offset + 8], "little"), []).append((offset, needle))
        self._anchors = anchors
        self._sorted = np.array(sorted(anchors), np.uint64)
        self._may_be = np.zeros(1 << self.BITS, bool)
        self._may_be[self._slots(self._sorted)] = True

    def _slots(self, words: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return (words * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - self.BITS)

    def within(self, data: Bytes, step: int = 8 << 20) -> set[bytes]:
        """Which of them lie in `data` [N], at any place. Holds little more than `step` bytes of it."""
        found: set[bytes] = set()
        if not self._anchors:
            return found
        for begin in range(0, len(data), step):
            for shift in range(8):
                part = data[begin + shift : begin + shift + step]
                words = part[: len(part) // 8 * 8].view(np.uint64)
                places = np.flatnonzero(self._may_be[self._slots(words)])
                nearest = np.minimum(np.searchsorted(self._sorted, words[places]), len(self._sorted) - 1)
                places = places[self._sorted[nearest] == words[places]]
                for place, word in zip(places.tolist(), words[places].tolist(), strict=True):
                    at = begin + shift + 8 * place
                    for offset, needle in self._anchors[word]:
                        start = at - offset
                        if needle not in found and start >= 0 and data[start : start + len(needle)].tobytes() == needle:
                            found.add(needle)
        return found

    def in_bytes(self, data: bytes) -> set[bytes]:
        """Which of them lie in a byte string."""
        return self.within(np.frombuffer(data, np.uint8))

    def in_file(self, path: Path) -> set[bytes]:
        """Which of them lie in a file, as it is. Raises OSError."""
        if not path.stat().st_size:
            return set()
        return self.within(np.memmap(path, np.uint8, mode="r"))

    def in_parquet(self, path: Path) -> set[bytes]:
        """Which of them lie in the values of a Parquet file. Raises OSError or pa.ArrowInvalid if it cannot be read."""
        found: set[bytes] = set()
        with pq.ParquetFile(path) as parquet:
            for group in range(parquet.num_row_groups):
                for name in parquet.schema_arrow.names:
                    # A name that Arrow takes for a path within a column finds none: then all columns are read.
                    read = parquet.read_row_group(group, [name])
                    for column in (read if read.num_columns else parquet.read_row_group(group)).columns:
                        for cells in (cells for chunk in column.chunks for cells in _cells(chunk)):
                            found |= self.within(np.frombuffer(cells, np.uint8))
        return found

    def without(self, needles: Collection[bytes]) -> Needles:
        """All but these."""
        return Needles({needle: kind for needle, kind in self.kinds.items() if needle not in needles})

    def count(self, needles: Iterable[bytes]) -> dict[str, int]:
        """How many of the needles are of each kind."""
        return dict(sorted(Counter(self.kinds[needle] for needle in needles).items()))


def _cells(array: pa.Array) -> Iterator[pa.Buffer]:
    """The bytes of all strings and binary cells of an array, however deep they lie."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _cells(array.dictionary)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _cells(array.values)
    elif pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            yield from _cells(array.field(number))
    elif pa.types.is_map(kind):
        yield from _cells(array.keys)
        yield from _cells(array.items)
    elif not pa.types.is_primitive(kind) and not pa.types.is_null(kind) and array.buffers()[-1] is not None:
        yield array.buffers()[-1]
