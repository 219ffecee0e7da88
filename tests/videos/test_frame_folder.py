"""A clip that is a folder of pictures: order, clock and id come from names and bytes, and each fault has its reason."""

from __future__ import annotations

import os
import shutil
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.run import ShardInput, run_stage
from pipeline.stage import Resources, content_hash
from pipeline.store import Store
from pipeline.videos.config import VideoConfig
from pipeline.videos.frame_folder import folder_state, hash_frames, list_frames, number_of, order_frames
from pipeline.videos.frames import FRAME_FOLDER, Limits, VideoError, pillow_version, probe, read_frames
from pipeline.videos.stage import PROBE_VIDEOS
from schemas.rejects import REASONS, REJECTS
from schemas.videos import SOURCES, VIDEOS


def write_frames(folder: Path, names: Sequence[str], size: tuple[int, int] = (64, 48)) -> Path:
    """Pictures whose grey level is ten times their place."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        Image.new("RGB", size, (10 * place % 250,) * 3).save(folder / name, quality=95)
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "00012", [f"{number:05d}.jpg" for number in range(1, 17)])


def reason_of(path: Path, **most: int) -> str:
    """Why the clip gives no frames, to its last."""
    limits = Limits(**most)
    with pytest.raises(VideoError) as refused:
        for _ in read_frames(path, probe(path, limits).decoder, limits):
            pass
    assert refused.value.reason in REASONS
    assert str(path.parent) not in refused.value.detail, "a reject must not depend on where the folder lay"
    return refused.value.reason


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("{:05d}.jpg", id="DFEW, FERV39k"),
        pytest.param("00012_{:05d}.jpg", id="with the clip's number before it"),
        pytest.param("{}.jpg", id="not padded"),
        pytest.param("frame_det_00_{:06d}.bmp", id="OpenFace"),
        pytest.param("000149440-{:03d}.PNG", id="AFEW"),
        pytest.param("s1 ({}).webp", id="in brackets"),
    ],
)
def test_frames_come_by_their_number_however_it_is_written(tmp_path: Path, name: str) -> None:
    folder = write_frames(tmp_path / "clip", [name.format(number) for number in range(1, 17)])
    facts = probe(folder)
    frames = list(read_frames(folder, facts.decoder))
    assert [round(float(frame.rgb.mean()) / 10) for frame in frames] == list(range(16))
    assert [(frame.index, frame.time_s) for frame in frames] == [(place, place / 25) for place in range(16)]
    assert (facts.num_frames, facts.width_px, facts.height_px, facts.duration_s) == (16, 64, 48, 16 / 25)
    assert (facts.container, facts.decoder, facts.assumed_fps) == (FRAME_FOLDER, pillow_version(), 25.0)


def test_missing_numbers_are_time_without_frames(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "holes", [f"{number}.jpg" for number in (7, 8, 11, 12, 20)])
    assert list_frames(folder).holes == ((9, 10), (13, 19))
    facts = probe(folder, assumed_fps=10)
    frames = list(read_frames(folder, facts.decoder, assumed_fps=10))
    assert [frame.index for frame in frames] == [0, 1, 4, 5, 13]
    assert [frame.time_s for frame in frames] == [0.0, 0.1, 0.4, 0.5, 1.3]
    assert (facts.num_frames, facts.duration_s, facts.codec) == (5, 1.4, "jpeg")
    assert facts.mean_fps == pytest.approx(5 / 1.4)


@given(
    st.lists(st.integers(0, 10**9), unique=True, min_size=1), st.integers(1, 9), st.sampled_from(["", "a1_", "é 2-"])
)
def test_any_numbers_are_sorted_as_numbers(numbers: list[int], width: int, before: str) -> None:
    names = [f"{before}{number:0{width}d}.jpg" for number in numbers]
    files = order_frames(Path("clip"), names)
    assert list(files.numbers) == sorted(numbers)
    assert [number_of(name) for name in files.names] == sorted(numbers)
    missing = sum(last - first + 1 for first, last in files.holes)
    assert missing + len(numbers) == max(numbers) - min(numbers) + 1


@given(st.lists(st.text(min_size=1).filter(lambda name: "/" not in name and "\0" not in name), unique=True))
def test_of_any_names_each_is_a_frame_or_the_folder_has_a_reason(names: list[str]) -> None:
    try:
        files = order_frames(Path("clip"), names)
    except VideoError as error:
        assert error.reason in ("empty_file", "not_a_video", "no_times")
    else:
        assert sorted(files.names) == sorted(names)


# --- the id


def test_the_id_is_of_bytes_and_numbers_and_of_nothing_else(clip: Path, tmp_path: Path) -> None:
    own, size = hash_frames(clip)
    assert (len(own), size) == (32, sum(path.stat().st_size for path in clip.iterdir()))
    copies = {form: tmp_path / form.strip("{}.") for form in ("{}.jpg", "x_{:03d}.jpeg", "{:04d}.jpg")}
    for first, (form, folder) in enumerate(copies.items()):
        folder.mkdir()
        for place, path in enumerate(sorted(clip.iterdir())):
            shutil.copy(path, folder / form.format(100 * first + place))
        assert hash_frames(folder) == (own, size)
    (clip / "Thumbs.db").write_bytes(b"left by a file browser")
    (clip / ".hidden").write_bytes(b"so is this")
    assert hash_frames(clip)[0] == own
    (clip / "00016.jpg").rename(clip / "00017.jpg")
    assert hash_frames(clip)[0] != own, "a hole is another clip"
    (clip / "00017.jpg").rename(clip / "00016.jpg")
    (clip / "00003.jpg").write_bytes((clip / "00004.jpg").read_bytes())
    assert hash_frames(clip)[0] != own


def test_what_is_no_clip_has_an_id_of_its_own(clip: Path) -> None:
    own, size = hash_frames(clip)
    (clip / "notes.txt").write_text("alien")
    with_alien = hash_frames(clip)
    assert with_alien[0] != own
    assert with_alien[1] == size + 5 == folder_state(clip).size_bytes
    (clip / "notes.txt").unlink()
    assert hash_frames(clip) == (own, size), "once the file is taken away, the clip is read again"


def test_a_pipe_among_the_frames_does_not_make_the_hash_wait(clip: Path) -> None:
    os.mkfifo(clip / "00017.jpg")
    with pytest.raises(OSError, match="not a regular file"):
        hash_frames(clip)


# --- what is wrong with a folder


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is so large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def animation(path: Path) -> None:
    first, *others = [Image.new("RGB", (64, 48), (level,) * 3) for level in (0, 90, 180)]
    first.save(path, save_all=True, append_images=others)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an alien file": (lambda clip: (clip / "notes.txt").write_text("x"), "not_a_video"),
    "a video": (lambda clip: (clip / "00012.mp4").write_bytes(b"x"), "not_a_video"),
    "a folder": (lambda clip: (clip / "more").mkdir(), "not_a_video"),
    "a folder with a frame's name": (lambda clip: (clip / "00017.jpg").mkdir(), "not_a_file"),
    "a pipe": (lambda clip: os.mkfifo(clip / "00017.jpg"), "not_a_file"),
    "a link that leads nowhere": (lambda clip: (clip / "00017.jpg").symlink_to("gone"), "unreadable"),
    "a link to itself": (lambda clip: (clip / "00017.jpg").symlink_to("00017.jpg"), "not_a_file"),
    "no number": (lambda clip: (clip / "cover.jpg").write_bytes(b"x"), "no_times"),
    "a number twice": (lambda clip: shutil.copy(clip / "00003.jpg", clip / "3.jpg"), "no_times"),
    "a time of day for a number": (lambda clip: shutil.copy(clip / "00003.jpg", clip / "20260102.jpg"), "too_large"),
    "no bytes": (lambda clip: (clip / "00009.jpg").write_bytes(b""), "empty_file"),
    "text": (lambda clip: (clip / "00009.jpg").write_text("version https://git-lfs"), "corrupt"),
    "cut short": (lambda clip: os.truncate(clip / "00009.jpg", 500), "corrupt"),
    "cut to its header": (lambda clip: os.truncate(clip / "00009.jpg", 20), "corrupt"),
    "another shape": (lambda clip: Image.new("RGB", (48, 64)).save(clip / "00009.jpg"), "size_changes"),
    "a bomb": (lambda clip: (clip / "00009.jpg").write_bytes(bomb(60_000, 60_000)), "too_large"),
    "a bomb at first": (lambda clip: (clip / "00000.png").write_bytes(bomb(2**31 - 1, 2**31 - 1)), "too_large"),
    "a picture without an end": (lambda clip: (clip / "00000.png").write_bytes(bomb(64, 48)), "corrupt"),
    "an animation": (lambda clip: animation(clip / "00017.webp"), "not_a_video"),
}


@pytest.mark.parametrize(("plant", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_in_a_folder_has_its_reason(clip: Path, plant: Callable[[Path], object], reason: str) -> None:
    plant(clip)
    began = time.monotonic()
    assert reason_of(clip) == reason
    assert time.monotonic() - began < 10


def test_an_empty_folder_and_one_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "Thumbs.db").write_bytes(b"x")
    assert reason_of(tmp_path / "empty") == "empty_file"
    assert reason_of(tmp_path / "gone") == "unreadable"


def test_the_limits_of_videos_hold_for_folders(clip: Path) -> None:
    assert reason_of(clip, max_frames=15) == "too_large"
    assert reason_of(clip, max_side_px=63) == "too_large"
    assert reason_of(clip, max_frame_px=64 * 48 - 1) == "too_large"


def test_the_words_name_the_file_and_what_to_do(clip: Path) -> None:
    (clip / "notes.txt").write_text("x")
    with pytest.raises(VideoError, match=r"00012 holds notes\.txt, which is no frame: a clip's folder holds only pic"):
        probe(clip)


def appended(clip: Path) -> None:
    write_frames(clip, ["00061.jpg"])


def removed(clip: Path) -> None:
    (clip / "00060.jpg").unlink()


def rewritten(clip: Path) -> None:
    (clip / "00060.jpg").write_bytes((clip / "00001.jpg").read_bytes() + b"more")


def renamed(clip: Path) -> None:
    (clip / "00060.jpg").rename(clip / "00062.jpg")


@pytest.mark.parametrize("change", [appended, removed, rewritten, renamed, shutil.rmtree])
def test_a_folder_that_changes_while_it_is_read_is_of_no_version(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    names = [f"{number:05d}.jpg" for number in range(1, 61)]
    clip = write_frames(tmp_path / "clip", names, size=(640, 480))  # more than is read ahead
    frames = read_frames(clip, pillow_version())
    next(frames)
    change(clip)
    with pytest.raises(VideoError) as refused:
        for _ in frames:
            pass
    assert refused.value.reason == "file_changed"


# --- pictures


def test_another_size_of_the_same_shape_is_scaled_to_the_first(clip: Path) -> None:
    Image.new("RGB", (128, 96), (200, 100, 50)).save(clip / "00009.jpg", quality=95)
    frames = list(read_frames(clip, pillow_version()))
    assert {frame.rgb.shape for frame in frames} == {(48, 64, 3)}
    assert np.abs(frames[8].rgb.mean(axis=(0, 1)) - [200, 100, 50]).max() < 2


@pytest.mark.parametrize(
    ("mode", "colour", "name", "shown"),
    [
        ("L", 120, "17.png", (120, 120, 120)),
        ("RGBA", (10, 200, 30, 0), "17.png", (10, 200, 30)),
        ("P", 0, "17.bmp", (0, 0, 0)),
        ("1", 1, "17.bmp", (255, 255, 255)),
        ("CMYK", (0, 0, 0, 0), "17.jpg", (255, 255, 255)),
        ("I;16", 0x8000, "17.png", (128, 128, 128)),
    ],
)
def test_every_kind_of_picture_becomes_rgb(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], name: str, shown: tuple[int, int, int]
) -> None:
    (tmp_path / "clip").mkdir()
    Image.new(mode, (64, 48), colour).save(tmp_path / "clip" / name)
    (frame,) = read_frames(tmp_path / "clip", probe(tmp_path / "clip").decoder)
    assert frame.rgb.shape == (48, 64, 3)
    assert np.abs(frame.rgb.astype(int) - shown).max() <= 2


def test_a_picture_is_turned_as_it_asks(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    picture, exif = Image.new("RGB", (64, 48)), Image.Exif()
    picture.paste((255, 255, 255), (0, 0, 16, 48))  # its left, which is shown on top
    exif[0x0112] = 6
    picture.save(tmp_path / "clip" / "1.jpg", exif=exif, quality=95)
    facts = probe(tmp_path / "clip")
    (frame,) = read_frames(tmp_path / "clip", facts.decoder)
    assert (facts.width_px, facts.height_px, facts.rotation_deg) == (48, 64, -90)
    assert frame.rgb[:12].min() > 240
    assert frame.rgb[20:].max() < 15


def test_pillow_and_opencv_see_the_same_picture(tmp_path: Path) -> None:
    y, x = np.mgrid[:224, :224]
    rgb = np.stack([128 + 90 * np.sin(x / 9), 128 + 90 * np.cos(y / 7), (x + y) / 2], -1).astype(np.uint8)
    (tmp_path / "clip").mkdir()
    cv2.imwrite(str(tmp_path / "clip" / "1.jpg"), rgb[..., ::-1])
    (frame,) = read_frames(tmp_path / "clip", pillow_version())
    theirs = cv2.imread(str(tmp_path / "clip" / "1.jpg"))[..., ::-1]  # type: ignore[index]
    assert np.abs(frame.rgb.astype(int) - theirs).max() <= 2


# --- the stage


def test_the_stage_writes_a_row_or_a_reject_for_each_folder(clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(clip, source / "good")
    shutil.copytree(clip, source / "alien")
    (source / "alien" / "notes.txt").write_text("x")
    (source / "empty").mkdir()
    rows: list[dict[str, object]] = []
    for name in ("good", "alien", "empty"):
        video_id, size_bytes = hash_frames(source / name)
        rows.append({"video_id": video_id, "path": name, "other_paths": [], "size_bytes": size_bytes})
    sources = SOURCES.rows(rows)
    store = Store.open_or_create(tmp_path / "corpus", 1)
    given = ShardInput(content_hash([sources]), rows=sources)
    config = VideoConfig(frames_per_second=30)
    files = run_stage(PROBE_VIDEOS, 0, [given], config, Resources(source=source), store).receipt.files
    (row,) = store.read(files[VIDEOS.name]).to_pylist()
    assert (row["path"], row["num_frames"], row["assumed_fps"], row["duration_s"]) == ("good", 16, 30.0, 16 / 30)
    refused = {row["path"]: row["reason"] for row in store.read(files[REJECTS.name]).to_pylist()}
    assert refused == {"alien": "not_a_video", "empty": "empty_file"}
