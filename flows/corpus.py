"""Build a corpus from a folder of face videos: the whole walk. Read this file first."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable
from pathlib import Path

from prefect import flow
from pydantic import BaseModel

from flows.artifacts import emit_commit, live_progress, publish_counts, publish_done, publish_plan
from flows.observing import LOG, observed_flow
from flows.stage_task import run_shards
from flows.turn import its_turn
from pipeline.assets import AssetError
from pipeline.descriptions.embedded import EmbeddedLanguageModel, embedded_language_model
from pipeline.descriptions.served import refuse_another_server
from pipeline.inspection.corpus import Corpus
from pipeline.local_server import ServerError
from pipeline.plan import Plan, StageReport
from pipeline.planning import plan_walk
from pipeline.run import ShardResult
from pipeline.stage import Resources
from pipeline.store import DEFAULT_BUCKETS, Store
from pipeline.telemetry.events import StageEnded, tell
from pipeline.telemetry.observing import corpus_is
from pipeline.walk import WALK, BuildConfig, ConfigError, Walk, open_walk


class BuildReport(BaseModel):
    """What one run did: the snapshot it ended in, whether that is new, the plan it began with and the work by stage."""

    plan: Plan
    snapshot: int
    is_new: bool
    stages: dict[str, StageReport]
    busy_s: float
    """In which at least one shard of any stage was at work: stages go on side by side."""
    language_model_wait_s: float
    wall_s: float
    warnings: list[str]


@flow(name="build-corpus")
def build_corpus(
    source: Path | str,
    root: str | Path,
    config: BuildConfig = BuildConfig(),
    resources: Resources = Resources(),
    num_buckets: int = DEFAULT_BUCKETS,
    annotations: Path | None = None,
) -> BuildReport:
    """Bring the corpus at `root` up to date with the videos of `source` and commit it as a snapshot.

    Args:
        source: a folder of videos, searched whole, or one video; a data set by its own annotation, such as
            `dfew:/data/DFEW`; or a table that lists videos, such as `manifest:list.csv`.
        root: the corpus: a folder, or a URI such as s3://bucket/corpus; made if it does not exist.
        config: what to compute. A changed field recomputes what it touches and nothing else.
        resources: how to compute it. Without a server address the embedded language model is started and stopped.
        num_buckets: shards per table, for a new corpus only.
        annotations: a CSV or Parquet file that says what the videos' labels, votes, splits, folds, groups, captions,
            licences and consents are. Its cells stand over what a data set or a manifest says itself.
    """
    store = Store.open_or_create(root, num_buckets)
    with (
        observed_flow(resources, root) as resources,
        its_turn(store),
        store.in_use(),
        live_progress(root, [stage.name for stage in WALK]) as publishes,
    ):
        walk = open_walk(store, source, config, annotations)
        plan = plan_walk(walk)
        if publishes:
            publish_plan(root, plan)
        report = _build(store, walk, plan, source, resources)
        corpus = Corpus(root, report.snapshot)
        for name, stage in report.stages.items():
            tell(StageEnded(stage=name, **stage.model_dump()))
        tell(corpus_is(corpus.snapshot, is_new=report.is_new))
        if report.is_new:
            emit_commit(root, corpus.snapshot)
        if publishes:
            publish_done(root, plan, report.stages)
            publish_counts(root, walk.previous, corpus)
        return report


def _build(store: Store, walk: Walk, plan: Plan, source: Path | str, resources: Resources) -> BuildReport:
    began = time.monotonic()
    config = walk.config
    walk.keep_sources()
    resources = resources.model_copy(update={"source": walk.folder, "answers": store.answers})
    refuse_wrong_servers(config, resources)
    warnings = list(walk.notes)
    with embedded_language_model() as language_model:
        done = run_shards(walk, resources, language_model.warm_up, lambda: _address(language_model, warnings))
    committed = walk.commit(source, resources.max_duplicate_share)
    return BuildReport(
        plan=plan,
        snapshot=committed.number,
        is_new=walk.previous is None or committed.number != walk.previous.number,
        stages={stage.name: _report(done.results.get(stage.name, [])) for stage in WALK},
        busy_s=_busy_s(itertools.chain.from_iterable(done.results.values())),
        language_model_wait_s=done.waited_s,
        wall_s=time.monotonic() - began,
        warnings=warnings,
    )


def refuse_wrong_servers(config: BuildConfig, resources: Resources) -> None:
    """Raise ConfigError or ServedOtherwiseError before anything is computed for a server that cannot be right."""
    key = os.environ.get(resources.api_key_variable or "")
    vision, vision_server = config.drafts.vision, resources.vision_server or resources.server
    if vision is not None and vision_server is None:
        raise ConfigError(
            "[drafts.vision] needs a server that serves its model: give [resources] vision_server = "
            '"http://HOST:PORT/v1", or leave the section out'
        )
    if vision is not None and vision_server is not None:
        refuse_another_server(vision_server, vision.model, vision.engine, api_key=key)
    if resources.server is not None:
        refuse_another_server(resources.server, config.descriptions.model, config.descriptions.engine, api_key=key)


def _address(language_model: EmbeddedLanguageModel, warnings: list[str]) -> str:
    try:
        return language_model.address()
    except (ServerError, AssetError) as error:
        # Its units are refused as transient and wait for the next run; everything else of this run is kept.
        warnings.append(f"the embedded language model is not available: {error}")
        LOG.error("%s", warnings[-1])
        return "http://127.0.0.1:9/v1"  # the discard port: refuses at once


def _busy_s(results: Iterable[ShardResult]) -> float:
    """Seconds in which at least one of the shards was at work."""
    busy_s, reached_s = 0.0, 0.0
    for result in sorted(results, key=lambda result: result.began_s):
        busy_s += max(0.0, result.ended_s - max(result.began_s, reached_s))
        reached_s = max(reached_s, result.ended_s)
    return busy_s


def _report(results: list[ShardResult]) -> StageReport:
    return StageReport(
        num_computed=sum(result.num_computed for result in results),
        num_taken_over=sum(result.num_taken_over for result in results),
        work_s=sum(result.ended_s - result.began_s for result in results),
        busy_s=_busy_s(results),
        num_tokens=sum(result.num_tokens for result in results),
    )
