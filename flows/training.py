"""Trainings from snapshots: check one, pass the gates, write down what is read; and train, on the pool of the GPUs."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from pydantic import BaseModel

from flows.artifacts import live_progress, publish_table
from pipeline.inspection.corpus import Corpus
from pipeline.store import Store
from pipeline.training.config import TrainConfig, TrainResources
from pipeline.training.manifest import Manifest, write_manifest


@flow(name="prepare-training")
def prepare_training(root: str | Path, snapshot: int | None = None) -> Manifest:
    """Check that a snapshot may be trained on, and write what a training from it reads to `training/` in its corpus.

    It fails where the snapshot is not whole, where a text gives a label away outside of the split `train`, and where a
    group is on both sides of a split.

    Args:
        root: The corpus: a folder, or a URI such as s3://bucket/corpus.
        snapshot: The snapshot to train on; by default the newest.
    """
    return _prepare(root, snapshot)


class Trained(BaseModel):
    """What a training gave: where it lies, and how it does on its validation clips."""

    run: Path
    snapshot: int
    epochs: int
    validation: dict[str, float]


@flow(name="train")
def train(
    root: str | Path,
    runs: Path,
    snapshot: int | None = None,
    config: TrainConfig = TrainConfig(),
    resources: TrainResources = TrainResources(),
) -> Trained:
    """Train a network from a snapshot, as `facescribe train` does, after the checks of `prepare-training`.

    The run gets a folder of its own in `runs`, named by snapshot, config and seed: so a run of the same parameters goes
    on with one that was broken off, and does nothing if that is over.

    Args:
        root: The corpus: a folder, or a URI such as s3://bucket/corpus.
        runs: The folder of the runs.
        snapshot: The snapshot to train on; by default the newest.
        config: What to learn.
        resources: How to compute it.
    """
    from pipeline.training.fit import fit

    manifest = _prepare(root, snapshot)
    folder = runs / f"{manifest.snapshot:06d}-{config.key()[:8]}-seed{config.seed}"
    with live_progress(root, ["train"]):
        run = fit(root, folder, config, resources, snapshot=manifest.snapshot)
    facts = run.read_facts()
    rows = [{"figure": name, "validation": round(value, 4)} for name, value in facts.validation.items()]
    publish_table(root, "trained", rows, f"{folder.resolve()}: {facts.epochs_done} epochs, {facts.trained_s:.0f} s")
    return Trained(run=folder, snapshot=facts.snapshot, epochs=facts.epochs_done, validation=facts.validation)


def _prepare(root: str | Path, snapshot: int | None) -> Manifest:
    with Store.open(root).in_use():  # nothing is deleted meanwhile
        corpus = Corpus(root, snapshot)
        manifest, path = write_manifest(corpus)
    rows = [count.model_dump() for count in manifest.clips]
    publish_table(root, "training", rows, f"clips of snapshot {manifest.snapshot}; files and hashes are in {path}")
    return manifest
