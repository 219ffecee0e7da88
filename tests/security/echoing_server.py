"""A language-model server that tells whatever it was sent, the key too: in errors, and in answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "tells-all"


@dataclass
class EchoingServer:
    """What it was asked, with which headers, and how it says so."""

    address: str
    says: str = "answer"
    """`answer`: in a completion. `refuse`: with status 400. `fail`: with status 500. `shut`: with status 401."""
    requests: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)


@contextmanager
def echoing() -> Iterator[EchoingServer]:
    """Serve on loopback while the context is open."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            state.requests.append(body)
            sent = str(dict(self.headers))
            state.headers.append(sent)
            if state.says == "answer":
                message = {"role": "assistant", "content": f"You sent {sent}"}
                usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                self._send(200, {"model": MODEL, "choices": [choice], "usage": usage})
            else:
                status = {"refuse": 400, "fail": 500, "shut": 401}[state.says]
                self._send(status, {"error": {"message": f"this is not what I take: {sent}"}})

        def do_GET(self) -> None:
            state.headers.append(str(dict(self.headers)))
            self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

        def _send(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = EchoingServer(f"http://127.0.0.1:{server.server_address[1]}/v1")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
