"""What is asked of a source video before its faces are looked for."""

from __future__ import annotations

from pydantic import Field

from pipeline.stage import StageConfig


class VideoConfig(StageConfig):
    """How large a video may be. What is larger is refused as `too_large`, before it is decoded."""

    max_side_px: int = Field(default=8192, ge=1)
    """Longest width or height of a frame."""

    max_frame_px: int = Field(default=50_000_000, ge=1)
    """Most pixels of a frame; 8K is 33 million."""

    max_frames: int = Field(default=1_000_000, ge=1)
    """Most frames of a video; nine hours at 30 frames a second."""
