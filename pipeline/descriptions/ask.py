"""Ask any OpenAI-compatible server over HTTP, many requests at a time, and tell "try later" from "never".

A failure is one of two. `ServerUnavailable` is transient: nothing is wrong with the request, a later run asks again.
`RequestRefused` is permanent: the server read the request and said no, and would again.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
from openai.types.chat import ChatCompletion

MOST_WORDS_OF_SERVER = 500
"""Characters of a server's own error message that are kept."""

TRANSIENT_STATUS = {408, 409, 425, 429}
"""Refusals that are over after a while, beside every 5xx."""

SETUP_STATUS = {401, 403, 404}
"""Refusals of the address, the key or the model name: no request would pass, and none is to blame."""


class ServerUnavailable(RuntimeError):
    """The server gave no answer: away, overloaded, failing or set up otherwise. Transient."""


class RequestRefused(RuntimeError):
    """The server will not answer this request, in its own words. Permanent."""


@dataclass(frozen=True)
class Request:
    """One question, with everything that decides its answer."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    """Role and content, as the chat API takes them."""
    json_schema: Mapping[str, Any] | None = None
    """The schema that the answer must follow; None leaves its form open."""
    max_tokens: int = 256
    temperature: float = 0.0

    def body(self) -> dict[str, Any]:
        """The JSON that is sent, all of it."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(message) for message in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }
        if self.json_schema is not None:
            schema = {"name": "answer", "schema": dict(self.json_schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def canonical(self) -> str:
        """`body` as compact JSON, to make keys from. Keys are not sorted: a schema's order is the answer's order."""
        return json.dumps(self.body(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Reply:
    """One answer as the server gave it, unjudged."""

    text: str
    finish_reason: str
    """`stop`, or `length` for one cut at `max_tokens`."""
    prompt_tokens: int
    completion_tokens: int
    model: str
    """The model's name as the server says it."""


Answer = Reply | ServerUnavailable | RequestRefused


@dataclass(frozen=True)
class Patience:
    """How long and how often a server is asked before it counts as unavailable."""

    timeout_s: float = 120.0
    """For one attempt, from connecting to the last byte."""
    max_attempts: int = 4
    first_pause_s: float = 0.5
    """Before the second attempt; each further pause is twice as long, and each is varied by up to half."""
    longest_pause_s: float = 20.0


def ask_all(
    requests: Sequence[Request],
    *,
    address: str,
    concurrency: int,
    api_key: str | None = None,
    patience: Patience = Patience(),
) -> Iterator[tuple[int, Answer]]:
    """Yield (position, answer) for each request, as the answers arrive.

    At most `concurrency` requests are under way. Failures are yielded, not raised. Once a request has spent its
    attempts on a server that cannot be reached, or two in a row on one that fails, the rest fail at once instead of
    waiting as long each. An iterator that is closed early cancels what is under way.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, got {concurrency}")
    arrived: SimpleQueue[tuple[int, Answer] | None] = SimpleQueue()
    asker = _Asker(requests, address, api_key or "none", patience, arrived)
    loop = asyncio.new_event_loop()
    work = loop.create_task(asker.ask_all(concurrency))

    def run() -> None:
        try:
            loop.run_until_complete(asyncio.wait([work]))
        finally:
            loop.close()
            arrived.put(None)

    thread = threading.Thread(target=run, name="ask", daemon=True)  # in a thread, answers arrive while the caller works
    thread.start()
    try:
        while (item := arrived.get()) is not None:
            yield item
        work.result()  # a mistake of ours is raised here, not lost
    finally:
        with suppress(RuntimeError):  # the loop is closed: nothing is under way
            loop.call_soon_threadsafe(work.cancel)
        thread.join()


def list_models(address: str, *, api_key: str | None = None, timeout_s: float = 10.0) -> list[str]:
    """The names of the models that the server at `address` serves.

    Raises:
        ServerUnavailable: it does not answer, or not as an OpenAI-compatible server does.
    """
    response = _get(f"{address.rstrip('/')}/models", api_key, timeout_s)
    try:
        return [str(model["id"]) for model in response.raise_for_status().json()["data"]]
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError) as error:
        raise ServerUnavailable(
            f"{address} answered {response.status_code} without a list of models ({error!r}); {_WHAT_TO_DO}"
        ) from error


def engine_version(address: str, *, api_key: str | None = None, timeout_s: float = 10.0) -> str | None:
    """The version of vLLM that serves `address`; None from a server that does not say.

    Raises:
        ServerUnavailable: it does not answer at all.
    """
    parts = urlsplit(address)
    response = _get(f"{parts.scheme}://{parts.netloc}/version", api_key, timeout_s)
    try:
        return str(response.raise_for_status().json()["version"])
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError):
        return None


_WHAT_TO_DO = "check that the server runs and that its address, key and model name are right, then run again"


class _Asker:
    """The requests of one `ask_all`, and what they learned together about the server."""

    def __init__(
        self,
        requests: Sequence[Request],
        address: str,
        api_key: str,
        patience: Patience,
        arrived: SimpleQueue[tuple[int, Answer] | None],
    ) -> None:
        self._waiting = iter(enumerate(requests))
        self._address = address
        self._api_key = api_key
        self._patience = patience
        self._arrived = arrived
        self._num_failed_in_a_row = 0
        self._away: ServerUnavailable | None = None

    async def ask_all(self, concurrency: int) -> None:
        async with (
            openai.AsyncOpenAI(
                base_url=self._address,
                api_key=self._api_key,
                max_retries=0,  # retried here, where attempts are counted and shared
                http_client=openai.DefaultAsyncHttpxClient(trust_env=not _is_loopback(self._address)),
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(concurrency):
                group.create_task(self._ask_in_turn(client))

    async def _ask_in_turn(self, client: openai.AsyncOpenAI) -> None:
        for index, request in self._waiting:
            self._arrived.put((index, await self._ask(client, request)))

    async def _ask(self, client: openai.AsyncOpenAI, request: Request) -> Answer:
        failure, is_reached = "", True
        for attempt in range(1, self._patience.max_attempts + 1):
            if attempt > 1:
                await asyncio.sleep(self._pause_s(attempt - 1))
            if self._away is not None:
                return self._away
            try:
                async with asyncio.timeout(self._patience.timeout_s):
                    answer = await self._attempt(client, request)
                self._num_failed_in_a_row = 0
                return answer
            except TimeoutError:
                failure, is_reached = f"no answer within {self._patience.timeout_s:g} s", True
            except openai.APIStatusError as error:
                failure, is_reached = _words(error), True
                if error.status_code in SETUP_STATUS:
                    self._away = self._unavailable(attempt, failure)
                    return self._away
            except (openai.APIError, ValueError) as error:  # ValueError: an answer that is no JSON
                failure, is_reached = _cause(error), not isinstance(error, openai.APIConnectionError)
        return self._given_up(failure, is_reached)

    def _given_up(self, failure: str, is_reached: bool) -> ServerUnavailable:
        """One request that a living server fails on may be to blame itself, two in a row hardly."""
        unavailable = self._unavailable(self._patience.max_attempts, failure)
        self._num_failed_in_a_row += 1
        if not is_reached or self._num_failed_in_a_row > 1:
            self._away = unavailable
        return unavailable

    async def _attempt(self, client: openai.AsyncOpenAI, request: Request) -> Reply | RequestRefused:
        """One attempt. Raises TimeoutError, ValueError or openai.APIError for what may pass another time."""
        try:
            completion = await client.post("/chat/completions", body=request.body(), cast_to=ChatCompletion)
        except openai.APIStatusError as error:
            if error.status_code >= 500 or error.status_code in TRANSIENT_STATUS | SETUP_STATUS:
                raise
            return RequestRefused(f"the server at {self._address} refused the request: {_words(error)}")
        return _reply(completion)

    def _pause_s(self, num_failed: int) -> float:
        pause_s = self._patience.first_pause_s * 2.0 ** (num_failed - 1)
        return min(pause_s, self._patience.longest_pause_s) * random.uniform(0.5, 1.5)

    def _unavailable(self, attempts: int, failure: str) -> ServerUnavailable:
        return ServerUnavailable(
            f"no answer from {self._address} in {attempts} attempt{'s' if attempts > 1 else ''}, "
            f"the last: {failure}; {_WHAT_TO_DO}"
        )


def _reply(completion: ChatCompletion) -> Reply:
    if not isinstance(completion, ChatCompletion) or not completion.choices or completion.usage is None:
        raise ValueError(f"an answer without choices or usage: {str(completion)[:MOST_WORDS_OF_SERVER]}")
    choice = completion.choices[0]
    return Reply(
        text=choice.message.content or "",
        finish_reason=choice.finish_reason,
        prompt_tokens=completion.usage.prompt_tokens,
        completion_tokens=completion.usage.completion_tokens,
        model=completion.model,
    )


def _words(error: openai.APIStatusError) -> str:
    """HTTP status and the server's own message, without the JSON around it."""
    body = error.body
    said = body.get("message", body) if isinstance(body, Mapping) else body or error.response.text
    return f"HTTP {error.status_code}: {' '.join(str(said).split())[:MOST_WORDS_OF_SERVER]}"


def _cause(error: Exception) -> str:
    """What the network said; the client's own message for all of it is `Connection error.`"""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {str(cause)[:MOST_WORDS_OF_SERVER]}"


def _get(url: str, api_key: str | None, timeout_s: float) -> httpx.Response:
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        return httpx.get(url, headers=headers, timeout=timeout_s, trust_env=not _is_loopback(url))
    except httpx.TransportError as error:
        raise ServerUnavailable(f"no answer from {url}: {_cause(error)}; {_WHAT_TO_DO}") from error


def _is_loopback(address: str) -> bool:
    """Whether the address is this machine, which a proxy from the environment would not find."""
    return urlsplit(address).hostname in {"127.0.0.1", "::1", "localhost"}
