"""Find the events in the measures of a track: what rose above the face's own rest, when, on which side, how strongly.

Shape letters: T = frames of a track, A = actions in the order of FACIAL_ACTIONS. Sides are left, right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.actions.config import ActionConfig
from pipeline.actions.measurable import Flags, Series, UnclearSpan, spans
from schemas.actions import ACTION_SIDES, FACIAL_ACTIONS

NOT_TOLD, NOT_DENIABLE = "not_told", "not_deniable"
REST_UNKNOWN, IN_BETWEEN = "rest_unknown", "in_between"

_KERNEL_SIGMAS = 3.0


@dataclass(frozen=True)
class Event:
    """One action that rose above rest; times in seconds of presentation, `peak` is the rise, 1 the whole movement."""

    action: str
    side: str
    onset_s: float
    apex_s: float
    offset_s: float
    peak: float
    intensity: str


@dataclass(frozen=True)
class Grades:
    """How strong a movement is, in the unit that it is measured in: from where it is moderate, strong, and whole."""

    moderate_from: float
    strong_from: float
    whole: float
    apex_share: float


@dataclass(frozen=True)
class _Sides:
    """One action on both sides over one stretch: times_s [T], rises [T, 2] and where they were measured [T, 2]."""

    times_s: Series
    rises: Series
    mask: Flags

    def cut(self, run: slice) -> _Sides:
        return _Sides(self.times_s[run], self.rises[run], self.mask[run])


def rises_of(times_s: Series, measures: Series, mask: Flags, is_gap_before: Flags, sigma_s: float) -> Series:
    """How far each measure [T, A, 2] lies above rest, smoothed in time within its own measured stretches.

    0 below rest and where it was not measured.
    """
    rises = np.where(mask, np.maximum(measures, 0.0), 0.0)
    for a, s in np.ndindex(rises.shape[1:]):
        rises[:, a, s] = smoothed_where(mask[:, a, s], times_s, rises[:, a, s], is_gap_before, sigma_s)
    return rises


def smoothed_where(is_measured: Flags, times_s: Series, values: Series, is_gap_before: Flags, sigma_s: float) -> Series:
    """Values [T] smoothed within the stretches in which they were measured, as they are elsewhere."""
    smooth = values.copy()
    for stretch in stretches(is_measured, is_gap_before):
        smooth[stretch] = smoothed(times_s[stretch], values[stretch], sigma_s)
    return smooth


def find_events(times_s: Series, rises: Series, mask: Flags, is_gap_before: Flags, config: ActionConfig) -> list[Event]:
    """Events of a track in the order of their onsets; none reaches across a gap or a frame in which it is unmeasured.

    times_s [T] rising, rises [T, A, 2] as `rises_of` gives them, mask [T, A, 2], is_gap_before [T].
    """
    events = [
        event
        for a, action in enumerate(FACIAL_ACTIONS)
        if config.thresholds[action].is_told
        for stretch in stretches(mask[:, a, 0] | mask[:, a, 1], is_gap_before)
        for event in _events_of(action, _Sides(times_s[stretch], rises[stretch, a], mask[stretch, a]), config)
    ]
    return in_order(events)


def in_order(events: Iterable[Event]) -> list[Event]:
    """Events by onset, then offset, action and side."""
    return sorted(events, key=lambda event: (event.onset_s, event.offset_s, event.action, event.side))


def unclear_spans(
    times_s: Series, rises: Series, rest_share: Series, mask: Flags, config: ActionConfig
) -> list[UnclearSpan]:
    """Where an action on a side was measured and can still neither be told nor denied.

    All of the track where it is not told, not deniable, or its rest is unknown; else where it rises above
    `absent_below` or the `deny_ratio` of an event, its events and those left out as doubtful included: their flanks
    are no clear rest either. rises and mask [T, A, 2], rest_share [A, 2].
    """
    found = []
    for a, (action, facial) in enumerate(FACIAL_ACTIONS.items()):
        judged = config.thresholds[action]
        for s, side in enumerate(("middle",) if facial.middle else ACTION_SIDES):
            why = np.full(len(times_s), "", dtype=object)
            why[rises[:, a, s] >= denied_below(action, config)] = IN_BETWEEN
            if rest_share[a, s] < config.rest_min_share:
                why[:] = REST_UNKNOWN
            if not judged.is_deniable:
                why[:] = NOT_DENIABLE
            why[~mask[:, a, s]] = ""  # told by `measurability`
            if not judged.is_told:
                why[:] = NOT_TOLD
            found += [UnclearSpan(action, side, *span) for span in spans(times_s, why)]
    return found


def denied_below(action: str, config: ActionConfig) -> float:
    """The rise below which an action of the face may be denied."""
    judged = config.thresholds[action]
    return min(judged.absent_below, config.deny_ratio * judged.present_above)


def stretches(is_measurable: Flags, is_gap_before: Flags) -> list[slice]:
    """The runs of measurable frames [T] without a gap inside."""
    breaks = is_gap_before | np.append(True, is_measurable[1:] != is_measurable[:-1])
    starts = np.flatnonzero(breaks)
    ends = np.append(starts[1:], len(breaks))
    return [slice(s, e) for s, e in zip(starts.tolist(), ends.tolist(), strict=True) if is_measurable[s]]


def _events_of(action: str, sides: _Sides, config: ActionConfig) -> Iterator[Event]:
    enter = config.thresholds[action].present_above
    leave = enter * config.leave_ratio
    for run in runs(sides.rises.max(axis=1), enter, leave):
        for side, values in _by_side(action, sides.cut(run), config.asymmetry_ratio).items():
            for part in runs(values, enter, leave):
                event = event_of(action, side, sides.times_s[run][part], values[part], _grades(config))
                if event.offset_s - event.onset_s >= _shortest_s(action, config):
                    yield event


def _by_side(action: str, sides: _Sides, asymmetry_ratio: float) -> dict[str, Series]:
    """Both sides as one series, the higher of the two, unless one is clearly stronger, or hidden most of the time."""
    if FACIAL_ACTIONS[action].middle:
        return {"middle": sides.rises[:, 0]}
    by_side = dict(zip(ACTION_SIDES, sides.rises.T, strict=True))
    is_seen = dict(zip(ACTION_SIDES, sides.mask.mean(axis=0) >= 0.5, strict=True))
    if not all(is_seen.values()):
        return {side: values for side, values in by_side.items() if is_seen[side]}
    weaker, stronger = sorted(float(values.max()) for values in by_side.values())
    return by_side if stronger > asymmetry_ratio * weaker else {"both": sides.rises.max(axis=1)}


def event_of(action: str, side: str, times_s: Series, values: Series, grades: Grades) -> Event:
    """The event that lasts all of times_s [T], from how far its movement was under way, values [T]."""
    apex = int(np.argmax(values >= grades.apex_share * values.max()))
    highest = float(np.float32(values.max()))
    return Event(
        action=action,
        side=side,
        onset_s=float(times_s[0]),
        apex_s=float(times_s[apex]),
        offset_s=float(times_s[-1]),
        peak=float(np.float32(highest / grades.whole)),  # as the table stores it, so that an event reads back equal
        intensity=_intensity(highest, grades),
    )


def _grades(config: ActionConfig) -> Grades:
    return Grades(config.moderate_from, config.strong_from, whole=1.0, apex_share=config.apex_share)


def _intensity(highest: float, grades: Grades) -> str:
    if highest >= grades.strong_from:
        return "strong"
    return "moderate" if highest >= grades.moderate_from else "slight"


def _shortest_s(action: str, config: ActionConfig) -> float:
    return config.min_eye_close_s if action == "eye_close" else config.min_event_s


def runs(values: Series, enter: float, leave: float) -> list[slice]:
    """Hysteresis: the runs of values [T] at or above `leave` that reach `enter`."""
    is_up = np.concatenate([[False], values >= leave, [False]])
    starts, ends = np.flatnonzero(np.diff(is_up.astype(np.int8))).reshape(-1, 2).T.tolist()
    return [slice(s, e) for s, e in zip(starts, ends, strict=True) if values[s:e].max() >= enter]


def smoothed(times_s: Series, values: NDArray[np.floating[Any]], sigma_s: float) -> Series:
    """Gaussian mean in time of values [T, ...] at times_s [T], each neighbour weighted by its distance in seconds."""
    total, weight = values.astype(np.float64), np.ones((len(values), *[1] * (values.ndim - 1)))
    for step in range(1, len(values)):
        distance = times_s[step:] - times_s[:-step]
        if distance.min() > _KERNEL_SIGMAS * sigma_s:
            break
        w = np.where(distance <= _KERNEL_SIGMAS * sigma_s, np.exp(-0.5 * (distance / sigma_s) ** 2), 0.0)
        w = w.reshape(-1, *weight.shape[1:])
        total[step:] += w * values[:-step]
        total[:-step] += w * values[step:]
        weight[step:] += w
        weight[:-step] += w
    mean: Series = total / weight
    return mean
