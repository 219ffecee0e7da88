"""A corpus in object storage whose server is slow, away, half there, forgetful, or refuses; and the leases on it."""

from __future__ import annotations

import pickle
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import leases, object_storage
from pipeline import snapshot as snapshots
from pipeline.check import check, forget_damaged
from pipeline.files import StorageError, StorageRefusedError
from pipeline.snapshot import SnapshotConflictError
from pipeline.store import CorpusInUseError, Receipt, Store, StoreError
from schemas.rejects import REJECTS
from tests.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.s3_server import s3_server

EXPIRED = (
    b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """host:port of an S3 server with a bucket `faces`."""
    with s3_server() as place:
        urllib.request.urlopen(urllib.request.Request(f"http://{place}/faces", method="PUT"))
        yield place


@pytest.fixture
def proxy(address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FaultProxy]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("FACESCRIBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(object_storage, "RETRY_S", 1.0)
    monkeypatch.setattr(object_storage, "SILENT_S", 0.5)
    monkeypatch.setattr(object_storage, "WAIT_S", 0.05)
    with fault_proxy(address) as made:
        yield made


@pytest.fixture
def root(proxy: FaultProxy, request: pytest.FixtureRequest) -> str:
    return f"s3://faces/{request.node.name}?endpoint_override=http://{proxy.address}&region=us-east-1"


def rows(*units: str) -> pa.Table:
    facts = {"stage": "probe_videos", "reason": "no_face", "is_transient": False, "detail": "x" * 5000}
    return REJECTS.rows({**facts, "unit_id": unit, "video_id": unit, "unit_key": "k"} for unit in units)


def written(store: Store, *units: str) -> Receipt:
    with store.writer(REJECTS, 0, {"stage": "probe_videos"}) as writer:
        writer.append(rows(*units))
    assert writer.file is not None
    receipt = Receipt(
        stage="probe_videos", bucket=0, key="k", files={"rejects": writer.file}, num_units=0, num_rejected=len(units)
    )
    store.write_receipt(receipt)
    return receipt


def committed(store: Store, receipt: Receipt) -> int:
    return snapshots.commit(store, [receipt], parent=None, source="s", config={}, made_with={}, software={}).number


def test_a_store_goes_to_another_process_by_its_address(root: str) -> None:
    store = Store.open_or_create(root, 3)
    other: Store = pickle.loads(pickle.dumps(store))
    assert (other.num_buckets, other.key, other.address) == (3, store.key, store.address)
    assert store.address.startswith("s3://faces/") and "endpoint" not in store.address


FAULTS = [
    (Fault.SLOW, {"share": 0.3, "delay_s": 0.2}),
    (Fault.UNAVAILABLE, {"share": 0.4}),
    (Fault.HALF, {"share": 0.5, "methods": "GET"}),
    (Fault.LOST, {"share": 0.3}),
    (Fault.DEAD, {"share": 0.3}),
    (Fault.SILENT, {"share": 0.2, "delay_s": 1.0}),
]


@pytest.mark.parametrize(("fault", "how"), FAULTS, ids=[fault.value for fault, _ in FAULTS])
def test_what_is_written_and_read_through_faults_is_whole(
    fault: Fault, how: dict[str, object], proxy: FaultProxy, root: str
) -> None:
    proxy.harm(fault, **how)  # type: ignore[arg-type]
    store = Store.open_or_create(root, 1)
    with store.in_use():
        receipt = written(store, *(f"unit {n}" for n in range(50)))
        assert committed(store, receipt) == 1
    again = Store.open(root)
    assert again.receipt("probe_videos", 0, "k") == receipt
    (file,) = receipt.files.values()
    assert again.read(file, ["unit_id"]).num_rows == 50
    assert again.is_whole(file)
    assert again.snapshot_numbers() == [1]
    assert proxy.num_harmed(fault)


def test_a_lost_answer_to_a_commit_is_our_commit_and_anothers_is_not(proxy: FaultProxy, root: str) -> None:
    store = Store.open_or_create(root, 1)
    receipt = written(store, "one")
    proxy.harm(Fault.LOST, methods="PUT", within="snapshots", times=1)
    assert committed(store, receipt) == 1
    assert proxy.num_harmed(Fault.LOST) == 1
    proxy.harm(Fault.LOST, methods="PUT", within="snapshots")
    with pytest.raises(SnapshotConflictError):
        committed(store, written(store, "another"))
    proxy.heal()
    assert snapshots.read(store, 1).receipts == [receipt]


def test_of_two_that_commit_at_once_one_wins(root: str) -> None:
    stores = [Store.open_or_create(root, 1) for _ in range(4)]
    won = []
    threads = [
        threading.Thread(target=lambda n=n, s=store: won.append(s.create_snapshot(1, f"{n}")))
        for n, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]


@pytest.mark.parametrize(
    ("status", "body"), [(400, EXPIRED), (403, b"<Error><Code>AccessDenied</Code></Error>"), (401, b"")]
)
def test_credentials_that_are_refused_are_said_at_once_with_what_to_do(
    status: int, body: bytes, proxy: FaultProxy, root: str
) -> None:
    store = Store.open_or_create(root, 1)
    receipt = written(store, "one")
    proxy.harm(Fault.REFUSED, status=status, body=body)
    words = "refuses who asks .*AWS_SESSION_TOKEN, whether they have expired.*it goes on where it stopped"
    for work in (
        lambda: written(store, "two"),
        lambda: committed(store, receipt),
        store.stored,
        lambda: store.read(receipt.files["rejects"]),
        lambda: store.holds(receipt),
        lambda: Store.open(root),
        lambda: check(store),
    ):
        with pytest.raises(StorageRefusedError, match=words):
            work()
    proxy.heal()
    assert written(store, "one") == receipt


def test_a_server_that_stays_away_is_no_damage(proxy: FaultProxy, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "RETRY_S", 0.1)
    store = Store.open_or_create(root, 1)
    committed(store, written(store, "one"))
    before = check(store).faults
    proxy.harm(Fault.DEAD, within="/shards/")
    with pytest.raises(StorageError, match=r"cannot be reached for shards/.* the network; then run the same again"):
        check(store)
    with pytest.raises(StorageError):
        forget_damaged(store)
    proxy.heal()
    assert check(store).faults == before


def test_a_shard_that_was_damaged_there_is_found_and_not_taken(proxy: FaultProxy, root: str, tmp_path: Path) -> None:
    store = Store.open_or_create(root, 1)
    receipt = written(store, "one")
    committed(store, receipt)
    (file,) = receipt.files.values()
    files = object_storage.files_of(root)
    assert isinstance(files, object_storage.Objects)
    files.put(file.path, b"PAR1" + bytes(file.bytes - 8) + b"PAR1")
    assert not store.is_whole(file)
    assert any("bytes of hash" in fault.expected for fault in check(store).faults)
    for cached in (tmp_path / "cache").rglob("*.parquet"):
        cached.unlink()
    with pytest.raises(StoreError, match="is damaged: its bytes do not hash to its name"):
        store.reader(file)


def test_the_cache_is_bounded_and_is_filled_again(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open_or_create(root, 1)
    receipts = [written(store, f"unit {n}") for n in range(4)]
    cached = tmp_path / "cache"
    assert len(list(cached.rglob("shards/*.parquet"))) == 4
    monkeypatch.setattr("pipeline.shard_cache.IN_USE_S", 0.0)
    monkeypatch.setenv("FACESCRIBE_SHARD_CACHE_GB", f"{2.5 * receipts[0].files['rejects'].bytes / 1e9}")
    written(store, "unit 4")
    assert len(list(cached.rglob("shards/*.parquet"))) == 2
    for number, receipt in enumerate(receipts):
        assert store.reader(receipt.files["rejects"]).column(0, "unit_id")[0].as_py() == f"unit {number}"


@pytest.mark.parametrize(
    "wrong",
    [
        "s3://key:secret@bucket/corpus",
        "s3://bucket/corpus?access_key=AKIA&secret_key=s",
        "s3://bucket/corpus?session_token=t",
        "az://container/corpus?sas_token=t",
    ],
)
def test_an_address_with_a_key_in_it_is_refused_and_not_repeated(wrong: str) -> None:
    with pytest.raises(StoreError, match="holds a key.*in the environment alone") as refused:
        Store.open(wrong)
    assert not any(word in str(refused.value) for word in ("secret@", "AKIA", "=t"))


def test_an_address_that_cannot_be_is_said(root: str) -> None:
    with pytest.raises(StoreError, match="has an option 'regoin'; known are endpoint_override, region"):
        Store.open("s3://bucket/corpus?regoin=x")
    with pytest.raises(StoreError, match="names no bucket"):
        Store.open("s3:///corpus")
    with pytest.raises(StoreError, match="was an address before it was made a Path: give it as text"):
        Store.open(Path(root))
    with pytest.raises(StorageRefusedError, match="there is no such bucket; make it first"):
        Store.open_or_create(root.replace("s3://faces", "s3://nowhere"))


def test_builds_share_a_corpus_and_who_deletes_is_alone(root: str) -> None:
    store, other = Store.open_or_create(root, 1), Store.open(root)
    words = "a build works there.*a run that was killed counts for a minute more"
    with store.in_use(), other.in_use(), pytest.raises(CorpusInUseError, match=words), other.in_use(alone=True):
        pass
    words = "files are being deleted there"
    with store.in_use(alone=True), pytest.raises(CorpusInUseError, match=words), other.in_use():
        pass
    with other.in_use(alone=True):
        pass


def test_a_turn_is_waited_for_by_name(root: str) -> None:
    store, other = Store.open_or_create(root, 1), Store.open(root)
    told: list[str] = []
    with store.turn("the first run", wait_s=0, on_wait=told.append):
        with Store.open(root).turn("the same", wait_s=0, on_wait=told.append):
            pass
        context = threading.Thread(target=_wait_in_vain, args=(other, told))
        context.start()
        context.join()
    assert told and all("worked on by the first run since" in words for words in told)
    with other.turn("the second run", wait_s=0, on_wait=told.append):
        pass


def _wait_in_vain(store: Store, told: list[str]) -> None:
    with pytest.raises(CorpusInUseError) as refused, store.turn("another", wait_s=0.1, on_wait=told.append):
        pass
    told.append(str(refused.value))


def test_the_lease_of_a_killed_run_lapses_and_a_living_one_does_not(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 3.0)
    store, other = Store.open_or_create(root, 1), Store.open(root)
    killed = [store._files.hold("in_use", alone=False), store._files.hold("turn", "the killed one", alone=True)]
    for lease in killed:
        assert isinstance(lease, leases.Lease)
        lease._ends.set()  # its thread is gone, as after `kill -9`
    waited: list[str] = []
    with other.turn("another", wait_s=20, on_wait=waited.append):
        assert "the killed one" in waited[0]
        with other.in_use(alone=True):
            with pytest.raises(StoreError, match="has lapsed: this machine stood still"):
                killed[1].refuse_lost()  # type: ignore[union-attr]
            threading.Event().wait(5)
            assert other._files.hold("turn", "a third", alone=True) is None  # renewed in the meantime
            other._refuse_lost()


def test_who_lost_its_lease_commits_nothing(root: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_S", 1.0)
    store = Store.open_or_create(root, 1)
    with store.in_use():
        receipt = written(store, "one")
        proxy.harm(Fault.DEAD, within="/in_use/")
        threading.Event().wait(2)
        with pytest.raises(StoreError, match="Nothing more was changed"):
            committed(store, receipt)
    proxy.heal()
    assert not store.snapshot_numbers()
