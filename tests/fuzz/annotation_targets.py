"""Parsers of what people say of videos: manifests, annotations, votes, folds, and the files of every data set."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa

from pipeline.training.clips import ClipList
from pipeline.training.config import TrainConfigError
from pipeline.training.folds import FoldError, match_folds, read_folds
from pipeline.training.votes import read_votes
from pipeline.videos.annotations import AnnotationError, read_annotations, read_manifest
from pipeline.videos.datasets.annotation_files import read_sheet
from pipeline.videos.datasets.flat_lists import read_flat_list
from pipeline.videos.datasets.listing import DatasetError, Fault
from pipeline.videos.sources import sources_of
from schemas.videos import SOURCES
from tests.fuzz.law import Read, Target, must
from tests.fuzz.made_tables import TYPES, NoTable, spec_of, write_table
from tests.videos.datasets.test_damaged_annotation import CASES, Case, check_contract

_WORDS = (
    *("path", "video_id", "label", "votes", "split", "fold", "folds", "group", "caption", "caption_en", "captions"),
    *("licence", "consent", "dataset", "clip_name", "train", "validation", "test", "a.mp4", "dfew/1/train/anger"),
    *(
        "anger=3 fear=1",
        '{"anger": 1, "fear": 2}',
        "s3://bucket/a.mp4",
        "file:///x.mp4",
        "../",
        "%2e%2e/",
        "https://u:p@h/",
    ),
    *("\ufeff", '"', '""', ",", "\r\n", "\n", "\t", ";", "NaN", "1e400", "-1", "protocol", "part", "language", "text"),
)

_CSVS = (
    b"path,label,split,group\na.mp4,anger,train,ann\nb/c.mp4,fear,test,ben\n",
    b'\xef\xbb\xbfvideo_id,votes,fold,caption_en,caption\r\nabc,anger=3 fear=1,1,"she, smiles",x\r\ndef,,2,,\r\n',
    b"path,votes,folds,licence,consent,dataset,clip_name\n"
    b'/a/b.mp4,"{""anger"": 2}",dfew/1/train dfew/2/test/anger,CC0,yes,d,n\n',
    b"path,fold\n./a//b.mp4,1\ns3://bucket/key.mp4,2\nfile:///a/a%20b.mp4,\n",
)

_TABLES = (
    spec_of(
        ("path", "string", ["a.mp4", "b.mp4"]), ("label", "words", ["anger", None]), ("fold", "double", [1.0, None])
    ),
    spec_of(
        ("video_id", "string", ["a", "b"]),
        ("votes", "votes", [[{"label": "anger", "votes": 2}], None]),
        ("folds", "folds", [[{"protocol": "p", "fold": "1", "part": "train", "label": None}], []]),
        ("captions", "captions", [[{"language": "en", "text": "x"}], None]),
    ),
    spec_of(
        ("path", "string", ["a", "b"]),
        ("votes", "counts", [{"anger": 1.5, "fear": 2}, None]),
        ("split", "list", [["a"], []]),
    ),
    spec_of(("path", "string", ["a", "b"]), ("votes", "map", [[["anger", 1]], None]), ("fold", "int64", [1, 2])),
)


def _listed(said: dict[str, dict[str, Any]]) -> None:
    """What a listing does with annotations: every value becomes a cell."""
    blank = dict.fromkeys(field.name for field in SOURCES.columns)
    rows = [
        blank | {"video_id": f"{n:032x}", "path": key, "other_paths": [], "size_bytes": 1} for n, key in enumerate(said)
    ]
    known = {field.name: field for field in SOURCES.columns}
    for row in rows:
        for name, field in known.items():
            if row[name] is None and not field.nullable:
                row[name] = "" if pa.types.is_string(field.type) else 0
    sources_of(rows, said)


def _csv_read(parser: Callable[[Path], dict[str, dict[str, Any]]]) -> Callable[[Path], Read]:
    def open_(folder: Path) -> Read:
        path = folder / "said.csv"

        def read(data: bytes) -> None:
            path.write_bytes(data)
            _listed(parser(path))

        return read

    return open_


def _table_read(parser: Callable[[Path], object]) -> Callable[[Path], Read]:
    def open_(folder: Path) -> Read:
        def read(data: bytes) -> None:
            try:
                path = write_table(folder / "said.parquet", data)
            except NoTable:
                return
            parser(path)

        return read

    return open_


def _parquet_bytes(parser: Callable[[Path], object]) -> Callable[[Path], Read]:
    def open_(folder: Path) -> Read:
        path = folder / "said.parquet"

        def read(data: bytes) -> None:
            path.write_bytes(data)
            parser(path)

        return read

    return open_


def parquet_seeds(*specs: bytes) -> Callable[[], Iterable[bytes]]:
    """Files of these tables."""

    def seeds() -> Iterable[bytes]:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            for spec in specs:
                yield write_table(Path(folder, "seed.parquet"), spec).read_bytes()

    return seeds


# --- folds and votes beside a corpus


def clips() -> ClipList:
    """A few clips of a corpus, as far as folds and votes look at them."""
    names = ("a.mp4", "b/c.mp4", "00012.mp4")
    texts = ("clip_id", "track_id", "video_id", "path", "label", "split", "group", "file")
    unsaid = {"label": None, "split": None, "group": None}
    rows: list[dict[str, Any]] = [{**dict.fromkeys(texts, name), **unsaid} for name in names]
    schema = pa.schema(
        [*((name, pa.string()) for name in texts), *((n, pa.bool_()) for n in ("saw_label", "draft_saw_label"))]
        + [(name, pa.int32()) for name in ("row_group", "row")]
    )
    more = {"saw_label": False, "draft_saw_label": False, "row_group": 0, "row": 0}
    return ClipList(pa.Table.from_pylist([row | more for row in rows], schema), "corpus", 1)


def _open_folds(folder: Path) -> Read:
    path, own = folder / "folds.csv", clips()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        match_folds(read_folds(path), own)

    return read


def _open_dfew_folds(folder: Path) -> Read:
    for part in ("train", "test"):
        (folder / f"{part}(single-labeled)").mkdir()
        (folder / f"{part}(single-labeled)" / "set_1.csv").write_bytes(
            b"video_name,label\n7,1\n" if part == "test" else b""
        )

    def read(data: bytes) -> None:
        (folder / "train(single-labeled)" / "set_1.csv").write_bytes(data)
        read_folds(folder)

    return read


def _folds_of(path: Path) -> None:
    match_folds(read_folds(path), _CLIPS)


def _votes_of(path: Path) -> None:
    read_votes(path, _CLIPS, ("anger", "fear"))


_CLIPS = clips()


def _open_votes(folder: Path) -> Read:
    path = folder / "votes.csv"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        _votes_of(path)

    return read


_FOLDS = (
    spec_of(("path", "string", ["a.mp4", "b/c.mp4"]), ("fold", "int64", [1, 2])),
    spec_of(
        ("video_id", "string", ["a.mp4", "b/c.mp4", "a.mp4", "b/c.mp4"]),
        ("fold", "string", ["1", "1", "2", "2"]),
        ("split", "words", ["train", "test", "test", "train"]),
        ("label", "string", ["anger", "fear", "anger", "fear"]),
    ),
)
_VOTES = (spec_of(("path", "string", ["a.mp4", "x"]), ("anger", "int64", [1, 2]), ("fear", "double", [0.5, None])),)


# --- data sets


def _dataset(name: str, cases: list[Case]) -> Target:
    """A reader with all its files; the first byte says which one holds the bytes."""

    def trees(folder: Path) -> list[Path]:
        """The set of each case; each way of writing it once."""
        written: dict[Callable[[Path], Path], Path] = {}
        for case in cases:
            if case.write not in written:
                (place := folder / str(len(written))).mkdir()
                written[case.write] = case.write(place)
        return [written[case.write] for case in cases]

    def seeds() -> Iterable[bytes]:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            for number, (case, tree) in enumerate(zip(cases, trees(Path(folder)), strict=True)):
                yield bytes([number]) + (tree / case.file).read_bytes()

    def open_(folder: Path) -> Read:
        written = trees(folder)
        before = [(tree / case.file).read_bytes() for case, tree in zip(cases, written, strict=True)]

        def read(data: bytes) -> None:
            number = (data[0] if data else 0) % len(cases)
            case, tree = cases[number], written[number]
            (tree / case.file).write_bytes(data[1:])
            try:
                listing = case.reader.read(tree)
                check_contract(case.reader, listing)
                for clip in listing.clips:
                    told = [
                        clip.name,
                        clip.path or "",
                        clip.label or "",
                        clip.group or "",
                        *(c.text for c in clip.captions),
                    ]
                    must(all(is_text(text) for text in told), "a text that no table can hold")
                must(
                    all(is_text(f"{fault.where}{fault.detail}") for fault in listing.faults), "a fault that is no text"
                )
            finally:
                (tree / case.file).write_bytes(before[number])

        return read

    words = ("neutral", "anger", "happiness", "\r\n", "\r", '"', ",", "\t", "\ufeff", "NaN", "-1", "1e3", "../", "悲")
    return Target(f"dataset_{name}", (DatasetError,), seeds, open_, words=words, most_bytes=1 << 15)


def is_text(value: str) -> bool:
    """Whether it can be stored: half a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _dataset_targets() -> Iterable[Target]:
    def reader_name(case: Case) -> str:
        return str(case.reader.__name__).rpartition(".")[2]

    for name, cases in groupby(sorted(CASES, key=reader_name), key=reader_name):
        yield _dataset(name, list(cases))


