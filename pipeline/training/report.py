"""The evaluation of a run as panels, as one HTML page that asks nothing of a network; its confusion as a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.inspection.page import html_environment, whole_file
from pipeline.inspection.panels import Cell, Gauge, Panel, Swing
from pipeline.training.checkpoint import appearing_whole
from pipeline.training.compare import FLAT, Comparison, Difference
from pipeline.training.evaluate import Curve, Evaluation
from pipeline.training.metrics import Estimate, Figures, Recall
from pipeline.training.predictions import CONTROLS
from pipeline.training.splits import PARTS

REPORT, PICTURE = "report.html", "confusion.png"

FEW_CLUSTERS = 20
"""Fewer groups than this, and a bootstrap of them is a rough guess."""

TELLS = {
    "no_text": "Does it need the text?",
    "shuffled_captions": "Does it read what the text says?",
    "shuffled_frames": "Does it look at the order of the frames?",
    "text_only": "What does the text alone give away?",
}
"""The question that each control answers."""

_FIRST_CURVES = ("loss", "uar", "war")
_MAX_CURVES = 8


def write_report(evaluation: Evaluation, folder: Path) -> tuple[Path, Path]:
    """Write the page and the picture of the confusion matrix into `folder`; their paths.

    Raises:
        OSError: a file cannot be written.
    """
    environment = html_environment(Path(__file__).parent)
    page = environment.get_template("run_report.html.j2").render(
        report=evaluation,
        figures=evaluation.figures,
        said=in_words(evaluation),
        panels=panels_of(evaluation),
        matrix=matrix_of(evaluation.figures),
        curves=[draw_curve(one) for one in chosen_curves(evaluation.curves)],
        rest=[draw_curve(one) for one in evaluation.curves if one not in chosen_curves(evaluation.curves)],
    )
    with whole_file(folder / REPORT) as file:
        file.write(page)
    return folder / REPORT, draw_confusion(evaluation.figures, folder / PICTURE, title=_title(evaluation))


def _title(evaluation: Evaluation) -> str:
    return f"{evaluation.part}: {evaluation.figures.num_videos} videos, UAR {evaluation.figures.uar}"


# --- words


def in_words(evaluation: Evaluation) -> list[str]:
    """What a reader must know before the figures are believed, a sentence each."""
    return [*_of_selection(evaluation), *_of_people(evaluation), *_of_labels(evaluation.figures)]


def _of_selection(evaluation: Evaluation) -> Iterator[str]:
    made = evaluation.provenance
    kept = "" if made.kept_epoch is None else f", epoch {made.kept_epoch + 1} of {made.epochs}"
    validation = [one for one in evaluation.counts if one.part == "validation"]
    carved = (
        f"{sum(one.num_clips for one in validation)} clips of {sum(one.num_videos for one in validation)} videos "
        "validate; no test clip is among them"
        if validation
        else "no clip validates"
    )
    how = {
        "last": f"The weights are those at the end of the training{kept}: nothing was selected",
        "best": f"The weights are those of the best UAR on the validation clips{kept}",
    }[made.keep]
    yield f"{how}. {carved[0].upper()}{carved[1:]}. The test clips were not asked until now."
    if evaluation.part != "test":
        yield (
            f"These are the figures of the part {evaluation.part!r}, not of the test: on clips that were trained "
            "on, or that weights were chosen by, they are too good."
        )


def _of_people(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.num_shared_groups:
        yield (
            f"ATTENTION: {evaluation.num_shared_groups} persons or films are in train and in {evaluation.part}: part "
            'of this figure may be that they were recognised. Train with split.by = "identity" beside it.'
        )
    if 1 < evaluation.figures.num_clusters < FEW_CLUSTERS and not evaluation.num_unknown_groups:
        yield (
            f"The test videos are of {evaluation.figures.num_clusters} persons or films alone: the intervals are "
            "rough, and rather too narrow."
        )
    if evaluation.num_unknown_groups:
        yield (
            f"Of {evaluation.num_unknown_groups} of {evaluation.figures.num_videos} videos it is not known who is in "
            "them: people may be on both sides, and the intervals, which draw videos there, are rather too narrow."
        )


def _of_labels(found: Figures) -> Iterator[str]:
    yield (
        f"A single video of the rarest label is worth {found.smallest_step:.4f} of UAR: smaller differences are noise "
        "whatever their interval. Guessing gives "
        f"{found.chance:.3f}."
    )
    if found.uar.interval is not None and found.uar.interval[0] == found.uar.interval[1]:
        yield FLAT
    if found.absent:
        yield f"No test video is of {', '.join(found.absent)}: left out of UAR and macro-F1, not counted as 0."
    if found.unlearnt:
        yield f"Never learnt, and counted as wrong: {', '.join(found.unlearnt)}."


# --- panels


def panels_of(evaluation: Evaluation) -> list[Panel]:
    """All tables, in the order in which they are read."""
    return [
        _of_figures(evaluation.figures),
        of_recalls(evaluation.figures),
        *_of_controls(evaluation),
        *_of_beside(evaluation),
        _of_calibration(evaluation.figures),
        _of_split(evaluation),
        *_of_provenance(evaluation),
    ]


def estimate_gauge(found: Estimate) -> Gauge:
    """An estimate as a figure that can be drawn."""
    return Gauge(found.value, str(found), found.interval)


def recall_gauge(found: Recall) -> Gauge:
    """A recall as a figure that can be drawn."""
    if found.value is None or found.interval is None:
        return Gauge(None, "no test video")
    low, high = found.interval
    return Gauge(
        found.value, f"{found.value:.3f} ({low:.3f} to {high:.3f}), {found.hits} of {found.asked}", found.interval
    )


def swing(found: Difference, reach: float) -> Swing:
    """A difference as a figure that can be drawn."""
    return Swing(found.difference, str(found), found.interval, reach)


def reach_of(differences: Sequence[Difference]) -> float:
    """What the ends of the drawn lines stand for, so that all intervals fit."""
    ends: list[float] = [abs(end) for one in differences for end in (*(one.interval or ()), one.difference)]
    return max([0.05, *ends])


def _of_figures(found: Figures) -> Panel:
    rows: list[tuple[Cell, ...]] = [
        ("UAR", "mean of the recalls, each label alike", estimate_gauge(found.uar)),
        ("WAR", "share of the videos that are right", estimate_gauge(found.war)),
        ("macro-F1", "mean of the labels' F1", estimate_gauge(found.macro_f1)),
        ("NLL", "mean negative log-likelihood of the true label", str(found.nll)),
        ("ECE", "mean gap between confidence and truth, 15 bins", f"{found.ece:.3f}"),
    ]
    return Panel(
        "figures",
        "Figures",
        f"{found.num_videos} videos. Intervals of 95 %: a bootstrap that draws by {found.drawn_by}, of which there are "
        f"{found.num_clusters}.",
        ("figure", "what it is", "value"),
        rows,
    )


def of_recalls(found: Figures) -> Panel:
    """Recall, precision and what a label is taken for."""
    rows: list[tuple[Cell, ...]] = []
    for number, one in enumerate(found.recalls):
        claimed = sum(row[number] for row in found.confusion)
        wrong = {
            label: count
            for label, count in zip(found.labels, found.confusion[number], strict=True)
            if label != one.label
        }
        most = max(wrong, key=lambda label: wrong[label], default="")
        rows.append(
            (
                one.label,
                recall_gauge(one),
                f"{one.hits / claimed:.3f}" if claimed else "never predicted",
                f"{most}, {wrong[most]} of {one.asked}" if wrong.get(most) else "",
            )
        )
    return Panel(
        "recalls",
        "Recall by label",
        "Wilson's interval of 95 %, which takes videos as independent.",
        ("label", "recall", "precision", "most often taken for"),
        rows,
    )


def _of_controls(evaluation: Evaluation) -> Iterator[Panel]:
    asked = [one for one in evaluation.controls if one.against_none is not None]
    if not asked and not evaluation.not_asked:
        return
    reach = reach_of([one.against_none.uar for one in asked if one.against_none is not None])
    rows: list[tuple[Cell, ...]] = []
    for one in evaluation.controls:
        found, against = one.figures, one.against_none
        told: tuple[Cell, Cell] = ("", "")
        if against is not None:
            told = swing(against.uar, reach), f"{TELLS[one.control]} {_answer(one.control, against)}"
        rows.append((one.control, CONTROLS[one.control], estimate_gauge(found.uar), f"{found.war.value:.3f}", *told))
    for name, why in evaluation.not_asked.items():
        rows.append((name, CONTROLS[name], Gauge(None, f"not asked: {why}"), "", "", ""))
    yield Panel(
        "controls",
        "Controls",
        "The same weights, shown something else. The difference is paired, control less clips as they are.",
        ("control", "what is shown", "UAR", "WAR", "difference of UAR", "what it tells"),
        rows,
    )


def _answer(control: str, found: Comparison) -> str:
    if found.uar.interval is None:
        return "It cannot be told: no interval."
    if control == "text_only":
        how = "less" if found.uar.difference < 0 else "more"
        return f"Certainly {how} than with the frames." if found.uar.is_certain else "No less than with the frames."
    if not found.uar.is_certain:
        return "Not that it shows."
    return "Yes: without that it is worse." if found.uar.difference < 0 else "It is better without."


def _of_beside(evaluation: Evaluation) -> Iterator[Panel]:
    if not evaluation.beside:
        return
    rows: list[tuple[Cell, ...]] = [
        (
            "this run",
            evaluation.split_by,
            estimate_gauge(evaluation.figures.uar),
            estimate_gauge(evaluation.figures.war),
            "",
        )
    ]
    for other in evaluation.beside:
        paired = "" if other.why else str(other.paired.uar if other.paired else "")
        row = (other.name, other.split_by, estimate_gauge(other.figures.uar), estimate_gauge(other.figures.war))
        rows.append((*row, other.why or f"this run less that one: {paired}"))
    yield Panel(
        "beside",
        "Side by side",
        "An official split may have people on both sides, one by identity has none: what lies between was recognised.",
        ("run", "split by", "UAR", "WAR", "difference of UAR"),
        rows,
    )


def _of_calibration(found: Figures) -> Panel:
    return Panel(
        "calibration",
        "Calibration",
        f"Of the videos of which it was this sure, so many were right. Expected calibration error {found.ece:.3f}.",
        ("confidence", "videos", "mean confidence", "right"),
        [
            (
                f"{one.low:.2f} to {one.high:.2f}",
                one.count,
                f"{one.confidence:.3f}",
                Gauge(one.accuracy, f"{one.accuracy:.3f}"),
            )
            for one in found.reliability
        ],
        is_list=True,
    )


def _of_split(evaluation: Evaluation) -> Panel:
    by_label: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for one in evaluation.counts:
        by_label[one.label][one.part] = f"{one.num_clips} clips, {one.num_videos} videos, {_people(one)}"
    rows: list[tuple[Cell, ...]] = [
        (label, *(parts.get(part, "none") for part in PARTS)) for label, parts in sorted(by_label.items())
    ]
    return Panel("split", "Split", f"Divided by {evaluation.split_by}.", ("label", *PARTS), rows)


def _people(count: Any) -> str:
    if count.num_unknown == count.num_videos:
        return "groups unknown"
    return f"{count.num_groups} groups" + (
        f" and {count.num_unknown} videos of unknown ones" if count.num_unknown else ""
    )


def _of_provenance(evaluation: Evaluation) -> Iterator[Panel]:
    made = evaluation.provenance
    rows: list[tuple[Cell, ...]] = [
        ("corpus", made.corpus),
        ("snapshot", made.snapshot),
        ("clips, split, sampling plan", f"{made.clips_key}, {made.split_key}, {made.plan_key}"),
        ("config", made.config_key),
        ("weights (SHA-256)", made.weights_sha256),
        *((f"pretrained {what} (SHA-256)", content) for what, content in made.pretrained.items()),
        (
            "trained",
            f"{made.started_at}, {made.epochs} epochs in {made.trained_s:.0f} s on {made.device}, {made.precision}",
        ),
        ("software", ", ".join(f"{name} {version}" for name, version in made.software.items())),
    ]
    yield Panel("provenance", "What it was made of", "", ("what", "which"), rows)
    fields: list[tuple[Cell, ...]] = [(name, made.config[name], "changed") for name in made.changed]
    fields += [(name, value, "default") for name, value in made.config.items() if name not in made.changed]
    meaning = "Fields that are not at their default come first."
    yield Panel("config", "Config", meaning, ("field", "value", "default?"), fields, is_list=True)


# --- what is drawn


@dataclass(frozen=True)
class MatrixCell:
    """One cell of the confusion matrix."""

    count: int
    share: float | None
    """Of the videos of the true label."""
    is_right: bool


def matrix_of(found: Figures) -> list[tuple[str, int, list[MatrixCell]]]:
    """A row for each true label: its name, its videos, its cells."""
    rows = []
    for number, (label, counts) in enumerate(zip(found.labels, found.confusion, strict=True)):
        total = sum(counts)
        cells = [MatrixCell(n, n / total if total else None, number == at) for at, n in enumerate(counts)]
        rows.append((label, total, cells))
    return rows


@dataclass(frozen=True)
class DrawnCurve:
    """A curve as SVG paths in a box of 260 x 120."""

    name: str
    low: str
    high: str
    last: str
    """What it ends at, in words."""
    num_epochs: str
    paths: dict[str, str]


def chosen_curves(curves: Sequence[Curve]) -> list[Curve]:
    """Those shown first: loss, recalls, then whatever else was logged of validation."""

    def rank(curve: Curve) -> tuple[int, int]:
        known = [place for place, name in enumerate(_FIRST_CURVES) if curve.name.split("/")[-1] == name]
        return (known[0] if known else len(_FIRST_CURVES), 0 if "validation" in curve.points else 1)

    return sorted(curves, key=rank)[:_MAX_CURVES]


def draw_curve(curve: Curve) -> DrawnCurve:
    """A curve's paths: one for each part, a point alone as a short stroke."""
    every = [point for points in curve.points.values() for point in points]
    lows, highs = min(y for _, y in every), max(y for _, y in every)
    last = max([1e-9, *(x for x, _ in every)])
    tall = max(highs - lows, 1e-12)

    def path(points: Sequence[tuple[float, float]]) -> str:
        places = [f"{260 * x / last:.1f} {116 - 112 * (y - lows) / tall:.1f}" for x, y in thinned(points, 200)]
        return "M" + "L".join(places) + ("h2" if len(places) == 1 else "")

    return DrawnCurve(
        name=curve.name,
        low=f"{lows:.3g}",
        high=f"{highs:.3g}",
        last=", ".join(f"{part} {points[-1][1]:.3g}" for part, points in curve.points.items()),
        num_epochs=f"{last:.0f}",
        paths={part: path(points) for part, points in curve.points.items()},
    )


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most so many points: means of neighbours, so that no outlier is shown or hidden by chance."""
    if len(points) <= most:
        return list(points)
    size = -(-len(points) // most)
    blocks = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in block) / len(block), sum(y for _, y in block) / len(block)) for block in blocks]


def draw_confusion(found: Figures, path: Path, *, title: str) -> Path:
    """Draw the confusion matrix as a picture: shares of each true label as shades, counts as numbers."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    number = len(found.labels)
    side = 2.6 + 0.72 * number
    picture = Figure(figsize=(side + 0.6, side), layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.subplots()
    rows = matrix_of(found)
    shares = [[cell.share or 0.0 for cell in cells] for _, _, cells in rows]
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(number), found.labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(number), [f"{label} ({total})" for label, total, _ in rows])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (videos)")
    for y, (_, _, cells) in enumerate(rows):
        for x, cell in enumerate(cells):
            colour = "white" if (cell.share or 0) > 0.55 else "#1d2126"
            words = str(cell.count) if cell.share is not None else "-"
            axes.text(x, y, words, ha="center", va="center", color=colour, fontweight="bold" if cell.is_right else None)
    axes.set_xticks([at - 0.5 for at in range(1, number)], minor=True)
    axes.set_yticks([at - 0.5 for at in range(1, number)], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    for edge in axes.spines.values():
        edge.set_visible(False)
    axes.set_title(title, loc="left", fontsize=10)
    bar = picture.colorbar(shown, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("share of the true label")
    bar.outline.set_visible(False)
    with appearing_whole(path) as temporary, temporary.open("wb") as file:
        picture.savefig(file, format="png", dpi=120)
    return path
