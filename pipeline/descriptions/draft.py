"""Write the draft: the evidence in plain English, by a template, without a language model and without chance."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.descriptions.evidence import Evidence, EvidenceEvent
from pipeline.descriptions.judging import claim_of
from pipeline.descriptions.tokens import count_tokens
from schemas.actions import COARSE_ACTIONS, FACIAL_ACTIONS, HEAD_ACTIONS, TOLD_ACTIONS
from schemas.answer import Claim

WRITER = "template 2"

EDGE_S = 0.1
"""An event that begins or ends this near to the track's own start or end was already, or is still, under way."""

TOGETHER_S = 0.2
"""Events that begin within this time of each other are told as simultaneous, others one after the other."""

BRIEF_S, SLOW_RISE_S, QUICK_RISE_S = 0.8, 0.8, 0.25


@dataclass(frozen=True)
class Draft:
    """A text, the claims that it makes, and its length in tokens of the text encoder."""

    text: str
    claims: tuple[Claim, ...]
    num_tokens: int


@dataclass(frozen=True)
class _Wording:
    """How an action is told: its noun for one side and for both, its verb for one and for several, and a complement.

    A noun that is the same for one side and for both is of a part that lies in the middle of the face.
    """

    one: str
    several: str
    verb_one: str
    verb_several: str
    complement: str = ""


def _middle(noun: str, verb: str, complement: str = "") -> _Wording:
    return _Wording(noun, noun, verb, verb, complement)


_WORDINGS = {
    "inner_brow_raise": _middle("inner brows", "rise"),
    "outer_brow_raise": _Wording("outer brow", "outer brows", "rises", "rise"),
    "brow_lower": _Wording("brow", "brows", "lowers", "lower"),
    "eye_widen": _Wording("eye", "eyes", "widens", "widen"),
    "eye_narrow": _Wording("eye", "eyes", "narrows", "narrow"),
    "eye_close": _Wording("eye", "eyes", "closes", "close"),
    "cheek_raise": _Wording("cheek", "cheeks", "lifts", "lift"),
    "nose_wrinkle": _middle("nose", "wrinkles"),
    "upper_lip_raise": _middle("upper lip", "lifts"),
    "lip_corner_raise": _Wording("lip corner", "lip corners", "rises", "rise"),
    "lip_corner_dimple": _Wording("lip corner", "lip corners", "tightens", "tighten"),
    "lip_corner_lower": _Wording("lip corner", "lip corners", "turns", "turn", "down"),
    "lower_lip_drop": _middle("lower lip", "drops"),
    "chin_raise": _middle("chin", "pushes", "up"),
    "lip_pucker": _middle("lips", "pucker"),
    "lip_stretch": _middle("mouth", "stretches", "sideways"),
    "lip_funnel": _middle("lips", "funnel", "forward"),
    "lip_press": _middle("lips", "press", "together"),
    "jaw_drop": _middle("jaw", "drops"),
    "lip_suck": _middle("lips", "roll", "inward"),
    "head_turn": _middle("head", "turns"),
    "head_tilt": _middle("head", "tilts"),
    "head_raise": _middle("head", "lifts"),
    "head_lower": _middle("head", "lowers"),
    "gaze_turn": _middle("gaze", "turns"),
    "gaze_raise": _middle("gaze", "lifts"),
    "gaze_lower": _middle("gaze", "lowers"),
    "brows_move": _middle("brows", "move"),
    "eyes_move": _middle("eyes", "move"),
    "nose_move": _middle("nose", "moves"),
    "cheeks_move": _middle("cheeks", "move"),
    "mouth_move": _middle("mouth", "moves"),
    "jaw_move": _middle("jaw", "moves"),
}

_ADVERBS = {
    "slight": ("slightly", "a little"),
    "moderate": ("clearly", "noticeably"),
    "strong": ("strongly", "markedly"),
}
_HOW = ("briefly", "slowly", "quickly")
_THEN = ("then", "next,", "after that,")
_WHY = {
    "turned_away": "it is turned away",
    "unclear": "too little of it is visible",
    "too_small": "it is too small",
    "blurred": "too little of it is sharp",
    "covered": "it is hidden",
}
_DENIALS = {
    "lip_corner_raise": "the lip corners do not rise",
    "jaw_drop": "the jaw does not drop",
    "eye_close": "the eyes do not close",
    "brow_lower": "the brows do not lower",
    "lip_press": "the lips do not press together",
    "nose_wrinkle": "the nose does not wrinkle",
    "head_turn": "the head does not turn",
}
MOST_DENIALS = 3


