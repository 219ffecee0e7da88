"""Drift: what became of each track's text from one snapshot to another, and what changed in how it was made."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from pipeline.audit.diversity import words_of
from pipeline.audit.figures import Share, change_between, share
from pipeline.audit.texts import Text
from schemas.answer import Claim

SAME_TIME_S = 0.05
"""Times of a claim that lie nearer together are the same."""

UNEXPLAINED = "nothing that is recorded"
"""The cause of a change where the evidence, the template and the requests are the same."""


class TrackDrift(BaseModel):
    """What became of one track's text."""

    model_config = ConfigDict(frozen=True)

    track_id: str
    before: str
    after: str
    status_before: str
    status_after: str
    causes: list[str]
    """What of its making changed: evidence, template, or one of ASKED_FIELDS."""
    gained: list[str]
    lost: list[str]
    changed: list[str]
    """Claims of the same action, side and polarity at about the same time, that are of another time or intensity."""
    verdicts: list[str]
    """Claims that stayed and came to another verdict."""
    num_words: tuple[int, int]
    similarity: float
    """1: the same words in the same order, 0: none in common."""

    @property
    def is_same(self) -> bool:
        """Whether text, status and claims are all as they were."""
        return (self.before, self.status_before) == (self.after, self.status_after) and not (
            self.gained or self.lost or self.changed or self.verdicts
        )


class CauseDrift(BaseModel):
    """What happened to the texts of which the same things changed in the making."""

    model_config = ConfigDict(frozen=True)

    causes: list[str]
    num_texts: int
    text_changed: Share
    status_changed: Share
    num_gained: int
    num_lost: int
    num_changed: int
    num_verdicts: int
    mean_similarity: float
    mean_words: tuple[float, float]


class MixShift(BaseModel):
    """How the share of texts with one claim or label changed; the interval is that of two independent samples."""

    model_config = ConfigDict(frozen=True)

    kind: str
    """"claim" that an action is present, "label", or one of pipeline/audit/corpus_figures.py."""
    name: str
    before: Share
    after: Share
    change: tuple[float, float] | None

    @property
    def is_certain(self) -> bool:
        """Whether the interval of the change leaves out no change at all."""
        return self.change is not None and not self.change[0] <= 0 <= self.change[1]


class Drift(BaseModel):
    """Two snapshots' texts compared, track by track and as a whole."""

    model_config = ConfigDict(frozen=True)

    num_before: int
    num_after: int
    only_before: list[str]
    only_after: list[str]
    by_cause: list[CauseDrift]
    mix: list[MixShift]
    tracks: list[TrackDrift]
    """Those of both that changed in anything, the least similar first."""


def drift(before: Sequence[Text], after: Sequence[Text]) -> Drift:
    """Compare the texts of two snapshots of one corpus; `before` is the older one."""
    old, new = {text.track_id: text for text in before}, {text.track_id: text for text in after}
    compared = [track_drift(old[track_id], new[track_id]) for track_id in sorted(old.keys() & new.keys())]
    return Drift(
        num_before=len(old),
        num_after=len(new),
        only_before=sorted(old.keys() - new.keys()),
        only_after=sorted(new.keys() - old.keys()),
        by_cause=_by_cause(compared),
        mix=_mix(list(old.values()), list(new.values())),
        tracks=sorted((one for one in compared if not one.is_same), key=lambda one: (one.similarity, one.track_id)),
    )


def track_drift(before: Text, after: Text) -> TrackDrift:
    """Compare two texts of one track."""
    pairs, lost, gained = _matched(before.claims, after.claims)
    words = words_of(before.prose), words_of(after.prose)
    return TrackDrift(
        track_id=after.track_id,
        before=before.prose,
        after=after.prose,
        status_before=_status(before),
        status_after=_status(after),
        causes=causes_of(before, after),
        gained=[_in_words(after.claims[number]) for number in gained],
        lost=[_in_words(before.claims[number]) for number in lost],
        changed=[
            f"{_in_words(before.claims[one])} -> {_in_words(after.claims[other])}"
            for one, other in pairs
            if not _is_same(before.claims[one], after.claims[other])
        ],
        verdicts=[
            f"{_in_words(after.claims[other])}: {before.verdicts[one]} -> {after.verdicts[other]}"
            for one, other in pairs
            if before.verdicts[one] != after.verdicts[other]
        ],
        num_words=(len(words[0]), len(words[1])),
        similarity=similarity(*words),
    )


def similarity(before: Sequence[str], after: Sequence[str]) -> float:
    """1: the same words in the same order, 0: none in common."""
    return round(difflib.SequenceMatcher(None, before, after, autojunk=False).ratio(), 3)


