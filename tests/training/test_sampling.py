"""The laws of an epoch's order: nothing missing, nothing twice, and the same for every world and restart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.manifest import TrainingError
from pipeline.training.sampling import (
    SamplingConfig,
    SamplingPlan,
    global_batches,
    permutation,
    plan_sampling,
    rank_slice,
)
from pipeline.training.splits import SplitPlan

CLASSES = st.lists(st.integers(1, 30), min_size=1, max_size=5)
CONFIGS = st.builds(
    SamplingConfig,
    balance=st.sampled_from(["natural", "balanced", "capped"]),
    beta=st.floats(0, 0.999),
    max_repeats=st.integers(1, 5),
    shuffle=st.booleans(),
)


def split_of(sizes: list[int], part: str = "train") -> SplitPlan:
    labels = [f"label {number}" for number, size in enumerate(sizes) for _ in range(size)]
    ids = [f"{number:04d}" for number in range(len(labels))]
    said = {"clip_id": ids, "track_id": ids, "video_id": ids, "label": labels, "group": ids}
    return SplitPlan(pa.table({**said, "split": [part] * len(ids)}), {})


def plan_of(sizes: list[int], config: SamplingConfig | None = None) -> SamplingPlan:
    return plan_sampling(split_of(sizes), config or SamplingConfig())


@given(CLASSES, CONFIGS, st.integers(0, 2**40), st.integers(0, 50))
def test_an_epoch_draws_each_clip_as_often_as_its_class_is_planned_give_or_take_one(
    sizes: list[int], config: SamplingConfig, seed: int, epoch: int
) -> None:
    plan = plan_of(sizes, config)
    order = plan.epoch_order(seed, epoch)
    assert len(order) == len(plan)
    drawn = np.bincount(order, minlength=sum(sizes))
    class_draws = plan.table["class_draws"].to_numpy()
    start = 0
    for size in sizes:
        own, planned = drawn[start : start + size], class_draws[start]
        assert own.sum() == planned
        assert own.min() >= planned // size and own.max() <= -(-planned // size)
        start += size


@given(CLASSES, st.integers(0, 2**40), st.integers(0, 50))
def test_a_natural_epoch_draws_each_clip_exactly_once(sizes: list[int], seed: int, epoch: int) -> None:
    assert sorted(plan_of(sizes).epoch_order(seed, epoch).tolist()) == list(range(sum(sizes)))


@given(CLASSES, CONFIGS, st.integers(1, 20), st.integers(1, 9), st.integers(1, 9), st.data())
def test_all_ranks_together_draw_the_epoch_and_go_on_with_it_in_a_world_of_another_size(
    sizes: list[int], config: SamplingConfig, global_batch: int, world: int, later_world: int, data: st.DataObject
) -> None:
    order = plan_of(sizes, config).epoch_order(7, 3)
    batches = list(global_batches(order, global_batch))
    stop = data.draw(st.integers(0, len(batches)))
    seen: list[int] = []
    for number, batch in enumerate(batches):
        ranks = world if number < stop else later_world
        parts = [rank_slice(batch, rank, ranks) for rank in range(ranks)]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        together = np.empty_like(batch)
        for rank, part in enumerate(parts):
            together[rank::ranks] = part
        seen += together.tolist()
    assert seen == order.tolist()
    assert all(len(batch) == global_batch for batch in batches[:-1])


def test_what_an_epoch_leaves_out_comes_in_another() -> None:
    plan = plan_of([7, 3], SamplingConfig(balance="balanced"))  # five draws of the seven
    assert plan.table["class_draws"].to_pylist() == [5] * 10
    drawn = Counter(position for epoch in range(7) for position in plan.epoch_order(0, epoch).tolist())
    assert {drawn[position] for position in range(7)} == {5}  # the same for all after seven epochs
    assert sum(drawn[position] for position in range(7, 10)) == 35


def test_classes_are_drawn_as_configured() -> None:
    sizes = [1000, 100, 5]

    def draws(**config: object) -> list[int]:
        table = plan_of(sizes, SamplingConfig.model_validate(config)).table
        return [table["class_draws"][at].as_py() for at in (0, 1000, 1100)]

    assert draws() == sizes
    assert draws(balance="balanced") == [368, 368, 368]
    assert draws(balance="capped", beta=0.0, max_repeats=9) == sizes
    capped = draws(balance="capped", beta=0.999, max_repeats=4)
    assert capped[0] < 1000 and capped[1] > 100 and capped[2] == 20  # no clip more than four times
    assert 290 < draws(balance="capped", beta=0.99999999, max_repeats=1000)[2] < 370  # in the limit, balanced


def test_the_order_of_seed_and_epoch_is_the_same_on_every_machine() -> None:
    # A run that is resumed after an upgrade must go on in its order: these numbers may never change.
    assert permutation(8, 0, "epoch", 0).tolist() == [5, 7, 3, 1, 2, 6, 0, 4]
    assert plan_of([5]).epoch_order(1, 2).tolist() != plan_of([5]).epoch_order(1, 3).tolist()


@given(CLASSES, CONFIGS)
def test_the_hash_of_a_plan_is_of_its_clips_and_config_alone(sizes: list[int], config: SamplingConfig) -> None:
    split = split_of(sizes)
    in_pieces = pa.concat_tables([split.table.slice(0, 1), split.table.slice(1)])
    assert plan_sampling(split, config).key == plan_sampling(SplitPlan(in_pieces, {}), config).key
    assert plan_of([*sizes, 1], config).key != plan_of(sizes, config).key
    other = config.model_copy(update={"shuffle": not config.shuffle})
    assert plan_of(sizes, other).key != plan_of(sizes, config).key


def test_a_plan_is_stored_and_a_changed_one_is_not_read(tmp_path: Path) -> None:
    plan = plan_of([4, 2], SamplingConfig(balance="balanced"))
    plan.write(tmp_path / "plan.parquet")
    again = SamplingPlan.read(tmp_path / "plan.parquet")
    assert (again.key, again.config) == (plan.key, plan.config)
    assert again.epoch_order(3, 4).tolist() == plan.epoch_order(3, 4).tolist()
    stored = pq.read_table(tmp_path / "plan.parquet")
    pq.write_table(stored.slice(1), tmp_path / "plan.parquet")
    with pytest.raises(TrainingError, match="was changed since it was written"):
        SamplingPlan.read(tmp_path / "plan.parquet")


def test_without_shuffling_clips_come_in_the_order_of_their_ids() -> None:
    plan = plan_of([3, 4], SamplingConfig(shuffle=False))
    assert plan.epoch_order(1, 0).tolist() == plan.epoch_order(2, 5).tolist() == list(range(7))


def test_a_part_without_clips_cannot_be_planned() -> None:
    with pytest.raises(TrainingError, match=r"no clip is in the part 'test' of the split:\n\| part"):
        plan_sampling(split_of([3]), SamplingConfig(), "test")
