"""What is known of each described track, and of each training clip, joined by ids: a bucket of the corpus at a time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.export.folder import ExportError
from pipeline.inspection.corpus import Corpus
from schemas.corpus import TABLES
from schemas.table import read_cell
from schemas.tracks import TRACKS

OF_VIDEO = ("path", "dataset", "clip_name", "label", "votes", "split", "group", "folds", "captions")
TERMS = ("licence", "consent")
OF_TRACK = ("start_s", "end_s", "num_frames", "frame_width_px", "frame_height_px", "median_face_px", "times_s")
OF_TEXT = ("text_version", "text", "status", "fallback_reason", "claims", "num_text_tokens", "saw_label")
OF_REQUEST = ("prompt", "model", "model_revision", "model_licence", "engine")
OF_CLIP = ("clip_id", "start_s", "end_s")
CLIP_TENSORS = ("times_s", "is_motion_known", "is_padding")

BOXES = pa.list_(pa.list_(pa.float32()))

NO_SPLIT = "unsplit"
"""Name of what no split was said of: to call it train would be an invention."""

MOST_CHARACTERS = 60
"""Of a split's name in the names of files; a longer one is cut, and told apart by its hash."""


def split_names(corpus: Corpus) -> dict[str | None, str]:
    """For each split of the corpus the name that files of it have: letters, digits and underscores.

    Raises:
        ExportError: two splits would have one name.
    """
    names: dict[str | None, str] = {}
    for split in sorted({row["split"] for row in columns_of(corpus, "videos", ["split"])}, key=str):
        name = re.sub(r"[^0-9A-Za-z_]+", "_", split or "").strip("_") or NO_SPLIT
        name = f"{name}_" if name == "all" else name  # which `datasets` takes for every split
        if len(name) > MOST_CHARACTERS:  # a file of that name could not be written
            name = f"{name[:MOST_CHARACTERS]}_{hashlib.sha256(str(split).encode()).hexdigest()[:8]}"
        if taken := [other for other, its in names.items() if its == name]:
            raise ExportError(
                f"the splits {taken[0]!r} and {split!r} would both be called {name!r}: give them other names "
                "(`facescribe build … --annotations FILE`, column split), or export with --format parquet"
            )
        names[split] = name
    return names


def columns_of(corpus: Corpus, table: str, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """These columns of every row, a shard at a time. A column that an older shard lacks is null."""
    for file in corpus.snapshot.files(table):
        rows = corpus.store.read(file, names)
        missing = dict.fromkeys(name for name in names if name not in rows.column_names)
        for batch in rows.to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                yield {**missing, **row}


def described_schema() -> pa.Schema:
    """The columns of `described_tracks`, each with its meaning and unit."""
    fields = [
        _field("tracks", "track_id"),
        _field("tracks", "video_id"),
        *(_field("videos", name) for name in (*OF_VIDEO, *TERMS)),
        *(_field("tracks", name) for name in OF_TRACK),
        pa.field("boxes_xyxy", BOXES, metadata=_told(TABLES["tracks"].field("boxes_xyxy"))),
        *(_field("descriptions", name) for name in OF_TEXT),
        pa.field("draft", pa.string(), metadata={"meaning": "the template's text, which no language model wrote"}),
        *(
            pa.field(name, pa.string(), metadata={"meaning": f"{name} of the text's last request"})
            for name in OF_REQUEST
        ),
    ]
    return pa.schema(fields)


def _field(table: str, name: str) -> pa.Field:
    field = TABLES[table].field(name)
    return pa.field(name, field.type, metadata=_told(field))


def _told(field: pa.Field) -> dict[bytes, bytes]:
    return {key: value for key, value in (field.metadata or {}).items() if key in (b"meaning", b"unit")}


def described_tracks(corpus: Corpus, bucket: int, *, with_frames_of_track: bool = True) -> dict[str, dict[str, Any]]:
    """Every track of a bucket by its id, with what is said of it; `text` is null where it has none.

    Of several versions of a text the newest counts. Without `with_frames_of_track` times and boxes are left out.
    """
    part = corpus.of_buckets({bucket})
    terms = ("video_id", *OF_VIDEO, *TERMS)
    videos = {row["video_id"]: row for row in columns_of(part, "videos", terms)}
    names = [name for name in OF_TRACK if with_frames_of_track or name != "times_s"]
    tracks = {}
    for row in columns_of(part, "tracks", ["track_id", "video_id", *names, *_boxes(with_frames_of_track)]):
        if with_frames_of_track:
            row["boxes_xyxy"] = read_cell(TRACKS.field("boxes_xyxy"), row["boxes_xyxy"]).tolist()
        tracks[row["track_id"]] = {**videos[row["video_id"]], **row, **dict.fromkeys((*OF_TEXT, "draft", *OF_REQUEST))}
    for row in columns_of(part, "descriptions", ["track_id", *OF_TEXT, "asked"]):
        if (known := tracks[row["track_id"]])["text"] is None or known["text_version"] < row["text_version"]:
            asked = (row.pop("asked") or [{}])[-1]
            known.update(row, **{name: _without_place(asked.get(name)) for name in OF_REQUEST})
    for row in columns_of(part, "drafts", ["track_id", "text"]):
        tracks[row["track_id"]]["draft"] = row["text"]
    return tracks


def _without_place(name: str | None) -> str | None:
    """The name without the folder of one's own that a prompt or a model lies in."""
    return name.rsplit("/", 1)[-1] if name is not None and name.startswith(("/", "~", ".")) else name


def _boxes(wanted: bool) -> list[str]:
    return ["boxes_xyxy"] if wanted else []


def clips_of(corpus: Corpus, bucket: int) -> Iterator[Mapping[str, Any]]:
    """Every training clip of a bucket, cells as they lie, one at a time."""
    for file in corpus.of_buckets({bucket}).snapshot.files("motion"):
        with pq.ParquetFile(corpus.store.source(file)) as parquet:
            for batch in parquet.iter_batches(batch_size=1):
                yield from batch.to_pylist()


def buckets_of(corpus: Corpus) -> list[int]:
    """The buckets that hold anything."""
    return sorted({receipt.bucket for receipt in corpus.snapshot.receipts})
