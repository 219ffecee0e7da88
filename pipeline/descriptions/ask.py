"""Ask OpenAI-compatible servers as many requests at a time as they bear, and keep each answer when it arrives.

Everything is asked from one event loop in a thread of its own, so that threads that ask the same servers at the same
time share one bound, one set of connections, and what is known about which server lives.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING

from pipeline.descriptions.chat import Answer, Reply, Request, RequestRefused, ServerUnavailable
from pipeline.descriptions.endpoint import WHAT_TO_DO, AttemptFailed, Endpoint, Patience, engine_version, list_models

if TYPE_CHECKING:
    from pipeline.descriptions.journal import KeptAnswers
    from pipeline.stage import Resources

__all__ = [
    "Answer",
    "AskSettings",
    "Ended",
    "Patience",
    "Reply",
    "Request",
    "RequestRefused",
    "ServerUnavailable",
    "Talk",
    "addresses_of",
    "ask_all",
    "converse",
    "engine_version",
    "list_models",
]


@dataclass(frozen=True)
class AskSettings:
    """Whom to ask, and how much at a time."""

    addresses: tuple[str, ...]
    """Servers of the same model, such as http://127.0.0.1:8000/v1; the least busy one that lives is asked."""
    concurrency: int = 32
    """Requests under way at all addresses together, of all threads that ask them. The smallest bound of those holds."""
    api_key: str | None = field(default=None, repr=False)
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {self.concurrency}")
        if not self.addresses:
            raise ValueError("no address of a language-model server: give at least one")

    @classmethod
    def of(cls, resources: Resources) -> AskSettings:
        """What the resources of a run say.

        Raises:
            ValueError: they name no server, or a variable for its key that is not set.
        """
        if resources.server is None:
            raise ValueError(
                "no language-model server: start one (`facescribe serve`) and give its address as --server"
            )
        variable = resources.api_key_variable
        if variable and not os.environ.get(variable):
            raise ValueError(f"the environment variable {variable} is not set: put the server's key into it")
        patience = Patience(timeout_s=resources.request_timeout_s, max_attempts=resources.request_attempts)
        key = os.environ[variable] if variable else None
        return cls(addresses_of(resources.server), resources.concurrency, key, patience)


def addresses_of(server: str) -> tuple[str, ...]:
    """The addresses in a list with commas, each once, in its order."""
    return tuple(dict.fromkeys(part.strip().rstrip("/") for part in server.split(",") if part.strip()))


NextRequest = Callable[[Reply, int], Request | None]
"""Given a reply and how many there are by now: the talk's next request, or None to end it. Pure and quick: it runs
between the others' answers."""


def one_reply(reply: Reply, num_replies: int) -> None:
    """Of a talk that ends with its first reply, whatever it is."""


@dataclass(frozen=True)
class Talk:
    """A first request, and what to ask next about its reply: a reply that is not good enough can be sent back."""

    request: Request
    next_request: NextRequest = one_reply
    video_id: str = ""
    """What the question is about, to find its kept answers by."""
    generation: int = 0
    """Answers kept in another generation do not serve: how a backfill has the same question asked anew."""


@dataclass(frozen=True)
class Ended:
    """All that was said in a talk."""

    requests: tuple[Request, ...]
    """As they were asked; the last one has no reply where the talk failed on it."""
    replies: tuple[Reply, ...]
    failure: Exception | None = None
    """ServerUnavailable or RequestRefused; or else a mistake in the talk's own `next_request`."""


def converse(
    talks: Sequence[Talk], *, asker: AskSettings, kept: KeptAnswers | None = None
) -> Generator[tuple[int, Ended], None, None]:
    """Yield (position, what was said) of each talk as soon as it ends.

    With `kept`, a question that was ever answered is not asked again, each answer is kept the moment it arrives, and of
    equal questions under way at once only one is asked. Failures are yielded, never raised, and never kept.

    Once a request has spent its attempts on an address that cannot be reached, or two in a row on one that fails, that
    address is out for the rest of the call; when all are, the remaining talks end at once instead of waiting as long
    each. An iterator that is closed early, or interrupted, cancels what is under way.

    Raises:
        OSError, JournalError: an answer could not be kept.
    """
    desk, call = _desk(), _Call(talks, asker, kept)
    try:
        desk.loop.call_soon_threadsafe(call.start, desk)
        while (item := call.arrived.get()) is not None:
            yield item
        call.raise_mistake()
    finally:
        desk.loop.call_soon_threadsafe(call.cancel)
        call.ended.wait()


