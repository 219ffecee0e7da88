"""FERV39k as its README tells of it: what was planted is what is listed, and what is wrong is told by its kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.videos.datasets import ferv39k
from pipeline.videos.datasets.listing import DatasetError, FoldPart, Listing
from tests.videos.datasets import ferv39k_tree as tree


def told(listing: Listing) -> list[tuple[str, str]]:
    return [(fault.kind, fault.where) for fault in listing.faults if not fault.is_known]


@pytest.mark.parametrize("variant", ["faces", "clips"])
def test_clips_are_listed_by_their_place_with_label_and_part(tmp_path: Path, variant: str) -> None:
    listing = ferv39k.read(tree.write_ferv39k(tmp_path, ["faces", "clips"]), variant)
    assert (listing.variant, listing.is_frames, listing.faults) == (variant, variant == "faces", ())
    planted = dict(tree.CLIPS)
    assert {clip.name for clip in listing.clips} == set(planted)
    for clip in listing.clips:
        top = "2_ClipsforFaceCrop" if variant == "faces" else "0_7_LabelClips"
        assert clip.path == f"{top}/{clip.name}{'' if variant == 'faces' else '.mp4'}"
        assert clip.label == tree.label_of(clip.name)
        assert clip.split == planted[clip.name]
        assert clip.folds == (FoldPart("ferv39k", "1", planted[clip.name]),)
        assert clip.group is None and clip.votes is None
    assert listing.annotation_files == ("4_setups/All_scenes/test_All.csv", "4_setups/All_scenes/train_All.csv")


def test_lists_of_scenes_are_a_protocol_of_their_own(tmp_path: Path) -> None:
    listing = ferv39k.read(tree.write_ferv39k(tmp_path, scenes=True))
    assert told(listing) == []
    for clip in listing.clips:
        part, scene = dict(tree.CLIPS)[clip.name], clip.name.split("/")[0]
        assert clip.folds == (FoldPart("ferv39k", "1", part), FoldPart("ferv39k-scenes", scene, part))


@pytest.mark.parametrize(
    ("there", "is_now"),
    [
        ("2_ClipsforFaceCrop", "2_ClipforFaceCrop"),
        ("2_ClipsforFaceCrop", "2_clips_for_face_crop"),
        ("4_setups/All_scenes", "4_setups/all scenes"),
        ("4_setups/All_scenes", "All_scenes"),
        ("4_setups/All_scenes/train_All.csv", "4_setups/All_scenes/train_all.csv"),
        ("2_ClipsforFaceCrop/DailyLife", "2_ClipsforFaceCrop/Daily_Life"),
        ("2_ClipsforFaceCrop/War/Angry", "2_ClipsforFaceCrop/War/Anger"),
    ],
)
def test_copies_that_spell_their_folders_otherwise_are_read(tmp_path: Path, there: str, is_now: str) -> None:
    folder = tree.write_ferv39k(tmp_path)
    (folder / there).rename(folder / is_now)
    listing = ferv39k.read(folder)
    assert told(listing) == []
    assert sum(clip.path is not None for clip in listing.clips) == len(tree.CLIPS)


LISTS = "4_setups/All_scenes"


@pytest.mark.parametrize(
    ("part", "line", "kinds"),
    [
        ("train", "Action/Happy/0001 Happy", ["named_twice"]),
        ("train", "Action/Happy/0001 Sad", ["named_twice", "label_conflict"]),
        ("train", "Action/Happy/0003 Happy", ["both_sides"]),
        ("test", "Action/Happy/0001 Happy", ["both_sides"]),
        ("train", "Action/Happy/0099 Happy", ["missing"]),
        ("train", "Action/Happy/0099 Sad", ["label_conflict", "missing"]),
        ("train", "Action/Happy/0001 Contempt", ["named_twice", "unknown_label"]),
        ("train", "Cooking/Happy/0001 Happy", ["bad_line"]),
        ("train", "Action/Happy/first Happy", ["bad_line"]),
        ("train", "0267 Happy", ["bad_line"]),
        ("train", "Action/Happy/0001", ["bad_line"]),
    ],
)
def test_a_planted_line_is_named_by_what_is_wrong(tmp_path: Path, part: str, line: str, kinds: list[str]) -> None:
    folder = tree.write_ferv39k(tmp_path)
    with (folder / LISTS / f"{part}_All.csv").open("a") as file:
        file.write(f"{line}\n")
    assert sorted(kind for kind, _ in told(ferv39k.read(folder))) == sorted(kinds)


def test_line_ends_marks_and_blank_lines_change_nothing(tmp_path: Path) -> None:
    folder = tree.write_ferv39k(tmp_path)
    before = ferv39k.read(folder).clips
    for path in (folder / LISTS).iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b" \r\n\r\n").replace(b"/", b"\\"))
    listing = ferv39k.read(folder)
    assert listing.clips == before and not listing.faults


def test_what_is_there_and_not_named_or_not_a_clip_is_told(tmp_path: Path) -> None:
    folder = tree.write_ferv39k(tmp_path)
    tree.stub_frames(folder / "2_ClipsforFaceCrop/War/Fear/0500", "War/Fear/0500")
    tree.stub_frames(folder / "2_ClipsforFaceCrop/War/Fear/copy of 0001", "copy")
    tree.stub_frames(folder / "2_ClipsforFaceCrop/War/Fear/1", "War/Fear/0001")
    shutil.rmtree(folder / "2_ClipsforFaceCrop/Action/Sad/0002")
    assert sorted(told(ferv39k.read(folder))) == [
        ("extra", "2_ClipsforFaceCrop/War/Fear/0500"),
        ("extra", "2_ClipsforFaceCrop/War/Fear/1"),
        ("extra", "2_ClipsforFaceCrop/War/Fear/copy of 0001"),
        ("missing", "Action/Sad/0002"),
    ]


def test_packed_and_missing_lists_are_named_with_what_to_do(tmp_path: Path) -> None:
    folder = tree.write_ferv39k(tmp_path, lists=False)
    with pytest.raises(DatasetError, match="no 4_setups/All_scenes/train_All.csv or test_All.csv: put them"):
        ferv39k.read(folder)
    (folder / "4_setups.zip").write_bytes(b"PK")
    missing = [fault for fault in ferv39k.read(folder).faults if fault.kind == "missing_file"]
    assert [fault.detail for fault in missing] == ["4_setups.zip is still packed: unpack it where it lies"] * 2
    tree.write_lists(folder / LISTS)
    (folder / LISTS / "test_All.csv").unlink()
    (folder / "4_setups.zip").unlink()
    (fault,) = (fault for fault in ferv39k.read(folder).faults if fault.kind == "missing_file")
    assert (fault.where, "no test part" in fault.detail) == (f"{LISTS}/test_All.csv", True)


def test_a_list_of_scenes_that_names_none_is_told(tmp_path: Path) -> None:
    folder = tree.write_ferv39k(tmp_path, scenes=True)
    (folder / "4_setups/22_scenes/train_Cooking.csv").write_text("Action/Happy/0001 Happy\n")
    assert told(ferv39k.read(folder)) == [("bad_line", "4_setups/22_scenes/train_Cooking.csv")]


def test_published_counts_add_up() -> None:
    assert [sum(counts.values()) for counts in ferv39k.PUBLISHED.values()] == [31_088, 7_847]
    assert len(set(ferv39k.SCENES)) == 22
