"""The evidence: what was measured of one track, in seconds from its start, as drafts are written and claims checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pipeline.actions.config import WEAKLY_MEASURED
from pipeline.actions.events import Flags, Series, above_rest
from schemas.actions import ACTIONS, FACIAL_ACTIONS, INTENSITIES
from schemas.table import read_cell

ROUNDING_S = 0.15
"""How far a time may lie from the exact one when it is told with one decimal."""


class EvidenceEvent(BaseModel):
    """One action that rose above rest; times in seconds from the track's start, `peak` is the score above rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: str
    side: str
    onset_s: float
    apex_s: float
    offset_s: float
    peak: float
    intensity: str

    @property
    def strength(self) -> tuple[int, float, float]:
        """Sorts events by how much they matter: intensity first, then peak, then how long they last."""
        return INTENSITIES.index(self.intensity), self.peak, self.offset_s - self.onset_s


class UnmeasuredSpan(BaseModel):
    """A stretch in which nothing could be measured, and why, in seconds from the track's start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start_s: float
    end_s: float
    why: str


class UnclearSpan(BaseModel):
    """A stretch in which `action` was neither at rest nor an event: nothing can be said for or against it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: str
    start_s: float
    end_s: float


class Evidence(BaseModel):
    """All that may be said of one track. `model_dump_json` and `model_validate_json` give it back exactly."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    duration_s: float = Field(ge=0)
    events: tuple[EvidenceEvent, ...]
    unmeasured: tuple[UnmeasuredSpan, ...] = ()
    unclear: tuple[UnclearSpan, ...] = ()

    @property
    def strongest(self) -> EvidenceEvent | None:
        """The event that no description may leave out."""
        return max(self.events, key=lambda event: event.strength, default=None)

    def events_of(self, action: str) -> list[EvidenceEvent]:
        """The events of one action, in time order."""
        return [event for event in self.events if event.action == action]

    def doubt_about(self, action: str, start_s: float, end_s: float) -> str | None:
        """Why nothing can be said against `action` within the span; None where it was clearly at rest or an event."""
        if action in WEAKLY_MEASURED:
            return f"{action} is measured too weakly to be denied"
        if start_s < 0 or end_s > self.duration_s + ROUNDING_S:
            return f"the track lasts from 0 to {self.duration_s:.1f} s"
        for hidden in self.unmeasured:
            if _overlap(hidden.start_s, hidden.end_s, start_s, end_s):
                return f"nothing was measured from {hidden.start_s:.1f} to {hidden.end_s:.1f} s ({hidden.why})"
        for span in self.unclear:
            if span.action == action and _overlap(span.start_s, span.end_s, start_s, end_s):
                return f"{action} is unclear from {span.start_s:.1f} to {span.end_s:.1f} s"
        return None


def evidence_of(actions: Mapping[str, Any], *, unclear_from: float) -> Evidence:
    """The evidence in one row of ACTIONS. From `unclear_from` above rest on, an action is not clearly at rest."""
    times_s = np.array(actions["times_s"], np.float64)
    start_s = float(times_s[0])
    return Evidence(
        duration_s=float(times_s[-1]) - start_s,
        events=tuple(EvidenceEvent(**_from_start(event, start_s)) for event in actions["events"]),
        unmeasured=tuple(UnmeasuredSpan(**_from_start(span, start_s)) for span in actions["unmeasured"]),
        unclear=tuple(_unclear_spans(actions, times_s - start_s, unclear_from)),
    )


def _from_start(span: Mapping[str, Any], start_s: float) -> dict[str, Any]:
    return {name: value - start_s if name.endswith("_s") else value for name, value in span.items()}


def _unclear_spans(actions: Mapping[str, Any], times_s: Series, unclear_from: float) -> list[UnclearSpan]:
    """Where an action is above `unclear_from`, its events included: their flanks are no clear rest either."""
    scores = read_cell(ACTIONS.field("blendshapes"), actions["blendshapes"])
    rest = np.array(actions["baseline"], np.float32)
    is_measurable = np.array(actions["is_measurable"], np.bool_)
    spans = []
    for action in sorted(FACIAL_ACTIONS.keys() - WEAKLY_MEASURED):  # of the others nothing is denied anywhere
        rise = np.maximum.reduce(list(above_rest(action, scores, rest).values()))
        spans += [
            UnclearSpan(action=action, start_s=s, end_s=e)
            for s, e in _spans(times_s, rise >= unclear_from, is_measurable)
        ]
    return spans


def _spans(times_s: Series, is_up: Flags, is_measurable: Flags) -> list[tuple[float, float]]:
    """First and last time of each run of frames that are up; unmeasurable frames belong to no run."""
    padded = np.concatenate([[False], is_up & is_measurable, [False]]).astype(np.int8)
    starts, ends = np.flatnonzero(np.diff(padded)).reshape(-1, 2).T
    return [(float(times_s[s]), float(times_s[e - 1])) for s, e in zip(starts, ends, strict=True)]


def _overlap(first_start: float, first_end: float, second_start: float, second_end: float) -> bool:
    return first_start <= second_end and second_start <= first_end
