"""MAFW as its users tell of its files: what was planted is what is listed, and what is wrong is told by its kind."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import openpyxl
import pytest

from pipeline.videos.datasets import mafw
from pipeline.videos.datasets.listing import Caption, DatasetError, FoldPart, Listing
from tests.videos.datasets import mafw_tree as tree

LISTS = "Train & Test Set"


def told(listing: Listing) -> list[tuple[str, str]]:
    return [(fault.kind, fault.where) for fault in listing.faults if not fault.is_known]


def known(listing: Listing) -> Counter[str]:
    return Counter(fault.kind for fault in listing.faults if fault.is_known)


@pytest.mark.parametrize("variant", ["frames", "clips"])
def test_clips_are_listed_with_labels_votes_folds_and_captions(tmp_path: Path, variant: str) -> None:
    listing = mafw.read(tree.write_mafw(tmp_path, ["frames", "clips"]), variant)
    assert (listing.variant, listing.is_frames, listing.faults) == (variant, variant == "frames", ())
    assert [clip.name for clip in listing.clips] == [f"{number:05d}" for number in range(1, tree.NUM_CLIPS + 1)]
    assert len(listing.annotation_files) == 44
    for clip in listing.clips:
        number = int(clip.name)
        assert clip.path == f"data/{variant}/{clip.name}{'' if variant == 'frames' else '.mp4'}"
        assert clip.label == tree.SINGLE.get(number)
        assert clip.votes == pytest.approx(dict(zip(tree.LABELS, tree.votes_of(number), strict=True)))
        expected: tuple[Caption, ...] = ()
        if number in tree.CAPTIONED:
            expected = (Caption("en", tree.english(number)), Caption("zh", tree.chinese(number)))
        assert clip.captions == expected
        side = {str(fold): "test" if tree.tested_in(number) == fold else "train" for fold in tree.FOLDS}
        single = {part.fold: part.part for part in clip.folds if part.protocol == "mafw-single"}
        compound = {part.fold: part for part in clip.folds if part.protocol == "mafw-compound"}
        assert single == (side if number in tree.SINGLE else {})
        assert compound == (
            {fold: FoldPart("mafw-compound", fold, part, tree.COMPOUND[number]) for fold, part in side.items()}
            if number in tree.COMPOUND
            else {}
        )


def test_compound_labels_are_a_protocol_of_their_own(tmp_path: Path) -> None:
    clip = next(clip for clip in mafw.read(tree.write_mafw(tmp_path)).clips if clip.name == "00011")
    assert clip.label == "anger"
    assert {part.label for part in clip.folds} == {None, "anger_disgust"}


def test_parts_of_a_compound_label_may_stand_in_any_order(tmp_path: Path) -> None:
    folder = tree.write_mafw(tmp_path)
    for path in (folder / LISTS / "compound").rglob("*.txt"):
        path.write_bytes(path.read_bytes().replace(b"anger_disgust", b"disgust_Angry"))
    listing = mafw.read(folder)
    assert not listing.faults
    assert {part.label for clip in listing.clips for part in clip.folds if clip.name == "00011"} == {
        None,
        "anger_disgust",
    }


@pytest.mark.parametrize(
    ("there", "is_now"),
    [
        (LISTS, "split"),
        (LISTS, "Train_&_Test_Set"),
        (LISTS, "train_test_set/Train & Test Set"),
        (LISTS, "data/anno"),
        ("data/frames", "data/frames_/frames"),
        ("Labels/single-set.xlsx", "Labels/single_set.xlsx"),
        ("Labels", "labels/Labels"),
    ],
)
def test_copies_that_spell_their_folders_otherwise_are_read(tmp_path: Path, there: str, is_now: str) -> None:
    folder = tree.write_mafw(tmp_path)
    (folder / there).rename(folder / "moved")
    (folder / is_now).parent.mkdir(parents=True, exist_ok=True)
    (folder / "moved").rename(folder / is_now)
    listing = mafw.read(folder)
    assert not listing.faults
    assert sum(clip.path is not None for clip in listing.clips) == tree.NUM_CLIPS


def test_captions_in_utf_8_are_read_and_told_of_as_known(tmp_path: Path) -> None:
    folder = tree.write_mafw(tmp_path, sheets=False)
    shutil.rmtree(folder / LISTS)
    tree.write_lists(folder / LISTS, "utf-8")
    listing = mafw.read(folder)
    assert known(listing)["bad_encoding"] == 20
    clip = next(clip for clip in listing.clips if clip.name == "00001")
    assert Caption("zh", tree.chinese(1)) in clip.captions


def test_bytes_that_are_no_gb18030_cost_one_caption_and_are_told(tmp_path: Path) -> None:
    folder = tree.write_mafw(tmp_path, sheets=False)
    name = f"{LISTS}/single/with_caption/set_1/train.txt"
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content.replace(tree.chinese(1).encode("gb18030"), b"\xff\xff\xff", 1))
    listing = mafw.read(folder)
    found = [fault for fault in told(listing) if fault[0] != "missing_file"]
    assert found == [("bad_encoding", name), ("bad_line", f"{name}:1")]
    assert sum(len(clip.captions) for clip in listing.clips) == 2 * len(tree.CAPTIONED)  # set_2 has it too


def test_a_caption_may_hold_any_break_but_that_of_a_line(tmp_path: Path) -> None:
    folder = tree.write_mafw(tmp_path, sheets=False)
    for path in (folder / LISTS).glob("*/with_caption/*/*.txt"):
        text = path.read_bytes().decode("gb18030").replace("The deep frown", "The\u2028deep\x0bfrown\x85")
        path.write_bytes(text.encode("gb18030"))
    listing = mafw.read(folder)
    assert {kind for kind, _ in told(listing)} == {"missing_file"}
    assert sum(len(clip.captions) for clip in listing.clips) == 2 * len(tree.CAPTIONED)


def test_neutral_clips_without_a_caption_are_no_fault_and_others_are(tmp_path: Path) -> None:
    folder = tree.write_mafw(tmp_path, sheets=False)
    for path in (folder / LISTS).glob("*/with_caption/*/*.txt"):
        lines = path.read_bytes().split(b"\r\n")
        path.write_bytes(b"\r\n".join(line for line in lines if not line.startswith(b"00002.mp4")))
    listing = mafw.read(folder)
    assert [fault for fault in told(listing) if fault[0] != "missing_file"] == [("no_caption", "00002")]


def append(folder: Path, name: str, line: str, encoding: str = "utf-8") -> None:
    with (folder / LISTS / name).open("ab") as file:
        file.write(f"{line}\r\n".encode(encoding))


SINGLE_1, COMPOUND_1 = "single/no_caption/set_1/train.txt", "compound/no_caption/set_1/train.txt"
CAPTIONED_1 = "single/with_caption/set_1/train.txt"


@pytest.mark.parametrize(
    ("name", "line", "kinds"),
    [
        (SINGLE_1, "00001.mp4 disgust", ["named_twice"]),
        (SINGLE_1, "00001.mp4 fear", ["label_conflict", "named_twice"]),
        (SINGLE_1, "00005.mp4 sadness", ["both_sides"]),
        (SINGLE_1, "00001.mp4 boredom", ["named_twice", "unknown_label"]),
        (SINGLE_1, "00001.mp4 3", ["named_twice", "unknown_label"]),
        (SINGLE_1, "00001.mp4", ["bad_line"]),
        (SINGLE_1, "clip one disgust", ["bad_line"]),
        (SINGLE_1, "09999.mp4 neutral", ["missing"]),
        (SINGLE_1, "09999.mp4 fear", ["missing", "no_caption"]),
        (COMPOUND_1, "00001.mp4 disgust_anger", ["label_conflict"]),
        (COMPOUND_1, "00012.mp4 anger_anger", ["label_conflict", "unknown_label"]),
        (COMPOUND_1, "00005.mp4 sadness_surprise", ["both_sides"]),
        (CAPTIONED_1, "00001.mp4\tdisgust\tonly English", ["bad_line"]),
        (CAPTIONED_1, "00001.mp4\tfear\t\u6c49\tEnglish", ["label_conflict"]),
        (CAPTIONED_1, "00005.mp4\tsadness\t\u6c49\tEnglish", ["both_sides"]),
        (CAPTIONED_1, "00020.mp4\tfear\t\u6c49\tEnglish", ["extra"]),
        (CAPTIONED_1, "00001.mp4\tdisgust\tone text\tanother text", ["bad_line"]),
    ],
)
def test_a_planted_line_is_named_by_what_is_wrong(tmp_path: Path, name: str, line: str, kinds: list[str]) -> None:
    folder = tree.write_mafw(tmp_path)
    append(folder, name, line, "gb18030")
    assert sorted(kind for kind, _ in told(mafw.read(folder))) == kinds


def test_another_caption_of_the_same_clip_is_told_of_as_known(tmp_path: Path) -> None:
    folder = tree.write_mafw(tmp_path)
    append(folder, CAPTIONED_1, "00001.mp4\tdisgust\t\u6c49\tA second caption.", "gb18030")
    listing = mafw.read(folder)
    assert told(listing) == [] and known(listing) == {"bad_line": 2}
    assert next(clip for clip in listing.clips if clip.name == "00001").captions[0].text == tree.english(1)


@pytest.mark.parametrize(
    ("sheet", "cell", "value", "kind"),
    [
        ("annotation", "C2", "many", "bad_line"),
        ("annotation", "C2", -1, "bad_line"),
        ("annotation", "A3", "00001.mp4", "named_twice"),
        ("annotation", "C1", "rage", "bad_line"),
        ("single-set", "M2", 12, "unknown_label"),
        ("single-set", "M2", 4, "label_conflict"),
        ("single-set", "A2", "first", "bad_line"),
        ("multi-set", "M2", "1,12", "unknown_label"),
        ("multi-set", "M2", "2,3", "label_conflict"),
        ("descriptive_text", "A2", "second", "bad_line"),
        ("descriptive_text", "C2", "", "bad_line"),
    ],
)
def test_faults_in_a_sheet_are_named_by_row(tmp_path: Path, sheet: str, cell: str, value: str | int, kind: str) -> None:
    folder = tree.write_mafw(tmp_path)
    path = folder / f"Labels/{sheet}.xlsx"
    book = openpyxl.load_workbook(path)
    book.worksheets[0][cell] = value
    book.save(path)
    row = cell[1:]
    assert (kind, f"Labels/{sheet}.xlsx:{row}") in told(mafw.read(folder))


def test_numbers_of_clips_and_of_labels_may_be_cells_of_numbers(tmp_path: Path) -> None:
    folder = tree.write_mafw(tmp_path)
    path = folder / "Labels/single-set.xlsx"
    book = openpyxl.load_workbook(path)
    book.worksheets[0]["A2"], book.worksheets[0]["M2"] = 1.0, 2.0
    book.save(path)
    assert not mafw.read(folder).faults


def test_without_lists_labels_are_read_and_the_protocols_lack(tmp_path: Path) -> None:
    listing = mafw.read(tree.write_mafw(tmp_path, lists=False))
    assert {kind for kind, _ in told(listing)} == {"missing_file"} and len(told(listing)) == 4
    assert Counter(clip.label for clip in listing.clips)["anger"] == Counter(tree.SINGLE.values())["anger"]
    assert not any(clip.folds for clip in listing.clips)


def test_lists_with_captions_alone_give_folds_without_neutral_clips(tmp_path: Path) -> None:
    folder = tree.write_mafw(tmp_path, sheets=False)
    shutil.rmtree(folder / LISTS / "single/no_caption")
    shutil.rmtree(folder / LISTS / "compound/no_caption")
    listing = mafw.read(folder)
    in_folds = {int(clip.name) for clip in listing.clips if clip.folds}
    assert in_folds == set(tree.CAPTIONED)


def test_packed_lists_sheets_and_clips_are_named_with_what_to_do(tmp_path: Path) -> None:
    folder = tree.write_mafw(tmp_path, lists=False, sheets=False)
    with pytest.raises(DatasetError, match="put them beside data"):
        mafw.read(folder)
    (folder / "Train & Test Set.zip").write_bytes(b"PK")
    (folder / "Labels.zip").write_bytes(b"PK")
    details = {fault.detail for fault in mafw.read(folder).faults if fault.kind == "missing_file"}
    assert details == {
        "Train & Test Set.zip is still packed: unpack it where it lies",
        "Labels.zip is still packed: unpack it where it lies",
    }
    shutil.rmtree(folder / "data/frames")
    (folder / "data/frames.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"still packed, such as data/frames\.zip: unpack"):
        mafw.read(folder)


def test_a_missing_list_and_extra_clips_are_told(tmp_path: Path) -> None:
    folder = tree.write_mafw(tmp_path)
    (folder / LISTS / "single/no_caption/set_5/test.txt").unlink()
    tree.stub_frames(folder / "data/frames/09000", 9000)
    shutil.rmtree(folder / "data/frames/00003")
    found = told(mafw.read(folder))
    assert ("missing_file", f"{LISTS}/single/no_caption/set_5/test.txt") in found
    assert ("missing", "00003") in found and ("extra", "data/frames/09000") in found


def test_published_lists_add_up() -> None:
    for fold in mafw.FOLDS:
        sizes = [sum(mafw.PUBLISHED[mafw.SINGLE, fold, part].values()) for part in mafw.PARTS]
        assert sum(sizes) == 9_172
        assert sum(mafw.PUBLISHED[mafw.COMPOUND, fold, part][""] for part in mafw.PARTS) == 8_996
    whole = Counter(mafw.PUBLISHED[mafw.SINGLE, "1", "train"]) + Counter(mafw.PUBLISHED[mafw.SINGLE, "1", "test"])
    assert [whole[label] for label in mafw.LABELS] == [1390, 639, 625, 1242, 1138, 1470, 1072, 236, 916, 262, 182]
