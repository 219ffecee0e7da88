"""Verify a data set: each planted fault is told once, by its kind and its clip, and a clean set is clean."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.videos.datasets.fingerprint import fingerprint
from pipeline.videos.datasets.listing import FAULTS, DatasetClip, Fault, FoldPart, Listing
from pipeline.videos.datasets.looking import look_at_clips
from pipeline.videos.datasets.manifest import list_manifest
from pipeline.videos.datasets.verify import NEXT, Verification, verify
from tests.videos.fault_files import write_video

NUM_CLIPS, NUM_FRAMES = 12, 6
LABELS = ("happiness", "sadness", "anger")
PUBLISHED = {
    ("faces", "1", "train"): {"happiness": 2, "sadness": 2, "anger": 2},
    ("faces", "1", "test"): {"happiness": 2, "sadness": 2, "anger": 2},
}


@cache
def picture(seed: int, side: int = 256, kind: str = "JPEG") -> bytes:
    """One colour, and a comment that makes it the only one of its kind."""
    file = io.BytesIO()
    options = {"comment": f"{seed:011d}"} if kind == "JPEG" else {}
    Image.new("RGB", (side, side), (seed * 37 % 256, seed * 91 % 256, 128)).save(file, kind, **options)
    return file.getvalue()


def frames_of(folder: Path, clip: int, *, side: int = 256, num_frames: int = NUM_FRAMES) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(1, num_frames + 1):
        (folder / f"{number}.jpg").write_bytes(picture(100 * clip + number, side))


def clean_set(folder: Path, *, num_clips: int = NUM_CLIPS, variant: str = "crops_256x256") -> Listing:
    """A set of frame folders whose annotation, disk and published counts agree."""
    (folder / "list.csv").write_bytes(b"name,label\r\n")
    clips = []
    for number in range(num_clips):
        frames_of(folder / f"clips/{number:03d}", number)
        side = "train" if number % 2 else "test"
        clips.append(
            DatasetClip(
                name=str(number),
                path=f"clips/{number:03d}",
                label=LABELS[number // 2 % 3],
                folds=(FoldPart("faces", "1", side),),
                group=f"person {number}",
                num_frames=NUM_FRAMES,
            )
        )
    published = PUBLISHED if num_clips == NUM_CLIPS else {}
    return Listing("faces", variant, folder, tuple(clips), (), ("list.csv",), is_frames=True, published=published)


def told(report: Verification) -> Counter[tuple[str, str]]:
    return Counter((fault.kind, fault.where) for fault in report.faults if not fault.is_known)


def detail(report: Verification, kind: str) -> str:
    (fault,) = (fault for fault in report.faults if fault.kind == kind)
    return fault.detail


def changed(listing: Listing, number: int, **values: object) -> Listing:
    clips = list(listing.clips)
    clips[number] = replace(clips[number], **values)  # type: ignore[arg-type]
    return replace(listing, clips=tuple(clips))


# --- planted faults, one kind each: what is changed, and where the fault must be told


def _missing(listing: Listing, number: int) -> Listing:
    shutil.rmtree(_folder(listing, number))
    return listing


def _missing_as_the_reader_says(listing: Listing, number: int) -> Listing:
    name = listing.clips[number].name
    shutil.rmtree(_folder(listing, number))
    listing = replace(listing, faults=(*listing.faults, Fault("missing", name, "no folder of it")))
    return changed(listing, number, path=None)


def _hole(listing: Listing, number: int) -> Listing:
    (_folder(listing, number) / "3.jpg").unlink()
    return listing


def _last_frame_lost(listing: Listing, number: int) -> Listing:
    (_folder(listing, number) / f"{NUM_FRAMES}.jpg").unlink()
    return listing


def _one_frame_of_another_size(listing: Listing, number: int) -> Listing:
    (_folder(listing, number) / "2.jpg").write_bytes(picture(900 + number, 100))
    return listing


def _another_version(listing: Listing, number: int) -> Listing:
    frames_of(_folder(listing, number), number, side=224)
    return listing


def _copied(listing: Listing, number: int) -> Listing:
    shutil.rmtree(_folder(listing, number))
    shutil.copytree(_folder(listing, number % 2), _folder(listing, number))  # of a clip on the same side
    return changed(listing, number, label=listing.clips[number % 2].label)


def _cut_short(listing: Listing, number: int) -> Listing:
    path = _folder(listing, number) / "4.jpg"
    path.write_bytes(path.read_bytes()[:-40])
    return listing


def _empty_file(listing: Listing, number: int) -> Listing:
    (_folder(listing, number) / "1.jpg").write_bytes(b"")
    return listing


def _no_picture(listing: Listing, number: int) -> Listing:
    (_folder(listing, number) / "5.jpg").write_bytes(b"<html>404 not found</html>")
    return listing


def _empty_folder(listing: Listing, number: int) -> Listing:
    for file in _folder(listing, number).iterdir():
        file.unlink()
    return listing


def _stranger_among_frames(listing: Listing, number: int) -> Listing:
    (_folder(listing, number) / "features.npy").write_bytes(b"\x93NUMPY")
    return listing


def _on_both_sides(listing: Listing, number: int) -> Listing:
    return changed(listing, number, folds=(FoldPart("faces", "1", "train"), FoldPart("faces", "1", "test")))


def _person_on_both_sides(listing: Listing, number: int) -> Listing:
    shared = f"shared {number}"
    other = 1 - number % 2  # 0 and 1 are never planted on, and lie on either side
    folds = (*listing.clips[other].folds, FoldPart(f"twin {number}", "1", "train"))
    listing = changed(listing, other, folds=folds)
    pair = DatasetClip(f"pair of {number}", None, group=shared, folds=(FoldPart("faces", "1", _side(other)),))
    faults = (*listing.faults, Fault("missing", pair.name, "published so", is_known=True))
    listing = replace(listing, clips=(*listing.clips, pair), faults=faults, published={})
    return changed(listing, number, group=shared)


def _side(number: int) -> str:
    return "train" if number % 2 else "test"


def _folder(listing: Listing, number: int) -> Path:
    return listing.folder / f"clips/{number:03d}"


PLANTS = {
    "missing": ("missing", _missing),
    "missing, told by the reader": ("missing", _missing_as_the_reader_says),
    "hole": ("frame_gap", _hole),
    "last frame lost": ("frame_count", _last_frame_lost),
    "a frame of another size": ("frame_size", _one_frame_of_another_size),
    "another version": ("frame_version", _another_version),
    "copied": ("duplicate", _copied),
    "cut short": ("unreadable", _cut_short),
    "empty file": ("unreadable", _empty_file),
    "no picture": ("unreadable", _no_picture),
    "empty folder": ("unreadable", _empty_folder),
    "stranger among frames": ("unreadable", _stranger_among_frames),
    "on both sides": ("both_sides", _on_both_sides),
    "person on both sides": ("shared_group", _person_on_both_sides),
}


def test_a_clean_set_is_clean(tmp_path: Path) -> None:
    report = verify(clean_set(tmp_path))
    assert report.is_clean and not report.faults
    assert (report.num_expected, report.num_found, report.num_frames) == (12, 12, 72)
    assert [(size.width_px, size.height_px, size.num_frames) for size in report.sizes] == [(256, 256, 72)]
    assert report.frames_per_clip == (6, 6, 6)
    cells = {(c.protocol, c.fold, c.part, c.label): (c.expected, c.found, c.published) for c in report.counts}
    assert cells["", "", "", None] == (12, 12, None)
    assert cells["faces", "1", "train", "anger"] == (2, 2, 2)
    assert cells["faces", "1", "test", None] == (6, 6, 6)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_told_once(tmp_path: Path, plant: str) -> None:
    kind, do = PLANTS[plant]
    listing = do(clean_set(tmp_path), 4)
    report = verify(replace(listing, published={}))
    where = "shared 4" if kind == "shared_group" else "4"
    assert told(report) == {(kind, where): 1}
    assert not report.is_clean
    assert report.kinds[kind]["faults"] == 1
    assert report.kinds[kind]["meaning"] == FAULTS[kind]


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(2, NUM_CLIPS - 1), st.sampled_from(sorted(PLANTS)), max_size=5))
def test_what_is_planted_is_what_is_told(planted: dict[int, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        listing = replace(clean_set(Path(folder)), published={})
        expected: Counter[tuple[str, str]] = Counter()
        for number, plant in planted.items():
            kind, do = PLANTS[plant]
            listing = do(listing, number)
            expected[kind, f"shared {number}" if kind == "shared_group" else str(number)] += 1
        assert told(verify(listing)) == expected


def test_every_kind_of_fault_says_what_to_do_next() -> None:
    assert NEXT.keys() == FAULTS.keys()


def test_what_a_reader_told_is_handed_on(tmp_path: Path) -> None:
    faults = tuple(Fault(kind, f"list.csv line {n}", "as the reader says") for n, kind in enumerate(FAULTS, start=1))
    report = verify(replace(clean_set(tmp_path), faults=faults))
    assert told(report) == {(kind, f"list.csv line {n}"): 1 for n, kind in enumerate(FAULTS, start=1)}
    assert [fault.kind for fault in report.faults] == list(FAULTS)


def test_what_is_known_of_a_set_is_told_and_no_reason_to_stop(tmp_path: Path) -> None:
    listing = clean_set(tmp_path)
    _cut_short(listing, 4)
    known = Fault("unreadable", "4", "broken as published", is_known=True)
    report = verify(replace(listing, faults=(known,)))
    assert report.is_clean
    assert [fault.detail for fault in report.faults] == ["broken as published"]
    assert report.kinds["unreadable"]["known"] == 1


# --- counts


def test_a_line_that_a_list_lost_is_told_of_its_part(tmp_path: Path) -> None:
    listing = clean_set(tmp_path)
    report = verify(replace(listing, clips=listing.clips[:-1]))
    assert told(report) == {("published_count", "faces fold 1 train"): 1}
    assert detail(report, "published_count") == "5 clips, published 6; 1 of anger, published 2"


def test_totals_alone_may_be_published(tmp_path: Path) -> None:
    listing = replace(clean_set(tmp_path), published={("faces", "1", "test"): {"": 7}})
    report = verify(listing)
    assert detail(report, "published_count") == "6 clips, published 7"
    cells = {(c.fold, c.part, c.label): c.published for c in report.counts}
    assert cells["1", "test", None] == 7 and cells["1", "test", "anger"] is None


def test_a_list_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    listing = clean_set(tmp_path)
    lost = Fault("missing_file", "test_1.csv", "not there")
    clips = tuple(replace(clip, folds=() if int(clip.name) % 2 == 0 else clip.folds) for clip in listing.clips)
    assert told(verify(replace(listing, clips=clips, faults=(lost,)))) == {("missing_file", "test_1.csv"): 1}


def test_a_clip_that_cannot_be_read_is_expected_and_not_found(tmp_path: Path) -> None:
    listing = clean_set(tmp_path)
    _cut_short(listing, 4)
    cells = {(c.protocol, c.part, c.label): (c.expected, c.found) for c in verify(listing).counts}
    assert cells["faces", "test", "anger"] == (2, 1)


# --- versions of frames


def test_interpolated_frames_among_those_at_native_length_are_told(tmp_path: Path) -> None:
    listing = clean_set(tmp_path, num_clips=40)
    for number in range(40):
        frames_of(_folder(listing, number), number, num_frames=16 if number < 12 else 20 + number)
    report = verify(replace(listing, clips=tuple(replace(clip, num_frames=None) for clip in listing.clips)))
    assert told(report) == {("frame_version", "crops_256x256"): 1}
    assert "12 of 40 clips have exactly 16 frames" in detail(report, "frame_version")


def test_a_native_set_that_was_interpolated_is_told(tmp_path: Path) -> None:
    listing = clean_set(tmp_path)
    for number in range(NUM_CLIPS):
        frames_of(_folder(listing, number), number, num_frames=16)
    native = replace(listing, clips=tuple(replace(clip, num_frames=None) for clip in listing.clips))
    assert "all 12 clips have exactly 16 frames" in detail(verify(native), "frame_version")
    said = replace(listing, clips=tuple(replace(clip, num_frames=16) for clip in listing.clips))
    assert verify(said).is_clean, "the annotation says so"


def test_native_frames_in_the_folder_of_interpolated_ones(tmp_path: Path) -> None:
    listing = clean_set(tmp_path, variant="crops_256x256_16f")
    sixteen = replace(listing, clips=tuple(replace(clip, num_frames=16) for clip in listing.clips))
    for number in range(NUM_CLIPS):
        frames_of(_folder(listing, number), number, num_frames=30 + number)
    report = verify(sixteen)
    assert told(report) == {("frame_version", "crops_256x256_16f"): 1}, "once, and not for every clip"
    assert "0 of 12 clips have 16 frames, the others 30 to 41" in detail(report, "frame_version")
    for number in range(NUM_CLIPS):
        frames_of(_folder(listing, number), number, num_frames=16)
    assert verify(sixteen).is_clean
    frames_of(_folder(listing, 3), 3, num_frames=40)
    frames_of(_folder(listing, 5), 5, num_frames=15)
    assert told(verify(sixteen)) == {("frame_version", "3"): 1, ("frame_count", "5"): 1}


def test_pixels_that_the_name_does_not_say(tmp_path: Path) -> None:
    assert told(verify(clean_set(tmp_path, variant="crops_224x224"))) == {("frame_version", "crops_224x224"): 1}
    dfew = replace(clean_set(tmp_path, variant="clip_224x224"), dataset="dfew")
    report = verify(replace(dfew, clips=tuple(replace(clip, num_frames=None) for clip in dfew.clips)))
    assert report.is_clean and "256 x 256 px, as published" in detail(report, "frame_version")


def test_crops_that_each_have_a_size_of_their_own_are_no_fault(tmp_path: Path) -> None:
    listing = clean_set(tmp_path, variant="faces")
    for number in range(NUM_CLIPS):
        frames_of(_folder(listing, number), number, side=80 + number)
    assert verify(listing).is_clean


def test_holes_that_a_set_was_published_with_are_known(tmp_path: Path) -> None:
    listing = replace(clean_set(tmp_path), dataset="affwild2", published={})
    _hole(listing, 4)
    report = verify(listing)
    assert report.is_clean and report.kinds["frame_gap"]["known"] == 1


# --- content


def test_a_copy_with_another_label_on_the_other_side_is_told_so(tmp_path: Path) -> None:
    listing = clean_set(tmp_path)
    shutil.rmtree(_folder(listing, 5))
    shutil.copytree(_folder(listing, 2), _folder(listing, 5))
    words = detail(verify(listing), "duplicate")
    assert words.startswith("clips/005 has the same content as clips/002")
    assert "it is labelled anger, that one sadness" in words
    assert "it is in train, that one in test of faces fold 1" in words


def test_copies_are_found_whatever_their_frames_are_called(tmp_path: Path) -> None:
    listing = clean_set(tmp_path)
    shutil.rmtree(_folder(listing, 6))
    shutil.copytree(_folder(listing, 0), _folder(listing, 6))
    for file in sorted(_folder(listing, 6).iterdir()):
        file.rename(file.with_name(f"00006_{int(file.stem):05d}.jpg"))
    assert told(verify(replace(listing, clips=tuple(replace(c, label="anger") for c in listing.clips), published={})))[
        "duplicate", "6"
    ]


# --- videos, deep looks, odd places


def test_videos_are_looked_at_and_deep_decodes(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", ticks=range(10))
    write_video(tmp_path / "longer.mp4", ticks=range(12))
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.mp4").write_bytes(b"<!doctype html>")
    (tmp_path / "copy.mp4").write_bytes(whole)
    names = ("copy", "cut", "longer", "page", "whole")
    clips = tuple(DatasetClip(name, f"{name}.mp4", "anger", num_frames=10) for name in names)
    listing = Listing("films", "original", tmp_path, clips)
    shallow = {("unreadable", "cut"): 1, ("unreadable", "page"): 1, ("duplicate", "whole"): 1}
    assert told(verify(listing)) == shallow
    deep = verify(listing, deep=True)
    assert told(deep) == shallow | {("frame_count", "longer"): 1}
    assert detail(deep, "frame_count") == "12 frames, the annotation says 10"


def test_deep_finds_a_picture_whose_middle_is_damaged(tmp_path: Path) -> None:
    listing = clean_set(tmp_path)
    path = _folder(listing, 4) / "2.png"
    (path.with_suffix(".jpg")).unlink()
    good = picture(4, kind="PNG")
    place = good.index(b"IDAT") + 20
    path.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
    assert verify(listing).is_clean
    assert told(verify(listing, deep=True)) == {("unreadable", "4"): 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    listing = clean_set(tmp_path)
    (_folder(listing, 4) / "2.jpg").chmod(0)
    assert told(verify(listing)) == {("unreadable", "4"): 1}


def test_a_pipe_does_not_hold_us(tmp_path: Path) -> None:
    listing = clean_set(tmp_path)
    (_folder(listing, 4) / "2.jpg").unlink()
    os.mkfifo(_folder(listing, 4) / "2.jpg")
    shutil.rmtree(_folder(listing, 5))
    os.mkfifo(_folder(listing, 5))
    assert told(verify(listing)) == {("unreadable", "4"): 1, ("unreadable", "5"): 1}


def test_the_fingerprint_is_that_of_the_sizes_on_the_disk(tmp_path: Path) -> None:
    listing = clean_set(tmp_path)
    looks = look_at_clips(listing.folder, [str(clip.path) for clip in listing.clips])
    sizes = {path: look.size for path, look in looks.items() if look.size is not None}
    before = verify(listing).fingerprint
    assert before == fingerprint(listing, sizes)
    _last_frame_lost(listing, 4)
    assert verify(listing).fingerprint != before


def test_a_manifest_is_verified_as_a_set(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", ticks=range(5))
    write_video(tmp_path / "b.mp4", ticks=range(6))
    table = tmp_path / "mine.csv"
    table.write_text("path,label,split,group\na.mp4,anger,train,ann\nb.mp4,fear,test,ann\nc.mp4,fear,test,bob\n")
    report = verify(list_manifest(table))
    assert told(report) == {("missing", "c.mp4"): 1, ("shared_group", "ann"): 1}
    cells = {(c.protocol, c.part, c.label): (c.expected, c.found) for c in report.counts}
    assert cells["manifest", "test", "fear"] == (2, 1)
