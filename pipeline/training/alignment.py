"""Hold the words' alignment against what the text claims: does a told action meet its own region, at its own moment?

Shape letters: L = text tokens, T = 16 frames of a clip, R = 7 cells a side, N = T * R * R visual tokens (frame by
frame, then row by row), P = 478 landmarks, K = frames of a track. Times are in seconds from the track's start, as those
of claims.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.actions.geometry import REGION_POINTS, in_face_frame
from pipeline.descriptions.claims import Mention, mentions
from pipeline.model.config import ALIGNED_GRID
from pipeline.tracks.crop import EYES_X, locate
from schemas.actions import TOLD_ACTIONS
from schemas.table import read_cell
from schemas.tracks import TRACKS

Mask = NDArray[np.bool_]
Row = Mapping[str, Any]

REGION_OF_GAZE = "eyes"
"""Where a gaze is seen. A turn of the head is seen everywhere, so that no place is right or wrong for it."""

PAIRED = ("brows", "eyes", "cheeks")
"""Regions that are two, with something else between them."""

MIDLINE = 0.1
"""Landmarks this near to the middle of the face, in face units of about 5 cm, belong to both sides."""

_RASTER = 32  # pixels of a cell, in which a region is drawn to see what it covers


@dataclass(frozen=True)
class Told:
    """One place of a text that tells an action that the claims list: its characters, and where and when it was."""

    words: str
    start: int
    end: int
    claims: tuple[Row, ...]
    """One, or several where the words may mean several: being right about any of them is right."""

    @property
    def action(self) -> str:
        """The action's name."""
        return " or ".join(dict.fromkeys(str(claim["action"]) for claim in self.claims))

    @property
    def region(self) -> str:
        """The region's name."""
        return " or ".join(dict.fromkeys(region_of(str(claim["action"])) or "" for claim in self.claims))

    @property
    def side(self) -> str:
        """The side, the person's own."""
        return " or ".join(dict.fromkeys(str(claim["side"]) for claim in self.claims))


@dataclass(frozen=True)
class ClipFace:
    """Where the parts of the face are in the frames of a clip."""

    times_T: NDArray[np.float64]
    is_padding_T: Mask
    points_TP2: NDArray[np.float32]
    """Landmarks as parts of the crop's side: x, y."""

    across_P: NDArray[np.float64]
    """How far to the person's left each landmark lies, in face units."""


@dataclass(frozen=True)
class Place:
    """Where and when a told action was, among the visual tokens of a clip."""

    region_TRR: Mask
    """Cells of the region, in every frame."""

    moment_T: Mask
    both_TRR: Mask


@dataclass(frozen=True)
class Share:
    """Parts of some mass that lie where and when an action was."""

    region: float
    moment: float
    both: float


def region_of(action: str) -> str | None:
    """The region of the face in which an action is seen; None for the head as a whole."""
    region = TOLD_ACTIONS[action].region
    return REGION_OF_GAZE if region == "gaze" else None if region == "head" else region


# --- which words tell which claims


def told_actions(text: str, claims: Iterable[Row]) -> list[Told]:
    """The places of `text` that tell an action of the face that is claimed to be present.

    As many mentions as claims of one action are paired in their order. Otherwise a mention means each claim of it.
    """
    present = [c for c in claims if c["polarity"] == "present" and region_of(c["action"]) is not None]
    present.sort(key=lambda claim: (claim["start_s"], claim["end_s"]))
    meant = [
        (mention, tuple(n for n, claim in enumerate(present) if _may_mean(mention, claim)))
        for mention in mentions(text)
        if mention.polarity == "present"
    ]
    asked = Counter(numbers for _, numbers in meant)
    seen: Counter[tuple[int, ...]] = Counter()
    told = []
    for mention, numbers in meant:
        chosen: Sequence[int] = numbers
        if asked[numbers] == len(numbers):
            chosen = [numbers[seen[numbers]]]
        seen[numbers] += 1
        if chosen:
            words = text[mention.start : mention.end]
            told.append(Told(words, mention.start, mention.end, tuple(present[n] for n in chosen)))
    return told


def _may_mean(mention: Mention, claim: Row) -> bool:
    sides = {mention.side, claim["side"]}
    return claim["action"] in mention.actions and not sides >= {"left", "right"}


