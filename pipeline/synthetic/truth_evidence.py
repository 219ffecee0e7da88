"""Hold claims and prose against what was drawn: the truth of a rendered face as evidence, and its own yardstick.

Shape letters: T = frames of a track, S = sides (left, right, the person's own).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.actions.config import ActionConfig
from pipeline.actions.limits import MovementLimits
from pipeline.descriptions.claims import hidden_parts
from pipeline.descriptions.evidence import Evidence, EvidenceEvent, UnclearSpan
from pipeline.descriptions.judging import (
    CONTRADICTED,
    NOT_MEASURABLE,
    SUPPORTED,
    Finding,
    Judgement,
    judge_prose,
)
from pipeline.synthetic.recipes import SHORTEST_CLOSURE_S
from pipeline.synthetic.score import NO_FACE, RULES, match_clips
from schemas.actions import COARSE_ACTIONS, FACIAL_ACTIONS, HEAD_ACTIONS, INTENSITIES, sides_of
from schemas.answer import Claim
from schemas.table import read_cell
from schemas.truth import TRUTH

Series = NDArray[np.float64]
Flags = NDArray[np.bool_]

SLACK_S = 0.3
"""How far from its true time a movement may be claimed; the ends of a denied span count for nothing within it."""

SHORTEST_S = 0.2
"""A shorter movement is no event; who tells it is right, and who denies it is not wrong."""

ONE_SIDED_RATIO = 2.0
"""Stronger over weaker side from which a movement is one of that side alone."""

# Of each region, the actions of other regions that move its skin by a quarter of its own movement or more: so it is in
# the mesh that is drawn. Whoever says that the region moves is then right, though it is not the one that acts.
_CARRIED: Mapping[str, tuple[str, ...]] = {
    "brows": ("nose_wrinkle",),
    "eyes": (),
    "nose": ("upper_lip_raise", "lip_corner_raise", "lip_pucker", "lip_funnel", "jaw_drop", "lip_suck"),
    "cheeks": ("eye_narrow", "lip_corner_raise", "jaw_drop"),
    "mouth": ("jaw_drop",),
    "jaw": ("lip_corner_raise",),
}


@dataclass(frozen=True)
class TrueLimits:
    """What a drawn level means; of the face a level is a weight, 0 to 1, of the head degrees from its usual pose."""

    rest_below: float = 0.05
    """At rest for certain."""

    absent_below: float = 0.1
    """Where a level stays below, nothing may be claimed; an event is over."""

    present_from: float = 0.15
    """An event, and whoever claims it is right."""

    shown_from: float = 0.3
    """From here on it may not be denied."""

    moderate_from: float = 0.4
    strong_from: float = 0.7
    whole: float = 1.0
    """What counts as 1 in an event's `peak`."""

    def intensity(self, level: float) -> str:
        """The word for a peak of this level, with the bounds that measured events have."""
        if level >= self.strong_from:
            return "strong"
        return "moderate" if level >= self.moderate_from else "slight"


FACE_LIMITS = TrueLimits()


@cache
def limits_of(action: str) -> TrueLimits:
    """The limits of an action; those of the head follow from the ones by which its measured pose is judged."""
    if action not in HEAD_ACTIONS:
        return FACE_LIMITS
    config = ActionConfig()
    if action == "head_turn":
        return _of_head(config.head_turn_deg)
    return _of_head(config.head_tilt_deg if action == "head_tilt" else config.head_nod_deg)


def _of_head(measured: MovementLimits) -> TrueLimits:
    return TrueLimits(
        rest_below=measured.absent_below,
        absent_below=measured.absent_below,
        present_from=measured.present_above,
        shown_from=measured.moderate_from,
        moderate_from=measured.moderate_from,
        strong_from=measured.strong_from,
        whole=measured.whole,
    )


@dataclass(frozen=True, eq=False)
class DrawnFace:
    """What one face did within the span of one track. Times count from the track's start.

    times_s [T]; levels: of every told action but the gaze's, how far it was drawn [T, S], both sides equal for those of
    the middle; is_visible [T]: most of the face is in the picture and not covered; yaw_deg [T].
    """

    clip: str
    face: int
    label: str
    times_s: Series
    levels: Mapping[str, Series]
    is_visible: Flags
    yaw_deg: Series
    evidence: Evidence


def evidence_of_truth(truth_row: Mapping[str, Any], start_s: float, end_s: float) -> Evidence:
    """What one row of TRUTH shows between two times of the clip, as evidence whose times count from `start_s`.

    An event begins and ends at a weight of 0.1 and reaches 0.15; between 0.05 and that an action is in between. The
    gaze is not told, and nothing else is unclear: a face that is covered or turned away does what it does.

    Raises:
        ValueError: the clip has no frame in that span.
    """
    return drawn_face(truth_row, start_s, end_s).evidence