# --- workbooks, by what their sheet says


_SHEET = "xl/worksheets/sheet1.xml"


def _book(content: bytes | None = None) -> bytes:
    """A workbook whose first sheet is this XML."""
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in (["name", "label", 1, 2.5, True], ["a.mp4", None, "=1+1", 1e300, "悲"]):
        sheet.append(row)
    plain = io.BytesIO()
    book.save(plain)
    changed = io.BytesIO()
    with zipfile.ZipFile(plain) as before, zipfile.ZipFile(changed, "w") as after:
        for entry in before.namelist():
            after.writestr(entry, content if content is not None and entry == _SHEET else before.read(entry))
    return changed.getvalue()


def _sheet_seeds() -> Iterable[bytes]:
    with zipfile.ZipFile(io.BytesIO(_book())) as archive:
        yield archive.read(_SHEET)


def _open_sheet(folder: Path) -> Read:
    path, parts = folder / "a.xlsx", {}
    with zipfile.ZipFile(io.BytesIO(_book())) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}

    def read(data: bytes) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for entry, content in parts.items():
                archive.writestr(entry, data if entry == _SHEET else content)
        faults: list[Fault] = []
        for _, cells in read_sheet(folder, path, faults):
            must(all(cell is None or is_text(str(cell)) for cell in cells), "a cell that no table can hold")

    return read


