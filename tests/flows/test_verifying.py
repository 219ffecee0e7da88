"""The command `facescribe verify`: exit codes, what it prints and writes, and what it says to a wrong address."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from typer.testing import CliRunner, Result

from flows.__main__ import app
from pipeline.videos.datasets import dfew
from pipeline.videos.datasets.listing import DatasetError
from tests.videos.datasets import dfew_tree
from tests.videos.datasets.test_verify import picture
from tests.videos.datasets.test_verify_sets import sound_frames

TESTED = dict(zip(dfew_tree.FOLDS, (7, 7, 6, 6, 7), strict=True))
SMALL = {("dfew", str(fold), "train"): {"": 33 - size} for fold, size in TESTED.items()} | {
    ("dfew", str(fold), "test"): {"": size} for fold, size in TESTED.items()
}
"""What the fixture would have been published with."""


@pytest.fixture
def small_dfew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dfew, "PUBLISHED", SMALL)
    return dfew_tree.write_dfew(tmp_path / "sets/DFEW", frames=sound_frames)


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)], env={"COLUMNS": "200"})


def test_a_sound_set_ends_with_0_and_says_what_is_known_of_it(small_dfew: Path) -> None:
    result = verify(f"dfew:{small_dfew}")
    assert result.exit_code == 0, result.output
    assert "DFEW (2020), clip_224x224" in result.output
    assert re.search(r"clean: nothing is wrong; 4 known of this set as it was published", result.output)
    assert re.search(r"happiness +5 +4 +1", result.output)


def test_planted_faults_end_with_1_and_are_written_alike_to_json_csv_and_page(small_dfew: Path, tmp_path: Path) -> None:
    frames = small_dfew / "Clip/clip_224x224"
    shutil.rmtree(frames / "00003")
    shutil.copytree(frames / "00001", frames / "00099")
    (frames / "00005/1.jpg").write_bytes(b"")
    (frames / "00009/2.jpg").unlink()
    for number, file in enumerate(sorted((frames / "00011").iterdir())):
        file.write_bytes(picture(number, 224))
    written = [tmp_path / name for name in ("new/report.json", "faults.csv", "page.html")]
    result = verify(f"dfew:{small_dfew}", "--json", written[0], "--faults", written[1], "--page", written[2])
    assert result.exit_code == 1
    planted = {
        ("missing", "3"),
        ("extra", "Clip/clip_224x224/00099"),
        ("unreadable", "5"),
        ("frame_gap", "9"),
        ("frame_version", "11"),
    }
    report = json.loads(written[0].read_text())
    assert {(one["kind"], one["where"]) for one in report["faults"] if not one["is_known"]} == planted
    assert not report["is_clean"] and report["kinds"]["missing"]["faults"] == 1
    with written[1].open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert {(row["kind"], row["where"]) for row in rows if row["known"] == "no"} == planted
    page = written[2].read_text()
    assert "5 faults: 1 missing, 1 extra, 1 frame_gap, 1 frame_version, 1 unreadable" in page
    assert "5 faults: 1 missing, 1 extra" in result.output
    for words in ("Fetch the file again.", "these are not there: 2", "frames of 224 x 224 px; 34 of 35 clips have"):
        assert words in page and words in " ".join(result.output.split())


def test_a_part_of_a_set_is_told_beside_the_published_counts(tmp_path: Path) -> None:
    dfew_tree.write_dfew(tmp_path, frames=sound_frames)
    result = verify(f"dfew:{tmp_path}")
    assert result.exit_code == 1
    assert "10 faults: 10 published_count" in result.output
    assert "pub 9356" in result.output


def test_deep_decodes(small_dfew: Path) -> None:
    result = verify(f"dfew:{small_dfew}", "--deep")
    assert result.exit_code == 0
    assert "every picture and video was decoded" in result.output


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("dfew:{}/nothing", "there is no such folder"),
        ("dfew:{}/empty", "holds no clips of DFEW (2020): looked for Clip/clip_224x224"),
        ("dfew:{}/empty", "the folder holds nothing"),
        ("dfwe:{}/sets/DFEW", "did you mean 'dfew'?"),
        ("dfew:{}/file", "is a file; give the folder"),
        ("dfew@16:{}/sets/DFEW", "dfew has no variant '16'"),
        ("dfew:{}/sets", "/sets/DFEW looks right: facescribe verify dfew:"),
        ("dfew:{}", "/sets/DFEW looks right: facescribe verify dfew:"),
        ("dfew:{}/sets/DFEW/Clip", "/sets/DFEW looks right: facescribe verify dfew:"),
        ("dfew:{}/sets/DFEW/Clip/clip_224x224", "/sets/DFEW looks right: facescribe verify dfew:"),
        ("dfew:{}/sets/DFWE", "/sets/DFEW looks right: facescribe verify dfew:"),
        ("{}/sets/DFEW", "it looks like dfew: facescribe verify dfew:"),
        ("{}/empty", "write NAME:PATH with one of dfew, ferv39k"),
        ("{}/nothing", "there is no such file or folder"),
        ("{}/mine.csv", "facescribe verify manifest:"),
    ],
)
def test_a_wrong_address_ends_with_2_and_says_what_to_do(
    small_dfew: Path, tmp_path: Path, address: str, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "mine.csv").write_text("path\na.mp4\n")
    result = verify(address.format(tmp_path))
    assert result.exit_code == 2
    assert words in result.output
    assert len(result.output.splitlines()) == 1


def test_a_manifest_that_cannot_be_used_ends_with_2(
    tmp_path: Path, facescribe: Callable[..., CompletedProcess[str]]
) -> None:
    (tmp_path / "mine.csv").write_text("file,label\na.mp4,fear\n")
    done = facescribe("verify", f"manifest:{tmp_path / 'mine.csv'}")
    assert done.returncode == 2
    assert "a manifest needs the column path" in done.stderr
    assert facescribe("verify").returncode == 2


def test_a_hostile_name_is_text_on_the_page(small_dfew: Path, tmp_path: Path) -> None:
    frames = small_dfew / "Clip/clip_224x224/00005"
    (frames / "<script>alert(1)<|script>.jpg").write_bytes(b"")
    (frames / "\x1b[31m1.jpg").write_bytes(b"")
    page = tmp_path / "page.html"
    result = verify(f"dfew:{small_dfew}", "--page", page)
    assert result.exit_code == 1
    assert "<script" not in page.read_text()
    assert "\x1b[31m" not in result.output


def test_no_set_is_guessed_where_none_is(tmp_path: Path) -> None:
    from pipeline.videos.datasets.nearby import find_nearby, guess_set
    from pipeline.videos.datasets.registry import SourceAddress, read_dataset

    (tmp_path / "deep/er").mkdir(parents=True)
    assert guess_set(tmp_path) is None
    address = SourceAddress("dataset", tmp_path / "deep/er", "dfew")
    assert find_nearby(address) is None
    with pytest.raises(DatasetError):
        read_dataset(address)
