"""The log of a run: a line of JSON for every event, in a file or on standard error."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from pipeline.stage import Resources
from pipeline.telemetry.events import LOG, about, facts_here

STANDARD_ERROR = Path("-")

FIRST = ("run", "flow_run", "stage", "shard", "unit")
"""What a line is about, in this order, behind its time and level."""


class JsonLines(JsonFormatter):
    """time, level, run, stage, shard, unit, message, whatever else is known of the event, process and host."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Fill one line. What the event says of itself stands over what its context says."""
        told = {**facts_here(), **getattr(record, "facts", {})}
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname.lower()
        log_data |= {name: told.pop(name) for name in FIRST if told.get(name) not in (None, "")}
        log_data["message"] = record.getMessage()
        log_data |= {name: value for name, value in told.items() if name not in FIRST}
        log_data["process"], log_data["host"] = record.process, _HOST
        if record.exc_info and record.exc_info[0] is not None:
            log_data["error"] = record.exc_info[0].__name__


_HOST = socket.gethostname()
_lock = threading.Lock()
_open: dict[Path, tuple[logging.Handler, int]] = {}
"""The logs that this process writes, and how many contexts want each: shards side by side share one."""


@contextmanager
def logging_to(path: Path | None, level: str = "INFO") -> Iterator[None]:
    """Write what is logged while the context is open to the end of `path`; `-` is standard error, None nowhere.

    Several processes may write to one file: a line is one write at its end. A file that was moved away, as log rotation
    does, is made anew.

    Raises:
        OSError: the file cannot be written.
    """
    if path is None:
        yield
        return
    key = path if path == STANDARD_ERROR else path.resolve()
    with _lock:
        handler, num_wanting = _open.get(key) or (_handler(key, level), 0)
        if not num_wanting:
            LOG.addHandler(handler)
            LOG.setLevel(min(LOG.level, handler.level))
        _open[key] = (handler, num_wanting + 1)
    try:
        yield
    finally:
        with _lock:
            handler, num_wanting = _open[key]
            if num_wanting > 1:
                _open[key] = (handler, num_wanting - 1)
            else:
                del _open[key]
                LOG.removeHandler(handler)
                handler.close()
                LOG.setLevel(min([logging.INFO, *(other.level for other, _ in _open.values())]))


def _handler(path: Path, level: str) -> logging.Handler:
    handler: logging.Handler
    if path == STANDARD_ERROR:
        handler = logging.StreamHandler(sys.stderr)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(JsonLines(json_ensure_ascii=False))
    handler.setLevel(level)
    return handler


@contextmanager
def shard_logged(resources: Resources, stage: str, shard: int) -> Iterator[None]:
    """Log what happens to a shard in this context, in whichever process it is computed."""
    facts = {"run": resources.run} if resources.run else {}
    with logging_to(resources.log_file, resources.log_level), about(**facts, stage=stage, shard=shard):
        yield
