"""Coverage: how much of what the face did is told by the texts, and how much of what they say is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from pipeline.audit.figures import Share, share
from pipeline.audit.texts import Text
from pipeline.descriptions.evidence import Evidence, EvidenceEvent
from pipeline.descriptions.judging import (
    CONTRADICTED,
    NOT_MEASURABLE,
    SUPPORTED,
    Judgement,
    judge_claim,
    judge_prose,
)
from pipeline.synthetic.truth_evidence import DrawnFace, judge_against_truth, judge_prose_against_truth
from schemas.actions import COARSE_ACTIONS, FACIAL_ACTIONS, TOLD_ACTIONS
from schemas.answer import Claim

STRONG = "strong"
MEASUREMENT, TRUTH = "measurement", "truth"

_WHOLE = ("both", "middle")


@dataclass(frozen=True)
class Judged:
    """A text whose every statement was held against an evidence."""

    text: Text
    evidence: Evidence
    statements: Sequence[Judgement]
    verdicts: Sequence[str]
    """Of each of the text's claims."""

    @property
    def told(self) -> set[EvidenceEvent]:
        """The events that a supported statement tells by their own action and side."""
        supported = [c for c, verdict in zip(self.text.claims, self.verdicts, strict=True) if verdict == SUPPORTED]
        return told_events(self.statements, supported, self.evidence)

    @property
    def told_regions(self) -> set[str]:
        """The regions of which a supported statement says that they move, and not how."""
        said = [c.action for c, verdict in zip(self.text.claims, self.verdicts, strict=True) if verdict == SUPPORTED]
        said += [action for judgement in _told_of(self.statements) for action in judgement.mention.actions]  # type: ignore[union-attr]
        return {COARSE_ACTIONS[action].region for action in said if action in COARSE_ACTIONS}


def judged_by_measurement(text: Text) -> Judged:
    """The text held against what was measured of its track."""
    verdicts = [judge_claim(claim, text.evidence)[0] for claim in text.claims]
    return Judged(text, text.evidence, judge_prose(text.prose, text.evidence), verdicts)


def judged_by_truth(text: Text, drawn: DrawnFace) -> Judged:
    """The text held against what was drawn, by the yardstick of rendered clips."""
    verdicts = [verdict for verdict, _ in judge_against_truth(text.claims, drawn)]
    return Judged(text, drawn.evidence, judge_prose_against_truth(text.prose, drawn), verdicts)


def told_events(statements: Sequence[Judgement], supported: Sequence[Claim], evidence: Evidence) -> set[EvidenceEvent]:
    """The events of `evidence` that judged statements of prose and supported claims tell by action and side.

    A mention says no time: it tells one event, the strongest that fits and that no mention before it told. A claim
    tells those that it overlaps.
    """
    told: set[EvidenceEvent] = set()
    for judgement in _told_of(statements):
        fitting = [event for event in judgement.events if event.action in judgement.mention.actions]  # type: ignore[union-attr]
        told |= set(next(([event] for event in fitting if event not in told), []))
    for claim in supported:
        if claim.polarity == "present":
            told |= {event for event in evidence.events if _tells(claim, event)}
    return told


def _told_of(statements: Iterable[Judgement]) -> list[Judgement]:
    """The statements that say that something moves, and are right."""
    return [one for one in statements if one.verdict == SUPPORTED and one.mention and one.mention.polarity == "present"]


def _tells(claim: Claim, event: EvidenceEvent) -> bool:
    is_same_time = claim.start_s <= event.offset_s and event.onset_s <= claim.end_s
    if event.action in COARSE_ACTIONS:  # told by whatever finer is told of its region
        return is_same_time and claim.region == COARSE_ACTIONS[event.action].region
    is_same_side = claim.side == event.side or (claim.side in _WHOLE and event.side in _WHOLE)
    return is_same_time and is_same_side and bool(claim.action == event.action)


# --- figures


class ActionCoverage(BaseModel):
    """How many events of one action are told."""

    model_config = ConfigDict(frozen=True)

    action: str
    told: Share
    strong_told: Share


class Correctness(BaseModel):
    """How what is said comes out, for the texts of one status."""

    model_config = ConfigDict(frozen=True)

    status: str
    num_texts: int
    claims_contradicted: Share
    claims_not_measurable: Share
    statements_contradicted: Share
    """Of the prose: mentions, orders, stillness."""


