"""Begin a training from a snapshot: check it, pass the gates, write down what is read. Runs on each new one."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.artifacts import publish_table
from pipeline.inspection.corpus import Corpus
from pipeline.store import Store
from pipeline.training.manifest import Manifest, write_manifest


@flow(name="prepare-training")
def prepare_training(root: Path, snapshot: int | None = None) -> Manifest:
    """Check that a snapshot may be trained on, and write what a training from it reads to `training/` in its corpus.

    It fails where the snapshot is not whole, where a text gives a label away outside of the split `train`, and where a
    group is on both sides of a split.

    Args:
        root: The corpus folder.
        snapshot: The snapshot to train on; by default the newest.
    """
    with Store.open(root).in_use():  # nothing is deleted meanwhile
        corpus = Corpus(root, snapshot)
        manifest, path = write_manifest(corpus)
    rows = [count.model_dump() for count in manifest.clips]
    publish_table(root, "training", rows, f"clips of snapshot {manifest.snapshot}; files and hashes are in {path}")
    return manifest
