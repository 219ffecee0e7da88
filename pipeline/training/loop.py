"""The loop of a training: steps, a look at the validation clips after each epoch, checkpoints to go on from.

Whatever a step draws by chance hangs on seed, epoch, batch and clip. So a training that goes on from a checkpoint takes
the very steps that it would have taken, on a CPU to the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline import progress
from pipeline.model.network import GraceNetwork, Readout, build_network
from pipeline.model.text import TextTower, load_text_tower
from pipeline.model.towers import ClipTower
from pipeline.store import now
from pipeline.training.assemble import Assembler, Draw
from pipeline.training.batches import ClipBatches, RawBatch
from pipeline.training.chance import seed_of
from pipeline.training.checkpoint import (
    Place,
    appearing_whole,
    checkpoints,
    read_checkpoint,
    read_tensors,
    restore_optimizer,
    state_of_optimizer,
    write_checkpoint,
    write_tensors,
)
from pipeline.training.clips import ClipList
from pipeline.training.config import TrainConfig, TrainResources
from pipeline.training.errors import CheckpointError, DivergedError, RunError, TrainingInterruptedError
from pipeline.training.logbook import Logbook
from pipeline.training.loss import Objective, prior_of
from pipeline.training.manifest import TrainingError
from pipeline.training.optimizer import RunningMean, build_optimizer, rate_share, set_rates
from pipeline.training.ranks import Ranks
from pipeline.training.run_folder import RunFacts, RunFolder, learnt, load_learnt, pretrained_weights, software
from pipeline.training.sampling import SamplingConfig, plan_sampling
from pipeline.training.splits import SplitPlan, plan_splits
from pipeline.training.stopping import Stop
from pipeline.training.validation import validate
from pipeline.training.votes import votes_of

CLIP_BYTES = 16 * 3
"""Bytes that a clip takes in memory per pixel of a frame."""


@dataclass(frozen=True)
class Progress:
    """How far a training is, for who watches."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    clips_per_s: float
    left_s: float
    validation: Mapping[str, float]
    """Figures after the last epoch; empty before the first is over."""


@dataclass
class _Tally:
    """Sums since the last line of the log."""

    losses: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    clips: int = 0
    begun: float = field(default_factory=time.monotonic)
    worst_norm: Tensor | None = None

    def add(self, losses: Mapping[str, Tensor], norm: Tensor, clips: int) -> None:
        for name, value in losses.items():
            self.losses[name] = self.losses.get(name, 0) + value.detach()
        # The larger of two, or none that is a number if either is not.
        self.worst_norm = norm if self.worst_norm is None else torch.maximum(self.worst_norm, norm)
        self.steps += 1
        self.clips += clips


