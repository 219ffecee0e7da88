"""Look at a text by itself, without evidence: its form, its words, its length."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.descriptions.claims import sentences
from pipeline.descriptions.tokens import count_tokens
from pipeline.descriptions.words import EMOTION_WORDS, FORBIDDEN, VOCABULARY


@dataclass(frozen=True)
class Fault:
    """Why a text may not be kept: a fallback reason, and what was seen, in words that a writer can act on."""

    reason: str
    detail: str
    said: str = ""
    """The words of the text that are at fault, where it is words."""


_PUNCTUATION = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026"
_FRAGMENT = re.compile(r"[{}\[\]<>|_`#*=\\/@~^&%$]|\w+:\s*\"|^\s*\w+\s*:", re.MULTILINE)
_LOOP = re.compile(
    r"\b(\w+)(?:\W+\1\b){2,}|\b(\w+ +\w+)(?: +\2\b|(?:\W+\2\b){2,})|\b(\w+(?:\W+\w+){2,11}?)(?:\W+\3\b)+"
)  # "to the left, the left brow" is none
_WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*")
_NUMBER = re.compile(r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|hundred|percent|seconds?)\b")


def fault_of_form(prose: str) -> Fault | None:
    """The first fault of form: empty, letters of another script, markup, broken off, repeated, numbers."""
    strange = sorted({letter for letter in prose if not (letter.isascii() or letter in _PUNCTUATION)})
    told = [prose[start:end].strip() for start, end in sentences(prose)]
    if not _WORD.search(prose.lower()):
        return Fault("prose_malformed", "the description is empty")
    if strange:
        return Fault("prose_malformed", f"letters outside plain English: {''.join(strange)[:20]!r}")
    if fragment := _FRAGMENT.search(prose):
        return Fault("prose_malformed", f"markup or a fragment of the prompt: {fragment.group()!r}")
    if prose[-1] not in ".!":
        return Fault("prose_malformed", f"breaks off: ends with {prose[-20:]!r}")
    if number := _NUMBER.search(prose.lower()):
        return Fault(
            "prose_malformed",
            f"says {number.group()!r}: numbers and seconds belong in claims, not in prose",
            number.group(),
        )
    loops = filter(None, (_LOOP.search(sentence.lower()) for sentence in told))
    if loop := next(loops, None):  # "to the left. The left brow" is none
        return Fault("prose_malformed", f"repeats itself: {loop.group()[:60]!r}", loop.group()[:60])
    if len(set(told)) < len(told):
        return Fault("prose_malformed", "says the same sentence twice")
    return None


def fault_of_words(prose: str, *, may_name_emotions: bool = False) -> Fault | None:
    """The first word that a text must not hold, or that nobody has decided to be measured."""
    never = FORBIDDEN if may_name_emotions else FORBIDDEN | EMOTION_WORDS
    known = VOCABULARY | EMOTION_WORDS if may_name_emotions else VOCABULARY
    words = _WORD.findall(prose.lower().replace("\u2019", "'"))
    if forbidden := [word for word in words if not never.isdisjoint({word, *word.split("-")})]:
        return Fault("prose_forbidden_word", f"says {forbidden[0]!r}", forbidden[0])
    if unknown := [word for word in words if word not in known]:
        return Fault(
            "prose_beyond_evidence", f"says {unknown[0]!r}, a word that no measurement stands behind", unknown[0]
        )
    return None


def fault_of_length(prose: str, token_budget: int, encoder: str) -> Fault | None:
    """Over the budget of the text encoder: a text is never cut, it is refused."""
    num_tokens = count_tokens(prose, encoder)
    if num_tokens > token_budget:
        return Fault("prose_too_long", f"has {num_tokens} tokens of the text encoder, the most is {token_budget}")
    return None
