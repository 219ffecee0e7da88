"""What may be chosen about measuring facial actions."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import Field, field_validator

from pipeline.actions.thresholds import ActionThresholds, calibrated
from pipeline.stage import StageConfig


class ActionConfig(StageConfig):
    """When a face counts as measurable, and when a measure above its rest counts as an action."""

    max_yaw_deg: float = Field(default=40.0, gt=0)
    """Yaw, to either side, beyond which nothing is measured: the far half of the face is hidden."""

    max_far_yaw_deg: float = Field(default=30.0, gt=0)
    """Yaw beyond which the side of the face that turns away is not measured."""

    max_far_mouth_yaw_deg: float = Field(default=25.0, gt=0)
    """The same for the corners of the mouth, which the cheek hides sooner."""

    max_pitch_deg: float = Field(default=35.0, gt=0)
    """Pitch, up or down, beyond which nothing is measured."""

    min_presence: float = Field(default=0.9, ge=0, le=1)
    """Face presence below which a frame is not measured."""

    min_face_px: float = Field(default=40.0, ge=0)
    """Size of a face, in each frame, below which the frame is not measured."""

    min_sharpness_share: float = Field(default=0.1, ge=0)
    """Share of its track's median sharpness below which a frame is too blurred to be measured."""

    min_visibility: float = Field(default=0.5, ge=0, le=1)
    """Visibility of a region below which something is in front of it, and its actions are not measured."""

    min_measurable_s: float = Field(default=0.3, ge=0)
    """A track of which less can be measured is refused."""

    baseline_quantile: float = Field(default=0.1, ge=0, le=1)
    """Quantile of a blendshape over the track that is stored as its resting score; events do not depend on it."""

    rest_min_share: float = Field(default=0.2, gt=0, le=1)
    """Share of a track's frames that must gather at one value of a measure for that to count as rest."""

    rest_width: float = Field(default=0.15, gt=0)
    """How far apart measures at rest may lie; 1 is the whole movement."""

    smoothing_s: float = Field(default=0.05, gt=0)
    """Standard deviation of the Gaussian that smooths measures in time."""

    leave_ratio: float = Field(default=0.5, gt=0, le=1)
    """Share of `present_above` below which an event is over."""

    apex_share: float = Field(default=0.95, gt=0, le=1)
    """Share of an event's highest rise that its apex reaches first. Where a movement is held, the very highest value is
    wherever the noise is largest."""

    min_event_s: float = Field(default=0.2, ge=0)
    """Shorter events are left out."""

    min_eye_close_s: float = Field(default=0.4, ge=0)
    """Shorter closures of the eyes are blinks and are left out."""

    asymmetry_ratio: float = Field(default=2.0, ge=1)
    """Stronger over weaker side from which an event belongs to one side only."""

    moderate_from: float = Field(default=0.4, gt=0)
    """Peak above rest from which an event is moderate; below, it is slight. 1 is the whole movement."""

    strong_from: float = Field(default=0.7, gt=0)
    """Peak above rest from which an event is strong."""

    thresholds: Mapping[str, ActionThresholds] = Field(default_factory=calibrated)
    """How each action is measured and judged. What is not given stays as calibrated."""

    @field_validator("thresholds", mode="before")
    @classmethod
    def _over_the_calibrated(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        whole: dict[str, Any] = {action: one.model_dump() for action, one in calibrated().items()}
        for action, changed in given.items():
            if action not in whole:
                nearest = get_close_matches(action, whole, 1, cutoff=0.0)[0]
                raise ValueError(f"there is no action {action!r}, the nearest is {nearest!r}")
            values = changed.model_dump() if isinstance(changed, ActionThresholds) else dict(changed)
            if unknown := sorted(set(values) - set(ActionThresholds.model_fields)):
                raise ValueError(f"{action}: unknown {unknown}, expected {sorted(ActionThresholds.model_fields)}")
            whole[action] |= values
        return whole
