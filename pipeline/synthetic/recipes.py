"""Expression recipes: which facial actions make happiness, sadness, …, and how each rises, peaks and falls.

Shape letters: T = frames. Times are seconds of presentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from schemas.actions import FACIAL_ACTIONS

Series = NDArray[np.float64]

RECIPE_S = 2.5
"""Seconds that one expression takes, rest before and after it included; a longer clip repeats its recipe."""

SAG = 0.12
"""Part of its peak that an action loses while it is held: the apex is then one moment and not a plateau."""

SHORTEST_CLOSURE_S = 0.4
"""Eyes closed for less are a blink: part of the drawn face, but no event."""

_INDEX = {name: index for index, name in enumerate(BLENDSHAPE_NAMES)}


@dataclass(frozen=True)
class Ingredient:
    """One action of a recipe: the range of its weight at full strength, and the share of faces that show it."""

    action: str
    low: float
    high: float
    share: float = 1.0


# Prototypes after Ekman, Friesen & Hager 2002 (FACS investigator's guide), in what ARKit can draw of them.
RECIPES: dict[str, tuple[Ingredient, ...]] = {
    "happiness": (
        Ingredient("lip_corner_raise", 0.6, 1.0),
        Ingredient("cheek_raise", 0.5, 0.9),
        Ingredient("eye_narrow", 0.2, 0.5, share=0.5),
        Ingredient("jaw_drop", 0.1, 0.3, share=0.4),
    ),
    "sadness": (
        Ingredient("inner_brow_raise", 0.6, 1.0),
        Ingredient("lip_corner_lower", 0.6, 1.0),
        Ingredient("brow_lower", 0.2, 0.4, share=0.5),
        Ingredient("chin_raise", 0.3, 0.7, share=0.6),
    ),
    "anger": (
        Ingredient("brow_lower", 0.7, 1.0),
        Ingredient("eye_narrow", 0.4, 0.8),
        Ingredient("lip_press", 0.5, 0.9),
        Ingredient("nose_wrinkle", 0.2, 0.4, share=0.3),
    ),
    "surprise": (
        Ingredient("inner_brow_raise", 0.7, 1.0),
        Ingredient("outer_brow_raise", 0.7, 1.0),
        Ingredient("eye_widen", 0.6, 1.0),
        Ingredient("jaw_drop", 0.4, 0.9),
    ),
    "fear": (
        Ingredient("inner_brow_raise", 0.7, 1.0),
        Ingredient("outer_brow_raise", 0.3, 0.7),
        Ingredient("brow_lower", 0.2, 0.4, share=0.6),
        Ingredient("eye_widen", 0.7, 1.0),
        Ingredient("lip_stretch", 0.6, 1.0),
        Ingredient("jaw_drop", 0.1, 0.35, share=0.5),
    ),
    "disgust": (
        Ingredient("nose_wrinkle", 0.7, 1.0),
        Ingredient("upper_lip_raise", 0.5, 0.9),
        Ingredient("brow_lower", 0.2, 0.5, share=0.5),
        Ingredient("lip_corner_lower", 0.2, 0.5, share=0.4),
    ),
    "contempt": (
        Ingredient("lip_corner_dimple", 0.6, 1.0),
        Ingredient("lip_corner_raise", 0.3, 0.6),
    ),
    "neutral": (),
}

LABELS = tuple(RECIPES)

ONE_SIDED = frozenset({"contempt"})
"""Recipes that only one side of the face shows."""


class RecipeError(ValueError):
    """A label, action or side that is not in the closed list; the message names the nearest that is."""


@dataclass(frozen=True)
class Movement:
    """One action done once: it rises from onset to apex, sags a little until release, and is back at rest at offset.

    `side` is left, right or both for an action with sides (the person's own), else middle; `peak` is 0 to 1.
    """

    action: str
    side: str
    onset_s: float
    apex_s: float
    release_s: float
    offset_s: float
    peak: float

    def weight_at(self, times_s: Series) -> Series:
        """Weight at each time [T], 0 to `peak`, which it has at the apex alone.

        Source: minimum-jerk rise and fall, Flash & Hogan 1985.
        """
        rise = _ease((times_s - self.onset_s) / (self.apex_s - self.onset_s))
        sag = 1.0 - SAG * np.clip((times_s - self.apex_s) / (self.release_s - self.apex_s), 0.0, 1.0)
        fall = 1.0 - _ease((times_s - self.release_s) / (self.offset_s - self.release_s))
        weight: Series = self.peak * rise * sag * fall
        return weight

    def units(self) -> tuple[str, ...]:
        """Names of the blendshapes that it moves, all with the same weight."""
        facial = FACIAL_ACTIONS[self.action]
        by_side = {"left": facial.left, "right": facial.right, "both": facial.left + facial.right}
        return facial.middle if self.side == "middle" else by_side[self.side]


def plan_recipe(
    name: str,
    rng: np.random.Generator,
    start_s: float,
    end_s: float,
    *,
    side: str | None = None,
    peak: float | None = None,
) -> tuple[Movement, ...]:
    """Movements of the recipe `name`, a label or a single action, between two times at which the face is at rest.

    `side` (of a single action or a one-sided label) and `peak` (weight of a single action, strength of a label) are
    drawn where they are None. A stretch longer than RECIPE_S holds the recipe several times.

    Raises:
        RecipeError: no such label or action, a side that it has not, or a peak outside of 0 to 1.
    """
    if peak is not None and not 0.0 < peak <= 1.0:
        raise RecipeError(f"peak of {name}: expected a weight above 0 and up to 1, got {peak}")
    side = side_of(name, side, rng)
    count = max(1, round((end_s - start_s) / RECIPE_S))
    edges = np.linspace(start_s, end_s, count + 1)
    turns = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return tuple(movement for begin, end in turns for movement in _one_turn(name, rng, begin, end, side, peak))


def recipe_kind(name: str) -> Literal["label", "action"]:
    """Whether a recipe is an expression or a single action.

    Raises:
        RecipeError: it is neither.
    """
    if name in RECIPES:
        return "label"
    if name in FACIAL_ACTIONS:
        return "action"
    known = (*LABELS, *FACIAL_ACTIONS)
    nearest = get_close_matches(name, known, 1, cutoff=0.0)[0]
    raise RecipeError(f"no recipe {name!r}, the nearest is {nearest!r}; there are: {', '.join(known)}")


def side_of(name: str, side: str | None, rng: np.random.Generator) -> str:
    """The side on which a recipe is shown: the wanted one, or one drawn from those that it can have.

    Raises:
        RecipeError: no such label or action, or a side that it has not.
    """
    if recipe_kind(name) == "label":
        possible = ["left", "right"] if name in ONE_SIDED else ["both"]
    else:
        possible = ["middle"] if FACIAL_ACTIONS[name].middle else ["both", "both", "left", "right"]
    if side is not None and side not in possible:
        raise RecipeError(f"{name} cannot be shown on side {side!r}; its sides: {', '.join(dict.fromkeys(possible))}")
    return side or str(rng.choice(possible))


def _one_turn(
    name: str, rng: np.random.Generator, start_s: float, end_s: float, side: str, peak: float | None
) -> Iterable[Movement]:
    """One showing of the recipe, with rest before and after it."""
    if name in FACIAL_ACTIONS:
        weights = {name: peak if peak is not None else float(rng.uniform(0.15, 1.0))}
    else:
        strength = peak if peak is not None else float(rng.uniform(0.5, 1.0))
        shown = [part for part in RECIPES[name] if rng.random() < part.share]
        weights = {part.action: strength * float(rng.uniform(part.low, part.high)) for part in shown}
    pace = (end_s - start_s) / RECIPE_S
    onset_s, rise_s, hold_s, fall_s = rng.uniform((0.25, 0.25, 0.25, 0.3), (0.45, 0.55, 0.6, 0.6))
    for action, weight in weights.items():
        lag_s, slower = rng.uniform(-0.06, 0.06), rng.uniform(0.9, 1.1)
        steps = np.cumsum([onset_s + lag_s, rise_s * slower, hold_s, fall_s * slower]) * pace + start_s
        onset, apex, release, offset = steps.tolist()
        place = "middle" if FACIAL_ACTIONS[action].middle else side
        yield Movement(action, place, onset, apex, release, offset, float(weight))


def blend(movements: Sequence[Movement], times_s: Series) -> NDArray[np.float32]:
    """Weight of each blendshape at each time [T, 52]; where two movements share one, the stronger shows."""
    weights = np.zeros((len(times_s), len(BLENDSHAPE_NAMES)), np.float32)
    for movement in movements:
        columns = [_INDEX[name] for name in movement.units()]
        weights[:, columns] = np.maximum(weights[:, columns], movement.weight_at(times_s)[:, None])
    return weights


def true_events(movements: Sequence[Movement]) -> list[dict[str, Any]]:
    """The events of TRUTH, in the order of their onsets; blinks shorter than SHORTEST_CLOSURE_S are none."""
    return [
        {
            "action": movement.action,
            "side": movement.side,
            "onset_s": movement.onset_s,
            "apex_s": movement.apex_s,
            "offset_s": movement.offset_s,
            "peak": movement.peak,
        }
        for movement in sorted(movements, key=lambda movement: (movement.onset_s, movement.action))
        if movement.action != "eye_close" or movement.offset_s - movement.onset_s >= SHORTEST_CLOSURE_S
    ]


def _ease(share: Series) -> Series:
    share = np.clip(share, 0.0, 1.0)
    eased: Series = share**3 * (10.0 - 15.0 * share + 6.0 * share**2)
    return eased
