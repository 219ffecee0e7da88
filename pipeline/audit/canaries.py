"""What the canaries say: how often the engine answers otherwise by itself, and what a changed model or engine does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipeline.audit.figures import Share, share
from pipeline.store import Store

SERVED = ("model", "model_revision", "engine")
"""What may change from one night to the next, the question being the same."""

SHOWN, MOST_SHOWN = 20, 600
"""Answers that are told word for word, and characters of each."""

Row = Mapping[str, Any]

_HASH = re.compile("[0-9a-f]{24,}")


class Night(BaseModel):
    """One night's canaries."""

    model_config = ConfigDict(frozen=True)

    night: int
    asked_at: str
    snapshot: int
    served: str
    """Model, revision and engine."""
    num_asked: int
    accepted: Share
    """Of the answers that came."""


class OtherAnswer(BaseModel):
    """A canary that was answered otherwise than the night before."""

    model_config = ConfigDict(frozen=True)

    track_id: str
    night: int
    because: str
    """NOISE, or what changed of SERVED."""
    before: str
    after: str
    status_before: str
    status_after: str


NOISE, ACCEPTED = "noise of the engine", "stood the check"


class Canaries(BaseModel):
    """The canaries up to the later of two snapshots."""

    model_config = ConfigDict(frozen=True)

    nights: list[Night]
    noise: Share
    """Answers that differ from the one before of the same model, revision and engine, of all nights so far."""
    noise_accepted: Share
    """Of the same pairs, those of which one stood the check and the other did not."""
    model_change: str | None
    """What served the later snapshot's night, if it is not what served the earlier one's."""
    model_effect: Share
    """Answers of these two nights that differ."""
    model_accepted: Share
    """Of the same pairs, those of which one stood the check and the other did not."""
    others: list[OtherAnswer]
    """The first SHOWN answers that differ, between the two snapshots."""

    def in_words(self) -> list[str]:
        """The figures in sentences."""
        if not self.nights:
            return ["No canary was asked up to the later snapshot: noise of the engine cannot be told from a cause."]
        said = [f"Canaries were asked in {len(self.nights)} nights. Noise of the engine: {self.noise} answers differ."]
        if self.model_change is not None:
            said.append(f"What serves the model changed ({self.model_change}): {self.model_effect} canaries differ.")
        return said


def canaries(store: Store, before: int, after: int) -> Canaries:
    """Compare the nights up to snapshot `after`; those after snapshot `before` are what changed since."""
    nights = [rows for number in store.canary_nights() if (rows := store.read_canaries(number).to_pylist())]
    nights = [rows for rows in nights if rows[0]["snapshot"] <= after]
    pairs = _pairs(nights)
    alike = [(old, new) for old, new in pairs if _served(old) == _served(new)]
    began = next((rows for rows in reversed(nights) if rows[0]["snapshot"] <= before), None)
    ended = nights[-1] if nights and nights[-1][0]["snapshot"] > before else None
    change = _change(began[0], ended[0]) if began and ended else ""
    across = _pairs([began, ended]) if began and ended and change else []
    few = "no canary was asked twice of the same model, revision and engine"
    none = (
        "the same model, revision and engine served both" if began and ended else "not asked in both snapshots' nights"
    )
    since = [(old, new) for old, new in pairs if new["snapshot"] > before and _is_other(old, new)]
    return Canaries(
        nights=[_night(rows) for rows in nights],
        noise=_rate([_is_other(*pair) for pair in alike], few),
        noise_accepted=_rate([_is_flip(*pair) for pair in alike], few),
        model_change=change or None,
        model_effect=_rate([_is_other(*pair) for pair in across], none),
        model_accepted=_rate([_is_flip(*pair) for pair in across], none),
        others=[
            OtherAnswer(
                track_id=new["track_id"],
                night=new["night"],
                because=_change(old, new) or NOISE,
                before=_said(old),
                after=_said(new),
                status_before=old["fault"] or ACCEPTED,
                status_after=new["fault"] or ACCEPTED,
            )
            for old, new in since[:SHOWN]
        ],
    )


def _pairs(nights: Sequence[Sequence[Row]]) -> list[tuple[Row, Row]]:
    """Each answer of a canary with the one before it."""
    last: dict[str, Row] = {}
    pairs = []
    for rows in nights:
        for row in rows:
            if row["raw_answer"] is not None:
                if row["canary_id"] in last:
                    pairs.append((last[row["canary_id"]], row))
                last[row["canary_id"]] = row
    return pairs


def _served(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in SERVED)


def _change(old: Row, new: Row) -> str:
    return ", ".join(f"{name}: {_short(old[name])} -> {_short(new[name])}" for name in SERVED if old[name] != new[name])


def _short(value: str) -> str:
    """A revision without most of its hash."""
    return _HASH.sub(lambda found: f"{found[0][:12]}…", value)


def _is_other(old: Row, new: Row) -> bool:
    return bool(old["raw_answer"] != new["raw_answer"])


def _is_flip(old: Row, new: Row) -> bool:
    """Of equal answers only a changed check could judge otherwise, and that is not what canaries are about."""
    return _is_other(old, new) and (old["text"] is None) != (new["text"] is None)


def _rate(flags: Sequence[bool], otherwise: str) -> Share:
    return share(sum(flags), len(flags), otherwise=otherwise)


def _night(rows: Sequence[Row]) -> Night:
    answered = [row for row in rows if row["raw_answer"] is not None]
    return Night(
        night=rows[0]["night"],
        asked_at=rows[0]["asked_at"],
        snapshot=rows[0]["snapshot"],
        served=" · ".join(_short(value) for value in _served(rows[0])),
        num_asked=len(rows),
        accepted=_rate([row["text"] is not None for row in answered], "no answer came"),
    )


def _said(row: Row) -> str:
    """The prose of an answer, or all of it where it has none."""
    said = row["text"] or row["raw_answer"]
    with suppress(ValueError, KeyError, TypeError):
        said = str(json.loads(row["raw_answer"])["description"])
    return str(said)[:MOST_SHOWN]
