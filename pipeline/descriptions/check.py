"""Hold an answer of the language model against the evidence: what is not shown to be true falls back to the draft."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from pipeline.descriptions.claims import REGION_OF_PART, Mention, mentions, parts, sentences
from pipeline.descriptions.evidence import ROUNDING_S, Evidence, EvidenceEvent
from pipeline.descriptions.words import FORBIDDEN, VOCABULARY
from schemas.actions import FACIAL_ACTIONS, INTENSITIES
from schemas.answer import Answer, Claim
from schemas.descriptions import FALLBACK_REASONS, STATUSES

CLAIM_TOLERANCE_S = 0.3
"""How far a claim's span may reach beyond the events that support it."""

SUPPORTED, CONTRADICTED, NOT_MEASURABLE = "supported", "contradicted", "not_measurable"


@dataclass(frozen=True)
class Verdict:
    """What the check decided. `text` is the refined prose or, with status "fallback", the draft.

    `fallback_reason` is one of schemas.descriptions.FALLBACK_REASONS; `claims` are rows of schemas.descriptions.CLAIM.
    """

    status: str
    text: str
    fallback_reason: str | None = None
    detail: str | None = None
    claims: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.status not in STATUSES or (self.fallback_reason is not None) != (self.status == "fallback"):
            raise ValueError(f"status {self.status!r} does not go with fallback reason {self.fallback_reason!r}")
        if self.fallback_reason is not None and self.fallback_reason not in FALLBACK_REASONS:
            raise ValueError(f"{self.fallback_reason!r} is no fallback reason of schemas/descriptions.py")


@dataclass(frozen=True)
class Fault:
    """Why a text may not be kept: a fallback reason, and what was seen."""

    reason: str
    detail: str


