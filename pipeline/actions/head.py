"""Tell turns, tilts, raises and lowerings of the head, each against the track's own usual pose.

Shape letters: T = frames of a track. A side is the person's own: the one that the head goes to.
"""

from __future__ import annotations

import numpy as np

from pipeline.actions.config import ActionConfig
from pipeline.actions.events import Event
from pipeline.actions.measurable import (
    COVERED,
    Flags,
    Measurability,
    Passport,
    Series,
    UnclearSpan,
    is_face_sure,
    visible,
)
from pipeline.actions.movements import Clock, Movement, movement_events, movement_of, movement_unclear
from schemas.tracks import FACE_REGIONS

_YAW, _PITCH, _ROLL = 0, 1, 2

_AXES = (  # action, side, the angle that shows it, and the sign that it then has
    ("head_turn", "left", _YAW, 1),
    ("head_turn", "right", _YAW, -1),
    ("head_tilt", "left", _ROLL, 1),
    ("head_tilt", "right", _ROLL, -1),
    ("head_raise", "middle", _PITCH, 1),
    ("head_lower", "middle", _PITCH, -1),
)


def find_head_movements(
    passport: Passport, seen: Measurability, is_gap_before: Flags, config: ActionConfig
) -> tuple[list[Event], list[UnclearSpan]]:
    """Events of the head and where its movements are unclear. The usual pose is the median of the measurable frames.

    A head is measured in frames too in which its face is turned away, so that a turn does not end where the face can no
    longer be read; in those nothing is unclear, for nothing is denied there either. What covers the face misleads the
    pose: where too much is covered, every movement of the head is unclear.
    """
    is_clear = _is_clear(passport, config)
    why_not = np.where(seen.is_measurable & ~is_clear, COVERED, "").astype(object)
    clock = Clock(passport.times_s, is_face_sure(passport, config) & is_clear, is_gap_before)
    events: list[Event] = []
    unclear: list[UnclearSpan] = []
    for movement in _movements(passport, seen.is_measurable & is_clear, clock, config):
        events += movement_events(movement, clock, config)
        denied = Clock(clock.times_s, clock.mask & seen.is_measurable, is_gap_before)
        unclear += movement_unclear(movement, denied, why_not)
    return events, unclear


def turn_from_usual(passport: Passport, is_measurable: Flags) -> Series:
    """How far yaw, pitch and roll are from their medians over the measurable frames, degrees [T, 3]."""
    pose_deg = passport.pose_deg.astype(np.float64)
    if not is_measurable.any():
        return np.zeros_like(pose_deg)
    turned: Series = pose_deg - np.median(pose_deg[is_measurable], axis=0)
    return turned


def _movements(passport: Passport, is_measurable: Flags, clock: Clock, config: ActionConfig) -> list[Movement]:
    turned = turn_from_usual(passport, is_measurable)
    limits = {
        "head_turn": config.head_turn_deg,
        "head_tilt": config.head_tilt_deg,
        "head_raise": config.head_nod_deg,
        "head_lower": config.head_nod_deg,
    }
    return [
        movement_of(action, side, sign * turned[:, axis], limits[action], clock, config)
        for action, side, axis, sign in _AXES
    ]


def _is_clear(passport: Passport, config: ActionConfig) -> Flags:
    """Whether at most `max_covered_regions` are covered [T]; what the head's own turn hides does not count."""
    is_hidden = ~visible(passport, config)
    yaw = passport.pose_deg[:, _YAW]
    for side, turned_away in (("left", yaw), ("right", -yaw)):
        is_of_side = np.array([region.endswith(side) for region in FACE_REGIONS])
        is_hidden &= ~((turned_away > config.max_far_yaw_deg)[:, None] & is_of_side)
    return np.asarray(is_hidden.sum(axis=1) <= config.max_covered_regions)
