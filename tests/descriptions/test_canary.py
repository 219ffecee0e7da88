"""Canaries: the same questions every night, so that noise of the engine is told from a changed model."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import snapshot as snapshots
from pipeline.audit.canaries import NOISE, Canaries, canaries
from pipeline.descriptions.canary import CanaryNight, ask_canaries
from pipeline.descriptions.refine_stage import RefineConfig
from pipeline.stage import Resources
from pipeline.store import Store
from schemas.canary import CANARY
from tests.answer_server import MODEL, AnswerServer, answering, join_notes
from tests.real_corpus import build_without_scheduler

CONFIG = RefineConfig(model=MODEL, model_revision="first", engine="by hand 1")

Ask = Callable[..., CanaryNight]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """A corpus with two described tracks."""
    root = tmp_path_factory.mktemp("canary") / "corpus"
    build_without_scheduler(clips, root)
    return root


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Store:
    return Store.open(Path(shutil.copytree(built, tmp_path / "corpus")))


@pytest.fixture
def answers() -> Iterator[AnswerServer]:
    with answering() as server:
        yield server


@pytest.fixture
def ask(store: Store, answers: AnswerServer) -> Ask:
    """One night of the newest snapshot."""

    def one_night(config: RefineConfig = CONFIG, num_canaries: int = 20, **how: Any) -> CanaryNight:
        newest = snapshots.newest(store)
        assert newest is not None
        resources = Resources(**{"server": answers.address, "request_attempts": 1, **how})
        return ask_canaries(store, newest, config, resources, num_canaries)

    return one_night


def rows(store: Store, night: int) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = CANARY.conform(store.read_canaries(night)).to_pylist()
    return listed


def said(text: str) -> Callable[[dict[str, Any]], str]:
    return lambda request: json.dumps({"description": text})


def test_the_first_night_freezes_what_the_stage_would_ask_and_judges_as_it_does(store: Store, ask: Ask) -> None:
    night = ask()
    assert (night.night, night.num_asked, night.num_accepted, len(night.added)) == (1, 2, 2, 2)
    newest = snapshots.newest(store)
    assert newest is not None
    stored = [row for file in newest.files("descriptions") for row in store.read(file).to_pylist()]
    answered = {row["track_id"]: (row["asked"][0]["raw_answer"], row["text"]) for row in stored}
    assert {row["track_id"]: (row["raw_answer"], row["text"]) for row in rows(store, 1)} == answered


def test_every_night_asks_the_same_bytes_whatever_became_of_prompt_and_config(
    store: Store, ask: Ask, answers: AnswerServer
) -> None:
    ask()
    other = CONFIG.model_copy(update={"prompt": "claims_2", "max_claims": 3, "temperature": 0.7, "max_notes": 1})
    night = ask(other.model_copy(update={"model_revision": "second"}))
    first, second = answers.requests[:2], answers.requests[2:]
    assert sorted(map(json.dumps, first)) == sorted(map(json.dumps, second))
    assert (night.night, night.added, night.gone) == (2, [], [])
    assert {row["canary_id"] for row in rows(store, 1)} == {row["canary_id"] for row in rows(store, 2)}
    assert {row["model_revision"] for row in rows(store, 2)} == {"second"}


def test_no_answer_is_taken_from_the_journal_or_put_into_it(store: Store, ask: Ask, answers: AnswerServer) -> None:
    ask(answers=store.answers)
    ask(answers=store.answers)
    assert len(answers.requests) == 4
    assert not store.has_answers()


def test_another_answer_of_the_same_model_is_noise_and_of_another_is_the_model(
    store: Store, ask: Ask, answers: AnswerServer
) -> None:
    def compared(before: int, after: int) -> Canaries:
        return canaries(store, before, after)

    ask()
    ask()
    answers.answer = lambda request: join_notes(request) + " "
    ask()
    found = compared(0, 1)
    assert (found.noise.hits, found.noise.asked, found.noise_accepted.hits) == (2, 4, 0)
    assert [one.because for one in found.others] == [NOISE, NOISE]
    assert found.model_change is None

    store.create_snapshot(2, store.read_snapshot(1).decode().replace('"number": 1,', '"number": 2,'))
    answers.answer = said("The person is happy.")
    ask(CONFIG.model_copy(update={"model_revision": "second"}))
    found = compared(1, 2)
    assert (found.noise.hits, found.noise.asked) == (2, 4), "a changed model is no noise"
    assert found.model_change == "model_revision: first -> second"
    assert (found.model_effect.hits, found.model_accepted.hits, found.model_effect.asked) == (2, 2, 2)
    assert {(one.after, one.status_after) for one in found.others} == {("The person is happy.", "prose_forbidden_word")}
    assert compared(0, 1).nights == found.nights[:3], "later nights are not known to an earlier snapshot"


def test_a_server_that_is_away_skips_the_night_and_says_so(store: Store, ask: Ask) -> None:
    night = ask(server="http://127.0.0.1:9/v1")
    assert night.night is None and "no answer from http://127.0.0.1:9/v1" in night.in_words()[0]
    assert store.canary_nights() == []
    assert ask().night == 1


def test_a_server_of_another_model_skips_the_night(store: Store, ask: Ask) -> None:
    night = ask(CONFIG.model_copy(update={"model": "someone-else"}))
    assert night.skipped is not None and "serves by-rule, expected someone-else" in night.skipped
    assert store.canary_nights() == []


def test_a_canary_that_gets_no_answer_one_night_is_asked_again_the_next(
    store: Store, ask: Ask, answers: AnswerServer
) -> None:
    ask()
    broken = rows(store, 1)[0]["request"]

    def fail_on_one(request: dict[str, Any]) -> str:
        if request["messages"] == json.loads(broken)["messages"]:
            raise ConnectionAbortedError
        return join_notes(request)

    answers.answer = fail_on_one
    night = ask()
    assert (night.num_asked, night.num_failed, len(night.failures)) == (2, 1, 1)
    assert [row["raw_answer"] is None for row in rows(store, 2)] == [
        row["failure"] is not None for row in rows(store, 2)
    ]
    answers.answer = join_notes
    assert ask().num_failed == 0
    assert (canaries(store, 0, 1).noise.hits, canaries(store, 0, 1).noise.asked) == (0, 3)


def test_an_answer_that_cannot_be_judged_is_kept_and_told(store: Store, ask: Ask) -> None:
    night = ask(CONFIG.model_copy(update={"text_encoder": "a/tokenizer/that/left.json"}))
    assert (night.num_asked, night.num_failed, night.num_accepted) == (2, 2, 0)
    assert "could not be judged: no text encoder 'a/tokenizer/that/left.json'" in night.failures[0]
    assert all(row["raw_answer"] for row in rows(store, 1))


def test_a_canary_whose_video_left_is_replaced_and_told(store: Store, ask: Ask, clips: Path, tmp_path: Path) -> None:
    first = ask(num_canaries=1)
    (kept,) = rows(store, 1)
    source = Path(shutil.copytree(clips, tmp_path / "clips"))
    newest = snapshots.newest(store)
    assert newest is not None
    videos = {row["video_id"]: row["path"] for file in newest.files("videos") for row in store.read(file).to_pylist()}
    (source / videos[kept["video_id"]]).unlink()
    build_without_scheduler(source, store.root)
    second = ask(num_canaries=1)
    assert second.gone == first.added and len(second.added) == 1 and second.added != first.added
    assert second.in_words() == [
        "night 2: 1 canaries asked, 1 answers stood the check",
        "1 canaries left with their videos",
        "1 canaries are new",
    ]


def test_the_choice_is_the_same_each_time_and_the_set_grows_without_losing_any(store: Store, ask: Ask) -> None:
    newest = snapshots.newest(store)
    assert newest is not None
    tracks = [row["track_id"] for file in newest.files("descriptions") for row in store.read(file).to_pylist()]
    least = min(tracks, key=lambda track_id: hashlib.sha256(track_id.encode()).hexdigest())
    assert ask(num_canaries=1).added == [least]
    assert len(ask(num_canaries=2).added) == 1
    assert rows(store, 2)[0]["canary_id"] == rows(store, 1)[0]["canary_id"]
    assert ask(num_canaries=1).num_asked == 2, "a canary that was asked is asked for good"


def test_a_corpus_without_texts_has_no_canaries(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "notes.mp4").write_bytes(b"no video")
    build_without_scheduler(source, tmp_path / "corpus")
    store = Store.open(tmp_path / "corpus")
    newest = snapshots.newest(store)
    assert newest is not None
    assert ask_canaries(store, newest, CONFIG, Resources(server="http://127.0.0.1:9/v1")).in_words() == [
        "canaries were not asked: the corpus holds no described track"
    ]
