"""Read clips in the order of a plan: the same batches on any number of ranks and threads, from any batch on.

    with ClipBatches(clips, plan, frame_px=224, global_batch=32, seed=0) as batches:
        for epoch in range(10):
            for raw in batches.epoch(epoch):
                train_on(raw)

Under `torchrun` each process reads its own part. Shape letters: B = clips of this rank in the batch, T = 16 frames,
S = frame_px, G = 14 patches a side.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.store import Store
from pipeline.training.cells import CellFile
from pipeline.training.manifest import TrainingError
from pipeline.training.sampling import SamplingPlan, global_batches, rank_slice
from schemas.motion import CLIP_FRAMES, CROP_PX, GRID, MOTION
from schemas.table import read_cell

if TYPE_CHECKING:
    from pipeline.training.clips import ClipList

CELLS = ("frames", "motion_weights", "is_motion_known", "is_padding")
FORMS = tuple(read_cell(field, bytes(field.type.byte_width)) for field in map(MOTION.field, CELLS))
"""An array of each cell's type and shape: reading them out of the schema for every clip would be felt."""

BATCHES_AHEAD = 2
"""Batches that threads read while the one before is trained on."""


@dataclass(frozen=True)
class RawBatch:
    """This rank's clips of one global batch, as they are stored: nothing of them is drawn by chance yet."""

    number: int
    """Which global batch of the epoch."""

    positions: NDArray[np.int64]
    """Row of each clip in the clip list [B]."""

    frames_BTSS3: torch.Tensor
    """uint8."""

    motion_BTGG: torch.Tensor
    """float32, 0..1."""

    is_motion_known_BT: torch.Tensor
    is_padding_BT: torch.Tensor

    weight: int
    """Clips of the global batch on all ranks together: what a mean over it divides by."""


Arrays = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]


class _Room:
    """Memory of one batch, which is taken again when the last array or tensor of it is gone."""

    def __init__(self, owners: Arrays) -> None:
        self.owners = owners
        self._lent: list[weakref.ref[NDArray[Any]]] = []

    @property
    def is_free(self) -> bool:
        return all(array() is None for array in self._lent)

    def lend(self) -> Arrays:
        frames, motion, is_known, is_padding = self.owners
        lent = frames.view(), motion.view(), is_known.view(), is_padding.view()
        self._lent = [weakref.ref(array) for array in lent]
        return lent


class ClipReader:
    """Clips by their row in a list, from disk or object storage, at one size of frame. May be used by many threads."""

    def __init__(self, clips: ClipList, frame_px: int = CROP_PX, cache_bytes: int = 0) -> None:
        """`cache_bytes`: memory in which the first clips that are read are kept at `frame_px`.

        Raises:
            StoreError: the corpus is gone.
        """
        if not 1 <= frame_px <= 1024:
            raise ValueError(f"frame_px is {frame_px}, expected 1 to 1024; stored are {CROP_PX}")
        self.clips, self.frame_px = clips, frame_px
        self._store = Store.open(clips.corpus)
        self._files: dict[str, CellFile] = {}
        self._lock = threading.Lock()
        self._places = clips.table.select(["file", "row_group", "row"]).to_pydict()
        self._cache: dict[int, Arrays] = {}
        self._free_bytes = cache_bytes
        # Memory that is new to a process costs more than twice the copy into it, batch after batch.
        self._rooms: deque[_Room] = deque(maxlen=BATCHES_AHEAD + 4)

    def cells(self, position: int) -> list[NDArray[np.generic]]:
        """The stored arrays of a clip, one for each of CELLS; of a mapped file they share its memory and are read-only.

        Raises:
            TrainingError: its file is gone.
            CellError: its file is damaged.
        """
        file = self._file(self._places["file"][position])
        buffers = file.row(self._places["row_group"][position], self._places["row"][position])
        return [
            np.frombuffer(buffer, form.dtype).reshape(form.shape) for form, buffer in zip(FORMS, buffers, strict=True)
        ]

    def room(self, length: int) -> Arrays:
        """Room for clips: that of an earlier batch, if nobody holds any of it any more, and else fresh memory.

        Hand on the arrays themselves, or tensors of them: they are what holds it.
        """
        free = (room for room in self._rooms if len(room.owners[0]) == length and room.is_free)
        room = next(free, None)
        if room is None:
            owners = (
                np.empty((length, CLIP_FRAMES, self.frame_px, self.frame_px, 3), np.uint8),
                np.empty((length, CLIP_FRAMES, GRID, GRID), np.float32),
                np.empty((length, CLIP_FRAMES), np.bool_),
                np.empty((length, CLIP_FRAMES), np.bool_),
            )
            room = _Room(owners)
            self._rooms.append(room)
        return room.lend()

    def read(self, positions: Sequence[int] | NDArray[np.int64], into: Arrays, first: int = 0) -> None:
        """Put clips into room for them, in this order, from place `first` on."""
        frames, motion, is_known, is_padding = into
        for b, position in enumerate(map(int, positions), start=first):
            kept = self._cache.get(position)
            stored: Sequence[NDArray[Any]] = self.cells(position) if kept is None else kept
            self._bring_to_size(stored[0], frames[b])
            motion[b], is_known[b], is_padding[b] = stored[1:]
            if kept is None:
                self._keep(position, into, b)

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _bring_to_size(self, frames: NDArray[np.uint8], into: NDArray[np.uint8]) -> None:
        if frames.shape == into.shape:
            into[:] = frames
            return
        method = cv2.INTER_AREA if self.frame_px < CROP_PX else cv2.INTER_LINEAR
        for frame, target in zip(frames, into, strict=True):
            cv2.resize(frame, (self.frame_px, self.frame_px), dst=target, interpolation=method)

    def _keep(self, position: int, arrays: Arrays, b: int) -> None:
        size = sum(array[b].nbytes for array in arrays)
        with self._lock:
            # What an epoch reads comes again in a whole epoch's time: to put out the oldest would put out everything.
            if self._free_bytes < size or position in self._cache:
                return
            self._free_bytes -= size
            frames, motion, is_known, is_padding = arrays
            self._cache[position] = (frames[b].copy(), motion[b].copy(), is_known[b].copy(), is_padding[b].copy())

    def _file(self, path: str) -> CellFile:
        with self._lock:
            if path not in self._files:
                try:
                    source = self._store.open_input(path)
                except FileNotFoundError:
                    raise TrainingError(
                        f"{self.clips.corpus} lacks {path} of snapshot {self.clips.snapshot}: videos were taken down "
                        "or old snapshots cleared since the clips were listed; list them anew from the newest snapshot"
                    ) from None
                self._files[path] = CellFile(source, f"{self.clips.corpus}/{path}", CELLS)
            return self._files[path]


