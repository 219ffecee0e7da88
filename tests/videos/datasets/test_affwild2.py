"""Aff-Wild2 by its numbers a frame: votes and rare labels, images against lines, and what is wrong by its kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.videos.datasets import affwild2
from pipeline.videos.datasets.listing import DatasetError, Fault, Listing
from tests.videos.datasets import affwild2_tree as tree

EXPR = "annotations/EXPR_Classification_Challenge"


def told(listing: Listing) -> list[tuple[str, str]]:
    return sorted((fault.kind, fault.where) for fault in listing.faults if not fault.is_known)


def known(listing: Listing) -> list[Fault]:
    return [fault for fault in listing.faults if fault.is_known]


def test_frames_vote_and_a_clip_has_a_label_where_all_agree(tmp_path: Path) -> None:
    listing = affwild2.read(tree.write_affwild2(tmp_path))
    assert (listing.dataset, listing.variant, listing.is_frames) == ("affwild2", "cropped_aligned", True)
    assert told(listing) == []
    clips = {clip.name: clip for clip in listing.clips}
    assert sorted(clips) == sorted(name for videos in tree.FRAMES.values() for name in videos)
    for set_name, part in (("Train_Set", "train"), ("Validation_Set", "validation")):
        for name, numbers in tree.FRAMES[set_name].items():
            valid = [affwild2.LABELS[number] for number in numbers if number >= 0]
            clip = clips[name]
            assert clip.votes == ({label: valid.count(label) for label in valid} or None)
            assert clip.label == (valid[0] if len(set(valid)) == 1 else None)
            assert (clip.split, clip.path, clip.num_frames) == (part, f"cropped_aligned/{name}", None)
    assert clips["video59"].label == "happiness"
    assert clips["120-120-1280x720"].votes == {"neutral": 2, "anger": 3}


def test_two_persons_of_a_video_are_one_group(tmp_path: Path) -> None:
    clips = {clip.name: clip.group for clip in affwild2.read(tree.write_affwild2(tmp_path)).clips}
    assert clips["video59"] == clips["video59_right"] == "video59"
    assert clips["6-30-1920x1080_left"] == clips["6-30-1920x1080_right"] == "6-30-1920x1080"


def test_lines_without_an_image_and_videos_of_the_test_set_are_known(tmp_path: Path) -> None:
    faults = {fault.where: fault for fault in known(affwild2.read(tree.write_affwild2(tmp_path)))}
    assert {where: fault.kind for where, fault in faults.items()} == {
        "120-120-1280x720": "frame_gap",
        "video59_right": "frame_gap",
        "cropped_aligned": "extra",
    }
    assert faults["video59_right"].detail.startswith("2 of 5 lines have no image, 2 of them a label")
    assert faults["cropped_aligned"].detail.startswith("frames of 2 videos without an annotation")


def test_a_list_of_the_test_set_makes_clips_of_its_videos(tmp_path: Path) -> None:
    listing = affwild2.read(tree.write_affwild2(tmp_path, test_list=True))
    tested = [clip for clip in listing.clips if clip.split == "test"]
    assert [clip.name for clip in tested] == sorted(tree.TESTED)
    assert all(clip.label is None and clip.votes is None and clip.path for clip in tested)
    assert told(listing) == []
    assert len(listing.annotation_files) == 7


@pytest.mark.parametrize(
    ("annotations", "frames", "variant"),
    [
        ("annotations/EXPR_Set", "cropped_aligned_new_50_vids", "cropped_aligned"),
        ("6th_ABAW_Annotations/EXPR_Classification_Challenge", "cropped", "cropped"),
        ("EXPR_Recognition_Challenge", "cropped_aligned", "cropped_aligned"),
    ],
)
def test_the_folders_of_other_years_are_found(tmp_path: Path, annotations: str, frames: str, variant: str) -> None:
    listing = affwild2.read(tree.write_affwild2(tmp_path, annotations=annotations, frames=frames))
    assert listing.variant == variant
    assert all(clip.path for clip in listing.clips)


def test_line_n_is_image_n_whatever_stands_in_the_lines_before(tmp_path: Path) -> None:
    folder = tree.write_affwild2(tmp_path)
    path = folder / EXPR / "Train_Set/video59.txt"
    tree.write_annotation(path, [4, "four", "", 8, 4])
    listing = affwild2.read(folder)
    name = f"{EXPR}/Train_Set/video59.txt"
    assert told(listing) == [("bad_line", f"{name}:3"), ("bad_line", f"{name}:4"), ("unknown_label", f"{name}:5")]
    faults: list[Fault] = []
    assert affwild2.read_frame_labels(folder, name, faults).valid == [1, 5]


def test_many_bad_lines_are_told_together(tmp_path: Path) -> None:
    folder = tree.write_affwild2(tmp_path)
    tree.write_annotation(folder / EXPR / "Train_Set/video59.txt", ["x"] * 5)
    faults = [fault for fault in affwild2.read(folder).faults if fault.kind == "bad_line"]
    name = f"{EXPR}/Train_Set/video59.txt"
    assert [fault.where for fault in faults] == [f"{name}:2", f"{name}:3", f"{name}:4", name]
    assert faults[-1].detail == "so are 2 more lines: 5, 6"


@pytest.mark.parametrize("names", ["valence,arousal", "0", "Anger,Neutral", ""])
def test_another_line_of_names_leaves_the_file_out(tmp_path: Path, names: str) -> None:
    folder = tree.write_affwild2(tmp_path)
    tree.write_annotation(folder / EXPR / "Train_Set/video59.txt", [4, 4], names)
    listing = affwild2.read(folder)
    assert told(listing) == [("bad_line", f"{EXPR}/Train_Set/video59.txt:1")]
    clip = next(clip for clip in listing.clips if clip.name == "video59")
    assert (clip.label, clip.votes) == (None, None)


def test_seven_classes_of_the_first_years_are_read(tmp_path: Path) -> None:
    folder = tree.write_affwild2(tmp_path)
    seven = tree.NAMES.removesuffix(",Other")
    tree.write_annotation(folder / EXPR / "Train_Set/video59.txt", [4, 4, 4, 7, 4], seven)
    assert told(affwild2.read(folder)) == [("unknown_label", f"{EXPR}/Train_Set/video59.txt:5")]


def test_images_beyond_the_lines_and_clips_without_images_are_told(tmp_path: Path) -> None:
    folder = tree.write_affwild2(tmp_path)
    tree.stub_frame(folder / "cropped_aligned/video59/00006.jpg", 6)
    for path in (folder / "cropped_aligned/2-30-640x360").iterdir():
        path.unlink()
    (folder / "cropped_aligned/6-30-1920x1080_left").rename(folder / "cropped_aligned/6-30-1920x1080-left")
    assert told(affwild2.read(folder)) == [
        ("frame_count", "video59"),
        ("missing", "2-30-640x360"),
        ("missing", "6-30-1920x1080_left"),
    ]


def test_a_clip_or_a_video_on_both_sides_is_told(tmp_path: Path) -> None:
    folder = tree.write_affwild2(tmp_path, test_list=True)
    tree.write_annotation(folder / EXPR / "Validation_Set/video59.txt", [1, 1])
    tree.write_annotation(folder / EXPR / "Train_Set/video99_left.txt", [1])
    listing = affwild2.read(folder)
    tests = "names_of_videos_in_each_test_set/Expression_Classification_Challenge_test_set_release.txt"
    assert told(listing) == [
        ("both_sides", f"{EXPR}/Validation_Set/video59.txt"),
        ("both_sides", f"{tests}:2"),
        ("frame_count", "video59"),
        ("shared_group", "video59"),
    ]
    splits = {clip.name: clip.split for clip in listing.clips}
    assert splits["video59"] == "validation", "kept where it is tested on"
    assert splits["video99_left"] == "test"


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="EXPR_Classification_Challenge/Train_Set"):
        affwild2.read(tmp_path)
    folder = tree.write_affwild2(tmp_path / "one")
    with pytest.raises(DatasetError, match="no frames .* folders in cropped;"):
        affwild2.read(folder, "cropped")
    tree.write_annotation(folder / "5th/EXPR_Classification_Challenge/Train_Set/a.txt", [1])
    with pytest.raises(DatasetError, match="several years"):
        affwild2.read(folder)
