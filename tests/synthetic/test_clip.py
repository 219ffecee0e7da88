"""What a drawn clip shows is what its truth says, the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pipeline.synthetic.clip import DrawnFrame, draw_clip, plan_clip, render_clip, write_clip
from pipeline.synthetic.distractors import DISTRACTORS
from pipeline.synthetic.plan import ClipError, ClipPlan
from pipeline.videos.frames import av_version, probe, read_frames
from schemas.table import read_cell
from schemas.truth import TRUTH

SMALL = (240, 136)


@cache
def drawn(*distractors: str, seed: int = 5, seconds: float = 2.0) -> tuple[ClipPlan, list[DrawnFrame]]:
    plan = plan_clip(seed, distractors=distractors, size=SMALL, fps=10, seconds=seconds)
    return plan, list(draw_clip(plan))


def shares(frames: Sequence[DrawnFrame], face: int = 0) -> list[float]:
    return [float(frame.visible_share[face]) for frame in frames]


def test_the_same_seed_gives_the_same_bytes_and_truth(tmp_path: Path) -> None:
    rows = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        plan = plan_clip(8, distractors=["speech", "flicker", "occluding_hand"], size=SMALL, fps=10, seconds=1)
        rows.append(write_clip(plan, tmp_path / folder / "clip.mp4"))
    assert rows[0] == rows[1]
    assert (tmp_path / "one" / "clip.mp4").read_bytes() == (tmp_path / "two" / "clip.mp4").read_bytes()


def test_another_seed_is_another_clip() -> None:
    pictures = [next(iter(render_clip(plan_clip(seed, size=SMALL)))) for seed in (1, 2)]
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 5


def test_a_distractor_leaves_person_and_expression_as_they_were() -> None:
    plain = plan_clip(4, label="fear")
    for name in sorted(set(DISTRACTORS) - {"cut", "leave_and_return", "variable_frame_rate", "blinks"}):
        face = plan_clip(4, label="fear", distractors=[name]).faces[0]
        assert face.identity == plain.faces[0].identity, name
        assert face.movements == plain.faces[0].movements, name


def test_the_truths_times_are_the_files_own(tmp_path: Path) -> None:
    for distractors in ([], ["variable_frame_rate"]):
        plan = plan_clip(6, distractors=distractors, size=SMALL, fps=15, seconds=1)
        (row,) = write_clip(plan, tmp_path / "clip.mp4")
        frames = list(read_frames(tmp_path / "clip.mp4", av_version()))
        assert [frame.time_s for frame in frames] == pytest.approx(row["times_s"], abs=1e-6)
        assert len(set(np.diff(row["times_s"]).round(6))) == (1 if not distractors else len(set(np.diff(plan.ticks))))
        assert probe(tmp_path / "clip.mp4").num_frames == len(row["times_s"])


def test_what_is_decoded_is_what_was_drawn(tmp_path: Path) -> None:
    plan = plan_clip(6, size=SMALL, fps=10, seconds=1)
    write_clip(plan, tmp_path / "clip.mp4")
    pairs = zip(read_frames(tmp_path / "clip.mp4", av_version()), render_clip(plan), strict=True)
    assert max(np.abs(frame.rgb.astype(int) - picture).mean() for frame, picture in pairs) < 4


@pytest.mark.parametrize("name", DISTRACTORS)
def test_every_distractor_gives_rows_of_the_truth(name: str, tmp_path: Path) -> None:
    plan = plan_clip(3, distractors=[name], size=SMALL, fps=5, seconds=1.2)
    rows = TRUTH.rows(write_clip(plan, tmp_path / "clip.mp4")).to_pylist()
    for row in rows:
        num_frames = len(row["times_s"])
        assert row["distractors"] == [name]
        assert len(row["is_present"]) == len(row["visible_share"]) == num_frames
        boxes = read_cell(TRUTH.field("boxes_xyxy"), row["boxes_xyxy"])
        assert read_cell(TRUTH.field("blendshapes"), row["blendshapes"]).shape == (num_frames, 52)
        assert (boxes.any(axis=1) == row["is_present"]).all()
        assert all(share == 0 for share, here in zip(row["visible_share"], row["is_present"], strict=True) if not here)


def test_a_plain_face_is_seen_whole_where_its_box_is() -> None:
    plan, frames = drawn()
    assert min(shares(frames)) > 0.97
    for number, frame in enumerate(frames):
        left, top, right, bottom = frame.boxes_xyxy[0].tolist()
        assert (left + right) / 2 == pytest.approx(plan.faces[0].centre_xy[number, 0], abs=0.3 * (right - left))
        assert (bottom - top) == pytest.approx(plan.faces[0].height_px, rel=0.35)


def test_of_two_that_cross_the_nearer_hides_the_other() -> None:
    plan, frames = drawn("crossing")
    far, near = (face.centre_xy[:, 0] for face in plan.faces)
    assert (far[0] < near[0]) != (far[-1] < near[-1])
    assert min(shares(frames, 0)) < 0.3
    assert min(shares(frames, 1)) > 0.9


def test_a_cut_changes_person_and_background() -> None:
    plan, frames = drawn("cut")
    cut = plan.shots[1].first
    assert plan.cuts_s == [plan.times_s[cut]]
    assert plan.faces[0].identity != plan.faces[1].identity
    assert [frame.is_present.tolist() for frame in frames] == [[True, False]] * cut + [[False, True]] * (20 - cut)
    assert np.abs(frames[cut].rgb.astype(int) - frames[cut - 1].rgb).mean() > 15
    assert all(movement.offset_s < plan.cuts_s[0] for movement in plan.faces[0].movements)


def test_a_face_leaves_and_returns() -> None:
    _, frames = drawn("leave_and_return")
    here = [bool(frame.is_present[0]) for frame in frames]
    assert here[0]
    assert here[-1]
    assert 2 <= here.count(False) <= 10
    assert min(shares([frames[0], frames[-1]])) > 0.95
    empty = frames[here.index(False) + 1].rgb.astype(int) - frames[here.index(False) + 2].rgb
    assert np.abs(empty).mean() < 4, "nothing of the person is left in the picture"


def test_a_short_miss_hides_the_whole_face() -> None:
    plan = plan_clip(5, distractors=["short_miss"], size=SMALL, fps=30, seconds=1)
    frames = list(draw_clip(plan))
    hidden = [index for index, share in enumerate(shares(frames)) if share < 0.01]
    assert 3 <= len(hidden) <= 7
    assert hidden == list(range(hidden[0], hidden[-1] + 1))
    assert all(frames[index].is_present[0] for index in hidden)


@pytest.mark.parametrize("name", ["occluding_hand", "occluding_bar"])
def test_what_passes_in_front_takes_from_the_visible_share(name: str) -> None:
    lowest = [min(shares(drawn(name, seed=seed)[1])) for seed in (5, 6)]
    assert all(0.05 < share < 0.93 for share in lowest), lowest
    assert shares(drawn(name)[1])[0] > 0.97


def test_planned_numbers_are_as_their_names_say() -> None:
    for seed in range(20):
        profile = plan_clip(seed, distractors=["profile"]).faces[0].pose_deg[:, 0]
        assert np.abs(profile).max() >= 70
        assert max(abs(profile[0]), abs(profile[-1])) < 30
        for distractors in (["small"], ["small", "crossing"], ["small", "several"]):
            assert all(30 <= face.height_px <= 60 for face in plan_clip(seed, distractors=distractors).faces)
        assert len(plan_clip(seed, distractors=["several"]).faces) == 3
        still, moving = (plan_clip(seed, distractors=d).faces[0].pose_deg for d in ([], ["head_motion"]))
        assert np.ptp(moving, axis=0).max() > 2 * np.ptp(still, axis=0).max()
        (face,) = plan_clip(seed).faces
        assert 90 <= face.height_px <= 220
        assert not face.blendshapes[:, 0].any(), "_neutral is no weight"


def test_persons_come_from_those_that_are_given() -> None:
    for seed in range(5):
        assert {face.identity for face in plan_clip(seed, distractors=["several"], identities=[1, 2, 3]).faces} == {
            1,
            2,
            3,
        }
        assert {face.identity for face in plan_clip(seed, identities=[9]).faces} == {9}


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        pytest.param({"size": (641, 360)}, "even sides", id="odd side"),
        pytest.param({"fps": 0.0}, "fps 0", id="no frames"),
        pytest.param({"seconds": 0.2}, "seconds 0.2", id="too short"),
        pytest.param({"label": "anger", "action": "jaw_drop"}, "or does one action", id="two recipes"),
        pytest.param({"identities": []}, "at least one", id="nobody"),
    ],
)
def test_a_clip_that_cannot_be_is_refused(wish: dict[str, object], words: str) -> None:
    with pytest.raises(ClipError, match=words):
        plan_clip(0, **wish)  # type: ignore[arg-type]
