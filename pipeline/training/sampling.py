"""Which clip is seen when: how often an epoch draws each clip, and in which order, by seed and epoch alone.

An order is made of positions, never of what some process has drawn before, so that every rank of every world knows all
of it, and a restart at another world size goes on where the last one stopped.

Shape letters: P = clips of a plan, N = draws of an epoch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import StageConfig, content_hash
from pipeline.training.manifest import TrainingError

if TYPE_CHECKING:
    from pipeline.training.clips import ClipList
    from pipeline.training.splits import SplitPlan


class SamplingConfig(StageConfig):
    """How often an epoch draws the clips of each class."""

    balance: Literal["natural", "balanced", "capped"] = "natural"
    """`natural`: each clip once. `balanced`: each class as often as every other, in about as many draws as there are
    clips. `capped`: a class of n clips as often as n / effective(n) says, no clip more than `max_repeats` times.
    Natural is the default, because oversampling buys UAR with WAR, and an adjusted loss does the same without it."""

    beta: float = Field(default=0.999, ge=0, lt=1)
    """Of `capped`: the effective number of n clips is (1 - beta^n) / (1 - beta) (Cui et al. 2019). 0 is natural, near 1
    is balanced."""

    max_repeats: int = Field(default=4, ge=1)
    """Of `capped`: most draws of one clip in an epoch."""

    shuffle: bool = True
    """Whether each epoch has an order of its own. Without, clips come in the order of their ids, as evaluation does."""


@dataclass(frozen=True)
class SamplingPlan:
    """What an epoch draws: one row per clip, with the draws of its whole class. Stored with the run, and hashed."""

    table: pa.Table
    """clip_id, label, class_draws; in clip_id order."""

    config: SamplingConfig

    @cached_property
    def key(self) -> str:
        """Hash of everything that the order follows from but seed and epoch."""
        said = json.dumps(self.config.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(f"{content_hash([self.table])} {said}".encode()).hexdigest()[:32]

    def __len__(self) -> int:
        """N, the draws of one epoch."""
        return sum(draws for _, draws in self._classes)

    @cached_property
    def _classes(self) -> list[tuple[NDArray[np.int64], int]]:
        """Of each label, positions in the table and draws per epoch."""
        labels = self.table["label"].combine_chunks()
        draws = self.table["class_draws"].to_numpy()
        found = []
        for label in sorted(pc.unique(labels).to_pylist()):
            positions = np.flatnonzero(pc.equal(labels, label).to_numpy(zero_copy_only=False))
            found.append((positions, int(draws[positions[0]])))
        return found

    def epoch_order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Rows of `table` [N] in the order in which an epoch draws them.

        Each clip is drawn floor or ceil of class_draws / clips of its class times; which ones get the extra draw goes
        round with the epochs, so that no clip is left behind.
        """
        parts = []
        for number, (positions, draws) in enumerate(self._classes):
            repeats, extra = divmod(draws, len(positions))
            turn = positions[permutation(len(positions), seed, "class", number)] if extra else positions
            window = (epoch * extra + np.arange(extra)) % len(positions)
            parts += [np.tile(positions, repeats), turn[window]]
        order: NDArray[np.int64] = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)
        return order[permutation(len(order), seed, "epoch", epoch)] if self.config.shuffle else order

    def rows_of(self, clips: ClipList) -> NDArray[np.int64]:
        """Where each clip of the plan lies in a clip list [P].

        Raises:
            TrainingError: the list lacks a clip of the plan.
        """
        rows = pc.index_in(self.table["clip_id"], clips.table["clip_id"].combine_chunks())
        if rows.null_count:
            lost = self.table["clip_id"].filter(pc.is_null(rows))
            raise TrainingError(
                f"{len(lost)} of {len(self.table)} clips of the plan are not among the {len(clips.table)} clips of "
                f"snapshot {clips.snapshot} of {clips.corpus}, the first is {lost[0].as_py()}: a plan goes with the "
                "snapshot that it was made from; name that one, or plan anew"
            )
        return np.asarray(rows.to_numpy(), np.int64)

    def write(self, path: Path) -> None:
        """Store the plan as Parquet."""
        said = {b"sampling": self.config.model_dump_json().encode(), b"key": self.key.encode()}
        pq.write_table(self.table.replace_schema_metadata(said), path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> SamplingPlan:
        """Read a stored plan.

        Raises:
            TrainingError: its content is not what its hash says.
        """
        try:
            table = pq.read_table(path, partitioning=None)
            said = table.schema.metadata or {}
            config = SamplingConfig.model_validate_json(said.get(b"sampling", b"{}"))
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise TrainingError(f"{path} is damaged ({error}): start the run anew, or restore the file") from error
        plan = cls(table.replace_schema_metadata(None), config)
        if said.get(b"key", b"") != plan.key.encode():
            raise TrainingError(f"{path} was changed since it was written: start the run anew, or restore the file")
        return plan


def plan_sampling(split: SplitPlan, config: SamplingConfig, part: str = "train") -> SamplingPlan:
    """Plan the epochs over one part of a split.

    Raises:
        TrainingError: no clip is in that part.
    """
    clips = split.table.filter(pc.equal(split.table["split"], part)).select(["clip_id", "label"])
    if not len(clips):
        raise TrainingError(f"no clip is in the part {part!r} of the split:\n{split.report()}")
    counts = {row["values"]: row["counts"] for row in pc.value_counts(clips["label"].combine_chunks()).to_pylist()}
    draws = _class_draws(counts, config)
    class_draws = pa.array([draws[label] for label in clips["label"].to_pylist()], pa.int64())
    table = clips.append_column("class_draws", class_draws).combine_chunks()
    return SamplingPlan(table.replace_schema_metadata(None), config)


def _class_draws(counts: dict[str, int], config: SamplingConfig) -> dict[str, int]:
    if config.balance == "natural":
        return counts
    total = sum(counts.values())
    if config.balance == "balanced":
        return dict.fromkeys(counts, max(1, round(total / len(counts))))
    masses = {label: n * (1 - config.beta) / (1 - config.beta**n) for label, n in counts.items()}
    scale = total / sum(masses.values())
    return {
        label: min(max(1, round(mass * scale)), config.max_repeats * counts[label]) for label, mass in masses.items()
    }


def global_batches(order: NDArray[np.int64], global_batch: int) -> Iterator[NDArray[np.int64]]:
    """Cut an epoch's order into batches of all ranks together; the last may be short."""
    for start in range(0, len(order), global_batch):
        yield order[start : start + global_batch]


def rank_slice(batch: NDArray[np.int64], rank: int, world_size: int) -> NDArray[np.int64]:
    """What one rank of a world computes of a global batch: every world_size-th draw; none, if the batch is short."""
    return batch[rank::world_size]


def permutation(length: int, *chance: object) -> NDArray[np.int64]:
    """An order [length] that follows from what `chance` says, the same on every machine and with every numpy."""
    key = int.from_bytes(hashlib.sha256(repr(chance).encode()).digest()[:16], "little")
    # The raw stream of a bit generator is fixed for good, which `Generator.permutation` is not.
    return np.argsort(np.random.Philox(key=key).random_raw(length), kind="stable")
