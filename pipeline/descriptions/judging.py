"""Hold claims and prose against the evidence: each statement is supported, contradicted or not measurable.

A contradiction needs evidence against: a clear rest, another side, another strength, another order. What was not
measured, or not surely, contradicts nothing and supports nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.descriptions.claims import (
    REGION_OF_PART,
    Mention,
    Order,
    hidden_parts,
    mentions,
    orders,
    parts,
    still_spans,
)
from pipeline.descriptions.evidence import ROUNDING_S, Evidence, EvidenceEvent
from pipeline.descriptions.stillness import EARLY, LATE, UNCLEAR
from schemas.actions import COARSE_ACTIONS, FACIAL_ACTIONS, HEAD_ACTIONS, INTENSITIES, TOLD_ACTIONS
from schemas.answer import Claim

CLAIM_TOLERANCE_S = 0.3
"""How far a claim's span may reach beyond the events that support it."""

ORDER_TOLERANCE_S = 0.15
"""How much later than the second of two events the first may begin for "first, then second" to stand."""

SUPPORTED, CONTRADICTED, NOT_MEASURABLE = "supported", "contradicted", "not_measurable"

Finding = tuple[str, str]
"""A verdict and the reason for it."""


@dataclass(frozen=True)
class Judgement:
    """One statement of a text with its verdict; `events` are those that support it, the strongest first."""

    said: str
    verdict: str
    why: str
    mention: Mention | None = None
    events: tuple[EvidenceEvent, ...] = ()


# --- claims


def judge_claim(claim: Claim, evidence: Evidence) -> Finding:
    """The verdict on one claim, and the reason for it."""
    if not claim.start_s <= claim.end_s:
        return NOT_MEASURABLE, f"the span from {claim.start_s} to {claim.end_s} s is none"
    if claim.polarity == "present":
        return _judge_presence(claim, evidence)
    # The ends of the span are rounded, and an event beside it swells and ebbs: they are not judged.
    start_s, end_s = claim.start_s + ROUNDING_S, claim.end_s - ROUNDING_S
    if not start_s <= end_s:
        return NOT_MEASURABLE, f"the span from {claim.start_s} to {claim.end_s} s is too short to show that nothing was"
    return _judge_absence(claim.action, claim.side, start_s, end_s, evidence)


def claim_row(claim: Claim, source: str, finding: Finding) -> dict[str, Any]:
    """The claim as a row of schemas.descriptions.CLAIM."""
    verdict, why = finding
    return {**claim.model_dump(), "region": claim.region, "source": source, "verdict": verdict, "why": why}


def claim_of(event: EvidenceEvent) -> Claim:
    """What an event claims of itself."""
    return Claim(
        action=event.action,
        side=event.side,
        start_s=round(max(event.onset_s, 0.0), 2),
        end_s=round(event.offset_s, 2),
        polarity="present",
        intensity=event.intensity,
    )


def _judge_presence(claim: Claim, evidence: Evidence) -> Finding:
    near = [event for event in evidence.events_of(claim.action) if _is_near(event, claim)]
    on_side = [event for event in near if _sides_agree(claim.side, event.side)]
    if near and not on_side:
        return _judge_side(claim.action, claim.side, claim.start_s, claim.end_s, near, evidence)
    uncovered = _uncovered(claim, on_side)
    if uncovered is not None:
        doubt = evidence.doubt_about(claim.action, *uncovered, claim.side)
        if doubt is not None:
            return NOT_MEASURABLE, doubt
        return CONTRADICTED, f"{claim.action} is at rest from {uncovered[0]:.1f} to {uncovered[1]:.1f} s"
    is_graded = claim.action not in COARSE_ACTIONS  # how strongly a region moves depends on which action it is
    if is_graded and all(_steps_apart(claim.intensity, event.intensity) > 1 for event in on_side):
        return CONTRADICTED, f"claimed as {claim.intensity}, measured as {on_side[0].intensity}"
    return SUPPORTED, f"measured from {on_side[0].onset_s:.1f} to {on_side[-1].offset_s:.1f} s"


