"""A data set and a manifest as sources: exactly their clips, with what is said of them; nothing is lost in silence."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline import snapshot as snapshots
from pipeline.inspection.corpus import Corpus
from pipeline.snapshot import Snapshot
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.takedown import take_down
from pipeline.videos import clip_listing, frame_folder
from pipeline.videos.datasets.listing import DatasetError
from pipeline.videos.datasets.registry import parse_source
from pipeline.videos.listed_source import list_address
from pipeline.videos.sources import MISSING, SourceError
from pipeline.videos.stage import PROBE_VIDEOS
from pipeline.walk import BuildConfig, Walk, open_walk
from tests.videos.datasets import dfew_tree as tree


def age(folder: Path) -> None:
    """As if everything had been written long ago: what changed just now is not remembered."""
    long_ago = time.time() - 3600
    for parent, folders, names in os.walk(folder, topdown=False):
        for name in (*folders, *names):
            os.utime(f"{parent}/{name}", (long_ago, long_ago))


def rows_of(walk: Walk) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for part in walk.sources.values() for row in part.to_pylist()}


def walked(source: str | Path, root: Path, annotations: Path | None = None, **how: bool) -> Walk:
    return open_walk(Store.open_or_create(root, 2), source, BuildConfig(), annotations, **how)


@pytest.fixture
def dfew(tmp_path: Path) -> Path:
    folder = tree.write_dfew(tmp_path / "DFEW", ["clip_224x224", "original"])
    age(folder)
    return folder


def test_a_set_in_frames_is_listed_clip_by_clip_with_what_it_says(dfew: Path, tmp_path: Path) -> None:
    walk = walked(f"dfew:{dfew}", tmp_path / "corpus")
    rows = rows_of(walk)
    assert len(rows) == tree.NUM_CLIPS
    assert walk.folder == dfew
    row = rows["Clip/clip_224x224/00001"]
    assert row["video_id"] == frame_folder.hash_frames(dfew / "Clip/clip_224x224/00001")[0]
    assert row["size_bytes"] == sum(len(f"frame {n} of 1") for n in (1, 2, 3))
    assert (row["dataset"], row["clip_name"], row["label"]) == ("dfew@clip_224x224", "1", "happiness")
    assert {"label": "happiness", "votes": 7.0} in row["votes"]
    assert [(one["fold"], one["part"]) for one in row["folds"]] == [
        (str(fold), "test" if tree.tested_in(1) == fold else "train") for fold in tree.FOLDS
    ]
    assert row["licence"]
    missing = {path: row for path, row in rows.items() if row["read_error"] is not None}
    assert set(missing) == {str(number) for number in tree.WITHOUT_FACE}
    assert all(row["read_error"].startswith(MISSING) and row["clip_name"] == path for path, row in missing.items())
    assert "3 of 40 videos that are named are not there, the first are '7', '16', '23'" in walk.notes[0]
    assert f"`facescribe verify dfew:{dfew}` lists all" in walk.notes[0]
    assert walk.dataset is not None
    assert walk.dataset.counts == {"clips": 40, "there": 37, "missing": 3}


def test_a_set_in_videos_is_listed_under_its_own_names(dfew: Path, tmp_path: Path) -> None:
    walk = walked(f"dfew@original:{dfew}", tmp_path / "corpus")
    assert set(rows_of(walk)) == {f"Clip/original/{number}.mp4" for number in range(1, tree.NUM_CLIPS + 1)}
    assert {row["dataset"] for row in rows_of(walk).values()} == {"dfew@original"}
    assert walk.notes == ()


def test_the_second_listing_reads_nothing_and_each_variant_has_its_own_memory(
    dfew: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [rows_of(walked(f"dfew{variant}:{dfew}", tmp_path / "corpus")) for variant in ("", "@original")]

    def read(path: Path) -> Any:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(frame_folder, "hash_frames", read)
    monkeypatch.setattr(clip_listing, "hash_file", read)
    assert [rows_of(walked(f"dfew{v}:{dfew}", tmp_path / "corpus")) for v in ("", "@original")] == first


@pytest.mark.parametrize("change", ["frame changed", "frame renamed", "frame lost"])
def test_a_clip_whose_folder_changed_is_another_clip(dfew: Path, tmp_path: Path, change: str) -> None:
    before = rows_of(walked(f"dfew:{dfew}", tmp_path / "corpus"))
    frame = dfew / "Clip/clip_224x224/00001/00001_00002.jpg"
    if change == "frame changed":
        frame.write_bytes(b"frame 9 of 1")  # of the same size
    elif change == "frame renamed":
        frame.rename(frame.with_name("00001_00009.jpg"))
    else:
        frame.unlink()
    after = rows_of(walked(f"dfew:{dfew}", tmp_path / "corpus"))
    ids = [{path: row["video_id"] for path, row in rows.items()} for rows in (before, after)]
    assert {path for path in ids[0] if ids[0][path] != ids[1][path]} == {"Clip/clip_224x224/00001"}


def test_a_plan_reads_no_frame_and_knows_what_was_listed(
    dfew: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_of(walked(f"dfew:{dfew}", tmp_path / "corpus"))
    (dfew / "Clip/clip_224x224/00001/00001_00004.jpg").write_bytes(b"frame 4 of 1")
    monkeypatch.setattr(frame_folder, "hash_frames", None)
    after = rows_of(walked(f"dfew:{dfew}", tmp_path / "corpus", may_read=False, may_write=False))
    assert [path for path, row in after.items() if row["video_id"].startswith("unread:")] == ["Clip/clip_224x224/00001"]
    del before["Clip/clip_224x224/00001"]
    assert all(after[path] == row for path, row in before.items())


def test_files_that_no_annotation_names_and_other_faults_are_told(dfew: Path, tmp_path: Path) -> None:
    tree.stub_frames(dfew / "Clip/clip_224x224/00099", 99)
    walk = walked(f"dfew:{dfew}", tmp_path / "corpus")
    assert "Clip/clip_224x224/00099" not in rows_of(walk)
    (note,) = (note for note in walk.notes if "does not name" in note)
    assert "1 files that its annotation does not name are left out, the first is " in note
    assert "00099" in note


def test_a_set_of_which_no_clip_is_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        walked(f"dfew:{tree.write_dfew(tmp_path / 'DFEW', [])}", tmp_path / "corpus")


def test_annotations_stand_over_what_the_set_says_cell_by_cell(dfew: Path, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(
        "path,label,consent,group\nClip/clip_224x224/00001,anger,signed,\nClip/clip_224x224/00002,,,film 3\nx.mp4,,,a\n"
    )
    before = rows_of(walked(f"dfew:{dfew}", tmp_path / "corpus"))
    walk = walked(f"dfew:{dfew}", tmp_path / "corpus", table)
    first, second = (rows_of(walk)[f"Clip/clip_224x224/{name}"] for name in ("00001", "00002"))
    was_first, was_second = (before[f"Clip/clip_224x224/{name}"] for name in ("00001", "00002"))
    assert first == {**was_first, "label": "anger", "consent": "signed"}
    assert second == {**was_second, "group": "film 3"}
    notes = " ".join(walk.notes)
    assert "annotations that stand over the source's own: 1, the first is of Clip/clip_224x224/00001: label" in notes
    assert "annotated files that are not in dfew:" in notes


def test_of_what_copies_of_a_clip_disagree_on_nothing_is_said(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"same")
    (tmp_path / "c.mp4").write_bytes(b"other")
    table = tmp_path / "list.csv"
    table.write_text(
        "path,label,votes,fold,caption_en,group,clip_name\n"
        "a.mp4,joy,joy=3,1 x/1/train x/2/train,She smiles.,g,one\n"
        "b.mp4,joy,joy=2 fear=1,2 x/1/train x/2/test,She laughs.,,two\n"
        "c.mp4,fear,,2,,,three\n"
    )
    walk = walked(f"manifest:{table}", tmp_path / "corpus")
    row = rows_of(walk)["a.mp4"]
    assert row["other_paths"] == ["b.mp4"]
    assert (row["label"], row["votes"], row["group"], row["clip_name"]) == ("joy", None, "g", "one")
    assert row["folds"] == [{"protocol": "x", "fold": "1", "part": "train", "label": None}]
    assert [one["text"] for one in row["captions"]] == ["She smiles.", "She laughs."]
    assert any(
        "copies that are annotated otherwise" in note and "2, a.mp4 and b.mp4: votes" in note for note in walk.notes
    )


def picture_folder(folder: Path, count: int = 4) -> Path:
    """A clip of real pictures."""
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        picture = np.full((48, 48, 3), 40 * number, np.uint8)
        assert cv2.imwrite(str(folder / f"{number}.jpg"), picture)
    return folder


def test_a_manifest_lists_what_it_names_and_every_video_ends_as_a_row_or_a_reason(tmp_path: Path, clips: Path) -> None:
    lists = tmp_path / "lists"
    picture_folder(lists / "frames" / "s01")
    (lists / "unlisted.mp4").write_bytes(b"x")
    with (lists / "list.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "votes", "split", "fold", "group", "caption_en", "licence", "consent"])
        table.writerow(
            [
                str(clips / "talk.mp4"),
                "neutral",
                "neutral=4 anger=1",
                "train",
                "1",
                "p1",
                "A man, talking.",
                "CC0",
                "signed",
            ]
        )
        table.writerow(["frames/s01/", "fear", '{"fear": 2}', "test", "2", "p2", "", "CC0", ""])
        table.writerow(["gone/clip.mp4", "anger", "", "", "", "", "", "", ""])
    root = tmp_path / "corpus"
    walk = walked(f"manifest:{lists / 'list.csv'}", root)
    assert set(rows_of(walk)) == {str(clips / "talk.mp4"), "frames/s01", "gone/clip.mp4"}
    assert "1 of 3 videos that are named are not there, the first is 'gone/clip.mp4'" in walk.notes[0]
    walk.keep_sources()
    for bucket in walk.take_settled(PROBE_VIDEOS):
        walk.run(PROBE_VIDEOS, bucket, Resources(source=walk.folder))
    walk.commit(f"manifest:{lists / 'list.csv'}")
    corpus = Corpus(root)
    assert corpus.snapshot.source == f"manifest:{lists / 'list.csv'}"
    assert corpus.snapshot.dataset is None
    videos = {row["path"]: row for row in corpus.arrow("videos").to_pylist()}
    assert set(videos) == {str(clips / "talk.mp4"), "frames/s01"}
    talk, frames = videos[str(clips / "talk.mp4")], videos["frames/s01"]
    assert talk["votes"] == [{"label": "anger", "votes": 1.0}, {"label": "neutral", "votes": 4.0}]
    assert talk["captions"] == [{"language": "en", "text": "A man, talking."}]
    parts = [(one["protocol"], one["fold"], one["part"]) for one in frames["folds"]]
    assert parts == [("manifest", "1", "train"), ("manifest", "2", "test")]
    assert frames["num_frames"] == 4
    (refused,) = corpus.arrow("rejects").to_pylist()
    assert (refused["path"], refused["reason"], refused["is_transient"]) == ("gone/clip.mp4", "missing", False)


def test_a_manifest_whose_videos_are_all_elsewhere_says_where_it_looked(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("path\na.mp4\nb.mp4\n")
    with pytest.raises(SourceError) as told:
        walked(f"manifest:{table}", tmp_path / "corpus")
    assert f"none of the 2 videos that it lists is there; looked for a.mp4, b.mp4 below {tmp_path}" in str(told.value)


def test_a_table_given_as_a_video_is_told_how_to_give_it(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path\n")
    with pytest.raises(SourceError, match="is a table and no video: .* give manifest:.*list.csv"):
        list_address(parse_source(tmp_path / "list.csv"), {})


def test_the_snapshot_says_which_copy_of_the_set_it_is_of(dfew: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    walk = walked(f"dfew:{dfew}", root)
    walk.keep_sources()
    for bucket in walk.take_settled(PROBE_VIDEOS):
        walk.run(PROBE_VIDEOS, bucket, Resources(source=walk.folder))
    kept = walk.commit(f"dfew:{dfew}").dataset
    assert kept is not None
    assert (kept.name, kept.variant, len(kept.fingerprint)) == ("dfew", "clip_224x224", 32)
    take_down(Store.open(root), ["Clip/clip_224x224/00001"])
    newest = snapshots.newest(Store.open(root))
    assert newest is not None and newest.number == 2 and newest.dataset == kept
    (dfew / "Clip/clip_224x224/00002/00002_00004.jpg").write_bytes(b"frame 4 of 2")
    again = walked(f"dfew:{dfew}", root)
    assert again.dataset is not None and again.dataset.fingerprint != kept.fingerprint
    assert any("1; delete their files there" in note for note in again.notes)
    old = newest.model_dump(mode="json")
    del old["dataset"]
    assert Snapshot.model_validate(old).dataset is None
