"""What the commands print: progress bars, counts and dataframes."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from pipeline.progress import listening

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.inspection.corpus import Corpus

STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What steers a terminal or turns the text beside it. Of styles, which are no text, nothing is lost by this."""


class TextConsole(Console):
    """Prints text as text: no markup, no emoji codes, and nothing that steers the terminal, wherever it came from."""

    def __init__(self, **more: Any) -> None:
        super().__init__(markup=False, emoji=False, **more)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is printed, piece by piece."""
        for piece in super().render(renderable, options):
            if piece.control is None and STEERS.search(piece.text):
                yield Segment(STEERS.sub("\N{REPLACEMENT CHARACTER}", piece.text), piece.style)
            else:
                yield piece


console = TextConsole(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)

MOST_ITEMS = 8
"""Items of a list that a terminal's cell shows."""


@contextmanager
def progress_bars() -> Iterator[None]:
    """Show a bar per stage on standard error while the context is open; plain lines where that is no terminal."""
    screen = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bars, listening(_Bars(bars, screen)):
        yield


class _Bars:
    """Sums the shards of each stage into one bar."""

    def __init__(self, bars: Progress, screen: Console) -> None:
        self._bars, self._screen = bars, screen
        self._lock = threading.Lock()
        self._shards: dict[str, dict[int, tuple[int, int]]] = {}
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, bucket: int, done: int, total: int) -> None:
        with self._lock:
            shards = self._shards.setdefault(stage, {})
            if not shards and not self._screen.is_terminal:
                print(f"{stage.replace('_', ' ')} …", file=sys.stderr, flush=True)
            shards[bucket] = (done, total)
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage.replace("_", " "))
            done, total = (sum(counts) for counts in zip(*shards.values(), strict=True))
            self._bars.update(self._tasks[stage], completed=done, total=total)


def print_counts(corpus: Corpus) -> None:
    """Print what the corpus holds: rows, texts by status, rejects by reason."""
    counts = corpus.snapshot.counts
    statuses = corpus.arrow("descriptions", ["status"])["status"].to_pylist()
    texts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(sorted(statuses, reverse=True)))
    rejects = ", ".join(f"{count} {reason}" for reason, count in corpus.snapshot.rejects.items())
    lines = {
        "videos": str(counts["videos"]),
        "tracks": str(counts["tracks"]),
        "descriptions": f"{counts['descriptions']}{f' ({texts})' if texts else ''}",
        "motion clips": str(counts["motion"]),
        "rejects": f"{counts['rejects']}{f' ({rejects})' if rejects else ''}",
    }
    for name, value in lines.items():
        console.print(f"  {name:<13} {value}", highlight=False)


def print_frame(frame: pd.DataFrame, columns: Sequence[str] | None, limit: int, *, as_json: bool = False) -> None:
    """Print a dataframe as a table, wrapped to the terminal, or as JSON lines. Text is never read as markup."""
    shown = frame[list(columns)] if columns is not None else frame
    if as_json:
        for row in shown.head(limit).to_dict(orient="records"):
            print(_escaped(json.dumps(row, ensure_ascii=False, default=_plain)))
        return
    is_long = {name: _is_long(shown[name]) for name in shown.columns}
    table = Table(show_lines=any(is_long.values()))
    for name in shown.columns:
        table.add_column(
            Text(_cell(str(name))), overflow="fold", ratio=int(is_long[name]) or None, min_width=24 * is_long[name]
        )
    for values in shown.head(limit).itertuples(index=False):
        table.add_row(*(Text(_cell(value)) for value in values))
    console.print(table)
    if len(shown) > limit:
        console.print(f"{limit} of {len(shown)} rows; --limit shows more")


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of words as a plain table; a column whose cells are all empty is left out."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    for number in shown:
        is_number = all(row[number][:1].isdigit() or row[number] in ("", "?") for row in rows)
        table.add_column(columns[number], justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(Text(_cell(row[number])) for number in shown))
    console.print(table)


def _is_long(column: pd.Series) -> bool:
    return any(isinstance(value, np.ndarray) or (isinstance(value, str) and len(value) > 60) for value in column[:50])


def _cell(value: Any) -> str:
    if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)):
        shown = [_record(item) if isinstance(item, dict) else _cell(item) for item in list(value)[:MOST_ITEMS]]
        return "\n".join(shown) + (f"\n… {len(value) - MOST_ITEMS} more" if len(value) > MOST_ITEMS else "")
    if value is None or value != value:
        return ""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float):
        return f"{value:.3f}"
    return "".join(character if character.isprintable() else " " for character in str(value))


def _escaped(line: str) -> str:
    """A line of JSON that says the same, and in which nothing steers a terminal: JSON itself leaves some of it."""
    return STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _record(record: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_cell(value)}" for name, value in record.items())


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def bar_with_words() -> Progress:
    """A bar on stderr with `words` of its own beside it; shown on a terminal alone."""
    screen = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=screen, disable=not screen.is_terminal)
