"""Servers that are slow, full, silent, dead or away for a while: who is asked, how much, and that nothing is lost."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.descriptions import fleet as fleet_module
from pipeline.descriptions.ask import (
    AskSettings,
    Ended,
    Patience,
    Reply,
    Request,
    ServerFigures,
    ServerUnavailable,
    Talk,
    converse,
    fleet_figures,
)
from pipeline.descriptions.endpoint import AttemptFailed, Endpoint
from pipeline.descriptions.fleet import Fleet, Server
from tests.descriptions.fault_server import Body, Fault, FaultServer, fault_server, question_of, slowly, status

HURRIED = Patience(timeout_s=5.0, max_attempts=4, first_pause_s=0.02, longest_pause_s=0.1)


def talks(number: int) -> list[Talk]:
    return [Talk(Request("tiny", [{"role": "user", "content": str(n)}])) for n in range(number)]


def asker_of(*servers: FaultServer, concurrency: int = 8, patience: Patience = HURRIED) -> AskSettings:
    return AskSettings(tuple(server.address for server in servers), concurrency, patience=patience)


def all_answered(ended: Sequence[tuple[int, Ended]] | Iterator[tuple[int, Ended]], number: int) -> None:
    by_position = dict(ended)
    assert sorted(by_position) == list(range(number)), "each talk ends exactly once"
    assert [talk.failure for talk in by_position.values() if talk.failure is not None] == []


def figures_of(server: FaultServer) -> ServerFigures:
    found = [figures for figures in fleet_figures() if figures.address == server.address]
    return found[-1]  # a server of an earlier test may have had the same port


def asked_more_than_once(*servers: FaultServer) -> list[str]:
    counts = Counter(question_of(body) for server in servers for body in server.bodies)
    return [question for question, count in counts.items() if count > 1]


# Who is asked


def test_a_slow_server_gets_little_and_holds_up_nobody() -> None:
    with fault_server(answer=slowly(0.5)) as slow, fault_server(answer=slowly(0.02)) as quick:
        all_answered(converse(talks(200), asker=asker_of(slow, quick)), 200)
    assert len(slow.bodies) < 40, "by turns it would have had half of them"


def test_equal_servers_get_equal_shares() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(fault_server(answer=slowly(0.03))) for _ in range(4)]
        all_answered(converse(talks(200), asker=asker_of(*servers, concurrency=16)), 200)
        assert min(len(server.bodies) for server in servers) > 25
        assert asked_more_than_once(*servers) == []


def test_a_slow_server_that_has_become_quick_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "FORGOTTEN_S", 0.2)
    is_slow = threading.Event()
    is_slow.set()

    def answer(_: Body) -> str:
        time.sleep(0.25 if is_slow.is_set() else 0.02)
        return "fine"

    with fault_server(answer=answer) as changing, fault_server(answer=slowly(0.05)) as steady:
        talking = converse(talks(300), asker=asker_of(changing, steady))
        ended = [next(talking) for _ in range(60)]
        num_while_slow = len(changing.bodies)
        is_slow.clear()
        all_answered([*ended, *talking], 300)
    assert num_while_slow < 30
    assert len(changing.bodies) - num_while_slow > 40


# How much at a time


def test_a_server_that_refuses_is_given_what_it_bears_and_nobody_loses_by_it() -> None:
    """Five at a time: found from the first refusals, and kept to but for a probe now and then."""
    server: FaultServer

    def plan(_: Body) -> str | Fault | None:
        return status(429, "busy") if server.under_way >= 5 else None

    with fault_server(plan, answer=slowly(0.02)) as server:
        all_answered(converse(talks(300), asker=asker_of(server, concurrency=32)), 300)
        refused = len(server.bodies) - 300
        limit = figures_of(server).limit
    assert refused < 120, "27 of the first 32, and one for each time that the limit had grown beyond five"
    assert limit < 12


def test_retry_after_holds_for_the_whole_server() -> None:
    moments: list[float] = []

    def plan(_: Body) -> str | Fault | None:
        moments.append(time.monotonic())
        return status(503, "busy", headers={"Retry-After": "0.5"}) if len(moments) == 1 else None

    with fault_server(plan) as server:
        patience = Patience(5.0, 3, 0.01, 5.0)
        all_answered(converse(talks(10), asker=asker_of(server, concurrency=1, patience=patience)), 10)
    assert moments[1] - moments[0] >= 0.5


def test_answers_that_come_late_lower_the_limit_before_time_runs_out() -> None:
    """One worker behind a long line: the more at a time, the later each."""

    class Line(Endpoint):
        def __init__(self) -> None:
            self.url, self.worker, self.slowest_s = "http://line/v1", asyncio.Lock(), [0.0]

        async def attempt(self, body: bytes, timeout_s: float) -> Reply:
            began = time.monotonic()
            async with self.worker:
                await asyncio.sleep(0.01)
            self.slowest_s.append(time.monotonic() - began)
            return Reply("fine", "stop", 1, 1, "tiny")

    async def ask_all(number: int) -> tuple[Line, Fleet]:
        fleet = Fleet([line := Line()])
        patience = Patience(timeout_s=0.4)
        with fleet.used(40, patience):
            await asyncio.gather(*(fleet.ask(b"", patience, is_further=False) for _ in range(number)))
        return line, fleet

    line, fleet = asyncio.run(ask_all(200))
    assert fleet.servers[0].limit < 36
    assert max(line.slowest_s[-40:]) < 0.8 * max(line.slowest_s)


# Away, and back


def test_a_killed_server_is_drained_looked_after_and_used_again_in_the_same_call() -> None:
    with fault_server(answer=slowly(0.03)) as steady:
        with fault_server(answer=slowly(0.03)) as killed:
            talking = converse(talks(400), asker=asker_of(killed, steady))
            ended = [next(talking) for _ in range(40)]
            killed.die()
            ended += [next(talking) for _ in range(60)]
            assert figures_of(killed).is_aside
            num_failed = figures_of(killed).num_failed
        with fault_server(answer=slowly(0.03), port=killed.server_port) as again:
            all_answered([*ended, *talking], 400)
            assert not figures_of(again).is_aside
            assert again.num_looks >= 1
        assert len(again.bodies) > 60
    assert num_failed <= 8 + 2, "what was under way when it died, and hardly a question since"


def test_one_that_is_not_well_is_given_no_question_until_it_is() -> None:
    broken = threading.Event()
    broken.set()
    with (
        fault_server(lambda _: "internal_error" if broken.is_set() else None, answer=slowly(0.02)) as ill,
        fault_server(answer=slowly(0.02)) as well,
    ):
        ill.is_well = False
        talking = converse(talks(300), asker=asker_of(ill, well))
        ended = [next(talking) for _ in range(150)]
        asked_while_ill, looks = len(ill.bodies), ill.num_looks
        ill.is_well = True
        broken.clear()
        all_answered([*ended, *talking], 300)
    assert asked_while_ill <= 8, "those that were under way together"
    assert looks >= 2
    assert len(ill.bodies) - asked_while_ill > 30


def test_a_flapping_server_loses_no_question() -> None:
    began = time.monotonic()

    def plan(_: Body) -> str | None:
        return "dropped_connection" if int((time.monotonic() - began) / 0.15) % 2 else None

    with (
        fault_server(plan, answer=slowly(0.02)) as flapping,
        fault_server(answer=slowly(0.02)) as steady,
    ):
        all_answered(converse(talks(300), asker=asker_of(flapping, steady)), 300)
    assert len(steady.bodies) > 50
    assert len(flapping.bodies) > 5


def test_a_whole_fleet_that_is_away_for_a_moment_costs_a_moment() -> None:
    patience = Patience(timeout_s=5.0, max_attempts=40, first_pause_s=0.05, longest_pause_s=0.3)
    with fault_server(answer=slowly(0.02)) as killed:
        talking = converse(talks(100), asker=asker_of(killed, patience=patience))
        ended = [next(talking) for _ in range(20)]
        killed.die()
    time.sleep(0.3)
    with fault_server(port=killed.server_port):
        all_answered([*ended, *talking], 100)


# The tail


def test_a_question_that_hangs_at_the_end_is_asked_elsewhere_too() -> None:
    """One falls silent with questions under way; nobody waits for its time to run out."""
    is_silent = threading.Event()
    with (
        fault_server(lambda _: "silence" if is_silent.is_set() else None, answer=slowly(0.02)) as silent,
        fault_server(answer=slowly(0.02)) as steady,
    ):
        patience = Patience(timeout_s=60.0, max_attempts=4, first_pause_s=0.02, longest_pause_s=0.1)
        talking = converse(talks(100), asker=asker_of(silent, steady, patience=patience))
        ended = [next(talking) for _ in range(30)]
        is_silent.set()
        began = time.monotonic()
        all_answered([*ended, *talking], 100)
        assert time.monotonic() - began < patience.timeout_s
        assert figures_of(silent).num_overtaken >= 1
        assert figures_of(silent).in_flight == 0


def test_nobody_is_overtaken_while_others_wait() -> None:
    with fault_server(answer=slowly(0.6)) as slow, fault_server(answer=slowly(0.05)) as quick:
        talking = converse(talks(150), asker=asker_of(slow, quick, concurrency=4))
        ended = [next(talking) for _ in range(100)]
        assert asked_more_than_once(slow, quick) == []
        all_answered([*ended, *talking], 150)


# What holds whatever happens


class Scripted(Endpoint):
    """A server that does what its script says, one line a question, the last line for ever."""

    def __init__(self, number: int, script: Sequence[tuple[str, int]], log: Log) -> None:
        self.url = f"http://server{number}/v1"
        self.script, self.log = list(script), log
        self.under_way = 0

    async def attempt(self, body: bytes, timeout_s: float) -> Reply:
        what, delay = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.log.begins(self, json.loads(body))
        self.under_way += 1
        try:
            await asyncio.sleep(timeout_s if what == "silent" else delay / 1000)
        finally:
            self.under_way -= 1
        match what:
            case "answers":
                self.log.answers(json.loads(body))
                return Reply("fine", "stop", 1, 1, "tiny")
            case "unreachable":
                raise AttemptFailed("nobody there", is_reached=False)
            case "too much":
                raise AttemptFailed("too much", is_too_much=True, retry_after_s=0.005)
            case "another model":
                raise AttemptFailed("no such model", is_setup=True)
            case _:
                raise AttemptFailed(what, is_too_late=what == "silent")

    async def trouble(self) -> str | None:
        await asyncio.sleep(0.001)
        return "nobody there" if self.script[0][0] == "unreachable" and len(self.script) == 1 else None


class Log:
    """What was asked and answered, and what broke a law."""

    def __init__(self) -> None:
        self.fleet: Fleet
        self.asked: Counter[tuple[str, int]] = Counter()
        self.answered: set[int] = set()
        self.broken: list[str] = []

    def begins(self, endpoint: Scripted, question: int) -> None:
        self.asked[endpoint.url, question] += 1
        if question in self.answered:
            self.broken.append(f"{question} was answered, and is asked")
        (server,) = [server for server in self.fleet.servers if server.endpoint is endpoint]
        if endpoint.under_way + 1 > server.in_flight:
            self.broken.append("more under way than is known")
        if sum(server.in_flight for server in self.fleet.servers) > BOUND:
            self.broken.append("more under way than the bound")

    def answers(self, question: int) -> None:
        self.answered.add(question)


BOUND = 6
KINDS = ("answers", "fails", "unreachable", "too much", "silent", "another model")
LINES = st.tuples(st.sampled_from(KINDS), st.integers(0, 6))
SCRIPTS = st.lists(LINES, min_size=1, max_size=12)


@settings(max_examples=60)
@given(st.lists(SCRIPTS, min_size=1, max_size=4), st.integers(1, 25), st.booleans())
def test_laws_of_any_fleet(scripts: list[list[tuple[str, int]]], number: int, one_is_well: bool) -> None:
    log = Log()
    if one_is_well:
        scripts = [*scripts, [("answers", 1)]]
    patience = Patience(timeout_s=0.03, max_attempts=3, first_pause_s=0.002, longest_pause_s=0.01)

    async def ask_all() -> list[Reply | ServerUnavailable]:
        log.fleet = fleet = Fleet([Scripted(n, script, log) for n, script in enumerate(scripts)])

        async def ask(question: int) -> Reply | ServerUnavailable:
            try:
                return await fleet.ask(json.dumps(question).encode(), patience, is_further=question % 3 == 0)
            except ServerUnavailable as failure:
                return failure

        with fleet.used(BOUND, patience):
            async with asyncio.timeout(20):
                ended = await asyncio.gather(*(ask(n) for n in range(number)))
        await asyncio.sleep(0)
        assert [server.in_flight for server in fleet.servers] == [0] * len(scripts)
        assert len(asyncio.all_tasks()) == 1, "nothing goes on behind the last answer"
        return ended

    look_every_s, fleet_module.LOOK_EVERY_S = fleet_module.LOOK_EVERY_S, 0.002  # so that questions are asked twice
    try:
        ended = asyncio.run(ask_all())
    finally:
        fleet_module.LOOK_EVERY_S = look_every_s
    assert log.broken == []
    assert max(log.asked.values()) <= patience.max_attempts, "at each address at most so often"
    assert [isinstance(one, Reply) for one in ended] == [n in log.answered for n in range(number)]
    if one_is_well:
        assert log.answered == set(range(number))


@given(st.lists(st.sampled_from(["begin", "answer", "refuse", "late"]), max_size=60))
def test_the_limit_follows_what_the_server_bears(events: list[str]) -> None:
    server, patience, under_way = Server(Scripted(0, [("answers", 0)], Log())), Patience(), list[int]()
    for event in events:
        before = server.limit
        if event == "begin" and server.is_free(time.monotonic()):
            under_way.append(server.begin())
        elif event == "answer" and under_way:
            server.answered(under_way.pop(0), Reply("", "stop", 1, 1, ""), patience)
            assert server.limit >= before
            assert server.limit <= before + 1 or before == math.inf
        elif event in ("refuse", "late") and under_way:
            failure = AttemptFailed(event, is_too_much=event == "refuse", is_too_late=event == "late")
            server.failed(under_way.pop(0), failure, patience)
            assert server.limit <= before
            assert server.limit <= max(1, len(under_way)) or event == "late"
        assert server.limit >= 1
        assert server.in_flight == len(under_way)
