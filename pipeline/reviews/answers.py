"""What came back from another tool: decisions, and what was left out of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.reviews.outgoing import is_same_text, shown
from pipeline.reviews.record import ReviewRecord


@dataclass(frozen=True)
class Answers:
    """What a file of another tool holds."""

    records: list[ReviewRecord] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Answers that are no decision, or a contradiction in themselves: which, and why, a line each."""


class ContradictionError(Exception):
    """Decision and text do not go together."""


def checked_edit(decision: str, written: str, text: str) -> str | None:
    """The edited text of a decision; None where it is no edit.

    Args:
        written: what stands in the field for it, which held the text at first.
        text: what was judged.

    Raises:
        ContradictionError: an edit that changes nothing, or a change with another decision.
    """
    is_changed = bool(written.strip()) and not (is_same_text(written, text) or is_same_text(written, shown(text)))
    if decision == "edit" and not is_changed:
        raise ContradictionError("the decision is edit, but the text was not changed: change it, or decide otherwise")
    if decision != "edit" and is_changed:
        raise ContradictionError(
            f"the text was changed, but the decision is {decision}: choose edit, or undo the change"
        )
    return written.strip() if decision == "edit" else None
