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
    PROTOCOLS,
    Fold,
    FoldError,
    FoldSplit,
    Matched,
    Protocol,
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


class ProtocolResult(_Frozen):
    """All folds of one protocol."""

    protocol: Protocol
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
    protocols: list[ProtocolResult]
    not_run: dict[str, str]
    """Protocols that could not be run, and why."""
    identity_less_official: Comparison | None
    missing: list[str]
    """A line for each fold that lacks videos."""
    num_unlisted: int
    drawn_by: str
    num_clusters: int


def crossval(
    matched: Matched,
    source: Path,
    out: Path,
    config: TrainConfig,
    resources: TrainResources,
    *,
    seeds: Sequence[int] = (0,),
    protocols: Sequence[Protocol] | None = None,
    listen: Listener = quiet,
) -> CrossValidation:
    """Train and judge each fold with each seed under each protocol, and write the table, a page and Markdown to `out`.

    `protocols`: by default both, or the official one alone where it is not known who is in the videos. Runs that are
    there already are taken over.

    Raises:
        SeriesError: no seed, or a run of another split in its folder.
        FoldError: folds by identity were asked for and cannot be made.
        TrainingError, RunError, …: as `fit` does.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise SeriesError(f"seeds are {', '.join(map(str, seeds)) or 'none'}: give different ones")
    splits, not_run = _splits(matched, config, protocols)
    tasks = [
        Task(
            name=f"{protocol}, fold {one.name}, seed {seed}",
            path=out / protocol / f"fold-{one.name}" / f"seed-{seed}",
            config=_config(config, protocol, matched, seed),
            clips=matched.clips,
            split=one.plan,
            place=Place(fold=one.name),
            controls=("none",),
        )
        for seed in seeds
        for protocol, folds in splits.items()
        for one in folds
    ]
    trained = {
        task.path: train_and_judge(task, number, len(tasks), resources, listen)
        for number, task in enumerate(tasks, start=1)
    }
    scored: dict[Protocol, dict[str, list[Scored]]] = {
        protocol: {
            one.name: [_scored(trained[out / protocol / f"fold-{one.name}" / f"seed-{seed}"]) for seed in seeds]
            for one in folds
        }
        for protocol, folds in splits.items()
    }
    result = _table(matched, source, seeds, splits, scored, not_run)
    write(result, scored, seeds, out)
    return result


def _splits(
    matched: Matched, config: TrainConfig, protocols: Sequence[Protocol] | None
) -> tuple[dict[Protocol, list[FoldSplit]], dict[str, str]]:
    splits: dict[Protocol, list[FoldSplit]] = {}
    not_run: dict[str, str] = {}
    for protocol in protocols or PROTOCOLS:
        try:
            folds: Sequence[Fold] = matched.folds if protocol == "official" else identity_folds(matched, config.seed)
        except FoldError as error:
            if protocols:
                raise
            not_run[protocol] = str(error)
            continue
        splits[protocol] = [
            split_of_fold(matched, fold, config.split, config.seed, labels=config.labels) for fold in folds
        ]
    return splits, not_run


def _config(config: TrainConfig, protocol: Protocol, matched: Matched, seed: int) -> TrainConfig:
    """All folds learn the same labels, so that their probabilities are of the same; run.json says the protocol."""
    labels = config.labels or tuple(sorted(set(matched.clips.table["label"].to_pylist()) - {None}))
    split = config.split.model_copy(update={"by": protocol})
    return config.model_copy(update={"labels": labels, "split": split, "seed": seed})


def _scored(one: Trained) -> Scored:
    return per_video(read_predictions(prediction_path(one.run.path, "test", "none")))


def _table(
    matched: Matched,
    source: Path,
    seeds: Sequence[int],
    splits: Mapping[Protocol, Sequence[FoldSplit]],
    scored: Mapping[Protocol, Mapping[str, Sequence[Scored]]],
    not_run: Mapping[str, str],
) -> CrossValidation:
    pooled = {
        protocol: [together([runs[place] for runs in folds.values()]) for place in range(len(seeds))]
        for protocol, folds in scored.items()
    }
    first = next(iter(pooled.values()))[0]
    both = "official" in pooled and "identity" in pooled
    is_same = both and pooled["official"][0].video_ids == pooled["identity"][0].video_ids
    return CrossValidation(
        corpus=matched.clips.corpus,
        snapshot=matched.clips.snapshot,
        source=str(source),
        seeds=list(seeds),
        protocols=[
            _protocol(matched, protocol, splits[protocol], scored[protocol], runs) for protocol, runs in pooled.items()
        ],
        not_run=dict(not_run),
        identity_less_official=compare(pooled["identity"], pooled["official"]) if is_same else None,
        missing=matched.missing_in_words(),
        num_unlisted=matched.num_unlisted,
        drawn_by=first.drawn_by,
        num_clusters=len(set(first.clusters)),
    )


def _protocol(
    matched: Matched,
    protocol: Protocol,
    splits: Sequence[FoldSplit],
    scored: Mapping[str, Sequence[Scored]],
    pooled: Sequence[Scored],
) -> ProtocolResult:
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
            num_missing_test=len(missing.get(one.name, [])) if protocol == "official" else 0,
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
    return ProtocolResult(
        protocol=protocol,
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
    result: CrossValidation, scored: Mapping[Protocol, Mapping[str, Sequence[Scored]]], seeds: Sequence[int], out: Path
) -> None:
    """Write the table of runs, the page and the Markdown. Raises OSError."""
    panels = panels_of(result)
    title = f"Cross-validation of {result.source}"
    write_page(out / PAGE, title, lead_of(result), in_words(result), panels)
    with whole_file(out / MARKDOWN) as file:
        said = "\n".join(f"- {line}" for line in in_words(result))
        file.write(f"# {title}\n\n{lead_of(result)}\n\n{said}\n\n{markdown_of(panels)}")
    rows: list[dict[str, Any]] = []
    for protocol, folds in scored.items():
        for fold, runs in folds.items():
            for seed, run in zip(seeds, runs, strict=True):
                own = over_seeds([run], num_draws=1)
                rows.append(
                    {
                        "protocol": protocol,
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
    return f"Snapshot {result.snapshot} of {result.corpus}; seed{'s' if len(result.seeds) > 1 else ''} {seeds}."


def in_words(result: CrossValidation) -> list[str]:
    """What must be known before the table is believed."""
    lines = [
        "Each run gives the weights of its last epoch, or those of its config's choice on validation videos, which "
        "were carved from train; no test video was asked before.",
        "± is the deviation between folds. Pooled figures are of all test videos together, with intervals of 95 % from "
        f"a bootstrap that draws by {result.drawn_by} ({result.num_clusters}) and by seed.",
    ]
    if any(is_flat(one.pooled) for one in result.protocols):
        lines.append(FLAT)
    for one in result.protocols:
        shared = sum(fold.num_shared_test for fold in one.folds)
        tested = sum(fold.num_test for fold in one.folds)
        if shared:
            lines.append(
                f"ATTENTION: in the {one.protocol} folds {shared} of {tested} test videos are of people or films that "
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
    lines += [f"Not run, {PROTOCOLS[name]}: {why}" for name, why in result.not_run.items()]  # type: ignore[index]
    return lines


def panels_of(result: CrossValidation) -> list[Panel]:
    """Protocols side by side, then folds, then labels."""
    panels = [_of_protocols(result)]
    for one in result.protocols:
        panels.append(_of_folds(one))
    panels.append(_of_labels(result))
    return panels


def _of_protocols(result: CrossValidation) -> Panel:
    rows: list[tuple[Cell, ...]] = [
        (
            one.protocol,
            PROTOCOLS[one.protocol],
            str(one.uar),
            str(one.war),
            estimate_gauge(one.pooled.uar),
            estimate_gauge(one.pooled.war),
            f"{one.uar_if_missing_wrong:.3f}, {one.war_if_missing_wrong:.3f}",
        )
        for one in result.protocols
    ]
    columns = ("folds", "what they are", "UAR, mean of folds", "WAR, mean of folds", "UAR, pooled", "WAR, pooled")
    meaning = "The last column counts every test video that the corpus lacks as wrong: UAR, WAR."
    return Panel("protocols", "Mean of the folds", meaning, (*columns, "if missing were wrong"), rows)


def _of_folds(one: ProtocolResult) -> Panel:
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
    return Panel(f"folds {one.protocol}", f"Folds: {one.protocol}", "Numbers are videos.", columns, rows)


def _of_labels(result: CrossValidation) -> Panel:
    rows: list[tuple[Cell, ...]] = []
    for one in result.protocols:
        for found in one.recalls:
            over = one.recalls_over_folds.get(found.label)
            rows.append((one.protocol, found.label, "" if over is None else str(over), recall_gauge(found)))
    return Panel(
        "labels",
        "Recall by label",
        "Mean over the folds with its deviation; and of all test videos together, with Wilson's interval.",
        ("folds", "label", "mean of folds", "pooled"),
        rows,
    )