def draft_of(evidence: Evidence, *, max_events: int, token_budget: int = 60, encoder: str = "clip") -> Draft:
    """Describe the evidence in time order, as many of its strongest events as the budget holds, at most `max_events`.

    The same evidence gives the same text; which of several equal wordings is taken follows from the evidence too.

    Raises:
        ValueError: not even one event fits into `token_budget`.
    """
    choices = hashlib.sha256(evidence.model_dump_json().encode()).digest()
    for num_events in range(max_events, 0, -1):
        events = _chosen(evidence, num_events)
        for text in _texts(evidence, events, choices):
            num_tokens = count_tokens(text, encoder)
            if num_tokens <= token_budget:
                claims = [claim_of(event) for event in events] or [
                    _denial(action, evidence) for action in _denied(evidence)
                ]
                return Draft(text, tuple(claims), num_tokens)
    raise ValueError(f"token_budget: {token_budget} tokens hold no description, expected 30 or more")


def notes_of(evidence: Evidence, *, max_events: int) -> list[str]:
    """The strongest events as short clauses in time order, without times: what a small model can still join."""
    told = [_clause(event, 0) for event in _chosen(evidence, max_events)]
    return told or [_DENIALS[action] for action in _denied(evidence)] or [_NOTHING]


def told_actions(evidence: Evidence, *, max_events: int) -> tuple[tuple[str, str], ...]:
    """(action, side) of each event that `notes_of` tells, in time order: texts of equal ones may be equal."""
    return tuple((event.action, event.side) for event in _chosen(evidence, max_events))


def must_tell(evidence: Evidence, *, max_events: int) -> tuple[EvidenceEvent, ...]:
    """The strong movements of the face among the events that are told: no text may leave one out."""
    told = _chosen(evidence, max_events)
    return tuple(event for event in told if event.intensity == "strong" and event.action in FACIAL_ACTIONS)


def in_words(evidence: Evidence) -> str:
    """All of the evidence for a language model: one line for each event with its seconds, and what was not measured."""
    lines = [
        f"- from {event.onset_s:.1f} to {event.offset_s:.1f} s, most at {event.apex_s:.1f} s: {_clause(event, 0)}"
        f" [{event.action}, {event.side}, {event.intensity}]"
        for event in _in_time(evidence.events)
    ]
    lines += [
        f"- from {span.start_s:.1f} to {span.end_s:.1f} s the face was not measured: {_WHY[span.why]}"
        for span in evidence.unmeasured
    ]
    surely_absent = [action for action in TOLD_ACTIONS if _is_deniable(action, evidence)]
    never_told = [
        action for action in FACIAL_ACTIONS if not _is_deniable(action, evidence) and not evidence.events_of(action)
    ]
    lines.append(f"- surely not seen: {', '.join(surely_absent) or 'nothing can be excluded'}")
    lines.append(f"- cannot be told, say nothing of it: {', '.join(never_told) or 'nothing'}")
    if evidence.motion_shares:
        shares = sorted(evidence.motion_shares.items(), key=lambda item: -item[1])
        lines.append("- most movement: " + ", ".join(f"{region} {100 * share:.0f} %" for region, share in shares[:3]))
    return f"The track lasts {evidence.duration_s:.1f} s.\n" + "\n".join(lines)


_NOTHING = "what the face does cannot be told"


def _texts(evidence: Evidence, events: Sequence[EvidenceEvent], choices: bytes) -> list[str]:
    """The same events told at length and shorter, the longest first."""
    hidden = _hidden_sentences(evidence)
    if not events:
        told = [_sentence(_DENIALS[action]) for action in _denied(evidence)] or [_sentence(_NOTHING)]
        return [" ".join([*told, *hidden]), " ".join(told)]
    at_length, shorter = (_event_sentences(events, evidence, choices, fades) for fades in (True, False))
    return [" ".join([*at_length, *hidden]), " ".join(at_length), " ".join([*shorter, *hidden]), " ".join(shorter)]


def _event_sentences(events: Sequence[EvidenceEvent], evidence: Evidence, choices: bytes, fades: bool) -> list[str]:
    """Events that begin together share a sentence of two; "then" stands between what begins one after the other."""
    sentences: list[list[str]] = []
    for number, event in enumerate(events):
        choice = choices[number % len(choices)]
        clause = _clause(event, choice, _manner(event, events[:number], evidence))
        if fades and event is evidence.strongest and event.offset_s < evidence.duration_s - 3 * EDGE_S:
            clause += " before easing off"
        before = events[number - 1] if number else None
        if before and event.onset_s - before.onset_s <= TOGETHER_S and _overlap(before, event):
            if len(sentences[-1]) == 1 and "before" not in sentences[-1][0]:
                sentences[-1].append(f"while {clause}")
            else:
                sentences.append([f"at the same time, {clause}"])
        elif before and event.onset_s > before.onset_s + TOGETHER_S:
            sentences.append([f"{_THEN[(choices[0] + number) % len(_THEN)]} {clause}"])
        else:
            sentences.append([clause])
    return [_sentence(" ".join(parts)) for parts in sentences]


