"""A real vLLM server with a vision-language model, shown real key frames. The model is tiny and its weights random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import platformdirs
import pyarrow as pa
import pytest

from pipeline.descriptions.ask import Reply, Request, RequestRefused, ask_all
from pipeline.descriptions.evidence import Evidence, EvidenceEvent
from pipeline.descriptions.keyframes import choose_key_times, key_frames, see_request
from pipeline.descriptions.server import EmbeddedServer, ServerSettings
from pipeline.tracks.config import TrackConfig
from pipeline.tracks.extract import extract_tracks
from pipeline.tracks.stage import open_networks
from pipeline.videos.frames import probe, read_frames
from tests.descriptions.tiny_vision_model import TOKENS_PER_IMAGE, WORDS, write_tiny_vision_model

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(420)]

READY_TIMEOUT_S = 280.0
MAX_IMAGES = 8
MODEL = "tiny-vision"
MAX_TOKENS = 24


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The OpenAI address of the served model."""
    settings = ServerSettings(
        write_tiny_vision_model(tmp_path_factory.mktemp("model")),
        MODEL,
        platformdirs.user_cache_path("facescribe") / "tests" / "vllm",
        tmp_path_factory.mktemp("log") / "server.log",
        max_images=MAX_IMAGES,
        more_arguments=("--load-format", "dummy"),
    )
    with EmbeddedServer(settings) as server:
        server.wait_until_ready(READY_TIMEOUT_S)
        yield server.address


Shown = Callable[[int], Request]


@pytest.fixture(scope="module")
def shown(assets: Callable[[str], Path]) -> Shown:
    """The request with that many key frames of single_face.mp4: a man, neutral at first, smiles broadly and stops."""
    path = assets("single_face.mp4")
    reader = partial(read_frames, path, probe(path).decoder)
    with extract_tracks(reader, open_networks(TrackConfig()), TrackConfig()) as extraction:
        (track,) = extraction.tracks
        crops = pa.array(extraction.crops_jpeg(track))
    times_s = track.times_s.tolist()
    smile = EvidenceEvent(
        action="lip_corner_raise", side="both", onset_s=0.4, apex_s=1.2, offset_s=2.3, peak=0.9, intensity="strong"
    )
    evidence = Evidence(duration_s=times_s[-1] - times_s[0], events=(smile,))

    def shown(num_frames: int) -> Request:
        key_times_s = choose_key_times(evidence, at_least=num_frames, at_most=num_frames)
        frames = key_frames(crops, times_s, key_times_s, evidence)
        assert len(frames) == num_frames
        return see_request(frames, model=MODEL, max_tokens=MAX_TOKENS)

    return shown


def ask(address: str, *requests: Request) -> list[Any]:
    answers = dict(ask_all(requests, address=address, concurrency=2))
    return [answers[position] for position in range(len(requests))]


def test_it_sees_every_frame_and_answers(address: str, shown: Shown) -> None:
    four, eight, again = ask(address, shown(4), shown(8), shown(4))
    for reply in (four, eight):
        assert isinstance(reply, Reply)
        assert reply.finish_reason in {"stop", "length"}
        assert 1 <= reply.completion_tokens <= MAX_TOKENS
        assert reply.text.split()
        assert set(reply.text.split()) <= set(WORDS), "only what the model knows"
    assert again == four
    assert four.prompt_tokens > 4 * TOKENS_PER_IMAGE
    assert eight.prompt_tokens - four.prompt_tokens >= 4 * TOKENS_PER_IMAGE


def test_more_images_than_the_server_allows_are_refused_in_its_words(address: str, shown: Shown) -> None:
    refused, answered = ask(address, shown(MAX_IMAGES + 1), shown(4))
    assert isinstance(refused, RequestRefused)
    assert "HTTP 400" in str(refused)
    assert "At most 8 image(s)" in str(refused)
    assert isinstance(answered, Reply), "one request that is refused stops no other"
