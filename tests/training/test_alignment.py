from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from flows.aligning import align
from pipeline.actions.geometry import REGION_POINTS
from pipeline.inspection.corpus import Corpus
from pipeline.model.config import ModelConfig
from pipeline.model.network import build_network
from pipeline.model.text import MiniLM
from pipeline.training.alignment import (
    FACE_COLUMNS,
    ClipFace,
    Told,
    claims_of_truth,
    even_mass,
    face_of_clip,
    frames_of,
    mass_of_words,
    place_of,
    region_cells,
    score_alignment,
    share_of,
    told_actions,
)
from pipeline.training.alignment_picture import draw_alignment, draw_alignments
from pipeline.training.alignment_scores import (
    AlignmentScorer,
    disagreements,
    measure_alignment,
    plans_of,
    read_truth,
    summarise_alignment,
)
from pipeline.training.assemble import Assembler
from pipeline.training.batches import ClipReader
from pipeline.training.clips import list_clips
from pipeline.training.config import TrainConfig, TrainResources
from pipeline.training.errors import EvaluationError
from pipeline.training.fit import fit
from tests.real_corpus import build_without_scheduler

TEXT = "The inner brows rise, then the left lip corner rises."
WORDS = ("inner", "brows", "rise", "left", "lip", "corner", "rises")


def claim(action: str, side: str, start_s: float, end_s: float, polarity: str = "present") -> dict[str, Any]:
    return {"action": action, "side": side, "start_s": start_s, "end_s": end_s, "polarity": polarity}


CLAIMS = [claim("inner_brow_raise", "middle", 0.2, 0.5), claim("lip_corner_raise", "left", 0.6, 1.0)]


def spans_of(text: str) -> tuple[tuple[int, int], ...]:
    found, at = [], 0
    for word in text.replace(",", " ").replace(".", " ").split():
        at = text.index(word, at)
        found.append((at, at + len(word)))
        at += len(word)
    return tuple(found)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Corpus:
    """Two real faces, through every stage."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("aligned")
    said = folder / "said.csv"
    said.write_text("path,label,split,group\nman/smile.mp4,happiness,train,man\ntalk.mp4,neutral,train,other\n")
    build_without_scheduler(clips, folder / "corpus", annotations=said)
    return Corpus(folder / "corpus")


@pytest.fixture(scope="module")
def face(corpus: Corpus) -> ClipFace:
    """A real face that looks at the camera, in the frames of a clip."""
    videos = corpus.videos().set_index("path")
    tracks = corpus.arrow("tracks", [*FACE_COLUMNS, "video_id"]).to_pylist()
    track = next(one for one in tracks if one["video_id"] == videos.loc["man/smile.mp4", "video_id"])
    times = np.array(track["times_s"])[np.linspace(0, len(track["times_s"]) - 1, 16).astype(int)]
    return face_of_clip(track, times, np.zeros(16, bool))


def plan_on(face: ClipFace, told: list[Told], spans: tuple[tuple[int, int], ...]) -> NDArray[np.float64]:
    """A plan of which each told action's words meet its own place alone, and other words everything."""
    plan = np.repeat(even_mass(face).reshape(1, -1), len(spans), axis=0)
    for one in told:
        place = place_of(one, face)
        assert place is not None
        for row, (start, end) in enumerate(spans):
            if start < one.end and end > one.start:
                plan[row] = place.both_TRR.ravel() / place.both_TRR.sum()
    return plan / len(spans)


# --- which words tell which claim


def test_words_are_those_of_the_reader_and_claims_are_found_by_action_and_side() -> None:
    told = told_actions(TEXT, CLAIMS)
    assert [(one.words, one.action, one.region, one.side) for one in told] == [
        ("inner brows rise", "inner_brow_raise", "brows", "middle"),
        ("lip corner rises", "lip_corner_raise", "mouth", "left"),
    ]
    assert all(TEXT[one.start : one.end] == one.words for one in told)
    assert not told_actions("The right lip corner rises.", CLAIMS)


def test_the_same_action_twice_is_told_in_the_order_of_the_claims() -> None:
    closed = [claim("eye_close", "both", 2.0, 2.2), claim("eye_close", "both", 1.0, 1.2)]
    told = told_actions("The eyes close, and later the eyes close again.", closed)
    assert [[c["start_s"] for c in one.claims] for one in told] == [[1.0], [2.0]]
    (once,) = told_actions("The eyes close.", closed)
    assert [c["start_s"] for c in once.claims] == [1.0, 2.0]


