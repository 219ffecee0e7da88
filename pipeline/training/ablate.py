"""Ablation: the same clips, split and seeds with one part of the network or of its material changed at a time.

All arms are tested on the same videos, so that each difference to the reference is paired. An arm that fails says why
and keeps its row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from pipeline.inspection.page import whole_file
from pipeline.inspection.panels import Cell, Gauge, Panel
from pipeline.training.checkpoint import appearing_whole
from pipeline.training.clips import ClipList
from pipeline.training.compare import FLAT, Comparison, OverSeeds, compare, is_flat, over_seeds
from pipeline.training.config import TrainConfig, TrainResources
from pipeline.training.errors import DivergedError
from pipeline.training.evaluate import flat_fields
from pipeline.training.metrics import figures
from pipeline.training.predict import Place, prediction_path
from pipeline.training.predictions import CONTROLS, Scored, per_video, read_predictions
from pipeline.training.report import FEW_CLUSTERS, estimate_gauge, reach_of, swing
from pipeline.training.series import (
    Listener,
    SeriesError,
    Step,
    Task,
    Trained,
    markdown_of,
    quiet,
    train_and_judge,
    write_page,
)
from pipeline.training.splits import SplitPlan, plan_splits

REFERENCE = "balanced"
TABLE, RUNS, PAGE, MARKDOWN = "ablation.parquet", "ablation-runs.parquet", "ablation.html", "ablation.md"


@dataclass(frozen=True)
class Arm:
    """What an arm changes of the config, and under which control it is tested."""

    meaning: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    control: str = "none"


def _network(alignment: str, *, caption: str = "global", uses_motion: bool = True) -> dict[str, Any]:
    return {"alignment": alignment, "caption": caption, "uses_motion": uses_motion}


_NO_TEXT = {"contrast_weight": 0.0, "transport_weight": 0.0}
"""A text must not teach an arm that reads none."""

ARMS: Mapping[str, Arm] = {
    "vision_only": Arm(
        "frames alone", {"model": _network("none", caption="none", uses_motion=False), "loss": _NO_TEXT}
    ),
    "caption_global": Arm(
        "frames, and the text as one average, no motion", {"model": _network("none", uses_motion=False)}
    ),
    "motion_gate": Arm(
        "frames weighed by motion, no text", {"model": _network("none", caption="none"), "loss": _NO_TEXT}
    ),
    "caption_motion": Arm("motion and the averaged text, no alignment", {"model": _network("none")}),
    "attention": Arm("softmax attention for transport, same parameters", {"model": _network("attention")}),
    "balanced": Arm("all of it, balanced transport: the paper's", {"model": _network("balanced")}),
    "unbalanced": Arm("transport that may leave visual mass unused", {"model": _network("unbalanced")}),
    "no_gate": Arm("balanced, without motion", {"model": _network("balanced", uses_motion=False)}),
    "draft_text": Arm(
        "balanced, the template's text for the refined", {"model": _network("balanced"), "text": "draft"}
    ),
    "shuffled_captions": Arm(
        "balanced, texts of other videos in training and test",
        {"model": _network("balanced"), "shuffle_captions": True},
        control="shuffled_captions",
    ),
    "shuffled_frames": Arm(
        "balanced, frames in another order in training and test",
        {"model": _network("balanced"), "shuffle_frames": True},
        control="shuffled_frames",
    ),
    "shuffled_labels": Arm(
        "balanced, training videos have each other's labels",
        {"model": _network("balanced"), "shuffle_labels": True},
    ),
}
"""By name. Each is a question to the method but the last, which is one to the evaluation: it must be at chance."""


def arm_config(base: TrainConfig, arm: str, seed: int) -> TrainConfig:
    """The config of an arm: the base with what the arm changes, and a seed."""
    fields = _merged(base.model_dump(mode="json"), ARMS[arm].overrides)
    return TrainConfig.model_validate({**fields, "seed": seed})


def _merged(fields: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(fields)
    for name, value in changed.items():
        merged[name] = _merged(merged[name], value) if isinstance(value, Mapping) else value
    return merged


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class ArmResult(_Frozen):
    """What came out of an arm."""

    arm: str
    meaning: str
    control: str
    seeds: list[int]
    over_seeds: OverSeeds | None
    """None where no run of it is there: `missing` says why."""
    against: Comparison | None
    """This arm less the reference, over as many seeds as both have."""
    p_holm: float | None
    """p of the difference of UAR, corrected for the number of arms."""
    under: dict[str, float]
    """Mean UAR under each control."""
    missing: str | None


class Ablation(_Frozen):
    """The table of an ablation."""

    corpus: str
    snapshot: int
    reference: str
    num_videos: int
    num_clusters: int
    drawn_by: str
    chance: float
    smallest_step: float
    arms: list[ArmResult]
    config: dict[str, str]
    """Fields of the base that are not at their default."""


def ablate(
    clips: ClipList,
    out: Path,
    base: TrainConfig,
    resources: TrainResources,
    *,
    arms: Sequence[str] = tuple(ARMS),
    seeds: Sequence[int] = (0, 1, 2),
    reference: str = REFERENCE,
    listen: Listener = quiet,
) -> Ablation:
    """Train each arm with each seed on one split, judge all of them, and write the table, a page and Markdown to `out`.

    Runs that are there already are taken over, so that the same call goes on after an interruption, and more arms or
    seeds can be added later. The split is planned once, with the seed of the base.

    Raises:
        SeriesError: an unknown arm, no seed, or a run of another split in its folder.
        TrainingError, RunError, …: as `fit` does.
    """
    wanted = _wanted(arms, seeds, reference)
    split = plan_splits(clips, base.split, base.seed, labels=base.labels)
    tasks = [
        Task(
            name=f"{arm}, seed {seed}",
            path=out / arm / f"seed-{seed}",
            config=arm_config(base, arm, seed),
            clips=clips,
            split=split,
            place=Place(arm=arm),
        )
        for seed in seeds
        for arm in wanted
    ]  # seed by seed, so that an interrupted series has all arms of the first
    trained: dict[str, dict[int, Trained]] = {arm: {} for arm in wanted}
    failed: dict[str, str] = {}
    for number, task in enumerate(tasks, start=1):
        arm = str(task.place.arm)
        try:
            trained[arm][task.config.seed] = train_and_judge(task, number, len(tasks), resources, listen)
        except DivergedError as error:
            failed[arm] = f"seed {task.config.seed}: {error}"
            listen(Step(task.name, number, len(tasks), "has failed", is_over=True))
    result = _table(clips, base, split, wanted, trained, failed, reference)
    write(result, trained, out)
    return result


def _wanted(arms: Sequence[str], seeds: Sequence[int], reference: str) -> list[str]:
    for name in (*arms, reference):
        if name not in ARMS:
            raise SeriesError(f"no arm {name!r}; there are: {', '.join(ARMS)}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise SeriesError(f"seeds are {', '.join(map(str, seeds)) or 'none'}: give different ones, three or more")
    return [name for name in ARMS if name in {*arms, reference}]


def _table(
    clips: ClipList,
    base: TrainConfig,
    split: SplitPlan,
    arms: Sequence[str],
    trained: Mapping[str, Mapping[int, Trained]],
    failed: Mapping[str, str],
    reference: str,
) -> Ablation:
    scored = {
        arm: {seed: _scored(one, ARMS[arm].control) for seed, one in runs.items()} for arm, runs in trained.items()
    }
    compared: dict[str, Comparison] = {}
    for arm, runs in scored.items():
        shared = sorted(runs.keys() & scored[reference].keys())
        if arm != reference and shared:
            compared[arm] = compare([runs[seed] for seed in shared], [scored[reference][seed] for seed in shared])
    corrected = holm({arm: one.uar.p for arm, one in compared.items() if one.uar.p is not None})
    if not any(scored.values()):
        raise SeriesError(f"no run came to its end: {'; '.join(failed.values())}")
    first = figures(next(run for runs in scored.values() for run in runs.values()), num_draws=2)
    own, default = (flat_fields(one.model_dump(mode="json")) for one in (base, TrainConfig()))
    return Ablation(
        corpus=clips.corpus,
        snapshot=clips.snapshot,
        reference=reference,
        num_videos=first.num_videos,
        num_clusters=first.num_clusters,
        drawn_by=first.drawn_by,
        chance=first.chance,
        smallest_step=first.smallest_step,
        arms=[
            ArmResult(
                arm=arm,
                meaning=ARMS[arm].meaning,
                control=ARMS[arm].control,
                seeds=sorted(scored[arm]),
                over_seeds=over_seeds(list(scored[arm].values())) if scored[arm] else None,
                against=compared.get(arm),
                p_holm=corrected.get(arm),
                under=_under(trained[arm]),
                missing=failed.get(arm),
            )
            for arm in arms
        ],
        config={name: str(value) for name, value in own.items() if value != default.get(name)},
    )


def _scored(one: Trained, control: str) -> Scored:
    """An arm without texts has nothing to shuffle: then it is as it is."""
    path = prediction_path(one.run.path, "test", control)
    asked = {judged.control for judged in one.evaluation.controls}
    return per_video(read_predictions(path if control in asked else prediction_path(one.run.path, "test", "none")))


def _under(runs: Mapping[int, Trained]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for one in runs.values():
        for judged in one.evaluation.controls:
            found.setdefault(judged.control, []).append(judged.figures.uar.value or 0.0)
    return {control: sum(values) / len(values) for control, values in found.items()}


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """p of several questions, corrected so that a false find among all of them is as rare as one would be alone.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    corrected: dict[str, float] = {}
    worst = 0.0
    for place, name in enumerate(sorted(ps, key=lambda one: ps[one])):
        worst = max(worst, min(1.0, ps[name] * (len(ps) - place)))
        corrected[name] = worst
    return corrected


