"""Cut prose into sentences, phrases of the lexicon, and clauses that each say one thing or one chain of things."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from pipeline.descriptions.lexicon import LONGEST, PHRASES, WORDS

_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_LEXEME = re.compile(r"[a-z]+(?:[-'][a-z]+)*|[^\s\w]")
_SAYING = ("verb", "alone", "look", "motion", "rest", "still", "fade", "hold", "last", "peak", "hidden")
_OPENING = ("clause", "not_open", "hedge_open")
_TAKES_TOGETHER = ("press", "pull", "knit", "close", "tighten")


@dataclass(frozen=True)
class Token:
    """A phrase of the lexicon, a punctuation mark or an unknown word at characters `start` to `end` of the text."""

    kind: str
    name: str
    text: str
    start: int
    end: int


@dataclass
class Clause:
    """A stretch of a sentence, and how it is joined to what stands before it: by a mark, by and, or by a connective."""

    joint: str
    opener: Token | None
    sentence: int
    tokens: list[Token] = field(default_factory=list)

    @property
    def saying(self) -> list[Token]:
        """The phrases that say what happens."""
        return [token for token in self.tokens if token.kind in _SAYING]

    def of_kind(self, *kinds: str) -> list[Token]:
        """The phrases of these kinds."""
        return [token for token in self.tokens if token.kind in kinds]


def sentences(text: str) -> list[tuple[int, int]]:
    """First and last character of each sentence of `text`."""
    cuts = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [(start, end) for start, end in pairwise(cuts) if text[start:end].strip()]


def tokens(text: str, start: int = 0, end: int | None = None) -> list[Token]:
    """The text, lowered, as phrases of the lexicon, the longest at each place."""
    lowered = text.lower().replace("\u2019", "'")
    found = list(_LEXEME.finditer(lowered, start, len(lowered) if end is None else end))
    words = tuple(match.group() for match in found)
    told, place = [], 0
    while place < len(words):
        kind, name, length = _phrase_at(words, place)
        first, last = found[place], found[place + length - 1]
        told.append(Token(kind, name, " ".join(words[place : place + length]), first.start(), last.end()))
        place += length
    return told


def clauses(text: str) -> list[Clause]:
    """All clauses of `text` in order."""
    return [
        clause
        for number, (start, end) in enumerate(sentences(text))
        for clause in _clauses_of(tokens(text, start, end), number)
    ]


def _phrase_at(words: tuple[str, ...], place: int) -> tuple[str, str, int]:
    for length in range(min(LONGEST.get(words[place], 0), len(words) - place), 0, -1):
        phrase = PHRASES.get(words[place : place + length])
        if phrase is not None:
            return phrase.kind, phrase.name, length
    if words[place] in WORDS:
        return "hedge", words[place], 1  # part of a phrase, and out of it without a meaning that is known
    return ("word" if words[place][0].isalpha() else "mark"), words[place], 1


def _clauses_of(sentence: list[Token], number: int) -> list[Clause]:
    made = [Clause("start", None, number)]
    for place, token in enumerate(_with_last_as_adverb(sentence)):
        if _opens_clause(sentence, place, made[-1]):
            joint = token.name if token.kind in ("and", "clause") else "," if token.kind == "mark" else token.kind
            made.append(Clause(joint, token, number))
            if token.kind == "adverb":
                made[-1].tokens.append(token)
        else:
            made[-1].tokens.append(_as_direction(token, made[-1]))
    return [clause for clause in made if clause.tokens or clause.joint not in ("start", ",")]


def _with_last_as_adverb(sentence: list[Token]) -> list[Token]:
    """In "last, the jaw drops" the word is no verb."""
    return [
        Token("manner", "late", token.text, token.start, token.end)
        if token.kind == "last" and following is not None and following.name == ","
        else token
        for token, following in zip(sentence, [*sentence[1:], None], strict=False)  # of digits alone there is no token
    ]


def _opens_clause(sentence: list[Token], place: int, current: Clause) -> bool:
    """Whether a token opens a clause: always a connective; a comma or "and" only where no list goes on over it."""
    token = sentence[place]
    if token.kind in _OPENING:
        return True
    if token.kind == "mark":
        return not (token.name == "," and _is_in_list_of_parts(sentence, place, current))
    if token.kind == "adverb":  # "a smile follows" is no other clause than the smile
        return not token.text.startswith("follow") and bool(current.saying) and _says_more(sentence, place + 1, "and")
    return token.kind == "and" and bool(current.saying) and _says_more(sentence, place + 1)


def _says_more(sentence: list[Token], place: int, *stops: str) -> bool:
    """Whether anything is said from `place` to the next mark, connective or token of a kind in `stops`."""
    for token in sentence[place:]:
        if token.kind in _SAYING:
            return True
        if token.kind == "mark" or token.kind in (*_OPENING, *stops):
            return False
    return False


def _is_in_list_of_parts(sentence: list[Token], place: int, current: Clause) -> bool:
    """Whether the comma at `place` stands in "the brows, eyes and mouth move"."""
    if current.saying or not current.tokens or current.tokens[-1].kind != "part":
        return False
    for token in sentence[place + 1 :]:
        if token.kind == "part":
            return True
        if token.kind not in ("and", "determiner", "side"):
            return False
    return False


def _as_direction(token: Token, clause: Clause) -> Token:
    """ "together" is where to in "press tightly together", and when in "they rise together"."""
    if token.kind != "together":
        return token
    verb = next((told for told in reversed(clause.tokens) if told.kind not in ("intensity", "filler", "manner")), None)
    if verb is not None and verb.kind == "verb" and verb.name in _TAKES_TOGETHER:
        return Token("direction", "together", token.text, token.start, token.end)
    return Token("adverb", "together", token.text, token.start, token.end)
