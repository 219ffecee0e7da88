"""Read prose for what it says a face did: phrases of parts and verbs, as actions with side and polarity.

Not a parser of English but a reader of this kind of prose that errs to one side: what it does not understand comes out
as a mention of no action, which no evidence supports.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise


@dataclass(frozen=True)
class Mention:
    """One place of a text that says something of a face.

    `actions` are the actions that it may mean, any of which supports it; none: a phrase that means no known action.
    `side` is left, right, both, one (unsaid which), unclear or None (not said). `polarity` is present, absent or
    unclear.
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

# The first pattern that fits names a part or a verb, so the longer and the more special come first.
_PARTS = {
    "inner_brows": r"inner (?:ends?|corners?|parts?) of (?:the|their|both) (?:eye)?brows?|inner (?:eye)?brows?",
    "outer_brows": r"outer (?:ends?|corners?|parts?) of (?:the|their|both) (?:eye)?brows?|outer (?:eye)?brows?",
    "brows": r"inner and outer (?:eye)?brows|(?:eye)?brows?",
    "forehead": r"forehead",
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
    "forehead": "brows",
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

_MOVE = r"(?:pull|turn|curl|push|roll|draw|tug)(?:s|es|ed|ing|n)?|drew|drawn"
_BETWEEN = r"(?:\s+\w+ly)?\s+"

_VERBS = {
    "suck": rf"suck(?:s|ed|ing)?|roll(?:s|ed|ing)?{_BETWEEN}(?:in|inwards?)",
    "raise": rf"rais(?:e|es|ed|ing)|ris(?:e|es|en|ing)|rose|lift(?:s|ed|ing)?|arch(?:es|ed|ing)?"
    rf"|(?:{_MOVE}){_BETWEEN}(?:up|upwards?)",
    "lower": rf"lower(?:s|ed|ing)?|drop(?:s|ped|ping)?|fall(?:s|ing)?|sink(?:s|ing)?|droop(?:s|ed|ing)?"
    rf"|(?:{_MOVE}){_BETWEEN}(?:down|downwards?)",
    "knit": rf"knit(?:s|ted|ting)?|furrow(?:s|ed|ing)?|wrinkl(?:e|es|ed|ing)"
    rf"|(?:{_MOVE}){_BETWEEN}(?:together|inwards?)",
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
    "bunch": r"bunch(?:es|ed|ing)?",
    "bare": r"(?:bar(?:e|es|ed|ing)|show(?:s|ing)?)(?=\s+(?:the\s+|their\s+)?teeth)",
    "elsewhere": _MOVE,  # to where no other verb says: means nothing that is known
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
    ("jaw", "lower"): ("jaw_drop",),
    ("jaw", "open"): ("jaw_drop",),
    ("teeth", "bare"): ("upper_lip_raise", "lower_lip_drop"),
}

# Words that say an action by themselves.
_ALONE: dict[str, tuple[str, ...]] = {
    r"smil(?:e|es|ed|ing)|grin(?:s|ned|ning)?": ("lip_corner_raise",),
    r"frown(?:s|ed|ing)?": ("brow_lower", "lip_corner_lower"),
    r"dimples": ("lip_corner_dimple",),
    r"squint(?:s|ed|ing)?": ("eye_narrow",),
    r"blink(?:s|ed|ing)?": ("eye_close",),
}

_NEGATOR = re.compile(
    r"\b(?:no|not|never|neither|nor|none|without|cannot|absent|absence|lack|lacks|lacking|than)\b|n't\b"
)
_NEGATES_NO_ACTION = re.compile(r"\b(?:movement|measured|change)\b")
_HEDGE = re.compile(r"\b(?:barely|hardly|scarcely|if|may|might|could|stops?)\b")
_AND = re.compile(r"\band\b")
_SIDE = re.compile(
    r"\b(?:both|either|each|left(?:-hand)?|right(?:-hand)?(?!\s+(?:at|after|before|then|from)\b)"
    r"|one(?!\s+(?:point|time|moment|second)\b))\b"
)
_SIDE_WORDS = {"either": "both", "each": "both", "left-hand": "left", "right-hand": "right"}
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_CLAUSE_END = re.compile(
    r"[,;:!?()\u2013\u2014]|\.(?!\d)|\b(?:but|while|whereas|though|then|before|after|until|as|when|meanwhile)\b"
)
_COORDINATED = re.compile(r"\s+(?:and|or)\s+(?:(?:the|their|both|left|right)\s+)*")
_DETERMINED = re.compile(r"\s+(?:(?:the|their|both|a|an|left and right|left|right|one)\s+)*(?:\w+ly\s+)?")


@dataclass(frozen=True)
class _Found:
    """A part or a verb in the text."""

    name: str
    start: int
    end: int
    text: str


def _compiled(patterns: dict[str, str]) -> re.Pattern[str]:
    return re.compile("|".join(rf"\b(?P<{name}>{pattern})\b" for name, pattern in patterns.items()))


_PART = _compiled(_PARTS)
_VERB = _compiled(_VERBS)


def mentions(text: str) -> list[Mention]:
    """Everything that `text` says of a face, in the order of the text."""
    lowered = text.lower().replace("\u2019", "'")
    found = []
    for start, end in sentences(lowered):
        told = [mention for cut in _clauses(lowered, start, end) for mention in _in_clause(lowered, *cut)]
        found += _with_sides(lowered, start, end, told)
    found.sort(key=lambda mention: (mention.start, mention.end))
    return [replace(mention, order=order) for order, mention in enumerate(found)]


def sentences(text: str) -> list[tuple[int, int]]:
    """First and last character of each sentence of `text`; a decimal point ends none."""
    cuts = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [(start, end) for start, end in pairwise(cuts) if text[start:end].strip()]


def parts(text: str) -> list[str]:
    """The parts of a face that `text` names."""
    lowered = text.lower()
    return [part.name for part in _find(_PART, lowered, 0, len(lowered)) if part.name != "nobody"]


def _clauses(text: str, start: int, end: int) -> list[tuple[int, int]]:
    return list(pairwise([start, *(match.end() for match in _CLAUSE_END.finditer(text, start, end)), end]))


def _find(pattern: re.Pattern[str], text: str, start: int, end: int) -> list[_Found]:
    return [_Found(str(m.lastgroup), m.start(), m.end(), m.group()) for m in pattern.finditer(text, start, end)]


def _in_clause(text: str, start: int, end: int) -> list[Mention]:
    named = _find(_PART, text, start, end)
    verbs = _find(_VERB, text, start, end)
    is_name = {verb: any(part.start <= verb.start < part.end for part in named) for verb in verbs}  # as in "lower lip"
    found = [mention for verb in verbs if not is_name[verb] for mention in _of_verb(text, verb, named)]
    for pattern, actions in _ALONE.items():
        for match in re.finditer(rf"\b(?:{pattern})\b", text[start:end]):
            if not any(mention.start <= start + match.start() < mention.end for mention in found):
                found.append(Mention(actions, None, "present", start + match.start(), start + match.end()))
    negator = _NEGATOR.search(text, start, end)
    if negator and not found and not _NEGATES_NO_ACTION.search(text, start, end):
        return [Mention((), None, "unclear", negator.start(), negator.end())]  # denies what another clause said
    return [replace(mention, polarity=_polarity(text, start, end, mention)) for mention in found]


def _of_verb(text: str, verb: _Found, named: list[_Found]) -> list[Mention]:
    """What one verb says: of the part before it, or of the part after it as in "raising the brows", "raised brows"."""
    before = [part for part in named if part.end <= verb.start][::-1]
    after = [part for part in named if part.start >= verb.end]
    subjects = [] if not before or before[0].name == "nobody" else _chain(text, before)
    objects = [] if not after or not _DETERMINED.fullmatch(text, verb.end, after[0].start) else _chain(text, after)
    is_participle = verb.text.split()[0].endswith(("ed", "ing"))
    takes_object = bool(objects) and (is_participle or not subjects or (subjects[0].name, verb.name) not in _MEANS)
    told = objects if takes_object else subjects
    if not told:
        return [Mention(_alone(verb.text), None, "present", verb.start, verb.end)]
    return [Mention(_MEANS.get((part.name, verb.name), ()), None, "present", *_span(part, verb)) for part in told]


def _alone(word: str) -> tuple[str, ...]:
    return next((actions for pattern, actions in _ALONE.items() if re.fullmatch(pattern, word)), ())


def _span(part: _Found, verb: _Found) -> tuple[int, int]:
    return min(part.start, verb.start), max(part.end, verb.end)


def _chain(text: str, nearest_first: list[_Found]) -> list[_Found]:
    """The nearest part and those joined to it, as in "the brows and eyelids"."""
    chain = nearest_first[:1]
    for part in nearest_first[1:]:
        first, second = sorted((chain[-1], part), key=lambda found: found.start)
        if part.name == "nobody" or not _COORDINATED.fullmatch(text, first.end, second.start):
            break
        chain.append(part)
    return chain


def _with_sides(text: str, start: int, end: int, found: list[Mention]) -> list[Mention]:
    """Give each side word of a sentence to the mention that it lies in, else to the nearest."""
    said: dict[int, set[str]] = {}
    for match in _SIDE.finditer(text, start, end):
        distances = [max(m.start - match.end(), match.start() - m.end, 0) for m in found]
        for index, distance in enumerate(distances):
            if distance == 0 or index == distances.index(min(distances)):
                said.setdefault(index, set()).add(_SIDE_WORDS.get(match.group(), match.group()))
    return [replace(mention, side=_side_of(said.get(index, set()))) for index, mention in enumerate(found)]


def _side_of(words: set[str]) -> str | None:
    if len(words) <= 1:
        return next(iter(words), None)
    return "both" if "one" not in words else "unclear"


def _polarity(text: str, start: int, end: int, mention: Mention) -> str:
    """Whether a mention is affirmed or denied by its own clause from `start` to `end`."""
    negators = list(_NEGATOR.finditer(text, start, mention.end))
    rest = text[mention.end : end]
    if len(negators) > 1 or _NEGATOR.search(_AND.split(rest)[0]) or _HEDGE.search(text, start, end):
        return "unclear"
    if not negators:
        return "present"
    # "no smile and raised brows" may deny the brows or not
    return "unclear" if _AND.search(text, negators[0].end(), mention.end) else "absent"