class Coverage(BaseModel):
    """What of the events is told, and what of the statements holds."""

    model_config = ConfigDict(frozen=True)

    held_against: str
    """MEASUREMENT or TRUTH."""
    num_texts: int
    num_left_out: int
    """Texts without a truth: their track is of no drawn face for most of its time."""
    told: Share
    strong_told: Share
    strong_face_told: Share
    """The same without the head and the gaze."""
    only_region_told: Share
    """Events that are not told, but that their region moves is."""
    strong_never_measured: Share
    """Of the strong events that are not told, those of which nothing was measured either: no writer could know them."""
    by_action: list[ActionCoverage]
    correctness: list[Correctness]


def coverage(texts: Sequence[Text], drawn: Mapping[str, DrawnFace] | None = None) -> Coverage:
    """Hold the texts against the measurement or, with `drawn` (by track), against what was drawn."""
    if drawn is None:
        judged = [judged_by_measurement(text) for text in texts]
    else:
        judged = [judged_by_truth(text, drawn[text.track_id]) for text in texts if text.track_id in drawn]
    events = [_Told(event, event in told, judgement) for judgement in judged for told in [judgement.told]
              for event in judgement.evidence.events]  # fmt: skip
    strong = [one for one in events if one.event.intensity == STRONG]
    untold = [one for one in events if not one.is_told]
    lost = [one for one in strong if not one.is_told]
    return Coverage(
        held_against=MEASUREMENT if drawn is None else TRUTH,
        num_texts=len(judged),
        num_left_out=len(texts) - len(judged),
        told=_share_told(events),
        strong_told=_share_told(strong),
        strong_face_told=_share_told([one for one in strong if one.event.action in FACIAL_ACTIONS]),
        only_region_told=share(sum(one.is_region_told for one in untold), len(untold), otherwise="every event is told"),
        strong_never_measured=share(
            sum(not one.is_measured for one in lost), len(lost), otherwise="every strong event is told"
        )
        if drawn is not None
        else Share(missing="only a truth can say what was never measured"),
        by_action=_by_action(events),
        correctness=[_correctness(status, listed) for status, listed in _by_status(judged).items()],
    )


@dataclass(frozen=True)
class _Told:
    """One event, whether it is told, and the text that should."""

    event: EvidenceEvent
    is_told: bool
    judged: Judged

    @property
    def is_region_told(self) -> bool:
        return TOLD_ACTIONS[self.event.action].region in self.judged.told_regions

    @property
    def is_measured(self) -> bool:
        near = self.judged.text.evidence.events_of(self.event.action)
        return any(one.onset_s <= self.event.offset_s and self.event.onset_s <= one.offset_s for one in near)


def _share_told(events: Sequence[_Told]) -> Share:
    return share(sum(one.is_told for one in events), len(events), otherwise="no such event")


def _by_action(events: Sequence[_Told]) -> list[ActionCoverage]:
    counts = Counter(one.event.action for one in events)
    rows = []
    for action, _ in counts.most_common():
        own = [one for one in events if one.event.action == action]
        strong = [one for one in own if one.event.intensity == STRONG]
        rows.append(ActionCoverage(action=action, told=_share_told(own), strong_told=_share_told(strong)))
    return rows


def _by_status(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    by_status: dict[str, list[Judged]] = {"all": list(judged)}
    for one in sorted(judged, key=lambda one: one.text.status, reverse=True):
        by_status.setdefault(one.text.status, []).append(one)
    return by_status


def _correctness(status: str, judged: Sequence[Judged]) -> Correctness:
    verdicts = [verdict for one in judged for verdict in one.verdicts]
    statements = [statement.verdict for one in judged for statement in one.statements]
    return Correctness(
        status=status,
        num_texts=len(judged),
        claims_contradicted=_rate(verdicts, CONTRADICTED),
        claims_not_measurable=_rate(verdicts, NOT_MEASURABLE),
        statements_contradicted=_rate(statements, CONTRADICTED),
    )


def _rate(verdicts: Sequence[str], verdict: str) -> Share:
    return share(verdicts.count(verdict), len(verdicts), otherwise="nothing is said")
