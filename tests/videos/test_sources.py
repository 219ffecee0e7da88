"""Listing a source: content is identity, every file is a row, and unchanged files are not read again."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.videos import sources
from pipeline.videos.sources import SourceError, list_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "b.mp4": b"one",
        "a/copy.mp4": b"one",
        "c.mov": b"two",
        "empty.mp4": b"",
        ".hidden": b"x",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        long_ago = time.time() - 3600
        os.utime(path, (long_ago, long_ago))
    return tmp_path


def listed(folder: Path, memory: Any = None) -> dict[str, dict[str, Any]]:
    table, _ = list_source(folder, memory or {})
    return {row["path"]: row for row in table.to_pylist()}


def test_equal_bytes_are_one_video_with_every_path(folder: Path) -> None:
    rows = listed(folder)
    assert set(rows) == {"a/copy.mp4", "c.mov", "empty.mp4"} or set(rows) == {"b.mp4", "c.mov", "empty.mp4"}
    (one,) = (row for row in rows.values() if row["size_bytes"] == 3 and row["other_paths"])
    assert {one["path"], *one["other_paths"]} == {"a/copy.mp4", "b.mp4"}


def test_the_id_is_the_beginning_of_the_sha256(folder: Path) -> None:
    import hashlib

    assert listed(folder)["c.mov"]["video_id"] == hashlib.sha256(b"two").hexdigest()[:32]


def test_one_file_is_a_source_too(folder: Path) -> None:
    assert list(listed(folder / "c.mov")) == ["c.mov"]


def test_unchanged_files_are_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, memory = list_source(folder, {})
    read: list[str] = []
    hash_of = sources.hash_file

    def note(path: Path) -> str:
        read.append(path.name)
        return hash_of(path)

    monkeypatch.setattr(sources, "hash_file", note)
    (folder / "c.mov").write_bytes(b"six")
    second, _ = list_source(folder, memory)
    assert read == ["c.mov"]
    assert first.num_rows == second.num_rows
    assert listed(folder)["c.mov"]["video_id"] not in first["video_id"].to_pylist()


def test_a_file_changed_just_now_is_not_remembered(folder: Path) -> None:
    (folder / "c.mov").write_bytes(b"six")
    _, memory = list_source(folder, {})
    assert "c.mov" not in memory
    assert "b.mp4" in memory


def test_what_cannot_be_read_is_a_row_with_the_reason(folder: Path) -> None:
    (folder / "dangling.mp4").symlink_to(folder / "nothing")
    os.mkfifo(folder / "pipe.mp4")
    rows = listed(folder)
    assert rows["dangling.mp4"]["read_error"] == "No such file or directory"
    assert rows["pipe.mp4"]["read_error"] == "not a regular file"


def test_nothing_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        list_source(tmp_path / "nowhere", {})
    with pytest.raises(SourceError, match="give a folder that holds videos"):
        list_source(tmp_path, {})


def test_a_folder_that_may_not_be_listed_is_a_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(path: Any = ".") -> Any:
        if Path(os.fsdecode(path)).name == "a":
            raise PermissionError(13, "Permission denied", path)
        return open_folder(path)

    open_folder = os.scandir
    monkeypatch.setattr(os, "scandir", scan)  # a test may run as root, to whom no folder is closed
    monkeypatch.setattr(Path, "iterdir", scan)
    assert listed(folder)["a"]["read_error"] == "Permission denied"


def test_a_name_that_is_no_utf8_is_stored_as_text(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff.mp4")).write_bytes(b"seven")
    assert "\\xFF.mp4" in listed(folder)


def test_a_corpus_within_its_source_is_left_out_and_a_source_within_its_corpus_refused(folder: Path) -> None:
    root = folder / "a" / "corpus"
    (root / "shards").mkdir(parents=True)
    (root / "corpus.json").write_text("{}")
    table, _ = list_source(folder, {}, leave_out=root)
    assert not [path for path in table["path"].to_pylist() if "corpus" in path]
    for source in (root, root / "shards", root / "corpus.json"):
        with pytest.raises(SourceError, match="lies in the corpus at"):
            list_source(source, {}, leave_out=root)
