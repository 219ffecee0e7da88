"""A small OpenAI-compatible server on loopback that answers by rule, so that two builds can be compared byte by byte.

It stands in for a language model only where the test is about everything around it: reuse, refusal, interruption.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "by-rule"
SEEN = "The mouth widens, then the person laughs."


def join_notes(request: dict[str, Any]) -> str:
    """Each note as a sentence: what the check must let through. Of pictures, something that nobody believes."""
    question = request["messages"][-1]["content"]
    if not isinstance(question, str):
        return SEEN
    notes = question.removeprefix("Notes: ").removesuffix(".").split("; ")
    return json.dumps({"description": " ".join(f"{note[0].upper()}{note[1:]}." for note in notes)})


@dataclass
class AnswerServer:
    """What was asked, and how it is answered."""

    address: str
    answer: Callable[[dict[str, Any]], str] = join_notes
    requests: list[dict[str, Any]] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)


@contextmanager
def answering(port: int = 0) -> Iterator[AnswerServer]:
    """Serve on loopback, on a free port unless one is given, while the context is open; then no connection is left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append(request)
            state.asked.set()
            state.may_answer.wait(60)
            message = {"role": "assistant", "content": state.answer(request)}
            if is_over.is_set():
                self.close_connection = True
                return
            self._send(
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": request["model"],
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
                }
            )

        def do_GET(self) -> None:
            if is_over.is_set():
                self.close_connection = True
                return
            self._send({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

        def _send(self, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # as many as are asked at once, else the kernel lets some wait a second

    is_over = threading.Event()
    server = Server(("127.0.0.1", port), Handler)
    state = AnswerServer(f"http://127.0.0.1:{server.server_address[1]}/v1")
    state.may_answer.set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        is_over.set()
        server.shutdown()
        server.server_close()
