"""The fingerprint of a data set: the same for a faithful copy, another after any change that a look would see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.videos.datasets.fingerprint import LENGTH, ClipSize, fingerprint
from pipeline.videos.datasets.listing import DatasetClip, Listing

SIZES = {"Clip/00001": ClipSize(16, 4000), "Clip/00002": ClipSize(16, 5000)}


def _listing(folder: Path) -> Listing:
    folder.mkdir()
    (folder / "train.csv").write_bytes(b"video_name,label\r\n1,1\r\n")
    (folder / "test.csv").write_bytes(b"video_name,label\r\n2,2\r\n")
    clips = (DatasetClip("1", "Clip/00001", "happiness"), DatasetClip("2", "Clip/00002", "sadness"))
    return Listing("dfew", "clip_224x224", folder, clips, annotation_files=("train.csv", "test.csv"))


def test_a_copy_at_another_place_has_the_same_fingerprint(tmp_path: Path) -> None:
    here, there = _listing(tmp_path / "here"), _listing(tmp_path / "there")
    assert fingerprint(here, SIZES) == fingerprint(there, SIZES)
    assert len(fingerprint(here, SIZES)) == LENGTH
    turned = replace(here, clips=here.clips[::-1], annotation_files=("test.csv", "train.csv", "test.csv"))
    assert fingerprint(here, SIZES) == fingerprint(turned, SIZES), "the order of clips and files means nothing"


def test_any_change_gives_another_fingerprint(tmp_path: Path) -> None:
    listing = _listing(tmp_path / "set")
    one, two = listing.clips
    found = {
        "as it is": fingerprint(listing, SIZES),
        "a frame lost": fingerprint(listing, SIZES | {"Clip/00001": ClipSize(15, 4000)}),
        "re-encoded": fingerprint(listing, SIZES | {"Clip/00001": ClipSize(16, 4001)}),
        "not there": fingerprint(listing, {"Clip/00002": SIZES["Clip/00002"]}),
        "another variant": fingerprint(replace(listing, variant="clip_224x224_16f"), SIZES),
        "another set": fingerprint(replace(listing, dataset="mafw"), SIZES),
        "another name": fingerprint(replace(listing, clips=(one, replace(two, name="3"))), SIZES),
        "a clip less": fingerprint(replace(listing, clips=(one,)), SIZES),
    }
    (listing.folder / "test.csv").write_bytes(b"video_name,label\r\n2,3\r\n")
    found["another label"] = fingerprint(listing, SIZES)
    assert len(set(found.values())) == len(found)


def test_a_clip_without_a_path_is_one_that_is_not_there(tmp_path: Path) -> None:
    listing = _listing(tmp_path / "set")
    one, two = listing.clips
    gone = replace(listing, clips=(one, replace(two, path=None)))
    assert fingerprint(gone, SIZES) == fingerprint(listing, {"Clip/00001": SIZES["Clip/00001"]})


def test_names_that_are_no_unicode_are_hashed_too(tmp_path: Path) -> None:
    listing = _listing(tmp_path / "set")
    odd = replace(listing, clips=(DatasetClip("caf\udce9", "caf\udce9.mp4"),))
    assert len(fingerprint(odd, {"caf\udce9.mp4": ClipSize(1, 7)})) == LENGTH


def test_an_annotation_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    listing = _listing(tmp_path / "set")
    (listing.folder / "test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"test\.csv"):
        fingerprint(listing, SIZES)
