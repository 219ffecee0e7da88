"""What the proxy of faults does to requests, and what it lets through as it was."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.fault_proxy import Fault, FaultProxy, fault_proxy

SEEN: list[tuple[str, bytes]] = []
"""What arrived behind the proxy: path and body."""


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        SEEN.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    SEEN.clear()
    with echo() as behind, fault_proxy(behind) as made:
        yield made


def put(proxy: FaultProxy, path: str = "/a", body: bytes = b"0123456789") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(proxy.address, timeout=10)
    try:
        connection.request("PUT", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_request_goes_through_as_it_was(proxy: FaultProxy) -> None:
    assert put(proxy, "/a?b=1") == (200, b"0123456789")
    assert SEEN == [("/a?b=1", b"0123456789")]
    assert not proxy.num_harmed()


def test_what_is_refused_never_arrives(proxy: FaultProxy) -> None:
    proxy.harm(Fault.UNAVAILABLE, times=1)
    proxy.harm(Fault.REFUSED, times=1, status=400, body=b"<Error><Code>ExpiredToken</Code></Error>")
    assert put(proxy)[0] == 503
    assert put(proxy) == (400, b"<Error><Code>ExpiredToken</Code></Error>")
    assert not SEEN
    assert put(proxy)[0] == 200


def test_a_lost_answer_is_of_a_request_that_was_done(proxy: FaultProxy) -> None:
    proxy.harm(Fault.LOST, methods="PUT", within="/a", times=1)
    assert put(proxy, "/b")[0] == 200
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        put(proxy)
    assert [path for path, _ in SEEN] == ["/b", "/a"]


def test_half_a_body_is_known_as_half(proxy: FaultProxy) -> None:
    proxy.harm(Fault.HALF)
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        put(proxy)


def test_the_dead_come_back(proxy: FaultProxy) -> None:
    proxy.harm(Fault.DEAD)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        put(proxy)
    proxy.heal()
    proxy.harm(Fault.SLOW, delay_s=0.2)
    began = time.monotonic()
    assert put(proxy)[0] == 200
    assert time.monotonic() - began >= 0.2


def test_the_same_seed_harms_the_same_requests() -> None:
    def harmed(seed: int) -> list[int]:
        with echo() as behind, fault_proxy(behind, seed=seed) as proxy:
            proxy.harm(Fault.UNAVAILABLE, share=0.5)
            return [put(proxy)[0] for _ in range(20)]

    assert harmed(1) == harmed(1) != harmed(2)
