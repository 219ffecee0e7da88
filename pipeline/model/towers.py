"""See frames: a small convolutional tower that is trained from nothing, and CLIP's vision transformer with LoRA.

Both turn frames into patches on a grid of 14 x 14 and, from patches that were weighed meanwhile, into a vector a frame.
Shape letters: F = frames of all clips, T = frames of a clip, S = side in pixels, G = 14, R = 7, C = channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.model.config import ALIGNED_GRID, ModelConfig

GRID = 14
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class TowerError(ValueError):
    """A vision tower that cannot be loaded, or does not fit the frames; the message says what was expected."""


class SmallTower(nn.Module):
    """Convolutions for aligned faces on a CPU, over what changes: against the clip's mean, and to the next frame.

    The mean frame takes the person's resting face and the light out, which is what lets so small a tower learn from
    few people. A frame's vector sees where each patch lies, since aligned faces have their parts in the same place.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.frame_px % (4 * GRID):
            raise TowerError(f"frame_px of the small tower: expected a multiple of {4 * GRID}, got {config.frame_px}")
        first, second, third = (config.small_channels * times for times in (1, 2, 3))
        self.channels = third
        stride = config.frame_px // GRID // 2
        self.patches = nn.Sequential(
            _convolution(2, first, kernel=2 * (stride // 2) + 3, stride=stride),
            _convolution(first, second, kernel=3, stride=2),
            _convolution(second, third, kernel=3, stride=1),
        )
        self.deeper = _convolution(third, third, kernel=3, stride=2)
        self.vector = nn.Linear(third * ALIGNED_GRID**2, config.width)

    def forward(self, frames_BTSS3: Tensor) -> Tensor:
        """Patches [B, T, C, G, G]."""
        grey_BTSS = frames_BTSS3.float().mean(-1)
        spread = grey_BTSS.std(dim=(2, 3), keepdim=True) + 8.0  # in grey levels: noise is not blown up
        grey_BTSS = 2.0 * (grey_BTSS - grey_BTSS.mean(dim=(2, 3), keepdim=True)) / spread
        change_BTSS = grey_BTSS - grey_BTSS.mean(dim=1, keepdim=True)
        step_BTSS = functional.pad(grey_BTSS[:, 1:] - grey_BTSS[:, :-1], (0, 0, 0, 0, 0, 1))
        pictures = torch.stack([change_BTSS, step_BTSS], dim=2).flatten(0, 1)
        patches: Tensor = self.patches(pictures.contiguous(memory_format=torch.channels_last))
        return _by_clip(patches, frames_BTSS3)

    def summarise(self, patches_BTCGG: Tensor) -> Tensor:
        """One vector a frame, [B, T, D]."""
        vectors: Tensor = self.vector(self.deeper(patches_BTCGG.flatten(0, 1)).flatten(1))
        return _by_clip(vectors, patches_BTCGG)


class ClipTower(nn.Module):
    """CLIP's vision transformer, frozen but for LoRA on the queries and values of every layer.

    Source: A. Radford et al. 2021; LoRA: E. Hu et al. 2021. A frame's vector is the mean of its weighed patches.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.tower_path is not None  # the config's own check
        self.model = _load_clip(config.tower_path, config.frame_px)
        self.model.requires_grad_(False)
        if config.recompute_tower:
            self.model.gradient_checkpointing_enable()
        if config.lora_rank:
            from peft import LoraConfig, inject_adapter_in_model

            adapters = LoraConfig(
                r=config.lora_rank, lora_alpha=2 * config.lora_rank, target_modules=["q_proj", "v_proj"]
            )
            self.model = inject_adapter_in_model(adapters, self.model)
        self.channels = int(self.model.config.hidden_size)
        self.vector = nn.Linear(self.channels, config.width)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(_CLIP_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_CLIP_STD).view(3, 1, 1), persistent=False)

    def compile_layers(self) -> None:
        """Compile each layer at its first use: all have the same code, so that it is done once, in some ten seconds."""
        for layer in self.model.encoder.layers:
            layer.compile()

    def forward(self, frames_BTSS3: Tensor) -> Tensor:
        """Patches [B, T, C, G, G]."""
        pictures = frames_BTSS3.flatten(0, 1).permute(0, 3, 1, 2).float().div(255.0)
        seen = self.model(pixel_values=(pictures - self.mean) / self.std)
        patches_FNC: Tensor = self.model.post_layernorm(seen.last_hidden_state[:, 1:])
        return _by_clip(patches_FNC.transpose(1, 2).reshape(len(pictures), -1, GRID, GRID), frames_BTSS3)

    def summarise(self, patches_BTCGG: Tensor) -> Tensor:
        """One vector a frame, [B, T, D]."""
        vectors: Tensor = self.vector(patches_BTCGG.mean(dim=(3, 4)))
        return vectors


def build_tower(config: ModelConfig) -> SmallTower | ClipTower:
    """The vision tower that a config names.

    Raises:
        TowerError: there is none at `tower_path`, or it does not fit frames of `frame_px`.
    """
    return SmallTower(config) if config.tower == "small" else ClipTower(config)


def pool_regions(patches_BTCGG: Tensor) -> Tensor:
    """Average patches two by two: [B, T, C, 14, 14] to [B, T, C, 7, 7]."""
    pooled = functional.avg_pool2d(patches_BTCGG.flatten(0, 1), GRID // ALIGNED_GRID)
    return _by_clip(pooled, patches_BTCGG)


def _by_clip(of_frames: Tensor, of_clips: Tensor) -> Tensor:
    return of_frames.reshape(*of_clips.shape[:2], *of_frames.shape[1:])


def _convolution(inside: int, outside: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, padding=kernel // 2, bias=False),
        nn.GroupNorm(8, outside),  # says the same of a clip whatever is beside it in the batch, unlike batch norm
        nn.GELU(),
    )


def _load_clip(path: Path, frame_px: int) -> Any:
    from transformers import CLIPVisionModel

    if not (path / "config.json").is_file():
        raise TowerError(f"no config.json in {path}: expected a CLIP model as transformers saves it")
    if not (path / "model.safetensors").is_file():
        raise TowerError(f"no model.safetensors in {path}: weights in other formats are not read")
    loaded = CLIPVisionModel.from_pretrained(path, local_files_only=True, use_safetensors=True)
    model: Any = getattr(loaded, "vision_model", loaded)
    side, patch = int(model.config.image_size), int(model.config.patch_size)
    if side != frame_px or side // patch != GRID:
        raise TowerError(
            f"{path} sees {side} px in patches of {patch}, which makes {side // patch} a side; expected {GRID} a side, "
            f"and frame_px = {side} (got {frame_px})"
        )
    return model