def drawn_face(truth_row: Mapping[str, Any], start_s: float, end_s: float) -> DrawnFace:
    """What one row of TRUTH shows between two times of the clip. The errors are those of `evidence_of_truth`."""
    clock = np.array(truth_row["times_s"], np.float64)
    half_step_s = float(np.diff(clock).min()) / 2 if len(clock) > 1 else 0.5
    inside = (clock >= start_s - half_step_s) & (clock <= end_s + half_step_s)
    if not inside.any():
        raise ValueError(
            f"clip {truth_row['clip']}: no frame from {start_s:.2f} to {end_s:.2f} s, it lasts from {clock[0]:.2f} to "
            f"{clock[-1]:.2f} s: give times of the same video"
        )
    times_s = clock[inside] - start_s
    weights = read_cell(TRUTH.field("blendshapes"), truth_row["blendshapes"])[inside].astype(np.float64)
    pose_deg = read_cell(TRUTH.field("pose_deg"), truth_row["pose_deg"])[inside].astype(np.float64)
    levels = _face_levels(weights) | _head_levels(pose_deg)
    levels |= {f"{region}_move": _coarse_levels(region, levels) for region in _CARRIED}
    is_present = np.array(truth_row["is_present"], np.bool_)[inside]
    visible_share = np.array(truth_row["visible_share"], np.float64)[inside]
    return DrawnFace(
        clip=str(truth_row["clip"]),
        face=int(truth_row["face"]),
        label=str(truth_row["label"]),
        times_s=times_s,
        levels=levels,
        is_visible=is_present & (visible_share >= RULES.wanted_share),
        yaw_deg=pose_deg[:, 0],
        evidence=_evidence(times_s, levels, end_s - start_s),
    )


def drawn_faces(truth: pa.Table, tracks: pa.Table, names: Mapping[str, str]) -> dict[str, DrawnFace]:
    """What the face of each track did, by track_id; a track that is of no face for most of its time is left out.

    `truth` holds rows of TRUTH, `tracks` of TRACKS (track_id, video_id, times_s, boxes_xyxy); `names` gives the clip's
    file name for each video_id. The errors are those of `pipeline.synthetic.score.score_faces`.
    """
    matches = match_clips(truth, tracks, names)
    rows = {(row["clip"], row["face"]): row for row in truth.to_pylist()}
    numbers: dict[str, list[int]] = {}
    for clip, face in sorted(rows):
        numbers.setdefault(clip, []).append(face)
    found = {}
    for track in tracks.select(["track_id", "video_id", "times_s"]).to_pylist():
        clip = names[track["video_id"]]
        face = matches[clip].face_of(matches[clip].track_ids.index(track["track_id"]))
        if face != NO_FACE:
            row = rows[clip, numbers[clip][face]]
            found[track["track_id"]] = drawn_face(row, track["times_s"][0], track["times_s"][-1])
    return found


def _face_levels(weights: Series) -> dict[str, Series]:
    index = {name: number for number, name in enumerate(BLENDSHAPE_NAMES)}
    levels = {}
    for action, facial in FACIAL_ACTIONS.items():
        sides = (facial.middle or facial.left, facial.middle or facial.right)
        levels[action] = np.stack([weights[:, [index[name] for name in side]].max(axis=1) for side in sides], axis=1)
    return levels


def _head_levels(pose_deg: Series) -> dict[str, Series]:
    """Degrees from the usual pose, which is the median of the frames in which the face is not turned away."""
    config = ActionConfig()
    is_turned_away = (np.abs(pose_deg[:, 0]) > config.max_yaw_deg) | (np.abs(pose_deg[:, 1]) > config.max_pitch_deg)
    faced = pose_deg if is_turned_away.all() else pose_deg[~is_turned_away]
    yaw, pitch, roll = (pose_deg - np.median(faced, axis=0)).T
    ways = {"head_turn": (yaw, -yaw), "head_tilt": (roll, -roll)}
    ways |= {"head_raise": (pitch, pitch), "head_lower": (-pitch, -pitch)}
    return {action: np.maximum(np.stack(sides, axis=1), 0.0) for action, sides in ways.items()}


def _coarse_levels(region: str, levels: Mapping[str, Series]) -> Series:
    own = [action for action, facial in FACIAL_ACTIONS.items() if facial.region == region]
    highest = np.max([levels[action].max(axis=1) for action in (*own, *_CARRIED[region])], axis=0)
    return np.repeat(highest[:, None], 2, axis=1)


