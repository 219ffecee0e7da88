"""Kill and slow everything at random while builds run, then hold the corpus against one that was built in peace.

    python bench/chaos.py                                            # 20 minutes; S3 and Dask
    python bench/chaos.py --minutes 1 --root folder --runner threads # a short one

`facescribe build` runs again and again over a folder that changes meanwhile: videos come, go and move, labels change.
All that time, by a seed, workers, decoders and whole builds are killed with `kill -9`, and so are the Prefect server
and the language-model server, which come back seconds later; Prefect's is also stopped as it stands, and goes on. The
language-model server and S3 stand behind proxies (tests/fault_proxy.py) that are slow, answer 503, break off in the
middle, lose the answer to what was done, say nothing, are dead, or tell that the credentials have expired. The S3
server itself (moto) keeps its objects in memory, so that it is never killed, but cut off.

Afterwards everything is whole again: one build must end well, `facescribe check` find no fault, the next build find
nothing to do, and every value be that of a corpus which is built at once, in a folder, with threads, undisturbed.

The seed decides what happens when; which process is hit, and in the middle of what, no seed can say. Everything that
happened is a line of `events.jsonl` in the folder.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import psutil

from bench.soak import base_clips, write_video
from flows.prefect_api import PrefectServer
from pipeline.local_server import HOST, free_port
from tests.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.s3_server import s3_server

BUCKETS = 4
NUM_AT_FIRST = 12
NUM_BASES = 24
HANGS_S = 420.0
"""A build that takes longer is stuck, whatever was done to it."""

MODEL_SERVER = """
import hashlib, json, sys
from collections import deque
from tests.answer_server import answering, join_notes
asked = open(sys.argv[2], "a", buffering=1)
def answer(request):
    asked.write(hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest() + "\\n")
    return join_notes(request)
with answering(int(sys.argv[1])) as server:
    server.answer, server.requests = answer, deque(maxlen=1)
    print("up", flush=True)
    input()
"""


def main() -> None:
    """Disturb, go on, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--every", type=float, default=8.0, help="seconds from fault to fault, on average")
    parser.add_argument("--root", choices=["s3", "folder"], default="s3", help="where the corpus lies")
    parser.add_argument("--runner", choices=["dask", "threads"], default="dask", help="what computes the shards")
    parser.add_argument("--folder", type=Path, help="where everything lies; without, a temporary folder")
    parser.add_argument("--digest", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.digest:
        print(json.dumps(digest_of(arguments.digest)))
        return
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="facescribe-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            disturb_and_compare(Stage.set_up(folder.resolve(), arguments, stack), arguments.minutes)
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder)


class Log:
    """What happened, as lines of JSON and as counts."""

    def __init__(self, path: Path) -> None:
        self._path, self._began, self._lock = path, time.monotonic(), threading.Lock()
        self.counts: Counter[str] = Counter()

    def tell(self, what: str, **facts: Any) -> None:
        """Note that something happened."""
        line = {"s": round(time.monotonic() - self._began, 2), "what": what, **facts}
        with self._lock:
            self.counts[what] += 1
            with self._path.open("a") as file:
                file.write(json.dumps(line) + "\n")


TROUBLES: list[tuple[Fault, dict[str, Any]]] = [
    (Fault.SLOW, {"share": 0.5, "delay_s": 1.5}),
    (Fault.UNAVAILABLE, {"share": 0.4}),
    (Fault.HALF, {"share": 0.3}),
    (Fault.LOST, {"share": 0.3}),
    (Fault.SILENT, {"share": 0.1, "delay_s": 6.0}),
    (Fault.DEAD, {}),
    (Fault.REFUSED, {"share": 0.3, "body": b"<Error><Code>ExpiredToken</Code></Error>"}),
]
"""What a proxy does; the last one, to S3 alone."""


class Killable(Protocol):
    """A server that can be killed and started again at the same address."""

    def start(self) -> None:
        """Start it, and wait until it answers."""

    def kill(self) -> None:
        """`kill -9` to every process of it."""


