"""Turn blendshapes and face geometry into one measure per action and side, and find each measure's resting value.

Shape letters: T = frames of a track, A = actions in the order of FACIAL_ACTIONS. Sides are left, right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.actions.config import ActionConfig
from pipeline.actions.geometry import features
from pipeline.actions.thresholds import Witness
from schemas.actions import FACIAL_ACTIONS

_LOW_QUANTILE = 0.05

Measures = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Reading:
    """What the witnesses of each action say: 0 is the track's own rest, 1 the whole movement; all [T, A, 2] but one."""

    rises: Measures
    """How far the action is above rest: the smallest rise of its witnesses."""

    largest: Measures
    """The largest rise of its witnesses."""

    excess: Measures
    """How far the action is above what resting faces reach, by the witness that says least; below 0 it may be rest."""

    rest_share: Measures
    """How sure the rest is, [A, 2]: that of the witness which is least sure."""


def signals(
    blendshapes: NDArray[np.float32], landmarks_px: NDArray[np.float32], pose_deg: NDArray[np.float32]
) -> dict[str, Measures]:
    """All that a measure may be made of, each [T, 2]: blendshapes [T, 52] by stem, and the features of `geometry.py`.

    A blendshape without a side is in both columns.
    """
    column = {name: blendshapes[:, index].astype(np.float64) for index, name in enumerate(BLENDSHAPE_NAMES)}
    stems = {name.removesuffix("Left").removesuffix("Right") or name for name in BLENDSHAPE_NAMES}
    by_stem = {
        stem: np.stack([column.get(f"{stem}{side}", column.get(stem, zeros)) for side in ("Left", "Right")], axis=1)
        for stem in sorted(stems)
        for zeros in [np.zeros(len(blendshapes))]
    }
    return by_stem | features(landmarks_px, pose_deg)


def measures(parts: Mapping[str, Measures], mask: Flags, config: ActionConfig) -> tuple[Measures, Measures]:
    """How far each action is above this track's own rest, and how sure the rest is: [T, A, 2] and [A, 2].

    As in `read_measures`, without what its events are doubted by.
    """
    reading = read_measures(parts, mask, config)
    return reading.rises, reading.rest_share


def read_measures(parts: Mapping[str, Measures], mask: Flags, config: ActionConfig) -> Reading:
    """What all witnesses say; `parts` as `signals` gives them, mask [T, A, 2].

    An action of the middle of the face has the same in both columns.
    """
    by_action = []
    for a, (action, facial) in enumerate(FACIAL_ACTIONS.items()):
        said = [
            _said_by(witness, parts, mask[:, a], config, is_middle=bool(facial.middle))
            for witness in config.thresholds[action].witnesses
        ]
        rises, excess, shares = (np.stack(each) for each in zip(*said, strict=True))
        by_action.append((rises.min(axis=0), rises.max(axis=0), excess.min(axis=0), shares.min(axis=0)))
    smallest, largest, least, sure = zip(*by_action, strict=True)
    return Reading(
        rises=np.stack(smallest, axis=1),
        largest=np.stack(largest, axis=1),
        excess=np.stack(least, axis=1),
        rest_share=np.stack(sure, axis=0),
    )


def _said_by(
    witness: Witness,
    parts: Mapping[str, Measures],
    mask: Flags,
    config: ActionConfig,
    *,
    is_middle: bool,
) -> tuple[Measures, Measures, Measures]:
    """One witness's rises [T, 2], how far it is above what resting faces reach [T, 2], how sure its rest is [2]."""
    estimate = np.full_like(next(iter(parts.values())), -witness.neutral)
    for name, weight in witness.weights.items():
        estimate += weight * parts[name]
    if is_middle:
        estimate = np.repeat(estimate.mean(axis=1, keepdims=True), 2, axis=1)
    rest, share = resting(
        estimate, mask, width=config.rest_width, highest=witness.highest_rest, min_share=config.rest_min_share
    )
    return estimate - rest, estimate - witness.highest_rest, share


def resting(
    values: Measures, is_measurable: Flags, *, width: Measures | float, highest: Measures | float, min_share: float
) -> tuple[Measures, Measures]:
    """The resting value of each series and the share of its measurable frames that lies there; values [T, ...].

    Rest is the lowest place where the values gather: at least `min_share` of them within `width`. So neither a short
    dip below it nor an expression held for most of the track is taken for rest. Where that lies above `highest`, which
    no resting face was seen to exceed, an expression was held, and a low quantile stands in for rest. A share below
    `min_share` says that the rest is a guess: nothing gathers there, or even the lowest value is above `highest`.
    """
    shape = values.shape[1:]
    widths, limits = np.broadcast_to(width, shape), np.broadcast_to(highest, shape)
    rest, share = np.zeros(shape), np.zeros(shape)
    for place in np.ndindex(shape):
        ordered = np.sort(values[(slice(None), *place)][is_measurable[(slice(None), *place)]])
        if len(ordered):
            rest[place], share[place] = _rest_of(ordered, float(widths[place]), float(limits[place]), min_share)
    return rest, share


def _rest_of(ordered: Measures, width: float, highest: float, min_share: float) -> tuple[float, float]:
    rest, share = _lowest_gathering(ordered, width, min_share)
    if rest <= highest:
        return rest, share
    low = float(np.quantile(ordered, _LOW_QUANTILE))
    return low, float(np.mean(ordered <= low + width)) if low <= highest else 0.0


def _lowest_gathering(ordered: Measures, width: float, min_share: float) -> tuple[float, float]:
    ends = np.searchsorted(ordered, ordered + width, side="right")
    shares = (ends - np.arange(len(ordered))) / len(ordered)
    dense = np.flatnonzero(shares >= min_share)
    first = int(dense[0]) if len(dense) else int(shares.argmax())
    best = first + int(shares[first : ends[first]].argmax())  # the densest of the windows that begin within the first
    return float(np.median(ordered[best : ends[best]])), float(shares[best])
