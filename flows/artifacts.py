"""What Prefect's pages show of a run: tables, reports, live progress; and the events that other runs are started by.

Where nobody watches (a command without a Prefect server of the user's own), nothing is published.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED

from pipeline.files import absolute, files_at
from pipeline.inspection.corpus import Corpus
from pipeline.plan import COMPARED, PLANNED, Plan, StageReport, compare, compared_rows, planned_rows
from pipeline.progress import listening
from pipeline.snapshot import Snapshot

UPDATE_EVERY_S = 2.0
"""Between two updates of a run's progress: each is a request to the server."""

SNAPSHOT_COMMITTED = "facescribe.snapshot.committed"
NIGHT_FAILED = "facescribe.nightly.failed"

_is_shown: ContextVar[bool] = ContextVar("_is_shown", default=False)
"""Whether the progress of this run, or of the run that it is a part of, is shown already."""


def is_watched() -> bool:
    """Whether the run belongs to a server whose pages somebody may look at."""
    return bool(PREFECT_API_URL.value()) and PREFECT_LOGGING_TO_API_ENABLED.value()


def corpus_name(root: str | Path) -> str:
    """A corpus in keys of artifacts and ids of resources: the same for every run on it, and on no other."""
    place = files_at(root).key
    readable = re.sub(r"[^a-z0-9]+", "-", place.rpartition("/")[2].lower()).strip("-") or "corpus"
    return f"{readable}-{hashlib.sha256(place.encode()).hexdigest()[:6]}"


