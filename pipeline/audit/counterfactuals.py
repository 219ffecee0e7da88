"""Counterfactuals: does a text fit its own evidence better than evidence that was changed in one way?

A decoy is made from evidence. The test asks check and text together: a text that says little, or a check that lets
everything pass, fits its decoys as well as the truth, and that is a miss.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from pipeline.audit.coverage import told_events
from pipeline.audit.figures import Share, share
from pipeline.audit.texts import Text
from pipeline.descriptions.evidence import Evidence, EvidenceEvent, UnclearSpan, UnmeasuredSpan
from pipeline.descriptions.judging import CONTRADICTED, SUPPORTED, claim_of, judge_claim, judge_prose
from schemas.actions import TOLD_ACTIONS
from schemas.answer import Claim

DECOYS = {
    "wrong_clip": "the evidence of another track in which other actions were measured, stretched to the same length",
    "flipped_side": "left for right and right for left",
    "reversed_time": "what came first comes last",
    "negated_action": "the strongest action that the text tells never was",
    "neutral_face": "nothing moved, and all of the face was seen",
}

WHOLE = "prose and claims"
READINGS = {WHOLE: "the prose with its stored claims", "prose alone": "what a text encoder will see"}

_OPPOSITE = {"left": "right", "right": "left"}
_DIGITS = 6

_Sided = TypeVar("_Sided", EvidenceEvent, UnclearSpan)
_Span = TypeVar("_Span", UnmeasuredSpan, UnclearSpan)
_Timed = TypeVar("_Timed", EvidenceEvent, UnmeasuredSpan, UnclearSpan)


# --- decoys


def flipped_side(evidence: Evidence) -> Evidence:
    """The evidence in a mirror. Twice is the evidence itself."""
    events, unclear = tuple(map(_mirrored, evidence.events)), tuple(map(_mirrored, evidence.unclear))
    return evidence.model_copy(update={"events": events, "unclear": unclear})


def _mirrored(one: _Sided) -> _Sided:
    return one.model_copy(update={"side": _OPPOSITE.get(one.side, one.side)})


def reversed_time(evidence: Evidence) -> Evidence:
    """The evidence of the film run backwards. Twice is the evidence itself, to a microsecond."""

    def back(time_s: float) -> float:
        return round(evidence.duration_s - time_s, _DIGITS)

    def backwards(span: _Span) -> _Span:
        return span.model_copy(update={"start_s": back(span.end_s), "end_s": back(span.start_s)})

    events = [
        event.model_copy(
            update={"onset_s": back(event.offset_s), "apex_s": back(event.apex_s), "offset_s": back(event.onset_s)}
        )
        for event in evidence.events
    ]
    return evidence.model_copy(
        update={
            "events": tuple(sorted(events, key=lambda event: (event.onset_s, event.offset_s))),
            "unmeasured": tuple(map(backwards, reversed(evidence.unmeasured))),
            "unclear": tuple(map(backwards, reversed(evidence.unclear))),
        }
    )


def negated_action(evidence: Evidence, action: str) -> Evidence:
    """The evidence with `action` clearly at rest throughout."""
    return evidence.model_copy(
        update={
            "events": tuple(event for event in evidence.events if event.action != action),
            "unclear": tuple(span for span in evidence.unclear if span.action != action),
        }
    )


def neutral_face(evidence: Evidence) -> Evidence:
    """A face that was seen all the time and did nothing, for as long."""
    return Evidence(duration_s=evidence.duration_s, events=())


def stretched(evidence: Evidence, duration_s: float) -> Evidence:
    """The evidence in slow or fast motion, so that it lasts `duration_s`: its length gives nothing away."""
    factor = duration_s / evidence.duration_s if evidence.duration_s else 1.0

    def slowed(one: _Timed) -> _Timed:
        return one.model_copy(update={name: value * factor for name, value in one if name.endswith("_s")})

    return evidence.model_copy(
        update={
            "duration_s": duration_s,
            "events": tuple(map(slowed, evidence.events)),
            "unmeasured": tuple(map(slowed, evidence.unmeasured)),
            "unclear": tuple(map(slowed, evidence.unclear)),
        }
    )


class WrongClips:
    """Chooses another track's evidence, the same at each run: whatever comes next after the track's own number."""

    def __init__(self, evidence: Mapping[str, Evidence]) -> None:
        self._evidence = evidence
        self._ids = sorted(evidence)
        self._moves = {track_id: _moves(one) for track_id, one in evidence.items()}

    def __call__(self, track_id: str) -> Evidence | None:
        """The evidence of a track with other moves, as long as this one's; None where there is no such track."""
        own = self._evidence[track_id]
        first = int(hashlib.sha256(track_id.encode()).hexdigest(), 16) % len(self._ids)
        for other in (*self._ids[first:], *self._ids[:first]):
            if self._moves[other] != self._moves[track_id]:
                return stretched(self._evidence[other], own.duration_s)
        return None


def _moves(evidence: Evidence) -> frozenset[tuple[str, str]]:
    return frozenset((event.action, event.side) for event in evidence.events)


# --- the test


@dataclass(frozen=True)
class Fit:
    """How the statements of a text come out against one evidence."""

    num_supported: int
    num_contradicted: int
    num_statements: int

    @property
    def net(self) -> int:
        """Statements supported less those contradicted: what one text's fits are compared by."""
        return self.num_supported - self.num_contradicted

    def __str__(self) -> str:
        return f"{self.num_supported} supported, {self.num_contradicted} contradicted of {self.num_statements}"


