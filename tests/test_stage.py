"""Units and keys: what enters a key changes it and nothing else does; a unit reads its own rows, when asked."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.assets import ASSETS
from pipeline.stage import Read, Resources, RowGroups, Stage, StageConfig, Unit, content_hash, key_of
from pipeline.store import ShardReader
from pipeline.tracks.config import TrackConfig
from pipeline.tracks.stage import EXTRACT_TRACKS
from pipeline.walk import WALK, BuildConfig
from schemas.table import Table, column

values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=5)
)


@given(st.lists(st.binary(max_size=4), min_size=2, max_size=4), st.integers(1, 3))
def test_content_does_not_depend_on_chunks(cells: list[bytes], cut: int) -> None:
    whole = pa.table({"cell": pa.array(cells, pa.binary())})
    parts = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    assert content_hash([whole]) == content_hash([parts])


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_different_cells_never_feed_the_same_bytes(one: list[bytes], other: list[bytes]) -> None:
    hashes = [content_hash([pa.table({"cell": pa.array(cells, pa.binary())})]) for cells in (one, other)]
    assert (hashes[0] == hashes[1]) == (one == other)


@given(st.dictionaries(st.text(max_size=3), values, max_size=4))
def test_a_key_does_not_depend_on_the_order_of_its_parts(parts: dict[str, object]) -> None:
    assert key_of(parts) == key_of(dict(reversed(list(parts.items()))))


@pytest.mark.filterwarnings("ignore:Pydantic serializer")
def test_every_field_of_every_config_changes_every_key() -> None:
    defaults = BuildConfig()
    for stage in WALK:
        config = defaults.of(stage)
        for name in type(config).model_fields:
            other = config.model_copy(update={name: f"not {getattr(config, name)}"})
            is_same = key_of(stage.identity(other)) == key_of(stage.identity(config))
            assert not is_same, f"{stage.name}: {name} does not enter the keys"


def test_bucket_inputs_and_version_enter_the_shard_key() -> None:
    config = TrackConfig()
    keys = {
        EXTRACT_TRACKS.shard_key(config, 0, ["a"]),
        EXTRACT_TRACKS.shard_key(config, 1, ["a"]),
        EXTRACT_TRACKS.shard_key(config, 0, ["b"]),
        EXTRACT_TRACKS.shard_key(config, 0, ["a", "b"]),
    }
    assert len(keys) == 4


def test_other_weights_give_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key = EXTRACT_TRACKS.shard_key(TrackConfig(), 0, ["a"])
    name = "face_landmarker.task"
    monkeypatch.setitem(ASSETS, name, replace(ASSETS[name], sha256="0" * 64))
    assert EXTRACT_TRACKS.shard_key(TrackConfig(), 0, ["a"]) != key


def test_a_path_is_no_part_of_a_track_unit_key() -> None:
    def key(path: str, decoder: str) -> str:
        row = {"video_id": "v", "decoder": decoder, "width_px": 4, "height_px": 3, "path": path}
        row |= {"container": "mp4", "assumed_fps": None}
        (unit,) = EXTRACT_TRACKS.units({"videos": pa.Table.from_pylist([row])}, TrackConfig())
        assert isinstance(unit, Unit)
        return unit.unit_key

    assert key("a.mp4", "decord 0.6.0") == key("moved/b.mp4", "decord 0.6.0")
    assert key("a.mp4", "decord 0.6.0") != key("a.mp4", "av 18.1.0")


def test_resources_are_no_stage_config() -> None:
    assert not set(Resources.model_fields) & {name for stage in WALK for name in stage.config.model_fields}


FRAMES = Table(
    "frames",
    1,
    "a track's frames",
    ("track_id", "position"),
    (
        column("track_id", pa.string(), "id"),
        column("position", pa.int32(), "position"),
        column("crop_jpeg", pa.binary(), "a picture"),
    ),
)
FACES = Table(
    "faces",
    1,
    "tracks",
    ("track_id",),
    (column("track_id", pa.string(), "id"), column("times_s", pa.list_(pa.float64()), "times")),
)
LOOK = Stage(
    "look",
    1,
    (Read(FACES, ("track_id", "times_s")), Read(FRAMES, ("track_id", "crop_jpeg"), ("position",))),
    (FACES,),
    "track_id",
    StageConfig,
    lambda units, config, resources: iter(()),
)


def faces_and_frames(owners: list[int], num_faces: int) -> dict[str, pa.Table]:
    faces = [{"track_id": f"track {n}", "times_s": [0.5 * n, 1.0]} for n in range(num_faces)]
    crops = [b"picture %d" % n * (n % 3) for n in range(len(owners))]
    frames = [{"track_id": f"track {o}", "position": n, "crop_jpeg": crops[n]} for n, o in enumerate(owners)]
    return {"faces": FACES.rows(faces), "frames": FRAMES.rows(frames)}


def stored(tables: dict[str, pa.Table], folder: Path, rows_per_group: int) -> dict[str, pa.Table | RowGroups]:
    for name, table in tables.items():
        pq.write_table(table, folder / name, row_group_size=rows_per_group)
    return {name: ShardReader(str(folder / name)) for name in tables}


def filtered(tables: dict[str, pa.Table], unit_id: str) -> dict[str, pa.Table]:
    return {name: rows.filter(pc.equal(rows["track_id"], unit_id)) for name, rows in tables.items()}


def key_of_whole_tables(rows: dict[str, pa.Table], unit_id: str) -> str:
    content = content_hash([rows[read.table.name].select(list(read.content)) for read in LOOK.reads])
    return key_of({**LOOK.identity(StageConfig()), "unit": unit_id, "content": content})


def test_content_hashes_stay_what_they_were_in_corpora_already_built() -> None:
    columns = {
        "id": pa.array(["a", "b"]),
        "cell": pa.array([b"\x00", b""], pa.binary()),
        "fixed": pa.array([b"ab", None], pa.binary(2)),
        "n": pa.array([1, None], pa.int32()),
        "x": pa.array([0.5, -0.0]),
        "list": pa.array([[1.5], []], pa.list_(pa.float32())),
        "struct": pa.array([{"k": 1, "a": True}, {"k": 2, "a": None}]),
    }
    table = pa.table(columns)
    known = "9f71535566f9f118d0ccd3c87aa7e5c292b1c719b4a14ad7fa5ee6ad946aaf67"
    assert content_hash([table, table.select(["id"])]) == known


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=24), st.integers(0, 5), st.integers(1, 9))
def test_units_have_the_rows_and_keys_that_filtering_whole_tables_gives(
    tmp_path_factory: pytest.TempPathFactory, owners: list[int], num_faces: int, rows_per_group: int
) -> None:
    tables = faces_and_frames(owners, num_faces)
    for inputs in (tables, stored(tables, tmp_path_factory.mktemp("shards"), rows_per_group)):
        units = LOOK.units(inputs, StageConfig())
        assert [unit.unit_id for unit in units] == tables["faces"]["track_id"].to_pylist()
        for unit in units:
            rows = filtered(tables, unit.unit_id)
            assert {name: unit.rows[name].to_pylist() for name in unit.rows} == {
                read.table.name: rows[read.table.name].select(read.columns).to_pylist() for read in LOOK.reads
            }
            assert unit.unit_key == key_of_whole_tables(rows, unit.unit_id)
            assert [cell.as_py() for cell in unit.column(FRAMES, "position")] == rows["frames"]["position"].to_pylist()


def test_a_column_is_read_by_position_and_ends(tmp_path: Path) -> None:
    inputs = stored(faces_and_frames([0, 1, 0, 0, 1, 0], 2), tmp_path, 2)
    positions = LOOK.units(inputs, StageConfig())[0].column(FRAMES, "position")
    assert [positions[n].as_py() for n in (3, 0, 2, 1)] == [5, 0, 3, 2]
    for beyond in (4, -1):
        with pytest.raises(IndexError, match=f"position: no row {beyond}, the unit has 4"):
            positions[beyond]


def test_a_unit_can_be_sent_to_another_process(tmp_path: Path) -> None:
    units = LOOK.units(stored(faces_and_frames([0, 1, 0], 2), tmp_path, 2), StageConfig())
    for unit, sent in zip(units, pickle.loads(pickle.dumps(units)), strict=True):
        assert (sent.unit_key, sent.row(FACES)) == (unit.unit_key, unit.row(FACES))


@pytest.mark.parametrize(
    ("owners", "rows_per_group"),
    [
        pytest.param([n for n in range(50) for _ in range(4)], 100, id="many units in a row group"),
        pytest.param([n // 100 for n in range(200)], 10, id="many row groups in a unit"),
    ],
)
def test_keys_cost_a_fixed_number_of_readings_of_the_file(
    owners: list[int], rows_per_group: int, tmp_path: Path, count_reads: Callable[[], list[Any]]
) -> None:
    inputs = stored(faces_and_frames(owners, max(owners) + 1), tmp_path, rows_per_group)
    reads = count_reads()
    LOOK.units(inputs, StageConfig())
    frames = inputs["frames"]
    assert isinstance(frames, ShardReader)
    assert len([name for (name,) in reads if name == "crop_jpeg"]) == frames.num_groups


@pytest.fixture
def count_reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    """Begins to note the columns that are read from Parquet."""

    def begin() -> list[Any]:
        reads: list[Any] = []
        read = pq.ParquetFile.read_row_group

        def noted(file: Any, group: int, columns: list[str]) -> pa.Table:
            reads.append(tuple(columns))
            return read(file, group, columns)

        monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
        return reads

    return begin
