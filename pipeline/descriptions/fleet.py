"""Servers of the same model that are asked together: who is asked next, how much at a time, who is left alone, and when
one that was away is asked again ([docs/fleet.md](../../docs/fleet.md)).

Five rules, and no more:

1. A question goes to the server that is likely to answer soonest: its pace times what it would then have to do.
2. A server that says "too much", or lets time run out, is given less at a time; each answer at its limit raises it.
3. One that cannot be reached, or fails again and again, is set aside: nothing new is sent, what fails there is asked
   elsewhere. It is looked after in the background, tried with one question, and used again when it answers.
4. A question is asked at most so often at each address. It fails when no address is left that may still answer it.
5. A question that hangs while another server has nothing better to do is asked there too, and the first answer counts.

All of it is touched from one event loop only.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from pipeline.descriptions.chat import Reply, ServerUnavailable
from pipeline.descriptions.endpoint import WHAT_TO_DO, AttemptFailed, Endpoint, Patience

FAILURES_TO_SET_ASIDE = 3
"""Failed attempts in a row, of any questions, after which a server that can be reached is set aside."""

LOWERED = 0.8
"""What a server's limit is multiplied by when it has too much: once for all that was sent before."""

WEIGHT_OF_AN_ANSWER = 0.1
"""Of the latest answer in a server's pace, which is a running mean."""

OVERTAKEN_AFTER = 2.0
"""A question that waits so many times longer than another server would take for it is asked there too."""

LOOK_EVERY_S = 0.25
"""How often that is looked at."""

IDLE_AFTER_S = 0.1
"""A place that nobody took for so long is left over; before, the next question may be on its way to it."""

FORGOTTEN_S = 10.0
"""A server's pace counts half after so long without an answer: a slow one may be quick by now, and is tried."""


@dataclass(frozen=True)
class ServerFigures:
    """How one server does. Counts since this process first asked it."""

    address: str
    in_flight: int
    limit: float
    """Most requests at a time that it is given; infinite as long as it never had too much."""
    is_aside: bool
    pace_s: float
    """Seconds that an answer takes, a running mean; 0 before the first."""
    num_answered: int
    num_failed: int
    """Attempts without an answer; each may have been made good elsewhere or later."""
    num_overtaken: int
    """Attempts that were given up because another server answered first."""
    num_set_aside: int
    num_tokens: int
    """Read and written."""


