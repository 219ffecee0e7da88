"""An HTTP proxy on loopback that harms what goes through it: by calls, or at random by a seed.

    with fault_proxy("127.0.0.1:9000") as proxy:      # the server that is harmed
        client_of(f"http://{proxy.address}")          # who shall suffer
        proxy.harm(Fault.UNAVAILABLE, times=3)        # the next three requests
        proxy.harm(Fault.SLOW, share=0.2, delay_s=2)  # from then on one of five
        proxy.heal()
        assert proxy.num_harmed(Fault.UNAVAILABLE) == 3

It may stand before anything that speaks HTTP/1.1: an object store, a language-model server, Prefect's server. What is
streamed goes through as it comes.
"""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.s3_server import forget_cached


class Fault(StrEnum):
    """What happens to a request."""

    SLOW = "slow"
    """It is passed on after a delay."""

    UNAVAILABLE = "unavailable"
    """503, and the server behind never sees it."""

    HALF = "half"
    """The answer's head comes, and half of its body; then the connection ends."""

    REFUSED = "refused"
    """The rule's status and body, such as 403 with what a store says of credentials; the server never sees it."""

    LOST = "lost"
    """The server does what was asked, and the connection ends without an answer."""

    SILENT = "silent"
    """Nothing comes for the length of the delay, then the connection ends; the server never sees it."""

    DEAD = "dead"
    """The connection ends at once."""


@dataclass
class Rule:
    """Which requests a fault happens to: those that fit, a share of them, so many times."""

    fault: Fault
    share: float = 1.0
    times: int | None = None
    methods: frozenset[str] | None = None
    within: str = ""
    """Part of the path with its query."""
    delay_s: float = 1.0
    status: int = 403
    body: bytes = b""

    def fits(self, method: str, path: str) -> bool:
        """Whether it is about this request at all."""
        return self.times != 0 and self.within in path and (self.methods is None or method in self.methods)


@dataclass(frozen=True)
class Harmed:
    """A request that something happened to. Seconds are of the monotonic clock."""

    at_s: float
    fault: Fault
    method: str
    path: str


@dataclass
class FaultProxy:
    """A running proxy, `host:port` of itself and of what is behind it. May be told by any thread at any time."""

    address: str
    behind: str
    seed: int = 0
    harmed: list[Harmed] = field(default_factory=list)
    num_requests: int = 0
    _rules: list[Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: set[socket.socket] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def harm(self, fault: Fault, *, methods: str | None = None, **how: Any) -> None:
        """Let a fault happen from now on; the fields of `Rule` say to which requests. `methods`: as "PUT POST"."""
        rule = Rule(fault, methods=frozenset(methods.split()) if methods else None, **how)
        with self._lock:
            self._rules.append(rule)
        if fault is Fault.DEAD:
            self.cut()

    def heal(self) -> None:
        """Let nothing happen any more."""
        with self._lock:
            self._rules.clear()

    def cut(self) -> None:
        """End every connection that is open now, whatever comes through it."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def num_harmed(self, fault: Fault | None = None) -> int:
        """How many requests something happened to."""
        with self._lock:
            return sum(fault is None or one.fault is fault for one in self.harmed)

    def _rule_for(self, method: str, path: str) -> Rule | None:
        with self._lock:
            self.num_requests += 1
            for rule in self._rules:
                if rule.fits(method, path) and self._chance.random() < rule.share:
                    rule.times = None if rule.times is None else rule.times - 1
                    self.harmed.append(Harmed(time.monotonic(), rule.fault, method, path))
                    return rule
        return None


@contextmanager
def fault_proxy(behind: str, *, seed: int = 0, port: int = 0) -> Iterator[FaultProxy]:
    """A proxy before `behind` (host:port), which need not be there yet or any more: then it answers 502."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.proxy = FaultProxy(f"127.0.0.1:{server.server_address[1]}", behind, seed)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.proxy.cut()
        server.server_close()
        forget_cached(server.proxy.address)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    proxy: FaultProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.server.proxy._lock:
            self.server.proxy._open.add(self.connection)

    def finish(self) -> None:
        with self.server.proxy._lock:
            self.server.proxy._open.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def _pass(self) -> None:
        body = self._body()
        rule = self.server.proxy._rule_for(self.command, self.path)
        fault = None if rule is None else rule.fault
        if rule is not None and fault in {Fault.SLOW, Fault.SILENT}:
            time.sleep(rule.delay_s)
        if fault in {Fault.SILENT, Fault.DEAD}:
            self._end()
        elif fault is Fault.UNAVAILABLE:
            self._answer(
                503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            )
        elif rule is not None and fault is Fault.REFUSED:
            self._answer(rule.status, rule.body)
        else:
            try:
                self._from_behind(body, fault)
            except (OSError, http.client.HTTPException) as error:
                with suppress(OSError):
                    self._answer(502, f"nothing behind: {error}".encode())
                self._end()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = _pass

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(parts)

    def _from_behind(self, body: bytes, fault: Fault | None) -> None:
        host, _, port = self.server.proxy.behind.rpartition(":")
        behind = http.client.HTTPConnection(host, int(port), timeout=600)
        try:
            behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {"connection", "transfer-encoding", "content-length", "expect"}:
                    behind.putheader(name, value)
            if body or self.command in {"PUT", "POST", "PATCH"}:
                behind.putheader("Content-Length", str(len(body)))
            behind.endheaders(body)
            answer = behind.getresponse()
            if fault is Fault.LOST:
                answer.read()
                self._end()
                return
            self._hand_on(answer, is_half=fault is Fault.HALF)
        finally:
            behind.close()

    def _hand_on(self, answer: http.client.HTTPResponse, *, is_half: bool) -> None:
        length = answer.headers.get("Content-Length")
        has_body = self.command != "HEAD" and answer.status not in {204, 304} and length != "0"
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding"}:
                self.send_header(name, value)
        if has_body and length is None:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not has_body:
            return
        left = int(length) // 2 if is_half and length is not None else 1 << 62
        while chunk := answer.read1(1 << 16):
            self._write(chunk[:left], is_chunk=length is None)
            left -= len(chunk)
            if left <= 0 or (is_half and length is None):
                self._end()
                return
        if length is None:
            self.wfile.write(b"0\r\n\r\n")

    def _write(self, data: bytes, *, is_chunk: bool) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if is_chunk else data)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml" if body.startswith(b"<") else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _end(self) -> None:
        """End the connection in a way that nobody takes for the end of an answer."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)
