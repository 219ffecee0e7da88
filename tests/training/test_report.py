"""The page of a run: its figures, what must be known before they are believed, and text that stays text."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from pipeline.training.compare import compare
from pipeline.training.evaluate import Beside, Count, Curve, Evaluation, Judged, Provenance, flat_fields
from pipeline.training.metrics import figures
from pipeline.training.predictions import Scored
from pipeline.training.report import draw_curve, in_words, panels_of, thinned, write_report
from tests.audit.test_report import HOSTILE, Seen

LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def scored(seed: int, recall: float, labels: tuple[str, ...] = LABELS, *, sharp: float = 2.0) -> Scored:
    """Videos of twelve people; disgust is rare."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(7), [30, 4, 20, 40, 35, 30, 25])
    recalls = np.clip(recall + np.array([0, -0.3, -0.2, 0.2, 0.1, 0, 0]), 0, 1)
    right = rng.random(truth.size) < recalls[truth]
    said = np.where(right, truth, rng.integers(0, 7, truth.size))
    logits = rng.normal(0, 0.7, (truth.size, len(labels)))
    logits[np.arange(truth.size), said] += sharp
    return Scored(
        labels=labels,
        video_ids=tuple(f"{number:04d}" for number in range(truth.size)),
        groups=tuple(f"person {number % 12}" for number in range(truth.size)),
        truth_N=truth,
        log_probabilities_NK=log_softmax(logits, axis=1),
    )


def evaluation(labels: tuple[str, ...] = LABELS, **changed: object) -> Evaluation:
    own = scored(1, 0.75, labels)
    worse = {"no_text": scored(2, 0.6, labels), "shuffled_captions": scored(3, 0.45, labels), "shuffled_frames": own}
    epochs = np.arange(40) / 2
    curves = [
        Curve(
            name="loss",
            points={
                "train": [(float(at), float(2 * np.exp(-at / 6) + 0.1)) for at in epochs],
                "validation": [(float(at), float(2 * np.exp(-at / 5) + 0.4)) for at in range(1, 21)],
            },
        ),
        Curve(
            name="uar", points={"validation": [(float(at), float(0.8 - np.exp(-at / 5) * 0.6)) for at in range(1, 21)]}
        ),
        Curve(name="gate", points={"train": [(float(at), float(np.tanh(at / 9))) for at in epochs]}),
    ]
    identity = scored(5, 0.68, labels)
    facts = {
        "run": "runs/first",
        "part": "test",
        "split_by": "official",
        "controls": [
            Judged(control="none", figures=figures(own)),
            *(
                Judged(control=name, figures=figures(one), against_none=compare([one], [own]))
                for name, one in worse.items()
            ),
        ],
        "not_asked": {"text_only": "no clip of test has a text"},
        "counts": [
            Count(part=part, label=label, num_clips=40, num_videos=20, num_groups=9, num_unknown=0)
            for part in ("train", "validation", "test")
            for label in labels
        ],
        "num_shared_groups": 0,
        "num_unknown_groups": 0,
        "curves": curves,
        "provenance": Provenance(
            corpus="data/corpus",
            snapshot=4,
            clips_key="c" * 32,
            split_key="d" * 32,
            plan_key="e" * 32,
            config_key="f" * 32,
            weights_sha256="a" * 64,
            pretrained={},
            software={"torch": "2.13.0"},
            device="cpu",
            precision="fp32",
            started_at="2030-01-01T00:00:00Z",
            trained_s=120.0,
            epochs=20,
            kept_epoch=19,
            keep="last",
            config={"model.alignment": "balanced", "epochs": "20"},
            changed=["epochs"],
        ),
        "beside": [
            Beside(
                name="runs/identity",
                split_by="identity",
                figures=figures(identity),
                paired=compare([own], [identity]),
                why=None,
            )
        ],
    }
    return Evaluation.model_validate({**facts, **changed})


