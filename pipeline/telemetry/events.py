"""What happens in a run, as events: each becomes a line of the log, and everybody who listens hears of it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from pipeline.telemetry.tally import Tally

LOG = logging.getLogger("facescribe")
LOG.setLevel(logging.INFO)
LOG.propagate = False  # what the root logger does with lines is for the program around us; the console stays as it is
LOG.addHandler(logging.NullHandler())

PROCESS = uuid.uuid4().hex
"""This process, among all of a run, on whatever machine."""

_about: ContextVar[Mapping[str, Any]] = ContextVar("_about", default={})  # noqa: B039  # never changed, only replaced


@contextmanager
def about(**facts: Any) -> Iterator[None]:
    """Give every line that is logged in this context these facts: run, stage, shard, unit."""
    token = _about.set({**_about.get(), **facts})
    try:
        yield
    finally:
        _about.reset(token)


def facts_here() -> Mapping[str, Any]:
    """What lines of this context are about."""
    return _about.get()


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened. Its fields are fields of its line in the log; those that are None are left out."""

    level: ClassVar[int] = logging.INFO

    def words(self) -> str:
        """The line's message."""
        raise NotImplementedError

    def weight(self) -> int:
        """The line's level."""
        return self.level

    def facts(self) -> dict[str, Any]:
        """What a program may want to know of it."""
        kept = {item.name: getattr(self, item.name) for item in fields(self) if item.metadata.get("is_told", True)}
        return {"event": type(self).__name__, **{name: value for name, value in kept.items() if value is not None}}


@dataclass(frozen=True, kw_only=True)
class RunBegan(Event):
    """A command or a flow set out on a corpus."""

    run: str
    root: str
    version: str

    def words(self) -> str:
        """Where."""
        return f"a run on {self.root} began"


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """It ended: well, or with an error of this kind."""

    seconds: float
    error: str | None = None
    """The kind of the error. Its message is for the console: it may quote a path or a server."""

    def words(self) -> str:
        """How."""
        return f"the run {'ended' if self.error is None else f'failed with {self.error}'} after {self.seconds:.1f} s"

    def weight(self) -> int:
        """A failure is an error."""
        return logging.INFO if self.error is None else logging.ERROR


@dataclass(frozen=True, kw_only=True)
class StageEnded(Event):
    """What a run did in a stage, told when all stages are done: they go on side by side."""

    stage: str
    num_computed: int
    num_taken_over: int
    num_tokens: int
    work_s: float
    """All shards added up."""
    busy_s: float
    """In which at least one shard was at work."""

    def words(self) -> str:
        """What was done."""
        return f"{self.stage}: {self.num_computed} units computed, {self.num_taken_over} taken over"


@dataclass(frozen=True, kw_only=True)
class ShardWaits(Event):
    """The shards before it are done, and its turn comes."""

    level = logging.DEBUG
    stage: str
    shard: int

    def words(self) -> str:
        """Which."""
        return f"{self.stage} {self.shard} waits"


@dataclass(frozen=True, kw_only=True)
class ShardHandedOut(Event):
    """A shard was given to the task runner."""

    level = logging.DEBUG
    stage: str
    shard: int

    def words(self) -> str:
        """Which."""
        return f"{self.stage} {self.shard} is handed out"


@dataclass(frozen=True, kw_only=True)
class ShardCameBack(Event):
    """A shard came back from the task runner, after all its attempts. The tally is what no one here heard of yet."""

    level = logging.DEBUG
    stage: str
    shard: int
    is_done: bool
    unheard: Tally | None = field(default=None, metadata={"is_told": False})
    unheard_s: float = field(default=0.0, metadata={"is_told": False})

    def words(self) -> str:
        """How."""
        return f"{self.stage} {self.shard} came back{'' if self.is_done else ' undone'}"

    def weight(self) -> int:
        """A shard that is lost to the run is an error."""
        return self.level if self.is_done else logging.ERROR


@dataclass(frozen=True, kw_only=True)
class ShardBegan(Event):
    """Work on a shard began, wherever that is."""

    stage: str
    shard: int

    def words(self) -> str:
        """Which."""
        return f"{self.stage} {self.shard} began"


@dataclass(frozen=True, kw_only=True)
class ShardEnded(Event):
    """Every unit of a shard ended, and its receipt is written."""

    stage: str
    shard: int
    num_computed: int
    num_taken_over: int
    num_refused: int
    num_tokens: int
    seconds: float

    def words(self) -> str:
        """What was done."""
        words = f"{self.stage} {self.shard} ended: {self.num_computed} units computed"
        return words + f", {self.num_refused} of them refused, {self.num_taken_over} taken over"


@dataclass(frozen=True, kw_only=True)
class ShardBrokeOff(Event):
    """An attempt at a shard ended with an error. Another one may follow."""

    level = logging.WARNING
    stage: str
    shard: int
    error: str

    def words(self) -> str:
        """Why."""
        return f"{self.stage} {self.shard} broke off with {self.error}"


@dataclass(frozen=True, kw_only=True)
class UnitEnded(Event):
    """A unit was computed, or refused with a reason. What the refusal says besides is in the table `rejects` alone."""

    level = logging.DEBUG
    stage: str
    shard: int
    unit: str
    reason: str | None = None
    is_transient: bool | None = None
    seconds: float
    num_rows: int = 0
    num_bytes: int = 0
    num_tokens: int = 0

    def words(self) -> str:
        """How."""
        return f"{self.stage}: {self.unit} {'is done' if self.reason is None else f'is refused: {self.reason}'}"

    def weight(self) -> int:
        """What was refused is worth a line; a defect of the code itself, a warning."""
        if self.reason is None:
            return self.level
        return logging.WARNING if self.reason == "unexpected_error" else logging.INFO


@dataclass(frozen=True, kw_only=True)
class CorpusIs(Event):
    """What the corpus holds at the end of a run."""

    snapshot: int
    is_new: bool
    rows: Mapping[str, int]
    rejects: Mapping[str, int]
    num_waiting: int
    """Units that the next run tries again."""
    work_s: Mapping[str, float]
    """By stage, of the units that stand in the snapshot."""
    num_tokens: Mapping[str, int]

    def words(self) -> str:
        """The snapshot, and whether it is new."""
        return f"the corpus is snapshot {self.snapshot}{', new' if self.is_new else ', as before'}"


Hearer = Callable[[Event], None]
_hearers: list[Hearer] = []


def tell(event: Event) -> None:
    """Log an event, and tell everybody who listens, in this thread."""
    if LOG.isEnabledFor(weight := event.weight()):
        LOG.log(weight, "%s", event.words(), extra={"facts": event.facts()})
    for hearer in tuple(_hearers):
        hearer(event)


@contextmanager
def hearing(*hearers: Hearer) -> Iterator[None]:
    """Call each of `hearers` for every event of this process while the context is open, from whichever thread."""
    _hearers.extend(hearers)
    try:
        yield
    finally:
        for hearer in hearers:
            _hearers.remove(hearer)
