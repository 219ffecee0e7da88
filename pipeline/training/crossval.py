"""Cross-validation: each fold trained and judged, with as many seeds as wanted; official folds and folds by identity.

What others print is the mean over folds and its deviation. It is told beside the figures of all test videos together,
where every video counts once and intervals can be drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from pipeline.inspection.page import whole_file
from pipeline.inspection.panels import Cell, Gauge, Panel
from pipeline.training.checkpoint import appearing_whole
from pipeline.training.compare import FLAT, Comparison, OverSeeds, compare, is_flat, over_seeds
from pipeline.training.config import TrainConfig, TrainResources
from pipeline.training.folds import (
    DIVISIONS,
    Division,
    Fold,
    FoldError,
    FoldSplit,
    Matched,
    identity_folds,
    split_of_fold,
)
from pipeline.training.metrics import Recall, Spread, recall_of, spread, uar_of, war_of
from pipeline.training.predict import Place, prediction_path
from pipeline.training.predictions import Scored, per_video, read_predictions, together
from pipeline.training.report import estimate_gauge, recall_gauge
from pipeline.training.series import (
    Listener,
    SeriesError,
    Task,
    Trained,
    markdown_of,
    quiet,
    train_and_judge,
    write_page,
)

TABLE, PAGE, MARKDOWN = "crossval.parquet", "crossval.html", "crossval.md"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class FoldResult(_Frozen):
    """One fold, averaged over its seeds."""

    fold: str
    uar: float
    war: float
    uar_values: list[float]
    """By seed."""
    num_train: int
    num_validation: int
    num_test: int
    """Videos."""
    num_missing_test: int
    """Test videos of the fold that the corpus has no clip of."""
    num_shared_groups: int
    num_shared_test: int


class DivisionResult(_Frozen):
    """All folds of one division: as their source made them, or by identity."""

    division: Division
    folds: list[FoldResult]
    uar: Spread
    """Over the folds, each the mean of its seeds."""
    war: Spread
    recalls_over_folds: dict[str, Spread]
    pooled: OverSeeds
    """Of the test videos of all folds together, each counted once a seed."""
    recalls: list[Recall]
    """Of these, with the hits of the average seed."""
    uar_if_missing_wrong: float
    """The pooled UAR if the run were wrong about every missing test video whose label the folds say."""
    war_if_missing_wrong: float


class CrossValidation(_Frozen):
    """The table of a cross-validation."""

    corpus: str
    snapshot: int
    source: str
    seeds: list[int]
    divisions: list[DivisionResult]
    not_run: dict[str, str]
    """Divisions that could not be run, and why."""
    identity_less_official: Comparison | None
    missing: list[str]
    """A line for each fold that lacks videos."""
    num_unlisted: int
    drawn_by: str
    num_clusters: int


def crossval(
    matched: Matched,
    out: Path,
    config: TrainConfig,
    resources: TrainResources,
    *,
    seeds: Sequence[int] = (0,),
    divisions: Sequence[Division] | None = None,
    only: Sequence[str] | None = None,
    beside: Sequence[Panel] = (),
    listen: Listener = quiet,
) -> CrossValidation:
    """Train and judge each fold with each seed under each division, and write the table, a page and Markdown to `out`.

    Runs that are there already are taken over, so that folds may be trained one at a time and told together at the end.

    Args:
        divisions: by default both; the official one alone where it is not known who is in the videos, or where its
            folds share nobody anyway.
        only: names of folds; by default all. Labels and folds by identity are those of all folds in any case.
        beside: further tables for the page, such as figures that others published.

    Raises:
        SeriesError: no seed, or a run of another split in its folder.
        FoldError: a fold that is not there, or folds by identity were asked for and cannot be made.
        TrainingError, RunError, …: as `fit` does.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise SeriesError(f"seeds are {', '.join(map(str, seeds)) or 'none'}: give different ones")
    if only is not None and (not only or len(set(only)) < len(only)):
        raise SeriesError(f"folds are {', '.join(only) or 'none'}: give different ones")
    told = matched if only is None else matched.of_folds(only)
    splits, not_run = _splits(matched, config, divisions, [fold.name for fold in told.folds])
    tasks = [
        Task(
            name=f"{division}, fold {one.name}, seed {seed}",
            path=out / division / f"fold-{one.name}" / f"seed-{seed}",
            config=_config(config, division, matched, seed),
            clips=matched.clips,
            split=one.plan,
            place=Place(fold=one.name),
            controls=("none",),
        )
        for seed in seeds
        for division, folds in splits.items()
        for one in folds
    ]
    trained = {
        task.path: train_and_judge(task, number, len(tasks), resources, listen)
        for number, task in enumerate(tasks, start=1)
    }
    scored: dict[Division, dict[str, list[Scored]]] = {
        division: {
            one.name: [_scored(trained[out / division / f"fold-{one.name}" / f"seed-{seed}"]) for seed in seeds]
            for one in folds
        }
        for division, folds in splits.items()
    }
    result = _table(told, seeds, splits, scored, not_run)
    write(result, scored, seeds, out, beside)
    return result


