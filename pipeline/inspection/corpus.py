"""Read a corpus as dataframes."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import snapshot as snapshots
from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.descriptions.label_policy import refuse_seen_labels
from pipeline.inspection import accessor as _accessor  # noqa: F401  # puts `facescribe` on dataframes
from pipeline.inspection import frames_sql
from pipeline.inspection.frames import CorpusFrame, frame_of, remembering
from pipeline.store import Store
from schemas.actions import ACTION_SIDES, ACTIONS, FACIAL_ACTIONS
from schemas.corpus import TABLES
from schemas.motion import MOTION
from schemas.table import Table, read_cell

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import duckdb

    from pipeline.store import ShardFile

LONG_COLUMNS = {"landmarks_px", "crop_jpeg", "frames", "motion_weights"}
"""Cells too large for a dataframe that a person looks at."""

LIGHT_TEXT_COLUMNS = (
    "path", "track_id", "text_version", "status", "draft", "text", "fallback_reason", "label", "split", "video_id",
)  # fmt: skip
"""What a person reads of a text first."""

TEXT_COLUMNS = (
    "path", "track_id", "text_version", "status", "draft", "text", "fallback_reason", "label", "unit_key", "video_id",
    "fallback_detail", "claims", "num_text_tokens", "asked", "saw_label", "review_id", "edited_from", "split",
    "review", "num_reviews", "reviewers", "evidence",
)  # fmt: skip


HEAVY_TEXT_COLUMNS = ("asked", "evidence")


class Corpus:
    """A corpus folder, read at one snapshot (by default the newest at the time of opening).

    A URI such as `s3://bucket/corpus` opens one in object storage, see docs/object-storage.md.

    Example:
        corpus = Corpus("data/corpus")
        corpus.descriptions()[["draft", "text", "status"]]

    Raises:
        StoreError: there is no corpus at `root`.
        KeyError: there is no such snapshot, or none yet.
    """

    def __init__(self, root: str | Path, snapshot: int | None = None) -> None:
        self.place = str(root)
        self.store = Store.open(root)
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
        if self.store.folder is not None:
            paths = [self.store.path(file) for file in files]
            parts = [pq.read_table(path, columns=names, filters=filters, partitioning=None) for path in paths]
        else:
            wanted_rows = pq.filters_to_expression(filters)
            stored = [self.store.dataset([file], _table(table).schema) for file in files]
            parts = [one.to_table(names, filter=wanted_rows) for one in stored]
        rows = pa.concat_tables([empty, *(part.select(names).cast(empty.schema) for part in parts)])
        return rows.sort_by([(name, "ascending") for name in key]).select(list(columns))

    def of_video(self, video_id: str, columns: Sequence[str]) -> pa.Table:
        """The row of one video as Arrow, or none, without loading the table."""
        bucket = self.store.bucket_of(video_id)
        files = [r.files["videos"] for r in self.snapshot.receipts if r.bucket == bucket and "videos" in r.files]
        found = [self._row_of(file, video_id, columns) for file in files]
        return pa.concat_tables(
            [TABLES["videos"].empty().select(list(columns)), *(f.select(list(columns)) for f in found)]
        )

    def _row_of(self, file: ShardFile, video_id: str, columns: Sequence[str]) -> pa.Table:
        names = list(dict.fromkeys([*columns, "video_id"]))
        rows = self.store.read(file, names)
        schema = TABLES["videos"].empty().select(names).schema
        return _with_new_columns(rows.filter(pc.equal(rows["video_id"], video_id)), schema).select(names).cast(schema)

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

        return frame_of_changes(Corpus(self.place, other), self)

    def videos(self) -> CorpusFrame:
        """One row per source video: path, duration_s, num_frames, codec, what people say of it (label, split, …)."""
        return self._frame("videos")

    def tracks(self) -> CorpusFrame:
        """One row per face track, without the landmark cells (`arrow("tracks", ["landmarks_px"])` has them)."""
        return self._frame("tracks")

    def actions(self) -> CorpusFrame:
        """One row per track with its events; `blendshapes(track_id)` and `measures(track_id)` have the curves."""
        return self._frame("actions")

    def drafts(self) -> CorpusFrame:
        """One row per track with the template's text, its claims, the evidence, and what was seen of key frames."""
        return self._frame("drafts")

    def reviews(self) -> CorpusFrame:
        """One row per human decision on one version of one text."""
        return self._frame("reviews")

    def blendshapes(self, track_id: str) -> pd.DataFrame:
        """The 52 blendshape scores of one track over time: index `time_s`, one column per blendshape.

        Raises:
            KeyError: no such track was measured.
        """
        row = self._measured(track_id, ["times_s", "blendshapes"])
        scores = read_cell(ACTIONS.field("blendshapes"), row["blendshapes"])
        times_s = pd.Index(row["times_s"], name="time_s")
        return pd.DataFrame(scores, index=times_s, columns=pd.Index(BLENDSHAPE_NAMES, name="blendshape"))

    def measures(self, track_id: str) -> pd.DataFrame:
        """How far each action of one track is above its rest over time; not a number where it could not be measured.

        Index `time_s` in seconds from the track's start, as texts and claims count; columns (action, side), where the
        side of an action without sides is `middle`. 0 is rest, 1 the whole movement.

        Raises:
            KeyError: no such track was measured.
        """
        row = self._measured(track_id, ["times_s", "measures", "measurable"])
        cells = {name: read_cell(ACTIONS.field(name), row[name]) for name in ("measures", "measurable")}
        times_s = np.array(row["times_s"], np.float64)
        curves = {
            (action, side): np.where(cells["measurable"][:, place, s] > 0, cells["measures"][:, place, s], np.nan)
            for place, (action, facial) in enumerate(FACIAL_ACTIONS.items())
            for s, side in enumerate(("middle",) if facial.middle else ACTION_SIDES)
        }
        columns = pd.MultiIndex.from_tuples(curves, names=["action", "side"])
        since_start_s = pd.Index(times_s - (times_s[0] if len(times_s) else 0.0), name="time_s")
        return pd.DataFrame(np.column_stack(list(curves.values())), index=since_start_s, columns=columns)

    def _measured(self, track_id: str, columns: Sequence[str]) -> dict[str, Any]:
        rows = self.of_track("actions", self.video_of(track_id), track_id, columns).to_pylist()
        if not rows:
            raise KeyError(f"no measured track {track_id}")
        return dict(rows[0])

    def video_of(self, track_id: str) -> str:
        """The video that a track is from; of the track's files only the two columns of ids are read.

        Raises:
            KeyError: no such track.
        """
        for file in self.snapshot.files("tracks"):
            rows = self.store.read(file, ["track_id", "video_id"])
            found = pc.index(rows["track_id"], track_id).as_py()
            if found >= 0:
                return str(rows["video_id"][found])
        raise KeyError(f"no measured track {track_id}: there is none of that id in snapshot {self.snapshot.number}")

    def descriptions(
        self, columns: Sequence[str] | None = None, *, where: str | None = None, limit: int | None = None
    ) -> CorpusFrame:
        """One row per described track and version of its text, beside the draft and the video's path and label.

        Args:
            columns: which, and in which order; by default all but the heavy ones, HEAVY_TEXT_COLUMNS, which are more
                bytes than all others together: `evidence` (what the claims were held against, as JSON) and `asked`
                (every request to the model, and its answer as it came). Few columns are read in less time.
            where: a condition in SQL over the columns, such as `label = 'fear' and status = 'fallback'`.
            limit: the first so many rows, by track and version.

        Raises:
            KeyError: no such column; the message lists those there are.
            duckdb.Error: the condition is wrong; the message says where.
        """
        names = list(columns) if columns is not None else [n for n in TEXT_COLUMNS if n not in HEAVY_TEXT_COLUMNS]
        if unknown := [name for name in names if name not in TEXT_COLUMNS]:
            raise KeyError(f"descriptions have no column {unknown[0]!r}; there are: {', '.join(TEXT_COLUMNS)}")
        listed = ", ".join(f'"{name}"' for name in names)
        filtered = "" if where is None else f"where (\n{where}\n)"
        order, most = "order by track_id, text_version", "" if limit is None else f"limit {int(limit)}"
        if limit is not None:  # the keys first, so that of the wide columns no more is read than is given
            keys = f"select track_id from {'texts' if where else 'descriptions'} {filtered} {order} {most}"
            filtered = f"{filtered or 'where true'} and track_id in ({keys})"
        query = f"select {listed} from texts {filtered} {order} {most}"
        return self._asked(query, "descriptions")

    def claims(self) -> CorpusFrame:
        """One row per claim of every version of every text, with its verdict and the measured event nearest to it.

        Columns: path, label, track_id, text_version, claim (its place in the text's list, from 1), action, region,
        side, polarity, intensity, start_s, end_s, source, verdict, why; measured_action, measured_side,
        measured_intensity, measured_onset_s, measured_apex_s, measured_offset_s, measured_peak (of the event of the
        evidence that shares most time with the claim; null where none is within the tolerance), num_events (how many
        there are); status, text, video_id. Seconds count from the track's start.
        """
        return self._asked("select * from claims order by track_id, text_version, claim", "claims")

    def contradicted(self) -> CorpusFrame:
        """The newest texts against which the measurement speaks, the worst first.

        Columns: path, label, track_id, text_version, status, num_contradicted (of the text's own claims), num_claims,
        num_refused_answers (of the model, refused as contradicted), why, text, split, video_id.
        """
        return self._asked("select * from contradicted", "contradicted")

    def fallbacks(self) -> CorpusFrame:
        """The newest texts that are the draft's, because every answer of the model failed the check.

        Columns: path, label, track_id, text_version, fallback_reason, meaning (of the reason), fallback_detail,
        num_answers, last_answer (as it came), text, split, video_id.
        """
        return self._asked("select * from fallbacks", "fallbacks")

    def search(self, query: str, *, limit: int = 20, by: str = "words") -> CorpusFrame:
        """The newest texts that fit a query best, with a `score`; see `FacescribeAccessor.search`."""
        return self.newest_texts().facescribe.search(query, limit=limit, by=by)

    def sample(self, per_class: int = 5, *, seed: int = 0, by: str = "label") -> CorpusFrame:
        """So many of the newest texts of each class; see `FacescribeAccessor.sample`."""
        return self.newest_texts().facescribe.sample(per_class=per_class, seed=seed, by=by)

    def newest_texts(self) -> CorpusFrame:
        """As `descriptions`, light columns of the newest version of each text alone."""
        names = ", ".join(f't."{name}"' for name in LIGHT_TEXT_COLUMNS)
        connection = self.connect("texts")
        has_later = connection.execute("select count(*) from descriptions where text_version > 1").fetchall() != [(0,)]
        semi = f"semi join ({frames_sql.NEWEST}) n using (track_id, text_version)" if has_later else ""
        rows = connection.sql(f"select {names} from texts t {semi} order by track_id").to_arrow_table()
        return frame_of(rows, self, "descriptions")

    def adopt(self, frame: pd.DataFrame) -> CorpusFrame:
        """A frame of your own that names tracks (`track_id`) or videos (`video_id`) of this corpus, with `facescribe`.

        Raises:
            KeyError: it names neither.
        """
        if not {"track_id", "video_id"} & set(frame.columns):
            raise KeyError(f"expected a column track_id or video_id, got: {', '.join(map(str, frame.columns))}")
        return remembering(frame.copy(deep=False), self, "adopted")

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

    def rejects(self) -> CorpusFrame:
        """One row per refused unit, with its reason and its video's path."""
        rejects, videos = self._frame("rejects"), self._frame("videos").set_index("video_id")
        named = rejects.assign(path=rejects["path"].fillna(rejects["video_id"].map(videos["path"])))
        return remembering(named, self, "rejects")

    def sql(self, query: str) -> CorpusFrame:
        """Ask DuckDB; every table is there under its name, and so are texts, claims, contradicted and fallbacks.

        Raises:
            duckdb.Error: the query is wrong; the message says where.
        """
        return self._asked(query, "sql")

    def ask(self, query: str) -> pa.Table | None:
        """The answer to a query as Arrow; None where it has none. Raises duckdb.Error."""
        answer = self.connect(query).sql(query)
        return None if answer is None else answer.to_arrow_table()

    def connect(self, query: str | None = None) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection in memory with one view per table over its Parquet files, and the views of frames_sql.

        With a query, the tables alone that it can be about, which are the names that occur in it: DuckDB opens the
        files of a view when the view is made, and of crops and clips nothing is opened unasked.

        A view reads the columns and row groups that a query asks for. Columns that came to a table later are null in
        files of before. Nothing is fetched: extensions are neither installed nor loaded by themselves.
        """
        import duckdb

        connection = duckdb.connect(
            config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        )
        wanted = frames_sql.named_in(query)
        for name in wanted & TABLES.keys():
            table = TABLES[name]
            connection.register(f"_empty_{name}", table.empty())
            if not self.files(name):
                connection.execute(f"create view {name} as select * from _empty_{name}")
            elif self.store.folder is None:
                connection.register(f"_stored_{name}", self.store.dataset(self.snapshot.files(name), table.schema))
                connection.execute(f"create view {name} as select * from _stored_{name}")
            else:
                listed = ", ".join("'" + file.replace("'", "''") + "'" for file in self.files(name))
                stored = f"select * from read_parquet([{listed}], union_by_name = true)"
                connection.execute(
                    f"create view {name} as select * from _empty_{name} where false union all by name {stored}"
                )
        for name, view in frames_sql.views().items():
            if name in wanted:
                connection.execute(f"create view {name} as {view}")
        return connection

    def _asked(self, query: str, name: str) -> CorpusFrame:
        rows = self.ask(query)
        return remembering(pd.DataFrame(), self, name) if rows is None else frame_of(rows, self, name)

    def _frame(self, table: str) -> CorpusFrame:
        shown = [field.name for field in _table(table).columns if field.name not in LONG_COLUMNS]
        return frame_of(self.arrow(table, shown), self, table)


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
