"""What may be chosen about measuring facial actions."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from pipeline.actions.coarse_model import CoarseRegion, calibrated_coarse, weights_digest
from pipeline.actions.limits import MovementLimits
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

    min_covered_s: float = Field(default=0.15, ge=0)
    """From when a region was last seen until it is seen again: for less nothing is in front of it. Hardly anything
    passes a face so fast, but the visibility of a mouth that opens or an eye that closes flickers for single frames."""

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

    deny_ratio: float = Field(default=0.4, gt=0, le=1)
    """Share of `present_above` from which an action is not denied, where `absent_below` lies higher: an action that
    moves a little less than an event must find a band between being told and being denied."""

    leave_ratio: float = Field(default=0.5, gt=0, le=1)
    """Share of `present_above` below which an event is over."""

    apex_share: float = Field(default=0.95, gt=0, le=1)
    """Share of an event's highest rise that its apex reaches first. Where a movement is held, the very highest value is
    wherever the noise is largest."""

    min_event_s: float = Field(default=0.2, ge=0)
    """Shorter events are left out."""

    min_eye_close_s: float = Field(default=0.4, ge=0)
    """Shorter closures of the eyes are blinks and are left out."""

    usual_rest_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the measurable frames at rest, below which what was found to be rest may be another action: a lowered
    mouth is below its rest, and rises when it is at rest again."""

    largest_return: float = Field(default=1.25, gt=0)
    """Peak above rest from which an event is no return to rest any more: what a lowered mouth can rise is less. A real
    face that cries reached 1.15, the same face laughing 2.1."""

    funnel_in_jaw: float = Field(default=0.3, ge=0)
    """Part of the rise of `lip_funnel` that is no `jaw_drop`: lips that funnel part as those of a dropping jaw do."""

    min_agreement: float = Field(default=0.3, ge=0, le=1)
    """Smallest over largest rise among the witnesses of an action, below which they see different things."""

    asymmetry_ratio: float = Field(default=2.0, ge=1)
    """Stronger over weaker side from which an event belongs to one side only."""

    moderate_from: float = Field(default=0.4, gt=0)
    """Peak above rest from which an event is moderate; below, it is slight. 1 is the whole movement."""

    strong_from: float = Field(default=0.95, gt=0)
    """Peak above rest from which an event is strong. Smiles, one-sided ones above all, are measured larger than they
    are drawn, so that from 0.7 on some were called strong that were slight."""

    head_turn_deg: MovementLimits = MovementLimits(
        absent_below=5, present_above=10, moderate_from=15, strong_from=25, whole=40
    )
    """A turn of the head to the person's left or right, in degrees of yaw from the track's usual pose."""

    head_tilt_deg: MovementLimits = MovementLimits(
        absent_below=4, present_above=8, moderate_from=12, strong_from=20, whole=30
    )
    """A tilt towards a shoulder, in degrees of roll."""

    head_nod_deg: MovementLimits = MovementLimits(
        absent_below=4, present_above=8, moderate_from=12, strong_from=18, whole=25
    )
    """Raising or lowering the chin, in degrees of measured pitch; a rendered head's is measured a third too small."""

    max_covered_regions: int = Field(default=1, ge=0)
    """Regions of the face that may be covered, beside those that the head's own turn hides, while its pose is believed.
    A hand in front of a resting face made it seem to turn by up to 19 degrees."""

    max_coarse_turn_deg: float = Field(default=10.0, gt=0)
    """Turn of the head from its usual pose, in yaw and pitch together, beyond which no region is said to move: the mesh
    of a turning face bends."""

    coarse_regions: Mapping[str, CoarseRegion] = Field(default_factory=lambda: calibrated_coarse().regions)
    """From where each region is said to move, and whether it is at all. What is not given stays as calibrated."""

    coarse_weights: str = Field(default_factory=weights_digest)
    """Digest of the weights that the movements of regions are estimated with; not to be chosen, it enters the key."""

    min_calm_share: float = Field(default=0.1, gt=0, le=1)
    """Share of the frames that must show none of the told facial actions for the rest of regions to be taken there."""

    tell_gaze: bool = False
    """Whether movements of the gaze are told. Rendered faces do not move their eyes, so nothing was measured of it."""

    gaze: MovementLimits = MovementLimits(
        absent_below=0.15, present_above=0.3, moderate_from=0.4, strong_from=0.6, whole=1
    )
    """Eyes that turn, rise or sink in the head, in blendshape scores from where they usually look; not measured."""

    max_gaze_blink: float = Field(default=0.4, gt=0, le=1)
    """Score of a closing lid from which the eyes count as closed."""

    thresholds: Mapping[str, ActionThresholds] = Field(default_factory=calibrated)
    """How each action is measured and judged. What is not given stays as calibrated."""

    @field_validator("head_turn_deg", "head_tilt_deg", "head_nod_deg", "gaze", mode="before")
    @classmethod
    def _over_the_default(cls, given: Any, info: ValidationInfo) -> Any:
        """What is not given of limits stays as it is."""
        default = cls.model_fields[str(info.field_name)].default
        return {**default.model_dump(), **given} if isinstance(given, Mapping) else given

    @field_validator("coarse_regions", mode="before")
    @classmethod
    def _over_the_calibrated_regions(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        whole = {region: one.model_dump() for region, one in calibrated_coarse().regions.items()}
        if unknown := sorted(set(given) - set(whole)):
            raise ValueError(f"there are no regions {unknown}, expected some of {sorted(whole)}")
        for region, changed in given.items():
            whole[region] |= changed.model_dump() if isinstance(changed, CoarseRegion) else dict(changed)
        return whole

    @field_validator("coarse_weights")
    @classmethod
    def _as_calibrated(cls, given: str) -> str:
        if given != weights_digest():
            raise ValueError(f"the weights are those of {weights_digest()}, got {given}: leave this field out")
        return given

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
