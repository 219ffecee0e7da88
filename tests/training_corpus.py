"""A tiny corpus to train from, its rows made by hand and written through the store: seconds instead of a whole walk.

Of each emotion another part of the face moves, and the text says which: so a network can learn it in a few steps, from
the frames as from the words.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import snapshot as snapshots
from pipeline.snapshot import Snapshot
from pipeline.store import Receipt, Store
from schemas.corpus import TABLES
from schemas.motion import CLIP_FRAMES, CROP_PX, GRID, MOTION
from schemas.table import Table, write_cell

LABELS = ("happiness", "sadness", "surprise")
TEXTS = {
    "happiness": "The left lip corner rises, right after the cheeks lift.",
    "sadness": "The right lip corner turns down at the end.",
    "surprise": "The brows rise high and the jaw drops.",
}
PLACES = {"happiness": (9, 3), "sadness": (6, 9), "surprise": (3, 6)}
"""Row and column, of the grid of 14, of the patch that moves."""


def write_training_corpus(
    root: Path,
    people: Sequence[str] = ("ann", "ben", "cem", "dua", "eva", "fay"),
    test_people: Sequence[str] = ("fay",),
    clips_of_each: int = 1,
    labels: Sequence[str] = LABELS,
    buckets: int = 2,
    without_text: Sequence[str] = (),
    video_columns: Mapping[str, Mapping[str, Any]] | None = None,
    without_clips: Sequence[str] = (),
    unopened: Mapping[str, Mapping[str, Any]] | None = None,
) -> Snapshot:
    """Write a corpus of one video per person and label, each with `clips_of_each` clips, and commit its snapshot.

    Videos are called PERSON/LABEL.mp4; PERSON is their group. Those of people in `test_people` are of the official
    split test, others of train. `without_text` and `video_columns` name videos by path.
    """
    store = Store.open_or_create(root, buckets)
    rows: dict[int, dict[str, list[dict[str, Any]]]] = {}
    for person in people:
        for label in labels:
            path = f"{person}/{label}.mp4"
            video_id = hashlib.sha256(path.encode()).hexdigest()[:32]
            tables = rows.setdefault(store.bucket_of(video_id), {name: [] for name in TABLES})
            said = {"label": label, "group": person, "split": "test" if person in test_people else "train"}
            tables["videos"].append({"video_id": video_id, "path": path, **said, **(video_columns or {}).get(path, {})})
            track = {"video_id": video_id, "track_id": f"{video_id}-0", "end_s": 4.0 * clips_of_each}
            tables["tracks"].append(track | {"num_frames": 120, "median_face_px": 100.0})
            if path not in without_text:
                tables["drafts"].append(track | {"text": f"Draft. {TEXTS[label]}"})
                tables["descriptions"].append(track | {"text_version": 1, "text": TEXTS[label], "status": "refined"})
            for number in range(0 if path in without_clips else clips_of_each):
                tables["motion"].append(motion_row(track, person, label, number))
    for path, columns in (unopened or {}).items():
        video_id = hashlib.sha256(path.encode()).hexdigest()[:32]
        tables = rows.setdefault(store.bucket_of(video_id), {name: [] for name in TABLES})
        tables["sources"].append({"video_id": video_id, "path": path, **columns})
    receipts = []
    for bucket, tables in sorted(rows.items()):
        files = {}
        for name, found in tables.items():
            if found:
                table = TABLES[name]
                with store.writer(table, bucket, {"stage": "by_hand", "bucket": bucket, "key": "0" * 32}) as writer:
                    for row in found:
                        writer.append(table.conform(pa.Table.from_pylist([filled(table, row)], schema=table.schema)))
                assert writer.file is not None
                files[name] = writer.file
        receipt = Receipt(stage="by_hand", bucket=bucket, key="0" * 32, files=files, num_units=1)
        store.write_receipt(receipt)
        receipts.append(receipt)
    parent = snapshots.newest(store)
    return snapshots.commit(store, receipts, parent=parent, source="by hand", config={}, software={})


def motion_row(track: Mapping[str, Any], person: str, label: str, number: int) -> dict[str, Any]:
    """A clip: the person's still face, a patch that comes and goes where the label has its place, and noise."""
    still = np.random.default_rng(zlib.crc32(person.encode()))
    noise = np.random.default_rng(zlib.crc32(f"{person} {label} {number}".encode()))
    patch_px = CROP_PX // GRID
    face = np.kron(still.integers(80, 160, (GRID, GRID, 3)), np.ones((patch_px, patch_px, 1))).astype(np.int16)
    frames = np.repeat(face[None], CLIP_FRAMES, axis=0)
    row, column = PLACES[label]
    window = (slice(row * patch_px, (row + 2) * patch_px), slice(column * patch_px, (column + 2) * patch_px))
    strength = 60 * np.sin(np.linspace(0, 2 * np.pi, CLIP_FRAMES) + noise.uniform(0, np.pi))
    frames[:, window[0], window[1]] += strength[:, None, None, None].astype(np.int16)
    frames += noise.integers(-3, 4, (CLIP_FRAMES, 1, 1, 1), dtype=np.int16)
    weights = np.zeros((CLIP_FRAMES, GRID, GRID))
    weights[:, row : row + 2, column : column + 2] = 0.9
    is_known = np.ones(CLIP_FRAMES)
    is_known[-1] = weights[-1] = 0
    cells = {
        "times_s": np.linspace(4.0 * number, 4.0 * number + 3.9, CLIP_FRAMES),
        "frames": frames.clip(0, 255),
        "motion_weights": weights,
        "is_motion_known": is_known,
        "is_padding": np.zeros(CLIP_FRAMES),
    }
    return {
        **track,
        "clip_id": hashlib.sha256(f"{track['track_id']} {number}".encode()).hexdigest()[:32],
        "start_s": 4.0 * number,
        "end_s": 4.0 * number + 3.9,
        **{name: write_cell(MOTION.field(name), values) for name, values in cells.items()},
    }


def filled(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with something plain in every column that must have a value."""
    names = {field.name for field in table.columns}
    plain = {field.name: _plain(field) for field in table.columns if not field.nullable}
    return plain | {name: value for name, value in row.items() if name in names}


def _plain(field: pa.Field) -> Any:
    kind = field.type
    if pa.types.is_fixed_size_binary(kind):
        return bytes(kind.byte_width)
    if pa.types.is_binary(kind):
        return b""
    if pa.types.is_list(kind):
        return []
    if pa.types.is_boolean(kind):
        return False
    if pa.types.is_struct(kind):
        return {kind.field(place).name: _plain(kind.field(place)) for place in range(kind.num_fields)}
    return "" if pa.types.is_string(kind) else 0
