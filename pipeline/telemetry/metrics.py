"""The figures of a run, for Prometheus: served on loopback while it lasts, or written to a file at its end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest, start_http_server, write_to_textfile
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from pipeline.telemetry.events import (
    CorpusIs,
    Event,
    RunBegan,
    RunEnded,
    ShardCameBack,
    ShardEnded,
    ShardHandedOut,
    ShardWaits,
    UnitEnded,
)
from pipeline.telemetry.tally import BOUNDS_S, Tally

LOOPBACK = "127.0.0.1"
LAST_SUCCESS = "facescribe_run_last_success_timestamp_seconds"


class ServerFigures(Protocol):
    """How one language-model server does. Counts since this process first asked it."""

    @property
    def address(self) -> str:
        """Its URL."""

    @property
    def in_flight(self) -> int:
        """Requests under way."""

    @property
    def limit(self) -> float:
        """Most of them that it is given now; infinite as long as it never had too much."""

    @property
    def is_aside(self) -> bool:
        """Whether it is given nothing, because it failed."""

    @property
    def pace_s(self) -> float:
        """Seconds that an answer takes."""

    @property
    def num_answered(self) -> int:
        """Requests that it answered."""

    @property
    def num_failed(self) -> int:
        """Attempts without an answer."""

    @property
    def num_set_aside(self) -> int:
        """How often it was set aside."""


FleetFigures = Callable[[], Iterable[ServerFigures]]


class RunFigures(Collector):
    """Adds up the events of a run. `hear` is called from the threads that do the work, `collect` from the server's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: dict[str, Tally] = {}
        self._shard_s: dict[str, float] = {}
        self._shards: dict[tuple[str, str], int] = {}
        self._waiting: dict[str, int] = {}
        self._under_way: dict[str, int] = {}
        self._units: dict[str, dict[int, tuple[int, int]]] = {}
        self._run: RunBegan | None = None
        self._began_at = self._ended_at = self._last_success_at = 0.0
        self._is_failed = False
        self._corpus: CorpusIs | None = None

    def hear(self, event: Event) -> None:
        """Add one event."""
        with self._lock:
            self._add(event)

    def note_progress(self, stage: str, shard: int, done: int, total: int) -> None:
        """Add how far a shard is: a listener of pipeline.progress."""
        with self._lock:
            self._units.setdefault(stage, {})[shard] = (done, total)

    def note_last_success(self, at_s: float) -> None:
        """What an earlier run left: seconds since 1970 at which a run ended well."""
        with self._lock:
            self._last_success_at = max(self._last_success_at, at_s)

    def _add(self, event: Event) -> None:
        if isinstance(event, UnitEnded):
            tally = self._tallies.setdefault(event.stage, Tally())
            tally.enter(event.reason, event.seconds, event.num_rows, event.num_bytes, event.num_tokens)
        elif isinstance(event, ShardWaits):
            self._waiting[event.stage] = self._waiting.get(event.stage, 0) + 1
        elif isinstance(event, ShardHandedOut):
            self._waiting[event.stage] = self._waiting.get(event.stage, 0) - 1
            self._under_way[event.stage] = self._under_way.get(event.stage, 0) + 1
        elif isinstance(event, ShardCameBack):
            self._under_way[event.stage] = self._under_way.get(event.stage, 0) - 1
            key = event.stage, "done" if event.is_done else "failed"
            self._shards[key] = self._shards.get(key, 0) + 1
            if event.unheard is not None:
                self._shard_s[event.stage] = self._shard_s.get(event.stage, 0.0) + event.unheard_s
                self._tallies.setdefault(event.stage, Tally()).add(event.unheard)
        elif isinstance(event, ShardEnded):
            self._shard_s[event.stage] = self._shard_s.get(event.stage, 0.0) + event.seconds
            self._tallies.setdefault(event.stage, Tally()).num_taken_over += event.num_taken_over
        elif isinstance(event, CorpusIs):
            self._corpus = event
        elif isinstance(event, RunBegan):
            self._run, self._began_at = event, time.time()
        elif isinstance(event, RunEnded):
            self._ended_at, self._is_failed = time.time(), event.error is not None
            self._last_success_at = self._last_success_at if self._is_failed else self._ended_at

    def collect(self) -> Iterator[Metric]:
        """All figures as they are now."""
        with self._lock:
            metrics = [*self._of_units(), *self._of_shards(), *self._of_run(), *self._of_corpus()]
        return iter(metrics)

    def _of_units(self) -> Iterator[Metric]:
        units = CounterMetricFamily("facescribe_units", "Units that ended, and how.", labels=["stage", "outcome"])
        refused = CounterMetricFamily("facescribe_refused", "Units refused, by reason.", labels=["stage", "reason"])
        took = HistogramMetricFamily("facescribe_unit_seconds", "What computing a unit took.", labels=["stage"])
        for stage, tally in self._tallies.items():
            units.add_metric([stage, "done"], tally.num_done)
            units.add_metric([stage, "refused"], tally.refused.total())
            units.add_metric([stage, "taken_over"], tally.num_taken_over)
            for reason, count in sorted(tally.refused.items()):
                refused.add_metric([stage, reason], count)
            took.add_metric([stage], _cumulative(tally.took), tally.seconds)
        yield from (units, refused, took)
        counts = {
            "facescribe_tokens": ("Tokens of requests and answers.", "num_tokens"),
            "facescribe_rows": ("Rows written for computed units.", "num_rows"),
            "facescribe_row_bytes": ("Bytes of these rows in memory, before compression.", "num_bytes"),
        }
        for name, (meaning, field) in counts.items():
            values = {stage: getattr(tally, field) for stage, tally in self._tallies.items()}
            yield _by("stage", CounterMetricFamily, name, meaning, values)

    def _of_shards(self) -> Iterator[Metric]:
        shards = CounterMetricFamily("facescribe_shards", "Shards that came back.", labels=["stage", "outcome"])
        for (stage, outcome), count in self._shards.items():
            shards.add_metric([stage, outcome], count)
        yield shards
        known, ended = (
            {stage: float(sum(counts[which] for counts in parts.values())) for stage, parts in self._units.items()}
            for which in (1, 0)
        )
        of_stages = "stage", GaugeMetricFamily
        yield _by("stage", CounterMetricFamily, "facescribe_shard_seconds", "Work on shards, added up.", self._shard_s)
        yield _by(*of_stages, "facescribe_shards_waiting", "Shards whose turn comes.", self._waiting)
        yield _by(*of_stages, "facescribe_shards_under_way", "Shards at work now.", self._under_way)
        yield _by(*of_stages, "facescribe_units_known", "Units of the shards begun so far.", known)
        yield _by(*of_stages, "facescribe_units_ended", "Those of them that have ended.", ended)

    def _of_run(self) -> Iterator[Metric]:
        if self._run is not None:
            about = {"run": self._run.run, "root": self._run.root, "version": self._run.version}
            info = GaugeMetricFamily("facescribe_run_info", "Which run this is.", labels=list(about))
            info.add_metric(list(about.values()), 1)
            yield info
        yield GaugeMetricFamily("facescribe_run_began_timestamp_seconds", "When the run began.", self._began_at)
        yield GaugeMetricFamily("facescribe_run_ended_timestamp_seconds", "When it ended, or 0.", self._ended_at)
        yield GaugeMetricFamily("facescribe_run_failed", "Whether it failed.", float(self._is_failed))
        yield GaugeMetricFamily(LAST_SUCCESS, "When a run last ended well, or 0.", self._last_success_at)

    def _of_corpus(self) -> Iterator[Metric]:
        if self._corpus is None:
            return
        corpus = self._corpus
        yield GaugeMetricFamily("facescribe_snapshot_number", "The newest snapshot.", corpus.snapshot)
        yield GaugeMetricFamily("facescribe_units_waiting", "Units that the next run tries again.", corpus.num_waiting)
        kind = GaugeMetricFamily
        yield _by("table", kind, "facescribe_snapshot_rows", "Rows of the newest snapshot.", corpus.rows)
        yield _by("reason", kind, "facescribe_snapshot_rejects", "Its refused units.", corpus.rejects)
        yield _by("stage", kind, "facescribe_snapshot_work_seconds", "What its units took.", corpus.work_s)
        yield _by("stage", kind, "facescribe_snapshot_tokens", "Tokens its rows were made from.", corpus.num_tokens)


