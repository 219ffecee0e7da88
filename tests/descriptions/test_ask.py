from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.descriptions.ask import (
    AHEAD,
    Answer,
    AskSettings,
    Ended,
    Patience,
    Reply,
    Request,
    RequestRefused,
    ServerUnavailable,
    Talk,
    addresses_of,
    ask_all,
    converse,
    engine_version,
    list_models,
)
from pipeline.descriptions.fleet import FAILURES_TO_SET_ASIDE
from pipeline.descriptions.journal import AnswerJournal
from pipeline.stage import Resources
from tests.descriptions.fault_server import (
    ANSWER_FAULTS,
    INSTRUCTIONS,
    MODEL,
    TRANSIENT_FAULTS,
    Body,
    Fault,
    FaultServer,
    endless_whitespace,
    fault_server,
    in_turn,
    page,
    question_of,
    slowly,
    status,
    text,
)

HURRIED = Patience(timeout_s=5.0, max_attempts=3, first_pause_s=0.01, longest_pause_s=0.02)
SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}


def request(words: str = "hello", **fields: Any) -> Request:
    return Request(model="tiny", messages=[{"role": "user", "content": words}], **fields)


def requests(number: int) -> list[Request]:
    return [request(str(n)) for n in range(number)]


def ask(
    server_or_address: FaultServer | str,
    asked: Sequence[Request],
    *,
    concurrency: int = 4,
    patience: Patience = HURRIED,
    api_key: str | None = None,
) -> list[Answer]:
    address = server_or_address if isinstance(server_or_address, str) else server_or_address.address
    answering = ask_all(asked, address=address, concurrency=concurrency, api_key=api_key, patience=patience)
    answers = dict(answering)
    assert sorted(answers) == list(range(len(asked))), "each request is answered exactly once"
    return [answers[position] for position in range(len(asked))]


def asker_of(*servers: FaultServer, concurrency: int = 4, patience: Patience = HURRIED) -> AskSettings:
    return AskSettings(tuple(server.address for server in servers), concurrency, patience=patience)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# What is sent and what comes back


def test_what_is_sent_is_the_body_and_nothing_else() -> None:
    asked = request(json_schema=SCHEMA, max_tokens=99, temperature=0.5, top_p=0.9, seed=7)
    with fault_server() as server:
        ask(server, [asked], api_key="secret")
    assert server.bodies == [asked.body()]
    assert server.keys == ["Bearer secret"]
    assert json.loads(asked.canonical()) == asked.body()
    assert json.loads(asked.sampling()) == {"temperature": 0.5, "top_p": 0.9, "seed": 7, "max_tokens": 99}


