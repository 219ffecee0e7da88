"""No person, film or video on both sides; validation from train; and what is refused, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.descriptions.label_policy import LabelLeakError
from pipeline.training.clips import ClipList
from pipeline.training.manifest import TrainingError
from pipeline.training.splits import SplitConfig, SplitPlan, plan_splits

COLUMNS = pa.schema(
    [
        *((name, pa.string()) for name in ("clip_id", "track_id", "video_id", "label", "group", "split")),
        ("saw_label", pa.bool_()),
        ("draft_saw_label", pa.bool_()),
    ]
)


def clip_list(rows: Sequence[dict[str, Any]]) -> ClipList:
    full = [{"clip_id": f"{n:04d}", "track_id": f"t{n}", "video_id": f"v{n}", **row} for n, row in enumerate(rows)]
    return ClipList(pa.Table.from_pylist(full, schema=COLUMNS), "corpus", 1)


def people(number: int, labels: Sequence[str] = ("a", "b"), **more: Any) -> ClipList:
    return clip_list([{"label": label, "group": f"p{n}", **more} for n in range(number) for label in labels])


CLIPS = st.lists(
    st.fixed_dictionaries(
        {
            "video": st.integers(0, 12),
            "label": st.sampled_from(["a", "b", "c", None]),
        }
    ),
    min_size=2,
    max_size=40,
)


@given(CLIPS, st.booleans(), st.integers(0, 9), st.floats(0, 0.5), st.floats(0.05, 0.5))
def test_no_group_and_no_video_is_in_two_parts(
    drawn: list[dict[str, Any]], knows_groups: bool, seed: int, validation: float, test: float
) -> None:
    clips = clip_list(
        [
            {
                "label": one["label"],
                "video_id": f"v{one['video']}",
                "group": f"g{one['video'] // 3}" if knows_groups or one["video"] % 2 else None,
            }
            for one in drawn
        ]
    )
    config = SplitConfig(by="identity" if knows_groups else "source", validation_share=validation, test_share=test)
    try:
        plan = plan_splits(clips, config, seed)
    except TrainingError as error:
        assume("train has no clip of" not in str(error) and "can be spared" not in str(error))
        assume("one group or video" not in str(error) and "can take part" not in str(error))
        raise
    parts: defaultdict[str, set[str]] = defaultdict(set)
    for row in plan.table.to_pylist():
        parts[row["group"] or ""].add(row["split"]) if row["group"] else None
        parts[row["video_id"]].add(row["split"])
    assert all(len(found) == 1 for found in parts.values())
    labelled = [one for one in drawn if one["label"] is not None]
    assert len(plan.table) == len(labelled)
    assert {"train", "test"} <= set(plan.table["split"].to_pylist())
    assert set(plan.table["label"].to_pylist()) == set(plan.labels)
    assert plan_splits(clips, config, seed).key == plan.key
    together = sorted(p for part in ("train", "validation", "test") for p in plan.positions(clips, part).tolist())
    assert [clips.table["clip_id"][p].as_py() for p in together] == plan.table["clip_id"].to_pylist()


def test_labels_come_into_the_parts_in_proportion() -> None:
    clips = people(50, ("a", "a", "a", "b"))
    plan = plan_splits(clips, SplitConfig(by="identity", validation_share=0.25, test_share=0.2), 0)
    counts = plan.table.group_by(["split", "label"]).aggregate([([], "count_all")]).to_pylist()
    found = {(row["split"], row["label"]): row["count_all"] for row in counts}
    assert found[("test", "a")] == 30 and found[("test", "b")] == 10
    assert found[("validation", "a")] == 30 and found[("validation", "b")] == 10
    assert (
        plan_splits(clips, SplitConfig(by="identity"), 1).key != plan_splits(clips, SplitConfig(by="identity"), 2).key
    )


def test_the_official_split_stays_and_validation_is_carved_from_its_train_by_group() -> None:
    rows = [
        {"label": "ab"[n % 2], "split": "test" if n < 20 else "train", "group": f"p{n // 4}" if n % 8 < 4 else None}
        for n in range(100)
    ]
    clips = clip_list(rows)
    plan = plan_splits(clips, SplitConfig(), 0)
    assert plan.positions(clips, "test").tolist() == list(range(20))
    validation = plan.positions(clips, "validation").tolist()
    assert 6 <= len(validation) <= 10
    of_groups = {rows[n]["group"] for n in validation} - {None}
    train = plan.positions(clips, "train").tolist()
    assert not of_groups & {rows[n]["group"] for n in train}
    without = plan_splits(clips, SplitConfig(validation_share=0), 0)
    assert not len(without.positions(clips, "validation"))


def test_a_validation_part_of_the_source_is_kept() -> None:
    rows = [{"label": "a", "split": split} for split in ("train", "train", "validation", "test")]
    assert list(plan_splits(clip_list(rows), SplitConfig(), 0).part_of.values()) == [row["split"] for row in rows]


def test_two_people_are_enough_for_a_train_and_a_test() -> None:
    plan = plan_splits(people(2), SplitConfig(by="identity"), 0)
    assert sorted(plan.table["split"].to_pylist()) == ["test", "test", "train", "train"]


def test_clips_that_cannot_take_part_are_counted_by_reason() -> None:
    rows: list[dict[str, Any]] = [{"label": label, "split": "train"} for label in ("a", None, "z")]
    plan = plan_splits(clip_list([*rows, {"label": "a", "split": None}]), SplitConfig(), 0, labels=["a"])
    assert plan.left_out == {"without a label": 1, "of no official split": 1, "of another label": 1}
    assert "left out: 1 clips: of another label" in plan.report()


def test_the_report_counts_clips_of_each_part_and_label() -> None:
    rows = [{"label": "a", "split": "train", "group": "ann"}, {"label": "b", "split": "train"}]
    plan = plan_splits(clip_list([*rows, {"label": "b", "split": "test"}]), SplitConfig(validation_share=0), 0)
    assert plan.report().splitlines() == [
        "| part | a | b | clips | videos | groups |",
        "|---|---|---|---|---|---|",
        "| train | 1 | 1 | 2 | 2 | 1 and unknown |",
        "| validation | 0 | 0 | 0 | 0 | 0 |",
        "| test | 0 | 1 | 1 | 1 | 0 and unknown |",
    ]


@pytest.mark.parametrize(
    ("rows", "config", "words"),
    [
        (
            [{"label": None}] * 3,
            {},
            r"none of 3 clips can take part \(3 without a label\): name labels and splits with",
        ),
        ([{"label": "a"}] * 2, {}, r"none of 2 clips can take part \(2 of no official split\).*choose `by` identity"),
        ([{"label": "a", "split": "test"}], {}, r"no clip is of the official split 'train' \(found: test\)"),
        ([{"label": "a", "split": "val"}, {"label": "a", "split": "train"}], {}, "split 'val' is none of train, valid"),
        (
            [{"label": "a", "split": "train"}, {"label": "b", "split": "test"}],
            {},
            "train has no clip of 'b', but the other parts have 1 b: what is never seen cannot be told",
        ),
        (
            [{"label": "a", "split": "train", "group": "ann"}, {"label": "a", "split": "test", "group": "ann"}],
            {},
            "1 groups are on both sides of a split, the first is 'ann' in test and train",
        ),
        (
            [{"label": "a", "split": "train", "video_id": "x"}, {"label": "a", "split": "test", "video_id": "x"}],
            {},
            "the first is 'video x' in test and train",
        ),
        ([{"label": "a", "group": None}] * 2, {"by": "identity"}, "2 videos have no group, the first is v0.*`by` sour"),
        ([{"label": "a", "group": "ann"}] * 2, {"by": "identity"}, "all 2 clips are of one group or video .'ann'.:"),
        ([{"label": "a"}, {"label": "b"}], {"by": "source"}, "no group or video can be spared for the test"),
    ],
)
def test_what_cannot_be_split_is_refused_with_what_to_do(
    rows: list[dict[str, Any]], config: dict[str, Any], words: str
) -> None:
    with pytest.raises(TrainingError, match=words):
        plan_splits(clip_list(rows), SplitConfig(**config), 0)


@pytest.mark.parametrize("flag", ["saw_label", "draft_saw_label"])
def test_a_text_that_saw_its_label_is_never_moved_out_of_train(flag: str) -> None:
    rows = [{"label": "a", "split": "train", flag: True} for _ in range(20)]
    plan_splits(clip_list(rows), SplitConfig(validation_share=0), 0)
    with pytest.raises(LabelLeakError, match="texts were written by a model that saw the label") as caught:
        plan_splits(clip_list(rows), SplitConfig(), 0)
    assert "set `validation_share` to 0" in caught.value.__notes__[0]
    with pytest.raises(LabelLeakError):
        plan_splits(clip_list(rows), SplitConfig(by="source"), 0)


def test_a_fold_of_ones_own_is_held_to_the_same_rules() -> None:
    clips = people(4)
    ids = clips.table["clip_id"].to_pylist()
    plan = SplitPlan.of(clips, {ids[n]: "test" if n < 2 else "train" for n in range(8)})
    assert plan.positions(clips, "test").tolist() == [0, 1]
    with pytest.raises(TrainingError, match="'p0' in test and train"):
        SplitPlan.of(clips, {ids[n]: "test" if n < 1 else "train" for n in range(8)})
    with pytest.raises(TrainingError, match="1 clips of the split are not in the list"):
        SplitPlan.of(clips, {"stranger": "train"})


def test_a_split_is_stored_and_a_changed_one_is_not_read(tmp_path: Path) -> None:
    plan = plan_splits(people(6), SplitConfig(by="identity"), 0)
    plan.write(tmp_path / "split.parquet")
    again = SplitPlan.read(tmp_path / "split.parquet")
    assert (again.key, again.part_of, again.left_out) == (plan.key, plan.part_of, {})
    pq.write_table(pq.read_table(tmp_path / "split.parquet").slice(1), tmp_path / "split.parquet")
    with pytest.raises(TrainingError, match="was changed since it was written"):
        SplitPlan.read(tmp_path / "split.parquet")
