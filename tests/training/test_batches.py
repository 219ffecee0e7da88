"""Batches are the stored clips, each once, in an order that ranks, threads and restarts do not change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.batches import ClipBatches, ClipReader, RawBatch
from pipeline.training.cells import CellError
from pipeline.training.clips import ClipList, list_clips
from pipeline.training.manifest import TrainingError
from pipeline.training.sampling import SamplingConfig, SamplingPlan, plan_sampling
from pipeline.training.splits import SplitConfig, plan_splits
from schemas.motion import MOTION
from schemas.table import read_cell
from tests.clip_corpus import MadeTrack, write_clip_corpus

ROOT = Path(__file__).parents[2]
NUM_CLIPS = 11


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tracks = [MadeTrack(f"v{n}", label="ab"[n % 2], num_clips=1 + n % 3) for n in range(6)]
    return write_clip_corpus(tmp_path_factory.mktemp("batches") / "corpus", [*tracks[:5], MadeTrack("v5", num_clips=2)])


@pytest.fixture(scope="module")
def clips(corpus: Path) -> ClipList:
    return list_clips(corpus)


@pytest.fixture(scope="module")
def plan(clips: ClipList) -> SamplingPlan:
    return plan_of(clips)


def plan_of(clips: ClipList, config: SamplingConfig | None = None) -> SamplingPlan:
    split = plan_splits(clips, SplitConfig(validation_share=0), 0)
    return plan_sampling(split, config or SamplingConfig())


def batches_of(
    clips: ClipList, plan: SamplingPlan, *, epoch: int = 0, start: int = 0, px: int = 8, batch: int = 4, **how: int
) -> list[RawBatch]:
    with ClipBatches(clips, plan, frame_px=px, global_batch=batch, **how) as batches:
        return list(batches.epoch(epoch, start))


def test_a_batch_is_what_parquet_holds(corpus: Path, clips: ClipList, plan: SamplingPlan) -> None:
    stored = {
        row["clip_id"]: row
        for path in corpus.glob("shards/motion/*/*")
        for row in pq.read_table(path, partitioning=None).to_pylist()
    }
    assert len(stored) == len(clips) == NUM_CLIPS
    seen = []
    for raw in batches_of(clips, plan, px=224):
        for b, position in enumerate(raw.positions.tolist()):
            row = stored[clips.table["clip_id"][position].as_py()]
            seen.append(row["clip_id"])

            def cell(name: str, row: dict[str, bytes] = row) -> np.ndarray:
                return read_cell(MOTION.field(name), row[name])

            assert np.array_equal(raw.frames_BTSS3[b].numpy(), cell("frames"))
            assert np.array_equal(raw.motion_BTGG[b].numpy(), cell("motion_weights").astype(np.float32))
            assert np.array_equal(raw.is_motion_known_BT[b].numpy(), cell("is_motion_known") == 1)
            assert np.array_equal(raw.is_padding_BT[b].numpy(), cell("is_padding") == 1)
        assert raw.frames_BTSS3.dtype == torch.uint8 and raw.motion_BTGG.dtype == torch.float32
        raw.frames_BTSS3.zero_()  # a batch is its reader's own: nothing that is stored changes
    assert sorted(seen) == sorted(stored)


@settings(max_examples=30, deadline=None)
@given(
    worlds=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    workers=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    batch=st.integers(1, 13),
    epoch=st.integers(0, 5),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_a_restart_with_other_ranks_and_threads_goes_on_exactly(
    clips: ClipList,
    plan: SamplingPlan,
    worlds: tuple[int, int],
    workers: tuple[int, int],
    batch: int,
    epoch: int,
    seed: int,
    data: st.DataObject,
) -> None:
    with ClipReader(clips, 8) as reader:
        stored = reader.room(NUM_CLIPS)
        reader.read(range(NUM_CLIPS), stored)
    steps = -(-len(plan) // batch)
    stop = data.draw(st.integers(0, steps))
    seen: list[list[int]] = [[] for _ in range(steps)]
    for world, threads, first, last in zip(worlds, workers, (0, stop), (stop, steps), strict=True):
        numbers = []
        for rank in range(world):
            how = {"rank": rank, "world_size": world, "workers": threads, "seed": seed, "batch": batch}
            own = batches_of(clips, plan, epoch=epoch, start=first, **how)[: last - first]
            numbers.append([raw.number for raw in own])
            for raw in own:
                seen[raw.number] += raw.positions.tolist()
                assert raw.weight == min(batch, len(plan) - raw.number * batch)
                assert len(raw.frames_BTSS3) == len(raw.motion_BTGG) == len(raw.positions)
                assert np.array_equal(raw.frames_BTSS3.numpy(), stored[0][raw.positions])
                assert np.array_equal(raw.motion_BTGG.numpy(), stored[1][raw.positions])
        assert numbers == [list(range(first, last))] * world  # every rank takes part in every step
    order = plan.rows_of(clips)[plan.epoch_order(seed, epoch)].tolist()
    whole = [order[at : at + batch] for at in range(0, len(order), batch)]
    assert [sorted(part) for part in seen] == [sorted(part) for part in whole]


def test_ranks_are_those_that_torchrun_tells(
    clips: ClipList, plan: SamplingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "3")
        seen += [position for raw in batches_of(clips, plan) for position in raw.positions.tolist()]
    assert sorted(seen) == list(range(NUM_CLIPS))


READS_ITS_PART = """
import json, os, sys
from pathlib import Path
from pipeline.training.batches import ClipBatches
from pipeline.training.clips import list_clips
from pipeline.training.sampling import SamplingConfig, plan_sampling
from pipeline.training.splits import SplitConfig, plan_splits

