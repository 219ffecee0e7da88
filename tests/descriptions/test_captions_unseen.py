"""What people wrote of a clip is a reference to score texts against: no request to any model ever holds it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.audit.texts import captions_of
from pipeline.descriptions.canary import ask_canaries
from pipeline.descriptions.draft_stage import DraftConfig, VisionConfig
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.videos.sources import source_folder
from pipeline.videos.stage import PROBE_VIDEOS
from pipeline.walk import WALK, BuildConfig, open_walk
from schemas.videos import SOURCES, VIDEOS
from tests.answer_server import MODEL, AnswerServer, answering

SECRET = "quizzacious"
"""A word that nothing else says."""


def test_no_stage_but_the_one_that_copies_annotations_is_given_captions() -> None:
    given = {
        stage.name: [read.table.name for read in stage.reads if "captions" in read.columns]
        for stage in WALK
        if any("captions" in read.columns for read in stage.reads)
    }
    assert given == {PROBE_VIDEOS.name: [SOURCES.name]}
    assert "captions" in {field.name for field in VIDEOS.columns}


def build(source: Path, root: Path, server: AnswerServer, annotations: Path) -> Corpus:
    """Every writer there is: drafts with a vision-language model's words, texts with the label in view."""
    vision = VisionConfig(model=MODEL, model_revision="1", model_licence="Apache-2.0")
    config = BuildConfig(drafts=DraftConfig(vision=vision), descriptions=descriptions())
    store = Store.open_or_create(root, 2)
    walk = open_walk(store, source, config, annotations)
    resources = Resources(source=source_folder(source), server=server.address, answers=store.answers)
    for stage in WALK:
        for bucket in walk.take_settled(stage):
            walk.run(stage, bucket, resources)
    walk.commit(source)
    return Corpus(root)


def descriptions() -> Any:
    return BuildConfig().descriptions.model_copy(update={"model": MODEL, "label": "train", "prompt": "claims_2"})


def annotated(path: Path, **said: str) -> Path:
    row: Mapping[str, str] = {"path": "single_face.mp4", "label": "happiness", "split": "train", **said}
    path.write_text(f"{','.join(row)}\n{','.join(row.values())}\n", encoding="utf-8")
    return path


@pytest.mark.timeout(180)
def test_a_caption_is_in_the_corpus_and_in_no_request(tmp_path: Path, assets: Callable[[str], Path]) -> None:
    clip, root = assets("single_face.mp4"), tmp_path / "corpus"
    table = annotated(tmp_path / "said.csv", caption_en=f"A {SECRET} man smiles", caption_zh=f"{SECRET} 一名男子")
    with answering() as server:
        corpus = build(clip, root, server, table)
        (listed,) = captions_of(corpus).values()
        assert {one["language"] for one in listed} == {"en", "zh"} and all(SECRET in one["text"] for one in listed)

        shown = [body for body in server.requests if not isinstance(body["messages"][-1]["content"], str)]
        written = [body for body in server.requests if isinstance(body["messages"][-1]["content"], str)]
        assert shown and written and "happiness" in json.dumps(written), "the label is in view here, and no caption"
        store = Store.open(root)
        night = ask_canaries(store, corpus.snapshot, descriptions(), Resources(server=server.address))
        assert night.num_asked == 1, night.skipped
        assert SECRET not in json.dumps(server.requests, ensure_ascii=False)
        for name in ("drafts", "descriptions"):
            assert SECRET not in str(corpus.arrow(name).to_pylist())
        journalled = [file for file in root.rglob("*") if file.is_file() and "answers" in file.parts]
        assert not [file for file in journalled if SECRET.encode() in file.read_bytes()]

        # Another caption is another row of the video, and nothing that was written from the face is asked again.
        server.requests.clear()
        other = annotated(tmp_path / "other.csv", caption_en=f"A {SECRET} man weeps")
        again = build(clip, root, server, other)
        assert again.snapshot.number == 2 and not server.requests
        assert "weeps" in str(captions_of(again))
