"""What more workers bring: wall time with 1, 2 and 4 processes here, and up to a thousand of them by simulation.

    python bench/workers.py measure --out build/workers.json    # some ten minutes on two cores
    python bench/workers.py simulate build/workers.json         # seconds; prints tables in Markdown

`measure` cuts clips of 72 frames out of real videos, takes the CPU seconds that each stage takes for a unit (of this
process and its decoders, one shard at a time, so that other work on the machine counts little), and then builds the
same corpus with threads, Dask and Ray. A server on loopback answers by rule, so that no language model is measured.

`simulate` plays the same walk with those service times, drawn anew for every clip, for many clips and workers: shards
that are handed out one after another by the flow's process, read and written through one storage, and asked of servers
that answer so many texts a second. It knows two orders: stage after stage, each waiting for the last shard of the one
before, and bucket after bucket, as flows/stage_task.py does it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from pathlib import Path
from statistics import mean, pstdev
from typing import Any, NamedTuple

import psutil

from pipeline.assets import fetch
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.walk import WALK, open_walk
from tests.answer_server import answering
from tests.real_corpus import asking_by_rule, cut_clip

NUM_FRAMES = 72
CLIPS = (("single_face.mp4", 0), ("carphone_pristine.mp4", 0), ("carphone_pristine.mp4", 20), ("single_face.mp4", 6))
RUNS = (("threads", 1), ("threads", 2), ("dask", 1), ("dask", 2), ("dask", 4), ("ray", 1), ("ray", 2), ("ray", 4))
ASKS = "refine_descriptions"


def main() -> None:
    """Measure, or simulate from what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("--out", type=Path, required=True)
    measuring.add_argument("--clips", type=int, default=16)
    measuring.add_argument("--runs", nargs="*", default=[f"{runner}:{workers}" for runner, workers in RUNS])
    measuring.set_defaults(do=measure)
    building = commands.add_parser("build")
    for name, kind in {"source": Path, "root": Path, "server": str, "runner": str, "workers": int}.items():
        building.add_argument(name, type=kind)
    building.set_defaults(do=build)
    simulating = commands.add_parser("simulate")
    simulating.add_argument("measured", type=Path)
    simulating.add_argument("--clips", type=int, default=200_000)
    simulating.add_argument("--seed", type=int, default=0)
    simulating.set_defaults(do=simulate)
    arguments = parser.parse_args()
    arguments.do(arguments)


def measure(arguments: argparse.Namespace) -> None:
    """Service times, then wall times; written to a file as soon as they are known."""
    folder = Path(tempfile.mkdtemp(prefix="facescribe-workers-"))
    try:
        source = folder / "videos"
        make_clips(source, arguments.clips)
        with answering() as answers:
            measured: dict[str, Any] = {
                "clips": arguments.clips,
                **service_times(source, folder / "one", answers.address),
            }
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            measured["runs"] = []
            for run in arguments.runs:
                runner, workers = run.split(":")
                measured["runs"].append(timed_build(source, folder / run, answers.address, runner, int(workers)))
                arguments.out.write_text(json.dumps(measured, indent=1))
                print(json.dumps(measured["runs"][-1]), flush=True)
    finally:
        shutil.rmtree(folder)


def make_clips(source: Path, number: int) -> None:
    """Clips of NUM_FRAMES real frames; copies differ in a byte behind their end, so that each is a video of its own."""
    source.mkdir(parents=True)
    for position, (name, first) in enumerate(CLIPS):
        cut_clip(fetch(name), source / f"{position}.mp4", first, NUM_FRAMES)
    for position in range(len(CLIPS), number):
        copied = (source / f"{position % len(CLIPS)}.mp4").read_bytes()
        (source / f"{position}.mp4").write_bytes(copied + position.to_bytes(4, "big") + b"free")


def service_times(source: Path, root: Path, server: str) -> dict[str, Any]:
    """CPU seconds of each shard by stage, with its units, and bytes that a clip is read and written as."""
    walk = open_walk(Store.open_or_create(root, 8), source, asking_by_rule())
    walk.keep_sources()
    resources = Resources(source=source, server=server, answers=walk.store.answers)
    shards = defaultdict(list)
    for number, bucket in enumerate(walk.sources):
        for stage in WALK:
            if walk.is_settled(stage, bucket):
                continue
            began = cpu_s()
            result = walk.run(stage, bucket, resources)
            if number:  # the first shard loads networks and starts a decoder
                shards[stage.name].append((result.num_computed, cpu_s() - began))
    written: dict[str, int] = defaultdict(int)
    for receipt in walk.receipts:
        for name, file in receipt.files.items():
            written[name] += file.bytes
    read = sum(path.stat().st_size for path in source.iterdir())
    return {"shards": shards, "bytes_read": read, "bytes_written": dict(written)}