def publish_table(root: str | Path, what: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Show rows as the newest version of this corpus' table of `what`."""
    if is_watched():
        create_table_artifact([dict(row) for row in rows], key=f"{corpus_name(root)}-{what}", description=description)


def publish_text(root: str | Path, what: str, markdown: str, description: str) -> None:
    """Show Markdown as the newest version of this corpus' `what`."""
    if is_watched():
        create_markdown_artifact(markdown, key=f"{corpus_name(root)}-{what}", description=description)


def publish_of_run(root: str | Path, what: str, markdown: str, flow_run_id: UUID) -> None:
    """The same for a run that may be over: its hooks run outside of it, after a crash in the worker's process."""
    if not is_watched():
        return
    with get_client(sync_client=True) as client:
        client.create_artifact(
            ArtifactCreate(type="markdown", key=f"{corpus_name(root)}-{what}", data=markdown, flow_run_id=flow_run_id)
        )


def publish_plan(root: str | Path, plan: Plan) -> None:
    """Show what a run is about to do."""
    columns = [name or "certainty" for name in PLANNED]
    rows = [dict(zip(columns, row, strict=True)) for row in planned_rows(plan)]
    publish_table(root, "plan", rows, " ".join([plan.summary(), *plan.notes]))


def publish_done(root: str | Path, plan: Plan, done: Mapping[str, StageReport]) -> None:
    """Show what a run was planned to do beside what it did."""
    rows = [dict(zip(COMPARED, row, strict=True)) for row in compared_rows(compare(plan, done))]
    publish_table(root, "planned-and-done", rows, "what was planned, and what was done")


def publish_counts(root: str | Path, before: Snapshot | None, after: Corpus) -> None:
    """Show what the corpus holds beside what it held, and what was refused."""
    now, was = after.snapshot, before.counts if before else {}
    rows = [{"table": name, "before": was.get(name, 0), "now": count} for name, count in now.counts.items()]
    publish_table(root, "counts", rows, f"rows of snapshot {now.number}, and of the one before the run")
    rejects = Counter(after.arrow("rejects", ["stage", "reason", "is_transient"]).to_pandas().itertuples(index=False))
    listed = [
        {"stage": stage, "reason": reason, "units": count, "tried again": "yes" if is_transient else "no"}
        for (stage, reason, is_transient), count in sorted(rejects.items())
    ]
    publish_table(root, "rejects", listed, f"units that snapshot {now.number} has no rows for, and why")


def emit_commit(root: str | Path, snapshot: Snapshot) -> None:
    """Tell that a snapshot is new. `facescribe.is_described`: whether no text waits for a language-model server."""
    is_described = not snapshot.rejects.get("server_unavailable")
    labels = {"facescribe.is_described": str(is_described).lower()}
    waiting = sum(receipt.num_transient for receipt in snapshot.receipts)
    emit(SNAPSHOT_COMMITTED, root, labels, {"number": snapshot.number, "num_waiting": waiting})


def emit(event: str, root: str | Path, labels: Mapping[str, str], payload: Mapping[str, Any]) -> None:
    """Tell the server's automations what happened to a corpus. Triggers match labels, and hand on the payload."""
    if not is_watched():
        return
    resource = {
        "prefect.resource.id": f"facescribe.corpus.{corpus_name(root)}",
        "prefect.resource.name": absolute(root),
        **labels,
    }
    emit_event(event, resource=resource, payload={"root": absolute(root), **payload})


@contextmanager
def live_progress(root: str | Path, stages: Sequence[str]) -> Iterator[bool]:
    """Show how far a run is while the context is open: the mean over its stages, and the units of each in words.

    A run within a run adds to what is shown of the outer one. Gives whether this run is one that publishes: it is
    watched, and no part of another.
    """
    if not is_watched() or _is_shown.get():
        yield False
        return
    progress = _Progress(stages)
    key = f"{corpus_name(root)}-progress"
    artifact_id = create_progress_artifact(0.0, key=key, description="begins")
    assert isinstance(artifact_id, UUID)
    is_over = threading.Event()
    # A thread of its own, so that no shard waits for the server; in this context, which knows the server's address.
    teller = threading.Thread(target=copy_context().run, args=(_tell, progress, artifact_id, is_over), daemon=True)
    teller.start()
    token = _is_shown.set(True)
    try:
        with listening(progress.note):
            yield True
    finally:
        _is_shown.reset(token)
        is_over.set()
        teller.join()


def _tell(progress: _Progress, artifact_id: UUID, is_over: threading.Event) -> None:
    told = None
    while True:
        is_last = is_over.wait(UPDATE_EVERY_S)
        if (now := progress.state()) != told:
            try:
                update_progress_artifact(artifact_id, progress=now[0], description=now[1])
            except Exception as error:  # the server is away: work goes on, and this is only for show
                get_run_logger().warning("progress is not shown: %s", error)
            told = now
        if is_last:
            return


class _Progress:
    """Sums up the shards of each stage."""

    def __init__(self, stages: Sequence[str]) -> None:
        self._stages = stages
        self._lock = threading.Lock()
        self._shards: dict[str, dict[int, tuple[int, int]]] = {}

    def note(self, stage: str, bucket: int, done: int, total: int) -> None:
        with self._lock:
            self._shards.setdefault(stage, {})[bucket] = (done, total)

    def state(self) -> tuple[float, str]:
        """Percent, and the same in words. A stage before one that has begun is done: it had nothing to do."""
        with self._lock:
            sums = {
                stage: tuple(sum(counts) for counts in zip(*shards.values(), strict=True))
                for stage, shards in self._shards.items()
            }
            shards = {stage: len(self._shards[stage]) for stage in self._stages if stage in sums}
        begun = [position for position, stage in enumerate(self._stages) if stage in sums]
        shares = [
            # A bucket goes through the stages by itself, so that a late stage has seen few of them for a time.
            (sums[stage][0] / sums[stage][1] if sums[stage][1] else 1.0) * shards[stage] / max(shards.values())
            if stage in sums
            else float(position < begun[-1])
            for position, stage in enumerate(self._stages if begun else ())
        ]
        told = [f"{stage.replace('_', ' ')} {done} of {total}" for stage, (done, total) in sums.items()]
        words = ", ".join(reversed(told))  # what is at work now comes first: a card shows no more than the beginning
        return round(100 * sum(shares) / len(self._stages), 1), words or "begins"
