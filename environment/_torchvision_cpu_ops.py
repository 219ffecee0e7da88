"""Let `import torchvision` succeed where its compiled part does not load, as a CUDA build's does not on a CPU machine.

On import, torchvision gives two of its compiled operators a shape rule; without the compiled part there are no such
operators, and it fails. Here they are declared, just before that: all of torchvision that is Python works then, and a
call of a compiled operator raises. A build that fits the machine is left as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

OPERATORS = {
    "torchvision::nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "torchvision::qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


class BeforeShapeRules:
    """Finds no module itself: it only sees when torchvision is about to give its operators their shape rules."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Declare the operators if it is time and nobody has."""
        if name == "torchvision._meta_registrations":
            from torchvision.extension import _has_ops

            if not _has_ops():
                import torch

                for operator, signature in OPERATORS.items():
                    torch.library.define(operator, signature)


sys.meta_path.insert(0, BeforeShapeRules)  # loads nothing: this runs at the start of every Python of the environment