class ClipBatches:
    """The batches of one rank. Their order follows from plan, seed and epoch; nothing else that is set here changes it.

    Every clip that an epoch draws is in exactly one batch of exactly one rank. The last global batch may be short; a
    rank without a clip of it gets an empty batch, so that all ranks make the same number of steps.
    """

    def __init__(
        self,
        clips: ClipList,
        plan: SamplingPlan,
        *,
        frame_px: int,
        global_batch: int,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        workers: int = 0,
        cache_bytes: int = 0,
    ) -> None:
        """`global_batch`: clips of a step on all ranks together. `rank`, `world_size`: by default what torchrun says.

        `workers`: threads that read ahead; 0 reads when asked. On disk none or one is best; from object storage, where
        each read waits for an answer, 8 or more. `cache_bytes`: as in ClipReader.

        Raises:
            TrainingError: a clip of the plan is not in the list.
        """
        self.rank = int(os.environ.get("RANK", "0")) if rank is None else rank
        self.world_size = int(os.environ.get("WORLD_SIZE", "1")) if world_size is None else world_size
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank is {self.rank} of {self.world_size}: expected 0 to {self.world_size - 1}")
        if global_batch < 1 or workers < 0:
            raise ValueError(f"global_batch is {global_batch} (at least 1), workers is {workers} (at least 0)")
        self.plan, self.global_batch, self.seed, self.workers = plan, global_batch, seed, workers
        self._rows = plan.rows_of(clips)
        self._reader = ClipReader(clips, frame_px, cache_bytes)
        self._pool = ThreadPoolExecutor(workers, "clips") if workers else None

    def __len__(self) -> int:
        """Global batches of an epoch."""
        return (len(self.plan) + self.global_batch - 1) // self.global_batch

    def epoch(self, epoch: int, start_batch: int = 0) -> Generator[RawBatch]:
        """The batches of an epoch, from one on: a restart goes on where a checkpoint was made."""
        if not 0 <= start_batch <= len(self):
            raise ValueError(f"start_batch is {start_batch}, expected 0 to {len(self)}, the batches of an epoch")
        order = self._rows[self.plan.epoch_order(self.seed, epoch)]
        whole = list(global_batches(order, self.global_batch))[start_batch:]
        slices = (rank_slice(batch, self.rank, self.world_size) for batch in whole)
        for number, batch, (own, arrays) in zip(range(start_batch, len(self)), whole, self._read(slices), strict=True):
            frames, motion, is_known, is_padding = (torch.from_numpy(array) for array in arrays)
            yield RawBatch(number, own, frames, motion, is_known, is_padding, weight=len(batch))

    def close(self) -> None:
        """End the threads and close the files."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._reader.close()

    def __enter__(self) -> ClipBatches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, slices: Iterator[NDArray[np.int64]]) -> Iterator[tuple[NDArray[np.int64], Arrays]]:
        if self._pool is None:
            for own in slices:
                arrays = self._reader.room(len(own))
                self._reader.read(own, arrays)
                yield own, arrays
            return
        waiting: deque[tuple[NDArray[np.int64], Arrays, list[Future[None]]]] = deque()
        try:
            for own in slices:
                waiting.append(self._begin(own, self._pool))
                if len(waiting) > BATCHES_AHEAD:
                    yield _finish(*waiting.popleft())
            while waiting:
                yield _finish(*waiting.popleft())
        finally:  # whoever stops in the middle of an epoch does not wait for what was read ahead
            for _, _, parts in waiting:
                for part in parts:
                    part.cancel()

    def _begin(
        self, own: NDArray[np.int64], pool: ThreadPoolExecutor
    ) -> tuple[NDArray[np.int64], Arrays, list[Future[None]]]:
        """Ask the threads for a batch, each for a part of it: few batches in memory keep all of them at work."""
        arrays = self._reader.room(len(own))
        share = -(-len(own) // self.workers)
        parts = [
            pool.submit(self._reader.read, own[first : first + share], arrays, first)
            for first in range(0, len(own), share or 1)
        ]
        return own, arrays, parts


def _finish(own: NDArray[np.int64], arrays: Arrays, parts: Sequence[Future[None]]) -> tuple[NDArray[np.int64], Arrays]:
    for part in parts:
        part.result()
    return own, arrays
