"""Delete what no snapshot needs any more: old snapshots by a rule, then receipts, shards and leftovers they leave."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from pipeline import snapshot as snapshots
from pipeline.snapshot import Snapshot
from pipeline.store import Receipt, Store, StoredFile

KINDS: Mapping[str, str] = {
    "snapshots": "snapshots that the rule does not keep",
    "training": "what a training from such a snapshot reads",
    "receipts": "receipts of no kept snapshot, older than the grace",
    "shards": "shards that no kept snapshot and no kept receipt names",
    "tmp": "what killed runs left behind, older than the grace",
}
"""What is deleted, in this order: a kill between any two files leaves every snapshot that is still there whole."""

DAY_S = 24 * 3600.0


class Retention(BaseModel):
    """Which snapshots are kept: the newest few, and those of the last days. The newest one always is."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    keep_snapshots: int = Field(default=10, ge=1)
    """The newest so many are kept."""

    keep_days: float = Field(default=30.0, ge=0)
    """Those that were committed in the last so many days are kept too."""

    grace_hours: float = Field(default=24.0, ge=0)
    """What no snapshot names may be of a run that was broken off: for so long it stays, and the run can go on."""


class Garbage(BaseModel):
    """What a rule does not keep: files by kind, and the numbers of the snapshots that stay."""

    kept: list[int]
    files: dict[str, list[str]]
    bytes: dict[str, int]
    is_deleted: bool = False


def find_garbage(store: Store, rule: Retention, now_s: float | None = None) -> Garbage:
    """What `collect` would delete. Reads snapshots and receipts, and no shard.

    Raises:
        StoreError: a receipt cannot be read, so that nobody knows what it names.
    """
    now_s = time.time() if now_s is None else now_s
    old_s = now_s - rule.grace_hours * 3600
    listed = [snapshots.read(store, number) for number in store.snapshot_numbers()]
    kept = [
        snapshot
        for place, snapshot in enumerate(reversed(listed))
        if place < rule.keep_snapshots or now_s - _committed_s(snapshot) <= rule.keep_days * DAY_S
    ]
    numbers = {snapshot.number for snapshot in kept}
    named = {file.path for snapshot in kept for receipt in snapshot.receipts for file in receipt.files.values()}
    known = {_name(receipt) for snapshot in kept for receipt in snapshot.receipts}
    receipts = []
    for file, receipt in store.receipts():
        if _name(receipt) in known or file.changed_s > old_s:
            named |= {shard.path for shard in receipt.files.values()}
        else:
            receipts.append(file)
    found = {
        "snapshots": [file for file in store.stored("snapshots") if file.number not in numbers],
        "training": [file for file in store.stored("training") if file.number not in numbers],
        "receipts": receipts,
        "shards": [file for file in store.stored("shards") if file.path not in named],
        "tmp": [file for file in store.stored("tmp") if file.changed_s <= old_s],
    }
    return Garbage(
        kept=sorted(numbers),
        files={kind: [file.path for file in found[kind]] for kind in KINDS},
        bytes={kind: _num_bytes(found[kind]) for kind in KINDS},
    )


def collect(store: Store, rule: Retention, now_s: float | None = None) -> Garbage:
    """Delete what the rule does not keep, while nobody else works on the corpus.

    Raises:
        CorpusInUseError: somebody does.
        StoreError: as `find_garbage`; nothing was deleted.
    """
    with store.turn("a garbage collection", wait_s=0, on_wait=lambda _: None), store.in_use(alone=True):
        found = find_garbage(store, rule, now_s)
        for kind in KINDS:
            for path in found.files[kind]:
                store.remove(path)
    return found.model_copy(update={"is_deleted": True})


def _name(receipt: Receipt) -> tuple[str, int, str]:
    return receipt.stage, receipt.bucket, receipt.key


def _committed_s(snapshot: Snapshot) -> float:
    return datetime.fromisoformat(snapshot.created_at).timestamp()


def _num_bytes(files: list[StoredFile]) -> int:
    return sum(file.bytes for file in files)
