"""Where reviews lie: one shard a bucket with every review, and one with the edited texts that they give.

They have receipts as if a stage had written them, `import_reviews`, so that snapshots, `gc` and `check` know them. No
stage makes them anew: whoever commits a snapshot carries them over, with the edited texts held against what the texts
and the evidence are by then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.descriptions.refine_stage import RefineConfig
from pipeline.reviews.edits import Applied, Row, TrackTexts, apply_edits, rules_key
from pipeline.stage import key_of
from pipeline.store import Receipt, ShardFile, Store
from schemas.descriptions import DESCRIPTIONS, DRAFTS
from schemas.reviews import REVIEWS
from schemas.table import Table
from schemas.videos import VIDEOS

if TYPE_CHECKING:
    from pipeline.snapshot import Snapshot

IMPORT_REVIEWS = "import_reviews"
"""What stands as a stage in the receipts of reviews."""

READS: tuple[tuple[Table, tuple[str, ...]], ...] = (
    (DESCRIPTIONS, ("track_id", "text_version", "unit_key", "video_id", "text", "saw_label")),
    (DRAFTS, ("track_id", "evidence")),
    (VIDEOS, ("video_id", "label", "split")),
)
"""What edited texts hang on, beside the reviews themselves."""

Receipts = Iterable[Receipt]


def config_of(snapshot: Snapshot) -> RefineConfig:
    """By what rules the texts of a snapshot were written. Not validated: the prompt that it names may be gone."""
    return RefineConfig.model_construct(**snapshot.config.get("descriptions", {}))


def reviews_of(store: Store, receipts: Receipts) -> list[dict[str, Any]]:
    """Every review that these receipts hold, in the order of import; of an older version with null where it was new."""
    rows = [
        row
        for receipt in receipts
        if receipt.stage == IMPORT_REVIEWS and REVIEWS.name in receipt.files
        for row in _reviews(store, receipt.files[REVIEWS.name])
    ]
    return sorted(rows, key=lambda row: (str(row["imported_at"]), str(row["reviewed_at"]), row["review_id"]))


def texts_of(store: Store, bucket: int, receipts: Receipts) -> dict[str, TrackTexts]:
    """By track of one bucket: the newest text that a stage wrote, and what edits of it are held against."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for receipt in receipts:
        if receipt.bucket == bucket and receipt.stage != IMPORT_REVIEWS:
            for table, names in READS:
                if table.name in receipt.files:
                    found[table.name] += store.read(receipt.files[table.name], names).to_pylist()
    evidence = {row["track_id"]: row["evidence"] for row in found[DRAFTS.name]}
    videos = {row["video_id"]: row for row in found[VIDEOS.name]}
    texts = {}
    for row in sorted(found[DESCRIPTIONS.name], key=lambda row: row["text_version"]):
        video = videos.get(row["video_id"], {})
        track_id = row["track_id"]
        texts[track_id] = TrackTexts(row, evidence.get(track_id), video.get("label"), video.get("split"))
    return texts


def applied_edits(reviews: Iterable[Row], texts: Mapping[str, TrackTexts], config: RefineConfig) -> dict[str, Applied]:
    """By track that was reviewed: the rows that its edits give, and what became of each edit."""
    of_track: defaultdict[str, list[Row]] = defaultdict(list)
    for review in reviews:
        of_track[review["track_id"]].append(review)
    none = TrackTexts(None)
    return {track_id: apply_edits(texts.get(track_id, none), listed, config) for track_id, listed in of_track.items()}


def write_bucket(
    store: Store, bucket: int, reviews: Sequence[Row], receipts: Receipts, config: RefineConfig
) -> Receipt | None:
    """Write all reviews of a bucket and the edited texts that they give; None: there are none.

    Args:
        reviews: rows of REVIEWS.
        receipts: of the stages, as they will be committed.
    """
    if not reviews:
        return None
    receipts = list(receipts)
    applied = applied_edits(reviews, texts_of(store, bucket, receipts), config)
    ordered = sorted(reviews, key=lambda row: str(row["review_id"]))
    edited = sorted(
        (row for one in applied.values() for row in one.rows), key=lambda row: (row["track_id"], row["text_version"])
    )
    files = {}
    for table, rows in ((REVIEWS, ordered), (DESCRIPTIONS, edited)):
        with store.writer(table, bucket, {"stage": IMPORT_REVIEWS, "bucket": bucket}) as writer:
            if rows:
                writer.append(table.rows(rows))
        if writer.file is not None:
            files[table.name] = writer.file
    key = _key(bucket, files[REVIEWS.name], receipts, config)
    receipt = Receipt(stage=IMPORT_REVIEWS, bucket=bucket, key=key, files=files, num_units=len(reviews))
    store.write_receipt(receipt)
    return receipt


def carried_over(
    store: Store, before: Receipts, after: Receipts, config: RefineConfig, *, may_write: bool = True
) -> list[Receipt] | None:
    """The receipts of all reviews of the snapshot before, their edited texts held against what the stages wrote since.

    A shard of reviews that is gone, since it was found damaged, counts as if there had been none. What was said of a
    video that is taken down stays out. Where nothing may be written, None says that something would have to be.
    """
    denied = store.denied()
    after = [receipt for receipt in after if receipt.stage != IMPORT_REVIEWS]
    carried = []
    for receipt in before:
        if receipt.stage != IMPORT_REVIEWS or not _is_there(store, receipt):
            continue
        is_same = receipt.key == _key(receipt.bucket, receipt.files[REVIEWS.name], after, config)
        reviews = reviews_of(store, [receipt]) if denied.hashes else []
        allowed = [review for review in reviews if not (review["video_id"] and denied.holds(review["video_id"]))]
        if is_same and store.holds(receipt) and len(allowed) == len(reviews):
            carried.append(receipt)
        elif not may_write:
            return None
        else:
            allowed = allowed if denied.hashes else reviews_of(store, [receipt])
            if (written := write_bucket(store, receipt.bucket, allowed, after, config)) is not None:
                carried.append(written)
    return carried


def _is_there(store: Store, receipt: Receipt) -> bool:
    only = {name: file for name, file in receipt.files.items() if name == REVIEWS.name}
    return bool(only) and store.holds(receipt.model_copy(update={"files": only}))


def _key(bucket: int, reviews: ShardFile, receipts: Receipts, config: RefineConfig) -> str:
    """What the edited texts of a bucket hang on: the reviews, what the stages wrote, and the rules of the check."""
    read = {table.name for table, _ in READS}
    inputs = sorted(
        (name, file.content)
        for receipt in receipts
        if receipt.bucket == bucket and receipt.stage != IMPORT_REVIEWS
        for name, file in receipt.files.items()
        if name in read
    )
    rules = rules_key(config)
    return key_of(
        {"stage": IMPORT_REVIEWS, "bucket": bucket, "reviews": reviews.content, "inputs": inputs, "rules": rules}
    )


def _reviews(store: Store, file: ShardFile) -> list[dict[str, Any]]:
    """Every review of a shard; what an older version of the table lacks is null."""
    missing = {field.name: None for field in REVIEWS.columns}
    return [{**missing, **row} for row in store.read(file).to_pylist()]
