"""Read what people say of videos: a table with a row per file and its label, votes, folds, captions, licence, consent.

A table stands beside a source (`--annotations`), or is the source itself: a manifest, whose rows are all there is.
"""

from __future__ import annotations

import csv
import difflib
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.videos.annotation_cells import OWN_PROTOCOL, CellError, Folds, read_captions, read_folds, read_votes
from pipeline.videos.paths import ESCAPED, is_address, name_of, path_text, refuse_secrets, refuse_strange_store
from schemas.videos import ANNOTATIONS

NAMES = tuple(field.name for field in ANNOTATIONS)

TEXTS = ("label", "split", "group", "licence", "consent", "dataset", "clip_name")
"""Columns of text, which are taken as they stand."""

COLUMNS = ("label", "votes", "split", "fold", "group", "caption", "licence", "consent", "dataset", "clip_name")
"""Columns that a table may have beside its key. `caption_en` and its like are captions of one language; `folds` and
`captions` are what `fold` and `caption` become, as a corpus' own tables hold them."""

_CAPTION = re.compile(r"caption(?:_([A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*))?")

UNSTATED = "und"
"""The language of a caption in a column that does not say which, as BCP 47 writes that it is not determined."""

Annotations = Mapping[str, Mapping[str, Any]]
"""By path below the source folder, or by video_id: the value of each of NAMES that is given; None: an empty cell."""


MOST_CELLS = 20_000_000
MOST_BYTES = 1 << 30
"""Of a table in Parquet, with every text written out: a million videos with a kilobyte of text each."""


class AnnotationError(ValueError):
    """A table of annotations that cannot be used: the message names the file, the row or column, and what to do."""


def read_annotations(path: Path) -> dict[str, dict[str, Any]]:
    """Read a CSV (UTF-8, with a header) or Parquet file. An empty cell says nothing.

    Columns: `path` (below the source folder) or `video_id`, and any of COLUMNS.

    Raises:
        AnnotationError: no such file, no table, a column that is not known, no key, a key that is there twice, or a
            cell that cannot be understood.
    """
    names, rows = _table(path)
    keys = [name for name in ("video_id", "path") if name in names]
    if len(keys) != 1:
        raise AnnotationError(f"{path}: expected one of the columns path and video_id, got: {_listed(names)}")
    return _said(path, names, rows, keys[0], lambda key: key)


def read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """Read a table that lists videos, in its order: by path as the corpus stores it, what its row says.

    A relative path is below the manifest's folder; an absolute one, and the address of an object (`s3://…`), stays.

    Raises:
        AnnotationError: as `read_annotations`; no column `path`, a path that leaves the manifest's folder, or no row.
    """
    names, rows = _table(path)
    if "path" not in names:
        hint = "is it separated by something other than commas?" if any(c in "".join(names) for c in ";\t|") else None
        near = difflib.get_close_matches("path", names, n=1) or [n for n in names if n.lower() in _LIKE_PATH][:1]
        hint = hint or (f"name {near[0]!r} so" if near else "one row for each video")
        raise AnnotationError(f"{path}: a manifest needs the column path, got: {_listed(names)}; {hint}")
    if "video_id" in names:
        raise AnnotationError(f"{path}: a manifest names files by path alone: leave out the column video_id")
    said = _said(path, names, rows, "path", _manifest_path)
    if not said:
        raise AnnotationError(f"{path} lists no video: there is a header and no row")
    return said


_LIKE_PATH = ("file", "filename", "file_name", "name", "video", "video_path", "clip")


def _said(
    path: Path, names: list[str], rows: Iterator[dict[str, Any]], key_name: str, key_of: Callable[[str], str]
) -> dict[str, dict[str, Any]]:
    _refuse_columns(path, names, key_name)
    found: dict[str, dict[str, Any]] = {}
    folds: dict[str, Folds] = {}
    for number, row in enumerate(rows, 1):
        given = row.pop(key_name)
        if not given:
            raise AnnotationError(f"{path}: row {number} has no {key_name}")
        try:
            key = key_of(_text(given))
            said, folds_said = _row_said(row)
        except CellError as error:
            raise AnnotationError(f"{path}: row {number}: {error}") from None
        if key in found:
            raise AnnotationError(f"{path}: {key_name} {given!r} is there twice, again in row {number}: keep one")
        found[key] = said
        if folds_said is not None:
            folds[key] = folds_said
    _add_folds(path, found, folds)
    return found