def test_a_picture_travels_as_a_part_of_the_content() -> None:
    parts = [
        {"type": "text", "text": "what moves?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]
    with fault_server() as server:
        ask(server, [Request("tiny", [{"role": "user", "content": parts}])])
    assert server.bodies[0]["messages"] == [{"role": "user", "content": parts}]


def test_the_reply_says_what_the_server_said() -> None:
    with fault_server(answer=lambda _: "a smile") as server:
        assert ask(server, [request()]) == [Reply("a smile", "stop", 7, 3, "tiny")]


def test_the_canonical_form_keeps_the_order_of_a_schema() -> None:
    """Structured output is written in the order of the schema, so another order is another request."""
    turned = {"type": "object", "properties": dict(reversed(list(SCHEMA["properties"].items())))}  # type: ignore[attr-defined]
    assert request(json_schema=SCHEMA).canonical() != request(json_schema=turned).canonical()
    assert request(json_schema=SCHEMA).canonical() == request(json_schema=dict(SCHEMA)).canonical()
    assert "response_format" not in request().body()


def test_addresses_are_listed_with_commas() -> None:
    assert addresses_of("http://a/v1, http://b/v1/,http://a/v1,") == ("http://a/v1", "http://b/v1")


def test_settings_come_from_the_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    resources = Resources(server="http://a/v1,https://b/v1", api_key_variable="MY_KEY", concurrency=5)
    with pytest.raises(ValueError, match="MY_KEY is not set"):
        AskSettings.of(resources)
    monkeypatch.setenv("MY_KEY", "secret")
    settings = AskSettings.of(resources)
    assert (settings.addresses, settings.concurrency) == (("http://a/v1", "https://b/v1"), 5)
    assert settings.api_key == "secret"
    assert "secret" not in repr(settings)
    with pytest.raises(ValueError, match="facescribe serve"):
        AskSettings.of(Resources())
    for server in ("localhost:8000/v1", "http://a/v1,", ""):
        with pytest.raises(ValueError, match="expected an address such as"):
            Resources(server=server)


# Trouble


@pytest.mark.parametrize("fault", TRANSIENT_FAULTS)
def test_trouble_that_passes_is_tried_again(fault: str) -> None:
    patience = Patience(timeout_s=0.6, max_attempts=3, first_pause_s=0.01, longest_pause_s=0.02)
    with fault_server(in_turn(fault, fault, None)) as server:
        (answer,) = ask(server, [request()], patience=patience)
    assert isinstance(answer, Reply), answer
    assert answer.text == "fine"
    assert len(server.bodies) == 3


@pytest.mark.parametrize("fault", TRANSIENT_FAULTS)
def test_trouble_that_stays_is_unavailable_and_the_message_is_short(fault: str) -> None:
    patience = Patience(timeout_s=0.3, max_attempts=2, first_pause_s=0.01, longest_pause_s=0.02)
    began = time.monotonic()
    with fault_server(lambda _: fault) as server:
        (answer,) = ask(server, [request()], patience=patience)
    assert isinstance(answer, ServerUnavailable)
    assert len(str(answer)) < 900
    assert "<script>" not in str(answer) or fault == "html_page"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("fault", ANSWER_FAULTS)
def test_a_bad_answer_is_an_answer_and_the_checks_business(fault: str) -> None:
    with fault_server(lambda _: fault) as server:
        (answer,) = ask(server, [request()])
    assert isinstance(answer, Reply)
    assert len(server.bodies) == 1
    expected = {"null_text": "", "refusal_field": "", "instructions_text": INSTRUCTIONS}
    assert answer.text == expected.get(fault, answer.text)
    assert answer.finish_reason == ("length" if "length" in fault else "stop")


def test_trouble_that_stays_says_what_to_do() -> None:
    with fault_server(lambda _: "internal_error") as server:
        (answer,) = ask(server, [request()])
    assert isinstance(answer, ServerUnavailable)
    for part in (server.address, "3 attempts", "HTTP 500: engine died", "check that the server runs"):
        assert part in str(answer)
    assert len(server.bodies) == 3


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    with fault_server(in_turn(endless_whitespace(1 << 20, 0.0), None)) as server:
        began = time.monotonic()
        (answer,) = ask(server, [request()], patience=Patience(20.0, 2, 0.01, 0.02))
    assert isinstance(answer, Reply)
    assert time.monotonic() - began < 5, "ended by its length, long before the time limit"


def test_half_a_surrogate_pair_is_no_text() -> None:
    with fault_server(in_turn(text("\ud83d"), None)) as server:
        (answer,) = ask(server, [request()])
    assert isinstance(answer, Reply)
    assert answer.text == "fine"


def test_an_answer_beyond_the_time_limit_is_tried_again() -> None:
    with fault_server(in_turn(text("late", after_s=2.0), text("in time"))) as server:
        (answer,) = ask(server, [request()], patience=Patience(0.3, 3, 0.01, 0.02))
    assert isinstance(answer, Reply)
    assert answer.text == "in time"


def test_a_server_that_is_always_too_slow_is_unavailable() -> None:
    with fault_server(lambda _: "silence") as server:
        (answer,) = ask(server, [request()], patience=Patience(0.1, 2, 0.01, 0.02))
    assert isinstance(answer, ServerUnavailable)
    assert "no answer within 0.1 s" in str(answer)


@pytest.mark.parametrize(("wait", "longest_s", "at_least_s", "at_most_s"), [("0.4", 5, 0.4, 2), ("900", 0.2, 0.2, 2)])
def test_a_server_that_says_when_to_ask_again_is_heard_within_limits(
    wait: str, longest_s: float, at_least_s: float, at_most_s: float
) -> None:
    with fault_server(in_turn(status(429, headers={"Retry-After": wait}), None)) as server:
        began = time.monotonic()
        (answer,) = ask(server, [request()], patience=Patience(5, 2, 0.01, longest_s))
    assert isinstance(answer, Reply)
    assert at_least_s <= time.monotonic() - began < at_most_s


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_refusal_is_final_and_in_the_servers_own_words(code: int) -> None:
    with fault_server(lambda _: status(code, "the prompt is too long\n  by 12 tokens " + "x" * 5000)) as server:
        (answer,) = ask(server, [request()])
    assert isinstance(answer, RequestRefused)
    assert f"HTTP {code}: the prompt is too long by 12 tokens" in str(answer)
    assert len(str(answer)) < 700
    assert len(server.bodies) == 1


@pytest.mark.parametrize("code", [401, 403, 404, 302])
def test_a_wrong_key_or_model_name_blames_no_request(code: int) -> None:
    """A permanent refusal is kept for good, and one mistyped setting must not condemn every clip."""
    with fault_server(lambda _: status(code, "no such model or key")) as server:
        answers = ask(server, requests(20), concurrency=1)
    assert all(isinstance(answer, ServerUnavailable) and "no such model or key" in str(answer) for answer in answers)
    assert len(server.bodies) == 1


def test_a_refused_connection_fails_the_rest_at_once() -> None:
    patience = Patience(timeout_s=5, max_attempts=3, first_pause_s=0.2, longest_pause_s=1)
    began = time.monotonic()
    answers = ask(f"http://127.0.0.1:{closed_port()}/v1", requests(200), patience=patience)
    assert all(isinstance(answer, ServerUnavailable) for answer in answers)
    assert "Connect" in str(answers[0])
    assert time.monotonic() - began < 4, "200 requests may not each wait the whole back-off"


def test_a_server_that_fails_on_everything_is_given_up_after_a_few_tries() -> None:
    with fault_server(lambda _: "internal_error") as server:
        answers = ask(server, requests(30), concurrency=1)
    assert all(isinstance(answer, ServerUnavailable) for answer in answers)
    assert len(server.bodies) == FAILURES_TO_SET_ASIDE + HURRIED.max_attempts - 1


def test_one_request_that_the_server_fails_on_does_not_stop_the_others() -> None:
    with fault_server(lambda body: "internal_error" if question_of(body) == "3" else None) as server:
        answers = ask(server, requests(10), concurrency=1)
    assert [n for n, answer in enumerate(answers) if not isinstance(answer, Reply)] == [3]


def test_a_server_that_was_away_is_asked_again_by_the_next_call() -> None:
    down = threading.Event()
    down.set()
    with fault_server(lambda _: "internal_error" if down.is_set() else None) as server:
        assert all(isinstance(answer, ServerUnavailable) for answer in ask(server, requests(5)))
        down.clear()
        assert all(isinstance(answer, Reply) for answer in ask(server, requests(5)))


# The bound


def test_the_bound_is_reached_held_and_never_exceeded() -> None:
    with fault_server(answer=slowly(0.1)) as server:
        began = time.monotonic()
        ask(server, requests(64), concurrency=16)
        took_s = time.monotonic() - began
    assert server.most_under_way == 16
    assert took_s < 4 * 0.1 * 3, "16 at a time, 64 requests take four rounds"
    assert server.num_connections == 16, "connections are used again"


def test_threads_that_ask_at_once_share_the_bound_and_fill_it_together() -> None:
    with fault_server(answer=slowly(0.05)) as server, ThreadPoolExecutor(3) as threads:
        began = time.monotonic()
        calls = [threads.submit(ask, server, requests(24), concurrency=8) for _ in range(3)]
        answers = [answer for call in calls for answer in call.result()]
        took_s = time.monotonic() - began
    assert len(answers) == 72
    assert all(isinstance(answer, Reply) for answer in answers)
    assert server.most_under_way == 8
    assert took_s < 9 * 0.05 * 3, "72 requests, 8 at a time"
    assert len([thread for thread in threading.enumerate() if thread.name == "ask"]) == 1


def test_of_two_bounds_the_smaller_one_holds() -> None:
    with fault_server(answer=slowly(0.03)) as server, ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(ask, server, requests(20), concurrency=bound) for bound in (2, 2)]
        calls.append(threads.submit(ask, server, requests(5), concurrency=2))
        for call in calls:
            call.result()
        assert server.most_under_way == 2
        ask(server, requests(20), concurrency=6)
    assert server.most_under_way == 6, "and it holds no longer than its call"


def test_answers_arrive_while_others_are_still_under_way() -> None:
    with fault_server(lambda body: text("slow", after_s=0.8) if question_of(body) == "0" else None) as server:
        arrived = [n for n, _ in ask_all(requests(3), address=server.address, concurrency=2, patience=HURRIED)]
    assert arrived == [1, 2, 0]


def test_closing_early_cancels_what_is_under_way() -> None:
    with fault_server(in_turn(None, text("late", after_s=5.0))) as server:
        answers = ask_all(requests(100), address=server.address, concurrency=2, patience=HURRIED)
        next(answers)
        began = time.monotonic()
        answers.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began < 0.4, "the answers under way are not waited for"
        assert len(server.bodies) < 10


def test_no_requests_no_answers() -> None:
    assert ask("http://127.0.0.1:1/v1", []) == []


def test_concurrency_below_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="concurrency must be at least 1, got 0"):
        next(ask_all([request()], address="http://127.0.0.1:1/v1", concurrency=0))


