"""Read a text clause after clause: who does what, how, whether it is denied, and what speaks of something before it."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.descriptions.clauses import Clause, Token
from pipeline.descriptions.lexicon import REGION_OF_PART
from pipeline.descriptions.sayings import Saying, nothing_known, sayings_of
from pipeline.descriptions.stillness import is_for_a_time, tells_stillness, when_still

_MODIFIERS = ("intensity", "manner", "hold", "still")
_FOR_EVER = ("long", "from_start", "to_end")
_ENDS = ("early", "late", "at_start", "at_end", "from_start", "to_end")


class Reader:
    """Reads clause after clause. `said_in[i]` is what clause i says, `went_on_in[i]` what of before it says more of.

    `still` lists where the whole face is said to be at rest, and when; `still_in` are the clauses that say so.
    """

    def __init__(self, all_clauses: list[Clause], questions: set[int]) -> None:
        self.clauses = all_clauses
        self.questions = questions
        self.said: list[Saying] = []
        self.said_in: list[list[Saying]] = []
        self.went_on_in: list[list[Saying]] = []
        self.hidden: list[tuple[str, int, int]] = []
        self.still: list[tuple[str, int, int]] = []
        self.still_in: set[int] = set()
        self._pending: list[Token] = []  # modifiers that wait for the clause that they are said of
        self._last: list[Saying] = []  # of the last clause that said something
        self._last_in_sentence: list[Saying] = []

    def read(self) -> None:
        """Fill `said`, `said_in`, `went_on_in`, `hidden`, `still` and `still_in`."""
        for place, clause in enumerate(self.clauses):
            if place and clause.sentence != self.clauses[place - 1].sentence:
                self._end_sentence()
            self.said_in.append([])
            self.went_on_in.append([])
            self._read_clause(place, clause)
        self._end_sentence()
        for place, told in enumerate(self.said_in):
            for saying in told:
                if saying.polarity == "absent" and is_for_a_time(self.clauses, place):
                    saying.manners.append("for_a_time")

    def _end_sentence(self) -> None:
        if self._pending:
            self._modify_told(self._pending)
        self._pending, self._last_in_sentence = [], []

    def _read_clause(self, place: int, clause: Clause) -> None:
        if self._is_hidden(place, clause) or self._is_still(place, clause):
            return
        carried = list(dict.fromkeys(part for saying in self._last_in_sentence for part in saying.parts))
        told, free_sides = sayings_of(clause, carried)
        if (again := self._of_same_verb(clause, told)) and not all(saying.actions for saying in told):
            told, free_sides = sayings_of(clause, again)
        told = [saying for saying in told if not self._undoes(place, saying)]
        for saying in told:
            _read_hold(clause, saying)
        is_reference = not told and bool(self.went_on_in[place] or clause.of_kind("fade", "hold", "last", "peak"))
        if told:
            self._judge(place, clause, told)
            if clause.of_kind("fade"):
                told = self._fade(place, clause, told)
            else:
                told = self._hold(place, clause, told) if clause.of_kind("hold") else told
                self._modify(clause, told, [*self._pending, *_modifiers(clause, free_sides)])
            self._pending = []
            self._add(place, told)
        elif is_reference:
            self._refer(place, clause, free_sides)
        else:
            self._read_headless(place, clause, free_sides)

    def _add(self, place: int, told: list[Saying]) -> None:
        self.said += told
        self.said_in[place] += told
        self._last = self._last_in_sentence = told or self._last

    def _not_understood(self, place: int, clause: Clause) -> None:
        token = next(iter(clause.tokens), clause.opener)
        if token is not None:
            lost = nothing_known(token)
            self.said.append(lost)
            self.said_in[place].append(lost)

    # --- what cannot be told

    def _is_hidden(self, place: int, clause: Clause) -> bool:
        """Whether the clause says that something cannot be told, or why."""
        hidden = clause.of_kind("hidden")
        is_reason = clause.joint == "because" and bool(self.hidden) and not clause.of_kind("verb", "alone", "part")
        if is_reason:
            return True
        acting = [token for token in clause.of_kind("verb", "alone", "look", "motion") if token.kind != "motion"]
        if not hidden or (acting and not clause.of_kind("question")):
            return False
        named = clause.of_kind("part")
        if clause.of_kind("question") and not named and not clause.of_kind("face") and self._last:
            return True  # "which action it is cannot be told": of what was told just before
        start, end = clause.tokens[0].start, clause.tokens[-1].end
        for region in dict.fromkeys(REGION_OF_PART[part.name] for part in named) or ("face",):
            self.hidden.append((region, start, end))
        return True

    # --- the face as a whole

    def _is_still(self, place: int, clause: Clause) -> bool:
        """Whether the clause, or one that only says when, is of the rest of the whole face."""
        follows = place > 0 and place - 1 in self.still_in and self.clauses[place - 1].sentence == clause.sentence
        says_when = follows and not clause.saying and bool(clause.of_kind("manner")) and clause.joint == ","
        if says_when or not tells_stillness(clause, follows):
            return says_when
        is_after_action = any(saying.polarity == "present" for saying in self._last_in_sentence)
        when = when_still(self.clauses, place, is_after_action=is_after_action)
        self.still.append((when, clause.tokens[0].start, clause.tokens[-1].end))
        self.still_in.add(place)
        self._pending = []
        return True

    # --- clauses that speak of what was told before

    def _undoes(self, place: int, saying: Saying) -> bool:
        """Whether a saying such as "the mouth closes" only tells the end of one before it."""
        before = [o for o in self.said if set(o.actions) & set(saying.undoes) and o.polarity == "present"]
        if before and saying.actions:
            saying.may_end = before[-1]
        if not before or saying.actions:
            return False
        before[-1].manners.append("fades")
        self.went_on_in[place].append(before[-1])
        return True

    def _of_same_verb(self, clause: Clause, told: list[Saying]) -> list[Token]:
        """The parts that did it before, as in "the eyes close while the mouth moves, then close again"."""
        if clause.of_kind("part", "nobody", "face") or len(told) != 1:
            return []
        sentence = [saying for at in range(len(self.said_in)) if self.clauses[at].sentence == clause.sentence
                    for saying in self.said_in[at]]  # fmt: skip
        same = [saying for saying in sentence if saying.head.name == told[0].head.name and saying.parts]
        return list(same[-1].parts) if same else []

    def _fade(self, place: int, clause: Clause, told: list[Saying]) -> list[Saying]:
        """Note that what is told ends, as in "the smile fades"; what was told before is not told a second time."""
        new = []
        for saying in told:
            before = next((other for other in reversed(self.said) if _is_same(other, saying)), None)
            if saying.polarity != "present" or any(token.name == "return" for token in clause.of_kind("fade")):
                saying.polarity, before = "unclear", None  # "the smile returns": to the face, or to rest
            target = before or saying
            target.manners.append("fades")
            self._modify_ending(clause, saying, target)
            if target is saying:
                new.append(saying)
            self.went_on_in[place].append(target)
        return new

    def _modify_ending(self, clause: Clause, saying: Saying, target: Saying) -> None:
        """Give the modifiers of "a slight smile slowly fades" to the smile or to its end."""
        fade = clause.of_kind("fade")[0]
        for token in [*self._pending, *_modifiers(clause, saying.free_sides)]:
            is_of_noun = token.end <= saying.head.start < fade.start and token not in self._pending
            if is_of_noun or (token.kind == "side_on" and token.start < fade.start):
                _apply(target, token)
            else:
                _apply_to_course(target, token, is_ending=True, is_peak=False)

    def _hold(self, place: int, clause: Clause, told: list[Saying]) -> list[Saying]:
        """Leave out "stay raised" after "the brows rise": it is the same event."""
        new = []
        for saying in told:
            before = next((other for other in self._last_in_sentence if _is_same(other, saying)), None)
            if before is None or saying.polarity != "present":
                new.append(saying)
            else:
                self._modify(clause, [before], [*self._pending, *_modifiers(clause, saying.free_sides)])
                self.went_on_in[place].append(before)
        return new

    def _refer(self, place: int, clause: Clause, free_sides: list[Token]) -> None:
        """Read a clause that says how something told before went on: "it eases", "and lasts to the end"."""
        targets = self.went_on_in[place] or self._referred(clause)
        both = [token for token in free_sides if token.text == "both"]
        if both and clause.of_kind("fade") and not clause.of_kind("part"):  # "then both relax"
            targets = [saying for saying in self.said if saying.polarity == "present"][-2:]
            free_sides = [token for token in free_sides if token not in both] if len(targets) == 2 else free_sides
        is_doubtful = clause.of_kind("not", "hedge") or clause.joint in ("not_open", "hedge_open")
        comes_back = any(token.name == "return" for token in clause.of_kind("fade"))
        if not targets or is_doubtful or (comes_back and any("fades" in target.manners for target in targets)):
            self._not_understood(place, clause)
            return
        is_ending = bool(self.went_on_in[place] or clause.of_kind("fade"))
        self.went_on_in[place] = targets
        for target in targets:
            if clause.of_kind("fade"):
                target.manners.append("fades")
            for token in [*self._pending, *_modifiers(clause, free_sides)]:
                _apply_to_course(target, token, is_ending, bool(clause.of_kind("peak")))
        self._pending = []

    def _referred(self, clause: Clause) -> list[Saying]:
        """The sayings that a clause without an action of its own speaks of."""
        named = clause.of_kind("part")
        if named:
            found = [self._last_of_region(REGION_OF_PART[part.name]) for part in named]
            return [saying for saying in found if saying is not None] if all(found) else []
        if clause.of_kind("face"):
            return [saying for saying in self.said if saying.polarity == "present"]
        return [saying for saying in self._last_in_sentence or self._last if saying.polarity == "present"]

    def _last_of_region(self, region: str) -> Saying | None:
        present = (saying for saying in reversed(self.said) if saying.polarity == "present")
        return next((saying for saying in present if region in saying.regions), None)

    def _read_headless(self, place: int, clause: Clause, free_sides: list[Token]) -> None:
        """Read a clause that holds modifiers alone: "Slowly, ...", "..., more on the left side"."""
        denies_movement = bool(clause.of_kind("motion", "rest", "still"))
        lost = clause.of_kind("hedge", "hedge_open") or (clause.of_kind("not") and not denies_movement)
        if lost or clause.joint in ("not_open", "hedge_open") or clause.of_kind("part"):
            self._not_understood(place, clause)
            return
        modifiers = _modifiers(clause, free_sides)
        if denies_movement or (clause.joint == "" and not modifiers):
            return
        is_first = not self._last_in_sentence
        speaks_of_it = bool(clause.of_kind("nobody"))
        if (is_first and not speaks_of_it) or clause.of_kind("adverb") or clause.joint in ("then", "after", "before"):
            self._pending += modifiers
        elif modifiers:
            self._modify_told(modifiers)

    def _modify_told(self, modifiers: list[Token]) -> None:
        targets = self._last_in_sentence or self._last
        if not targets:
            self.said.append(nothing_known(modifiers[0]))
        for saying in targets:
            for token in modifiers:
                _apply(saying, token)

    # --- modifiers and polarity of a clause that says something

    def _modify(self, clause: Clause, told: list[Saying], modifiers: list[Token]) -> None:
        """Give each modifier to the nearest saying of its clause, and to those that share its verb."""
        if not told:
            return
        for token in modifiers:
            distances = [max(saying.start - token.end, token.start - saying.end, 0) for saying in told]
            head = told[distances.index(min(distances))].head
            for saying in told:
                if saying.head is head:
                    _apply(saying, token)
        for saying in told:
            if saying.polarity == "absent" and (saying.intensities or set(saying.manners) - set(_FOR_EVER)):
                saying.polarity = "unclear"  # "does not rise strongly" may be a slight rise
        if clause.of_kind("only"):
            self._doubt_only(clause, told)

    def _doubt_only(self, clause: Clause, told: list[Saying]) -> None:
        """ "Only the mouth moves" says something of all else; "only slightly" and "only the left brow" do not."""
        for only in clause.of_kind("only"):
            after = [token for token in clause.tokens if token.start >= only.end and token.kind != "determiner"]
            before = [token for token in clause.tokens if token.end <= only.start]
            is_of_subject = not any(token.kind in ("part", "nobody", "verb", "alone", "motion") for token in before)
            is_of_rest = after and after[0].kind in ("part", "alone", "motion", "adverb") and is_of_subject
            if only.text == "alone" or is_of_rest:
                for saying in told:
                    saying.polarity = "unclear"

    def _judge(self, place: int, clause: Clause, told: list[Saying]) -> None:
        """Set the polarity that the clause and the one that it is joined to give."""
        negators = _negators(clause)
        before = self.clauses[place - 1] if place and clause.joint in ("and", "or", "nor", ",") else None
        shares_denial = before is not None and before.sentence == clause.sentence and self.said_in[place - 1]
        denied = [s for s in self.said_in[place - 1] if s.polarity != "present"] if shares_denial else []
        is_several = len({id(saying.head) for saying in told}) > 1
        for saying in told:
            if not saying.actions:
                saying.polarity = "unclear" if negators or saying.polarity == "unclear" else "present"
                continue
            saying.polarity = _polarity(clause, saying, negators)
            if negators and clause.of_kind("hold", "last", "peak"):
                saying.polarity = "unclear"  # "the smile does not last" is a smile
            if clause.joint in ("or", "nor") and denied and not negators:
                saying.polarity = denied[-1].polarity
            elif clause.joint == "nor" and not negators:
                saying.polarity = "absent"
            elif denied and clause.joint == "and" and not negators:
                saying.polarity = "unclear"  # "no smile and raised brows" may deny the brows or not
            elif denied and clause.joint == "," and saying.parts and saying.parts[0].end < clause.tokens[0].start:
                saying.polarity = "unclear"  # "the brows do not rise, knit or lower"
            if clause.sentence in self.questions or clause.of_kind("hedge", "hidden") or clause.joint == "hedge_open":
                saying.polarity = "unclear"
            if negators and is_several:
                saying.polarity = "unclear"
            if any(token.name == "or" for token in clause.of_kind("and")) and saying.polarity == "present":
                saying.polarity = "unclear"  # "the brows or the lips move"
            elif clause.joint == "or" and saying.polarity == "present":
                self._doubt_alternatives(place, saying)

    def _doubt_alternatives(self, place: int, saying: Saying) -> None:
        for other in (saying, *self.said_in[place - 1]):
            other.polarity = "unclear"


def _read_hold(clause: Clause, saying: Saying) -> None:
    """ "The eyes stay open" and "the jaw stays closed" deny what would bring that to an end."""
    if saying.undoes and not saying.actions and clause.of_kind("hold") and saying.head.name in ("open", "close"):
        saying.actions, saying.is_rest = saying.undoes, True


def _modifiers(clause: Clause, free_sides: list[Token]) -> list[Token]:
    return [*(_only_at(clause, token) for token in clause.of_kind(*_MODIFIERS)), *free_sides]


def _only_at(clause: Clause, token: Token) -> Token:
    """ "only at the end" says of all the time before that nothing was."""
    if token.kind != "manner" or token.name not in _ENDS:
        return token
    place = clause.tokens.index(token)
    is_last = place == len(clause.tokens) - 2 and clause.tokens[-1].kind == "only"
    is_limited = is_last or (place > 0 and clause.tokens[place - 1].kind == "only")
    return Token(token.kind, f"only_{token.name}", token.text, token.start, token.end) if is_limited else token


def _apply(saying: Saying, token: Token) -> None:
    """Note on `saying` what a modifier says."""
    if token.kind == "intensity":
        saying.intensities.add(token.name)
    elif token.kind in ("side", "side_on", "side_to"):
        if saying.names_side:
            saying.sides.add(token.name)
    elif not (token.kind == "still" and saying.is_rest):
        saying.manners += _manners_of(token)
    if "long" in saying.manners and "brief" in saying.manners:  # "held briefly"
        saying.manners = [manner for manner in saying.manners if manner != "long"]
    saying.manners = list(dict.fromkeys(saying.manners))


def _manners_of(token: Token) -> list[str]:
    if token.kind == "still":
        return ["long"]
    return [name for name in token.name.replace(" to end", " to_end").split() if name]


def _apply_to_course(saying: Saying, token: Token, is_ending: bool, is_peak: bool) -> None:
    """Note what is said of the way in which an action ends or peaks."""
    if is_ending:
        if token.kind == "manner" and token.name not in ("again", "brief fades"):  # "eases again" is back to rest
            saying.manners += [f"fades_{name}" for name in _manners_of(token)]
        elif token.name == "brief fades":
            _apply(saying, token)
        elif token.kind == "intensity":
            saying.manners.append("fades_unclear")
        elif token.kind.startswith("side"):
            saying.sides.add("unclear")
    elif is_peak and token.kind == "manner" and token.name in _ENDS:
        saying.manners.append(f"peak_{token.name}")
    else:
        _apply(saying, token)
    saying.manners = list(dict.fromkeys(saying.manners))


def _is_same(before: Saying, after: Saying) -> bool:
    is_told = before.polarity == "present" and bool(before.actions) and set(after.actions) == set(before.actions)
    return is_told and after.side in (None, before.side)


def _negators(clause: Clause) -> list[Token]:
    """The words that deny, "neither ... nor" counted once, with the one that opens the clause."""
    found = clause.of_kind("not")
    is_neither = any(token.name == "neither" for token in found)
    nor = [token for token in clause.of_kind("and") if token.name == "nor" and not is_neither and not found]
    return [*([clause.opener] if clause.opener is not None and clause.joint == "not_open" else []), *found, *nor]


def _polarity(clause: Clause, saying: Saying, negators: Iterable[Token]) -> str:
    """Whether a saying is affirmed or denied by its own clause."""
    denials = list(negators)
    if saying.is_rest:
        return "unclear" if denials else "absent"
    if not denials:
        return "present"
    if len(denials) > 1:
        return "unclear"
    is_noun = saying.head.kind in ("alone", "motion") and not clause.of_kind("verb", "fade")
    return "absent" if denials[0].start < saying.head.start or is_noun else "unclear"
