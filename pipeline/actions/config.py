"""What may be chosen about measuring facial actions."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from pipeline.stage import StageConfig

WEAKLY_MEASURED = frozenset({"cheek_raise", "nose_wrinkle", "brow_lower", "lip_corner_lower", "eye_widen"})
"""Actions that the blendshape network often misses: that it sees nothing of them does not show that they are absent."""


class ActionConfig(StageConfig):
    """When a face counts as measurable, and when a score above its rest counts as an action."""

    max_yaw_deg: float = Field(default=40.0, gt=0)
    """Yaw, to either side, beyond which nothing is measured: the far half of the face is hidden."""

    max_pitch_deg: float = Field(default=35.0, gt=0)
    """Pitch, up or down, beyond which nothing is measured."""

    min_presence: float = Field(default=0.9, ge=0, le=1)
    """Face presence below which a frame is not measured."""

    min_face_px: float = Field(default=40.0, ge=0)
    """Median size of a track's face below which none of its frames is measured."""

    min_measurable_s: float = Field(default=0.3, ge=0)
    """A track of which less can be measured is refused."""

    baseline_quantile: float = Field(default=0.1, ge=0, le=1)
    """Quantile of a blendshape over the track that counts as its resting score."""

    smoothing_s: float = Field(default=0.05, gt=0)
    """Standard deviation of the Gaussian that smooths scores in time."""

    enter_above: float = Field(default=0.3, gt=0)
    """Score above rest that a movement must reach to be an event."""

    enter_above_by_action: Mapping[str, float] = Field(
        default={
            "inner_brow_raise": 0.4,  # drifts with the smile
            "outer_brow_raise": 0.4,
            "brow_lower": 0.06,  # a clear knitting of the brows scores 0.1
            "eye_widen": 0.2,
            "lip_corner_lower": 0.2,
            "lip_pucker": 0.5,  # a closed mouth at rest may score 0.45
        }
    )
    """The same for actions to which the network reacts more or less than to the others."""

    leave_ratio: float = Field(default=0.5, gt=0, le=1)
    """Share of the entering score below which the event is over."""

    min_event_s: float = Field(default=0.2, ge=0)
    """Shorter events are left out."""

    min_eye_close_s: float = Field(default=0.4, ge=0)
    """Shorter closures of the eyes are blinks and are left out."""

    asymmetry_ratio: float = Field(default=2.0, ge=1)
    """Stronger over weaker side from which an event belongs to one side only."""

    moderate_ratio: float = Field(default=1.4, ge=1)
    """Peak over entering score from which an event is moderate; below, it is slight."""

    strong_ratio: float = Field(default=1.8, ge=1)
    """Peak over entering score from which an event is strong."""

    def enter_for(self, action: str) -> float:
        """Score above rest that a movement of `action` must reach to be an event."""
        return self.enter_above_by_action.get(action, self.enter_above)
