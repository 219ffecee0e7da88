"""What may be chosen about face tracks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.stage import StageConfig


class TrackConfig(StageConfig):
    """How faces are found, followed and cut out."""

    min_detection_score: float = Field(default=0.5, ge=0, le=1)
    """Score of the detector from which a box is looked at as a face."""

    min_presence: float = Field(default=0.5, ge=0, le=1)
    """Presence of the landmark network from which a detected box counts as a face: below, it was a false detection."""

    min_iou: float = Field(default=0.3, ge=0, le=1)
    """Overlap from which two boxes of successive frames are the same face."""

    max_gap_s: float = Field(default=0.25, gt=0)
    """Longest time between two sightings of one face within a track. It also bounds the frame rate from below: at less
    than 1 / max_gap_s frames a second nothing is linked."""

    min_track_s: float = Field(default=0.5, ge=0)
    """Tracks that last less are left out."""

    crop_px: Literal[224] = 224
    """Side of the aligned crops."""

    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of the stored crops."""
