"""Any name may a file of a set have: every video that is there is a clip's path, or a fault names it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.videos.datasets import afew, crema_d, dfew, mafw, meld, mer, ravdess
from pipeline.videos.paths import path_text
from tests.videos.datasets import afew_tree, crema_d_tree, dfew_tree, mafw_tree, meld_tree, mer_tree, ravdess_tree

_BYTES = st.one_of(
    st.binary(max_size=6), st.sampled_from([b" ", b"\n", b"\\", b"\xff", b"\xc3\xa9", b"\xe2\x80\xae", b"%"])
)
_SUFFIXES = st.sampled_from([b".mp4", b".MP4", b".flv", b".avi", b".mp4.mp4", b".wav", b".txt", b""])


@st.composite
def _names(draw: st.DrawFn, examples: list[bytes]) -> bytes:
    """A name like those of the set, with something else in it, that a file may have and that is not hidden."""
    name = draw(st.sampled_from(examples))
    at = draw(st.integers(0, len(name)))
    odd = name[:at] + draw(_BYTES) + name[at + draw(st.integers(0, 3)) :] + draw(_SUFFIXES)
    odd = odd.replace(b"/", b"_").replace(b"\x00", b"0")
    return b"x" + odd if odd.startswith(b".") or not odd else odd[:200]


def _one_actor_speaks(folder: Path) -> Path:
    return ravdess_tree.write_ravdess(folder, ("01",))


def _one_actor_acts(folder: Path) -> Path:
    return crema_d_tree.write_crema_d(folder, ("1001",))


def _clips_of_dfew(folder: Path) -> Path:
    return dfew_tree.write_dfew(folder, ["original"])


def _clips_of_mafw(folder: Path) -> Path:
    return mafw_tree.write_mafw(folder, ["clips"], sheets=False)


def _clips_of_afew(folder: Path) -> Path:
    return afew_tree.write_afew(folder, "clips")


PLACES: tuple[tuple[ModuleType, Callable[[Path], Path], str, list[bytes]], ...] = (
    (crema_d, _one_actor_acts, "VideoFlash", [b"1001_IEO_NEU_XX", b"1002_IEO_HAP_LO", b"1001_TIE_BAD_XX"]),
    (
        ravdess,
        _one_actor_speaks,
        "Actor_01",
        [b"01-01-05-02-01-02-01", b"02-01-05-02-01-02-01", b"01-02-01-02-01-02-01"],
    ),
    (meld, meld_tree.write_meld, "train_splits", [b"dia0_utt0", b"dia99_utt1", b"final_videos_testdia1_utt0"]),
    (mer, mer_tree.write_mer2025, "video", [b"sample_00000001", b"samplenew3_00000099"]),
    (dfew, _clips_of_dfew, "Clip/original", [b"1", b"00007", b"16372", b"99999"]),
    (mafw, _clips_of_mafw, "data/clips", [b"00001", b"00099"]),
    (afew, _clips_of_afew, "Train_AFEW/Happy", [b"012000360", b"999999999"]),
)


@pytest.mark.parametrize(
    ("reader", "write", "place", "examples"), PLACES, ids=lambda value: getattr(value, "__name__", "")
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_file_is_lost_without_a_word(
    reader: ModuleType,
    write: Callable[[Path], Path],
    place: str,
    examples: list[bytes],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    folder = _TREES.get(write) or write(tmp_path_factory.mktemp("set"))
    _TREES[write] = folder
    name = data.draw(_names(examples))
    odd = os.fsencode(folder / place) + b"/" + name
    if os.path.exists(odd):  # noqa: PTH110 - bytes
        return
    Path(os.fsdecode(odd)).write_bytes(b"video")
    try:
        listing = reader.read(folder)
    finally:
        Path(os.fsdecode(odd)).unlink()
    path = path_text(f"{place}/{os.fsdecode(name)}")
    is_video = path.lower().endswith((".mp4", ".flv", ".avi"))
    paths = [clip.path for clip in listing.clips]
    told = [fault.where for fault in listing.faults]
    kinds = [where.removesuffix("-*") for where in told if where.endswith("-*")]
    is_told = path in told or any(path.startswith(kind) for kind in kinds)
    assert (path in paths) + is_told == is_video or (reader is ravdess and path.endswith(".wav") and is_told)


_TREES: dict[Callable[[Path], Path], Path] = {}
