"""What a run says of each clip, as a table, and of each video: the form in which everything else judges a run.

Shape letters: N videos, K labels. A video is scored, not a clip: one that was cut into many clips counts once.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import log_softmax

from pipeline.training.errors import EvaluationError
from schemas.table import Table, column

CONTROLS: Mapping[str, str] = {
    "none": "the clip and its own text",
    "no_text": "the clip without its text",
    "shuffled_captions": "each clip with the text of another video",
    "shuffled_frames": "the frames of each clip in another order",
    "text_only": "the text with frames that show nothing",
}
"""What a run is shown in place of its clips, to find out what it looks at."""

PREDICTIONS = Table(
    name="predictions",
    version=1,
    meaning="what a finished run says of one training clip",
    primary_key=("clip_id",),
    columns=(
        column("clip_id", pa.string(), "the clip"),
        column("track_id", pa.string(), "the face track that it was cut from"),
        column("video_id", pa.string(), "the video, which is what is scored"),
        column("group", pa.string(), "the person or film of the video; null where not known", nullable=True),
        column("label", pa.string(), "the label that people gave"),
        column("fold", pa.string(), "fold that the run belongs to; null outside of a cross-validation", nullable=True),
        column("seed", pa.int64(), "seed of the run"),
        column("arm", pa.string(), "arm of an ablation; null outside of one", nullable=True),
        column("control", pa.string(), f"what the run was shown: {', '.join(CONTROLS)}"),
        column("probabilities", pa.list_(pa.float32()), "one for each label of the run, in the order of `labels`"),
        column("predicted", pa.string(), "the label of the greatest probability"),
    ),
)

_SMALLEST = float(np.finfo(np.float32).tiny)
"""Stands in for a probability that underflowed to 0, whose logarithm would be infinite."""


class PredictionError(EvaluationError):
    """Predictions that cannot be judged: the message says which, and what to do."""


@dataclass(frozen=True)
class Predictions:
    """A table of predictions, the order of its probabilities, and the key of what they were made with."""

    table: pa.Table
    labels: tuple[str, ...]
    made_with: str

    def write(self, path: Path) -> Path:
        """Write the table as Parquet, whole or not at all."""
        rows = PREDICTIONS.conform(self.table)
        own = {"labels": json.dumps(self.labels), "made_with": self.made_with}
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            pq.write_table(rows.replace_schema_metadata({**rows.schema.metadata, **own}), beside)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        return path


def read_predictions(path: Path) -> Predictions:
    """Read what `Predictions.write` wrote.

    Raises:
        PredictionError: no such file, or it holds something else.
    """
    try:
        table = pq.read_table(path, partitioning=None)
        metadata = table.schema.metadata or {}
        labels = tuple(map(str, json.loads(metadata[b"labels"])))
        return Predictions(PREDICTIONS.conform(table), labels, metadata[b"made_with"].decode())
    except FileNotFoundError as error:
        raise PredictionError(f"{path} is not there: `facescribe evaluate` writes it from a finished run") from error
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise PredictionError(f"{path} is no table of predictions ({error}): delete it and evaluate again") from error


@dataclass(frozen=True, eq=False)
class Scored:
    """Videos with what they are and what a run says of them."""

    labels: tuple[str, ...]
    video_ids: tuple[str, ...]
    """In ascending order."""
    groups: tuple[str | None, ...]
    truth_N: NDArray[np.int64]
    log_probabilities_NK: NDArray[np.float64]
    """Normalised over the labels."""
    unlearnt: tuple[str, ...] = ()
    """Labels of these videos that the run does not know: it is wrong about each of them, which is counted."""

    @property
    def predicted_N(self) -> NDArray[np.int64]:
        """The most probable label of each video; of equal ones the first."""
        best: NDArray[np.int64] = np.argmax(self.log_probabilities_NK, axis=1)
        return best

    @property
    def clusters(self) -> tuple[str, ...]:
        """What is drawn together when videos are drawn: the group where it is known, else the video alone."""
        pairs = zip(self.groups, self.video_ids, strict=True)
        return tuple(f"video {video}" if group is None else f"group {group}" for group, video in pairs)

    @cached_property
    def clusters_N(self) -> NDArray[np.int64]:
        """Number of each video's cluster; runs over the same videos number them alike."""
        return np.unique(np.array(self.clusters, dtype=object), return_inverse=True)[1].astype(np.int64)

    @property
    def drawn_by(self) -> str:
        """What an interval resamples, in a word."""
        if all(group is None for group in self.groups):
            return "video"
        return "group" if None not in self.groups else "group where known, else video"


