"""Find the cuts of a video while its frames go by: where one shot ends and another begins at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE_PX = 96
"""Frames are looked at this small: a cut changes all of the picture, and a shaking camera changes less of it."""

_MIN_CHANGE = 15.0  # mean change of hue, saturation and lightness (0..255) below which nothing is a cut
_BRIEF_S = 0.25


@dataclass(frozen=True)
class _Seen:
    position: int
    time_s: float
    small: NDArray[np.uint8]


@dataclass(frozen=True)
class _Break:
    position: int
    time_s: float
    frame_before: NDArray[np.uint8]
    frame_after: NDArray[np.uint8]


class CutFinder:
    """Takes the frames of one video in order and tells where its picture breaks off.

    That is where it changes `threshold` times more than around it, so that neither a moving camera nor flickering light
    is a break; fades are not found. Uses PySceneDetect's adaptive detector, which looks two frames ahead: the breaks
    are known when all frames were seen.
    """

    def __init__(self, *, threshold: float) -> None:
        from scenedetect.detectors import AdaptiveDetector

        self._detector = AdaptiveDetector(adaptive_threshold=threshold, min_scene_len=1, min_content_val=_MIN_CHANGE)
        self._recent: deque[_Seen] = deque(maxlen=6)
        self._breaks: list[_Break] = []
        self._num_seen = 0
        self._is_over = False

    def see(self, rgb: NDArray[np.uint8], time_s: float) -> bool:
        """Take the next frame, uint8 [H, W, 3]; return whether it may begin a shot, before that is known."""
        frame = _Seen(self._num_seen, time_s, _small(rgb))
        may_be_cut = not self._recent or _change(self._recent[-1].small, frame.small) > _MIN_CHANGE / 2
        self._recent.append(frame)
        self._note(self._detector.process_frame(self._timecode(), frame.small))
        self._num_seen += 1
        return may_be_cut

    def breaks(self) -> list[int]:
        """Positions, counted from 0, of the frames before which the picture breaks off."""
        if self._num_seen and not self._is_over:
            self._is_over = True
            self._note(self._detector.post_process(self._timecode()))
        return [found.position for found in self._breaks]

    def cuts(self) -> list[int]:
        """Positions of the frames that begin a shot: the breaks, but not those around a moment after which the picture
        is what it was before: then something passed the camera, or there was a flash.
        """
        cuts, breaks = self.breaks(), self._breaks
        for before, after in pairwise(breaks):
            is_brief = after.time_s - before.time_s <= _BRIEF_S
            least = min(_change(found.frame_before, found.frame_after) for found in (before, after))
            if is_brief and _change(before.frame_before, after.frame_after) < least / 2:
                cuts = [position for position in cuts if position not in (before.position, after.position)]
        return cuts

    def _note(self, timecodes: Sequence[Any]) -> None:
        recent = {frame.position: frame for frame in self._recent}
        for position in sorted({timecode.frame_num for timecode in timecodes}):
            if position - 1 in recent and position in recent:
                here = recent[position]
                self._breaks.append(_Break(position, here.time_s, recent[position - 1].small, here.small))

    def _timecode(self) -> Any:
        from scenedetect import FrameTimecode

        return FrameTimecode(self._num_seen, 25.0)  # the rate is not used: breaks are counted in frames


def _change(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(cv2.absdiff(a, b).mean()) if a.shape == b.shape else 255.0


def _small(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    skip = max(1, max(rgb.shape) // (2 * _SIDE_PX))  # averaging all of a large frame would take longer than detecting
    rgb = rgb[::skip, ::skip]
    height, width = rgb.shape[:2]
    scale = _SIDE_PX / max(height, width)
    sides = max(8, round(width * scale)), max(8, round(height * scale))
    bgr = cv2.cvtColor(cv2.resize(rgb, sides, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    return bgr.astype(np.uint8, copy=False)
