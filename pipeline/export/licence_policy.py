"""A face leaves the corpus only with a licence and a consent: refuse rows that lack one, unless a person says why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class LicenceError(ValueError):
    """Rows of videos without licence or consent would leave the corpus."""


def refuse_unlicensed(rows: Iterable[Mapping[str, Any]], without_licence: str | None = None) -> int:
    """Raise unless every row has a licence and a consent. Rows need path, licence and consent.

    Every way out of the corpus goes through here.

    Args:
        without_licence: why rows may go without, in words that are kept beside them.

    Returns:
        How many rows lack licence or consent.

    Raises:
        LicenceError: names how many rows lack what, the first of them, and what to do.
    """
    listed = list(rows)
    lacking = {name: sum(not _says(row[name]) for row in listed) for name in ("licence", "consent")}
    without = [row for row in listed if not (_says(row["licence"]) and _says(row["consent"]))]
    if without and not _says(without_licence):
        told = " and ".join(f"{count} lack a {name}" for name, count in lacking.items() if count)
        raise LicenceError(
            f"of {len(listed)} videos {told}, the first is {without[0]['path']!r}: say what they are under with "
            "`facescribe build SOURCE --annotations FILE` (columns licence and consent), take them down, or allow it "
            'in words with --without-licence "why they may go out"'
        )
    return len(without)


def _says(words: str | None) -> bool:
    return bool(words and words.strip())
