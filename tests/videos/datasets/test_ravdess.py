"""RAVDESS by the names of its files: all 1,440 spoken takes, six folds, and what is wrong is told by its kind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.videos.datasets import ravdess
from pipeline.videos.datasets.listing import DatasetError, Listing
from tests.videos.datasets import ravdess_tree as tree


def told(listing: Listing) -> list[tuple[str, str]]:
    return sorted((fault.kind, fault.where) for fault in listing.faults if not fault.is_known)


def test_all_spoken_takes_are_listed_with_six_folds(tmp_path: Path) -> None:
    listing = ravdess.read(tree.write_ravdess(tmp_path))
    assert (listing.dataset, listing.variant, listing.faults) == ("ravdess", "speech", ())
    assert len(listing.clips) == 1440
    assert Counter(clip.label for clip in listing.clips) == ravdess.CLASS_COUNTS
    assert len({clip.group for clip in listing.clips}) == 24
    found = {("", "", ""): Counter(clip.label for clip in listing.clips)}
    for clip in listing.clips:
        assert clip.path == f"Actor_{clip.name[-2:]}/{clip.name}.mp4"
        for part in clip.folds:
            found.setdefault((part.protocol, part.fold, part.part), Counter())[clip.label] += 1
    assert found == listing.published
    assert sorted({fold for _, fold, _ in found}) == ["", "1", "2", "3", "4", "5", "6"]
    assert {key[2]: sum(counts.values()) for key, counts in found.items()} == {"": 1440, "test": 240, "train": 1200}


def test_a_fold_tests_four_actors_in_a_row(tmp_path: Path) -> None:
    listing = ravdess.read(tree.write_ravdess(tmp_path))
    tested: dict[str, set[str | None]] = {}
    for clip in listing.clips:
        tested.setdefault(next(part.fold for part in clip.folds if part.part == "test"), set()).add(clip.group)
    assert tested["1"] == {"actor_01", "actor_02", "actor_03", "actor_04"}
    assert tested["6"] == {"actor_21", "actor_22", "actor_23", "actor_24"}


@pytest.mark.parametrize(
    "place", ["Actor_{actor}", "Video_Speech_Actor_{actor}/Actor_{actor}", "video/speech/Actor_{actor}"]
)
def test_it_does_not_matter_where_the_archives_were_unpacked_to(tmp_path: Path, place: str) -> None:
    listing = ravdess.read(tree.write_ravdess(tmp_path, place=place))
    assert all(clip.path for clip in listing.clips)


def test_songs_silent_takes_and_sound_alone_are_told_and_left_out(tmp_path: Path) -> None:
    tree.write_ravdess(tmp_path, kinds=("01-01", "02-01"))
    tree.write_ravdess(tmp_path, ("01", "02"), ("01-02", "03-01", "03-02"))
    listing = ravdess.read(tmp_path)
    assert len(listing.clips) == 1440
    assert all(clip.name.startswith("01-01") for clip in listing.clips)
    assert told(listing) == []
    known = Counter(fault.where.partition("/")[2] for fault in listing.faults)
    assert known == {"02-01-*": 24, "01-02-*": 2, "03-01-*": 2, "03-02-*": 2}
    details = {fault.where: fault.detail for fault in listing.faults}
    assert details["Actor_01/01-02-*"] == "44 takes of song, sound and picture: not read here"
    assert details["Actor_01/03-01-*"] == "60 takes of speech, sound alone: not read here"


def test_the_silent_takes_are_read_where_they_are_named_or_alone(tmp_path: Path) -> None:
    tree.write_ravdess(tmp_path / "both", kinds=("01-01", "02-01"))
    tree.write_ravdess(tmp_path / "alone", kinds=("02-01",))
    for listing in (ravdess.read(tmp_path / "both", "speech_silent"), ravdess.read(tmp_path / "alone")):
        assert listing.variant == "speech_silent"
        assert all(clip.path and clip.name.startswith("02-01") for clip in listing.clips)
        assert listing.clips[0].folds == ravdess.folds_of(listing.clips[0].name)


def test_songs_are_a_variant_without_folds(tmp_path: Path) -> None:
    singers = [actor for actor in tree.ACTORS if actor != "18"]
    listing = ravdess.read(tree.write_ravdess(tmp_path, singers, ("01-02",)))
    assert (listing.variant, len(listing.clips)) == ("song", 1012)
    assert listing.published == {("", "", ""): Counter(clip.label for clip in listing.clips)}
    assert told(listing) == []
    assert not any(clip.folds for clip in listing.clips)


def test_takes_that_lack_are_told(tmp_path: Path) -> None:
    folder = tree.write_ravdess(tmp_path)
    name = "01-01-05-02-01-02-07"
    (folder / f"Actor_07/{name}.mp4").unlink()
    listing = ravdess.read(folder)
    assert told(listing) == [("missing", name)]
    assert [clip.name for clip in listing.clips if clip.path is None] == [name]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Actor_01/01-01-09-01-01-01-01.mp4", "unknown_label"),
        ("Actor_01/01-01-01-02-01-01-01.mp4", "label_conflict"),
        ("Actor_01/01-01-03-01-01-01-02.mp4", "label_conflict"),
        ("Actor_01/01-01-03-01-03-01-01.mp4", "extra"),
        ("Actor_01/04-01-03-01-01-01-01.mp4", "extra"),
        ("Actor_01/take one.mp4", "extra"),
        ("copy/Actor_01/01-01-03-01-01-01-01.mp4", "extra"),
    ],
)
def test_a_name_that_is_none_is_told(tmp_path: Path, name: str, kind: str) -> None:
    folder = tree.write_ravdess(tmp_path)
    tree.stub_video(folder / name, 9)
    listing = ravdess.read(folder)
    assert told(listing) == [(kind, name)]
    assert len(listing.clips) == 1440


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="looked for Actor_01"):
        ravdess.read(tmp_path)
    tree.write_ravdess(tmp_path, ("01",), ("03-01",))
    with pytest.raises(DatasetError, match=r"found 60 03-01-\*"):
        ravdess.read(tmp_path)
    with pytest.raises(DatasetError, match="no variant 'sung'"):
        ravdess.read(tmp_path, "sung")
