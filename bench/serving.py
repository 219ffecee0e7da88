"""Measure how much of the language-model server's bare throughput facescribe's asking reaches, and a peer's beside it.

    python bench/serving.py
    python bench/serving.py --requests 200 --concurrency 8,16,32 --repeat 3      # takes long on a CPU

One embedded server answers everybody in turn, the order changing from round to round. Its prefix cache is emptied
before each turn, and filled with what all requests have in common. In the first table the answers have a fixed length;
in the second the refine stage asks in earnest (a schema, answers of any length, retries, checks, files), and the bare
programs send once more exactly what it sent. Tokens are counted by the server; loading of programs is not counted, for
anybody. `vllm bench serve` streams its answers, which costs the server something; the barest client, an aiohttp loop of
twenty lines, does not, as facescribe and the peer do not. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import httpx
import pyarrow as pa

from bench.length import machine
from bench.peers import ENVIRONMENTS
from flows.stage_task import SHARDS_THAT_WAIT
from pipeline.descriptions import embedded
from pipeline.descriptions.ask import AskSettings, Reply, Request, Talk, converse
from pipeline.descriptions.draft_stage import DraftConfig, draft_row
from pipeline.descriptions.endpoint import Endpoint
from pipeline.descriptions.evidence import Evidence, EvidenceEvent
from pipeline.descriptions.refine_stage import REFINE_DESCRIPTIONS, RefineConfig, request_of
from pipeline.descriptions.server import EmbeddedServer
from pipeline.run import ShardInput, run_stage
from pipeline.stage import Resources
from pipeline.store import Store
from schemas.actions import FACIAL_ACTIONS, INTENSITIES, sides_of
from schemas.descriptions import DESCRIPTIONS, DRAFTS
from schemas.videos import VIDEOS

DISTILABEL = ("distilabel[openai]==1.5.3", "requests>=2")  # it imports requests without asking for it

GROWTH = 1.05
"""The bare server is saturated where more requests at a time give less than this times the tokens."""

VLLM, BAREST, ASKING, STAGE = "vllm bench serve", "barest client", "facescribe: converse", "facescribe: refine stage"
PEER = "distilabel 1.5.3, batches"

Body = Mapping[str, Any]
Seconds = tuple[float, float]
"""Of the clock, and of processors for the program itself without the server."""
Send = Callable[[Sequence[Body], int], Seconds]
"""Send all these bodies, so many at a time, and return what it took."""


def _clocks_s() -> Seconds:
    return time.perf_counter(), time.process_time()


def _since(began_s: Seconds) -> Seconds:
    now_s = _clocks_s()
    return now_s[0] - began_s[0], now_s[1] - began_s[1]


# ---- what is asked ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FixedLength(Request):
    """A request whose answer has exactly `max_tokens`: only the measurement asks so, everything else is as shipped."""

    def body(self) -> dict[str, Any]:
        """The JSON that is sent, with the server's own word for going on behind the end."""
        return {**super().body(), "ignore_eos": True}


def invented_shards(number: int, shards: int) -> list[dict[str, pa.Table]]:
    """DRAFTS and VIDEOS for so many tracks with different evidence, each in a video of its own, in so many shards."""
    chance = random.Random(2)
    texts: dict[str, Evidence] = {}
    while len(texts) < number:
        evidence = _evidence(chance)
        texts.setdefault(str([(e.action, e.side, e.intensity) for e in evidence.events]), evidence)
    drafts = [_draft_row(f"track{at}", f"video{at}", evidence) for at, evidence in enumerate(texts.values())]
    videos = [_video_row(f"video{at}") for at in range(number)]
    return [
        {DRAFTS.name: DRAFTS.rows(drafts[at::shards]), VIDEOS.name: VIDEOS.rows(videos[at::shards])}
        for at in range(min(shards, number))
    ]


def _evidence(chance: random.Random) -> Evidence:
    """One to three actions of any kind, one after the other, each one second long."""
    actions = chance.sample(sorted(FACIAL_ACTIONS), chance.choice([1, 2, 2, 3, 3, 3, 3]))
    return Evidence(
        duration_s=5.0,
        events=tuple(
            EvidenceEvent(
                action=action,
                side=chance.choice(sides_of(action)),
                onset_s=float(at),
                apex_s=at + 0.5,
                offset_s=at + 1.0,
                peak=0.6,
                intensity=chance.choice(INTENSITIES),
            )
            for at, action in enumerate(actions)
        ),
    )


def _draft_row(track_id: str, video_id: str, evidence: Evidence) -> dict[str, Any]:
    return {**draft_row(track_id, video_id, evidence, DraftConfig()), "unit_key": track_id}


