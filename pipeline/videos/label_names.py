"""The names of emotions, and what their numbers mean where: one registry, so that `Happy`, `1` of DFEW and `joy` are
one class.

Numbers mean nothing without their source: Happy is 1 in DFEW's lists, 0 in those of DFER-CLIP, 3 in those of S2D and
of MAE-DFER for MAFW. Every order that is in circulation stands here with its source, and `orders_that_fit` tells by
the numbers of clips which one a list was written in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

DFEW_LABELS = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
"""What 1 to 7 mean in DFEW's lists.

Source: the README of DFEW (Jiang et al. 2020, github.com/jiangxingxun/DFEW)."""

MAFW_LABELS = (
    *("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise", "contempt", "anxiety"),
    *("helplessness", "disappointment"),
)
"""The columns of MAFW's annotation.xlsx, and what 1 to 11 mean in its single-set.xlsx and multi-set.xlsx.

Source: the set's files as described by its users; the same order in MAE-DFER, HiCMAE, EmoCLIP and UMBEnet."""

_SPELLINGS = {
    "happiness": ("happy", "joy", "hap"),
    "sadness": ("sad",),
    "neutral": ("neu", "neutrality"),
    "anger": ("angry", "ang"),
    "surprise": ("surprised", "sur"),
    "disgust": ("disgusted", "dis"),
    "fear": ("fearful", "afraid", "fea"),
    "contempt": ("contemptuous",),
    "anxiety": ("anxious",),
    "helplessness": ("helpless",),
    "disappointment": ("disappointed",),
    "worry": ("worried",),
    "calm": (),
}

_NAMES = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in (name, *spellings)}


def label_name(word: str) -> str:
    """Our name of an emotion, however its source spells it; a word that is not known stays as it is."""
    return _NAMES.get(word.strip().lower(), word.strip())


def compound_name(words: str, labels: tuple[str, ...]) -> str | None:
    """Our name of a compound expression such as `anger_disgust`: its parts in the order of `labels`, joined by `_`.

    None if a part is no label of the set, or is there twice. One part alone is its own name.
    """
    parts = [label_name(word) for word in words.strip().split("_")]
    if len(set(parts)) < len(parts) or not set(parts) <= set(labels):
        return None
    return "_".join(sorted(parts, key=labels.index))


@dataclass(frozen=True, slots=True)
class LabelOrder:
    """What the numbers mean in the lists of one source for one data set."""

    dataset: str
    name: str
    """Of the source: `official` is the set's own."""
    labels: tuple[str, ...]
    """Our names, from `first` on."""
    first: int
    """The number of the first label: 0 or 1."""
    source: str
    """Where it is written down."""

    def label(self, number: str) -> str | None:
        """The label of a number as it is written; None if it is no number of this order."""
        at = int(number) - self.first if number.isascii() and number.isdigit() and len(number) < 4 else -1
        return self.labels[at] if 0 <= at < len(self.labels) else None


_MAFW_BY_DFER_CLIP = (*DFEW_LABELS, "contempt", "anxiety", "helplessness", "disappointment")

LABEL_ORDERS: tuple[LabelOrder, ...] = (
    LabelOrder("dfew", "official", DFEW_LABELS, 1, "README of the set; S2D's lists for DFEW are these"),
    LabelOrder("dfew", "dfer-clip", DFEW_LABELS, 0, "annotation/DFEW_set_*.txt of DFER-CLIP and of Former-DFER"),
    LabelOrder("dfew", "mae-dfer", DFEW_LABELS, 0, "preprocess/dfew.py of MAE-DFER; SVFAP, HiCMAE"),
    LabelOrder("ferv39k", "dfer-clip", DFEW_LABELS, 0, "annotation/FERV39K_*.txt of DFER-CLIP and of Former-DFER"),
    LabelOrder("ferv39k", "mae-dfer", DFEW_LABELS, 0, "preprocess/ferv39k.py of MAE-DFER; SVFAP"),
    LabelOrder("ferv39k", "s2d", tuple(sorted(DFEW_LABELS)), 0, "data/FERV39K/Annotation/label_index.txt of S2D"),
    LabelOrder("mafw", "official", MAFW_LABELS, 1, "single-set.xlsx of the set"),
    LabelOrder("mafw", "mae-dfer", MAFW_LABELS, 0, "preprocess/mafw.py of MAE-DFER; HiCMAE, SVFAP, EmoCLIP, UMBEnet"),
    LabelOrder("mafw", "dfer-clip", _MAFW_BY_DFER_CLIP, 0, "annotation/preprocessing.py of DFER-CLIP"),
    LabelOrder("mafw", "s2d", tuple(sorted(MAFW_LABELS)), 0, "data/MAFW/anno/single/no_caption/id_to_calss.txt of S2D"),
    LabelOrder("afew", "former-dfer", DFEW_LABELS, 0, "annotation/AFEW_*.txt of Former-DFER"),
)
"""The orders in circulation. FERV39k and AFEW write names and no numbers, so that they have none of their own."""


def label_order(dataset: str, name: str) -> LabelOrder:
    """The order of a source for a data set.

    Raises:
        ValueError: no such order; the message lists those of the set.
    """
    known = [order for order in LABEL_ORDERS if order.dataset == dataset]
    for order in known:
        if order.name == name:
            return order
    raise ValueError(
        f"no order of labels {name!r} for {dataset}; known: {', '.join(one.name for one in known) or 'none'}"
    )


def misplaced(order: LabelOrder, numbers: Mapping[str, int], published: Mapping[str, int]) -> float:
    """The share of clips that are too many in their class, or lack there, beside the published numbers of clips.

    `numbers` counts the clips of a list by the number that stands for their label, `published` by our name. 0 where
    every class has as many clips as it was published with, 1 where no clip fits.
    """
    found: Counter[str] = Counter()
    for number, count in numbers.items():
        found[order.label(number) or ""] += count
    fits = sum(min(count, published.get(label, 0)) for label, count in found.items())
    most = max(found.total(), sum(published.values()))
    return 1 - fits / most if most else 1.0


def orders_that_fit(
    dataset: str, numbers: Mapping[str, int], published: Mapping[str, int], *, tolerance: float = 0.01
) -> list[LabelOrder]:
    """The orders under which the published numbers of clips come out; orders that are equal are given both.

    Lists in circulation lack a clip or two of those that were published, hence the tolerance, a share of the clips.
    """
    return [
        order
        for order in LABEL_ORDERS
        if order.dataset == dataset and misplaced(order, numbers, published) <= tolerance
    ]
