"""Distractors: the closed list of what makes a clip hard, and what each adds to mouths, lids, heads, light and clocks.

Shape letters: T = frames. Times are seconds of presentation.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.synthetic.recipes import Movement, Series

DISTRACTORS: dict[str, str] = {
    "head_motion": "the head turns, nods, tilts and moves about strongly",
    "camera_shake": "the whole picture trembles, as held in a hand",
    "speech": "the mouth moves as if it spoke",
    "blinks": "the eyes blink, and now and then stay closed for half a second",
    "flicker": "the brightness flickers",
    "occluding_hand": "a hand comes up, covers part of the face and goes again",
    "occluding_bar": "a bar passes in front of the face",
    "crossing": "two faces pass each other, the nearer one hides the other",
    "cut": "a hard cut to another person in front of another background",
    "leave_and_return": "the face leaves the picture and comes back",
    "profile": "the head turns to at least 70 degrees of yaw and back",
    "small": "the face is only 30 to 60 px high",
    "several": "three faces are seen at once",
    "short_miss": "something covers the whole face for 0.1 to 0.2 s",
    "variable_frame_rate": "frames follow each other at uneven times",
}

TICKS_PER_S = 90_000
"""Presentation times are whole ticks of this clock, which is also the file's."""

_INDEX = {name: index for index, name in enumerate(BLENDSHAPE_NAMES)}

# What a mouth does with a sound, beside how far the jaw opens: open, rounded, spread, closed, teeth on lip.
_VISEMES = (
    {"mouthLowerDownLeft": 0.3, "mouthLowerDownRight": 0.3, "mouthUpperUpLeft": 0.15, "mouthUpperUpRight": 0.15},
    {"mouthFunnel": 0.5, "mouthPucker": 0.3},
    {"mouthStretchLeft": 0.3, "mouthStretchRight": 0.3, "mouthDimpleLeft": 0.15, "mouthDimpleRight": 0.15},
    {"mouthPressLeft": 0.35, "mouthPressRight": 0.35},
    {"mouthRollLower": 0.4, "mouthUpperUpLeft": 0.15, "mouthUpperUpRight": 0.15},
)
_JAW_OF_VISEME = (0.5, 0.3, 0.25, 0.02, 0.1)


class DistractorError(ValueError):
    """A name that is no distractor; the message names the nearest that is."""


def check_distractors(names: Iterable[str]) -> tuple[str, ...]:
    """The names in the order of DISTRACTORS, each once.

    Raises:
        DistractorError: a name is not in DISTRACTORS.
    """
    wanted = set(names)
    for name in sorted(wanted - set(DISTRACTORS)):
        nearest = get_close_matches(name, DISTRACTORS, 1, cutoff=0.0)[0]
        raise DistractorError(
            f"no distractor {name!r}, the nearest is {nearest!r}; there are: {', '.join(DISTRACTORS)}"
        )
    return tuple(name for name in DISTRACTORS if name in wanted)


def frame_ticks(seconds: float, fps: float, rng: np.random.Generator | None) -> NDArray[np.int64]:
    """Presentation time of each frame [T] in ticks; even at `fps`, or uneven steps drawn from `rng`."""
    step = TICKS_PER_S / fps
    if rng is None:
        return np.round(np.arange(round(seconds * fps)) * step).astype(np.int64)
    steps = step * rng.choice([0.5, 1.0, 1.0, 1.0, 1.5, 2.0, 3.0], size=round(2 * seconds * fps))
    ticks = np.round(np.append(0.0, np.cumsum(steps * rng.uniform(0.9, 1.1, len(steps))))).astype(np.int64)
    return ticks[ticks < seconds * TICKS_PER_S]


def sway(rng: np.random.Generator, times_s: Series, reach: Iterable[float], fastest_hz: float) -> Series:
    """A smooth wandering [T, len(reach)] around 0 that keeps within `reach`: three slow sines a column."""
    reaches = np.array(list(reach), np.float64)
    shape = (3, len(reaches))
    hertz, phase = rng.uniform(0.3, 1.0, shape) * fastest_hz, rng.uniform(0.0, 2 * np.pi, shape)
    waves = np.sin(2 * np.pi * hertz * times_s[:, None, None] + phase)
    wandering: Series = waves.mean(axis=1) * reaches
    return wandering


def speech(rng: np.random.Generator, times_s: Series) -> NDArray[np.float32]:
    """Weights [T, 52] of a mouth that speaks three to six sounds a second, with a pause now and then."""
    weights = np.zeros((len(times_s), len(BLENDSHAPE_NAMES)), np.float32)
    moment_s = float(rng.uniform(0.0, 0.3))
    while moment_s < times_s[-1]:
        length_s = float(rng.uniform(0.17, 0.33))
        viseme = int(rng.integers(len(_VISEMES)))
        swell = np.clip(1.0 - np.abs(times_s - moment_s - length_s / 2) / (0.75 * length_s), 0.0, 1.0)
        loudness = float(rng.uniform(0.6, 1.2)) * swell * swell * (3.0 - 2.0 * swell)
        for name, weight in {"jawOpen": _JAW_OF_VISEME[viseme], **_VISEMES[viseme]}.items():
            column = weights[:, _INDEX[name]]
            np.maximum(column, (weight * loudness).astype(np.float32), out=column)
        moment_s += length_s + (float(rng.uniform(0.2, 0.4)) if rng.random() < 0.12 else 0.0)
    return weights


def blinks(rng: np.random.Generator, start_s: float, end_s: float) -> tuple[Movement, ...]:
    """Blinks of 0.2 to 0.3 s, about one a second; half of the faces also close their eyes once for longer."""
    movements: list[Movement] = []
    moment_s = start_s + float(rng.uniform(0.1, 0.6))
    longer_at = int(rng.integers(2)) if rng.random() < 0.5 else -1
    while True:
        hold_s = float(rng.uniform(0.3, 0.5)) if len(movements) == longer_at else float(rng.uniform(0.02, 0.06))
        down_s, up_s = rng.uniform((0.07, 0.12), (0.1, 0.16)).tolist()
        offset_s = moment_s + down_s + hold_s + up_s
        if offset_s > end_s:
            return tuple(movements)
        apex_s = moment_s + down_s
        peak = float(rng.uniform(0.9, 1.0))
        movements.append(Movement("eye_close", "both", moment_s, apex_s, apex_s + hold_s, offset_s, peak))
        moment_s = offset_s + float(rng.uniform(0.5, 1.2))


def flicker(rng: np.random.Generator, times_s: Series) -> Series:
    """Factor of brightness for each frame [T]: a lamp at 3 to 9 Hz, its depth changing, and uneven single frames."""
    hertz, phase = rng.uniform(3.0, 9.0), rng.uniform(0.0, 2 * np.pi)
    depth = 0.18 + sway(rng, times_s, [0.1], 0.8)[:, 0]
    gain: Series = 1.0 + depth * np.sin(2 * np.pi * hertz * times_s + phase) + rng.normal(0.0, 0.04, len(times_s))
    return np.clip(gain, 0.55, 1.4)


def there_and_back(times_s: Series, start_s: float, arrive_s: float, leave_s: float, end_s: float) -> Series:
    """Share of a way [T]: 0 until `start_s`, 1 from `arrive_s` to `leave_s`, 0 again from `end_s`, eased between."""
    share = np.interp(times_s, [start_s, arrive_s, leave_s, end_s], [0.0, 1.0, 1.0, 0.0])
    eased: Series = share * share * (3.0 - 2.0 * share)
    return eased
