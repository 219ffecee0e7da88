"""The whole network: towers, motion gate, temporal transformer, alignment of words with regions and moments, head.

After GRACE (Y. Liu et al. 2025), whose equations are not public: what is assumed is in `config.py`.
Shape letters: B = clips, T = 16 frames, S = side in pixels, G = 14, R = 7, N = T * R * R visual tokens (frame by frame,
then row by row), L = text tokens, E = width of text features, C = channels of the tower, D = width, K = classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.model.batch import ClipBatch
from pipeline.model.class_text import class_texts
from pipeline.model.config import ALIGNED_GRID, ModelConfig
from pipeline.model.gate import MotionGate, visual_marginal
from pipeline.model.text import TextFeatures, TextTower
from pipeline.model.towers import build_tower, pool_regions
from pipeline.model.transport import sinkhorn

NUM_FRAMES = 16


@dataclass(frozen=True)
class Readout:
    """What the network says of a batch."""

    logits_BK: Tensor
    """float32."""

    clip_BD: Tensor
    """What the frames alone say, length 1: no word is in it, so that it may be compared with the caption."""

    caption_BD: Tensor
    """The caption, length 1; zeros where there is none."""

    transport_B: Tensor
    """Cost of bringing the words to the regions and moments that they fit, <P, C>; 0 without a text or alignment."""

    plan_BLN: Tensor | None
    """How much of each word meets each region and moment; sums to 1 a clip, to 0 without a text."""

    figures: dict[str, Tensor]
    """Scalars for the log."""


class GraceNetwork(nn.Module):
    """Tells the class of a clip from its frames, its motion and, where there is one, its text."""

    def __init__(self, config: ModelConfig, class_text_KE: Tensor) -> None:
        super().__init__()
        text_width = class_text_KE.shape[1]
        self.config = config
        self.tower = build_tower(config)
        self.gate = MotionGate() if config.uses_motion else None
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, config.width))
        self.moments = nn.Parameter(0.02 * torch.randn(1, NUM_FRAMES, config.width))
        self.temporal = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.width, config.heads, 2 * config.width, config.dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.temporal_layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.drop = nn.Dropout(config.dropout)
        self.text = nn.Linear(text_width, config.width)
        # What the texts of all classes share (a face, that it moves) tells none of them from another.
        self.register_buffer("class_text_KE", functional.normalize(class_text_KE - class_text_KE.mean(0), dim=-1))
        self.log_scale = nn.Parameter(torch.tensor(1.0 / config.temperature).log())
        if config.caption == "global":
            self.caption = _Residual(config.width)
        if config.alignment != "none":
            self.region = nn.Linear(self.tower.channels, config.width)
            self.places = nn.Parameter(0.02 * torch.randn(1, 1, ALIGNED_GRID**2, config.width))
            self.aligned = nn.Sequential(nn.Linear(2 * config.width, config.width), nn.GELU())
            self.aligned_residual = _Residual(config.width)

    def forward(self, batch: ClipBatch) -> Readout:
        """Look at a batch. Errors of shape are those of torch."""
        figures: dict[str, Tensor] = {"scale": self.log_scale.detach().exp()}
        patches_BTCGG = self.tower(batch.frames_BTSS3)
        if self.gate is not None:
            patches_BTCGG = self.gate(patches_BTCGG, batch.motion_BTGG, batch.is_motion_known_BT)
            figures["gate"] = self.gate.opening.detach().tanh()
        clip_BD = self._over_time(self.tower.summarise(patches_BTCGG), batch.is_padding_BT)
        words_BLD = self.text(batch.text_BLE)
        is_word_BL = batch.is_word_BL & batch.has_text_B[:, None]
        caption_BD = _mean_of(words_BLD, is_word_BL)
        told_BD = clip_BD
        if self.config.caption == "global":
            told_BD = told_BD + self.caption(caption_BD)
            figures["caption"] = self.caption.strength
        transport_B, plan_BLN = clip_BD.new_zeros(len(batch), dtype=torch.float32), None
        if self.config.alignment != "none":
            regions_BND = self._regions(patches_BTCGG)
            transport_B, plan_BLN, said = self._align(words_BLD, is_word_BL, regions_BND, batch)
            figures |= said
            told_BD = told_BD + self.aligned_residual(self._met(words_BLD, is_word_BL, regions_BND, plan_BLN))
            figures["aligned"] = self.aligned_residual.strength
        return Readout(
            logits_BK=self._compare(told_BD),
            clip_BD=functional.normalize(clip_BD.float(), dim=-1),
            caption_BD=functional.normalize(caption_BD.float(), dim=-1),
            transport_B=transport_B,
            plan_BLN=plan_BLN,
            figures=figures,
        )

    def _over_time(self, frames_BTD: Tensor, is_padding_BT: Tensor) -> Tensor:
        tokens = torch.cat([self.class_token.expand(len(frames_BTD), -1, -1), frames_BTD + self.moments], dim=1)
        hidden = functional.pad(is_padding_BT, (1, 0), value=False)
        for layer in self.temporal:
            tokens = layer(tokens, src_key_padding_mask=hidden)
        # An expression is at its apex in few of the frames: their maximum keeps what a mean would thin out.
        strongest = tokens[:, 1:].masked_fill(is_padding_BT[:, :, None], -1e4).amax(1)
        over_time: Tensor = self.norm(tokens[:, 0] + strongest)
        return over_time

    def _regions(self, patches_BTCGG: Tensor) -> Tensor:
        regions_BTRRC = pool_regions(patches_BTCGG).permute(0, 1, 3, 4, 2)
        regions_BTPD: Tensor = self.region(regions_BTRRC.flatten(2, 3)) + self.places + self.moments[:, :, None]
        return regions_BTPD.flatten(1, 2)

    def _align(
        self, words_BLD: Tensor, is_word_BL: Tensor, regions_BND: Tensor, batch: ClipBatch
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Cost, plan and figures. In fp32, since differences of costs are small beside epsilon."""
        with torch.autocast(words_BLD.device.type, enabled=False):
            words = functional.normalize(words_BLD.float(), dim=-1)
            regions = functional.normalize(regions_BND.float(), dim=-1)
            cost_BLN = 1.0 - words @ regions.transpose(1, 2)
            text_BL = is_word_BL.float() / is_word_BL.sum(1, keepdim=True).clamp(min=1)
            motion_BTGG = batch.motion_BTGG.float()
            if not self.config.uses_motion:
                motion_BTGG = torch.ones_like(motion_BTGG)
            visual_BN = visual_marginal(
                motion_BTGG, batch.is_motion_known_BT, ~batch.is_padding_BT, ALIGNED_GRID, self.config.motion_floor
            )
            if self.config.alignment == "attention":
                plan_BLN, epsilon_B = _attend(cost_BLN, text_BL, visual_BN, self.config.epsilon)
                transport_B = (plan_BLN * cost_BLN).sum((1, 2))
                figures = {"epsilon": epsilon_B.mean()}
            else:
                solved = sinkhorn(
                    cost_BLN,
                    text_BL,
                    visual_BN,
                    epsilon=self.config.epsilon,
                    iterations=self.config.sinkhorn_iterations,
                    unbalanced_tau=self.config.tau if self.config.alignment == "unbalanced" else None,
                    differentiate=self.config.differentiates_plan,
                )
                plan_BLN, transport_B = solved.plan_BLN, solved.cost_B
                figures = {"epsilon": solved.epsilon_B.mean(), "marginal_error": solved.marginal_error_B.mean()}
            return transport_B, plan_BLN, figures | _plan_figures(plan_BLN.detach(), visual_BN)

    def _met(self, words_BLD: Tensor, is_word_BL: Tensor, regions_BND: Tensor, plan_BLN: Tensor) -> Tensor:
        """What the words say together with the regions that they met, [B, D]; zeros without a text."""
        share_BLN = plan_BLN / plan_BLN.sum(2, keepdim=True).clamp(min=1e-12)
        met_BLD = share_BLN.to(regions_BND.dtype) @ regions_BND
        return _mean_of(self.aligned(torch.cat([words_BLD, met_BLD], dim=-1)), is_word_BL)

    def _compare(self, told_BD: Tensor) -> Tensor:
        """Cosines with the classes' texts, scaled."""
        classes_KD = functional.normalize(self.text(self.class_text_KE).float(), dim=-1)
        told_BD = functional.normalize(self.drop(told_BD).float(), dim=-1)
        return self.log_scale.clamp(max=4.6).exp() * told_BD @ classes_KD.T  # 4.6: at most 100 fold, as CLIP


