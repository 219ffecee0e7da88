"""Every set of the field in its exact layout, with real pictures and containers: what is sound is clean."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from pipeline.videos.datasets.fingerprint import fingerprint
from pipeline.videos.datasets.registry import SourceAddress, read_dataset
from pipeline.videos.datasets.verify import verify
from pipeline.videos.listed_source import list_address
from tests.videos.datasets import (
    affwild2_tree,
    crema_d_tree,
    dfew_tree,
    ferv39k_tree,
    mafw_tree,
    meld_tree,
    mer_tree,
    ravdess_tree,
)
from tests.videos.datasets.test_verify import picture


def sound_frames(folder: Path, clip: int | str) -> None:
    """A folder of frames: 16 where its version has so many, else a number of its own."""
    folder.mkdir(parents=True)
    seed = crc32(str(clip).encode())
    for number in range(1, (17 if "16f" in str(folder) else 5 + seed % 7)):
        (folder / f"{number}.jpg").write_bytes(picture(seed + number))


def sound_frame(path: Path, number: int) -> None:
    path.write_bytes(picture(crc32(path.parent.name.encode()) + number, 112))


def sound_video(path: Path, clip: int | str) -> None:
    """What a look at the first and last bytes takes for a whole video, with content of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = str(clip).encode()
    if path.suffix == ".flv":
        path.write_bytes(b"FLV\x01\x05\x00\x00\x00\x09" + bytes(2000) + own)
    elif path.suffix == ".avi":
        path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(own)) + b"AVI " + own)
    else:
        boxes = ((b"ftyp", b"isom\0\0\2\0"), (b"moov", bytes(40)), (b"free", own))
        path.write_bytes(b"".join(struct.pack(">I", 8 + len(held)) + kind + held for kind, held in boxes))


SETS: dict[str, Callable[[Path], Any]] = {
    "dfew": lambda folder: dfew_tree.write_dfew(folder, frames=sound_frames),
    "dfew@clip_224x224_16f": lambda folder: dfew_tree.write_dfew(folder, ["clip_224x224_16f"], frames=sound_frames),
    "dfew@original": lambda folder: dfew_tree.write_dfew(folder, ["original"], video=sound_video),
    "ferv39k": lambda folder: ferv39k_tree.write_ferv39k(folder, frames=sound_frames),
    "mafw@frames": lambda folder: mafw_tree.write_mafw(folder, frames=sound_frames),
    "mafw@clips": lambda folder: mafw_tree.write_mafw(folder, ["clips"], video=sound_video),
    "crema_d": lambda folder: crema_d_tree.write_crema_d(folder, video=sound_video),
    "ravdess": lambda folder: ravdess_tree.write_ravdess(folder, video=sound_video),
    "meld": lambda folder: meld_tree.write_meld(folder, video=sound_video),
    "affwild2": lambda folder: affwild2_tree.write_affwild2(folder, test_list=True, frame=sound_frame),
    "mer": lambda folder: mer_tree.write_mer2023(folder, video=sound_video),
}


@cache
def address_of(name: str, folder: Path) -> SourceAddress:
    said, _, variant = name.partition("@")
    return SourceAddress("dataset", folder, said, variant or None)


@pytest.mark.parametrize("name", SETS)
def test_a_sound_set_is_clean(name: str, tmp_path: Path) -> None:
    SETS[name](tmp_path)
    listing = read_dataset(address_of(name, tmp_path))
    report = verify(replace(listing, published={}))  # a fixture is smaller than what was published
    wrong = [fault for fault in report.faults if not fault.is_known and fault.kind != "published_count"]
    assert wrong == [], "\n".join(f"{fault.kind} {fault.where}: {fault.detail}" for fault in wrong)
    assert report.num_found == sum(clip.path is not None for clip in listing.clips) > 0
    assert report.fingerprint is not None


@pytest.mark.parametrize("name", SETS)
def test_of_a_set_on_the_disk_each_broken_clip_is_told(name: str, tmp_path: Path) -> None:
    SETS[name](tmp_path)
    listing = read_dataset(address_of(name, tmp_path))
    broken = next(clip for clip in listing.clips if clip.path is not None)
    place = tmp_path / str(broken.path)
    file = min(place.iterdir()) if place.is_dir() else place
    file.write_bytes(file.read_bytes()[:-3] if place.is_dir() else b"")
    report = verify(replace(listing, published={}))
    assert ("unreadable", broken.name) in {(fault.kind, fault.where) for fault in report.faults}
    assert not report.is_clean


@pytest.mark.parametrize("name", SETS)
def test_the_fingerprint_is_the_one_that_a_build_records(name: str, tmp_path: Path) -> None:
    SETS[name](tmp_path)
    address = address_of(name, tmp_path)
    listed = list_address(address, {})
    assert listed.listing is not None
    assert verify(read_dataset(address)).fingerprint == fingerprint(listed.listing, listed.sizes)
