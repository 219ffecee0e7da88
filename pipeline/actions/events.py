"""Find the events in 52 blendshape series: what rose above the face's own rest, when, on which side, how strongly.

Shape letters: T = frames of a track.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.actions.config import ActionConfig
from schemas.actions import FACIAL_ACTIONS, FacialAction

Series = NDArray[np.float64]
Flags = NDArray[np.bool_]

TURNED_AWAY, UNCLEAR, TOO_SMALL = "turned_away", "unclear", "too_small"

_INDEX = {name: index for index, name in enumerate(BLENDSHAPE_NAMES)}
_KERNEL_SIGMAS = 3.0


@dataclass(frozen=True)
class Event:
    """One action that rose above rest; times in seconds of presentation, `peak` is the score above rest."""

    action: str
    side: str
    onset_s: float
    apex_s: float
    offset_s: float
    peak: float
    intensity: str


@dataclass(frozen=True)
class UnmeasuredSpan:
    """A stretch in which nothing could be measured; `why` is one of TURNED_AWAY, UNCLEAR, TOO_SMALL."""

    start_s: float
    end_s: float
    why: str


def measurability(
    times_s: Series, presence: NDArray[np.float32], pose_deg: NDArray[np.float32], face_px: float, config: ActionConfig
) -> tuple[Flags, list[UnmeasuredSpan]]:
    """Say for each frame whether actions can be measured [T], and name the stretches in which they cannot.

    times_s [T], presence [T] 0 to 1, pose_deg [T, 3] yaw, pitch, roll. A stretch runs from its first frame to its last.
    """
    is_turned = (np.abs(pose_deg[:, 0]) > config.max_yaw_deg) | (np.abs(pose_deg[:, 1]) > config.max_pitch_deg)
    why = np.full(len(times_s), "", dtype=object)
    why[presence < config.min_presence] = UNCLEAR
    why[is_turned] = TURNED_AWAY
    if face_px < config.min_face_px:
        why[:] = TOO_SMALL
    starts = np.flatnonzero(np.append(True, why[1:] != why[:-1]))
    ends = np.append(starts[1:], len(why)) - 1
    spans = [
        UnmeasuredSpan(float(times_s[start]), float(times_s[end]), str(why[start]))
        for start, end in zip(starts, ends, strict=True)
        if why[start]
    ]
    return why == "", spans


def baseline(scores: NDArray[np.float32], is_measurable: Flags, config: ActionConfig) -> NDArray[np.float32]:
    """Resting score of each blendshape [52]: a low quantile of scores [T, 52] over the measurable frames.

    Raises:
        ValueError: no frame is measurable.
    """
    if not is_measurable.any():
        raise ValueError("no frame is measurable, so there is no resting score: refuse the track before")
    rest: NDArray[np.float32] = np.quantile(scores[is_measurable], config.baseline_quantile, axis=0).astype(np.float32)
    return rest


def above_rest(action: str, scores: NDArray[np.float32], rest: NDArray[np.float32]) -> dict[str, Series]:
    """How far `action` lies above rest in each frame [T], per side, from scores [T, 52] and resting scores [52]."""
    rise = np.clip(scores.astype(np.float64) - rest, 0.0, 1.0)
    sides = {side: rise[:, [_INDEX[name] for name in names]].max(axis=1) for side, names in _sides(action)}
    if action == "eye_narrow":  # a closing lid reads as a squint too, so what closes is taken out
        closing = above_rest("eye_close", scores, rest)
        return {side: np.clip(values - closing[side], 0.0, 1.0) for side, values in sides.items()}
    return sides


def _sides(action: str) -> list[tuple[str, tuple[str, ...]]]:
    facial: FacialAction = FACIAL_ACTIONS[action]
    if facial.middle:
        return [("middle", facial.middle)]
    return [("left", facial.left), ("right", facial.right)]


def find_events(
    times_s: Series,
    scores: NDArray[np.float32],
    is_measurable: Flags,
    is_gap_before: Flags,
    rest: NDArray[np.float32],
    config: ActionConfig,
) -> list[Event]:
    """Events of a track in the order of their onsets; none reaches across a gap or an unmeasurable frame.

    times_s [T] rising, scores [T, 52], is_measurable [T], is_gap_before [T], rest [52] as `baseline` gives it.
    """
    stretches = _stretches(is_measurable, is_gap_before)
    events = [
        event
        for action in FACIAL_ACTIONS
        for event in _events_of(action, times_s, above_rest(action, scores, rest), stretches, config)
    ]
    return sorted(events, key=lambda event: (event.onset_s, event.offset_s, event.action, event.side))


def _stretches(is_measurable: Flags, is_gap_before: Flags) -> list[slice]:
    """The runs of measurable frames without a gap inside."""
    breaks = is_gap_before | np.append(True, is_measurable[1:] != is_measurable[:-1])
    starts = np.flatnonzero(breaks)
    ends = np.append(starts[1:], len(breaks))
    return [slice(s, e) for s, e in zip(starts.tolist(), ends.tolist(), strict=True) if is_measurable[s]]


def _events_of(
    action: str, times_s: Series, sides: dict[str, Series], stretches: list[slice], config: ActionConfig
) -> Iterator[Event]:
    enter = config.enter_for(action)
    leave = enter * config.leave_ratio
    for stretch in stretches:
        t = times_s[stretch]
        smooth = {side: smoothed(t, values[stretch], config.smoothing_s) for side, values in sides.items()}
        for run in _runs(np.maximum.reduce(list(smooth.values())), enter, leave):
            inside = {side: values[run] for side, values in smooth.items()}
            for side, values in _by_side(inside, config.asymmetry_ratio).items():
                for part in _runs(values, enter, leave):
                    event = _event(action, side, t[run][part], values[part], config)
                    if event.offset_s - event.onset_s >= _shortest_s(action, config):
                        yield event


def _by_side(sides: dict[str, Series], asymmetry_ratio: float) -> dict[str, Series]:
    """Both sides as one series, the higher of the two, unless one is clearly stronger than the other."""
    if "middle" in sides:
        return sides
    weaker, stronger = sorted(float(values.max()) for values in sides.values())
    if stronger > asymmetry_ratio * weaker:
        return sides
    return {"both": np.maximum(sides["left"], sides["right"])}


def _event(action: str, side: str, times_s: Series, values: Series, config: ActionConfig) -> Event:
    apex = int(values.argmax())
    peak = float(np.float32(values[apex]))  # as the table stores it, so that an event reads back equal
    return Event(
        action=action,
        side=side,
        onset_s=float(times_s[0]),
        apex_s=float(times_s[apex]),
        offset_s=float(times_s[-1]),
        peak=peak,
        intensity=_intensity(peak / config.enter_for(action), config),
    )


def _intensity(ratio: float, config: ActionConfig) -> str:
    if ratio >= config.strong_ratio:
        return "strong"
    return "moderate" if ratio >= config.moderate_ratio else "slight"


def _shortest_s(action: str, config: ActionConfig) -> float:
    return config.min_eye_close_s if action == "eye_close" else config.min_event_s


def _runs(values: Series, enter: float, leave: float) -> list[slice]:
    """Hysteresis: the runs of values at or above `leave` that reach `enter`."""
    is_up = np.concatenate([[False], values >= leave, [False]])
    starts, ends = np.flatnonzero(np.diff(is_up.astype(np.int8))).reshape(-1, 2).T.tolist()
    return [slice(s, e) for s, e in zip(starts, ends, strict=True) if values[s:e].max() >= enter]


def smoothed(times_s: Series, values: Series, sigma_s: float) -> Series:
    """Gaussian mean in time of values [T] at times_s [T], each neighbour weighted by its distance in seconds."""
    total, weight = values.astype(np.float64), np.ones(len(values))
    for step in range(1, len(values)):
        distance = times_s[step:] - times_s[:-step]
        if distance.min() > _KERNEL_SIGMAS * sigma_s:
            break
        w = np.where(distance <= _KERNEL_SIGMAS * sigma_s, np.exp(-0.5 * (distance / sigma_s) ** 2), 0.0)
        total[step:] += w * values[:-step]
        total[:-step] += w * values[step:]
        weight[step:] += w
        weight[:-step] += w
    mean: Series = total / weight
    return mean
