"""Ask OpenAI-compatible servers as many requests at a time as they bear, and keep each answer when it arrives.

Everything is asked from one event loop in a thread of its own, so that threads that ask the same servers at the same
time share one fleet: its bound, its connections, and what is known about each server.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from queue import SimpleQueue
from typing import TYPE_CHECKING

from pipeline.descriptions.chat import Answer, Reply, Request, RequestRefused, ServerUnavailable
from pipeline.descriptions.endpoint import Endpoint, Patience, engine_version, list_models, plain_key
from pipeline.descriptions.fleet import Fleet, ServerFigures

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
    "ServerFigures",
    "ServerUnavailable",
    "Talk",
    "addresses_of",
    "ask_all",
    "converse",
    "engine_version",
    "fleet_figures",
    "list_models",
]


AHEAD = 32
"""Talks that are open beside those that servers may have: ready to be asked, or ended and not yielded yet."""


@dataclass(frozen=True)
class AskSettings:
    """Whom to ask, and how much at a time."""

    addresses: tuple[str, ...]
    """Servers of the same model, such as http://127.0.0.1:8000/v1; the one that is likely to answer first is asked."""
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
        key = plain_key(os.environ[variable]) if variable else None
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
    talks: Iterable[Talk], *, asker: AskSettings, kept: KeptAnswers | None = None
) -> Generator[tuple[int, Ended], None, None]:
    """Yield (position, what was said) of each talk as soon as it ends.

    Talks are made as they are needed, in the calling thread, and `asker.concurrency` + AHEAD of them are open at most:
    what is held in memory does not grow with their number.

    With `kept`, a question that was ever answered is not asked again, each answer is kept the moment it arrives, and of
    equal questions under way at once only one is asked. Failures are yielded, never raised, and never kept.

    What is asked where, and what becomes of a server that fails, is the fleet's business. When no server is left that
    may answer, the remaining talks end at once instead of waiting as long each. An iterator that is closed early, or
    interrupted, cancels what is under way.

    Raises:
        OSError, JournalError: an answer could not be kept.
    """
    desk, call = _desk(), _Call(asker, kept)
    left = chain(enumerate(talks), [None])

    def offer(num: int) -> None:
        for item in islice(left, num):
            desk.loop.call_soon_threadsafe(call.offered.put_nowait, item)

    try:
        desk.loop.call_soon_threadsafe(call.start, desk)
        offer(asker.concurrency + AHEAD)
        while (item := call.arrived.get()) is not None:
            offer(1)
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
    """The talks of one `converse`, and what they wait for."""

    def __init__(self, asker: AskSettings, kept: KeptAnswers | None) -> None:
        self.offered: asyncio.Queue[tuple[int, Talk] | None] = asyncio.Queue()
        """None: there are no more."""
        self.arrived: SimpleQueue[tuple[int, Ended] | None] = SimpleQueue()
        self.ended = threading.Event()
        self._asker = asker
        self._kept = kept
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
        self._desk, self._fleet = desk, desk.fleet_of(self._asker)
        with self._fleet.used(self._asker.concurrency, self._asker.patience):
            async with asyncio.TaskGroup() as group:
                while (offer := await self.offered.get()) is not None:
                    group.create_task(self._hold(*offer))

    async def _hold(self, position: int, talk: Talk) -> None:
        self.arrived.put((position, await self._talk(talk)))

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
            return await self._ask(question, is_further)
        key, flights = self._kept.key(question, talk.generation), self._desk.flights
        flight = (str(self._kept.path), key)
        while (kept := self._kept.get(key)) is None and flight in flights:
            await flights[flight].wait()
        if kept is not None:
            return kept
        landed = flights[flight] = asyncio.Event()
        try:
            reply = await self._ask(question, is_further)
            self._kept.put(key, reply, talk.video_id)  # nothing is awaited in between: an answer that is here is kept
            return reply
        finally:
            del flights[flight]
            landed.set()

    async def _ask(self, question: str, is_further: bool) -> Reply:
        return await self._fleet.ask(question.encode(), self._asker.patience, is_further=is_further)


class _Desk:
    """The one event loop of this process, in its thread, and what the calls share. All of it is touched there only."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.flights: dict[tuple[str, str], asyncio.Event] = {}
        """By journal and key, the questions under way whose answers will be kept."""
        self._fleets: dict[tuple[tuple[str, ...], str | None], Fleet] = {}
        """By addresses and key."""
        threading.Thread(target=self.loop.run_forever, name="ask", daemon=True).start()

    def fleet_of(self, asker: AskSettings) -> Fleet:
        named = asker.addresses, asker.api_key
        if named not in self._fleets:
            self._fleets[named] = Fleet([Endpoint(url, asker.api_key) for url in asker.addresses])
        return self._fleets[named]

    def figures(self) -> list[ServerFigures]:
        return [server.figures() for fleet in list(self._fleets.values()) for server in fleet.servers]


def fleet_figures() -> list[ServerFigures]:
    """How each server does that this process has asked, from any thread."""
    return [] if _the_desk is None else _the_desk.figures()


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
