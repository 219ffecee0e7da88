"""Ask the same frozen questions every night, so that noise of the engine is told apart from a changed model.

A canary is the exact first question about one described track, frozen together with what its answers are held against.
What else changes in the texts of a corpus (prompt, measurement, check, label) cannot change it. So with the weights and
the engine as they were, another answer is noise; with others, it is them. The answer journal is not asked: it would
give back what was answered the first night.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from pipeline.assets import AssetError
from pipeline.descriptions.ask import AskSettings, Ended, Request, Talk, converse
from pipeline.descriptions.embedded import embedded_language_model
from pipeline.descriptions.evidence import Evidence
from pipeline.descriptions.refine_stage import REFINE_DESCRIPTIONS, RefineConfig, request_of, rules_of
from pipeline.descriptions.served import refuse_another_server
from pipeline.local_server import ServerError
from pipeline.snapshot import Snapshot
from pipeline.stage import Resources, Unit, key_of
from pipeline.store import Store, now
from schemas.canary import CANARY
from schemas.descriptions import DESCRIPTIONS, DRAFTS
from schemas.videos import SOURCES, VIDEOS

NUM_CANARIES = 20

RULES = ("token_budget", "text_encoder", "may_name_emotions", "max_claims", "max_notes")
"""Fields of the config that the check goes by."""

FROZEN = ("canary_id", "video_id", "track_id", "frozen_at", "request", "evidence", "rules")
"""What of a canary's row is the same every night."""


class CanaryNight(BaseModel):
    """What became of one night's canaries. Where none was asked, `skipped` says why, and nothing was written."""

    model_config = ConfigDict(frozen=True)

    night: int | None = None
    skipped: str | None = None
    num_asked: int = 0
    num_accepted: int = 0
    """Answers that stood the check."""
    failures: list[str] = []
    """Why canaries got no answer, or one that cannot be judged, each reason once."""
    num_failed: int = 0
    added: list[str] = []
    """Tracks of canaries that are asked for the first time."""
    gone: list[str] = []
    """Tracks of canaries whose video is no longer in the corpus; they are asked no more."""

    def in_words(self) -> list[str]:
        """For a log or a report."""
        if self.skipped is not None:
            return [f"canaries were not asked: {self.skipped}"]
        told = [f"night {self.night}: {self.num_asked} canaries asked, {self.num_accepted} answers stood the check"]
        if self.num_failed:
            told.append(f"{self.num_failed} canaries failed: {'; '.join(self.failures)}")
        if self.gone:
            told.append(f"{len(self.gone)} canaries left with their videos")
        if self.added:
            told.append(f"{len(self.added)} canaries are new")
        return told


def ask_canaries(
    store: Store,
    snapshot: Snapshot,
    config: RefineConfig,
    resources: Resources,
    num_canaries: int = NUM_CANARIES,
) -> CanaryNight:
    """Ask every canary of the model that is configured now, and store what it says as the next night.

    The first night freezes the questions. Later ones ask the same, whatever became of prompts and inputs; only canaries
    whose video left the corpus are replaced. Without a server in `resources` the embedded model is started. A server
    that is away, or serves another model than stated, is no error: the night is skipped and says why.

    Raises:
        CorpusInUseError: files of this corpus are being deleted.
    """
    with store.in_use():
        kept, gone = _kept(store, snapshot)
        added = _frozen(store, snapshot, config, kept, num_canaries - len(kept))
        canaries = [*kept, *added]
        if not canaries:
            return CanaryNight(skipped="the corpus holds no described track")
        try:
            with _asker(config, resources) as asker:
                rows = _asked(canaries, config, snapshot, asker)
        except (ServerError, AssetError, ValueError) as error:  # not up, not fetched; served otherwise, no key
            return CanaryNight(skipped=str(error))
        failures = [row["failure"] for row in rows if row["failure"] is not None]
        if all(row["raw_answer"] is None for row in rows):
            return CanaryNight(skipped=failures[0])
        return CanaryNight(
            night=_write(store, rows),
            num_asked=len(rows),
            num_accepted=sum(row["text"] is not None for row in rows),
            failures=sorted(set(failures)),
            num_failed=len(failures),
            added=[canary["track_id"] for canary in added],
            gone=gone,
        )


def _kept(store: Store, snapshot: Snapshot) -> tuple[list[dict[str, Any]], list[str]]:
    """The canaries of the last night whose videos are still there, and the tracks of those that are not."""
    nights = store.canary_nights()
    if not nights:
        return [], []
    last = store.read_canaries(nights[-1]).select(FROZEN).to_pylist()
    there: set[str] = set()
    for table in (SOURCES.name, VIDEOS.name):  # a video that cannot be read tonight is still in the source
        for file in snapshot.files(table):
            there.update(store.read(file, ["video_id"])["video_id"].to_pylist())
    gone = [canary["track_id"] for canary in last if canary["video_id"] not in there]
    return [canary for canary in last if canary["video_id"] in there], gone


