"""Read what people say of videos: a table with a row per file and its label, split, group, licence and consent."""

from __future__ import annotations

import difflib
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from schemas.videos import ANNOTATIONS

NAMES = tuple(field.name for field in ANNOTATIONS)

Annotations = dict[str, dict[str, str | None]]
"""By path below the source folder, or by video_id: the value of each of NAMES that is given."""


class AnnotationError(ValueError):
    """A table of annotations that cannot be used: the message names the file, the row or column, and what to do."""


def read_annotations(path: Path) -> Annotations:
    """Read a CSV (UTF-8, with a header) or Parquet file. An empty cell says nothing.

    Columns: `path` (below the source folder) or `video_id`, and any of label, split, group, licence, consent.

    Raises:
        AnnotationError: no such file, no table, a column that is not known, no key, or a key that is there twice.
    """
    table = _table(path)
    keys = [name for name in ("video_id", "path") if name in table.column_names]
    if len(keys) != 1:
        raise AnnotationError(f"{path}: expected one of the columns path and video_id, got: {_names(table)}")
    if len(set(table.column_names)) < table.num_columns:
        raise AnnotationError(f"{path}: a column is there twice: {_names(table)}")
    for name in table.column_names:
        if name not in (*keys, *NAMES):
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join((*keys, *NAMES))}"
            raise AnnotationError(f"{path}: unknown column {name!r}; {hint}")
    found: Annotations = {}
    for number, row in enumerate(table.to_pylist()):
        key = row.pop(keys[0])
        if not key:
            raise AnnotationError(f"{path}: row {number + 1} has no {keys[0]}")
        if key in found:
            raise AnnotationError(f"{path}: {keys[0]} {key!r} is there twice, again in row {number + 1}: keep one")
        found[key] = {name: (value or "").strip() or None for name, value in row.items()}
        if (label := found[key].get("label")) and label.isdecimal():
            raise AnnotationError(f"{path}: row {number + 1} has the label {label!r}: give names, never numbers")
    return found


def _table(path: Path) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path, partitioning=None)
            return table.cast(pa.schema([(name, pa.string()) for name in table.column_names]))
        header = path.open(encoding="utf-8-sig").readline()
        names = [name.strip().strip('"') for name in header.strip().split(",")]
        as_text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
        return csv.read_csv(path, convert_options=as_text)
    except OSError as error:
        raise AnnotationError(f"cannot read annotations {path}: {error.strerror or error}") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path} is neither CSV in UTF-8 with a header nor Parquet: {error}") from error


def _names(table: pa.Table) -> str:
    return ", ".join(table.column_names) or "none"
