"""Weigh patches by how they move: a gate that begins closed, and the visual marginal of the transport.

Shape letters: B = clips, T = frames, C = channels, G = 14, R = 7, N = T * R * R.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class MotionGate(nn.Module):
    """patches * (1 + tanh(g) * (2 * sigmoid(m) - 1)), m the motion as standard scores of its clip, g learnt from 0.

    At its first step the network is the one without motion. A frame of unknown motion keeps its patches as they are.
    Source of the residual form: Y. Li et al., TEA: Temporal Excitation and Aggregation, 2020.
    """

    def __init__(self) -> None:
        super().__init__()
        self.opening = nn.Parameter(torch.zeros(()))

    def forward(self, patches_BTCGG: Tensor, motion_BTGG: Tensor, is_known_BT: Tensor) -> Tensor:
        """The weighed patches, of the same shape."""
        known_BT11 = is_known_BT[:, :, None, None]
        count_B111 = (known_BT11.sum(1, keepdim=True) * motion_BTGG[0, 0].numel()).clamp(min=1)
        motion_BTGG = torch.where(known_BT11, motion_BTGG, 0.0)
        mean = motion_BTGG.sum((1, 2, 3), keepdim=True) / count_B111
        above = torch.where(known_BT11, motion_BTGG - mean, 0.0)
        spread = (above.square().sum((1, 2, 3), keepdim=True) / count_B111).sqrt() + 1e-3
        score_BTGG = above / spread
        weight_BTGG = 1.0 + torch.tanh(self.opening) * (2.0 * torch.sigmoid(score_BTGG) - 1.0)
        return patches_BTCGG * weight_BTGG[:, :, None].to(patches_BTCGG.dtype)


def visual_marginal(motion_BTGG: Tensor, is_known_BT: Tensor, is_seen_BT: Tensor, regions: int, floor: float) -> Tensor:
    """How much of the transport each region and moment may take, [B, N], each clip summing to 1.

    (1 - floor) by motion and `floor` evenly, over the frames that are no padding; a frame of unknown motion counts as
    one of mean motion, and a clip that does not move at all is even.
    """
    motion_BTRR = functional.adaptive_avg_pool2d(motion_BTGG, regions)
    known_BT11 = (is_known_BT & is_seen_BT)[:, :, None, None]
    seen_BT11 = is_seen_BT[:, :, None, None].expand_as(motion_BTRR)
    total = torch.where(known_BT11, motion_BTRR, 0.0).sum((1, 2, 3), keepdim=True)
    mean = total / (known_BT11.sum((1, 2, 3), keepdim=True) * regions**2).clamp(min=1)
    filled = torch.where(known_BT11, motion_BTRR, mean) * seen_BT11
    even = seen_BT11 / seen_BT11.sum((1, 2, 3), keepdim=True).clamp(min=1)
    whole = filled.sum((1, 2, 3), keepdim=True)
    by_motion = torch.where(whole > 0, filled / whole.clamp(min=1e-12), even)
    return ((1.0 - floor) * by_motion + floor * even).flatten(1)
