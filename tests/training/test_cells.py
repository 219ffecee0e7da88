"""Cells read by place are those that Parquet reads, and files of other forms are read all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.cells import CellError, CellFile
from tests.clip_corpus import MadeTrack, write_clip_corpus

FORMS: dict[str, dict[str, Any]] = {
    "zstd": {"compression": "zstd"},
    "dictionary": {"use_dictionary": True},
    "statistics": {"write_statistics": True},
    "checksums": {"write_page_checksum": True},
    "byte planes": {"column_encoding": {"large": "BYTE_STREAM_SPLIT"}},
    "second pages": {"data_page_version": "2.0"},
}


def write(path: Path, sizes: tuple[int, int], num_rows: int, group: int, nullable: bool = False, **form: Any) -> None:
    chance = np.random.default_rng(0)
    fields = [pa.field("id", pa.string())]
    fields += [pa.field(n, pa.binary(s), nullable) for n, s in zip(("large", "small"), sizes, strict=True)]
    rows = [
        {"id": str(n), "large": chance.bytes(sizes[0]), "small": None if nullable and n % 2 else chance.bytes(sizes[1])}
        for n in range(num_rows)
    ]
    written = {"compression": "none", "use_dictionary": False, "write_statistics": False, **form}
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), path, row_group_size=group, **written)


def cells_equal_parquets(path: Path) -> bool:
    """Whether all were read by place, from memory and from an open file."""
    ways = []
    for source in (pa.py_buffer(path.read_bytes()), pa.OSFile(str(path))):
        cells = CellFile(source, path.name, ["large", "small"])
        with pq.ParquetFile(path) as parquet:
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group)
                for row in range(len(table)):
                    got = [bytes(cell) for cell in cells.row(group, row)]
                    assert got == [table["large"][row].as_py(), table["small"][row].as_py()]
        ways.append(cells.reads_by_place)
        cells.close()
    assert ways[0] == ways[1]
    return ways[0]


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 5000), st.integers(1, 50)),
    st.integers(1, 7),
    st.integers(1, 3),
    st.sampled_from([{}, *FORMS.values()]),
)
def test_every_cell_is_the_one_that_parquet_reads(
    tmp_path_factory: pytest.TempPathFactory, sizes: tuple[int, int], num_rows: int, group: int, form: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("cells") / "rows.parquet"
    write(path, sizes, num_rows, group, **form)
    by_place = cells_equal_parquets(path)
    if not form:
        assert by_place == (group == 1 or num_rows == 1)


@pytest.mark.parametrize("form", ["zstd", "dictionary", "byte planes"])
def test_what_is_encoded_is_not_read_by_place(tmp_path: Path, form: str) -> None:
    write(tmp_path / "rows.parquet", (4096, 16), 3, 1, **FORMS[form])
    assert not cells_equal_parquets(tmp_path / "rows.parquet")


def test_a_column_that_may_be_null_is_not_read_by_place(tmp_path: Path) -> None:
    write(tmp_path / "rows.parquet", (4096, 16), 1, 1, nullable=True)
    assert not cells_equal_parquets(tmp_path / "rows.parquet")


def test_motion_as_the_store_writes_it_is_read_by_place(tmp_path: Path) -> None:
    root = write_clip_corpus(tmp_path / "corpus", [MadeTrack("v", num_clips=3)], num_buckets=1)
    (path,) = root.glob("shards/motion/*/*")
    with pq.ParquetFile(path) as parquet:
        cells = CellFile(pa.py_buffer(path.read_bytes()), path.name, ["frames", "motion_weights"])
        assert cells.reads_by_place
        for group in range(3):
            frames, weights = cells.row(group, 0)
            table = parquet.read_row_group(group)
            assert bytes(frames) == table["frames"][0].as_py()
            assert bytes(weights) == table["motion_weights"][0].as_py()


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write(path, (4096, 16), 2, 1)
    whole = pa.py_buffer(path.read_bytes())
    with pytest.raises(CellError, match=r"rows.parquet has no column 'faces', it has: id, large, small"):
        CellFile(whole, path.name, ["faces"])
    with pytest.raises(CellError, match="has no row 0 in row group 2: the list of clips is of another file"):
        CellFile(whole, path.name, ["large"]).row(2, 0)
    for damaged in (whole.slice(0, whole.size - 1), whole.slice(0, 0)):
        with pytest.raises(CellError, match="is no whole Parquet file"):
            CellFile(damaged, path.name, ["large"])
