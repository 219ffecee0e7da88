"""What a training clip is, and how its motion is weighted."""

from __future__ import annotations

from pydantic import Field

from pipeline.stage import StageConfig


class MotionConfig(StageConfig):
    """How tracks are cut into clips of sixteen frames and how motion becomes weights.

    GRACE (2025) does not publish its equation. The defaults are this project's, chosen on rendered faces
    (docs/motion.md): what a face changes within a moment, with the head's own movement and the light taken out.
    Pixels are those of the 224 px crop; brightness 1 is the mean grey level of the face.
    """

    clip_s: float = Field(default=4.0, gt=0)
    """Longest stretch of a track that one clip of sixteen frames covers; longer tracks give several equal clips."""

    min_frames: int = Field(default=8, ge=2)
    """Tracks with fewer frames than this give no clip."""

    step_s: float = Field(default=0.1, ge=0)
    """A frame is compared with the first that is at least this much later, or else with the last before a gap, a cut or
    the end of the track. 0: with the very next, in which slow actions move less than a pixel."""

    edge_px: float = Field(default=16.0, gt=0)
    """Weight begins half this far inside the outline of the face and is full this far inside: at the outline itself,
    what lies behind a turning head comes and goes."""

    blur_px: float = Field(default=1.0, gt=0)
    """Width of the Gaussian that both frames are smoothed with: below it there is noise and aliasing."""

    light_px: float = Field(default=12.0, gt=0)
    """Brightness that changes over more than this width is light and shade, and not compared."""

    noise: float = Field(default=0.02, ge=0)
    """Change of brightness that is noise, and not counted."""

    slack_px: float = Field(default=0.5, ge=0)
    """Error of the landmarks: a change that a shift this far would explain is not counted."""

    frame_medians: float = Field(default=3.0, ge=0)
    """How many times the median over the face is taken off each frame: what changes everywhere is no expression."""

    scale_mad: float = Field(default=10.0, gt=0)
    """Changes this many median absolute deviations above the clip's median get weight 1 ..."""

    least_reach: float = Field(default=0.1, gt=0)
    """... but none below this change of brightness a second, so that a face at rest is not scaled up to weight 1."""

    gamma: float = Field(default=1.0, gt=0)
    """Exponent on the scaled change; below 1 it lifts subtle motion, and what is left of noise."""
