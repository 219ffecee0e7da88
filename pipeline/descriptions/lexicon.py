"""The phrases that the reader of descriptions knows, each with its kind, and what parts and verbs mean together.

A pattern lists spellings: `rais(e|es|ed|ing)` is four words, `(a |)little` two phrases; `;` parts patterns. Of the
phrases that fit at a place the longest one counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from schemas.actions import REGIONS

_BROW = "(brow|brows|eyebrow|eyebrows)"
_OF = "of (the|their|both|each|one) (left |right |)"
_TIME = "( of the track| of the clip| of the video|)"
_BE_MEASURED = "(clearly |)(measured|seen|told|judged|made out|known)"

_PARTS = {
    "inner_brows": f"inner (end|ends|corner|corners|part|parts) {_OF}{_BROW}; inner {_BROW}",
    "outer_brows": f"outer (end|ends|corner|corners|part|parts) {_OF}{_BROW}; outer {_BROW}",
    "brows": f"(inner and outer |){_BROW}",
    "forehead": "forehead",
    "lip_corners": "(lip|mouth|mouth's) corner(|s); corner(|s) of (the|their) (mouth|lips)",
    "eye_corners": f"(inner |outer |)corner(|s) {_OF}eye(|s); (inner |outer |)eye corner(|s)",
    "corners": "(inner |outer |)corner(|s)",  # of what is not said
    "upper_lids": "upper (eyelid|eyelids|lid|lids)",
    "lower_lids": "lower (eyelid|eyelids|lid|lids)",
    "lids": "eyelid(|s); lid(|s)",
    "eyes": "eye(|s)",
    "upper_lip": "upper lip(|s)",
    "lower_lip": "lower lip(|s)",
    "lips": "(upper and lower |)lip(|s)",
    "mouth": "mouth",
    "jaw": "(lower |)jaw",
    "chin": "chin",
    "nose": "nose",
    "cheeks": "cheek(|s)",
    "teeth": "(upper |lower |)teeth",
    "head": "head",
    "gaze": "gaze",
}

REGION_OF_PART = {
    **dict.fromkeys(("inner_brows", "outer_brows", "brows", "forehead"), "brows"),
    **dict.fromkeys(("eye_corners", "upper_lids", "lower_lids", "lids", "eyes"), "eyes"),
    **dict.fromkeys(("lip_corners", "corners", "upper_lip", "lower_lip", "lips", "mouth", "chin", "teeth"), "mouth"),
    **{region: region for region in ("jaw", "nose", "cheeks", "head", "gaze")},
}
"""The region of schemas.actions that a part of the face lies in."""

_VERBS = {
    "raise": "rais(e|es|ed|ing); ris(e|es|en|ing); rose; lift(|s|ed|ing); arch(|es|ed|ing)",
    "lower": "lower(|s|ed|ing); drop(|s|ped|ping); fall(|s|ing); sink(|s|ing); droop(|s|ed|ing)",
    "knit": "knit(|s|ted|ting); furrow(|s|ed|ing); wrinkl(e|es|ed|ing)",
    "widen": "widen(|s|ed|ing)",
    "open_wide": "open(|s|ed|ing) (very |quite |)(wide|widely); wide open",
    "narrow": "narrow(|s|ed|ing)",
    "close": "clos(e|es|ed|ing); shut(|s|ting)",
    "open": "open(|s|ed|ing); part(|s|ed|ing); (drop|drops|dropped|fall|falls|falling|dropping) open",
    "press": "press(|es|ed|ing)",
    "tighten": "tighten(|s|ed|ing)",
    "dimple": "dimpl(e|ed|ing)",
    "pucker": "pucker(|s|ed|ing); purs(e|es|ed|ing)",
    "stretch": "stretch(|es|ed|ing)",
    "funnel": "funnel(|s|ed|ing)",
    "round": "round(|s|ed|ing)",
    "bunch": "bunch(|es|ed|ing)",
    "suck": "suck(|s|ed|ing)",
    "bow": "bow(|s|ed|ing); dip(|s|ped|ping)",
    "nod": "nod(|s|ded|ding); shak(e|es|ing); shook",
    # The verbs below say their meaning together with a direction.
    "turn": "turn(|s|ed|ing); rotat(e|es|ed|ing)",
    "tilt": "tilt(|s|ed|ing); tip(|s|ped|ping)",
    "lean": "lean(|s|ed|ing)",
    "pull": "pull(|s|ed|ing); curl(|s|ed|ing); push(|es|ed|ing); roll(|s|ed|ing); draw(|s|n|ing); drew; "
    "tug(|s|ged|ging)",
    "move": "mov(e|es|ed|ing); shift(|s|ed|ing); (is|are|becomes|become) active",
}
_STAY = "(stay|stays|staying|remain|remains|remaining|keep|keeps|hold|holds|is|are)"
_BACK = "(fall|falls|falling|drop|drops|sink|sinks|lower|lowers|come|comes|go|goes|move|moves|turn|turns|turning)"

_PHRASES: dict[str, dict[str, str]] = {
    "part": _PARTS,
    "nobody": {"": "they; person; it"},  # takes a verb's subject away from the part before it
    "face": {"": "face"},
    "verb": _VERBS,
    "alone": {
        "lip_corner_raise": "smil(e|es|ed|ing); grin(|s|ned|ning)",
        "brow_lower lip_corner_lower": "frown(|s|ed|ing)",
        "lip_corner_dimple": "dimples",
        "eye_narrow": "squint(|s|ed|ing)",
        "eye_close": "blink(|s|ed|ing)",
        "eye_widen": "wide eyes",
        "upper_lip_raise lower_lip_drop": "bar(e|es|ed|ing) (the |their |)teeth; show(|s|ing) (the |their |)teeth",
    },
    "look": {"": "look(|s|ed|ing); glanc(e|es|ed|ing); gazes; gazing"},
    "motion": {"": "movement(|s); motion; activity; change(|s)"},
    "rest": {
        "": f"{_STAY} (quite |very |almost |nearly |completely |)(motionless|unchanged|at rest|near rest|close to rest|"
        "near its rest|at its rest); (at|near|close to) (its |their |)rest; motionless; unchanged; "
        "(stay|stays|staying|remain|remains|remaining|keep|keeps|hold|holds) (quite |very |almost |completely |)still"
    },
    "fade": {
        "": "eas(e|es|ed|ing); fad(e|es|ed|ing); settl(e|es|ed|ing); relax(|es|ing); subsid(e|es|ed|ing); "
        "disappear(|s|ed|ing); vanish(|es|ed|ing); stop(|s|ped|ping); releas(e|es|ed|ing); end(s|ed|ing); "
        f"weaken(|s|ed|ing); loosen(|s|ed|ing); (come|comes|coming) to rest; {_BACK} back( down|)( to rest|)",
        "return": "return(|s|ed|ing); (go|goes|going|come|comes|coming) away",
        "to_rest": "(return|returns|returned|returning) (back |)to (its |their |)rest",
    },
    "hold": {
        "long": "stay(|s|ed|ing); remain(|s|ed|ing); keep(|s|ing); kept; hold(|s|ing); held; continu(e|es|ed|ing); "
        "sustained",
        "": "last(s|ed|ing)",
    },
    "last": {"": "last"},  # "both last to the end", "last, the brows rise"
    "still": {"": "still"},  # "still raised", "the brows are still"
    "peak": {"": "peak(|s|ed|ing); (at|reach|reaches|reaching) (its|their) (height|peak|fullest); climax"},
    "direction": {
        "up": "up; upward(|s)",
        "down": "down; downward(|s)",
        "in": "in; inward(|s)",
        "aside": "sideways; outward(|s); apart; to the side; out",
        "forward": "forward(|s)",
        "back": "back; backward(|s)",
        "away": "away",
    },
    "together": {"": "together"},
    "side": {
        "left": "left(|-hand); person's left",
        "right": "right(|-hand); person's right",
        "both": "both; either; each",
        "one": "one",
        "unclear": "other; same",
    },
    "side_to": {
        **{
            side: f"(to|toward|towards) (the |their |its |the person's |)(own |){side}(-hand|)( side|); {side}ward(|s)"
            for side in ("left", "right")
        },
        "one": "(to|toward|towards) one side",
        "both": "(to|toward|towards) (both sides|either side|each side)",
        "unclear": "(to|toward|towards) the (other|same) side",
    },
    "side_on": {
        **{
            side: f"(on|at) (the |their |its |the person's )(own |){side}(-hand|)( side|)" for side in ("left", "right")
        },
        "one": "(on|at) one side",
        "both": "(on|at) (both sides|either side|each side)",
        "unclear": "(on|at) the (other|same) side",
    },
    "intensity": {
        "slight": "slight(|ly); a (little|bit|little bit); somewhat; subtl(e|y); faint(|ly); gentl(e|y); soft(|ly); "
        "mild(|ly); light(|ly); weak(|ly); small; (a |the |)(hint|trace|touch) of; "
        "(no more than|at most) (slightly|slight|a little|a bit)",
        "moderate": "clear(|ly); noticeabl(e|y); moderate(|ly); visibly; distinct(|ly)",
        "strong": "strong(|ly); marked(|ly); broad(|ly); wide(|ly); full(|y); firm(|ly); tight(|ly); pronounced; "
        "intense(|ly); deep(|ly); heav(y|ily); complete(|ly)",
        "unclear": "more; most; less; least; stronger; strongest; weaker; much; enough; far; "
        "(more|less|other) than (slightly|slight|a little|a bit|clearly|moderately|strongly)",
    },
    "manner": {
        "brief": "brief(|ly); (for |)(a|an|one|just a|only a) (brief |short |)(moment|instant); momentar(y|ily); "
        "for a (short|little) (time|while); not for long",
        "brief fades": "quickly back",
        "long": "throughout( the| the whole| the entire|)( track| clip| video|); "
        "all (the while|along|the time|through); "
        "for (long|a while|a long while|a long time|some time|most of the time|most of the track|most of the clip); "
        "long; (for |during |)the (whole|entire) (time|track|clip|video)",
        "sudden": "sudden(|ly); quick(|ly); sharp(|ly); abrupt(|ly); rapid(|ly); swift(|ly); all of a sudden",
        "slow": "slow(|ly); gradual(|ly); (little by little|bit by bit)",
        "again": "again; once (more|again); repeated(|ly); twice; (several|many|a few) times; again and again; "
        "one more time; time and again; over and over( again|)",
        "from_start": f"(right |)from the (very |)(start|beginning){_TIME}( on|); already; "
        f"already (at|from) the (very |)(start|beginning){_TIME}",
        "from_start to_end": "from (start|beginning) to end; from the (start|beginning) to the end",
        "to_end": f"(right |)(to|till|until|up to|through to|past|beyond) the (very |)end{_TIME}; (stay|stays|remain|"
        "remains|staying|remaining) so; for the rest of (the time|the track|the clip|the video|it)",
        "early": f"at first; initial(|ly); (in|near) the beginning{_TIME}; near the (very |)start{_TIME}; early( on|); "
        "(start|starts|starting|begin|begins|beginning) with",
        "at_start": f"(right |)at the (very |)(start|beginning){_TIME}; right (in|near) the (very |)(start|beginning)"
        f"{_TIME}; in the very beginning{_TIME}; (as|when) the (track|clip|video|recording) (starts|begins)",
        "before_end": f"before the (very |)end{_TIME}",
        "late": f"final(|ly); lastly; eventual(|ly); at last; (by|near|in|toward|towards) the (very |)end{_TIME}; "
        "late; (end|ends|ending) with",
        "at_end": f"(right |)at the (very |)end{_TIME}; right (by|near|in|toward|towards) the (very |)end{_TIME}; "
        "(as|when) the (track|clip|video|recording) ends",
        "unclear": "soon; (each|one|every|this|the first|the last) time; (at|from) (one|some) point( on|); longer; "
        "first half; "
        "from time to time; times; in between; as before; in turn",
    },
    "not": {
        "": "no; not; never; none; nothing; absent; absence of; (lack|lacks|lacking)( of|); cannot; can not; "
        "not at all; not even( slightly| a little| faintly|); (no|not a) (hint|trace|sign|touch) of; "
        "(do|does|did|is|are|was|were|ca|could|would|has|have|wo)n't",
        "neither": "neither",
    },
    "not_open": {"": "without( a hint of| a trace of| any sign of| any|); instead of; rather than"},
    "hedge": {
        "": "barely; hardly; scarcely; almost; nearly; about to; seem(|s|ed|ing)( to|); appear(|s|ed|ing) to; may; "
        "might; could; would; perhaps; maybe; (try|tries|trying) to; (a |any |)sign(|s) of; than; little; no longer; "
        "not (only|just|merely|yet|quite|until|before); only just; partly; half; rest of; else"
    },
    "hedge_open": {"": "as (if|though); like; if"},
    "hidden": {
        "": f"(cannot|can not|can't|could not|couldn't) be {_BE_MEASURED}; (not|never) (be |){_BE_MEASURED}; "
        "not (visible|measurable|in view|in sight); not be (visible|measurable); hidden; covered; out of (sight|view); "
        "unmeasured; unseen; blurred; unclear; unknown; turned (too far |)away; turned too far; seen from the side; "
        "from the side; too small; too blurred; "
        "too little of (it|the face) is (visible|sharp|seen|measured|measurable|clear); "
        "nothing (can be|is) (said|measured|seen|told|known)( of| about| for|)",
    },
    "question": {"": "whether; what; how; which; why"},
    "and": {"and": "and; as well as", "or": "or", "nor": "nor"},
    "clause": {  # opens a clause, and says when it is beside the other one
        "before": "(just |shortly |right |long |soon |well |)before; until; till",
        "after": "(just |right |soon |shortly |long |well |)after; once; as soon as; preceded by; following",
        "then": "followed by; leading to",
        "together": "(just |)as; while; during; (together|along) with; at the same time as; accompanied by",
        "with": "with",
        "unclear": "when; since; by the time; as (far|long) as",
        "": "but; whereas; though; although; where; yet",
        "because": "because( of|)",
    },
    "adverb": {  # says when its clause is, beside what was told before
        "then": "then; next; later( on|); afterward(|s); after (that|this|which); after a (moment|while|little while); "
        "thereafter; a (moment|little|bit|while|little while) (later|after); before long; follows; follow; right then; "
        "(right|soon|shortly) (after that|after this|afterwards)",
        "before": "before (that|this); earlier",
        "together": "(meanwhile|in the meantime); (all |)at the same (time|moment); simultaneous(|ly); "
        "(all |)at once; all together",
        "first": "first; first of all",
    },
    "only": {"": "only; alone; just"},
    "determiner": {
        "": "the; their; its; a; an; any; some; this; that; these; those; own; whole; person's; another; all"
    },
    "preposition": {
        "": "on; of; around; at; near; across; over; below; above; under; between; beside; about; next to; into"
    },
    "filler": {
        "": "side(|s); is; are; was; were; be; been; being; has; have; had; having; do; does; did; doing; can; will; "
        "to; "
        "toward(|s); by; from; for; within; off; also; too; very; quite; rather; so; even; there; them; themselves; "
        "itself; who; whose; each other; one another; against; as well; become(|s); becoming; come(|s); coming; "
        "go(|es); "
        "going; get(|s); getting; begin(|s); beginning; start(|s); starting; appear(|s|ing); form(|s|ing); "
        "show(|s|n|ing); "
        "seen; visible; build(|s); grow(|s|ing); reach(|es|ing); bring(|s|ing); give(|s); let(|s); track; clip; "
        "video; "
        "recording; (during|in|over|within) (the|this) (track|clip|video); region; area; time; moment; something; "
        "facial; action(|s); degree; extent; intensity; force; strength; measured; told; way; position; "
        "develop(|s|ing); emerg(e|es|ing); occur(|s|ring); to rest; from rest; beyond (it|rest); present; end"
    },
}


@dataclass(frozen=True)
class Phrase:
    """What some words stand for: a kind, and which of that kind."""

    kind: str
    name: str


def spellings(pattern: str) -> list[str]:
    """Every phrase that a pattern lists."""
    # Between brackets are alternatives, outside of them plain text, which holds no bar.
    pieces = [piece.split("|") for piece in re.split(r"[()]", pattern)]
    return [" ".join("".join(chosen).split()) for chosen in product(*pieces)]


def _phrases() -> dict[tuple[str, ...], Phrase]:
    known: dict[tuple[str, ...], Phrase] = {}
    for kind, names in _PHRASES.items():
        for name, patterns in names.items():
            phrase = Phrase(kind, name)
            for spelling in (told for pattern in patterns.split(";") for told in spellings(pattern.strip())):
                if known.setdefault(tuple(spelling.split()), phrase) != phrase:
                    raise ValueError(f"lexicon: {spelling!r} is listed as {kind} and as another kind: keep it in one")
    return known


def _longest(phrases: Iterable[tuple[str, ...]]) -> dict[str, int]:
    longest: dict[str, int] = {}
    for words in phrases:
        longest[words[0]] = max(longest.get(words[0], 0), len(words))
    return longest


PHRASES = _phrases()
"""Every phrase, by its words."""

LONGEST = _longest(PHRASES)
"""How many words the longest phrase that begins with a word has."""

WORDS = frozenset(word for words in PHRASES for word in words)
"""Every word that is part of a phrase."""


# --- what parts and verbs mean together

_BOTH_BROWS = ("inner_brow_raise", "outer_brow_raise")
_LIPS_APART = ("jaw_drop", "lower_lip_drop", "upper_lip_raise")
_HEAD = ("head_turn", "head_tilt", "head_raise", "head_lower")
_GAZE = ("gaze_turn", "gaze_raise", "gaze_lower")

MEANS: dict[tuple[str, str], tuple[str, ...]] = {
    **{
        (part, "move"): (f"{region}_move",) for part, region in REGION_OF_PART.items() if region in REGIONS
    },  # which of the region's actions it is, is not said
    ("inner_brows", "raise"): ("inner_brow_raise",),
    ("outer_brows", "raise"): ("outer_brow_raise",),
    ("brows", "raise"): _BOTH_BROWS,
    ("brows", "lower"): ("brow_lower",),
    ("inner_brows", "lower"): ("brow_lower",),
    ("brows", "knit"): ("brow_lower",),
    ("inner_brows", "knit"): ("brow_lower",),
    ("brows", "inward"): ("brow_lower",),
    ("inner_brows", "inward"): ("brow_lower",),
    ("brows", "together"): ("brow_lower",),
    ("inner_brows", "together"): ("brow_lower",),
    ("eyes", "widen"): ("eye_widen",),
    ("lids", "widen"): ("eye_widen",),
    ("eyes", "open_wide"): ("eye_widen",),
    ("lids", "open_wide"): ("eye_widen",),
    ("upper_lids", "raise"): ("eye_widen",),
    ("lids", "raise"): ("eye_widen",),
    ("eyes", "narrow"): ("eye_narrow",),
    ("lids", "narrow"): ("eye_narrow",),
    ("lids", "tighten"): ("eye_narrow",),
    ("lids", "lower"): ("eye_close", "eye_narrow"),
    ("upper_lids", "lower"): ("eye_close", "eye_narrow"),
    ("lower_lids", "tighten"): ("eye_narrow",),
    ("lower_lids", "raise"): ("eye_narrow",),
    ("eyes", "tighten"): ("eye_narrow",),
    ("eyes", "close"): ("eye_close",),
    ("lids", "close"): ("eye_close",),
    ("cheeks", "raise"): ("cheek_raise",),
    ("cheeks", "bunch"): ("cheek_raise",),
    ("cheeks", "dimple"): ("lip_corner_dimple",),
    ("nose", "knit"): ("nose_wrinkle",),
    ("upper_lip", "raise"): ("upper_lip_raise",),
    ("lip_corners", "raise"): ("lip_corner_raise",),
    ("lip_corners", "tighten"): ("lip_corner_dimple",),
    ("lip_corners", "dimple"): ("lip_corner_dimple",),
    ("lip_corners", "inward"): ("lip_corner_dimple",),
    ("lip_corners", "lower"): ("lip_corner_lower",),
    ("lip_corners", "back"): ("lip_stretch", "lip_corner_raise", "lip_corner_dimple"),
    ("lip_corners", "aside"): ("lip_stretch",),
    ("lip_corners", "stretch"): ("lip_stretch",),
    ("lower_lip", "lower"): ("lower_lip_drop",),
    ("chin", "raise"): ("chin_raise", "head_raise"),
    ("chin", "pull_raise"): ("chin_raise",),
    ("chin", "bunch"): ("chin_raise",),
    ("lips", "pucker"): ("lip_pucker",),
    ("mouth", "pucker"): ("lip_pucker",),
    ("lips", "stretch"): ("lip_stretch",),
    ("mouth", "stretch"): ("lip_stretch",),
    ("lips", "aside"): ("lip_stretch",),
    ("mouth", "aside"): ("lip_stretch",),
    ("mouth", "widen"): ("lip_stretch", "lip_corner_raise"),
    ("lips", "funnel"): ("lip_funnel",),
    ("mouth", "funnel"): ("lip_funnel",),
    ("lips", "forward"): ("lip_funnel", "lip_pucker"),
    ("lips", "round"): ("lip_funnel", "lip_pucker"),
    ("mouth", "round"): ("lip_funnel", "lip_pucker"),
    ("lips", "press"): ("lip_press",),
    ("lips", "tighten"): ("lip_press",),
    ("lips", "together"): ("lip_press",),
    ("lips", "inward"): ("lip_suck",),
    ("lips", "suck"): ("lip_suck",),
    ("lips", "open"): _LIPS_APART,
    ("lips", "open_wide"): _LIPS_APART,
    **{("mouth", f"{verb}_raise"): ("lip_corner_raise",) for verb in ("pull", "turn")},
    **{("mouth", f"{verb}_lower"): ("lip_corner_lower",) for verb in ("pull", "turn")},
    ("mouth", "open"): ("jaw_drop",),
    ("mouth", "open_wide"): ("jaw_drop",),
    ("jaw", "lower"): ("jaw_drop",),
    ("jaw", "open"): ("jaw_drop",),
    ("jaw", "open_wide"): ("jaw_drop",),
    ("head", "turn"): ("head_turn",),
    ("head", "tilt"): ("head_tilt",),
    ("head", "lean_aside"): ("head_tilt",),
    ("head", "raise"): ("head_raise",),
    ("head", "lower"): ("head_lower",),
    ("head", "bow"): ("head_lower",),
    ("head", "tilt_back"): ("head_raise",),
    ("head", "tilt_forward"): ("head_lower",),
    ("head", "move"): _HEAD,
    ("head", "move_aside"): ("head_turn", "head_tilt"),
    ("gaze", "turn"): ("gaze_turn",),
    ("gaze", "move"): _GAZE,
    ("gaze", "move_aside"): ("gaze_turn",),
    ("gaze", "raise"): ("gaze_raise",),
    ("gaze", "lower"): ("gaze_lower",),
    ("eyes", "raise"): ("gaze_raise",),
    ("eyes", "lower"): ("gaze_lower",),
    ("eyes", "turn_aside"): ("gaze_turn",),
    ("eyes", "move_aside"): ("gaze_turn",),
}
"""The actions that a part and a verb may mean together; a pair that is missing means none."""

UNDOES: dict[tuple[str, str], tuple[str, ...]] = {
    ("eyes", "open"): ("eye_close",),
    ("lids", "open"): ("eye_close",),
    ("mouth", "close"): ("jaw_drop",),
    ("jaw", "close"): ("jaw_drop",),
    ("jaw", "raise"): ("jaw_drop",),
    ("lips", "close"): _LIPS_APART,
    # These may as well be actions themselves.
    ("brows", "lower"): _BOTH_BROWS,
    ("inner_brows", "lower"): ("inner_brow_raise",),
    ("outer_brows", "lower"): ("outer_brow_raise",),
    ("brows", "raise"): ("brow_lower",),
    ("cheeks", "lower"): ("cheek_raise",),
    ("upper_lip", "lower"): ("upper_lip_raise",),
    ("lower_lip", "raise"): ("lower_lip_drop",),
    ("lip_corners", "lower"): ("lip_corner_raise",),
    ("lip_corners", "raise"): ("lip_corner_lower",),
    ("head", "lower"): ("head_raise",),
    ("head", "raise"): ("head_lower",),
}
"""The actions that a part and a verb bring to an end, as "the mouth closes" does after the mouth was said to open."""
