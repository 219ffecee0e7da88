"""The store and its snapshots: nothing half-written can be seen, and of two writers one wins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import snapshot as snapshots
from pipeline import store as storing
from pipeline.files import LEFTOVER_S
from pipeline.snapshot import SnapshotConflictError
from pipeline.store import OWN_GROUP_BYTES, CorpusInUseError, Receipt, Store, StoreError
from schemas.rejects import REJECTS
from schemas.table import SCHEMA_VERSION


def reject(unit_id: str, unit_key: str = "k") -> dict[str, object]:
    facts = {"stage": "probe_videos", "video_id": unit_id, "reason": "no_face", "is_transient": False, "detail": "none"}
    return {**facts, "unit_id": unit_id, "unit_key": unit_key}


def receipt(store: Store, bucket: int, rows: pa.Table) -> Receipt:
    with store.writer(REJECTS, bucket, {"stage": "probe_videos"}) as writer:
        writer.append(rows)
    files = {"rejects": writer.file} if writer.file else {}
    made = Receipt(
        stage="probe_videos",
        bucket=bucket,
        key="k",
        files=files,
        num_units=rows.num_rows,
        num_rejected=rows.num_rows,
        num_transient=0,
    )
    store.write_receipt(made)
    return made


def commit(store: Store, receipts: list[Receipt], parent: snapshots.Snapshot | None) -> snapshots.Snapshot:
    return snapshots.commit(store, receipts, parent=parent, source="videos", config={}, software={})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open_or_create(tmp_path / "corpus", 4)


def test_a_writer_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.writer(REJECTS, 0, {}) as writer:
        writer.append(REJECTS.rows([reject("a")]))
        raise RuntimeError
    assert writer.file is None
    assert [path for path in store.root.rglob("*") if path.is_file()] == [store.root / "corpus.json"]


def test_equal_rows_are_one_file_and_its_name_is_its_hash(store: Store) -> None:
    import hashlib

    first, second = (receipt(store, 0, REJECTS.rows([reject("a")])).files["rejects"] for _ in range(2))
    assert first == second
    assert hashlib.sha256(Path(store.path(first)).read_bytes()).hexdigest().startswith(first.content)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=12))
def test_what_a_writer_takes_back_was_never_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]]
) -> None:
    store = Store.open_or_create(tmp_path_factory.mktemp("store") / "corpus", 1)
    kept: list[str] = []
    with pytest.MonkeyPatch.context() as patch, store.writer(REJECTS, 0, {}) as writer:
        patch.setattr(storing, "ROW_GROUP_BYTES", 1000)
        for step, (num_rows, num_kept) in enumerate(steps):
            ids = [f"{step} {number}" for number in range(num_rows)]
            writer.append(REJECTS.rows([reject(name) for name in ids]))
            kept = [*kept, *ids][:num_kept]
            if num_kept < writer.num_rows:
                writer.take_back(num_kept)
            assert writer.num_rows == len(kept)
    found = [] if writer.file is None else list(store.iter_batches(writer.file))
    assert [name for group in found for name in group["unit_id"].to_pylist()] == kept
    assert all(0 < group.nbytes <= 1000 for group in found)
    assert not list(store.root.glob("tmp/*"))


def test_a_large_row_is_a_row_group_of_its_own_and_small_ones_share_theirs(store: Store) -> None:
    details = ["small", "small", "l" * OWN_GROUP_BYTES, "L" * OWN_GROUP_BYTES, "small", "small"]
    rows = [reject(str(number)) | {"detail": detail} for number, detail in enumerate(details)]
    with store.writer(REJECTS, 0, {}) as one_by_one:
        for row in rows:
            one_by_one.append(REJECTS.rows([row]))
    assert one_by_one.file is not None
    assert [group.num_rows for group in store.iter_batches(one_by_one.file)] == [2, 1, 1, 2]
    with store.writer(REJECTS, 0, {}) as together:
        together.append(REJECTS.rows(rows[2:4]))
    assert together.file is not None
    assert [group.num_rows for group in store.iter_batches(together.file)] == [1, 1]


def test_leftovers_of_killed_runs_go_and_files_under_way_stay(store: Store) -> None:
    killed, under_way = (store.root / "tmp" / name for name in ("killed", "under way"))
    for path in (killed, under_way):
        path.touch()
    os.utime(killed, (0, time.time() - LEFTOVER_S - 60))
    Store.open_or_create(store.root)
    assert list(store.root.glob("tmp/*")) == [under_way]


def test_no_rows_no_file(store: Store) -> None:
    assert receipt(store, 0, REJECTS.empty()).files == {}


def test_of_two_commits_on_one_parent_one_wins_and_the_other_is_told(store: Store) -> None:
    first = commit(store, [receipt(store, 0, REJECTS.rows([reject("a")]))], None)
    mine, theirs = ([receipt(store, 0, REJECTS.rows([reject(name)]))] for name in "bc")
    assert commit(store, theirs, first).number == 2
    with pytest.raises(SnapshotConflictError, match="another run committed snapshot 2 .* run the same command again"):
        commit(store, mine, first)
    newest = snapshots.newest(store)
    assert newest is not None
    assert newest.receipts == theirs


def test_a_commit_that_changes_nothing_makes_no_snapshot(store: Store) -> None:
    receipts = [receipt(store, bucket, REJECTS.rows([reject(f"{bucket}")])) for bucket in range(2)]
    first = commit(store, receipts, None)
    assert commit(store, receipts[::-1], first) is first
    assert store.snapshot_numbers() == [1]


def test_diff_names_what_came_went_and_was_made_anew(store: Store) -> None:
    shared = receipt(store, 1, REJECTS.rows([reject("same")]))
    before = commit(store, [receipt(store, 0, REJECTS.rows([reject("a"), reject("b"), reject("c")])), shared], None)
    after = commit(
        store, [receipt(store, 0, REJECTS.rows([reject("b"), reject("c", "new"), reject("d")])), shared], before
    )
    found = {item.table: item for item in snapshots.diff(store, before, after)}["rejects"]
    assert found.added == [("probe_videos", "d")]
    assert found.removed == [("probe_videos", "a")]
    assert found.changed == [("probe_videos", "c")]
    assert found.num_same == 2


def test_counts_and_reject_reasons_are_in_the_snapshot(store: Store) -> None:
    made = commit(store, [receipt(store, 0, REJECTS.rows([reject("a"), reject("b")]))], None)
    assert made.counts["rejects"] == 2
    assert made.rejects == {"no_face": 2}


def test_an_unknown_snapshot_is_told_with_those_there_are(store: Store) -> None:
    commit(store, [], None)
    with pytest.raises(KeyError, match="no snapshot 7 .*there are: 1"):
        snapshots.read(store, 7)


class TestRoots:
    """Roots that cannot be used are refused with what to do."""

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="no corpus at .*nothing: run `facescribe build SOURCE --root"):
            Store.open(tmp_path / "nothing")

    def test_newer_schema(self, store: Store) -> None:
        facts = json.loads((store.root / "corpus.json").read_text())
        (store.root / "corpus.json").write_text(json.dumps(facts | {"schema_version": SCHEMA_VERSION + 1}))
        with pytest.raises(
            StoreError, match=f"schema version {SCHEMA_VERSION + 1}, this facescribe knows up to {SCHEMA_VERSION}"
        ):
            Store.open_or_create(store.root)

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "holiday.mp4").touch()
        with pytest.raises(StoreError, match="not empty and not a corpus .it holds 'holiday.mp4'"):
            Store.open_or_create(tmp_path)

    @pytest.mark.parametrize("content", ["[]", "", '{"schema_version": 1, "num_buckets": 0}'])
    def test_not_a_corpus_file(self, store: Store, content: str) -> None:
        (store.root / "corpus.json").write_text(content)
        with pytest.raises(StoreError, match='is not a corpus file .*: choose .* or write {"format": "facescribe corp'):
            Store.open(store.root)

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs a place where even root may not write")
    def test_unwritable_for_everyone(self) -> None:
        with pytest.raises(StoreError, match="cannot write to /proc/corpus"):
            Store.open_or_create(Path("/proc/corpus"))

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_unwritable(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(StoreError, match="cannot write to"):
            Store.open_or_create(tmp_path / "corpus")

    def test_the_number_of_buckets_is_fixed_at_the_first_build(self, store: Store) -> None:
        assert Store.open_or_create(store.root, 99).num_buckets == 4


def test_of_two_turns_the_second_is_told_of_the_first_and_waits_for_its_end(tmp_path: Path) -> None:
    store = Store.open_or_create(tmp_path / "corpus", 2)
    heard: list[str] = []
    with ThreadPoolExecutor(1) as elsewhere:
        with store.turn("the nightly run", wait_s=0, on_wait=heard.append):
            with store.turn("a step of it", wait_s=0, on_wait=heard.append):
                assert not heard, "a turn within a turn waited for itself"
            told = elsewhere.submit(_take_turn, store, 0.0, heard).exception(timeout=30)
            assert isinstance(told, CorpusInUseError)
            assert "is worked on by the nightly run since" in str(told)
            assert "run the same again after it" in str(told)
            waiting = elsewhere.submit(_take_turn, store, 60.0, heard)
            while not heard:
                time.sleep(0.01)
            assert not waiting.done()
            assert "waiting for its end" in heard[0]
        waiting.result(timeout=30)


def _take_turn(store: Store, wait_s: float, heard: list[str]) -> None:
    with store.turn("another", wait_s=wait_s, on_wait=heard.append):
        pass


def test_the_turn_of_a_killed_run_is_over(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    store = Store.open_or_create(root, 2)
    code = (
        "import sys, time; from pathlib import Path; from pipeline.store import Store\n"
        "with Store.open(Path(sys.argv[1])).turn('it', wait_s=0, on_wait=print):\n"
        "    print('in', flush=True)\n"
        "    time.sleep(60)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"in\n"
    killed.kill()
    killed.wait()
    _take_turn(store, 5.0, [])


def test_builds_bear_each_other_and_who_deletes_bears_nobody(store: Store) -> None:
    a_build_works = pytest.raises(CorpusInUseError, match="a build works there; wait")
    someone_deletes = pytest.raises(CorpusInUseError, match="files are being deleted there; wait")
    with store.in_use(), store.in_use(), a_build_works, store.in_use(alone=True):
        pass
    with store.in_use(alone=True), someone_deletes, store.in_use():
        pass


def test_a_deny_list_knows_its_videos_and_tells_none(store: Store) -> None:
    video_id = "0123456789abcdef" * 2
    assert not store.denied().holds(video_id)
    store.deny([video_id])
    store.deny(["f" * 32])
    assert store.denied().holds(video_id)
    assert not store.denied().holds("0" * 32)
    assert video_id not in (store.root / "denied.json").read_text()


def test_generations_are_kept_by_stage_and_bucket(store: Store) -> None:
    assert store.generations("extract_tracks", 1) == {}
    store.write_generations("extract_tracks", 1, {"a": 2})
    assert store.generations("extract_tracks", 1) == {"a": 2}
    assert store.generations("extract_tracks", 0) == {}
    store.write_generations("extract_tracks", 1, {})
    assert store.generations("extract_tracks", 1) == {}
