"""The stage on a real clip: what it tells, and that what it cannot tell is called not measurable."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.actions.config import ActionConfig
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.walk import WALK, BuildConfig, open_walk
from schemas.actions import ACTIONS, FACIAL_ACTIONS, HEAD_ACTIONS, REGIONS
from schemas.table import read_cell


@pytest.mark.timeout(120)
def test_a_smile_is_told_and_what_cannot_be_told_is_not_measurable_in_any_frame(
    assets: Callable[[str], Path], tmp_path: Path
) -> None:
    source, root = tmp_path / "videos", tmp_path / "corpus"
    source.mkdir()
    shutil.copy(assets("single_face.mp4"), source)
    walk = open_walk(Store.open_or_create(root, 1), source, BuildConfig())
    for stage in WALK[:3]:
        walk.run(stage, 0, Resources(source=source))
    walk.commit(source)

    (row,) = Corpus(root).arrow(ACTIONS.name).to_pylist()
    (smile,) = (event for event in row["events"] if event["action"] == "lip_corner_raise")
    assert smile["side"] == "both"
    assert smile["onset_s"] == pytest.approx(0.5, abs=0.15)

    (move,) = (event for event in row["events"] if event["action"] == "mouth_move")
    assert move["onset_s"] == pytest.approx(smile["onset_s"], abs=0.15)
    assert not any(event["action"].startswith(("head", "gaze", "jaw")) for event in row["events"])

    energy = read_cell(ACTIONS.field("motion_energy"), row["motion_energy"])
    assert energy.shape == (len(row["times_s"]), len(REGIONS)) and (energy >= 0).all() and not energy[0].any()
    assert sum(row["motion_shares"]) == pytest.approx(1.0)
    assert max(row["motion_shares"]) == row["motion_shares"][REGIONS.index("mouth")]

    measurable = read_cell(ACTIONS.field("measurable"), row["measurable"])
    not_told = {span["action"] for span in row["unclear"] if span["why"] == "not_told"}
    thresholds, regions = ActionConfig().thresholds, ActionConfig().coarse_regions
    assert not_told == {
        *(action for action in FACIAL_ACTIONS if not thresholds[action].is_told),
        *(f"{region}_move" for region in REGIONS if not regions[region].is_told),
        *(action for action in HEAD_ACTIONS if action.startswith("gaze")),
    }
    for number, action in enumerate(FACIAL_ACTIONS):
        assert measurable[:, number].any() == (action not in not_told), action
    assert not {event["action"] for event in row["events"]} & not_told
