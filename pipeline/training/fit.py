"""Train a network on a corpus, or go on with a training: what is refused before the first step, and who takes part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch

from pipeline.files import StorageRefusedError
from pipeline.store import Store
from pipeline.training.checkpoint import remove_leftovers
from pipeline.training.clips import ClipList, list_clips
from pipeline.training.config import TrainConfig, TrainResources, first_difference
from pipeline.training.errors import RunError
from pipeline.training.loop import Progress, Training
from pipeline.training.ranks import Ranks, joined
from pipeline.training.run_folder import RunFacts, RunFolder
from pipeline.training.splits import SplitPlan
from pipeline.training.stopping import stopping

__all__ = ["Progress", "fit"]


def fit(
    corpus: str | Path,
    run: str | Path,
    config: TrainConfig = TrainConfig(),  # noqa: B008  frozen
    resources: TrainResources = TrainResources(),  # noqa: B008
    *,
    snapshot: int | None = None,
    clips: ClipList | None = None,
    split: SplitPlan | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RunFolder:
    """Train into the folder `run`, or go on with the training that was begun there, or do nothing if it is over.

    Args:
        corpus: A folder, or the URI of a corpus in object storage.
        run: A new folder, or one of a run of the same config.
        config: What to learn.
        resources: How to compute it.
        snapshot: The snapshot of the corpus; by default the newest, or the one that the run was begun with.
        clips: The clips, if they are listed already.
        split: Their parts, if they are not those that the config plans, such as a fold.
        on_progress: Called every few steps, on the first rank.

    Raises:
        RunError: the folder holds something else, a run of another config or snapshot, or somebody works there.
        TrainingError, LabelLeakError, StoreError, KeyError: the corpus cannot be trained on.
        TrainConfigError, TowerError, TextTowerError: the config names files that are not what they should be.
        TrainingInterruptedError: asked to stop; the same call goes on.
        DivergedError: the loss is no number any more.
        OSError: such as a full disk; the checkpoint before is whole, and the same call goes on.
    """
    folder = RunFolder(Path(run))
    with ExitStack() as stack:
        ranks = stack.enter_context(joined(resources.device))
        stop = stack.enter_context(stopping(tells=ranks.is_first))
        stack.enter_context(_arithmetic(resources, ranks.device))
        begun = None
        with _together(ranks):
            if ranks.is_first:
                stack.enter_context(folder.held())
                folder.refuse_strangers()
                remove_leftovers(folder.path)
                begun = folder.read_facts() if folder.is_begun else None
                _refuse_other_config(folder, begun, config, snapshot)
        if not ranks.from_first([int(begun is None or not folder.is_done)])[0]:
            return folder
        if clips is None:
            wanted = begun.snapshot if begun is not None else snapshot
            with _together(ranks):
                found = list_clips(corpus, snapshot=wanted) if ranks.is_first else None
            number = ranks.from_first([found.snapshot if found is not None else 0])[0]
            clips = found or list_clips(corpus, snapshot=number)
        with suppress(PermissionError, StorageRefusedError):  # a corpus that may only be read is deleted from by nobody
            stack.enter_context(Store.open(clips.corpus).in_use())
        with _together(ranks):
            training = Training(folder, begun, config, resources, ranks, clips, split)
        with training:
            training.run(stop, on_progress)
    return folder


@contextmanager
def _together(ranks: Ranks) -> Iterator[None]:
    """What one rank cannot do ends the training on all of them, instead of leaving the others waiting."""
    failed: Exception | None = None
    try:
        yield
    except Exception as error:
        failed = error
    if ranks.any(failed is not None):
        raise failed or RunError("another process of this training failed, and said why")


@contextmanager
def _arithmetic(resources: TrainResources, device: torch.device) -> Iterator[None]:
    """Settings of torch that hold while a training runs: exact on a CPU, fast on a GPU."""
    threads, is_exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    precision = torch.get_float32_matmul_precision()
    if resources.threads is not None:
        torch.set_num_threads(resources.threads)
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
    else:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(is_exact)
        torch.set_float32_matmul_precision(precision)


def _refuse_other_config(folder: RunFolder, begun: RunFacts | None, config: TrainConfig, snapshot: int | None) -> None:
    if begun is None:
        return
    if begun.config_key != config.key():
        other = first_difference(begun.config, config) or "a file that the config names has another content now"
        raise RunError(
            f"{folder.path} holds a run of another config: {other}; give the run's own config, or another folder "
            "with --out"
        )
    if snapshot is not None and snapshot != begun.snapshot:
        raise RunError(
            f"{folder.path} holds a run on snapshot {begun.snapshot}, not {snapshot}: give another folder with --out"
        )