def test_what_is_denied_or_told_of_the_head_has_no_place() -> None:
    denied = claim("jaw_drop", "middle", 0.0, 3.0, "absent")
    turned = claim("head_turn", "left", 0.5, 1.0)
    looked = claim("gaze_lower", "middle", 0.5, 1.0)
    assert not told_actions("The jaw does not drop.", [denied])
    assert not told_actions("The head turns to the left.", [turned])
    (gaze,) = told_actions("The gaze lowers.", [looked])
    assert gaze.region == "eyes"


def test_drawn_events_stand_for_claims_in_the_tracks_own_time() -> None:
    event = {"action": "jaw_drop", "side": "middle", "onset_s": 1.5, "apex_s": 1.7, "offset_s": 2.0, "peak": 0.8}
    (drawn,) = claims_of_truth([event], start_s=0.5)
    assert (drawn["start_s"], drawn["end_s"], drawn["polarity"]) == (1.0, 1.5, "present")


# --- where and when


def test_regions_lie_in_the_crop_where_a_face_has_them(face: ClipFace) -> None:
    rows = {name: np.argwhere(region_cells(face, name, "both", dilate=0)[0]).mean(axis=0)[0] for name in REGION_POINTS}
    assert rows["brows"] < rows["eyes"] < rows["nose"] < rows["mouth"] < rows["jaw"]
    columns = {
        (name, side): np.argwhere(region_cells(face, name, side, dilate=0)[0]).mean(axis=0)[1]
        for name in ("brows", "eyes", "cheeks", "mouth")
        for side in ("left", "right")
    }
    for name in ("brows", "eyes", "cheeks", "mouth"):
        assert columns[name, "left"] > columns[name, "right"]  # the person's own left is on the right of the picture


def test_between_the_two_of_a_pair_nothing_is_covered(face: ClipFace) -> None:
    apart = region_cells(face, "eyes", "left", dilate=0) | region_cells(face, "eyes", "right", dilate=0)
    assert (region_cells(face, "eyes", "both", dilate=0) == apart).all()


@given(side=st.sampled_from(["left", "right", "both", "middle"]), region=st.sampled_from(sorted(REGION_POINTS)))
@settings(max_examples=24, deadline=None)
def test_more_cells_around_a_region_only_add(corpus: Corpus, face: ClipFace, side: str, region: str) -> None:
    narrow, wide = (region_cells(face, region, side, dilate=reach) for reach in (0, 1))
    assert narrow.any(axis=(1, 2)).all()
    assert (wide | narrow == wide).all() and wide.sum() > narrow.sum()
    if side in ("left", "right"):
        assert (region_cells(face, region, "both") | wide == region_cells(face, region, "both")).mean() > 0.98


def test_frames_within_the_span_are_the_moment_and_padding_never(face: ClipFace) -> None:
    assert (frames_of(0.2, 0.5, face) == ((face.times_T >= 0.2) & (face.times_T <= 0.5))).all()
    padded = replace(face, is_padding_T=np.arange(16) >= 12)
    assert not frames_of(0.0, 99.0, padded)[12:].any()
    between = (face.times_T[3] + face.times_T[4]) / 2
    assert frames_of(between - 0.001, between + 0.001, face).sum() == 1
    assert not frames_of(50.0, 51.0, face).any()


def test_what_lies_in_another_clip_of_the_track_has_no_place_in_this_one(face: ClipFace) -> None:
    (one,) = told_actions("The jaw drops.", [claim("jaw_drop", "middle", 50.0, 51.0)])
    assert place_of(one, face) is None
    assert score_alignment(np.ones((3, 784)) / 2352, spans_of("The jaw drops."), [one], face) == []


# --- known plans


def test_mass_on_the_right_cells_in_the_right_frames_scores_one(face: ClipFace) -> None:
    told, spans = told_actions(TEXT, CLAIMS), spans_of(TEXT)
    rows = score_alignment(plan_on(face, told, spans), spans, told, face)
    assert len(rows) == 2
    for row in rows:
        assert row["own_region"] == pytest.approx(1) and row["own_moment"] == pytest.approx(1)
        assert row["own_both"] == pytest.approx(1)
        assert row["chance_both"] < row["all_both"] < 1
    assert [row["met_region"] for row in rows] == ["brows", "mouth"]


def test_even_mass_scores_chance(face: ClipFace) -> None:
    told, spans = told_actions(TEXT, CLAIMS), spans_of(TEXT)
    plan = np.repeat(even_mass(face).reshape(1, -1), len(spans), axis=0)
    for row in score_alignment(plan, spans, told, face):
        for aspect in ("region", "moment", "both"):
            assert row[f"own_{aspect}"] == pytest.approx(row[f"chance_{aspect}"])
        assert row["chance_both"] == pytest.approx(row["chance_region"] * row["chance_moment"], abs=0.02)