class PrefectProcess(PrefectServer):
    """Prefect's API with a database that outlives it."""

    def environment(self) -> dict[str, str]:
        """With a Prefect home of its own."""
        return {**super().environment(), "PREFECT_HOME": str(self.log_path.parent / "prefect")}

    def start(self) -> None:
        """Start it, and wait until it answers."""
        super().start()
        self.wait_until_ready(300)

    def kill(self) -> None:
        """`kill -9` to the server; what stands above it ends by itself."""
        assert self.pid is not None
        for process in psutil.Process(self.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.stop()


class ModelProcess:
    """The server that answers by rule, which writes down the hash of each question."""

    def __init__(self, folder: Path) -> None:
        self.port, self.asked_path = free_port(), folder / "asked.txt"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        asked = [sys.executable, "-c", MODEL_SERVER, str(self.port), str(self.asked_path)]
        self._process = subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass
class Stage:
    """All that takes part."""

    folder: Path
    seed: int
    fault_every_s: float
    log: Log
    source: Path
    labels: Path
    root: str
    build_file: Path
    environment: dict[str, str]
    prefect: PrefectProcess
    model: ModelProcess
    proxies: dict[str, FaultProxy]
    bases: Any
    building: subprocess.Popen[bytes] | None = None
    num_commands: int = 0

    @classmethod
    def set_up(cls, folder: Path, arguments: argparse.Namespace, stack: ExitStack) -> Stage:
        """Start every server, and make the videos that there are at first."""
        prefect, model = PrefectProcess(folder / "prefect.log"), ModelProcess(folder)
        prefect.start()
        stack.callback(prefect.stop)
        model.start()
        stack.callback(model.kill)
        environment = {
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_HOME": str(folder / "prefect-client"),
            "AWS_ACCESS_KEY_ID": "chaos",
            "AWS_SECRET_ACCESS_KEY": "chaos",
        }
        proxies = {"language model": stack.enter_context(fault_proxy(f"{HOST}:{model.port}", seed=arguments.seed))}
        root = str(folder / "corpus")
        if arguments.root == "s3":
            behind = stack.enter_context(s3_server())
            request = urllib.request.Request(f"http://{behind}/chaos", method="PUT")
            urllib.request.urlopen(request, timeout=60).close()
            proxies["S3"] = stack.enter_context(fault_proxy(behind, seed=arguments.seed))
            root = f"s3://chaos/corpus?endpoint_override=http://{proxies['S3'].address}&region=us-east-1"
        stage = cls(
            folder=folder,
            seed=arguments.seed,
            fault_every_s=arguments.every,
            log=Log(folder / "events.jsonl"),
            source=folder / "videos",
            labels=folder / "labels.csv",
            root=root,
            build_file=folder / "build.toml",
            environment={**os.environ, **environment, "PREFECT_API_URL": f"{prefect.origin}/api"},
            prefect=prefect,
            model=model,
            proxies=proxies,
            bases=base_clips(folder, NUM_BASES),
        )
        stage.source.mkdir(exist_ok=True)
        stage.write_build_file(f"http://{proxies['language model'].address}/v1", arguments.runner)
        return stage

    def write_build_file(self, server: str, runner: str) -> None:
        """What to compute, and how: servers that do not answer are soon given up, the next build asks them again."""
        self.build_file.write_text(
            f'[descriptions]\nmodel = "by-rule"\n[tracks]\ncrop_px = 96\n[resources]\nserver = "{server}"\n'
            f'runner = "{runner}"\nworkers = 2\nmax_duplicate_share = 1.0\nrequest_attempts = 2\n'
            "request_timeout_s = 10\n"
        )

    def start_build(self, root: str, build_file: Path) -> subprocess.Popen[bytes]:
        """`facescribe build`, as a user runs it."""
        command = ["build", str(self.source), "--root", root, "--buckets", str(BUCKETS), "--config", str(build_file)]
        if self.labels.exists():
            command += ["--annotations", str(self.labels)]
        return self.facescribe(*command)

    def facescribe(self, *command: str) -> subprocess.Popen[bytes]:
        """A command, in a session of its own, that writes to a file of its own."""
        self.num_commands += 1
        self.said_path.parent.mkdir(exist_ok=True)
        with self.said_path.open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "flows", *command],
                env=self.environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    @property
    def said_path(self) -> Path:
        """What the last command said."""
        return self.folder / "said" / f"{self.num_commands:03d}.txt"

    def said(self) -> str:
        """The last line that the last command said."""
        lines = self.said_path.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""