def build_network(config: ModelConfig, labels: Sequence[str], text_tower: TextTower) -> GraceNetwork:
    """A network for these classes, with random weights but for a pretrained tower. Seed torch before.

    Raises:
        TowerError: the vision tower that the config names cannot be loaded.
    """
    read: list[TextFeatures] = text_tower.encode(class_texts(labels))
    return GraceNetwork(config, torch.stack([one.pooled_E for one in read]))


class _Residual(nn.Module):
    """Something more that is told, which begins at nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.opening = nn.Parameter(torch.zeros(()))
        self.project = nn.Linear(width, width, bias=False)

    def forward(self, more_BD: Tensor) -> Tensor:
        """What is to be added."""
        added: Tensor = torch.tanh(self.opening) * self.project(more_BD)
        return added

    @property
    def strength(self) -> Tensor:
        """How far it has opened."""
        return self.opening.detach().tanh()


def _attend(cost_BLN: Tensor, text_BL: Tensor, visual_BN: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Softmax attention of each word over the visual tokens with the temperature that a transport would have."""
    valid = (text_BL[:, :, None] > 0) & (visual_BN[:, None] > 0)
    count = valid.sum((1, 2)).clamp(min=1)
    mean = (cost_BLN * valid).sum((1, 2)) / count
    spread = (((cost_BLN - mean[:, None, None]).square() * valid).sum((1, 2)) / count).sqrt().detach()
    epsilon_B = epsilon * spread.clamp(min=1e-4)
    scores = (-cost_BLN / epsilon_B[:, None, None]).masked_fill(visual_BN[:, None] <= 0, -1e5)
    return text_BL[:, :, None] * scores.softmax(2), epsilon_B


def _mean_of(words_BLD: Tensor, is_word_BL: Tensor) -> Tensor:
    shown = is_word_BL[:, :, None].to(words_BLD.dtype)
    return (words_BLD * shown).sum(1) / shown.sum(1).clamp(min=1)


def _plan_figures(plan_BLN: Tensor, visual_BN: Tensor) -> dict[str, Tensor]:
    """Mass of the plan, and how many visual tokens each word meets: the perplexity of its share."""
    mass_B = plan_BLN.sum((1, 2))
    has = mass_B > 0
    share = plan_BLN / plan_BLN.sum(2, keepdim=True).clamp(min=1e-12)
    entropy_BL = -torch.special.xlogy(share, share).sum(2)
    met = plan_BLN.sum(2) > 0
    tokens = torch.where(met, entropy_BL.exp(), 0.0).sum() / met.sum().clamp(min=1)
    return {"plan_mass": mass_B.sum() / has.sum().clamp(min=1), "met_tokens": tokens}