def _judge_side(
    action: str, side: str, start_s: float, end_s: float, events: list[EvidenceEvent], evidence: Evidence
) -> Finding:
    """The verdict on a side on which none of `events` was; a side that was not seen contradicts nothing."""
    unmet = {side} if side in ("left", "right") else {"left", "right"} - {events[0].side}
    for one in sorted(unmet):
        if blindness := evidence.blindness_to(action, start_s, end_s, one):
            return NOT_MEASURABLE, blindness
    return CONTRADICTED, f"said of side {side}, measured on side {events[0].side}"


def _judge_absence(action: str, side: str, start_s: float, end_s: float, evidence: Evidence) -> Finding:
    for event in evidence.events_of(action):
        if event.onset_s <= end_s and start_s <= event.offset_s and (side in ("both", "middle", event.side)):
            return CONTRADICTED, f"measured from {event.onset_s:.1f} to {event.offset_s:.1f} s"
    doubt = evidence.doubt_about(action, start_s, end_s, side)
    return (SUPPORTED, "at rest") if doubt is None else (NOT_MEASURABLE, doubt)


def _is_near(event: EvidenceEvent, claim: Claim) -> bool:
    return event.onset_s - CLAIM_TOLERANCE_S <= claim.end_s and claim.start_s <= event.offset_s + CLAIM_TOLERANCE_S


def _uncovered(claim: Claim, events: list[EvidenceEvent]) -> tuple[float, float] | None:
    """The first part of the claim's span that no event covers, each event widened by the tolerance."""
    reached_s = claim.start_s
    for event in sorted(events, key=lambda event: event.onset_s):
        if event.onset_s - CLAIM_TOLERANCE_S > reached_s:
            return reached_s, min(event.onset_s - CLAIM_TOLERANCE_S, claim.end_s)
        reached_s = max(reached_s, event.offset_s + CLAIM_TOLERANCE_S)
    if not events or reached_s < claim.end_s:
        return reached_s, claim.end_s
    return None


def _sides_agree(said: str | None, measured: str) -> bool:
    whole = ("both", "middle")
    if said == "one":
        return measured in ("left", "right")
    return said is None or said == measured or (said in whole and measured in whole)


def _steps_apart(first: str, second: str) -> int:
    return abs(INTENSITIES.index(first) - INTENSITIES.index(second))


# --- prose


def judge_prose(prose: str, evidence: Evidence) -> list[Judgement]:
    """Every statement of `prose` with its verdict: mentions, then their order, stillness, and what is said hidden."""
    told = mentions(prose)
    judged = [_judge_mention(mention, prose, evidence) for mention in told]
    by_order = dict(zip((mention.order for mention in told), judged, strict=True))
    by_order = {order: _as_ending(judgement, by_order, evidence) for order, judgement in by_order.items()}
    return [
        *by_order.values(),
        *(_judge_order(order, prose, by_order) for order in orders(prose, told)),
        *_judge_stillness(prose, evidence),
        *_judge_hidden(prose, evidence),
        *_judge_parts(prose, told),
    ]


def _judge_mention(mention: Mention, prose: str, evidence: Evidence) -> Judgement:
    said = prose[mention.start : mention.end]
    if not mention.actions:
        return Judgement(said, NOT_MEASURABLE, "means no known action", mention)
    if mention.polarity == "absent":
        side = mention.side if mention.side in ("left", "right") else "both"
        findings = [_judge_absence(action, side, 0.0, evidence.duration_s, evidence) for action in mention.actions]
        verdict, why = _worst(findings)
        if verdict == CONTRADICTED and "for_a_time" in mention.manner:
            verdict, why = NOT_MEASURABLE, f"it is not clear when that is denied, and {why}"
        return Judgement(said, verdict, why, mention)
    if mention.polarity != "present" or "unclear" in (mention.side, mention.intensity):
        return Judgement(said, NOT_MEASURABLE, "it is not clear what is said or whether it is denied", mention)
    found = [_find(mention, action, evidence) for action in mention.actions]
    events = sorted((e for one in found if not isinstance(one, tuple) for e in one), key=lambda e: e.strength)[::-1]
    if events:
        return Judgement(said, SUPPORTED, f"measured from {events[0].onset_s:.1f} s", mention, tuple(events))
    refuted = [one for one in found if isinstance(one, tuple)]
    unknown = [one for one in refuted if one[0] == NOT_MEASURABLE]
    return Judgement(said, *(unknown or refuted)[0], mention)


