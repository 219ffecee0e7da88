"""A gapless part of a track: what the first pass found of it, and what the second pass fills in.

Shape letters: T = frames of the piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.tracks.config import TrackConfig
from pipeline.tracks.crop import align
from pipeline.tracks.link import Link, Look

SIGHTING = np.dtype(
    [
        ("frame", "i4"),  # position among the frames that were read
        ("index", "i4"),
        ("time_s", "f8"),
        ("box", "f4", 4),
        ("score", "f4"),
        ("presence", "f4"),
        ("is_crowded", "?"),  # faces were near each other
        ("placement", "f8", 4),
        ("pose", "f4", 3),
        ("spooled", "i8"),  # number of its landmarks in their spool
    ]
)
"""One face of one frame, without its landmarks."""

Sightings = NDArray[np.void]

_GOOD_YAW_DEG, _GOOD_PITCH_DEG, _GOOD_PRESENCE, _GOOD_FACE_PX = 35.0, 30.0, 0.9, 40.0
"""Within these a face can be recognised."""

_AROUND_S = 0.25  # how far around the planned moment the best view of the face is taken
_THUMB_PX = 16
_JUMP = 12.0  # change of a crop's grey values, light aside (mean, 0..255), that one face hardly makes in one frame


@dataclass
class Piece:
    """`seen` [T] from the first pass; the second writes `looks` (face descriptors at some positions), numbers in the
    spool of crops [T], sharpness [T] and small pictures [T, 16, 16].
    """

    seen: Sightings
    shot: int
    start_reason: str
    end_reason: str
    transforms: NDArray[np.float32]
    looks: dict[int, NDArray[np.float32] | None]
    crops_spooled: NDArray[np.int64] = field(init=False)
    sharpness: NDArray[np.float32] = field(init=False)
    thumbs: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.crops_spooled = np.zeros(len(self.seen), np.int64)
        self.sharpness = np.zeros(len(self.seen), np.float32)
        self.thumbs = np.zeros((len(self.seen), _THUMB_PX, _THUMB_PX), np.uint8)

    def remember(self, position: int, grey: NDArray[np.uint8]) -> None:
        """Keep a small picture of the crop."""
        self.thumbs[position] = cv2.resize(grey, (_THUMB_PX, _THUMB_PX), interpolation=cv2.INTER_AREA)

    @property
    def descriptors(self) -> list[tuple[int, NDArray[np.float32]]]:
        """Where it was looked who the face is, in time order."""
        return [(position, face) for position, face in sorted(self.looks.items()) if face is not None]


def piece_of(link: Link, seen: Sequence[Sightings], cuts: Sequence[int], config: TrackConfig) -> Piece:
    """The piece that `link` makes of the sightings of each frame; `cuts` are the frames that begin a shot."""
    sightings = np.array([seen[frame][box] for frame, box in zip(link.frames, link.boxes, strict=True)], SIGHTING)
    first, last = int(link.frames[0]), int(link.frames[-1])
    no_gap = np.zeros(len(sightings), np.bool_)
    return Piece(
        seen=sightings,
        shot=int(np.searchsorted(cuts, first, side="right")),
        start_reason="video_start" if first == 0 else "cut" if first in cuts else "appeared",
        end_reason="video_end" if last == len(seen) - 1 else "cut" if last + 1 in cuts else "lost",
        transforms=align(sightings["placement"], sightings["time_s"], no_gap, config.crop_px),
        looks=dict.fromkeys(when_to_look(sightings, config.identity_every_s)),
    )


def when_to_look(seen: Sightings, every_s: float) -> list[int]:
    """Positions at which to look who the face is: near the start and the end, and between them at least `every_s`.

    Around each planned moment the most frontal view is taken; none where the face cannot be recognised there.
    """
    times_s, turn = seen["time_s"], np.abs(seen["pose"])
    sides = (seen["box"][:, 2:] - seen["box"][:, :2]).max(axis=1)
    is_good = (turn[:, 0] <= _GOOD_YAW_DEG) & (turn[:, 1] <= _GOOD_PITCH_DEG)
    is_good &= (seen["presence"] >= _GOOD_PRESENCE) & (sides >= _GOOD_FACE_PX) & ~seen["is_crowded"]
    badness = np.where(is_good, turn[:, 0] + turn[:, 1], np.inf)
    inner_s = max(float(times_s[-1] - times_s[0]) - 2 * _AROUND_S, 0.0)
    num_looks = 2 + int(inner_s / every_s) if inner_s else 1
    start_s = times_s[0] + _AROUND_S if inner_s else (times_s[0] + times_s[-1]) / 2
    positions = set()
    for moment_s in start_s + np.linspace(0, inner_s, num_looks):
        around = np.flatnonzero(np.abs(times_s - moment_s) <= _AROUND_S)
        if len(around) and np.isfinite(badness[around]).any():
            positions.add(int(around[badness[around].argmin()]))
    return sorted(positions)


def split_persons(piece: Piece, config: TrackConfig) -> list[Piece]:
    """Cut a piece where, between two looks at surely different persons, the picture of the face jumps.

    Without a jump it stays whole: a hand over the face or a turned head is no other person, and the distances go into
    the track's passport.
    """
    borders = [0]
    for (before, a), (after, b) in pairwise(piece.descriptors):
        thumbs = piece.thumbs[before : after + 1].astype(np.float32)
        jumps = np.abs(np.diff(thumbs - thumbs.mean(axis=(1, 2), keepdims=True), axis=0)).mean(axis=(1, 2))
        if float(np.linalg.norm(a - b)) > config.other_person_above and jumps.max() >= _JUMP:
            borders.append(before + 1 + int(jumps.argmax()))
    return [_part(piece, start, end) for start, end in pairwise([*borders, len(piece.seen)])]


def look_of(piece: Piece) -> Look:
    """The piece as joining sees it; its speed is that of its last three frames."""
    seen, steps = piece.seen, piece.seen[-3:]
    moved_s = float(steps["time_s"][-1] - steps["time_s"][0])
    faces = [face for _, face in piece.descriptors]
    return Look(
        start_s=float(seen["time_s"][0]),
        end_s=float(seen["time_s"][-1]),
        shot=piece.shot,
        first_box=seen["box"][0],
        last_box=seen["box"][-1],
        velocity_px_s=(steps["box"][-1] - steps["box"][0]) / moved_s if moved_s else np.zeros(4, np.float32),
        descriptors=np.array(faces, np.float32).reshape(len(faces), 128),
    )


def _part(piece: Piece, start: int, end: int) -> Piece:
    part = replace(
        piece,
        seen=piece.seen[start:end],
        start_reason="other_person" if start else piece.start_reason,
        end_reason=piece.end_reason if end == len(piece.seen) else "other_person",
        transforms=piece.transforms[start:end],
        looks={position - start: face for position, face in piece.looks.items() if start <= position < end},
    )
    part.crops_spooled = piece.crops_spooled[start:end]
    part.sharpness = piece.sharpness[start:end]
    part.thumbs = piece.thumbs[start:end]
    return part
