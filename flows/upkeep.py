"""Work on a corpus that is asked for now and then: backfills, take-downs, garbage collection."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from prefect import flow
from pydantic import BaseModel

from flows.artifacts import publish_table
from flows.corpus import BuildReport, build_corpus
from flows.observing import LOG
from flows.turn import its_turn
from pipeline.backfill import ask_anew
from pipeline.garbage import KINDS, Garbage, Retention, collect, find_garbage
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.takedown import left_to_do, read_names
from pipeline.takedown import take_down as take_videos_down
from pipeline.walk import WALK, BuildConfig


@flow(name="backfill")
def backfill(
    source: Path | str,
    root: str | Path,
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
        root: The corpus: a folder, or a URI such as s3://bucket/corpus.
        stage: The stage whose units are computed anew.
        query: SQL over the corpus' tables that gives a column unit_id, track_id or video_id, such as
            `select unit_id from rejects where reason = 'server_unavailable'`. Without it, every unit of the stage.
        config: What to compute; what differs from the last build is computed besides.
        resources: How to compute it.
        annotations: CSV or Parquet file of the videos' labels, votes, splits, folds, groups, captions, licences and
            consents.
    """
    with its_turn(Store.open(root)):
        count = ask_anew(Corpus(root), stage, query)
        LOG.info("%d units of %s are computed anew", count, stage)
        return build_corpus(source, root, config, resources, annotations=annotations)


class TakenDown(BaseModel):
    """What a take-down did, without saying which videos: the server keeps this. The report in the corpus says all."""

    report: int
    num_videos: int
    num_rewritten: int
    num_deleted: int


class TraceLeftError(RuntimeError):
    """A take-down is done, and the search after it still found something."""


@flow(name="take-down")
def take_down(root: str | Path, list_file: Path | None = None, videos: list[str] | None = None) -> TakenDown:
    """Remove videos from a corpus for good, with everything that was made from them.

    Prefect's server keeps the parameters of a run. Give the videos in a file, and delete it afterwards: then no id of
    them is in the server's database.

    Args:
        root: The corpus: a folder, or a URI such as s3://bucket/corpus.
        list_file: Text file on the worker's machine with one id or path a line. Ids are not seen by the server.
        videos: Ids or paths below the source. They stay in the server's database with this run until it is deleted.
    """
    store = Store.open(root)
    names = [*(read_names(list_file) if list_file else []), *(videos or [])]
    if not names and not left_to_do(store):
        raise ValueError("no video was named: give list_file or videos")
    with its_turn(store):
        report = take_videos_down(store, names)
    done = TakenDown(
        report=report.number,
        num_videos=len(report.videos),
        num_rewritten=len(report.rewritten),
        num_deleted=len(report.deleted),
    )
    publish_table(root, "take-down", [done.model_dump()], f"report {report.number} in the corpus names every file")
    if not report.is_clean:
        raise TraceLeftError(
            f"{len(report.search.found)} files still hold a trace: report {report.number} of {root} names them. See to "
            "them, then run the same again"
        )
    return done


@flow(name="collect-garbage")
def collect_garbage(root: str | Path, rule: Retention = Retention(), delete: bool = False) -> Garbage:
    """Find old snapshots and shards that nothing needs any more, and delete them if `delete` is on.

    Args:
        root: The corpus: a folder, or a URI such as s3://bucket/corpus.
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
