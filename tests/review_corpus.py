"""A corpus of a few described faces with real evidence, and what reviewers say of them: no video is decoded for it."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline import snapshot as snapshots
from pipeline.descriptions.evidence import Evidence, EvidenceEvent
from pipeline.descriptions.refine_stage import RefineConfig
from pipeline.reviews.record import FORMAT, ReviewRecord, sha256_of
from pipeline.reviews.shards import carried_over
from pipeline.snapshot import Snapshot
from pipeline.store import Receipt, Store
from pipeline.walk import WALK
from schemas.corpus import TABLES
from tests.training_corpus import filled

SMILE = EvidenceEvent(
    action="lip_corner_raise", side="left", onset_s=0.5, apex_s=1.0, offset_s=1.5, peak=0.8, intensity="strong"
)
JAW = EvidenceEvent(
    action="jaw_drop", side="middle", onset_s=2.0, apex_s=2.5, offset_s=3.0, peak=0.6, intensity="moderate"
)
TEXT = "The left lip corner rises strongly."
BETTER = "The left lip corner rises strongly, then the jaw drops."
WRONG_SIDE = "The right lip corner rises strongly."
BEGAN = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Face:
    """One described track of a video of its own. `text`: None for a track without one."""

    name: str
    text: str | None = TEXT
    events: tuple[EvidenceEvent, ...] = (SMILE, JAW)
    label: str | None = None
    split: str | None = None

    @property
    def video_id(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()[:32]

    @property
    def track_id(self) -> str:
        return f"{self.video_id}-0"


def write_review_corpus(
    root: Path, faces: Sequence[Face], config: RefineConfig | None = None, num_buckets: int = 2
) -> Snapshot:
    """Commit a snapshot of these faces as a build would: the reviews of the snapshot before are carried over."""
    store = Store.open_or_create(root, num_buckets)
    config = config or RefineConfig()
    rows: defaultdict[tuple[str, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for face in faces:
        bucket = store.bucket_of(face.video_id)
        of_video = {"video_id": face.video_id, "path": f"{face.name}.mp4"}
        said = {**of_video, "label": face.label, "split": face.split}
        of_track = {"track_id": face.track_id, "video_id": face.video_id}
        evidence = Evidence(duration_s=4.0, events=face.events).model_dump_json()
        rows["list_sources", "sources", bucket].append(said)
        rows["probe_videos", "videos", bucket].append(said)
        rows["extract_tracks", "tracks", bucket].append({**of_track, "end_s": 4.0})
        rows["draft_descriptions", "drafts", bucket].append({**of_track, "text": TEXT, "evidence": evidence})
        if face.text is not None:
            key = hashlib.sha256(face.text.encode()).hexdigest()[:32]
            made = {"text_version": 1, "text": face.text, "status": "refined", "unit_key": key}
            rows["refine_descriptions", "descriptions", bucket].append({**of_track, **made})
    receipts = [_receipt(store, stage, table, bucket, listed) for (stage, table, bucket), listed in rows.items()]
    parent = snapshots.newest(store)
    before = parent.receipts if parent else []
    reviews = carried_over(store, before, receipts, config) or []
    made_with = {stage.name: {"stage": stage.name, "by": "hand"} for stage in WALK}
    stated = {"descriptions": config.model_dump(mode="json")}
    return snapshots.commit(
        store, [*receipts, *reviews], parent=parent, source="faces", config=stated, software={}, made_with=made_with
    )


def _receipt(store: Store, stage: str, table: str, bucket: int, rows: Sequence[Mapping[str, Any]]) -> Receipt:
    declared = TABLES[table]
    with store.writer(declared, bucket, {"stage": stage, "bucket": bucket}) as writer:
        writer.append(declared.rows(filled(declared, row) for row in rows))
    assert writer.file is not None
    key = f"{writer.file.content[:16]}{bucket:016x}"
    receipt = Receipt(stage=stage, bucket=bucket, key=key, files={table: writer.file}, num_units=len(rows))
    store.write_receipt(receipt)
    return receipt


def said(
    face: Face,
    decision: str = "accept",
    *,
    reviewer: str = "anna",
    text: str | None = None,
    version: int = 1,
    edited: str | None = None,
    reason: str | None = None,
    minute: int = 0,
    is_blind: bool | None = True,
) -> ReviewRecord:
    """What a reviewer says of a face's text; `text` where another than its own was judged."""
    return ReviewRecord(
        track_id=face.track_id,
        text_version=version,
        text_sha256=sha256_of(text if text is not None else face.text or ""),
        decision=decision,  # type: ignore[arg-type]
        reason=reason,
        edited_text=edited,
        reviewed_at=BEGAN + timedelta(minutes=minute),
        reviewer=reviewer,
        is_blind=is_blind,
    )


def write_review_file(path: Path, records: Sequence[ReviewRecord], **head: Any) -> Path:
    """A file as the gallery saves it, of the first record's reviewer."""
    fields = ("track_id", "text_version", "text_sha256", "decision", "reason", "edited_text", "reviewed_at")
    listed = [{name: record.model_dump(mode="json")[name] for name in fields} for record in records]
    file = {
        "format": FORMAT,
        "version": 1,
        "corpus": "corpus",
        "snapshot": 1,
        "reviewer": records[0].reviewer if records else "anna",
        "saved_at": "2026-01-31T13:00:00Z",
        "is_blind": bool(records[0].is_blind) if records else True,
        "reviews": listed,
    }
    path.write_text(json.dumps({**file, **head}), encoding="utf-8")
    return path