def causes_of(before: Text, after: Text) -> list[str]:
    """What changed in the making of a text: the evidence it was written from, the template, or how it was asked for."""
    causes = ["evidence"] if before.evidence != after.evidence else []
    names = dict.fromkeys([*before.provenance, *after.provenance])
    return causes + [name for name in names if before.provenance.get(name) != after.provenance.get(name)]


def _status(text: Text) -> str:
    return f"{text.status}: {text.fallback_reason}" if text.fallback_reason else text.status


def _matched(before: Sequence[Claim], after: Sequence[Claim]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Pairs of claims that say the same of about the same time, most of it shared first; and those left over."""
    shared = sorted(
        (-_shared_s(one, other), number, other_number)
        for number, one in enumerate(before)
        for other_number, other in enumerate(after)
        if _said(one) == _said(other) and _shared_s(one, other) >= 0
    )
    pairs: list[tuple[int, int]] = []
    for _, number, other in shared:
        if all(number != used and other != other_used for used, other_used in pairs):
            pairs.append((number, other))
    lost = [number for number in range(len(before)) if number not in {one for one, _ in pairs}]
    gained = [number for number in range(len(after)) if number not in {other for _, other in pairs}]
    return sorted(pairs), lost, gained


def _said(claim: Claim) -> tuple[str, str, str]:
    return claim.action, claim.side, claim.polarity


def _shared_s(one: Claim, other: Claim) -> float:
    return min(one.end_s, other.end_s) - max(one.start_s, other.start_s)


def _is_same(one: Claim, other: Claim) -> bool:
    is_same_time = abs(one.start_s - other.start_s) < SAME_TIME_S and abs(one.end_s - other.end_s) < SAME_TIME_S
    return is_same_time and one.intensity == other.intensity


def _in_words(claim: Claim) -> str:
    strength = claim.intensity if claim.polarity == "present" else "absent"
    return f"{claim.action} ({claim.side}, {strength}, {claim.start_s:.1f} to {claim.end_s:.1f} s)"


def _by_cause(compared: Sequence[TrackDrift]) -> list[CauseDrift]:
    by_cause: dict[tuple[str, ...], list[TrackDrift]] = defaultdict(list)
    for one in compared:
        by_cause[tuple(one.causes)].append(one)
    return [cause_drift(causes, listed) for causes, listed in sorted(by_cause.items(), key=lambda item: -len(item[1]))]


def cause_drift(causes: Sequence[str], listed: Sequence[TrackDrift]) -> CauseDrift:
    """What happened to some texts, of which the same causes are told."""

    def rate(flags: Sequence[bool]) -> Share:
        return share(sum(flags), len(flags), otherwise="no texts", is_sample=False)

    return CauseDrift(
        causes=list(causes) or [UNEXPLAINED],
        num_texts=len(listed),
        text_changed=rate([one.before != one.after for one in listed]),
        status_changed=rate([one.status_before != one.status_after for one in listed]),
        num_gained=sum(len(one.gained) for one in listed),
        num_lost=sum(len(one.lost) for one in listed),
        num_changed=sum(len(one.changed) for one in listed),
        num_verdicts=sum(len(one.verdicts) for one in listed),
        mean_similarity=fmean(one.similarity for one in listed),
        mean_words=(fmean(one.num_words[0] for one in listed), fmean(one.num_words[1] for one in listed)),
    )


def _mix(before: Sequence[Text], after: Sequence[Text]) -> list[MixShift]:
    claimed = shifts("claim", _claimed(before), len(before), _claimed(after), len(after))
    labels = [[text.label for text in texts if text.label is not None] for texts in (before, after)]
    return claimed + shifts("label", Counter(labels[0]), len(labels[0]), Counter(labels[1]), len(labels[1]))


def _claimed(texts: Sequence[Text]) -> Counter[str]:
    """In how many texts each action is claimed to be present."""
    return Counter(
        action for text in texts for action in {claim.action for claim in text.claims if claim.polarity == "present"}
    )


def shifts(
    kind: str, before: Mapping[str, int], num_before: int, after: Mapping[str, int], num_after: int
) -> list[MixShift]:
    """Each name's share of all before and after, the largest change first."""
    found = []
    for name in dict.fromkeys([*before, *after]):
        old = share(before.get(name, 0), num_before, otherwise=f"no {kind}s before")
        new = share(after.get(name, 0), num_after, otherwise=f"no {kind}s after")
        found.append(MixShift(kind=kind, name=name, before=old, after=new, change=change_between(old, new)))
    return sorted(found, key=lambda shift: -abs((shift.after.value or 0) - (shift.before.value or 0)))