def ask_all(
    requests: Sequence[Request],
    *,
    address: str,
    concurrency: int = 32,
    api_key: str | None = None,
    patience: Patience | None = None,
) -> Iterator[tuple[int, Answer]]:
    """Yield (position, answer) for single questions, as the answers arrive. Failures are yielded, as by `converse`."""
    asker = AskSettings(addresses_of(address), concurrency, api_key, patience or Patience())
    for position, ended in converse([Talk(request) for request in requests], asker=asker):
        if isinstance(ended.failure, ServerUnavailable | RequestRefused):
            yield position, ended.failure
        elif ended.failure is not None:
            raise ended.failure
        else:
            yield position, ended.replies[0]


class _Call:
    """The talks of one `converse`, and what they learned together about the addresses."""

    def __init__(self, talks: Sequence[Talk], asker: AskSettings, kept: KeptAnswers | None) -> None:
        self.arrived: SimpleQueue[tuple[int, Ended] | None] = SimpleQueue()
        self.ended = threading.Event()
        self._waiting = iter(enumerate(talks))
        self._num_talks = len(talks)
        self._asker = asker
        self._kept = kept
        self._given_up: Counter[Endpoint] = Counter()
        """Requests in a row that spent their attempts at an address."""
        self._lost: dict[Endpoint, str] = {}
        """Addresses that are out for the rest of the call, and why."""
        self._all_lost = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._mistake: BaseException | None = None

    def start(self, desk: _Desk) -> None:
        self._work = desk.loop.create_task(self._run(desk))
        self._work.add_done_callback(self._end)

    def cancel(self) -> None:
        if self._work is None:
            self.ended.set()
        else:
            self._work.cancel()

    def raise_mistake(self) -> None:
        """Raise what ended the call before its talks did."""
        mistake = self._mistake
        while isinstance(mistake, BaseExceptionGroup):
            mistake = mistake.exceptions[0]
        if mistake is not None:
            raise mistake

    def _end(self, work: asyncio.Task[None]) -> None:
        self._mistake = None if work.cancelled() else work.exception()
        self.ended.set()
        self.arrived.put(None)

    async def _run(self, desk: _Desk) -> None:
        self._desk, self._servers = desk, desk.servers_of(self._asker)
        with self._servers.slots.bounded_by(self._asker.concurrency):
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._asker.concurrency, self._num_talks)):
                    group.create_task(self._talk_in_turn())

    async def _talk_in_turn(self) -> None:
        for position, talk in self._waiting:
            self.arrived.put((position, await self._talk(talk)))
            await asyncio.sleep(0)  # kept answers come without waiting, and the others shall have their turn

    async def _talk(self, talk: Talk) -> Ended:
        requests, replies = [talk.request], list[Reply]()
        try:
            question = talk.request.canonical()
        except Exception as mistake:
            return Ended(tuple(requests), (), mistake)
        while True:
            try:
                replies.append(await self._answer(question, talk, is_further=bool(replies)))
            except (ServerUnavailable, RequestRefused) as failure:
                return Ended(tuple(requests), tuple(replies), failure)
            try:
                further = talk.next_request(replies[-1], len(replies))
                if further is None:
                    return Ended(tuple(requests), tuple(replies))
                question = further.canonical()
            except Exception as mistake:  # of this talk alone
                return Ended(tuple(requests), tuple(replies), mistake)
            requests.append(further)

    async def _answer(self, question: str, talk: Talk, *, is_further: bool) -> Reply:
        """The kept answer, or that of an equal question under way, or else the server's."""
        if self._kept is None:
            return await self._ask(question, is_further=is_further)
        key, flights = self._kept.key(question, talk.generation), self._desk.flights
        flight = (str(self._kept.path), key)
        while (kept := self._kept.get(key)) is None and flight in flights:
            await flights[flight].wait()
        if kept is not None:
            return kept
        landed = flights[flight] = asyncio.Event()
        try:
            reply = await self._ask(question, is_further=is_further)
            self._kept.put(key, reply, talk.video_id)  # nothing is awaited in between: an answer that is here is kept
            return reply
        finally:
            del flights[flight]
            landed.set()

    async def _ask(self, question: str, *, is_further: bool) -> Reply:
        """Ask until one address answers, each at most so often. The slot is held through the pauses: a server that
        fails or asks to wait is asked less."""
        body, failures = question.encode(), dict[Endpoint, list[str]]()
        async with self._servers.slots.one(is_further=is_further):
            while True:
                address, pause_s = self._next_address(failures)
                if pause_s > 0:
                    await self._pause(pause_s)
                    if address in self._lost:
                        continue
                try:
                    reply = await address.attempt(body, self._asker.patience)
                except AttemptFailed as failure:
                    failures.setdefault(address, []).append(str(failure))
                    self._learn(address, failure, failures[address])
                else:
                    self._given_up[address] = 0
                    return reply

    def _next_address(self, failures: Mapping[Endpoint, list[str]]) -> tuple[Endpoint, float]:
        """Where to ask next, and after what pause: where it can be at once, and is least busy.

        Raises:
            ServerUnavailable: there is no address left for this request.
        """
        patience, num_failed = self._asker.patience, {at: len(failures.get(at, ())) for at in self._servers.addresses}
        left = [at for at in num_failed if at not in self._lost and num_failed[at] < patience.max_attempts]
        if not left:
            raise ServerUnavailable(self._unavailable(failures))
        pauses_s = {at: at.pause_s(num_failed[at], patience) for at in left}
        address = min(left, key=lambda at: (not at.is_open(), pauses_s[at], at.in_flight))
        return address, pauses_s[address]

    def _learn(self, address: Endpoint, failure: AttemptFailed, failures: list[str]) -> None:
        """One request that a living server fails on may be to blame itself, two in a row hardly."""
        is_given_up = len(failures) == self._asker.patience.max_attempts
        self._given_up[address] += is_given_up
        if failure.is_setup or (is_given_up and (not failure.is_reached or self._given_up[address] > 1)):
            self._lost.setdefault(address, _story(address, failures))
        if len(self._lost) == len(self._servers.addresses):
            self._all_lost.set()

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than there is hope."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all_lost.wait()

    def _unavailable(self, failures: Mapping[Endpoint, list[str]]) -> str:
        stories = [
            _story(address, failures[address]) if address in failures else self._lost[address]
            for address in self._servers.addresses
        ]
        return f"no answer from {'; nor from '.join(stories)}; {WHAT_TO_DO}"


