"""Bring a corpus up to date unattended: a plan, passes until nothing waits, canaries, drift against last night."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

from prefect import flow
from prefect.states import Completed
from pydantic import BaseModel, Field

from flows.artifacts import live_progress, publish_counts, publish_done, publish_plan, publish_table, publish_text
from flows.corpus import BuildReport, build_corpus
from flows.hooks import tell_cancelled, tell_completed, tell_crashed, tell_failed
from flows.observing import LOG, observed_flow
from flows.turn import its_turn
from pipeline.audit.page import write_drift_page
from pipeline.audit.snapshot_drift import snapshot_drift
from pipeline.audit.texts import AuditError
from pipeline.descriptions.ask import ServerUnavailable, addresses_of, list_models
from pipeline.descriptions.canary import NUM_CANARIES, CanaryNight, ask_canaries
from pipeline.descriptions.refine_stage import REFINE_DESCRIPTIONS
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery import ONE_FILE, write_gallery
from pipeline.plan import Plan, StageReport
from pipeline.planning import plan_walk
from pipeline.snapshot import Snapshot
from pipeline.stage import Resources
from pipeline.store import DEFAULT_BUCKETS, Store
from pipeline.telemetry.events import tell
from pipeline.telemetry.observing import corpus_is
from pipeline.walk import WALK, BuildConfig, open_walk

LOOK_EVERY_S = 5.0
"""Between two looks whether a language-model server is back."""


class CorpusShrinksError(RuntimeError):
    """So many videos are gone from the source that it is more likely a disk that is not mounted."""


class NightReport(BaseModel):
    """What one night did: from which snapshot to which, pass by pass, and what still waits."""

    before: int | None
    snapshot: int
    plan: Plan
    passes: list[BuildReport]
    waited_s: float
    """Seconds in which the language-model server was waited for."""
    waiting: dict[str, int]
    """Units that the next night tries again, by reason."""
    canaries: CanaryNight | None
    pages: dict[str, str]
    """What was written to be looked at."""

    def summary(self) -> str:
        """One sentence, as the state of the run shows it."""
        made = sum(stage.num_computed for one in self.passes for stage in one.stages.values())
        words = f"snapshot {self.snapshot}{' (as before)' if self.snapshot == self.before else ''}: "
        words += f"{made} units computed in {len(self.passes)} pass{'es' * (len(self.passes) != 1)}"
        words += f", {self.waited_s:.0f} s waited for the language-model server" if self.waited_s > 1 else ""
        listed = ", ".join(f"{count} {reason}" for reason, count in self.waiting.items())
        return words + (f"; the next night tries again: {listed}" if listed else "")


@flow(
    name="nightly",
    on_completion=[tell_completed],
    on_failure=[tell_failed],
    on_crashed=[tell_crashed],
    on_cancellation=[tell_cancelled],
)
def nightly(
    source: Path | str,
    root: str | Path,
    config: BuildConfig = BuildConfig(),
    resources: Resources = Resources(),
    annotations: Path | None = None,
    num_buckets: int = DEFAULT_BUCKETS,
    max_passes: Annotated[int, Field(ge=1)] = 3,
    server_wait_s: Annotated[float, Field(ge=0)] = 3600.0,
    max_removed_share: Annotated[float, Field(ge=0, le=1)] = 0.5,
    num_canaries: Annotated[int, Field(ge=0)] = NUM_CANARIES,
    make_gallery: bool = True,
    pages_url: str | None = None,
    notify_command: str | None = None,
) -> NightReport:
    """Bring the corpus at `root` up to date with the videos of `source`, as far as it goes, and report on it.

    It fails where a person is needed: a full disk, another run's commit, texts that are all alike, a source that is not
    there or has lost most of its videos, a defect. Refused videos, and a language-model server that stays away, are in
    the report and do not fail it.

    Args:
        source: Folder of videos, searched whole, or one video; a data set by its own annotation, such as
            `dfew:/data/DFEW`; or a table that lists videos, such as `manifest:list.csv`.
        root: The corpus: a folder, or a URI such as s3://bucket/corpus; made if it does not exist.
        config: What to compute. A changed field recomputes what it touches and nothing else.
        resources: How to compute it. Without a server address the embedded language model is started and stopped.
        annotations: CSV or Parquet file of the videos' labels, votes, splits, folds, groups, captions, licences and
            consents.
        num_buckets: Shards per table, for a new corpus only.
        max_passes: How often units that were refused for a passing reason are tried in one night.
        server_wait_s: Longest wait in one night for a language-model server that went away, in seconds.
        max_removed_share: The night fails, and changes nothing, if a larger share of the corpus' videos has left the
            source: a disk may not be mounted. 1 lets every one go.
        num_canaries: Frozen questions asked every night, to tell a changed model from a changed corpus; 0 asks none.
        make_gallery: Whether the gallery page is written.
        pages_url: Address at which the corpus folder's `pages` are served, such as http://HOST:8080/pages, to link to.
            Without it Prefect's pages show where the files lie: no browser follows a link from a server to a file.
        notify_command: Command on the worker's machine that is told how the night ended, as JSON on its standard input.
    """
    store = Store.open_or_create(root, num_buckets)
    with (
        observed_flow(resources, root) as resources,
        its_turn(store),
        live_progress(root, [stage.name for stage in WALK]),
    ):
        walk = open_walk(store, source, config, annotations)
        plan, before = plan_walk(walk), walk.previous
        publish_plan(root, plan)
        refuse_to_shrink(plan, max_removed_share)
        passes: list[BuildReport] = []
        waited_s = 0.0
        if not walk.is_done():
            passes, waited_s = _passes(source, root, config, resources, annotations, max_passes, server_wait_s)
        corpus = Corpus(root)
        if passes:
            publish_passes(root, passes)
            publish_done(root, plan, together(passes))
        publish_counts(root, before, corpus)
        if not passes:
            tell(corpus_is(corpus.snapshot, is_new=False))
        canaries = None
        if num_canaries:
            waited_s += wait_for_servers(config, resources, server_wait_s - waited_s).waited_s
            canaries = ask_canaries(store, corpus.snapshot, config.descriptions, resources, num_canaries)
        pages = _pages(root, before, corpus, make_gallery)
        report = NightReport(
            before=before.number if before else None,
            snapshot=corpus.snapshot.number,
            plan=plan,
            passes=passes,
            waited_s=waited_s,
            waiting=waiting(corpus),
            canaries=canaries,
            pages=pages,
        )
        _publish(root, report, pages_url)
    name = "Completed" if not report.waiting else "CompletedWithUnitsWaiting"
    return Completed(name=name, message=report.summary(), data=report)  # type: ignore[return-value] # Prefect gives data


def refuse_to_shrink(plan: Plan, max_removed_share: float) -> None:
    """Raise CorpusShrinksError if more of the corpus' videos than that would leave it."""
    first = plan.stages[0]
    if first.num_removed > max_removed_share * first.num_before:
        raise CorpusShrinksError(
            f"{first.num_removed} of {first.num_before} videos are gone from the source: is its disk mounted? Nothing "
            "was changed. If they shall go, raise max_removed_share for one run"
        )