def _row_said(row: Mapping[str, Any]) -> tuple[dict[str, Any], Folds | None]:
    """The values of one row by NAMES, without folds, which need the other rows too."""
    said: dict[str, Any] = {}
    folds = None
    for name, value in row.items():
        try:
            if name in TEXTS:
                said[name] = _text(value).strip() or None
            elif name == "votes":
                said[name] = read_votes(value)
            elif name in ("fold", "folds"):
                said["folds"], folds = None, read_folds(value)
            elif name == "captions":
                said["captions"] = [*(said.get("captions") or ()), *(read_captions(value) or ())] or None
            else:
                said["captions"] = [*(said.get("captions") or ()), *_caption(name, value)] or None
        except CellError as error:
            raise CellError(f"column {name}: {error}") from None
    if (label := said.get("label")) and label.isdecimal():
        raise CellError(f"the label {label!r}: give names, never numbers")
    return said, folds


def _caption(column: str, value: Any) -> list[dict[str, str]]:
    named = _CAPTION.fullmatch(column)
    language = (named[1] if named else None) or UNSTATED
    text = _text(value).strip()
    return [{"language": language, "text": text}] if text else []


def _text(value: Any) -> str:
    """A cell that should be text; an empty one is none. A column of Parquet may hold lists or records."""
    if not isinstance(value, str | None):
        raise CellError(f"expected text, got {type(value).__name__}: only votes, folds and captions may be nested")
    return value or ""


def _add_folds(path: Path, found: Mapping[str, dict[str, Any]], folds: Mapping[str, Folds]) -> None:
    """A fold given as a number is where a video is tested; in every other such fold of the table it trains."""
    numbers = sorted({one.held_out for one in folds.values() if one.held_out is not None}, key=lambda n: (len(n), n))
    if len(numbers) == 1:
        raise AnnotationError(
            f"{path}: every fold given as a number is {numbers[0]}, so that none of these videos ever trains: give "
            f"the other videos their fold too, or write {OWN_PROTOCOL}/{numbers[0]}/test"
        )
    for key, said in folds.items():
        parts = list(said.parts)
        for number in numbers if said.held_out is not None else ():
            part = "test" if number == said.held_out else "train"
            parts.append({"protocol": OWN_PROTOCOL, "fold": number, "part": part, "label": None})
        where = [(one["protocol"], one["fold"]) for one in parts]
        if len(set(where)) < len(where):
            raise AnnotationError(f"{path}: {key!r} gives a fold of {OWN_PROTOCOL} as a number and as words: keep one")
        found[key]["folds"] = sorted(parts, key=lambda one: (one["protocol"], one["fold"])) or None


def _refuse_columns(path: Path, names: list[str], key_name: str) -> None:
    if len(set(names)) < len(names):
        raise AnnotationError(f"{path}: a column is there twice: {_listed(names)}")
    for name in names:
        if name not in (key_name, *COLUMNS, "folds", "captions") and not _CAPTION.fullmatch(name):
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join((key_name, *COLUMNS))}"
            raise AnnotationError(f"{path}: unknown column {name!r}; {hint}")
    if {"fold", "folds"} <= set(names):
        raise AnnotationError(f"{path}: the columns fold and folds say the same: keep one")


def _manifest_path(given: str) -> str:
    """The path of a manifest's row as the corpus stores it. Raises CellError."""
    text = given.strip()
    if ESCAPED.search(text):  # judged as the path that it stands for: `\x2E\x2E/` leaves the folder too
        text = name_of(text)
    if text.startswith("file://"):
        text = unquote(text.removeprefix("file://"))
    if "\0" in text or not text:
        raise CellError(f"the path {given!r} is no path")
    if is_address(text):
        if wrong := refuse_secrets(text) or refuse_strange_store(text):
            raise CellError(f"the address {text.split('://', 1)[0]}://… {wrong}")
        return path_text(text)
    text = posixpath.normpath(text)
    if text.startswith("//"):
        text = text[1:]
    if text == ".." or text.startswith("../"):
        raise CellError(
            f"the path {given!r} leaves the manifest's folder: move the manifest up, or give the whole path"
        )
    if text in (".", "/"):
        raise CellError(f"the path {given!r} is a folder of the manifest, and no video")
    return path_text(text)


