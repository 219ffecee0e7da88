"""Write a snapshot as Hugging Face `datasets` reads it: one row per described track, a set of Parquet files per split.

    README.md                          the card; its head names the files of each split
    data/SPLIT-00000-of-00002.parquet  one row per described track
    clips/SPLIT-00000-of-00009.parquet one row per training clip, where motion or frames are asked for

Labels are names. Frames are PNG pictures, so that they are the clip's own pixels; motion weights are lists.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import progress
from pipeline.export.card import write_card
from pipeline.export.folder import ExportError, refuse_folder, whole_folder
from pipeline.export.gate import refuse_what_may_not_leave
from pipeline.export.record import Export, record_of, write_record
from pipeline.export.rows import (
    CLIP_TENSORS,
    OF_CLIP,
    OF_TEXT,
    OF_VIDEO,
    TERMS,
    buckets_of,
    clips_of,
    described_schema,
    described_tracks,
    split_names,
)
from pipeline.inspection.corpus import Corpus
from schemas.motion import MOTION
from schemas.table import read_cell

WITH = ("motion", "frames")
"""What may be asked for beside the texts."""

FILE_BYTES = 400 << 20
"""Size from which the next rows of a split go into another file."""

ROWS_AT_ONCE = 512
"""Rows of a row group of `data/`."""

CLIPS_AT_ONCE = 8
"""Rows of a row group of `clips/`."""

_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


def export_huggingface(
    corpus: Corpus,
    folder: Path,
    beside: Collection[str] = (),
    without_licence: str | None = None,
    *,
    file_bytes: int = FILE_BYTES,
) -> Export:
    """Write the described tracks, and the training clips if `beside` names some of WITH. Memory: a bucket's texts.

    Raises:
        ExportError: the folder is not empty or lies in the corpus, nothing is described, or an unknown name in WITH.
        LicenceError: a video has no licence or consent, and `without_licence` does not say why it may go out.
        LabelLeakError: a text saw its label and is not of the split to train on.
    """
    refuse_folder(corpus, folder)
    if unknown := sorted(set(beside) - set(WITH)):
        raise ExportError(f"cannot add {unknown[0]!r}; what can be added is: {', '.join(WITH)}")
    if not corpus.snapshot.counts.get("descriptions"):
        raise ExportError(
            f"snapshot {corpus.snapshot.number} describes no track: `facescribe status` says what it holds; "
            "--format parquet exports what there is"
        )
    tables = ["videos", "tracks", "drafts", "descriptions", *(["motion"] if beside else [])]
    num_without = refuse_what_may_not_leave(corpus, tables, without_licence)
    made = record_of(corpus, "huggingface", {}, num_without, without_licence)
    splits, buckets = split_names(corpus), buckets_of(corpus)
    parts = {"default": _SplitFiles("data", described_schema(), file_bytes)}
    if beside:
        parts["clips"] = _SplitFiles("clips", _clip_schema(beside), file_bytes)
    with whole_folder(folder) as out:
        for part in parts.values():
            part.open(out)
        try:
            for number, bucket in enumerate(buckets):
                _write_tracks(corpus, bucket, splits, parts["default"])
                if beside:
                    for row in _clip_rows(corpus, bucket, beside):
                        parts["clips"].add(splits[row["split"]], row, CLIPS_AT_ONCE)
                for part in parts.values():
                    part.flush()
                progress.report("export", 0, done=number + 1, total=len(buckets))
        except BaseException:
            for part in parts.values():
                part.abandon()
            raise
        for part in parts.values():
            made.files |= part.close()
        made.rows |= {name: part.num_rows for name, part in parts.items()}
        write_record(out, made)
        write_card(out, corpus, made, {name: part.patterns for name, part in parts.items()})
    return made


def _write_tracks(corpus: Corpus, bucket: int, splits: Mapping[str | None, str], files: _SplitFiles) -> None:
    for _, row in sorted(described_tracks(corpus, bucket).items()):
        if row["text"] is not None:
            files.add(splits[row["split"]], row, ROWS_AT_ONCE)


def _clip_schema(beside: Collection[str]) -> pa.Schema:
    """Columns of `clips/`. What makes a list of pictures of `frames` stands in the file, as `datasets` writes it."""
    of_track = ("track_id", "video_id", *OF_VIDEO, *TERMS, *OF_TEXT)
    known = described_schema()
    told = {field.name: field.metadata for field in MOTION.columns}
    fields = [
        *(pa.field(name, MOTION.field(name).type, metadata={"meaning": told[name][b"meaning"]}) for name in OF_CLIP),
        *(known.field(name) for name in of_track),
        pa.field("times_s", pa.list_(pa.float64()), metadata={"meaning": told["times_s"][b"meaning"]}),
        pa.field("is_motion_known", pa.list_(pa.bool_()), metadata={"meaning": told["is_motion_known"][b"meaning"]}),
        pa.field("is_padding", pa.list_(pa.bool_()), metadata={"meaning": told["is_padding"][b"meaning"]}),
    ]
    metadata = {}
    if "motion" in beside:
        weights = pa.list_(pa.list_(pa.list_(pa.float32())))
        fields.append(pa.field("motion_weights", weights, metadata={"meaning": told["motion_weights"][b"meaning"]}))
    if "frames" in beside:
        fields.append(pa.field("frames", pa.list_(_IMAGE), metadata={"meaning": told["frames"][b"meaning"]}))
        features = {"frames": {"feature": {"_type": "Image"}, "_type": "List"}}
        metadata["huggingface"] = json.dumps({"info": {"features": features}})
    return pa.schema(fields, metadata=metadata)


def _clip_rows(corpus: Corpus, bucket: int, beside: Collection[str]) -> Iterator[dict[str, Any]]:
    tracks = described_tracks(corpus, bucket, with_frames_of_track=False)
    for clip in clips_of(corpus, bucket):
        row = {**tracks[clip["track_id"]], **{name: clip[name] for name in OF_CLIP}}
        for name in CLIP_TENSORS:
            cell = read_cell(MOTION.field(name), clip[name])
            row[name] = (cell.astype(bool) if name.startswith("is_") else cell).tolist()
        if "motion" in beside:
            row["motion_weights"] = read_cell(MOTION.field("motion_weights"), clip["motion_weights"]).tolist()
        if "frames" in beside:
            frames = read_cell(MOTION.field("frames"), clip["frames"])
            row["frames"] = [{"bytes": _png(frame), "path": None} for frame in frames]
        yield row


def _png(rgb: np.ndarray[Any, Any]) -> bytes:
    import cv2

    done, png = cv2.imencode(".png", rgb[:, :, ::-1])
    if not done:
        raise ExportError("a frame could not be written as PNG")
    return png.tobytes()


class _SplitFiles:
    """The Parquet files of one configuration: of each split as many as its bytes ask for, a few rows in memory."""

    def __init__(self, name: str, schema: pa.Schema, file_bytes: int) -> None:
        self._name, self._schema, self._file_bytes = name, schema, file_bytes
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._written: dict[str, list[tuple[Path, int]]] = {}
        self._waiting: dict[str, list[Mapping[str, Any]]] = {}
        self.num_rows = 0

    @property
    def patterns(self) -> dict[str, str]:
        """For each split the pattern of its files; train first, as readers expect."""
        order = {"train": 0, "validation": 1, "test": 2}
        splits = sorted(self._written, key=lambda split: (order.get(split, 3), split))
        return {split: f"{self._name}/{split}-*.parquet" for split in splits}

    def open(self, out: Path) -> None:
        """Begin below this folder."""
        self._folder = out / self._name
        self._folder.mkdir()

    def add(self, split: str, row: Mapping[str, Any], at_once: int) -> None:
        """Add a row, which is written when `at_once` have come together."""
        waiting = self._waiting.setdefault(split, [])
        waiting.append(row)
        if len(waiting) >= at_once:
            self._write(split)

    def flush(self) -> None:
        """Write what waits."""
        for split in list(self._waiting):
            self._write(split)

    def _write(self, split: str) -> None:
        rows = self._waiting.pop(split, [])
        if not rows:
            return
        files = self._written.setdefault(split, [])
        if split not in self._writers:
            files.append((self._folder / f"{split}-{len(files):05d}.parquet", 0))
            self._writers[split] = pq.ParquetWriter(files[-1][0], self._schema, compression="zstd")
        names = self._schema.names
        self._writers[split].write_table(
            pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows], schema=self._schema)
        )
        path, count = files[-1]
        files[-1] = (path, count + len(rows))
        self.num_rows += len(rows)
        if path.stat().st_size >= self._file_bytes:
            self._writers.pop(split).close()

    def close(self) -> dict[str, int]:
        """Finish every file and say in its name how many there are; rows of each, by its path below the export."""
        self.flush()
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
        counts = {}
        for split, files in self._written.items():
            for number, (path, count) in enumerate(files):
                name = f"{split}-{number:05d}-of-{len(files):05d}.parquet"
                path.rename(path.with_name(name))
                counts[f"{self._name}/{name}"] = count
        return counts

    def abandon(self) -> None:
        """Let the files go; their folder is about to be removed, and a full disk must not hide the first error."""
        for writer in self._writers.values():
            with suppress(Exception):
                writer.close()