def _frozen(
    store: Store, snapshot: Snapshot, config: RefineConfig, kept: Sequence[Mapping[str, Any]], num_wanted: int
) -> list[dict[str, Any]]:
    """New canaries: tracks of videos that have none first, by the hash of their ids."""
    if num_wanted < 1:
        return []
    taken = {canary["track_id"] for canary in kept}
    num_of_video = Counter(canary["video_id"] for canary in kept)
    ranked: list[tuple[int, str, str, str]] = []
    for hashed, track_id, video_id in sorted(_described(store, snapshot)):
        if track_id not in taken:
            taken.add(track_id)
            ranked.append((num_of_video[video_id], hashed, track_id, video_id))
            num_of_video[video_id] += 1
    frozen_at = now()
    return [
        _freeze(store, snapshot, config, track_id, video_id, frozen_at)
        for _, _, track_id, video_id in sorted(ranked)[:num_wanted]
    ]


def _described(store: Store, snapshot: Snapshot) -> Iterator[tuple[str, str, str]]:
    """Hash, track and video of every text."""
    for file in snapshot.files(DESCRIPTIONS.name):
        rows = store.read(file, ["track_id", "video_id"])
        for track_id, video_id in zip(rows["track_id"].to_pylist(), rows["video_id"].to_pylist(), strict=True):
            yield hashlib.sha256(track_id.encode()).hexdigest(), track_id, video_id


def _freeze(
    store: Store, snapshot: Snapshot, config: RefineConfig, track_id: str, video_id: str, frozen_at: str
) -> dict[str, Any]:
    rows = {
        DRAFTS.name: _one(store, snapshot, DRAFTS.name, "track_id", track_id, video_id),
        VIDEOS.name: _one(store, snapshot, VIDEOS.name, "video_id", video_id, video_id),
    }
    request = asdict(request_of(Unit(track_id, "", rows), config))
    del request["model"]
    canary = {
        "video_id": video_id,
        "track_id": track_id,
        "request": json.dumps(request, ensure_ascii=False),
        "evidence": rows[DRAFTS.name]["evidence"][0].as_py(),
        "rules": json.dumps({name: getattr(config, name) for name in RULES}),
    }
    return {"canary_id": key_of(canary), "frozen_at": frozen_at, **canary}


def _one(store: Store, snapshot: Snapshot, table: str, column: str, value: str, video_id: str) -> pa.Table:
    bucket = store.bucket_of(video_id)
    files = [r.files[table] for r in snapshot.receipts if r.bucket == bucket and table in r.files]
    rows = pa.concat_tables([store.read(file) for file in files])
    return rows.filter(pc.equal(rows[column], value))


@contextmanager
def _asker(config: RefineConfig, resources: Resources) -> Iterator[AskSettings]:
    """Whom to ask: the server of the resources, or the embedded one for as long as it takes.

    Raises:
        ServerError, AssetError: the embedded server did not come up.
        ValueError: the server is of another model or engine than is stated, or there is no key for it.
    """
    if resources.server is None:
        with embedded_language_model() as language_model:
            address = language_model.address()
            yield AskSettings.of(resources.model_copy(update={"server": address}))
        return
    asker = AskSettings.of(resources)
    key = os.environ.get(resources.api_key_variable or "")
    refuse_another_server(resources.server, config.model, config.engine, api_key=key)
    yield asker


def _asked(
    canaries: Sequence[Mapping[str, Any]], config: RefineConfig, snapshot: Snapshot, asker: AskSettings
) -> list[dict[str, Any]]:
    """One row per canary, in their order, without the number of the night."""
    talks = [
        Talk(Request(model=config.model, **json.loads(canary["request"])), video_id=canary["video_id"])
        for canary in canaries
    ]
    ended = dict(converse(talks, asker=asker))
    asked_at = now()
    return [
        {
            **{name: canary[name] for name in FROZEN},
            "asked_at": asked_at,
            "snapshot": snapshot.number,
            "check_version": REFINE_DESCRIPTIONS.version,
            "model": config.model,
            "model_revision": config.model_revision,
            "engine": config.engine,
            **_judged(canary, ended[position]),
        }
        for position, canary in enumerate(canaries)
    ]


def _judged(canary: Mapping[str, Any], ended: Ended) -> dict[str, Any]:
    """What the server said, and what the check says of it."""
    from pipeline.descriptions.check import check

    if ended.failure is not None:
        return {"raw_answer": None, "text": None, "failure": str(ended.failure)}
    (reply,) = ended.replies
    answered = {
        "raw_answer": reply.text,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
    }
    try:
        evidence = Evidence.model_validate_json(canary["evidence"])
        rules = rules_of(evidence, RefineConfig(**json.loads(canary["rules"])))
        verdict = check(reply.text, reply.finish_reason, evidence, rules)
    except Exception as error:  # such as a tokenizer's file that is no longer there: the answer is kept all the same
        return {**answered, "text": None, "fault": None, "failure": f"could not be judged: {error}"}
    fault = verdict.fault.reason if verdict.fault else None
    return {**answered, "text": verdict.text, "fault": fault, "failure": None}


def _write(store: Store, rows: Iterable[Mapping[str, Any]]) -> int:
    """Store the rows as the next night; its number."""
    listed = list(rows)
    night = max(store.canary_nights(), default=0) + 1
    while not store.create_canaries(night, CANARY.rows({"night": night, **row} for row in listed)):
        night += 1  # another run was faster
    return night
