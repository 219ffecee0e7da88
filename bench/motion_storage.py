"""Measure how training clips are best stored: codecs for frames and for weights, and rows to a row group.

    python bench/motion_storage.py

Clips are cut from real videos (their crops compress as crops do), repeated to a few hundred megabytes and read from the
page cache on one thread into one buffer a clip, as a loader does. The bound is a memory-mapped .npy file of the same
frames. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.length import machine
from pipeline.assets import fetch_all
from pipeline.motion.config import MotionConfig
from pipeline.motion.encode import AlignedTrack, Clip, encode_clips
from pipeline.motion.head import landmarks_in_crop
from pipeline.tracks.config import TrackConfig
from pipeline.tracks.extract import Extraction, FaceTrack, extract_tracks
from pipeline.tracks.stage import open_networks
from pipeline.videos.frames import Frame, decord_version, read_frames
from schemas.motion import CLIP_FRAMES, CROP_PX, GRID

BUILD = Path(__file__).resolve().parents[1] / "build" / "bench"
VIDEOS = ("WolfgangLanger_Pexels.mp4", "single_face.mp4", "carphone_pristine.mp4")
FRAMES_PER_VIDEO = 150
SHAPE = (CLIP_FRAMES, CROP_PX, CROP_PX, 3)
CLIP_BYTES = int(np.prod(SHAPE))
WEIGHT_BYTES = 2 * CLIP_FRAMES * GRID * GRID
ROUNDS = 5

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Form:
    """One way to store the frames: how a clip becomes a cell and comes back, Parquet's codec, rows to a row group."""

    name: str
    pack: Callable[[Frames], bytes]
    unpack: Callable[[memoryview, Frames], None]
    codec: str
    rows: int
    fixed: bool = True


def to_raw(frames: Frames) -> bytes:
    """The bytes as they are."""
    return frames.tobytes()


def from_raw(cell: memoryview, into: Frames) -> None:
    """One copy."""
    into[:] = np.frombuffer(cell, np.uint8).reshape(SHAPE)


