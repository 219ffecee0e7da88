"""run_stage: the same key does nothing, known units are taken over, the rest is computed, and all of it adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import run as running
from pipeline import store as storing
from pipeline.run import ReconcileError, ShardInput, ShardResult, each_unit, run_stage
from pipeline.stage import Done, Outcome, Read, Refused, Resources, Stage, StageConfig, Unit, content_hash
from pipeline.store import Receipt, Store
from schemas.rejects import REJECTS
from schemas.table import UNIT_KEY_MEANING, SchemaError, Table, column

WORDS = Table(
    "words",
    1,
    "what is counted",
    ("video_id",),
    (column("video_id", pa.string(), "id"), column("word", pa.string(), "a word")),
)
LENGTHS = Table(
    "videos",  # a name that the store knows
    1,
    "length of each word",
    ("video_id",),
    (
        column("video_id", pa.string(), "id"),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("length", pa.int64(), "letters", unit="letter"),
    ),
)


class LengthConfig(StageConfig):
    """How long a word may be."""

    longest: int = 8
    """Longer words are refused."""


class Counter:
    """A stage that remembers what it was asked for."""

    def __init__(self, spoil: Callable[[list[Outcome]], list[Outcome]] = lambda outcomes: outcomes) -> None:
        self.asked: list[str] = []
        self.is_server_away = False
        self.spoil = spoil

    @property
    def stage(self) -> Stage[LengthConfig]:
        return Stage(
            "measure_lengths", 1, (Read(WORDS, ("video_id", "word")),), (LENGTHS,), "video_id", LengthConfig, self._run
        )

    def _run(self, units: Sequence[Unit], config: LengthConfig, resources: Resources) -> Iterator[Outcome]:
        def measure(unit: Unit) -> Done | Refused:
            word = unit.row(WORDS)["word"]
            self.asked.append(word)
            if self.is_server_away:
                return Refused(unit, "server_unavailable", "away")
            if word == "boom":
                raise ZeroDivisionError("a defect")
            if len(word) > config.longest:
                return Refused(unit, "track_too_short", f"{word} is long")
            return Done(unit, {"videos": [{"video_id": unit.unit_id, "length": len(word)}]})

        yield from self.spoil(list(each_unit(units, measure)))


def run(
    counter: Counter, store: Store, words: dict[str, str], previous: Receipt | None = None, longest: int = 8
) -> ShardResult:
    rows = WORDS.rows({"video_id": name, "word": word} for name, word in words.items())
    given_rows = ShardInput(content_hash([rows]), rows=rows)
    return run_stage(counter.stage, 0, [given_rows], LengthConfig(longest=longest), Resources(), store, previous)


def read(store: Store, result: ShardResult) -> dict[str, int | str]:
    files = result.receipt.files
    lengths = store.read(files["videos"]).to_pylist() if "videos" in files else []
    rejects = store.read(files["rejects"]).to_pylist() if "rejects" in files else []
    return {row["video_id"]: row["length"] for row in lengths} | {row["unit_id"]: row["reason"] for row in rejects}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open_or_create(tmp_path / "corpus", 4)


def test_every_unit_ends_as_a_row_or_a_reason(store: Store) -> None:
    result = run(Counter(), store, {"a": "smile", "b": "astonishment", "c": "boom"})
    assert read(store, result) == {"a": 5, "b": "track_too_short", "c": "unexpected_error"}
    assert (result.receipt.num_units, result.receipt.num_rejected, result.receipt.num_transient) == (3, 2, 1)


def test_a_defect_in_one_unit_is_told_with_its_place(store: Store) -> None:
    files = run(Counter(), store, {"c": "boom"}).receipt.files
    (row,) = store.read(files["rejects"]).to_pylist()
    assert "ZeroDivisionError: a defect (test_run.py:" in row["detail"]


def test_the_same_key_computes_nothing(store: Store) -> None:
    counter = Counter()
    first = run(counter, store, {"a": "smile", "b": "frown"})
    counter.asked.clear()
    second = run(counter, store, {"a": "smile", "b": "frown"})
    assert (second.receipt, second.num_computed, counter.asked) == (first.receipt, 0, [])


def test_known_units_are_taken_over_and_only_the_rest_is_computed(store: Store) -> None:
    counter = Counter()
    first = run(counter, store, {"a": "smile", "b": "astonishment", "c": "frown"})
    counter.asked.clear()
    second = run(counter, store, {"a": "smile", "b": "astonishment", "c": "wince", "d": "nod"}, first.receipt)
    assert counter.asked == ["wince", "nod"]
    assert (second.num_computed, second.num_taken_over) == (2, 2)
    assert read(store, second) == {"a": 5, "b": "track_too_short", "c": 5, "d": 3}


def test_nothing_is_taken_over_out_of_a_damaged_file(store: Store) -> None:
    counter = Counter()
    first = run(counter, store, {"a": "smile", "b": "frown"})
    path = Path(store.path(first.receipt.files["videos"]))
    path.write_bytes(path.read_bytes().replace(b"measure_lengths", b"measure_lengthz", 1))  # the rows can be read
    counter.asked.clear()
    second = run(counter, store, {"a": "smile", "b": "frown", "d": "nod"}, first.receipt)
    assert counter.asked == ["smile", "frown", "nod"]
    assert (second.num_computed, second.num_taken_over) == (3, 0)
    assert all(store.is_whole(file) for file in second.receipt.files.values())


def test_a_changed_config_computes_all_again(store: Store) -> None:
    counter = Counter()
    first = run(counter, store, {"a": "smile", "b": "astonishment"})
    second = run(counter, store, {"a": "smile", "b": "astonishment"}, first.receipt, longest=20)
    assert second.num_computed == 2
    assert read(store, second) == {"a": 5, "b": 12}


def test_transient_refusals_are_tried_again_and_the_rest_is_kept(store: Store) -> None:
    counter = Counter()
    first = run(counter, store, {"a": "smile"})
    counter.is_server_away = True
    second = run(counter, store, {"a": "smile", "b": "frown"}, first.receipt)
    assert read(store, second) == {"a": 5, "b": "server_unavailable"}
    counter.is_server_away = False
    counter.asked.clear()
    third = run(counter, store, {"a": "smile", "b": "frown"}, first.receipt)
    assert counter.asked == ["frown"]
    assert read(store, third) == {"a": 5, "b": 5}
    assert third.receipt.key == second.receipt.key


def ledger(store: Store, result: ShardResult) -> dict[str, dict[str, Any]]:
    return {row["unit_id"]: row for row in store.read(result.receipt.files["ledger"]).to_pylist()}


def test_the_ledger_has_a_line_for_every_unit_and_adds_up(store: Store) -> None:
    result = run(Counter(), store, {"a": "smile", "b": "astonishment", "c": "boom"})
    lines = ledger(store, result)
    assert {name: (line["outcome"], line["reason"]) for name, line in lines.items()} == {
        "a": ("done", None),
        "b": ("refused", "track_too_short"),
        "c": ("refused", "unexpected_error"),
    }
    assert (lines["a"]["num_rows"], lines["b"]["num_rows"]) == (1, 0)
    assert lines["a"]["work_s"] > 0
    assert sum(line["is_transient"] for line in lines.values()) == result.receipt.num_transient == 1
    keys = store.read(result.receipt.files["videos"], ["unit_key"])["unit_key"].to_pylist()
    assert keys == [line["unit_key"] for line in lines.values() if line["outcome"] == "done"]


def test_the_same_values_have_the_same_output_key_whatever_they_were_made_with(store: Store) -> None:
    first = ledger(store, run(Counter(), store, {"a": "smile", "b": "frown"}))
    second = ledger(store, run(Counter(), store, {"a": "frown", "b": "frown"}, longest=20))
    assert first["b"]["output_key"] == second["b"]["output_key"]
    assert first["b"]["unit_key"] != second["b"]["unit_key"]
    assert first["a"]["output_key"] == second["a"]["output_key"]  # the word is another, its length is the same


def test_where_every_unit_is_known_the_files_stay_and_the_change_ends(store: Store) -> None:
    first = run(Counter(), store, {"a": "smile", "b": "frown"})
    rows = WORDS.rows({"video_id": name, "word": word} for name, word in (("b", "frown"), ("a", "smile")))
    again = [ShardInput("the same rows in another order", rows=rows)]
    second = run_stage(Counter().stage, 0, again, LengthConfig(), Resources(), store, first.receipt)
    assert (second.num_computed, second.num_taken_over) == (0, 2)
    assert second.receipt.files == first.receipt.files
    assert second.receipt.key != first.receipt.key


def test_a_unit_that_fails_for_the_same_passing_reason_leaves_the_same_shard(store: Store) -> None:
    counter = Counter()
    counter.is_server_away = True
    first = run(counter, store, {"a": "smile"})
    assert run(counter, store, {"a": "smile"}).receipt == first.receipt


def test_a_unit_that_is_asked_for_anew_is_computed_once_more_and_no_other(store: Store) -> None:
    counter, words = Counter(), {"a": "smile", "b": "frown"}
    first = run(counter, store, words)
    store.write_generations("measure_lengths", 0, {"b": 1})
    counter.asked.clear()
    second = run(counter, store, words, first.receipt)
    assert counter.asked == ["frown"]
    assert {name: line["generation"] for name, line in ledger(store, second).items()} == {"a": 0, "b": 1}
    assert run(counter, store, words, second.receipt).num_computed == 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda outcomes: outcomes[1:], "lost 1 of 2 units, first: a", id="a unit is lost"),
        pytest.param(lambda outcomes: [*outcomes, outcomes[0]], "ended unit a twice", id="a unit ends twice"),
        pytest.param(
            lambda outcomes: [*outcomes, Refused(Unit("z", "k", outcomes[0].unit.rows), "no_face", "")],
            "not asked for: z",
            id="a unit that nobody asked for",
        ),
        pytest.param(
            lambda outcomes: [Done(outcomes[0].unit, {"videos": []}), outcomes[1]],
            "neither a row nor a reason",
            id="no row",
        ),
    ],
)
def test_what_does_not_add_up_fails_and_writes_nothing(
    store: Store, spoil: Callable[[list[Outcome]], list[Outcome]], words: str
) -> None:
    with pytest.raises(ReconcileError, match=words):
        run(Counter(spoil), store, {"a": "smile", "b": "frown"})
    assert not list(store.root.glob("receipts/**/*.json"))
    assert not list(store.root.glob("shards/**/*.parquet"))
    assert not list(store.root.glob("tmp/*"))


def test_a_reason_outside_the_closed_list_is_refused() -> None:
    with pytest.raises(ValueError, match="'bad_luck' is no reason of the closed list"):
        Refused(Unit("a", "k", {}), "bad_luck", "")


def test_a_shard_says_what_it_was_made_from(store: Store) -> None:
    result = run(Counter(), store, {"a": "smile"})
    metadata = pq.read_schema(store.path(result.receipt.files["videos"])).metadata
    assert b'"stage": "measure_lengths"' in metadata[b"made_from"]
    assert b'"longest": 8' in metadata[b"made_from"]
    assert REJECTS.schema.metadata[b"table"] == b"rejects"


corpora = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.sampled_from(["smile", "frown", "astonishment"]), min_size=1
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=corpora, after=corpora)
def test_taking_over_gives_what_computing_afresh_gives(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, str], after: dict[str, str]
) -> None:
    grown = Store.open_or_create(tmp_path_factory.mktemp("grown") / "corpus", 1)
    fresh = Store.open_or_create(tmp_path_factory.mktemp("fresh") / "corpus", 1)
    first = run(Counter(), grown, before)
    second = run(Counter(), grown, after, first.receipt)
    assert read(grown, second) == read(fresh, run(Counter(), fresh, after))
    assert (
        second.num_taken_over == sum(before.get(name) == word for name, word in after.items())
        or first.receipt.key == second.receipt.key
    )


PAGES = Table(
    "crops",  # a name that the store knows
    1,
    "a word, again and again",
    ("video_id", "number"),
    (
        column("video_id", pa.string(), "id"),
        column("number", pa.int32(), "number"),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("text", pa.binary(), "the word"),
    ),
)
Give = Callable[[str], Iterator[dict[str, Any]]]


def copy_out(give: Give) -> Stage[StageConfig]:
    """A stage that hands over what `give` gives for each word, one row at a time."""

    def work(unit: Unit) -> Done:
        rows = ({"video_id": unit.unit_id, **row} for row in give(unit.row(WORDS)["word"]))
        return Done(unit, {"crops": rows})

    reads = (Read(WORDS, ("video_id", "word")),)
    return Stage("copy_out", 1, reads, (PAGES,), "video_id", StageConfig, lambda units, *_: each_unit(units, work))


def run_copy_out(give: Give, store: Store, words: list[str], previous: Receipt | None = None) -> ShardResult:
    rows = WORDS.rows({"video_id": f"{n:02d}", "word": word} for n, word in enumerate(words))
    inputs = [ShardInput(content_hash([rows]), rows=rows)]
    return run_stage(copy_out(give), 0, inputs, StageConfig(), Resources(), store, previous)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows to a piece, and a few pieces to a row group."""
    monkeypatch.setattr(running, "PIECE_BYTES", 200)
    monkeypatch.setattr(storing, "ROW_GROUP_BYTES", 500)


