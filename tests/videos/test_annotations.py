"""What people say of videos comes in as a table, and a wrong table is told with its place."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.videos.annotations import AnnotationError, Annotations, read_annotations
from pipeline.videos.sources import UNREAD, contradicted, list_source, unmatched


def written(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_names_files_by_their_path_and_empty_cells_say_nothing(tmp_path: Path) -> None:
    said = read_annotations(written(tmp_path, "path,label,licence\na.mp4,joie,CC0\nb/c.mp4,,\n"))
    assert said == {"a.mp4": {"label": "joie", "licence": "CC0"}, "b/c.mp4": {"label": None, "licence": None}}


def test_what_looks_like_a_number_or_a_missing_value_stays_text(tmp_path: Path) -> None:
    said = read_annotations(written(tmp_path, 'path,label,group\n007.mp4,NA,0012\n"odd, name.mp4",null,1e3\n'))
    assert said["007.mp4"] == {"label": "NA", "group": "0012"}
    assert said["odd, name.mp4"] == {"label": "null", "group": "1e3"}


def test_parquet_by_video_id(tmp_path: Path) -> None:
    pq.write_table(pa.table({"video_id": ["ab"], "split": ["train"]}), tmp_path / "labels.parquet")
    assert read_annotations(tmp_path / "labels.parquet") == {"ab": {"split": "train"}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label\nx\n", "expected one of the columns path and video_id, got: label"),
        ("path,video_id\na,b\n", "expected one of the columns path and video_id, got: path, video_id"),
        ("path,lable\na,b\n", "unknown column 'lable'; did you mean 'label'?"),
        ("path,age\na,b\n", "unknown column 'age'; known: path, label, votes, split, fold, group, caption, licence"),
        ("path,label\n,b\n", "row 1 has no path"),
        ("path,label\na,b\na,c\n", "path 'a' is there twice, again in row 2: keep one"),
        ("path,label,label\na,b,c\n", "a column is there twice"),
        ("path,label\na,3\n", "row 1: the label '3': give names, never numbers"),
        ("", "is neither CSV in UTF-8 with a header nor Parquet"),
    ],
)
def test_a_wrong_table_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(AnnotationError) as told:
        read_annotations(written(tmp_path, text))
    assert words in str(told.value)
    assert "labels.csv" in str(told.value)


def test_no_file_and_no_utf8_are_told(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="No such file"):
        read_annotations(tmp_path / "nothing.csv")
    (tmp_path / "latin.csv").write_bytes("path,label\ngaïté.mp4,x\n".encode("latin-1"))
    with pytest.raises(AnnotationError, match="neither CSV in UTF-8"):
        read_annotations(tmp_path / "latin.csv")


def test_annotations_find_their_videos_by_any_path_or_by_id(tmp_path: Path) -> None:
    for name in ("a.mp4", "copy.mp4"):
        (tmp_path / name).write_bytes(b"one")
    (tmp_path / "b.mp4").write_bytes(b"two")
    (other,) = (r["video_id"] for r in list_source(tmp_path, {})[0].to_pylist() if r["path"] == "b.mp4")
    said: Annotations = {
        "copy.mp4": {"label": "joy"},
        other: {"label": "fear", "consent": "signed"},
        "gone.mp4": {"label": "x"},
    }
    sources, _ = list_source(tmp_path, {}, said)
    rows = {row["path"]: row for row in sources.to_pylist()}
    assert (rows["a.mp4"]["label"], rows["b.mp4"]["label"], rows["b.mp4"]["consent"]) == ("joy", "fear", "signed")
    assert unmatched(said, sources) == ["gone.mp4"]


def test_a_listing_that_may_not_read_opens_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"one")
    (row,) = list_source(tmp_path, {}, may_read=False)[0].to_pylist()
    assert row["video_id"].startswith(UNREAD)
    assert row["size_bytes"] == 3


def test_of_what_copies_are_said_to_be_otherwise_nothing_is_taken(tmp_path: Path) -> None:
    for name in ("a.mp4", "copy.mp4"):
        (tmp_path / name).write_bytes(b"one")
    said: Annotations = {
        "a.mp4": {"label": "joy", "licence": "CC0", "consent": "signed"},
        "copy.mp4": {"label": "joy", "licence": None, "consent": "withdrawn"},
    }
    sources, _ = list_source(tmp_path, {}, said)
    (row,) = sources.to_pylist()
    assert (row["label"], row["licence"], row["consent"]) == ("joy", "CC0", None)
    assert contradicted(said, sources) == ["a.mp4 and copy.mp4: consent"]
