"""Leave out events of the face that may as well be something else: a return to rest, or the trace of another action.

What is left out stays unclear, for it lies above what is denied. Shape letters: T = frames of a track, A = actions in
the order of FACIAL_ACTIONS. Sides are left, right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.actions.config import ActionConfig
from pipeline.actions.events import Event, smoothed_where, stretches
from pipeline.actions.measurable import Flags, Series
from pipeline.actions.measures import Measures, Reading
from schemas.actions import FACIAL_ACTIONS

_INDEX = {action: index for index, action in enumerate(FACIAL_ACTIONS)}
_COLUMNS = {"left": (0,), "right": (1,), "both": (0, 1), "middle": (0,)}


@dataclass(frozen=True)
class Measured:
    """All that the events of a track were found in.

    times_s [T], what the witnesses said, their smoothed rises [T, A, 2], where they were measured [T, A, 2], and where
    frames are missing [T].
    """

    times_s: Series
    reading: Reading
    rises: Measures
    mask: Flags
    is_gap_before: Flags


def sure_events(events: Iterable[Event], measured: Measured, config: ActionConfig) -> list[Event]:
    """The events that nothing else explains, in their order."""
    return [event for event in events if not _is_doubtful(event, measured, config)]


def _is_doubtful(event: Event, measured: Measured, config: ActionConfig) -> bool:
    return (
        any(_may_be_rest(event, column, measured, config) for column in _COLUMNS[event.side])
        or _is_of_a_funnel(event, measured, config)
        or all(_do_witnesses_differ(event, column, measured, config) for column in _COLUMNS[event.side])
    )


def _may_be_rest(event: Event, column: int, measured: Measured, config: ActionConfig) -> bool:
    """Whether the face may be at rest in the event, and what was taken for rest may be another action.

    Each of three signs alone is common in true events; two of them together are not.
    """
    a = _INDEX[event.action]
    is_rest_rare = measured.reading.rest_share[a, column] < config.usual_rest_share
    return sum((bool(is_rest_rare), _is_cut(event, measured), _is_within_rest(event, column, measured, config))) >= 2


def _is_cut(event: Event, measured: Measured) -> bool:
    """Whether the event was not seen to begin or to end: it is under way at an end of what was measured."""
    is_measured = measured.mask[:, _INDEX[event.action]].any(axis=1)
    ends_s = {
        float(measured.times_s[frame])
        for stretch in stretches(is_measured, measured.is_gap_before)
        for frame in (stretch.start, stretch.stop - 1)
    }
    return event.onset_s in ends_s or event.offset_s in ends_s


def _is_within_rest(event: Event, column: int, measured: Measured, config: ActionConfig) -> bool:
    """Whether the action never exceeds what resting faces reach: people's rests differ."""
    place = (slice(None), _INDEX[event.action], column)
    is_measured = measured.mask[place]
    excess = smoothed_where(
        is_measured, measured.times_s, measured.reading.excess[place], measured.is_gap_before, config.smoothing_s
    )
    return not (excess[_inside(event, measured) & is_measured] > 0).any()


def _is_of_a_funnel(event: Event, measured: Measured, config: ActionConfig) -> bool:
    """Whether a dropping jaw is no more than what funnelled lips look like."""
    if event.action != "jaw_drop":
        return False
    jaw, funnel = (measured.rises[:, _INDEX[action], 0] for action in ("jaw_drop", "lip_funnel"))
    own = (jaw - config.funnel_in_jaw * funnel)[_inside(event, measured)]
    return bool(own.max() < config.thresholds["jaw_drop"].present_above)


def _do_witnesses_differ(event: Event, column: int, measured: Measured, config: ActionConfig) -> bool:
    """Whether one witness sees several times what another sees, where the event is highest: then neither is known."""
    a = _INDEX[event.action]
    smallest = np.where(_inside(event, measured), measured.rises[:, a, column], -np.inf)
    highest = int(smallest.argmax())
    return bool(smallest[highest] < config.min_agreement * measured.reading.largest[highest, a, column])


def _inside(event: Event, measured: Measured) -> Flags:
    return np.asarray((measured.times_s >= event.onset_s) & (measured.times_s <= event.offset_s))
