"""The names of emotions: one registry, so that `Happy`, `1` of DFEW and `joy` are one class.

Numbers mean nothing without their source: Happy is 1 in DFEW's lists, 0 in some peers', 3 in others'.
"""

from __future__ import annotations

DFEW_LABELS = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
"""What 1 to 7 mean in DFEW's lists.

Source: the README of DFEW (Jiang et al. 2020, github.com/jiangxingxun/DFEW)."""

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