def to_jpeg(frames: Frames) -> bytes:
    """Sixteen JPEGs of quality 95 without chroma subsampling, each after its length."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    parts = [cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)[1].tobytes() for frame in frames]
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def from_jpeg(cell: memoryview, into: Frames) -> None:
    """Sixteen JPEGs decoded."""
    at = 0
    for frame in into:
        length = int.from_bytes(cell[at : at + 4], "little")
        part = np.frombuffer(cell[at + 4 : at + 4 + length], np.uint8)
        frame[:] = cv2.imdecode(part, cv2.IMREAD_COLOR_RGB)
        at += 4 + length


def split_bytes(weights: NDArray[np.float16]) -> bytes:
    """First all low bytes, then all high ones: the high ones of neighbours are alike."""
    return np.ascontiguousarray(weights.reshape(-1).view(np.uint8).reshape(-1, 2).T).tobytes()


FORMS = (
    *(Form("raw", to_raw, from_raw, "none", rows) for rows in (1, 2, 4, 8)),
    *(Form("raw", to_raw, from_raw, codec, rows) for codec in ("lz4", "zstd") for rows in (1, 8)),
    *(Form("JPEG q95", to_jpeg, from_jpeg, "none", rows, fixed=False) for rows in (1, 8)),
)


def real_clips() -> list[Clip]:
    """Clips of the first frames of real videos, of all their faces; short ones, so that there are many."""
    networks = open_networks(TrackConfig())
    found: list[Clip] = []
    for name, path in fetch_all(VIDEOS).items():
        print(f"cutting clips out of {name}", file=sys.stderr)
        read = partial(_first_frames, path)
        with extract_tracks(read, networks, TrackConfig()) as extraction:
            for track in extraction.tracks:
                found += _clips_of(extraction, track)
    return found


def _first_frames(path: Path) -> Iterator[Frame]:
    return islice(read_frames(path, decord_version()), FRAMES_PER_VIDEO)


def _clips_of(extraction: Extraction, track: FaceTrack) -> Iterator[Clip]:
    jpegs = [np.frombuffer(jpeg, np.uint8) for jpeg in extraction.crops_jpeg(track)]

    def read_crop(position: int) -> Frames:
        return np.asarray(cv2.imdecode(jpegs[position], cv2.IMREAD_COLOR_RGB), np.uint8)

    landmarks = landmarks_in_crop(extraction.landmarks_px(track), track.transforms, 1.0)
    return encode_clips(
        AlignedTrack(track.times_s, track.is_gap_before, landmarks, read_crop), MotionConfig(clip_s=0.6)
    )


def write(form: Form, clips: Sequence[Clip], count: int, path: Path) -> None:
    """A Parquet file of `count` rows: an id, the frames as a cell of that form, the weights as a raw cell."""
    cells = [form.pack(clip.frames) for clip in clips]
    weights = [clip.motion_weights.tobytes() for clip in clips]
    frames = pa.binary(CLIP_BYTES) if form.fixed else pa.binary()
    schema = pa.schema(
        [
            pa.field("clip_id", pa.string(), nullable=False),
            pa.field("frames", frames, nullable=False),
            pa.field("motion_weights", pa.binary(len(weights[0])), nullable=False),
        ]
    )
    codecs = {"clip_id": "zstd", "frames": form.codec, "motion_weights": "none"}
    with pq.ParquetWriter(path, schema, compression=codecs, use_dictionary=False, write_statistics=False) as file:
        for first in range(0, count, form.rows):
            numbers = [number % len(clips) for number in range(first, min(first + form.rows, count))]
            columns = [
                pa.array([f"{first + n:032x}" for n in range(len(numbers))]),
                pa.array([cells[n] for n in numbers], frames),
                pa.array([weights[n] for n in numbers], schema.field("motion_weights").type),
            ]
            file.write_table(pa.table(columns, schema=schema))


def by_row_group(form: Form, path: Path, order: Sequence[int]) -> float:
    """Clips a second when each clip's row group is read by Parquet's reader; the last group read is kept."""
    into, kept, last = np.empty(SHAPE, np.uint8), None, -1
    with pq.ParquetFile(path, memory_map=True) as file:
        began = time.perf_counter()
        for row in order:
            group, within = divmod(row, form.rows)
            if group != last:
                kept, last = file.read_row_group(group, columns=["frames", "motion_weights"]), group
            assert kept is not None
            form.unpack(memoryview(kept.column(0)[within].as_buffer()), into)
            kept.column(1)[within].as_buffer()
        return len(order) / (time.perf_counter() - began)


def by_place(path: Path, order: Sequence[int]) -> float:
    """Clips a second when raw cells are copied from where they lie in the mapped file, without Parquet's reader.

    A column chunk of one raw, required cell is a page header and the cell: it ends where the chunk ends.
    """
    into = np.empty(SHAPE, np.uint8)
    with pq.ParquetFile(path) as file:
        chunks = [
            [file.metadata.row_group(group).column(column) for column in (1, 2)]
            for group in range(file.metadata.num_row_groups)
        ]
    ends = [[chunk.data_page_offset + chunk.total_compressed_size for chunk in pair] for pair in chunks]
    mapped = np.memmap(path, np.uint8, "r")
    began = time.perf_counter()
    for row in order:
        frames_end, weights_end = ends[row]
        into[:] = mapped[frames_end - CLIP_BYTES : frames_end].reshape(SHAPE)
        mapped[weights_end - WEIGHT_BYTES : weights_end].tobytes()
    return len(order) / (time.perf_counter() - began)


def by_npy(path: Path, order: Sequence[int]) -> float:
    """Clips a second out of a memory-mapped .npy file: the bound."""
    into, mapped = np.empty(SHAPE, np.uint8), np.load(path, mmap_mode="r")
    began = time.perf_counter()
    for row in order:
        into[:] = mapped[row]
    return len(order) / (time.perf_counter() - began)


def best(read: Callable[[Sequence[int]], float], count: int) -> tuple[float, float]:
    """The best of some rounds, in order and shuffled, by turns."""
    shuffled = np.random.default_rng(0).permutation(count).tolist()
    rounds = [(read(range(count)), read(shuffled)) for _ in range(ROUNDS)]
    return max(first for first, _ in rounds), max(second for _, second in rounds)


def show_frames(clips: Sequence[Clip], count: int, folder: Path) -> None:
    """The table of the forms of the frames."""
    print("| frames | codec | rows a group | MB a clip | pack, clips/s | in order, clips/s | shuffled, clips/s |")
    print("|---|---|---|---|---|---|---|")
    bound = folder / "bound.npy"
    np.save(bound, np.stack([clips[row % len(clips)].frames for row in range(count)]))
    in_order, shuffled = best(partial(by_npy, bound), count)
    print(f"| .npy, mapped (the bound) | none | - | {CLIP_BYTES / 1e6:.2f} | - | {in_order:.0f} | {shuffled:.0f} |")
    bound.unlink()
    for form in FORMS:
        path = folder / "clips.parquet"
        began = time.perf_counter()
        for clip in clips:
            form.pack(clip.frames)
        packed = len(clips) / (time.perf_counter() - began)
        write(form, clips, count, path)
        megabytes = path.stat().st_size / count / 1e6
        in_order, shuffled = best(partial(by_row_group, form, path), count)
        line = f"| {form.name} | {form.codec} | {form.rows} | {megabytes:.2f} | {packed:.0f} "
        print(f"{line}| {in_order:.0f} | {shuffled:.0f} |", flush=True)
        if form.pack is to_raw and form.codec == "none" and form.rows == 1:
            in_order, shuffled = best(partial(by_place, path), count)
            print(f"{line}| {in_order:.0f} (by place) | {shuffled:.0f} (by place) |", flush=True)
        path.unlink()


def show_weights(clips: Sequence[Clip]) -> None:
    """The table of the forms of the weights."""
    forms: dict[str, Callable[[NDArray[np.float16]], bytes]] = {
        "float16": lambda weights: weights.tobytes(),
        "float16, bytes split": split_bytes,
        "uint8 steps of 1/255": lambda weights: np.round(255 * weights.astype(np.float32)).astype(np.uint8).tobytes(),
    }
    print("\n| weights | codec | kB a clip | share of a raw clip |")
    print("|---|---|---|---|")
    for name, pack in forms.items():
        for codec in ("none", "lz4", "zstd"):
            sizes = [
                len(cell) if codec == "none" else len(pa.compress(cell, codec))
                for cell in map(pack, (clip.motion_weights for clip in clips))
            ]
            print(f"| {name} | {codec} | {np.mean(sizes) / 1e3:.2f} | {100 * np.mean(sizes) / CLIP_BYTES:.2f} % |")


def main() -> None:
    """Cut clips, write them in each form, read them, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=96, help="rows of each file")
    count = parser.parse_args().count
    cv2.setNumThreads(1)
    clips = real_clips()
    print(
        machine(), f"{len(clips)} clips of real videos, {count} rows a file, one thread, page cache warm.", end="\n\n"
    )
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        show_frames(clips, count, Path(folder))
    show_weights(clips)


if __name__ == "__main__":
    main()
