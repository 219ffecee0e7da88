"""A series of runs, such as arms of an ablation or folds: each trained or taken over, judged, and told as it goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.inspection.page import html_environment, whole_file
from pipeline.inspection.panels import Panel
from pipeline.training.clips import ClipList
from pipeline.training.config import TrainConfig, TrainResources
from pipeline.training.errors import EvaluationError
from pipeline.training.evaluate import Evaluation, evaluate
from pipeline.training.predict import Place
from pipeline.training.predictions import CONTROLS
from pipeline.training.report import write_report
from pipeline.training.run_folder import RunFolder
from pipeline.training.splits import SplitPlan

if TYPE_CHECKING:
    from pipeline.training.fit import Progress


class SeriesError(EvaluationError):
    """A series that cannot be run as it was asked for: the message says what, and what to do."""


@dataclass(frozen=True)
class Step:
    """How far a series is: the run at work, and how far that one is."""

    name: str
    number: int
    """From 1."""
    total: int
    what: str
    """`trains`, `is asked`, or how it ended."""
    progress: Progress | None = None
    """While it trains."""
    is_over: bool = False


Listener = Callable[[Step], None]


def quiet(step: Step) -> None:
    """Listen to a series without a word."""


@dataclass(frozen=True)
class Task:
    """One run of a series: where it lies, what it learns from what, and where it belongs."""

    name: str
    path: Path
    config: TrainConfig
    clips: ClipList
    split: SplitPlan
    place: Place
    controls: Sequence[str] = tuple(CONTROLS)


@dataclass(frozen=True)
class Trained:
    """A run of a series, and what it was judged to be."""

    run: RunFolder
    evaluation: Evaluation


def train_and_judge(task: Task, number: int, total: int, resources: TrainResources, listen: Listener) -> Trained:
    """Train a run, or go on with it, or take it over; then ask it, and write its own report.

    Raises:
        SeriesError: the folder holds a run of another split, or several processes are at work.
        RunError, TrainingError, …: as `fit` and `evaluate` do.
    """
    from pipeline.training.fit import fit

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SeriesError(
            "a series is run by one process: start it without torchrun. Of several GPUs give each some seeds (--seeds "
            "1 --device cuda:1) with the same --out, and then run it once with all seeds: finished runs are taken over"
        )

    def at(what: str, progress: Progress | None = None, *, is_over: bool = False) -> Step:
        return Step(task.name, number, total, what, progress, is_over)

    listen(at("trains"))
    was_done = RunFolder(task.path).is_begun and RunFolder(task.path).is_done
    run = fit(
        task.clips.corpus,
        task.path,
        task.config,
        resources,
        snapshot=task.clips.snapshot,
        clips=task.clips,
        split=task.split,
        on_progress=lambda progress: listen(at("trains", progress)),
    )
    run = RunFolder.open(run.path)  # what it says now that it is over
    if run.facts.split_key != task.split.key:
        raise SeriesError(
            f"{task.path} holds a run of another split ({run.facts.split_key}, here it is {task.split.key}): labels, "
            "groups or folds have changed since; give another folder with --out"
        )
    listen(at("is asked"))
    found = evaluate(run, controls=task.controls, clips=task.clips, resources=resources, place=task.place)
    write_report(found, run.path)
    uar = found.figures.uar.value
    listen(at(f"{'was there' if was_done else 'is trained'}, UAR {uar:.3f}", is_over=True))
    return Trained(run, found)


def write_page(path: Path, title: str, lead: str, said: Sequence[str], panels: Sequence[Panel]) -> Path:
    """Write the table of a series as one page that asks nothing of a network. Raises OSError."""
    environment = html_environment(Path(__file__).parent)
    page = environment.get_template("series.html.j2").render(title=title, lead=lead, said=said, panels=panels)
    with whole_file(path) as file:
        file.write(page)
    return path


def markdown_of(panels: Sequence[Panel]) -> str:
    """Panels as tables in Markdown."""
    parts = []
    for panel in panels:
        lines = [f"## {panel.title}", "", panel.meaning, ""]
        if panel.missing:
            lines += [panel.missing, ""]
        else:
            lines += [_row(panel.columns), "|---" * len(panel.columns) + "|"]
            lines += [_row(["" if cell is None else str(cell) for cell in row]) for row in panel.rows] + [""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _row(cells: Sequence[str]) -> str:
    plain = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(plain)} |"
