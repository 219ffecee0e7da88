"""Measure how fast clips are read for training beside the peers: the same clips, one machine, one run, taking turns.

    python bench/loaders.py                       # some three minutes, the first time longer
    python bench/loaders.py --clips 64 --rounds 3 --only facescribe npy lance

Every loader stores the same rows (frames, motion weights and masks of real clips, uncompressed) in its own form on the
local disk and reads them from the page cache in one process. Every byte of every clip is hashed on arrival, and the
hashes must come out the same for all: no loader is fast by leaving something out. Three tasks: clips in stored order,
clips shuffled (as far as a loader can), and shuffled batches of 16 stacked into tensors as a network takes them. Peers
live in environments of their own in build/bench, on top of this one's packages. Prints a table in Markdown of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Nothing of ours up here: this file is also run by the peers' environments.

BUILD = Path(__file__).resolve().parents[1] / "build" / "bench"
SHAPE = (16, 224, 224, 3)
FRAME_BYTES = int(np.prod(SHAPE))
MOTION_BYTES = 2 * 16 * 14 * 14
BATCH = 16
SHARD_CLIPS = 32
"""Clips of one tar file or chunk, some 77 MB: the sizes that the peers' documents advise."""

VIDEOS = ("single_face.mp4", "carphone_pristine.mp4")

TASKS = ("in order", "shuffled", "batches")
LEAST_S = 0.1
"""Epochs are read until this time has gone by."""

Sample = tuple[Any, Any]
"""Frames and motion weights of one clip, as anything that shows its bytes."""


class Loader:
    """One way to store clips and to read them. Made in the process, and the environment, that reads."""

    def __init__(self, rows: Path, folder: Path) -> None:
        """`rows` holds the clips as .npy, `folder` is this loader's own."""
        self.rows, self.folder = rows, folder
        self.count = len(np.load(rows / "frames.npy", mmap_mode="r"))
        # Memory that is used again, which a default collate does not do: nobody is slower for want of it.
        self.frames_B, self.motion_B = np.ones((BATCH, *SHAPE), np.uint8), np.ones((BATCH, 16, 14, 14), np.float32)

    def write(self) -> None:
        """Store the clips."""

    def open(self) -> None:
        """Make ready to read."""

    def samples(self, is_shuffled: bool, seed: int) -> Iterator[Sample]:
        """One epoch."""
        raise NotImplementedError

    def batches(self, seed: int) -> Iterator[tuple[Any, Any]]:
        """One shuffled epoch in batches: tensors of uint8 [B, 16, 224, 224, 3] and float32 [B, 16, 14, 14]."""
        import torch

        waiting: list[Sample] = []
        left = self.count
        for sample in self.samples(True, seed):
            waiting.append(sample)
            left -= 1
            if len(waiting) == BATCH or not left:
                frames, motion = self.frames_B[: len(waiting)], self.motion_B[: len(waiting)]
                for b, (own_frames, own_motion) in enumerate(waiting):
                    frames[b] = np.frombuffer(own_frames, np.uint8).reshape(SHAPE)
                    motion[b] = np.frombuffer(own_motion, np.float16).reshape(16, 14, 14)
                waiting.clear()
                yield torch.from_numpy(frames), torch.from_numpy(motion)

    def order(self, is_shuffled: bool, seed: int) -> list[int]:
        """Of a loader that reads any clip at any time."""
        order = list(range(self.count))
        if is_shuffled:
            random.Random(seed).shuffle(order)
        return order

    def stored(self) -> Iterator[dict[str, Any]]:
        """Every row to be stored, as bytes."""
        arrays = {name: np.load(self.rows / f"{name}.npy", mmap_mode="r") for name in ("frames", "motion", "masks")}
        for n in range(self.count):
            yield {"clip_id": f"{n:032x}", **{name: array[n].tobytes() for name, array in arrays.items()}}

    def table(self) -> Any:
        """The same rows as an Arrow table of fixed-size cells."""
        import pyarrow as pa

        rows = list(self.stored())
        types = {"frames": pa.binary(FRAME_BYTES), "motion": pa.binary(MOTION_BYTES), "masks": pa.binary(32)}
        columns = {name: pa.array([row[name] for row in rows], dtype) for name, dtype in types.items()}
        return pa.table({"clip_id": [row["clip_id"] for row in rows], **columns})