def _passes(
    source: Path | str,
    root: str | Path,
    config: BuildConfig,
    resources: Resources,
    annotations: Path | None,
    max_passes: int,
    server_wait_s: float,
) -> tuple[list[BuildReport], float]:
    """Build until no unit waits, or nothing helps; the reports, and how long the server was waited for."""
    passes: list[BuildReport] = []
    waited_s, left = 0.0, Counter[str]()
    while len(passes) < max_passes:
        passes.append(build_corpus(source, root, config, resources, annotations=annotations))
        left, before = waiting(Corpus(root)), left
        if not left or len(passes) == max_passes:
            break
        if "server_unavailable" in left:
            wait = wait_for_servers(config, resources, server_wait_s - waited_s)
            waited_s += wait.waited_s
            if not wait.is_back:
                break
        elif left == before:
            break  # tried once more, and it did not pass
    return passes, waited_s


def waiting(corpus: Corpus) -> Counter[str]:
    """How many units were refused for a passing reason, by reason."""
    rejects = corpus.arrow("rejects", ["reason", "is_transient"]).to_pylist()
    return Counter(reject["reason"] for reject in rejects if reject["is_transient"])


class Wait(NamedTuple):
    """Whether what was waited for came back, and after how many seconds."""

    is_back: bool
    waited_s: float


