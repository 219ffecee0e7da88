"""The commands `evaluate`, `compare`, `crossval` and `ablate`: what finished runs are worth, and series of runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.building import DEFAULT_ROOT
from flows.ending import INTERRUPTED, WRONG_USAGE, fail

if TYPE_CHECKING:
    from pipeline.training.compare import Comparison
    from pipeline.training.config import TrainFile, TrainResources
    from pipeline.training.evaluate import Evaluation
    from pipeline.training.run_folder import RunFolder
    from pipeline.training.series import Step

LINE_EVERY_S = 30.0
"""Between two lines of a run at work where no terminal shows a bar."""

Corpus = Annotated[
    str,
    typer.Option("--root", envvar="FACESCRIBE_ROOT", help="The corpus folder, or a URI such as s3://bucket/corpus."),
]
Config = Annotated[Path | None, typer.Option(help="A train.toml, as for `facescribe train`.")]
Snapshot = Annotated[int | None, typer.Option(help="The snapshot to train from; by default the newest.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; auto: a GPU where there is one.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write every figure here.")]
Protocol = Annotated[
    str | None, typer.Option(help="A protocol that the corpus holds, such as dfew: train and judge its folds.")
]
Fold = Annotated[str, typer.Option(help="Which folds of the protocol: all, or names with commas between.")]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        "--protocols",
        help="Folds as their source made them (official), divided anew by person or film (identity), or both; by "
        "default both, where it is known who is in the videos and some are on both sides.",
    ),
]
BesidePublished = Annotated[
    bool, typer.Option("--beside-published", help="Also print what others have published of this protocol.")
]


def evaluate(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs, of `facescribe train`.")],
    split: Annotated[str, typer.Option(help="Of which clips: test, validation or train.")] = "test",
    controls: Annotated[
        str, typer.Option(help="all, none, or names with commas between; what they show is in docs/evaluation.md.")
    ] = "all",
    beside: Annotated[
        list[Path] | None, typer.Option(help="Another run to tell side by side, such as one split by identity.")
    ] = None,
    device: Device = None,
    anew: Annotated[bool, typer.Option("--anew", help="Ask again, though the answers are stored.")] = False,
    json: Json = None,
) -> None:
    """Judge finished runs: UAR, WAR, recall by label with intervals, calibration, and what each control takes away.

    Writes into each run's folder: report.html (one page to look at), confusion.png, and predictions/*.parquet. Figures
    are of videos, not of clips; weights are those that the training settled on, never chosen here. Of several runs,
    such as seeds, it also prints their mean.

        facescribe evaluate runs/first

        facescribe evaluate runs/official --beside runs/identity

        facescribe evaluate runs/seed0 runs/seed1 runs/seed2 --controls none
    """
    from flows.audit import print_panels
    from flows.console import console, progress_bars
    from pipeline.training.evaluate import evaluate as evaluate_run
    from pipeline.training.report import in_words, panels_of, write_report

    part, wanted = split_of(split), _controls(controls)
    how = resources_of(device)
    others = [opened_run(path, "--beside") for path in beside or ()]
    found: list[Evaluation] = []
    with told():
        for run in [opened_run(path, "RUNS") for path in runs]:
            with progress_bars():
                one = evaluate_run(run, part, controls=wanted, resources=how, beside=others, anew=anew)
            page, picture = write_report(one, run.path)
            found.append(one)
            if len(runs) == 1:
                for line in in_words(one):
                    _say(line)
                shown = ("figures", "recalls", "controls", "beside")
                print_panels([panel for panel in panels_of(one) if panel.part in shown])
            console.print(f"report: {page.resolve()}  picture: {picture.name}", highlight=False, soft_wrap=True)
        if len(found) > 1:
            _print_mean(runs, part)
    if json is not None:
        _write_json(json, [one.model_dump(mode="json") for one in found])


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Finished runs: one, or several that differ in their seed.")],
    to: Annotated[list[Path], typer.Option("--to", help="What they are compared with; again for each further seed.")],
    split: Annotated[str, typer.Option(help="Of which clips: test, validation or train.")] = "test",
    control: Annotated[str, typer.Option(help="Under which control both sides are asked.")] = "none",
    device: Device = None,
    json: Json = None,
) -> None:
    """Tell whether runs are better than others: paired bootstrap over the same test videos, drawn by person or film.

    Runs whose test videos are not the same are refused, and the videos named.

        facescribe compare runs/unbalanced --to runs/balanced

        facescribe compare runs/a/seed-0 runs/a/seed-1 --to runs/b/seed-0 --to runs/b/seed-1
    """
    from flows.console import progress_bars
    from pipeline.training.compare import compare as compare_runs
    from pipeline.training.evaluate import score

    part, how = split_of(split), resources_of(device)
    (wanted,) = _controls(control) if control != "all" else fail("give one control", WRONG_USAGE)
    with told(), progress_bars():
        sides = [
            [score(opened_run(path, where), part, wanted, resources=how) for path in paths]
            for where, paths in (("RUNS", runs), ("--to", to))
        ]
        found = compare_runs(*sides)
    _print_comparison(found)
    if json is not None:
        _write_json(json, found.model_dump(mode="json"))


def crossval(
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs: a new one, or one to go on with.")],
    folds: Annotated[
        Path | None, typer.Option(help="A CSV or Parquet table of folds, or DFEW's folder EmoLabel_DataSplit.")
    ] = None,
    protocol: Protocol = None,
    fold: Fold = "all",
    root: Corpus = DEFAULT_ROOT,
    config: Config = None,
    seeds: Annotated[str, typer.Option(help="Seeds, with commas between; each fold is trained with each.")] = "0",
    by: By = None,
    beside_published: BesidePublished = False,
    snapshot: Snapshot = None,
    device: Device = None,
) -> None:
    """Train and judge every fold of a cross-validation, and print the table: mean of the folds, ±, by label.

    Folds are those of a protocol that the corpus holds (--protocol; `facescribe train --protocol` is the same with one
    seed), or those of a file (--folds).

    A table of folds has the columns path or video_id, fold, split (train, validation, test), and label if the corpus
    has none; without split, fold is the one that a video is tested in. DFEW's own lists are taken as they come, its
    labels 1 to 7 with them. Folds by identity test the same videos, with no person or film on both sides.

    Interrupted, the same command goes on; finished runs are taken over.

        facescribe crossval --root data/dfew --protocol dfew --out runs/dfew --seeds 0,1,2

        facescribe crossval --root data/corpus --folds DFEW/EmoLabel_DataSplit --out runs/dfew

        facescribe crossval --root data/corpus --folds folds.csv --out runs/folds --config train.toml
    """
    if (folds is None) == (protocol is None):
        raise typer.BadParameter("give either --protocol NAME or --folds FILE", param_hint="--protocol")
    cross_validate(
        root,
        out,
        _file(config, device),
        source=str(protocol) if folds is None else folds,
        fold=fold,
        seeds=_seeds(seeds),
        by=by,
        beside_published=beside_published,
        snapshot=snapshot,
    )


def cross_validate(
    root: str,
    out: Path,
    file: TrainFile,
    *,
    source: Path | str,
    fold: str,
    seeds: Sequence[int],
    by: str | None,
    beside_published: bool,
    snapshot: int | None,
) -> None:
    """Train, judge and tell the folds of a file (a Path), or of a protocol that the corpus holds (its name)."""
    from flows.audit import print_panels
    from flows.console import console
    from pipeline.inspection.corpus import Corpus
    from pipeline.training.clips import list_clips
    from pipeline.training.crossval import PAGE, in_words, panels_of
    from pipeline.training.crossval import crossval as cross_validate_folds
    from pipeline.training.folds import DIVISIONS, match_folds, read_folds
    from pipeline.training.protocols import match_protocol
    from pipeline.training.published import panel_of_published

    divisions = None if by is None else list(DIVISIONS) if by == "both" else [name for name in DIVISIONS if name == by]
    if divisions == []:
        raise typer.BadParameter(f"no {by!r}; there are: {', '.join(DIVISIONS)}, both", param_hint="--by")
    if beside_published and isinstance(source, Path):
        raise typer.BadParameter("figures are published of protocols: give --protocol", param_hint="--beside-published")
    only = None if fold == "all" else _names(fold)
    beside = [panel_of_published(str(source))] if beside_published else []
    read = read_folds(source) if isinstance(source, Path) else None
    with told():
        corpus = Corpus(root, snapshot)
        clips = list_clips(corpus)
        matched = match_protocol(str(source), corpus, clips) if read is None else match_folds(read, clips)
        for line in matched.missing_in_words():
            _say(line)
        with _series() as listen:
            found = cross_validate_folds(
                matched,
                out,
                file.train,
                file.resources,
                seeds=seeds,
                divisions=divisions,
                only=only,
                beside=beside,
                listen=listen,
            )
    for line in in_words(found):
        _say(line)
    print_panels([*panels_of(found), *beside])
    console.print(f"page: {(out / PAGE).resolve()}", highlight=False, soft_wrap=True)


def ablate(
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs: a new one, or one to go on with.")],
    root: Corpus = DEFAULT_ROOT,
    arms: Annotated[str | None, typer.Option(help="Names with commas between; by default all of them.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, with commas between; three or more, to be believed.")] = "0,1,2",
    reference: Annotated[str, typer.Option(help="The arm that the others are compared with.")] = "balanced",
    config: Config = None,
    snapshot: Snapshot = None,
    device: Device = None,
) -> None:
    """Train the network with one part changed at a time, and print what each part is worth, with paired intervals.

    Arms: vision_only, caption_global, motion_gate, caption_motion, attention, balanced, unbalanced, no_gate,
    draft_text, shuffled_captions, shuffled_frames, shuffled_labels. All are trained from the same clips and split with
    the same seeds, and tested on the same videos. docs/evaluation.md tells how to read the table.

    Interrupted, the same command goes on; finished runs are taken over, so arms and seeds can be added later.

        facescribe ablate --root data/corpus --out runs/ablation

        facescribe ablate --out runs/ablation --arms vision_only,attention,balanced --seeds 0,1,2,3 --config my.toml
    """
    from flows.audit import print_panels
    from flows.console import console
    from pipeline.training.ablate import ARMS, PAGE, in_words, panels_of
    from pipeline.training.ablate import ablate as ablate_corpus
    from pipeline.training.clips import list_clips

    names = list(ARMS) if arms is None else _names(arms)
    if unknown := [name for name in (*names, reference) if name not in ARMS]:
        raise typer.BadParameter(f"no arm {unknown[0]!r}; there are: {', '.join(ARMS)}", param_hint="--arms")
    file, numbers = _file(config, device), _seeds(seeds)
    with told():
        clips = list_clips(root, snapshot=snapshot)
        with _series() as listen:
            found = ablate_corpus(
                clips, out, file.train, file.resources, arms=names, seeds=numbers, reference=reference, listen=listen
            )
    for line in in_words(found):
        _say(line)
    print_panels(panels_of(found))
    console.print(f"page: {(out / PAGE).resolve()}", highlight=False, soft_wrap=True)


# --- what they share


def _names(words: str) -> list[str]:
    return [name for part in words.split(",") if (name := part.strip())]


def _seeds(words: str) -> list[int]:
    names = _names(words)
    if not names or not all(name.isdecimal() for name in names):
        raise typer.BadParameter(
            f"got {words!r}, expected numbers with commas between, such as 0,1,2", param_hint="--seeds"
        )
    return [int(name) for name in names]


def split_of(split: str) -> Any:
    """The part of a split that was named, or the end of the command."""
    from pipeline.training.splits import PARTS

    if split not in PARTS:
        raise typer.BadParameter(f"no part {split!r}; there are: {', '.join(PARTS)}", param_hint="--split")
    return split


def _controls(words: str) -> list[str]:
    from pipeline.training.predictions import CONTROLS

    names = list(CONTROLS) if words == "all" else _names(words)
    if unknown := [name for name in names if name not in CONTROLS]:
        raise typer.BadParameter(
            f"no control {unknown[0]!r}; there are: all, {', '.join(CONTROLS)}", param_hint="--controls"
        )
    return names


def opened_run(path: Path, where: str) -> RunFolder:
    """The run at a path, or the end of the command; `where` is the argument that named it."""
    from pipeline.training.errors import RunError
    from pipeline.training.run_folder import RunFolder

    try:
        return RunFolder.open(path)
    except RunError as error:
        raise typer.BadParameter(str(error), param_hint=where) from error


def resources_of(device: str | None) -> TrainResources:
    """How to compute, on the device that was named."""
    return _file(None, device).resources


def _file(config: Path | None, device: str | None) -> TrainFile:
    from pipeline.training.config import load_train_file

    file = load_train_file(config)
    how = file.resources if device is None else file.resources.model_copy(update={"device": device})
    return file.model_copy(update={"resources": how})


@contextmanager
def told() -> Iterator[None]:
    """End with one line where weights are not those that a config names, or a training was asked to stop."""
    from pipeline.model.text import TextTowerError
    from pipeline.model.towers import TowerError
    from pipeline.training.errors import TrainingInterruptedError

    try:
        yield
    except TrainingInterruptedError as error:
        fail(str(error), INTERRUPTED)
    except (TowerError, TextTowerError) as error:
        fail(str(error), WRONG_USAGE)


@contextmanager
def _series() -> Iterator[_Screen]:
    screen = _Screen()
    with screen.bars:
        yield screen


class _Screen:
    """A bar over all runs of a series with a line of the one at work; plain lines where there is no terminal."""

    def __init__(self) -> None:
        from flows.console import bar_with_words

        self.bars = bar_with_words()
        self._task = self.bars.add_task("runs", total=None, words="")
        self._told_at = time.monotonic()

    def __call__(self, step: Step) -> None:
        words, share = step.what, 1.0 if step.is_over else 0.0
        if (at := step.progress) is not None:
            share = at.step / max(at.steps, 1)
            words = f"epoch {at.epoch + 1} of {at.epochs}, loss {at.loss:.3f}, {at.left_s:.0f} s left"
            if at.validation:
                words += f", validation UAR {at.validation['uar']:.3f}"
        line = f"run {step.number} of {step.total}: {step.name}"
        self.bars.update(self._task, description=line, completed=step.number - 1 + share, total=step.total, words=words)
        is_late = at is not None and time.monotonic() - self._told_at > LINE_EVERY_S
        if step.is_over and not self.bars.disable:
            self.bars.console.print(f"{line}: {words}", highlight=False, markup=False)
        elif self.bars.disable and (step.is_over or is_late):
            print(f"{line}: {words}", file=sys.stderr, flush=True)
            self._told_at = time.monotonic()


def _say(line: str) -> None:
    from flows.console import console

    console.print(line, style="bold red" if line.startswith("ATTENTION") else None, highlight=False, markup=False)


def _print_mean(runs: Sequence[Path], part: Any) -> None:
    from flows.audit import print_panels
    from flows.console import console
    from pipeline.inspection.panels import Panel
    from pipeline.training.compare import over_seeds
    from pipeline.training.errors import EvaluationError
    from pipeline.training.metrics import spread
    from pipeline.training.predict import prediction_path
    from pipeline.training.predictions import per_video, read_predictions

    scored = [per_video(read_predictions(prediction_path(path, part, "none"))) for path in runs]
    try:
        found = over_seeds(scored)
    except EvaluationError as error:
        console.print(f"no mean over these runs: {error}", highlight=False, markup=False)
        return
    panel = Panel(
        "mean",
        f"Mean of {len(runs)} runs",
        "± is the deviation from run to run; the interval draws test videos by group, and runs.",
        ("figure", "mean, 95 % interval", "±"),
        [
            ("UAR", str(found.uar), f"{spread(found.uar_values).deviation:.3f}"),
            ("WAR", str(found.war), f"{spread(found.war_values).deviation:.3f}"),
        ],
    )
    print_panels([panel])


def _print_comparison(found: Comparison) -> None:
    from flows.audit import print_panels
    from pipeline.inspection.panels import Panel

    rows = [
        (one.figure, f"{one.value:.3f}", f"{one.reference:.3f}", str(one), "" if one.p is None else f"{one.p:.3f}")
        for one in (found.uar, found.war, *found.recalls)
    ]
    seeds = f"{found.num_runs[0]} and {found.num_runs[1]} runs"
    panel = Panel(
        "comparison",
        "Runs less what they are compared with",
        f"{seeds}, {found.num_videos} videos; intervals of 95 % from a paired bootstrap that draws by {found.drawn_by} "
        f"({found.num_clusters}). {found.num_fixed} videos are right here alone, {found.num_broken} there alone.",
        ("figure", "runs", "compared with", "difference", "p"),
        [tuple(row) for row in rows],
    )
    print_panels([panel])


def _write_json(path: Path, found: Any) -> None:
    import json

    from pipeline.inspection.page import whole_file

    with whole_file(path) as file:
        json.dump(found, file, indent=1, ensure_ascii=False)