def _as_ending(judgement: Judgement, judged: Mapping[int, Judgement], evidence: Evidence) -> Judgement:
    """What may only tell the end of something before it is right if that ended."""
    mention = judgement.mention
    if judgement.verdict == SUPPORTED or mention is None or mention.may_end is None or mention.polarity != "present":
        return judgement
    before = judged[mention.may_end]
    if before.verdict != SUPPORTED:
        return replace(judgement, verdict=NOT_MEASURABLE, why="may be the end of what was told before")
    has_ended = any(_MANNERS["fades"](event, evidence) for event in before.events)
    return Judgement(judgement.said, SUPPORTED, "came to its end") if has_ended else judgement


def _worst(findings: list[Finding]) -> Finding:
    return min(findings, key=lambda finding: (CONTRADICTED, NOT_MEASURABLE, SUPPORTED).index(finding[0]))


def _find(mention: Mention, action: str, evidence: Evidence) -> list[EvidenceEvent] | Finding:
    """The events of `action` of which all is true that the mention says, or why there is none."""
    events = evidence.events_of(action)
    if not events:
        doubt = evidence.doubt_about(action, 0.0, evidence.duration_s, mention.side or "both")
        return (CONTRADICTED, "nothing of the kind was measured") if doubt is None else (NOT_MEASURABLE, doubt)
    on_side = [event for event in events if _sides_agree(mention.side, event.side)]
    if not on_side:
        return _judge_side(action, str(mention.side), 0.0, evidence.duration_s, events, evidence)
    as_strong = [e for e in on_side if mention.intensity is None or _steps_apart(mention.intensity, e.intensity) <= 1]
    if not as_strong and action in COARSE_ACTIONS:
        return NOT_MEASURABLE, "how strongly a region moves depends on which of its actions it is"
    if not as_strong:
        return CONTRADICTED, f"said to be {mention.intensity}, measured as {on_side[0].intensity}"
    for manner in mention.manner:
        if manner not in _MANNERS:
            return NOT_MEASURABLE, f"{manner!r} is nothing that is measured"
        fitting = [event for event in as_strong if _MANNERS[manner](event, evidence)]
        if not fitting:
            return (
                CONTRADICTED,
                f"is not {manner}: lasts from {as_strong[0].onset_s:.1f} to {as_strong[0].offset_s:.1f} s",
            )
        if manner.startswith("only_") and (doubt := _doubt_about_others(manner, fitting, mention, evidence)):
            return NOT_MEASURABLE, doubt
        as_strong = fitting
    return as_strong


def _doubt_about_others(manner: str, events: list[EvidenceEvent], mention: Mention, evidence: Evidence) -> str | None:
    """Why nothing shows that there was no more of an action than `events`, earlier or later."""
    side, action = mention.side or "both", events[0].action
    if manner in ("only_late", "only_at_end"):
        return evidence.doubt_about(action, 0.0, max(events[0].onset_s - CLAIM_TOLERANCE_S, 0.0), side)
    end_s = evidence.duration_s
    return evidence.doubt_about(action, min(events[-1].offset_s + CLAIM_TOLERANCE_S, end_s), end_s, side)


