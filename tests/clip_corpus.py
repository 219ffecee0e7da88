"""A corpus of a few made-up training clips, written by the store itself: no video is decoded for it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import snapshot as snapshots
from pipeline.store import Receipt, Store
from schemas.descriptions import DESCRIPTIONS, DRAFTS
from schemas.motion import MOTION
from schemas.table import Table, write_cell
from schemas.tracks import TRACKS
from schemas.videos import VIDEOS


@dataclass(frozen=True)
class MadeTrack:
    """One face of one video: what is said of it, and how many clips it gives. `texts`: of each version, the first 1."""

    video: str
    face: str = "a"
    label: str | None = "happiness"
    split: str | None = "train"
    group: str | None = None
    num_clips: int = 1
    texts: tuple[str, ...] = ("The lips part.",)
    saw_label: bool = False
    start_s: float = 0.0
    end_s: float = 4.0
    face_px: float = 100.0
    start_reason: str = "video_start"
    end_reason: str = "video_end"

    @property
    def video_id(self) -> str:
        return hashlib.sha256(self.video.encode()).hexdigest()[:32]

    @property
    def track_id(self) -> str:
        return f"{self.video}-{self.face}"

    def clip_id(self, number: int) -> str:
        return hashlib.sha256(f"{self.track_id} {number}".encode()).hexdigest()[:32]


def write_clip_corpus(root: Path, tracks: Sequence[MadeTrack], num_buckets: int = 2) -> Path:
    """A corpus with one snapshot of these tracks."""
    store = Store.open_or_create(root, num_buckets)
    rows: defaultdict[tuple[str, Table, int], list[dict[str, Any]]] = defaultdict(list)
    videos = {track.video_id: track for track in tracks}
    for track in videos.values():
        said = {"path": f"{track.video}.mp4", "label": track.label, "split": track.split, "group": track.group}
        rows["read_videos", VIDEOS, store.bucket_of(track.video_id)].append({"video_id": track.video_id, **said})
    for track in tracks:
        of_track = {"track_id": track.track_id, "video_id": track.video_id}
        bucket = store.bucket_of(track.video_id)
        times = {"start_s": track.start_s, "end_s": track.end_s, "median_face_px": track.face_px}
        reasons = {"start_reason": track.start_reason, "end_reason": track.end_reason}
        rows["extract_tracks", TRACKS, bucket].append({**of_track, **times, **reasons})
        if track.texts:
            rows["draft", DRAFTS, bucket].append({**of_track, "text": f"draft of {track.track_id}"})
        for version, text in enumerate(track.texts, start=1):
            made = {"text_version": version, "text": text, "status": "refined", "saw_label": track.saw_label}
            rows["refine", DESCRIPTIONS, bucket].append({**of_track, **made})
        rows["encode_motion", MOTION, bucket] += [{**of_track, **_clip(track, n)} for n in range(track.num_clips)]
    receipts = []
    for (stage, table, bucket), listed in rows.items():
        if not listed:
            continue
        with store.writer(table, bucket, {}) as writer:
            for row in listed:
                writer.append(table.rows([_filled(table, row)]))
        assert writer.file is not None
        receipts.append(
            Receipt(stage=stage, bucket=bucket, key="made", files={table.name: writer.file}, num_units=len(listed))
        )
    snapshots.commit(store, receipts, parent=snapshots.newest(store), source="made", config={}, software={})
    return root


def _clip(track: MadeTrack, number: int) -> dict[str, Any]:
    chance = np.random.default_rng(int(track.clip_id(number)[:8], 16))
    cells = {
        "times_s": np.linspace(0, 1, 16),
        "frames": chance.integers(0, 256, (16, 224, 224, 3), np.uint8),
        "motion_weights": chance.random((16, 14, 14), np.float32),
        "is_motion_known": chance.integers(0, 2, 16),
        "is_padding": chance.integers(0, 2, 16),
    }
    return {
        "clip_id": track.clip_id(number),
        "unit_key": track.clip_id(number),
        **{name: write_cell(MOTION.field(name), array) for name, array in cells.items()},
    }


def _filled(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with something of the right type wherever it says nothing."""
    return {
        field.name: row.get(field.name, None if field.nullable else _nothing(field.type)) for field in table.columns
    }


def _nothing(dtype: pa.DataType) -> Any:
    if pa.types.is_fixed_size_binary(dtype):
        return bytes(dtype.byte_width)
    if pa.types.is_list(dtype):
        return []
    return b"" if pa.types.is_binary(dtype) else "" if pa.types.is_string(dtype) else pa.scalar(0).cast(dtype).as_py()
