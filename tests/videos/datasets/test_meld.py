"""MELD by its three tables: what was planted is what is listed, known clips are known, the rest is told by its kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.videos.datasets import meld
from pipeline.videos.datasets.listing import DatasetError, Listing
from pipeline.videos.label_names import label_name
from tests.videos.datasets import meld_tree as tree

OURS = {"train": "train", "dev": "validation", "test": "test"}


def told(listing: Listing) -> list[tuple[str, str]]:
    return sorted((fault.kind, fault.where) for fault in listing.faults if not fault.is_known)


def test_each_row_is_a_clip_of_its_part_and_dialogue(tmp_path: Path) -> None:
    listing = meld.read(tree.write_meld(tmp_path))
    assert told(listing) == []
    assert (listing.dataset, listing.variant) == ("meld", "raw")
    clips = {clip.name: clip for clip in listing.clips}
    assert len(clips) == sum(map(sum, tree.SIZES.values()))
    for part, ours in OURS.items():
        for dialogue, turn, emotion in tree.utterances(part):
            clip = clips[f"{ours}/dia{dialogue}_utt{turn}"]
            assert clip.path == f"{tree.FOLDERS[part]}/dia{dialogue}_utt{turn}.mp4"
            assert (clip.label, clip.split, clip.group) == (label_name(emotion), ours, f"{ours}/dia{dialogue}")
            assert [(one.protocol, one.fold, one.part) for one in clip.folds] == [("meld", "1", ours)]
    assert listing.annotation_files == ("train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv")


def test_the_published_counts_are_those_of_the_readme() -> None:
    sizes = {part: sum(counts.values()) for (_, _, part), counts in meld.PUBLISHED.items()}
    assert sizes == {"train": 9989, "validation": 1109, "test": 2610}
    assert meld.PUBLISHED["meld", "1", "train"]["happiness"] == 1743
    assert meld.PUBLISHED["meld", "1", "test"]["disgust"] == 68


@pytest.mark.parametrize(
    ("folders", "table"),
    [
        ({part: f"{part}/{name}" for part, name in tree.FOLDERS.items()}, "{part}/{part}_sent_emo.csv"),
        ({part: part for part in tree.FOLDERS}, "data/MELD/{part}_sent_emo.csv"),
    ],
)
def test_other_places_are_found(tmp_path: Path, folders: dict[str, str], table: str) -> None:
    listing = meld.read(tree.write_meld(tmp_path, folders=folders, table=table))
    assert told(listing) == []
    assert all(clip.path for clip in listing.clips)


def test_what_is_faulty_as_published_is_known(tmp_path: Path) -> None:
    folder = tree.write_meld(tmp_path)
    tree.write_table(folder / "dev_sent_emo.csv", [*tree.utterances("dev"), (110, 7, "neutral")])
    tree.write_table(folder / "train_sent_emo.csv", [*tree.utterances("train"), (125, 3, "anger")])
    tree.stub_video(folder / "train_splits/dia125_utt3.mp4", 1)
    test = folder / "output_repeated_splits_test"
    for name in ("final_videos_testdia101_utt0", "dia108_utt2", "._dia0_utt0"):
        tree.stub_video(test / f"{name}.mp4", 2)
    listing = meld.read(folder)
    assert told(listing) == []
    assert sorted((fault.kind, fault.where) for fault in listing.faults) == [
        ("extra", "output_repeated_splits_test/dia108_utt2.mp4"),
        ("extra", "output_repeated_splits_test/final_videos_testdia101_utt0.mp4"),
        ("missing", "validation/dia110_utt7"),
        ("unreadable", "train/dia125_utt3"),
    ]
    paths = {clip.name: clip.path for clip in listing.clips}
    assert paths["validation/dia110_utt7"] is None
    assert paths["train/dia125_utt3"] == "train_splits/dia125_utt3.mp4", "a repaired one may be read"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("15,Hi,Joey,neutral,neutral,0,0,8,21,a,b", "named_twice"),
        ("15,Hi,Joey,anger,neutral,0,0,8,21,a,b", "label_conflict"),
        ("15,Hi,Joey,bliss,neutral,9,9,8,21,a,b", "unknown_label"),
        ("15,Hi,Joey,anger,neutral,nine,9,8,21,a,b", "bad_line"),
        ("15,Hi, there,Joey,anger,neutral,9,9,8,21,a,b", "bad_line"),
        ('15,"Hi,Joey,anger,neutral,9,9,8,21,a,b', "bad_line"),
    ],
)
def test_a_wrong_line_is_told_and_takes_no_other_with_it(tmp_path: Path, line: str, kind: str) -> None:
    folder = tree.write_meld(tmp_path)
    last = "16,Bye,Joey,joy,positive,1,2,8,21,a,b"
    tree.write_table(folder / "train_sent_emo.csv", tree.utterances("train")[:-1], [line, last])
    (folder / "train_splits/dia2_utt6.mp4").unlink()
    listing = meld.read(folder)
    faults = [fault for fault in told(listing) if fault[0] not in ("missing", "extra")]
    assert faults == sorted([(kind, "train_sent_emo.csv:15"), ("label_conflict", "train_sent_emo.csv:16")])
    labels = {clip.name: clip.label for clip in listing.clips}
    assert labels["train/dia1_utt2"] is None, "the last row is read, and contradicts an earlier one"
    if kind == "label_conflict":
        assert labels["train/dia0_utt0"] is None


def test_bytes_that_are_no_utf8_are_told_and_their_rows_kept(tmp_path: Path) -> None:
    folder = tree.write_meld(tmp_path)
    table = folder / "train_sent_emo.csv"
    table.write_bytes(table.read_bytes().replace("\x92".encode(), b"\x92"))
    listing = meld.read(folder)
    assert told(listing) == [("bad_encoding", "train_sent_emo.csv")]
    assert len(listing.clips) == sum(map(sum, tree.SIZES.values()))


def test_videos_that_lack_or_are_too_many_are_told(tmp_path: Path) -> None:
    folder = tree.write_meld(tmp_path)
    (folder / "dev_splits_complete/dia0_utt0.mp4").unlink()
    tree.stub_video(folder / "dev_splits_complete/dia99_utt0.mp4", 1)
    tree.stub_video(folder / "dev_splits_complete/intro.mp4", 1)
    assert told(meld.read(folder)) == [
        ("extra", "dev_splits_complete/dia99_utt0.mp4"),
        ("extra", "dev_splits_complete/intro.mp4"),
        ("missing", "validation/dia0_utt0"),
    ]


def test_a_table_that_lacks_is_told(tmp_path: Path) -> None:
    folder = tree.write_meld(tmp_path)
    (folder / "dev_sent_emo.csv").unlink()
    listing = meld.read(folder)
    assert ("missing_file", "dev_sent_emo.csv") in told(listing)
    assert sum(kind == "extra" for kind, _ in told(listing)) == sum(tree.SIZES["dev"])
    assert not any(clip.split == "validation" for clip in listing.clips)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"looked for train_sent_emo\.csv"):
        meld.read(tmp_path)
    with pytest.raises(DatasetError, match="no variant 'dyadic'"):
        meld.read(tree.write_meld(tmp_path), "dyadic")