def check(answer_text: str, finish_reason: str | None, evidence: Evidence, draft_text: str) -> Verdict:
    """Judge one answer. It passes only if every claim is supported and the prose says nothing beyond the evidence."""
    if finish_reason != "stop":
        return _fallback(draft_text, Fault("answer_truncated", f"finish reason {finish_reason!r}, expected 'stop'"))
    try:
        answer = Answer.model_validate_json(answer_text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the answer"
        return _fallback(draft_text, Fault("answer_not_json", f"{where}: {first['msg']}"))
    claims = [_judged(claim, evidence) for claim in answer.claims]
    prose = answer.description.strip()
    fault = _fault_of_claims(claims) or check_prose(prose, evidence)
    if fault is not None:
        return _fallback(draft_text, fault, claims)
    return Verdict("refined", prose, claims=claims)


def check_prose(prose: str, evidence: Evidence) -> Fault | None:
    """The first fault of a description, or None: its form, its words, what it says, what it leaves out."""
    told = mentions(prose)
    return (
        _fault_of_form(prose)
        or _fault_of_words(prose)
        or _fault_of_mentions(prose, told, evidence)
        or _fault_of_stillness(prose, evidence)
        or _fault_of_numbers(prose, told, evidence)
        or _fault_of_omission(told, evidence)
    )


def _fallback(draft_text: str, fault: Fault, claims: list[dict[str, Any]] | None = None) -> Verdict:
    return Verdict("fallback", draft_text, fault.reason, fault.detail, claims or [])


# --- claims


def _judged(claim: Claim, evidence: Evidence) -> dict[str, Any]:
    """The claim as a row, with its verdict and the reason for it."""
    verdict, why = _judge_presence(claim, evidence) if claim.polarity == "present" else _judge_absence(claim, evidence)
    return {**claim.model_dump(), "region": claim.region, "verdict": verdict, "why": why}


def _judge_presence(claim: Claim, evidence: Evidence) -> tuple[str, str]:
    if not claim.start_s <= claim.end_s:
        return NOT_MEASURABLE, f"the span from {claim.start_s} to {claim.end_s} s is none"
    near = [event for event in evidence.events_of(claim.action) if _is_near(event, claim)]
    uncovered = _uncovered(claim, near)
    if uncovered is not None:
        doubt = evidence.doubt_about(claim.action, *uncovered)
        if doubt is not None:
            return NOT_MEASURABLE, doubt
        return CONTRADICTED, f"{claim.action} is at rest from {uncovered[0]:.1f} to {uncovered[1]:.1f} s"
    if not any(_sides_agree(claim.side, event.side) for event in near):
        unmet = {claim.side} if claim.side in ("left", "right") else {"left", "right"} - {near[0].side}
        for side in sorted(unmet):
            if blindness := evidence.blindness_to(claim.action, claim.start_s, claim.end_s, side):
                return NOT_MEASURABLE, blindness  # a side that was not seen contradicts nothing
        return CONTRADICTED, f"claimed on side {claim.side}, measured on side {near[0].side}"
    if all(_steps_apart(claim.intensity, event.intensity) > 1 for event in near):
        return CONTRADICTED, f"claimed as {claim.intensity}, measured as {near[0].intensity}"
    return SUPPORTED, f"measured from {near[0].onset_s:.1f} to {near[-1].offset_s:.1f} s"


def _judge_absence(claim: Claim, evidence: Evidence) -> tuple[str, str]:
    # The ends of the span are told with one decimal, and an event beside it swells and ebbs: they are not judged.
    start_s, end_s = claim.start_s + ROUNDING_S, claim.end_s - ROUNDING_S
    if not start_s <= end_s:
        return NOT_MEASURABLE, f"the span from {claim.start_s} to {claim.end_s} s is too short to show that nothing was"
    for event in evidence.events_of(claim.action):
        if event.onset_s <= end_s and start_s <= event.offset_s:
            return CONTRADICTED, f"measured from {event.onset_s:.1f} to {event.offset_s:.1f} s"
    doubt = evidence.doubt_about(claim.action, start_s, end_s, claim.side)
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


def _sides_agree(said: str, measured: str) -> bool:
    whole = ("both", "middle")
    return said == measured or (said in whole and measured in whole)


def _steps_apart(first: str, second: str) -> int:
    return abs(INTENSITIES.index(first) - INTENSITIES.index(second))


def _fault_of_claims(claims: list[dict[str, Any]]) -> Fault | None:
    for verdict, reason in ((CONTRADICTED, "claim_contradicted"), (NOT_MEASURABLE, "claim_not_supported")):
        for claim in claims:
            if claim["verdict"] == verdict:
                return Fault(reason, f"{claim['polarity']} {claim['action']}: {claim['why']}")
    return None


# --- prose

_PUNCTUATION = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026"
_FRAGMENT = re.compile(r"[{}\[\]<>|_`#*=\\/@]|\w+:\s*\"|^\s*\w+\s*:", re.MULTILINE)
_LOOP = re.compile(r"\b(\w+)(?:\W+\1\b){2,}|\b(\w+(?:\W+\w+){1,11}?)(?:\W+\2\b)+")
_WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_NUMBER_TOKEN = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?=\s*(?:s|seconds?)\b|\s+(?:to|and|or)\s+\d)")
_NUMBER_IN_WORDS = re.compile(r"\b(?:one|half|a|few|several|many|first) (?:a )?seconds?\b")
_STILL = re.compile(
    r"\b(?:motionless|neutral|unchanged|no (?:\w+ )?(?:movement|change)s?|not (?:move|change)"
    r"|(?:stays?|remains?|is|keeps?|holds?) (?:\w+ )?(?:still|(?:at|near|close to) (?:its )?rest))\b"
)
_UNMEASURED = re.compile(
    r"\b(?:cannot|can not|not|never) (?:be )?(?:measured|seen|visible)\b|\bhidden\b|\bfrom the side\b"
)


def _fault_of_form(prose: str) -> Fault | None:
    strange = sorted({letter for letter in prose if not (letter.isascii() or letter in _PUNCTUATION)})
    told = [prose[start:end].strip() for start, end in sentences(prose)]
    if not _WORD.search(prose.lower()):
        return Fault("prose_malformed", "the description is empty")
    if strange:
        return Fault("prose_malformed", f"letters outside plain English: {''.join(strange)[:20]!r}")
    if fragment := _FRAGMENT.search(prose):
        return Fault("prose_malformed", f"markup or a fragment of the prompt: {fragment.group()!r}")
    if prose[-1] not in ".!":
        return Fault("prose_malformed", f"breaks off: ends with {prose[-20:]!r}")
    if loop := _LOOP.search(prose.lower()):
        return Fault("prose_malformed", f"repeats itself: {loop.group()[:60]!r}")
    if len(set(told)) < len(told):
        return Fault("prose_malformed", "says the same sentence twice")
    return None


