"""Tables refuse what does not fit, and tensor cells give back what was put in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from schemas.corpus import TABLES
from schemas.table import SchemaError, Table, column, describe, read_cell, tensor, write_cell

WALKS = Table(
    "walks",
    1,
    "how far someone went",
    ("walk_id",),
    (
        column("walk_id", pa.string(), "which walk"),
        column("distance_m", pa.float64(), "length of the way", unit="metre"),
        column("note", pa.string(), "anything", nullable=True),
    ),
)


def test_every_column_of_every_table_has_a_meaning_and_every_number_in_time_or_space_a_unit() -> None:
    for row in describe(list(TABLES.values())):
        assert row["meaning"], row
        if row["column"].endswith(("_s", "_px", "_bytes", "_deg", "_fps", "_xyxy")):
            assert row["unit"], f"{row['table']}.{row['column']} has no unit"


def test_every_table_has_its_key_columns_and_made_rows_have_a_unit_key() -> None:
    for table in TABLES.values():
        names = [field.name for field in table.columns]
        assert set(table.primary_key) <= set(names)
        assert len(set(names)) == len(names)
        assert "unit_key" in names or table.name in {"reviews", "sources"}


def test_rows_survive_parquet_with_their_contract(tmp_path: Any) -> None:
    rows = WALKS.rows([{"walk_id": "a", "distance_m": 1.5}, {"walk_id": "b", "distance_m": 2.0, "note": "wet"}])
    pq.write_table(rows, tmp_path / "walks.parquet")
    back = WALKS.conform(pq.read_table(tmp_path / "walks.parquet"))
    assert back.equals(rows)
    assert back.schema.field("distance_m").metadata[b"unit"] == b"metre"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param([{"walk_id": "a"}], "column distance_m is null in row 0", id="null where none may be"),
        pytest.param([{"walk_id": "a", "distance_m": "far"}], "table walks", id="text for a number"),
        pytest.param([{"walk_id": "a", "distance_m": 1.0, "speed": 2}], r"unknown columns \['speed'\]", id="extra"),
        pytest.param(
            [{"walk_id": "a", "distance_m": 1.0}] * 2, "1 keys repeat, the first is {'walk_id': 'a'}", id="twice"
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        WALKS.rows(rows)


def test_conform_fills_only_nullable_columns_and_casts_nothing() -> None:
    older = pa.table({"walk_id": ["a"], "distance_m": [1.0]})
    assert WALKS.conform(older)["note"].to_pylist() == [None]
    with pytest.raises(SchemaError, match="column distance_m is missing"):
        WALKS.conform(pa.table({"walk_id": ["a"]}))
    with pytest.raises(SchemaError, match="column distance_m is int64, expected double"):
        WALKS.conform(pa.table({"walk_id": ["a"], "distance_m": [1]}))


FIXED = tensor("weights", "float16", {"frame": 2, "row": 3}, "of patches")
OPEN = tensor("boxes", "float32", {"frame": None, "xyxy": 4}, "of a track", unit="pixel")


@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.just(4))))
def test_an_open_cell_gives_back_what_was_put_in(boxes: np.ndarray[Any, Any]) -> None:
    back = read_cell(OPEN, write_cell(OPEN, boxes))
    assert back.tobytes() == boxes.tobytes()
    assert back.shape == boxes.shape


def test_a_fixed_cell_is_a_fixed_size_column_and_reading_it_copies_nothing() -> None:
    assert FIXED.type == pa.binary(12)
    cell = write_cell(FIXED, np.arange(6).reshape(2, 3))
    array = read_cell(FIXED, pa.py_buffer(cell))
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not array.flags.owndata
    assert not array.flags.writeable


def test_a_wrong_shape_is_refused_both_ways() -> None:
    with pytest.raises(SchemaError, match=r"weights: expected shape \[2, 3\], got \[3, 2\]"):
        write_cell(FIXED, np.zeros((3, 2)))
    with pytest.raises(SchemaError, match="boxes: cell of 5 values does not fit"):
        read_cell(OPEN, np.zeros(5, np.float32).tobytes())
    with pytest.raises(SchemaError, match="walk_id is not a tensor column"):
        read_cell(WALKS.field("walk_id"), b"")
    with pytest.raises(SchemaError, match="only the first dimension may be open"):
        tensor("t", "uint8", {"a": 2, "b": None}, "no")
