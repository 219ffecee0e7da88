"""Every parser that sees bytes of others: one entry each."""

from __future__ import annotations

from tests.fuzz import (
    annotation_targets,
    corpus_targets,
    language_targets,
    media_targets,
    review_targets,
    training_targets,
)
from tests.fuzz.law import Target

TARGETS: tuple[Target, ...] = (
    *annotation_targets.TARGETS,
    *review_targets.TARGETS,
    *language_targets.TARGETS,
    *corpus_targets.TARGETS,
    *training_targets.TARGETS,
    *media_targets.TARGETS,
)

BY_NAME = {target.name: target for target in TARGETS}
