"""What becomes of reviewers' texts: each passes the same check as a language model's, or gives no text and is told why.

The rows of edited texts are nothing but a function of the texts that stages wrote, the evidence, and the reviews: they
are worked out anew whenever one of these is another, so that no edit outlives what it edited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from pipeline.descriptions.label_policy import TRAIN
from pipeline.reviews.record import sha256_of
from pipeline.stage import key_of

if TYPE_CHECKING:
    from pipeline.descriptions.evidence import Evidence
    from pipeline.descriptions.refine_stage import RefineConfig

EDIT_CHECK_VERSION = 1
"""Raise it when the same edit of the same text would be judged otherwise."""

RULES = ("token_budget", "text_encoder", "may_name_emotions", "max_notes")
"""Fields of RefineConfig that decide on a person's text too. Claims are not asked of people: they write prose alone."""

Row = Mapping[str, Any]

Fate = Literal["text", "failed", "overtaken", "withdrawn"]

FATES: Mapping[Fate, str] = {
    "text": "became a version of the text",
    "failed": "did not stand the check, and gives no text",
    "overtaken": "another edit of the same text came first, and gives no text itself",
    "withdrawn": "the text that was edited is no longer there",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with an edited text: a reason, and what was seen, in words."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class EditFate:
    """What became of one edit; `version` is that of its text, if it gave one."""

    review: Row
    fate: Fate
    version: int | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class TrackTexts:
    """All that the edits of one track are held against.

    `base` is the newest row of DESCRIPTIONS that a stage wrote, None where there is none (any more); `evidence` the
    JSON of its draft; `label` and `split` are the video's.
    """

    base: Row | None
    evidence: str | None = None
    label: str | None = None
    split: str | None = None

    @cached_property
    def known_evidence(self) -> Evidence | None:
        """The evidence, or None where there is none that can be read."""
        from pipeline.descriptions.evidence import Evidence

        try:
            return Evidence.model_validate_json(self.evidence or "")
        except ValidationError:
            return None


@dataclass
class Applied:
    """The rows that the edits of a track give, the oldest first, and what became of each edit."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    fates: list[EditFate] = field(default_factory=list)


def rules_key(config: RefineConfig) -> dict[str, Any]:
    """What of the config an edited text is checked by."""
    return {"version": EDIT_CHECK_VERSION, **{name: getattr(config, name) for name in RULES}}


def apply_edits(texts: TrackTexts, reviews: Sequence[Row], config: RefineConfig) -> Applied:
    """Apply the edits among the reviews of one track, in the order in which they were imported.

    An edit is of exactly one text: it becomes the next version if that is still the newest, and if it stands the check.
    """
    applied = Applied()
    chain = [] if texts.base is None else [texts.base]
    for review in sorted(reviews, key=_order):
        if review["decision"] != "edit":
            continue
        judged = [row for row in chain if judges(review, row)]
        if not judged:
            applied.fates.append(EditFate(review, "withdrawn"))
        elif judged[0] is not chain[-1]:
            applied.fates.append(EditFate(review, "overtaken"))
        else:
            fate, row = _edit(chain[-1], texts, review, config)
            applied.fates.append(fate)
            if row is not None:
                chain.append(row)
                applied.rows.append(row)
    return applied


def judges(review: Row, text: Row) -> bool:
    """Whether a review is of exactly this version of a text."""
    return bool(review["text_version"] == text["text_version"] and review["text_sha256"] == sha256_of(text["text"]))


def _order(review: Row) -> tuple[datetime, datetime, str]:
    return review["imported_at"] or review["reviewed_at"], review["reviewed_at"], review["review_id"]


def _edit(base: Row, texts: TrackTexts, review: Row, config: RefineConfig) -> tuple[EditFate, dict[str, Any] | None]:
    prose = str(review["edited_text"] or "").strip()
    found = list(_findings(prose, base, texts, review, config))
    if found:
        return EditFate(review, "failed", findings=tuple(found)), None
    from pipeline.descriptions.check import claims_of_prose
    from pipeline.descriptions.judging import judge_prose
    from pipeline.descriptions.tokens import count_tokens

    evidence = texts.known_evidence
    assert evidence is not None  # else it was found
    version = base["text_version"] + 1
    row = {
        "track_id": base["track_id"],
        "text_version": version,
        "unit_key": key_of(
            {"edit": review["review_id"], "of": [base["unit_key"], sha256_of(base["text"])], "rules": rules_key(config)}
        ),
        "video_id": base["video_id"],
        "text": prose,
        "status": "edited",
        "fallback_reason": None,
        "fallback_detail": None,
        "claims": claims_of_prose(judge_prose(prose, evidence), evidence),
        "num_text_tokens": count_tokens(prose, config.text_encoder),
        "asked": [],
        "saw_label": bool(base["saw_label"] or review["saw_label"]),
        "review_id": review["review_id"],
        "edited_from": base["text_version"],
    }
    return EditFate(review, "text", version), row


def _findings(prose: str, base: Row, texts: TrackTexts, review: Row, config: RefineConfig) -> list[Finding]:
    if prose == base["text"]:
        return [Finding("edit_changes_nothing", "the edited text is the text that was judged")]
    if review["saw_label"] and texts.label is not None and texts.split != TRAIN:
        return [
            Finding(
                "label_in_view",
                f"the reviewer was shown the emotion label, and the video is of the split {texts.split!r}: only texts "
                f"of {TRAIN!r} may be written so. Edit it in a blind gallery, or import with --labels-hidden if no "
                "label was shown",
            )
        ]
    evidence = texts.known_evidence
    if evidence is None:
        return [Finding("no_evidence", "the track has no evidence that the text could be held against")]
    return findings(prose, evidence, config)


def findings(prose: str, evidence: Evidence, config: RefineConfig) -> list[Finding]:
    """All that the check of a language model's prose finds in a person's; empty if it passes.

    The check ends at the first fault, because a model gets one quoted. A person shall hear of all at once.
    """
    from dataclasses import replace

    from pipeline.descriptions.check import check_prose
    from pipeline.descriptions.judging import SUPPORTED, judge_prose
    from pipeline.descriptions.lint import fault_of_form, fault_of_length, fault_of_words
    from pipeline.descriptions.refine_stage import rules_of

    rules = replace(rules_of(evidence, config), needs_claims=False)
    told = judge_prose(prose, evidence)
    first = check_prose(prose, evidence, rules, told)
    if first is None:
        return []
    faults = [
        first,
        fault_of_form(prose),
        fault_of_words(prose, may_name_emotions=rules.may_name_emotions),
        fault_of_length(prose, rules.token_budget, rules.encoder),
    ]
    found = [Finding(fault.reason, fault.detail) for fault in faults if fault is not None]
    for judgement in told:
        if judgement.verdict != SUPPORTED:
            is_against = judgement.verdict == "contradicted"
            reason = "prose_contradicted" if is_against else "prose_beyond_evidence"
            found.append(Finding(reason, f"{judgement.said!r}: {judgement.why}"))
    return list(dict.fromkeys(found))
