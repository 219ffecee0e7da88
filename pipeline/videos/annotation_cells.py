"""What a cell of a table says of votes and folds: read from text or from Parquet's lists, and written as text again."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PARTS = ("train", "validation", "test")

OWN_PROTOCOL = "manifest"
"""The protocol of folds that are given as a number alone."""


class CellError(ValueError):
    """A cell that cannot be understood: the message says what stands there and what was expected."""


@dataclass(frozen=True, slots=True)
class Folds:
    """What a cell says of folds."""

    held_out: str | None
    """The one fold that the video is tested in, of those that are given as a number alone."""

    parts: tuple[dict[str, Any], ...]
    """As in the column `folds`: protocol, fold, part, label."""


def read_votes(cell: Any) -> list[dict[str, Any]] | None:
    """Votes by label, sorted by label: `anger=3 fear=1`, a JSON object, or what a Parquet column of them holds.

    Raises:
        CellError: neither form, a label twice or a number, a count that is negative or no number, or no vote at all.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    found: dict[str, float] = {}
    for said, count in _votes(cell):
        label = str(said).strip()
        if not label or label.isdecimal():
            raise CellError(f"the label {label!r}: give names, never numbers")
        if label in found:
            raise CellError(f"the label {label!r} is there twice")
        found[label] = _count(count, label)
    if not sum(found.values()) > 0:
        raise CellError("no vote in it; leave the cell empty where nobody voted")
    return [{"label": label, "votes": found[label]} for label in sorted(found)]


def votes_text(votes: Iterable[Mapping[str, Any]]) -> str:
    """Votes as `read_votes` reads them, as JSON."""
    return json.dumps({vote["label"]: _plain(vote["votes"]) for vote in votes}, ensure_ascii=False)


def read_folds(cell: Any) -> Folds | None:
    """Folds: one number, or any of `protocol/fold/part` and `protocol/fold/part/label` with spaces between them.

    Raises:
        CellError: another form, a part that is none of PARTS, or two parts in one fold.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, str):
        words = cell.split()
        alone = [word for word in words if "/" not in word]
        if len(alone) > 1:
            raise CellError(f"{alone[0]!r} and {alone[1]!r}: a video is tested in one fold; or give protocol/fold/part")
        split = [word.split("/") for word in words if "/" in word]
        if wrong := next((parts for parts in split if len(parts) not in (3, 4) or not all(parts)), None):
            raise CellError(f"{'/'.join(wrong)!r}: expected protocol/fold/part, such as dfew/1/train")
        given = [dict(zip(("protocol", "fold", "part", "label"), parts, strict=False)) for parts in split]
    else:
        alone, given = [], _folds(cell)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in given:
        _refuse_part(one["part"])
        label = one.get("label")
        if label is not None and label.isdecimal():
            raise CellError(f"the label {label!r} of a fold: give names, never numbers")
        part = {"protocol": one["protocol"], "fold": one["fold"], "part": one["part"], "label": label}
        if found.setdefault((one["protocol"], one["fold"]), part) != part:
            raise CellError(f"fold {one['fold']} of {one['protocol']} is there twice, and not the same")
    return Folds(alone[0] if alone else None, tuple(found[key] for key in sorted(found)))


def folds_text(folds: Iterable[Mapping[str, Any]]) -> str:
    """Folds as `read_folds` reads them. Names in them may have neither spaces nor slashes."""
    return " ".join(
        "/".join(str(fold[name]) for name in ("protocol", "fold", "part", "label") if fold.get(name) is not None)
        for fold in folds
    )


def read_captions(cell: Any) -> list[dict[str, str]] | None:
    """What a Parquet column of captions holds: a list of language and text.

    Raises:
        CellError: something else.
    """
    if not cell:
        return None
    try:
        found = [{"language": str(one["language"]), "text": str(one["text"])} for one in cell]
    except (TypeError, KeyError):
        raise CellError("expected a list of language and text") from None
    return [one for one in found if one["text"].strip()] or None


def _votes(cell: Any) -> list[tuple[Any, Any]]:
    if isinstance(cell, str):
        text = cell.strip()
        if text.startswith("{"):
            try:
                pairs = json.loads(text, object_pairs_hook=list)
            except (ValueError, RecursionError) as error:
                raise CellError(f"{_short(text)} is no JSON object: {error}") from None
            return [(label, count) for label, count in pairs]
        pairs = [word.rpartition("=")[::2] for word in text.split()]
        if not all(label for label, _ in pairs):
            raise CellError(f"{_short(text)}: expected `anger=3 fear=1`, or a JSON object")
        return pairs
    try:
        if isinstance(cell, Mapping):  # a struct: one field for each label
            return [(label, count) for label, count in cell.items() if count is not None]
        return [(one["label"], one["votes"]) if isinstance(one, Mapping) else (one[0], one[1]) for one in cell]
    except (TypeError, KeyError, IndexError):
        raise CellError(f"{_short(cell)}: expected label and votes") from None


def _count(value: Any, label: str) -> float:
    try:
        count = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        count = math.nan
    if not (math.isfinite(count) and count >= 0):
        raise CellError(f"{_short(value)} votes for {label!r}: expected a number that is not negative")
    return count + 0.0  # no -0.0


def _folds(cell: Any) -> list[dict[str, Any]]:
    try:
        found = [
            {name: one[name] for name in ("protocol", "fold", "part")} | {"label": one.get("label")} for one in cell
        ]
    except (TypeError, KeyError, AttributeError):
        raise CellError(f"{_short(cell)}: expected a list of protocol, fold and part") from None
    if not all(isinstance(one[name], str) and one[name] for one in found for name in ("protocol", "fold", "part")):
        raise CellError(f"{_short(cell)}: a fold without protocol, fold or part")
    return found


def _refuse_part(part: str) -> None:
    if part not in PARTS:
        near = difflib.get_close_matches(part, (*PARTS, "val", "dev"), n=1)
        meant = {"val": "validation", "dev": "validation"}.get(near[0], near[0]) if near else None
        raise CellError(
            f"the part {part!r}; " + (f"did you mean {meant!r}?" if meant else f"known: {', '.join(PARTS)}")
        )


def _plain(count: float) -> float | int:
    return int(count) if float(count).is_integer() else count


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
