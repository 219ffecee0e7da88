"""The command `facescribe train`: a network from a corpus."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.building import DEFAULT_ROOT
from flows.ending import FAILED, INTERRUPTED, WRONG_USAGE, fail
from flows.evaluating import BesidePublished, By, Fold, Protocol, cross_validate

if TYPE_CHECKING:
    from pipeline.training.config import TrainFile
    from pipeline.training.fit import Progress
    from pipeline.training.run_folder import RunFacts

LINE_EVERY_S = 30.0
"""Between two lines where no terminal shows a bar."""


def train(
    out: Annotated[Path, typer.Option("--out", help="The run's folder: a new one, or one to go on with.")],
    root: Annotated[
        str,
        typer.Option(
            "--root", envvar="FACESCRIBE_ROOT", help="The corpus folder, or a URI such as s3://bucket/corpus."
        ),
    ] = DEFAULT_ROOT,
    config: Annotated[Path | None, typer.Option(help="A train.toml: what to learn, section by section.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed than the config's.")] = None,
    snapshot: Annotated[int | None, typer.Option(help="The snapshot to train from; by default the newest.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; auto: a GPU where there is one.")] = None,
    protocol: Protocol = None,
    fold: Fold = "all",
    by: By = None,
    beside_published: BesidePublished = False,
) -> None:
    """Train a network on a snapshot, or go on with a training that was interrupted: the same command does both.

    Videos need labels, and a split or groups (`facescribe build --annotations FILE`). Without a config it trains the
    small network, which a CPU bears. The weights given are those after the last epoch, averaged; the test clips are
    never looked at.

        facescribe train --root data/corpus --out runs/first

        facescribe train --root data/corpus --out runs/seed1 --config train.toml --seed 1

        torchrun --nproc-per-node 2 -m flows train --root data/corpus --out runs/two_gpus

    With --protocol it trains and judges every fold of a protocol that the corpus holds, and prints the table that
    papers print: mean of the folds and deviation, by label, with the official folds and such by identity side by side.
    Folds may be trained one at a time; `--fold all` takes over what is there. Several seeds: `facescribe crossval`.

        facescribe train --root data/dfew --protocol dfew --fold all --out runs/dfew

        facescribe train --root data/dfew --protocol dfew --fold 3 --by official --out runs/dfew --device cuda:1

    Ctrl-C saves first. To watch: `tensorboard --logdir runs`. Then: `facescribe evaluate runs/first`.

    A train.toml has what docs/training.md lists, such as

        epochs = 50

        model = {alignment = "unbalanced"}

        split = {by = "identity"}
    """
    from pipeline.training.config import load_train_file

    is_first = os.environ.get("RANK", "0") == "0"
    if protocol is None and (fold != "all" or by is not None or beside_published):
        raise typer.BadParameter("--fold, --by and --beside-published need --protocol NAME", param_hint="--protocol")
    try:
        file = load_train_file(config)
        if protocol is not None:
            cross_validate(
                root,
                out,
                _with_options(file, None, device),  # the seed of the folds is the config's, whatever is trained with
                source=protocol,
                fold=fold,
                seeds=[file.train.seed if seed is None else seed],
                by=by,
                beside_published=beside_published,
                snapshot=snapshot,
            )
            return
        _train(root, out, _with_options(file, seed, device), snapshot, is_first=is_first)
    except KeyboardInterrupt:
        fail(f"ended at once; the same command goes on from the last checkpoint in {out}", INTERRUPTED)
    except Exception:
        if is_first:
            raise
        raise SystemExit(FAILED) from None  # the first process says it for all


def _with_options(file: TrainFile, seed: int | None, device: str | None) -> TrainFile:
    """The file with what the command line says instead."""
    what = file.train if seed is None else file.train.model_copy(update={"seed": seed})
    how = file.resources if device is None else file.resources.model_copy(update={"device": device})
    return file.model_copy(update={"train": what, "resources": how})


def _train(root: str, out: Path, file: TrainFile, snapshot: int | None, *, is_first: bool) -> None:
    from flows.console import console
    from pipeline.model.text import TextTowerError
    from pipeline.model.towers import TowerError
    from pipeline.training.errors import TrainingInterruptedError
    from pipeline.training.fit import fit
    from pipeline.training.run_folder import RunFolder

    was_begun = RunFolder(out).is_begun
    try:
        with _shown(is_first=is_first) as screen:
            run = fit(root, out, file.train, file.resources, snapshot=snapshot, on_progress=screen)
    except TrainingInterruptedError as error:
        if not is_first:
            raise SystemExit(INTERRUPTED) from None
        fail(str(error), INTERRUPTED)
    except (TowerError, TextTowerError) as error:
        fail(str(error), WRONG_USAGE)
    if is_first:
        facts = run.read_facts()
        if was_begun and not screen.has_seen:
            console.print("this training was over already; nothing was done", highlight=False)
        print_validation(facts)
        console.print(f"run: {out.resolve()}", highlight=False, soft_wrap=True)
        console.print(f"next: facescribe evaluate {out}", highlight=False, soft_wrap=True)


def print_validation(facts: RunFacts) -> None:
    """Print what the run knows of its validation clips."""
    from flows.console import console

    if not facts.validation:
        console.print("no validation clips: nothing is known of this training but its loss", highlight=False)
        return
    epoch = "" if facts.kept_epoch is None else f", weights after epoch {facts.kept_epoch + 1}"
    found = facts.validation
    console.print(
        f"validation: UAR {found['uar']:.3f} (chance {1 / len(facts.labels):.3f}), WAR {found['war']:.3f}, "
        f"negative log-likelihood {found['nll']:.3f}{epoch}; {facts.steps_done} steps in {facts.trained_s:.0f} s",
        highlight=False,
    )


class _Screen:
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self) -> None:
        from flows.console import bar_with_words

        self.bars = bar_with_words()
        self.has_seen = False
        self._task = self.bars.add_task("reading clips and texts", total=None, words="")
        self._told_at, self._told_epoch = 0.0, -1

    def __call__(self, progress: Progress) -> None:
        self.has_seen = True
        epoch = f"epoch {progress.epoch + 1} of {progress.epochs}"
        words = f"loss {progress.loss:.3f}  {progress.clips_per_s:.0f} clips/s  {_duration(progress.left_s)} left"
        if progress.validation:
            words += f"  validation UAR {progress.validation['uar']:.3f}"
        self.bars.update(self._task, description=epoch, completed=progress.step, total=progress.steps, words=words)
        is_new = progress.epoch != self._told_epoch and time.monotonic() - self._told_at > LINE_EVERY_S / 10
        if self.bars.disable and (is_new or time.monotonic() - self._told_at > LINE_EVERY_S):
            print(f"{epoch}, step {progress.step} of {progress.steps}: {words}", file=sys.stderr, flush=True)
            self._told_at, self._told_epoch = time.monotonic(), progress.epoch


@contextmanager
def _shown(*, is_first: bool) -> Iterator[_Screen]:
    screen = _Screen()
    if not is_first:
        yield screen
        return
    with screen.bars:
        yield screen


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
