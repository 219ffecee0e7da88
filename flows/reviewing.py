"""The commands of reviews: `facescribe review import`, `status`, `agreement`, `assign`. docs/review.md says how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pipeline.reviews.record import ReviewRecord

review = typer.Typer(
    no_args_is_help=True,
    help="Take what people decided on texts into the corpus, and see how far they agree.",
)


def _gallery(path: Path) -> list[ReviewRecord]:
    from pipeline.reviews.record import read_review_file

    return read_review_file(path)


READERS: dict[str, Callable[[Path], list[ReviewRecord]]] = {"gallery": _gallery}
"""By the name that --format takes: what reads a file of that tool. Each imports its module when it is called."""