def cpu_s() -> float:
    """CPU seconds of this process and of those that it started."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def timed_build(source: Path, root: Path, server: str, runner: str, workers: int) -> dict[str, Any]:
    """One build by the flow, cold, in a process of its own, which ends with its Prefect server."""
    command = [sys.executable, "-m", "bench.workers", "build", source, root, server, runner, workers]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{runner} with {workers}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def build(arguments: argparse.Namespace) -> None:
    """The same in this process: wall time of it all, and of the shards alone, and the process's own CPU seconds."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    from flows.building import run_flow

    began, began_cpu_s = time.monotonic(), own_cpu_s()
    how = Resources(runner=arguments.runner, workers=arguments.workers, server=arguments.server)
    report = run_flow(arguments.source, arguments.root, asking_by_rule(), how, 16)
    told = {
        "runner": arguments.runner,
        "workers": arguments.workers,
        "wall_s": time.monotonic() - began,
        "flow_s": report.wall_s,
        "work_s": sum(stage.work_s for stage in report.stages.values()),
        "own_cpu_s": own_cpu_s() - began_cpu_s,
        "num_shards": len(Corpus(arguments.root).snapshot.receipts),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(told))


def own_cpu_s() -> float:
    """CPU seconds of this process alone."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


@dataclass(frozen=True)
class Place:
    """Where a simulated walk runs."""

    workers: int
    buckets: int
    texts_per_s: float = float("inf")
    """What the language model's servers answer together."""
    gigabytes_per_s: float = float("inf")
    """What storage reads and writes, for all workers together."""
    shards_per_s: float = 20.0
    """What the flow's process hands out, with its Prefect server."""
    flows: bool = True
    """Whether buckets go from stage to stage by themselves."""


@dataclass(frozen=True)
class Service:
    """What was measured, a clip at a time."""

    cpu_s: dict[str, list[float]]
    """By stage: CPU seconds for each of some clips, to be drawn from."""
    bytes_read: float
    bytes_written: float

    @property
    def all_cpu_s(self) -> float:
        """CPU seconds of a clip through all stages that compute."""
        return sum(sum(drawn) / len(drawn) for name, drawn in self.cpu_s.items() if name != ASKS)


class OneByOne:
    """What serves one after another, so much a second."""

    def __init__(self, per_s: float) -> None:
        self._per_s, self._free_s, self.busy_s = per_s, 0.0, 0.0

    def serve(self, since_s: float, amount: float) -> float:
        """When that amount is served, if it comes at that time."""
        lasts_s = amount / self._per_s
        self.busy_s += lasts_s
        self._free_s = max(self._free_s, since_s) + lasts_s
        return self._free_s


class Played(NamedTuple):
    """How long a simulated walk took, and for which share of that time things were busy."""

    hours: float
    workers: float
    handing_out: float
    storage: float
    servers: float

    @property
    def bottleneck(self) -> str:
        """What was busiest; none, if nothing was busy for most of the time: then shards are too few or too uneven."""
        shares = {name: share for name, share in self._asdict().items() if name != "hours"}
        busiest = max(shares, key=lambda name: shares[name])
        return busiest.replace("_", " ") if shares[busiest] > 0.8 else "too few shards"


def play(place: Place, service: Service, num_clips: int, seed: int) -> Played:
    """One walk from nothing to the last text."""
    drawn = random.Random(seed)
    clips = Counter(drawn.randrange(place.buckets) for _ in range(num_clips))
    stages = [*(name for name in service.cpu_s if name != ASKS), ASKS]
    handing, storage = OneByOne(place.shards_per_s), OneByOne(place.gigabytes_per_s)
    servers = OneByOne(place.texts_per_s)
    gigabytes = (service.bytes_read + service.bytes_written) / (len(stages) - 1) / 1e9
    lasts_s = [(mean(service.cpu_s[name]), pstdev(service.cpu_s[name])) for name in stages]
    num_free, at_work_s, now_s = place.workers, 0.0, 0.0
    waiting = [(0, bucket) for bucket in clips]  # as minus the number of the stage, so that the furthest goes first
    heapify(waiting)
    ends: list[tuple[float, int, int]] = []  # when, which stage, which bucket
    num_ended: Counter[int] = Counter()
    while waiting or ends:
        while waiting and (num_free or stages[-waiting[0][0]] == ASKS):
            number, bucket = -waiting[0][0], heappop(waiting)[1]
            if stages[number] == ASKS:
                heappush(ends, (servers.serve(now_s, clips[bucket]), number, bucket))
                continue
            num_free -= 1
            begins_s = storage.serve(handing.serve(now_s, 1), gigabytes * clips[bucket])
            ends_s = begins_s + sum_of(lasts_s[number], clips[bucket], drawn)
            at_work_s += ends_s - now_s
            heappush(ends, (ends_s, number, bucket))
        now_s, number, bucket = heappop(ends)
        num_free += stages[number] != ASKS
        num_ended[number] += 1
        if number + 1 == len(stages):
            continue
        if place.flows:
            heappush(waiting, (-number - 1, bucket))
        elif num_ended[number] == len(clips):
            waiting = [(-number - 1, one) for one in clips]
    busy = (at_work_s / place.workers, handing.busy_s, storage.busy_s, servers.busy_s)
    return Played(now_s / 3600, *(one / now_s for one in busy))


