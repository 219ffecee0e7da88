"""Read prose for what it says a face did: actions with side, polarity, intensity and manner, and their order.

Not a parser of English but a reader of this kind of prose that errs to one side: what it does not understand comes out
as a mention of no action, as unclear, or as an order that is unclear, which no evidence supports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipeline.descriptions.clauses import clauses, sentences
from pipeline.descriptions.lexicon import REGION_OF_PART
from pipeline.descriptions.reader import Reader
from pipeline.descriptions.sayings import Saying
from pipeline.descriptions.sequence import orders_of

__all__ = [
    "REGION_OF_PART",
    "Mention",
    "Order",
    "hidden_parts",
    "mentions",
    "orders",
    "parts",
    "sentences",
    "still_spans",
]


@dataclass(frozen=True)
class Mention:
    """One place of a text that says something of a face.

    `actions` are the actions that it may mean, any of which supports it; none: a phrase that means no known action.
    `side` is left, right, both, one (unsaid which), unclear or None (not said). `polarity` is present, absent or
    unclear. `intensity` is slight, moderate, strong, unclear or None. `manner` holds words out of brief, long, sudden,
    slow, again, from_start, to_end, early, late, at_start, at_end, fades (its end is told) and unclear; what is said
    of the way it ends is prefixed as in "fades_slow", of its peak as in "peak_late", what excludes all other times as
    in "only_late". A denial is for_a_time if words limit it, as in "the mouth stays closed, then opens".
    `start` and `end` are characters of the text, `order` counts the mentions from 0.
    """

    actions: tuple[str, ...]
    side: str | None
    polarity: str
    start: int
    end: int
    order: int = 0
    intensity: str | None = None
    manner: tuple[str, ...] = ()
    may_end: int | None = None
    """`order` of a mention that this one may only tell the end of, as "then they lower" after "the brows rise"."""


@dataclass(frozen=True)
class Order:
    """What the text says of two mentions in time: the first begins "before" the second, or "before_end" of the second,
    or they are seen "together".

    `first` and `second` are `order` of mentions; of kind "unclear" they are None: a connective that joins nothing that
    was understood. `start` and `end` are the connective's characters.
    """

    kind: str
    first: int | None
    second: int | None
    start: int
    end: int


def mentions(text: str) -> list[Mention]:
    """Everything that `text` says of a face, in the order of the text."""
    return list(_read(text).mentions)


def orders(text: str, told: Sequence[Mention]) -> list[Order]:
    """What `text` says of the order of `told`, its mentions. Two sentences without a connective say nothing."""
    kept = {mention.order for mention in told} | {None}
    return [order for order in _read(text).orders if order.first in kept and order.second in kept]


def hidden_parts(text: str) -> list[tuple[str, int, int]]:
    """Where `text` says that something cannot be told: a region or "face", and the characters of the clause."""
    return list(_read(text).hidden)


def still_spans(text: str) -> list[tuple[str, int, int]]:
    """Where `text` says that the whole face is at rest: one of the times in `stillness`, and the characters."""
    return list(_read(text).still)


def parts(text: str) -> list[str]:
    """The parts of a face that `text` names."""
    return list(_read(text).parts)


@dataclass(frozen=True)
class _Reading:
    """All that one text says."""

    mentions: tuple[Mention, ...]
    orders: tuple[Order, ...]
    hidden: tuple[tuple[str, int, int], ...]
    still: tuple[tuple[str, int, int], ...]
    parts: tuple[str, ...]


@lru_cache(maxsize=4096)  # a check asks several things of a text, an audit holds all texts against one evidence more
def _read(text: str) -> _Reading:
    reader = Reader(clauses(text), {number for number, (_, end) in enumerate(sentences(text)) if text[end - 1] == "?"})
    reader.read()
    said = sorted(reader.said, key=lambda saying: (saying.start, saying.end, saying.actions))
    number_of = {id(saying): order for order, saying in enumerate(said)}
    told = tuple(_mention(saying, number_of) for saying in said)
    found = []
    for kind, first, second, token in orders_of(reader.clauses, reader.said_in, reader.went_on_in, reader.still_in):
        one, other = (None if saying is None else number_of[id(saying)] for saying in (first, second))
        found.append(Order(kind, one, other, token.start, token.end))
    named = tuple(part.name for clause in reader.clauses for part in clause.of_kind("part"))
    return _Reading(told, tuple(dict.fromkeys(found)), tuple(reader.hidden), tuple(reader.still), named)


def _mention(saying: Saying, number_of: Mapping[int, int]) -> Mention:
    intensity = next(iter(saying.intensities)) if len(saying.intensities) == 1 else None
    if len(saying.intensities) > 1:
        intensity = "unclear"
    manner = tuple(dict.fromkeys(saying.manners))
    may_end = None if saying.may_end is None or intensity or manner else number_of.get(id(saying.may_end))
    order = number_of[id(saying)]
    span = (saying.start, saying.end)
    return Mention(saying.actions, saying.side, saying.polarity, *span, order, intensity, manner, may_end)