def wait_for_servers(config: BuildConfig, resources: Resources, wait_s: float) -> Wait:
    """Return once every kind of server that is asked answers, at one of its addresses, or the time is over.

    The embedded server is not waited for: the next pass starts it anew.
    """
    began = time.monotonic()
    wanted = {} if resources.server is None else {config.descriptions.model: resources.server}
    if config.drafts.vision is not None and (server := resources.vision_server or resources.server) is not None:
        wanted[config.drafts.vision.model] = server
    key = os.environ.get(resources.api_key_variable or "")
    while missing := [model for model, server in wanted.items() if not _answers(server, model, key)]:
        if time.monotonic() - began > wait_s:
            LOG.error("no server of %s came back in time", ", ".join(missing))
            return Wait(False, time.monotonic() - began)
        LOG.warning("no server of %s answers: waiting", ", ".join(missing))
        time.sleep(LOOK_EVERY_S)
    return Wait(True, time.monotonic() - began)


def _answers(server: str, model: str, api_key: str | None) -> bool:
    for address in addresses_of(server):
        try:
            if model in list_models(address, api_key=api_key):
                return True
        except ServerUnavailable:
            continue
    return False


def publish_passes(root: str | Path, passes: list[BuildReport]) -> None:
    """Show what each pass did."""
    rows = [
        {
            "pass": number,
            "snapshot": one.snapshot,
            "units computed": sum(stage.num_computed for stage in one.stages.values()),
            "texts": one.stages[REFINE_DESCRIPTIONS.name].num_computed,
            "taken over": sum(stage.num_taken_over for stage in one.stages.values()),
            "tokens": sum(stage.num_tokens for stage in one.stages.values()),
            "seconds": round(one.wall_s, 1),
            "left waiting": sum(receipt.num_transient for receipt in Corpus(root, one.snapshot).snapshot.receipts),
        }
        for number, one in enumerate(passes, 1)
    ]
    publish_table(root, "passes", rows, "the passes of the night")


def together(passes: list[BuildReport]) -> Mapping[str, StageReport]:
    """What several passes did, stage by stage. What was taken over is as in the last one."""
    return {
        name: StageReport(
            num_computed=sum(one.stages[name].num_computed for one in passes),
            num_taken_over=passes[-1].stages[name].num_taken_over,
            work_s=sum(one.stages[name].work_s for one in passes),
            busy_s=sum(one.stages[name].busy_s for one in passes),
            num_tokens=sum(one.stages[name].num_tokens for one in passes),
        )
        for name in passes[-1].stages
    }


def _pages(root: str | Path, before: Snapshot | None, corpus: Corpus, make_gallery: bool) -> dict[str, str]:
    pages: dict[str, str] = {}
    if make_gallery:
        pages["gallery"] = corpus.store.write_page(
            "gallery.html", lambda page: write_gallery(corpus, page, limit=ONE_FILE)
        )
    if before is not None and before.number != corpus.snapshot.number:
        compared = f"snapshots {before.number} and {corpus.snapshot.number}"
        try:
            drift = snapshot_drift(Corpus(root, before.number), corpus)
        except AuditError as error:  # made by different versions
            publish_text(root, "drift", f"{compared} cannot be compared: {error}", compared)
            return pages
        name = f"drift-{before.number:06d}-{corpus.snapshot.number:06d}.html"
        pages["drift"] = corpus.store.write_page(name, lambda page: write_drift_page(drift, page))
        publish_text(root, "drift", drift.to_markdown(), compared)
    return pages


def _publish(root: str | Path, report: NightReport, pages_url: str | None) -> None:
    lines = [f"# Night of snapshot {report.snapshot}", "", report.summary(), ""]
    lines += [f"- {words}" for words in (report.canaries.in_words() if report.canaries else [])]
    lines += [f"- {warning}" for one in report.passes[-1:] for warning in one.warnings]
    for name, path in report.pages.items():
        file = PurePosixPath(path).name
        place = f"[{file}]({pages_url.rstrip('/')}/{file})" if pages_url else f"`{path}`"
        lines.append(f"- {name}: {place}")
    publish_text(root, "night", "\n".join(lines), report.summary())