def _video_row(video_id: str) -> dict[str, Any]:
    kinds = {"string": "", "int64": 1, "int32": 1, "double": 1.0, "bool": False}
    needed = {field.name: kinds.get(str(field.type), []) for field in VIDEOS.columns if not field.nullable}
    return {**needed, "video_id": video_id}


def fixed_requests(shards: Sequence[Mapping[str, pa.Table]], num_tokens: int) -> list[FixedLength]:
    """The stage's first request for each track, with answers of so many tokens and no schema, which would end them."""
    config = RefineConfig()
    requests = [request_of(unit, config) for shard in shards for unit in REFINE_DESCRIPTIONS.units(shard, config)]
    return [
        FixedLength(
            **{**{f.name: getattr(r, f.name) for f in fields(r)}, "max_tokens": num_tokens, "json_schema": None}
        )
        for r in requests
    ]


# ---- who asks -----------------------------------------------------------------------------------------------------


def barest(address: str) -> Send:
    """Nothing but POSTs on kept connections, as many as may be: no answer is read, no failure borne."""

    async def post_all(contents: Sequence[bytes], at_once: int) -> None:
        waiting = iter(contents)
        headers = {"Content-Type": "application/json"}
        connections = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)
        async with aiohttp.ClientSession(headers=headers, connector=connections) as session:

            async def post_in_turn() -> None:
                for content in waiting:
                    async with session.post(f"{address}/chat/completions", data=content) as response:
                        response.raise_for_status()
                        await response.read()

            await asyncio.gather(*(post_in_turn() for _ in range(at_once)))

    def send(bodies: Sequence[Body], at_once: int) -> Seconds:
        contents = [json.dumps(body).encode() for body in bodies]
        began_s = _clocks_s()
        asyncio.run(post_all(contents, at_once))
        return _since(began_s)

    return send


def facescribe(address: str, requests: Sequence[Request]) -> Send:
    """`converse`, as the stages call it."""

    def send(bodies: Sequence[Body], at_once: int) -> Seconds:
        began_s = _clocks_s()
        talks = [Talk(request) for request in requests[: len(bodies)]]
        for _, ended in converse(talks, asker=AskSettings((address,), at_once)):
            if ended.failure is not None:
                raise ended.failure
        return _since(began_s)

    return send


def refine_stage(address: str, shards: Sequence[Mapping[str, pa.Table]]) -> Send:
    """The whole stage, shards side by side as the flow runs them, into a corpus of its own: keys, checks, files."""

    def send(bodies: Sequence[Body], at_once: int) -> Seconds:
        with tempfile.TemporaryDirectory(prefix="facescribe-bench-") as root:
            store = Store.open_or_create(Path(root, "corpus"))
            answers = Path(root, "answers.sqlite")
            resources = Resources(server=address, concurrency=at_once, answers=answers)

            def run(bucket: int) -> int:
                rows = [
                    ShardInput(f"{table}{bucket}", rows=shards[bucket][table]) for table in (DRAFTS.name, VIDEOS.name)
                ]
                receipt = run_stage(REFINE_DESCRIPTIONS, bucket, rows, RefineConfig(), resources, store).receipt
                return receipt.files[DESCRIPTIONS.name].rows

            began_s = _clocks_s()
            with ThreadPoolExecutor(SHARDS_THAT_WAIT) as pool:
                num_written = sum(pool.map(run, range(len(shards))))
            took_s = _since(began_s)
        if num_written != (wanted := sum(shard[DRAFTS.name].num_rows for shard in shards)):
            raise SystemExit(f"the refine stage described {num_written} of {wanted} tracks")
        return took_s

    return send


class OtherProgram:
    """One of bench/serving_peer.py's programs, in a process and an environment of its own."""

    def __init__(self, name: str, python: Path, origin: str, log_path: Path) -> None:
        self._name, self._origin, self._log_path = name, origin, log_path
        with log_path.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [str(python), "-W", "ignore", str(Path(__file__).with_name("serving_peer.py")), name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"},
            )

    def wait_until_ready(self) -> None:
        """Return once it is loaded. Raises SystemExit where it ends instead."""
        self._answer()

    def send(self, bodies: Sequence[Body], at_once: int) -> Seconds:
        """A `Send`."""
        assert self._process.stdin is not None
        requests = self._log_path.with_suffix(".jsonl")
        requests.write_text("".join(json.dumps(body) + "\n" for body in bodies), encoding="utf-8")
        job = {"origin": self._origin, "requests": str(requests), "concurrency": at_once}
        print(json.dumps(job), file=self._process.stdin, flush=True)
        wall_s, cpu_s = json.loads(self._answer())
        return wall_s, cpu_s

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._name} failed:\n{self._log_path.read_text(errors='replace')[-2000:]}")
        return line.strip()