# --- the truth as evidence


def _evidence(times_s: Series, levels: Mapping[str, Series], duration_s: float, *, is_strict: bool = False) -> Evidence:
    """The events, and where levels are in between: only from `absent_below` on if strict."""
    acting = [action for action in levels if action not in COARSE_ACTIONS]
    events = [event for action in acting for event in _events(action, times_s, levels[action])]
    unclear = [span for action, level in levels.items() for span in _in_between(action, times_s, level, is_strict)]
    unclear += [
        UnclearSpan(action=action, side="middle", start_s=0.0, end_s=duration_s, why="not_told")
        for action in HEAD_ACTIONS
        if action not in levels  # the eyes of a drawn face follow its head
    ]
    events.sort(key=lambda event: (event.onset_s, event.offset_s, event.action, event.side))
    return Evidence(duration_s=duration_s, events=tuple(events), unclear=tuple(unclear))


def _events(action: str, times_s: Series, level: Series) -> Iterator[EvidenceEvent]:
    """The events of one action: both sides as one, unless one is clearly stronger, or they go opposite ways."""
    limits = limits_of(action)
    if "both" not in sides_of(action):
        for s, side in enumerate(sides_of(action)):  # left and right apart, or the middle
            yield from _runs_as_events(action, side, times_s, level[:, s])
        return
    for run in _runs(level.max(axis=1), limits):
        if is_one_sided(level[run]):
            for s, side in enumerate(("left", "right")):
                yield from _runs_as_events(action, side, times_s[run], level[run, s])
        else:
            yield from _runs_as_events(action, "both", times_s[run], level[run].max(axis=1))


def is_one_sided(level: Series) -> bool:
    """Whether one side of levels [T, S] is so much stronger that the movement is its own."""
    weaker, stronger = sorted(level.max(axis=0).tolist())
    return bool(stronger > ONE_SIDED_RATIO * weaker)


def _runs_as_events(action: str, side: str, times_s: Series, values: Series) -> Iterator[EvidenceEvent]:
    limits = limits_of(action)
    shortest_s = SHORTEST_CLOSURE_S if action == "eye_close" else SHORTEST_S
    for run in _runs(values, limits):
        here_s, peak = times_s[run], float(values[run].max())
        if here_s[-1] - here_s[0] >= shortest_s:
            yield EvidenceEvent(
                action=action,
                side=side,
                onset_s=float(here_s[0]),
                apex_s=float(here_s[int(values[run].argmax())]),
                offset_s=float(here_s[-1]),
                peak=peak / limits.whole,
                intensity=limits.intensity(peak),
            )


def _runs(values: Series, limits: TrueLimits) -> list[slice]:
    """The runs of values at or above `absent_below` that reach `present_from`."""
    return [run for run in _stretches(values >= limits.absent_below) if values[run].max() >= limits.present_from]


def _stretches(flags: Flags) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [slice(first, stop) for first, stop in edges.reshape(-1, 2).tolist()]


def _in_between(action: str, times_s: Series, level: Series, is_strict: bool) -> Iterator[UnclearSpan]:
    """Where an action is not at rest for certain, its events included: before and after them it swells and ebbs."""
    limits = limits_of(action)
    from_level = limits.absent_below if is_strict else limits.rest_below
    sides = ("middle",) if sides_of(action) == ("middle",) else ("left", "right")
    for s, side in enumerate(sides):
        for run in _stretches(level[:, s] >= from_level):
            yield UnclearSpan(action=action, side=side, start_s=float(times_s[run][0]), end_s=float(times_s[run][-1]))


# --- the yardstick


def judge_against_truth(claims: Sequence[Claim], drawn: DrawnFace) -> list[Finding]:
    """The verdict of what was drawn on each claim. It shares no code with `judge_claim`: a yardstick of its own.

    A claim that an action is present is contradicted if its level stays below `absent_below` (a weight of 0.1, or 4 to
    5 degrees) on the claimed side throughout the span, widened by SLACK_S; or if the drawn movement is of another side
    (one-sided from a ratio of 2); or if its intensity is more than one step from the drawn one. A claim that it is
    absent is contradicted if an event reaches `shown_from` (a weight of 0.3) within the span, narrowed by SLACK_S.
    Between what contradicts and what supports (0.15 for present, below 0.1 for absent) either claim might be made: that
    is not_measurable, and so is the gaze. That a region moves, whatever its side, is true where any action of it is
    drawn or one that moves its skin along.
    """
    return [_judge(claim, drawn) for claim in claims]


