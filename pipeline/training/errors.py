"""How a training can fail, without the modules that need torch: whoever only tells a person of it stays light."""

from __future__ import annotations


class RunError(Exception):
    """A run folder that cannot be used as it was asked for: which, why, and what to do."""


class CheckpointError(Exception):
    """A file of weights that cannot be used: which, what is wrong with it, and what to do."""


class DivergedError(Exception):
    """The loss or its gradient is no number any more: the message says when, and what to do."""


class TrainingInterruptedError(Exception):
    """The training was asked to stop, and its checkpoint is written: the message says where."""


class EvaluationError(Exception):
    """Finished runs, folds or arms that cannot be judged as it was asked for: which, why, and what to do."""
