"""Tracks of rendered clips against their truth: nobody is lost, and nobody becomes another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.inspection.corpus import Corpus
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.synthetic.corpus import read_truth, write_corpus
from pipeline.synthetic.score import FaceFigures, score_faces
from pipeline.tracks.config import TrackConfig
from pipeline.walk import WALK, BuildConfig, open_walk
from schemas.tracks import TRACKS

TracksOf = Callable[..., FaceFigures]


@pytest.fixture
def tracked(tmp_path: Path) -> TracksOf:
    """Render clips with one distractor, track them, and hold the tracks against the truth."""

    def tracked(distractor: str, *, clips: int = 1, seconds: float = 2.5, **config: object) -> FaceFigures:
        folder, root = tmp_path / "clips", tmp_path / "corpus"
        write_corpus(folder, clips, 515_000, distractors=[distractor], seconds=seconds, workers=2)
        walk = open_walk(Store.open_or_create(root, 2), folder, BuildConfig(tracks=TrackConfig.model_validate(config)))
        for stage in WALK[:2]:
            for bucket in walk.take_settled(stage):
                walk.run(stage, bucket, Resources(source=folder))
        walk.commit(folder)
        corpus = Corpus(root)
        names = {row["video_id"]: row["path"] for row in corpus.arrow("videos", ["video_id", "path"]).to_pylist()}
        return score_faces(read_truth(folder), corpus.arrow(TRACKS.name), names).pooled

    return tracked


@pytest.mark.timeout(300)
def test_faces_that_cross_stay_who_they_are(tracked: TracksOf) -> None:
    figures = tracked("crossing")
    assert (figures.num_switches, figures.num_fragmentations) == (0, 0)
    assert figures.recall >= 0.97
    assert figures.iou_median >= 0.85


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("distractor", "config"),
    [
        pytest.param("crossing", {}, id="crossing"),
        pytest.param("crossing", {"redetect_every": 1}, id="crossing, searched every frame"),
        pytest.param("cut", {}, id="cut"),
        pytest.param("short_miss", {}, id="short miss"),
        pytest.param("head_motion", {}, id="strong head motion"),
        pytest.param("several", {}, id="three faces"),
        pytest.param("small", {"detector": "far"}, id="small faces"),
        pytest.param("variable_frame_rate", {}, id="variable frame rate"),
    ],
)
def test_every_face_is_found_and_nobody_becomes_another(
    tracked: TracksOf, distractor: str, config: dict[str, object]
) -> None:
    figures = tracked(distractor, clips=3, **config)
    assert (figures.num_switches, figures.num_across_cuts) == (0, 0)
    assert figures.recall >= 0.97
    assert figures.iou_median >= 0.85
    assert figures.false_per_frame <= 0.01


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_who_leaves_and_comes_back_is_two_tracks_with_the_right_times(tracked: TracksOf) -> None:
    figures = tracked("leave_and_return", clips=2, seconds=6.0)
    assert figures.num_switches == 0
    assert figures.recall >= 0.97
    assert max(figures.late_starts_s) <= 0.2
    assert max(figures.early_ends_s) <= 0.2
