"""Tell what a text has to do with its draft and with its claims: a word diff, and pieces that name their claims."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from pipeline.descriptions.claims import Mention, mentions

MOST_WORDS = 2000
"""Words up to which two texts are compared; the time grows with the square, and no text of ours has a tenth of it."""

MOST_CHARACTERS = 4000
"""Characters up to which a text is read for its claims."""

_WORDS = re.compile(r"\w+(?:['\u2019-]\w+)*|[^\w\s]", re.UNICODE)
_PIECES = re.compile(r"[.!?;](?=\s|$)\s*|,\s+(?:(?:and|then|while|but)\s+)?|\s+(?=(?:then|while|before|after)\s)")


@dataclass(frozen=True)
class Change:
    """A run of words that both texts have ("same"), or that only the first ("out") or only the second ("in") has."""

    kind: str
    words: str

    @property
    def follows_closely(self) -> bool:
        """Whether it begins with a mark that stands at the word before it."""
        return self.words[:1] in set(".,;:!?)]")


@dataclass(frozen=True)
class Piece:
    """A piece of a text, whole with its spaces, and the claims that it makes, by their place in the list."""

    text: str
    claims: tuple[int, ...] = ()


def word_changes(before: str, after: str) -> list[Change] | None:
    """The words of two texts in order, as runs; None where they are too long to compare. Spaces are not compared."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) > MOST_WORDS:
        return None
    same_case = SequenceMatcher(None, [w.casefold() for w in old], [w.casefold() for w in new], autojunk=False)
    runs: list[tuple[bool, list[str], list[str]]] = []
    steps = same_case.get_opcodes()
    for place, (kind, i, j, k, m) in enumerate(steps):
        # One word that both have, between words that changed, is chance: such a diff is hard to read.
        is_island = kind == "equal" and j - i == 1 and 0 < place < len(steps) - 1
        is_same = kind == "equal" and not is_island
        if runs and not is_same and not runs[-1][0]:
            runs[-1] = (False, runs[-1][1] + old[i:j], runs[-1][2] + new[k:m])
        else:
            runs.append((is_same, old[i:j], new[k:m]))
    changes = []
    for is_same, out, came in runs:
        if is_same:
            changes.append(Change("same", _joined(came)))
        else:
            changes += [Change(kind, _joined(run)) for kind, run in (("out", out), ("in", came)) if run]
    return changes


def share_changed(before: str, after: str) -> float:
    """Share of the words of either text that the other lacks, 0 to 1; counted without their order, which is fast."""
    old, new = before.casefold().split(), after.casefold().split()
    left: dict[str, int] = {}
    for word in old:
        left[word] = left.get(word, 0) + 1
    num_same = 0
    for word in new:
        if left.get(word, 0):
            left[word] -= 1
            num_same += 1
    return 1 - 2 * num_same / (len(old) + len(new)) if old or new else 0.0


def _joined(words: Sequence[str]) -> str:
    """Words with a space between, and none before a mark."""
    return re.sub(r"\s+([.,;:!?)\]])", r"\1", " ".join(words))


def pieces_of(text: str, claims: Sequence[Mapping[str, Any]]) -> list[Piece]:
    """The text in pieces, clause by clause, each with the claims that it makes. Joined, they are the text again."""
    if not claims or len(text) > MOST_CHARACTERS:
        return [Piece(text)]
    said = mentions(text)
    ends = [found.end() for found in _PIECES.finditer(text) if found.end() > 0]
    pieces, start = [], 0
    for end in [*ends, len(text)]:
        if end <= start:
            continue
        linked = {place for mention in said if start <= mention.start < end for place in _claims_of(mention, claims)}
        pieces.append(Piece(text[start:end], tuple(sorted(linked))))
        start = end
    return pieces


def _claims_of(mention: Mention, claims: Sequence[Mapping[str, Any]]) -> list[int]:
    """Places of the claims that a mention of the prose makes: of its action, polarity and, where it says one, side."""
    fits = [
        place
        for place, claim in enumerate(claims)
        if claim["action"] in mention.actions and mention.polarity in (claim["polarity"], "unclear")
    ]
    if mention.side in ("left", "right", "both"):
        of_side = [place for place in fits if claims[place]["side"] in (mention.side, "middle")]
        fits = of_side or fits
    return fits
