"""ACTIONS: one row per track with its measured facial actions over time, and the closed list of what an action is."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.table import UNIT_KEY_MEANING, Table, column, tensor


@dataclass(frozen=True)
class FacialAction:
    """One action that a face can do: where, which FACS action unit it is nearest to, and which blendshapes show it.

    `left` and `right` name the blendshapes of the person's own left and right side; `middle` those without a side.
    """

    region: str
    action_unit: str
    middle: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    right: tuple[str, ...] = ()


REGIONS = ("brows", "eyes", "nose", "cheeks", "mouth", "jaw")
"""Regions of the face that actions lie in."""


def _sided(region: str, action_unit: str, stem: str) -> FacialAction:
    return FacialAction(region, action_unit, left=(f"{stem}Left",), right=(f"{stem}Right",))


# Blendshape to action unit: the usual correspondence of ARKit's coefficients with FACS (Ekman & Friesen 1978).
FACIAL_ACTIONS: dict[str, FacialAction] = {
    "inner_brow_raise": FacialAction("brows", "AU1", middle=("browInnerUp",)),
    "outer_brow_raise": _sided("brows", "AU2", "browOuterUp"),
    "brow_lower": _sided("brows", "AU4", "browDown"),
    "eye_widen": _sided("eyes", "AU5", "eyeWide"),
    "eye_narrow": _sided("eyes", "AU7", "eyeSquint"),
    "eye_close": _sided("eyes", "AU45", "eyeBlink"),
    "cheek_raise": _sided("cheeks", "AU6", "cheekSquint"),
    "nose_wrinkle": _sided("nose", "AU9", "noseSneer"),
    "upper_lip_raise": _sided("mouth", "AU10", "mouthUpperUp"),
    "lip_corner_raise": _sided("mouth", "AU12", "mouthSmile"),
    "lip_corner_dimple": _sided("mouth", "AU14", "mouthDimple"),
    "lip_corner_lower": _sided("mouth", "AU15", "mouthFrown"),
    "lower_lip_drop": _sided("mouth", "AU16", "mouthLowerDown"),
    "chin_raise": FacialAction("mouth", "AU17", middle=("mouthShrugLower",)),
    "lip_pucker": FacialAction("mouth", "AU18", middle=("mouthPucker",)),
    "lip_stretch": _sided("mouth", "AU20", "mouthStretch"),
    "lip_funnel": FacialAction("mouth", "AU22", middle=("mouthFunnel",)),
    "lip_press": _sided("mouth", "AU24", "mouthPress"),
    "jaw_drop": FacialAction("jaw", "AU26", middle=("jawOpen",)),
    "lip_suck": FacialAction("mouth", "AU28", middle=("mouthRollUpper", "mouthRollLower")),
}

# What is measured beside the face's own actions. A side is the one that it goes to, the person's own.
HEAD_ACTIONS: dict[str, FacialAction] = {
    "head_turn": FacialAction("head", "AU51/52"),
    "head_tilt": FacialAction("head", "AU55/56"),
    "head_raise": FacialAction("head", "AU53"),
    "head_lower": FacialAction("head", "AU54"),
    "gaze_turn": FacialAction("gaze", "AU61/62"),
    "gaze_raise": FacialAction("gaze", "AU63"),
    "gaze_lower": FacialAction("gaze", "AU64"),
}

COARSE_ACTIONS: dict[str, FacialAction] = {f"{region}_move": FacialAction(region, "any") for region in REGIONS}
"""A region moves, and which of its actions it is cannot be told: the coarse half of coarse to fine."""

TOLD_ACTIONS: dict[str, FacialAction] = FACIAL_ACTIONS | HEAD_ACTIONS | COARSE_ACTIONS
"""Everything that evidence, claims and texts may name."""

SIDES = ("left", "right", "both", "middle")


def sides_of(action: str) -> tuple[str, ...]:
    """The sides on which a TOLD_ACTION can be: left, right and both; left and right alone; or the middle."""
    told = TOLD_ACTIONS[action]
    if action in ("head_turn", "head_tilt", "gaze_turn"):
        return ("left", "right")
    return ("left", "right", "both") if told.left and told.right else ("middle",)


INTENSITIES = ("slight", "moderate", "strong")

EVENT = pa.struct(
    [
        pa.field("action", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("onset_s", pa.float64(), nullable=False),
        pa.field("apex_s", pa.float64(), nullable=False),
        pa.field("offset_s", pa.float64(), nullable=False),
        pa.field("peak", pa.float32(), nullable=False),
        pa.field("intensity", pa.string(), nullable=False),
    ]
)

SPAN = pa.struct(
    [
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("why", pa.string(), nullable=False),
    ]
)

UNMEASURED_REASONS = {
    "unclear": "the landmark network hardly sees a face",
    "turned_away": "the head is turned too far",
    "blurred": "the picture is blurred",
    "too_small": "the face is too small",
    "covered": "something is in front of it",
}
"""Why nothing at all can be measured in a frame."""

UNCLEAR_REASONS = {
    "not_told": "the measurement cannot tell this action at all",
    "not_deniable": "the measurement tells this action only where it is strong, so nothing shows that it is absent",
    "far_side": "the head is turned so that this side is hidden",
    "turned": "the head is turned so far from its usual pose that this action could not be told from the turn",
    "small": "the face is too small for this action",
    "covered": "something is in front of the part of the face that shows it",
    "rest_unknown": "the face was never seen surely at rest",
    "in_between": "too much for rest, too little for an event, the flank of an event, or an event that is doubtful",
}
"""Why an action can neither be told nor denied in a stretch in which the face as a whole can be measured."""

ACTION_SIDES = ("left", "right")
"""The last axis of the measures, the person's own; an action of the middle has the same in both."""

