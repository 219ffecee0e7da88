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


class ActionThresholds(BaseModel):
    """How one action is measured and judged. Rises are measures above the track's own rest; 1 is the whole movement."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    is_told: bool
    """Whether the measurement can tell this action. If not, it is reported as not measurable, never as absent."""

    weights: Mapping[str, float]
    """Blendshapes (without Left and Right) and features of `geometry.py`, and how each counts in the measure."""

    neutral: float
    """What the weighted sum is for the average resting face. It becomes a measure of 0."""

    highest_rest: float
    """Measure that a resting face hardly exceeds: a track that never falls below it may never have been at rest."""

    absent_below: float = Field(gt=0)
    """Rise below which the action is surely absent."""

    present_above: float = Field(gt=0)
    """Rise from which it is surely present. Between the two nothing is claimed."""

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
