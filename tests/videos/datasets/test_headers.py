"""First and last bytes: whole files pass, whatever their kind, and files that were cut short do not."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.videos.datasets.headers import HeaderError, look_at_picture, look_at_video
from tests.videos.fault_files import write_fault_corpus


def encoded(kind: str, size: tuple[int, int] = (61, 47), **options: object) -> bytes:
    file = io.BytesIO()
    picture = Image.effect_noise(size, 40).convert("RGB")
    picture.save(file, kind, **options)
    return file.getvalue()


LARGE_EXIF = Image.Exif()
LARGE_EXIF[0x010E] = "x" * 9000

WHOLE = {
    "plain.jpg": encoded("JPEG"),
    "progressive.jpg": encoded("JPEG", progressive=True),
    "exif.jpg": encoded("JPEG", exif=LARGE_EXIF),
    "tailed.jpg": encoded("JPEG") + b"\0\0\0made by a camera",
    "plain.png": encoded("PNG"),
    "tailed.png": encoded("PNG") + b"\n",
    "plain.bmp": encoded("BMP"),
    "plain.webp": encoded("WEBP"),
    "other_name.jpg": encoded("PNG"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_picture_tells_its_size(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(WHOLE[name])
    facts = look_at_picture(str(path))
    assert (facts.width_px, facts.height_px, facts.num_bytes) == (61, 47, len(WHOLE[name]))


@pytest.mark.parametrize("name", ["plain.jpg", "progressive.jpg", "exif.jpg", "plain.png", "plain.bmp", "plain.webp"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 0.99])
def test_a_picture_that_was_cut_short_does_not_pass(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    whole = WHOLE[name]
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(HeaderError):
        look_at_picture(str(path))


def test_what_is_no_picture_is_told_with_why(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(HeaderError, match="no picture that Pillow knows"):
        look_at_picture(str(path))
    path.write_bytes(b"")
    with pytest.raises(HeaderError, match="the file is empty"):
        look_at_picture(str(path))
    with pytest.raises(HeaderError, match="No such file"):
        look_at_picture(str(tmp_path / "2.jpg"))
    (tmp_path / "3.jpg").mkdir()
    with pytest.raises(HeaderError, match="directory"):
        look_at_picture(str(tmp_path / "3.jpg"))


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=60).map(lambda tail: WHOLE["plain.jpg"][:200] + tail)))
def test_no_bytes_do_more_than_fail(tmp_path_factory: pytest.TempPathFactory, held: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(held)
    for look in (lambda: look_at_picture(str(path)), lambda: look_at_video(path)):
        try:
            look()
        except HeaderError as error:
            assert str(error)


def test_of_files_from_the_world_no_good_one_is_refused_and_many_bad_ones_are(tmp_path: Path) -> None:
    expected = write_fault_corpus(tmp_path)
    refused = {}
    for name in expected:
        try:
            look_at_video(tmp_path / name)
        except HeaderError as error:
            refused[name] = str(error)
    false_alarms = {name: why for name, why in refused.items() if expected[name] == "ok"}
    assert not false_alarms
    for name in ("moov_first_cut.mp4", "moov_last_cut.mp4", "header_only.mp4", "only_the_moov.mp4", "cut.avi"):
        assert "cut short" in refused[name], name


def test_a_box_of_more_than_4_gb_is_measured_by_its_long_size(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.write(struct.pack(">I4s4s", 12, b"ftyp", b"isom") + struct.pack(">I4s4s", 12, b"moov", b"\0\0\0\0"))
        file.write(struct.pack(">I4sQ", 1, b"mdat", 16 + (5 << 30)))
        file.truncate(24 + 16 + (5 << 30))  # a hole: takes no room
    assert look_at_video(path) == 40 + (5 << 30)
    os.truncate(path, 5 << 30)
    with pytest.raises(HeaderError, match=r"its part 'mdat' ends at byte 5368709160, 5368709120 are there"):
        look_at_video(path)