def disturb_and_compare(stage: Stage, minutes: float) -> None:
    """The time of faults, the peace after it, and a table of what happened."""
    drawn = random.Random(f"{stage.seed} changes")
    changes = Changes(stage, drawn)
    changes.begin()
    is_over = threading.Event()
    thread = threading.Thread(target=Faults(stage, is_over).run)
    thread.start()
    began = time.monotonic()
    try:
        while time.monotonic() - began < 60 * minutes:
            build_once(stage, stage.start_build(stage.root, stage.build_file), changes)
    finally:
        is_over.set()
        thread.join()
    stage.log.tell("peace")
    problems = hold_against_undisturbed(stage)
    print_table(stage, minutes, problems)
    if problems:
        raise SystemExit("\n".join(problems))


def build_once(stage: Stage, process: subprocess.Popen[bytes], changes: Changes) -> None:
    """Wait for a build, in whose middle the source may change; a change comes after it, too."""
    stage.building = process
    began, change_at = time.monotonic(), changes.moment_s()
    while process.poll() is None:
        time.sleep(0.1)
        if change_at is not None and time.monotonic() - began > change_at:
            changes.one()
            change_at = None
        if time.monotonic() - began > HANGS_S:
            stage.log.tell("build hung", said=stage.said())
            end_all(process)
    stage.building = None
    how = "killed" if process.returncode < 0 else "ended well" if process.returncode == 0 else "ended with an error"
    stage.log.tell(f"build {how}", took_s=round(time.monotonic() - began, 1), said=stage.said())
    changes.one()


