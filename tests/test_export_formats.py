"""Exports in the forms that others read: loaded by `datasets`, `webdataset` and pandas, and safe in a spreadsheet."""

from __future__ import annotations

import csv
import errno
import importlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.__main__ import app
from pipeline.csv_cells import DANGEROUS, as_it_was, defused
from pipeline.export import folder as folders
from pipeline.export.csv_tables import export_csv
from pipeline.export.folder import ExportError, whole_folder
from pipeline.export.huggingface import export_huggingface
from pipeline.export.licence_policy import LicenceError
from pipeline.export.parquet import export_parquet
from pipeline.export.tar_shards import export_webdataset
from pipeline.export.text_only import export_text_only
from pipeline.inspection.corpus import Corpus
from schemas.motion import MOTION
from schemas.table import read_cell
from tests.clip_corpus import MadeTrack, write_clip_corpus

FORMULA = "=cmd|' /C calc'!A0"
WHY = "made up for a test"

TRACKS = (
    MadeTrack("v1", label="happiness", split="train", texts=("The lips part.", "The lips part twice.")),
    MadeTrack("v1", face="b", label="happiness", split="train", texts=()),
    MadeTrack("v2", label=FORMULA, split="test", num_clips=2),
    MadeTrack("v3", label=None, split=None, texts=("@SUM(A1) is no text.",)),
    MadeTrack("v4", label="fear", split="validation"),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(write_clip_corpus(tmp_path_factory.mktemp("formats") / "corpus", TRACKS))


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Hugging Face's package, without a network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    module = importlib.import_module("datasets")
    monkeypatch.setattr(module.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return module


def head(out: Path) -> dict[str, Any]:
    text = (out / "README.md").read_text(encoding="utf-8")
    read: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return read


def checked(out: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "checksums.sha256"], cwd=out, check=True, capture_output=True)


def test_datasets_loads_the_folder_and_its_files(corpus: Corpus, tmp_path: Path, datasets: Any) -> None:
    out = tmp_path / "out"
    made = export_huggingface(corpus, out, without_licence=WHY)
    checked(out)
    assert made.rows == {"default": 4}, "a track without a text is no row"
    whole = datasets.load_dataset(str(out))
    assert {split: len(rows) for split, rows in whole.items()} == {"train": 1, "validation": 1, "test": 1, "unsplit": 1}
    (row,) = whole["train"]
    assert (row["track_id"], row["label"], row["text"], row["text_version"]) == (
        "v1-a",
        "happiness",
        "The lips part twice.",
        2,
    )
    assert whole["test"][0]["label"] == FORMULA and whole["unsplit"][0]["label"] is None
    files = {"train": str(out / "data" / "train-*.parquet"), "test": str(out / "data" / "test-*.parquet")}
    plain = datasets.load_dataset("parquet", data_files=files)
    assert {split: rows["track_id"] for split, rows in plain.items()} == {"train": ["v1-a"], "test": ["v2-a"]}


def test_datasets_loads_pictures_and_motion_of_clips(corpus: Corpus, tmp_path: Path, datasets: Any) -> None:
    out = tmp_path / "out"
    made = export_huggingface(corpus, out, ("motion", "frames"), WHY, file_bytes=1)
    assert made.rows == {"default": 4, "clips": 6}
    assert (out / "clips" / "test-00001-of-00002.parquet").exists() or made.files[
        "clips/test-00000-of-00001.parquet"
    ] == 2
    clips = datasets.load_dataset(str(out), "clips")
    assert sum(map(len, clips.values())) == 6
    frames = {row["clip_id"]: row for row in corpus.arrow("motion").to_pylist()}
    for row in clips["test"]:
        cells = frames[row["clip_id"]]
        pictures = np.stack([np.asarray(picture) for picture in row["frames"]])
        assert np.array_equal(pictures, read_cell(MOTION.field("frames"), cells["frames"]))
        weights = np.array(row["motion_weights"], np.float16)
        assert np.array_equal(weights, read_cell(MOTION.field("motion_weights"), cells["motion_weights"]))
        assert (row["label"], row["text"]) == (FORMULA, "The lips part.")


def test_webdataset_reads_the_shards(corpus: Corpus, tmp_path: Path) -> None:
    webdataset = importlib.import_module("webdataset")
    out = tmp_path / "out"
    made = export_webdataset(corpus, out, WHY, shard_bytes=1)
    checked(out)
    assert made.files == {
        "test-000000.tar": 1,
        "test-000001.tar": 1,
        "train-000000.tar": 1,
        "train-000001.tar": 1,
        "unsplit-000000.tar": 1,
        "validation-000000.tar": 1,
    }
    shards = str(out / "test-{000000..000001}.tar")
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    cells = {row["clip_id"]: row for row in corpus.arrow("motion").to_pylist()}
    assert {sample["__key__"] for sample in samples} == {TRACKS[2].clip_id(0), TRACKS[2].clip_id(1)}
    for sample in samples:
        row = cells[sample["__key__"]]
        assert np.array_equal(sample["frames.npy"], read_cell(MOTION.field("frames"), row["frames"]))
        assert sample["motion.npy"].dtype == np.float16 and sample["motion.npy"].shape == (16, 14, 14)
        assert (sample["json"]["label"], sample["json"]["track_id"]) == (FORMULA, "v2-a")
        assert len(sample["json"]["times_s"]) == 16
    with tarfile.open(out / "train-000000.tar") as shard:
        assert [member.mtime for member in shard] == [0, 0, 0], "the same snapshot gives the same bytes"
    again = export_webdataset(corpus, tmp_path / "again", WHY, shard_bytes=1)
    assert again.files == made.files
    for name in made.files:
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_csv_defuses_formulas_and_gives_all_back(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = export_csv(corpus, out, without_licence=WHY)
    checked(out)
    for path in out.glob("*.csv"):
        for row in csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"))):
            for name, cell in row.items():
                assert not cell.startswith(DANGEROUS) or _is_number(cell), f"{path.name} {name}: {cell!r}"
    videos = {row["path"]: row for row in csv.DictReader((out / "videos.csv").open(encoding="utf-8", newline=""))}
    assert videos["v2.mp4"]["label"] == f"'{FORMULA}" and as_it_was(videos["v2.mp4"]["label"]) == FORMULA
    assert as_it_was(videos["v3.mp4"]["label"]) is None
    texts = list(csv.DictReader((out / "descriptions.csv").open(encoding="utf-8", newline="")))
    kept = {row["text"] for row in corpus.arrow("descriptions", ["text"]).to_pylist()}
    assert {as_it_was(row["text"]) for row in texts} == kept
    assert all(json.loads(row["claims"]) == [] for row in texts)
    assert "frames" in made.left_out["motion"] and made.rows["motion"] == 6
    meanings = list(csv.DictReader((out / "columns.csv").open(encoding="utf-8", newline="")))
    assert {one["table"] for one in meanings} == set(made.rows)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@given(st.text())
def test_every_text_comes_back_from_a_csv_cell(text: str) -> None:
    cell = defused(text)
    assert cell and not cell.startswith(DANGEROUS)
    assert as_it_was(cell) == text
    file = io.StringIO(newline="")
    csv.writer(file).writerow([cell, "end"])
    assert next(csv.reader(io.StringIO(file.getvalue(), newline=""))) == [cell, "end"]


def test_the_card_counts_what_went_out_and_the_hub_can_read_its_head(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_huggingface(corpus, out, without_licence="so | said <!-- the board")
    read = head(out)
    assert read["configs"][0]["data_files"] == [
        {"split": split, "path": f"data/{split}-*.parquet"} for split in ("train", "validation", "test", "unsplit")
    ]
    assert (read["license"], read["size_categories"]) == ("other", ["n<1K"])
    text = (out / "README.md").read_text(encoding="utf-8")
    assert "| happiness | 1 | 0 | 0 | 0 | 25.0 % |" in text
    assert "**4 videos lack a licence or a consent.**" in text and "so \\| said &lt;!-- the board" in text
    assert "| =cmd\\|' /C calc'!A0 |" in text
    for section in ("## Licences", "### Language models", "### Prompts", "## Known weaknesses", "**Fallbacks**"):
        assert section in text
    card = importlib.import_module("huggingface_hub").DatasetCard.load(out / "README.md")
    assert card.data.to_dict()["license"] == "other"


@pytest.mark.parametrize("write", [export_parquet, export_csv, export_huggingface, export_webdataset, export_text_only])
def test_no_format_lets_an_unlicensed_video_out(corpus: Corpus, tmp_path: Path, write: Any) -> None:
    if write is not export_text_only:  # which asks first whether the snapshot says how it was made
        with pytest.raises(LicenceError, match="of 4 videos 4 lack a licence"):
            write(corpus, tmp_path / "out")
    else:
        with pytest.raises(ExportError, match="does not say how it was made"):
            write(corpus, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_two_splits_of_one_name(tmp_path: Path) -> None:
    made = [MadeTrack("a", split="fold 1"), MadeTrack("b", split="fold-1")]
    corpus = Corpus(write_clip_corpus(tmp_path / "corpus", made))
    with pytest.raises(ExportError, match="'fold 1' and 'fold-1' would both be called 'fold_1'"):
        export_huggingface(corpus, tmp_path / "out", without_licence=WHY)


class TestCommand:
    def run(self, *arguments: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["export", *map(str, arguments)])
        return done.exit_code, " ".join(done.output.replace("│", " ").split())

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--format", "hugingface"), "no format 'hugingface'; did you mean 'huggingface'?"),
            (("--format", "tfrecord"), "there are: parquet, huggingface, webdataset, csv"),
            (("--format", "webdataset", "--tables", "videos"), "webdataset has no tables to choose from"),
            (("--with", "frames"), "belongs to --format huggingface"),
            (("--format", "csv", "--text-only"), "goes with --format parquet"),
        ],
    )
    def test_what_does_not_go_together(
        self, corpus: Corpus, tmp_path: Path, arguments: tuple[str, ...], words: str
    ) -> None:
        code, told = self.run(tmp_path / "out", "--root", corpus.store.root, *arguments)
        assert code == 2 and words in told, told
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("form", ["huggingface", "webdataset", "csv", "parquet"])
    def test_it_says_what_went_out(self, corpus: Corpus, tmp_path: Path, form: str) -> None:
        out = tmp_path / "out"
        code, told = self.run(out, "--root", corpus.store.root, "--format", form, "--without-licence", WHY)
        assert code == 0 and "exported snapshot 1" in told and "4 videos lack a licence" in told
        checked(out)
        assert head(out)["configs"]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may be larger than 1 MB, as on a disk that is full after that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("form", ["parquet", "webdataset", "huggingface"])
def test_a_full_disk_leaves_nothing(corpus: Corpus, tmp_path: Path, form: str, small_files: None) -> None:
    more = ["--with", "frames"] if form == "huggingface" else []
    arguments = ["export", str(tmp_path / "out"), "--root", str(corpus.store.root), "--format", form, *more]
    done = CliRunner().invoke(app, [*arguments, "--without-licence", WHY])
    assert done.exit_code == 1, done.output
    assert "nothing of the export to" in done.output and "with more room" in done.output
    assert not list(tmp_path.iterdir())


def test_no_space_is_told_whoever_says_it(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folders, "_write_checksums", full)
    arguments = ["export", str(tmp_path / "out"), "--root", str(corpus.store.root), "--without-licence", WHY]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1 and "no space left on the disk: nothing of the export" in done.output
    assert not list(tmp_path.iterdir())


def test_a_killed_export_is_no_export_and_the_next_one_clears_it(corpus: Corpus, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from pipeline.export.folder import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])) as out:\n"
        "    (out / 'half').write_text('half'); print('at it', flush=True); time.sleep(60)"
    )
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "at it\n"
        with pytest.raises(ExportError, match="another export writes to .*out now: wait for its end"):
            export_parquet(corpus, out, ["videos"], WHY)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not out.exists() and (tmp_path / ".out.partial" / "half").exists()
    export_parquet(corpus, out, ["videos"], WHY)
    assert not (tmp_path / ".out.partial").exists() and not (out / "half").exists()


def test_the_lock_of_a_folder_ends_with_its_writer(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "out"):
        raise ZeroDivisionError
    began = time.monotonic()
    with whole_folder(tmp_path / "out") as out:
        (out / "file").write_text("whole")
    assert (tmp_path / "out" / "file").read_text() == "whole" and time.monotonic() - began < 5
