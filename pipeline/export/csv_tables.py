"""Write tables of a snapshot as CSV that a spreadsheet may open: one file per table, no cell that it would compute.

UTF-8, commas, a header, lines that end in CR LF (RFC 4180), every cell in quotation marks. Numbers and true/false are
plain; lists and records are JSON; a null is an empty cell. What texts look like: `pipeline/csv_cells.py`.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import progress
from pipeline.csv_cells import QUOTED, defused
from pipeline.export.card import write_card
from pipeline.export.folder import refuse_folder, whole_folder
from pipeline.export.gate import refuse_what_may_not_leave
from pipeline.export.parquet import EXPORTED, refuse_unknown_tables
from pipeline.export.record import Export, record_of, write_record
from pipeline.export.rows import columns_of
from pipeline.inspection.corpus import Corpus
from schemas.corpus import TABLES
from schemas.table import describe, read_cell

BOXES = "boxes_xyxy"
"""The one tensor that is told, as JSON: all others are left out."""


def export_csv(
    corpus: Corpus, folder: Path, tables: Sequence[str] = EXPORTED, without_licence: str | None = None
) -> Export:
    """Write the tables as `folder`/TABLE.csv, and what each column means as `columns.csv`. Memory: a shard's rows.

    Raises:
        ExportError: the folder is not empty or lies in the corpus, or there is no such table.
        LicenceError: a video has no licence or consent, and `without_licence` does not say why it may go out.
        LabelLeakError: a text saw its label and is not of the split to train on.
    """
    refuse_folder(corpus, folder)
    refuse_unknown_tables(tables)
    num_without = refuse_what_may_not_leave(corpus, tables, without_licence)
    rows = {name: corpus.snapshot.counts.get(name, 0) for name in tables}
    made = record_of(corpus, "csv", rows, num_without, without_licence)
    made.left_out = {name: left for name in tables if (left := [f.name for f in _fields(name, is_told=False)])}
    with whole_folder(folder) as out:
        for number, name in enumerate(tables):
            _write(out / f"{name}.csv", [field.name for field in _fields(name)], _cells(corpus, name))
            progress.report("export", 0, done=number + 1, total=len(tables))
        meanings = [
            one
            for one in describe([TABLES[name] for name in tables])
            if one["column"] not in made.left_out.get(one["table"], ())
        ]
        columns = ("table", "column", "type", "unit", "meaning")
        _write(out / "columns.csv", columns, ([defused(one[name]) for name in columns] for one in meanings))
        write_record(out, made)
        write_card(out, corpus, made, {name: {"all_rows": f"{name}.csv"} for name in tables if rows[name]})
    return made


def _fields(table: str, *, is_told: bool = True) -> list[pa.Field]:
    """The columns that go out, or those that do not: cells of bytes."""

    def goes_out(field: pa.Field) -> bool:
        return field.name == BOXES or not (pa.types.is_binary(field.type) or pa.types.is_fixed_size_binary(field.type))

    return [field for field in TABLES[table].columns if goes_out(field) == is_told]


def _cells(corpus: Corpus, table: str) -> Iterator[list[str]]:
    fields = _fields(table)
    for row in columns_of(corpus, table, [field.name for field in fields]):
        values = {**row, BOXES: read_cell(TABLES[table].field(BOXES), row[BOXES]).tolist()} if BOXES in row else row
        yield [_cell(values[field.name]) for field in fields]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return defused(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(_finite(value), ensure_ascii=False)
    return repr(value) if isinstance(value, int | float) else defused(str(value))


def _finite(value: Any) -> Any:
    """The value with null for what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return {name: _finite(one) for name, one in value.items()} if isinstance(value, dict) else value


def _write(path: Path, names: Sequence[str], rows: Iterator[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=QUOTED)
        writer.writerow(names)
        writer.writerows(rows)