class Memory(Loader):
    """Arrays in memory: what touching the bytes costs."""

    def open(self) -> None:
        self.frames, self.motion = (np.load(self.rows / f"{name}.npy") for name in ("frames", "motion"))

    def samples(self, is_shuffled: bool, seed: int) -> Iterator[Sample]:
        for n in self.order(is_shuffled, seed):
            yield self.frames[n], self.motion[n]


class Npy(Memory):
    """Memory-mapped .npy files: the bound of what lies on a disk."""

    def open(self) -> None:
        self.frames, self.motion = (np.load(self.rows / f"{n}.npy", mmap_mode="r") for n in ("frames", "motion"))


class Facescribe(Loader):
    """This project's batches over a shard that its store wrote."""

    workers = 0

    def write(self) -> None:
        from pipeline.store import Store
        from schemas.motion import MOTION

        store = Store.open_or_create(self.folder / "corpus", 1)
        with store.writer(MOTION, 0, {}) as writer:
            for row in self.stored():
                cells = {"frames": row["frames"], "motion_weights": row["motion"], "times_s": bytes(128)}
                masks = {"is_motion_known": row["masks"][:16], "is_padding": row["masks"][16:]}
                ids = dict.fromkeys(("clip_id", "unit_key", "track_id", "video_id"), row["clip_id"])
                writer.append(MOTION.rows([{**ids, "start_s": 0.0, "end_s": 1.0, **cells, **masks}]))

    def open(self) -> None:
        import pyarrow as pa
        import torch

        from pipeline.training.batches import ClipBatches, ClipReader
        from pipeline.training.clips import ClipList
        from pipeline.training.sampling import SamplingConfig, SamplingPlan

        torch.set_num_threads(1)
        (shard,) = (self.folder / "corpus").glob("shards/motion/*/*")
        ids = [f"{n:032x}" for n in range(self.count)]
        place = {"file": [str(shard.relative_to(self.folder / "corpus"))] * self.count, "row": [0] * self.count}
        table = pa.table({"clip_id": ids, **place, "row_group": range(self.count)})
        clips = ClipList(table, str(self.folder / "corpus"), 1)
        plan = pa.table({"clip_id": ids, "label": ["any"] * self.count, "class_draws": [self.count] * self.count})
        how: dict[str, Any] = {"frame_px": 224, "global_batch": BATCH, "workers": self.workers}
        self.reader = ClipReader(clips)
        self.made = ClipBatches(clips, SamplingPlan(plan, SamplingConfig()), **how)

    def samples(self, is_shuffled: bool, seed: int) -> Iterator[Sample]:
        for n in self.order(is_shuffled, seed):
            frames, motion, _, _ = self.reader.cells(n)
            yield frames, motion

    def batches(self, seed: int) -> Iterator[tuple[Any, Any]]:
        for raw in self.made.epoch(seed):
            yield raw.frames_BTSS3, raw.motion_BTGG


class FacescribeAhead(Facescribe):
    """The same with one thread that reads ahead."""

    workers = 1


class ParquetGroups(Facescribe):
    """The same shard through pyarrow alone, a row group a clip."""

    def open(self) -> None:
        import pyarrow.parquet as pq

        (shard,) = (self.folder / "corpus").glob("shards/motion/*/*")
        self.file = pq.ParquetFile(shard, memory_map=True)

    def samples(self, is_shuffled: bool, seed: int) -> Iterator[Sample]:
        for n in self.order(is_shuffled, seed):
            row = self.file.read_row_group(n, columns=["frames", "motion_weights"])
            yield row.column(0)[0].as_buffer(), row.column(1)[0].as_buffer()

    def batches(self, seed: int) -> Iterator[tuple[Any, Any]]:
        yield from Loader.batches(self, seed)


