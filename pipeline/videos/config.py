"""What is asked of a source video before its faces are looked for, and what is assumed of one that has no clock."""

from __future__ import annotations

from pydantic import Field

from pipeline.stage import StageConfig


class VideoConfig(StageConfig):
    """How large a video may be; what is larger is refused as `too_large`, before it is decoded. And the clock of a clip
    that is a folder of pictures."""

    max_side_px: int = Field(default=8192, ge=1)
    """Longest width or height of a frame."""

    max_frame_px: int = Field(default=50_000_000, ge=1)
    """Most pixels of a frame; 8K is 33 million."""

    max_frames: int = Field(default=1_000_000, ge=1)
    """Most frames of a video; nine hours at 30 frames a second."""

    max_duration_s: float = Field(default=12 * 3600.0, gt=0)
    """Most seconds from a video's first frame to its last: two frames may state times that are years apart."""

    max_video_px: int = Field(default=4_000_000_000_000, ge=1)
    """Most pixels of all frames of a video together; two hours of 4K at 60 frames a second are 3.6 million million.
    Pictures in which nothing changes cost a file next to nothing, and the machine as much as others."""

    links_out: bool = False
    """Whether symbolic links that lead out of the source are followed. Else each is refused as `not_a_file`: whoever
    packed a folder must not choose what else of this machine enters the corpus."""

    frames_per_second: float = Field(default=25.0, gt=0)
    """The clock that is assumed for clips that are folders of pictures, which state none. Rows say that it was assumed
    (`assumed_fps`). Files keep their own."""
