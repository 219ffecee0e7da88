"""Processes that train together, as torchrun starts them: who is who, and sums over all of them.

Gradients are summed by hand, once a step and in one piece, and not by DistributedDataParallel: a rank without a clip of
a short batch then simply adds nothing, no average is taken that would be wrong for shares of different sizes, and what
learns here (a small network, or low-rank updates of a large one) is a few megabytes that need no overlap.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process among those of the training."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints for all."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the ranks, in place."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def any(self, is_so: bool) -> bool:
        """Whether it is so on any rank. Every rank has to ask."""
        if self.world_size == 1:
            return is_so
        return bool(self.sum(torch.tensor([float(is_so)], device=self.device)).item())

    def from_first(self, numbers: Sequence[int]) -> list[int]:
        """What the first rank gives. Every rank has to give as many."""
        if self.world_size == 1:
            return list(numbers)
        shared = torch.tensor(numbers, dtype=torch.int64, device=self.device)
        dist.broadcast(shared, src=0)
        return [int(number) for number in shared.tolist()]

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Make these tensors what they are on the first rank."""
        if self.world_size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def sum_gradients(self, parameters: Sequence[Tensor], *, stops: bool) -> bool:
        """Make each gradient its sum over the ranks; whether any rank `stops`, which travels along."""
        if self.world_size == 1:
            return stops
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flag = gradients[0].new_tensor([float(stops)])
        flat = self.sum(torch.cat([flag, *(gradient.flatten() for gradient in gradients)]))
        parts = torch.split(flat[1:], [parameter.numel() for parameter in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        return bool(flat[0].item())

    def wait_for_all(self) -> None:
        """Go on when every rank is here."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the other processes, if torchrun started several; on GPUs each takes the one of its local rank."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    begins = world_size > 1 and not dist.is_initialized()
    if begins:
        dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Ranks(rank, world_size, place)
    finally:
        if begins:
            dist.destroy_process_group()