def make_environment() -> Path:
    """The peer's own Python, made and filled the first time; it lies under build/ and can be deleted."""
    folder = ENVIRONMENTS / "distilabel"
    python, is_whole = folder / "bin" / "python", folder / "is_whole"
    if not is_whole.exists():
        print(f"installing {', '.join(DISTILABEL)} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *DISTILABEL], check=True)
        is_whole.touch()
    return python


@contextmanager
def recorded() -> Iterator[list[Body]]:
    """Every body that this process asks a language model inside, in the order in which they are sent."""
    bodies: list[Body] = []
    attempt = Endpoint.attempt

    async def noting(self: Endpoint, body: bytes, timeout_s: float) -> Reply:
        bodies.append(json.loads(body))
        return await attempt(self, body, timeout_s)

    Endpoint.attempt = noting  # type: ignore[method-assign]
    try:
        yield bodies
    finally:
        Endpoint.attempt = attempt  # type: ignore[method-assign]


# ---- what it took -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """One program's turn: what it took, what the server counted, and how many requests that had on average."""

    wall_s: float
    cpu_s: float
    num_requests: int
    prompt_tokens: int
    output_tokens: int
    running: float

    @property
    def tokens_per_s(self) -> float:
        """Output tokens."""
        return self.output_tokens / self.wall_s


COUNTERS = {
    "num_requests": "vllm:request_success_total",
    "prompt_tokens": "vllm:prompt_tokens_total",
    "output_tokens": "vllm:generation_tokens_total",
    "running_s": "vllm:request_inference_time_seconds_sum",
}


class Server:
    """The server as the measurement sees it."""

    def __init__(self, origin: str) -> None:
        self._client = httpx.Client(base_url=origin, trust_env=False, timeout=60.0)

    def turn(self, send: Send, bodies: Sequence[Body], at_once: int) -> Turn:
        """Let one program send the bodies, from the same state of the prefix cache for everybody."""
        self._client.post("/reset_prefix_cache").raise_for_status()
        self._client.post("/v1/chat/completions", json={**bodies[0], "max_tokens": 1}).raise_for_status()
        before = self._counts()
        wall_s, cpu_s = send(bodies, at_once)
        gone = {name: count - before[name] for name, count in self._counts().items()}
        # The sum over requests of the time in which each was worked on, over the time of the clock: no sampling.
        running = gone.pop("running_s") / wall_s
        return Turn(wall_s, cpu_s, running=running, **{name: round(count) for name, count in gone.items()})

    def _counts(self) -> dict[str, float]:
        time.sleep(0.2)  # a request's own figures are counted just after its answer
        lines = self._client.get("/metrics").raise_for_status().text.splitlines()
        return {
            name: sum(
                float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{counter}{{", f"{counter} "))
            )
            for name, counter in COUNTERS.items()
        }


Turns = dict[tuple[str, int], list[Turn]]


def take_turns(
    server: Server, programs: Mapping[str, Send], bodies: Sequence[Body], concurrencies: Sequence[int], repeat: int
) -> Turns:
    """Let each program send the bodies `repeat` times at each concurrency; in each round another begins."""
    turns: Turns = {}
    names = list(programs)
    for round_ in range(repeat):
        for at_once in concurrencies:
            for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
                turn = server.turn(programs[name], bodies, at_once)
                turns.setdefault((name, at_once), []).append(turn)
                print(f"{name}, {at_once} at a time: {turn}", file=sys.stderr)
    return turns


def print_table(turns: Turns) -> None:
    """A row for each program and concurrency: medians of the rounds, and of the shares within each round."""
    print(
        "| at a time | program | output tokens/s | requests/s | running on average | own CPU ms per request |", end=""
    )
    print(f" of `{VLLM}` | of {BAREST} |\n|---|---|---|---|---|---|---|---|")
    for (name, at_once), own in turns.items():
        shares = [
            median(a.tokens_per_s / b.tokens_per_s for a, b in zip(own, turns[bare, at_once], strict=True))
            for bare in (VLLM, BAREST)
        ]
        tokens_per_s = [turn.tokens_per_s for turn in own]
        cells = [
            f"{at_once} | {name}",
            f"{median(tokens_per_s):.0f} ({min(tokens_per_s):.0f} to {max(tokens_per_s):.0f})",
            f"{median(turn.num_requests / turn.wall_s for turn in own):.2f}",
            f"{median(turn.running for turn in own):.1f}",
            f"{median(1000 * turn.cpu_s / turn.num_requests for turn in own):.1f}",
            *(f"{share:.1%}" for share in shares),
        ]
        print(f"| {' | '.join(cells)} |")


def saturation(turns: Turns, concurrencies: Sequence[int]) -> str:
    """Where the bare server stops to gain from more requests at a time, in a sentence."""
    rates = [median(turn.tokens_per_s for turn in turns[VLLM, at_once]) for at_once in concurrencies]
    for before, at_once, rate, next_rate in zip(concurrencies, concurrencies[1:], rates, rates[1:], strict=False):
        if next_rate < GROWTH * rate:
            return f"The bare server is saturated at {before} at a time: {at_once} give {next_rate / rate - 1:+.0%}."
    return f"The bare server is not yet saturated at {concurrencies[-1]} at a time."


def _state_work(turns: Turns) -> str:
    """What each turn amounted to, and whether it was the same for everybody."""
    every = [turn for own in turns.values() for turn in own]
    parts = []
    for name, unit in (
        ("num_requests", "requests"),
        ("prompt_tokens", "prompt tokens"),
        ("output_tokens", "output tokens"),
    ):
        counts = {getattr(turn, name) for turn in every}
        parts.append(f"{min(counts)} {unit}" if len(counts) == 1 else f"{min(counts)} to {max(counts)} {unit}")
    return f"Each turn: {', '.join(parts)}, as the server counts them."


# ---- all of it ----------------------------------------------------------------------------------------------------


def main() -> None:
    """Start the server and the other programs, warm all of it up, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=96, help="different requests in each turn")
    parser.add_argument("--tokens", type=int, default=16, help="fixed length of an answer")
    parser.add_argument("--concurrency", default="8,16,32", help="requests at a time, with commas")
    parser.add_argument("--repeat", type=int, default=2, help="rounds")
    parser.add_argument("--stage-concurrency", type=int, help="for the refine stage; default: the last of the above")
    parser.add_argument("--compiled", action="store_true", help="compile the model: up later, faster")
    parser.add_argument("--no-peer", action="store_true", help="leave distilabel out")
    arguments = parser.parse_args()
    began_s = time.monotonic()
    concurrencies = [int(text) for text in arguments.concurrency.split(",")]
    stage_concurrency = arguments.stage_concurrency or concurrencies[-1]
    shards = invented_shards(arguments.requests, SHARDS_THAT_WAIT)
    requests = fixed_requests(shards, arguments.tokens)
    bodies = [request.body() for request in requests]
    os.environ["VLLM_SERVER_DEV_MODE"] = "1"  # else the prefix cache cannot be emptied
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facescribe-bench-")))
        settings = replace(embedded.settings(), eager=not arguments.compiled, log_path=folder / "server.log")
        served = stack.enter_context(EmbeddedServer(settings))
        pythons = {VLLM: ("vllm", Path(sys.executable))}
        if not arguments.no_peer:
            pythons[PEER] = ("distilabel", make_environment())
        others = {
            title: OtherProgram(name, python, served.origin, folder / f"{name}.log")
            for title, (name, python) in pythons.items()
        }
        for other in others.values():
            stack.callback(other.stop)
        for other in others.values():
            other.wait_until_ready()
        served.wait_until_ready(embedded.START_TIMEOUT_S)
        server = Server(served.origin)

        sends = {title: other.send for title, other in others.items()}
        asking = {VLLM: sends[VLLM], BAREST: barest(served.address), ASKING: facescribe(served.address, requests)}
        asking |= sends
        for send in asking.values():  # whoever comes first shall not pay for all
            server.turn(send, bodies[: concurrencies[0]], concurrencies[0])
        fixed = take_turns(server, asking, bodies, concurrencies, arguments.repeat)

        staging = {VLLM: sends[VLLM], BAREST: asking[BAREST], STAGE: refine_stage(served.address, shards)}
        with recorded() as asked:
            server.turn(staging[STAGE], bodies, stage_concurrency)
        natural = take_turns(server, staging, asked, [stage_concurrency], arguments.repeat)

    print(
        f"{machine()} vLLM {version('vllm')}, {'compiled' if arguments.compiled else 'eager'}, {settings.served_name}."
    )
    print(f"`python bench/serving.py {' '.join(sys.argv[1:])}`, {time.monotonic() - began_s:.0f} s in all; medians of")
    print(
        f"{arguments.repeat} rounds, lowest and highest in brackets.\n\nAnswers of {arguments.tokens} tokens. ", end=""
    )
    print(f"{_state_work(fixed)}\n")
    print_table(fixed)
    print(f"\n{saturation(fixed, concurrencies)}\n\nThe refine stage, {arguments.requests} tracks. ", end="")
    print(f"{_state_work(natural)}\n")
    print_table(natural)


if __name__ == "__main__":
    main()