def _splits(
    matched: Matched, config: TrainConfig, divisions: Sequence[Division] | None, names: Sequence[str]
) -> tuple[dict[Division, list[FoldSplit]], dict[str, str]]:
    splits: dict[Division, list[FoldSplit]] = {}
    not_run: dict[str, str] = {}
    for division in divisions or DIVISIONS:
        if not divisions and division == "identity" and _shares_nobody(matched):
            not_run[division] = "nobody is on both sides of a fold as its source made it"
            continue
        try:
            folds = matched.folds if division == "official" else _by_identity(matched, config, names)
        except FoldError as error:
            if divisions:
                raise
            not_run[division] = str(error)
            continue
        splits[division] = [
            split_of_fold(matched, fold, config.split, config.seed, labels=config.labels)
            for fold in folds
            if fold.name in names
        ]
    return splits, not_run


def _by_identity(matched: Matched, config: TrainConfig, names: Sequence[str]) -> Sequence[Fold]:
    if not matched.identity:
        return identity_folds(matched, config.seed)
    if lacking := [name for name in names if name not in {fold.name for fold in matched.identity}]:
        raise FoldError(f"{matched.source} has no fold {lacking[0]} by identity")
    return matched.identity


def _shares_nobody(matched: Matched) -> bool:
    """Whether it is known of every video who is in it, and no fold has anybody in train and in test."""
    group = dict(
        zip(matched.clips.table["video_id"].to_pylist(), matched.clips.table["group"].to_pylist(), strict=True)
    )
    for fold in matched.folds:
        tested = {group[video] for video in fold.of_part("test")}
        learnt = {group[video] for video in fold.entries.keys() - fold.of_part("test")}
        if None in tested | learnt or tested & learnt:
            return False
    return True


def _config(config: TrainConfig, division: Division, matched: Matched, seed: int) -> TrainConfig:
    """All folds learn the same labels, so that their probabilities are of the same; run.json says the division."""
    labels = config.labels or tuple(sorted(set(matched.clips.table["label"].to_pylist()) - {None}))
    split = config.split.model_copy(update={"by": division})
    return config.model_copy(update={"labels": labels, "split": split, "seed": seed})


def _scored(one: Trained) -> Scored:
    return per_video(read_predictions(prediction_path(one.run.path, "test", "none")))


def _table(
    matched: Matched,
    seeds: Sequence[int],
    splits: Mapping[Division, Sequence[FoldSplit]],
    scored: Mapping[Division, Mapping[str, Sequence[Scored]]],
    not_run: Mapping[str, str],
) -> CrossValidation:
    pooled = {
        division: [together([runs[place] for runs in folds.values()]) for place in range(len(seeds))]
        for division, folds in scored.items()
    }
    first = next(iter(pooled.values()))[0]
    both = "official" in pooled and "identity" in pooled
    is_same = both and pooled["official"][0].video_ids == pooled["identity"][0].video_ids
    return CrossValidation(
        corpus=matched.clips.corpus,
        snapshot=matched.clips.snapshot,
        source=matched.source,
        seeds=list(seeds),
        divisions=[
            _division(matched, division, splits[division], scored[division], runs) for division, runs in pooled.items()
        ],
        not_run=dict(not_run),
        identity_less_official=compare(pooled["identity"], pooled["official"]) if is_same else None,
        missing=matched.missing_in_words(),
        num_unlisted=matched.num_unlisted,
        drawn_by=first.drawn_by,
        num_clusters=len(set(first.clusters)),
    )


