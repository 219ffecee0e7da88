"""One OpenAI-compatible server: its connections, one attempt at a question, and a look at its health."""

from __future__ import annotations

import asyncio
import json
import math
import random
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from urllib.parse import urlsplit

import httpx

from pipeline.descriptions.chat import Reply, RequestRefused, ServerUnavailable

MOST_WORDS_OF_SERVER = 500
"""Characters of a server's own error message that are kept."""

MOST_BYTES_OF_ANSWER = 4 << 20
"""Longest body that is read: an answer that goes on and on is none."""

TRANSIENT_STATUS = {408, 409, 425, 429}
"""Refusals that are over after a while, beside every 5xx."""

TOO_MUCH_STATUS = {429, 503, 529}
"""Those that say that it is too much at a time."""

SETUP_STATUS = {401, 403, 404}
"""Refusals of the address, the key or the model name: no request would pass, and none is to blame."""

CONNECT_TIMEOUT_S = 10.0
"""A server that lets nobody in is known sooner than one that thinks."""

KEEP_ALIVE_S = 4.0
"""An idle connection is not used after this: uvicorn, and so vLLM, closes one after 5 s."""

SHORTEST_SECRET = 8
"""Characters of a key that is blacked out in what a server says; a shorter one may be a word like any other."""

HEALTH_TIMEOUT_S = 10.0
"""For one look at a server's health."""


@dataclass(frozen=True)
class Patience:
    """How long and how often a server is asked before it counts as unavailable."""

    timeout_s: float = 120.0
    """For one attempt, from connecting to the last byte."""
    max_attempts: int = 4
    """Of one request at one address."""
    first_pause_s: float = 0.5
    """Before the second attempt; each further pause is twice as long, and each is varied by up to half."""
    longest_pause_s: float = 20.0
    """Also of what a server asks for by Retry-After."""

    def pause_s(self, num_failed: int) -> float:
        """The pause after so many failures."""
        pause_s = self.first_pause_s * 2.0 ** min(num_failed - 1, 30)
        return min(pause_s, self.longest_pause_s) * random.uniform(0.5, 1.5)


class AttemptFailed(Exception):
    """One attempt gave no answer; another may."""

    def __init__(
        self,
        words: str,
        *,
        is_reached: bool = True,
        is_setup: bool = False,
        is_too_late: bool = False,
        is_too_much: bool = False,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(words)
        self.is_reached, self.is_setup, self.is_too_late, self.is_too_much = (
            is_reached,
            is_setup,
            is_too_late,
            is_too_much,
        )
        self.retry_after_s = retry_after_s


class Endpoint:
    """One server and its connections."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.url = url
        self._key = plain_key(api_key)
        self._headers = {"Authorization": f"Bearer {self._key or 'none'}", "Content-Type": "application/json"}
        self._idle: list[httpx.AsyncClient] = []

    async def attempt(self, body: bytes, timeout_s: float) -> Reply:
        """Ask once.

        Raises:
            AttemptFailed: no answer for now.
            RequestRefused: nor ever.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._post(body)
        except TimeoutError:
            raise AttemptFailed(f"no answer within {timeout_s:g} s", is_too_late=True) from None

    async def trouble(self) -> str | None:
        """Why the server is not well, by its own health check; None if it is, or has no such check and answers."""
        try:
            async with self._connection() as connection, asyncio.timeout(HEALTH_TIMEOUT_S):
                response = await connection.get(f"{self.url.removesuffix('/v1')}/health")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # a TimeoutError is an OSError
            return _cause(error)
        return f"HTTP {response.status_code} from its health check" if response.status_code >= 500 else None

    async def _post(self, body: bytes) -> Reply:
        connection = self._idle.pop() if self._idle else self._connection()
        try:
            async with connection.stream("POST", f"{self.url}/chat/completions", content=body) as response:
                content = await _read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
            raise AttemptFailed(_cause(error), is_reached=False) from error
        except httpx.InvalidURL as error:
            raise AttemptFailed(_cause(error), is_reached=False, is_setup=True) from error
        except httpx.HTTPError as error:
            raise AttemptFailed(_cause(error)) from error
        finally:
            self._idle.append(connection)  # it opens again where it was cut
        content = _without_key(content, self._key)
        if not response.is_success:
            raise self._refusal(response, content)
        try:
            return _reply(content)
        except (ValueError, RecursionError) as error:
            raise AttemptFailed(_cause(error)) from error

    def _connection(self) -> httpx.AsyncClient:
        """A client that is used by one request at a time. One client for all looks through all its connections for each
        request: measured, 14 ms of CPU a request with 256 under way, against 1.1 ms."""
        return httpx.AsyncClient(
            headers=self._headers,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),  # the whole attempt has its own limit
            limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE_S),
            verify=_trust(),
            trust_env=not _is_loopback(self.url),
        )

    def _refusal(self, response: httpx.Response, content: bytes) -> AttemptFailed | RequestRefused:
        status, words = response.status_code, _words(response.status_code, content)
        if status < 400 or status in SETUP_STATUS:  # below 400: the API is elsewhere
            return AttemptFailed(words, is_setup=True)
        if status >= 500 or status in TRANSIENT_STATUS:
            return AttemptFailed(words, is_too_much=status in TOO_MUCH_STATUS, retry_after_s=_retry_after_s(response))
        return RequestRefused(f"the server at {self.url} refused the request: {words}")