class Changes:
    """What happens to the source."""

    def __init__(self, stage: Stage, drawn: random.Random) -> None:
        self._stage, self._drawn, self._next = stage, drawn, 0

    def begin(self) -> None:
        """The first videos, and labels of a few."""
        for _ in range(NUM_AT_FIRST):
            self._add()
        self._label()

    def moment_s(self) -> float | None:
        """After how many seconds of a build the source shall change, if it shall."""
        return self._drawn.uniform(0, 20) if self._drawn.random() < 0.3 else None

    def one(self) -> None:
        """The next change."""
        change = self._drawn.choices([self._add, self._label, self._remove, self._move], [4, 3, 1, 1])[0]
        self._stage.log.tell(f"source: {change.__name__.strip('_')}", video=change())

    def _names(self) -> list[str]:
        return sorted(path.name for path in self._stage.source.glob("*.mp4"))

    def _add(self) -> str:
        place = self._stage.source / f"{self._next:04d}.mp4"
        part = place.with_name(f".{place.name}")
        write_video(part, self._stage.bases, self._next)
        part.replace(place)
        self._next += 1
        return place.name

    def _label(self) -> str:
        names = self._names()
        part = self._stage.labels.with_name("labels.part")
        with part.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "label"])
            labels = ("happiness", "sadness", "neutral", "anger")
            rows.writerows((name, self._drawn.choice(labels)) for name in self._drawn.sample(names, len(names) // 2))
        part.replace(self._stage.labels)
        return f"{len(names) // 2} of {len(names)}"

    def _remove(self) -> str:
        name = self._drawn.choice(self._names())
        (self._stage.source / name).unlink()
        return name

    def _move(self) -> str:
        name = self._drawn.choice(self._names())
        (self._stage.source / name).rename(self._stage.source / f"moved-{name}")
        return name


class Faults:
    """What happens to everybody else."""

    def __init__(self, stage: Stage, is_over: threading.Event) -> None:
        self._stage, self._is_over = stage, is_over
        self._drawn = random.Random(f"{stage.seed} faults")
        self._under_way: list[threading.Thread] = []
        self._down: set[str] = set()

    def run(self) -> None:
        """One fault after another until it is over; then everything is up again."""
        while not self._is_over.wait(self._drawn.expovariate(1 / self._stage.fault_every_s)):
            kinds: list[tuple[Callable[[], None], int]] = [
                (self._kill_worker, 8),
                (self._kill_build, 1),
                (self._kill_prefect, 1),
                (self._freeze_prefect, 2),
                (self._kill_model, 4),
            ]
            kinds += [(partial(self._trouble, name), 5) for name in sorted(self._stage.proxies)]
            work, weights = zip(*kinds, strict=True)
            self._drawn.choices(work, weights)[0]()
            self._under_way = [thread for thread in self._under_way if thread.is_alive()]
        for thread in self._under_way:
            thread.join()

    def _kill_worker(self) -> None:
        """`kill -9` to a process that the build started: a worker, or a decoder."""
        lot = self._drawn.random()
        found = workers_of(self._stage.building)
        if not found:
            self._stage.log.tell("no worker to kill")
            return
        role, process = found[int(lot * len(found))]
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
            self._stage.log.tell(f"killed: {role}", pid=process.pid)

    def _kill_build(self) -> None:
        process = self._stage.building
        if process is None or process.poll() is not None:
            self._stage.log.tell("no build to kill")
            return
        process.kill()
        self._stage.log.tell("killed: build", pid=process.pid)

    def _kill_prefect(self) -> None:
        self._kill_for("Prefect server", self._stage.prefect, self._drawn.uniform(1, 8))

    def _kill_model(self) -> None:
        self._kill_for("language-model server", self._stage.model, self._drawn.uniform(1, 15))

    def _kill_for(self, name: str, server: Killable, seconds: float) -> None:
        if name in self._down:
            self._stage.log.tell(f"{name} is down already")
            return
        self._down.add(name)

        def fall_and_rise() -> None:
            server.kill()
            self._stage.log.tell(f"killed: {name}", for_s=round(seconds, 1))
            time.sleep(seconds)
            server.start()
            self._stage.log.tell(f"started again: {name}")
            self._down.discard(name)

        self._beside(fall_and_rise)

    def _freeze_prefect(self) -> None:
        """Stop the Prefect server as it stands; it goes on later."""
        seconds, pid = self._drawn.uniform(1, 20), self._stage.prefect.pid
        if "Prefect server" in self._down or pid is None:
            self._stage.log.tell("Prefect server is down already")
            return
        self._down.add("Prefect server")

        def freeze() -> None:
            processes = psutil.Process(pid).children(recursive=True)
            for process in processes:
                process.suspend()
            self._stage.log.tell("stopped for a while: Prefect server", for_s=round(seconds, 1))
            time.sleep(seconds)
            for process in processes:
                process.resume()
            self._down.discard("Prefect server")

        self._beside(freeze)

    def _trouble(self, name: str) -> None:
        """A proxy does harm for a while."""
        fault, how = self._drawn.choice(TROUBLES if name == "S3" else TROUBLES[:-1])
        seconds = self._drawn.uniform(1, 12)
        if name in self._down:
            self._stage.log.tell(f"{name} is in trouble already")
            return
        self._down.add(name)
        proxy = self._stage.proxies[name]

        def do_harm() -> None:
            before = proxy.num_harmed()
            proxy.harm(fault, **how)
            time.sleep(seconds)
            proxy.heal()
            self._down.discard(name)
            num = proxy.num_harmed() - before
            self._stage.log.tell(f"{name}: {fault}", for_s=round(seconds, 1), requests=num)

        self._beside(do_harm)

    def _beside(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        self._under_way.append(thread)
        thread.start()


def workers_of(build: subprocess.Popen[bytes] | None) -> list[tuple[str, psutil.Process]]:
    """The processes below a build that can be killed, with what they are, in the order of their beginning."""
    found = []
    with suppress(psutil.Error):
        for process in psutil.Process(build.pid).children(recursive=True) if build is not None else ():
            with suppress(psutil.Error):
                words = " ".join(process.cmdline())
                if "pipeline.videos.decoding" in words:
                    found.append((process.create_time(), "decoder", process))
                elif words.startswith("dask worker"):  # which the process calls itself
                    found.append((process.create_time(), "Dask worker", process))
    return [(role, process) for _, role, process in sorted(found, key=lambda one: one[0])]


def end_all(process: subprocess.Popen[bytes]) -> None:
    """`kill -9` to a command and all below it."""
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        with suppress(psutil.NoSuchProcess):
            one.kill()


def hold_against_undisturbed(stage: Stage) -> list[str]:
    """Build once more in peace, check, build elsewhere at once, compare; what is not as it should be."""
    problems = []

    def run(what: str, process: subprocess.Popen[bytes]) -> str:
        began = time.monotonic()
        status, said = process.wait(), stage.said()
        stage.log.tell(what, status=status, took_s=round(time.monotonic() - began, 1), said=said)
        if status:
            problems.append(f"{what}: status {status}: {said}")
        return stage.said_path.read_text(errors="replace")

    run("build in peace", stage.start_build(stage.root, stage.build_file))
    if "nothing to do" not in run("build again", stage.start_build(stage.root, stage.build_file)):
        problems.append("the build after the last one had something to do")
    if "faults: none" not in run("check", stage.facescribe("check", "--root", stage.root)):
        problems.append("check found faults")
    peaceful = stage.folder / "peaceful.toml"
    peaceful.write_text(stage.build_file.read_text().replace('runner = "dask"', 'runner = "threads"'))
    run("undisturbed build", stage.start_build(str(stage.folder / "undisturbed"), peaceful))
    if problems:
        return problems
    digests = [digest_in_child(stage, root) for root in (stage.root, str(stage.folder / "undisturbed"))]
    (stage.folder / "digests.json").write_text(json.dumps(digests, indent=1))
    for table in digests[1]:
        if digests[0].get(table) != digests[1][table]:
            problems.append(f"table {table}: {digests[0].get(table)}, undisturbed {digests[1][table]}")
    stage.log.tell("compared", rows={table: rows for table, (rows, _) in digests[1].items()}, problems=problems)
    return problems


def digest_in_child(stage: Stage, root: str) -> dict[str, tuple[int, str]]:
    """`digest_of` in a process that has what a command has."""
    asked = [sys.executable, __file__, "--digest", root]
    done = subprocess.run(asked, env=stage.environment, capture_output=True, text=True, check=True)
    found: dict[str, tuple[int, str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def digest_of(root: str) -> dict[str, tuple[int, str]]:
    """By table: how many rows, and a hash of every value of the newest snapshot but what work took, by key."""
    from pipeline.inspection.corpus import Corpus
    from schemas.corpus import TABLES
    from schemas.ledger import COSTS

    corpus, found = Corpus(root), {}
    for name, table in TABLES.items():
        columns = [field.name for field in table.columns if field.name not in COSTS]
        rows = corpus.arrow(name, columns).to_pylist()
        rows.sort(key=lambda row: [str(row[key]) for key in table.primary_key])
        found[name] = len(rows), hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
    return found


def print_table(stage: Stage, minutes: float, problems: Sequence[str]) -> None:
    """What happened, in Markdown."""
    asked = stage.model.asked_path.read_text().split()
    print(f"seed {stage.seed}, {minutes:g} minutes\n\n| what | times |\n|---|---|")
    print("\n".join(f"| {what} | {count} |" for what, count in sorted(stage.log.counts.items())))
    print(f"| questions that reached the language model | {len(asked)}, of which {len(set(asked))} differ |")
    print(f"\n{'equal to the undisturbed corpus; no fault found' if not problems else 'NOT EQUAL'}")


if __name__ == "__main__":
    main()
