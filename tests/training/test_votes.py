"""Votes of the corpus and votes of a table: which distribution each video is learnt against."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pipeline import snapshot as snapshots
from pipeline.store import Receipt, Store
from pipeline.training.clips import ClipList, list_clips
from pipeline.training.config import LossConfig, TrainConfigError
from pipeline.training.votes import votes_of
from schemas.videos import VIDEOS
from tests.clip_corpus import MadeTrack, write_clip_corpus

LABELS = ("happiness", "fear")
TRACKS = [MadeTrack(name) for name in ("a", "b", "c", "d")]


def id_of(video: str) -> str:
    return hashlib.sha256(video.encode()).hexdigest()[:32]


@pytest.fixture
def make_clips(tmp_path: Path) -> Any:
    """The clips of a corpus whose videos have these votes."""

    def make(votes: dict[str, dict[str, float]]) -> ClipList:
        root = write_clip_corpus(tmp_path / "corpus", TRACKS)
        store = Store.open(root)
        newest = snapshots.newest(store)
        assert newest is not None
        receipts = []
        for receipt in newest.receipts:
            if VIDEOS.name not in receipt.files:
                receipts.append(receipt)
                continue
            rows = store.read(receipt.files[VIDEOS.name]).to_pylist()
            for row in rows:
                said = votes.get(row["path"].removesuffix(".mp4"))
                row["votes"] = said and [{"label": label, "votes": count} for label, count in said.items()]
            with store.writer(VIDEOS, receipt.bucket, {"with": "votes"}) as writer:
                writer.append(VIDEOS.rows(rows))
            assert writer.file is not None
            receipts.append(
                Receipt(
                    stage=receipt.stage,
                    bucket=receipt.bucket,
                    key="voted",
                    files={VIDEOS.name: writer.file},
                    num_units=receipt.num_units,
                )
            )
        snapshots.commit(store, receipts, parent=newest, source="made", config={}, software={})
        return list_clips(root)

    return make


def test_votes_of_the_corpus_are_those_for_the_classes_by_our_names(make_clips: Any) -> None:
    clips = make_clips({"a": {"Happy": 7, "fear": 2, "calm": 1}, "b": {"calm": 10}, "c": {"fearful": 1.5}})
    assert votes_of(True, clips, LABELS) == {id_of("a"): [7.0, 2.0], id_of("c"): [0.0, 1.5]}


def test_a_corpus_without_votes_is_told_what_to_do(make_clips: Any) -> None:
    with pytest.raises(TrainConfigError, match="has votes for happiness, fear: build from a data set or a manifest"):
        votes_of(True, make_clips({}), LABELS)


def test_a_table_of_votes_is_read_as_ever(make_clips: Any, tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text("path,happiness,fear\na.mp4,3,1\n")
    assert votes_of(tmp_path / "votes.csv", make_clips({}), LABELS) == {id_of("a"): [3.0, 1.0]}
    assert votes_of(None, make_clips, LABELS) == {}


def test_a_config_says_true_or_a_path_and_a_path_enters_the_key_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text("path,happiness,fear\na.mp4,3,1\n")
    config = LossConfig.model_validate({"votes": str(tmp_path / "votes.csv")})
    assert config.votes == tmp_path / "votes.csv"
    assert set(config.hashes_of_files()) == {"votes"}
    assert LossConfig.model_validate({"votes": True}).votes is True
    assert LossConfig.model_validate({"votes": True}).hashes_of_files() == {}
    assert LossConfig.model_validate_json(LossConfig(votes=True).model_dump_json()).votes is True
    assert LossConfig.model_validate_json(config.model_dump_json()) == config
