"""Turn blendshapes and face geometry into one measure per action and side, and find each measure's resting value.

Shape letters: T = frames of a track, A = actions in the order of FACIAL_ACTIONS. Sides are left, right.
"""

from __future__ import annotations

from collections.abc import Mapping

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

    `parts` as `signals` gives them, mask [T, A, 2]. 0 is rest, 1 the whole movement. Of several witnesses the smallest
    rise counts, and the rest that is least sure. An action of the middle of the face has the same in both columns.
    """
    rises, shares = [], []
    for a, (action, facial) in enumerate(FACIAL_ACTIONS.items()):
        judged = config.thresholds[action]
        seen = [
            _above_rest(witness, parts, mask[:, a], config, is_middle=bool(facial.middle))
            for witness in judged.witnesses
        ]
        rises.append(np.minimum.reduce([rise for rise, _ in seen]))
        shares.append(np.minimum.reduce([share for _, share in seen]))
    return np.stack(rises, axis=1), np.stack(shares, axis=0)


def _above_rest(
    witness: Witness,
    parts: Mapping[str, Measures],
    mask: Flags,
    config: ActionConfig,
    *,
    is_middle: bool,
) -> tuple[Measures, Measures]:
    estimate = np.full_like(next(iter(parts.values())), -witness.neutral)
    for name, weight in witness.weights.items():
        estimate += weight * parts[name]
    if is_middle:
        estimate = np.repeat(estimate.mean(axis=1, keepdims=True), 2, axis=1)
    rest, share = resting(
        estimate, mask, width=config.rest_width, highest=witness.highest_rest, min_share=config.rest_min_share
    )
    return estimate - rest, share


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
