"""Say in which frames a face can be measured, and which actions on which side, and why not.

Shape letters: T = frames of a track, A = actions in the order of FACIAL_ACTIONS, R = regions of FACE_REGIONS.
Sides are left, right, the person's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.actions.config import ActionConfig
from schemas.actions import ACTION_SIDES, FACIAL_ACTIONS
from schemas.tracks import FACE_REGIONS

Series = NDArray[np.float64]
Flags = NDArray[np.bool_]

UNCLEAR, TURNED_AWAY, BLURRED, TOO_SMALL, COVERED, FAR_SIDE, TURNED, SMALL = (
    "unclear", "turned_away", "blurred", "too_small", "covered", "far_side", "turned", "small",
)  # fmt: skip

_REGIONS_OF: dict[str, tuple[str, ...]] = {
    "brows": ("brow",),
    "eyes": ("eye",),
    "cheeks": ("cheek", "eye"),
    "nose": ("nose",),
    "mouth": ("mouth",),
    "jaw": ("mouth", "chin"),
}
"""What must be seen of the face to measure an action of each region; a name without a side is of the action's side."""

_ALSO_NEEDS = {"chin_raise": ("chin",)}


@dataclass(frozen=True)
class Passport:
    """What TRACKS says of how well a face can be seen.

    times_s [T], presence [T] 0 to 1, pose_deg [T, 3] yaw, pitch, roll, face_px [T] the larger side of the face's box,
    sharpness [T] of its crop, visibility [T, R] 0 to 1.
    """

    times_s: Series
    presence: NDArray[np.float32]
    pose_deg: NDArray[np.float32]
    face_px: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    visibility: NDArray[np.float32]


@dataclass(frozen=True)
class UnmeasuredSpan:
    """A stretch in which nothing could be measured; `why` is one of schemas.actions.UNMEASURED_REASONS."""

    start_s: float
    end_s: float
    why: str


@dataclass(frozen=True)
class UnclearSpan:
    """A stretch in which one action on one side can neither be told nor denied; `why` is of UNCLEAR_REASONS."""

    action: str
    side: str
    start_s: float
    end_s: float
    why: str


@dataclass(frozen=True)
class Measurability:
    """What can be measured: of the face `is_measurable` [T], of each action and side `mask` [T, A, 2], and why not."""

    is_measurable: Flags
    mask: Flags
    unmeasured: list[UnmeasuredSpan]
    unclear: list[UnclearSpan]


def measurability(passport: Passport, config: ActionConfig) -> Measurability:
    """Judge every frame, then every action and side within the frames that can be measured at all.

    A stretch runs from its first frame to its last.
    """
    times_s = passport.times_s
    is_seen = _is_seen(passport, config)
    is_near = _is_near(passport, config)
    why = _why_not_at_all(passport, config, is_nothing_seen=np.logical_not(is_seen.any(axis=(1, 2))))
    is_measurable = why == ""
    is_usual = _is_usual_pose(passport, is_measurable, config)
    is_large = _is_large(passport, config)
    sides = np.full(is_seen.shape, "", dtype=object)
    for is_fine, reason in ((is_large, SMALL), (is_usual, TURNED), (is_seen, COVERED), (is_near, FAR_SIDE)):
        sides[np.broadcast_to(~is_fine, sides.shape)] = reason  # the last one given is the one told
    sides[~is_measurable] = ""  # the whole-face reason stands for it
    return Measurability(
        is_measurable=is_measurable,
        mask=is_measurable[:, None, None] & is_seen & is_near & is_usual & is_large,
        unmeasured=[UnmeasuredSpan(*span) for span in spans(times_s, why)],
        unclear=[
            UnclearSpan(action, side, *span)
            for a, (action, facial) in enumerate(FACIAL_ACTIONS.items())
            for s, side in enumerate(("middle",) if facial.middle else ACTION_SIDES)
            for span in spans(times_s, sides[:, a, s])
            if config.thresholds[action].is_told  # of the others `unclear_spans` says once that they are not
        ],
    )


def is_face_sure(passport: Passport, config: ActionConfig) -> Flags:
    """Where the face is surely seen, sharp and large enough [T], turned away or not."""
    return np.asarray(
        (passport.presence >= config.min_presence)
        & (passport.face_px >= config.min_face_px)
        & ~_is_blurred(passport, config)
    )


