"""MER of three years: labels, clips that are meant to have none, and captions that people wrote and no others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.videos.datasets import mer
from pipeline.videos.datasets.listing import DatasetError, Listing
from tests.videos.datasets import mer_tree as tree


def told(listing: Listing) -> list[tuple[str, str]]:
    return sorted((fault.kind, fault.where) for fault in listing.faults if not fault.is_known)


def parts(listing: Listing) -> Counter[tuple[str, str]]:
    return Counter((part.protocol, part.part) for clip in listing.clips for part in clip.folds)


@pytest.mark.parametrize("tables", ["{part}-label.csv", "test-labels/{part}-label.csv"])
def test_2023_has_three_tests(tmp_path: Path, tables: str) -> None:
    listing = mer.read(tree.write_mer2023(tmp_path, tables=tables))
    assert (listing.variant, told(listing)) == ("mer2023", [])
    assert Counter(clip.split for clip in listing.clips) == {"train": 12, "test": 9, None: 6}
    assert parts(listing) == {
        ("mer2023-multi", "train"): 12,
        ("mer2023-noise", "train"): 12,
        ("mer2023-semi", "train"): 12,
        ("mer2023-multi", "test"): 3,
        ("mer2023-noise", "test"): 2,
        ("mer2023-semi", "test"): 4,
    }
    labels = Counter(clip.label for clip in listing.clips if clip.split == "train")
    assert labels == dict.fromkeys(mer.LABELS, 2)
    assert all(clip.path for clip in listing.clips)


def test_2024_has_clips_without_labels(tmp_path: Path) -> None:
    listing = mer.read(tree.write_mer2024(tmp_path))
    assert (listing.variant, told(listing)) == ("mer2024", [])
    assert Counter(clip.label is None for clip in listing.clips) == {False: 10, True: 5}
    assert parts(listing) == {("mer2024", "train"): 10}


def test_2025_has_captions_of_people_and_no_others(tmp_path: Path) -> None:
    listing = mer.read(tree.write_mer2025(tmp_path))
    assert (listing.variant, told(listing)) == ("mer2025", [])
    clips = {clip.name: clip for clip in listing.clips}
    assert len(clips) == 22
    assert Counter(clip.split for clip in clips.values()) == {"train": 12, "test": 4, None: 6}
    assert sum(clip.label is not None for clip in clips.values()) == 12
    captioned = {name: clip.captions for name, clip in clips.items() if clip.captions}
    assert sorted(captioned) == [tree.sample(16), tree.sample(17)]
    assert [(one.language, one.text) for one in captioned[tree.sample(16)]] == [("en", tree.REASON)]
    assert len(listing.annotation_files) == 7


def test_a_reason_whose_quotation_mark_is_lost_takes_no_other_row_with_it(tmp_path: Path) -> None:
    folder = tree.write_mer2025(tmp_path)
    path = folder / "track3_train_ovmerd.csv"
    path.write_text(f'name,reason\n{tree.sample(16)},"He looks away.\n{tree.sample(17)},"He smiles,\nthen not."\n')
    listing = mer.read(folder)
    assert told(listing) == [("bad_line", "track3_train_ovmerd.csv:2")]
    captions = {clip.name: clip.captions[0].text for clip in listing.clips if clip.captions}
    assert captions == {tree.sample(17): "He smiles,\nthen not."}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("sample_00000003,sad,0", "named_twice"),
        ("sample_00000003,angry,0", "label_conflict"),
        ("sample_00000020,glum,0", "unknown_label"),
        (",sad,0", "bad_line"),
        ("sample_00000020,sad", "bad_line"),
        ('"sample_00000020,sad,0', "bad_line"),
    ],
)
def test_a_wrong_line_is_told(tmp_path: Path, line: str, kind: str) -> None:
    folder = tree.write_mer2025(tmp_path)
    with (folder / "track1_train_disdim.csv").open("a") as file:
        file.write(f"{line}\n")
    listing = mer.read(folder)
    assert told(listing) == [(kind, "track1_train_disdim.csv:14")]
    third = next(clip for clip in listing.clips if clip.name == tree.sample(3))
    assert third.label == (None if kind == "label_conflict" else "sadness")


def test_a_clip_to_train_and_to_test_on_is_kept_in_test(tmp_path: Path) -> None:
    folder = tree.write_mer2025(tmp_path)
    with (folder / "track_all_candidates.csv").open("a") as file:
        file.write(f"{tree.sample(3)}\n{tree.sample(12)}\n")
    listing = mer.read(folder)
    assert told(listing) == [
        ("both_sides", "track_all_candidates.csv:6"),
        ("named_twice", "track_all_candidates.csv:7"),
    ]
    third = next(clip for clip in listing.clips if clip.name == tree.sample(3))
    assert (third.split, third.folds) == ("test", ())


def test_the_labels_of_the_test_are_read_where_they_are_there(tmp_path: Path) -> None:
    folder = tree.write_mer2025(tmp_path)
    tree.write_table(folder / "track1_test_dis.csv", ("name", "discrete"), tree.labels(range(12, 14)))
    listing = mer.read(folder)
    assert told(listing) == []
    assert parts(listing) == {("mer2025", "train"): 12, ("mer2025", "test"): 2}


def test_videos_that_lack_are_told(tmp_path: Path) -> None:
    folder = tree.write_mer2025(tmp_path)
    for number in (2, 13, 17):
        (folder / f"video/{tree.sample(number)}.mp4").unlink()
    listing = mer.read(folder)
    assert told(listing) == [("missing", tree.sample(number)) for number in (2, 13, 17)]
    assert len(listing.clips) == 22


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"looked for one of track1_train_disdim\.csv"):
        mer.read(tmp_path)
    with pytest.raises(DatasetError, match="no variant 'mer2022'"):
        mer.read(tree.write_mer2024(tmp_path), "mer2022")
    with pytest.raises(DatasetError, match="as asked for"):
        mer.read(tmp_path, "mer2023")


def test_a_caption_that_is_empty_is_told(tmp_path: Path) -> None:
    table = tree.write_mer2025(tmp_path) / "track3_train_ovmerd.csv"
    table.write_text("name,reason\nsample_00000016,\n", encoding="utf-8")
    assert ("no_caption", "track3_train_ovmerd.csv:2") in told(mer.read(tmp_path))
