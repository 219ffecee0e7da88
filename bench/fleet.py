"""Measure how near several servers, one of them in trouble, come to what they could do, and how a plain client does.

    python bench/fleet.py
    python bench/fleet.py --requests 400 --only slow,dies --programs fleet,openai

Four servers in a process of their own speak the chat API over real sockets, and only the model is missing: each works
on so many requests at a time, each takes some while, what is more waits in line (or is refused with 429). The ideal is
the time in which they could have answered, by their own clocks, if no place at a living server had ever been empty and
no answer lost. Programs: facescribe (`fleet`), the same without asking a second server at the tail (`alone`), vLLM's
router in front of the four, by load (`router`, asked by facescribe as one address), and round robin over the addresses
with OpenAI's client and its own retries (`openai`). Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import httpx

from bench.length import machine
from bench.peers import ENVIRONMENTS
from pipeline.descriptions import fleet
from pipeline.descriptions.ask import AskSettings, Patience, Request, Talk, converse

SERVICE_S = 1.0
"""Mean time that an answer takes once it is worked on; each is varied by up to half."""

PLACES = 8
"""Requests that a server works on at a time."""

AT_ONCE = 64
"""Requests under way: twice as many as there are places."""

TIMEOUT_S = 60.0
"""Of one attempt, for all programs."""


# ---- the servers --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What one server is like, and what befalls it, at seconds after the first request to any of them."""

    service_s: float = SERVICE_S
    refuses: bool = False
    """With 429 what it has no place for, instead of letting it wait."""
    away: Sequence[tuple[float, float]] = ()
    """From when to when it is dead: nothing listens, all connections are cut."""
    silent: Sequence[tuple[float, float]] = ()
    """From when to when it takes requests and answers none."""

    def work_until(self, seconds: float) -> float:
        """Requests that it could have answered by then."""
        lost_s = sum(max(0.0, min(end, seconds) - start) for start, end in (*self.away, *self.silent))
        return PLACES * (seconds - lost_s) / self.service_s


def ideal_s(plans: Sequence[Plan], num_requests: int) -> float:
    """When the last of so many requests could have been answered."""
    low, high = 0.0, 1e4
    while high - low > 0.001:
        middle = (low + high) / 2
        low, high = (low, middle) if sum(plan.work_until(middle) for plan in plans) >= num_requests else (middle, high)
    return high