def _division(
    matched: Matched,
    division: Division,
    splits: Sequence[FoldSplit],
    scored: Mapping[str, Sequence[Scored]],
    pooled: Sequence[Scored],
) -> DivisionResult:
    # Missing videos are of the official folds; a fold by identity cannot know which it would have tested.
    missing = {name: [one for one in lost.values() if one.part == "test"] for name, lost in matched.missing.items()}
    lost = Counter(one.label for one in matched.lost.values() if one.part == "test")
    means = {name: over_seeds(runs, num_draws=1) for name, runs in scored.items()}
    folds = [
        FoldResult(
            fold=one.name,
            uar=fmean(means[one.name].uar_values),
            war=fmean(means[one.name].war_values),
            uar_values=means[one.name].uar_values,
            num_train=_videos(one, "train"),
            num_validation=_videos(one, "validation"),
            num_test=_videos(one, "test"),
            num_missing_test=len(missing.get(one.name, [])) if division == "official" else 0,
            num_shared_groups=one.num_shared_groups,
            num_shared_test=one.num_shared_test,
        )
        for one in splits
    ]
    labels = pooled[0].labels
    found = over_seeds(pooled)
    table = found.confusion
    asked = [sum(row) // len(pooled) for row in table]
    hits = [row[at] / len(pooled) for at, row in enumerate(table)]
    more = [count + lost[label] for label, count in zip(labels, asked, strict=True)]
    by_label = {
        label: spread(values)
        for label in labels
        if (values := [one.recalls[label] for one in means.values() if label in one.recalls])
    }
    return DivisionResult(
        division=division,
        folds=folds,
        uar=spread([one.uar for one in folds]),
        war=spread([one.war for one in folds]),
        recalls_over_folds=by_label,
        pooled=found,
        recalls=[recall_of(label, round(hit), n) for label, hit, n in zip(labels, hits, asked, strict=True)],
        uar_if_missing_wrong=float(uar_of(hits, more)),
        # A missing video whose label is nowhere known is one more wrong all the same.
        war_if_missing_wrong=float(war_of([*hits, 0], [*more, lost.total() - sum(lost[label] for label in labels)])),
    )


def _videos(split: FoldSplit, part: str) -> int:
    rows = zip(split.plan.table["video_id"].to_pylist(), split.plan.table["split"].to_pylist(), strict=True)
    return len({video for video, own in rows if own == part})


# --- what is written


def write(
    result: CrossValidation,
    scored: Mapping[Division, Mapping[str, Sequence[Scored]]],
    seeds: Sequence[int],
    out: Path,
    beside: Sequence[Panel] = (),
) -> None:
    """Write the table of runs, the page and the Markdown. Raises OSError."""
    panels = [*panels_of(result), *beside]
    title = f"Folds of {result.source}"
    write_page(out / PAGE, title, lead_of(result), in_words(result), panels)
    with whole_file(out / MARKDOWN) as file:
        said = "\n".join(f"- {line}" for line in in_words(result))
        file.write(f"# {title}\n\n{lead_of(result)}\n\n{said}\n\n{markdown_of(panels)}")
    rows: list[dict[str, Any]] = []
    for division, folds in scored.items():
        for fold, runs in folds.items():
            for seed, run in zip(seeds, runs, strict=True):
                own = over_seeds([run], num_draws=1)
                rows.append(
                    {
                        "division": division,
                        "fold": fold,
                        "seed": seed,
                        "num_videos": len(run.video_ids),
                        "uar": own.uar_values[0],
                        "war": own.war_values[0],
                        "labels": list(run.labels),
                        "confusion": own.confusion,
                    }
                )
    with appearing_whole(out / TABLE) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary)


def lead_of(result: CrossValidation) -> str:
    """What was trained on what."""
    seeds = ", ".join(map(str, result.seeds))
    folds = ", ".join(one.fold for one in result.divisions[0].folds)
    return (
        f"Snapshot {result.snapshot} of {result.corpus}; fold{_s(result.divisions[0].folds)} {folds}; "
        f"seed{_s(result.seeds)} {seeds}."
    )


