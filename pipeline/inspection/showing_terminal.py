"""Rows as a terminal shows them: aligned, wrapped, statuses and verdicts by colour and sign, hostile text harmless."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from rich import box
from rich.table import Table
from rich.text import Text

from pipeline.inspection.page import name_unseen

MOST_ITEMS = 8
"""Items of a list that a cell shows."""

MOST_CHARACTERS = 1200
"""Characters of a text that a cell shows; `--json` and `--csv` have all."""

LONG_FROM = 40
"""Characters from which a column is wide: it shares the room that is left, and is wrapped."""

SIGNS = {
    "supported": ("✓", "green"),
    "contradicted": ("✗", "bold red"),
    "not_measurable": ("?", "yellow"),
    "refined": ("✓", "green"),
    "edited": ("✎", "cyan"),
    "fallback": ("↩", "yellow"),
    "accept": ("✓", "green"),
    "reject": ("✗", "bold red"),
    "edit": ("✎", "cyan"),
    "unsure": ("?", "yellow"),
}
"""Sign and colour of each status, verdict and decision: the sign says the same where there is no colour."""

SIGNED = frozenset({"status", "verdict", "decision", "status_before", "status_after"})
"""Columns whose words have signs."""

_SPACE = re.compile(r"[\t\n\r\x0b\x0c\x85\u2028\u2029]+")
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u061c\u2060-\u2064\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")


def plain(text: str) -> str:
    """A text in one line that moves no cursor, escapes nothing and turns no direction: such signs are named."""
    named = str(name_unseen(_SPACE.sub(" ", text)))
    return _INVISIBLE.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", named)


def table_of(rows: pa.Table) -> Table:
    """The rows as a table for rich. Nothing in them is read as markup."""
    columns = {name: rows.column(name).to_pylist() for name in rows.column_names}
    shown = {name: [_cell(name, value) for value in values] for name, values in columns.items()}
    is_long = {
        name: any(len(cell) > LONG_FROM and " " in cell.plain for cell in cells) for name, cells in shown.items()
    }
    table = Table(box=box.SIMPLE_HEAD, show_lines=any(is_long.values()), pad_edge=False, header_style="bold")
    for name, field in zip(rows.column_names, rows.schema, strict=True):
        is_number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(
            Text(plain(name)),
            justify="right" if is_number else "left",
            overflow="fold",
            ratio=(2 if name in ("text", "draft") else 1) if is_long[name] else None,
            min_width=min(24, max(map(len, shown[name]), default=1)) if is_long[name] else None,
        )
    for place in range(rows.num_rows):
        table.add_row(*(shown[name][place] for name in rows.column_names))
    return table


def json_lines(rows: pa.Table) -> list[str]:
    """One JSON object a row, nothing cut. Signs that a terminal obeys are escaped as JSON escapes them."""
    return [
        _unseen_escaped(json.dumps({k: as_json(v) for k, v in row.items()}, ensure_ascii=False, allow_nan=False))
        for row in rows.to_pylist()
    ]


def _unseen_escaped(line: str) -> str:
    """The same JSON: what is named elsewhere can stand in its texts alone."""
    return "".join(sign if plain(sign) == sign else json.dumps(sign)[1:-1] for sign in line)


def as_json(value: Any) -> Any:
    """The value as JSON has it: null for what is no number, the size of bytes."""
    if isinstance(value, dict):
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_json(one) for one in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return value if value is None or isinstance(value, str | int | bool) else _in_words(value)


def _in_words(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(name: str, value: Any) -> Text:
    if name in SIGNED and value in SIGNS:
        sign, style = SIGNS[value]
        return Text(f"{sign} {value}", style=style)
    return Text(_words(value))


def _words(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, list):
        shown = [_words(item) for item in value[:MOST_ITEMS]]
        return "\n".join(shown) + (f"\n… {len(value) - MOST_ITEMS} more" if len(value) > MOST_ITEMS else "")
    if isinstance(value, dict):
        return ", ".join(f"{plain(name)} {_words(one)}" for name, one in value.items())
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float):
        return f"{value:.3f}"
    text = plain(_in_words(value))
    return (
        text
        if len(text) <= MOST_CHARACTERS
        else f"{text[:MOST_CHARACTERS]} … {len(text) - MOST_CHARACTERS} more characters"
    )


def columns_filled(rows: pa.Table, names: Sequence[str]) -> list[str]:
    """Those of the columns in which something stands, or all where there are no rows."""
    return [name for name in names if not rows.num_rows or rows.column(name).null_count < rows.num_rows]