UNCLEAR_SPAN = pa.struct(
    [
        pa.field("action", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("why", pa.string(), nullable=False),
    ]
)

_PER_ACTION: dict[str, int | None] = {"action": len(FACIAL_ACTIONS), "side": len(ACTION_SIDES)}


def _in_words(reasons: dict[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in reasons.items())


ACTIONS = Table(
    name="actions",
    version=3,
    meaning="one row per track: actions of face and head, events against the track's own rest, what was measurable",
    primary_key=("track_id",),
    columns=(
        column("track_id", pa.string(), "the track"),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("video_id", pa.string(), "the video that the face was found in"),
        column("times_s", pa.list_(pa.float64()), "presentation time of each frame [T]", unit="second"),
        tensor(
            "blendshapes",
            "float32",
            {"frame": None, "blendshape": 52},
            "ARKit blendshape scores, in the order of pipeline.actions.blendshapes.BLENDSHAPE_NAMES",
            unit="0..1",
        ),
        column("baseline", pa.list_(pa.float32()), "resting score of each blendshape in this track [52]", unit="0..1"),
        tensor(
            "measures",
            "float32",
            {"frame": None, **_PER_ACTION},
            "how far each action is above this track's own rest, in the order of schemas.actions.FACIAL_ACTIONS, left "
            "and right: 0 is rest, 1 the whole movement, as calibrated on rendered faces",
        ),
        tensor(
            "rest_share",
            "float32",
            _PER_ACTION,
            "part of the measurable frames that lies at rest; where it is small the rest is a guess",
            unit="0..1",
        ),
        tensor(
            "measurable",
            "uint8",
            {"frame": None, **_PER_ACTION},
            "1 where the action can be measured on this side in this frame, else 0",
        ),
        column(
            "events",
            pa.list_(EVENT),
            "actions of the face, the head and the gaze, and moves of whole regions, that surely rose above rest: "
            "onset, apex and offset in seconds, peak above rest (1 the whole movement; a head's may be above), "
            f"side ({', '.join(SIDES)}; the person's own), intensity ({', '.join(INTENSITIES)})",
        ),
        column(
            "is_measurable", pa.list_(pa.bool_()), "whether the face as a whole could be measured in this frame [T]"
        ),
        column(
            "unmeasured",
            pa.list_(SPAN),
            f"stretches in which nothing could be measured, and why. {_in_words(UNMEASURED_REASONS)}",
            unit="second",
        ),
        column(
            "unclear",
            pa.list_(UNCLEAR_SPAN),
            "stretches of the measured face in which one of TOLD_ACTIONS on one side can neither be told nor denied, "
            f"and why. {_in_words(UNCLEAR_REASONS)}",
            unit="second",
        ),
        tensor(
            "motion_energy",
            "float32",
            {"frame": None, "region": len(REGIONS)},
            f"mean speed of each region within the face, in units of about 5 cm per second: {', '.join(REGIONS)}; 0 in "
            "the first frame and in the first after a gap",
        ),
        column(
            "motion_shares",
            pa.list_(pa.float32()),
            "share of each of these regions in all that the measurable face moved above its noise floor; all 0 where "
            "nothing did [6]",
            unit="0..1",
        ),
    ),
)
