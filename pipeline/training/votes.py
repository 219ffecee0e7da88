"""How people voted on each video, as distributions that a network may be trained against.

A data set's reader or a manifest puts votes into the corpus (`videos.votes`); a table of one's own may stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from pipeline.inspection.corpus import Corpus
from pipeline.training.config import TrainConfigError
from pipeline.videos.label_names import label_name

if TYPE_CHECKING:
    from pipeline.training.clips import ClipList


def votes_of(source: Path | Literal[True] | None, clips: ClipList, labels: Sequence[str]) -> dict[str, list[float]]:
    """Votes for each label by video id: out of the corpus (True), out of a table, or none.

    Raises:
        TrainConfigError: as `read_votes` and `votes_of_corpus`.
    """
    if source is None:
        return {}
    return votes_of_corpus(clips, labels) if source is True else read_votes(source, clips, labels)


def votes_of_corpus(clips: ClipList, labels: Sequence[str]) -> dict[str, list[float]]:
    """Votes for each label by video id, as the corpus of the clips has them: `happy` is a vote for `happiness`.

    Votes for what is no class are left out. A video that has no other is not among those that are returned.

    Raises:
        TrainConfigError: no video of the clips has a vote for any of the labels.
    """
    place = {label_name(label): number for number, label in enumerate(labels)}
    wanted = set(clips.table["video_id"].to_pylist())
    votes = {}
    for row in Corpus(clips.corpus, clips.snapshot).arrow("videos", ["video_id", "votes"]).to_pylist():
        counts = [0.0] * len(labels)
        for vote in (row["votes"] or ()) if row["video_id"] in wanted else ():
            if (number := place.get(label_name(vote["label"]))) is not None:
                counts[number] += vote["votes"]
        if sum(counts) > 0:
            votes[row["video_id"]] = counts
    if not votes:
        raise TrainConfigError(
            f"loss.votes: no video in snapshot {clips.snapshot} of {clips.corpus} has votes for {', '.join(labels)}: "
            "build from a data set or a manifest that has votes, name a table of them, or leave `votes` out"
        )
    return votes


def read_votes(path: Path, clips: ClipList, labels: Sequence[str]) -> dict[str, list[float]]:
    """Votes for each label by video id, from a table with `path` or `video_id` and a column for each label.

    Raises:
        TrainConfigError: no such file, columns are missing, or a line has no vote or a negative one.
    """
    try:
        table = pq.read_table(path, partitioning=None) if path.suffix == ".parquet" else pacsv.read_csv(path)
        columns = table.column_names  # which raises where a name is no UTF-8
    except FileNotFoundError:
        raise TrainConfigError(f"loss.votes: no such file: {path}") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TrainConfigError(f"loss.votes: {path} cannot be read: {error}") from error
    by = "video_id" if "video_id" in columns else "path"
    if missing := [name for name in (by, *labels) if columns.count(name) != 1]:
        raise TrainConfigError(
            f"loss.votes: {path} has no column {missing[0]!r}, or two of it; expected path or video_id, and "
            f"{', '.join(labels)}"
        )
    names = dict(zip(clips.table[by].to_pylist(), clips.table["video_id"].to_pylist(), strict=True))
    votes = {}
    for row in table.select([by, *labels]).to_pylist():
        counts = [_number(row[label]) for label in labels]
        if not min(counts) >= 0 or not 0 < sum(counts) < math.inf:
            raise TrainConfigError(
                f"loss.votes: {path} has no vote, a negative one, or one that is no number, for {row[by]!r}"
            )
        if isinstance(row[by], str) and row[by] in names:
            votes[names[row[by]]] = counts
    return votes


def _number(cell: Any) -> float:
    """The votes in a cell; an empty one has none, and what is no number is not a number."""
    try:
        return float(cell or 0)
    except (TypeError, ValueError, OverflowError):
        return math.nan
