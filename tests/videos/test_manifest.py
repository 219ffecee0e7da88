"""A manifest: what is written is what is read, paths stay where they should, and a wrong table is told."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.videos.annotation_cells import PARTS, CellError, folds_text, read_folds, read_votes, votes_text
from pipeline.videos.annotations import AnnotationError, read_annotations, read_manifest
from schemas.videos import CAPTION, FOLD, VOTE


def written(folder: Path, text: str | bytes, name: str = "list.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_column_is_read_as_docs_datasets_shows_it(tmp_path: Path) -> None:
    said = read_manifest(
        written(
            tmp_path,
            "path,label,votes,split,fold,group,caption_en,caption_zh,licence,consent\r\n"
            'a/one.mp4,anger,anger=8 fear=2,train,1,film 7,"She frowns, and\nlooks away.",她皱起眉头。,CC0,signed\r\n'
            'frames/two,fear,"{""fear"": 6, ""sad and angry"": 1.5}",test,2 dfew/3/train,,,,,\r\n'
            "three.mp4,,,,2,,,,,\r\n",
        )
    )
    assert list(said) == ["a/one.mp4", "frames/two", "three.mp4"]
    assert said["a/one.mp4"] == {
        "label": "anger",
        "votes": [{"label": "anger", "votes": 8.0}, {"label": "fear", "votes": 2.0}],
        "split": "train",
        "folds": [
            {"protocol": "manifest", "fold": "1", "part": "test", "label": None},
            {"protocol": "manifest", "fold": "2", "part": "train", "label": None},
        ],
        "group": "film 7",
        "captions": [
            {"language": "en", "text": "She frowns, and\nlooks away."},
            {"language": "zh", "text": "她皱起眉头。"},
        ],
        "licence": "CC0",
        "consent": "signed",
    }
    assert said["frames/two"]["votes"] == [{"label": "fear", "votes": 6.0}, {"label": "sad and angry", "votes": 1.5}]
    assert [(one["protocol"], one["fold"], one["part"]) for one in said["frames/two"]["folds"]] == [
        ("dfew", "3", "train"),
        ("manifest", "1", "train"),
        ("manifest", "2", "test"),
    ]
    assert all(value is None for name, value in said["three.mp4"].items() if name != "folds")


def test_a_caption_whose_column_names_no_language_says_so(tmp_path: Path) -> None:
    said = read_manifest(written(tmp_path, "path,caption\na.mp4,A smile.\n"))
    assert said["a.mp4"]["captions"] == [{"language": "und", "text": "A smile."}]


def test_parquet_may_hold_lists_and_numbers(tmp_path: Path) -> None:
    table = pa.table(
        {
            "path": ["a.mp4", "b.mp4"],
            "votes": pa.array([[{"label": "anger", "votes": 2.0}], None], pa.list_(VOTE)),
            "folds": pa.array([None, [{"protocol": "x", "fold": "1", "part": "test", "label": None}]], pa.list_(FOLD)),
            "captions": pa.array([[{"language": "en", "text": "A smile."}], []], pa.list_(CAPTION)),
        }
    )
    pq.write_table(table, tmp_path / "list.parquet")
    said = read_manifest(tmp_path / "list.parquet")
    assert said["a.mp4"]["votes"] == [{"label": "anger", "votes": 2.0}] and said["a.mp4"]["folds"] is None
    assert said["b.mp4"]["folds"] == [{"protocol": "x", "fold": "1", "part": "test", "label": None}]
    assert said["a.mp4"]["captions"] == [{"language": "en", "text": "A smile."}]
    struct = pa.array([{"anger": 3, "fear": None}, {"anger": 1, "fear": 2}])
    pq.write_table(
        pa.table({"path": ["a.mp4", "b.mp4"], "votes": struct, "fold": [1.0, 2.0]}), tmp_path / "list.parquet"
    )
    said = read_manifest(tmp_path / "list.parquet")
    assert said["a.mp4"]["votes"] == [{"label": "anger", "votes": 3.0}]
    assert {one["fold"] for one in said["a.mp4"]["folds"]} == {"1", "2"}


@pytest.mark.parametrize(
    ("given_path", "stored"),
    [
        ("a/../b.mp4", "b.mp4"),
        ("./frames/s01/", "frames/s01"),
        ("/data//clips/a.mp4", "/data/clips/a.mp4"),
        ("file:///data/my%20clips/a.mp4", "/data/my clips/a.mp4"),
        ("s3://bucket/a b.mp4", "s3://bucket/a b.mp4"),
        ("s3://bucket/a.mp4?region=eu-central-1", "s3://bucket/a.mp4?region=eu-central-1"),
        ("a\\b.mp4", "a\\x5Cb.mp4"),
        ("\\xFF.mp4", "\\xFF.mp4"),
    ],
)
def test_paths_are_below_the_manifest_or_whole(tmp_path: Path, given_path: str, stored: str) -> None:
    assert list(read_manifest(written(tmp_path, f"path,label\n{given_path},x\n"))) == [stored]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path\n../a.mp4\n", "row 1: the path '../a.mp4' leaves the manifest's folder: move the manifest up, or give"),
        ("path\na.mp4\nb/../../c.mp4\n", "row 2: the path 'b/../../c.mp4' leaves the manifest's folder"),
        ("path\n.\n", "is a folder of the manifest, and no video"),
        ("path\na.mp4\nx/../a.mp4\n", "path 'x/../a.mp4' is there twice, again in row 2: keep one"),
        ("path,votes\na.mp4,anger\n", "row 1: column votes: 'anger': expected `anger=3 fear=1`, or a JSON object"),
        ("path,votes\na.mp4,anger=3 anger=1\n", "the label 'anger' is there twice"),
        ("path,votes\na.mp4,anger=-1\n", "'-1' votes for 'anger': expected a number that is not negative"),
        ("path,votes\na.mp4,anger=nan\n", "expected a number that is not negative"),
        ("path,votes\na.mp4,anger=0\n", "no vote in it; leave the cell empty where nobody voted"),
        ("path,votes\na.mp4,1=3 2=4\n", "the label '1': give names, never numbers"),
        ('path,votes\na.mp4,"{""anger"": "\n', "is no JSON object"),
        ("path,fold\na.mp4,1 2\n", "'1' and '2': a video is tested in one fold; or give protocol/fold/part"),
        ("path,fold\na.mp4,x/1\n", "'x/1': expected protocol/fold/part, such as dfew/1/train"),
        ("path,fold\na.mp4,x/1/val\n", "the part 'val'; did you mean 'validation'?"),
        ("path,fold\na.mp4,x/1/train x/1/test\n", "fold 1 of x is there twice, and not the same"),
        (
            "path,fold\na.mp4,1\nb.mp4,1\n",
            "every fold given as a number is 1, so that none of these videos ever trains",
        ),
        ("path,fold\na.mp4,1\nb.mp4,2 manifest/1/test\n", "gives a fold of manifest as a number and as words"),
        ("path,lable\na.mp4,x\n", "unknown column 'lable'; did you mean 'label'?"),
        ("path;label\na.mp4;x\n", "a manifest needs the column path, got: path;label; is it separated by something"),
        ("file,label\na.mp4,x\n", "a manifest needs the column path, got: file, label; name 'file' so"),
        ("path,video_id\na.mp4,ab\n", "a manifest names files by path alone: leave out the column video_id"),
        ("path,fold,folds\na.mp4,,\n", "the columns fold and folds say the same: keep one"),
        ("path,label\na.mp4\n", "line 2 has 1 cells, expected 2 as in the header"),
        ("path,label\na.mp4,fear, and anger\n", "line 2 has 3 cells, expected 2 as in the header; a cell with a comma"),
        ("path,label\n", "lists no video: there is a header and no row"),
        (
            "path\ns3://key:secret@bucket/a.mp4\n",
            "the address s3://… holds a user or a key: give it in the environment",
        ),
        ("path\nhttps://h/a.mp4?X-Amz-Signature=12\n", "the address https://… is signed"),
    ],
)
def test_a_wrong_manifest_is_told_with_its_place_and_never_its_secrets(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(AnnotationError) as told:
        read_manifest(written(tmp_path, text))
    assert words in str(told.value)
    assert "list.csv" in str(told.value)
    assert "secret@" not in str(told.value) and "Signature=12" not in str(told.value)


LABEL = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(str.strip)
NAME = LABEL.filter(lambda label: bool(label) and not label.isdecimal())
WORD = st.text(string.ascii_letters + string.digits + "-_.", min_size=1, max_size=8)
VOTES = st.dictionaries(NAME, st.floats(0, 1e9).map(abs), min_size=1, max_size=5).filter(lambda v: sum(v.values()) > 0)
FOLDS = st.dictionaries(
    st.tuples(WORD, WORD),
    st.tuples(st.sampled_from(PARTS), st.none() | WORD.filter(lambda w: not w.isdecimal())),
    max_size=4,
)


@given(VOTES)
def test_votes_are_read_as_they_are_written(votes: dict[str, float]) -> None:
    said = [{"label": label, "votes": votes[label]} for label in sorted(votes)]
    assert read_votes(votes_text(said)) == said
    assert read_votes(votes) == said
    assert read_votes(list(votes.items())) == said


@given(FOLDS)
def test_folds_are_read_as_they_are_written(folds: dict[tuple[str, str], tuple[str, str | None]]) -> None:
    said = [{"protocol": p, "fold": f, "part": part, "label": label} for (p, f), (part, label) in sorted(folds.items())]
    found = read_folds(folds_text(said))
    assert (list(found.parts) if found else []) == said


TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)
PATH = st.lists(WORD.filter(lambda w: w.strip(".") != ""), min_size=1, max_size=3).map("/".join)
ROW = st.fixed_dictionaries(
    {
        "path": PATH,
        "label": st.just("") | NAME,
        "votes": st.none() | VOTES,
        "folds": FOLDS,
        "group": TEXT,
        "caption_en": TEXT,
        "licence": TEXT,
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.lists(ROW, min_size=1, max_size=6, unique_by=lambda row: str(row["path"])))
def test_a_manifest_is_read_as_it_is_written(tmp_path: Path, rows: Sequence[dict[str, Any]]) -> None:
    expected = {}
    lines = io.StringIO(newline="")
    table = csv.writer(lines)
    table.writerow(["path", "label", "votes", "fold", "group", "caption_en", "licence"])
    for row in rows:
        votes = [{"label": label, "votes": row["votes"][label]} for label in sorted(row["votes"] or {})]
        folds = [
            {"protocol": p, "fold": f, "part": part, "label": label}
            for (p, f), (part, label) in sorted(row["folds"].items())
        ]
        cells = [row["path"], row["label"], votes_text(votes) if votes else "", folds_text(folds), row["group"]]
        table.writerow([*cells, row["caption_en"], row["licence"]])
        caption = row["caption_en"].strip()
        expected[row["path"]] = {
            "label": row["label"] or None,
            "votes": votes or None,
            "folds": folds or None,
            "group": row["group"].strip() or None,
            "captions": [{"language": "en", "text": caption}] if caption else None,
            "licence": row["licence"].strip() or None,
        }
    assert read_manifest(written(tmp_path, lines.getvalue())) == expected


CELL = st.sampled_from(
    [
        "a.mp4",
        "../x",
        "1",
        "x/1/train",
        "anger=3",
        '{"a": 1}',
        '{"a": true}',
        "[1]",
        "",
        " ",
        '"',
        "\0",
        "é",
        "1 2",
        "{",
        "=",
        "/",
    ]
) | st.text(max_size=8)
HEADER = st.lists(
    st.sampled_from(["path", "label", "votes", "fold", "folds", "split", "caption", "caption_en", "video_id", "x", ""]),
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(HEADER, st.lists(st.lists(CELL, max_size=5), max_size=4), st.booleans())
@example([], [], False)
def test_whatever_a_table_holds_it_is_read_or_told(
    tmp_path: Path, header: list[str], rows: list[list[str]], is_quoted: bool
) -> None:
    if is_quoted:
        lines = io.StringIO(newline="")
        csv.writer(lines, quoting=csv.QUOTE_ALL).writerows([header, *rows])
        text = lines.getvalue()
    else:
        text = "\n".join(",".join(row) for row in [header, *rows])
    path = written(tmp_path, text.encode("utf-8", "surrogatepass"))
    for read in (read_manifest, read_annotations):
        try:
            said = read(path)
        except AnnotationError as error:
            assert "list.csv" in str(error)
            continue
        assert len(said) == sum(bool(row) and (is_quoted or row != [""]) for row in rows)  # no row is lost in silence
        for row in said.values():
            assert all(math.isfinite(vote["votes"]) for vote in row.get("votes") or ())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.binary(max_size=200), st.sampled_from(["list.csv", "list.parquet"]))
def test_whatever_bytes_a_table_has_it_is_read_or_told(tmp_path: Path, content: bytes, name: str) -> None:
    path = written(tmp_path, content, name)
    for read in (read_manifest, read_annotations):
        try:
            read(path)
        except AnnotationError as error:
            assert name in str(error)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    )
)
def test_whatever_a_nested_cell_holds_it_is_read_or_told(cell: Any) -> None:
    for read in (read_votes, read_folds):
        with contextlib.suppress(CellError):
            read(cell)
