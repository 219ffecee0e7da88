"""What the network is given: clips with their motion and the words said about them.

Shape letters: B = clips, T = frames of a clip, S = side of a frame in pixels, G = side of the motion grid, L = text
tokens, E = width of a text feature.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClipBatch:
    """Clips as tensors on one device. A clip without a text has `has_text_B` false and zeros for its tokens."""

    frames_BTSS3: Tensor
    """uint8, RGB."""

    motion_BTGG: Tensor
    """float32, 0..1: how much each patch moves towards the next frame."""

    is_motion_known_BT: Tensor
    """bool: false where the next frame lies beyond a gap, a cut or the end."""

    is_padding_BT: Tensor
    """bool: true where the clip had fewer frames and the last one repeats."""

    text_BLE: Tensor
    """float32: features of a frozen text tower, token by token; zeros where padded."""

    is_word_BL: Tensor
    """bool: tokens of words that carry meaning; not the special ones, padding, punctuation or stop words."""

    has_text_B: Tensor
    """bool: false where the network must do without."""

    def to(self, device: torch.device | str) -> ClipBatch:
        """The same on another device."""
        moved = {field.name: getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)}
        return ClipBatch(**moved)

    def __len__(self) -> int:
        return len(self.frames_BTSS3)