# --- what is written


def write(result: Ablation, trained: Mapping[str, Mapping[int, Trained]], out: Path) -> None:
    """Write the table, the single runs, the page and the Markdown. Raises OSError."""
    panels = panels_of(result)
    write_page(out / PAGE, "Ablation", lead_of(result), in_words(result), panels)
    with whole_file(out / MARKDOWN) as file:
        said = "\n".join(f"- {line}" for line in in_words(result))
        file.write(f"# Ablation\n\n{lead_of(result)}\n\n{said}\n\n{markdown_of(panels)}")
    runs = [
        {
            "arm": arm,
            "seed": seed,
            "control": judged.control,
            "uar": judged.figures.uar.value,
            "war": judged.figures.war.value,
            "macro_f1": judged.figures.macro_f1.value,
            "nll": judged.figures.nll.value,
            "ece": judged.figures.ece,
            "trained_s": one.run.facts.trained_s,
            "run": str(one.run.path),
        }
        for arm, seeds in trained.items()
        for seed, one in seeds.items()
        for judged in one.evaluation.controls
    ]
    for name, rows in ((TABLE, [_flat(one) for one in result.arms]), (RUNS, runs)):
        with appearing_whole(out / name) as temporary:
            pq.write_table(pa.Table.from_pylist(rows), temporary)