BRIEF_S, LONG_S, EDGE_S = 1.0, 1.5, 0.3
SUDDEN_RISE_S, SLOW_RISE_S = 0.6, 0.3
EDGE_SHARE = 0.2
"""Part of the clip that is its start, or its end, for what is said to be there."""

AT_EDGE_S = 0.1
"""An event that begins or ends this near to the start or the end of the track was or is still under way there."""


def _starts_by(event: EvidenceEvent, evidence: Evidence, share: float) -> bool:
    return event.onset_s <= max(share * evidence.duration_s, EDGE_S)


def _lasts_to(event: EvidenceEvent, evidence: Evidence, share: float) -> bool:
    return event.offset_s >= min(share * evidence.duration_s, evidence.duration_s - EDGE_S)


def _all_begin_early(event: EvidenceEvent, evidence: Evidence) -> bool:
    return all(other.onset_s < evidence.duration_s / 2 for other in evidence.events_of(event.action))


def _all_begin_late(event: EvidenceEvent, evidence: Evidence) -> bool:
    return all(other.onset_s >= evidence.duration_s / 2 for other in evidence.events_of(event.action))


_MANNERS: Mapping[str, Callable[[EvidenceEvent, Evidence], bool]] = {
    "brief": lambda event, evidence: event.duration_s <= BRIEF_S,
    "long": lambda event, evidence: event.duration_s >= min(LONG_S, 0.6 * evidence.duration_s),
    "sudden": lambda event, evidence: event.apex_s - event.onset_s <= SUDDEN_RISE_S,
    "slow": lambda event, evidence: event.apex_s - event.onset_s >= SLOW_RISE_S,
    "again": lambda event, evidence: len(evidence.events_of(event.action)) > 1,
    "from_start": lambda event, evidence: event.onset_s <= EDGE_S,
    "to_end": lambda event, evidence: event.offset_s >= evidence.duration_s - EDGE_S,
    "early": lambda event, evidence: _starts_by(event, evidence, 0.5),
    "late": lambda event, evidence: _lasts_to(event, evidence, 0.5),
    "at_start": lambda event, evidence: _starts_by(event, evidence, EDGE_SHARE),
    "at_end": lambda event, evidence: _lasts_to(event, evidence, 1 - EDGE_SHARE),
    "only_early": _all_begin_early,
    "only_late": _all_begin_late,
    "only_at_start": lambda event, evidence: (
        _starts_by(event, evidence, EDGE_SHARE) and _all_begin_early(event, evidence)
    ),
    "only_at_end": lambda event, evidence: (
        _lasts_to(event, evidence, 1 - EDGE_SHARE) and _all_begin_late(event, evidence)
    ),
    "peak_early": lambda event, evidence: event.apex_s <= (event.onset_s + event.offset_s) / 2,
    "peak_late": lambda event, evidence: event.apex_s >= (event.onset_s + event.offset_s) / 2,
    "before_end": lambda event, evidence: event.onset_s < evidence.duration_s - 0.05,
    "fades_before_end": lambda event, evidence: event.offset_s < evidence.duration_s - 0.05,
    "fades": lambda event, evidence: event.offset_s < evidence.duration_s - 0.05,
}
"""What a manner asks of an event. Brief and long, sudden and slow overlap: between them either word is right."""


def _judge_order(order: Order, prose: str, judged: Mapping[int, Judgement]) -> Judgement:
    """Whether two things that a text puts in order, or at the same time, can have been so."""
    said = prose[order.start : order.end]
    if order.kind == "unclear" or order.first is None or order.second is None:
        return Judgement(said, NOT_MEASURABLE, "it is not clear what comes before what")
    first, second = judged[order.first], judged[order.second]
    if not first.events or not second.events:  # of what is not supported itself, no order needs to be judged
        return Judgement(said, SUPPORTED, "says nothing more than its parts")
    pairs = [(one, other) for one in first.events for other in second.events if one is not other]
    if order.kind == "together":
        fits = any(one.onset_s <= other.offset_s and other.onset_s <= one.offset_s for one, other in pairs)
        return _ordered(said, fits, "they are not at the same time")
    if order.kind == "before_end":
        fits = any(one.onset_s <= other.offset_s + ORDER_TOLERANCE_S for one, other in pairs)
        return _ordered(said, fits, f"{second.said!r} ends first")
    fits = any(one.onset_s <= other.onset_s + ORDER_TOLERANCE_S for one, other in pairs)
    return _ordered(said, fits, f"{second.said!r} begins first")


