"""CREMA-D as its repository tells of it: what was planted is what is listed, and what is wrong is told by its kind."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest

from pipeline.videos.datasets import crema_d
from pipeline.videos.datasets.listing import DatasetError, Listing
from pipeline.videos.label_names import label_name
from tests.videos.datasets import crema_d_tree as tree

REAL = Path(__file__).parent / "crema_d"


def told(listing: Listing) -> list[tuple[str, str]]:
    return [(fault.kind, fault.where) for fault in listing.faults if not fault.is_known]


def test_what_is_there_is_listed_with_votes_of_those_who_saw_the_face_alone(tmp_path: Path) -> None:
    listing = crema_d.read(tree.write_crema_d(tmp_path))
    names = [name for actor in tree.ACTORS for name in tree.takes_of(actor)]
    assert (listing.dataset, listing.variant, listing.is_frames) == ("crema_d", "flash", False)
    assert [clip.name for clip in listing.clips] == sorted(names)
    assert told(listing) == []
    for clip in listing.clips:
        number = names.index(clip.name) + 1
        votes = {label: count for label, count in zip(crema_d.LABELS, tree.face_votes(number), strict=True) if count}
        assert clip.path == f"VideoFlash/{clip.name}.flv"
        assert clip.votes == votes
        assert clip.group == clip.name[:4]
        assert clip.split is None
        assert clip.licence
    labels = Counter(clip.label for clip in listing.clips)
    assert labels == Counter({label: 14 * 4 - 1 for label in crema_d.LABELS if label != "neutral"} | {"neutral": 45})
    assert listing.annotation_files == (crema_d.LIST, crema_d.VOTES, crema_d.ACTOR_TABLE)


def test_the_four_broken_takes_are_known_and_in_no_fold(tmp_path: Path) -> None:
    listing = crema_d.read(tree.write_crema_d(tmp_path, ("1076", "1064")))
    known = [(fault.kind, fault.where) for fault in listing.faults if fault.is_known]
    assert sorted(known) == [("unreadable", name) for name in sorted(crema_d.BROKEN)]
    assert [clip.name for clip in listing.clips if not clip.folds] == sorted(crema_d.BROKEN)


def test_a_fold_tests_eighteen_actors_in_a_row(tmp_path: Path) -> None:
    listing = crema_d.read(tree.write_crema_d(tmp_path))
    tested = {clip.group: part.fold for clip in listing.clips for part in clip.folds if part.part == "test"}
    assert tested == {"1001": "1", "1002": "1", "1019": "2", "1076": "5"}
    for clip in listing.clips:
        if clip.folds:
            assert [part.fold for part in clip.folds] == ["1", "2", "3", "4", "5"]
            assert sorted(part.part for part in clip.folds) == ["test", *["train"] * 4]


def test_the_list_of_all_takes_is_the_published_one(tmp_path: Path) -> None:
    """The length of the published file and what stands at the beginning of its pages, 16,000 characters apart."""
    names = list(crema_d.take_names())
    tree.write_list(tmp_path, names)
    text = (tmp_path / crema_d.LIST).read_text()
    assert len(names) == len(set(names)) == 7442
    assert len(text) == 170087
    for at, begin in (
        (16000, 'D"\n732,"1010_IEO_SAD_HI"\n'),
        (32000, ',"1018_ITH_DIS_XX"\n1440,"1018_DFA_NEU_XX"\n'),
        (48000, 'XX"\n2135,"1027_TIE_DIS_XX"\n'),
        (64000, 'DFA_SAD_XX"\n2831,"1035_DFA_ANG_XX"\n'),
        (96000, '_XX"\n4222,"1052_DFA_NEU_XX"\n'),
        (128000, '13,"1069_ITH_ANG_XX"\n5614,"1069_ITH_FEA_XX"\n'),
        (160000, '6_ITH_HAP_XX"\n7005,"1086_ITH_SAD_XX"\n'),
    ):
        assert text[at:].startswith(begin)
    assert text.endswith('7442,"1091_WSI_DIS_XX"')


def test_class_counts_and_folds_are_the_published_ones() -> None:
    labels = Counter(label_name(name[9:12]) for name in crema_d.take_names())
    assert labels == crema_d.CLASS_COUNTS
    sizes = [sum(crema_d.PUBLISHED["crema_d", fold, "test"].values()) for fold in "12345"]
    assert sizes == [1463, 1470, 1476, 1474, 1555], "lines of HiCMAE's lists of the tests"
    for fold in "12345":
        both = [crema_d.PUBLISHED["crema_d", fold, part] for part in ("train", "test")]
        assert sum(sum(part.values()) for part in both) == 7438


def test_the_published_table_of_actors_is_read_whole(tmp_path: Path) -> None:
    shutil.copy(REAL / crema_d.ACTOR_TABLE, tmp_path)
    tree.write_list(tmp_path, list(crema_d.take_names()))
    listing = crema_d.read(tmp_path)
    assert len(listing.clips) == 7442
    assert len({clip.group for clip in listing.clips}) == 91
    assert Counter(clip.label for clip in listing.clips) == crema_d.CLASS_COUNTS
    assert Counter(fault.kind for fault in listing.faults) == {"missing": 7442, "missing_file": 1}
    with (REAL / crema_d.ACTOR_TABLE).open(newline="") as file:
        sexes = Counter(row["Sex"] for row in csv.DictReader(file))
    assert sexes == {"Male": 48, "Female": 43}, "as the set's README says"


def test_published_votes_are_read(tmp_path: Path) -> None:
    names = [name for actor in ("1001", "1091") for name in tree.takes_of(actor)]
    tree.write_list(tmp_path, names)
    (tmp_path / "processedResults").mkdir()
    shutil.copy(REAL / "tabulatedVotes.excerpt.csv", tmp_path / crema_d.VOTES)
    listing = crema_d.read(tmp_path)
    votes = {clip.name: clip.votes for clip in listing.clips if clip.votes}
    assert len(votes) == 16
    assert votes["1001_IEO_SAD_HI"] == {"anger": 3, "fear": 3, "neutral": 2, "sadness": 2}
    assert votes["1001_IEO_HAP_LO"] == {"happiness": 9, "neutral": 1}, "of faces; of voices it is 3 and 6"
    assert [kind for kind, where in told(listing) if where.startswith(crema_d.VOTES)] == ["published_count"]
    detail = next(fault.detail for fault in listing.faults if fault.kind == "published_count")
    assert "16 of 164" in detail


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('9,"1001_IEO_NEU_XX"', "named_twice"),
        ('9,"1001_IEO_JOY_XX"', "unknown_label"),
        ('9,"1001_XYZ_NEU_XX"', "bad_line"),
        ('9,"1092_IEO_NEU_XX"', "bad_line"),
        ('9,"1001-IEO-NEU-XX"', "bad_line"),
        ("9", "bad_line"),
        ('9,"1001_IEO_NEU_XX', "bad_line"),
    ],
)
def test_a_wrong_line_of_the_list_is_told(tmp_path: Path, line: str, kind: str) -> None:
    folder = tree.write_crema_d(tmp_path, ("1001",))
    with (folder / crema_d.LIST).open("a") as file:
        file.write(f"\n{line}\n")
    listing = crema_d.read(folder)
    assert told(listing) == [(kind, f"{crema_d.LIST}:84")]
    assert len(listing.clips) == 82


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ('"200001",', '"900001",', "bad_line"),
        ('"1001_IEO_NEU_XX",10,0.7', '"1001_IEO_NEU_XX",11,0.7', "bad_line"),
        ('"1001_IEO_NEU_XX",10,0.7', '"1001_IEO_NEU_XX",ten,0.7', "bad_line"),
        ('"1001_IEO_NEU_XX",10,0.7', '"1002_IEO_NEU_XX",10,0.7', "extra"),
        ('"1001_IEO_NEU_XX",10,0.7', '"1001_IEO_HAP_LO",10,0.7', "named_twice"),
        ('"1001_IEO_NEU_XX",10,0.7', '"neutral",10,0.7', "bad_line"),
        ('"1001_IEO_NEU_XX",10,0.7', '"1001_IEO_NEU_XX,10,0.7', "bad_line"),
    ],
)
def test_a_wrong_line_of_votes_is_told(tmp_path: Path, old: str, new: str, kind: str) -> None:
    folder = tree.write_crema_d(tmp_path, ("1001",))
    path = folder / crema_d.VOTES
    lines = path.read_text().split("\n")
    at = next(number for number, line in enumerate(lines) if line.startswith('"200001"'))
    assert old in lines[at]
    lines[at] = lines[at].replace(old, new)
    path.write_text("\n".join(lines))
    listing = crema_d.read(folder)
    place = at + 2 if kind == "named_twice" else at + 1  # the wrong one comes first
    assert told(listing) == [(kind, f"{crema_d.VOTES}:{place}"), ("published_count", crema_d.VOTES)]
    assert len(listing.clips) == 82


def test_videos_that_lack_or_are_too_many_are_told(tmp_path: Path) -> None:
    folder = tree.write_crema_d(tmp_path, ("1001",))
    (folder / "VideoFlash/1001_IEO_NEU_XX.flv").unlink()
    (folder / "VideoFlash/1001_IEO_NEU_X.flv").write_bytes(b"x")
    (folder / "VideoFlash/1005_IEO_NEU_XX.flv").write_bytes(b"x")
    (folder / "VideoFlash/1001_IEO_HAP_LO.mp4").write_bytes(b"x")
    (folder / "VideoFlash/._1001_IEO_HAP_LO.flv").write_bytes(b"x")
    listing = crema_d.read(folder)
    assert sorted(told(listing)) == [
        ("extra", "VideoFlash/1001_IEO_HAP_LO.mp4"),
        ("extra", "VideoFlash/1001_IEO_NEU_X.flv"),
        ("extra", "VideoFlash/1005_IEO_NEU_XX.flv"),
        ("missing", "1001_IEO_NEU_XX"),
    ]
    assert sum(clip.path is not None for clip in listing.clips) == 81


def test_pointers_of_git_lfs_are_no_videos(tmp_path: Path) -> None:
    listing = crema_d.read(tree.write_crema_d(tmp_path, ("1001",), video=tree.git_lfs_pointer))
    assert all(clip.path is None for clip in listing.clips)
    assert told(listing) == [("unreadable", name) for name in sorted(tree.takes_of("1001"))]
    assert "git lfs pull" in next(fault.detail for fault in listing.faults if fault.kind == "unreadable")


def test_without_the_list_what_is_regular_is_expected(tmp_path: Path) -> None:
    folder = tree.write_crema_d(tmp_path, ("1001",))
    (folder / crema_d.LIST).unlink()
    listing = crema_d.read(folder)
    kinds = Counter(fault.kind for fault in listing.faults)
    assert len(listing.clips) == 7442
    assert (kinds["missing_file"], kinds["missing"]) == (1, 7442 - 82)


def test_actors_that_the_table_lacks_are_told(tmp_path: Path) -> None:
    folder = tree.write_crema_d(tmp_path, ("1001", "1002"))
    table = folder / crema_d.ACTOR_TABLE
    table.write_text(table.read_text().replace("\n1002,", "\n2002,"))
    listing = crema_d.read(folder)
    name = crema_d.ACTOR_TABLE
    assert told(listing) == [("bad_line", f"{name}:3"), ("published_count", name)]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="git lfs clone"):
        crema_d.read(tmp_path)
    with pytest.raises(DatasetError, match="no variant 'mp4'"):
        crema_d.read(tmp_path, "mp4")
