"""Move the mass of words onto regions and moments at the least cost: entropic optimal transport, by Sinkhorn.

Shape letters: B = clips, L = text tokens, N = visual tokens.

How it is computed, and why 32 bits are enough. The kernel is exp(-cost / epsilon) with its potentials taken into the
exponent, so that it is the plan itself up to one factor per token; an iteration is then two matrix-vector products and
two divisions instead of two passes of logsumexp over the costs. The first potentials are the smallest costs of each row
and then of each column: every row and column of the kernel has an entry that is exactly 1, so that no sum underflows.
From there on each row's factor is one over a weighted mean of the columns' factors, and the other way round, so that no
iteration changes a factor by more than the one before it. Factors are taken into the exponent again after 1, 3, 7, 15,
... iterations, before they could leave the range of a float and before an entry that had underflowed could matter.
`tests/model/test_transport.py` holds all that against the log domain in 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

SPREAD_FLOOR = 1e-3
"""Costs with a smaller standard deviation than this differ by rounding alone: epsilon shrinks no further with it."""


class Transport(NamedTuple):
    """What was moved where, and what that costs. Of a clip without any word all is 0."""

    plan_BLN: Tensor
    """Mass moved from each text token to each visual token. Its rows sum to the text marginal exactly, its columns to
    the visual marginal up to `marginal_error_B`, or where unbalanced to whatever is cheapest."""

    cost_B: Tensor
    """<plan, cost>. Its gradient is the plan, unless the iterations were differentiated."""

    epsilon_B: Tensor
    """The entropic regularisation that was used, in units of the cost."""

    marginal_error_B: Tensor
    """How far the columns are from where further iterations would bring them, summed over them: 0 is converged."""


def sinkhorn(
    cost_BLN: Tensor,
    text_marginal_BL: Tensor,
    visual_marginal_BN: Tensor,
    *,
    epsilon: float,
    iterations: int = 30,
    unbalanced_tau: float | None = None,
    differentiate: bool = False,
) -> Transport:
    """The entropic transport plan between words and visual tokens, and its cost.

    A token is masked where its marginal is exactly 0, whatever its cost is; each marginal sums to 1, or to 0 for a clip
    that has no such token. `epsilon` and `unbalanced_tau` (the price, by KL divergence, of leaving the visual marginal;
    None: it is kept) count in standard deviations of each clip's costs. With `differentiate` gradients flow through the
    iterations and into the plan, else the plan is a constant and that of the cost is by the envelope theorem the plan.
    """
    _check(cost_BLN, text_marginal_BL, visual_marginal_BN, epsilon, iterations, unbalanced_tau)
    damping = 1.0 if unbalanced_tau is None else unbalanced_tau / (unbalanced_tau + epsilon)
    clips = _clips_at_once(cost_BLN)
    with _full_precision(cost_BLN.device):
        parts = [
            _solve(cost, text, visual, epsilon, iterations, damping, differentiate)
            for cost, text, visual in zip(
                *(torch.split(whole, clips) for whole in (cost_BLN, text_marginal_BL, visual_marginal_BN)), strict=True
            )
        ]
    return parts[0] if len(parts) == 1 else Transport(*(torch.cat(each) for each in zip(*parts, strict=True)))


def _check(
    cost_BLN: Tensor, text_BL: Tensor, visual_BN: Tensor, epsilon: float, iterations: int, tau: float | None
) -> None:
    expected = ((*cost_BLN.shape[:2],), (cost_BLN.shape[0], *cost_BLN.shape[2:]))
    got = (tuple(text_BL.shape), tuple(visual_BN.shape))
    if cost_BLN.ndim != 3 or got != expected:
        raise ValueError(
            f"costs {tuple(cost_BLN.shape)} [clips, text tokens, visual tokens] do not fit text marginals {got[0]} "
            f"and visual marginals {got[1]}: expected {expected[0]} and {expected[1]}"
        )
    if not epsilon > 0 or iterations < 1 or (tau is not None and not tau > 0):
        raise ValueError(f"epsilon {epsilon}, iterations {iterations} and unbalanced_tau {tau} must be positive")


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Neither autocast nor TensorFloat-32: ten bits of mantissa would leave a thousandth of the mass astray."""
    matmul = torch.backends.cuda.matmul
    precision = matmul.fp32_precision
    with torch.autocast(device.type, enabled=False):
        matmul.fp32_precision = "ieee"
        try:
            yield
        finally:
            matmul.fp32_precision = precision


