"""`df.facescribe`: what can be asked of the rows of a dataframe that a Corpus gave.

    corpus = Corpus("data/corpus")
    texts = corpus.descriptions(where="label = 'fear'")
    texts.facescribe.contradicted().head(10)
    texts.facescribe.show()

A frame is asked about the texts that it names: by track_id and text_version where it has both, else the newest texts of
its tracks, else of its videos. Filter, sort and join as pandas does, and ask again. Crops are read by `show` alone.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from pipeline.inspection import frames_sql
from pipeline.inspection.frames import CorpusFrame, corpus_of, frame_of, remembering

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pipeline.inspection.corpus import Corpus
    from pipeline.inspection.showing_changes import TextChanges
    from pipeline.inspection.showing_tracks import TracksShown

NO_CLASS = ""
"""Sorts rows without a class before all others."""


@pd.api.extensions.register_dataframe_accessor("facescribe")
class FacescribeAccessor:
    """Claims, evidence, pictures and neighbours of the texts that a dataframe names.

    Raises:
        AttributeError: the frame does not know its corpus; `Corpus.adopt` tells it.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._known = corpus_of(frame)

    @property
    def corpus(self) -> Corpus:
        """The corpus, at the snapshot, that the frame is from."""
        return self._known

    def texts(self) -> CorpusFrame:
        """The texts that the frame names, with path, status, draft, text, fallback_reason, label, split."""
        names = ", ".join(f"t.{name}" for name in TEXTS_SHOWN)
        return self._of_chosen(f"select {names} from texts t semi join _chosen using (track_id, text_version)", "texts")

    def claims(self) -> CorpusFrame:
        """One row per claim of the frame's texts, in their order in the text; columns as `Corpus.claims`."""
        query = f"{frames_sql.claims(frames_sql.chosen('_chosen'))} order by track_id, text_version, claim"
        return self._of_chosen(query, "claims")

    def contradicted(self) -> CorpusFrame:
        """The frame's texts against which the measurement speaks, the worst first; columns as `Corpus.contradicted`."""
        return self._of_chosen(frames_sql.contradicted(frames_sql.chosen("_chosen")), "contradicted")

    def fallbacks(self) -> CorpusFrame:
        """The frame's texts that are the draft's, and why; columns as `Corpus.fallbacks`."""
        return self._of_chosen(frames_sql.fallbacks(frames_sql.chosen("_chosen")), "fallbacks")

    def diff(self, other: int | Corpus) -> TextChanges:
        """What became of the texts of the frame's tracks since another snapshot: words that went, words that came.

        Shows itself in a notebook (escaped HTML) and as plain text; `.frame` has the rows, `.style()` a pandas Styler.

        Raises:
            KeyError: there is no such snapshot.
        """
        from pipeline.inspection.corpus import Corpus
        from pipeline.inspection.showing_changes import changes_between

        before = Corpus(self._known.place, other) if isinstance(other, int) else other
        return changes_between(before, self._known, set(self._tracks()))

    def evidence(self, track_id: str | None = None) -> Figure:
        """A plot of one track: the curve of each action that is claimed or moved, its events, the claims on it.

        Args:
            track_id: by default that of the frame's only row.

        Raises:
            KeyError: no such measured track.
            ValueError: no id, and the frame is not of one track.
        """
        from pipeline.inspection.showing_evidence import plot_evidence

        return plot_evidence(self._known, self._one_track() if track_id is None else track_id)

    def show(self, limit: int = 5) -> TracksShown:
        """The first tracks of the frame: filmstrip, curves, text and claims in a notebook, words in a terminal.

        Reads the crops of those tracks and of no other, when it is shown.

        Raises:
            ValueError: `limit` is below 1.
        """
        from pipeline.inspection.showing_tracks import TracksShown

        if limit < 1:
            raise ValueError(f"limit: expected a number of tracks from 1 on, got {limit}")
        tracks = list(dict.fromkeys(self._tracks()))
        return TracksShown(self._known, tracks[:limit], num_tracks=len(tracks))

    def sample(self, per_class: int = 5, *, seed: int = 0, by: str = "label") -> CorpusFrame:
        """So many rows of each class, or all where a class has fewer; rows without a class are a class of their own.

        The same rows for the same seed, in whichever order the frame has them: each row's turn is a hash of the seed
        and of what names the row. So a row that is added moves at most one other out of the sample.

        Args:
            per_class: rows of each class.
            seed: another seed, other rows.
            by: the column that says the class; `label` is looked up where the frame has none.

        Raises:
            ValueError: `per_class` is below 1.
            KeyError: no such column.
        """
        if per_class < 1:
            raise ValueError(f"per_class: expected a number of rows from 1 on, got {per_class}")
        frame = self._frame
        classes = frame[by] if by in frame.columns else self._labels(by)
        names = [name for name in NAMING if name in frame.columns] or list(frame.columns)
        key = hashlib.sha256(str(seed).encode()).hexdigest()[:16]
        turns = pd.util.hash_pandas_object(
            frame[names].astype(str).astype(object), index=False, hash_key=key
        ).to_numpy()
        told = [NO_CLASS if pd.isna(value) else str(value) for value in classes]
        order = pd.DataFrame({"class": told, "turn": turns, "place": range(len(frame))}).sort_values(
            ["class", "turn"], kind="stable"
        )
        places = order.groupby("class", sort=True).head(per_class)["place"].to_numpy()
        return remembering(frame.iloc[places].reset_index(drop=True), self._known, "sample")

    def search(self, query: str, *, limit: int = 20, by: str = "words") -> CorpusFrame:
        """The rows whose text fits best, the best first, with a `score` (higher is better, of one search alone).

        Args:
            query: words; any of them may be there, "words in quotes" stand together. A word is found in its other forms
                too (smile, smiles, smiling).
            limit: at most so many.
            by: `words` is full text (BM25, SQLite's FTS5), `meaning` compares sentences by the packaged encoder, which
                is slow: a dozen texts a second on two busy cores, so of frames of at most 5,000 rows.

        Raises:
            ValueError: `by` or `limit` is not what it may be, or there are too many texts for `meaning`.
        """
        from pipeline.inspection.search import search_by_meaning, search_by_words

        if by not in ("words", "meaning"):
            raise ValueError(f"by: expected 'words' or 'meaning', got {by!r}")
        if limit < 1:
            raise ValueError(f"limit: expected a number of rows from 1 on, got {limit}")
        frame = self._frame if "text" in self._frame.columns else self.texts()
        texts = frame["text"].astype("string").fillna("").tolist()
        found = (search_by_words if by == "words" else search_by_meaning)(texts, query, limit)
        best = frame.iloc[[place for place, _ in found]].reset_index(drop=True)
        best.insert(0, "score", [round(score, 6) for _, score in found])
        return remembering(best, self._known, "search")

    # --- what the frame names

    def _chosen(self) -> pa.Table:
        """Track and version of each text that the frame names."""
        frame, columns = self._frame, set(self._frame.columns)
        if {"track_id", "text_version"} <= columns:
            named = pa.table({
                "track_id": pa.array(frame["track_id"].tolist(), pa.string()),
                "text_version": pa.array(frame["text_version"].tolist(), pa.int32(), from_pandas=True),
            })  # fmt: skip
            return named.group_by(["track_id", "text_version"]).aggregate([])
        by = next((name for name in ("track_id", "video_id") if name in columns), None)
        if by is None:
            raise KeyError(
                "the frame names no texts: expected a column track_id or video_id, got "
                f"{', '.join(map(str, frame.columns)) or 'no columns'}"
            )
        connection = self._known.connect("descriptions")
        connection.register("_named", pa.table({by: pa.array(frame[by].unique().tolist(), pa.string())}))
        of = f"select * from descriptions semi join _named using ({by})"
        newest = f"select track_id, max(text_version) as text_version from ({of}) group by track_id"
        return connection.sql(newest).to_arrow_table()

    def _tracks(self) -> list[str]:
        """Ids of the frame's tracks in its order, as often as they stand there."""
        if "track_id" in self._frame.columns:
            return [str(track_id) for track_id in self._frame["track_id"].tolist()]
        return [str(track_id) for track_id in self._chosen()["track_id"].to_pylist()]

    def _one_track(self) -> str:
        tracks = set(self._tracks())
        if len(tracks) != 1:
            raise ValueError(f"the frame is of {len(tracks)} tracks: say which, evidence(track_id)")
        return tracks.pop()

    def _labels(self, by: str) -> pd.Series:
        """The label of each row, by its video or its track."""
        key = next((name for name in ("video_id", "track_id") if name in self._frame.columns), None)
        if by != "label" or key is None:
            raise KeyError(f"no column {by!r} to sample by; there are: {', '.join(map(str, self._frame.columns))}")
        joined = "select track_id, v.video_id, v.label from tracks t join videos v on v.video_id = t.video_id"
        known = self._known.sql(f"select any_value(label) as label, {key} from ({joined}) group by {key}")
        return self._frame[key].map(known.set_index(key)["label"])

    def _of_chosen(self, query: str, name: str) -> CorpusFrame:
        connection = self._known.connect(query)
        connection.register("_chosen", self._chosen())
        return frame_of(connection.sql(query).to_arrow_table(), self._known, name)


TEXTS_SHOWN = (
    "path", "track_id", "text_version", "status", "draft", "text", "fallback_reason", "label", "split", "video_id",
)  # fmt: skip

NAMING = ("track_id", "text_version", "claim", "clip_id", "review_id", "stage", "unit_id", "video_id")
"""Columns that name a row, as far as a frame has them."""