def claims_of_truth(events: Iterable[Row], start_s: float) -> list[dict[str, Any]]:
    """The drawn events of a rendered face (schemas.truth.TRUE_EVENT) as claims; `start_s`: when its track starts."""
    return [
        {
            "action": event["action"],
            "side": event["side"],
            "polarity": "present",
            "start_s": event["onset_s"] - start_s,
            "end_s": event["offset_s"] - start_s,
        }
        for event in events
    ]


# --- where and when


FACE_COLUMNS = ("track_id", "start_s", "times_s", "landmarks_px", "transforms", "pose_deg")
"""Of TRACKS, what `face_of_clip` needs."""


def face_of_clip(track: Row, times_T: NDArray[np.float64], is_padding_T: Mask) -> ClipFace:
    """The face in a clip's frames, of a row of TRACKS with tensors as they are stored; times as MOTION has them."""
    landmarks, transforms, pose = (
        read_cell(TRACKS.field(name), track[name]) for name in ("landmarks_px", "transforms", "pose_deg")
    )
    track_times_K = np.asarray(track["times_s"], np.float64)
    at_T = np.abs(track_times_K[None] - np.asarray(times_T)[:, None]).argmin(axis=1)
    points = np.einsum("kij,kpj->kpi", transforms[:, :, :2], landmarks[..., :2]) + transforms[:, None, :, 2]
    eyes_K2 = np.einsum("kij,kj->ki", transforms[:, :, :2], locate(landmarks)[:, :2]) + transforms[:, :, 2]
    side_px = float(np.median(eyes_K2[:, 0])) / EYES_X  # the crops' own side, of which TRACKS says nothing
    return ClipFace(
        times_T=np.asarray(times_T, np.float64) - float(track["start_s"]),
        is_padding_T=np.asarray(is_padding_T, np.bool_),
        points_TP2=(points[at_T] / side_px).astype(np.float32),
        across_P=np.median(in_face_frame(landmarks, pose)[..., 0], axis=0),
    )


def place_of(told: Told, face: ClipFace, *, dilate: int = 1) -> Place | None:
    """Where and when in this clip it was; None if none of it lies in this clip."""
    shape = (len(face.times_T), ALIGNED_GRID, ALIGNED_GRID)
    region_TRR, both_TRR, moment_T = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_), np.zeros(shape[0], np.bool_)
    for claim in told.claims:
        frames_T = frames_of(claim["start_s"], claim["end_s"], face)
        if frames_T.any():
            cells_TRR = region_cells(face, region_of(claim["action"]) or "", claim["side"], dilate=dilate)
            region_TRR |= cells_TRR
            moment_T |= frames_T
            both_TRR |= cells_TRR & frames_T[:, None, None]
    region_TRR &= ~face.is_padding_T[:, None, None]
    return Place(region_TRR, moment_T, both_TRR) if both_TRR.any() else None


def frames_of(start_s: float, end_s: float, face: ClipFace) -> Mask:
    """The frames [T] within a span; where it lies between two of them, the nearest; padding never."""
    shown = ~face.is_padding_T
    times_T = face.times_T
    within: Mask = shown & (times_T >= start_s) & (times_T <= end_s)
    if not within.any() and shown.any() and times_T[shown][0] <= end_s and start_s <= times_T[shown][-1]:
        away_T = np.where(shown, np.abs(times_T - (start_s + end_s) / 2), np.inf)
        within[away_T.argmin()] = True
    return within


def region_cells(face: ClipFace, region: str, side: str, *, dilate: int = 1) -> Mask:
    """The cells [T, R, R] that a region covers, on one side or both, and those around them."""
    points = np.array(REGION_POINTS[region])
    left, right = points[face.across_P[points] > -MIDLINE], points[face.across_P[points] < MIDLINE]
    if side in ("left", "right"):
        parts = [left if side == "left" else right]
    else:
        parts = [left, right] if region in PAIRED else [points]
    side_px = ALIGNED_GRID * _RASTER
    cells = np.zeros((len(face.points_TP2), ALIGNED_GRID, ALIGNED_GRID), np.bool_)
    for frame, points_P2 in enumerate(face.points_TP2):
        drawn = np.zeros((side_px, side_px), np.uint8)
        for part in parts:
            if len(part):
                hull = cv2.convexHull(np.round(points_P2[part] * side_px - 0.5).astype(np.int32))
                cv2.fillConvexPoly(drawn, hull, 1)
        covered = drawn.reshape(ALIGNED_GRID, _RASTER, ALIGNED_GRID, _RASTER).max(axis=(1, 3))
        if dilate:
            covered = cv2.dilate(covered, np.ones((2 * dilate + 1, 2 * dilate + 1), np.uint8))
        cells[frame] = covered > 0
    return cells