def _fault_of_words(prose: str) -> Fault | None:
    words = _WORD.findall(prose.lower().replace("\u2019", "'"))
    if forbidden := [word for word in words if not FORBIDDEN.isdisjoint({word, *word.split("-")})]:
        return Fault("prose_forbidden_word", f"says {forbidden[0]!r}")
    if unknown := [word for word in words if word not in VOCABULARY]:
        return Fault("prose_beyond_evidence", f"says {unknown[0]!r}, a word that no measurement stands behind")
    return None


def _fault_of_mentions(prose: str, told: list[Mention], evidence: Evidence) -> Fault | None:
    for mention in told:
        if why := _unsupported(mention, evidence):
            return Fault("prose_beyond_evidence", f"{prose[mention.start : mention.end]!r}: {why}")
    regions = {FACIAL_ACTIONS[action].region for mention in told for action in mention.actions}
    for part in parts(prose):
        if REGION_OF_PART[part] not in regions:
            return Fault("prose_beyond_evidence", f"speaks of the {part.replace('_', ' ')} without a measured action")
    return None


def _unsupported(mention: Mention, evidence: Evidence) -> str | None:
    """Why the evidence does not show what a mention says, or None if it does."""
    if not mention.actions:
        return "means no known action"
    events = [event for action in mention.actions for event in evidence.events_of(action)]
    if mention.polarity == "absent":
        doubts = [evidence.doubt_about(action, 0.0, evidence.duration_s) for action in mention.actions]
        return "it was measured" if events else next((doubt for doubt in doubts if doubt), None)
    if mention.polarity != "present":
        return "it is not clear whether this is said or denied"
    if not events:
        return "nothing of the kind was measured"
    if not any(_is_on_side(event, mention.side) for event in events):
        return f"said of side {mention.side}, measured on side {events[0].side}"
    return None


def _is_on_side(event: EvidenceEvent, side: str | None) -> bool:
    if side == "one":
        return event.side in ("left", "right")
    return side is None or _sides_agree(side, event.side)


def _fault_of_stillness(prose: str, evidence: Evidence) -> Fault | None:
    still, unmeasured = _STILL.search(prose.lower()), _UNMEASURED.search(prose.lower())
    if still and evidence.events:
        return Fault("prose_beyond_evidence", f"says {still.group()!r}, though the face moved")
    if not still and not evidence.events:
        return Fault("prose_omits_evidence", "does not say that nothing beyond rest was measured")
    if unmeasured and not evidence.unmeasured:
        return Fault("prose_beyond_evidence", f"says {unmeasured.group()!r}, though every frame was measured")
    return None


def _fault_of_numbers(prose: str, told: list[Mention], evidence: Evidence) -> Fault | None:
    """A number must be a time of an action that its own sentence names, or of the one named last before it."""
    if in_words := _NUMBER_IN_WORDS.search(prose.lower()):
        return Fault("prose_beyond_evidence", f"{in_words.group()!r} cannot be held against a measured time")
    named: list[Mention] = []
    for start, end in sentences(prose):
        named = [mention for mention in told if start <= mention.start < end] or named
        times_s = _times_of(named, evidence)
        as_times = {match.start() for match in _NUMBER_TOKEN.finditer(prose, start, end)}
        for match in _NUMBER.finditer(prose, start, end):
            if match.start() not in as_times:
                return Fault("prose_beyond_evidence", f"the number {match.group()} is no time in seconds")
            if not any(abs(float(match.group()) - time_s) <= ROUNDING_S for time_s in times_s):
                return Fault("prose_beyond_evidence", f"{match.group()} s is no time of what its sentence names")
    return None


def _times_of(named: list[Mention], evidence: Evidence) -> list[float]:
    actions = {action for mention in named for action in mention.actions}
    events = [event for event in evidence.events if event.action in actions]
    times_s = [time_s for event in events for time_s in (event.onset_s, event.apex_s, event.offset_s)]
    spans_s = [time_s for span in evidence.unmeasured for time_s in (span.start_s, span.end_s)]
    return [*times_s, *spans_s, 0.0, evidence.duration_s]


def _fault_of_omission(told: list[Mention], evidence: Evidence) -> Fault | None:
    strongest = evidence.strongest
    if strongest is None or any(_tells(mention, strongest) for mention in told):
        return None
    return Fault("prose_omits_evidence", f"leaves out the strongest event: {strongest.action}, side {strongest.side}")


def _tells(mention: Mention, event: EvidenceEvent) -> bool:
    return mention.polarity == "present" and event.action in mention.actions and _is_on_side(event, mention.side)
