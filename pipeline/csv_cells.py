"""Texts as cells of a CSV that a spreadsheet may open: none that it would compute, and each is found again.

**Apostrophes.** A spreadsheet takes a text that begins with = + - @ (or a tab, a line end, or the full-width forms of
these signs) for a formula, and runs it. Such a text gets an apostrophe before it; so does a text that begins with an
apostrophe, and an empty text. So what a text was is found by taking one apostrophe off its beginning, if there is one:
`as_it_was` does that, and nothing is lost. Numbers are no texts: -1.5 stays.

**Quotation marks.** Every cell stands in them: some spreadsheets also break lines at semicolons and tabs, and what
stands behind one would be the beginning of a cell.
"""

from __future__ import annotations

import csv
from typing import Literal

DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
"""What a spreadsheet takes at the beginning of a cell for the beginning of a formula, or skips before one."""

QUOTED: Literal[1] = csv.QUOTE_ALL
"""How the csv module is to write cells."""


def defused(text: str) -> str:
    """A text as a cell that no spreadsheet computes and that is not empty."""
    return f"'{text}" if not text or text.startswith((*DANGEROUS, "'")) else text


def as_it_was(cell: str) -> str | None:
    """What a text cell was before `defused`; an empty cell was null."""
    return cell.removeprefix("'") if cell else None
