"""Tell whoever listens how far each shard of a stage is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int, int], None]
"""Called with stage, bucket, units done and units in all, from whichever thread does the work."""

_listeners: list[Listener] = []


def report(stage: str, bucket: int, *, done: int, total: int) -> None:
    """Tell every listener."""
    for listener in tuple(_listeners):
        listener(stage, bucket, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` for every report while the context is open."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
