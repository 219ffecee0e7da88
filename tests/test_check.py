"""`facescribe check`: each kind of damage is found, named, and what was made anew is as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import snapshot as snapshots
from pipeline.check import Fault, check, forget_damaged
from pipeline.inspection.corpus import Corpus
from pipeline.snapshot import Snapshot
from pipeline.store import CorpusInUseError, DamagedFileError, Receipt, Store
from pipeline.takedown import UnderWay, left_to_do
from schemas.corpus import TABLES
from schemas.ledger import COSTS
from tests.real_corpus import build_without_scheduler

Change = Callable[[pa.Table], pa.Table]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    root = tmp_path_factory.mktemp("check") / "corpus"
    build_without_scheduler(clips, root, keeps_answers=True)
    return root


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Store:
    return Store.open(Path(shutil.copytree(original, tmp_path / "corpus")))


def newest(store: Store) -> Snapshot:
    found = snapshots.newest(store)
    assert found is not None
    return found


def receipt_of(store: Store, stage: str, table: str) -> Receipt:
    """The last one of the stage that has rows of the table."""
    return [r for r in newest(store).receipts if r.stage == stage and table in r.files][-1]


def put(store: Store, receipt: Receipt, **more: Any) -> None:
    """Make it the newest snapshot's, on the disk as well."""
    snapshot = newest(store)
    receipts = [receipt if (r.stage, r.bucket) == (receipt.stage, receipt.bucket) else r for r in snapshot.receipts]
    counts = dict.fromkeys(TABLES, 0)
    for one in receipts:
        for table, file in one.files.items():
            counts[table] += file.rows
    changed = snapshot.model_copy(update={"receipts": receipts, "counts": counts, **more})
    store.write_receipt(receipt)
    (store.root / f"snapshots/{snapshot.number:06d}.json").write_text(changed.model_dump_json())


def plant(
    store: Store, stage: str, table: str, change: Change, footer: Mapping[bytes, bytes] | None = None, **sums: int
) -> None:
    """Put changed rows into a shard, with every name and hash as if a stage had written them."""
    receipt = receipt_of(store, stage, table)
    rows = change(store.read(receipt.files[table]))
    with store.temporary() as path:
        pq.write_table(rows.replace_schema_metadata({**(rows.schema.metadata or {}), **(footer or {})}), path)
        file = store.adopt(path, TABLES[table], receipt.bucket, rows.num_rows)
    put(store, receipt.model_copy(update={"files": receipt.files | {table: file}, **sums}))


def with_value(column: str, value: Any, row: int = 0) -> Change:
    def change(rows: pa.Table) -> pa.Table:
        values = rows[column].to_pylist()
        values[row] = value
        place = rows.schema.get_field_index(column)
        return rows.set_column(place, rows.schema.field(column), pa.array(values, rows.schema.field(column).type))

    return change


def without_first(rows: pa.Table) -> pa.Table:
    return rows.slice(1)


def words(store: Store, **more: Any) -> list[str]:
    return [fault.in_words() for fault in check(store, **more).faults]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_corpus_as_it_was_built_has_no_fault(store: Store) -> None:
    report = check(store)
    assert report.faults == []
    assert report.snapshots == [1]
    assert report.num_files == len(store.stored("shards"))
    assert report.num_bytes == sum(file.bytes for file in store.stored("shards"))
    assert report.num_rows == sum(newest(store).counts.values())