units_of_rows = st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=6)


@pytest.mark.usefixtures("small_pieces")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(units_of_rows)
def test_a_unit_whose_rows_break_off_is_refused_and_leaves_none_behind(
    tmp_path_factory: pytest.TempPathFactory, units: list[tuple[int, bool]]
) -> None:
    def give(word: str) -> Iterator[dict[str, Any]]:
        num_rows, breaks_off = word.split()
        yield from ({"number": n, "text": b"." * (n % 40)} for n in range(int(num_rows) - 1))
        if breaks_off == "True":
            raise EOFError("the spool is cut short")
        yield {"number": int(num_rows) - 1, "text": b""}

    store = Store.open_or_create(tmp_path_factory.mktemp("pages") / "corpus", 1)
    receipt = run_copy_out(give, store, [f"{num_rows} {breaks_off}" for num_rows, breaks_off in units]).receipt
    pages = store.read(receipt.files["crops"]).to_pylist() if "crops" in receipt.files else []
    whole = [(n, num_rows) for n, (num_rows, breaks_off) in enumerate(units) if not breaks_off]
    assert [(row["video_id"], row["number"]) for row in pages] == [
        (f"{n:02d}", number) for n, num_rows in whole for number in range(num_rows)
    ]
    assert all(row["text"] == (b"." * (row["number"] % 40)) or not row["text"] for row in pages)
    assert (receipt.num_units, receipt.num_rejected) == (len(units), len(units) - len(whole))
    for row in store.read(receipt.files["rejects"]).to_pylist() if "rejects" in receipt.files else []:
        assert "EOFError: the spool is cut short (test_run.py:" in row["detail"]
    assert not list(store.root.glob("tmp/*"))

    again = run_copy_out(give, store, [*(f"{num_rows} {breaks}" for num_rows, breaks in units), "3 False"], receipt)
    assert again.num_taken_over == len(whole)
    assert store.read(again.receipt.files["crops"]).num_rows == len(pages) + 3