def test_chance_leaves_padding_out(face: ClipFace) -> None:
    padded = replace(face, is_padding_T=np.arange(16) >= 8)
    told = told_actions(TEXT, [claim("inner_brow_raise", "middle", 0.0, 99.0)])
    place = place_of(told[0], padded)
    assert place is not None
    assert share_of(even_mass(padded), place).moment == pytest.approx(1)


def test_the_right_region_at_the_wrong_moment_scores_on_the_region_alone(face: ClipFace) -> None:
    told, spans = told_actions(TEXT, CLAIMS)[:1], spans_of(TEXT)
    late = [replace(told[0], claims=(claim("inner_brow_raise", "middle", 0.7, 1.0),))]
    (row,) = score_alignment(plan_on(face, late, spans), spans, told, face)
    assert row["own_region"] > 0.9 and row["own_moment"] == row["own_both"] == 0
    frame = pd.DataFrame([{**row, "track_id": "t", "clip_id": "c", "path": "p", "text": TEXT}])
    (listed,) = disagreements(frame).to_dict("records")
    assert listed["times_chance"] == 0
    assert "0% is from 0.2 to 0.5 s" in listed["why"] and "mass is on" not in listed["why"]


def test_the_wrong_region_is_listed_with_what_was_met_instead(face: ClipFace) -> None:
    told, spans = told_actions(TEXT, CLAIMS), spans_of(TEXT)
    swapped = [replace(told[0], claims=(claim("jaw_drop", "middle", 0.2, 0.5),))]
    (row,) = score_alignment(plan_on(face, swapped, spans), spans, told[:1], face)
    frame = pd.DataFrame([{**row, "track_id": "t", "clip_id": "c", "path": "p", "text": TEXT}])
    (listed,) = disagreements(frame).to_dict("records")
    assert "is on the brows" in listed["why"] and "densest on the jaw" in listed["why"]


def test_words_that_move_no_mass_are_not_scored(face: ClipFace) -> None:
    told, spans = told_actions(TEXT, CLAIMS), spans_of(TEXT)
    plan = plan_on(face, told, spans)
    plan[[row for row, (start, _) in enumerate(spans) if start < told[0].end]] = 0
    assert [row["action"] for row in score_alignment(plan, spans, told, face)] == ["lip_corner_raise"]
    assert score_alignment(np.zeros_like(plan), spans, told, face) == []
    assert mass_of_words(plan, spans, 1000, 1001) is None


def test_the_summary_has_means_with_intervals_over_videos() -> None:
    chance = np.random.default_rng(0)
    rows = pd.DataFrame({"video_id": [f"v{n // 3}" for n in range(60)]})
    for mass, level in (("own", 0.6), ("all", 0.4), ("chance", 0.3)):
        for aspect in ("region", "moment", "both"):
            rows[f"{mass}_{aspect}"] = level + 0.1 * chance.standard_normal(60)
    lines: dict[Any, Any] = {
        (line["mass"], line["aspect"]): line for line in summarise_alignment(rows).to_dict("records")
    }
    own = lines["own", "both"]
    assert own["low"] < own["mean"] < own["high"] < 0.7
    assert own["times_chance"] == pytest.approx(2, abs=0.2) and own["num_videos"] == 20
    assert lines["chance", "both"]["times_chance"] == pytest.approx(1)


# --- a corpus and a network


def test_a_network_is_asked_and_scored_on_a_real_corpus(corpus: Corpus, tmp_path: Path) -> None:
    clips = list_clips(corpus)
    tower = MiniLM()
    torch.manual_seed(0)
    config = ModelConfig(alignment="attention")
    network = build_network(config, ["happiness", "neutral"], tower)
    assembler = Assembler(clips, tower, ["happiness", "neutral"])
    scorer = AlignmentScorer(clips, tower)
    positions = scorer.in_reading_order(range(len(clips)))
    assert sorted(positions) == list(range(len(clips)))
    rows = []
    for position, plan_LN in plans_of(network, assembler, ClipReader(clips, config.frame_px), positions):
        rows += scorer.score(position, plan_LN)
        text = scorer.text(position)
        assert text is not None and all(one.words in text for one in scorer.told(position))
    assert rows, "the corpus tells no action: the test shows nothing"
    assert {row["clip_id"] for row in rows} <= set(clips.table["clip_id"].to_pylist())
    for row in rows:
        assert 0 < row["own_both"] <= min(row["own_region"], row["own_moment"]) <= 1