def _cumulative(took: list[int]) -> list[tuple[str, float]]:
    buckets, so_far = [], 0
    for bound, count in zip([*map(str, BOUNDS_S), "+Inf"], took, strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    return buckets


class FleetCollector(Collector):
    """How each language-model server does, by its host and port: of a URL, nothing else is told."""

    def __init__(self, fleet: FleetFigures) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        """As they do now."""
        servers: dict[str, list[ServerFigures]] = {}
        for one in self._fleet():
            servers.setdefault(urlsplit(one.address).netloc.rpartition("@")[2], []).append(one)
        known = {address: servers[address] for address in sorted(servers)}

        def gauge(name: str, meaning: str, figure: Callable[[list[ServerFigures]], float]) -> Metric:
            return _by("server", GaugeMetricFamily, name, meaning, {at: figure(ones) for at, ones in known.items()})

        def counter(name: str, meaning: str, figure: Callable[[list[ServerFigures]], float]) -> Metric:
            return _by("server", CounterMetricFamily, name, meaning, {at: figure(ones) for at, ones in known.items()})

        # One server may be in several fleets, such as that of the texts and that of the pictures.
        yield gauge("facescribe_server_in_flight", "Requests under way.", lambda s: sum(one.in_flight for one in s))
        yield gauge("facescribe_server_limit", "Most requests that it is given.", lambda s: min(one.limit for one in s))
        yield gauge("facescribe_server_is_aside", "Whether it is given none.", lambda s: all(one.is_aside for one in s))
        yield gauge("facescribe_server_pace_seconds", "How long it takes.", lambda s: max(one.pace_s for one in s))
        yield counter("facescribe_server_answered", "Answers.", lambda s: sum(one.num_answered for one in s))
        yield counter("facescribe_server_failed", "Attempts without one.", lambda s: sum(one.num_failed for one in s))
        yield counter("facescribe_server_set_aside", "Times it was.", lambda s: sum(one.num_set_aside for one in s))


def _by(
    label: str,
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    meaning: str,
    values: Mapping[str, float],
) -> Metric:
    family = kind(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


class ChildrenCollector(Collector):
    """Memory of the processes below this one: decoders, servers that it started, workers on this machine. Of Linux."""

    def collect(self) -> Iterator[Metric]:
        """As they are now."""
        children = list(_descendants(os.getpid()))
        yield GaugeMetricFamily("facescribe_child_processes", "Processes below the run's own.", len(children))
        resident = sum(map(_resident_bytes, children))
        yield GaugeMetricFamily("facescribe_child_memory_bytes", "Resident memory of all of them.", resident)


def _descendants(process: int) -> Iterator[int]:
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
    except OSError:
        return
    for thread in threads:
        try:
            children = (thread / "children").read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from _descendants(child)


def _resident_bytes(process: int) -> int:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0  # it ended meanwhile
    return pages * os.sysconf("SC_PAGE_SIZE")


def registry_of(figures: RunFigures, fleet: FleetFigures) -> CollectorRegistry:
    """Everything that is told of a run: its own figures, its language-model servers, its process and those below."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(figures)
    registry.register(FleetCollector(fleet))
    registry.register(ChildrenCollector())
    ProcessCollector(registry=registry)
    return registry


def as_text(registry: CollectorRegistry) -> str:
    """All figures as Prometheus reads them."""
    return generate_latest(registry).decode()


@contextmanager
def served(registry: CollectorRegistry, port: int | None) -> Iterator[int | None]:
    """Serve the figures on a port of the loopback address while the context is open, 0 being a free one; None: not.

    Raises:
        OSError: the port is taken.
    """
    if port is None:
        yield None
        return
    server, thread = start_http_server(port, LOOPBACK, registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write(registry: CollectorRegistry, path: Path) -> None:
    """Write the figures to a file, whole or not at all, for node_exporter's textfile collector.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(path), registry)


def last_success(path: Path) -> float:
    """When a run last ended well, in seconds since 1970, as an earlier run wrote it to the file; 0 if none did."""
    try:
        families = list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, IndexError):  # the last is what the parser says of a line that ends too soon
        return 0.0
    return max(
        (sample.value for family in families for sample in family.samples if sample.name == LAST_SUCCESS), default=0.0
    )
