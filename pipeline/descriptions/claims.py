"""Read prose for what it says a face did: phrases of parts and verbs, as actions with side and polarity.

Not a parser of English but a reader of this kind of prose that errs to one side: what it does not understand comes out
as a mention of no action, which no evidence supports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise


@dataclass(frozen=True)
class Mention:
    """One place of a text that says something of a face.

    `actions` are the actions that it may mean, any of which supports it; none: a phrase that means no known action.
    `side` is left, right, both, one (unsaid which) or None (not said). `polarity` is present, absent or unclear.
    `start` and `end` are characters of the text, `order` counts the mentions from 0.
    """

    actions: tuple[str, ...]
    side: str | None
    polarity: str
    start: int
    end: int
    order: int = 0


_BOTH_BROWS = ("inner_brow_raise", "outer_brow_raise")
_LIPS_APART = ("jaw_drop", "lower_lip_drop", "upper_lip_raise")

# A part is named by the first pattern that fits, so the longer names come first.
_PARTS = {
    "inner_brows": r"inner (?:ends?|corners?|parts?) of (?:the|their|both) (?:eye)?brows?|inner (?:eye)?brows?",
    "outer_brows": r"outer (?:ends?|corners?|parts?) of (?:the|their|both) (?:eye)?brows?|outer (?:eye)?brows?",
    "brows": r"inner and outer (?:eye)?brows|(?:eye)?brows?|forehead",
    "lip_corners": r"(?:lip|mouth) corners?|corners? of (?:the|their) (?:mouth|lips)|mouth's corners?",
    "eye_corners": r"corners? of (?:the|their) eyes?|eye corners?|(?:inner|outer) corners?",
    "upper_lids": r"upper (?:eye)?lids?",
    "lower_lids": r"lower (?:eye)?lids?",
    "eyes": r"eyes?|eyelids?|lids?",
    "upper_lip": r"upper lips?",
    "lower_lip": r"lower lips?",
    "lips": r"lips?",
    "mouth": r"mouth",
    "jaw": r"(?:lower )?jaw",
    "chin": r"chin",
    "nose": r"nose",
    "cheeks": r"cheeks?",
    "teeth": r"teeth",
    "nobody": r"they|person|face|it",  # takes a verb's subject away from the part before it
}

REGION_OF_PART = {
    "inner_brows": "brows",
    "outer_brows": "brows",
    "brows": "brows",
    "lip_corners": "mouth",
    "eye_corners": "eyes",
    "upper_lids": "eyes",
    "lower_lids": "eyes",
    "eyes": "eyes",
    "upper_lip": "mouth",
    "lower_lip": "mouth",
    "lips": "mouth",
    "mouth": "mouth",
    "jaw": "jaw",
    "chin": "mouth",
    "nose": "nose",
    "cheeks": "cheeks",
    "teeth": "mouth",
}

_MOVE = r"(?:pull|turn|curl|push|roll|draw|move|go|come|tug)(?:s|es|ed|ing|n)?|drew|drawn"
_BETWEEN = r"(?:\s+\w+ly)?\s+"

_VERBS = {
    "raise": rf"rais(?:e|es|ed|ing)|ris(?:e|es|en|ing)|rose|lift(?:s|ed|ing)?|arch(?:es|ed|ing)?"
    rf"|(?:{_MOVE}){_BETWEEN}(?:up|upwards?)",
    "lower": rf"lower(?:s|ed|ing)?|drop(?:s|ped|ping)?|fall(?:s|ing)?|sink(?:s|ing)?|droop(?:s|ed|ing)?"
    rf"|(?:{_MOVE}){_BETWEEN}(?:down|downwards?)",
    "knit": rf"knit(?:s|ted|ting)?|furrow(?:s|ed|ing)?|wrinkl(?:e|es|ed|ing)|(?:{_MOVE}){_BETWEEN}(?:together|inwards?)",
    "widen": r"widen(?:s|ed|ing)?|open(?:s|ed|ing)?(?:\s+(?:very|quite))?\s+(?:wide|widely)",
    "narrow": r"narrow(?:s|ed|ing)?|squint(?:s|ed|ing)?",
    "close": r"clos(?:e|es|ed|ing)(?!\s+to\b)|shut(?:s|ting)?|blink(?:s|ed|ing)?",
    "open": r"open(?:s|ed|ing)?|part(?:s|ed|ing)?",
    "press": r"press(?:es|ed|ing)?",
    "tighten": r"tighten(?:s|ed|ing)?|dimpl(?:e|es|ed|ing)",
    "pucker": r"pucker(?:s|ed|ing)?|purs(?:e|es|ed|ing)",
    "stretch": r"stretch(?:es|ed|ing)?",
    "funnel": r"funnel(?:s|ed|ing)?",
    "round": r"round(?:s|ed|ing)?",
    "suck": rf"suck(?:s|ed|ing)?|(?:roll)(?:s|ed|ing)?{_BETWEEN}(?:in|inwards?)",
    "bunch": r"bunch(?:es|ed|ing)?",
    "bare": r"bar(?:e|es|ed|ing)|show(?:s|ing)?",
    "curl": rf"(?:{_MOVE}|curl(?:s|ed|ing)?)",
}

_MEANS: dict[tuple[str, str], tuple[str, ...]] = {
    ("inner_brows", "raise"): ("inner_brow_raise",),
    ("outer_brows", "raise"): ("outer_brow_raise",),
    ("brows", "raise"): _BOTH_BROWS,
    ("brows", "lower"): ("brow_lower",),
    ("inner_brows", "lower"): ("brow_lower",),
    ("brows", "knit"): ("brow_lower",),
    ("inner_brows", "knit"): ("brow_lower",),
    ("eyes", "widen"): ("eye_widen",),
    ("upper_lids", "raise"): ("eye_widen",),
    ("eyes", "narrow"): ("eye_narrow",),
    ("lower_lids", "tighten"): ("eye_narrow",),
    ("lower_lids", "raise"): ("eye_narrow",),
    ("eyes", "tighten"): ("eye_narrow",),
    ("eyes", "close"): ("eye_close",),
    ("cheeks", "raise"): ("cheek_raise",),
    ("cheeks", "bunch"): ("cheek_raise",),
    ("nose", "knit"): ("nose_wrinkle",),
    ("upper_lip", "raise"): ("upper_lip_raise",),
    ("lip_corners", "raise"): ("lip_corner_raise",),
    ("lip_corners", "tighten"): ("lip_corner_dimple",),
    ("lip_corners", "lower"): ("lip_corner_lower",),
    ("lower_lip", "lower"): ("lower_lip_drop",),
    ("chin", "raise"): ("chin_raise",),
    ("chin", "bunch"): ("chin_raise",),
    ("lips", "pucker"): ("lip_pucker",),
    ("mouth", "pucker"): ("lip_pucker",),
    ("lips", "stretch"): ("lip_stretch",),
    ("mouth", "stretch"): ("lip_stretch",),
    ("lip_corners", "stretch"): ("lip_stretch",),
    ("mouth", "widen"): ("lip_stretch", "lip_corner_raise"),
    ("lips", "funnel"): ("lip_funnel",),
    ("mouth", "funnel"): ("lip_funnel",),
    ("lips", "round"): ("lip_funnel", "lip_pucker"),
    ("mouth", "round"): ("lip_funnel", "lip_pucker"),
    ("lips", "press"): ("lip_press",),
    ("lips", "tighten"): ("lip_press",),
    ("lips", "suck"): ("lip_suck",),
    ("lips", "open"): _LIPS_APART,
    ("mouth", "open"): ("jaw_drop",),
    ("mouth", "close"): (),
    ("jaw", "lower"): ("jaw_drop",),
    ("jaw", "open"): ("jaw_drop",),
    ("teeth", "bare"): ("upper_lip_raise", "lower_lip_drop"),
}

# Words that say an action by themselves.
_NOUNS: dict[str, tuple[str, ...]] = {
    r"smil(?:e|es|ed|ing)|grin(?:s|ned|ning)?": ("lip_corner_raise",),
    r"frown(?:s|ed|ing)?": ("brow_lower", "lip_corner_lower"),
    r"dimples": ("lip_corner_dimple",),
    r"squint(?:s|ed|ing)?": ("eye_narrow",),
    r"blink(?:s|ed|ing)?": ("eye_close",),
}

_NEGATOR = re.compile(r"\b(?:no|not|never|neither|nor|none|without|cannot|absent|absence|lack|lacks|lacking|than)\b|n't\b")
_HARDLY = re.compile(r"\b(?:barely|hardly|scarcely|if|may|might|could|stops?|only)\b")
_AND = re.compile(r"\band\b")
_SIDE = re.compile(r"\b(both|either|each|left(?:-hand)?|right(?:-hand)?(?!\s+(?:at|after|before|then|from))|one)\b")
_SIDE_WORDS = {"either": "both", "each": "both", "left-hand": "left", "right-hand": "right"}
# A decimal point ends nothing.
_CLAUSE_END = re.compile(r"[,;:!?()\u2013\u2014]|\.(?!\d)|\b(?:but|while|whereas|though|then|before|after|until|as|when|meanwhile)\b")
_COORDINATED = re.compile(r"\s*(?:and|or|and then|&)?\s*(?:(?:the|their|both|left|right)\s*)*")
_DETERMINED = re.compile(r"\s*(?:(?:the|their|both|a|an|left|right|one)\s+)*(?:\w+ly\s+)?")


@dataclass(frozen=True)
class _Found:
    name: str
    start: int
    end: int
    text: str


def _compiled(patterns: dict[str, str]) -> re.Pattern[str]:
    return re.compile("|".join(rf"\b(?P<{name}>{pattern})\b" for name, pattern in patterns.items()))


_PART = _compiled(_PARTS)
_VERB = _compiled(_VERBS)
_NOUN = [(re.compile(rf"\b(?:{pattern})\b"), actions) for pattern, actions in _NOUNS.items()]


def mentions(text: str) -> list[Mention]:
    """Everything that `text` says of a face, in the order of the text."""
    lowered = text.lower().replace("\u2019", "'")
    found = [mention for start, end in _clauses(lowered) for mention in _in_clause(lowered, start, end)]
    found.sort(key=lambda mention: (mention.start, mention.end))
    return [replace(mention, order=order) for order, mention in enumerate(found)]


def parts(text: str) -> list[tuple[str, int]]:
    """The parts of a face that `text` names, each with its first character."""
    lowered = text.lower()
    return [(part.name, part.start) for part in _find(_PART, lowered, 0, len(lowered)) if part.name != "nobody"]


def _clauses(text: str) -> Iterator[tuple[int, int]]:
    cuts = [0, *(match.end() for match in _CLAUSE_END.finditer(text)), len(text)]
    yield from pairwise(cuts)


def _in_clause(text: str, start: int, end: int) -> list[Mention]:
    named = _find(_PART, text, start, end)
    verbs = [verb for verb in _find(_VERB, text, start, end) if not any(_touch(verb, part) for part in named)]
    found = [mention for verb in verbs for mention in _of_verb(text, verb, named)]
    for pattern, actions in _NOUN:
        for match in pattern.finditer(text, start, end):
            if not any(mention.start <= match.start() < mention.end for mention in found):
                found.append(Mention(actions, None, "present", match.start(), match.end()))
    found = [mention for mention in found if not _is_empty_doubt(mention, text)]
    return [replace(mention, polarity=_polarity(text, start, end, mention)) for mention in _with_sides(text, start, end, found)]


def _find(pattern: re.Pattern[str], text: str, start: int, end: int) -> list[_Found]:
    return [_Found(str(m.lastgroup), m.start(), m.end(), m.group()) for m in pattern.finditer(text, start, end)]


def _touch(first: _Found, second: _Found) -> bool:
    return first.start < second.end and second.start < first.end


def _of_verb(text: str, verb: _Found, named: list[_Found]) -> list[Mention]:
    """The mentions of one verb: of its object when it is raising or raised and stands right before it, else its subject."""
    before = [part for part in named if part.end <= verb.start]
    after = [part for part in named if part.start >= verb.end]
    is_finite = not verb.text.split()[0].endswith(("ed", "ing"))
    has_object = bool(after) and _DETERMINED.fullmatch(text[verb.end : after[0].start]) is not None
    has_subject = bool(before) and before[-1].name != "nobody"
    if has_object and (not has_subject or not is_finite or before[-1].name not in _subjects(verb.name)):
        told = _chain(text, after, forward=True)
    elif has_subject:
        told = _chain(text, before, forward=False)
    else:
        told = []
    if not told:
        return [Mention((), None, "present", verb.start, verb.end)]
    return [
        Mention(
            _MEANS.get((part.name, verb.name), ()), None, "present", min(part.start, verb.start), max(part.end, verb.end)
        )
        for part in told
    ]


def _subjects(verb: str) -> set[str]:
    return {part for part, of_verb in _MEANS if of_verb == verb}


def _chain(text: str, named: list[_Found], *, forward: bool) -> list[_Found]:
    """The nearest part and those joined to it by `and`: "the brows and eyelids"."""
    ordered = named if forward else named[::-1]
    chain = [ordered[0]]
    for part in ordered[1:]:
        first, second = (chain[-1], part) if forward else (part, chain[-1])
        between = text[first.end : second.start]
        if part.name == "nobody" or not _COORDINATED.fullmatch(between) or not between.strip():
            break
        chain.append(part)
    return chain


def _is_empty_doubt(mention: Mention, text: str) -> bool:
    """Whether a verb without a part says nothing of a face: words that have another, harmless use."""
    harmless = r"show(?:s|ing)?|(?:move|go|come)(?:s|es|ing|d)?|part|close|turn(?:s|ed)?|lower"
    return not mention.actions and re.fullmatch(harmless, text[mention.start : mention.end]) is not None


def _with_sides(text: str, start: int, end: int, found: list[Mention]) -> list[Mention]:
    """Give each side word of the clause to the mention nearest to it; two that differ make both, or no known side."""
    said: dict[int, set[str]] = {}
    for match in _SIDE.finditer(text, start, end):
        if found:
            nearest = min(range(len(found)), key=lambda i: _distance(found[i], match.start(), match.end()))
            touching = [i for i, m in enumerate(found) if m.start <= match.start() < m.end] or [nearest]
            for index in touching:
                said.setdefault(index, set()).add(_SIDE_WORDS.get(match.group(), match.group()))
    return [replace(mention, side=_one_side(said.get(index, set()))) for index, mention in enumerate(found)]


def _one_side(words: set[str]) -> str | None:
    if not words:
        return None
    if len(words) == 1:
        return next(iter(words))
    return "both" if words <= {"both", "left", "right"} else "one" if "one" in words and len(words) > 2 else _specific(words)


def _specific(words: set[str]) -> str:
    """"One" side that is then named: "one side, the left"."""
    (side,) = words - {"one"}
    return side


def _distance(mention: Mention, start: int, end: int) -> int:
    return max(mention.start - end, start - mention.end, 0)


def _polarity(text: str, start: int, end: int, mention: Mention) -> str:
    before, after = text[start : mention.end], text[mention.end : end]
    reach = before[_AND.search(before).end() :] if (joined := _AND.search(before)) else before  # type: ignore[union-attr]
    if _HARDLY.search(before) or _HARDLY.search(after) or _NEGATOR.search(after.split(" and ")[0]):
        return "unclear"
    num_before = len(_NEGATOR.findall(before))
    if num_before == 0:
        return "present"
    return "absent" if num_before == 1 and (joined is None or _NEGATOR.search(reach)) else "unclear"
