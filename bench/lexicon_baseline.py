"""Judge a sentence as a lexicon does: phrases found as substrings, one peak frame, one threshold for every action.

After the evaluation of MER-Factory (tools/evaluate/metrics_au.py), whose manner this follows with a list of its own: a
phrase counts wherever its letters stand, denied or not; a sentence without a phrase, and a measure that is missing,
count as 0, the same as total disagreement.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.descriptions.judging import CONTRADICTED, SUPPORTED
from schemas.actions import FACIAL_ACTIONS

THRESHOLDS = (0.16, 0.8)
"""Theirs is 0.8 of OpenFace's scale to 5, which is 0.16 of the whole movement; and 0.8 of the whole."""

PHRASES: dict[str, tuple[str, ...]] = {
    "inner_brow_raise": ("inner brow", "inner eyebrow"),
    "outer_brow_raise": ("outer brow", "raised eyebrow", "raising the brows", "brows rise"),
    "brow_lower": ("brows lower", "brow lower", "lowering the brow", "furrow"),
    "eye_widen": ("widen", "wide eyes", "upper lid"),
    "eye_narrow": ("narrow", "squint"),
    "eye_close": ("eyes close", "eye close", "closing the eye", "closed eyes", "blink"),
    "cheek_raise": ("cheek",),
    "nose_wrinkle": ("wrinkle", "wrinkling"),
    "upper_lip_raise": ("upper lip",),
    "lip_corner_raise": ("smil", "lip corners rise", "lip corner rise", "raising the lip corner"),
    "lip_corner_dimple": ("dimple", "lip corners tighten", "lip corner tighten", "tightening the lip corner"),
    "lip_corner_lower": ("frown", "lip corners lower", "lip corner lower", "lowering the lip corner"),
    "lower_lip_drop": ("lower lip",),
    "chin_raise": ("chin",),
    "lip_pucker": ("pucker",),
    "lip_stretch": ("stretch",),
    "lip_funnel": ("funnel",),
    "lip_press": ("press",),
    "jaw_drop": ("jaw", "mouth open", "open mouth"),
    "lip_suck": ("inward", "lips roll"),
}


def peak_scores(measures: NDArray[np.float64]) -> dict[str, float]:
    """The score of each action, the stronger side, in the one frame in which all of them together are highest.

    measures [T, A, 2] as ACTIONS has them; what is missing is 0.
    """
    scores = np.nan_to_num(measures, nan=0.0).max(axis=2)
    return dict(zip(FACIAL_ACTIONS, scores[int(np.maximum(scores, 0.0).sum(axis=1).argmax())].tolist(), strict=True))


def lexicon_verdict(sentence: str, scores: dict[str, float], threshold: float) -> str:
    """Supported if every action whose phrase is in the sentence has its score; otherwise contradicted."""
    lowered = sentence.lower()
    said = [action for action, phrases in PHRASES.items() if any(phrase in lowered for phrase in phrases)]
    is_right = bool(said) and all(scores.get(action, 0.0) >= threshold for action in said)
    return SUPPORTED if is_right else CONTRADICTED