def _ordered(said: str, fits: bool, why_not: str) -> Judgement:
    return Judgement(said, SUPPORTED, "in this order") if fits else Judgement(said, CONTRADICTED, why_not)


def _judge_stillness(prose: str, evidence: Evidence) -> Iterator[Judgement]:
    """Whether the whole face was at rest when a text says so; what is said of one part of it is a mention."""
    acting = [event for event in evidence.events if event.action not in HEAD_ACTIONS]
    for when, start, end in still_spans(prose):
        yield Judgement(prose[start:end], *_judge_rest(when, acting, evidence))


def _judge_rest(when: str, acting: list[EvidenceEvent], evidence: Evidence) -> Finding:
    start_s, end_s = 0.0, evidence.duration_s
    if when == UNCLEAR:
        return NOT_MEASURABLE, "it is not clear when the whole face is said to be at rest"
    if when == EARLY:
        end_s = min((event.onset_s for event in acting), default=end_s)
        acting = [event for event in acting if event.onset_s <= AT_EDGE_S]
    elif when == LATE:
        start_s = max((event.offset_s for event in acting), default=start_s)
        acting = [event for event in acting if event.offset_s >= evidence.duration_s - AT_EDGE_S]
    if acting:
        return CONTRADICTED, f"{acting[0].action} was measured"
    doubts = (evidence.doubt_about(action, start_s, end_s) for action in TOLD_ACTIONS)
    doubt = next((doubt for doubt in doubts if doubt), None)
    return (NOT_MEASURABLE, doubt) if doubt else (SUPPORTED, "nothing rose above rest")


def _judge_hidden(prose: str, evidence: Evidence) -> Iterator[Judgement]:
    """What is said not to be measurable must not have been measured."""
    for region, start, end in hidden_parts(prose):
        if evidence.unmeasured or _is_hidden_for_a_time(region, evidence) or _is_unknown(region, evidence):
            yield Judgement(prose[start:end], SUPPORTED, "was not measured")
        else:
            yield Judgement(prose[start:end], CONTRADICTED, "every frame of it was measured")


def _is_hidden_for_a_time(region: str, evidence: Evidence) -> bool:
    """Whether something kept the region from being seen; of the whole face `unmeasured` says so."""
    hidden = {"far_side", "turned", "small", "covered"}
    return any(span.why in hidden and TOLD_ACTIONS[span.action].region == region for span in evidence.unclear)


def _is_unknown(region: str, evidence: Evidence) -> bool:
    """Whether of nothing that the region, or "face" for all of it, can do is known whether it did it."""
    actions = [action for action, facial in FACIAL_ACTIONS.items() if region in ("face", facial.region)]
    is_known = (
        evidence.events_of(action) or evidence.doubt_about(action, 0.0, evidence.duration_s) is None
        for action in actions
    )
    return not any(is_known)


def _judge_parts(prose: str, told: list[Mention]) -> Iterator[Judgement]:
    """A part of the face that is named, but of which no mention says what it does, says something all the same."""
    regions = {TOLD_ACTIONS[action].region for mention in told for action in mention.actions}
    hidden = {region for region, _, _ in hidden_parts(prose)}
    for part in dict.fromkeys(parts(prose)):
        if REGION_OF_PART[part] not in regions | hidden:
            yield Judgement(part.replace("_", " "), NOT_MEASURABLE, "is spoken of without a measured action")
