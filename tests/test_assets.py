"""Assets: fetched once, refused when they are not the pinned file. pip runs for real, on a wheel in a local folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import pipeline.assets as assets_module
from pipeline.assets import ASSETS, Asset, AssetError, cache_folder, fetch, fetch_all, status

CONTENT = b"a small file\n" * 1000
PINNED = Asset(
    name="small.bin",
    package="facescribe-test-wheel",
    version="1.0",
    member="data/small.bin",
    num_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="CC0-1.0",
    redistributable=True,
    source="Written by this test.",
)
SECOND = replace(PINNED, name="second.bin", member="data/second.bin")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, the only place where pip looks, and an empty cache."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "facescribe_test_wheel-1.0-py3-none-any.whl", "w") as wheel:
        info = "facescribe_test_wheel-1.0.dist-info"
        wheel.writestr(PINNED.member, CONTENT)
        wheel.writestr(SECOND.member, CONTENT)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: facescribe-test-wheel\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("FACESCRIBE_CACHE", str(tmp_path / "cache"))
    for asset in (PINNED, SECOND):
        monkeypatch.setitem(ASSETS, asset.name, asset)
    return folder


def kept_files() -> list[str]:
    return sorted(path.name for path in cache_folder().rglob("*") if path.is_file() and path.suffix != ".lock")


def test_a_second_fetch_downloads_nothing(wheels: Path) -> None:
    downloads: list[str] = []
    first = fetch("small.bin", on_progress=lambda package, _: downloads.append(package))
    next(wheels.iterdir()).unlink()  # from here on a download would fail
    second = fetch("small.bin", verify=True, on_progress=lambda package, _: downloads.append(package))
    assert first == second
    assert second.read_bytes() == CONTENT
    assert downloads == ["facescribe-test-wheel==1.0"]


def test_a_package_is_downloaded_once_for_all_its_files(wheels: Path) -> None:
    downloads: list[tuple[str, int]] = []
    paths = fetch_all(["small.bin", "second.bin"], on_progress=lambda *download: downloads.append(download))
    assert [path.name for path in paths.values()] == ["small.bin", "second.bin"]
    assert downloads == [("facescribe-test-wheel==1.0", 2 * len(CONTENT))]
    assert kept_files() == ["second.bin", "small.bin"], "the wheel itself is not kept"


def test_no_more_is_unpacked_than_a_file_should_have(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index could send a file that unpacks to any size: what is written ends one byte after the pinned length."""
    monkeypatch.setitem(ASSETS, "small.bin", replace(PINNED, num_bytes=len(CONTENT) // 2))
    written: list[int] = []
    hashed = assets_module._sha256

    def noted(path: Path) -> str:
        written.append(path.stat().st_size)
        return hashed(path)

    monkeypatch.setattr(assets_module, "_sha256", noted)
    with pytest.raises(AssetError, match="it was not kept"):
        fetch("small.bin")
    assert written == [len(CONTENT) // 2 + 1]


def test_a_wrong_hash_is_refused_and_leaves_nothing_behind(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ASSETS, "small.bin", replace(PINNED, sha256="0" * 64))
    with pytest.raises(AssetError, match=rf"small\.bin: .*SHA-256 {PINNED.sha256}, expected 0{{64}}"):
        fetch("small.bin")
    assert kept_files() == []


def test_a_missing_member_is_refused_and_leaves_nothing_behind(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ASSETS, "small.bin", replace(PINNED, member="data/other.bin"))
    with pytest.raises(AssetError, match=r"no archive that holds data/other\.bin"):
        fetch("small.bin")
    assert kept_files() == []


def test_a_truncated_file_is_fetched_again(wheels: Path) -> None:
    fetch("small.bin").write_bytes(CONTENT[:10])
    assert fetch("small.bin").read_bytes() == CONTENT


def test_verify_finds_a_changed_file_of_the_same_size(wheels: Path) -> None:
    path = fetch("small.bin")
    path.write_bytes(b"x" * len(CONTENT))
    assert fetch("small.bin") == path, "without verify the size is trusted"
    with pytest.raises(AssetError, match=r"changed after it was fetched\. Delete it"):
        fetch("small.bin", verify=True)


def test_two_processes_at_once_download_once(wheels: Path) -> None:
    script = (
        f"import pipeline.assets as a; asset = a.{PINNED!r}; a.ASSETS[asset.name] = asset;"
        "print(a.fetch(asset.name, on_progress=lambda package, size: print('downloads')).read_bytes().count(b'small'))"
    )
    command = [sys.executable, "-c", script]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate()[0].split() for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == [["1000"], ["downloads", "1000"]]


def test_a_failing_pip_is_quoted(wheels: Path) -> None:
    next(wheels.iterdir()).unlink()
    with pytest.raises(AssetError, match=r"(?s)No matching distribution found.*pip config list.*copy the folder"):
        fetch("small.bin")


def test_a_folder_that_cannot_be_written_is_named(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FACESCRIBE_CACHE", str(tmp_path / "file"))
    with pytest.raises(AssetError, match="FACESCRIBE_CACHE"):
        fetch("small.bin")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(AssetError, match=r"no asset is named 'face\.mp4'; the names are: .*single_face\.mp4"):
        fetch("face.mp4")


def test_every_asset_states_its_licence_and_is_pinned() -> None:
    for name, asset in ASSETS.items():
        assert asset.name == name
        assert asset.licence, f"{name}: state the licence, or 'unstated: ...' with what is known"
        assert not (asset.redistributable and asset.licence.startswith("unstated")), f"{name}: no licence, no right"
        assert len(asset.sha256) == 64, f"{name}: pin the whole SHA-256"
        assert asset.source.endswith("."), f"{name}: say in a sentence where it comes from"


def test_status_says_what_is_cached(wheels: Path) -> None:
    fetch("small.bin")
    cached = {row.name: row.is_cached for row in status()}
    assert cached.keys() == ASSETS.keys()
    assert [name for name, is_cached in cached.items() if is_cached] == ["small.bin"]


def test_the_pinned_files_are_what_they_should_be(assets: Callable[[str], Path]) -> None:
    for name in ("face_landmarker.task", "single_face.mp4"):
        assert hashlib.sha256(assets(name).read_bytes()).hexdigest() == ASSETS[name].sha256


BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, settings=None):
    info = Path(folder, "facescribe_test_sources-1.0.dist-info")
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: facescribe-test-sources\\nVersion: 1.0\\n")
    return info.name
"""


def test_a_file_is_taken_out_of_a_source_archive_and_an_archive_is_taken_whole(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "facescribe_test_sources-1.0"
    (top / "data").mkdir(parents=True)
    (top / PINNED.member).write_bytes(CONTENT)
    (top / "backend.py").write_text(BACKEND)
    (top / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (top / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: facescribe-test-sources\nVersion: 1.0\n")
    archive = wheels / f"{top.name}.tar.gz"
    with tarfile.open(archive, "w:gz") as sources:
        sources.add(top, top.name)
    inside = replace(PINNED, name="inside.bin", package="facescribe-test-sources", is_wheel=False)
    whole = replace(
        inside,
        name=archive.name,
        member="",
        num_bytes=archive.stat().st_size,
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
    )
    for asset in (inside, whole):
        monkeypatch.setitem(ASSETS, asset.name, asset)
    paths = fetch_all([inside.name, whole.name])
    assert paths[inside.name].read_bytes() == CONTENT
    assert paths[whole.name].read_bytes() == archive.read_bytes()