class Server:
    """One server, and how it does."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.limit = math.inf
        self.pace_s = 0.0
        self.is_aside = False
        self.last_failure = ""
        self.num_answered = self.num_failed = self.num_overtaken = self.num_set_aside = self.num_tokens = 0
        self._began: dict[int, float] = {}
        """Attempts under way by number, in the order in which they began."""
        self._num_attempts = 0
        self._quickest_s = math.inf
        self._answered_at = self._lowered_at = self._set_aside_at = 0.0  # seconds of the monotonic clock, as all below
        self._not_before = 0.0
        """It asked to be left alone until then."""
        self._failures_in_a_row = 0
        self._rounds = 0.0
        """How often in a row it was tried and found wanting since it was set aside."""
        self._may_be_tried = False
        """It is aside, but may be given one question."""
        self._care: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return self.endpoint.url

    @property
    def in_flight(self) -> int:
        return len(self._began)

    def figures(self) -> ServerFigures:
        return ServerFigures(
            address=self.url,
            in_flight=self.in_flight,
            limit=self.limit,
            is_aside=self.is_aside,
            pace_s=self.pace_s,
            num_answered=self.num_answered,
            num_failed=self.num_failed,
            num_overtaken=self.num_overtaken,
            num_set_aside=self.num_set_aside,
            num_tokens=self.num_tokens,
        )

    # Whether it may be asked

    def is_free(self, now: float) -> bool:
        """Whether it may be given one more question now."""
        return now >= self._not_before and (self._may_be_tried if self.is_aside else self.in_flight + 1 <= self.limit)

    def is_lost(self, patience: Patience) -> bool:
        """Whether nobody should wait for it any longer."""
        return self.is_aside and self._rounds >= patience.max_attempts and not self._may_be_tried

    def cost(self, now: float) -> tuple[float, int]:
        """Seconds until it would have answered one question more, if it took them one after the other. How long its
        oldest question waits already counts as its pace: one that hangs is seen before it fails."""
        if self._may_be_tried:
            return -1.0, 0
        remembered_s = self.pace_s * 0.5 ** ((now - self._answered_at) / FORGOTTEN_S)
        waits_s = now - next(iter(self._began.values()), now)
        return max(remembered_s, waits_s) * (self.in_flight + 1), self.in_flight

    # What happens to it

    def begin(self) -> int:
        """An attempt begins; returns its number."""
        self._num_attempts += 1
        self._began[self._num_attempts] = time.monotonic()
        self._may_be_tried = False
        return self._num_attempts

    def answered(self, attempt: int, reply: Reply, patience: Patience) -> None:
        now, took_s = self._end(attempt)
        is_full = self.in_flight + 2 > self.limit
        self.num_answered += 1
        self.num_tokens += reply.prompt_tokens + reply.completion_tokens
        is_new_pace = self.is_aside or not self.pace_s
        self.pace_s = took_s if is_new_pace else self.pace_s + WEIGHT_OF_AN_ANSWER * (took_s - self.pace_s)
        self._quickest_s, self._answered_at = min(self._quickest_s, took_s), now
        self._failures_in_a_row, self._rounds, self.is_aside = 0, 0.0, False
        self.stop_care()
        if took_s > patience.timeout_s / 2 and took_s > 2 * self._quickest_s:
            self._lower(now, now - took_s)  # before time runs out
        elif is_full:
            self.limit += 1 / self.limit

    def failed(self, attempt: int, failure: AttemptFailed, patience: Patience) -> bool:
        """Note it; returns whether the server is set aside by it."""
        now, took_s = self._end(attempt)
        self.num_failed += 1
        self._failures_in_a_row += 1
        self.last_failure = str(failure)
        if failure.retry_after_s:
            self._not_before = max(self._not_before, now + min(failure.retry_after_s, patience.longest_pause_s))
        if failure.is_too_late or failure.is_too_much:
            self._lower(now, now - took_s)
        if failure.is_too_much:
            self.limit = min(self.limit, max(1.0, self.in_flight))  # what it did take is what it bears
        if self.is_aside and now - took_s < self._set_aside_at:
            return False  # what fails together sets it aside once
        is_due = not failure.is_reached or self._failures_in_a_row >= FAILURES_TO_SET_ASIDE
        if not (self.is_aside or is_due or failure.is_setup):
            return False
        self.num_set_aside += not self.is_aside
        self.is_aside, self._set_aside_at = True, now
        self._rounds = math.inf if failure.is_setup else self._rounds + 1
        return True

    def overtaken(self, attempt: int, patience: Patience) -> bool:
        """Another server answered first; returns whether this one is set aside by it."""
        self.num_overtaken += 1
        self.pace_s = max(self.pace_s, time.monotonic() - self._began[attempt])
        return self.failed(attempt, AttemptFailed("no answer when another server had given one"), patience)

    def given_up(self, attempt: int) -> None:
        """Nobody wants the answer any more."""
        self._end(attempt)
        self._may_be_tried = self.is_aside and self._care is None and self._rounds < math.inf

    def _end(self, attempt: int) -> tuple[float, float]:
        now = time.monotonic()
        return now, now - self._began.pop(attempt)

    def _lower(self, now: float, sent_at: float) -> None:
        """Once for all that was sent before the last time."""
        if sent_at >= self._lowered_at:
            held = self.in_flight + 1.0 if self.limit == math.inf else self.limit
            self.limit, self._lowered_at = max(1.0, LOWERED * held), now

    # Looking after one that is aside

    def begin_care(self, fleet: Fleet) -> None:
        """Look after it, unless it is set up otherwise, which no waiting mends."""
        self.stop_care()
        if self._rounds < math.inf:
            self._care = asyncio.get_running_loop().create_task(self._look_after(fleet))

    async def _look_after(self, fleet: Fleet) -> None:
        """Ask for its health, after pauses that grow, until it may be tried with a question."""
        while True:
            await asyncio.sleep(fleet.patience.pause_s(int(self._rounds)))
            if (trouble := await self.endpoint.trouble()) is None:
                break
            self.last_failure, self._rounds = trouble, self._rounds + 1
            fleet.hand_out()
        self._may_be_tried, self._care = True, None
        fleet.hand_out()

    def give_a_chance(self, patience: Patience) -> None:
        """Let it be tried at once, if nobody looks after it or waits for it any more."""
        if self.is_aside and (self._care is None or self.is_lost(patience)):
            self.stop_care()
            self._rounds, self._may_be_tried = 0.0, True

    def stop_care(self) -> None:
        """Look after it no more: it answers, or nobody asks."""
        if self._care is not None:
            self._care.cancel()
            self._care = None


@dataclass(eq=False)
class _Question:
    """One question on its way through the fleet."""

    body: bytes
    patience: Patience
    is_further: bool
    failures: dict[Server, list[str]] = field(default_factory=dict)
    not_before: dict[Server, float] = field(default_factory=dict)
    """Where it failed: when it may be asked there again."""
    is_answered: bool = False

    def may_go_to(self, server: Server, now: float) -> bool:
        return self.not_before.get(server, 0.0) <= now

    def is_hopeless(self, servers: Sequence[Server]) -> bool:
        return all(s.is_lost(self.patience) or self.not_before.get(s) == math.inf for s in servers)

    def unavailable(self, servers: Sequence[Server]) -> ServerUnavailable:
        stories = [
            f"{server.url} in {len(failures)} attempt{'s' if len(failures) > 1 else ''}, the last: {failures[-1]}"
            if (failures := self.failures.get(server))
            else f"{server.url}, which is set aside: {server.last_failure}"
            for server in servers
        ]
        return ServerUnavailable(f"no answer from {'; nor from '.join(stories)}; {WHAT_TO_DO}")


Place = tuple[Server, int]
"""A server, and the number of the attempt that has begun there."""


@dataclass(eq=False)
class _Waiting:
    """A question that waits for a place."""

    question: _Question
    place: asyncio.Future[Place]


class Fleet:
    """The servers, under one bound of requests at a time, and the questions that wait for a place.

    A freed place goes first to a talk's further questions, whose beginning a server still holds in its cache, and to
    those that failed elsewhere; then by turn.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.servers = [Server(endpoint) for endpoint in endpoints]
        self.patience = Patience()
        self._bounds: list[int] = []
        self._first: deque[_Waiting] = deque()
        self._further: deque[_Waiting] = deque()
        self._idle_since = math.inf
        """Since when there is a place and nobody who waits for one."""

    @contextmanager
    def used(self, bound: int, patience: Patience) -> Iterator[None]:
        """For one call: of several at a time the smallest bound holds. Each begins with hope for all servers."""
        self._bounds.append(bound)
        self.patience = patience
        for server in self.servers:
            server.give_a_chance(patience)
        try:
            yield
        finally:
            self._bounds.remove(bound)
            if not self._bounds:
                for server in self.servers:
                    server.stop_care()
            self.hand_out()

    async def ask(self, body: bytes, patience: Patience, *, is_further: bool) -> Reply:
        """Ask until one server answers.

        Raises:
            ServerUnavailable: none did that may be asked.
            RequestRefused: a server will not answer it, ever.
        """
        question = _Question(body, patience, is_further)
        while True:
            place = await self._place(question)
            with suppress(AttemptFailed):
                if len(self.servers) == 1:
                    return await self._attempt(question, place)
                return await self._first_answer(question, place)
            question.is_further = True

    async def _place(self, question: _Question) -> Place:
        """Wait for a place at a server.

        Raises:
            ServerUnavailable: there is none to wait for.
        """
        if question.is_hopeless(self.servers):
            raise question.unavailable(self.servers)
        waiting = _Waiting(question, asyncio.get_running_loop().create_future())
        queue = self._further if question.is_further else self._first
        queue.append(waiting)
        self.hand_out()
        try:
            return await waiting.place
        except asyncio.CancelledError:
            if waiting.place.cancelled():
                with suppress(ValueError):
                    queue.remove(waiting)
            else:
                server, attempt = waiting.place.result()
                server.given_up(attempt)
                self.hand_out()
            raise

    def hand_out(self) -> None:
        """Give the places that there are to the questions that wait, and end those that wait for nothing."""
        now = time.monotonic()
        num_free = min(self._bounds, default=0) - sum(server.in_flight for server in self.servers)
        for queue in (self._further, self._first):
            stay: list[_Waiting] = []
            while num_free > 0 and queue and (free := [server for server in self.servers if server.is_free(now)]):
                waiting = queue.popleft()
                if waiting.place.done():
                    continue
                if able := [server for server in free if waiting.question.may_go_to(server, now)]:
                    server = min(able, key=lambda server: server.cost(now))
                    waiting.place.set_result((server, server.begin()))
                    num_free -= 1
                else:
                    stay.append(waiting)
            queue.extendleft(reversed(stay))
        is_idle = num_free > 0 and not (self._first or self._further)
        self._idle_since = min(self._idle_since, now) if is_idle else math.inf
        if any(server.is_aside for server in self.servers):
            for waiting in [*self._further, *self._first]:
                if waiting.question.is_hopeless(self.servers) and not waiting.place.done():
                    waiting.place.set_exception(waiting.question.unavailable(self.servers))

    async def _attempt(self, question: _Question, place: Place) -> Reply:
        """Ask once."""
        server, attempt = place
        if question.is_answered:  # in the moment in which it was to be asked here too
            server.given_up(attempt)
            raise AttemptFailed("was answered elsewhere")
        try:
            reply = await server.endpoint.attempt(question.body, question.patience.timeout_s)
        except AttemptFailed as failure:
            if server.failed(attempt, failure, question.patience):
                server.begin_care(self)
            self._learn(question, server, failure)
            raise
        except asyncio.CancelledError:
            if not question.is_answered:
                server.given_up(attempt)
            elif server.overtaken(attempt, question.patience):
                server.begin_care(self)
            raise
        except BaseException:
            server.given_up(attempt)
            raise
        else:
            question.is_answered = True
            server.answered(attempt, reply, question.patience)
            return reply
        finally:
            asyncio.get_running_loop().call_soon(self.hand_out)  # after the talk could ask its further question

    def _learn(self, question: _Question, server: Server, failure: AttemptFailed) -> None:
        """When this question may be asked there again, if ever."""
        failures = question.failures.setdefault(server, [])
        failures.append(str(failure))
        asked_s = min(failure.retry_after_s, question.patience.longest_pause_s)
        pause_s = max(question.patience.pause_s(len(failures)), asked_s)
        is_spent = failure.is_setup or len(failures) >= question.patience.max_attempts
        question.not_before[server] = math.inf if is_spent else time.monotonic() + pause_s
        asyncio.get_running_loop().call_later(pause_s, self.hand_out)

    async def _first_answer(self, question: _Question, place: Place) -> Reply:
        """The answer of this server, or of another that is asked too because this one hangs."""
        began, is_asked_twice = time.monotonic(), False
        under_way = {asyncio.create_task(self._attempt(question, place))}
        try:
            while True:
                done, under_way = await asyncio.wait(under_way, timeout=LOOK_EVERY_S, return_when="FIRST_COMPLETED")
                for one in sorted(done, key=lambda one: one.exception() is not None):  # an answer before a failure
                    if not under_way or not isinstance(one.exception(), AttemptFailed):
                        return one.result()
                if not is_asked_twice and (other := self._quicker_than(time.monotonic() - began, question, place[0])):
                    is_asked_twice = True
                    under_way.add(asyncio.create_task(self._attempt(question, (other, other.begin()))))
        finally:
            for one in under_way:
                one.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def _quicker_than(self, waited_s: float, question: _Question, server: Server) -> Server | None:
        """Another server that would long have answered, and that nobody else has asked for a while."""
        now = time.monotonic()
        is_full = sum(s.in_flight for s in self.servers) >= min(self._bounds, default=0)
        if is_full or now < self._idle_since + IDLE_AFTER_S:
            return None
        others = [s for s in self.servers if s is not server and s.pace_s and not s.is_aside]
        able = [s for s in others if s.is_free(now) and question.may_go_to(s, now)]
        best = min(able, key=lambda other: other.cost(now), default=None)
        return best if best is not None and waited_s > OVERTAKEN_AFTER * best.cost(now)[0] else None