def plain_key(api_key: str | None) -> str | None:
    """The key as it may stand in a header: without the line end that a file gives it.

    Raises:
        ValueError: it has other characters that no header may have; the message does not repeat it.
    """
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("the server's key holds a line end or a character that is not ASCII: look at the variable")
    return key or None


def _without_key(content: bytes, key: str | None) -> bytes:
    """What a server said, without our key: some tell in their errors what they were sent, and errors are stored."""
    if key is None or len(key) < SHORTEST_SECRET:
        return content
    for written in {key, json.dumps(key)[1:-1], json.dumps(key)[1:-1].replace("/", "\\/")}:
        content = content.replace(written.encode(), b"[the key]")
    return content


def list_models(address: str, *, api_key: str | None = None, timeout_s: float = 10.0) -> list[str]:
    """The names of the models that the server at `address` serves.

    Raises:
        ServerUnavailable: it does not answer, or not as an OpenAI-compatible server does.
    """
    response = _get(f"{address.rstrip('/')}/models", api_key, timeout_s)
    try:
        return [_text(model["id"]) for model in response.raise_for_status().json()["data"]]
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ServerUnavailable(
            f"{address} answered {response.status_code} without a list of models ({error!r}); {WHAT_TO_DO}"
        ) from error


def engine_version(address: str, *, api_key: str | None = None, timeout_s: float = 10.0) -> str | None:
    """The version of vLLM that serves `address`; None from a server that does not say.

    Raises:
        ServerUnavailable: it does not answer at all.
    """
    parts = urlsplit(address)
    response = _get(f"{parts.scheme}://{parts.netloc}/version", api_key, timeout_s)
    try:
        return _text(response.raise_for_status().json()["version"])
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _text(said: object) -> str:
    """What a server calls something. Raises ValueError where it is no text that could be stored."""
    text = str(said)
    text.encode()  # half a surrogate pair is JSON, but no text
    return text


WHAT_TO_DO = "check that the server runs and that its address, key and model name are right, then run again"


async def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > MOST_BYTES_OF_ANSWER:
            raise AttemptFailed(f"an answer of more than {MOST_BYTES_OF_ANSWER >> 20} MiB, not read further")
    return bytes(content)


def _reply(content: bytes) -> Reply:
    """The first choice of a completion. Raises ValueError for anything else."""
    completion = json.loads(content)
    try:
        choice, usage = completion["choices"][0], completion["usage"]
        text = choice["message"].get("content")
        reply = Reply(
            text="" if text is None else text,
            finish_reason=choice["finish_reason"],
            prompt_tokens=usage["prompt_tokens"],
            completion_tokens=usage["completion_tokens"],
            model=completion["model"],
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"an answer without choices or usage: {_shortened(content)}") from error
    texts, counts = (reply.text, reply.finish_reason, reply.model), (reply.prompt_tokens, reply.completion_tokens)
    if not all(type(text) is str for text in texts) or not all(type(count) is int for count in counts):
        raise ValueError(f"an answer of another form: {_shortened(content)}")
    reply.text.encode()  # half a surrogate pair is JSON, but no text: nothing could store it
    return reply


def _words(status: int, content: bytes) -> str:
    """HTTP status and the server's own message, without the JSON around it."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return f"HTTP {status}: {_shortened(content)}"
    error = body.get("error", body) if isinstance(body, dict) else body
    said = error.get("message", error) if isinstance(error, dict) else error
    return f"HTTP {status}: {_shortened(str(said).encode(errors='replace'))}"


def _shortened(content: bytes) -> str:
    text = content[: 8 * MOST_WORDS_OF_SERVER].decode(errors="replace")
    return " ".join(text.split())[:MOST_WORDS_OF_SERVER] or "nothing"


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds that the server asks to wait, given as such or as a date; 0 where it says nothing that can be read."""
    said = response.headers.get("Retry-After", "")
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return 0.0 if math.isnan(seconds) else max(0.0, seconds)


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:MOST_WORDS_OF_SERVER]}"


def _get(url: str, api_key: str | None, timeout_s: float) -> httpx.Response:
    try:
        key = plain_key(api_key)
    except ValueError as error:
        raise ServerUnavailable(str(error)) from None
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        return httpx.get(url, headers=headers, timeout=timeout_s, trust_env=not _is_loopback(url))
    except httpx.TransportError as error:
        raise ServerUnavailable(f"no answer from {url}: {_cause(error)}; {WHAT_TO_DO}") from error


@cache
def _trust() -> ssl.SSLContext:
    """Whose certificates are believed; read once, which takes 35 ms."""
    return httpx.create_ssl_context()


def _is_loopback(address: str) -> bool:
    """Whether the address is this machine, which a proxy from the environment would not find."""
    return urlsplit(address).hostname in {"127.0.0.1", "::1", "localhost"}