def _overlap(one: EvidenceEvent, other: EvidenceEvent) -> bool:
    return one.onset_s <= other.offset_s and other.onset_s <= one.offset_s


def _clause(event: EvidenceEvent, choice: int, manner: str = "") -> str:
    """What the event does, how strongly, and how it goes in time."""
    subject, verb, where = _subject(event)
    adverb = _adverb(event, choice)
    if adverb and manner in _HOW:
        adverb, manner = f"{adverb} and {manner}", ""
    words = [subject, verb, _WORDINGS[event.action].complement, adverb, where, manner]
    return " ".join(word for word in words if word)


def _adverb(event: EvidenceEvent, choice: int) -> str:
    if event.action == "eye_close" or event.action in COARSE_ACTIONS:
        return ""  # an eye is closed or not, and of a coarse movement the strength is not known
    return _ADVERBS[event.intensity][choice % 2]


def _manner(event: EvidenceEvent, told: Sequence[EvidenceEvent], evidence: Evidence) -> str:
    """How the event goes in time, after the events that are `told` before it."""
    again = "again" if any(other.action == event.action for other in told) else ""
    if event.action in COARSE_ACTIONS:
        return again
    if event.onset_s <= EDGE_S:
        return "from the start"
    if event.offset_s >= evidence.duration_s - EDGE_S:
        return f"{again} until the end".strip()
    rise_s = event.apex_s - event.onset_s
    is_brief, is_slow, is_quick = event.duration_s <= BRIEF_S, rise_s >= SLOW_RISE_S, rise_s <= QUICK_RISE_S
    return again or ("briefly" if is_brief else "slowly" if is_slow else "quickly" if is_quick else "")


def _subject(event: EvidenceEvent) -> tuple[str, str, str]:
    """Subject, verb, and where: a paired part carries its side itself, of one in the middle the side is said after."""
    wording = _WORDINGS[event.action]
    is_pair = wording.one != wording.several
    if event.side in ("both", "middle"):
        where = "on both sides" if event.side == "both" and not is_pair else ""
        return f"{'both' if is_pair else 'the'} {wording.several}", wording.verb_several, where
    if is_pair:
        return f"the {event.side} {wording.one}", wording.verb_one, ""
    where = f"to the {event.side}" if event.action in HEAD_ACTIONS else f"on the {event.side} side"
    return f"the {wording.one}", wording.verb_one, where


def _chosen(evidence: Evidence, max_events: int) -> list[EvidenceEvent]:
    """The strongest event of each action, then the second of each, and so on; in time order.

    What is strong comes first, then the face's own actions. A region that moves is told once, and left out where one of
    its actions is told anyway.
    """
    times_seen: Counter[str] = Counter()
    ranked = []
    for event in sorted(evidence.events, key=lambda event: event.weight, reverse=True):
        if event.action in COARSE_ACTIONS and any(
            other.action not in COARSE_ACTIONS and _overlap(event, other) for other in evidence.events_of(event.action)
        ):
            continue
        if event.action in COARSE_ACTIONS and times_seen[event.action]:
            continue
        ranked.append((times_seen[event.action], event))
        times_seen[event.action] += 1
    ranked.sort(key=lambda pair: pair[0])  # stable: within a rank the strongest stay first
    return _in_time([event for _, event in ranked[:max_events]])


def _in_time(events: Sequence[EvidenceEvent]) -> list[EvidenceEvent]:
    return sorted(events, key=lambda event: (event.onset_s, event.offset_s, event.action, event.side))


def _is_deniable(action: str, evidence: Evidence) -> bool:
    """Whether `action` was surely at rest throughout."""
    return not evidence.events_of(action) and evidence.doubt_about(action, 0.0, evidence.duration_s) is None


def _denied(evidence: Evidence) -> list[str]:
    """What to say of a face that does nothing that can be told: the first things that it surely does not do."""
    return [action for action in _DENIALS if _is_deniable(action, evidence)][:MOST_DENIALS]


def _denial(action: str, evidence: Evidence) -> Claim:
    end_s = round(evidence.duration_s, 2)
    side = "both" if TOLD_ACTIONS[action].left or action in HEAD_ACTIONS else "middle"
    return Claim(action=action, side=side, start_s=0.0, end_s=end_s, polarity="absent", intensity="slight")


def _hidden_sentences(evidence: Evidence) -> list[str]:
    reasons = list(dict.fromkeys(_WHY[span.why] for span in evidence.unmeasured))
    if not reasons:
        return []
    return [f"For some time the face cannot be measured, because {reasons[0]}."]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
