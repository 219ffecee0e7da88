"""Leave out events of the face that may as well be something else: a return to rest, or the trace of another action.

What is left out stays unclear, for it lies above what is denied. Shape letters: T = frames of a track, A = actions in
the order of FACIAL_ACTIONS. Sides are left, right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.actions.config import ActionConfig
from pipeline.actions.events import Event, denied_below, smoothed_where, stretches
from pipeline.actions.measurable import COVERED, Flags, Measurability, Series
from pipeline.actions.measures import Measures, Reading
from schemas.actions import FACIAL_ACTIONS

_INDEX = {action: index for index, action in enumerate(FACIAL_ACTIONS)}
_COLUMNS = {"left": (0,), "right": (1,), "both": (0, 1), "middle": (0,)}


@dataclass(frozen=True)
class Measured:
    """All that the events of a track were found in.

    times_s [T], what the witnesses said, their smoothed rises [T, A, 2], where they were measured, and before which
    frames others are missing [T].
    """

    times_s: Series
    reading: Reading
    rises: Measures
    seen: Measurability
    is_gap_before: Flags


def without_doubtful(events: Iterable[Event], measured: Measured, config: ActionConfig) -> tuple[list[Event], Measures]:
    """The events that nothing else explains, in their order, and the smoothed rises [T, A, 2] without the others."""
    sure, rises = [], measured.rises.copy()
    for event in events:
        if _is_doubtful(event, measured, config):
            rises[_inside(event, measured), _INDEX[event.action]] = 0.0
        else:
            sure.append(event)
    return sure, rises


def _is_doubtful(event: Event, measured: Measured, config: ActionConfig) -> bool:
    return (
        any(_may_be_rest(event, column, measured, config) for column in _COLUMNS[event.side])
        or _is_other_side_covered(event, measured)
        or _is_of_a_funnel(event, measured, config)
        or all(_do_witnesses_differ(event, column, measured, config) for column in _COLUMNS[event.side])
    )


def _may_be_rest(event: Event, column: int, measured: Measured, config: ActionConfig) -> bool:
    """Whether the face may be at rest in the event, and what was taken for its rest may be another action.

    A mouth that is lowered for a while rises when it is at rest again, before and after.
    """
    rest_share = measured.reading.rest_share[_INDEX[event.action], column]
    is_rest_rare = rest_share < config.usual_rest_share
    is_cut = _is_cut(event, measured)
    if _is_within_rest(event, column, measured, config):
        return bool(is_cut or is_rest_rare)
    if event.peak >= config.largest_return:
        return False
    is_rest_odd = is_rest_rare and _is_rest_between(event, column, measured, config)
    return bool(is_cut and (is_rest_odd or rest_share < config.rest_min_share))


def _is_rest_between(event: Event, column: int, measured: Measured, config: ActionConfig) -> bool:
    """Whether the action is above its rest both in the first and in the last frame in which it was measured."""
    a = _INDEX[event.action]
    rises = measured.rises[measured.seen.mask[:, a, column], a, column]
    return bool(rises[[0, -1]].min() >= denied_below(event.action, config))


def _is_cut(event: Event, measured: Measured) -> bool:
    """Whether the event was not seen to begin or to end: it is under way at an end of what was measured."""
    left, right = measured.seen.mask[:, _INDEX[event.action]].T
    ends_s = {
        float(measured.times_s[frame])
        for stretch in stretches(left | right, measured.is_gap_before)
        for frame in (stretch.start, stretch.stop - 1)
    }
    return event.onset_s in ends_s or event.offset_s in ends_s


def _is_within_rest(event: Event, column: int, measured: Measured, config: ActionConfig) -> bool:
    """Whether the action never exceeds what resting faces reach: people's rests differ."""
    place = (slice(None), _INDEX[event.action], column)
    is_measured = measured.seen.mask[place]
    excess = smoothed_where(
        is_measured, measured.times_s, measured.reading.excess[place], measured.is_gap_before, config.smoothing_s
    )
    return not (excess[_inside(event, measured) & is_measured] > 0).any()


def _is_other_side_covered(event: Event, measured: Measured) -> bool:
    """Whether an event of one side may be one of both: for half of it or more, something covers the other side.

    Of a pair of eyes that close, one may look covered. A side that is turned away was never asked for.
    """
    other = {"left": "right", "right": "left"}.get(event.side)
    covered_s = sum(
        max(0.0, min(span.end_s, event.offset_s) - max(span.start_s, event.onset_s))
        for span in measured.seen.unclear
        if (span.action, span.side, span.why) == (event.action, other, COVERED)
    )
    return covered_s >= (event.offset_s - event.onset_s) / 2


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