# Several addresses


def test_several_servers_share_the_work() -> None:
    with fault_server(answer=slowly(0.02)) as one, fault_server(answer=slowly(0.02)) as other:
        ended = dict(converse([Talk(each) for each in requests(60)], asker=asker_of(one, other, concurrency=8)))
    assert all(talk.failure is None for talk in ended.values())
    assert one.most_under_way + other.most_under_way >= 8
    assert min(len(one.bodies), len(other.bodies)) >= 20


def test_one_of_two_servers_dies_midway_and_all_is_answered() -> None:
    with fault_server(answer=slowly(0.02)) as one, fault_server(answer=slowly(0.02)) as other:
        talks = converse([Talk(each) for each in requests(100)], asker=asker_of(one, other, concurrency=8))
        ended = [next(talks) for _ in range(20)]
        one.die()
        ended += talks
    assert sorted(position for position, _ in ended) == list(range(100))
    assert all(talk.failure is None for _, talk in ended)


def test_a_server_that_comes_back_is_used_again() -> None:
    down = threading.Event()
    down.set()
    with (
        fault_server(lambda _: "internal_error" if down.is_set() else None, answer=slowly(0.01)) as one,
        fault_server(answer=slowly(0.01)) as other,
    ):
        talks = converse([Talk(each) for each in requests(200)], asker=asker_of(one, other, concurrency=4))
        ended = [next(talks) for _ in range(50)]
        assert len(other.bodies) > 40
        tried_while_down = len(one.bodies)
        assert 3 <= tried_while_down < 40, "set aside, and tried by one request now and then"
        down.clear()
        ended += talks
    assert all(talk.failure is None for _, talk in ended)
    assert len(one.bodies) - tried_while_down > 30


