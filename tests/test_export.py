"""Export: nothing goes out without licence and consent, and what goes out is whole and as it was."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.descriptions.label_policy import LabelLeakError
from pipeline.export.folder import ExportError
from pipeline.export.licence_policy import LicenceError, refuse_unlicensed
from pipeline.export.parquet import EXPORTED, export_parquet
from pipeline.inspection.corpus import Corpus
from pipeline.store import Store
from tests.real_corpus import build_without_scheduler
from tests.test_check import plant, with_value

WHY = "our own faces, for this test"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    root = tmp_path_factory.mktemp("export") / "corpus"
    said = root.parent / "said.csv"
    lines = ["path,split,licence,consent", *(f"{path},train,CC BY 4.0,signed" for path in ("talk.mp4", "room.mp4"))]
    said.write_text("\n".join([*lines, "man/smile.mp4,train,CC BY 4.0,signed"]))
    build_without_scheduler(clips, root, annotations=said)
    return root


@pytest.fixture
def corpus(original: Path, tmp_path: Path) -> Corpus:
    return Corpus(shutil.copytree(original, tmp_path / "corpus"))


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_goes_out_is_what_the_snapshot_holds(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    made = export_parquet(corpus, out)
    assert listed(out) == sorted([*EXPORTED, "README.md", "checksums.sha256", "export.json", "prompts"])
    for name in EXPORTED:
        assert made.rows[name] == corpus.arrow(name).num_rows > 0
        read = duckdb.connect().execute(f"select * from read_parquet('{out}/{name}/*.parquet') order by all").fetchall()
        assert read == corpus.connect().execute(f"select * from {name} order by all").fetchall()
    subprocess.run(["sha256sum", "--check", "--strict", "checksums.sha256"], cwd=out, check=True, capture_output=True)
    named = {line.split("  ")[1] for line in (out / "checksums.sha256").read_text().splitlines()}
    there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert there - named == {"checksums.sha256"}
    told = json.loads((out / "export.json").read_text())
    assert (told["snapshot"], told["without_licence"], told["num_videos_without_licence"]) == (1, None, 0)


@pytest.mark.parametrize(("column", "words"), [("licence", "1 lack a licence"), ("consent", "1 lack a consent")])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_video_without_licence_or_consent_stays(
    corpus: Corpus, tmp_path: Path, column: str, words: str, value: str | None
) -> None:
    plant(corpus.store, "probe_videos", "videos", with_value(column, value))
    corpus, out = Corpus(corpus.store.root), tmp_path / "out"
    with pytest.raises(LicenceError, match=f"of 3 videos {words}, the first is '.*mp4'.*--annotations FILE.*--without"):
        export_parquet(corpus, out)
    with pytest.raises(LicenceError):
        export_parquet(corpus, out, without_licence=" ")
    assert not out.exists()
    export_parquet(corpus, out, without_licence=WHY)
    told = json.loads((out / "export.json").read_text())
    assert (told["without_licence"], told["num_videos_without_licence"]) == (WHY, 1)


def test_tables_of_every_source_ask_for_the_licence_of_every_source(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(LicenceError, match="of 4 videos 1 lack a licence and 1 lack a consent, .* 'notes.mp4'"):
        export_parquet(corpus, tmp_path / "out", ["rejects"])


@pytest.mark.parametrize("table", ["drafts", "descriptions"])
def test_a_text_that_saw_its_label_goes_out_for_training_only(corpus: Corpus, tmp_path: Path, table: str) -> None:
    stage = {"drafts": "draft_descriptions", "descriptions": "refine_descriptions"}[table]
    plant(corpus.store, stage, table, with_value("saw_label", True))
    export_parquet(Corpus(corpus.store.root), tmp_path / "train")
    for row in range(3):
        plant(corpus.store, "probe_videos", "videos", with_value("split", "test", row))
    with pytest.raises(LabelLeakError, match="1 texts were written by a model that saw the label"):
        export_parquet(Corpus(corpus.store.root), tmp_path / "test")
    assert listed(export_folder := tmp_path) and not (export_folder / "test").exists()
    export_parquet(Corpus(corpus.store.root), tmp_path / "without texts", ["videos", "motion"])


def test_folders_that_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="full is not an empty folder: choose a new or an empty one"):
        export_parquet(corpus, full)
    with pytest.raises(ExportError, match="is not an empty folder"):
        export_parquet(corpus, full / "mine.txt")
    with pytest.raises(ExportError, match="lies in the corpus .*: choose a folder outside of it"):
        export_parquet(corpus, corpus.store.root / "exports" / "one")
    with pytest.raises(ExportError, match="no table 'moods'; the tables are: sources, videos"):
        export_parquet(corpus, tmp_path / "out", ["videos", "moods"])
    (tmp_path / "empty").mkdir()
    export_parquet(corpus, tmp_path / "empty", ["videos"])
    assert listed(full) == ["mine.txt"]


def test_a_failed_export_leaves_nothing(corpus: Corpus, tmp_path: Path) -> None:
    before = listed(tmp_path)
    corpus.store.remove(corpus.snapshot.files("motion")[-1].path)
    with pytest.raises(FileNotFoundError):
        export_parquet(corpus, tmp_path / "out")
    assert listed(tmp_path) == before


def test_the_gate_counts_what_it_let_pass() -> None:
    rows: list[Mapping[str, Any]] = [
        {"path": "a", "licence": "CC0", "consent": "public domain"},
        {"path": "b", "licence": None, "consent": "signed"},
        {"path": "b", "licence": None, "consent": "signed"},
    ]
    assert refuse_unlicensed(rows[:1]) == 0
    assert refuse_unlicensed(rows, "we may") == 2
    with pytest.raises(LicenceError, match="of 3 videos 2 lack a licence, the first is 'b'"):
        refuse_unlicensed(rows)


def test_the_store_was_not_changed(corpus: Corpus, tmp_path: Path) -> None:
    before = Store.open(corpus.store.root).stored()
    export_parquet(corpus, tmp_path / "out")
    assert Store.open(corpus.store.root).stored() == before


def test_a_killed_exports_leftover_goes_and_a_link_or_a_dot_is_what_it_leads_to(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / ".out.partial"
    (left / "videos").mkdir(parents=True)
    export_parquet(corpus, tmp_path / "out", without_licence="a test")
    assert not left.exists()
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    export_parquet(corpus, tmp_path / "link", without_licence="a test")
    assert (tmp_path / "real" / "export.json").exists()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export_parquet(corpus, Path(), without_licence="a test")
    assert (tmp_path / "here" / "export.json").exists()
    with pytest.raises(ExportError, match="no table was named"):
        export_parquet(corpus, tmp_path / "none", tables=(), without_licence="a test")
