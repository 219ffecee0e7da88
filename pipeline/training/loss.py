"""What is made small: logit-adjusted cross-entropy, the price of transport, and contrast of clips with their texts.

Shape letters: B = clips of this rank, G = clips of the global batch, K = classes, D = width of an embedding.

Every term is the sum over this rank's clips divided by the number of clips of the *global* batch. So the sum over the
ranks of their losses, and of their gradients, is exactly the loss and gradient of one process that has the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from pipeline.model.network import Readout
from pipeline.training.config import LossConfig

NO_TEXT = -1
"""Key of a clip that has no text."""

MAX_SCALE = 100.0
"""Largest scale of the contrast's cosines, as in CLIP (Radford et al. 2021)."""


@dataclass(frozen=True)
class Losses:
    """The terms of one step, each this rank's share of the mean over the global batch."""

    total: Tensor
    classes: Tensor
    transport: Tensor
    contrast: Tensor

    def figures(self) -> dict[str, Tensor]:
        """For the log."""
        named = {"loss": self.total, "loss_classes": self.classes}
        return named | {"loss_transport": self.transport, "loss_contrast": self.contrast}


class Objective(nn.Module):
    """The loss of a config. Its one parameter, the contrast's scale, is there only where the config learns it."""

    adjustment_K: Tensor

    def __init__(self, config: LossConfig, prior_K: Tensor) -> None:
        super().__init__()
        self._config = config
        adjustment_K = config.logit_adjustment * prior_K.double().log()
        self.register_buffer("adjustment_K", adjustment_K.float(), persistent=False)
        scale = torch.tensor(math.log(1 / config.contrast_temperature))
        if config.learns_temperature:
            self.log_scale = nn.Parameter(scale)
        else:
            self.register_buffer("log_scale", scale, persistent=False)

    def forward(self, readout: Readout, target_BK: Tensor, text_key_B: Tensor, global_count: int) -> Losses:
        """The loss of this rank's clips. Every rank of the group must call it for every step, also without a clip."""
        config = self._config
        with torch.autocast(target_BK.device.type, enabled=False):
            logits_BK = readout.logits_BK.float()
            classes = cross_entropy(logits_BK + self.adjustment_K, target_BK).sum() / global_count
            transport = readout.transport_B.float().sum() / global_count
            contrast = classes.new_zeros(())
            if config.contrast_weight:
                scale = self.log_scale.exp().clamp(max=MAX_SCALE)
                contrast = contrast_sum(
                    readout.clip_BD.float(), readout.caption_BD.float(), text_key_B, scale, global_count
                )
                contrast = contrast / global_count
            total = classes + config.transport_weight * transport + config.contrast_weight * contrast
        return Losses(total, classes, transport, contrast)


def cross_entropy(logits_BK: Tensor, target_BK: Tensor) -> Tensor:
    """Cross-entropy [B] against distributions over the classes; a class that is not in the target costs nothing."""
    log_probability_BK = functional.log_softmax(logits_BK, dim=-1)
    return -torch.where(target_BK > 0, target_BK * log_probability_BK, 0).sum(-1)


def prior_of(target_NK: Tensor) -> Tensor:
    """Share [K] of each class among the clips that one epoch draws; a class without one counts as if it had one.

    Source of the adjustment by the prior: Menon et al. 2021, "Long-tail learning via logit adjustment".
    """
    counts_K = target_NK.double().sum(0).clamp(min=1)
    return counts_K / counts_K.sum()


def contrast_sum(
    clip_BD: Tensor, caption_BD: Tensor, text_key_B: Tensor, scale: Tensor, global_count: int | None = None
) -> Tensor:
    """InfoNCE, summed over this rank's clips with a text: each has to find its caption, and its caption the clip.

    Candidates are all clips of the global batch. Clips with the same text (the same key) are no negatives of each
    other, because the text fits both. Both embeddings have length 1; `scale` multiplies their cosine.
    """
    # Both in one piece: with two, the ranks could disagree about whose gradient is summed first.
    both, offset = gather_rows(torch.cat([clip_BD, caption_BD], dim=1), global_count)
    every_clip, every_caption = both.chunk(2, dim=1)
    every_key, _ = gather_rows(text_key_B, global_count, padding=NO_TEXT)
    own = torch.arange(len(clip_BD), device=clip_BD.device)
    is_same_BG = text_key_B[:, None] == every_key[None, :]
    is_self_BG = torch.zeros_like(is_same_BG)
    is_self_BG[own, own + offset] = True
    is_candidate_BG = (every_key != NO_TEXT)[None, :] & (~is_same_BG | is_self_BG)
    has_text_B = text_key_B != NO_TEXT
    total = both.sum() * 0  # joins every rank's graph, also where it has no clip
    for query_BD, every in ((clip_BD, every_caption), (caption_BD, every_clip)):
        cosine_BG = scale * query_BD @ every.T
        # A row without a text has no candidate: it keeps its cosines, so that no -inf enters, and is not counted.
        logits_BG = cosine_BG.masked_fill(~is_candidate_BG & has_text_B[:, None], -torch.inf)
        cost_B = (
            torch.logsumexp(logits_BG, dim=-1) - cosine_BG[own, own + offset] if len(query_BD) else total.new_zeros(0)
        )
        total = total + torch.where(has_text_B, cost_B, 0).sum() / 2
    return total


def gather_rows(rows_B: Tensor, global_count: int | None, padding: int = 0) -> tuple[Tensor, int]:
    """The rows of all ranks, and where this rank's begin among them; the gradient goes back to whose rows they are.

    With one process these are its own. Else each rank's rows are padded to the largest share that one may have.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows_B, 0
    if global_count is None:
        raise ValueError("with several processes the size of the global batch must be given")
    share = -(-global_count // dist.get_world_size())
    missing = share - len(rows_B)
    padded = torch.cat([rows_B, rows_B.new_full((missing, *rows_B.shape[1:]), padding)])
    offset = share * dist.get_rank()
    if not rows_B.is_floating_point():
        return _all_gather(padded), offset
    gathered: Tensor = _Gather.apply(padded)  # type: ignore[no-untyped-call]
    return gathered, offset


def _all_gather(rows: Tensor) -> Tensor:
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    """Rows of all ranks; backwards, a rank's rows get the gradients that all ranks have for them."""

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor) -> Tensor:
        return _all_gather(rows)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        share = len(total) // dist.get_world_size()
        return total[share * dist.get_rank() :][:share]


def one_hot(labels: Sequence[str], known: Sequence[str]) -> Tensor:
    """Targets [N, K] of named labels."""
    places = torch.tensor([known.index(label) for label in labels], dtype=torch.long)
    return functional.one_hot(places, len(known)).float()
