"""Any values may stand in the workbooks of DFEW and MAFW: no reader crashes, and no row of votes is lost."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.videos.datasets import dfew, mafw
from pipeline.videos.datasets.listing import FAULTS, DatasetError, Listing
from tests.videos.datasets import dfew_tree, mafw_tree

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_ODD: tuple[Any, ...] = (
    *(None, "", " ", "neutral", "0", "1", "99", "-1", "1.5", "NaN", "00001.mp4", "=1+1", "é", "悲", "x" * 5000),
    *(0, 1, 7, 8, -1, 10**12, 0.5, 1.0, 1e300, True, datetime.datetime(2020, 10, 17)),
)
"""What a cell may hold: words, numbers as text and as numbers, a formula, a date."""


def _dfew(folder: Path) -> Path:
    return dfew_tree.write_dfew(folder)


def _mafw(folder: Path) -> Path:
    folder = mafw_tree.write_mafw(folder)
    for path in (folder / "Train & Test Set").rglob("set_[2345]/*.txt"):
        path.unlink()
    return folder


BOOKS: tuple[tuple[ModuleType, Callable[[Path], Path], str], ...] = (
    (dfew, _dfew, "Annotation/annotation.xlsx"),
    (mafw, _mafw, "Labels/annotation.xlsx"),
    (mafw, _mafw, "Labels/single-set.xlsx"),
    (mafw, _mafw, "Labels/multi-set.xlsx"),
    (mafw, _mafw, "Labels/descriptive_text.xlsx"),
)

_TREES: dict[Callable[[Path], Path], Path] = {}


def _read(reader: ModuleType, folder: Path, file: str, rows: list[list[Any]]) -> Listing | None:
    path = folder / file
    before = path.read_bytes()
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in rows:
        sheet.append(row)
    book.save(path)
    try:
        listing: Listing = reader.read(folder)
    except DatasetError:
        return None
    finally:
        path.write_bytes(before)
    assert all(fault.kind in FAULTS and fault.where and fault.detail for fault in listing.faults)
    assert all(clip.label in (None, *reader.LABELS) for clip in listing.clips)
    assert all(set(clip.votes or ()) <= set(reader.LABELS) for clip in listing.clips)
    return listing


@pytest.mark.parametrize(("reader", "write", "file"), BOOKS, ids=[file for _, _, file in BOOKS])
@FEW
@given(data=st.data())
def test_no_cell_crashes_a_reader_and_no_row_is_lost(
    reader: ModuleType,
    write: Callable[[Path], Path],
    file: str,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    folder = _TREES.get(write) or write(tmp_path_factory.mktemp("set"))
    _TREES[write] = folder
    cells = openpyxl.load_workbook(folder / file, read_only=True).worksheets[0].iter_rows(values_only=True)
    rows = [list(row) for row in cells]
    for _ in range(data.draw(st.integers(1, 6))):
        row = rows[data.draw(st.integers(0, len(rows) - 1))]
        if row:
            row[data.draw(st.integers(0, len(row) - 1))] = data.draw(st.sampled_from(_ODD))
    match data.draw(st.sampled_from(("whole", "twice", "short", "wide", "cut"))):
        case "twice":
            rows.append(list(rows[data.draw(st.integers(0, len(rows) - 1))]))
        case "short":
            del rows[data.draw(st.integers(0, len(rows) - 1))][data.draw(st.integers(0, 3)) :]
        case "wide":
            rows[data.draw(st.integers(0, len(rows) - 1))] += ["more"] * 30
        case "cut":
            del rows[data.draw(st.integers(1, len(rows) - 1)) :]
    listing = _read(reader, folder, file, rows)
    is_votes = file.endswith("annotation.xlsx")
    if listing is None or not is_votes or any(fault.where == f"{file}:1" for fault in listing.faults):
        return
    full = [at for at, row in enumerate(rows) if at and any(cell not in (None, "") for cell in row)]
    if full:
        at = data.draw(st.sampled_from(full))
        without = _read(reader, folder, file, [*rows[:at], [], *rows[at + 1 :]])
        assert without is None or (without.clips, without.faults) != (listing.clips, listing.faults), (
            f"row {at + 1} of {file} has no trace: {rows[at]!r:.300}"
        )