CACHED_ELEMENTS = 2**18
"""Elements of the kernel that stay in a core's cache from one iteration to the next."""


def _clips_at_once(cost_BLN: Tensor) -> int:
    """All on a GPU. On a CPU few: what an iteration takes is the time to read the kernel, in the cache a quarter."""
    clips, elements = len(cost_BLN), cost_BLN[0].numel() if len(cost_BLN) else 0
    return max(clips, 1) if cost_BLN.device.type != "cpu" else max(CACHED_ELEMENTS // max(elements, 1), 1)


def _solve(
    cost_BLN: Tensor,
    text_BL: Tensor,
    visual_BN: Tensor,
    epsilon: float,
    iterations: int,
    damping: float,
    differentiate: bool,
) -> Transport:
    wide = torch.promote_types(cost_BLN.dtype, torch.float32)
    text_BL, visual_BN = text_BL.to(wide), visual_BN.to(wide)
    is_row_BL, is_column_BN = text_BL > 0, visual_BN > 0
    is_row_BL, is_column_BN = (
        is_row_BL & is_column_BN.any(dim=1, keepdim=True),
        is_column_BN & is_row_BL.any(dim=1, keepdim=True),
    )
    cost_BLN = torch.where(is_row_BL[:, :, None], torch.where(is_column_BN[:, None, :], cost_BLN.to(wide), 0.0), 0.0)
    row_BL1, column_B1N = is_row_BL.to(wide)[:, :, None], is_column_BN.to(wide)[:, None, :]
    count_B = (is_row_BL.sum(dim=1) * is_column_BN.sum(dim=1)).clamp_min(1)
    with torch.set_grad_enabled(differentiate and torch.is_grad_enabled()):
        mean_B = cost_BLN.sum(dim=(1, 2)) / count_B
        off_BLN = _times(_times(cost_BLN - mean_B[:, None, None], row_BL1), column_B1N)
        variance_B = torch.linalg.vector_norm(off_BLN, dim=(1, 2)).square() / count_B
        epsilon_B = epsilon * variance_B.clamp_min(SPREAD_FLOOR**2).sqrt()
        bits_BLN = _times(off_BLN, (-1 / math.log(2) / epsilon_B)[:, None, None])
        plan_BLN, error_B = _iterate(bits_BLN, text_BL, visual_BN, is_row_BL, is_column_BN, iterations, damping)
    cost_B = torch.linalg.vecdot(plan_BLN.flatten(1), cost_BLN.flatten(1))
    return Transport(plan_BLN, cost_B, epsilon_B.detach(), error_B)


def _iterate(
    bits_BLN: Tensor,
    text_BL: Tensor,
    visual_BN: Tensor,
    is_row_BL: Tensor,
    is_column_BN: Tensor,
    iterations: int,
    damping: float,
) -> tuple[Tensor, Tensor]:
    """Plan and marginal error after `iterations` of: scale the columns, then the rows.

    `bits` and potentials are logarithms to the base of 2: exp2 takes a third of exp's time, and no longer for what
    underflows. Masked rows and columns are 0 in the kernel and have marginal 1 and sum 1, so that their factors are 1.
    """
    text_B1L = torch.where(is_row_BL, text_BL, 1.0)[:, None, :]
    visual_B1N = torch.where(is_column_BN, visual_BN, 1.0)[:, None, :]
    unused_BL1, unused_B1N = (~is_row_BL).to(text_BL.dtype)[:, :, None], (~is_column_BN).to(text_BL.dtype)[:, None, :]

    bits_BLN = _plus(bits_BLN, torch.where(is_column_BN, 0.0, -torch.inf)[:, None, :])
    bits_BLN = _plus(bits_BLN, torch.where(is_row_BL, -bits_BLN.amax(dim=2), -torch.inf)[:, :, None])
    columns_B1N = torch.where(is_column_BN, -bits_BLN.amax(dim=1), 0.0)[:, None, :]
    bits_BLN = _plus(bits_BLN, columns_B1N)
    kernel_BLN = bits_BLN.exp2()
    row_B1L, column_B1N = torch.ones_like(text_B1L), torch.ones_like(visual_B1N)
    for done in range(iterations):
        if done & (done + 1) == 0 and done and _must_absorb(row_B1L, column_B1N):  # after 1, 3, 7, 15, ...
            columns_B1N = columns_B1N + column_B1N.log2()
            bits_BLN = _plus(_plus(bits_BLN, row_B1L.log2().transpose(1, 2)), column_B1N.log2())
            kernel_BLN = bits_BLN.exp2()
            row_B1L, column_B1N = torch.ones_like(row_B1L), torch.ones_like(column_B1N)
        sum_B1N = torch.baddbmm(unused_B1N, row_B1L, kernel_BLN)
        if damping == 1:
            column_B1N = visual_B1N / sum_B1N
        else:
            column_B1N = visual_B1N * (-damping * sum_B1N.log2() - (1 - damping) * columns_B1N).exp2()
        row_B1L = text_B1L / _row_sums(kernel_BLN, column_B1N, unused_BL1)
    plan_BLN = _times(_times(kernel_BLN, row_B1L.transpose(1, 2)), column_B1N)
    with torch.no_grad():
        wanted_BN = visual_B1N[:, 0]
        if damping < 1:
            potential_BN = (columns_B1N + column_B1N.log2() - visual_B1N.log2())[:, 0]
            wanted_BN = wanted_BN * (-(1 - damping) / damping * potential_BN).exp2()
        error_BN = torch.where(is_column_BN, plan_BLN.sum(dim=1) - wanted_BN, 0.0)
    return plan_BLN, error_BN.abs().sum(dim=1)


def _row_sums(kernel_BLN: Tensor, column_B1N: Tensor, unused_BL1: Tensor) -> Tensor:
    """[B, 1, L]. On a CPU this product is slow as a matrix product, seven times."""
    if kernel_BLN.device.type == "cpu":
        sums_BL1: Tensor = torch.linalg.vecdot(kernel_BLN, column_B1N)[:, :, None] + unused_BL1
    else:
        sums_BL1 = torch.baddbmm(unused_BL1, kernel_BLN, column_B1N.transpose(1, 2))
    return sums_BL1.transpose(1, 2)


def _plus(bits_BLN: Tensor, potential: Tensor) -> Tensor:
    """The sum, in the same memory where no gradient needs the old one: fresh memory takes longer than the sum."""
    return bits_BLN + potential if torch.is_grad_enabled() else bits_BLN.add_(potential)


def _times(kernel_BLN: Tensor, factor: Tensor) -> Tensor:
    return kernel_BLN * factor if torch.is_grad_enabled() else kernel_BLN.mul_(factor)


MOST_BITS = 30.0
"""Size of a factor, as its logarithm to the base of 2, from which on it is taken into the exponent. A float holds 126,
and an entry that underflowed is below 2^-126: with such factors for row and column it stays below 2^-66."""


def _must_absorb(row_B1L: Tensor, column_B1N: Tensor) -> bool:
    """Whether a factor has become large or small. On a GPU always: to look would make the processor wait for it."""
    if row_B1L.device.type != "cpu":
        return True
    with torch.no_grad():
        return any(bool((factor.log2().abs() > MOST_BITS).any()) for factor in (row_B1L, column_B1N))
