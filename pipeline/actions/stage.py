"""Stage: tracks -> actions. Light: says what is computed; the modules beside it compute it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline.actions.config import ActionConfig
from pipeline.run import each_unit
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, Unit
from pipeline.tracks.stage import NETWORKS
from schemas.actions import ACTIONS
from schemas.table import read_cell, write_cell
from schemas.tracks import TRACKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.actions.blendshapes import BlendshapeNetwork
    from pipeline.actions.events import Event
    from pipeline.actions.measurable import Measurability, Passport, UnclearSpan


def _run(units: Sequence[Unit], config: ActionConfig, resources: Resources) -> Iterator[Outcome]:
    from pipeline.actions.blendshapes import BlendshapeNetwork  # loads the network's runtime, in the worker
    from pipeline.assets import fetch

    network = BlendshapeNetwork(fetch(NETWORKS))
    return each_unit(units, lambda unit: _measure(unit, network, config))


def _measure(unit: Unit, network: BlendshapeNetwork, config: ActionConfig) -> Done | Refused:
    import numpy as np

    from pipeline.actions.doubts import Measured, without_doubtful
    from pipeline.actions.events import find_events, in_order, rises_of, unclear_spans
    from pipeline.actions.measurable import measurability
    from pipeline.actions.measures import read_measures, signals
    from pipeline.actions.motion_energy import motion_energy, motion_shares

    track = unit.row(TRACKS)
    passport = passport_of(track)
    seen = measurability(passport, config)
    measurable_s = float(passport.times_s[-1] - passport.times_s[0]) * float(seen.is_measurable.mean())
    if not seen.is_measurable.any() or measurable_s < config.min_measurable_s:
        why = ", ".join(sorted({span.why for span in seen.unmeasured})) or "the whole track is short"
        detail = f"{measurable_s:.2f} s could be measured, expected {config.min_measurable_s} s or more ({why})"
        return Refused(unit, "nothing_measurable", detail)
    landmarks_px = read_cell(TRACKS.field("landmarks_px"), track["landmarks_px"])
    scores = network.measure(landmarks_px)
    parts = signals(scores, landmarks_px, passport.pose_deg)
    reading = read_measures(parts, seen.mask, config)
    baseline = np.quantile(scores[seen.is_measurable], config.baseline_quantile, axis=0)
    is_gap_before = np.array(track["is_gap_before"], np.bool_)
    rises = rises_of(passport.times_s, reading.rises, seen.mask, is_gap_before, config.smoothing_s)
    found = find_events(passport.times_s, rises, seen.mask, is_gap_before, config)
    measured = Measured(passport.times_s, reading, rises, seen, is_gap_before)
    events, sure_rises = without_doubtful(found, measured, config)
    unclear = seen.unclear + unclear_spans(passport.times_s, rises, reading.rest_share, seen.mask, config)
    for more_events, more_unclear in _beside_the_face(passport, parts, sure_rises, seen, is_gap_before, config):
        events, unclear = events + more_events, unclear + more_unclear
    energy = motion_energy(passport.times_s, landmarks_px, passport.pose_deg, is_gap_before, config.smoothing_s)
    shares = motion_shares(energy, passport, seen.is_measurable, is_gap_before, config.smoothing_s)
    tensors: dict[str, NDArray[Any]] = {
        "blendshapes": scores,
        "measures": reading.rises,
        "rest_share": reading.rest_share,
        "motion_energy": energy,
        "measurable": seen.mask & np.array([one.is_told for one in config.thresholds.values()])[:, None],
    }
    row = {
        "track_id": track["track_id"],
        "video_id": track["video_id"],
        "times_s": track["times_s"],
        "baseline": baseline.astype(np.float32).tolist(),
        **{name: write_cell(ACTIONS.field(name), array) for name, array in tensors.items()},
        "motion_shares": shares.tolist(),
        "events": [asdict(event) for event in in_order(events)],
        "is_measurable": seen.is_measurable.tolist(),
        "unmeasured": [asdict(span) for span in seen.unmeasured],
        "unclear": [asdict(span) for span in unclear],
    }
    return Done(unit, {ACTIONS.name: [row]})


def _beside_the_face(
    passport: Passport,
    parts: dict[str, NDArray[np.float64]],
    rises: NDArray[np.float64],
    seen: Measurability,
    is_gap_before: NDArray[np.bool_],
    config: ActionConfig,
) -> Iterator[tuple[list[Event], list[UnclearSpan]]]:
    """Events and unclear spans of the head, of the gaze, and of whole regions of the face."""
    from pipeline.actions.coarse import find_coarse_movements
    from pipeline.actions.gaze import find_gaze_movements
    from pipeline.actions.head import find_head_movements

    yield find_head_movements(passport, seen, is_gap_before, config)
    yield find_gaze_movements(passport, parts, seen, is_gap_before, config)
    yield find_coarse_movements(passport, parts, rises, seen, is_gap_before, config)


def passport_of(track: Mapping[str, Any]) -> Passport:
    """What one row of TRACKS says of how well the face can be seen."""
    import numpy as np

    from pipeline.actions.measurable import Passport

    boxes = read_cell(TRACKS.field("boxes_xyxy"), track["boxes_xyxy"])
    return Passport(
        times_s=np.array(track["times_s"], np.float64),
        presence=np.array(track["presence"], np.float32),
        pose_deg=read_cell(TRACKS.field("pose_deg"), track["pose_deg"]),
        face_px=(boxes[:, 2:] - boxes[:, :2]).max(axis=1),
        sharpness=np.array(track["sharpness"], np.float32),
        visibility=read_cell(TRACKS.field("visibility"), track["visibility"]),
    )


MEASURE_ACTIONS = Stage(
    name="measure_actions",
    version=4,
    reads=(
        Read(
            TRACKS,
            content=(
                "track_id",
                "video_id",
                "times_s",
                "is_gap_before",
                "presence",
                "sharpness",
                "visibility",
                "boxes_xyxy",
                "landmarks_px",
                "pose_deg",
            ),
        ),
    ),
    writes=(ACTIONS,),
    unit="track_id",
    config=ActionConfig,
    run=_run,
    weights=(NETWORKS,),
)