def judge_prose_against_truth(prose: str, drawn: DrawnFace) -> list[Judgement]:
    """The verdict of what was drawn on every statement of a text, as `judge_prose` reads it, with the same tolerances.

    The reader of the prose is the one that the check has too; what its statements are held against is not. What a text
    says of the measurement itself (that something could not be measured) is left out: no drawing contradicts it.
    """
    evidence = _evidence(drawn.times_s, drawn.levels, drawn.evidence.duration_s, is_strict=True)
    of_measurement = {prose[start:end] for _, start, end in hidden_parts(prose)}
    judged = [one for one in judge_prose(prose, evidence) if one.mention or one.said not in of_measurement]
    return [_eased(judgement, drawn) for judgement in judged]


def _judge(claim: Claim, drawn: DrawnFace) -> Finding:
    if claim.action not in drawn.levels:
        return NOT_MEASURABLE, f"{claim.action} is not drawn"
    if claim.polarity == "present":
        return _judge_presence(claim, drawn)
    return _judge_absence(claim.action, claim.side, claim.start_s + SLACK_S, claim.end_s - SLACK_S, drawn)


def _judge_presence(claim: Claim, drawn: DrawnFace) -> Finding:
    limits = limits_of(claim.action)
    near = (drawn.times_s >= claim.start_s - SLACK_S) & (drawn.times_s <= claim.end_s + SLACK_S)
    if not near.any():
        return NOT_MEASURABLE, f"the face is drawn from 0 to {drawn.evidence.duration_s:.1f} s"
    level = drawn.levels[claim.action][near]
    highest = float(_of_side(level, claim.side).max())
    if highest < limits.absent_below:
        return CONTRADICTED, f"drawn at {highest / limits.whole:.2f} at the most"
    if highest < limits.present_from:
        return NOT_MEASURABLE, f"drawn at {highest / limits.whole:.2f}, too little to be sure"
    if claim.action in FACIAL_ACTIONS and claim.side != "middle" and "both" in sides_of(claim.action):
        is_left = bool(level[:, 0].max() >= level[:, 1].max())
        drawn_side = ("left" if is_left else "right") if is_one_sided(level) else "both"
        if claim.side != drawn_side:
            return CONTRADICTED, f"drawn on side {drawn_side}"
    steps = abs(INTENSITIES.index(claim.intensity) - INTENSITIES.index(limits.intensity(highest)))
    if steps > 1 and claim.action not in COARSE_ACTIONS:
        return CONTRADICTED, f"drawn as {limits.intensity(highest)}"
    return SUPPORTED, f"drawn at {highest / limits.whole:.2f}"


def _judge_absence(action: str, side: str, start_s: float, end_s: float, drawn: DrawnFace) -> Finding:
    limits = limits_of(action)
    inside = (drawn.times_s >= start_s) & (drawn.times_s <= end_s)
    if not inside.any():
        return NOT_MEASURABLE, "the span is too short to show anything"
    level = np.where(inside, _of_side(drawn.levels[action], side), 0.0)
    for event in _runs_as_events(action, side, drawn.times_s, level):
        if event.peak * limits.whole >= limits.shown_from:
            return CONTRADICTED, f"drawn from {event.onset_s:.1f} to {event.offset_s:.1f} s"
    if level.max() < limits.absent_below:
        return SUPPORTED, f"drawn at {level.max() / limits.whole:.2f} at the most"
    return NOT_MEASURABLE, f"drawn at {level.max() / limits.whole:.2f}, too little or too short to be sure"


def _of_side(level: Series, side: str) -> Series:
    return level[:, ("left", "right").index(side)] if side in ("left", "right") else np.asarray(level.max(axis=1))


def _eased(judgement: Judgement, drawn: DrawnFace) -> Judgement:
    """An action must have been shown for a text to be wrong that denies it; less than that is not sure."""
    mention = judgement.mention
    if judgement.verdict != CONTRADICTED or mention is None or mention.polarity != "absent":
        return judgement
    side = mention.side if mention.side in ("left", "right") else "both"
    whole_s = (0.0, drawn.evidence.duration_s)
    denials = [_judge_absence(action, side, *whole_s, drawn) for action in mention.actions if action in drawn.levels]
    findings = [finding for finding in denials if finding[0] != SUPPORTED]
    if any(verdict == CONTRADICTED for verdict, _ in findings) or not findings:
        return judgement
    return replace(judgement, verdict=NOT_MEASURABLE, why=findings[0][1])
