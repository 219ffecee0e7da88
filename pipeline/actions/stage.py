"""Stage: tracks -> actions. Light: says what is computed; `blendshapes.py` and `events.py` compute it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline.actions.config import ActionConfig
from pipeline.run import each_unit
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, Unit
from pipeline.tracks.stage import NETWORKS
from schemas.actions import ACTIONS
from schemas.table import read_cell, write_cell
from schemas.tracks import TRACKS

if TYPE_CHECKING:
    from pipeline.actions.blendshapes import BlendshapeNetwork


def _run(units: Sequence[Unit], config: ActionConfig, resources: Resources) -> Iterator[Outcome]:
    from pipeline.actions.blendshapes import BlendshapeNetwork  # loads OpenCV, in the worker
    from pipeline.assets import fetch

    network = BlendshapeNetwork(fetch(NETWORKS))
    return each_unit(units, lambda unit: _measure(unit, network, config))


def _measure(unit: Unit, network: BlendshapeNetwork, config: ActionConfig) -> Done | Refused:
    import numpy as np

    from pipeline.actions.events import baseline, find_events, measurability

    track = unit.row(TRACKS)
    times_s = np.array(track["times_s"], np.float64)
    presence = np.array(track["presence"], np.float32)
    pose_deg = read_cell(TRACKS.field("pose_deg"), track["pose_deg"])
    is_measurable, unmeasured = measurability(times_s, presence, pose_deg, track["median_face_px"], config)
    measurable_s = float(times_s[-1] - times_s[0]) * float(is_measurable.mean())
    if not is_measurable.any() or measurable_s < config.min_measurable_s:
        seen = ", ".join(sorted({span.why for span in unmeasured})) or "the whole track is short"
        detail = f"{measurable_s:.2f} s could be measured, expected {config.min_measurable_s} s or more ({seen})"
        return Refused(unit, "nothing_measurable", detail)
    scores = network.measure(read_cell(TRACKS.field("landmarks_px"), track["landmarks_px"]))
    rest = baseline(scores, is_measurable, config)
    events = find_events(times_s, scores, is_measurable, np.array(track["is_gap_before"]), rest, config)
    row = {
        "track_id": track["track_id"],
        "video_id": track["video_id"],
        "times_s": track["times_s"],
        "blendshapes": write_cell(ACTIONS.field("blendshapes"), scores),
        "baseline": rest.tolist(),
        "events": [asdict(event) for event in events],
        "is_measurable": is_measurable.tolist(),
        "unmeasured": [asdict(span) for span in unmeasured],
    }
    return Done(unit, {ACTIONS.name: [row]})


MEASURE_ACTIONS = Stage(
    name="measure_actions",
    version=1,
    reads=(
        Read(
            TRACKS,
            content=(
                "track_id",
                "video_id",
                "times_s",
                "is_gap_before",
                "presence",
                "landmarks_px",
                "pose_deg",
                "median_face_px",
            ),
        ),
    ),
    writes=(ACTIONS,),
    unit="track_id",
    config=ActionConfig,
    run=_run,
    weights=(NETWORKS,),
)
