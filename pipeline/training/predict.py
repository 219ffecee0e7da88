"""Ask a finished run about the clips of one part of its split, as they are or under a control.

Shape letters: B clips, K labels. Nothing is drawn by chance but what a control shuffles, by a seed that it names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline import progress
from pipeline.training.assemble import Assembler
from pipeline.training.batches import ClipBatches
from pipeline.training.clips import ClipList, list_clips
from pipeline.training.config import TrainResources
from pipeline.training.predictions import CONTROLS, PREDICTIONS, PredictionError, Predictions, read_predictions
from pipeline.training.sampling import SamplingConfig, plan_sampling
from pipeline.training.splits import Part, SplitPlan

if TYPE_CHECKING:
    from pipeline.training.run_folder import RunFolder

VERSION = 1
"""Raised when the same run and control would give other predictions."""

BATCH = 32
CONTROL_SEED = 0
"""Of what a control shuffles: the same for all runs, so that they are asked the same."""

NEEDS_TEXT = frozenset({"no_text", "shuffled_captions", "text_only"})
"""Controls that show nothing where no text is read."""


@dataclass(frozen=True)
class Place:
    """Where a run belongs: which fold of a cross-validation, which arm of an ablation."""

    fold: str | None = None
    arm: str | None = None


class Predictor:
    """A finished run that can be asked. Weights, texts and clips are loaded when the first question needs them."""

    def __init__(
        self,
        run: RunFolder,
        clips: ClipList | None = None,
        resources: TrainResources | None = None,
        place: Place | None = None,
    ) -> None:
        """`clips`: the list that the run was trained from; by default it is made again from the run's snapshot.

        Raises:
            PredictionError: the training is not over.
        """
        if not run.is_done:
            done, planned = run.read_facts().epochs_done, run.config.epochs
            raise PredictionError(
                f"the training at {run.path} is not over ({done} of {planned} epochs): the command that began it goes "
                "on; then evaluate"
            )
        self.run, self._given, self.place = run, clips, place or Place()
        self.resources = resources or TrainResources()
        self._batches: dict[Part, ClipBatches] = {}

    def close(self) -> None:
        """Close the files of the clips, and let go of what was kept of them."""
        for batches in self._batches.values():
            batches.close()
        self._batches.clear()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def clips(self) -> ClipList:
        """The clips of the run's snapshot."""
        return self._given or clips_of_run(self.run)

    @cached_property
    def split(self) -> SplitPlan:
        """The part of each clip, with its label: as the run has stored it."""
        return self.run.split

    def positions(self, part: Part) -> NDArray[np.int64]:
        """Rows of the clip list that are of this part.

        Raises:
            PredictionError: the split has none, or the list lacks some.
        """
        found = self.split.positions(self.clips, part)
        expected = int(np.sum(np.array(self.split.table["split"].to_pylist(), dtype=object) == part))
        if not expected:
            raise PredictionError(f"the split of {self.run.path} has no clip of the part {part!r}")
        if len(found) < expected:
            raise PredictionError(
                f"{expected - len(found)} of {expected} clips of {part} of {self.run.path} are not in snapshot "
                f"{self.clips.snapshot} of {self.clips.corpus}: evaluate with the corpus that it was trained on"
            )
        return found

    def why_not(self, control: str, part: Part) -> str | None:
        """Why a control would show nothing of this run; None where it would."""
        if control not in NEEDS_TEXT:
            return None
        if not self.run.config.model.reads_text:
            return "the network reads no text"
        texts = self.clips.table[self._text_column].take(pa.array(self.positions(part)))
        if control == "shuffled_captions" and len(set(texts.to_pylist()) - {None, ""}) < 2:
            return f"there are no two texts among the clips of {part}"
        return None if texts.null_count < len(texts) else f"no clip of {part} has a text"

    def predict(self, part: Part = "test", control: str = "none", *, anew: bool = False) -> Predictions:
        """What the run says of each clip of a part; stored in its folder, and taken from there the next time.

        Raises:
            PredictionError: an unknown control, or clips that are gone.
            RunError, CheckpointError: weights that are damaged or not those of the training.
        """
        if control not in CONTROLS:
            raise PredictionError(f"no control {control!r}; there are: {', '.join(CONTROLS)}")
        path = prediction_path(self.run.path, part, control)
        key = self._key(part, control)
        if path.exists() and not anew:
            try:
                stored = read_predictions(path)
                if stored.made_with == key:
                    return stored
            except PredictionError:
                pass  # a damaged file is only a memory of what can be asked again
        made = Predictions(self._ask(part, control), tuple(self.run.labels), key)
        made.write(path)
        return made

    def _key(self, part: Part, control: str) -> str:
        own = (VERSION, CONTROL_SEED, part, control, self.run.config.text)
        facts = self.run.facts
        said = repr((*own, self.weights_key, facts.split_key, facts.clips_key, facts.corpus, facts.snapshot))
        return hashlib.sha256(said.encode()).hexdigest()[:32]

    @cached_property
    def weights_key(self) -> str:
        """SHA-256 of the weights that the training gave."""
        with self.run.weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def _text_column(self) -> str:
        return "text" if self.run.config.text == "description" else "draft"

    @cached_property
    def _device(self) -> torch.device:
        return torch.device(self.resources.torch_device)

    @cached_property
    def _asked(self) -> tuple[Any, Assembler]:
        """Network and assembler."""
        if self.resources.threads is not None:
            torch.set_num_threads(self.resources.threads)
        tower = self.run.text_tower()
        network = self.run.load_network(self._device, tower)
        assembler = Assembler(self.clips, tower, self.run.labels, text=self.run.config.text)
        return network, assembler

    def _of_part(self, part: Part) -> ClipBatches:
        """The clips of a part in the order of their ids; kept, so that each control finds them in memory."""
        if part not in self._batches:
            config = self.run.config
            self._batches[part] = ClipBatches(
                self.clips,
                plan_sampling(self.split, SamplingConfig(shuffle=False), part),
                frame_px=config.model.frame_px,
                global_batch=BATCH,
                rank=0,
                world_size=1,
                workers=self.resources.workers,
                cache_bytes=self.resources.cache_mb * 2**20,
            )
        return self._batches[part]

    def _ask(self, part: Part, control: str) -> pa.Table:
        wanted = self.positions(part)
        network, assembler = self._asked
        if control == "shuffled_captions":
            assembler = assembler.with_shuffled_captions(wanted, CONTROL_SEED)
        positions, found = [], []
        stage = f"ask about {part}, {control.replace('_', ' ')}"
        is_half = self._device.type == "cuda" and self.resources.precision != "fp32"
        for raw in self._of_part(part).epoch(0):
            with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=is_half):
                made = assembler.batch(
                    raw,
                    device=self._device,
                    drops_text=control == "no_text" or not self.run.config.model.reads_text,
                    shuffles_frames=CONTROL_SEED if control == "shuffled_frames" else None,
                    blanks_frames=control == "text_only",
                )
                logits_BK = network(made.batch).logits_BK
            positions.append(raw.positions)
            found.append(logits_BK.float().softmax(-1).cpu().numpy())
            progress.report(stage, 0, done=sum(map(len, positions)), total=len(wanted))
        return self._table(np.concatenate(positions), np.concatenate(found), control)

    def _table(self, positions: NDArray[np.int64], probabilities_NK: NDArray[np.float32], control: str) -> pa.Table:
        names, labels, split = ["clip_id", "track_id", "video_id", "group"], self.run.labels, self.split.table
        rows = self.clips.table.select(names).take(pa.array(positions)).to_pylist()
        label_of = dict(zip(split["clip_id"].to_pylist(), split["label"].to_pylist(), strict=True))
        said = {"fold": self.place.fold, "arm": self.place.arm, "seed": self.run.config.seed, "control": control}
        return PREDICTIONS.rows(
            {
                **row,
                **said,
                "label": label_of[row["clip_id"]],
                "probabilities": own.tolist(),
                "predicted": labels[int(own.argmax())],
            }
            for row, own in zip(rows, probabilities_NK, strict=True)
        )


def prediction_path(run: Path, part: str, control: str) -> Path:
    """Where the predictions of a run lie."""
    return run / "predictions" / f"{part}-{control}.parquet"


def clips_of_run(run: RunFolder) -> ClipList:
    """The clip list of a run's snapshot, with the labels that the run learnt. Raises as `list_clips`."""
    facts = run.facts
    split = run.split.table
    wanted = set(split["clip_id"].to_pylist())
    listed = list_clips(facts.corpus, snapshot=facts.snapshot)
    if not wanted <= set(listed.table["clip_id"].to_pylist()):
        listed = list_clips(facts.corpus, snapshot=facts.snapshot, faces="all")
    if listed.key == facts.clips_key:
        return listed
    # Labels came from a file of folds: the run has kept them.
    label_of = dict(zip(split["clip_id"].to_pylist(), split["label"].to_pylist(), strict=True))
    clip_ids, labels = listed.table["clip_id"].to_pylist(), listed.table["label"].to_pylist()
    known = [label_of.get(clip, label) for clip, label in zip(clip_ids, labels, strict=True)]
    place = listed.table.column_names.index("label")
    return replace(listed, table=listed.table.set_column(place, "label", pa.array(known, pa.string())))