def test_the_page_tells_the_figures_and_loads_nothing(tmp_path: Path) -> None:
    report = evaluation()
    page, picture = write_report(report, tmp_path)
    text = page.read_text(encoding="utf-8")
    seen = Seen(text)
    assert not {"script", "img", "link", "iframe"} & set(seen.tags)
    assert not re.search(r"(?:src|href|url)\s*[=(]", text)
    told = re.sub(r"\s+", " ", seen.text)
    assert f"{report.figures.uar.value:.3f}" in told and str(report.figures.war) in told
    for words in ("Recall by label", "Confusion", "Reliability", "Controls", "Side by side", "Learning", "Config"):
        assert words in told, words
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion.png", "report.html"]


def test_names_that_would_do_harm_come_out_as_text(tmp_path: Path) -> None:
    labels = (HOSTILE, *LABELS[1:])
    page, _ = write_report(evaluation(labels, run=HOSTILE), tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "<script>" not in text and "\u202e" not in text
    assert "⟨U+202E⟩gnp.exe {{ 7 * 7 }}" in Seen(text).text


def test_it_says_first_which_weights_and_that_nothing_was_chosen_on_the_test() -> None:
    (first, *_) = in_words(evaluation())
    assert first == (
        "The weights are those at the end of the training, epoch 20 of 20: nothing was selected. 280 clips of 140 "
        "videos validate; no test clip is among them. The test clips were not asked until now."
    )
    best = evaluation().provenance.model_copy(update={"keep": "best", "kept_epoch": 11})
    assert "those of the best UAR on the validation clips, epoch 12 of 20" in in_words(evaluation(provenance=best))[0]


def test_what_makes_figures_too_good_is_said_loud() -> None:
    told = " ".join(in_words(evaluation(num_shared_groups=3, num_unknown_groups=9, part="validation")))
    assert "ATTENTION: 3 persons or films are in train and in validation" in told and 'split.by = "identity"' in told
    assert "Of 9 of 184 videos it is not known who is in them" in told
    assert "not of the test" in told and "too good" in told
    assert "ATTENTION" not in " ".join(in_words(evaluation()))


def test_the_worth_of_a_single_video_and_labels_without_one_are_said() -> None:
    own = scored(1, 0.75, (*LABELS, "contempt"))
    told = " ".join(in_words(evaluation(controls=[Judged(control="none", figures=figures(own))])))
    assert "A single video of the rarest label is worth 0.0357 of UAR" in told
    assert "No test video is of contempt: left out of UAR and macro-F1, not counted as 0." in told


def test_controls_are_answered_with_their_question() -> None:
    (panel,) = [one for one in panels_of(evaluation()) if one.part == "controls"]
    said = {str(row[0]): str(row[5]) for row in panel.rows}
    assert said["shuffled_captions"].endswith("Yes: without that it is worse.")
    assert said["shuffled_frames"] == "Does it look at the order of the frames? Not that it shows."
    assert str(panel.rows[-1][2]) == "not asked: no clip of test has a text"


def test_a_long_curve_is_thinned_by_means_and_a_short_one_is_drawn() -> None:
    points = [(float(at), float(at % 2)) for at in range(1000)]
    found = thinned(points, 100)
    assert len(found) == 100 and {value for _, value in found} == {0.5}
    one = draw_curve(Curve(name="uar", points={"validation": [(1.0, 0.5)]}))
    assert one.paths["validation"].endswith("h2") and one.last == "validation 0.5"


def test_a_matrix_of_labels_without_videos_has_no_shares(tmp_path: Path) -> None:
    own = scored(1, 0.75, (*LABELS, "contempt"))
    page, _ = write_report(
        evaluation((*LABELS, "contempt"), controls=[Judged(control="none", figures=figures(own))]), tmp_path
    )
    assert "no test video" in page.read_text(encoding="utf-8")


def test_fields_of_a_config_have_their_full_names() -> None:
    assert flat_fields({"model": {"tower": "small"}, "seed": 1}) == {"model.tower": "small", "seed": 1}


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_run_without_validation_says_so(keep: str) -> None:
    counts = [one for one in evaluation().counts if one.part != "validation"]
    made = evaluation().provenance.model_copy(update={"keep": keep, "kept_epoch": None})
    assert "No clip validates." in in_words(evaluation(counts=counts, provenance=made))[0]
