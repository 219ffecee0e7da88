"""Read where a text says that the face as a whole is at rest, and in which part of the clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.descriptions.clauses import Clause, Token

THROUGHOUT, EARLY, LATE, UNCLEAR = "throughout", "early", "late", "unclear"
"""When the face is at rest: always, before anything happens, after everything, or nobody can tell."""

_WHEN_OF_MANNER = {
    "early": EARLY,
    "at_start": EARLY,
    "from_start": EARLY,
    "late": LATE,
    "at_end": LATE,
    "to_end": LATE,
    "again": LATE,
    "from_start to_end": THROUGHOUT,
}
_WHEN_OF_ADVERB = {"then": LATE, "first": EARLY}
_NO_JOINT = ("start", "and", ",", ";", ":", "", "adverb")
_FOR_A_TIME = ("for a ", "for long", "for some ", "for most ", "long")


def tells_stillness(clause: Clause, follows_stillness: bool) -> bool:
    """Whether the clause says of the whole face, and of no part of it, that it is or is not at rest."""
    verbs = {token.name for token in clause.of_kind("verb")}
    if verbs - {"move"} or clause.of_kind("part", "alone", "look", "hidden", "question", "fade", "peak", "last"):
        return False
    is_denied, is_named = bool(_denials(clause)), bool(clause.of_kind("face"))
    if clause.of_kind("rest") or (clause.of_kind("still") and not verbs and not clause.of_kind("hold")):
        return is_named or follows_stillness or bool(clause.of_kind("nobody", "motion"))
    if clause.of_kind("motion"):
        return is_denied and not verbs
    return bool(verbs) and is_denied and (is_named or any(token.text == "nothing" for token in clause.of_kind("not")))


def when_still(all_clauses: Sequence[Clause], place: int, *, is_after_action: bool) -> str:
    """For which part of the clip clause `place` says that the face is at rest; what limits it otherwise is UNCLEAR.

    `is_after_action`: the sentence said before that something moves, so that the rest can only come after it.
    """
    clause = all_clauses[place]
    around = [all_clauses[at] for at in _with_headless(all_clauses, place)]
    said = {when for one in around for token in one.tokens for when in _when_of(token)}
    said |= {_when_of_joint(clause)} - {""}
    said |= set(_when_beside(all_clauses, place))
    if any(one.of_kind("word", "hedge") or one.joint == "hedge_open" for one in _sentence_of(all_clauses, place)):
        said.add(UNCLEAR)  # "apart from a smile, ..."
    is_denied_twice = len(_denials(clause)) > (0 if clause.of_kind("rest", "still") else 1)
    if is_denied_twice or (is_after_action and LATE not in said):
        return UNCLEAR
    if len(said) > 1:
        return UNCLEAR
    return next(iter(said), THROUGHOUT)


def is_for_a_time(all_clauses: Sequence[Clause], place: int) -> bool:
    """Whether connectives limit what clause `place` denies: "while ...", "... until the jaw drops", "..., then ..."."""
    has_time = any(token.kind == "adverb" for token in all_clauses[place].tokens)
    return has_time or _is_subordinate(all_clauses[place]) or any(_when_beside(all_clauses, place))


def _denials(clause: Clause) -> list[Token]:
    opener = [clause.opener] if clause.opener is not None and clause.joint == "not_open" else []
    return [*opener, *clause.of_kind("not")]


def _when_of(token: Token) -> Iterator[str]:
    if token.kind == "manner":
        is_always = token.name == "long" and not token.text.startswith(_FOR_A_TIME)
        yield THROUGHOUT if is_always else _WHEN_OF_MANNER.get(token.name, UNCLEAR)
    elif token.kind == "adverb":
        yield _WHEN_OF_ADVERB.get(token.name, UNCLEAR)
    elif token.kind in ("word", "hedge", "only", "intensity") or token.kind.startswith("side"):
        yield UNCLEAR  # "no strong movement", "no other movement"


def _when_of_joint(clause: Clause) -> str:
    return LATE if clause.joint == "then" else UNCLEAR if clause.joint not in _NO_JOINT else ""


def _when_beside(all_clauses: Sequence[Clause], place: int) -> Iterator[str]:
    """What the clauses beside say: "after the smile, ..." and "..., until the brows rise" limit it, "then" follows."""
    sentence = all_clauses[place].sentence
    own = _with_headless(all_clauses, place)
    before, after = own[0] - 1, own[-1] + 1
    if before >= 0 and all_clauses[before].sentence == sentence and _is_subordinate(all_clauses[before]):
        yield UNCLEAR
    if after < len(all_clauses):
        following = all_clauses[after]
        is_next = following.joint == "then" or any(token.name == "then" for token in following.of_kind("adverb"))
        if is_next:
            yield EARLY
        elif following.sentence == sentence and _is_subordinate(following):
            yield UNCLEAR


def _sentence_of(all_clauses: Sequence[Clause], place: int) -> list[Clause]:
    return [clause for clause in all_clauses if clause.sentence == all_clauses[place].sentence]


def _is_subordinate(clause: Clause) -> bool:
    return clause.joint in ("before", "after", "together", "unclear")


def _with_headless(all_clauses: Sequence[Clause], place: int) -> range:
    """The clause and those beside it in its sentence that say nothing by themselves, such as "at first,"."""
    first = last = place
    while first and _is_headless(all_clauses[first - 1], all_clauses[place]):
        first -= 1
    while last + 1 < len(all_clauses) and _is_headless(all_clauses[last + 1], all_clauses[place]):
        last += 1
    return range(first, last + 1)


def _is_headless(clause: Clause, of_clause: Clause) -> bool:
    return clause.sentence == of_clause.sentence and not clause.saying and not _is_subordinate(clause)