class TestFiles:
    def test_missing(self, store: Store) -> None:
        file = receipt_of(store, "extract_tracks", "crops").files["crops"]
        store.remove(file.path)
        (told,) = words(store)
        assert told.startswith(f"{file.path}, table crops, bucket ")
        assert f"expected {file.bytes} bytes, got no such file. Next: `facescribe check --forget-damaged`" in told

    def test_cut_off(self, store: Store) -> None:
        file = receipt_of(store, "measure_actions", "actions").files["actions"]
        path = store.root / file.path
        path.write_bytes(path.read_bytes()[:-100])
        (told,) = words(store)
        assert f"expected {file.bytes} bytes, got {file.bytes - 100}" in told

    def test_one_bit(self, store: Store) -> None:
        file = receipt_of(store, "encode_motion", "motion").files["motion"]
        flip(store.root / file.path)
        (told,) = words(store)
        assert f"expected bytes of hash {file.content}, its name, got " in told
        assert words(store, quick=True) == [], "the bytes of pictures are not looked at without a hash"

    def test_no_parquet(self, store: Store) -> None:
        file = receipt_of(store, "refine_descriptions", "descriptions").files["descriptions"]
        path = store.root / file.path
        path.write_bytes(b"\0" * file.bytes)
        (told,) = words(store, quick=True)
        assert "expected a Parquet file that can be read, got " in told

    def test_fewer_rows_than_the_receipt_says(self, store: Store) -> None:
        receipt = receipt_of(store, "draft_descriptions", "drafts")
        more = receipt.files["drafts"].model_copy(update={"rows": receipt.files["drafts"].rows + 1})
        put(store, receipt.model_copy(update={"files": receipt.files | {"drafts": more}}))
        assert any(f"expected {more.rows} rows, got {more.rows - 1}" in told for told in words(store))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (
                lambda rows: rows.drop_columns("end_s"),
                "expected the columns of table motion, got table motion: column end_s",
            ),
            (lambda rows: rows.append_column("mood", pa.nulls(rows.num_rows)), "unknown columns ['mood']"),
            (
                lambda rows: rows.cast(rows.schema.set(0, rows.schema.field(0).with_nullable(True))),
                "expected column clip_id that cannot be null, got one that can",
            ),
        ],
    )
    def test_other_columns(self, store: Store, change: Change, told: str) -> None:
        plant(store, "encode_motion", "motion", change)
        assert any(told in line for line in words(store))

    def test_a_footer_of_another_stage(self, store: Store) -> None:
        made_from = json.dumps({"stage": "measure_actions", "bucket": 3}).encode()
        plant(store, "encode_motion", "motion", lambda rows: rows, {b"made_from": made_from})
        bucket = receipt_of(store, "encode_motion", "motion").bucket
        expected = f"expected a footer of stage encode_motion, bucket {bucket}, got stage measure_actions, bucket 3"
        assert any(expected in told for told in words(store))

    def test_a_footer_of_another_table(self, store: Store) -> None:
        plant(store, "encode_motion", "motion", lambda rows: rows, {b"table": b"tracks"})
        assert any("expected a footer of table motion, got tracks" in told for told in words(store))


class TestRows:
    def test_a_key_twice(self, store: Store) -> None:
        plant(store, "extract_tracks", "crops", lambda rows: pa.concat_tables([rows, rows.slice(5, 1)]))
        told = [line for line in words(store) if "expected one row of {'track_id':" in line]
        assert len(told) == 1
        assert "'position': 5}, got 2" in told[0]

    def test_a_video_of_another_bucket(self, store: Store) -> None:
        receipt = receipt_of(store, "encode_motion", "motion")
        strange = f"{(receipt.bucket + 1) % store.num_buckets:032x}"
        plant(store, "encode_motion", "motion", with_value("video_id", strange))
        expected = f"expected videos of bucket {receipt.bucket}, got 1 of others, the first is {strange}"
        assert any(expected in told for told in words(store))

    def test_a_row_that_no_ledger_knows(self, store: Store) -> None:
        plant(store, "measure_actions", "actions", with_value("unit_key", "f" * 32))
        told = words(store)
        assert any(f"rows whose unit the ledger calls done, got unit_key {'f' * 32}" in line for line in told)
        assert any("a row of each unit that the ledger calls done, got no row of unit_key" in line for line in told)

    def test_a_row_that_the_ledger_calls_done_is_not_there(self, store: Store) -> None:
        plant(store, "draft_descriptions", "drafts", without_first)
        told = words(store)
        assert any("a row of each unit that the ledger calls done, got no row of unit_key" in line for line in told)
        assert any("rows, as there are in the shards, got" in line for line in told)

    def test_a_refusal_for_another_reason(self, store: Store) -> None:
        plant(store, "extract_tracks", "rejects", with_value("reason", "corrupt"))
        told = words(store)
        assert any("rows that the ledger calls refused, with its reason, got" in line for line in told)
        assert any("expected rejects {" in line and "'corrupt': 1" in line for line in told)

    def test_a_refusal_that_is_not_there(self, store: Store) -> None:
        plant(store, "extract_tracks", "rejects", without_first)
        assert any(
            "expected a row of each unit that the ledger calls refused, got no row of" in t for t in words(store)
        )

    @pytest.mark.parametrize("name", ["num_units", "num_rejected", "num_transient"])
    def test_a_sum_that_is_wrong(self, store: Store, name: str) -> None:
        receipt = receipt_of(store, "probe_videos", "ledger")
        put(store, receipt.model_copy(update={name: getattr(receipt, name) + 1}))
        (told,) = words(store)
        told_sum = f"expected {name} {getattr(receipt, name) + 1}, as the receipt of probe_videos says"
        assert f"{told_sum}, got {getattr(receipt, name)} in the ledger" in told


