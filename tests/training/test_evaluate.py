"""Real runs, judged: what is asked, under which control, what is stored, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.training.clips import list_clips
from pipeline.training.config import TrainConfig, TrainResources
from pipeline.training.errors import RunError
from pipeline.training.evaluate import evaluate, score
from pipeline.training.fit import fit
from pipeline.training.predict import Place, Predictor, clips_of_run, prediction_path
from pipeline.training.predictions import CONTROLS, PredictionError, read_predictions
from pipeline.training.report import write_report
from pipeline.training.run_folder import RunFolder
from tests.audit.test_report import Seen
from tests.training_corpus import LABELS, write_training_corpus

HOW = TrainResources(device="cpu", threads=1, log_every=1)
PEOPLE = tuple(f"person {number}" for number in range(7))


def tiny(**changes: Any) -> TrainConfig:
    model = {"width": 16, "small_channels": 8, "heads": 2, "sinkhorn_iterations": 5, **changes.pop("model", {})}
    return TrainConfig.model_validate({"epochs": 2, "batch": 6, "learning_rate": 4e-3, "model": model, **changes})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("judged") / "corpus"
    write_training_corpus(root, PEOPLE, PEOPLE[4:], clips_of_each=2)
    return root


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder.open(fit(corpus, tmp_path_factory.mktemp("run") / "full", tiny(), HOW).path)


@pytest.fixture(scope="module")
def without_text(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    model = {"caption": "none", "alignment": "none"}
    config = tiny(model=model, loss={"contrast_weight": 0.0}, split={"by": "identity", "test_share": 0.3})
    return RunFolder.open(fit(corpus, tmp_path_factory.mktemp("run") / "blind", config, HOW).path)


def test_every_clip_of_the_part_is_asked_once_and_scored_by_video(run: RunFolder) -> None:
    made = Predictor(run, resources=HOW, place=Place(fold="2", arm="balanced")).predict(anew=True)
    assert made.labels == tuple(sorted(LABELS)) and made.table.num_rows == 3 * 3 * 2
    assert np.array(made.table["probabilities"].to_pylist()).sum(axis=1) == pytest.approx(np.ones(18))
    row = made.table.to_pylist()[0]
    assert (row["fold"], row["arm"], row["control"], row["seed"]) == ("2", "balanced", "none", 0)
    scored = score(run, resources=HOW)
    assert len(scored.video_ids) == 9 and set(scored.groups) == set(PEOPLE[4:])


def test_what_a_run_said_is_kept_until_its_weights_are_others(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = RunFolder.open(fit(corpus, tmp_path / "run", tiny(epochs=1), HOW).path)
    first = Predictor(own, resources=HOW).predict()
    path = prediction_path(own.path, "test", "none")
    assert read_predictions(path).table.equals(first.table)
    monkeypatch.setattr(Predictor, "_ask", lambda *_: pytest.fail("it was asked again"))
    assert Predictor(own, resources=HOW).predict().table.equals(first.table)
    with pytest.raises(BaseException, match="asked again"):
        Predictor(own, resources=HOW).predict(anew=True)
    own.weights.write_bytes(own.weights.read_bytes() + b"\0")
    with pytest.raises(BaseException, match="asked again"):
        Predictor(own, resources=HOW).predict()
    path.write_bytes(b"damaged")
    with pytest.raises(BaseException, match="asked again"):
        Predictor(own, resources=HOW).predict()


def test_controls_show_what_they_say(run: RunFolder) -> None:
    asked = Predictor(run, resources=HOW)
    found = {name: np.array(asked.predict("test", name).table["probabilities"].to_pylist()) for name in CONTROLS}
    again = np.array(asked.predict("test", "none", anew=True).table["probabilities"].to_pylist())
    assert np.array_equal(found["none"], again), "nothing is drawn by chance"
    for name in ("no_text", "shuffled_captions", "shuffled_frames", "text_only"):
        assert not np.array_equal(found[name], found["none"]), name
    label = asked.predict("test", "text_only").table["label"].to_pylist()
    for one in set(label):
        of_label = found["text_only"][[place for place, own in enumerate(label) if own == one]]
        assert of_label == pytest.approx(np.broadcast_to(of_label[0], of_label.shape), abs=1e-6), (
            "texts are all it sees"
        )


def test_a_network_without_text_is_not_asked_about_texts(without_text: RunFolder) -> None:
    found = evaluate(without_text, resources=HOW)
    assert [one.control for one in found.controls] == ["none", "shuffled_frames"]
    assert set(found.not_asked.values()) == {"the network reads no text"}


def test_an_evaluation_tells_where_the_run_is_from(run: RunFolder, without_text: RunFolder, tmp_path: Path) -> None:
    found = evaluate(run, resources=HOW, beside=[without_text])
    assert [one.control for one in found.controls] == list(CONTROLS) and not found.not_asked
    assert found.figures.num_videos == 9 and found.figures.drawn_by == "group" and found.figures.num_clusters == 3
    assert (found.num_shared_groups, found.num_unknown_groups, found.split_by) == (0, 0, "official")
    assert {one.part for one in found.counts} == {"train", "validation", "test"}
    assert sum(one.num_videos for one in found.counts) == len(PEOPLE) * len(LABELS)
    made = found.provenance
    assert (
        made.snapshot == 1 and "model.width" in made.changed and made.kept_epoch == 1 and len(made.weights_sha256) == 64
    )
    assert any(one.name.endswith("uar") and "validation" in one.points for one in found.curves)
    (beside,) = found.beside
    assert beside.split_by == "identity" and (beside.paired is not None or "other test videos" in str(beside.why))
    page, picture = write_report(found, tmp_path)
    assert "Side by side" in Seen(page.read_text(encoding="utf-8")).text and picture.stat().st_size > 10_000


def test_validation_can_be_judged_and_is_not_called_test(run: RunFolder) -> None:
    found = evaluate(run, "validation", controls=("none",), resources=HOW)
    assert found.part == "validation" and len(found.controls) == 1
    assert found.figures.uar.value == pytest.approx(run.facts.validation["uar"], abs=1e-9), "the training saw the same"


def test_the_clips_of_a_run_are_those_that_it_was_trained_from(run: RunFolder, corpus: Path) -> None:
    assert clips_of_run(run).key == run.facts.clips_key == list_clips(corpus).key


def test_what_cannot_be_judged_is_refused(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run at"):
        RunFolder.open(tmp_path / "none")
    begun = RunFolder(tmp_path / "begun")
    begun.path.mkdir()
    begun.write_facts(run.facts.model_copy(update={"state": "training", "epochs_done": 1}))
    with pytest.raises(PredictionError, match=r"is not over \(1 of 2 epochs\): the command that began it goes on"):
        evaluate(begun, resources=HOW)
    with pytest.raises(PredictionError, match="no control 'no_sound'; there are: none, no_text"):
        evaluate(run, controls=("no_sound",), resources=HOW)
