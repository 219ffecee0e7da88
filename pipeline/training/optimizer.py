"""How weights move: AdamW's groups, the rates' rise and fall, and the running mean of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pipeline.training.config import TrainConfig
from pipeline.training.run_folder import learnt


def build_optimizer(
    modules: Mapping[str, nn.Module], config: TrainConfig
) -> tuple[torch.optim.AdamW, dict[str, Tensor]]:
    """AdamW over what learns in these modules, and its parameters by name.

    Low-rank updates of a pretrained tower have a rate of their own; norms, biases and scalars do not decay.
    """
    named: dict[str, Tensor] = {
        f"{prefix}/{name}": parameter
        for prefix, module in modules.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in named.items():
        groups.setdefault(("lora_" in name, parameter.ndim > 1), []).append(parameter)
    rates = {True: config.lora_learning_rate, False: config.learning_rate}
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rates[lora], "peak": rates[lora], "weight_decay": config.weight_decay * decays}
            for (lora, decays), parameters in groups.items()
        ]
    ), named


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Give each group this share of its highest rate."""
    for group in optimizer.param_groups:
        group["lr"] = share * group["peak"]


def rate_share(step: int, steps: int, warmup: float) -> float:
    """Share of the highest rate at a step of `steps`: a straight rise over `warmup` steps, then a cosine down to 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1.0, steps - warmup))))


class RunningMean:
    """Exponential mean of what a network has learnt (Polyak averaging)."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._now, self._decay = learnt(network), decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in self._now.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights after step number `step`, from 0, in."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, now in self._now.items():
            mean = self.tensors[name]
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network with the mean as its weights, while the context is open."""
        kept = {name: tensor.detach().clone() for name, tensor in self._now.items()}
        self._put(self._now, self.tensors)
        try:
            yield
        finally:
            self._put(self._now, kept)

    @torch.no_grad()
    def _put(self, into: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
        for name, tensor in into.items():
            tensor.copy_(values[name])