class HuggingFace(Loader):
    """A dataset saved to disk, mapped, read in its fastest format."""

    def write(self) -> None:
        import datasets

        features = {name: datasets.Value("binary") for name in ("frames", "motion", "masks")}
        rows = {"clip_id": datasets.Value("string"), **features}
        columns = {name: [row[name] for row in self.stored()] for name in rows}
        datasets.Dataset.from_dict(columns, datasets.Features(rows)).save_to_disk(str(self.folder / "set"))

    def open(self) -> None:
        import datasets

        self.set = datasets.load_from_disk(str(self.folder / "set")).with_format("arrow", ["frames", "motion"])

    def samples(self, is_shuffled: bool, seed: int) -> Iterator[Sample]:
        for n in self.order(is_shuffled, seed):
            row = self.set[n]
            yield row.column(0)[0].as_buffer(), row.column(1)[0].as_buffer()


class Streaming(Loader):
    """MosaicML's MDS shards, iterated by its own dataset."""

    def write(self) -> None:
        from streaming import MDSWriter  # type: ignore[import-not-found]

        columns = {"clip_id": "str", "frames": "bytes", "motion": "bytes", "masks": "bytes"}
        with MDSWriter(
            out=str(self.folder / "set"), columns=columns, size_limit=SHARD_CLIPS * 5 * FRAME_BYTES // 4
        ) as out:
            for row in self.stored():
                out.write(row)

    def open(self) -> None:
        from streaming import StreamingDataset

        how = {"local": str(self.folder / "set"), "batch_size": BATCH}
        self.sets = [StreamingDataset(**how, shuffle=is_shuffled) for is_shuffled in (False, True)]

    def samples(self, is_shuffled: bool, seed: int) -> Iterator[Sample]:
        for row in self.sets[is_shuffled]:
            yield row["frames"], row["motion"]


class WebDataset(Loader):
    """Tar files, streamed; shuffled: their order, and a buffer of 64 clips."""

    def write(self) -> None:
        import webdataset  # type: ignore[import-not-found]

        with webdataset.ShardWriter(str(self.folder / "%04d.tar"), maxcount=SHARD_CLIPS, maxsize=1 << 40) as out:
            for row in self.stored():
                out.write({"__key__": row["clip_id"], **{f"{n}.bin": row[n] for n in ("frames", "motion", "masks")}})

    def open(self) -> None:
        import webdataset

        urls = [str(path) for path in sorted(self.folder.glob("*.tar"))]
        self.set = webdataset.WebDataset(urls, shardshuffle=False)
        self.shuffled = webdataset.WebDataset(urls, shardshuffle=len(urls)).shuffle(64)

    def samples(self, is_shuffled: bool, seed: int) -> Iterator[Sample]:
        for row in self.shuffled if is_shuffled else self.set:
            yield row["frames.bin"], row["motion.bin"]


class LitData(Loader):
    """Lightning's chunks, iterated by its own dataset."""

    def write(self) -> None:
        import litdata  # type: ignore[import-not-found]

        rows = list(self.stored())
        litdata.optimize(
            fn=RowOf(rows), inputs=list(range(len(rows))), output_dir=str(self.folder / "set"),
            chunk_size=SHARD_CLIPS, num_workers=1,
        )  # fmt: skip

    def open(self) -> None:
        import litdata

        folder = str(self.folder / "set")
        self.sets = [litdata.StreamingDataset(folder, shuffle=is_shuffled) for is_shuffled in (False, True)]

    def samples(self, is_shuffled: bool, seed: int) -> Iterator[Sample]:
        for row in self.sets[is_shuffled]:
            yield row["frames"], row["motion"]


