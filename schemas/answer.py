"""The JSON that the language model must return: claims that can be held against the measurement, and prose."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.actions import TOLD_ACTIONS

MAX_CLAIMS = 6
MAX_DESCRIPTION_CHARS = 480


class Claim(BaseModel):
    """One thing said of the face: what moved, where, on which side, when, how strongly, or that it did not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal[tuple(TOLD_ACTIONS)]  # type: ignore[valid-type]
    side: Literal["left", "right", "both", "middle"]
    start_s: float = Field(ge=0)
    end_s: float = Field(ge=0)
    polarity: Literal["present", "absent"]
    intensity: Literal["slight", "moderate", "strong"]

    @property
    def region(self) -> str:
        """Region of the action: one of the face, head or gaze."""
        return TOLD_ACTIONS[self.action].region


class Answer(BaseModel):
    """What a refinement must look like: the claims, if any were asked for, and prose that says nothing beyond them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claims: list[Claim] = Field(default=[], max_length=MAX_CLAIMS)
    description: str = Field(min_length=1, max_length=MAX_DESCRIPTION_CHARS)
