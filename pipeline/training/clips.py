"""What can be trained on: one row per training clip of a snapshot, with its label, its text, and where its pixels lie.

Texts are joined by track, never by position, and refused where they give a label away outside of train.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.descriptions.label_policy import refuse_seen_labels
from pipeline.inspection.corpus import Corpus
from pipeline.reviews.standing import rejected_texts
from pipeline.stage import content_hash
from pipeline.training.manifest import TrainingError
from schemas.motion import MOTION

Faces = Literal["main", "all"]

PLACE = ("file", "row_group", "row")
"""Where a clip's pixels lie. A shard that is written anew moves them, so that they are not part of the content."""

CLIP_COLUMNS = ("clip_id", "unit_key", "track_id", "video_id", "start_s", "end_s")
VIDEO_COLUMNS = ("path", "label", "split", "group")
TEXT_COLUMNS = ("text_version", "text", "status", "claims", "saw_label", "has_fallback")
DRAFT_COLUMNS = ("draft", "draft_claims", "draft_saw_label")


@dataclass(frozen=True)
class ClipList:
    """The clips of a snapshot. Columns of texts are null where a track has none, label, split and group likewise."""

    table: pa.Table
    """CLIP_COLUMNS, VIDEO_COLUMNS, TEXT_COLUMNS, DRAFT_COLUMNS and PLACE; in clip_id order."""

    corpus: str
    """Folder or URI of the corpus."""

    snapshot: int

    @cached_property
    def key(self) -> str:
        """Hash of all that the list says but where pixels lie. `unit_key` stands for the pixels themselves."""
        return content_hash([self.table.drop_columns(list(PLACE))])[:32]

    def __len__(self) -> int:
        return int(self.table.num_rows)


def list_clips(corpus: Corpus | str | Path, *, faces: Faces = "main", snapshot: int | None = None) -> ClipList:
    """List the clips of a corpus: a folder, a URI such as `s3://bucket/corpus`, or one that is open already.

    `main` keeps the main face of each video: the track that is longest, then largest. A long take of one face that was
    cut into tracks by their greatest length counts as one.

    Raises:
        TrainingError: the snapshot has no clips.
        LabelLeakError: a text was written with the label in view, and its video is not of train.
        StoreError, KeyError: no corpus, or no such snapshot.
    """
    if not isinstance(corpus, Corpus):
        corpus = Corpus(corpus, snapshot)
    clips = list(_placed(corpus))
    if faces == "main":
        kept = _main_tracks(corpus, {clip["track_id"] for clip in clips})
        clips = [clip for clip in clips if clip["track_id"] in kept]
    if not clips:
        raise TrainingError(
            f"snapshot {corpus.snapshot.number} of {corpus.place} has no training clips: `facescribe status` says "
            "which tracks were refused and why"
        )
    videos = {row["video_id"]: row for row in corpus.arrow("videos", ["video_id", *VIDEO_COLUMNS]).to_pylist()}
    texts, drafts = _texts(corpus), _drafts(corpus)
    rows = [
        {
            **clip,
            **{name: videos[clip["video_id"]][name] for name in VIDEO_COLUMNS},
            **texts.get(clip["track_id"], {}),
            **drafts.get(clip["track_id"], {}),
        }
        for clip in clips
    ]
    for flag in ("saw_label", "draft_saw_label"):
        refuse_seen_labels({**row, "saw_label": row[flag]} for row in rows if row.get(flag) is not None)
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["clip_id"])), schema=_schema())
    return ClipList(table, corpus.place, corpus.snapshot.number)