class Training:
    """All that one process has in its hands between the first and the last step."""

    def __init__(
        self,
        folder: RunFolder,
        begun: RunFacts | None,
        config: TrainConfig,
        resources: TrainResources,
        ranks: Ranks,
        clips: ClipList,
        split: SplitPlan | None,
    ) -> None:
        self._folder, self._config, self._resources, self._ranks, self._clips = folder, config, resources, ranks, clips
        self._split = split or plan_splits(clips, config.split, config.seed, labels=config.labels)
        self._plan = plan_sampling(self._split, config.sampling)
        labels = tuple(config.labels or self._split.labels)
        device = ranks.device
        self._dtype = _dtype(resources, device)

        tower = load_text_tower(config.model)
        torch.manual_seed(seed_of(config.seed, "first weights"))
        self._network: GraceNetwork = build_network(config.model, labels, tower).to(device)
        if resources.compiles and isinstance(self._network.tower, ClipTower):
            self._network.tower.compile_layers()
        self._assembler, self._shown = self._assemblers(tower, labels)
        drawn = self._plan.rows_of(clips)[self._plan.epoch_order(config.seed, 0)]
        prior_K = prior_of(self._assembler.targets(drawn))
        self._objective = Objective(config.loss, prior_K).to(device)
        modules = {"network": self._network, "objective": self._objective}
        self._optimizer, self._parameters = build_optimizer(modules, config)
        self._mean = RunningMean(self._network, config.ema_decay)

        self._batches, self._validation = self._readers()
        self._steps = config.epochs * len(self._batches)
        facts = RunFacts(
            config=config,
            config_key=config.key(),
            labels=labels,
            prior=tuple(prior_K.tolist()),
            corpus=clips.corpus if "://" in clips.corpus else str(Path(clips.corpus).resolve()),
            snapshot=clips.snapshot,
            clips_key=clips.key,
            split_key=self._split.key,
            plan_key=self._plan.key,
            weights={"text tower": tower.key, **pretrained_weights(config)},
            software=software(),
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            precision=str(self._dtype).removeprefix("torch."),
            started_at=now(),
        )
        if begun is not None:
            _refuse_other_material(folder, begun, facts)
        self._facts = begun or facts
        self._place = Place(
            config_key=facts.config_key,
            snapshot=facts.snapshot,
            clips_key=facts.clips_key,
            world_size=ranks.world_size,
            epoch=0,
            batch=0,
            step=0,
        )
        self._go_on()
        self._log: Logbook | None = None
        if ranks.is_first:
            if begun is None:
                for path, plan in (
                    (folder.path / "split.parquet", self._split),
                    (folder.path / "plan.parquet", self._plan),
                ):
                    with appearing_whole(path) as temporary:
                        plan.write(temporary)
            folder.write_facts(self._facts)
            self._log = Logbook(folder.path, from_step=self._place.step)
        if config.needs_text:
            self._assembler.read_texts(self._plan.rows_of(clips).tolist(), mirrored=config.augment.flip > 0)
        self._since_checkpoint = time.monotonic()
        self._found: dict[str, float] = {}
        self._seen: dict[str, Tensor] = {}

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *_: object) -> None:
        self._batches.close()
        if self._validation is not None:
            self._validation.close()
        if self._log is not None:
            self._log.close()

    def _assemblers(self, tower: TextTower, labels: tuple[str, ...]) -> tuple[Assembler, Assembler]:
        """What joins training clips, and what joins validation clips, which have their own labels in any case."""
        config, clips = self._config, self._clips
        votes = votes_of(config.loss.votes, clips, labels)
        plain = Assembler(clips, tower, labels, text=config.text if config.needs_text else None)
        training = Assembler(clips, tower, labels, text=config.text if config.needs_text else None, votes=votes)
        train = self._split.positions(clips, "train")
        if config.shuffle_captions:
            training = training.with_shuffled_captions(train, config.seed)
            plain = plain.with_shuffled_captions(self._split.positions(clips, "validation"), config.seed)
        if config.shuffle_labels:
            training = training.with_shuffled_labels(train, config.seed)
        return training, plain

    def _readers(self) -> tuple[ClipBatches, ClipBatches | None]:
        config, resources, ranks = self._config, self._resources, self._ranks
        clip_bytes = CLIP_BYTES * config.model.frame_px**2
        validation = self._split.positions(self._clips, "validation")
        room = resources.cache_mb * 1_000_000
        for_validation = min(room // 4, len(validation) * clip_bytes)

        def read(part: str, sampling: SamplingConfig, cache_bytes: int) -> ClipBatches:
            plan = plan_sampling(self._split, sampling, part)
            return ClipBatches(
                self._clips,
                plan,
                frame_px=config.model.frame_px,
                global_batch=config.batch,
                seed=config.seed,
                rank=ranks.rank,
                world_size=ranks.world_size,
                workers=resources.workers,
                cache_bytes=cache_bytes,
            )

        if config.keep == "best" and not len(validation):
            raise TrainingError(
                "keep = best needs validation clips: set split.validation_share above 0, or keep = last"
            )
        training = read("train", config.sampling, room - for_validation)
        return training, read("validation", SamplingConfig(shuffle=False), for_validation) if len(validation) else None

    def _go_on(self) -> None:
        """Take up the last checkpoint, if there is one. Every rank reads it."""
        found = checkpoints(self._folder.checkpoints)
        # The first rank decides which, since it alone writes and deletes.
        number = self._ranks.from_first([len(found)])[0]
        if not number:
            self._ranks.take_from_first(learnt(self._network).values())
            return
        path = found[-1]
        place, tensors = read_checkpoint(path)
        for what in ("config_key", "snapshot", "clips_key"):
            if getattr(place, what) != getattr(self._place, what):
                raise CheckpointError(f"{path} is of another run ({what}): delete it, or train into another folder")
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "mean": {}, "objective": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor
        load_learnt(self._network, parts["network"], path)
        self._objective.load_state_dict(parts["objective"])
        for name, tensor in parts["mean"].items():
            self._mean.tensors[name].copy_(tensor)
        names = {parameter: name for name, parameter in self._parameters.items()}
        restore_optimizer(self._optimizer, names, parts["optimizer"])
        self._place = place.model_copy(update={"world_size": self._ranks.world_size})

    def run(self, stop: Stop, on_progress: Callable[[Progress], None] | None) -> None:
        """Every step that is left."""
        for epoch in range(self._place.epoch, self._config.epochs):
            self._train_epoch(epoch, stop, on_progress)
            self._end_epoch(epoch, on_progress)
            if epoch + 1 < self._config.epochs and self._ranks.any(stop.is_asked):
                self._stop()
        self._finish()

    def _train_epoch(self, epoch: int, stop: Stop, on_progress: Callable[[Progress], None] | None) -> None:
        self._network.train()
        tally = _Tally()
        done = self._place.batch
        for raw in self._batches.epoch(epoch, start_batch=done):
            stops = self._step(raw, epoch, tally, stops=stop.is_asked)
            self._place = self._place.model_copy(
                update={"epoch": epoch, "batch": raw.number + 1, "step": self._place.step + 1}
            )
            is_last = raw.number + 1 == len(self._batches)
            is_due = time.monotonic() - self._since_checkpoint > self._resources.checkpoint_s and not is_last
            if self._ranks.world_size > 1:
                is_due = is_due and self._place.step % self._resources.log_every == 0  # all tell, or none does
            if self._place.step % self._resources.log_every == 0 or is_last or is_due or stops:
                self._tell(epoch, tally, on_progress)
                tally = _Tally()
            if stops:
                self._stop()
            if is_due:
                self._save()

    def _step(self, raw: RawBatch, epoch: int, tally: _Tally, *, stops: bool) -> bool:
        config, ranks = self._config, self._ranks
        torch.manual_seed(seed_of(config.seed, "dropout", epoch, raw.number, ranks.rank))
        draw = Draw(config.seed, epoch, config.augment, config.text_dropout, config.shuffle_frames)
        made = self._assembler.batch(raw, device=ranks.device, draw=draw)
        set_rates(
            self._optimizer,
            rate_share(self._place.step, self._steps, config.warmup_epochs * len(self._batches)),
        )
        self._optimizer.zero_grad(set_to_none=True)
        if len(made.batch):
            with torch.autocast(ranks.device.type, self._dtype, enabled=self._dtype != torch.float32):
                readout = self._network(made.batch)
        else:
            readout = _nothing_seen(made.target_BK, config.model.width)
        losses = self._objective(readout, made.target_BK, made.text_key_B, raw.weight)
        if losses.total.requires_grad:
            losses.total.backward()
        parameters = list(self._parameters.values())
        stops = ranks.sum_gradients(parameters, stops=stops)
        norm = torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        self._optimizer.step()
        self._mean.update(self._place.step)
        tally.add(losses.figures(), norm, raw.weight)
        self._seen = readout.figures or self._seen
        return stops

    def _tell(self, epoch: int, tally: _Tally, on_progress: Callable[[Progress], None] | None) -> None:
        """Log what was summed up since the last line, and refuse to go on with what is no number."""
        names = sorted(tally.losses)
        sums = self._ranks.sum(torch.stack([tally.losses[name].float() for name in names]))
        means = {name: value / tally.steps for name, value in zip(names, sums.tolist(), strict=True)}
        assert tally.worst_norm is not None
        norm = float(tally.worst_norm)
        if not (math.isfinite(norm) and math.isfinite(means["loss"])):
            raise DivergedError(
                f"the loss is no number any more at step {self._place.step} (epoch {epoch + 1}): lower learning_rate "
                f"or lengthen warmup_epochs, in another folder; {self._folder.checkpoints} holds what was before"
            )
        elapsed = time.monotonic() - tally.begun
        self._place = self._place.model_copy(update={"trained_s": self._place.trained_s + elapsed})
        step = self._place.step
        if self._log is None:
            return
        rate = {"learning_rate": self._optimizer.param_groups[0]["lr"], "gradient_norm": norm}
        seen = {name: float(value) for name, value in self._seen.items()}
        speed = tally.clips / max(elapsed, 1e-9)
        self._log.log(step, epoch, "train", means | rate | seen | {"clips_per_s": speed})
        progress.report("train", 0, done=step, total=self._steps)
        if on_progress is not None:
            left_s = (self._steps - step) * elapsed / tally.steps
            on_progress(
                Progress(
                    epoch, self._config.epochs, step, self._steps, means["loss"], speed, left_s, self._facts.validation
                )
            )

    def _end_epoch(self, epoch: int, on_progress: Callable[[Progress], None] | None) -> None:
        """Validate the mean weights, remember the best, and write a checkpoint that begins the next epoch."""
        found: dict[str, float] = {}
        with self._mean.in_place():
            if self._validation is not None:
                found = validate(self._network, self._validation, self._clips, self._shown, self._ranks, self._dtype)
        best = self._place.best_uar
        update: dict[str, Any] = {"epoch": epoch + 1, "batch": 0}
        if found and (best is None or found["uar"] > best):
            update |= {"best_epoch": epoch, "best_uar": found["uar"]}
            if self._ranks.is_first and self._config.keep == "best":
                said = self._said(epoch) | {name: str(value) for name, value in found.items()}
                write_tensors(self._folder.checkpoints / "best.safetensors", self._mean.tensors, said)
        self._place = self._place.model_copy(update=update)
        self._found = found
        if self._log is not None:
            self._log.log(self._place.step, epoch, "validation", found)
            self._facts = self._facts.model_copy(
                update={
                    "epochs_done": epoch + 1,
                    "steps_done": self._place.step,
                    "validation": found,
                    "trained_s": self._place.trained_s,
                }
            )
            self._folder.write_facts(self._facts)
        self._save()

    def _save(self) -> None:
        self._since_checkpoint = time.monotonic()
        if self._log is None:
            return
        names = {parameter: name for name, parameter in self._parameters.items()}
        parts: dict[str, Mapping[str, Tensor]] = {
            "network": learnt(self._network),
            "mean": self._mean.tensors,
            "objective": self._objective.state_dict(),
            "optimizer": state_of_optimizer(self._optimizer, names),
        }
        tensors = {f"{part}/{name}": value for part, named in parts.items() for name, value in named.items()}
        write_checkpoint(self._folder.checkpoints, self._place, tensors)
        self._log.write()

    def _stop(self) -> None:
        self._save()
        self._ranks.wait_for_all()  # torchrun ends all as soon as one has ended
        place = self._place
        raise TrainingInterruptedError(
            f"interrupted in epoch {place.epoch + 1} of {self._config.epochs}, after step {place.step} of "
            f"{self._steps}; saved in {self._folder.checkpoints}: the same command goes on from there"
        )

    def _finish(self) -> None:
        """Write the weights that the training gives. Last, so that they are there when run.json says so."""
        if self._ranks.is_first:
            tensors: Mapping[str, Tensor] = self._mean.tensors
            epoch, found = self._config.epochs - 1, self._found or self._facts.validation
            if self._config.keep == "best":
                tensors, said = read_tensors(self._folder.checkpoints / "best.safetensors")
                epoch = int(said["epoch"])
                found = {name: float(said[name]) for name in ("uar", "war", "nll")}
            write_tensors(self._folder.weights, tensors, self._said(epoch))
            done = {
                "state": "done",
                "epochs_done": self._config.epochs,
                "steps_done": self._place.step,
                "kept_epoch": epoch,
                "validation": found,
                "trained_s": self._place.trained_s,
            }
            self._folder.write_facts(self._facts.model_copy(update=done))
        self._ranks.wait_for_all()

    def _said(self, epoch: int) -> dict[str, str]:
        facts = self._facts
        return {
            "epoch": str(epoch),
            "config_key": facts.config_key,
            "snapshot": str(facts.snapshot),
            "clips_key": facts.clips_key,
            "labels": ",".join(facts.labels),
        }


def _nothing_seen(target_BK: Tensor, width: int) -> Readout:
    """What a rank without a clip says: nothing, but in a graph that the gathering of embeddings can go back through."""
    nothing = target_BK.new_zeros(0, width, requires_grad=True)
    return Readout(target_BK.new_zeros(0, target_BK.shape[1]), nothing, nothing, target_BK.new_zeros(0), None, {})


def _dtype(resources: TrainResources, device: torch.device) -> torch.dtype:
    if resources.precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return torch.bfloat16 if resources.precision == "bf16" else torch.float32


def _refuse_other_material(folder: RunFolder, begun: RunFacts, here: RunFacts) -> None:
    if begun.clips_key != here.clips_key:
        raise RunError(
            f"the clips of snapshot {begun.snapshot} of {here.corpus} are not those that {folder.path} was begun with "
            f"(in {begun.corpus}): videos were taken down since, or it is another corpus; train into another folder"
        )
    for what in ("labels", "split_key", "plan_key", "weights"):
        if getattr(begun, what) != getattr(here, what):
            raise RunError(
                f"{what} of the run at {folder.path} were {getattr(begun, what)}, here they are {getattr(here, what)}: "
                "give what the run was begun with, or another folder with --out"
            )
