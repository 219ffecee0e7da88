"""What the network is. Every value that GRACE (2025) does not publish is a field with a default of this project."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.stage import StageConfig

ALIGNED_GRID = 7
"""Side of the grid of regions that words are aligned with: the patch grid of 14, averaged two by two."""


class ModelConfig(StageConfig):
    """The network: two towers, the motion gate, alignment of words with regions and moments, and the head."""

    tower: Literal["small", "clip"] = "small"
    """What sees the frames: `small` is trained from nothing and made for a CPU, `clip` is a pretrained CLIP vision
    transformer with LoRA."""

    tower_path: Path | None = None
    """Folder of the CLIP model, as transformers saves it (safetensors). Needed by `clip` towers."""

    frame_px: int = Field(default=112, ge=28, multiple_of=14)
    """Side that frames are brought to: 112 for the small tower, 224 for CLIP with patches of 16."""

    small_channels: int = Field(default=16, ge=8, multiple_of=8)
    """Channels of the small tower's first layer; later ones have two and three times as many."""

    lora_rank: int = Field(default=8, ge=0)
    """Rank of the low-rank updates of the CLIP tower's query and value projections; 0 leaves it frozen."""

    recompute_tower: bool = False
    """Save memory by computing the CLIP tower's activations a second time for the gradient."""

    text_tower: Literal["minilm", "clip"] = "minilm"
    """What reads the texts, frozen: the packaged sentence encoder, or the text half of the model at `tower_path`."""

    width: int = Field(default=128, ge=16, multiple_of=8)
    """Width of everything behind the towers."""

    temporal_layers: int = Field(default=1, ge=0)
    """Layers of the transformer over the frames."""

    heads: int = Field(default=4, ge=1)
    """Attention heads of each of these layers."""

    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in them and before the head."""

    uses_motion: bool = True
    """Whether motion weighs the patches, by the gate and, with a transport, as the visual marginal."""

    motion_floor: float = Field(default=0.2, gt=0, le=1)
    """Share of the visual marginal that is spread evenly, so that no patch has none."""

    caption: Literal["none", "global"] = "global"
    """Whether the text, its words averaged, is added to the clip. An alignment reads it in any case."""

    alignment: Literal["none", "attention", "balanced", "unbalanced"] = "balanced"
    """How words meet regions and moments: by softmax attention with the same parameters, or by a transport plan that
    keeps both marginals, or that may leave visual mass unused."""

    epsilon: float = Field(default=0.25, gt=0)
    """Entropic regularisation, as part of the standard deviation of each clip's costs."""

    sinkhorn_iterations: int = Field(default=30, ge=1)
    """Fixed, the same in training and after it."""

    tau: float = Field(default=0.5, gt=0)
    """Unbalanced transport: price of leaving the visual marginal, in standard deviations of the costs."""

    differentiates_plan: bool = False
    """Whether the gradient goes through the plan too; held fixed, it is still exact for the cost of transport."""

    temperature: float = Field(default=0.07, gt=0)
    """First temperature of the cosine between a clip and a class's text; it is learnt."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if "clip" in (self.tower, self.text_tower) and self.tower_path is None:
            raise ValueError("a clip tower needs tower_path: the folder of the model, as transformers saves it")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    @property
    def reads_text(self) -> bool:
        """Whether any part of the network looks at the text."""
        return self.caption != "none" or self.alignment != "none"
