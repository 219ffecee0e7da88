"""Drafts with what a vision-language model saw: handed on with everything it was made with, and believed by nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.descriptions.draft_stage import DraftConfig, VisionConfig
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.videos.sources import source_folder
from pipeline.walk import WALK, BuildConfig, open_walk
from tests.answer_server import MODEL, SEEN, AnswerServer, answering

VISION = VisionConfig(model=MODEL, model_revision="1", model_licence="Apache-2.0")


def build(source: Path, root: Path, server: AnswerServer, vision: VisionConfig | None) -> Corpus:
    descriptions = BuildConfig().descriptions.model_copy(update={"model": MODEL})
    config = BuildConfig(drafts=DraftConfig(vision=vision), descriptions=descriptions)
    store = Store.open_or_create(root, 2)
    walk = open_walk(store, source, config)
    resources = Resources(source=source_folder(source), server=server.address, answers=store.answers)
    for stage in WALK:
        for bucket in walk.take_settled(stage):
            walk.run(stage, bucket, resources)
    walk.commit(source)
    return Corpus(root)


@pytest.mark.timeout(180)
def test_key_frames_are_shown_and_what_is_said_of_them_is_kept_beside_the_draft(
    tmp_path: Path, assets: Callable[[str], Path]
) -> None:
    clip, root = assets("single_face.mp4"), tmp_path / "corpus"
    with answering() as server:
        corpus = build(clip, root, server, VISION)
        (draft,) = corpus.arrow("drafts").to_pylist()
        assert draft["seen_text"] == SEEN and draft["seen_asked"]["prompt"] == "see_1"
        assert 4 <= len(draft["seen_frames_s"]) <= 8 and draft["seen_frames_s"] == sorted(draft["seen_frames_s"])
        (asked,) = [body for body in server.requests if not isinstance(body["messages"][-1]["content"], str)]
        shown = [part for part in asked["messages"][-1]["content"] if part["type"] == "image_url"]
        assert len(shown) == len(draft["seen_frames_s"])
        assert all(part["image_url"]["url"].startswith("data:image/jpeg;base64,") for part in shown)

        # The template's text does not depend on it, and nothing of it comes into the description unchecked.
        (text,) = corpus.arrow("descriptions").to_pylist()
        assert "laugh" not in draft["text"] + text["text"] and text["status"] == "refined"

        # Asked once; without the section no picture is shown, and the draft is made without one.
        server.requests.clear()
        assert build(clip, root, server, VISION).snapshot.number == 1 and not server.requests
        (plain,) = build(clip, root, server, None).arrow("drafts").to_pylist()
        assert plain["seen_text"] is None and plain["text"] == draft["text"]
        assert not any(not isinstance(body["messages"][-1]["content"], str) for body in server.requests)

        # Another prompt shows them again; a server that is away is a passing refusal.
        away = VISION.model_copy(update={"max_frames": 5})
        store = Store.open(root)
        walk = open_walk(store, clip, BuildConfig(drafts=DraftConfig(vision=away)))
        for stage in WALK:
            buckets = walk.take_settled(stage)
            if stage.name == "draft_descriptions":
                gone = Resources(source=source_folder(clip), server="http://127.0.0.1:9/v1", request_attempts=1)
                (result,) = [walk.run(stage, bucket, gone) for bucket in buckets]
                assert result.receipt.num_transient == 1 and not result.receipt.is_settled
                break
