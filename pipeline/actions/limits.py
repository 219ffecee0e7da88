"""Say from where a movement away from what is usual in a track is told, and from where it is called strong."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class MovementLimits(BaseModel):
    """When a movement is told, denied and graded; every field in the unit that the movement is measured in."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    absent_below: float = Field(gt=0)
    """Below, the movement is surely absent."""

    present_above: float = Field(gt=0)
    """From here on it is surely present. Between the two nothing is claimed."""

    moderate_from: float = Field(gt=0)
    """Highest value from which an event is moderate; below, it is slight."""

    strong_from: float = Field(gt=0)
    """Highest value from which an event is strong."""

    whole: float = Field(gt=0)
    """What counts as 1 in an event's `peak`: the strongest usual movement."""

    @model_validator(mode="after")
    def _in_order(self) -> MovementLimits:
        if self.absent_below > self.present_above:
            raise ValueError(f"absent_below {self.absent_below} lies above present_above {self.present_above}")
        if self.moderate_from > self.strong_from:
            raise ValueError(f"moderate_from {self.moderate_from} lies above strong_from {self.strong_from}")
        return self