@pytest.mark.usefixtures("small_pieces")
def test_row_groups_are_bounded_and_a_large_unit_lies_in_several(store: Store) -> None:
    result = run_copy_out(lambda _: ({"number": n, "text": b"." * 40} for n in range(100)), store, ["a", "b"])
    with pq.ParquetFile(store.path(result.receipt.files["crops"])) as parquet:
        groups = [parquet.read_row_group(group) for group in range(parquet.num_row_groups)]
    assert len(groups) > 20
    assert max(group.nbytes for group in groups) <= 500


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("give", "error", "words"),
    [
        pytest.param(lambda _: iter(()), ReconcileError, "neither a row nor a reason", id="no row"),
        pytest.param(
            lambda _: ({"number": n % 30, "text": b"." * 40} for n in range(31)),
            SchemaError,
            "table crops: stage copy_out, unit 00: 31 rows have only 30 keys",
            id="a key repeats far apart",
        ),
    ],
)
def test_rows_that_no_stage_may_give_fail_and_write_nothing(
    store: Store, give: Give, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run_copy_out(give, store, ["a"])
    assert not list(store.root.glob("receipts/**/*.json"))
    assert not list(store.root.glob("tmp/*"))


def test_memory_does_not_grow_with_a_units_rows(store: Store) -> None:
    held: list[int] = []
    text = bytes(1 << 20)

    def give(num_rows: str) -> Iterator[dict[str, Any]]:
        for number in range(int(num_rows)):
            held.append(pa.total_allocated_bytes())
            yield {"number": number, "text": text}

    before = pa.total_allocated_bytes()
    written = run_copy_out(give, store, ["120"])
    assert max(held) - before < 5 * storing.ROW_GROUP_BYTES

    def read(units: Sequence[Unit], config: StageConfig, resources: Resources) -> Iterator[Outcome]:
        (unit,) = units
        for cell in unit.column(PAGES, "text"):
            held.append(pa.total_allocated_bytes())
            assert len(cell.as_buffer()) == len(text)
        yield Done(unit, {"videos": [{"video_id": unit.unit_id, "length": 0}]})

    held.clear()
    file = written.receipt.files["crops"]
    pages = Read(PAGES, ("video_id", "number", "text"))
    stage = Stage("read_back", 1, (pages,), (LENGTHS,), "video_id", StageConfig, read)
    run_stage(stage, 0, [ShardInput(file.content, file)], StageConfig(), Resources(), store)
    assert len(held) == 120
    assert max(held) - before < 5 * storing.ROW_GROUP_BYTES