# --- how much of the mass lies there


def mass_of_words(
    plan_LN: NDArray[np.floating], spans: Sequence[tuple[int, int]], start: int, end: int
) -> NDArray[np.float64] | None:
    """Mass [T, R, R], of sum 1, that the tokens within these characters of the text move; None if they move none."""
    rows = [row for row, (first, stop) in enumerate(spans) if first < end and stop > start]
    return _normal(plan_LN[rows].sum(axis=0)) if rows else None


def _normal(mass_N: NDArray[np.floating]) -> NDArray[np.float64] | None:
    total = float(mass_N.sum())
    if not total > 0:
        return None
    shares: NDArray[np.float64] = mass_N.astype(np.float64) / total
    return shares.reshape(-1, ALIGNED_GRID, ALIGNED_GRID)


def share_of(mass_TRR: NDArray[np.floating], place: Place) -> Share:
    """The parts of a mass of sum 1 that lie in the region, at the moment, and both."""
    return Share(
        region=float(mass_TRR[place.region_TRR].sum()),
        moment=float(mass_TRR[place.moment_T].sum()),
        both=float(mass_TRR[place.both_TRR].sum()),
    )


def even_mass(face: ClipFace) -> NDArray[np.float64]:
    """Chance: the same mass in every cell of every frame that is no padding, sum 1."""
    shown = np.repeat((~face.is_padding_T).astype(np.float64), ALIGNED_GRID**2)
    shares: NDArray[np.float64] = shown / shown.sum()
    return shares.reshape(-1, ALIGNED_GRID, ALIGNED_GRID)


def score_alignment(
    plan_LN: NDArray[np.floating],
    spans: Sequence[tuple[int, int]],
    told: Sequence[Told],
    face: ClipFace,
    *,
    dilate: int = 1,
) -> list[dict[str, Any]]:
    """One row per told action that lies in this clip.

    words, start_char, end_char, action, region, side, start_s, end_s, then for the mass of these words (`own`), for
    that of all words of the clip (`all`: where the network looks whatever is said) and for even mass (`chance`) the
    parts on the region, at the moment and both; `met_region` and `met_s` are where and when their mass is densest.
    """
    whole_TRR = _normal(plan_LN.sum(axis=0))
    rows = []
    for one in told:
        place = place_of(one, face, dilate=dilate)
        own_TRR = mass_of_words(plan_LN, spans, one.start, one.end)
        if place is None or own_TRR is None or whole_TRR is None:
            continue
        masses = {"own": own_TRR, "all": whole_TRR, "chance": even_mass(face)}
        rows.append(
            {
                "words": one.words,
                "start_char": one.start,
                "end_char": one.end,
                "action": one.action,
                "region": one.region,
                "side": one.side,
                "start_s": min(claim["start_s"] for claim in one.claims),
                "end_s": max(claim["end_s"] for claim in one.claims),
                **{f"{who}_{what}": part for who, mass in masses.items() for what, part in _parts(mass, place)},
                "met_region": _densest_region(own_TRR, face),
                "met_s": float(face.times_T[own_TRR.sum(axis=(1, 2)).argmax()]),
            }
        )
    return rows


def _parts(mass_TRR: NDArray[np.floating], place: Place) -> list[tuple[str, float]]:
    share = share_of(mass_TRR, place)
    return [("region", share.region), ("moment", share.moment), ("both", share.both)]


def _densest_region(mass_TRR: NDArray[np.float64], face: ClipFace) -> str:
    """The region with the most mass per cell."""
    cells = {region: region_cells(face, region, "both", dilate=0) for region in REGION_POINTS}
    density = {region: float(mass_TRR[where].mean()) for region, where in cells.items() if where.any()}
    return max(density, key=lambda region: density[region]) if density else ""
