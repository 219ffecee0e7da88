"""Write the draft: the evidence in plain English, by a template, without a language model and without chance."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.descriptions.evidence import Evidence, EvidenceEvent

WRITER = "template 1"

EDGE_S = 0.1
"""An event that begins or ends this near to the track's own start or end was already, or is still, under way."""


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
}

_ADVERBS = {
    "slight": ("slightly", "a little"),
    "moderate": ("clearly", "noticeably"),
    "strong": ("strongly", "markedly"),
}
_MEANWHILE = ("", "meanwhile", "at the same time")
_PEAKS = ("peak{s} at {apex}", "{are} at {their} height at {apex}", "reach{es} {their} peak at {apex}")
_ENDS = ("settle{s} by {offset}", "ease{s} off by {offset}", "return{s} by {offset}")
_WHY = {
    "turned_away": "it is seen from the side",
    "unclear": "too little of it is visible",
    "too_small": "it is too small",
    "blurred": "too little of it is sharp",
    "covered": "it is hidden",
}


def draft_text(evidence: Evidence, *, max_events: int) -> str:
    """Describe the evidence in time order, at most `max_events` events of it. The same evidence, the same text."""
    events = _chosen(evidence.events, max_events)
    choices = hashlib.sha256(evidence.model_dump_json().encode()).digest()
    sentences = [
        _event_sentence(events[: number + 1], evidence.duration_s, choices[number % len(choices)])
        for number in range(len(events))
    ]
    if not sentences:
        where = "Where it can be measured, the" if evidence.unmeasured else "The"
        sentences = [f"{where} face stays near rest throughout, and no movement beyond it is measured."]
    return " ".join([*sentences, *_unmeasured_sentences(evidence)])


def notes_of(evidence: Evidence, *, max_events: int) -> list[str]:
    """The strongest events as short clauses in time order, without times: what a small model can still join."""
    clauses = []
    for event in _chosen(evidence.events, max_events):
        subject, verb, where = _subject(event)
        words = [subject, verb, _WORDINGS[event.action].complement, _adverb(event, 0), where]
        clauses.append(" ".join(word for word in words if word))
    return clauses or ["the face stays near rest throughout"]


def _adverb(event: EvidenceEvent, choice: int) -> str:
    return "" if event.action == "eye_close" else _ADVERBS[event.intensity][choice % 2]  # an eye is closed or not


def _chosen(events: Sequence[EvidenceEvent], max_events: int) -> list[EvidenceEvent]:
    """The strongest event of each action, then the second of each, and so on; in time order."""
    times_seen: Counter[str] = Counter()
    ranked = []
    for event in sorted(events, key=lambda event: event.strength, reverse=True):
        ranked.append((times_seen[event.action], event))
        times_seen[event.action] += 1
    ranked.sort(key=lambda pair: pair[0])  # stable: within a rank the strongest stay first
    chosen = [event for _, event in ranked[:max_events]]
    return sorted(chosen, key=lambda event: (event.onset_s, event.offset_s, event.action, event.side))


def _event_sentence(events: Sequence[EvidenceEvent], duration_s: float, choice: int) -> str:
    """The sentence for the last of `events`; those before it give the words that join it to them."""
    *told, event = events
    subject, verb, where = _subject(event)
    wording = _WORDINGS[event.action]
    again = "again" if any(other.action == event.action for other in told) else ""
    begin = f"from {_seconds(event.onset_s)}" if event.onset_s > EDGE_S else "from the start"
    words = [_joint(told, event), subject, verb, wording.complement, _adverb(event, choice), where, again, begin]
    clause = " ".join(word for word in words if word)
    return (
        clause[0].upper() + clause[1:] + _course(event, duration_s, choice // 2, is_plural=subject.endswith("s")) + "."
    )


def _subject(event: EvidenceEvent) -> tuple[str, str, str]:
    """Subject, verb, and where: a paired part carries its side itself, of one in the middle the side is said after."""
    wording = _WORDINGS[event.action]
    if event.side in ("both", "middle"):
        is_pair = wording.one != wording.several
        where = "on both sides" if event.side == "both" and not is_pair else ""
        return f"{'both' if is_pair else 'the'} {wording.several}", wording.verb_several, where
    if wording.one != wording.several:
        return f"the {event.side} {wording.one}", wording.verb_one, ""
    return f"the {wording.one}", wording.verb_one, f"on the {event.side} side"


def _joint(told: Sequence[EvidenceEvent], event: EvidenceEvent) -> str:
    if not told:
        return ""
    if event.onset_s > max(other.offset_s for other in told):
        return "then"
    return _MEANWHILE[len(told) % len(_MEANWHILE)]


def _course(event: EvidenceEvent, duration_s: float, choice: int, *, is_plural: bool) -> str:
    """When the event peaks and how it ends."""
    forms = (
        {"s": "", "es": "", "are": "are", "their": "their"}
        if is_plural
        else {"s": "s", "es": "es", "are": "is", "their": "its"}
    )
    peak = _PEAKS[choice % len(_PEAKS)].format(apex=_seconds(event.apex_s), **forms)
    if event.offset_s >= duration_s - EDGE_S:
        return f", {peak} and last{forms['s']} to the end"
    end = _ENDS[choice // len(_PEAKS) % len(_ENDS)].format(offset=_seconds(event.offset_s), **forms)
    return f", {peak} and {end}"


def _unmeasured_sentences(evidence: Evidence) -> list[str]:
    return [
        f"From {_seconds(span.start_s)} to {_seconds(span.end_s)} the face cannot be measured,"
        f" because {_WHY[span.why]}."
        for span in evidence.unmeasured
    ]


def _seconds(time_s: float) -> str:
    return f"{max(time_s, 0.0):.1f} s"
