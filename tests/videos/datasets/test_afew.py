"""AFEW: labels are names of folders, and the validation part is what papers test on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.videos.datasets import afew
from pipeline.videos.datasets.listing import DatasetError, FoldPart, Listing
from tests.videos.datasets import afew_tree as tree


def told(listing: Listing) -> list[tuple[str, str]]:
    return [(fault.kind, fault.where) for fault in listing.faults if not fault.is_known]


@pytest.mark.parametrize("variant", ["faces", "clips"])
def test_clips_are_listed_with_label_and_split(tmp_path: Path, variant: str) -> None:
    listing = afew.read(tree.write_afew(tmp_path, variant))
    assert (listing.variant, listing.is_frames, listing.faults) == (variant, variant == "faces", ())
    planted = {f"{split}/{word}/{clip}": (split, word) for split, word, clip in tree.CLIPS}
    assert {clip.name for clip in listing.clips} == set(planted)
    for clip in listing.clips:
        split, word = planted[clip.name]
        assert (clip.split, clip.label) == (split, tree.LABELS[tree.WORDS.index(word)])
        assert clip.folds == (FoldPart("afew", "1", "train" if split == "train" else "test"),)
        assert clip.path is not None and (tmp_path / clip.path).exists()


@pytest.mark.parametrize(
    ("there", "is_now"),
    [
        ("AFEW_Face/train", "train_afew"),
        ("AFEW_Face/validation", "AFEW_Face/Val"),
        ("AFEW_Face", "AFEW"),
        ("AFEW_Face/train/Angry", "AFEW_Face/train/Anger"),
    ],
)
def test_copies_that_spell_their_folders_otherwise_are_read(tmp_path: Path, there: str, is_now: str) -> None:
    folder = tree.write_afew(tmp_path)
    before = {(clip.name, clip.label) for clip in afew.read(folder).clips}
    (folder / there).rename(folder / is_now)
    listing = afew.read(folder)
    assert {(clip.name, clip.label) for clip in listing.clips} == before and not listing.faults


def test_planted_faults_are_named(tmp_path: Path) -> None:
    folder = tree.write_afew(tmp_path)
    clip = tree.CLIPS[0][2]
    tree.stub_frames(folder / f"AFEW_Face/train/Sad/{clip}", clip)
    tree.stub_frames(folder / f"AFEW_Face/train/Bored/{clip}", clip)
    tree.stub_frames(folder / "AFEW_Face/test/000000000", "test")
    shutil.rmtree(folder / "AFEW_Face/validation")
    listing = afew.read(folder)
    assert sorted(told(listing)) == [
        ("label_conflict", f"AFEW_Face/train/Sad/{clip}"),
        ("missing_file", "validation"),
        ("unknown_label", "AFEW_Face/train/Bored"),
    ]
    assert [fault.where for fault in listing.faults if fault.is_known] == ["AFEW_Face/test"]


def test_a_folder_that_is_no_afew_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "AFEW_Face.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"no clips of AFEW .*AFEW_Face\.zip is still packed: unpack it"):
        afew.read(tmp_path)
    with pytest.raises(DatasetError, match="no variant 'frames': it has faces, clips"):
        afew.read(tmp_path, "frames")
    with pytest.raises(DatasetError, match="no folder"):
        afew.read(tmp_path / "none")


def test_published_counts_add_up() -> None:
    assert [sum(counts.values()) for counts in afew.PUBLISHED.values()] == [773, 383]