class TestUnits:
    def test_a_source_that_never_ended(self, store: Store) -> None:
        receipt = receipt_of(store, "probe_videos", "ledger")
        lost = store.read(receipt.files["ledger"], ["unit_id"])["unit_id"][0].as_py()
        plant(store, "probe_videos", "ledger", without_first, num_units=receipt.num_units - 1)
        expected = "expected a line of probe_videos for each video_id of table sources, and no other"
        told = words(store)
        assert any(f"{expected}, got none of {lost}, 1 in all" in line for line in told), told

    @pytest.mark.parametrize(
        ("stage", "unit", "table"),
        [
            ("extract_tracks", "video_id", "videos"),
            ("measure_actions", "track_id", "tracks"),
            ("encode_motion", "track_id", "tracks"),
            ("draft_descriptions", "track_id", "actions"),
            ("refine_descriptions", "track_id", "drafts"),
        ],
    )
    def test_what_a_stage_finished_and_the_next_never_got(
        self, store: Store, stage: str, unit: str, table: str
    ) -> None:
        plant(store, stage, "ledger", without_first)
        expected = f"expected a line of {stage} for each {unit} of table {table}, and no other, got none of "
        assert any(expected in told for told in words(store))

    def test_a_whole_shard_that_is_missing(self, store: Store) -> None:
        gone = receipt_of(store, "measure_actions", "actions")
        snapshot = newest(store)
        left = snapshot.model_copy(update={"receipts": [r for r in snapshot.receipts if r != gone]})
        (store.root / "snapshots/000001.json").write_text(left.model_dump_json())
        told = words(store)
        assert any("expected a line of measure_actions for each track_id of table tracks" in line for line in told)
        assert any("expected a line of draft_descriptions for each track_id of table actions" in line for line in told)
        assert any("as its receipts say, got" in line for line in told)


class TestBeside:
    def test_counts_of_the_snapshot(self, store: Store) -> None:
        snapshot = newest(store)
        put(store, snapshot.receipts[0], rejects={"no_face": 7}, counts=snapshot.counts | {"tracks": 99})
        counts, rejects = words(store)
        assert "'tracks': 2" in counts.split("got")[0] and "'tracks': 99" in counts.split("got")[1]
        assert "as its shards say, got {'no_face': 7}" in rejects
        assert "move the file away; if it is the newest, the next build commits the same again" in rejects

    def test_a_snapshot_that_cannot_be_read(self, store: Store, clips: Path) -> None:
        (store.root / "snapshots/000001.json").write_text('{"number": 1}')
        (told,) = words(store)
        assert told.startswith("snapshots/000001.json: expected a snapshot, got ValidationError")
        with pytest.raises(
            DamagedFileError, match="000001.json is damaged .*: move the file away; if it is the newest"
        ):
            newest(store)
        store.remove("snapshots/000001.json")  # as it is said
        assert not any(build_without_scheduler(clips, store.root).computed.values())
        assert words(store) == []

    def test_receipts_on_the_disk(self, store: Store, clips: Path) -> None:
        first, second = store.stored("receipts")[:2]
        store.remove(first.path)
        (store.root / second.path).write_text("{")
        told = words(store)
        assert any(line.startswith(f"{first.path}: expected the receipt that the newest") for line in told)
        assert any(line.startswith(f"{first.path}: ") and "Next: build: it is made again" in line for line in told)
        assert any(line.startswith(second.path) and "ValidationError" in line for line in told)
        assert any(
            line.startswith(second.path) and "Next: `facescribe check --forget-damaged`" in line for line in told
        )
        forget_damaged(store)
        build_without_scheduler(clips, store.root)
        assert words(store) == []

    @pytest.mark.parametrize(
        ("path", "content"),
        [
            ("generations/extract_tracks/0001.json", b""),
            ("generations/extract_tracks/0001.json", b"[1]"),
            ("denied.json", b""),
            ("takedowns/under_way.json", b""),
            ("canary/000001.parquet", b"PAR1 or not"),
        ],
    )
    def test_what_cannot_be_read_is_named_with_what_to_do(self, store: Store, path: str, content: bytes) -> None:
        (store.root / path).parent.mkdir(parents=True, exist_ok=True)
        (store.root / path).write_bytes(content)
        (told,) = words(store)
        assert told.startswith(f"{path}: expected ")
        readers: dict[str, Callable[[], object]] = {
            "generations": lambda: store.generations("extract_tracks", 1),
            "denied.json": store.denied,
            "takedowns": lambda: left_to_do(store),
            "canary": lambda: store.read_canaries(1),
        }
        with pytest.raises(DamagedFileError, match=f"{path} is damaged .*: restore it from a backup, or move it away"):
            readers[path.split("/", maxsplit=1)[0]]()

    def test_a_damaged_memory_counts_as_empty(self, store: Store, clips: Path) -> None:
        (memory,) = store.stored("memory")
        (store.root / memory.path).write_text("[]")
        (told,) = words(store)
        assert told.startswith(f"{memory.path}: ") and "it only spares reading" in told
        assert store.read_memory(clips) == {}
        assert not any(build_without_scheduler(clips, store.root).computed.values())
        assert words(store) == []

    def test_the_journal(self, store: Store) -> None:
        (store.root / "answers.sqlite").write_bytes(b"not a database, but long enough to be looked at as one" * 100)
        (told,) = words(store)
        assert told.startswith("answers.sqlite: expected the journal of answers")
        assert "move it away with its -wal and -shm" in told

    def test_a_take_down_that_was_broken_off(self, store: Store) -> None:
        left = UnderWay(number=1, began_at="", snapshot_before=1, ids_by_name={"a": ["0" * 32]})
        store.write_under_way(left.model_dump_json())
        (told,) = words(store)
        assert "got one of 1 videos. Next: `facescribe takedown` without a name finishes it" in told

    def test_a_video_that_was_taken_down_and_is_there(self, store: Store) -> None:
        video_id = Corpus(store.root).videos().video_id[0]
        store.deny([video_id])
        (told,) = words(store)
        assert f"expected no video of the deny list, got {video_id}" in told

    def test_a_video_that_was_taken_down_and_is_in_an_older_snapshot(self, store: Store) -> None:
        before = newest(store)
        video_id = Corpus(store.root).videos().video_id[0]
        left = [receipt for receipt in before.receipts if receipt.bucket != store.bucket_of(video_id)]
        snapshots.commit(store, left, parent=before, source="", config={}, made_with=before.made_with, software={})
        store.deny([video_id])
        (told,) = words(store)
        assert f"expected no video of the deny list, got {video_id}. Next: `facescribe takedown {video_id}`" in told

    def test_older_snapshots_only_if_asked(self, store: Store) -> None:
        snapshot = newest(store)
        snapshots.commit(store, snapshot.receipts[1:], parent=snapshot, source="", config={}, software={})
        only_old = snapshot.receipts[0].files
        for file in only_old.values():
            flip(store.root / file.path)
        assert all(path.path not in line for path in only_old.values() for line in words(store))
        told = check(store, [1, 2]).faults
        assert {fault.where for fault in told if "hash" in fault.expected} == {file.path for file in only_old.values()}
        assert all("`facescribe gc`" in fault.next for fault in told if "hash" in fault.expected)
        with pytest.raises(KeyError, match="no snapshot 7 in .*there are: 1, 2"):
            check(store, [7])