def test_a_server_of_another_model_is_left_out() -> None:
    with fault_server(lambda _: status(404, "no such model")) as wrong, fault_server() as right:
        ended = dict(converse([Talk(each) for each in requests(20)], asker=asker_of(wrong, right, concurrency=1)))
    assert all(talk.failure is None for talk in ended.values())
    assert len(wrong.bodies) == 1


def test_all_servers_die_and_every_talk_ends_soon() -> None:
    with fault_server(answer=slowly(0.02)) as one, fault_server(answer=slowly(0.02)) as other:
        talks = converse([Talk(each) for each in requests(300)], asker=asker_of(one, other, concurrency=8))
        ended = [next(talks) for _ in range(10)]
        one.die()
        other.die()
        began = time.monotonic()
        ended += talks
    assert time.monotonic() - began < 3
    assert sorted(position for position, _ in ended) == list(range(300))
    failures = [talk.failure for _, talk in ended if talk.failure is not None]
    assert len(failures) > 250
    assert all(isinstance(failure, ServerUnavailable) for failure in failures)
    assert one.address in str(failures[-1])
    assert f"nor from {other.address}" in str(failures[-1])


# Talks


def further(reply: Reply, num_replies: int) -> Request | None:
    """Until it is good, three times at most."""
    return request(f"{reply.text}, not good") if num_replies < 3 and not reply.text.startswith("good") else None


