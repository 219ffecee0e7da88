"""How the texts of a corpus stand with their reviewers: what was decided of which text, and what of it still counts.

A decision counts for a text while the corpus holds exactly that text in that version. Of one reviewer's several
decisions on one text the last one counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.reviews.edits import EditFate, Row, TrackTexts, judges
from pipeline.reviews.shards import IMPORT_REVIEWS, applied_edits, config_of, reviews_of, texts_of
from schemas.reviews import DECISIONS

if TYPE_CHECKING:
    from pipeline.snapshot import Snapshot
    from pipeline.store import Store

DISPUTED = "disputed"
"""What reviewers say of a text where their last decisions are not the same."""

STANDINGS = {
    "current": "it judges the newest text of its track",
    "superseded": "it judges a text that an edit has replaced since",
    "stale": "the text that it judges is no longer in the corpus",
}


@dataclass(frozen=True)
class Judged:
    """One review and how it stands; `fate` says what became of an edit."""

    review: Row
    standing: str
    fate: EditFate | None = None


def judged(store: Store, snapshot: Snapshot) -> list[Judged]:
    """Every review of a snapshot, in the order of import. Reads no bucket in which nothing was reviewed."""
    found = []
    config = config_of(snapshot)
    for bucket in sorted({receipt.bucket for receipt in snapshot.receipts if receipt.stage == IMPORT_REVIEWS}):
        receipts = [receipt for receipt in snapshot.receipts if receipt.bucket == bucket]
        reviews, texts = reviews_of(store, receipts), texts_of(store, bucket, receipts)
        applied = applied_edits(reviews, texts, config)
        fates = {fate.review["review_id"]: fate for one in applied.values() for fate in one.fates}
        for review in reviews:
            base = texts.get(review["track_id"], TrackTexts(None)).base
            versions = [*([] if base is None else [base]), *applied[review["track_id"]].rows]
            found.append(Judged(review, _standing(review, versions), fates.get(review["review_id"])))
    return sorted(found, key=lambda one: (str(one.review["imported_at"]), one.review["review_id"]))


def _standing(review: Row, versions: Sequence[Row]) -> str:
    matching = [version for version in versions if judges(review, version)]
    if not matching:
        return "stale"
    return "current" if matching[0] is versions[-1] else "superseded"


def last_of_each(reviews: Iterable[Row]) -> dict[tuple[str, int, str], dict[str, Row]]:
    """By text (track, version, SHA-256) and reviewer: the last decision."""
    found: dict[tuple[str, int, str], dict[str, Row]] = {}
    for review in sorted(reviews, key=lambda row: (row["reviewed_at"], str(row["imported_at"]), row["review_id"])):
        text = (review["track_id"], review["text_version"], review["text_sha256"])
        found.setdefault(text, {})[review["reviewer"]] = review
    return found


def verdict_of(decisions: Iterable[str]) -> str:
    """What all reviewers say: the one decision, or that they differ."""
    different = sorted(set(decisions))
    return different[0] if len(different) == 1 else DISPUTED


def is_rejected(decisions: Iterable[str]) -> bool:
    """Whether more reviewers reject a text than accept it."""
    counted = Counter(decisions)
    return counted["reject"] > counted["accept"]


def review_columns(store: Store, snapshot: Snapshot) -> pd.DataFrame:
    """One row per text that was reviewed and is still in the corpus.

    Columns: track_id, text_version, review (one of DECISIONS, or `disputed`), num_reviews, reviewers (names, with
    commas between), is_rejected (more reject it than accept it), review_reasons (their words, with "; " between).
    """
    columns = ["track_id", "text_version", "review", "num_reviews", "reviewers", "is_rejected", "review_reasons"]
    counted = [one.review for one in judged(store, snapshot) if one.standing != "stale"]
    rows = []
    for (track_id, version, _), by_reviewer in sorted(last_of_each(counted).items()):
        decisions = [review["decision"] for review in by_reviewer.values()]
        reasons = [review["reason"] for review in by_reviewer.values() if review["reason"]]
        rows.append(
            {
                "track_id": track_id,
                "text_version": version,
                "review": verdict_of(decisions),
                "num_reviews": len(decisions),
                "reviewers": ", ".join(sorted(by_reviewer)),
                "is_rejected": is_rejected(decisions),
                "review_reasons": "; ".join(reasons) or None,
            }
        )
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"text_version": "int32", "num_reviews": "int32", "is_rejected": bool})


def rejected_texts(store: Store, snapshot: Snapshot) -> set[tuple[str, int]]:
    """Track and version of the texts that more reviewers reject than accept."""
    frame = review_columns(store, snapshot)
    rejected = frame[frame["is_rejected"]]
    return set(zip(rejected["track_id"], rejected["text_version"].astype(int), strict=True))


@dataclass(frozen=True)
class Standing:
    """What `facescribe review status` tells of a snapshot."""

    num_texts: int
    """Tracks with a text."""
    num_reviewed: int
    """Of them those whose newest text was reviewed."""
    num_double: int
    """Of them those whose newest text several people reviewed."""
    by_reviewer: Mapping[str, Mapping[str, int]]
    """Decisions that count for a newest text, by reviewer and decision."""
    stale: Sequence[Judged]
    superseded: Sequence[Judged]
    failed: Sequence[Judged]
    """Edits of texts that are there, which did not stand the check."""
    num_edited: int
    """Edits that are a version of a text."""


def standing(store: Store, snapshot: Snapshot) -> Standing:
    """Count how the reviews of a snapshot stand."""
    found = judged(store, snapshot)
    current = [one.review for one in found if one.standing == "current"]
    last = last_of_each(current)
    by_reviewer: dict[str, dict[str, int]] = {}
    for by_name in last.values():
        for name, review in by_name.items():
            counts = by_reviewer.setdefault(name, dict.fromkeys(DECISIONS, 0))
            counts[review["decision"]] += 1
    return Standing(
        num_texts=_num_described(store, snapshot),
        num_reviewed=len(last),
        num_double=sum(len(by_name) > 1 for by_name in last.values()),
        by_reviewer=dict(sorted(by_reviewer.items())),
        stale=[one for one in found if one.standing == "stale"],
        superseded=[one for one in found if one.standing == "superseded"],
        failed=[one for one in found if one.fate is not None and one.fate.fate in ("failed", "overtaken")],
        num_edited=sum(one.fate is not None and one.fate.fate == "text" for one in found),
    )


def _num_described(store: Store, snapshot: Snapshot) -> int:
    tracks: set[Any] = set()
    for file in snapshot.files("descriptions"):
        tracks |= set(store.read(file, ["track_id"])["track_id"].to_pylist())
    return len(tracks)
