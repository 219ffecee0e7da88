"""Garbage collection: what a rule keeps stays whole, whatever happens in between."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from pipeline import snapshot as snapshots
from pipeline.garbage import KINDS, Garbage, Retention, collect, find_garbage
from pipeline.inspection.corpus import Corpus
from pipeline.snapshot import Snapshot
from pipeline.store import CorpusInUseError, Receipt, Store, StoreError
from schemas.rejects import REJECTS
from tests.test_store import commit, receipt, reject

ONLY_NEWEST = Retention(keep_snapshots=1, keep_days=0, grace_hours=0)
LATER_S = 60.0
"""Ahead of the clock, so that files written just now are older than no grace."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open_or_create(tmp_path / "corpus", 4)


def night(store: Store, *names: str, shared: Receipt | None = None) -> Snapshot:
    """A snapshot with a shard of these rows in bucket 0, beside a shared one."""
    made = receipt(store, 0, REJECTS.rows([reject(name) for name in names]))
    made = made.model_copy(update={"key": "-".join(names)})
    store.write_receipt(made)
    return commit(store, [made, *([shared] if shared else [])], snapshots.newest(store))


def rows_of(store: Store) -> dict[int, list[str]]:
    """Every snapshot that is still there, read whole."""
    return {
        number: Corpus(store.root, number).arrow("rejects", ["unit_id"])["unit_id"].to_pylist()
        for number in store.snapshot_numbers()
    }


def names(store: Store) -> list[str]:
    return [file.path for file in store.stored()]


def test_the_newest_few_and_the_last_days_are_kept(store: Store) -> None:
    for name in "abcd":
        night(store, name)
    store.remove("receipts/probe_videos/0000-k.json")
    by_number = find_garbage(store, Retention(keep_snapshots=2, keep_days=0), time.time() + LATER_S)
    assert by_number.kept == [3, 4]
    assert by_number.files["snapshots"] == ["snapshots/000001.json", "snapshots/000002.json"]
    by_age = Retention(keep_snapshots=1, keep_days=30)
    assert find_garbage(store, by_age, time.time() + 29 * 86400).kept == [1, 2, 3, 4]
    assert find_garbage(store, by_age, time.time() + 31 * 86400).kept == [4]


def test_looking_deletes_nothing_and_collecting_what_was_found(store: Store) -> None:
    shared = receipt(store, 1, REJECTS.rows([reject("same")]))
    for name in "abc":
        night(store, name, shared=shared)
    store.remove("receipts/probe_videos/0000-k.json")
    before = names(store)
    found = find_garbage(store, ONLY_NEWEST, time.time() + LATER_S)
    assert names(store) == before
    assert {kind: len(files) for kind, files in found.files.items()} == {
        "snapshots": 2,
        "training": 0,
        "receipts": 2,
        "shards": 2,
        "tmp": 0,
    }
    done = collect(store, ONLY_NEWEST, time.time() + LATER_S)
    assert done == found.model_copy(update={"is_deleted": True})
    gone = sorted(path for files in found.files.values() for path in files)
    assert sorted(set(before) - set(names(store))) == gone
    assert rows_of(store) == {3: ["c", "same"]}
    assert collect(store, ONLY_NEWEST, time.time() + LATER_S).files == {kind: [] for kind in KINDS}


def test_a_file_that_several_receipts_name_stays_as_long_as_one_of_them(store: Store) -> None:
    first = night(store, "a")
    again = first.receipts[0].model_copy(update={"key": "of_another_config"})
    store.write_receipt(again)
    commit(store, [again], first)
    collect(store, ONLY_NEWEST, time.time() + LATER_S)
    assert rows_of(store) == {2: ["a"]}
    assert [found.key for _, found in store.receipts()] == ["of_another_config"]


def test_what_a_broken_off_run_wrote_stays_for_the_grace(store: Store) -> None:
    night(store, "a")
    store.remove("receipts/probe_videos/0000-k.json")
    unfinished = receipt(store, 2, REJECTS.rows([reject("unfinished")]))
    with store.writer(REJECTS, 3, {}) as writer:
        writer.append(REJECTS.rows([reject("without a receipt")]))
    (store.root / "tmp" / "under way").touch()
    rule = Retention(keep_snapshots=1, keep_days=0)
    collect(store, rule)
    assert store.holds(unfinished)
    assert [file.path for file in store.stored("tmp")] == ["tmp/under way"]
    assert not list((store.root / "shards/rejects/0003").iterdir()), "no receipt will ever name it"
    collect(store, rule, time.time() + 25 * 3600)
    assert not store.holds(unfinished)
    assert rows_of(store) == {1: ["a"]}
    assert not store.stored("tmp")


def test_a_kill_between_any_two_deletions_leaves_every_snapshot_whole(store: Store, tmp_path: Path) -> None:
    for number in range(4):
        night(store, f"{number}", shared=receipt(store, 1, REJECTS.rows([reject(f"pair {number // 2}")])))
    store.write_training(1, "{}")
    later_s = time.time() + LATER_S
    num_steps = sum(map(len, find_garbage(store, ONLY_NEWEST, later_s).files.values()))
    assert num_steps > 8
    for killed_before in range(num_steps):
        copy = Store.open(Path(shutil.copytree(store.root, tmp_path / f"killed {killed_before}")))
        _collect_and_be_killed(copy, later_s, killed_before)
        for number, rows in rows_of(copy).items():
            assert rows == sorted([f"{number - 1}", f"pair {(number - 1) // 2}"])
        collect(copy, ONLY_NEWEST, later_s)
        assert list(rows_of(copy)) == [4]
        assert sum(map(len, find_garbage(copy, ONLY_NEWEST, later_s).files.values())) == 0


def _collect_and_be_killed(store: Store, now_s: float, num_deleted: int) -> None:
    """In a process of its own, which ends without a word after so many deletions."""
    child = os.fork()
    if child == 0:
        left = num_deleted
        remove = store.remove

        def dying(path: str) -> None:
            nonlocal left
            if left == 0:
                os._exit(9)
            left -= 1
            remove(path)

        store.remove = dying  # type: ignore[method-assign]
        collect(store, ONLY_NEWEST, now_s)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9


def test_nothing_is_deleted_under_a_build(store: Store) -> None:
    night(store, "a")
    night(store, "b")
    with store.in_use(), pytest.raises(CorpusInUseError, match="a build works there; wait for its end"):
        collect(store, ONLY_NEWEST, time.time() + LATER_S)
    assert rows_of(store) == {1: ["a"], 2: ["b"]}


def test_a_receipt_that_cannot_be_read_stops_the_collection(store: Store) -> None:
    night(store, "a")
    night(store, "b")
    (store.root / "receipts/probe_videos/0000-a.json").write_text("{")
    with pytest.raises(StoreError, match="0000-a.json is damaged .*: `facescribe check --forget-damaged`"):
        collect(store, ONLY_NEWEST, time.time() + LATER_S)
    assert isinstance(rows_of(store), dict)


def test_the_rule_is_told_in_bytes_too(store: Store) -> None:
    night(store, "a")
    night(store, "b")
    found: Garbage = find_garbage(store, ONLY_NEWEST, time.time() + LATER_S)
    (path,) = found.files["snapshots"]
    assert found.bytes["snapshots"] == (store.root / path).stat().st_size
