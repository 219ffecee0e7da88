"""What a training clip is, and how its motion is weighted."""

from __future__ import annotations

from pydantic import Field

from pipeline.stage import StageConfig


class MotionConfig(StageConfig):
    """How tracks are cut into clips of sixteen frames and how motion becomes weights.

    GRACE (2025) does not publish its equation. The defaults are this project's: the difference of neighbouring aligned
    frames, the frame's median removed (what moves everywhere is not expression), scaled robustly over the clip.
    """

    clip_s: float = Field(default=4.0, gt=0)
    """Longest stretch of a track that one clip of sixteen frames covers; longer tracks give several equal clips."""

    min_frames: int = Field(default=8, ge=2)
    """Tracks with fewer frames than this give no clip."""

    scale_mad: float = Field(default=6.0, gt=0)
    """Differences this many median absolute deviations above the clip's median get weight 1."""

    gamma: float = Field(default=0.5, gt=0)
    """Exponent on the scaled difference; below 1 it lifts subtle motion."""