def _s(listed: Sequence[Any]) -> str:
    return "" if len(listed) == 1 else "s"


def in_words(result: CrossValidation) -> list[str]:
    """What must be known before the table is believed."""
    between = "± is the deviation between folds."
    if len(result.divisions[0].folds) == 1:
        between = "One fold: nothing is known of the deviation between folds."
    lines = [
        "Each run gives the weights of its last epoch, or those of its config's choice on validation videos, which "
        "were carved from train unless the folds have such a part of their own; no test video was asked before.",
        f"{between} Pooled figures are of all test videos together, with intervals of 95 % from "
        f"a bootstrap that draws by {result.drawn_by} ({result.num_clusters}) and by seed.",
    ]
    if any(is_flat(one.pooled) for one in result.divisions):
        lines.append(FLAT)
    for one in result.divisions:
        shared = sum(fold.num_shared_test for fold in one.folds)
        tested = sum(fold.num_test for fold in one.folds)
        if shared:
            lines.append(
                f"ATTENTION: in the {one.division} folds {shared} of {tested} test videos are of people or films that "
                "are in train too: their figures are rather too good."
            )
    compared = result.identity_less_official
    if compared is not None:
        lines.append(
            f"On the same videos, folds by identity differ from the official ones by {compared.uar} of UAR and "
            f"{compared.war} of WAR: that much was people or films that were recognised, or chance where 0 is within."
        )
    lines += [f"ATTENTION: {line}" for line in result.missing]
    if result.num_unlisted:
        lines.append(f"{result.num_unlisted} videos of the corpus are in no fold: they took no part.")
    lines += [f"Not run, {DIVISIONS[name]}: {why}" for name, why in result.not_run.items()]  # type: ignore[index]
    return lines


def panels_of(result: CrossValidation) -> list[Panel]:
    """Divisions side by side, then folds, then labels."""
    panels = [_of_divisions(result)]
    for one in result.divisions:
        panels.append(_of_folds(one))
    panels.append(_of_labels(result))
    return panels


def _of_divisions(result: CrossValidation) -> Panel:
    rows: list[tuple[Cell, ...]] = [
        (
            one.division,
            DIVISIONS[one.division],
            str(one.uar),
            str(one.war),
            estimate_gauge(one.pooled.uar),
            estimate_gauge(one.pooled.war),
            f"{one.uar_if_missing_wrong:.3f}, {one.war_if_missing_wrong:.3f}",
        )
        for one in result.divisions
    ]
    columns = ("folds", "what they are", "UAR, mean of folds", "WAR, mean of folds", "UAR, pooled", "WAR, pooled")
    meaning = "The last column counts every test video that the corpus lacks as wrong: UAR, WAR."
    return Panel("divisions", "Mean of the folds", meaning, (*columns, "if missing were wrong"), rows)


def _of_folds(one: DivisionResult) -> Panel:
    rows: list[tuple[Cell, ...]] = [
        (
            fold.fold,
            Gauge(fold.uar, f"{fold.uar:.3f}"),
            Gauge(fold.war, f"{fold.war:.3f}"),
            str(spread(fold.uar_values)) if len(fold.uar_values) > 1 else "",
            fold.num_train,
            fold.num_validation,
            fold.num_test,
            fold.num_missing_test,
            f"{fold.num_shared_groups} ({fold.num_shared_test} test videos)" if fold.num_shared_groups else "0",
        )
        for fold in one.folds
    ]
    columns = (
        "fold",
        "UAR",
        "WAR",
        "UAR ± seeds",
        "train",
        "validation",
        "test",
        "missing of test",
        "groups on both sides",
    )
    return Panel(f"folds {one.division}", f"Folds: {one.division}", "Numbers are videos.", columns, rows)


def _of_labels(result: CrossValidation) -> Panel:
    rows: list[tuple[Cell, ...]] = []
    for one in result.divisions:
        for found in one.recalls:
            over = one.recalls_over_folds.get(found.label)
            rows.append((one.division, found.label, "" if over is None else str(over), recall_gauge(found)))
    return Panel(
        "labels",
        "Recall by label",
        "Mean over the folds with its deviation; and of all test videos together, with Wilson's interval.",
        ("folds", "label", "mean of folds", "pooled"),
        rows,
    )
