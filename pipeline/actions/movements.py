"""Tell a movement from how far something is from its usual place: its events, and where it stays unclear.

Shape letters: T = frames of a track.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.actions.config import ActionConfig
from pipeline.actions.events import IN_BETWEEN, Event, Grades, event_of, runs, smoothed, stretches
from pipeline.actions.limits import MovementLimits
from pipeline.actions.measurable import Flags, Series, UnclearSpan, spans


@dataclass(frozen=True)
class Movement:
    """One action on one side: how far it is under way [T], and the limits by which that is judged."""

    action: str
    side: str
    values: Series
    limits: MovementLimits


@dataclass(frozen=True)
class Clock:
    """The frames of a track: times_s [T], where the movement was measured [T], and where frames are missing [T]."""

    times_s: Series
    mask: Flags
    is_gap_before: Flags


def movement_of(
    action: str, side: str, values: Series, limits: MovementLimits, clock: Clock, config: ActionConfig
) -> Movement:
    """The movement whose raw values [T] are smoothed within the stretches in which they were measured; 0 elsewhere."""
    smooth = np.zeros(len(values))
    for stretch in stretches(clock.mask, clock.is_gap_before):
        smooth[stretch] = smoothed(clock.times_s[stretch], values[stretch], config.smoothing_s)
    return Movement(action, side, smooth, limits)


def movement_events(
    movement: Movement, clock: Clock, config: ActionConfig, *, shortest_s: float | None = None
) -> Iterator[Event]:
    """Where the movement reaches `present_above`, until it falls below its `leave_ratio`; shorter ones are left out."""
    limits = movement.limits
    grades = Grades(limits.moderate_from, limits.strong_from, limits.whole, config.apex_share)
    shortest_s = config.min_event_s if shortest_s is None else shortest_s
    for stretch in stretches(clock.mask, clock.is_gap_before):
        times_s, values = clock.times_s[stretch], movement.values[stretch]
        for run in runs(values, limits.present_above, limits.present_above * config.leave_ratio):
            event = event_of(movement.action, movement.side, times_s[run], values[run], grades)
            if event.offset_s - event.onset_s >= shortest_s:
                yield event


def movement_unclear(movement: Movement, clock: Clock, why_not: NDArray[np.object_]) -> Iterator[UnclearSpan]:
    """Where the movement can neither be told nor denied: by `why_not` [T] where that says so, else in between."""
    why = np.where(clock.mask & (movement.values >= movement.limits.absent_below), IN_BETWEEN, "").astype(object)
    why[why_not != ""] = why_not[why_not != ""]
    for span in spans(clock.times_s, why):
        yield UnclearSpan(movement.action, movement.side, *span)
