"""Write what may be given on of a set whose videos may not: enough to make the rest again from one's own copy of them.

No pixel, no crop, no landmark, no curve and no motion goes out. Of each column that stays behind goes the hash of its
value, row by row, so that `facescribe rebuild` can tell whether what it made is the same.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import progress
from pipeline.export.card import write_card
from pipeline.export.folder import ExportError, refuse_folder, whole_folder
from pipeline.export.gate import refuse_what_may_not_leave
from pipeline.export.parquet import data_files_of_tables
from pipeline.export.record import Export, record_of, write_record
from pipeline.inspection.corpus import Corpus
from pipeline.stage import content_hash
from pipeline.store import Receipt
from schemas.corpus import TABLES

IDS = ("unit_key", "track_id", "video_id")

STAYS_BEHIND: Mapping[str, tuple[str, ...]] = {
    "videos": (),
    "tracks": (
        "detection_scores",
        "presence",
        "sharpness",
        "visibility",
        "landmarks_px",
        "transforms",
        "pose_deg",
        "identity_times_s",
        "identity_distances",
    ),
    "actions": (
        "times_s",
        "blendshapes",
        "baseline",
        "measures",
        "rest_share",
        "measurable",
        "is_measurable",
        "motion_energy",
    ),
    "motion": ("frames", "motion_weights", "is_motion_known", "is_padding"),
    "drafts": (),
    "descriptions": (),
    "rejects": (),
}
"""Each table that goes out, and its columns of which only hashes do. Crops: one hash a track, among the tracks."""

CROPS_HASH = "crops_sha256"


def hash_column(name: str) -> str:
    """The column that stands for one that stays behind."""
    return f"{name}_sha256"


def export_text_only(corpus: Corpus, folder: Path, without_licence: str | None = None) -> Export:
    """Write ids, presentation times, boxes, texts, claims, labels, hashes, and all that says how they were made.

    Raises:
        ExportError: the folder is not empty or lies in the corpus, or the snapshot has no record of its config.
        LicenceError: a video has no licence or consent, and `without_licence` does not say why it may go out.
        LabelLeakError: a text saw its label and is not of the split to train on.
    """
    refuse_folder(corpus, folder)
    if not corpus.snapshot.config:
        raise ExportError(f"snapshot {corpus.snapshot.number} does not say how it was made, so nobody could rebuild it")
    asked = [name for name in STAYS_BEHIND if name != "rejects"]  # of which only those of `videos` go out
    num_without = refuse_what_may_not_leave(corpus, asked, without_licence)
    made = record_of(corpus, "parquet", dict.fromkeys(STAYS_BEHIND, 0), num_without, without_licence)
    made.text_only = True
    made.left_out = {name: list(columns) for name, columns in STAYS_BEHIND.items() if columns}
    receipts = corpus.snapshot.receipts
    with whole_folder(folder) as out:
        for number, receipt in enumerate(receipts):
            for name in STAYS_BEHIND:
                if name in receipt.files:
                    made.rows[name] += _write(corpus, receipt, name, out)
            progress.report("export", 0, done=number + 1, total=len(receipts))
        write_record(out, made)
        write_card(out, corpus, made, data_files_of_tables(made.rows))
    return made


def _write(corpus: Corpus, receipt: Receipt, name: str, out: Path) -> int:
    path = out / name / f"{receipt.stage}-{receipt.bucket:04d}.parquet"
    writer: pq.ParquetWriter | None = None
    num_rows = 0
    try:
        for rows in text_only_rows(corpus, receipt, name):
            if not rows.num_rows:
                continue
            if writer is None:
                path.parent.mkdir(exist_ok=True)
                writer = pq.ParquetWriter(path, rows.schema, compression="zstd")
            writer.write_table(rows)
            num_rows += rows.num_rows
    finally:
        if writer is not None:
            writer.close()
    return num_rows


def text_only_rows(corpus: Corpus, receipt: Receipt, name: str) -> Iterator[pa.Table]:
    """The rows of one table of one shard as they go out, at most a row group at a time.

    Of the rejects those whose video is a row of `videos`: others are files that the source merely holds.
    """
    crops = _crop_hashes(corpus, receipt) if name == "tracks" else {}
    told = _videos_of(corpus, receipt.bucket) if name == "rejects" else None
    for rows in corpus.store.iter_batches(receipt.files[name]):
        kept = rows if told is None else rows.filter(pc.is_in(rows["video_id"], told))
        yield _without_what_stays(kept, name, crops)


def _without_what_stays(rows: pa.Table, name: str, crops: Mapping[str, str]) -> pa.Table:
    columns: dict[str, tuple[pa.Field, Any]] = {}
    for field in TABLES[name].columns:
        if field.name not in rows.column_names:
            continue  # of an older version of the table
        if field.name not in STAYS_BEHIND[name]:
            columns[field.name] = (field, rows[field.name])
            continue
        meaning = f"of the column {field.name}, which stays behind: {field.metadata[b'meaning'].decode()}"
        hashes = pa.array(_hashes(rows, field.name), pa.string())
        columns[hash_column(field.name)] = (_told(hash_column(field.name), meaning), hashes)
    if name == "tracks":
        hashes = pa.array([crops.get(track_id) for track_id in rows["track_id"].to_pylist()], pa.string())
        columns[CROPS_HASH] = (_told(CROPS_HASH, "of the track's crops as JPEG, in the order of its frames"), hashes)
    schema = pa.schema([field for field, _ in columns.values()], metadata=TABLES[name].schema.metadata)
    return pa.table([values for _, values in columns.values()], schema=schema)


def _told(name: str, meaning: str) -> pa.Field:
    return pa.field(name, pa.string(), metadata={"meaning": f"first 32 hex digits of the SHA-256 {meaning}"})


def _hashes(rows: pa.Table, name: str) -> list[str]:
    column = rows.select([name])
    return [content_hash([column.slice(row, 1)])[:32] for row in range(rows.num_rows)]


def _crop_hashes(corpus: Corpus, receipt: Receipt) -> dict[str, str]:
    """One hash for the crops of each track of a shard, a row group of them in memory."""
    digests: defaultdict[str, Any] = defaultdict(hashlib.sha256)
    reached: dict[str, int] = {}
    if "crops" not in receipt.files:
        return {}
    for rows in corpus.store.iter_batches(receipt.files["crops"]):
        for track_id, position, jpeg in zip(
            rows["track_id"].to_pylist(), rows["position"].to_pylist(), rows["crop_jpeg"], strict=True
        ):
            if position != reached.get(track_id, -1) + 1:
                raise ExportError(f"the crops of track {track_id} are not in order: `facescribe check` says more")
            reached[track_id] = position
            digests[track_id].update(jpeg.as_buffer())
    return {track_id: digest.hexdigest()[:32] for track_id, digest in digests.items()}


def _videos_of(corpus: Corpus, bucket: int) -> pa.Array:
    ids: Sequence[str] = corpus.of_buckets({bucket}).arrow("videos", ["video_id"])["video_id"].to_pylist()
    return pa.array(ids, pa.string())