def fit_of(prose: str, claims: Sequence[Claim], evidence: Evidence) -> Fit:
    """Judge every statement of the prose and every claim. The number of statements does not depend on the evidence."""
    verdicts = [judgement.verdict for judgement in judge_prose(prose, evidence)]
    verdicts += [judge_claim(claim, evidence)[0] for claim in claims]
    return Fit(verdicts.count(SUPPORTED), verdicts.count(CONTRADICTED), len(verdicts))


def is_distinguishable(evidence: Evidence, decoy: Evidence) -> bool:
    """Whether anything that is true of the evidence could tell it from the decoy.

    What is true of it: each of its events; of a face without events, that each action was at rest that surely was.
    """
    return any(judge_claim(claim, decoy)[0] != SUPPORTED for claim in _truths(evidence))


def _truths(evidence: Evidence) -> list[Claim]:
    if evidence.events:
        return [claim_of(event) for event in evidence.events]
    span = {"start_s": 0.0, "end_s": evidence.duration_s}
    at_rest = [
        Claim(action=action, side="both", polarity="absent", intensity="slight", **span) for action in TOLD_ACTIONS
    ]
    return [claim for claim in at_rest if judge_claim(claim, evidence)[0] == SUPPORTED]


class Miss(BaseModel):
    """A text that fits a decoy as well as its own evidence, or better."""

    model_config = ConfigDict(frozen=True)

    track_id: str
    prose: str
    own: str
    decoy: str
    is_left_out: bool
    """Whether the text tells none of the events that differ: a gap of the text, and none of the check."""


class DecoyFigures(BaseModel):
    """How often texts prefer their own evidence to one kind of decoy."""

    model_config = ConfigDict(frozen=True)

    decoy: str
    reading: str
    right: Share
    num_not_distinguishable: int
    """Decoys that nothing true of the evidence could tell from it, such as a symmetric face in a mirror."""
    num_not_made: int
    """Texts without such a decoy: no other track with other actions."""
    misses: list[Miss]

    @property
    def num_left_out(self) -> int:
        """Misses of texts that tell nothing of what the decoy changes."""
        return sum(miss.is_left_out for miss in self.misses)


def counterfactuals(texts: Sequence[Text], evidence: Mapping[str, Evidence], reading: str) -> list[DecoyFigures]:
    """Test the texts whose track is in `evidence`, measured or true, with each kind of decoy.

    Raises:
        KeyError: `reading` is none of READINGS.
    """
    asked = [text for text in texts if text.track_id in evidence]
    is_whole = _known(reading) == WHOLE
    wrong_clips = WrongClips(evidence)
    makers: dict[str, Callable[[Text, Evidence], Evidence | None]] = {
        "wrong_clip": lambda text, _: wrong_clips(text.track_id),
        "flipped_side": lambda _, own: flipped_side(own),
        "reversed_time": lambda _, own: reversed_time(own),
        "negated_action": _without_strongest_told,
        "neutral_face": lambda _, own: neutral_face(own),
    }
    own_fits = {t.track_id: fit_of(t.prose, t.claims if is_whole else (), evidence[t.track_id]) for t in asked}
    return [_test(kind, make, asked, evidence, own_fits, reading, is_whole) for kind, make in makers.items()]


def _known(reading: str) -> str:
    if reading not in READINGS:
        raise KeyError(f"no reading {reading!r}; there are: {', '.join(READINGS)}")
    return reading


def _without_strongest_told(text: Text, own: Evidence) -> Evidence | None:
    told = _told(text, own) or own.events
    strongest = max(told, key=lambda event: event.strength, default=None)
    return None if strongest is None else negated_action(own, strongest.action)


def _told(text: Text, own: Evidence) -> set[EvidenceEvent]:
    supported = [claim for claim in text.claims if judge_claim(claim, own)[0] == SUPPORTED]
    return told_events(judge_prose(text.prose, own), supported, own)


def _miss(text: Text, own: Evidence, decoy: Evidence, own_fit: Fit, decoy_fit: Fit) -> Miss:
    changed = {event for event in own.events if judge_claim(claim_of(event), decoy)[0] != SUPPORTED}
    return Miss(
        track_id=text.track_id,
        prose=text.prose,
        own=str(own_fit),
        decoy=str(decoy_fit),
        is_left_out=bool(changed) and changed.isdisjoint(_told(text, own)),
    )


def _test(
    kind: str,
    make: Callable[[Text, Evidence], Evidence | None],
    texts: Sequence[Text],
    evidence: Mapping[str, Evidence],
    own_fits: Mapping[str, Fit],
    reading: str,
    is_whole: bool,
) -> DecoyFigures:
    num_right = num_same = num_not_made = 0
    misses: list[Miss] = []
    for text in texts:
        own = evidence[text.track_id]
        decoy = make(text, own)
        if decoy is None:
            num_not_made += 1
        elif not is_distinguishable(own, decoy):
            num_same += 1
        else:
            fit, own_fit = fit_of(text.prose, text.claims if is_whole else (), decoy), own_fits[text.track_id]
            if own_fit.net > fit.net:
                num_right += 1
            else:
                misses.append(_miss(text, own, decoy, own_fit, fit))
    return DecoyFigures(
        decoy=kind,
        reading=reading,
        right=share(num_right, num_right + len(misses), otherwise="no such decoy could be told from the evidence"),
        num_not_distinguishable=num_same,
        num_not_made=num_not_made,
        misses=misses,
    )
