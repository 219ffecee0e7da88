"""The evidence: what was measured of one track, in seconds from its start, as drafts are written and claims checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.actions import COARSE_ACTIONS, FACIAL_ACTIONS, INTENSITIES, REGIONS, TOLD_ACTIONS, UNCLEAR_REASONS

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

    @field_validator("intensity")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in INTENSITIES:
            raise ValueError(f"expected one of {', '.join(INTENSITIES)}, got {value!r}")
        return value

    @property
    def duration_s(self) -> float:
        """From onset to offset."""
        return self.offset_s - self.onset_s

    @property
    def strength(self) -> tuple[int, float, float]:
        """Sorts events by how much they matter: intensity first, then peak, then how long they last."""
        return INTENSITIES.index(self.intensity), self.peak, self.duration_s

    @property
    def weight(self) -> tuple[bool, bool, tuple[int, float, float]]:
        """Sorts events by how much they must be told: what is strong first, then the face's own actions."""
        is_strong = self.intensity == "strong" and self.action not in COARSE_ACTIONS
        return is_strong, self.action in FACIAL_ACTIONS, self.strength


class UnmeasuredSpan(BaseModel):
    """A stretch in which nothing could be measured, and why, in seconds from the track's start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start_s: float
    end_s: float
    why: str


class UnclearSpan(BaseModel):
    """A stretch in which `action` on `side` can neither be told nor denied; `why` is one of UNCLEAR_REASONS."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: str
    side: str = "both"
    start_s: float
    end_s: float
    why: str = "in_between"


class Evidence(BaseModel):
    """All that may be said of one track. `model_dump_json` and `model_validate_json` give it back exactly."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    duration_s: float = Field(ge=0)
    events: tuple[EvidenceEvent, ...]
    unmeasured: tuple[UnmeasuredSpan, ...] = ()
    unclear: tuple[UnclearSpan, ...] = ()
    motion_shares: Mapping[str, float] = Field(default_factory=dict)
    """Share of each region of the face in all of its movement, the head's taken out; empty where nothing moved."""

    @property
    def strongest(self) -> EvidenceEvent | None:
        """The event that no description may leave out."""
        return max(self.events, key=lambda event: event.weight, default=None)

    def events_of(self, action: str) -> list[EvidenceEvent]:
        """The events that show one action, in time order: a region moves where any action of it does."""
        if action in COARSE_ACTIONS:
            region = COARSE_ACTIONS[action].region
            return [event for event in self.events if TOLD_ACTIONS[event.action].region == region]
        return [event for event in self.events if event.action == action]

    def doubt_about(self, action: str, start_s: float, end_s: float, side: str = "both") -> str | None:
        """Why nothing can be said against `action` within the span; None where it was clearly at rest or an event.

        A doubt about the other side of the face is none about `side`.
        """
        if start_s < 0 or end_s > self.duration_s + ROUNDING_S:
            return f"the track lasts from 0 to {self.duration_s:.1f} s"
        for hidden in self.unmeasured:
            if _overlap(hidden.start_s, hidden.end_s, start_s, end_s):
                return f"nothing was measured from {hidden.start_s:.1f} to {hidden.end_s:.1f} s ({hidden.why})"
        return next((_in_words(span) for span in self._unclear_about(action, start_s, end_s, side)), None)

    def blindness_to(self, action: str, start_s: float, end_s: float, side: str) -> str | None:
        """Why `side` could not be seen for `action` somewhere in the span; None where it was."""
        spans = self._unclear_about(action, start_s, end_s, side)
        return next((_in_words(span) for span in spans if span.why != "in_between"), None)

    def _unclear_about(self, action: str, start_s: float, end_s: float, side: str) -> Iterator[UnclearSpan]:
        for span in self.unclear:
            if span.action == action and _meet(span.side, side) and _overlap(span.start_s, span.end_s, start_s, end_s):
                yield span


def _in_words(span: UnclearSpan) -> str:
    where = f" on side {span.side}" if span.side in ("left", "right") else ""
    return f"{span.action}{where} is unclear from {span.start_s:.1f} to {span.end_s:.1f} s: {UNCLEAR_REASONS[span.why]}"


def evidence_of(actions: Mapping[str, Any]) -> Evidence:
    """The evidence in one row of ACTIONS; of its lists alone, so that nothing is judged a second time."""
    start_s, end_s = float(actions["times_s"][0]), float(actions["times_s"][-1])
    return Evidence(
        duration_s=end_s - start_s,
        events=tuple(EvidenceEvent(**_from_start(event, start_s)) for event in actions["events"]),
        unmeasured=tuple(UnmeasuredSpan(**_from_start(span, start_s)) for span in actions["unmeasured"]),
        unclear=tuple(UnclearSpan(**_from_start(span, start_s)) for span in actions["unclear"]),
        motion_shares={
            region: round(float(share), 3)
            for region, share in zip(REGIONS, actions["motion_shares"], strict=True)
            if share > 0
        },
    )


def _from_start(span: Mapping[str, Any], start_s: float) -> dict[str, Any]:
    return {name: value - start_s if name.endswith("_s") else value for name, value in span.items()}


def _meet(first: str, second: str) -> bool:
    return first == second or not {first, second} <= {"left", "right"}


def _overlap(first_start: float, first_end: float, second_start: float, second_end: float) -> bool:
    return first_start <= second_end and second_start <= first_end
