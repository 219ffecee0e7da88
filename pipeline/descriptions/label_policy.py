"""Text whose writer saw the label may be trained on and never be tested with: refuse it everywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

TRAIN = "train"
"""The one split in which a text may have been written with the label in view."""


class LabelLeakError(ValueError):
    """A text that gives its label away would be used outside of training."""


def refuse_seen_labels(rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise unless every row that `saw_label` is of the split "train". Rows need track_id, saw_label and split.

    Every way from the corpus into training or evaluation goes through here.

    Raises:
        LabelLeakError: names how many rows, the first of them, and what to do.
    """
    leaking = [row for row in rows if row["saw_label"] and row["split"] != TRAIN]
    if leaking:
        first = leaking[0]
        raise LabelLeakError(
            f"{len(leaking)} texts were written by a model that saw the label and are not of the split {TRAIN!r}, the "
            f"first is of track {first['track_id']} (split {first['split']!r}): they would be tested on their own "
            'answer. Build with `[descriptions] label = "never"`, or leave these rows out'
        )
