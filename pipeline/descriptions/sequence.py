"""Read from the connectives of a text in which order, or at the same time, it says that things happened."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pipeline.descriptions.clauses import Clause, Token
from pipeline.descriptions.sayings import Saying

Found = tuple[str, Saying | None, Saying | None, Token]
"""A kind of schema `Order`, what is first and what second (none, if unclear), and the connective."""

_JOINED = ("and", "or", "nor")
_LAST_WORDS = ("finally", "lastly", "eventually", "at last", "last")


def orders_of(
    clauses: Sequence[Clause],
    said_in: Sequence[list[Saying]],
    went_on_in: Sequence[list[Saying]],
    still_in: Collection[int],
) -> Iterator[Found]:
    """Every order that a connective of `clauses` says, with what each clause says and what it says more of.

    `still_in` are the clauses that say that the whole face is at rest.
    """
    yield from _Sequence(clauses, said_in, went_on_in, still_in).orders()


class _Sequence:
    """The clauses of one text, walked from connective to connective."""

    def __init__(
        self,
        clauses: Sequence[Clause],
        said_in: Sequence[list[Saying]],
        went_on_in: Sequence[list[Saying]],
        still_in: Collection[int],
    ) -> None:
        self.clauses = clauses
        self.said_in = said_in
        self.went_on_in = went_on_in
        self.still_in = still_in

    def orders(self) -> Iterator[Found]:
        """Every order, connective after connective."""
        for place, clause in enumerate(self.clauses):
            if clause.opener is not None and clause.opener.kind == "clause":
                yield from self._of_conjunction(place, clause.opener)
            for token in clause.tokens:
                if token.kind == "adverb":
                    yield from self._of_adverb(place, token)
                elif token.kind == "manner" and token.text in _LAST_WORDS and (earlier := self._earlier(place)):
                    yield from _pairs("before", earlier, self._block(self._target(place)), token)

    # --- "then", "meanwhile", "before that"

    def _of_adverb(self, place: int, token: Token) -> Iterator[Found]:
        target = self._target(place)
        told = self._block(target)
        if token.name == "then" and self._is_beside_rest(place, target):
            return  # "at first the face is at rest, then ..."
        if token.name == "first":
            yield from _pairs("before", told, self._next_block(target), token)
        elif token.name == "together":
            yield from self._of_simultaneity(place, told, token)
        elif target is not None and not told and self.went_on_in[target]:
            yield from self._of_ending(self.went_on_in[target], self._earlier(place), token)
        elif not told or not (earlier := self._earlier(place)):
            yield "unclear", None, None, token
        elif token.name == "before":
            yield from _pairs("before", told, earlier, token)
        else:
            is_end = target is not None and set(told) <= set(self.went_on_in[target])  # "then a smile fades"
            yield from _pairs("before_end" if is_end else "before", earlier, told, token)

    def _is_beside_rest(self, place: int, target: int | None) -> bool:
        """Whether the connective stands before, or next after, a clause of the rest of the whole face."""
        before = next((at for at in range(place - 1, -1, -1) if self._says(at) or at in self.still_in), None)
        return target in self.still_in or before in self.still_in

    def _of_simultaneity(self, place: int, told: list[Saying], token: Token) -> Iterator[Found]:
        saying = self.clauses[place].saying
        is_leading = not saying or token.start < saying[0].start
        own = self.said_in[place] if saying else told
        if not is_leading and len(told) > 1:
            yield from _among(told, token)
        elif (before := [s for s in self._block_before(place) if s not in own]) and told:
            yield from _pairs("together", before, told, token)
        elif len(told) > 1:
            yield from _among(told, token)
        elif token.text != "together" or not told:  # "both brows rise together" are told as both
            yield "unclear", None, None, token

    def _of_ending(self, gone_on: list[Saying], earlier: list[Saying], token: Token) -> Iterator[Found]:
        """ "then it eases" says no more than that it ends; "then the smile fades" after other things says more."""
        if not any(saying in earlier for saying in gone_on):
            yield "unclear", None, None, token

    # --- "as", "before", "after", "until"

    def _of_conjunction(self, place: int, token: Token) -> Iterator[Found]:
        if token.name in ("", "because"):
            return
        if token.name == "then":
            yield from self._of_adverb(place, token)
            return
        if token.name == "after" and self._is_alone(place):
            yield from self._of_after(place, token)
            return
        told, gone_on = self._block(place), self.went_on_in[place]
        partner, partner_goes_on = self._partner(place)
        if token.name == "with" and not told and not gone_on and not self.clauses[place].saying:
            return  # "with moderate strength"
        if told and partner and token.name == "before" and set(told) <= set(gone_on):
            yield from self._beside_ending(token, told, partner)  # "... before the smile fades"
        elif told and partner and token.name == "after" and set(partner) <= set(partner_goes_on):
            yield from _pairs("before_end", told, partner, token)  # "a smile fades after ..."
        elif told and partner:
            yield from self._beside(token, told, partner)
        elif gone_on and not told:
            following = self._following(place) if self.clauses[place].of_kind("hold") else []
            if token.name == "together" and following and (partner == following or set(gone_on) <= set(partner)):
                yield from _pairs("together", gone_on, following, token)  # "..., and while it is held, the jaw drops"
            else:
                yield from self._beside_ending(token, gone_on, partner)
        elif told and partner_goes_on and token.name in ("before", "together", "with"):
            yield from self._beside(token, told, partner_goes_on)  # what ends before it began before it
        else:
            yield "unclear", None, None, token

    def _of_after(self, place: int, token: Token) -> Iterator[Found]:
        """ "Soon after, the jaw drops" and "the jaw drops soon after"."""
        is_last = place + 1 == len(self.clauses) or not self._in_sentence(place, place + 1)
        earlier = self._earlier(place - 1) if is_last and place and self._in_sentence(place, place - 1) else []
        if earlier and self.said_in[place - 1]:
            yield from _pairs("before", earlier, self.said_in[place - 1], token)
        else:
            yield from self._of_adverb(place, token)

    def _beside(self, token: Token, told: list[Saying], partner: list[Saying]) -> Iterator[Found]:
        if token.name == "before":
            yield from _pairs("before", partner, told, token)
        elif token.name == "after":
            yield from _pairs("before", told, partner, token)
        elif token.name in ("together", "with"):
            yield from _pairs("together", told, partner, token)
        else:
            yield "unclear", None, None, token

    def _beside_ending(self, token: Token, gone_on: list[Saying], partner: list[Saying]) -> Iterator[Found]:
        if token.name == "after" and _are_apart(gone_on, partner):
            yield from _pairs("before", gone_on, partner, token)
        elif token.name == "before" and token.text not in ("until", "till") and _are_apart(gone_on, partner):
            yield from _pairs("before_end", partner, gone_on, token)
        elif not partner or not all(saying in partner for saying in gone_on):
            yield "unclear", None, None, token

    def _is_alone(self, place: int) -> bool:
        return not self.clauses[place].tokens

    def _partner(self, place: int) -> tuple[list[Saying], list[Saying]]:
        """What the clause beside a subordinate one says, and what it says more of: before it, else after it."""
        if place and self._in_sentence(place, place - 1) and not self._ends_with_and(place - 1):
            before = [at for at in range(place) if self._in_sentence(place, at) and self._says(at)]
            if before:
                return self._block(before[-1]), self.went_on_in[before[-1]]
        following = self._place_after(place)
        return (self._block(following), self.went_on_in[following]) if following is not None else ([], [])

    def _place_after(self, place: int) -> int | None:
        after = [at for at in range(self._block_end(place), len(self.clauses)) if self._in_sentence(place, at)]
        return next((at for at in after if self._says(at)), None)

    def _following(self, place: int) -> list[Saying]:
        """What the clauses after say in this sentence."""
        return self._block(self._place_after(place))

    def _ends_with_and(self, place: int) -> bool:
        tokens = self.clauses[place].tokens
        return bool(tokens) and tokens[-1].kind == "and"

    # --- clauses that belong together

    def _in_sentence(self, place: int, other: int) -> bool:
        return self.clauses[place].sentence == self.clauses[other].sentence

    def _says(self, place: int) -> bool:
        return bool(self.said_in[place] or self.went_on_in[place])

    def _target(self, place: int) -> int | None:
        """The clause that a connective in clause `place` is about: that one, or the next if it says nothing itself."""
        if self._says(place) or place in self.still_in:
            return place
        if self.clauses[place].saying:
            return None
        after = (at for at in range(place + 1, len(self.clauses)) if self._in_sentence(place, at))
        return next((at for at in after if self._says(at) or at in self.still_in), None)

    def _block_start(self, place: int) -> int:
        while place and self.clauses[place].joint in _JOINED and self._in_sentence(place, place - 1):
            place -= 1
        return place

    def _block_end(self, place: int) -> int:
        place += 1
        while place < len(self.clauses) and self.clauses[place].joint in _JOINED:
            place += 1
        return place

    def _block(self, place: int | None) -> list[Saying]:
        """All that is said in the clauses that are joined to clause `place` by "and", from it on if it is the first."""
        if place is None:
            return []
        start = place if self._opens_in_time(place) else self._block_start(place)
        end = next((at for at in range(place + 1, self._block_end(place)) if self._opens_in_time(at)), None)
        return [saying for told in self.said_in[start : end or self._block_end(place)] for saying in told]

    def _opens_in_time(self, place: int) -> bool:
        """Whether the clause has a time of its own, as in "the brows rise and then the jaw drops" or "drops later"."""
        tokens = [token for token in self.clauses[place].tokens if token.kind not in ("filler", "determiner")]
        is_later = self.clauses[place].joint == "and" and any(token.name == "then" for token in tokens)
        return bool(tokens) and (tokens[0].kind == "adverb" or tokens[0].text in _LAST_WORDS or is_later)

    def _next_block(self, place: int | None) -> list[Saying]:
        if place is None:
            return []
        after = (at for at in range(self._block_end(place), len(self.clauses)) if self.said_in[at])
        return self._block(next(after, None))

    def _block_before(self, place: int) -> list[Saying]:
        """What the clause before says, in this sentence or the last one that says anything."""
        before = next((at for at in range(place - 1, -1, -1) if self.said_in[at]), None)
        return [s for s in self._block(before) if s not in self.said_in[place]]

    def _earlier(self, place: int) -> list[Saying]:
        """What was said before clause `place`, back to the last "then" or the beginning of that sentence."""
        found: list[Saying] = []
        sentence: int | None = None
        for at in range(place - 1, -1, -1):
            if sentence is not None and self.clauses[at].sentence != sentence:
                break
            if self.said_in[at]:
                found += self.said_in[at]
                sentence = self.clauses[at].sentence
            if found and self._is_later_step(at):
                break
        return found

    def _is_later_step(self, place: int) -> bool:
        clause = self.clauses[place]
        is_then = clause.joint == "then" or any(token.name == "then" for token in clause.of_kind("adverb"))
        return is_then and self._says(place)


def _are_apart(gone_on: list[Saying], partner: list[Saying]) -> bool:
    return bool(partner) and not any(saying in partner for saying in gone_on)


def _among(told: list[Saying], token: Token) -> Iterator[Found]:
    for number, first in enumerate(told):
        yield from _pairs("together", [first], told[number + 1 :], token)


def _pairs(kind: str, first: list[Saying], second: list[Saying], token: Token) -> Iterator[Found]:
    """Each of `first` with each of `second`; an order with something that is denied cannot be understood."""
    for one in first:
        for other in second:
            polarities = {one.polarity, other.polarity}
            if polarities == {"present"}:
                is_turned = kind == "together" and other.start < one.start
                yield (kind, other, one, token) if is_turned else (kind, one, other, token)
            elif kind == "before" and "absent" in polarities:
                yield "unclear", None, None, token