def test_a_finished_run_is_measured_and_drawn(corpus: Corpus, tmp_path: Path) -> None:
    clips = list_clips(corpus)
    model = {"width": 16, "small_channels": 8, "heads": 2, "sinkhorn_iterations": 5}
    config = TrainConfig.model_validate({"epochs": 1, "batch": 2, "model": model})
    run = fit(corpus.place, tmp_path / "run", config, TrainResources(device="cpu", threads=1, workers=0))
    rows = measure_alignment(run, clips, range(len(clips)))
    assert summarise_alignment(rows)["num_told"].iloc[0] == len(rows) > 0
    assert disagreements(rows)["why"].str.contains("chance").all()
    paths = draw_alignments(run, clips, range(len(clips)), tmp_path / "pictures")
    assert {path.stem for path in paths} == set(rows["clip_id"])
    assert all(path.stat().st_size > 50_000 for path in paths)


def test_the_command_lists_what_disagrees_and_draws(corpus: Corpus, tmp_path: Path) -> None:
    model = {"width": 16, "small_channels": 8, "heads": 2, "sinkhorn_iterations": 5}
    config = TrainConfig.model_validate({"epochs": 1, "batch": 2, "model": model})
    fit(corpus.place, tmp_path / "run", config, TrainResources(device="cpu", threads=1, workers=0))
    app = typer.Typer()
    app.command()(align)
    asked = [str(tmp_path / "run"), "--split", "train", "--pictures", "1", "--device", "cpu"]
    said = CliRunner().invoke(app, asked, env={"COLUMNS": "200"})
    assert said.exit_code == 0, said.output
    assert "told actions of" in said.output and "own" in said.output and "chance" in said.output
    rows = pd.read_parquet(tmp_path / "run" / "alignment.parquet")
    listed = pd.read_parquet(tmp_path / "run" / "disagreements.parquet")
    assert set(listed["clip_id"]) <= set(rows["clip_id"])
    assert len(list((tmp_path / "run" / "alignments").glob("*.png"))) == 1


def test_a_network_without_alignment_says_how_to_get_one(corpus: Corpus) -> None:
    clips, tower = list_clips(corpus), MiniLM()
    config = ModelConfig(alignment="none")
    network = build_network(config, ["happiness"], tower)
    plans = plans_of(network, Assembler(clips, tower, ["happiness"]), ClipReader(clips, config.frame_px), [0])
    with pytest.raises(EvaluationError, match='alignment = "none".*train one with'):
        next(plans)


def test_the_truth_of_drawn_clips_is_read_by_file_and_only_where_there_is_one_face(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from schemas.truth import TRUE_EVENT

    event = {"action": "jaw_drop", "side": "middle", "onset_s": 1.5, "apex_s": 1.7, "offset_s": 2.0, "peak": 0.5}
    table = pa.table(
        {
            "clip": ["a.mp4", "b.mp4", "b.mp4"],
            "face": pa.array([0, 0, 1], pa.int32()),
            "events": pa.array([[event], [event], []], pa.list_(TRUE_EVENT)),
        }
    )
    pq.write_table(table, tmp_path / "truth.parquet")
    assert read_truth(tmp_path / "truth.parquet") == {"a.mp4": [event]}


# --- the picture


def test_a_picture_is_drawn_with_the_heat_where_the_mass_is(face: ClipFace, tmp_path: Path) -> None:
    told, spans = told_actions(TEXT, CLAIMS), spans_of(TEXT)
    frames = np.full((16, 56, 56, 3), 90, np.uint8)
    plan = plan_on(face, told, spans)
    path = draw_alignment(tmp_path / "one" / "clip.png", frames, TEXT, spans, plan, told, face, title="clip")
    picture = cv2.imread(str(path))
    assert picture is not None and picture.shape[1] == 1600
    blue, green, red = (picture[..., channel].astype(int) for channel in range(3))
    warm = (red > 180) & (green < red - 40) & (blue < green - 40)
    assert 2000 < warm.sum() < 0.1 * warm.size


def test_a_clip_that_tells_nothing_of_its_own_is_drawn_too(face: ClipFace, tmp_path: Path) -> None:
    frames = np.full((16, 56, 56, 3), 90, np.uint8)
    path = draw_alignment(tmp_path / "clip.png", frames, TEXT, spans_of(TEXT), np.zeros((10, 784)), [], face)
    assert path.stat().st_size > 1000
