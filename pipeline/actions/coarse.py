"""Tell that a region of the face moves where it cannot be told which of its actions it is.

How far each action is drawn is estimated from all that is measured of the face; the strongest action of a region stands
for it. Which one that is is often wrong, whether one is there hardly ever. Shape letters: T = frames of a track.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.actions.coarse_model import CoarseModel, CoarseRegion, calibrated_coarse
from pipeline.actions.config import ActionConfig
from pipeline.actions.events import NOT_DENIABLE, NOT_TOLD, REST_UNKNOWN, Event
from pipeline.actions.head import turn_from_usual
from pipeline.actions.measurable import COVERED, TURNED, Flags, Measurability, Passport, Series, UnclearSpan, visible
from pipeline.actions.measures import Measures, resting
from pipeline.actions.movements import Clock, movement_events, movement_of, movement_unclear
from schemas.actions import FACIAL_ACTIONS, REGIONS

_POSE = ("yaw", "pitch", "roll")
_REST_WIDTH = 0.1


def find_coarse_movements(
    passport: Passport,
    signals: Mapping[str, Measures],
    rises: Measures,
    seen: Measurability,
    is_gap_before: Flags,
    config: ActionConfig,
) -> tuple[list[Event], list[UnclearSpan]]:
    """Events of the regions and where they are unclear. What is covered or turned away misleads all of the mesh.

    `rises` [T, A, 2] of the facial actions, as `without_doubtful` gives them, say where the face is not at rest.
    Short movements of the eyes are blinks and are left out, as they are of `eye_close`.
    """
    model = calibrated_coarse().model_copy(update={"regions": config.coarse_regions})
    why_not = why_not_coarse(passport, seen, config)
    clock = Clock(passport.times_s, seen.is_measurable & (why_not == ""), is_gap_before)
    is_calm = calm(rises, clock.mask, config)
    estimates, rest_share = estimated(passport, signals, is_calm, seen.is_measurable, config, model)
    events: list[Event] = []
    unclear: list[UnclearSpan] = []
    for region, values in movements_of_regions(estimates, model).items():
        judged = model.regions[region]
        movement = movement_of(f"{region}_move", "middle", values, judged.limits, clock, config)
        shortest_s = config.min_eye_close_s if region == "eyes" else config.min_event_s
        events += movement_events(movement, clock, config, shortest_s=shortest_s) if judged.is_told else ()
        unclear += movement_unclear(movement, clock, _why(judged, clock, why_not, rest_share[region], config))
    return events, unclear


def estimated(
    passport: Passport,
    signals: Mapping[str, Measures],
    is_calm: Flags,
    is_measurable: Flags,
    config: ActionConfig,
    model: CoarseModel,
) -> tuple[dict[str, Series], dict[str, float]]:
    """How far each action is above its rest [T] by the model's estimate, and how sure the rest of each region is.

    Rest is looked for in the frames `is_calm`: a smile lowers the estimates of some other actions below their rest.
    """
    inputs = inputs_of(passport, signals, is_measurable, model.signals)
    raw = np.stack([inputs @ np.array(weights) for weights in model.weights.values()], axis=1)
    masks = np.repeat(is_calm[:, None], raw.shape[1], axis=1)
    rest, share = resting(raw, masks, width=_REST_WIDTH, highest=np.inf, min_share=config.rest_min_share)
    sure = {
        region: min(
            float(one)
            for action, one in zip(model.weights, share, strict=True)
            if FACIAL_ACTIONS[action].region == region
        )
        for region in REGIONS
    }
    return dict(zip(model.weights, (raw - rest).T, strict=True)), sure


def calm(rises: Measures, mask: Flags, config: ActionConfig) -> Flags:
    """The frames of `mask` in which none of the told facial actions is under way; all of them if hardly any is left."""
    told = [(a, one.absent_below) for a, one in enumerate(config.thresholds.values()) if one.is_told]
    is_up = np.logical_or.reduce([(rises[:, a] >= absent_below).any(axis=1) for a, absent_below in told])
    is_calm = mask & ~is_up
    return is_calm if is_calm.sum() >= config.min_calm_share * mask.sum() else mask


def inputs_of(
    passport: Passport, signals: Mapping[str, Measures], is_measurable: Flags, names: tuple[str, ...]
) -> Measures:
    """What the estimates read, in the order of `names` [T, S]: so a turn of the head can be taken off again."""
    turned = dict(zip(_POSE, turn_from_usual(passport, is_measurable).T, strict=True))
    return np.stack([turned[name] if name in turned else signals[name].mean(axis=1) for name in names], axis=1)


def movements_of_regions(estimates: Mapping[str, Series], model: CoarseModel) -> dict[str, Series]:
    """How far each region moves [T]: its strongest action, less what its neighbours pull along."""
    strongest = {
        region: np.maximum.reduce(
            [values for action, values in estimates.items() if FACIAL_ACTIONS[action].region == region]
        )
        for region in REGIONS
    }
    return {
        region: strongest[region]
        - sum(
            (share * np.maximum(strongest[other], 0.0) for other, share in judged.pulled_along_by.items()),
            np.zeros_like(strongest[region]),
        )
        for region, judged in model.regions.items()
    }


def why_not_coarse(passport: Passport, seen: Measurability, config: ActionConfig) -> NDArray[np.object_]:
    """Why no region can be judged in a frame [T]; empty where they can, and where nothing at all can be measured."""
    turn = np.hypot(*turn_from_usual(passport, seen.is_measurable)[:, :2].T)
    why = np.full(len(turn), "", dtype=object)
    why[turn > config.max_coarse_turn_deg] = TURNED
    why[~visible(passport, config).all(axis=1)] = COVERED
    why[~seen.is_measurable] = ""
    return why


def _why(
    judged: CoarseRegion, clock: Clock, why_not: NDArray[np.object_], rest_share: float, config: ActionConfig
) -> NDArray[np.object_]:
    why = why_not.copy()
    if rest_share < config.rest_min_share:
        why[clock.mask] = REST_UNKNOWN
    if not judged.is_deniable:
        why[clock.mask] = NOT_DENIABLE
    if not judged.is_told:
        why[:] = NOT_TOLD
    return why
