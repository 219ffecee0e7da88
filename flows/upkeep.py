"""Work on a corpus that is asked for now and then: backfills, garbage collection."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.logging import get_run_logger

from flows.artifacts import publish_table
from flows.corpus import BuildReport, build_corpus
from flows.turn import its_turn
from pipeline.backfill import ask_anew
from pipeline.garbage import KINDS, Garbage, Retention, collect, find_garbage
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.walk import WALK, BuildConfig


@flow(name="backfill")
def backfill(
    source: Path,
    root: Path,
    stage: Literal[tuple(stage.name for stage in WALK)],  # type: ignore[valid-type]
    query: str | None = None,
    config: BuildConfig = BuildConfig(),
    resources: Resources = Resources(),
    annotations: Path | None = None,
) -> BuildReport:
    """Compute units anew that nothing has changed for: all of a stage, or those that a query finds.

    A language model is asked again too. What comes out as before ends there; what does not goes on to later stages.

    Args:
        source: The source that the corpus is built from.
        root: The corpus folder.
        stage: The stage whose units are computed anew.
        query: SQL over the corpus' tables that gives a column unit_id, track_id or video_id, such as
            `select unit_id from rejects where reason = 'server_unavailable'`. Without it, every unit of the stage.
        config: What to compute; what differs from the last build is computed besides.
        resources: How to compute it.
        annotations: CSV or Parquet file of the videos' labels, splits, groups, licences and consents.
    """
    with its_turn(Store.open(root)):
        count = ask_anew(Corpus(root), stage, query)
        get_run_logger().info("%d units of %s are computed anew", count, stage)
        return build_corpus(source, root, config, resources, annotations=annotations)


@flow(name="collect-garbage")
def collect_garbage(root: Path, rule: Retention = Retention(), delete: bool = False) -> Garbage:
    """Find old snapshots and shards that nothing needs any more, and delete them if `delete` is on.

    Args:
        root: The corpus folder.
        rule: Which snapshots stay.
        delete: Really delete. Off: only say what would be.
    """
    store = Store.open(root)
    with its_turn(store):
        found = collect(store, rule) if delete else find_garbage(store, rule)
    rows = [
        {"what": kind, "files": len(found.files[kind]), "MB": round(found.bytes[kind] / 1e6, 1), "are": meaning}
        for kind, meaning in KINDS.items()
    ]
    kept = ", ".join(map(str, found.kept))
    publish_table(root, "garbage", rows, f"{'deleted' if delete else 'would be deleted'}; snapshots that stay: {kept}")
    return found
