"""Change training clips by chance: mirrored, moved, zoomed, in other light; every frame of a clip in the same way.

The difference of two frames is the signal, so nothing may change from frame to frame. Motion weights move along.
Shape letters: B = clips, T = frames, S = side of a frame in pixels, G = side of the motion grid.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.training.chance import generator
from pipeline.training.config import AugmentConfig


@dataclass(frozen=True)
class Change:
    """What becomes of each clip of a batch."""

    is_flipped_B: Tensor
    """bool."""

    zoom_B: Tensor
    """Factor on the face's size."""

    shift_B2: Tensor
    """Shift to the right and downwards, as part of the side."""

    brightness_B: Tensor
    contrast_B: Tensor
    saturation_B: Tensor
    """Factors; 1 leaves all as it is."""


def draw_changes(config: AugmentConfig, seed: int, epoch: int, clip_ids: Sequence[str]) -> Change:
    """The changes of these clips in this epoch, whoever draws them and whatever is beside them."""
    drawn_B7 = np.array([generator(seed, "augment", epoch, clip).uniform(size=7) for clip in clip_ids])
    drawn = torch.from_numpy(drawn_B7.reshape(len(clip_ids), 7)).float()
    around = 2 * drawn - 1
    return Change(
        is_flipped_B=drawn[:, 0] < config.flip,
        zoom_B=1 + config.zoom * around[:, 1],
        shift_B2=config.shift * around[:, 2:4],
        brightness_B=1 + config.brightness * around[:, 4],
        contrast_B=1 + config.contrast * around[:, 5],
        saturation_B=1 + config.saturation * around[:, 6],
    )


def change_clips(frames_BTSS3: Tensor, motion_BTGG: Tensor, change: Change) -> tuple[Tensor, Tensor]:
    """Frames (uint8) and motion weights after the change, on their device. What moves in from outside repeats the edge,
    and has no motion."""
    if not len(frames_BTSS3):
        return frames_BTSS3, motion_BTGG
    device = frames_BTSS3.device
    theta_B23 = _where_from(change).to(device)
    frames = frames_BTSS3.permute(0, 1, 4, 2, 3).contiguous().float()  # [B, T, 3, S, S]; moved as bytes, it is faster
    moved = _move(frames.flatten(1, 2), theta_B23, "border").view_as(frames)
    lit = _light(moved, change)
    changed = lit.round_().clamp_(0, 255).to(torch.uint8).permute(0, 1, 3, 4, 2).contiguous()
    return changed, _move(motion_BTGG, theta_B23, "zeros").clamp(0, 1)


def _where_from(change: Change) -> Tensor:
    """Affine maps [B, 2, 3] from a place in the new picture to one in the old, both -1..1."""
    size = 1 / change.zoom_B
    mirror = torch.where(change.is_flipped_B, -1.0, 1.0)
    nothing = torch.zeros_like(size)
    # new = mirror(zoom * old) + 2 * shift, solved for the old place
    across = torch.stack([mirror * size, nothing, -2 * mirror * size * change.shift_B2[:, 0]], dim=1)
    down = torch.stack([nothing, size, -2 * size * change.shift_B2[:, 1]], dim=1)
    return torch.stack([across, down], dim=1)


def _move(pictures_BCHW: Tensor, theta_B23: Tensor, padding: str) -> Tensor:
    grid = functional.affine_grid(theta_B23, [*pictures_BCHW.shape], align_corners=False)
    return functional.grid_sample(pictures_BCHW, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _light(frames_BT3SS: Tensor, change: Change) -> Tensor:
    """Brightness b, then contrast k about the clip's mean grey m, then saturation s, each of them linear in a pixel:

    s k b colour + (1 - s) k b grey + (1 - k) b m. Changes `frames_BT3SS` in place.
    """

    def factor(values_B: Tensor) -> Tensor:
        return values_B.to(frames_BT3SS.device)[:, None, None, None, None]

    red, green, blue = (frames_BT3SS[:, :, channel : channel + 1] for channel in range(3))
    grey = (0.299 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114)  # ITU-R BT.601
    mean = grey.mean(dim=(1, 2, 3, 4), keepdim=True)  # of the clip, not of the frame
    b, k, s = factor(change.brightness_B), factor(change.contrast_B), factor(change.saturation_B)
    return frames_BT3SS.mul_(s * k * b).add_(grey.mul_((1 - s) * k * b).add_((1 - k) * b * mean))


_SIDE = re.compile(r"\b(left|right)(?=(wards?)?\b)", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left"}

_TIME_AFTER = re.compile(
    r"\s+(after|afterwards|as|at|away|before|by|from|in|near|now|then|till|to|towards?|until|up|through)\b",
    re.IGNORECASE,
)
"""What follows a "right" that means "just": right after, right at the start."""

_SIDE_BEFORE = re.compile(
    r"(-|\b(the|its|their|his|her|person's|own|to|and|or|left|right|far|further|more|slightly|briefly|clearly|strongly|"
    r"(turn|tilt|look|lean|shift|move|glance|roll|nod|rotate|point|go|drift|swing|pull|gaze|glide)(s|es|ed|d|ing)?)\s+)\Z",
    re.IGNORECASE,
)
"""What stands before a side, whatever follows it: turns right at the start."""


def mirror_words(text: str) -> str:
    """The text of a mirrored clip: "left" and "right" change places where they are sides. Twice gives the same text."""

    def swapped(match: re.Match[str]) -> str:
        word = match[1]
        if _TIME_AFTER.match(text, match.end()) and not _SIDE_BEFORE.search(text[: match.start()]):
            return word
        other = _OTHER[word.lower()]
        return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other

    return _SIDE.sub(swapped, text)