class RowOf:
    """A row by its number, as a function that can be sent to another process."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = rows

    def __call__(self, n: int) -> dict[str, Any]:
        return dict(self.rows[n])


class Lance(Loader):
    """A Lance dataset: scanned in order, or 16 rows taken at a time."""

    def write(self) -> None:
        import lance  # type: ignore[import-not-found]

        # Of cells of fixed size, and of bytes of any; of file versions 2.0, 2.1 and 2.2: these are its fastest here.
        lance.write_dataset(self.table(), str(self.folder / "set.lance"), data_storage_version="2.0")

    def open(self) -> None:
        import lance

        self.set = lance.dataset(str(self.folder / "set.lance"))

    def samples(self, is_shuffled: bool, seed: int) -> Iterator[Sample]:
        columns = ["frames", "motion"]
        if is_shuffled:
            order = self.order(True, seed)
            parts = (self.set.take(order[at : at + BATCH], columns=columns) for at in range(0, self.count, BATCH))
        else:
            parts = self.set.to_batches(columns=columns, batch_size=BATCH)
        for part in parts:
            for frames, motion in zip(part.column("frames"), part.column("motion"), strict=True):
                yield frames.as_buffer(), motion.as_buffer()


@dataclass(frozen=True)
class Entry:
    """A line of the table: the loader, and what its environment installs on top of this one's packages."""

    title: str
    loader: type[Loader]
    requirements: tuple[str, ...] = ()


LOADERS = {
    "memory": Entry("arrays in memory", Memory),
    "npy": Entry("mapped .npy (the bound)", Npy),
    "facescribe": Entry("facescribe", Facescribe),
    "ahead": Entry("facescribe, one thread reading ahead", FacescribeAhead),
    "groups": Entry("the same shard, pyarrow's read_row_group", ParquetGroups),
    "datasets": Entry("Hugging Face datasets", HuggingFace),
    "streaming": Entry("MosaicML Streaming 0.13.0", Streaming, ("mosaicml-streaming==0.13.0", "torch==2.13.0")),
    "litdata": Entry("LitData 0.2.76", LitData, ("litdata==0.2.76", "torch==2.13.0")),
    "webdataset": Entry("WebDataset 1.0.2 (shuffled: a buffer of 64)", WebDataset, ("webdataset==1.0.2",)),
    "lance": Entry("Lance 14.0.2 (file version 2.0)", Lance, ("pylance==14.0.2",)),
}


# ---- in the reading process ---------------------------------------------------------------------------------------


