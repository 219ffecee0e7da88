"""Read one clause: which parts of the face do what in it, and on which side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.descriptions.clauses import Clause, Token
from pipeline.descriptions.lexicon import MEANS, REGION_OF_PART, UNDOES
from schemas.actions import TOLD_ACTIONS

_MOVING = ("turn", "tilt", "lean", "pull", "move")
_TOWARD = {"up": "raise", "down": "lower", "in": "inward"}
_TO_A_SIDE = ("head", "gaze", "eyes")
_ADJECTIVES = ("open", "shut", "knit", "drawn", "wide open")
_BETWEEN_VERB_AND_OBJECT = ("determiner", "side", "intensity", "manner", "direction")
_BEFORE_PART = ("determiner", "intensity", "manner", "only")


@dataclass(eq=False)
class Saying:
    """What one verb or noun of a clause says of one part; the reader adds to it what later clauses say.

    `undoes` are the actions that it brings to an end, if it does, and `may_end` what it may only tell the end of, as
    "then they lower" does after "the brows rise"; `is_rest` means that the actions are denied by a
    word such as "motionless"; `names_side` that "to the left" says where to.
    """

    actions: tuple[str, ...]
    head: Token
    parts: tuple[Token, ...] = ()
    undoes: tuple[str, ...] = ()
    is_rest: bool = False
    names_side: bool = True
    free_sides: list[Token] = field(default_factory=list)
    part_side: str | None = None
    sides: set[str] = field(default_factory=set)
    intensities: set[str] = field(default_factory=set)
    manners: list[str] = field(default_factory=list)
    polarity: str = "present"
    may_end: Saying | None = None

    @property
    def start(self) -> int:
        """First character."""
        return min(token.start for token in (self.head, *self.parts))

    @property
    def end(self) -> int:
        """Character after the last."""
        return max(token.end for token in (self.head, *self.parts))

    @property
    def regions(self) -> set[str]:
        """The regions that its actions lie in."""
        return {TOLD_ACTIONS[action].region for action in self.actions}

    @property
    def side(self) -> str | None:
        """The side that part and clause say together."""
        said = {side for side in (self.part_side, one_side(self.sides)) if side}
        return said.pop() if len(said) == 1 else "unclear" if said else None


def nothing_known(token: Token) -> Saying:
    """A saying that no evidence can support, for a phrase that is not understood."""
    return Saying((), token, polarity="unclear")


def one_side(words: Iterable[str]) -> str | None:
    """The side that several side words of one phrase say together."""
    said = set(words)
    if len(said) <= 1:
        return next(iter(said), None)
    return "both" if said <= {"left", "right", "both"} and {"left", "right"} <= said else "unclear"


def sayings_of(clause: Clause, carried: Sequence[Token]) -> tuple[list[Saying], list[Token]]:
    """What `clause` says, and its side words that belong to no part.

    `carried` are the parts that the sentence spoke of last, which a verb without a subject of its own goes on with.
    """
    part_sides, free_sides = _sides_of_parts(clause.tokens)
    found = []
    for place, token in enumerate(clause.tokens):
        found += _of_token(clause, place, token, carried, free_sides)
    for saying in found:
        saying.free_sides = free_sides
        saying.part_side = one_side(
            {side for part in saying.parts if part in part_sides for side in part_sides[part]} if saying.parts else ()
        )
    return found + _of_orphans(clause, found, part_sides), free_sides


def _of_token(
    clause: Clause, place: int, token: Token, carried: Sequence[Token], free_sides: list[Token]
) -> list[Saying]:
    if token.kind == "verb":
        return _of_verb(clause.tokens, place, carried, free_sides)
    if token.kind == "alone":
        return [Saying(tuple(token.name.split()), token)]
    if token.kind == "look":
        return _of_look(clause.tokens, place, free_sides)
    if token.kind == "motion":
        return _of_motion(clause, place)
    if token.kind == "rest" or (token.kind == "still" and _is_rest(clause, place)):
        return _of_rest(clause, place)
    return []


# --- verbs


def _of_verb(tokens: list[Token], place: int, carried: Sequence[Token], free_sides: list[Token]) -> list[Saying]:
    """What a verb says: of the part before it, or of the part after it as in "raising the brows", "raised brows"."""
    verb = tokens[place]
    subject, objects = _subject(tokens, place), _objects(tokens, place)
    if place + 1 < len(tokens) and _is_of(tokens[place + 1]):  # "a raising of the brows"
        subject, carried, objects = None, (), _after_preposition(tokens, place)
    subjects = _chain(tokens, subject, -1) if subject is not None and tokens[subject].kind == "part" else []
    directions, is_aside = _directions(tokens, place, free_sides)
    can_be_subject = bool(subjects) and any(_meanings(subjects[0].name, verb.name, directions, is_aside)[0][0])
    if objects and (_is_participle(verb) or not can_be_subject):
        told = objects
    elif subjects:
        told = subjects
    elif subject is None:
        told = list(carried) or (_after_preposition(tokens, place) if verb.name == "move" else [])
    elif tokens[subject].kind == "face" and verb.name in ("turn", "tilt"):
        return _with_part("head", (tokens[subject],), verb, directions, is_aside)
    else:
        told = []
    if not told:
        return [nothing_known(verb)]
    return [saying for part in told for saying in _with_part(part.name, (part,), verb, directions, is_aside)]


def _with_part(name: str, parts: tuple[Token, ...], verb: Token, directions: list[str], is_aside: bool) -> list[Saying]:
    return [
        Saying(actions, verb, parts, UNDOES.get((name, verb.name), ()), names_side=names_side)
        for actions, names_side in _meanings(name, verb.name, directions, is_aside)
    ]


def _meanings(part: str, verb: str, directions: list[str], is_aside: bool) -> list[tuple[tuple[str, ...], bool]]:
    """The actions for each direction that is said, and whether a side that is said belongs to them."""
    if verb not in _MOVING:
        return [(MEANS.get((part, verb), ()), True)]
    to_a_side = part in _TO_A_SIDE and (is_aside or "aside" in directions)
    straight = [direction for direction in directions if not (to_a_side and direction == "aside")]
    told = [(MEANS.get((part, f"{verb}_{name}"), MEANS.get((part, name), ())), not to_a_side) for name in straight]
    if to_a_side:
        plain = () if part == "eyes" else MEANS.get((part, verb), ())
        told.append((MEANS.get((part, f"{verb}_aside"), plain), True))
    elif is_aside:  # a part of the face that goes to one side
        told.append(((), True))
    return told or [(MEANS.get((part, verb), ()), True)]


def _directions(tokens: list[Token], place: int, free_sides: list[Token]) -> tuple[list[str], bool]:
    """Where to the verb at `place` says, and whether to a side of the face."""
    names, is_aside = [], False
    for token in tokens[place + 1 :]:
        if token.kind in ("verb", "alone", "look"):
            break
        if token.kind == "direction":
            names.append(_TOWARD.get(token.name, token.name))
        is_aside = is_aside or token.kind == "side_to" or (token.kind == "side" and token in free_sides)
    return list(dict.fromkeys(names)), is_aside


def _is_participle(verb: Token) -> bool:
    return verb.text.split()[0].endswith(("ed", "ing")) or verb.text in _ADJECTIVES


def _subject(tokens: list[Token], place: int) -> int | None:
    """Place of the nearest part, person or face before `place`; "of the face" is none."""
    for before in range(place - 1, -1, -1):
        if tokens[before].kind == "part":
            return before
        if tokens[before].kind in ("nobody", "face") and not _follows_preposition(tokens, before):
            return before
    return None


def _follows_preposition(tokens: list[Token], place: int) -> bool:
    before = place - 1
    while before >= 0 and tokens[before].kind == "determiner":
        before -= 1
    return before >= 0 and tokens[before].kind == "preposition"


def _objects(tokens: list[Token], place: int) -> list[Token]:
    for after in range(place + 1, len(tokens)):
        if tokens[after].kind == "part":
            return _chain(tokens, after, +1)
        joins_sides = tokens[after].kind == "and" and tokens[after - 1].kind == "side"  # "the left and right brow"
        if tokens[after].kind not in _BETWEEN_VERB_AND_OBJECT and not joins_sides:
            break
    return []


def _after_preposition(tokens: list[Token], place: int) -> list[Token]:
    """The parts in "something moves around the mouth", "a movement of the left brow"."""
    is_after = False
    for after in range(place + 1, len(tokens)):
        if tokens[after].kind == "part" and is_after:
            return _chain(tokens, after, +1)
        is_after = is_after or tokens[after].kind == "preposition" or tokens[after].text == "in"
        if tokens[after].kind not in ("preposition", "filler", *_BETWEEN_VERB_AND_OBJECT):
            break
    return []


def _chain(tokens: list[Token], place: int, step: int) -> list[Token]:
    """The part at `place` and those joined to it, as in "the brows, eyelids and cheeks"."""
    chain, is_joined, at = [tokens[place]], False, place + step
    while 0 <= at < len(tokens):
        token = tokens[at]
        if token.kind == "part" and is_joined:
            chain.append(token)
            is_joined = False
        elif token.kind == "and" or token.name == ",":
            is_joined = True
        elif token.kind not in ("determiner", "side"):
            break
        at += step
    return chain[::step]


# --- nouns, looks and rest


def _of_look(tokens: list[Token], place: int, free_sides: list[Token]) -> list[Saying]:
    look = tokens[place]
    directions, is_aside = _directions(tokens, place, free_sides)
    eyes = tuple(token for token in tokens[:place] if token.kind == "part" and token.name in ("eyes", "gaze"))
    told = [Saying(MEANS.get(("gaze", name), ()), look, eyes, names_side=not is_aside) for name in directions]
    if is_aside:
        told.append(Saying(("gaze_turn",), look, eyes))
    return told or [nothing_known(look)]


def _of_motion(clause: Clause, place: int) -> list[Saying]:
    """A movement or change of a part; "the movement" is told already, and "no movement" is told by its denial."""
    tokens = clause.tokens
    motion, before = tokens[place], place - 1
    while before >= 0 and tokens[before].kind in ("filler", "intensity", "manner", "only", "not"):
        before -= 1
    told = _after_preposition(tokens, place)
    if not told and before >= 0 and tokens[before].kind == "part":
        told = _chain(tokens, before, -1)
    if told:
        where = tokens[place - 1] if place else motion  # "an upward movement of the lip corners"
        way = _TOWARD.get(where.name, where.name) if where.kind == "direction" else "move"
        return [Saying(MEANS.get((part.name, way), ()), motion, (part,)) for part in told]
    is_known = before >= 0 and tokens[before].text in ("the", "this", "that", "these", "their", "its")
    return [] if is_known or clause.of_kind("not", "not_open", "hidden") else [nothing_known(motion)]


def _is_rest(clause: Clause, place: int) -> bool:
    """Whether "still" is not to move, as in "the brows are still", and not "still raised"."""
    is_after_part = any(token.kind == "part" for token in clause.tokens[:place])
    return is_after_part and all(token.kind in ("still", "part") for token in clause.saying + clause.of_kind("part"))


def _of_rest(clause: Clause, place: int) -> list[Saying]:
    """Parts that are said to rest. That the face as a whole does is no saying."""
    tokens = clause.tokens
    subject = _subject(tokens, place)
    told = _chain(tokens, subject, -1) if subject is not None and tokens[subject].kind == "part" else []
    told = told or _objects(tokens, place)
    if not told:
        is_of_face = subject is not None or clause.of_kind("motion")
        return [] if is_of_face else [nothing_known(tokens[place])]
    return [Saying(MEANS.get((part.name, "move"), ()), tokens[place], (part,), is_rest=True) for part in told]


# --- parts without a verb, and sides


def _of_orphans(clause: Clause, found: list[Saying], part_sides: dict[Token, set[str]]) -> list[Saying]:
    """Parts that no saying took: they go with one of their region ("a smile on the lips"), or are not understood."""
    if not found and clause.of_kind("fade", "hold", "last", "peak"):
        return []  # speaks of what was told before
    used = {part for saying in found for part in saying.parts}
    lost = []
    for part in clause.of_kind("part"):
        if part in used:
            continue
        region = REGION_OF_PART[part.name]
        near = [saying for saying in found if region in saying.regions]
        for saying in near:
            saying.sides |= part_sides.get(part, set())
        if not near:
            lost.append(nothing_known(part))
    return lost


def _sides_of_parts(tokens: list[Token]) -> tuple[dict[Token, set[str]], list[Token]]:
    """The side words of each part that has some, and the side phrases that stand by themselves."""
    told: dict[Token, set[str]] = {}
    taken: set[int] = set()
    last: int | None = None
    for place, token in enumerate(tokens):
        if token.kind != "part":
            continue
        own = _own_sides(tokens, place)
        taken.update(own)
        words = {tokens[at].name for at in own} | ({"left", "right", "both"} & set(token.text.split()))
        if not words and last is not None and tokens[last] in told and _shares_words(tokens[last + 1 : place]):
            words = set(told[tokens[last]])  # "the left brow and eye"
        if words:
            told[token] = words
        last = place
    sides = ("side", "side_to", "side_on")
    return told, [token for at, token in enumerate(tokens) if token.kind in sides and at not in taken]


def _shares_words(between: list[Token]) -> bool:
    return bool(between) and all(token.kind == "and" or token.name == "," for token in between)


def _own_sides(tokens: list[Token], place: int) -> list[int]:
    """Places of the side words before the part at `place`: "the left brow", "both the left and the right side of"."""
    own: list[int] = []
    for at in range(place - 1, -1, -1):
        token = tokens[at]
        is_side = token.kind == "side" or (token.kind == "side_on" and at + 1 < len(tokens) and _is_of(tokens[at + 1]))
        is_side = is_side or (token.kind == "side_on" and at == place - 1)
        joins_sides = token.kind == "and" and bool(own) and at > 0 and tokens[at - 1].kind == "side"
        of_a_side = _is_of(token) and at > 0 and (tokens[at - 1].kind == "side_on" or tokens[at - 1].text[:4] == "side")
        is_adjective = token.kind == "verb" and _is_participle(token)
        if is_side:
            own.append(at)
        elif not (
            joins_sides or of_a_side or is_adjective or token.kind in _BEFORE_PART or token.text in ("side", "sides")
        ):
            break
    return own


def _is_of(token: Token) -> bool:
    return token.text == "of"
