"""Clips are listed with the text of their own track, and texts that give the label away are not let through."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.descriptions.label_policy import LabelLeakError
from pipeline.inspection.corpus import Corpus
from pipeline.training.clips import ClipList, list_clips
from pipeline.training.manifest import TrainingError
from tests.clip_corpus import MadeTrack, write_clip_corpus
from tests.real_corpus import build_without_scheduler


def listed(root: Path, tracks: Sequence[MadeTrack], **how: str) -> ClipList:
    return list_clips(write_clip_corpus(root, tracks), **how)  # type: ignore[arg-type]


def test_a_real_corpus_is_listed_with_labels_and_texts(tmp_path: Path, clips: Path) -> None:
    said = tmp_path / "said.csv"
    said.write_text("path,label,split,group\nman/smile.mp4,happiness,train,man\ntalk.mp4,,test,other\n")
    build_without_scheduler(clips, tmp_path / "corpus", annotations=said)
    corpus = Corpus(tmp_path / "corpus")
    rows = list_clips(corpus).table.to_pylist()
    assert {(row["path"], row["label"], row["split"], row["group"]) for row in rows} == {
        ("man/smile.mp4", "happiness", "train", "man"),
        ("talk.mp4", None, "test", "other"),
    }
    texts = corpus.descriptions().set_index("track_id")
    for row in rows:
        assert row["text"] == texts.loc[row["track_id"], "text"] and row["draft"] == texts.loc[row["track_id"], "draft"]
        assert [claim["action"] for claim in row["claims"]] == [
            claim["action"] for claim in texts.loc[row["track_id"], "claims"]
        ]
        assert row["has_fallback"] == (texts.loc[row["track_id"], "status"] == "fallback")
        stored = pq.ParquetFile(corpus.store.root / row["file"]).read_row_group(row["row_group"], ["clip_id"])
        assert stored["clip_id"][row["row"]].as_py() == row["clip_id"]


def test_texts_go_with_their_track_whatever_the_order(tmp_path: Path) -> None:
    tracks = [MadeTrack(f"v{n}", num_clips=2, texts=(f"old {n}", f"text {n}")) for n in range(8)]
    clips = listed(tmp_path / "one", tracks)
    random.Random(0).shuffle(tracks)
    again = listed(tmp_path / "other", tracks)
    for row in again.table.to_pylist():
        assert (row["text"], row["text_version"]) == (f"text {row['track_id'][1]}", 2)
        assert row["draft"] == f"draft of {row['track_id']}"
    assert len(clips) == 16 and clips.table["clip_id"].to_pylist() == sorted(clips.table["clip_id"].to_pylist())
    assert clips.key == again.key
    assert clips.table["row_group"].to_pylist() != again.table["row_group"].to_pylist()


def test_another_text_or_label_is_another_list(tmp_path: Path) -> None:
    keys = {
        listed(tmp_path / "one", [MadeTrack("v")]).key,
        listed(tmp_path / "text", [MadeTrack("v", texts=("Another.",))]).key,
        listed(tmp_path / "label", [MadeTrack("v", label="sadness")]).key,
        listed(tmp_path / "more", [MadeTrack("v", num_clips=2)]).key,
    }
    assert len(keys) == 4


def test_a_track_without_a_text_keeps_its_clips(tmp_path: Path) -> None:
    (row,) = listed(tmp_path / "corpus", [MadeTrack("v", texts=())]).table.to_pylist()
    names = ("text_version", "text", "status", "claims", "saw_label", "has_fallback", "draft", "draft_claims")
    assert [row[name] for name in names] == [None] * len(names)


@pytest.mark.parametrize("split", ["test", "validation", None])
def test_a_text_that_saw_its_label_outside_of_train_is_refused(tmp_path: Path, split: str | None) -> None:
    listed(tmp_path / "train", [MadeTrack("v", saw_label=True)])
    with pytest.raises(LabelLeakError, match=r"1 texts were written by a model that saw the label .* of track v-a"):
        listed(tmp_path / "leak", [MadeTrack("v", split=split, saw_label=True), MadeTrack("w", split=split)])


def test_the_main_face_of_a_video_is_the_longest_then_the_largest(tmp_path: Path) -> None:
    tracks = [
        MadeTrack("two", "short", end_s=2.0, face_px=300),
        MadeTrack("two", "long", end_s=4.0, face_px=50),
        MadeTrack("same", "small", end_s=3.0, face_px=50),
        MadeTrack("same", "large", end_s=3.0, face_px=90),
        MadeTrack("gone", "longest without clips", end_s=9.0, num_clips=0),
        MadeTrack("gone", "a", end_s=1.0, num_clips=2),
    ]
    main = listed(tmp_path / "corpus", tracks).table["track_id"].to_pylist()
    assert sorted(main) == ["gone-a", "gone-a", "same-large", "two-long"]
    assert len(list_clips(tmp_path / "corpus", faces="all")) == 6


def test_a_face_that_was_cut_by_its_length_is_one_face(tmp_path: Path) -> None:
    cut = {"start_reason": "max_length", "end_reason": "max_length"}
    tracks = [
        MadeTrack("v", "a1", end_s=60.0, face_px=100, end_reason="max_length"),
        MadeTrack("v", "b1", end_s=60.0, face_px=40, end_reason="max_length"),
        MadeTrack("v", "a2", start_s=60.03, end_s=120.0, face_px=98, **cut),  # type: ignore[arg-type]
        MadeTrack("v", "b2", start_s=60.03, end_s=110.0, face_px=42, start_reason="max_length"),
        MadeTrack("v", "a3", start_s=120.03, end_s=121.0, face_px=102, start_reason="max_length"),
        MadeTrack("v", "c", start_s=0.0, end_s=100.0, face_px=500),
    ]
    clips = listed(tmp_path / "corpus", tracks)
    assert sorted(clips.table["track_id"].to_pylist()) == ["v-a1", "v-a2", "v-a3"]


def test_a_snapshot_without_clips_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"snapshot 1 of .*corpus has no training clips: `facescribe status` says"):
        listed(tmp_path / "corpus", [MadeTrack("v", num_clips=0)])
