"""Which presentation time each frame of a review copy shows: what spans of a labelling tool are brought back with.

The map stays with who exported. Tasks carry the hash of their track's part of it, so that spans are never read by the
map of another export.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.reviews.record import Name, ReviewFileError, Sha256, Words, in_words, read_bytes, sha256_of

TIME_MAP = "time_map.json"
FORMAT = "facescribe time map"

MOST_BYTES = 1 << 30
"""Of a map: some 30 bytes a frame."""


class ClaimSpan(BaseModel):
    """A claim's span: in presentation time of the video (seconds), and as frames of the copy, counted from 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    region: Name
    start_s: float
    end_s: float
    first_frame: int
    last_frame: int


class TrackMap(BaseModel):
    """One track as it was sent out."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    track_id: Name
    text_version: int
    text: Words
    fps: Annotated[int, Field(ge=1)]
    times_s: Annotated[list[float], Field(min_length=1)]
    """Presentation time of each frame of the track [T]."""
    shown: Annotated[list[int], Field(min_length=1)]
    """Which of these each frame of the copy shows [K]."""
    claims: list[ClaimSpan]
    media_sha256: Sha256

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        times, shown = np.asarray(self.times_s), np.asarray(self.shown)
        if (np.diff(times) <= 0).any():
            raise ValueError("times_s: expected rising times")
        if shown[0] < 0 or shown[-1] >= len(times) or (np.diff(shown) < 0).any():
            raise ValueError(f"shown: expected rising positions from 0 to {len(times) - 1}")
        for number, claim in enumerate(self.claims):
            if not 1 <= claim.first_frame <= claim.last_frame <= len(shown):
                raise ValueError(f"claims[{number}]: expected frames from 1 to {len(shown)}")
        return self

    @property
    def num_frames(self) -> int:
        """K, frames of the copy."""
        return len(self.shown)

    @property
    def text_sha256(self) -> str:
        """Of exactly the text that was sent out."""
        return sha256_of(self.text)

    @property
    def sha256(self) -> str:
        """Of everything above: what a task carries."""
        told = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(told.encode("ascii")).hexdigest()

    def time_of(self, frame: int) -> float:
        """Presentation time (seconds) of what frame `frame` of the copy shows, counted from 1.

        Raises:
            ValueError: the copy has no such frame.
        """
        if not 1 <= frame <= self.num_frames:
            raise ValueError(f"frame {frame} of a copy with {self.num_frames}")
        return self.times_s[self.shown[frame - 1]]


def frames_of_span(times_s: Sequence[float], shown: Sequence[int], start_s: float, end_s: float) -> tuple[int, int]:
    """First and last frame of the copy, counted from 1, that show the track's frames nearest to two times.

    Args:
        times_s: presentation times of the track's frames [T].
        shown: which of these each frame of the copy shows [K].
        start_s, end_s: presentation times; what lies outside of the track becomes its first or last frame.
    """
    times, seen = np.asarray(times_s, np.float64), np.asarray(shown)
    visible = np.unique(seen)
    of_start, of_end = (visible[np.abs(times[visible] - time_s).argmin()] for time_s in (start_s, end_s))
    first = int(np.searchsorted(seen, of_start, side="left")) + 1
    last = int(np.searchsorted(seen, of_end, side="right"))
    return first, max(first, last)


class TimeMap(BaseModel):
    """`time_map.json`: every track of one export."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["facescribe time map"] = "facescribe time map"
    version: Literal[1] = 1
    corpus: Words
    snapshot: int
    exported_at: Name
    tracks: list[TrackMap]

    def by_track(self) -> dict[str, TrackMap]:
        """Every track's part by its id."""
        return {track.track_id: track for track in self.tracks}


def read_time_map(path: Path) -> TimeMap:
    """Read the map of an export, from the file or from the folder that it lies in.

    Raises:
        ReviewFileError: it is not there, or is no such map.
    """
    file = path / TIME_MAP if path.is_dir() else path
    try:
        head: Any = json.loads(read_bytes(file, MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise ReviewFileError(
            f"{file} is damaged: no JSON ({error}); get the folder of the export again, or export anew"
        ) from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ReviewFileError(
            f"{file} is no time map: give {TIME_MAP}, or its folder, as `facescribe review export` wrote it"
        )
    try:
        return TimeMap.model_validate(head)
    except ValidationError as error:
        raise ReviewFileError(f"{file}: {in_words(error)}; was it changed, or written by another version?") from error