def visible(passport: Passport, config: ActionConfig) -> Flags:
    """Whether nothing is in front of each region [T, R].

    A region that is gone for a flicker only counts as seen, unless more are gone with it than a flicker takes.
    """
    is_visible = passport.visibility >= config.min_visibility
    is_alone = (~is_visible).sum(axis=1) <= config.max_covered_regions
    for region in is_visible.T:  # a view: what is filled in is filled in there
        seen = np.flatnonzero(region)
        for last, following in zip(seen[:-1].tolist(), seen[1:].tolist(), strict=True):
            if passport.times_s[following] - passport.times_s[last] < config.min_covered_s:
                region[last + 1 : following] = is_alone[last + 1 : following]
    return is_visible


def spans(times_s: Series, why: NDArray[np.object_]) -> Iterator[tuple[float, float, str]]:
    """First time, last time and reason of each run of equal, non-empty reasons [T]."""
    starts = np.flatnonzero(np.append(True, why[1:] != why[:-1]))
    ends = np.append(starts[1:], len(why)) - 1
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if why[start]:
            yield float(times_s[start]), float(times_s[end]), str(why[start])


def _why_not_at_all(passport: Passport, config: ActionConfig, *, is_nothing_seen: Flags) -> NDArray[np.object_]:
    yaw, pitch = np.abs(passport.pose_deg[:, 0]), np.abs(passport.pose_deg[:, 1])
    why = np.full(len(passport.times_s), "", dtype=object)
    why[is_nothing_seen] = COVERED
    why[_is_blurred(passport, config)] = BLURRED
    why[passport.presence < config.min_presence] = UNCLEAR
    why[(yaw > config.max_yaw_deg) | (pitch > config.max_pitch_deg)] = TURNED_AWAY
    why[passport.face_px < config.min_face_px] = TOO_SMALL
    return why


def _is_blurred(passport: Passport, config: ActionConfig) -> Flags:
    """Sharpness falls with enlargement, so a frame is held against the others of its own track."""
    usual = float(np.median(passport.sharpness)) if len(passport.sharpness) else 0.0
    return np.asarray(passport.sharpness < config.min_sharpness_share * usual)


def _is_seen(passport: Passport, config: ActionConfig) -> Flags:
    """Whether nothing is in front of what shows each action [T, A, 2]."""
    is_visible = dict(zip(FACE_REGIONS, visible(passport, config).T, strict=True))
    columns = []
    for action, facial in FACIAL_ACTIONS.items():
        needed = (*_REGIONS_OF[facial.region], *_ALSO_NEEDS.get(action, ()))
        by_side = [[_of_side(name, side, is_visible) for name in needed] for side in ACTION_SIDES]
        if facial.middle:  # both halves must be seen
            by_side = [by_side[0] + by_side[1]] * 2
        columns.append(np.stack([np.logical_and.reduce(flags) for flags in by_side], axis=1))
    return np.stack(columns, axis=1)


def _of_side(region: str, side: str, is_visible: dict[str, Flags]) -> Flags:
    return is_visible[region] if region in is_visible else is_visible[f"{region}_{side}"]


def _is_near(passport: Passport, config: ActionConfig) -> Flags:
    """Whether each action's side is turned to the camera [T, A, 2].

    Yaw is positive where the face turns to the right of the image, which is the person's left: then the left is far.
    """
    yaw = passport.pose_deg[:, 0]
    turned_away = np.stack([yaw, -yaw], axis=1)  # [T, 2] how far each side is turned away
    limits = [_far_side_limit(action, config) for action in FACIAL_ACTIONS]
    return np.asarray(turned_away[:, None, :] <= np.array(limits)[None, :, None])


def _is_usual_pose(passport: Passport, is_measurable: Flags, config: ActionConfig) -> Flags:
    """Whether the head is near enough to its usual pose for each action [T, A, 1]."""
    if not is_measurable.any():
        return np.zeros((len(is_measurable), len(FACIAL_ACTIONS), 1), np.bool_)
    usual = np.median(passport.pose_deg[is_measurable, :2], axis=0)
    turn = np.hypot(*(passport.pose_deg[:, :2] - usual).T)
    limits = np.array([config.thresholds[action].max_turn_deg for action in FACIAL_ACTIONS])
    return np.asarray(turn[:, None] <= limits)[:, :, None]


def _is_large(passport: Passport, config: ActionConfig) -> Flags:
    """Whether the face is large enough for each action [T, A, 1]."""
    limits = np.array([config.thresholds[action].min_face_px for action in FACIAL_ACTIONS])
    return np.asarray(passport.face_px[:, None] >= limits)[:, :, None]


def _far_side_limit(action: str, config: ActionConfig) -> float:
    facial = FACIAL_ACTIONS[action]
    if facial.middle:
        return config.max_yaw_deg
    return config.max_far_mouth_yaw_deg if facial.region == "mouth" else config.max_far_yaw_deg
