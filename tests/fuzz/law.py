"""The law that every parser of foreign bytes keeps, and how a breach of it is told from another.

Whatever the bytes are, the parser returns or raises an error that it documents: nothing else, within MOST_S seconds of
CPU time, and with less than MOST_BYTES of memory more than before.
"""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MOST_S = 5.0
"""CPU time, since a busy machine is not the parser's fault."""

MOST_BYTES = 1 << 30

OWN = ("/pipeline/", "/schemas/", "/flows/", "/tests/fuzz/")
"""What of a traceback names the place of a breach."""

Read = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """One parser of foreign bytes."""

    name: str
    documented: tuple[type[Exception], ...]
    """What it may raise."""
    seeds: Callable[[], Iterable[bytes]]
    """Files that are as they should be, or nearly: what others are made from."""
    open: Callable[[Path], Read]
    """Given a folder of its own, what hands bytes to the parser and does with the result what the next step does."""
    form: Literal["bytes", "json"] = "bytes"
    """How bytes are changed: anywhere, or as a tree of JSON too."""
    words: tuple[str, ...] = ()
    """What stands in such files: keys, names, marks."""
    most_bytes: int = 1 << 14
    """Longest input that is made up."""


@dataclass(frozen=True)
class Breach:
    """Bytes that a parser did not bear."""

    sign: str
    """The same for breaches of one cause: kind of error, and the last place in our code."""
    told: str
    """Traceback, or what was measured."""


class BadOutcome(AssertionError):
    """A parser returned what nothing after it could use."""


def must(is_so: bool, words: str) -> None:
    """Say what a result must be. Raises BadOutcome."""
    if not is_so:
        raise BadOutcome(words)


def judge(target: Target, read: Read, data: bytes) -> Breach | None:
    """Hand the bytes to the parser, and tell how it broke the law, if it did."""
    peak, began = _peak_bytes(), time.process_time()
    try:
        read(data)
    except target.documented as error:
        if not str(error).strip():
            return Breach(f"no words: {type(error).__name__}", traceback.format_exc())
    except Exception as error:
        return Breach(sign_of(error), traceback.format_exc())
    took_s, grown = time.process_time() - began, _peak_bytes() - peak
    if took_s > MOST_S:
        return Breach("slow", f"{took_s:.1f} s of CPU time for {len(data)} bytes, at most {MOST_S:g} s are right")
    if grown > MOST_BYTES:
        return Breach("large", f"{grown >> 20} MiB more memory for {len(data)} bytes")
    return None


def sign_of(error: BaseException) -> str:
    """What tells breaches of one cause from others."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if any(part in frame.filename for part in OWN)]
    last = (own or list(frames))[-1]
    words = f": {str(error)[:60]}" if isinstance(error, BadOutcome) else ""
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.name}{words}"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