def _open_book(folder: Path) -> Read:
    path = folder / "a.xlsx"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_sheet(folder, path, [])

    return read


def _open_flat_list(folder: Path) -> Read:
    path = folder / "set_1_train.txt"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_flat_list(path, [])

    return read


_XML = (
    *(
        "<row r=",
        "<c r=",
        ' t="s"',
        ' t="str"',
        ' t="inlineStr"',
        ' t="d"',
        ' t="e"',
        ' t="b"',
        "<v>",
        "</v>",
        "<f>",
        "<is><t>",
    ),
    *(
        "A1",
        "XFD1048576",
        "ZZZZ1",
        "A0",
        "<!DOCTYPE a [<!ENTITY b 'c'>]>",
        "&b;",
        "&#0;",
        "<dimension ref=",
        "1e400",
        "s=",
    ),
)

TARGETS = (
    Target("annotations_csv", (AnnotationError,), lambda: _CSVS, _csv_read(read_annotations), words=_WORDS),
    Target("manifest_csv", (AnnotationError,), lambda: _CSVS, _csv_read(read_manifest), words=_WORDS),
    Target(
        *("annotations_table", (AnnotationError,), lambda: _TABLES),
        open=_table_read(lambda path: _listed(read_annotations(path))),
        form="json",
        words=(*TYPES, *_WORDS),
    ),
    Target(
        *("manifest_table", (AnnotationError,), lambda: _TABLES),
        open=_table_read(lambda path: _listed(read_manifest(path))),
        form="json",
        words=(*TYPES, *_WORDS),
    ),
    Target(
        *("annotations_parquet", (AnnotationError,), parquet_seeds(*_TABLES)),
        open=_parquet_bytes(lambda path: _listed(read_annotations(path))),
    ),
    Target("folds_csv", (FoldError,), lambda: (b"path,fold\na.mp4,1\nb/c.mp4,2\n", *_CSVS), _open_folds, words=_WORDS),
    Target(
        "folds_dfew", (FoldError,), lambda: (b"video_name,label\n00012,1\n13,anger\n",), _open_dfew_folds, words=_WORDS
    ),
    Target("folds_table", (FoldError,), lambda: _FOLDS, _table_read(_folds_of), form="json", words=(*TYPES, *_WORDS)),
    Target(
        *("votes_csv", (TrainConfigError,), lambda: (b"path,anger,fear\na.mp4,1,0\nx,0.5,2\n",), _open_votes),
        words=(*_WORDS, "anger", "fear"),
    ),
    Target("votes_table", (TrainConfigError,), lambda: _VOTES, _table_read(_votes_of), form="json", words=tuple(TYPES)),
    *_dataset_targets(),
    Target("workbook", (), lambda: (_book(),), _open_book),
    Target("workbook_sheet", (), _sheet_seeds, _open_sheet, words=_XML),
    Target(
        *(
            "flat_list",
            (),
            lambda: (b"/a/b/00001 144 0\n", b"/a/00025 /b/00025.wav 3\n", b"/a/00001 0\n"),
            _open_flat_list,
        ),
        words=(" ", "\t", ".wav", ".mp3", "0", "\u2028", "\u0660"),
    ),
)
