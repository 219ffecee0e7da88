from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.descriptions.ask import (
    Answer,
    Patience,
    Reply,
    Request,
    RequestRefused,
    ServerUnavailable,
    ask_all,
    engine_version,
    list_models,
)

HURRIED = Patience(timeout_s=5.0, max_attempts=3, first_pause_s=0.01, longest_pause_s=0.02)
SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}


def request(text: str = "hello", **fields: Any) -> Request:
    return Request(model="tiny", messages=[{"role": "user", "content": text}], **fields)


@dataclass(frozen=True)
class Say:
    """One scripted answer. Status 0 drops the connection."""

    status: int = 200
    text: str = "fine"
    after_s: float = 0.0
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def payload(self) -> bytes:
        if self.body is not None:
            return self.body.encode()
        if self.status != 200:
            return json.dumps({"error": {"message": self.text, "code": self.status}}).encode()
        message = {"role": "assistant", "content": self.text}
        completion = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "tiny-echoed",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }
        return json.dumps(completion).encode()


class ScriptedServer(ThreadingHTTPServer):
    """A real HTTP server on loopback that answers each chat request by the script, which may look at the request."""

    daemon_threads = True

    def __init__(self, script: Callable[[int, dict[str, Any]], Say]) -> None:
        super().__init__(("127.0.0.1", 0), ScriptedHandler)
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.under_way = 0
        self.most_under_way = 0
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is part of these tests."""


class ScriptedHandler(BaseHTTPRequestHandler):
    server: ScriptedServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.bodies.append(body)
            server.keys.append(self.headers["Authorization"])
            say = server.script(len(server.bodies) - 1, body)
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        time.sleep(say.after_s)
        with server.lock:
            server.under_way -= 1
        if say.status == 0:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send(say.status, say.payload(), say.headers)

    def do_GET(self) -> None:
        if self.path == "/version":
            self.send(200, b'{"version": "0.32.0"}', {})
        elif self.path == "/v1/models":
            self.send(200, b'{"object": "list", "data": [{"id": "tiny"}, {"id": "other"}]}', {})
        else:
            self.send(404, b"{}", {})

    def send(self, status: int, payload: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(payload)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Start a server that gives the listed answers in turn, the last one for ever; or one that follows a function."""
    started: list[ScriptedServer] = []

    def start(*says: Say, script: Callable[[int, dict[str, Any]], Say] | None = None) -> ScriptedServer:
        server = ScriptedServer(script or (lambda index, _: says[min(index, len(says) - 1)]))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def ask(
    server_or_address: ScriptedServer | str,
    requests: Sequence[Request],
    *,
    concurrency: int = 4,
    patience: Patience = HURRIED,
    api_key: str | None = None,
) -> list[Answer]:
    address = server_or_address if isinstance(server_or_address, str) else server_or_address.address
    answering = ask_all(requests, address=address, concurrency=concurrency, api_key=api_key, patience=patience)
    answers = dict(answering)
    assert sorted(answers) == list(range(len(requests))), "each request is answered exactly once"
    return [answers[position] for position in range(len(requests))]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_is_sent_is_the_body_and_nothing_else(serve: Callable[..., ScriptedServer]) -> None:
    server = serve(Say())
    asked = request(json_schema=SCHEMA, max_tokens=99, temperature=0.5)
    ask(server, [asked], api_key="secret")
    assert server.bodies == [asked.body()]
    assert server.keys == ["Bearer secret"]
    assert json.loads(asked.canonical()) == asked.body()


def test_the_reply_says_what_the_server_said(serve: Callable[..., ScriptedServer]) -> None:
    assert ask(serve(Say(text="a smile")), [request()]) == [Reply("a smile", "stop", 7, 3, "tiny-echoed")]


def test_the_canonical_form_keeps_the_order_of_a_schema() -> None:
    """Structured output is written in the order of the schema, so another order is another request."""
    turned = {"type": "object", "properties": dict(reversed(list(SCHEMA["properties"].items())))}  # type: ignore[attr-defined]
    assert request(json_schema=SCHEMA).canonical() != request(json_schema=turned).canonical()
    assert request(json_schema=SCHEMA).canonical() == request(json_schema=dict(SCHEMA)).canonical()
    assert "response_format" not in request().body()


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(Say(429, "busy"), id="too many requests"),
        pytest.param(Say(500, "engine died"), id="internal error"),
        pytest.param(Say(503, "starting"), id="unavailable"),
        pytest.param(Say(0), id="dropped connection"),
        pytest.param(Say(body="<html>a proxy's page</html>"), id="200 that is no JSON"),
        pytest.param(Say(body='{"choices": []}'), id="200 without choices"),
    ],
)
def test_trouble_that_passes_is_tried_again(serve: Callable[..., ScriptedServer], trouble: Say) -> None:
    server = serve(trouble, trouble, Say())
    (answer,) = ask(server, [request()])
    assert isinstance(answer, Reply), answer
    assert len(server.bodies) == 3


def test_trouble_that_stays_is_unavailable_and_the_message_says_what_to_do(
    serve: Callable[..., ScriptedServer],
) -> None:
    server = serve(Say(500, "engine died"))
    (answer,) = ask(server, [request()])
    assert isinstance(answer, ServerUnavailable)
    for part in (server.address, "3 attempts", "HTTP 500: engine died", "check that the server runs"):
        assert part in str(answer)
    assert len(server.bodies) == 3