@pytest.fixture
def picky() -> Iterator[FaultServer]:
    """Good at the second or third time, or never, by what it is asked."""

    def answer(body: Body) -> str:
        asked = question_of(body)
        return {"0": "good", "1": "bad", "bad, not good": "good again"}.get(asked, "worse")

    with fault_server(answer=answer) as server:
        yield server


def test_a_talk_goes_on_until_its_callback_is_content(picky: FaultServer) -> None:
    ended = dict(converse([Talk(each, further) for each in requests(3)], asker=asker_of(picky)))
    said = {position: [reply.text for reply in talk.replies] for position, talk in ended.items()}
    assert said == {0: ["good"], 1: ["bad", "good again"], 2: ["worse", "worse", "worse"]}
    assert [question_of(each.body()) for each in ended[1].requests] == ["1", "bad, not good"]
    assert all(talk.failure is None for talk in ended.values())


def test_a_mistake_in_a_callback_is_that_talks_own(picky: FaultServer) -> None:
    def mistaken(_: Reply, __: int) -> Request | None:
        raise KeyError("evidence")

    def no_json(_: Reply, __: int) -> Request | None:
        return request(temperature=float("nan"))

    talks = [Talk(request("0")), Talk(request("0"), mistaken), Talk(request("0"), no_json), Talk(no_json(None, 0))]  # type: ignore[arg-type]
    ended = dict(converse(talks, asker=asker_of(picky)))
    assert [type(ended[n].failure) for n in range(4)] == [type(None), KeyError, ValueError, ValueError]
    assert [len(ended[n].replies) for n in range(4)] == [1, 1, 1, 0]


def test_a_talk_that_fails_later_keeps_what_was_said() -> None:
    refused = fault_server(lambda body: status(400, "too long") if "not good" in question_of(body) else None)
    with refused as server:
        ((_, ended),) = converse([Talk(request("first"), further)], asker=asker_of(server))
    assert isinstance(ended.failure, RequestRefused)
    assert [reply.text for reply in ended.replies] == ["fine"]
    assert len(ended.requests) == 2


def test_a_further_request_goes_before_new_talks() -> None:
    """Its beginning is still in the server's cache, and a talk that ends soon is kept soon."""
    with fault_server() as server, ThreadPoolExecutor(2) as threads:
        talks = [Talk(request(f"talk {n}"), further) for n in range(4)]
        calls = [threads.submit(lambda: list(converse(talks, asker=asker_of(server, concurrency=1)))) for _ in range(2)]
        for call in calls:
            call.result()
    asked = [question_of(body) for body in server.bodies]
    firsts = [at for at, words in enumerate(asked) if words.startswith("talk")]
    assert len(asked) == 24
    assert all(asked[at + 1] == asked[at + 2] == "fine, not good" for at in firsts)


def test_talks_are_made_as_they_are_needed() -> None:
    made = yielded = most_open = 0

    def talks() -> Iterator[Talk]:
        nonlocal made, most_open
        for each in requests(200):
            made += 1
            most_open = max(most_open, made - yielded)
            yield Talk(each)

    with fault_server(answer=slowly(0.001)) as server:
        for _, ended in converse(talks(), asker=asker_of(server, concurrency=4)):
            yielded += 1
            assert ended.failure is None
    assert yielded == 200
    assert most_open <= 4 + AHEAD + 1


def test_what_fails_in_making_talks_ends_the_call() -> None:
    def talks() -> Iterator[Talk]:
        yield Talk(request("first"))
        raise LookupError("no row")

    with fault_server() as server, pytest.raises(LookupError, match="no row"):
        list(converse(talks(), asker=asker_of(server)))


