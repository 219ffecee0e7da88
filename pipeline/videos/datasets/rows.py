"""Read a table in CSV so that no line is lost: each is a row, or a fault that says where and why.

A stray quotation mark makes the usual CSV readers swallow the lines after it into one field, without a word. So every
line is parsed for itself; a field that goes over several lines is taken only where a table has such fields, and only
if the row that it gives is as wide as the header.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.videos.datasets.listing import Fault

_LINE_BREAK = re.compile(r"\r\n|\n|\r")
"""Not `str.splitlines`, which also cuts at U+0085, U+2028 and others that stand within texts."""

_MOST_LINES_OF_A_ROW = 200


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    where: str
    """File and line, as a fault names it: `train_sent_emo.csv:12`."""

    values: dict[str, str]
    """By column, without spaces at the ends."""


@dataclass
class Table:
    """What was read of one annotation file."""

    name: str
    """Of the file, below the set's folder."""

    rows: list[Row] = field(default_factory=list)
    is_there: bool = False


def read_text(folder: Path, name: str, faults: list[Fault]) -> str | None:
    """The text of an annotation file in UTF-8, with or without a mark at its beginning; None if it cannot be read.

    Bytes that are no UTF-8 are told and become U+FFFD, so that what is readable beside them is not lost; a file with
    the mark of UTF-16 is read as that, and told.
    """
    try:
        data = (folder / name).read_bytes()
    except FileNotFoundError:
        faults.append(Fault("missing_file", name, f"looked for it below {folder}"))
        return None
    except OSError as error:
        faults.append(Fault("unreadable", name, error.strerror or type(error).__name__))
        return None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        faults.append(Fault("bad_encoding", name, "found UTF-16, expected UTF-8"))
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"expected UTF-8; byte 0x{data[error.start]:02x} in line {line} is none, such bytes are read as U+FFFD"
        faults.append(Fault("bad_encoding", name, found))
        return data.decode("utf-8-sig", errors="replace")


def split_lines(text: str) -> list[str]:
    """The lines of a text, cut at CR, LF or CRLF and nowhere else; nothing follows a last break."""
    lines = _LINE_BREAK.split(text)
    return lines[:-1] if lines[-1] == "" else lines


def read_table(
    folder: Path, name: str, columns: Sequence[str], faults: list[Fault], *, has_long_fields: bool = False
) -> Table:
    """Read a CSV file with a header: its rows, as far as they have as many fields as the header.

    `columns` must stand in the header, in any order and among others; if one does not, the whole file is left out and
    one fault says so. `has_long_fields` lets a quoted field go over several lines. Blank lines are no rows.
    """
    text = read_text(folder, name, faults)
    table = Table(name, is_there=text is not None)
    if text is None:
        return table
    rows = csv_rows(split_lines(text), name, faults, has_long_fields=has_long_fields)
    _, header = next(rows, ("", []))
    header = [cell.strip() for cell in header]
    if unclear := [column for column in columns if header.count(column) != 1]:
        detail = f"expected the columns {', '.join(columns)} once each; not so: {', '.join(unclear)}; found {header}"
        faults.append(Fault("bad_line", f"{name}:1", f"{_short(detail, 400)}; the whole file is left out"))
        return table
    for where, cells in rows:
        table.rows.append(Row(where, {column: cell.strip() for column, cell in zip(header, cells, strict=True)}))
    return table


def csv_rows(
    lines: Sequence[str], name: str, faults: list[Fault], *, has_long_fields: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """The rows of a CSV file after where each begins (`file:line`); the first is the header, and sets the width.

    Every line that is not blank is of a row that is given, or a fault; what stands in a line that is none of a row
    is not looked at further.
    """
    width, at = 0, 0
    while at < len(lines):
        where, line = f"{name}:{at + 1}", lines[at]
        cells, after = _row(lines, at, width, has_long_fields)
        at = after
        if cells is not None:
            width = width or len(cells)
            yield where, cells
        elif line.strip():
            expected = f"{width} fields, as in the header" if width else "a header in CSV"
            faults.append(Fault("bad_line", where, f"expected {expected}; found {_short(repr(line))}"))
            if not width:
                rest = sum(1 for line in lines[at:] if line.strip())
                detail = f"without a header that can be read, the {rest} lines after it are left out"
                faults.append(Fault("bad_line", name, detail))
                return


def _row(lines: Sequence[str], at: int, width: int, has_long_fields: bool) -> tuple[list[str] | None, int]:
    """The fields of the row that begins at line `at` (from 0), None if that line is none; and where to go on."""
    cells = _fields(lines[at])
    if cells is not None:
        is_row = len(cells) == width or not width
        return (cells if is_row and lines[at].strip() else None), at + 1
    if has_long_fields:
        for end in range(at + 2, min(at + _MOST_LINES_OF_A_ROW, len(lines)) + 1):
            cells = _fields("\n".join(lines[at:end]))
            if cells is not None and len(cells) == width:
                return cells, end
            if cells is not None:
                break  # the quotation mark was closed, and the row is none: only its first line is given up
    return None, at + 1


def _fields(line: str) -> list[str] | None:
    """The fields of one row in CSV; None if a quotation mark stands wrong or a field is too long to be one."""
    try:
        rows = list(csv.reader([line], strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _short(text: str, length: int = 90) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
