"""Read annotation files, line by line or row by row: what cannot be read is a fault with its place, never an error."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.videos.datasets.listing import Fault
from pipeline.videos.datasets.on_disk import below

MOST_UNPACKED_BYTES = 256 << 20
MOST_ROWS, MOST_COLUMNS = 500_000, 128
"""Of a workbook, which is an archive: a file of a kilobyte may hold any number of empty cells."""

_LINE_END = re.compile(r"\r\n|\n|\r")
"""Not `str.splitlines`, which also breaks a caption at characters that no annotation file means as a line's end."""


def read_lines(
    folder: Path, path: Path, faults: list[Fault], expected: str = "utf-8-sig", others: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """Each line that is not blank, after where it is (`file:number`).

    A file in one of the `others` of encodings is read, and told of as known. Where no encoding fits, the bytes that do
    not become U+FFFD, so that the other lines are still read.
    """
    where = below(folder, path)
    try:
        content = path.read_bytes()
    except OSError as error:
        faults.append(Fault("unreadable", where, error.strerror or type(error).__name__))
        return
    for number, line in enumerate(_LINE_END.split(_decode(where, content, faults, expected, others)), 1):
        if line.strip():
            yield f"{where}:{number}", line


def read_csv(
    folder: Path, path: Path, faults: list[Fault], columns: Sequence[Sequence[str]]
) -> Iterator[tuple[str, list[str]]]:
    """The cells of `columns` in each row of a CSV with a header, after where it is.

    Each column is given by the names that it goes by. A row without one of them is a fault and left out. A row is a
    line: a quotation mark that is never closed does not swallow the rows after it.
    """
    places: list[int] | None = None
    for where, line in read_lines(folder, path, faults):
        try:
            cells = [cell.strip() for cell in next(csv.reader([line]), [])]
        except csv.Error as error:
            faults.append(Fault("bad_line", where, f"no row of a CSV: {error}"))
            continue
        if places is None:
            header = [cell.lower() for cell in cells]
            places = [next((header.index(name) for name in names if name in header), -1) for names in columns]
            if -1 in places:
                wanted = " and ".join(names[0] for names in columns)
                detail = f"expected the columns {wanted}, got {line!r}: the file is left out"
                faults.append(Fault("bad_line", where, detail))
                return
        elif len(cells) > max(places):
            yield where, [cells[place] for place in places]
        else:
            faults.append(Fault("bad_line", where, f"expected {len(columns)} cells or more, got {line!r}"))
    where = below(folder, path)
    if places is None and not any(fault.kind == "unreadable" and fault.where == where for fault in faults):
        faults.append(Fault("bad_line", where, "the file is empty"))


def read_sheet(folder: Path, path: Path, faults: list[Fault]) -> list[tuple[str, tuple[Any, ...]]]:
    """Each row that is not blank of a workbook's first sheet, after where it is; cells are None, text or numbers."""
    import openpyxl

    where = below(folder, path)
    found: list[tuple[str, tuple[Any, ...]]] = []
    try:
        with zipfile.ZipFile(path) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
        if unpacked > MOST_UNPACKED_BYTES:
            most = f"{MOST_UNPACKED_BYTES >> 20} MiB are the most"
            faults.append(Fault("unreadable", where, f"unpacks to {unpacked >> 20:,} MiB; {most}"))
            return found
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheet = book.worksheets[0]
            # What a sheet says of its own width is believed up to here: a cell in its last corner would be 17 billion.
            width = min(sheet.max_column or MOST_COLUMNS, MOST_COLUMNS)
            rows = sheet.iter_rows(max_row=MOST_ROWS, max_col=width, values_only=True)
            for number, row in enumerate(rows, 1):
                if any(cell is not None for cell in row):
                    found.append((f"{where}:{number}", tuple(row)))
        finally:
            book.close()
    except Exception as error:  # a damaged workbook makes openpyxl raise whatever its parts raise
        faults.append(Fault("unreadable", where, f"no Excel workbook (.xlsx): {type(error).__name__}: {error}"))
    return found


def cell_text(cell: object) -> str:
    """A cell as text; a whole number has no point, as Excel keeps `1` and `00001.mp4` in one column."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell).strip()


def _decode(where: str, content: bytes, faults: list[Fault], expected: str, others: Sequence[str]) -> str:
    # UTF-8 goes first whatever is expected: hardly a text in another encoding is valid UTF-8, while most UTF-8 is
    # valid GB18030 of other characters.
    for encoding in sorted((expected, *others), key=lambda name: not name.startswith("utf-8")):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != expected and not text.isascii():
            detail = f"published in {expected}; this copy is in {encoding}, and read so"
            faults.append(Fault("bad_encoding", where, detail, is_known=True))
        return text
    try:
        return content.decode(expected)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        detail = f"line {line}: byte 0x{content[error.start]:02x} is none of {expected}; such bytes are read as U+FFFD"
        faults.append(Fault("bad_encoding", where, detail))
        return content.decode(expected, errors="replace")
