"""How people voted on each video, as distributions that a network may be trained against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from pipeline.training.config import TrainConfigError

if TYPE_CHECKING:
    from pipeline.training.clips import ClipList


def read_votes(path: Path, clips: ClipList, labels: Sequence[str]) -> dict[str, list[float]]:
    """Votes for each label by video id, from a table with `path` or `video_id` and a column for each label.

    Raises:
        TrainConfigError: no such file, columns are missing, or a line has no vote or a negative one.
    """
    try:
        table = pq.read_table(path, partitioning=None) if path.suffix == ".parquet" else pacsv.read_csv(path)
    except FileNotFoundError:
        raise TrainConfigError(f"loss.votes: no such file: {path}") from None
    except pa.ArrowInvalid as error:
        raise TrainConfigError(f"loss.votes: {path} cannot be read: {error}") from error
    by = "video_id" if "video_id" in table.column_names else "path"
    if missing := [name for name in (by, *labels) if name not in table.column_names]:
        raise TrainConfigError(
            f"loss.votes: {path} has no column {missing[0]!r}; expected path or video_id, and {', '.join(labels)}"
        )
    names = dict(zip(clips.table[by].to_pylist(), clips.table["video_id"].to_pylist(), strict=True))
    votes = {}
    for row in table.select([by, *labels]).to_pylist():
        counts = [float(row[label] or 0) for label in labels]
        if min(counts) < 0 or not sum(counts) > 0:
            raise TrainConfigError(f"loss.votes: {path} has no vote, or a negative one, for {row[by]!r}")
        if row[by] in names:
            votes[names[row[by]]] = counts
    return votes
