"""Make claims and sentences of a drawn face, true ones and false ones, whose verdict is known from what was drawn."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.descriptions.evidence import EvidenceEvent
from pipeline.descriptions.judging import CONTRADICTED, SUPPORTED
from pipeline.synthetic.truth_evidence import SLACK_S, DrawnFace, judge_against_truth, limits_of
from schemas.actions import COARSE_ACTIONS, FACIAL_ACTIONS, INTENSITIES, REGIONS, TOLD_ACTIONS, sides_of
from schemas.answer import Claim

KINDS = {
    "true_event": "an event as it was drawn",
    "true_absence": "an action that was not drawn, denied",
    "flipped_side": "an event on another side than the one that it was drawn on",
    "negated": "an event that was drawn, denied",
    "moved": "an event in a stretch in which its action was at rest",
    "swapped": "an action that was not drawn, claimed",
    "other_intensity": "an event two steps stronger or weaker than it was drawn",
}

TRUE_KINDS = ("true_event", "true_absence")

_TIMELESS = ("flipped_side", "other_intensity")
"""False kinds whose sentence says no time: they must be false at every time of the track."""

SHORTEST_REST_S = 0.25
"""A stretch of rest, its margins taken off, in which a false event is placed."""


@dataclass(frozen=True)
class KnownClaim:
    """A claim, a sentence that says the same, of which KINDS it is, and the verdict that is right for both."""

    claim: Claim
    sentence: str
    kind: str
    verdict: str


def known_claims(drawn: DrawnFace, seed: int, *, most: int = 60) -> list[KnownClaim]:
    """Claims about a face, as many true as false and at most `most`; the same face and seed give the same ones.

    Each is kept only if `judge_against_truth` gives it the verdict that its kind should have: none is half true.
    The kinds take turns, and each sentence is one of several wordings.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"{drawn.clip}/{drawn.face}".encode())])
    offered = {kind: list(_kept(kind, claims, drawn)) for kind, claims in _offers(drawn, rng).items()}
    true, false = (
        _dealt([offered[kind] for kind in KINDS if (kind in TRUE_KINDS) == is_true], most // 2, rng)
        for is_true in (True, False)
    )
    size = min(len(true), len(false))
    chosen = [*true[:size], *false[:size]]
    edges = tuple(_is_at_rest(drawn, at) for at in (0, -1))
    return [_worded(kind, claim, edges, rng) for kind, claim in chosen]


# --- claims


def _offers(drawn: DrawnFace, rng: np.random.Generator) -> dict[str, Iterable[Claim]]:
    events = [event for event in drawn.evidence.events if _is_shown(event)]
    events += list(dict.fromkeys(_as_region(event) for event in events if event.action in FACIAL_ACTIONS))
    absent = [action for action, level in drawn.levels.items() if level.max() < limits_of(action).absent_below]
    whole_s = drawn.evidence.duration_s
    return {
        "true_event": [
            _claim(event.action, event.side, event.onset_s, event.offset_s, event.intensity) for event in events
        ],
        "true_absence": [_denial(action, _whole(action), whole_s) for action in absent]
        + [_denial(event.action, side, whole_s) for event in events for side in _other_sides(event, of_one=True)],
        "flipped_side": [
            _claim(event.action, side, event.onset_s, event.offset_s, event.intensity)
            for event in events
            for side in _other_sides(event)
        ],
        "negated": [_denial(event.action, event.side, whole_s) for event in events],
        "moved": [
            _claim(event.action, event.side, start_s, end_s, event.intensity)
            for event in events
            for start_s, end_s in _rests(event.action, drawn)
        ],
        "swapped": [_swapped(action, events, whole_s, rng) for action in absent],
        "other_intensity": [
            _claim(event.action, event.side, event.onset_s, event.offset_s, other)
            for event in events
            for other in INTENSITIES
            if event.action not in COARSE_ACTIONS  # how strongly a region moves depends on which action it is
            and abs(INTENSITIES.index(other) - INTENSITIES.index(event.intensity)) == 2
        ],
    }


def _is_shown(event: EvidenceEvent) -> bool:
    """Whether it is so strong that it may not be denied; of weaker ones it may be said or not."""
    limits = limits_of(event.action)
    return event.peak * limits.whole >= limits.shown_from


def _as_region(event: EvidenceEvent) -> EvidenceEvent:
    """The same event as one of its region."""
    return event.model_copy(update={"action": f"{TOLD_ACTIONS[event.action].region}_move", "side": "middle"})


def _kept(kind: str, claims: Iterable[Claim], drawn: DrawnFace) -> Iterator[tuple[str, Claim]]:
    wanted = SUPPORTED if kind in TRUE_KINDS else CONTRADICTED
    always = {"start_s": 0.0, "end_s": drawn.evidence.duration_s}
    for claim in dict.fromkeys(claims):
        asked = [claim, claim.model_copy(update=always)] if kind in _TIMELESS else [claim]
        if all(verdict == wanted for verdict, _ in judge_against_truth(asked, drawn)):
            yield kind, claim


def _dealt(kinds: Sequence[list[tuple[str, Claim]]], most: int, rng: np.random.Generator) -> list[tuple[str, Claim]]:
    """Up to `most` in all, one of each kind in turn."""
    piles = [[pile[number] for number in rng.permutation(len(pile))] for pile in kinds]
    in_turn = [pile[turn] for turn in range(max(map(len, piles), default=0)) for pile in piles if turn < len(pile)]
    return in_turn[:most]


def _claim(
    action: str, side: str, start_s: float, end_s: float, intensity: str = "moderate", polarity: str = "present"
) -> Claim:
    return Claim.model_validate(
        {
            "action": action,
            "side": side,
            "start_s": round(max(start_s, 0.0), 2),
            "end_s": round(end_s, 2),
            "polarity": polarity,
            "intensity": intensity,
        }
    )


def _denial(action: str, side: str, duration_s: float) -> Claim:
    return _claim(action, side, 0.0, duration_s, "slight", "absent")


def _whole(action: str) -> str:
    """The side that stands for both, or the first of those that are told apart."""
    sides = sides_of(action)
    return "both" if "both" in sides else sides[0]


def _other_sides(event: EvidenceEvent, *, of_one: bool = False) -> list[str]:
    """Left for right and right for left; of both sides, one of them alone, unless only what is `of_one` is wanted."""
    opposite = {"left": ["right"], "right": ["left"], "both": [] if of_one else ["left", "right"]}
    return opposite.get(event.side, [])


def _rests(action: str, drawn: DrawnFace) -> Iterator[tuple[float, float]]:
    """Stretches at the start and at the end in which the action is at rest, SLACK_S away from where it is not."""
    up_s = drawn.times_s[drawn.levels[action].max(axis=1) >= limits_of(action).absent_below]
    end_s = float(drawn.times_s[-1])
    if up_s[0] - SLACK_S >= SHORTEST_REST_S:
        yield 0.0, float(up_s[0]) - SLACK_S
    if end_s - up_s[-1] - SLACK_S >= SHORTEST_REST_S:
        yield float(up_s[-1]) + SLACK_S, end_s


def _swapped(action: str, events: Sequence[EvidenceEvent], duration_s: float, rng: np.random.Generator) -> Claim:
    """An absent action in the place of an event; of a face that does nothing, over the middle of the clip."""
    if not events:
        return _claim(action, _whole(action), 0.25 * duration_s, 0.75 * duration_s)
    event = events[int(rng.integers(len(events)))]
    side = event.side if event.side in sides_of(action) else _whole(action)
    return _claim(action, side, event.onset_s, event.offset_s, event.intensity)


# --- sentences


@dataclass(frozen=True)
class _Wording:
    """How a sentence speaks of an action: what moves, of one side and of both, its verb, and the verb as a deed.

    `rest` follows the verb; `noun` is a word that says the action by itself, if English has one.
    """

    one: str
    several: str
    verb: str
    doing: str
    rest: str = ""
    noun: str = ""
    is_plural: bool = True

    def thing(self, side: str) -> str:
        """What moves: "left lip corner" or "lip corners"."""
        return f"{side} {self.one}" if side in ("left", "right") else self.several

    def told(self, side: str, adverb: str = "") -> str:
        """What it does: "rises strongly" or "rise strongly"."""
        is_several = self.is_plural and side not in ("left", "right")
        verb = self.verb if is_several else self.verb + ("es" if self.verb.endswith(("ss", "ch")) else "s")
        return " ".join(word for word in (verb, self.rest, adverb) if word)


def _whole_thing(thing: str, verb: str, doing: str, rest: str = "") -> _Wording:
    is_plural = thing in ("lips", "brows", "eyes", "cheeks")
    return _Wording(f"side of the {thing}", thing, verb, doing, rest, is_plural=is_plural)


_WORDINGS = {
    "inner_brow_raise": _Wording("inner brow", "inner brows", "rise", "raising"),
    "outer_brow_raise": _Wording("outer brow", "outer brows", "rise", "raising"),
    "brow_lower": _Wording("brow", "brows", "lower", "lowering"),
    "eye_widen": _Wording("eye", "eyes", "widen", "widening"),
    "eye_narrow": _Wording("eye", "eyes", "narrow", "narrowing", noun="squint"),
    "eye_close": _Wording("eye", "eyes", "close", "closing"),
    "cheek_raise": _Wording("cheek", "cheeks", "rise", "raising"),
    "nose_wrinkle": _whole_thing("nose", "wrinkle", "wrinkling"),
    "upper_lip_raise": _whole_thing("upper lip", "rise", "raising"),
    "lip_corner_raise": _Wording("lip corner", "lip corners", "rise", "raising", noun="smile"),
    "lip_corner_dimple": _Wording("lip corner", "lip corners", "tighten", "tightening"),
    "lip_corner_lower": _Wording("lip corner", "lip corners", "lower", "lowering"),
    "lower_lip_drop": _whole_thing("lower lip", "drop", "lowering"),
    "chin_raise": _whole_thing("chin", "bunch", "bunching"),  # a chin that rises may be the head's
    "lip_pucker": _whole_thing("lips", "pucker", "puckering"),
    "lip_stretch": _whole_thing("lips", "stretch", "stretching", "sideways"),
    "lip_funnel": _whole_thing("lips", "funnel", "funneling", "forward"),
    "lip_press": _whole_thing("lips", "press", "pressing", "together"),
    "jaw_drop": _whole_thing("jaw", "drop", "dropping"),
    "lip_suck": _whole_thing("lips", "roll", "rolling", "inward"),
    "head_turn": _whole_thing("head", "turn", "turning"),
    "head_tilt": _whole_thing("head", "tilt", "tilting"),
    "head_raise": _whole_thing("head", "lift", "raising"),
    "head_lower": _whole_thing("head", "lower", "lowering"),
    **{f"{region}_move": _whole_thing(region, "move", "moving") for region in REGIONS},
}

_ADVERBS = {"slight": "slightly", "moderate": "moderately", "strong": "strongly"}


def _is_at_rest(drawn: DrawnFace, at: int) -> bool:
    """Whether no action of the face is drawn in its first frame (0) or in its last (-1)."""
    return all(drawn.levels[action][at].max() < limits_of(action).absent_below for action in FACIAL_ACTIONS)


def _worded(kind: str, claim: Claim, edges: tuple[bool, ...], rng: np.random.Generator) -> KnownClaim:
    wording = _WORDINGS[claim.action]
    side, way = claim.side, ""
    if claim.action in ("head_turn", "head_tilt"):  # a head goes to a side, which is none of its own
        side, way = "middle", f" to the {claim.side}"
    thing = wording.thing(side)
    if kind in ("true_absence", "negated"):
        variants = _denials(wording, side, way)
    elif kind == "moved":
        variants = _at_an_end(thing, wording.told(side) + way, is_start=claim.start_s == 0)
    else:
        is_graded = kind == "other_intensity" or (kind == "true_event" and rng.random() < 0.5)
        told = wording.told(side, _ADVERBS[claim.intensity] if is_graded else "") + way
        is_of_one = kind == "flipped_side" and not way
        variants = _statements(f"only the {thing}" if is_of_one else f"the {thing}", told, *edges)
    sentence = variants[int(rng.integers(len(variants)))]
    verdict = SUPPORTED if kind in TRUE_KINDS else CONTRADICTED
    return KnownClaim(claim, sentence[0].upper() + sentence[1:], kind, verdict)


def _statements(thing: str, told: str, is_rest_before: bool, is_rest_after: bool) -> list[str]:
    variants = [f"{thing} {told}.", f"during the clip, {thing} {told}."]
    if is_rest_before:
        variants.append(f"at first the face is at rest, then {thing} {told}.")
    if is_rest_after:
        variants.append(f"{thing} {told}, and then the face returns to rest.")
    return variants


def _denials(wording: _Wording, side: str, way: str) -> list[str]:
    thing, rest = wording.thing(side), f" {wording.rest}" if wording.rest else ""
    does = "do" if wording.is_plural and side not in ("left", "right") else "does"
    variants = [
        f"the {thing} {does} not {wording.verb}{rest}{way}.",
        f"at no time {does} the {thing} {wording.verb}{rest}{way}.",
        f"the clip passes without {wording.doing} the {thing}{rest}{way}.",
    ]
    is_whole = side not in ("left", "right")
    return [*variants, f"there is no {wording.noun}."] if wording.noun and is_whole else variants


def _at_an_end(thing: str, told: str, *, is_start: bool) -> list[str]:
    if is_start:
        return [
            f"{start}, the {thing} {told}." for start in ("from the start", "from the beginning", "right at the start")
        ]
    return [
        f"the {thing} {told} until the end.",
        f"until the very end, the {thing} {told}.",
        f"the {thing} {told} only at the end.",
    ]
