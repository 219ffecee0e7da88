"""Stop between two steps when asked to by Ctrl-C or a SIGTERM; at once when asked again."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether somebody asked."""

    def __init__(self) -> None:
        self.is_asked = False


@contextmanager
def stopping(*, tells: bool = True) -> Iterator[Stop]:
    """Notice signals while the context is open. Where a thread other than the main one works, there are none."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: FrameType | None) -> None:
        if stop.is_asked:
            raise KeyboardInterrupt
        stop.is_asked = True
        if tells:
            words = "facescribe: finishing the step and saving; Ctrl-C again ends at once, at the checkpoint before"
            print(words, file=sys.stderr, flush=True)  # noqa: T201

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
