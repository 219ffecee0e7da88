"""What somebody else's manifest, folder or table can reach of this machine: nothing outside, and no endless memory."""

from __future__ import annotations

import csv
import time
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.drift import _write_rows
from pipeline.csv_cells import DANGEROUS, as_it_was
from pipeline.inspection.verification import write_faults
from pipeline.videos.annotations import AnnotationError, read_annotations, read_manifest
from pipeline.videos.datasets.annotation_files import read_sheet
from pipeline.videos.datasets.listing import Fault
from pipeline.videos.datasets.registry import parse_source
from pipeline.videos.datasets.verify import Told, Verification
from pipeline.videos.listed_source import list_address
from pipeline.videos.paths import LEADS_OUT
from pipeline.videos.sources import list_source, reason_of

FORMULA = '=HYPERLINK("https://owned.invalid","x")'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source, and beside it what is nobody else's business."""
    source = tmp_path / "source"
    (source / "clips").mkdir(parents=True)
    (source / "clips" / "own.mp4").write_bytes(b"own")
    (tmp_path / "private.mp4").write_bytes(b"private")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "1.jpg").write_bytes(b"private")
    (source / "out.mp4").symlink_to("../private.mp4")
    (source / "whole.mp4").symlink_to(tmp_path / "private.mp4")
    (source / "linked").symlink_to("../private")
    (source / "within.mp4").symlink_to("clips/own.mp4")
    (source / "frames").mkdir()
    (source / "frames" / "1.jpg").symlink_to("../../private/1.jpg")
    (source / "frames" / "2.jpg").write_bytes(b"own")
    return source


# --- paths and links


@pytest.mark.parametrize(
    "given",
    [
        "../private.mp4",
        "clips/../../private.mp4",
        r"\x2E\x2E/private.mp4",
        r"clips/\x2E\x2E/\x2E\x2E/private.mp4",
        "file://../private.mp4",
        "file://%2e%2e/private.mp4",
        r"clips/own.mp4\x00",
        r"s3\x3A//key:secret@bucket/a.mp4",
        "local://private.mp4",
        "memory://private.mp4",
        "reference://private.mp4",
        "http://169.254.169.254/latest/meta-data/iam",
        "http://metadata.google.internal/computeMetadata/v1/",
    ],
)
def test_a_manifest_reaches_nothing_by_a_path_that_leaves_its_folder(folder: Path, given: str) -> None:
    (folder / "list.csv").write_text(f"path\n{given}\n")
    with pytest.raises(AnnotationError) as refused:
        read_manifest(folder / "list.csv")
    assert "secret" not in str(refused.value)


def test_links_that_lead_out_of_a_manifests_folder_are_refused(folder: Path) -> None:
    named = ["out.mp4", "whole.mp4", "linked", "linked/1.jpg", "frames", "within.mp4", "clips/own.mp4"]
    (folder / "list.csv").write_text("\n".join(["path", *named]))
    address = parse_source(f"manifest:{folder / 'list.csv'}")
    listed = list_address(address, {})
    errors = {
        path: row["read_error"] for row in listed.sources.to_pylist() for path in (row["path"], *row["other_paths"])
    }
    assert errors == dict.fromkeys(named[:5], LEADS_OUT) | dict.fromkeys(named[5:])
    (note,) = listed.notes
    assert "5 videos are links that lead out" in note and "links_out = true" in note
    assert reason_of(LEADS_OUT) == "not_a_file"
    trusted = list_address(address, {}, links_out=True)
    assert {row["read_error"] for row in trusted.sources.to_pylist()} == {None}


def test_links_that_lead_out_of_a_searched_folder_are_refused(folder: Path) -> None:
    rows = list_source(folder, {})[0].to_pylist()
    errors = {path: row["read_error"] for row in rows for path in (row["path"], *row["other_paths"])}
    assert errors["out.mp4"] == errors["whole.mp4"] == errors["frames/1.jpg"] == LEADS_OUT
    assert errors["within.mp4"] is errors["clips/own.mp4"] is None
    assert "linked/1.jpg" not in errors, "a folder that is a link is not searched"
    followed = list_source(folder, {}, links_out=True)[0].to_pylist()
    assert not [row for row in followed if row["read_error"]]


def test_what_was_followed_once_is_not_remembered_past_the_setting(folder: Path) -> None:
    """The memory of a listing knows sizes and times of what a link led to; it must not open the door again."""
    _, memory = list_source(folder, {}, links_out=True)
    errors = {row["path"]: row["read_error"] for row in list_source(folder, memory)[0].to_pylist()}
    assert errors["out.mp4"] == LEADS_OUT


# --- tables that unpack to more than there is memory


def repeated(path: Path, *, rows: int, length: int) -> Path:
    one = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["a" * length]))
    pq.write_table(pa.table({"path": one}), path, compression="zstd", store_schema=False)
    return path