def per_video(predictions: Predictions) -> Scored:
    """Score videos: the mean of the log-probabilities of a video's clips, normalised again.

    Raises:
        PredictionError: there is no row, or the rows of a video disagree about its label or group.
    """
    table, known = predictions.table, predictions.labels
    if not table.num_rows:
        raise PredictionError("there is no clip to judge: the split has none, or none of it has a label")
    facts: dict[str, tuple[str, str | None]] = {}
    for video, label, group in zip(*(table[name].to_pylist() for name in ("video_id", "label", "group")), strict=True):
        if facts.setdefault(video, (label, group)) != (label, group):
            raise PredictionError(
                f"video {video} has clips of {facts[video]} and of {(label, group)}: a video has one label and one "
                "group; build the corpus again, or delete the predictions and evaluate again"
            )
    unlearnt = tuple(sorted({label for label, _ in facts.values()} - set(known)))
    labels = (*known, *unlearnt)
    videos, positions = np.unique(np.array(table["video_id"].to_pylist(), dtype=object), return_inverse=True)
    flat = table["probabilities"].combine_chunks().flatten().to_numpy().astype(np.float64)
    if flat.size != table.num_rows * len(known):
        raise PredictionError(
            f"{table.num_rows} clips have {flat.size} probabilities, expected {len(known)} for each, one a label"
        )
    logarithms = np.log(np.maximum(flat.reshape(table.num_rows, len(known)), _SMALLEST))
    sums = np.zeros((len(videos), len(known)))
    np.add.at(sums, positions, logarithms)
    means = sums / np.bincount(positions)[:, None]
    unseen = np.full((len(videos), len(unlearnt)), np.log(_SMALLEST))
    return Scored(
        labels=labels,
        video_ids=tuple(videos.tolist()),
        groups=tuple(facts[video][1] for video in videos),
        truth_N=np.array([labels.index(facts[video][0]) for video in videos], dtype=np.int64),
        log_probabilities_NK=log_softmax(np.concatenate([log_softmax(means, axis=1), unseen], axis=1), axis=1),
        unlearnt=unlearnt,
    )


def together(parts: Sequence[Scored]) -> Scored:
    """Videos of several runs as one, such as the test videos of five folds.

    Raises:
        PredictionError: the runs have other labels, or a video is in two of them.
    """
    labels = parts[0].labels
    for part in parts:
        if set(part.labels) != set(labels):
            raise PredictionError(f"runs of different labels: {', '.join(labels)} and {', '.join(part.labels)}")
    videos = [video for part in parts for video in part.video_ids]
    if len(set(videos)) < len(videos):
        twice = sorted({video for video in videos if videos.count(video) > 1})[0]
        raise PredictionError(f"video {twice} is tested in two of these runs: each video may be in one test set only")
    order = np.argsort(np.array(videos, dtype=object), kind="stable")
    # A label's number may differ between runs: names decide.
    of_first = [np.array([part.labels.index(label) for label in labels]) for part in parts]
    truth = np.concatenate(
        [np.array([labels.index(part.labels[number]) for number in part.truth_N], dtype=np.int64) for part in parts]
    )
    scores = np.concatenate(
        [part.log_probabilities_NK[:, columns] for part, columns in zip(parts, of_first, strict=True)]
    )
    groups = [group for part in parts for group in part.groups]
    return Scored(
        labels=labels,
        video_ids=tuple(videos[number] for number in order),
        groups=tuple(groups[number] for number in order),
        truth_N=truth[order],
        log_probabilities_NK=scores[order],
        unlearnt=tuple(sorted({label for part in parts for label in part.unlearnt})),
    )