def _table(path: Path) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """Names of the columns, and the rows: text, or what a nested column of Parquet holds."""
    try:
        if path.suffix.lower() == ".parquet":
            _refuse_bomb(path)
            table = pq.read_table(path, partitioning=None)
            return table.column_names, iter(_as_text(table).to_pylist()) if _is_plain(table) else iter(())
        return _csv(path)
    except OSError as error:
        raise AnnotationError(f"cannot read annotations {path}: {error.strerror or error}") from error
    except (pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{path} is neither CSV in UTF-8 with a header nor Parquet: {error}") from error


def _refuse_bomb(path: Path) -> None:
    """Raise AnnotationError where a table would fill the memory: a small file may repeat one text a million times.

    It is read with each text kept once, and what they would take together is counted.
    """
    facts, chunks = _chunks_of(path)
    cells = max(facts.num_rows * facts.num_columns, sum(chunk.num_values for chunk in chunks))
    if cells > MOST_CELLS:
        raise AnnotationError(f"{path} has {cells:,} cells; {MOST_CELLS:,} are the most")
    stored = sum(chunk.total_uncompressed_size for chunk in chunks)
    if stored <= MOST_BYTES:
        texts = [c.path_in_schema for c in chunks if c.physical_type == "BYTE_ARRAY"]
        once = pq.read_table(path, partitioning=None, read_dictionary=sorted(set(texts)))
        stored = sum(_num_bytes(chunk) for column in once.columns for chunk in column.chunks)
    if stored > MOST_BYTES:
        raise AnnotationError(f"{path} unpacks to {stored / 1e9:,.1f} GB; {MOST_BYTES / 1e9:.1f} GB are the most")


def _chunks_of(path: Path) -> tuple[pq.FileMetaData, list[Any]]:
    """What a file says of itself, and of each column in each row group.

    Who looks into a damaged footer with pyarrow ends the process; who reads with it gets an error. So a row of each
    group is read first, with each text kept once.
    """
    leaves = pq.read_metadata(path).schema
    columns = [leaves.column(number) for number in range(len(leaves))]
    texts = sorted({column.path for column in columns if column.physical_type == "BYTE_ARRAY"})
    with pq.ParquetFile(path, read_dictionary=texts) as parquet:
        facts = parquet.metadata
        groups = [facts.row_group(number) for number in range(facts.num_row_groups)]
        if (stored := sum(group.total_byte_size for group in groups)) > MOST_BYTES:
            raise AnnotationError(f"{path} unpacks to {stored / 1e9:,.1f} GB; {MOST_BYTES / 1e9:.1f} GB are the most")
        for number in range(len(groups)):
            next(parquet.iter_batches(batch_size=1, row_groups=[number], use_threads=False), None)
    return facts, [group.column(number) for group in groups for number in range(group.num_columns)]


def _num_bytes(values: pa.Array) -> int:
    """Bytes that an array takes with every text written out."""
    if isinstance(values, pa.DictionaryArray):
        lengths = pc.binary_length(values.dictionary)
        return int(pc.sum(pc.cast(lengths.take(values.indices), pa.int64())).as_py() or 0)
    if pa.types.is_struct(values.type):
        return sum(_num_bytes(part) for part in values.flatten())
    if pa.types.is_map(values.type):
        return _num_bytes(values.keys) + _num_bytes(values.items)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        return _num_bytes(values.flatten())
    return int(values.nbytes)


def _csv(path: Path) -> tuple[list[str], Iterator[dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        names = [name.strip() for name in next(lines, [])]
        if not any(names):
            raise AnnotationError(f"{path} is neither CSV in UTF-8 with a header nor Parquet: its first line is empty")
        rows = []
        for cells in lines:
            if not cells:
                continue  # an empty line, such as the last
            if len(cells) != len(names):
                raise AnnotationError(
                    f"{path}: line {lines.line_num} has {len(cells)} cells, expected {len(names)} as in the header; a "
                    'cell with a comma in it stands in quotation marks: "…"'
                )
            rows.append(dict(zip(names, cells, strict=True)))
    return names, iter(rows)


def _is_plain(table: pa.Table) -> bool:
    return len(set(table.column_names)) == len(table.column_names)  # else `_refuse_columns` says so


def _as_text(table: pa.Table) -> pa.Table:
    """Every column as text but those that hold lists or records; 1.0 is the fold 1 of a column that has gaps."""
    for place, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            continue
        values = table.column(place)
        if pa.types.is_floating(field.type):
            texts = [
                None if v is None or v != v else str(int(v)) if v.is_integer() else str(v) for v in values.to_pylist()
            ]
            values = pa.chunked_array([pa.array(texts, pa.string())])
        table = table.set_column(place, field.name, values.cast(pa.string()))
    return table


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