def _flat(one: ArmResult) -> dict[str, Any]:
    means, against = one.over_seeds, one.against
    low, high = (means.uar.interval if means else None) or (None, None)
    less, more = (against.uar.interval if against else None) or (None, None)
    return {
        "arm": one.arm,
        "meaning": one.meaning,
        "control": one.control,
        "seeds": one.seeds,
        "uar": means.uar.value if means else None,
        "uar_low": low,
        "uar_high": high,
        "uar_deviation": means.deviation() if means else None,
        "war": means.war.value if means else None,
        "difference": against.uar.difference if against else None,
        "difference_low": less,
        "difference_high": more,
        "p": against.uar.p if against else None,
        "p_holm": one.p_holm,
        "missing": one.missing,
    }


def lead_of(result: Ablation) -> str:
    """What was compared on what, in a sentence or two."""
    changed = ", ".join(f"{name} {value}" for name, value in result.config.items())
    return (
        f"Snapshot {result.snapshot} of {result.corpus}; {result.num_videos} test videos, the same for all. Base "
        f"config: {changed or 'all at their default'}."
    )


def in_words(result: Ablation) -> list[str]:
    """What must be known before the table is believed."""
    most = max(len(one.seeds) for one in result.arms)
    lines = [
        f"Differences are to {result.reference}, paired by video and seed, intervals of 95 %: a bootstrap that draws "
        f"by {result.drawn_by}, of which there are {result.num_clusters}, and by seed.",
        f"Guessing gives {result.chance:.3f}; a single video of the rarest label is worth {result.smallest_step:.4f}.",
        "An interval that leaves out 0 is one question's answer. Of many arms one is found by chance more easily: "
        "`p, corrected` (Holm) allows for that.",
    ]
    if any(is_flat(one.over_seeds) for one in result.arms if one.over_seeds):
        lines.append(FLAT)
    if most < 3:
        lines.append(f"ATTENTION: {most} seed{'s' if most > 1 else ''} only: how much a seed changes is hardly known.")
    if result.num_clusters < FEW_CLUSTERS:
        lines.append(f"Only {result.num_clusters} units are drawn: the intervals are rough, and rather too narrow.")
    for one in result.arms:
        value = one.over_seeds.uar if one.over_seeds else None
        above = value is not None and value.interval is not None and value.interval[0] > result.chance
        if one.arm == "shuffled_labels" and above:
            lines.append(
                "ATTENTION: with shuffled labels the UAR is above chance: something tells the labels of the test clips."
            )
    return lines


