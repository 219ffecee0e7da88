"""Dataframes that know their corpus: from Arrow without copying, with place and snapshot in `attrs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from pipeline.inspection.accessor import FacescribeAccessor
    from pipeline.inspection.corpus import Corpus

    class CorpusFrame(pd.DataFrame):
        """A dataframe of a corpus, as type checkers see it: a plain one, with `facescribe` on it."""

        facescribe: FacescribeAccessor

else:
    CorpusFrame = pd.DataFrame

REMEMBERED = "facescribe"
"""Key in a frame's `attrs`. What stands there is plain, so that pandas copies it quickly and Parquet can carry it."""


def frame_of(rows: pa.Table, corpus: Corpus, name: str) -> CorpusFrame:
    """Rows as a dataframe that remembers `corpus`; lists and records stay Arrow's and are made Python's when looked at.

    A million lists as Python objects would take a minute and gigabytes; so a cell of them is a list of mappings, made
    anew at every look.
    """
    return remembering(rows.to_pandas(types_mapper=_kept_as_arrow), corpus, name)


def remembering(frame: pd.DataFrame, corpus: Corpus, name: str) -> CorpusFrame:
    """The same frame, which now knows where it is from."""
    place = corpus.place if "://" in corpus.place else str(Path(corpus.place).absolute())
    frame.attrs[REMEMBERED] = {"root": place, "snapshot": corpus.snapshot.number, "rows_of": name}
    return cast("CorpusFrame", frame)


def corpus_of(frame: pd.DataFrame) -> Corpus:
    """The corpus, at the snapshot, that a frame is from.

    Raises:
        AttributeError: the frame does not know, or no longer.
    """
    from pipeline.inspection.corpus import Corpus

    known: Any = frame.attrs.get(REMEMBERED)
    if not isinstance(known, dict) or not {"root", "snapshot"} <= known.keys():
        raise AttributeError(
            "this dataframe does not know its corpus: take one that a Corpus gives, such as corpus.descriptions(); "
            "pandas forgets it when frames of different origin are merged, and corpus.adopt(frame) tells it again"
        )
    return Corpus(known["root"], known["snapshot"])


def _kept_as_arrow(dtype: pa.DataType) -> pd.ArrowDtype | None:
    return pd.ArrowDtype(dtype) if pa.types.is_nested(dtype) else None
