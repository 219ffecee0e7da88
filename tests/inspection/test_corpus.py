"""A corpus opens as dataframes, and its files open in everything that reads Parquet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.descriptions.duplicates import DescribedText, DuplicateAlarm
from pipeline.inspection.corpus import Corpus
from pipeline.walk import BuildConfig, Walk, open_walk
from schemas.corpus import TABLES
from tests.real_corpus import build_without_scheduler


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, assets: Callable[[str], Path]) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    build_without_scheduler(assets("single_face.mp4"), folder / "root")
    return Corpus(folder / "root")


def test_descriptions_have_the_draft_beside_the_text_and_name_their_video(corpus: Corpus) -> None:
    (row,) = corpus.descriptions().to_dict(orient="records")
    assert row["path"] == "single_face.mp4"
    assert row["status"] in {"refined", "fallback"}
    assert "lip corners" in row["draft"]
    assert row["label"] is None or pd.isna(row["label"])
    assert not row["saw_label"]


def test_tracks_actions_and_blendshapes_agree(corpus: Corpus) -> None:
    (track,) = corpus.tracks().to_dict(orient="records")
    curves = corpus.blendshapes(track["track_id"])
    assert curves.shape == (72, 52)
    assert list(curves.index) == list(track["times_s"])
    smile = curves["mouthSmileLeft"]
    assert smile.iloc[:12].max() < 0.2 < 0.6 < smile.iloc[-12:].median()
    (actions,) = corpus.actions().to_dict(orient="records")
    assert "lip_corner_raise" in {event["action"] for event in actions["events"]}


def test_motion_gives_arrays_and_a_limit_loads_no_more(corpus: Corpus) -> None:
    (clip,) = corpus.motion(limit=1).to_dict(orient="records")
    assert (clip["frames"].shape, clip["frames"].dtype) == ((16, 224, 224, 3), np.uint8)
    assert (clip["motion_weights"].shape, clip["motion_weights"].dtype) == ((16, 14, 14), np.float16)
    assert 0 < clip["motion_weights"].max() <= 1
    assert clip["is_motion_known"].tolist() == [1] * 16
    assert (np.diff(clip["times_s"]) > 0).all()
    assert len(corpus.motion(limit=0)) == 0


def test_the_mouth_moves_more_than_the_forehead_when_a_smile_begins(corpus: Corpus) -> None:
    weights = corpus.motion(limit=1)["motion_weights"][0].astype(np.float32)
    assert weights[:, 8:11, 4:10].mean() > 1.5 * weights[:, 1:4, 4:10].mean()


def test_an_empty_table_keeps_its_columns(corpus: Corpus) -> None:
    assert list(corpus.rejects().columns) == [field.name for field in TABLES["rejects"].columns]
    assert corpus.files("rejects") == []
    assert corpus.sql("select count(*) as n from reviews")["n"].tolist() == [0]


def test_pandas_duckdb_polars_and_hugging_face_open_the_files(corpus: Corpus, tmp_path: Path) -> None:
    import datasets
    import duckdb
    import polars

    files: Any = corpus.files("descriptions")
    text = corpus.descriptions()["text"].tolist()
    assert pd.read_parquet(files)["text"].tolist() == text
    assert duckdb.execute("select text from read_parquet($1)", [files]).df()["text"].tolist() == text
    assert polars.read_parquet(files)["text"].to_list() == text
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert loaded["text"] == text


def test_every_table_is_there_in_sql(corpus: Corpus) -> None:
    for name in TABLES:
        assert corpus.sql(f"select count(*) as n from {name}")["n"][0] == corpus.snapshot.counts[name]


def test_units_and_meanings_travel_in_the_files(corpus: Corpus) -> None:
    import pyarrow.parquet as pq

    field = pq.read_schema(corpus.files("tracks")[0]).field("times_s")
    assert field.metadata[b"unit"] == b"second"
    assert field.metadata[b"meaning"].startswith(b"presentation time")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda corpus: corpus.files("trakcs"), "no table 'trakcs'; the tables are: sources, videos"),
        (lambda corpus: corpus.blendshapes("nobody"), "no measured track nobody"),
        (lambda corpus: Corpus(corpus.store.root, 9), "no snapshot 9 .* there are: 1"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(corpus: Corpus, ask: Callable[[Corpus], object], words: str) -> None:
    with pytest.raises(KeyError, match=words):
        ask(corpus)


def test_the_python_of_the_readme_runs_as_printed(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (block,) = (part.partition("```")[0] for part in readme.split("```python\n")[1:])
    assert '"data/corpus"' in block
    names: dict[str, Any] = {}
    exec(block.replace('"data/corpus"', repr(str(corpus.store.root))), names)
    assert names["curves"].shape[1] == 52
    assert len(names["clips"]) == 1


def test_texts_of_a_split_are_those_of_its_videos(corpus: Corpus) -> None:
    (row,) = corpus.texts_of_split(None).to_dict(orient="records")
    assert row["text"] and not row["saw_label"] and row["path"] == "single_face.mp4"
    assert corpus.texts_of_split("train").empty


def test_texts_that_are_all_alike_are_not_committed(
    corpus: Corpus, assets: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = [DescribedText(str(n), "Both lip corners rise.", "refined", (("jaw_drop", str(n)),)) for n in range(20)]
    monkeypatch.setattr(Walk, "_texts", lambda _: alike)
    walk = open_walk(corpus.store, assets("single_face.mp4"), BuildConfig())
    with pytest.raises(DuplicateAlarm, match="20 of 20 refined texts"):
        walk.commit(Path("anywhere"))
    assert corpus.store.snapshot_numbers() == [1]
    assert walk.commit(Path("anywhere"), max_duplicate_share=1.0).number == 2