clips = list_clips(sys.argv[1])
plan = plan_sampling(plan_splits(clips, SplitConfig(validation_share=0), 0), SamplingConfig())
with ClipBatches(clips, plan, frame_px=8, global_batch=4) as batches:
    seen = [raw.positions.tolist() for raw in batches.epoch(0)]
    Path(sys.argv[2], "part" + os.environ["RANK"]).write_text(json.dumps(seen))
"""


@pytest.mark.slow
def test_two_processes_under_torchrun_together_see_each_clip_once(corpus: Path, tmp_path: Path) -> None:
    script = tmp_path / "part.py"
    script.write_text(
        READS_ITS_PART.replace("print(", f"open(r'{tmp_path}/part' + __import__('os').environ['RANK'], 'w').write(")
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    subprocess.run([*command, str(corpus), str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    parts = [json.loads((tmp_path / f"part{rank}").read_text()) for rank in range(2)]
    assert sorted(clip for part in parts for batch in part for clip in batch) == list(range(NUM_CLIPS))


@pytest.mark.parametrize("px", [64, 224, 256])
def test_clips_kept_in_memory_are_the_same(clips: ClipList, plan: SamplingPlan, px: int) -> None:
    room = NUM_CLIPS // 2 * (16 * px * px * 3 + 16 * 14 * 14 * 4 + 2 * 16)
    with (
        ClipBatches(clips, plan, frame_px=px, global_batch=4, cache_bytes=room) as keeping,
        ClipBatches(clips, plan, frame_px=px, global_batch=4) as plain,
    ):
        for epoch in range(2):
            for kept, read in zip(keeping.epoch(epoch), plain.epoch(epoch), strict=True):
                assert kept.positions.tolist() == read.positions.tolist()
                assert torch.equal(kept.frames_BTSS3, read.frames_BTSS3)
                assert torch.equal(kept.motion_BTGG, read.motion_BTGG)
                kept.frames_BTSS3.zero_()  # what is trained on may be changed, what is kept stays
        reader = keeping._reader
        assert len(reader._cache) == NUM_CLIPS // 2 and reader._free_bytes >= 0


def test_a_batch_that_is_still_held_is_never_written_over(clips: ClipList, plan: SamplingPlan) -> None:
    expected = [raw.frames_BTSS3.clone() for raw in batches_of(clips, plan, batch=2)]
    with ClipBatches(clips, plan, frame_px=8, global_batch=2, workers=1) as batches:
        tensors = [raw.frames_BTSS3 for raw in batches.epoch(0)]
        views = [raw.frames_BTSS3[0, 3:].numpy()[::2] for raw in batches.epoch(0)]
        known = [raw.is_motion_known_BT for raw in batches.epoch(0)]
    assert all(torch.equal(held, clip) for held, clip in zip(tensors, expected, strict=True))
    assert all(np.array_equal(held, clip[0, 3:].numpy()[::2]) for held, clip in zip(views, expected, strict=True))
    assert len({mask.data_ptr() for mask in known}) == len(known)
    with ClipBatches(clips, plan, frame_px=8, global_batch=2) as batches:
        places = {raw.frames_BTSS3.data_ptr() for raw in batches.epoch(0)}
    assert len(places) < len(batches)  # and what nobody holds is used again


def test_frames_are_brought_to_size_by_area(clips: ClipList, plan: SamplingPlan) -> None:
    with ClipReader(clips, 32) as reader:
        room = reader.room(1)
        reader.read([5], room)
        stored = np.asarray(reader.cells(5)[0], np.uint8)
    expected = np.stack([cv2.resize(frame, (32, 32), interpolation=cv2.INTER_AREA) for frame in stored])
    assert np.array_equal(room[0][0], expected)


def test_an_epoch_that_is_left_in_the_middle_does_not_disturb_the_next(clips: ClipList, plan: SamplingPlan) -> None:
    with ClipBatches(clips, plan, frame_px=8, global_batch=2, workers=2) as batches:
        unfinished = batches.epoch(0)
        next(unfinished)
        unfinished.close()
        assert len(list(batches.epoch(0))) == len(batches) == 6


def test_a_balanced_plan_repeats_clips_in_an_epoch(corpus: Path, clips: ClipList) -> None:
    plan = plan_of(clips, SamplingConfig(balance="balanced"))
    seen = [p for raw in batches_of(clips, plan) for p in raw.positions.tolist()]
    labels = [clips.table["label"][position].as_py() for position in seen]
    assert len(set(labels)) == 3 and len({labels.count(label) for label in labels}) == 1


@pytest.fixture
def own_corpus(tmp_path: Path) -> Iterator[Path]:
    yield write_clip_corpus(tmp_path / "corpus", [MadeTrack("v", num_clips=2)], num_buckets=1)


def test_a_file_that_is_gone_or_damaged_is_said_with_what_to_do(own_corpus: Path) -> None:
    clips = list_clips(own_corpus)
    (path,) = own_corpus.glob("shards/motion/*/*")
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(TrainingError, match="lacks shards/motion/.* of snapshot 1: videos were taken down or old"):
        batches_of(clips, plan_of(clips))
    with pytest.raises(TrainingError, match="lacks shards/motion/.*take the newest snapshot"):
        list_clips(own_corpus)
    path.write_bytes(whole[:-9])
    with pytest.raises(CellError, match="is no whole Parquet file"):
        batches_of(clips, plan_of(clips))


def test_a_plan_of_other_clips_is_refused(own_corpus: Path, clips: ClipList, plan: SamplingPlan) -> None:
    with pytest.raises(TrainingError, match="11 of 11 clips of the plan are not among the 2 clips of snapshot 1 of"):
        ClipBatches(list_clips(own_corpus), plan, frame_px=8, global_batch=2)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"rank": 2, "world_size": 2}, "rank is 2 of 2: expected 0 to 1"),
        ({"global_batch": 0}, "global_batch is 0"),
        ({"frame_px": 0}, "frame_px is 0, expected 1 to 1024; stored are 224"),
    ],
)
def test_what_makes_no_sense_is_refused(clips: ClipList, plan: SamplingPlan, how: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClipBatches(clips, plan, **{"frame_px": 8, "global_batch": 2, **how})


def test_a_restart_beyond_the_epoch_is_refused(clips: ClipList, plan: SamplingPlan) -> None:
    with pytest.raises(ValueError, match="start_batch is 7, expected 0 to 3, the batches of an epoch"):
        batches_of(clips, plan, start=7)
