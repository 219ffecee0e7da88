"""DFEW as its README tells of it: what was planted is what is listed, and what is wrong is told by its kind."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import openpyxl
import pytest

from pipeline.videos.datasets import dfew
from pipeline.videos.datasets.listing import DatasetError, Fault, Listing
from tests.videos.datasets import dfew_tree as tree


def told(listing: Listing) -> list[tuple[str, str]]:
    return [(fault.kind, fault.where) for fault in listing.faults if not fault.is_known]


def only(listing: Listing) -> Fault:
    (fault,) = (fault for fault in listing.faults if not fault.is_known)
    return fault


def test_frames_are_listed_with_labels_votes_and_folds(tmp_path: Path) -> None:
    listing = dfew.read(tree.write_dfew(tmp_path))
    assert (listing.dataset, listing.variant, listing.is_frames) == ("dfew", "clip_224x224", True)
    assert [clip.name for clip in listing.clips] == [str(number) for number in range(1, tree.NUM_CLIPS + 1)]
    for clip in listing.clips:
        number = int(clip.name)
        label = tree.LABEL_IDS[number]
        assert clip.path == (None if number in tree.WITHOUT_FACE else f"Clip/clip_224x224/{number:05d}")
        assert clip.label == (tree.LABELS[label - 1] if label else None)
        assert clip.votes == dict(zip(tree.LABELS, tree.votes_of(number), strict=True))
        assert clip.licence == dfew.LICENCE
        parts = {part.fold: part.part for part in clip.folds}
        if number in tree.IN_FOLDS:
            assert parts == {str(fold): "test" if tree.tested_in(number) == fold else "train" for fold in tree.FOLDS}
        else:
            assert not parts
    assert told(listing) == []
    assert Counter(fault.kind for fault in listing.faults if fault.is_known) == {"missing": len(tree.WITHOUT_FACE)}
    assert len(listing.annotation_files) == 11


def test_videos_have_ids_without_zeros_and_every_clip(tmp_path: Path) -> None:
    listing = dfew.read(tree.write_dfew(tmp_path, ["clip_224x224", "original"]), "original")
    assert not listing.is_frames and not listing.faults
    assert [clip.path for clip in listing.clips] == [f"Clip/original/{n}.mp4" for n in range(1, tree.NUM_CLIPS + 1)]


def test_interpolated_frames_are_sixteen(tmp_path: Path) -> None:
    listing = dfew.read(tree.write_dfew(tmp_path, ["clip_224x224_16f"]))
    assert listing.variant == "clip_224x224_16f"
    assert {clip.num_frames for clip in listing.clips} == {16}


@pytest.mark.parametrize(
    ("frames", "splits"),
    [
        ("Clip/clip_224x224", "EmoLabel_DataSplit/{part}(single_labeled)/set_{fold}.csv"),
        ("Clip/jpg_256", "EmoLabel_DataSplit/{part}(single-labeled)/{part}_set_{fold}.csv"),
        ("Clip/clip_jpg_256", "EmoLabel_DataSplit/{part}_set_{fold}.csv"),
        ("clip/CLIP_224x224/clip_224x224_part_1", "emolabel_datasplit/{part}(single-labeled)/set_{fold}.csv"),
        ("data", "label/single_{part}set_{fold}.csv"),
    ],
    ids=["underscore", "S2D", "flat lists", "unpacked into folders of the archives", "the authors' code"],
)
def test_copies_that_spell_their_folders_otherwise_are_read(tmp_path: Path, frames: str, splits: str) -> None:
    written = tree.write_dfew(tmp_path, splits=False)
    tree.write_splits(written, splits)
    (tmp_path / frames).parent.mkdir(parents=True, exist_ok=True)
    moved = tmp_path / "moved"
    (tmp_path / "Clip/clip_224x224").rename(moved)
    (tmp_path / frames).parent.mkdir(parents=True, exist_ok=True)
    moved.rename(tmp_path / frames)
    if frames.startswith("clip/"):
        (tmp_path / "Clip").rmdir()
    listing = dfew.read(written)
    assert told(listing) == []
    assert sum(1 for clip in listing.clips if clip.path and clip.folds) == len(tree.IN_FOLDS)
    assert Counter(clip.label for clip in listing.clips if clip.folds)["happiness"] == sum(
        tree.LABEL_IDS[number] == 1 for number in tree.IN_FOLDS
    )


def test_packed_splits_and_votes_are_named_with_what_to_do(tmp_path: Path) -> None:
    folder = tree.write_dfew(tmp_path, splits=False, votes=False)
    for name in ("train(single_labeled).zip", "test(single_labeled).zip"):
        (folder / "EmoLabel_DataSplit").mkdir(exist_ok=True)
        (folder / "EmoLabel_DataSplit" / name).write_bytes(b"PK")
    (folder / "Annotation").mkdir()
    (folder / "Annotation/annotation.zip").write_bytes(b"PK")
    listing = dfew.read(folder)
    missing = [fault for fault in listing.faults if fault.kind == "missing_file"]
    assert len(missing) == 11
    assert missing[0].where == "EmoLabel_DataSplit/train(single-labeled)/set_1.csv"
    assert missing[0].detail == "EmoLabel_DataSplit/train(single_labeled).zip is still packed: unpack it where it lies"
    assert "Annotation/annotation.zip is still packed" in missing[-1].detail


def test_packed_clips_are_told_so(tmp_path: Path) -> None:
    folder = tree.write_dfew(tmp_path, [])
    (folder / "Clip/original").mkdir(parents=True)
    (folder / "Clip/original/data_part_1-2-3.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"still packed, such as Clip/original/data_part_1-2-3\.zip: unpack"):
        dfew.read(folder)


def test_an_archive_beside_clips_that_lack_is_named(tmp_path: Path) -> None:
    folder = tree.write_dfew(tmp_path)
    shutil.rmtree(folder / "Clip/clip_224x224/00001")
    (folder / "Clip/clip_224x224/clip_224x224_part_1.zip").write_bytes(b"PK")
    assert told(dfew.read(folder)) == [
        ("missing", "1"),
        ("missing_file", "Clip/clip_224x224/clip_224x224_part_1.zip"),
    ]


def test_a_folder_that_is_no_dfew_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "MELD.Raw").mkdir()
    with pytest.raises(DatasetError, match=r"no clips of DFEW.*looked for Clip/clip_224x224, .*holds MELD\.Raw"):
        dfew.read(tmp_path)
    with pytest.raises(DatasetError, match="no folder"):
        dfew.read(tmp_path / "none")
    with pytest.raises(DatasetError, match="no variant 'faces': it has clip_224x224"):
        dfew.read(tmp_path, "faces")
    with pytest.raises(DatasetError, match="holds no clips of DFEW"):
        dfew.read(tree.write_dfew(tmp_path / "dfew"), "original")


def test_frames_without_any_annotation_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="put them beside Clip"):
        dfew.read(tree.write_dfew(tmp_path, splits=False, votes=False))


def edit(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / "EmoLabel_DataSplit" / name
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode())


TRAIN_1 = "train(single-labeled)/set_1.csv"
TEST_1 = "test(single-labeled)/set_1.csv"


@pytest.mark.parametrize(
    ("name", "old", "new", "kind", "detail"),
    [
        (TRAIN_1, "\r\n1,1\r\n", "\r\n1,2\r\n", "label_conflict", "clip 1: "),
        (TRAIN_1, "\r\n1,1\r\n", "\r\n1,1\r\n1,1\r\n", "named_twice", "clip 1 is also in"),
        (TRAIN_1, "\r\n1,1\r\n", "\r\n1,1\r\n5,5\r\n", "both_sides", "clip 5: test here, train in"),
        (TRAIN_1, "\r\n1,1\r\n", "\r\n1,8\r\n", "unknown_label", "clip 1: expected 1 to 7, got '8'"),
        (TRAIN_1, "\r\n1,1\r\n", "\r\n1,Happy\r\n", "unknown_label", "got 'Happy'"),
        (TRAIN_1, "\r\n1,1\r\n", "\r\n1,1\r\nfilm,1\r\n", "bad_line", "expected the number of a clip, got 'film'"),
        (TRAIN_1, "\r\n1,1\r\n", "\r\n1,1\r\n99\r\n", "bad_line", "expected 2 cells or more, got '99'"),
        (TRAIN_1, "\r\n1,1\r\n", "\r\n1,1\r\n16372,1\r\n", "missing", "no folder of it"),
    ],
    ids=["conflict", "twice", "both sides", "number", "word", "no clip", "short", "missing"],
)
def test_a_planted_fault_is_named(tmp_path: Path, name: str, old: str, new: str, kind: str, detail: str) -> None:
    folder = tree.write_dfew(tmp_path)
    edit(folder, name, old, new)
    fault = only(dfew.read(folder))
    assert (fault.kind, detail in fault.detail) == (kind, True), fault


def test_a_clip_on_both_sides_stays_in_test_alone(tmp_path: Path) -> None:
    folder = tree.write_dfew(tmp_path)
    edit(folder, TRAIN_1, "\r\n1,1\r\n", "\r\n1,1\r\n5,5\r\n")
    (clip,) = (clip for clip in dfew.read(folder).clips if clip.name == "5")
    assert {part.part for part in clip.folds if part.fold == "1"} == {"test"}


def test_a_disputed_clip_has_no_label(tmp_path: Path) -> None:
    folder = tree.write_dfew(tmp_path)
    edit(folder, TRAIN_1, "\r\n1,1\r\n", "\r\n1,2\r\n")
    assert next(clip for clip in dfew.read(folder).clips if clip.name == "1").label is None


def test_a_missing_list_is_named_and_the_other_folds_are_read(tmp_path: Path) -> None:
    folder = tree.write_dfew(tmp_path)
    (folder / "EmoLabel_DataSplit" / TEST_1).unlink()
    listing = dfew.read(folder)
    assert told(listing) == [("missing_file", f"EmoLabel_DataSplit/{TEST_1}")]
    assert {part.fold for clip in listing.clips for part in clip.folds if part.part == "test"} == set("2345")


def test_another_list_of_the_same_fold_is_told_of_and_not_read(tmp_path: Path) -> None:
    folder = tree.write_dfew(tmp_path)
    tree.write_splits(folder, "EmoLabel_DataSplit/{part}(single-labeled)/{part}_set_{fold}.csv")
    assert told(dfew.read(folder)) == []  # the same bytes
    (folder / "EmoLabel_DataSplit/test(single-labeled)/test_set_1.csv").write_text("video_name,label\n3,3\n")
    listing = dfew.read(folder)
    assert told(listing) == [("extra", "EmoLabel_DataSplit/test(single-labeled)/test_set_1.csv")]


def test_folders_that_nothing_names_and_copies_are_extra(tmp_path: Path) -> None:
    folder = tree.write_dfew(tmp_path)
    tree.stub_frames(folder / "Clip/clip_224x224/16000", 16000)
    tree.stub_frames(folder / "Clip/clip_224x224/part/00001", 1)
    assert told(dfew.read(folder)) == [
        ("extra", "Clip/clip_224x224/part/00001"),
        ("extra", "Clip/clip_224x224/16000"),
    ]


def test_without_votes_clips_in_no_fold_are_known(tmp_path: Path) -> None:
    listing = dfew.read(tree.write_dfew(tmp_path, votes=False))
    assert told(listing) == [("missing_file", "Annotation/annotation.xlsx")]
    known = [fault.where for fault in listing.faults if fault.is_known]
    assert known == [f"Clip/clip_224x224/{n:05d}" for n, label in tree.LABEL_IDS.items() if not label and n != 16]


def test_more_clips_without_frames_than_were_published_is_no_longer_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dfew, "NUM_WITHOUT_FACE", 2)
    listing = dfew.read(tree.write_dfew(tmp_path))
    assert told(listing) == [
        ("missing", "7"),
        ("missing", "16"),
        ("missing", "23"),
        ("published_count", "clip_224x224"),
    ]


def sheet_with(folder: Path, cell: str, value: str | int) -> None:
    path = folder / "Annotation/annotation.xlsx"
    book = openpyxl.load_workbook(path)
    sheet = book.active
    assert sheet is not None
    sheet[cell] = value
    book.save(path)


@pytest.mark.parametrize(
    ("cell", "value", "kind", "where"),
    [
        ("I2", 9, "unknown_label", "Annotation/annotation.xlsx:2"),
        ("I2", 0, "label_conflict", "Annotation/annotation.xlsx:2"),
        ("I2", 3, "label_conflict", "Annotation/annotation.xlsx:2"),
        ("A3", "many", "bad_line", "Annotation/annotation.xlsx:3"),
        ("H3", 1, "named_twice", "Annotation/annotation.xlsx:3"),
        ("A1", "2happy", "bad_line", "Annotation/annotation.xlsx:1"),
    ],
)
def test_faults_in_the_sheet_are_named_by_row(
    tmp_path: Path, cell: str, value: str | int, kind: str, where: str
) -> None:
    folder = tree.write_dfew(tmp_path)
    sheet_with(folder, cell, value)
    assert told(dfew.read(folder))[0] == (kind, where)


def test_a_sheet_that_is_none_is_told_of(tmp_path: Path) -> None:
    folder = tree.write_dfew(tmp_path)
    (folder / "Annotation/annotation.xlsx").write_bytes(b"7,3,0,0,0,0,0,1,1\n")
    listing = dfew.read(folder)
    assert ("unreadable", "Annotation/annotation.xlsx") in told(listing)
    assert sum(1 for clip in listing.clips if clip.label) == len(tree.IN_FOLDS)


def test_published_folds_add_up() -> None:
    whole = 11_697
    for fold in dfew.FOLDS:
        assert sum(sum(dfew.PUBLISHED["dfew", fold, part].values()) for part in dfew.PARTS) == whole
