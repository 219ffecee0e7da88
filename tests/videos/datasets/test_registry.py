"""A source's address: names of data sets however they are written, manifests, and plain paths as ever."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.videos.datasets.listing import DatasetError, Listing
from pipeline.videos.datasets.registry import READERS, SourceAddress, parse_source, read_dataset, reader_of


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("dfew:/data/DFEW", SourceAddress("dataset", Path("/data/DFEW"), "dfew")),
        ("dfew@original:/data/DFEW", SourceAddress("dataset", Path("/data/DFEW"), "dfew", "original")),
        ("CREMA-D:sets/crema", SourceAddress("dataset", Path("sets/crema"), "crema_d")),
        ("cremad:x", SourceAddress("dataset", Path("x"), "crema_d")),
        ("aff-wild2:/a:b", SourceAddress("dataset", Path("/a:b"), "affwild2")),
        ("manifest:lists/all.csv", SourceAddress("manifest", Path("lists/all.csv"))),
        ("my_videos/", SourceAddress("folder", Path("my_videos"))),
        ("./dfew:old", SourceAddress("folder", Path("dfew:old"))),
        ("/data/a:b", SourceAddress("folder", Path("/data/a:b"))),
    ],
)
def test_an_address_says_what_to_read_and_where(text: str, address: SourceAddress) -> None:
    assert parse_source(text) == address
    assert parse_source(str(address)) == address


@pytest.mark.parametrize(
    "text", ["dfew@original:/data/DFEW", "dfew:/data/DFEW", "manifest:/a/list.parquet", "/data/x", "./dfew:x"]
)
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_source(text)) == text
    assert text.startswith("./") or parse_source(Path(text)) == parse_source(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dfwe:/data", "no data set 'dfwe', and no file or folder dfwe:/data; did you mean 'dfew'?"),
        ("nothing:/data", "known: dfew, ferv39k,"),
        ("dfew:", "nothing stands after the colon"),
        ("manifest@x:list.csv", "a manifest has no variant; write manifest:list.csv"),
    ],
)
def test_a_wrong_address_is_told_with_what_to_write(text: str, words: str) -> None:
    with pytest.raises(DatasetError) as told:
        parse_source(text)
    assert words in str(told.value)


def test_a_folder_with_a_colon_in_its_name_stays_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "day:2").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse_source("day:2") == SourceAddress("folder", Path("day:2"))


def test_a_reader_is_imported_when_its_set_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ModuleType(READERS["mer"])
    reader.VARIANTS = {"mer2023": "as of 2023"}  # type: ignore[attr-defined]
    reader.read = lambda folder, variant: Listing("mer", variant or "mer2023", folder, ())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, READERS["mer"], reader)
    assert read_dataset(parse_source(f"mer:{tmp_path}")).folder == tmp_path
    with pytest.raises(DatasetError, match="mer has no variant 'mer2032'; did you mean 'mer2023'"):
        read_dataset(parse_source(f"mer@mer2032:{tmp_path}"))
    with pytest.raises(DatasetError, match="there is no such folder; give the folder that the set was unpacked into"):
        read_dataset(parse_source(f"mer:{tmp_path}/nowhere"))
    with pytest.raises(DatasetError, match="names no data set"):
        read_dataset(parse_source(tmp_path))


def test_a_reader_that_is_not_there_is_told_with_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.videos.datasets.registry.READERS", {"gone": "pipeline.videos.datasets.gone"})
    with pytest.raises(DatasetError, match=r"no reader for gone .* build from manifest:TABLE\.csv"):
        reader_of("gone")
