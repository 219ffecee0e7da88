"""Read a corpus as dataframes."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import snapshot as snapshots
from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.descriptions.label_policy import refuse_seen_labels
from pipeline.object_storage import open_store
from schemas.actions import ACTIONS
from schemas.corpus import TABLES
from schemas.motion import MOTION
from schemas.table import Table, read_cell

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import duckdb

LONG_COLUMNS = {"landmarks_px", "crop_jpeg", "frames", "motion_weights"}
"""Cells too large for a dataframe that a person looks at."""


class Corpus:
    """A corpus folder, read at one snapshot (by default the newest at the time of opening).

    A URI such as `s3://bucket/corpus` opens one in object storage, see pipeline/object_storage.py.

    Example:
        corpus = Corpus("data/corpus")
        corpus.descriptions()[["draft", "text", "status"]]

    Raises:
        StoreError: there is no corpus at `root`.
        KeyError: there is no such snapshot, or none yet.
    """

    def __init__(self, root: str | Path, snapshot: int | None = None) -> None:
        self.place = str(root)
        self.store = open_store(root)
        found = snapshots.newest(self.store) if snapshot is None else snapshots.read(self.store, snapshot)
        if found is None:
            raise KeyError(f"{root} holds no snapshot yet: a build that ends writes the first one")
        self.snapshot = found

    def files(self, table: str) -> list[str]:
        """The Parquet files of a table in this snapshot, for pandas, DuckDB, Polars, Spark or Hugging Face datasets.

        Raises:
            KeyError: no table of that name.
        """
        return [self.store.path(file) for file in self.snapshot.files(_table(table).name)]

    def arrow(
        self, table: str, columns: Sequence[str] | None = None, of_tracks: Collection[str] | None = None
    ) -> pa.Table:
        """A table, or the named columns of it, as Arrow; in primary-key order. `of_tracks`: of these tracks alone."""
        declared = _table(table)
        names = list(columns) if columns is not None else [field.name for field in declared.columns]
        for name in names:
            declared.field(name)
        wanted = list(dict.fromkeys([*names, *declared.primary_key]))
        empty = declared.empty().select(wanted)
        tracks = None if of_tracks is None else pa.array(sorted(of_tracks), pa.string())
        parts = []
        for file in self.snapshot.files(table):
            part = _with_new_columns(self.store.read(file, wanted), empty.schema).select(wanted).cast(empty.schema)
            parts.append(part if tracks is None else part.filter(pc.is_in(part["track_id"], tracks)))
        rows = pa.concat_tables([empty, *parts])
        return rows.sort_by([(name, "ascending") for name in declared.primary_key]).select(names)

    def of_track(
        self, table: str, video_id: str, track_id: str, columns: Sequence[str], **wanted: Sequence[Any]
    ) -> pa.Table:
        """The rows of one track as Arrow, in primary-key order, without loading the table.

        `wanted` narrows them further: `of_track("crops", video_id, track_id, ["crop_jpeg"], position=[0, 9])`.
        """
        key = _table(table).primary_key
        filters = [("track_id", "==", track_id), *((name, "in", list(values)) for name, values in wanted.items())]
        names = list(dict.fromkeys([*columns, *key]))
        empty = _table(table).empty().select(names)
        bucket = self.store.bucket_of(video_id)
        files = [r.files[table] for r in self.snapshot.receipts if r.bucket == bucket and table in r.files]
        parts = [pq.read_table(self.store.path(f), columns=names, filters=filters, partitioning=None) for f in files]
        rows = pa.concat_tables([empty, *(part.select(names).cast(empty.schema) for part in parts)])
        return rows.sort_by([(name, "ascending") for name in key]).select(list(columns))

    def of_buckets(self, buckets: Collection[int]) -> Corpus:
        """This snapshot, with what lies in some of its buckets alone."""
        part = copy.copy(self)
        kept = [receipt for receipt in self.snapshot.receipts if receipt.bucket in buckets]
        part.snapshot = self.snapshot.model_copy(update={"receipts": kept})
        return part

    def drift(self, other: int) -> pd.DataFrame:
        """What became of snapshot `other` in this one: one line per row that is not the same.

        Columns: table, key, track_id, video_id, path, what (added, removed, changed, recomputed to the same values, or
        rewritten, which must not be), stage, cause, detail; of texts also text, status (before, after), similarity.

        Raises:
            KeyError: no snapshot of that number.
        """
        from pipeline.audit.changes import frame_of_changes

        return frame_of_changes(Corpus(self.store.root, other), self)

    def videos(self) -> pd.DataFrame:
        """One row per source video."""
        return self._frame("videos")

    def tracks(self) -> pd.DataFrame:
        """One row per face track, without the landmark cells (`arrow("tracks", ["landmarks_px"])` has them)."""
        return self._frame("tracks")

    def actions(self) -> pd.DataFrame:
        """One row per track with its events; `blendshapes(track_id)` has the curves."""
        return self._frame("actions")

    def blendshapes(self, track_id: str) -> pd.DataFrame:
        """The 52 blendshape scores of one track over time: index `time_s`, one column per blendshape.

        Raises:
            KeyError: no such track was measured.
        """
        rows = self.arrow("actions", ["track_id", "times_s", "blendshapes"])
        rows = rows.filter(pc.equal(rows["track_id"], track_id))
        if not rows.num_rows:
            raise KeyError(f"no measured track {track_id}")
        scores = read_cell(ACTIONS.field("blendshapes"), rows["blendshapes"][0].as_buffer())
        times_s = pd.Index(rows["times_s"][0].as_py(), name="time_s")
        return pd.DataFrame(scores, index=times_s, columns=pd.Index(BLENDSHAPE_NAMES, name="blendshape"))

    def descriptions(self) -> pd.DataFrame:
        """One row per described track and version of its text, beside the draft and the video's path and label."""
        texts = self._frame("descriptions")
        drafts = self._frame("drafts").rename(columns={"text": "draft"})[["track_id", "draft", "evidence"]]
        videos = self._frame("videos")[["video_id", "path", "label"]]
        joined = texts.merge(drafts, on="track_id", how="left", validate="many_to_one")
        joined = joined.merge(videos, on="video_id", how="left", validate="many_to_one")
        first = ["path", "track_id", "text_version", "status", "draft", "text", "fallback_reason", "label"]
        return joined[[*first, *(name for name in joined.columns if name not in first)]]

    def texts_of_split(self, split: str | None) -> pd.DataFrame:
        """One row per text of the videos of a split, for training or evaluation: track_id, text, claims, label, split.

        None stands for videos of no split.

        Raises:
            LabelLeakError: a text was written with the label in view, and the split is not the one to train on.
        """
        texts = self._frame("descriptions")[["track_id", "video_id", "text_version", "text", "claims", "saw_label"]]
        videos = self._frame("videos")[["video_id", "path", "label", "split", "group"]]
        joined = texts.merge(videos, on="video_id", how="left", validate="many_to_one")
        wanted = joined[joined["split"].isna() if split is None else joined["split"] == split].reset_index(drop=True)
        refuse_seen_labels(wanted[["track_id", "saw_label", "split"]].to_dict("records"))  # type: ignore[arg-type]
        return wanted

    def motion(self, limit: int | None = None) -> pd.DataFrame:
        """One row per training clip, tensors as arrays; `limit` bounds how many are loaded (2.4 MB each)."""
        rows: list[dict[str, Any]] = []
        for file in self.snapshot.files("motion"):
            for batch in self.store.iter_batches(file):
                rows += batch.slice(0, None if limit is None else limit - len(rows)).to_pylist()
                if limit is not None and len(rows) >= limit:
                    break
        frame = pd.DataFrame(rows[:limit], columns=[field.name for field in MOTION.columns])
        for field in MOTION.columns:
            if b"dims" in (field.metadata or {}):
                frame[field.name] = frame[field.name].map(partial(read_cell, field))
        return frame

    def rejects(self) -> pd.DataFrame:
        """One row per refused unit, with its reason and its video's path."""
        rejects, videos = self._frame("rejects"), self._frame("videos").set_index("video_id")
        return rejects.assign(path=rejects["path"].fillna(rejects["video_id"].map(videos["path"])))

    def sql(self, query: str) -> pd.DataFrame:
        """Ask DuckDB; every table is there under its name.

        Raises:
            duckdb.Error: the query is wrong; the message says where.
        """
        answer = self.connect().sql(query)
        return pd.DataFrame() if answer is None else pd.DataFrame(answer.df())

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection in memory with one view per table over its Parquet files."""
        import duckdb

        connection = duckdb.connect()
        for name, table in TABLES.items():
            if files := self.files(name):
                listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
                connection.execute(f"create view {name} as select * from read_parquet([{listed}])")
            else:
                connection.register(name, table.empty())
        return connection

    def _frame(self, table: str) -> pd.DataFrame:
        shown = [field.name for field in _table(table).columns if field.name not in LONG_COLUMNS]
        return pd.DataFrame(self.arrow(table, shown).to_pandas())


def _with_new_columns(part: pa.Table, schema: pa.Schema) -> pa.Table:
    """A part of an older version of its table, with null in the columns that have come since."""
    for field in schema:
        if field.nullable and field.name not in part.column_names:
            part = part.append_column(field, pa.nulls(len(part), field.type))
    return part


def _table(name: str) -> Table:
    try:
        return TABLES[name]
    except KeyError:
        raise KeyError(f"no table {name!r}; the tables are: {', '.join(TABLES)}") from None
