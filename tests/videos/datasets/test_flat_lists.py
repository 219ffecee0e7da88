"""Lists of peers: clips are found by how their paths end, and numbers mean what their source says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.videos.datasets import afew, dfew, ferv39k, mafw
from pipeline.videos.datasets.flat_lists import fold_and_part, read_flat_list, with_list
from pipeline.videos.datasets.listing import FAULTS, DatasetError, Fault, FoldPart, Listing
from pipeline.videos.datasets.registry import parse_source, read_dataset
from pipeline.videos.label_names import label_order
from tests.videos.datasets import afew_tree, dfew_tree, ferv39k_tree, mafw_tree

CLIPS_1 = [clip for clip in dfew_tree.IN_FOLDS if dfew_tree.tested_in(clip) != 1]


@pytest.fixture
def dfew_listing(tmp_path: Path) -> Listing:
    return dfew.read(dfew_tree.write_dfew(tmp_path / "DFEW"))


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


def added(before: Listing, after: Listing) -> list[Fault]:
    return list(after.faults[len(before.faults) :])


def test_dfer_clip_list_of_dfew(tmp_path: Path, dfew_listing: Listing) -> None:
    lines = [f"/data/EECS/DFEW/DFEW_Frame_Face/{n:05d} {n + 20} {dfew_tree.LABEL_IDS[n] - 1}" for n in CLIPS_1]
    listing = with_list(dfew_listing, write(tmp_path / "DFEW_set_1_train.txt", lines), order="dfer-clip")
    assert not added(dfew_listing, listing)
    parts = {int(clip.name): clip for clip in listing.clips if FoldPart("dfew-dfer-clip", "1", "train") in clip.folds}
    assert sorted(parts) == CLIPS_1
    assert {n: clip.num_frames for n, clip in parts.items()} == {n: n + 20 for n in CLIPS_1}


def test_mae_dfer_list_of_dfew_matches_videos_too(tmp_path: Path) -> None:
    before = dfew.read(dfew_tree.write_dfew(tmp_path / "DFEW", ["original"]))
    lines = [f"path/to/your/dataset/Clip/jpg_256/{n:05d} {dfew_tree.LABEL_IDS[n] - 1}" for n in CLIPS_1]
    after = with_list(before, write(tmp_path / "split01/train.csv", lines))
    assert not added(before, after)
    assert sum(FoldPart("dfew-dfer-clip", "1", "train") in clip.folds for clip in after.clips) == len(CLIPS_1)


def test_s2d_list_of_ferv39k_is_told_by_its_labels_and_a_wrong_order_is_refused(tmp_path: Path) -> None:
    before = ferv39k.read(ferv39k_tree.write_ferv39k(tmp_path / "FERV39k"))
    names = sorted(name for name, part in ferv39k_tree.CLIPS if part == "train")
    alphabet = label_order("ferv39k", "s2d").labels
    lines = [f"2_ClipsforFaceCrop/{name} {alphabet.index(ferv39k_tree.label_of(name))}" for name in names]
    path = write(tmp_path / "Annotation/train.csv", lines)
    after = with_list(before, path)
    assert not added(before, after)
    assert {part.protocol for clip in after.clips for part in clip.folds} == {"ferv39k", "ferv39k-s2d"}
    with pytest.raises(
        DatasetError, match=r"by the order of mae-dfer, \d+% of its 42 clips .* numbers are those of s2d"
    ):
        with_list(before, path, order="mae-dfer")


def test_hicmae_list_of_mafw_has_audio(tmp_path: Path) -> None:
    before = mafw.read(mafw_tree.write_mafw(tmp_path / "MAFW"))
    clips = [n for n in mafw_tree.SINGLE if mafw_tree.tested_in(n) == 2]
    lines = [
        f"/media/me/AC/Dataset/MAFW/data/frames/{n:05d} /media/me/AC/Dataset/MAFW/data/audio_16k/{n:05d}.wav "
        f"{mafw_tree.LABELS.index(mafw_tree.SINGLE[n])}"
        for n in clips
    ]
    after = with_list(before, write(tmp_path / "split02/test.csv", lines), order="mae-dfer", protocol="mafw-hicmae")
    assert not added(before, after)
    assert [int(c.name) for c in after.clips if FoldPart("mafw-hicmae", "2", "test") in c.folds] == clips


def test_former_dfer_list_of_afew_spells_labels_and_parts_its_own_way(tmp_path: Path) -> None:
    before = afew.read(afew_tree.write_afew(tmp_path / "AFEW"))
    lines = [
        f"/media/user/AFEW_Face/val/{'Anger' if word == 'Angry' else word}/{clip} 30 {afew_tree.WORDS.index(word)}"
        for split, word, clip in afew_tree.CLIPS
        if split == "validation"
    ]
    after = with_list(before, write(tmp_path / "AFEW_validation.txt", lines))
    assert not added(before, after)
    assert sum(clip.num_frames == 30 for clip in after.clips) == 14


def test_each_fault_of_a_list_is_named(tmp_path: Path, dfew_listing: Listing) -> None:
    good = [f"x/{n:05d} 9 {dfew_tree.LABEL_IDS[n] - 1}" for n in CLIPS_1]
    bad = ["x/00001 9 0", "x/16001 9 0", "x/00002 9", "no list", "x/00004 9 9", "x/00005 9 0"]
    kept = [line for line in good if not line.startswith(("x/00004", "x/00005"))]
    path = write(tmp_path / "DFEW_set_1_train.txt", kept + bad)
    with pytest.raises(DatasetError, match=r"another label .* the numbers are those of dfer-clip, mae-dfer"):
        with_list(dfew_listing, path, order="official")
    faults = added(dfew_listing, with_list(dfew_listing, path, order="dfer-clip"))
    assert [fault.kind for fault in faults] == [
        *("bad_line", "bad_line", "missing", "named_twice", "unknown_label", "label_conflict"),
    ]
    assert all(fault.where.startswith("DFEW_set_1_train.txt:") for fault in faults)


def test_a_clip_in_both_lists_of_a_fold_stays_in_test(tmp_path: Path, dfew_listing: Listing) -> None:
    lines = [f"x/{n:05d} {dfew_tree.LABEL_IDS[n] - 1}" for n in CLIPS_1]
    train = with_list(dfew_listing, write(tmp_path / "split01/train.csv", lines), order="mae-dfer")
    both = with_list(train, write(tmp_path / "split01/test.csv", lines[:1]), order="mae-dfer")
    assert [fault.kind for fault in added(train, both)] == ["both_sides"]
    first = next(clip for clip in both.clips if int(clip.name) == CLIPS_1[0])
    assert [part.part for part in first.folds if part.protocol == "dfew-mae-dfer"] == ["test"]


def test_lists_that_cannot_be_used_are_refused_in_words(tmp_path: Path, dfew_listing: Listing) -> None:
    lines = [f"x/{n:05d} {dfew_tree.LABEL_IDS[n] - 1}" for n in CLIPS_1]
    with pytest.raises(DatasetError, match="train, validation or test: give the part"):
        with_list(dfew_listing, write(tmp_path / "lists/fold.csv", lines))
    with pytest.raises(DatasetError, match=r"no clip of its 1 lines is in dfew; its first is y/90000"):
        with_list(dfew_listing, write(tmp_path / "split01/train.csv", ["y/90000 1"]))
    with pytest.raises(DatasetError, match="no order of labels 'clip' for dfew; known: official"):
        with_list(dfew_listing, write(tmp_path / "split01/train.csv", lines), order="clip")
    mixed = [f"x/{n:05d} {n % 7}" for n in CLIPS_1 if n % 3] + ["x/00003 6"]
    with pytest.raises(DatasetError, match="in no order of labels that is known"):
        with_list(dfew_listing, write(tmp_path / "split01/train.csv", [line[:-1] + "4" for line in mixed]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("annotation/DFEW_set_3_test.txt", ("3", "test")),
        ("saved/data/mafw/single/split05/train.csv", ("5", "train")),
        ("annotation/FERV39K_train.txt", ("1", "train")),
        ("anno/single/no_caption/set_2/val.csv", ("2", "validation")),
        ("lists/all.txt", None),
    ],
)
def test_names_of_files_say_fold_and_part(name: str, expected: tuple[str, str] | None) -> None:
    assert fold_and_part(Path(name)) == expected


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=40), st.from_regex(r"[a-z/]{1,8}/\d{1,5} \d{1,3}( \d)?", fullmatch=True))))
def test_every_line_of_a_list_is_an_entry_or_a_fault(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed_train.txt"
    lines = [line.replace("\r", " ").replace("\n", " ").replace("\ufeff", " ") for line in lines]
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    faults: list[Fault] = []
    entries = read_flat_list(path, faults)
    assert {fault.kind for fault in faults} <= set(FAULTS)
    told = [fault for fault in faults if fault.kind == "bad_line"]
    assert len(entries) + len(told) == sum(1 for line in lines if line.strip())


def test_lists_that_lie_below_a_set_are_protocols_of_it(tmp_path: Path) -> None:
    folder = dfew_tree.write_dfew(tmp_path / "DFEW")
    lines = [f"x/{n:05d} 9 {dfew_tree.LABEL_IDS[n] - 1}" for n in CLIPS_1]
    for order in ("dfer-clip", "mae-dfer"):
        (folder / "peer_lists" / order).mkdir(parents=True)
        write(folder / "peer_lists" / order / "DFEW_set_1_train.txt", lines)
    found = read_dataset(parse_source(f"dfew:{folder}"))
    assert {"dfew-dfer-clip", "dfew-mae-dfer"} < {part.protocol for clip in found.clips for part in clip.folds}
    assert "peer_lists/dfer-clip/DFEW_set_1_train.txt" in found.annotation_files
    (folder / "peer_lists" / "dfer-clip").rename(folder / "peer_lists" / "official")
    with pytest.raises(DatasetError, match="the numbers are those of dfer-clip, mae-dfer"):
        read_dataset(parse_source(f"dfew:{folder}"))
