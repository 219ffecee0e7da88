"""Load what was calibrated: how each action is measured, from where it is present and below where it is absent."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.actions import FACIAL_ACTIONS

CALIBRATED = Path(__file__).with_name("thresholds.toml")
"""Written by bench/calibrate_actions.py, which says how."""


class Witness(BaseModel):
    """One estimate of how far an action is under way: 0 as in the average resting face, 1 the whole movement."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    weights: Mapping[str, float]
    """Blendshapes (without Left and Right) and features of `geometry.py`, and how each counts."""

    neutral: float
    """What the weighted sum is for the average resting face; it is taken off."""

    highest_rest: float
    """Estimate that a resting face hardly exceeds: a track that never falls below it may never have been at rest."""


class ActionThresholds(BaseModel):
    """How one action is measured and judged. Rises are measures above the track's own rest; 1 is the whole movement."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    is_told: bool
    """Whether the measurement can tell this action. If not, it is reported as not measurable, never as absent."""

    is_deniable: bool
    """Whether its absence may be claimed too. If not, it is only told where it is strong: what is missed is no rest."""

    witnesses: tuple[Witness, ...] = Field(min_length=1)
    """Estimates that must agree: the smallest rise of them counts. So what fools one of them alone is no action."""

    absent_below: float = Field(gt=0)
    """Rise below which the action is surely absent."""

    present_above: float = Field(gt=0)
    """Rise from which it is surely present. Between the two nothing is claimed."""

    max_turn_deg: float = Field(gt=0)
    """How far the head may be turned from its usual pose in the track, in yaw and pitch together: beyond, the mesh of a
    turned face looks too much like this action."""

    min_face_px: float = Field(ge=0)
    """Size of the face, in each frame, below which this action is not measured."""

    @model_validator(mode="after")
    def _in_order(self) -> ActionThresholds:
        if self.absent_below > self.present_above:
            raise ValueError(f"absent_below {self.absent_below} lies above present_above {self.present_above}")
        return self


@cache
def calibrated() -> dict[str, ActionThresholds]:
    """The thresholds that come with the program, one for each of schemas.actions.FACIAL_ACTIONS.

    Raises:
        ValueError: the file does not hold exactly these actions, or a value is out of place.
    """
    tables = tomllib.loads(CALIBRATED.read_text(encoding="utf-8"))["actions"]
    if set(tables) != set(FACIAL_ACTIONS):
        odd = sorted(set(tables) ^ set(FACIAL_ACTIONS))
        raise ValueError(f"{CALIBRATED.name}: {odd} are missing or unknown; make it with bench/calibrate_actions.py")
    return {action: ActionThresholds.model_validate(tables[action]) for action in FACIAL_ACTIONS}
