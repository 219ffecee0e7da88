"""What is asked of a source video before its faces are looked for."""

from __future__ import annotations

from pipeline.stage import StageConfig


class VideoConfig(StageConfig):
    """Nothing to choose yet: a video is probed in one way."""
