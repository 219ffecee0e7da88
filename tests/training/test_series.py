"""Ablations and cross-validations on a tiny corpus: they go on where they stopped, and compare what is comparable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from pipeline.inspection.panels import Panel
from pipeline.model.network import build_network
from pipeline.model.text import load_text_tower
from pipeline.training import ablate as ablate_module
from pipeline.training.ablate import ARMS, ablate, arm_config, holm, in_words
from pipeline.training.clips import ClipList, list_clips
from pipeline.training.config import TrainConfig, TrainResources
from pipeline.training.crossval import crossval
from pipeline.training.crossval import in_words as words_of_crossval
from pipeline.training.errors import DivergedError
from pipeline.training.evaluate import flat_fields
from pipeline.training.folds import FoldError, match_folds, read_folds
from pipeline.training.predict import Place
from pipeline.training.run_folder import RunFolder
from pipeline.training.series import SeriesError, Step, Task, Trained, markdown_of, train_and_judge
from pipeline.training.splits import plan_splits
from tests.training_corpus import LABELS, write_training_corpus

HOW = TrainResources(device="cpu", threads=1)
PEOPLE = tuple(f"p{number}" for number in range(6))


def tiny(**changes: Any) -> TrainConfig:
    model = {"width": 16, "small_channels": 8, "heads": 2, "sinkhorn_iterations": 5}
    return TrainConfig.model_validate({"epochs": 1, "batch": 6, "learning_rate": 4e-3, "model": model, **changes})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipList:
    root = tmp_path_factory.mktemp("series") / "corpus"
    write_training_corpus(root, PEOPLE, PEOPLE[3:])
    return list_clips(root)


class Heard:
    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __call__(self, step: Step) -> None:
        self.steps.append(step)

    @property
    def ends(self) -> list[str]:
        return [f"{step.name}: {step.what.partition(',')[0]}" for step in self.steps if step.is_over]


# --- arms


def test_an_arm_changes_only_what_it_names() -> None:
    fields = {arm: flat_fields(arm_config(tiny(), arm, 0).model_dump(mode="json")) for arm in ARMS}
    changed = {arm: {name for name in own if own[name] != fields["balanced"][name]} for arm, own in fields.items()}
    assert changed["balanced"] == set() and changed["attention"] == changed["unbalanced"] == {"model.alignment"}
    assert changed["no_gate"] == {"model.uses_motion"} and changed["draft_text"] == {"text"}
    for arm in ("shuffled_captions", "shuffled_frames", "shuffled_labels"):
        (name,) = changed[arm]
        assert name == arm.replace("shuffled", "shuffle")
    assert changed["vision_only"] == changed["motion_gate"] | {"model.uses_motion"}


def test_attention_has_the_parameters_of_the_transport() -> None:
    tower = load_text_tower(tiny().model)
    counts = {
        arm: sum(p.numel() for p in build_network(arm_config(tiny(), arm, 0).model, LABELS, tower).parameters())
        for arm in ("attention", "balanced", "unbalanced")
    }
    assert len(set(counts.values())) == 1, counts


def test_an_ablation_compares_with_the_reference_and_goes_on(clips: ClipList, tmp_path: Path) -> None:
    heard = Heard()
    found = ablate(clips, tmp_path, tiny(), HOW, arms=["vision_only"], seeds=[0], listen=heard)
    assert heard.ends == ["vision_only, seed 0: is trained", "balanced, seed 0: is trained"]
    blind, balanced = found.arms
    assert (blind.arm, balanced.arm) == ("vision_only", "balanced"), "the reference joins by itself"
    assert blind.against is not None and balanced.against is None and blind.p_holm is not None
    assert set(blind.under) == {"none", "shuffled_frames"} and len(balanced.under) == 5
    assert "ATTENTION: 1 seed only" in " ".join(in_words(found))

    later = Heard()
    more = ablate(clips, tmp_path, tiny(), HOW, arms=["vision_only", "shuffled_captions"], seeds=[0], listen=later)
    assert later.ends == [
        "vision_only, seed 0: was there", "balanced, seed 0: was there", "shuffled_captions, seed 0: is trained"
    ]  # fmt: skip
    assert more.arms[0].over_seeds == blind.over_seeds
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "ablation-runs.parquet", "ablation.html", "ablation.md", "ablation.parquet"
    ]  # fmt: skip
    table = pq.read_table(tmp_path / "ablation.parquet").to_pylist()
    assert [row["arm"] for row in table] == ["vision_only", "balanced", "shuffled_captions"]
    runs = pq.read_table(tmp_path / "ablation-runs.parquet").to_pylist()
    assert Counter(row["arm"] for row in runs) == {"vision_only": 2, "balanced": 5, "shuffled_captions": 5}
    assert (tmp_path / "balanced" / "seed-0" / "report.html").exists()


def test_all_seeds_are_tested_on_one_split_in_whatever_order_they_are_run(clips: ClipList, tmp_path: Path) -> None:
    config = tiny(split={"by": "identity", "test_share": 0.34})
    ablate(clips, tmp_path, config, HOW, arms=["balanced"], seeds=[1])
    found = ablate(clips, tmp_path, config, HOW, arms=["balanced"], seeds=[0, 1])
    assert len({RunFolder.open(tmp_path / "balanced" / f"seed-{seed}").facts.split_key for seed in (0, 1)}) == 1
    assert found.arms[0].seeds == [0, 1] and found.arms[0].over_seeds is not None


def test_an_arm_that_diverges_keeps_its_row_with_the_reason(
    clips: ClipList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_and_judge

    def train(task: Task, *how: Any) -> Trained:
        if task.place.arm == "unbalanced":
            raise DivergedError("the loss is no number at step 3")
        return whole(task, *how)

    monkeypatch.setattr(ablate_module, "train_and_judge", train)
    found = ablate(clips, tmp_path, tiny(), HOW, arms=["unbalanced"], seeds=[0])
    failed = found.arms[-1]
    assert (
        failed.arm == "unbalanced"
        and failed.over_seeds is None
        and failed.missing == "seed 0: the loss is no number at step 3"
    )
    assert "failed: seed 0: the loss is no number at step 3" in (tmp_path / "ablation.md").read_text(encoding="utf-8")


def test_a_series_that_cannot_be_meant_is_refused_before_anything_is_trained(clips: ClipList, tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="no arm 'gate'; there are: vision_only"):
        ablate(clips, tmp_path, tiny(), HOW, arms=["gate"])
    for seeds in ([], [0, 0]):
        with pytest.raises(SeriesError, match="seeds are"):
            ablate(clips, tmp_path, tiny(), HOW, seeds=seeds)
    assert not list(tmp_path.iterdir())


def test_a_run_of_another_split_is_not_taken_over(clips: ClipList, tmp_path: Path) -> None:
    ablate(clips, tmp_path, tiny(), HOW, arms=["balanced"], seeds=[0])
    other = plan_splits(clips, tiny().split, seed=0)
    moved = {clip: ("train" if part == "validation" else part) for clip, part in other.part_of.items()}
    config, path = arm_config(tiny(), "balanced", 0), tmp_path / "balanced" / "seed-0"
    task = Task("again", path, config, clips, other.of(clips, moved), Place())
    with pytest.raises(SeriesError, match=r"holds a run of another split .* labels, groups or folds have changed"):
        train_and_judge(task, 1, 1, HOW, lambda _: None)


def test_a_series_under_torchrun_says_how_to_use_several_gpus(
    clips: ClipList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SeriesError, match=r"without torchrun\. Of several GPUs give each some seeds"):
        ablate(clips, tmp_path, tiny(), HOW, arms=["balanced"])


def test_ps_are_corrected_as_holm_says() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({}) == {} and holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_a_cell_of_a_markdown_table_stays_one_cell() -> None:
    text = markdown_of([Panel("p", "T", "M", ("a", "b"), [("x | y", None)])])
    assert "| x \\| y |  |" in text and text.startswith("## T\n\nM\n\n| a | b |\n|---|---|\n")


# --- folds


def fold_table(path: Path, ghost: bool = False) -> Path:
    rows = [
        f"{person}/{label}.mp4,{(n + k) % 2 + 1}" for n, person in enumerate(PEOPLE) for k, label in enumerate(LABELS)
    ]
    path.write_text("\n".join(["path,fold", *rows, *(["ghost.mp4,1"] if ghost else [])]), encoding="utf-8")
    return path


def test_a_cross_validation_tells_official_folds_and_folds_by_identity_side_by_side(
    clips: ClipList, tmp_path: Path
) -> None:
    path = fold_table(tmp_path / "folds.csv", ghost=True)
    matched = match_folds(read_folds(path), clips)
    heard = Heard()
    found = crossval(matched, tmp_path / "runs", tiny(), HOW, listen=heard)
    assert len(heard.ends) == 4 and all(one.endswith("is trained") for one in heard.ends)
    official, identity = found.divisions
    assert [one.fold for one in official.folds] == ["1", "2"] and not found.not_run
    assert sum(one.num_test for one in official.folds) == sum(one.num_test for one in identity.folds) == 18
    assert official.folds[0].num_shared_groups == 6 and all(one.num_shared_groups == 0 for one in identity.folds)
    assert official.folds[0].num_missing_test == 1 and official.war_if_missing_wrong < (official.pooled.war.value or 0)
    assert official.uar.mean == pytest.approx(sum(one.uar for one in official.folds) / 2)
    assert official.pooled.war.value == pytest.approx(sum(one.war * one.num_test for one in official.folds) / 18)
    assert found.identity_less_official is not None and found.identity_less_official.num_videos == 18
    told = " ".join(words_of_crossval(found))
    assert "ATTENTION: in the official folds 18 of 18 test videos are of people or films that are in train too" in told
    assert "'ghost.mp4'" in told
    facts = RunFolder.open(tmp_path / "runs" / "identity" / "fold-1" / "seed-0").facts
    assert facts.config.split.by == "identity" and facts.config.labels == tuple(sorted(LABELS))

    later = Heard()
    again = crossval(matched, tmp_path / "runs", tiny(), HOW, listen=later)
    assert all(one.endswith("was there") for one in later.ends) and again == found
    rows = pq.read_table(tmp_path / "runs" / "crossval.parquet").to_pylist()
    assert [(row["division"], row["fold"]) for row in rows] == [
        (division, fold) for division in ("official", "identity") for fold in ("1", "2")
    ]
    assert "Mean of the folds" in (tmp_path / "runs" / "crossval.md").read_text(encoding="utf-8")


def test_where_it_is_not_known_who_is_in_the_videos_the_official_folds_are_run_alone(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("nobody") / "corpus"
    columns = {f"{person}/{label}.mp4": {"group": None} for person in PEOPLE for label in LABELS}
    write_training_corpus(root, PEOPLE, PEOPLE[3:], video_columns=columns)
    path = fold_table(tmp_path / "folds.csv")
    matched = match_folds(read_folds(path), list_clips(root))
    found = crossval(matched, tmp_path / "runs", tiny(), HOW)
    assert [one.division for one in found.divisions] == ["official"] and "have no group" in found.not_run["identity"]
    assert found.drawn_by == "video" and found.identity_less_official is None
    with pytest.raises(FoldError, match="have no group"):
        crossval(matched, tmp_path / "runs", tiny(), HOW, divisions=["identity"])