# Kept answers


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[AnswerJournal]:
    with AnswerJournal(tmp_path / "answers.sqlite") as opened:
        yield opened


def said_of(
    talks: Sequence[Talk], server: FaultServer, journal: AnswerJournal, revision: str = "1"
) -> dict[int, Ended]:
    return dict(converse(talks, asker=asker_of(server), kept=journal.of_model(revision, "vllm")))


def test_what_was_answered_is_not_asked_again(picky: FaultServer, journal: AnswerJournal) -> None:
    talks = [Talk(each, further) for each in requests(3)]
    first = said_of(talks, picky, journal)
    num_asked = len(picky.bodies)
    assert num_asked == len(journal.keys()), "equal questions under way are asked once"
    assert said_of(talks, picky, journal) == first
    assert len(picky.bodies) == num_asked
    said_of(talks, picky, journal, revision="2")
    assert len(picky.bodies) == 2 * num_asked


def test_cut_answers_are_kept_and_failures_never(journal: AnswerJournal) -> None:
    faults: dict[str, str | Fault] = {"0": "cut_at_length", "1": "internal_error", "2": status(400), "3": "empty_text"}
    with fault_server(lambda body: faults[question_of(body)]) as server:
        ended = said_of([Talk(each) for each in requests(4)], server, journal)
        assert [ended[n].failure is None for n in range(4)] == [True, False, False, True]
        num_asked = len(server.bodies)
        again = said_of([Talk(each) for each in requests(4)], server, journal)
    assert again[0] == ended[0]
    assert [question_of(body) for body in server.bodies[num_asked:]].count("0") == 0
    assert len(journal.keys()) == 2


def test_of_equal_questions_under_way_only_one_is_asked(journal: AnswerJournal) -> None:
    with fault_server(answer=slowly(0.1)) as server, ThreadPoolExecutor(2) as threads:
        talks = [Talk(request("same")) for _ in range(6)]
        calls = [threads.submit(said_of, talks, server, journal) for _ in range(2)]
        ended = [talk for call in calls for talk in call.result().values()]
    assert len(ended) == 12
    assert all(talk.replies[0].text == "fine" for talk in ended)
    assert len(server.bodies) == 1


def test_when_the_one_that_was_asked_fails_the_next_equal_question_is_asked(journal: AnswerJournal) -> None:
    with fault_server(in_turn(status(400), None)) as server:
        ended = said_of([Talk(request("same")) for _ in range(4)], server, journal)
    assert sum(talk.failure is not None for talk in ended.values()) == 1
    assert len(server.bodies) == 2


def test_a_journal_that_fails_ends_the_call_and_is_told(journal: AnswerJournal) -> None:
    with fault_server() as server:
        journal.close()
        with pytest.raises(Exception, match="cannot be used"):
            said_of([Talk(each) for each in requests(10)], server, journal)
    assert len(server.bodies) == 0


# What the server says of itself


def test_models_and_version_are_what_the_server_says() -> None:
    with fault_server() as server:
        assert list_models(server.address) == [MODEL]
        assert list_models(server.address + "/") == [MODEL]
        assert engine_version(server.address) == "0.32.0"


def test_models_of_a_server_that_is_away_or_another() -> None:
    away = f"http://127.0.0.1:{closed_port()}/v1"
    with pytest.raises(ServerUnavailable, match="check that the server runs"):
        list_models(away)
    with pytest.raises(ServerUnavailable, match="no answer from"):
        engine_version(away)


def test_a_server_that_lists_no_models_is_no_server_of_ours() -> None:
    with fault_server() as server, pytest.raises(ServerUnavailable, match="404 without a list of models"):
        list_models(server.address.replace("/v1", "/elsewhere"))


def test_any_page_that_is_no_answer_is_tried_again() -> None:
    pages = [
        "null",
        '"fine"',
        "{}",
        '{"choices": [{}], "usage": {}}',
        '{"choices": [{"message": null}]}',
        "\xff",
        "NaN",
    ]
    for content in pages:
        with fault_server(in_turn(page(content), None)) as server:
            (answer,) = ask(server, [request()])
        assert isinstance(answer, Reply), content