def _story(address: Endpoint, failures: Sequence[str]) -> str:
    attempts = f"{len(failures)} attempt{'s' if len(failures) > 1 else ''}"
    return f"{address.url} in {attempts}, the last: {failures[-1]}"


class _Slots:
    """The bound of requests under way. Freed slots go to those who wait: first to a talk's further requests, whose
    beginning the server still holds in its cache, then by turn."""

    def __init__(self) -> None:
        self._bounds: list[int] = []
        self._num_taken = 0
        self._first: deque[asyncio.Future[None]] = deque()
        self._further: deque[asyncio.Future[None]] = deque()

    @contextmanager
    def bounded_by(self, bound: int) -> Iterator[None]:
        self._bounds.append(bound)
        try:
            yield
        finally:
            self._bounds.remove(bound)
            self._hand_out()

    @asynccontextmanager
    async def one(self, *, is_further: bool) -> AsyncIterator[None]:
        await self._take(self._further if is_further else self._first)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, queue: deque[asyncio.Future[None]]) -> None:
        mine = asyncio.get_running_loop().create_future()
        queue.append(mine)
        self._hand_out()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.cancelled():
                with suppress(ValueError):
                    queue.remove(mine)
            else:
                self._give_back()
            raise

    def _give_back(self) -> None:
        self._num_taken -= 1
        asyncio.get_running_loop().call_soon(self._hand_out)  # after the talk could ask its further request

    def _hand_out(self) -> None:
        while (queue := self._further or self._first) and self._num_taken < min(self._bounds, default=0):
            waiting = queue.popleft()
            if not waiting.done():
                waiting.set_result(None)
                self._num_taken += 1


class _Servers:
    """The servers that are asked together, under one bound."""

    def __init__(self, addresses: Sequence[Endpoint]) -> None:
        self.addresses = addresses
        self.slots = _Slots()


class _Desk:
    """The one event loop of this process, in its thread, and what the calls share. All of it is touched there only."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.flights: dict[tuple[str, str], asyncio.Event] = {}
        """By journal and key, the questions under way whose answers will be kept."""
        self._endpoints: dict[tuple[str, str | None], Endpoint] = {}
        self._servers: dict[tuple[Endpoint, ...], _Servers] = {}
        threading.Thread(target=self.loop.run_forever, name="ask", daemon=True).start()

    def servers_of(self, asker: AskSettings) -> _Servers:
        for url in asker.addresses:
            if (url, asker.api_key) not in self._endpoints:
                self._endpoints[url, asker.api_key] = Endpoint(url, asker.api_key)
        endpoints = tuple(self._endpoints[url, asker.api_key] for url in asker.addresses)
        return self._servers.setdefault(endpoints, _Servers(endpoints))


_the_desk: _Desk | None = None
_making_desk = threading.Lock()


def _desk() -> _Desk:
    global _the_desk  # noqa: PLW0603 - one process, one loop
    with _making_desk:
        _the_desk = _the_desk or _Desk()
        return _the_desk


def _forget_desk() -> None:
    """A forked process has the memory of its parent's loop, but not its thread."""
    global _the_desk, _making_desk
    _the_desk, _making_desk = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_desk)
