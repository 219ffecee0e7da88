"""Predictions of clips become scores of videos; what cannot be judged is refused with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.training.metrics import figures
from pipeline.training.predictions import (
    PREDICTIONS,
    PredictionError,
    Predictions,
    per_video,
    read_predictions,
    together,
)

LABELS = ("anger", "fear", "happiness")


def rows_of(*clips: tuple[str, str, list[float]], **more: Any) -> Predictions:
    """Clips as video, label and probabilities."""
    rows = [
        {
            "clip_id": f"{video}-{number}",
            "track_id": video,
            "video_id": video,
            "label": label,
            "seed": 0,
            "control": "none",
            "probabilities": probabilities,
            "predicted": LABELS[int(np.argmax(probabilities))],
            **more,
        }
        for number, (video, label, probabilities) in enumerate(clips)
    ]
    return Predictions(PREDICTIONS.rows(rows), LABELS, "key")


def test_a_video_is_the_mean_of_the_log_probabilities_of_its_clips() -> None:
    found = per_video(
        rows_of(
            ("b", "fear", [0.2, 0.7, 0.1]),
            ("a", "anger", [0.9, 0.05, 0.05]),
            ("b", "fear", [0.6, 0.3, 0.1]),
        )
    )
    assert found.video_ids == ("a", "b") and found.truth_N.tolist() == [0, 1]
    geometric = np.sqrt([0.2 * 0.6, 0.7 * 0.3, 0.1 * 0.1])
    assert np.exp(found.log_probabilities_NK[1]) == pytest.approx(geometric / geometric.sum())
    assert found.predicted_N.tolist() == [0, 1], "the surer clip counts for more"


def test_a_probability_of_zero_is_no_infinite_loss() -> None:
    found = per_video(rows_of(("a", "fear", [1.0, 0.0, 0.0])))
    assert np.isfinite(found.log_probabilities_NK).all()
    assert 80 < (figures(found).nll.value or 0) < 90


def test_a_label_that_the_run_never_learnt_counts_as_wrong() -> None:
    found = per_video(rows_of(("a", "contempt", [0.8, 0.1, 0.1]), ("b", "anger", [0.8, 0.1, 0.1])))
    assert found.unlearnt == ("contempt",) and found.labels == (*LABELS, "contempt")
    told = figures(found)
    assert told.uar.value == 0.5 and told.unlearnt == ["contempt"] and told.absent == ["fear", "happiness"]


def test_a_video_of_two_labels_or_groups_is_refused() -> None:
    with pytest.raises(PredictionError, match=r"video a has clips of \('fear', None\) and of \('anger', None\)"):
        per_video(rows_of(("a", "fear", [1, 0, 0]), ("a", "anger", [1, 0, 0])))
    with pytest.raises(PredictionError, match="there is no clip to judge"):
        per_video(rows_of())
    short = rows_of(("a", "fear", [0.5, 0.5]))
    with pytest.raises(PredictionError, match="1 clips have 2 probabilities, expected 3 for each"):
        per_video(short)


def test_a_written_table_says_its_labels_and_what_it_was_made_with(tmp_path: Path) -> None:
    path = rows_of(("a", "fear", [0.25, 0.5, 0.25]), group="person", fold="1").write(
        tmp_path / "new" / "test-none.parquet"
    )
    found = read_predictions(path)
    assert (found.labels, found.made_with) == (LABELS, "key")
    assert found.table.to_pylist()[0]["probabilities"] == [0.25, 0.5, 0.25]
    assert [one.name for one in path.parent.iterdir()] == ["test-none.parquet"]
    with pytest.raises(PredictionError, match="facescribe evaluate"):
        read_predictions(tmp_path / "no.parquet")
    pa.parquet.write_table(pa.table({"clip_id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(PredictionError, match="is no table of predictions"):
        read_predictions(tmp_path / "other.parquet")


def test_folds_are_put_together_by_the_names_of_their_labels() -> None:
    first = per_video(rows_of(("b", "fear", [0.2, 0.7, 0.1]), ("d", "anger", [0.9, 0.05, 0.05])))
    turned = rows_of(("c", "fear", [0.1, 0.2, 0.7]))
    second = per_video(Predictions(turned.table, ("happiness", "anger", "fear"), "key"))
    both = together([first, second])
    assert both.video_ids == ("b", "c", "d") and both.labels == LABELS
    assert both.predicted_N.tolist() == [1, 1, 0] == both.truth_N.tolist()
    with pytest.raises(PredictionError, match="video b is tested in two"):
        together([first, first])