@dataclass
class _Server:
    plan: Plan
    port: int
    chance: random.Random
    num_asked: int = 0
    num_answered: int = 0
    answering: set[asyncio.Task[None]] = field(default_factory=set)
    listener: asyncio.Server | None = None

    async def open(self) -> None:
        self.places = asyncio.Semaphore(PLACES)
        self.listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)

    async def die(self) -> None:
        assert self.listener is not None
        self.listener.close()
        for one in self.answering:
            one.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.answering.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                sizes = [line.split(":")[1] for line in head.lower().splitlines() if line.startswith("content-length")]
                await reader.readexactly(int(sizes[0]) if sizes else 0)
                status, body = (200, b"") if head.startswith("GET") else await self._answer()
                reason = {200: "OK", 429: "Too Many Requests"}[status]
                kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
                writer.write(f"HTTP/1.1 {status} {reason}\r\n{kind}\r\n\r\n".encode() + body)
                await writer.drain()
        self.answering.discard(task)
        writer.transport.abort()

    async def _answer(self) -> tuple[int, bytes]:
        self.num_asked += 1
        if self.plan.refuses and self.places.locked():
            return 429, b'{"error": {"message": "too many at a time"}}'
        async with self.places:
            await asyncio.sleep(self.plan.service_s * self.chance.uniform(0.5, 1.5))
            for start, end in self.plan.silent:
                if start <= time.monotonic() - _began() < end:
                    await asyncio.sleep(end - (time.monotonic() - _began()))
        self.num_answered += 1
        message = {"role": "assistant", "content": "The mouth opens."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": "by-rule"}
        return 200, json.dumps({**head, "choices": [choice], "usage": usage}).encode()


_beginning: list[float] = []


def _began() -> float:
    """The time of the first request to any server."""
    if not _beginning:
        _beginning.append(time.monotonic())
    return _beginning[0]


def _run_servers(plans: Sequence[Plan], ports: Sequence[int], control: Connection) -> None:
    """In the child process, until the parent hangs up; then tells what each was asked and answered."""

    async def befall(server: _Server) -> None:
        for start, end in server.plan.away:
            await asyncio.sleep(max(0.0, start - (time.monotonic() - _began())))
            await server.die()
            await asyncio.sleep(end - start)
            await server.open()

    async def run() -> None:
        servers = [_Server(plan, port, random.Random(port)) for plan, port in zip(plans, ports, strict=True)]
        for server in servers:
            await server.open()
        control.send("ready")
        while not any(server.num_asked for server in servers):
            await asyncio.sleep(0.005)
        _began()
        fates = [asyncio.create_task(befall(server)) for server in servers]
        while not control.poll():
            await asyncio.sleep(0.02)
        for fate in fates:
            fate.cancel()
        control.send([(server.num_asked, server.num_answered) for server in servers])

    asyncio.run(run())


@contextmanager
def serving(plans: Sequence[Plan]) -> Iterator[tuple[list[str], Callable[[], list[tuple[int, int]]]]]:
    """Addresses, and what ends the servers and returns how many requests each was asked and answered."""
    with_us, with_them = multiprocessing.Pipe()
    ports = [_free_port() for _ in plans]
    process = multiprocessing.get_context("spawn").Process(target=_run_servers, args=(plans, ports, with_them))
    process.start()
    with_us.recv()

    def end() -> list[tuple[int, int]]:
        with_us.send("end")
        counts: list[tuple[int, int]] = with_us.recv()
        return counts

    try:
        yield [f"http://127.0.0.1:{port}/v1" for port in ports], end
    finally:
        process.terminate()
        process.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- who asks -----------------------------------------------------------------------------------------------------


Program = Callable[[Sequence[str], Sequence[Request]], list[float | None]]
"""Ask all requests at these addresses; of each the seconds after which it was answered, None where it was not."""


def by_fleet(addresses: Sequence[str], requests: Sequence[Request]) -> list[float | None]:
    """facescribe, as the stages ask."""
    asker = AskSettings(tuple(addresses), AT_ONCE, patience=Patience(timeout_s=TIMEOUT_S))
    began, ended = time.monotonic(), list[float | None]([None] * len(requests))
    for position, said in converse([Talk(request) for request in requests], asker=asker):
        ended[position] = time.monotonic() - began if said.failure is None else None
    return ended


def alone(addresses: Sequence[str], requests: Sequence[Request]) -> list[float | None]:
    """The same, but a question that hangs is waited for."""
    overtaken_after, fleet.OVERTAKEN_AFTER = fleet.OVERTAKEN_AFTER, float("inf")
    try:
        return by_fleet(addresses, requests)
    finally:
        fleet.OVERTAKEN_AFTER = overtaken_after


ROUTER = "vllm-router==0.1.17"


@contextmanager
def routed(addresses: Sequence[str]) -> Iterator[str]:
    """The address of vLLM's router before these, in an environment of its own, made the first time."""
    folder = ENVIRONMENTS / "vllm-router"
    program, is_whole = folder / "bin" / "vllm-router", folder / "is_whole"
    if not is_whole.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", ROUTER], check=True)
        is_whole.touch()
    port = _free_port()
    command = [str(program), "--host", "127.0.0.1", "--port", str(port), "--policy", "power_of_two"]
    command += ["--prometheus-port", str(_free_port()), "--request-timeout-secs", str(round(TIMEOUT_S))]
    command += ["--health-check-interval-secs", "1", "--health-check-timeout-secs", "1", "--log-level", "error"]
    command += ["--worker-urls", *(address.removesuffix("/v1") for address in addresses)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).is_success:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def by_router(addresses: Sequence[str], requests: Sequence[Request]) -> list[float | None]:
    """vLLM's router, asked by facescribe as one address; the time is counted once it is up."""
    with routed(addresses) as address:
        return by_fleet([address], requests)


def by_openai(addresses: Sequence[str], requests: Sequence[Request]) -> list[float | None]:
    """What one writes first: OpenAI's client for each address, in turn, so many at a time, four attempts each."""
    from openai import AsyncOpenAI, OpenAIError

    async def ask_all() -> list[float | None]:
        clients = [AsyncOpenAI(base_url=url, api_key="none", timeout=TIMEOUT_S, max_retries=3) for url in addresses]
        turn, at_once = itertools.cycle(clients), asyncio.Semaphore(AT_ONCE)
        began = time.monotonic()

        async def ask(request: Request) -> float | None:
            async with at_once:
                body: dict[str, Any] = request.body()
                try:
                    await next(turn).chat.completions.create(**body)
                except OpenAIError:
                    return None
                return time.monotonic() - began

        ended = await asyncio.gather(*(ask(request) for request in requests))
        for client in clients:
            await client.close()
        return ended

    return asyncio.run(ask_all())


PROGRAMS: dict[str, tuple[str, Program]] = {
    "fleet": ("facescribe", by_fleet),
    "alone": ("facescribe, no second server at the tail", alone),
    "router": ("vLLM's router", by_router),
    "openai": ("round robin, OpenAI's client", by_openai),
}


# ---- all of it ----------------------------------------------------------------------------------------------------


def scenarios(num_requests: int) -> dict[str, tuple[str, list[Plan]]]:
    """By name: what it is in words, and the four servers."""
    well = Plan()
    whole_s = ideal_s([well] * 4, num_requests)
    return {
        "well": ("all are well", [well] * 4),
        "slow": ("one is ten times slower", [replace(well, service_s=10 * SERVICE_S)] + [well] * 3),
        "dies": ("one dies after a fifth", [replace(well, away=((whole_s / 5, 1e6),))] + [well] * 3),
        "returns": (
            "one is dead from a fifth to three fifths",
            [replace(well, away=((whole_s / 5, whole_s * 3 / 5),))] + [well] * 3,
        ),
        "flaps": (
            "one is up and down, a second each",
            [replace(well, away=tuple((1.0 + 2 * n, 2.0 + 2 * n) for n in range(60)))] + [well] * 3,
        ),
        "silent": ("one falls silent after a fifth", [replace(well, silent=((whole_s / 5, 1e6),))] + [well] * 3),
        "refuses": (f"each refuses more than {PLACES} at a time (429)", [replace(well, refuses=True)] * 4),
    }


def main() -> None:
    """Each program in each scenario, as often as is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=800)
    parser.add_argument("--only", default="", help="scenarios, with commas")
    parser.add_argument("--programs", default=",".join(PROGRAMS))
    parser.add_argument("--repeat", type=int, default=1, help="rounds; the median is printed")
    arguments = parser.parse_args()
    requests = [Request("by-rule", [{"role": "user", "content": f"Describe {n}."}]) for n in range(arguments.requests)]
    every = scenarios(arguments.requests)
    print(f"{machine()} `python bench/fleet.py {' '.join(sys.argv[1:])}`")
    print(
        f"Four servers of {PLACES} places, {SERVICE_S:g} s an answer; "
        f"{arguments.requests} requests, {AT_ONCE} at a time.\n"
    )
    print("| servers | program | seconds | of the ideal | not answered | asked for each answer |")
    print("|---|---|---|---|---|---|")
    for name in arguments.only.split(",") if arguments.only else every:
        words, plans = every[name]
        for program in arguments.programs.split(","):
            title, ask = PROGRAMS[program]
            took_s, missing, asked = [], [], []
            for _ in range(arguments.repeat):
                with serving(plans) as (addresses, end):
                    ended = ask(addresses, requests)
                    counts = end()
                took_s.append(max((one for one in ended if one is not None), default=0.0))
                missing.append(sum(one is None for one in ended))
                asked.append(sum(count for count, _ in counts) / max(1, len(ended) - missing[-1]))
                print(name, title, took_s[-1], missing[-1], counts, file=sys.stderr)
            ideal = ideal_s(plans, arguments.requests)
            cells = [words, title, f"{median(took_s):.1f}", f"{ideal / median(took_s):.0%}", f"{median(missing):.0f}"]
            print(f"| {' | '.join(cells)} | {median(asked):.2f} |", flush=True)


if __name__ == "__main__":
    main()
