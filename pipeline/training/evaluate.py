"""Judge a finished run: its figures on one part of its split, as it is and under every control, and where it is from.

The test clips are asked here and nowhere else: which weights a run gives was settled by its config before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from pipeline.training.clips import ClipList
from pipeline.training.compare import Comparison, compare
from pipeline.training.config import TrainConfig, TrainResources
from pipeline.training.logbook import read_metrics
from pipeline.training.metrics import Figures, figures
from pipeline.training.predict import Place, Predictor
from pipeline.training.predictions import CONTROLS, PredictionError, Scored, per_video
from pipeline.training.splits import PARTS, Part

if TYPE_CHECKING:
    from pipeline.training.run_folder import RunFolder


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Judged(_Frozen):
    """The figures of a run under one control, and how far they are from those of the clips as they are."""

    control: str
    figures: Figures
    against_none: Comparison | None = None
    """The control less the clips as they are, paired; None for these themselves."""


class Count(_Frozen):
    """Clips of one part and label."""

    part: str
    label: str
    num_clips: int
    num_videos: int
    num_groups: int
    num_unknown: int
    """Videos of which no group is known."""


class Curve(_Frozen):
    """A figure that the training logged: by part, the epoch (with a fraction) and the value."""

    name: str
    points: dict[str, list[tuple[float, float]]]


class Beside(_Frozen):
    """Another run, told side by side, such as that of an official split beside one by identity."""

    name: str
    split_by: str
    figures: Figures
    paired: Comparison | None
    """This run less the other; None where they are of other test videos, and `why` says so."""
    why: str | None


class Provenance(_Frozen):
    """What a run was made of."""

    corpus: str
    snapshot: int
    clips_key: str
    split_key: str
    plan_key: str
    config_key: str
    weights_sha256: str
    pretrained: dict[str, str]
    software: dict[str, str]
    device: str
    precision: str
    started_at: str
    trained_s: float
    epochs: int
    kept_epoch: int | None
    keep: str
    config: dict[str, str]
    """Each field by its full name."""
    changed: list[str]
    """Names of the fields that are not at their default."""


class Evaluation(_Frozen):
    """Everything that the report of a run tells."""

    run: str
    part: str
    split_by: str
    controls: list[Judged]
    """The clips as they are come first."""
    not_asked: dict[str, str]
    """Controls that would show nothing, and why."""
    counts: list[Count]
    num_shared_groups: int
    """Groups with videos in train and in this part."""
    num_unknown_groups: int
    """Videos of this part of which no group is known."""
    curves: list[Curve]
    provenance: Provenance
    beside: list[Beside]

    @property
    def figures(self) -> Figures:
        """Those of the clips as they are."""
        return self.controls[0].figures


def evaluate(
    run: RunFolder,
    part: Part = "test",
    *,
    controls: Sequence[str] = tuple(CONTROLS),
    clips: ClipList | None = None,
    resources: TrainResources | None = None,
    place: Place | None = None,
    beside: Sequence[RunFolder] = (),
    anew: bool = False,
) -> Evaluation:
    """Ask a finished run about a part of its split, under each control that shows something, and count.

    Raises:
        PredictionError: the training is not over, an unknown control, or clips that are gone.
        RunError, CheckpointError: the run's files are damaged, or not those of the training.
    """
    if unknown := [name for name in controls if name not in CONTROLS]:
        raise PredictionError(f"no control {unknown[0]!r}; there are: {', '.join(CONTROLS)}")
    with Predictor(run, clips, resources, place) as predictor:
        return _evaluated(predictor, part, controls, beside, anew=anew)


def _evaluated(
    predictor: Predictor, part: Part, controls: Sequence[str], beside: Sequence[RunFolder], *, anew: bool
) -> Evaluation:
    run = predictor.run
    wanted = [name for name in CONTROLS if name in controls or name == "none"]
    reasons = {name: why for name in wanted if (why := predictor.why_not(name, part))}
    scored = {name: per_video(predictor.predict(part, name, anew=anew)) for name in wanted if name not in reasons}
    groups = _groups(predictor, part)
    return Evaluation(
        run=str(run.path),
        part=part,
        split_by=run.config.split.by,
        controls=[
            Judged(
                control=name,
                figures=figures(own),
                against_none=None if name == "none" else compare([own], [scored["none"]]),
            )
            for name, own in scored.items()
        ],
        not_asked=reasons,
        counts=counts_of(predictor),
        num_shared_groups=groups[0],
        num_unknown_groups=groups[1],
        curves=curves_of(run.path),
        provenance=provenance_of(run, predictor),
        beside=[_beside(other, part, predictor.resources, scored["none"]) for other in beside],
    )


def score(
    run: RunFolder,
    part: Part = "test",
    control: str = "none",
    *,
    clips: ClipList | None = None,
    resources: TrainResources | None = None,
    place: Place | None = None,
) -> Scored:
    """What a finished run says of the videos of a part. Raises as `evaluate`."""
    with Predictor(run, clips, resources, place) as predictor:
        return per_video(predictor.predict(part, control))


def _beside(other: RunFolder, part: Part, resources: TrainResources | None, own: Scored) -> Beside:
    scored = score(other, part, resources=resources)
    is_same = set(scored.video_ids) == set(own.video_ids)
    shared = len(set(scored.video_ids) & set(own.video_ids))
    return Beside(
        name=str(other.path),
        split_by=other.config.split.by,
        figures=figures(scored),
        paired=compare([own], [scored]) if is_same else None,
        why=None if is_same else f"other test videos ({shared} in both): the two are told side by side, not compared",
    )


def _groups(predictor: Predictor, part: Part) -> tuple[int, int]:
    """Groups that are in train and in this part, by the corpus; and videos of this part of which none is known."""
    names = predictor.clips.table.select(["video_id", "group"])
    rows = {at: names.take(pa.array(predictor.positions(at))).to_pylist() for at in ("train", part)}
    groups = {at: {row["group"] for row in own} - {None} for at, own in rows.items()}
    unknown = {row["video_id"] for row in rows[part] if row["group"] is None}
    return (len(groups["train"] & groups[part]) if part != "train" else 0), len(unknown)


def counts_of(predictor: Predictor) -> list[Count]:
    """Clips, videos and groups by part and label."""
    cells: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in predictor.split.table.to_pylist():
        cells[row["split"], row["label"]].append(row)
    return [
        Count(
            part=part,
            label=label,
            num_clips=len(rows),
            num_videos=len({row["video_id"] for row in rows}),
            num_groups=len({row["group"] for row in rows} - {None}),
            num_unknown=len({row["video_id"] for row in rows if row["group"] is None}),
        )
        for (part, label), rows in sorted(cells.items(), key=lambda cell: (PARTS.index(cell[0][0]), cell[0][1]))
    ]


def curves_of(run: Path) -> list[Curve]:
    """What the training logged, each figure by part over the epochs."""
    rows = sorted(read_metrics(run).to_pylist(), key=lambda row: row["step"])
    steps_of_epoch: defaultdict[int, list[int]] = defaultdict(list)
    for row in rows:
        steps_of_epoch[row["epoch"]].append(row["step"])
    last = {epoch: max(steps) for epoch, steps in steps_of_epoch.items()}
    found: defaultdict[str, dict[str, list[tuple[float, float]]]] = defaultdict(dict)
    for row in rows:
        epoch = row["epoch"]
        before, after = last.get(epoch - 1, 0), max(last[epoch], 1)
        at = epoch + (row["step"] - before) / max(after - before, 1)
        if row["value"] == row["value"]:
            found[row["name"]].setdefault(row["split"], []).append((at, row["value"]))
    return [Curve(name=name, points=points) for name, points in found.items()]


def provenance_of(run: RunFolder, predictor: Predictor) -> Provenance:
    """What run.json says of how the run came about."""
    facts = run.facts
    own, default = (flat_fields(config.model_dump(mode="json")) for config in (run.config, TrainConfig()))
    return Provenance(
        corpus=facts.corpus,
        snapshot=facts.snapshot,
        clips_key=facts.clips_key,
        split_key=facts.split_key,
        plan_key=facts.plan_key,
        config_key=facts.config_key,
        weights_sha256=predictor.weights_key,
        pretrained=facts.weights,
        software=facts.software,
        device=facts.device,
        precision=facts.precision,
        started_at=facts.started_at,
        trained_s=facts.trained_s,
        epochs=run.config.epochs,
        kept_epoch=facts.kept_epoch,
        keep=run.config.keep,
        config={name: str(value) for name, value in own.items()},
        changed=[name for name, value in own.items() if value != default.get(name)],
    )


def flat_fields(fields: dict[str, Any], inside: str = "") -> dict[str, Any]:
    """Fields of a config by their full names, such as `model.alignment`."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= flat_fields(value, f"{inside}{name}.") if isinstance(value, dict) else {inside + name: value}
    return flat
