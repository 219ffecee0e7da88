"""Hold an answer of the language model against the evidence: what is not shown to be true is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from pipeline.descriptions.evidence import Evidence, EvidenceEvent
from pipeline.descriptions.judging import (
    CONTRADICTED,
    NOT_MEASURABLE,
    SUPPORTED,
    Judgement,
    claim_of,
    claim_row,
    judge_claim,
    judge_prose,
)
from pipeline.descriptions.lint import Fault, fault_of_form, fault_of_length, fault_of_words
from schemas.answer import Answer, Claim
from schemas.descriptions import FALLBACK_REASONS


@dataclass(frozen=True)
class TextRules:
    """What a text must keep to beside the evidence."""

    token_budget: int = 60
    encoder: str = "clip"
    may_name_emotions: bool = False
    needs_claims: bool = False
    """Whether prose may say only what the answer's own claims list."""
    must_tell: tuple[EvidenceEvent, ...] = ()
    """Events that the text may not leave out."""


@dataclass(frozen=True)
class Verdict:
    """What the check decided: the text that may be kept with its claims as rows, or the fault that forbids it."""

    text: str | None
    claims: list[dict[str, Any]] = field(default_factory=list)
    fault: Fault | None = None

    def __post_init__(self) -> None:
        if (self.text is None) != (self.fault is not None):
            raise ValueError(f"a verdict has either a text or a fault, got {self.text!r} and {self.fault!r}")
        if self.fault is not None and self.fault.reason not in FALLBACK_REASONS:
            raise ValueError(f"{self.fault.reason!r} is no fallback reason of schemas/descriptions.py")


def check(answer_text: str, finish_reason: str | None, evidence: Evidence, rules: TextRules = TextRules()) -> Verdict:
    """Judge one answer. It passes only if every claim is supported and the prose says nothing beyond the evidence."""
    if finish_reason != "stop":
        cut = f"the answer was cut: finish reason {finish_reason!r}, expected 'stop'"
        return Verdict(None, fault=Fault("answer_truncated", cut))
    try:
        answer = Answer.model_validate_json(answer_text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the answer"
        return Verdict(None, fault=Fault("answer_not_json", f"{where}: {first['msg']}"))
    rows = [claim_row(claim, "answer", judge_claim(claim, evidence)) for claim in answer.claims]
    prose = answer.description.strip()
    told = judge_prose(prose, evidence)
    fault = (
        _fault_of_claims(rows)
        or check_prose(prose, evidence, rules, told)
        or (_fault_beyond_claims(told, answer.claims) if rules.needs_claims else None)
    )
    if fault is not None:
        return Verdict(None, rows, fault)
    return Verdict(prose, rows or claims_of_prose(told, evidence))


def check_prose(
    prose: str, evidence: Evidence, rules: TextRules = TextRules(), told: list[Judgement] | None = None
) -> Fault | None:
    """The first fault of a description, or None: its form, words and length, what it says, what it leaves out."""
    told = judge_prose(prose, evidence) if told is None else told
    return (
        fault_of_form(prose)
        or fault_of_words(prose, may_name_emotions=rules.may_name_emotions)
        or fault_of_length(prose, rules.token_budget, rules.encoder)
        or _fault_of_statements(told)
        or _fault_of_repetition(told)
        or _fault_of_omission(told, evidence, rules)
    )


def claims_of_prose(told: list[Judgement], evidence: Evidence) -> list[dict[str, Any]]:
    """Claims that a supported text makes: each of its mentions, with the span of the event that it tells."""
    rows = []
    for judgement in told:
        mention = judgement.mention
        if judgement.verdict != SUPPORTED or mention is None:
            continue
        if mention.polarity == "present":
            claims = [claim_of(judgement.events[0])]
        else:
            side: Any = mention.side if mention.side in ("left", "right") else "both"
            span = {"start_s": 0.0, "end_s": round(evidence.duration_s, 2)}
            claims = [
                Claim(action=action, side=side, polarity="absent", intensity="slight", **span)
                for action in mention.actions
            ]
        rows += [claim_row(claim, "prose", (judgement.verdict, judgement.why)) for claim in claims]
    return rows


def _fault_of_claims(claims: list[dict[str, Any]]) -> Fault | None:
    for verdict, reason in ((CONTRADICTED, "claim_contradicted"), (NOT_MEASURABLE, "claim_not_supported")):
        for claim in claims:
            if claim["verdict"] == verdict:
                span = f"{claim['start_s']:g} to {claim['end_s']:g} s"
                said = f"{claim['polarity']} {claim['action']} ({claim['side']}, {span})"
                return Fault(reason, f"the claim {said}: {claim['why']}", said)
    return None


def _fault_of_statements(told: list[Judgement]) -> Fault | None:
    for verdict, reason in ((CONTRADICTED, "prose_contradicted"), (NOT_MEASURABLE, "prose_beyond_evidence")):
        for judgement in told:
            if judgement.verdict == verdict:
                return Fault(reason, f"{judgement.said!r}: {judgement.why}", judgement.said)
    return None


def _fault_of_repetition(told: list[Judgement]) -> Fault | None:
    """What is said twice in the same words and of the same manner, though it was measured once."""
    said: set[tuple[object, ...]] = set()
    for judgement in told:
        mention = judgement.mention
        if mention is None or len(judgement.events) > 1:
            continue
        saying = (judgement.said.lower(), mention.side, mention.polarity, mention.intensity, mention.manner)
        if saying in said:
            return Fault("prose_malformed", f"says {judgement.said!r} twice", judgement.said)
        said.add(saying)
    return None


def _fault_beyond_claims(told: list[Judgement], claims: list[Claim]) -> Fault | None:
    listed = {(claim.action, claim.polarity) for claim in claims}
    for judgement in told:
        mention = judgement.mention
        if mention is not None and not any((action, mention.polarity) in listed for action in mention.actions):
            return Fault("prose_beyond_claims", f"{judgement.said!r} is not among the claims", judgement.said)
    return None


def _fault_of_omission(told: list[Judgement], evidence: Evidence, rules: TextRules) -> Fault | None:
    strongest = evidence.strongest
    needed = [*([strongest] if strongest else []), *rules.must_tell]
    for event in needed:
        is_told = any(event in one.events and one.mention and event.action in one.mention.actions for one in told)
        if not is_told:
            return Fault("prose_omits_evidence", f"leaves out a measured event: {event.action}, side {event.side}")
    if not any(judgement.verdict == SUPPORTED for judgement in told):
        return Fault("prose_omits_evidence", "says nothing that was measured")
    return None
