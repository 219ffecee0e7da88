"""Keys: what enters them changes them, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.assets import ASSETS
from pipeline.stage import Resources, Unit, content_hash, key_of
from pipeline.tracks.config import TrackConfig
from pipeline.tracks.stage import EXTRACT_TRACKS
from pipeline.walk import WALK, BuildConfig

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
def test_every_field_of_every_config_changes_the_shard_key() -> None:
    defaults = BuildConfig()
    for stage in WALK:
        config = defaults.of(stage)
        key = stage.shard_key(config, 0, ["input"])
        for name in type(config).model_fields:
            other = config.model_copy(update={name: f"not {getattr(config, name)}"})
            assert stage.shard_key(other, 0, ["input"]) != key, f"{stage.name}: {name} does not enter the key"


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
        (unit,) = EXTRACT_TRACKS.units({"videos": pa.Table.from_pylist([row])}, TrackConfig())
        assert isinstance(unit, Unit)
        return unit.unit_key

    assert key("a.mp4", "decord 0.6.0") == key("moved/b.mp4", "decord 0.6.0")
    assert key("a.mp4", "decord 0.6.0") != key("a.mp4", "av 18.1.0")


def test_resources_are_no_stage_config() -> None:
    assert not set(Resources.model_fields) & {name for stage in WALK for name in stage.config.model_fields}