def content(store: Store) -> dict[str, list[dict[str, Any]]]:
    corpus = Corpus(store.root)
    columns = {name: [f.name for f in table.columns if f.name not in COSTS] for name, table in TABLES.items()}
    return {name: corpus.arrow(name, columns[name]).to_pylist() for name in TABLES}


DEEP = ("sources", "videos", "actions", "descriptions", "every")
SLOW = [pytest.param(table, marks=pytest.mark.slow) for table in DEEP]


@pytest.mark.parametrize("table", ["crops", "ledger", *SLOW])
def test_what_is_damaged_is_made_anew_as_it_was(store: Store, clips: Path, table: str) -> None:
    before = content(store)
    files = [file for file in store.stored("shards") if table in ("every", file.path.split("/")[1])]
    for number, file in enumerate(files):
        flip(store.root / file.path) if number % 2 == 0 else store.remove(file.path)
    report, removed = forget_damaged(store)
    assert {fault.where for fault in report.faults} == {file.path for file in files}
    assert {file.path for number, file in enumerate(files) if number % 2 == 0} <= set(removed)
    computed = build_without_scheduler(clips, store.root, keeps_answers=True).computed
    assert sum(computed.values()) > 0 or table == "sources"
    assert words(store) == []
    assert content(store) == before
    assert not any(build_without_scheduler(clips, store.root, keeps_answers=True).computed.values())


def test_a_ledger_that_contradicts_its_rows_is_made_anew_too(store: Store, clips: Path) -> None:
    before = content(store)
    plant(store, "measure_actions", "actions", with_value("unit_key", "f" * 32))
    _, removed = forget_damaged(store)
    assert len(removed) == 3, "the receipt, its rows and its ledger"
    build_without_scheduler(clips, store.root)
    assert words(store) == []
    assert content(store) == before


def test_nothing_is_removed_under_a_build_and_nothing_checked_under_a_deletion(store: Store) -> None:
    with store.in_use(), pytest.raises(CorpusInUseError, match="a build works there"):
        forget_damaged(store)
    with store.in_use(alone=True), pytest.raises(CorpusInUseError, match="files are being deleted"):
        check(store)


def test_a_fault_is_one_line() -> None:
    fault = Fault(where="shards/x", table="tracks", bucket=3, expected="a", got="b", next="c")
    assert fault.in_words() == "shards/x, table tracks, bucket 3: expected a, got b. Next: c"