@pytest.mark.parametrize(
    ("rows", "length", "words"),
    [
        (2_000_000, 1000, "unpacks to 2.0 GB"),
        (5000, 5_000_000, "unpacks to 25.0 GB"),
        (21_000_000, 1, "21,000,000 cells"),
    ],
    ids=["a text two million times", "a long text", "too many rows"],
)
def test_a_small_parquet_file_does_not_fill_the_memory(tmp_path: Path, rows: int, length: int, words: str) -> None:
    path = repeated(tmp_path / "list.parquet", rows=rows, length=length)
    assert path.stat().st_size < 1 << 20
    for read in (read_manifest, read_annotations):
        with pytest.raises(AnnotationError, match=words):
            read(path)


def test_lists_in_a_parquet_file_are_counted_too(tmp_path: Path) -> None:
    label = pa.DictionaryArray.from_arrays(pa.array([0] * 30_000, pa.int32()), pa.array(["a" * 100_000]))
    votes = pa.StructArray.from_arrays([label, pa.array([1.0] * 30_000)], ["label", "votes"])
    lists = pa.ListArray.from_arrays(pa.array([0, 30_000], pa.int32()), votes)
    path = tmp_path / "list.parquet"
    pq.write_table(pa.table({"path": ["a.mp4"], "votes": lists}), path, compression="zstd", store_schema=False)
    with pytest.raises(AnnotationError, match="unpacks to 3.0 GB"):
        read_manifest(path)


HEAD = b'<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
ENTITIES = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>%s]>" % b"".join(
    b"<!ENTITY %c '%s'>" % (98 + depth, b"&%c;" % (97 + depth) * 10) for depth in range(9)
)
SHEETS = {
    "the last cell": HEAD
    + b'<dimension ref="A1:XFD1048576"/><sheetData><row r="1048576"><c r="XFD1048576"><v>1</v></c>'
    b"</row></sheetData></worksheet>",
    "a text of 300 MB": HEAD + b'<sheetData><row><c t="inlineStr"><is><t>' + b"A" * (300 << 20) + b"</t></is></c></row>"
    b"</sheetData></worksheet>",
    "a billion laughs": HEAD[:21] + ENTITIES + HEAD[21:] + b'<sheetData><row><c t="inlineStr"><is><t>&j;</t></is></c>'
    b"</row></sheetData></worksheet>",
}


@pytest.mark.parametrize("kind", SHEETS)
def test_a_small_workbook_costs_neither_memory_nor_hours(tmp_path: Path, kind: str) -> None:
    path = workbook(tmp_path / "annotation.xlsx", SHEETS[kind])
    assert path.stat().st_size < 1 << 20
    faults: list[Fault] = []
    began = time.process_time()
    assert read_sheet(tmp_path, path, faults) == []
    assert time.process_time() - began < 20
    assert kind == "the last cell" or [fault.kind for fault in faults] == ["unreadable"]


def workbook(path: Path, sheet: bytes) -> Path:
    openpyxl.Workbook().save(path)
    with zipfile.ZipFile(path) as made:
        parts = {part.filename: made.read(part) for part in made.infolist()}
    parts["xl/worksheets/sheet1.xml"] = sheet
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return path


# --- tables that we write (`facescribe export` and `show --csv`: test_hostile_text, test_showing)


def cells_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_lines_of_a_drift_report_hold_no_formula(tmp_path: Path) -> None:
    frame = pd.DataFrame({"unit_id": ["a", "b"], "text": [FORMULA, None], "seconds": [-1.5, 2.0]})
    _write_rows(frame, tmp_path / "drift.csv")
    _, first, second = cells_of(tmp_path / "drift.csv")
    assert as_it_was(first[1]) == FORMULA and not first[1].startswith(DANGEROUS)
    assert first[2] == "-1.5" and second[1] == ""


def test_the_faults_of_a_data_set_hold_no_formula(tmp_path: Path) -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("num_expected", "num_found", "num_frames", "num_bytes", "num_not_opened"), 0
    )
    report = Verification(
        dataset="x",
        variant="x",
        folder="x",
        is_frames=False,
        is_deep=False,
        fingerprint="x",
        labels=(),
        frames_per_clip=None,
        sizes=(),
        counts=(),
        faults=(Told(kind="extra", where=FORMULA, detail="+1;=1", is_known=False),),
        **nothing,
    )
    _, row = cells_of(write_faults(report, tmp_path / "faults.csv"))
    assert not [cell for cell in row if cell.startswith(DANGEROUS)]
    assert as_it_was(row[1]) == FORMULA
    assert (tmp_path / "faults.csv").read_text().count('"') >= 16, "each cell stands in quotation marks"
