"""Take decisions into a corpus: which of them are of a text that it holds, and what became of the edits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline import snapshot as snapshots
from pipeline.reviews.edits import Applied, EditFate, Row, TrackTexts, judges
from pipeline.reviews.record import ReviewFileError, ReviewRecord, sha256_of
from pipeline.reviews.shards import (
    IMPORT_REVIEWS,
    applied_edits,
    config_of,
    reviews_of,
    texts_of,
    write_bucket,
)
from pipeline.snapshot import Snapshot
from pipeline.store import Receipt, Store
from schemas.tracks import TRACKS

WAIT_S = 600.0
"""Longest wait for a run that changes the corpus: an import itself takes a moment."""

MOST_SHOWN = 60
"""Characters of a text that a line about it shows."""


class NothingToReviewError(ReviewFileError):
    """The corpus has no snapshot, so that no text can have been judged."""


@dataclass(frozen=True)
class Stale:
    """A review that was refused, because the text that it judged is not, or no longer, one of the corpus."""

    record: ReviewRecord
    why: str
    """What was judged, and what is there now."""

    def in_words(self) -> str:
        """As a line."""
        judged = self.record
        when = f"{judged.reviewed_at:%Y-%m-%d %H:%M}"
        return f"{judged.track_id}, {judged.decision} by {judged.reviewer!r} of {when} UTC: {self.why}"


@dataclass(frozen=True)
class ImportReport:
    """What an import took and what it refused."""

    snapshot_before: int
    snapshot: int
    added: Sequence[Row]
    """Rows of REVIEWS that are new."""
    num_known: int
    """Reviews that the corpus, or an earlier file of the same import, held already."""
    stale: Sequence[Stale]
    superseded: Sequence[Row] = ()
    """Those of `added` that judge an older version of a text, which an edit has replaced since."""
    edits: Sequence[EditFate] = field(default_factory=tuple)
    """What became of the edits among `added`."""


def import_reviews(
    store: Store,
    records: Sequence[ReviewRecord],
    *,
    labels_hidden: bool = False,
    on_wait: Callable[[str], None] = lambda _: None,
    now: datetime | None = None,
) -> ImportReport:
    """Append the decisions to REVIEWS, and what edits give to DESCRIPTIONS, as a new snapshot.

    A decision is of exactly one version of one text, by its hash. One whose text is not in the corpus is refused as
    stale, by name. One that is there already adds nothing, so that the same files may be imported again.

    Args:
        labels_hidden: whether the reviewers were shown no emotion label though their page may show it. Edits by who
            saw it may not be trained or tested on outside of the split train.
        on_wait: told once that another run changes the corpus; its end is waited for.

    Raises:
        NothingToReviewError: there is no snapshot.
        CorpusInUseError: another run did not end, or files are being deleted.
    """
    with store.turn("an import of reviews", wait_s=WAIT_S, on_wait=on_wait), store.in_use():
        newest = snapshots.newest(store)
        if newest is None:
            raise NothingToReviewError(f"{store.address} holds no snapshot yet: there is no text that was judged")
        return _Import(store, newest, labels_hidden, now or datetime.now(UTC)).run(records)


class _Import:
    """One import. Everything of a track lies in the bucket of its video."""

    def __init__(self, store: Store, newest: Snapshot, labels_hidden: bool, now: datetime) -> None:
        self._store, self._newest, self._labels_hidden, self._now = store, newest, labels_hidden, now
        self._config = config_of(newest)
        self._video_of: dict[str, str] = {}
        for file in newest.files(TRACKS.name):
            rows = store.read(file, ["track_id", "video_id"]).to_pydict()
            self._video_of |= dict(zip(rows["track_id"], rows["video_id"], strict=True))

    def run(self, records: Sequence[ReviewRecord]) -> ImportReport:
        """Bucket by bucket."""
        by_bucket: defaultdict[int, list[ReviewRecord]] = defaultdict(list)
        stale: list[Stale] = []
        for record in records:
            video_id = self._video_of.get(record.track_id)
            if video_id is None:
                stale.append(Stale(record, "the corpus has no such track; is it the corpus that was reviewed?"))
            else:
                by_bucket[self._store.bucket_of(video_id)].append(record)
        added: list[Row] = []
        superseded: list[Row] = []
        fates: list[EditFate] = []
        written: dict[int, Receipt] = {}
        num_known = 0
        for bucket, listed in sorted(by_bucket.items()):
            receipts = [receipt for receipt in self._newest.receipts if receipt.bucket == bucket]
            known = reviews_of(self._store, receipts)
            texts = texts_of(self._store, bucket, receipts)
            before = applied_edits(known, texts, self._config)
            new, old, refused, again = self._sort(listed, known, texts, before)
            added, superseded, stale, num_known = added + new, superseded + old, stale + refused, num_known + again
            if not new:
                continue
            receipt = write_bucket(self._store, bucket, [*known, *new], receipts, self._config)
            assert receipt is not None  # there is at least one
            written[bucket] = receipt
            ids = {row["review_id"] for row in new}
            after = applied_edits([*known, *new], texts, self._config)
            fates += [fate for one in after.values() for fate in one.fates if fate.review["review_id"] in ids]
        committed = self._commit(written)
        order = {record.review_id: place for place, record in reversed(list(enumerate(records)))}
        return ImportReport(
            snapshot_before=self._newest.number,
            snapshot=committed,
            added=sorted(added, key=lambda row: order[row["review_id"]]),
            num_known=num_known,
            stale=sorted(stale, key=lambda one: order[one.record.review_id]),
            superseded=superseded,
            edits=sorted(fates, key=lambda fate: order[fate.review["review_id"]]),
        )

    def _sort(
        self,
        records: Sequence[ReviewRecord],
        known: Sequence[Row],
        texts: Mapping[str, TrackTexts],
        before: Mapping[str, Applied],
    ) -> tuple[list[Row], list[Row], list[Stale], int]:
        """New rows, those of them that judge an older version, refusals, and how many were known."""
        seen = {row["review_id"] for row in known}
        new: list[Row] = []
        old: list[Row] = []
        stale: list[Stale] = []
        num_known = 0
        for record in records:
            if record.review_id in seen:
                num_known += 1
                continue
            base = texts[record.track_id].base if record.track_id in texts else None
            edited = before[record.track_id].rows if record.track_id in before else []
            versions = [*([base] if base is not None else []), *edited]
            row = self._row(record, texts.get(record.track_id))
            matching = [version for version in versions if judges(row, version)]
            if not matching:
                stale.append(Stale(record, _why_stale(record, versions)))
                continue
            seen.add(record.review_id)
            new.append(row)
            if matching[0] is not versions[-1]:
                old.append(row)
        return new, old, stale, num_known

    def _row(self, record: ReviewRecord, texts: TrackTexts | None) -> dict[str, Any]:
        has_label = texts is not None and texts.label is not None
        may_show = record.came_from == "gallery" and not record.is_blind and not self._labels_hidden
        said = record.model_dump()
        return {
            "review_id": record.review_id,
            "video_id": self._video_of[record.track_id],
            **said,
            "spans": None if record.spans is None else [one.model_dump() for one in record.spans],
            "saw_label": has_label and may_show,
            "imported_at": self._now,
        }

    def _commit(self, written: Mapping[int, Receipt]) -> int:
        if not written:
            return self._newest.number
        newest = self._newest
        kept = [r for r in newest.receipts if r.stage != IMPORT_REVIEWS or r.bucket not in written]
        committed = snapshots.commit(
            self._store,
            [*kept, *written.values()],
            parent=newest,
            source=newest.source,
            config=newest.config,
            made_with=newest.made_with,
            software=newest.software,
            dataset=newest.dataset,
        )
        return committed.number


def _why_stale(record: ReviewRecord, versions: Sequence[Row]) -> str:
    judged = f"judged was version {record.text_version} (sha256 {record.text_sha256[:12]}…)"
    if not versions:
        return f"{judged}, but the track has no text now"
    newest = versions[-1]
    of_version = f"version {newest['text_version']} (sha256 {sha256_of(newest['text'])[:12]}…)"
    return f"{judged}, the text is now {of_version}, {shown(newest['text'])}: judge it in a new gallery"


def shown(text: str) -> str:
    """A text on one line, cut, with every control character written out."""
    return repr(text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…")


def count_of_decisions(rows: Sequence[Row]) -> dict[str, int]:
    """How many reviews came to each decision, the most frequent first."""
    return dict(Counter(row["decision"] for row in rows).most_common())