def serve(name: str, rows: Path, folder: Path) -> None:
    """Store the clips if that is not done, then read once for each task that is asked for on stdin."""
    import xxhash

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a loader prints is no answer

    def answer(**said: Any) -> None:
        print(json.dumps(said), file=answers, flush=True)

    loader = LOADERS[name].loader(rows, folder)
    try:
        if not (folder / "written").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            loader.write()
            (folder / "written").touch()
        loader.open()
    except Exception as error:  # whatever a peer raises is the answer for it
        answer(error=f"{type(error).__name__}: {error}")
        return
    answer(bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
    for line in sys.stdin:
        task, seed = json.loads(line)
        num_clips, epochs, digest, began, began_cpu = 0, 0, 0, time.perf_counter(), time.process_time()
        while not epochs or time.perf_counter() - began < LEAST_S:
            if task == "batches":
                for frames, motion in loader.batches(seed + epochs):
                    for own in frames.numpy():
                        digest ^= xxhash.xxh3_64_intdigest(own) * (epochs == 0)
                    float(motion.sum())
                    num_clips += len(frames)
            else:
                for own_frames, own_motion in loader.samples(task == "shuffled", seed + epochs):
                    digest ^= xxhash.xxh3_64_intdigest(own_frames) * (epochs == 0)
                    xxhash.xxh3_64_intdigest(own_motion)
                    num_clips += 1
            epochs += 1
        seconds = time.perf_counter() - began
        cpu_ms = 1000 * (time.process_time() - began_cpu) / num_clips
        answer(clips_s=num_clips / seconds, cpu_ms=cpu_ms, digest=digest, is_whole=num_clips == epochs * loader.count)


# ---- in the measuring process -------------------------------------------------------------------------------------


class Reader:
    """A process that reads when asked."""

    def __init__(self, name: str, rows: Path, folder: Path) -> None:
        self.name, self.error, self.bytes = name, "", 0
        self.figures: dict[str, list[float]] = {task: [] for task in TASKS}
        self.cpu_ms: list[float] = []
        try:
            python = environment_of(name)
        except subprocess.CalledProcessError as error:
            lines = [line for line in (error.stdout or "").splitlines() if line.strip()]
            self.error = f"cannot be installed: {lines[-1] if lines else error}"
            return
        root = str(Path(__file__).resolve().parents[1])
        self.process = subprocess.Popen(
            [python, __file__, "--serve", name, "--rows", str(rows), "--folder", str(folder / name)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": root, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        said = self._hear()
        self.error, self.bytes = said.get("error", ""), said.get("bytes", 0)

    def ask(self, task: str, seed: int) -> int | None:
        """Measure once; the hash of what was read."""
        if self.error:
            return None
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            print(json.dumps([task, seed]), file=self.process.stdin, flush=True)
        said = self._hear()
        if not said.get("is_whole", True):
            said["error"] = f"{task}: an epoch did not have each clip"
        self.error = said.get("error", "")
        if not self.error:
            self.figures[task].append(said["clips_s"])
            if task == "batches":
                self.cpu_ms.append(said["cpu_ms"])
        digest: int | None = said.get("digest")
        return digest

    def end(self) -> None:
        """Let the process go."""
        if hasattr(self, "process"):
            self.process.kill()
            self.process.wait()

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None and self.process.stderr is not None
        line = self.process.stdout.readline()
        if line:
            return dict(json.loads(line))
        return {"error": "ended: " + " ".join(self.process.stderr.read().split()[-30:])}


def environment_of(name: str) -> str:
    """The Python that a loader runs in: ours, or one of its own on top of ours. Raises CalledProcessError."""
    requirements = LOADERS[name].requirements
    if not requirements:
        return sys.executable
    folder = BUILD / name
    python, done = str(folder / "bin" / "python"), folder / "installed"
    if done.exists() and done.read_text() == " ".join(requirements):
        return python
    print(f"installing {' '.join(requirements)}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    ours = sysconfig.get_path("purelib")
    (site / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    command = [python, "-m", "pip", "install", *requirements]
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    done.write_text(" ".join(requirements))
    return python


def write_rows(rows: Path, count: int) -> None:
    """The clips as .npy: MOTION rows of real videos, and shifted a little in grey where they repeat."""
    from schemas.motion import MOTION
    from schemas.table import read_cell

    found = motion_of(VIDEOS)
    shutil.rmtree(rows, ignore_errors=True)
    rows.mkdir(parents=True)
    kinds: dict[str, tuple[Any, tuple[int, ...]]] = {
        "frames": (np.uint8, SHAPE), "motion": (np.float16, (16, 14, 14)), "masks": (np.uint8, (2, 16)),
    }  # fmt: skip
    arrays = {
        name: np.lib.format.open_memmap(rows / f"{name}.npy", "w+", dtype, (count, *shape))
        for name, (dtype, shape) in kinds.items()
    }
    for n in range(count):
        cells = {field.name: field for field in MOTION.columns if b"dims" in (field.metadata or {})}
        clip = {name: read_cell(field, found[n % len(found)][name]) for name, field in cells.items()}
        arrays["frames"][n] = clip["frames"] + np.uint8(n // len(found))
        arrays["motion"][n] = clip["motion_weights"]
        arrays["masks"][n] = clip["is_motion_known"], clip["is_padding"]
    for array in arrays.values():
        array.flush()
    (rows / "count").write_text(str(count))


def motion_of(videos: Sequence[str]) -> list[dict[str, Any]]:
    """The MOTION rows of videos, made by the stages; of short clips, so that there are many."""
    from pipeline.assets import fetch_all
    from pipeline.motion.config import MotionConfig
    from pipeline.motion.stage import ENCODE_MOTION
    from pipeline.stage import Resources
    from pipeline.store import Store
    from pipeline.tracks.stage import EXTRACT_TRACKS
    from pipeline.videos.sources import source_folder
    from pipeline.videos.stage import PROBE_VIDEOS
    from pipeline.walk import BuildConfig, open_walk

    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        source = Path(folder, "videos")
        source.mkdir()
        for name, path in fetch_all(videos).items():
            shutil.copy(path, source / name)
        store = Store.open_or_create(Path(folder, "corpus"), 1)
        walk = open_walk(store, source, BuildConfig(motion=MotionConfig(clip_s=0.6)))
        for stage in (PROBE_VIDEOS, EXTRACT_TRACKS, ENCODE_MOTION):
            for bucket in walk.take_settled(stage):
                walk.run(stage, bucket, Resources(source=source_folder(source)))
        receipt = walk.find(ENCODE_MOTION, 0)
        assert receipt is not None
        return list(store.read(receipt.files["motion"]).to_pylist())


def measure(readers: Sequence[Reader], rounds: int, show: Callable[[str], None]) -> None:
    """Every loader in turn, round after round; the first is not counted. Raises RuntimeError when bytes differ."""
    digests: dict[int, str] = {}
    for number in range(rounds + 1):
        for task in TASKS:  # all loaders soon after each other, because a machine is not the same from minute to minute
            for reader in readers:
                digest = reader.ask(task, 1000 * number)
                if digest is not None:
                    digests.setdefault(digest, reader.name)
                if number == 0 and not reader.error:
                    reader.figures[task].clear()
                    reader.cpu_ms.clear()
        show(f"round {number} of {rounds}")
    if len(digests) > 1:
        raise RuntimeError(f"loaders gave different bytes: {digests}")


def show_table(readers: Sequence[Reader]) -> None:
    """Medians with the best round in brackets, and shares of the bound."""
    bound = next((reader for reader in readers if reader.name == "npy" and not reader.error), None)
    print("| loader | MB | clips in order /s | shuffled /s | of the bound ", end="")
    print("| shuffled, in batches /s | of the bound | CPU ms a clip in batches |")
    print("|---" * 8 + "|")
    for reader in readers:
        title = LOADERS[reader.name].title
        if reader.error:
            print(f"| {title} | not measured: {reader.error[:300]} |||||||")
            continue
        said = [f"{statistics.median(own):.0f} ({max(own):.0f})" for own in reader.figures.values()]
        shares = ["", ""]
        if bound is not None:
            shares = [_share(reader.figures[task], bound.figures[task]) for task in TASKS[1:]]
        size = f"{reader.bytes / 1e6:.0f}" if reader.bytes else "-"
        figures = [said[0], said[1], shares[0], said[2], shares[1], f"{statistics.median(reader.cpu_ms):.2f}"]
        print(f"| {title} | {size} | {' | '.join(figures)} |")


def _share(own: Sequence[float], bound: Sequence[float]) -> str:
    return f"{100 * statistics.median(own) / statistics.median(bound):.0f} % ({100 * max(own) / max(bound):.0f} %)"


def main() -> None:
    """Write the rows, start the readers, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=LOADERS, default=list(LOADERS))
    parser.add_argument(
        "--keep", action="store_true", help="keep what was stored, some 400 MB a loader, for another run"
    )
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, default=BUILD / "loaders" / "rows", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=BUILD / "loaders", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve, chosen.rows, chosen.folder)
        return
    from bench.length import machine

    count = chosen.rows / "count"
    if not count.exists() or int(count.read_text()) != chosen.clips:
        shutil.rmtree(chosen.folder, ignore_errors=True)
        write_rows(chosen.rows, chosen.clips)
    readers = [Reader(name, chosen.rows, chosen.folder) for name in chosen.only]
    try:
        measure(readers, chosen.rounds, lambda said: print(said, file=sys.stderr))
        print(
            machine(),
            f"{chosen.clips} clips of 2.41 MB, page cache warm, medians of {chosen.rounds} rounds (the best).\n",
        )
        show_table(readers)
    finally:
        for reader in readers:
            reader.end()
        if not chosen.keep:
            shutil.rmtree(chosen.folder)


if __name__ == "__main__":
    main()
