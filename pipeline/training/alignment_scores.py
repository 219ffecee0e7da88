"""Score the alignment of a whole corpus, and list the texts whose words do not meet what they tell.

Shape letters: L = text tokens, N = 16 * 7 * 7 visual tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pipeline import progress
from pipeline.inspection.corpus import Corpus
from pipeline.training.alignment import (
    FACE_COLUMNS,
    ClipFace,
    Told,
    claims_of_truth,
    face_of_clip,
    score_alignment,
    told_actions,
)
from pipeline.training.batches import ClipReader, RawBatch
from pipeline.training.errors import EvaluationError
from schemas.motion import MOTION
from schemas.table import read_cell

if TYPE_CHECKING:
    from pipeline.model.network import GraceNetwork
    from pipeline.model.text import TextTower
    from pipeline.training.assemble import Assembler
    from pipeline.training.clips import ClipList
    from pipeline.training.run_folder import RunFolder

BATCH = 32

MASSES = {"own": "the told words", "all": "all words", "chance": "even mass"}
"""Whose mass is looked at: `own` over `all` is what the words add to where the network looks anyway."""

ASPECTS = ("region", "moment", "both")

NUM_RESAMPLES = 2000


class AlignmentScorer:
    """Knows of each clip of a list what is told, where the face is, and where the tokens stand in the text.

    Faces are read a bucket at a time: ask for clips in the order of `in_reading_order`.
    """

    def __init__(
        self,
        clips: ClipList,
        text_tower: TextTower,
        *,
        text: Literal["description", "draft"] = "description",
        truth: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        dilate: int = 1,
    ) -> None:
        """`truth`: drawn events by path of the video, which then stand for the claims. `dilate`: cells around a region
        that count as it."""
        self.clips, self.tower, self.dilate, self._truth = clips, text_tower, dilate, truth
        self._corpus = Corpus(clips.corpus, clips.snapshot)
        names = ("text", "claims") if text == "description" else ("draft", "draft_claims")
        wanted = ["clip_id", "track_id", "video_id", "path", "label", *names]
        self._rows = clips.table.select(wanted).rename_columns([*wanted[:5], "text", "claims"]).to_pylist()
        self._spans: dict[str, tuple[tuple[int, int], ...]] = {}
        self._bucket: int | None = None
        self._tracks: dict[str, dict[str, Any]] = {}
        self._times: dict[str, dict[str, Any]] = {}

    def in_reading_order(self, positions: Sequence[int] | NDArray[np.int64]) -> list[int]:
        """The same clips, those of one bucket together."""
        return sorted((int(p) for p in positions), key=lambda p: (self._bucket_of(p), p))

    def text(self, position: int) -> str | None:
        """What is said of a clip."""
        text: str | None = self._rows[position]["text"]
        return text

    def told(self, position: int) -> list[Told]:
        """What its text tells of the face. With a truth, of what the text tells only what was drawn."""
        row = self._rows[position]
        if not row["text"]:
            return []
        if self._truth is not None:
            start_s = float(self._track(position)["start_s"])
            return told_actions(row["text"], claims_of_truth(self._truth.get(row["path"], ()), start_s))
        return told_actions(row["text"], [claim for claim in row["claims"] or () if claim["verdict"] == "supported"])

    def face(self, position: int) -> ClipFace:
        """Where the face is in a clip."""
        track, clip = self._track(position), self._times[self._rows[position]["clip_id"]]
        times_T, is_padding_T = (read_cell(MOTION.field(name), clip[name]) for name in ("times_s", "is_padding"))
        return face_of_clip(track, times_T, is_padding_T > 0)

    def spans(self, position: int) -> tuple[tuple[int, int], ...]:
        """The characters of each token of its text."""
        text = self.text(position)
        if not text:
            return ()
        if text not in self._spans:
            self._spans[text] = self.tower.encode([text])[0].spans
        return self._spans[text]

    def score(self, position: int, plan_LN: NDArray[np.floating]) -> list[dict[str, Any]]:
        """The rows of `score_alignment`, with whose they are. `plan_LN` may have more rows than the text has tokens."""
        told = self.told(position)
        if not told:
            return []
        row = self._rows[position]
        whose = {name: row[name] for name in ("clip_id", "track_id", "video_id", "path", "label", "text")}
        scored = score_alignment(plan_LN, self.spans(position), told, self.face(position), dilate=self.dilate)
        return [{**whose, **one} for one in scored]

    def _bucket_of(self, position: int) -> int:
        return self._corpus.store.bucket_of(self._rows[position]["video_id"])

    def _track(self, position: int) -> dict[str, Any]:
        if (bucket := self._bucket_of(position)) != self._bucket:
            part, wanted = self._corpus.of_buckets([bucket]), {row["track_id"] for row in self._rows}
            tracks = part.arrow("tracks", FACE_COLUMNS, of_tracks=wanted).to_pylist()
            times = part.arrow("motion", ["clip_id", "times_s", "is_padding"], of_tracks=None).to_pylist()
            self._tracks = {track["track_id"]: track for track in tracks}
            self._times = {clip["clip_id"]: clip for clip in times}
            self._bucket = bucket
        return self._tracks[self._rows[position]["track_id"]]


# --- asking a network


def plans_of(
    network: GraceNetwork, assembler: Assembler, reader: ClipReader, positions: Sequence[int], batch: int = BATCH
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Each clip's position and plan [L, N].

    Raises:
        EvaluationError: the network aligns nothing.
    """
    device = next(network.parameters()).device
    network.eval()
    for start in range(0, len(positions), batch):
        rows = np.asarray(positions[start : start + batch], np.int64)
        arrays = reader.room(len(rows))
        reader.read(rows, arrays)
        frames, motion, is_known, is_padding = (torch.from_numpy(array) for array in arrays)
        raw = RawBatch(start // batch, rows, frames, motion, is_known, is_padding, weight=len(rows))
        with torch.inference_mode():
            plan_BLN = network(assembler.batch(raw, device=device).batch).plan_BLN
        if plan_BLN is None:
            raise EvaluationError(
                'this network aligns no words (alignment = "none"): train one with "attention", "balanced" or '
                '"unbalanced" to see what its words meet'
            )
        yield from zip(rows.tolist(), plan_BLN.float().cpu().numpy(), strict=True)
        progress.report("read alignments", 0, done=min(start + batch, len(positions)), total=len(positions))


def ask_run(
    run: RunFolder,
    clips: ClipList,
    positions: Sequence[int] | NDArray[np.int64],
    *,
    truth: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    dilate: int = 1,
    device: str = "cpu",
) -> Iterator[tuple[AlignmentScorer, ClipReader, int, NDArray[np.float32]]]:
    """The plan of each of these clips whose text tells an action of the face, from a finished run's network.

    Raises:
        EvaluationError: the run's network aligns nothing.
        RunError, CheckpointError: the run is not over or damaged.
    """
    from pipeline.training.assemble import Assembler

    tower = run.text_tower()
    network = run.load_network(device, tower)
    text = run.config.text
    scorer = AlignmentScorer(clips, tower, text=text, truth=truth, dilate=dilate)
    assembler = Assembler(clips, tower, run.labels, text=text)
    ordered = [position for position in scorer.in_reading_order(positions) if scorer.told(position)]
    with ClipReader(clips, run.config.model.frame_px) as reader:
        for position, plan_LN in plans_of(network, assembler, reader, ordered):
            yield scorer, reader, position, plan_LN


def measure_alignment(
    run: RunFolder,
    clips: ClipList,
    positions: Sequence[int] | NDArray[np.int64],
    *,
    truth: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    dilate: int = 1,
    device: str = "cpu",
) -> pd.DataFrame:
    """How the words of these clips align in a finished run: a row per told action, see `score_alignment`.

    `truth`: the drawn events by path of the video, against which to score instead of the claims, see `read_truth`.

    Raises:
        EvaluationError: the run's network aligns nothing, or none of these clips tells an action of the face.
        RunError, CheckpointError: the run is not over or damaged.
    """
    rows: list[dict[str, Any]] = []
    for scorer, _, position, plan_LN in ask_run(run, clips, positions, truth=truth, dilate=dilate, device=device):
        rows += scorer.score(position, plan_LN)
    if not rows:
        raise EvaluationError(f"none of {len(positions)} clips has a text that tells a supported action of the face")
    return pd.DataFrame(rows)


# --- what comes out


def summarise_alignment(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Means over told actions with 95 % bootstrap intervals over videos: one line per mass and aspect.

    Columns: mass, aspect, mean, low, high, times_chance, num_told, num_videos.
    """
    videos = rows["video_id"].astype("category").cat.codes.to_numpy()
    number = int(videos.max()) + 1
    counts = np.bincount(videos, minlength=number).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(0, number, (NUM_RESAMPLES, number))
    lines = []
    for mass in MASSES:
        for aspect in ASPECTS:
            values = rows[f"{mass}_{aspect}"].to_numpy(np.float64)
            sums = np.bincount(videos, weights=values, minlength=number)
            means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
            low, high = np.quantile(means, [0.025, 0.975])
            chance = float(rows[f"chance_{aspect}"].mean())
            lines.append(
                {
                    "mass": mass,
                    "aspect": aspect,
                    "mean": float(values.mean()),
                    "low": float(low),
                    "high": float(high),
                    "times_chance": float(values.mean()) / chance if chance else float("nan"),
                    "num_told": len(rows),
                    "num_videos": number,
                }
            )
    return pd.DataFrame(lines)


def disagreements(rows: pd.DataFrame, limit: int = 50) -> pd.DataFrame:
    """Told actions whose words meet their own place less than even mass would: texts to look at or refine again.

    The worst first: track_id, path, text, words, action, times_chance, why. A network that aligns nothing lists half of
    all: see `summarise_alignment` first.
    """
    worst = rows.assign(times_chance=rows["own_both"] / rows["chance_both"])
    worst = worst[worst["times_chance"] < 1].sort_values(["times_chance", "clip_id", "start_char"]).head(limit)
    why = pd.Series([_why(row) for row in worst.to_dict("records")], index=worst.index, dtype=str)
    columns = ["track_id", "clip_id", "path", "text", "words", "action", "times_chance"]
    return worst[columns].assign(why=why).reset_index(drop=True)


def _why(row: Mapping[Any, Any]) -> str:
    """What is wrong, in words."""
    reasons = []
    if row["own_region"] < row["chance_region"]:
        where = row["region"] if row["side"] in ("both", "middle") else f"{row['side']} {row['region']}"
        met = f", it is densest on the {row['met_region']}" if row["met_region"] not in row["region"] else ""
        reasons.append(
            f"{row['own_region']:.0%} of its mass is on the {where} (chance {row['chance_region']:.0%}){met}"
        )
    if row["own_moment"] < row["chance_moment"]:
        span = f"{row['start_s']:.1f} to {row['end_s']:.1f} s"
        reasons.append(
            f"{row['own_moment']:.0%} is from {span} (chance {row['chance_moment']:.0%}), most at {row['met_s']:.1f} s"
        )
    if not reasons:
        reasons.append(
            f"region and moment are met, but not together: {row['own_both']:.0%} (chance {row['chance_both']:.0%})"
        )
    return "; ".join(reasons)


def read_truth(path: Any) -> dict[str, list[dict[str, Any]]]:
    """The drawn events of each clip with one face, by file name, of a truth.parquet of synthetic clips."""
    import pyarrow.parquet as pq

    found: dict[str, list[dict[str, Any]]] = {}
    several = set()
    for row in pq.read_table(path, columns=["clip", "face", "events"], partitioning=None).to_pylist():
        if row["clip"] in found:
            several.add(row["clip"])
        found[row["clip"]] = row["events"]
    return {clip: events for clip, events in found.items() if clip not in several}
