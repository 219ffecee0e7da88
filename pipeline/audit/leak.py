"""Label leak: whether the texts tell the label, and whether they tell more of it than the measured actions do."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from pydantic import BaseModel, ConfigDict

from pipeline.audit.texts import Text
from pipeline.descriptions.draft import notes_of
from pipeline.descriptions.evidence import Evidence
from pipeline.descriptions.label_probe import MIN_MOVABLE, ProbeReport, probe

MOST_TEXTS = 4000
"""Texts that the probe is given; of more, those with the smallest hash of their track's id."""


def _at_rest(evidence: Evidence) -> tuple[str, ...]:
    """What is said of a face of which no event is known: that too depends on what was measured."""
    return () if evidence.events else tuple(notes_of(evidence, max_events=1))


SIGNATURES: dict[str, Callable[[Evidence], Hashable]] = {
    "actions, sides and strengths in order": lambda evidence: tuple(notes_of(evidence, max_events=6)),
    "actions and sides in order": lambda evidence: (
        *((event.action, event.side) for event in evidence.events),
        _at_rest(evidence),
    ),
    "actions and sides": lambda evidence: (
        frozenset((event.action, event.side) for event in evidence.events),
        _at_rest(evidence),
    ),
    "actions": lambda evidence: (frozenset(event.action for event in evidence.events), _at_rest(evidence)),
}
"""What makes what was measured of two texts equal, the strictest first."""


class Leak(BaseModel):
    """What the probe found, or why it was not asked."""

    model_config = ConfigDict(frozen=True)

    missing: str | None = None
    num_unlabelled: int = 0
    num_left_out: int = 0
    """Labelled texts beyond MOST_TEXTS."""
    signature: str | None = None
    """Which of SIGNATURES was balanced out: the strictest under which enough texts share theirs with another label."""
    probe: ProbeReport | None = None


def leak(texts: Sequence[Text]) -> Leak:
    """Probe the texts that have a label; those of one `group` (else of one video) are never learnt from and scored."""
    labelled = [text for text in texts if text.label is not None]
    if not labelled:
        return Leak(missing="no text has a label", num_unlabelled=len(texts))
    asked = sorted(labelled, key=lambda text: hashlib.sha256(text.track_id.encode()).digest())[:MOST_TEXTS]
    labels = [str(text.label) for text in asked]
    name = next((name for name in SIGNATURES if _num_movable(asked, name) >= MIN_MOVABLE), list(SIGNATURES)[-1])
    found = probe(
        [text.prose for text in asked],
        labels,
        [SIGNATURES[name](text.evidence) for text in asked],
        groups=[text.group or text.video_id or text.track_id for text in asked],
    )
    return Leak(
        num_unlabelled=len(texts) - len(labelled),
        num_left_out=len(labelled) - len(asked),
        signature=name,
        probe=found,
    )


def _num_movable(texts: Sequence[Text], signature: str) -> int:
    """Texts that share their signature with a text of another label."""
    labels: dict[Hashable, list[str | None]] = defaultdict(list)
    for text in texts:
        labels[SIGNATURES[signature](text.evidence)].append(text.label)
    return sum(len(listed) for listed in labels.values() if len(set(listed)) > 1)
