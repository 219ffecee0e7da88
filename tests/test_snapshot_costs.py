"""What a snapshot says its stages took: the sum of its ledgers, whoever computed them, and none in older ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import snapshot as snapshots
from pipeline.run import ShardInput, each_unit, run_stage
from pipeline.snapshot import Snapshot
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, StageConfig, Unit, content_hash
from pipeline.store import Receipt, ShardFile, Store
from schemas.ledger import LEDGER
from schemas.motion import MOTION
from schemas.table import UNIT_KEY_MEANING, Table, column

WORDS = Table(
    "words", 1, "given", ("video_id",), (column("video_id", pa.string(), "id"), column("word", pa.string(), "a word"))
)
VIDEOS = Table(
    "videos",  # a name that the store knows
    1,
    "made",
    ("video_id",),
    (column("video_id", pa.string(), "id"), column("unit_key", pa.string(), UNIT_KEY_MEANING)),
)
TOKENS = 7


def work(units: Sequence[Unit], config: StageConfig, resources: Resources) -> Iterator[Outcome]:
    def one(unit: Unit) -> Done | Refused:
        if unit.row(WORDS)["word"] == "away":
            return Refused(unit, "server_unavailable", "no answer")
        return Done(unit, {"videos": [{"video_id": unit.unit_id}]}, num_tokens=TOKENS)

    yield from each_unit(units, one)


STAGE = Stage("count_words", 1, (Read(WORDS, ("video_id", "word")),), (VIDEOS,), "video_id", StageConfig, work)


def run(store: Store, words: dict[str, str], previous: Receipt | None = None) -> Receipt:
    rows = WORDS.rows({"video_id": name, "word": word} for name, word in words.items())
    given = ShardInput(content_hash([rows]), rows=rows)
    return run_stage(STAGE, 0, [given], StageConfig(), Resources(), store, previous).receipt


def commit(store: Store, receipt: Receipt, parent: Snapshot | None = None) -> Snapshot:
    return snapshots.commit(store, [receipt], parent=parent, source="words", config={}, software={})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open_or_create(tmp_path / "corpus", 1)


def seconds(store: Store, receipt: Receipt) -> dict[str, float | None]:
    lines = store.read(receipt.files[LEDGER.name], ["unit_id", "work_s"]).to_pylist()
    return {line["unit_id"]: line["work_s"] for line in lines}


def test_a_snapshot_says_what_its_stages_took(store: Store) -> None:
    receipt = run(store, {"a": "smile", "b": "frown", "c": "away"})
    costs = commit(store, receipt).costs
    assert costs is not None
    cost = costs["count_words"]
    assert (cost.num_units, cost.num_timed, cost.num_tokens) == (3, 2, 2 * TOKENS)
    timed = [taken for taken in seconds(store, receipt).values() if taken is not None]
    assert cost.work_s == pytest.approx(sum(timed))
    assert snapshots.read(store, 1).costs == costs


def test_what_is_taken_over_keeps_what_it_took(store: Store) -> None:
    first = run(store, {"a": "smile", "b": "frown"})
    before = commit(store, first)
    second = run(store, {"a": "smile", "b": "laugh"}, first)
    costs = commit(store, second, before).costs
    assert costs is not None
    assert costs["count_words"].num_tokens == 2 * TOKENS
    assert seconds(store, second)["a"] == seconds(store, first)["a"]


def test_an_unchanged_corpus_is_no_new_snapshot_whatever_it_cost(store: Store) -> None:
    receipt = run(store, {"a": "smile"})
    before = commit(store, receipt)
    assert commit(store, receipt, before) == before
    older = before.model_copy(update={"costs": None})
    assert commit(store, receipt, older) == older


def test_a_ledger_that_the_snapshot_before_has_too_is_not_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = run(store, {"a": "smile"})
    before = commit(store, receipt)
    other = Receipt(stage="other", bucket=0, key="k", files={}, num_units=0)
    read: list[str] = []

    def reading(file: ShardFile, columns: Sequence[str] | None = None) -> pa.Table:
        read.append(file.path)
        raise AssertionError(file.path)

    monkeypatch.setattr(store, "read", reading)
    after = snapshots.commit(store, [receipt, other], parent=before, source="words", config={}, software={})
    assert (after.number, after.costs, read) == (2, before.costs, [])


def test_a_snapshot_of_before_there_were_costs_can_be_read_and_the_next_one_has_them(store: Store) -> None:
    receipt = run(store, {"a": "smile"})
    commit(store, receipt)
    path = Path(store.root) / "snapshots" / "000001.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    del written["costs"]
    path.write_text(json.dumps(written), encoding="utf-8")
    old = snapshots.newest(store)
    assert old is not None and old.costs is None
    added = Receipt(stage=MOTION.name, bucket=0, key="k", files={}, num_units=0)
    costs = snapshots.commit(store, [receipt, added], parent=old, source="words", config={}, software={}).costs
    assert costs is not None and costs["count_words"].num_tokens == TOKENS


def test_a_lost_ledger_costs_nothing_and_stops_nothing(store: Store) -> None:
    receipt = run(store, {"a": "smile"})
    (Path(store.root) / receipt.files[LEDGER.name].path).unlink()
    costs = commit(store, receipt).costs
    assert costs is not None and costs["count_words"].num_units == 0