def panels_of(result: Ablation) -> list[Panel]:
    """The table of arms, and each arm under each control."""
    differences = [one.against.uar for one in result.arms if one.against is not None]
    reach = reach_of(differences)
    arms: list[tuple[Cell, ...]] = []
    under: list[tuple[Cell, ...]] = []
    asked = [control for control in CONTROLS if any(control in one.under for one in result.arms)]
    for one in result.arms:
        means = one.over_seeds
        if means is None:
            arms.append((one.arm, one.meaning, Gauge(None, f"failed: {one.missing}"), "", "", "", "", ""))
            continue
        deviation = means.deviation()
        arms.append(
            (
                one.arm,
                f"{one.meaning}{f' (failed: {one.missing})' if one.missing else ''}",
                estimate_gauge(means.uar),
                "" if deviation is None else f"{deviation:.3f}",
                f"{means.war.value:.3f}",
                "reference" if one.against is None else swing(one.against.uar, reach),
                "" if one.p_holm is None else f"{one.p_holm:.3f}",
                len(one.seeds),
            )
        )
        under.append((one.arm, *(f"{one.under[name]:.3f}" if name in one.under else "-" for name in asked)))
    by_label: list[tuple[Cell, ...]] = [
        (one.arm, *(f"{value:.3f}" for value in one.over_seeds.recalls.values()))
        for one in result.arms
        if one.over_seeds
    ]
    labels = next(tuple(one.over_seeds.recalls) for one in result.arms if one.over_seeds)
    return [
        Panel(
            "arms",
            "Arms",
            "Means over the seeds, with the deviation from seed to seed.",
            (
                "arm",
                "what it is",
                "UAR",
                "± seeds",
                "WAR",
                f"difference to {result.reference}",
                "p, corrected",
                "seeds",
            ),
            arms,
        ),
        Panel(
            "controls",
            "UAR under the controls",
            "The trained arms, shown something else at test alone: "
            + "; ".join(f"{name}: {CONTROLS[name]}" for name in asked)
            + ". A dash: it would show nothing of this arm.",
            ("arm", *asked),
            under,
        ),
        Panel("recalls", "Recall by label", "Means over the seeds.", ("arm", *labels), by_label),
    ]