def test_an_answer_beyond_the_time_limit_is_tried_again(serve: Callable[..., ScriptedServer]) -> None:
    server = serve(Say(after_s=2.0), Say(text="in time"))
    (answer,) = ask(server, [request()], patience=Patience(0.3, 3, 0.01, 0.02))
    assert isinstance(answer, Reply)
    assert answer.text == "in time"


def test_a_server_that_is_always_too_slow_is_unavailable(serve: Callable[..., ScriptedServer]) -> None:
    (answer,) = ask(serve(Say(after_s=1.0)), [request()], patience=Patience(0.1, 2, 0.01, 0.02))
    assert isinstance(answer, ServerUnavailable)
    assert "no answer within 0.1 s" in str(answer)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_is_final_and_in_the_servers_own_words(serve: Callable[..., ScriptedServer], status: int) -> None:
    server = serve(Say(status, "the prompt is too long\n  by 12 tokens " + "x" * 5000))
    (answer,) = ask(server, [request()])
    assert isinstance(answer, RequestRefused)
    assert f"HTTP {status}: the prompt is too long by 12 tokens" in str(answer)
    assert len(str(answer)) < 700
    assert len(server.bodies) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_model_name_blames_no_request(serve: Callable[..., ScriptedServer], status: int) -> None:
    """A permanent refusal is kept for good, and one mistyped setting must not condemn every clip."""
    server = serve(Say(status, "no such model or key"))
    answers = ask(server, [request(str(n)) for n in range(20)], concurrency=1)
    assert all(isinstance(answer, ServerUnavailable) and "no such model or key" in str(answer) for answer in answers)
    assert len(server.bodies) == 1


def test_a_refused_connection_fails_the_rest_at_once() -> None:
    patience = Patience(timeout_s=5, max_attempts=3, first_pause_s=0.2, longest_pause_s=1)
    began = time.monotonic()
    answers = ask(f"http://127.0.0.1:{closed_port()}/v1", [request(str(n)) for n in range(200)], patience=patience)
    assert all(isinstance(answer, ServerUnavailable) for answer in answers)
    assert "Connect" in str(answers[0])
    assert time.monotonic() - began < 4, "200 requests may not each wait the whole back-off"


def test_a_failing_server_is_given_up_after_two_requests_in_a_row(serve: Callable[..., ScriptedServer]) -> None:
    server = serve(Say(500, "engine died"))
    answers = ask(server, [request(str(n)) for n in range(30)], concurrency=1)
    assert all(isinstance(answer, ServerUnavailable) for answer in answers)
    assert len(server.bodies) == 2 * HURRIED.max_attempts


def test_one_request_that_the_server_fails_on_does_not_stop_the_others(serve: Callable[..., ScriptedServer]) -> None:
    def script(_: int, body: dict[str, Any]) -> Say:
        return Say(500, "poison") if body["messages"][0]["content"] == "3" else Say()

    answers = ask(serve(script=script), [request(str(n)) for n in range(10)], concurrency=1)
    assert [n for n, answer in enumerate(answers) if not isinstance(answer, Reply)] == [3]


def test_no_more_requests_are_under_way_than_asked_for(serve: Callable[..., ScriptedServer]) -> None:
    server = serve(Say(after_s=0.05))
    ask(server, [request(str(n)) for n in range(20)], concurrency=3)
    assert server.most_under_way == 3


def test_answers_arrive_while_others_are_still_under_way(serve: Callable[..., ScriptedServer]) -> None:
    def script(_: int, body: dict[str, Any]) -> Say:
        return Say(after_s=0.8 if body["messages"][0]["content"] == "0" else 0.0)

    requests = [request(str(n)) for n in range(3)]
    arrived = [n for n, _ in ask_all(requests, address=serve(script=script).address, concurrency=2, patience=HURRIED)]
    assert arrived == [1, 2, 0]


def test_closing_early_cancels_what_is_under_way(serve: Callable[..., ScriptedServer]) -> None:
    server = serve(Say(), Say(after_s=0.5))
    answers = ask_all([request(str(n)) for n in range(100)], address=server.address, concurrency=2, patience=HURRIED)
    next(answers)
    began = time.monotonic()
    answers.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 0.4, "the answers under way are not waited for"
    assert len(server.bodies) < 10
    assert not [thread for thread in threading.enumerate() if thread.name == "ask"]


def test_no_requests_no_answers() -> None:
    assert ask("http://127.0.0.1:1/v1", []) == []


def test_concurrency_below_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="concurrency must be at least 1, got 0"):
        next(ask_all([request()], address="http://127.0.0.1:1/v1", concurrency=0))


def test_models_and_version_are_what_the_server_says(serve: Callable[..., ScriptedServer]) -> None:
    address = serve(Say()).address
    assert list_models(address) == ["tiny", "other"]
    assert list_models(address + "/") == ["tiny", "other"]
    assert engine_version(address) == "0.32.0"


def test_models_of_a_server_that_is_away_or_another() -> None:
    away = f"http://127.0.0.1:{closed_port()}/v1"
    with pytest.raises(ServerUnavailable, match="check that the server runs"):
        list_models(away)
    with pytest.raises(ServerUnavailable, match="no answer from"):
        engine_version(away)


def test_a_server_that_lists_no_models_is_no_server_of_ours(serve: Callable[..., ScriptedServer]) -> None:
    address = serve(Say()).address.replace("/v1", "/elsewhere")
    with pytest.raises(ServerUnavailable, match="404 without a list of models"):
        list_models(address)