def _schema() -> pa.Schema:
    from schemas.corpus import TABLES

    def of(table: str, names: Sequence[str]) -> Iterator[tuple[str, pa.DataType]]:
        return ((name, TABLES[table].field(name).type) for name in names)

    return pa.schema(
        [
            *of("motion", CLIP_COLUMNS),
            *of("videos", VIDEO_COLUMNS),
            *of("descriptions", TEXT_COLUMNS[:-1]),
            ("has_fallback", pa.bool_()),
            ("draft", pa.string()),
            ("draft_claims", TABLES["drafts"].field("claims").type),
            ("draft_saw_label", pa.bool_()),
            ("file", pa.string()),
            ("row_group", pa.int32()),
            ("row", pa.int32()),
        ]
    )


def _placed(corpus: Corpus) -> Iterator[dict[str, Any]]:
    """Every clip, with the row group and row that it lies in."""
    for file in corpus.snapshot.files(MOTION.name):
        try:
            source = corpus.store.open_input(file.path, file.bytes)
        except FileNotFoundError:
            raise TrainingError(
                f"{corpus.place} lacks {file.path} of snapshot {corpus.snapshot.number}: videos were taken down or old "
                "snapshots cleared since; take the newest snapshot"
            ) from None
        with pq.ParquetFile(source) as parquet:
            sizes = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
            clips = parquet.read(list(CLIP_COLUMNS)).to_pylist()
        places = [(group, row) for group, size in enumerate(sizes) for row in range(size)]
        for clip, (group, row) in zip(clips, places, strict=True):
            yield {**clip, "file": file.path, "row_group": group, "row": row}


def _main_tracks(corpus: Corpus, with_clips: set[str]) -> set[str]:
    """The track, or the pieces of one long take, that each video is about."""
    columns = ["track_id", "video_id", "start_s", "end_s", "start_reason", "end_reason", "median_face_px"]
    of_video: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for track in corpus.arrow("tracks", columns).to_pylist():
        of_video[track["video_id"]].append(track)
    kept: set[str] = set()
    for tracks in of_video.values():
        takes = [take for take in _takes(tracks) if any(track["track_id"] in with_clips for track in take)]
        if takes:
            kept.update(track["track_id"] for track in max(takes, key=_prominence))
    return kept


def _takes(tracks: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Tracks in time order, the pieces of a face that was cut by its length in one list."""
    takes: list[list[Mapping[str, Any]]] = []
    for track in sorted(tracks, key=lambda one: (one["start_s"], one["track_id"])):
        before = [
            take for take in takes if take[-1]["end_reason"] == "max_length" and take[-1]["end_s"] <= track["start_s"]
        ]
        if track["start_reason"] == "max_length" and before:
            # The latest end, and of several faces that are cut at the same time, the one most like it in size.
            size = track["median_face_px"]
            nearest = max(before, key=lambda take: (take[-1]["end_s"], -abs(take[-1]["median_face_px"] - size)))
            nearest.append(track)
        else:
            takes.append([track])
    return takes


def _prominence(take: Sequence[Mapping[str, Any]]) -> tuple[float, float, str]:
    return (
        sum(track["end_s"] - track["start_s"] for track in take),
        max(track["median_face_px"] for track in take),
        take[0]["track_id"],
    )


def _texts(corpus: Corpus) -> dict[str, dict[str, Any]]:
    """The latest text of each track, but for those that more reviewers reject than accept: their clips have no text."""
    rejected = rejected_texts(corpus.store, corpus.snapshot)
    columns = ["track_id", "text_version", "text", "status", "claims", "saw_label"]
    rows = corpus.arrow("descriptions", columns).to_pylist()  # in the order of their versions: the last one wins
    newest = {row["track_id"]: {**row, "has_fallback": row["status"] == "fallback"} for row in rows}
    return {of: row for of, row in newest.items() if (of, row["text_version"]) not in rejected}


def _drafts(corpus: Corpus) -> dict[str, dict[str, Any]]:
    rows = corpus.arrow("drafts", ["track_id", "text", "claims", "saw_label"])
    renamed = rows.rename_columns(["track_id", "draft", "draft_claims", "draft_saw_label"])
    return {row["track_id"]: row for row in renamed.to_pylist()}
