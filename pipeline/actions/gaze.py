"""Tell turns, raises and lowerings of the gaze within the head, each against where the eyes usually look in the track.

Shape letters: T = frames of a track. A side is the person's own: the one that the eyes turn to.
"""

from __future__ import annotations

import numpy as np

from pipeline.actions.config import ActionConfig
from pipeline.actions.events import NOT_TOLD, Event
from pipeline.actions.measurable import COVERED, Flags, Measurability, Passport, Series, UnclearSpan, visible
from pipeline.actions.measures import Measures
from pipeline.actions.movements import Clock, movement_events, movement_of, movement_unclear
from schemas.tracks import FACE_REGIONS

_LEFT, _RIGHT = 0, 1

_EYES = tuple(FACE_REGIONS.index(region) for region in ("eye_left", "eye_right"))


def gaze(signals: dict[str, Measures]) -> tuple[Series, Series]:
    """How far the eyes look to the person's left, and up, each [T], from `measures.signals`; mean of both eyes."""
    look_out, look_in = signals["eyeLookOut"], signals["eyeLookIn"]
    to_the_left = (look_out[:, _LEFT] + look_in[:, _RIGHT] - look_out[:, _RIGHT] - look_in[:, _LEFT]) / 2
    return to_the_left, (signals["eyeLookUp"] - signals["eyeLookDown"]).mean(axis=1)


def find_gaze_movements(
    passport: Passport,
    signals: dict[str, Measures],
    seen: Measurability,
    is_gap_before: Flags,
    config: ActionConfig,
) -> tuple[list[Event], list[UnclearSpan]]:
    """Events of the gaze and where its movements are unclear: everywhere, unless `tell_gaze`.

    Where the eyes usually look is the median of the frames in which both are seen and open.
    """
    is_open = (signals["eyeBlink"] < config.max_gaze_blink).all(axis=1)
    is_clear = is_open & visible(passport, config)[:, _EYES].all(axis=1)
    why_not = np.where(seen.is_measurable & ~is_clear, COVERED, "").astype(object)
    if not config.tell_gaze:
        why_not[:] = NOT_TOLD
    clock = Clock(passport.times_s, seen.is_measurable & is_clear, is_gap_before)
    to_the_left, upwards = (_from_usual(values, clock.mask) for values in gaze(signals))
    events: list[Event] = []
    unclear: list[UnclearSpan] = []
    for action, side, values in (
        ("gaze_turn", "left", to_the_left),
        ("gaze_turn", "right", -to_the_left),
        ("gaze_raise", "middle", upwards),
        ("gaze_lower", "middle", -upwards),
    ):
        movement = movement_of(action, side, values, config.gaze, clock, config)
        events += movement_events(movement, clock, config) if config.tell_gaze else ()
        unclear += movement_unclear(movement, clock, why_not)
    return events, unclear


def _from_usual(values: Series, mask: Flags) -> Series:
    return values - np.median(values[mask]) if mask.any() else np.zeros_like(values)
