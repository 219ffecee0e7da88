"""What each emotion looks like, in words: the texts that a clip is compared with to tell its class.

Written from the action units that go with each emotion (Ekman, Friesen & Hager 2002, FACS investigator's guide).
"""

from __future__ import annotations

from collections.abc import Sequence

CLASS_TEXTS = {
    "happiness": "the lip corners rise into a smile, the cheeks lift and the eyes narrow",
    "sadness": "the inner brows rise, the lip corners turn down and the chin pushes up",
    "neutral": "the face stays at rest, nothing in it moves",
    "anger": "the brows lower and draw together, the eyes narrow and the lips press together",
    "surprise": "the brows rise high, the eyes open wide and the jaw drops",
    "disgust": "the nose wrinkles, the upper lip lifts and the brows lower",
    "fear": "the brows rise and draw together, the eyes open wide and the mouth stretches sideways",
    "contempt": "one lip corner tightens and rises on one side of the face",
    "anxiety": "the inner brows rise and draw together, the lips press and the gaze wanders",
    "helplessness": "the inner brows rise, the eyes lower and the mouth hangs slightly open",
    "disappointment": "the brows lower slightly, the lip corners turn down and the gaze falls",
    "calm": "the face is relaxed, the brows and lips rest softly",
    "worry": "the brows draw together and rise in the middle, the lips press together",
}
"""By label. A label that is not here is described by its own name."""


def class_texts(labels: Sequence[str]) -> list[str]:
    """The text of each label."""
    return [CLASS_TEXTS.get(label, f"the face of a person who feels {label}") for label in labels]