def sum_of(seconds: tuple[float, float], number: int, drawn: random.Random) -> float:
    """What so many clips take together, each like one of those that were measured: mean and deviation."""
    return max(0.0, drawn.gauss(number * seconds[0], number**0.5 * seconds[1]))


ORDERS = (
    "workers",
    "buckets",
    "stage after stage, h",
    "bucket after bucket, h",
    "ideal, h",
    "workers busy",
    "short is",
)
LIMITS = ("workers", "texts/s", "GB/s", "stage after stage, h", "bucket after bucket, h", "short is")
BUILDS = ("runner", "processes or threads", "command, s", "flow, s", "work of shards, s", "own CPU, ms a shard", "load")


def head(names: Sequence[str]) -> str:
    """The head of a table in Markdown."""
    return f"\n| {' | '.join(names)} |\n{'|---' * len(names)}|"


def simulate(arguments: argparse.Namespace) -> None:
    """Tables of walks."""
    measured = json.loads(arguments.measured.read_text())
    service = service_of(measured)
    print_service(service)
    print_runs(measured["runs"])

    def row(place: Place) -> Played:
        return play(place, service, arguments.clips, arguments.seed)

    print(f"\n{arguments.clips:,} clips, storage and servers without limit:\n{head(ORDERS)}")
    for workers in (1, 2, 4, 8, 16, 50, 100, 400):
        for buckets in sorted({16, 4 * workers, 16 * workers}):
            place = Place(workers, buckets)
            by_stage, by_bucket = row(replace(place, flows=False)), row(place)
            ideal = arguments.clips * service.all_cpu_s / workers / 3600
            print(
                f"| {workers} | {buckets} | {by_stage.hours:.2f} | {by_bucket.hours:.2f} | {ideal:.2f} "
                f"| {by_bucket.workers:.0%} | {by_bucket.bottleneck} |"
            )
    print(f"\nWith servers that answer so many texts a second, and storage of so many gigabytes:\n{head(LIMITS)}")
    for workers in (16, 50, 100, 400):
        for texts_per_s, gigabytes_per_s in ((1, 1.0), (10, 1.0), (50, 1.0), (150, 1.0), (150, 0.1), (150, 0.01)):
            place = Place(workers, 16 * workers, texts_per_s, gigabytes_per_s)
            by_stage, by_bucket = row(replace(place, flows=False)), row(place)
            print(
                f"| {workers} | {texts_per_s} | {gigabytes_per_s} | {by_stage.hours:.2f} | {by_bucket.hours:.2f} "
                f"| {by_bucket.bottleneck} |"
            )


def service_of(measured: dict[str, Any]) -> Service:
    """CPU seconds a clip by stage, from shards of some clips each, and bytes a clip."""
    cpu_s = {
        stage: [seconds / units for units, seconds in shards for _ in range(units)]
        for stage, shards in measured["shards"].items()
    }
    written = sum(measured["bytes_written"].values())
    return Service(cpu_s, measured["bytes_read"] / measured["clips"], written / measured["clips"])


def print_service(service: Service) -> None:
    """What a clip takes."""
    read, written = service.bytes_read / 1e6, service.bytes_written / 1e6
    print(f"A clip of {NUM_FRAMES} frames: {read:.2f} MB read, {written:.2f} MB written")
    print(head(("stage", "CPU seconds a clip", "clips an hour and core")))
    for name, seconds in service.cpu_s.items():
        print(
            f"| {name} | {mean(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f}) | {3600 / mean(seconds):,.0f} |"
        )
    print(f"| **all that compute** | **{service.all_cpu_s:.3f}** | **{3600 / service.all_cpu_s:,.0f}** |")


def print_runs(runs: Sequence[dict[str, Any]]) -> None:
    """What builds took here."""
    print(head(BUILDS))
    for run in runs:
        print(
            f"| {run['runner']} | {run['workers']} | {run['wall_s']:.1f} | {run['flow_s']:.1f} | {run['work_s']:.1f} "
            f"| {1000 * run['own_cpu_s'] / run['num_shards']:.0f} | {run['load']:.1f} |"
        )


if __name__ == "__main__":
    main()
