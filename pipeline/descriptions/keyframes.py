"""Choose the few frames that show what a face did, and ask a vision-language model what changes between them."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pipeline.descriptions.chat import Request
from pipeline.descriptions.evidence import Evidence, EvidenceEvent
from pipeline.descriptions.prompt import fill, messages_of, read_prompt

MIN_STEP_S = 0.1
"""Two moments of the face's own doing that lie closer than this show the same, so the weaker one is left out."""

FRAME_S = 0.04
"""How finely moments are tried where nothing happens: about a frame."""


@dataclass(frozen=True)
class KeyFrame:
    """One stored crop of a track that is shown to a model."""

    position: int
    """In the track, 0..T-1."""
    time_s: float
    """From the track's start."""
    jpeg: bytes
    """As it is stored."""

    @property
    def data_uri(self) -> str:
        """The picture as the chat API takes it."""
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode("ascii")


def choose_key_times(evidence: Evidence, *, at_least: int = 4, at_most: int = 8) -> list[float]:
    """Moments that tell what the face did, in seconds from the track's start, in order and each once.

    The apex of the strongest event comes first, then the first and last measurable moment, then apex, onset and offset
    of one event after the other, the strongest first, until there are `at_most`. Where that gives too few, even steps
    within the longest pauses make up `at_least`. None lies where nothing could be measured, unless that is
    the whole track. A track of one frame, or one measured for hardly a moment, gives fewer.

    Raises:
        ValueError: `at_least` is below 1 or above `at_most`.
    """
    if not 1 <= at_least <= at_most:
        raise ValueError(f"expected 1 <= at_least <= at_most, got at_least {at_least} and at_most {at_most}")
    evidence = _with_something_measured(evidence)
    seen = [time_s for time_s in _moments(evidence, at_least) if not _is_hidden(time_s, evidence)]
    step_s = min(MIN_STEP_S, evidence.duration_s / at_most)
    chosen: list[float] = []
    for time_s in _telling(evidence, first_s=seen[0], last_s=seen[-1]):
        is_new = time_s not in chosen and _distance(time_s, chosen) >= step_s
        if len(chosen) < at_most and is_new and not _is_hidden(time_s, evidence):
            chosen.append(time_s)
    return sorted([*chosen, *_between(chosen, seen, at_least - len(chosen))])


def key_frames(
    crops_jpeg: Sequence[Any], times_s: Sequence[float], key_times_s: Sequence[float], evidence: Evidence
) -> list[KeyFrame]:
    """The stored crops nearest to the key times, in order, each once, as JPEG.

    Two key times may have the same nearest crop. A frame that was not measured is passed over where others are there.

    Args:
        crops_jpeg: CROPS.crop_jpeg of one track by position, as `Unit.column` gives it [T]; only what is shown is read.
        times_s: presentation time of each crop, as in ACTIONS [T].
        key_times_s: as `choose_key_times` gives them.
        evidence: of the same track; it says which frames were not measured.

    Raises:
        ValueError: there are not as many crops as times.
    """
    if len(crops_jpeg) != len(times_s):
        raise ValueError(f"{len(crops_jpeg)} crops of a track, expected one for each of its {len(times_s)} times")
    from_start = [time_s - times_s[0] for time_s in times_s]
    seen = [position for position, time_s in enumerate(from_start) if not _is_hidden(time_s, evidence)]
    seen = seen or list(range(len(from_start)))
    nearest = {min(seen, key=lambda position: abs(from_start[position] - key_s)) for key_s in key_times_s}
    return [KeyFrame(position, from_start[position], crops_jpeg[position].as_py()) for position in sorted(nearest)]


def see_request(
    frames: Sequence[KeyFrame], *, model: str, prompt: str = "see_1", max_tokens: int = 256, temperature: float = 0.0
) -> Request:
    """The question what changes over time, with the frames in their order, each announced by its number and time.

    Raises:
        ValueError: there are no frames.
        PromptError: the prompt cannot be read.
    """
    if not frames:
        raise ValueError("no frames to show: choose_key_times and key_frames give at least one for every track")
    words = read_prompt(prompt)
    parts: list[dict[str, Any]] = []
    for number, frame in enumerate(frames, start=1):
        place = {"number": str(number), "count": str(len(frames)), "time_s": f"{frame.time_s:.1f}"}
        parts.append({"type": "text", "text": fill(words.frame, place)})
        parts.append({"type": "image_url", "image_url": {"url": frame.data_uri}})
    parts.append({"type": "text", "text": words.user})
    *before, question = messages_of(words, words.user)
    return Request(
        model=model,
        messages=[*before, {**question, "content": parts}],
        max_tokens=max_tokens,
        temperature=temperature,
    )


def _telling(evidence: Evidence, *, first_s: float, last_s: float) -> Iterator[float]:
    """Moments by how much they tell."""
    events = sorted(evidence.events, key=lambda event: _rank(event, evidence), reverse=True)
    if events:
        yield events[0].apex_s
    yield first_s
    yield last_s
    for event in events:
        yield event.apex_s
        yield event.onset_s
        yield event.offset_s


def _rank(event: EvidenceEvent, evidence: Evidence) -> tuple[Any, ...]:
    return event == evidence.strongest, *event.strength


def _between(chosen: Sequence[float], seen: Sequence[float], num_wanted: int) -> list[float]:
    """Up to `num_wanted` of the seen moments, in even steps within the longest pauses between those that are chosen."""
    pauses = list(pairwise(sorted({seen[0], *chosen, seen[-1]})))
    num_parts = [1] * len(pauses)
    for _ in range(num_wanted if pauses else 0):
        num_parts[max(range(len(pauses)), key=lambda i: (pauses[i][1] - pauses[i][0]) / num_parts[i])] += 1
    added: list[float] = []
    for (before, after), parts in zip(pauses, num_parts, strict=True):
        for part in range(1, parts):
            ideal_s = before + (after - before) * part / parts
            free = [time_s for time_s in seen if time_s not in chosen and time_s not in added]
            added += sorted(free, key=lambda time_s: abs(time_s - ideal_s))[:1]
    return added


def _moments(evidence: Evidence, at_least: int) -> list[float]:
    """Moments from start to end, about a frame apart, and the middle of each stretch between two unmeasured ones."""
    num_steps = max(at_least, math.ceil(evidence.duration_s / FRAME_S))
    steps = [evidence.duration_s * (step / num_steps) for step in range(num_steps + 1)]
    edges = [0.0, *(edge for span in evidence.unmeasured for edge in (span.start_s, span.end_s)), evidence.duration_s]
    return sorted({*steps, *((before + after) / 2 for before, after in pairwise(sorted(edges)))})


def _with_something_measured(evidence: Evidence) -> Evidence:
    """The evidence; where nothing at all was measured, as if all had been, since some frames have to be chosen."""
    if all(_is_hidden(time_s, evidence) for time_s in _moments(evidence, 1)):
        return evidence.model_copy(update={"unmeasured": ()})
    return evidence


def _is_hidden(time_s: float, evidence: Evidence) -> bool:
    """Whether nothing was measured then; a moment outside the track counts as hidden too."""
    is_inside = 0 <= time_s <= evidence.duration_s
    return not is_inside or any(span.start_s <= time_s <= span.end_s for span in evidence.unmeasured)


def _distance(time_s: float, others: Sequence[float]) -> float:
    return min((abs(time_s - other) for other in others), default=math.inf)
