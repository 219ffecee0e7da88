from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pipeline.model.transport import SPREAD_FLOOR, Transport, sinkhorn

RATIOS = (1.0, 0.25, 0.1, 0.03, 0.01, 0.001)
"""Epsilon in standard deviations of the costs: from blurred to far beyond what converges."""

Problem = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def problem(
    seed: int, clips: int = 3, text: int = 9, visual: int = 33, spread: float = 0.1, dtype: torch.dtype = torch.float32
) -> Problem:
    """Costs with outliers, uniform words, and visual marginals as motion gives them: mostly small, nowhere 0."""
    generator = torch.Generator().manual_seed(seed)
    cost = 1 + spread * torch.randn(clips, text, visual, generator=generator, dtype=torch.float64)
    cost[:, ::4, ::5] += 3 * spread
    motion = torch.rand(clips, visual, generator=generator, dtype=torch.float64) ** 4
    visual_marginal = 0.8 * motion / motion.sum(dim=1, keepdim=True) + 0.2 / visual
    text_marginal = torch.full((clips, text), 1 / text, dtype=torch.float64)
    return cost.to(dtype), text_marginal.to(dtype), visual_marginal.to(dtype)


def in_log_domain(given_problem: Problem, epsilon_B: Tensor, iterations: int, damping: float = 1.0) -> Tensor:
    """The same iterations as a textbook has them, in 64 bits."""
    cost, text, visual = (value.double() for value in given_problem)
    kernel = -cost / epsilon_B.double()[:, None, None]
    f = -kernel.amax(dim=2, keepdim=True)
    g = -(kernel + f).amax(dim=1, keepdim=True)
    for _ in range(iterations):
        g = visual.log()[:, None, :] - damping * torch.logsumexp(kernel + f, dim=1, keepdim=True)
        f = text.log()[:, :, None] - torch.logsumexp(kernel + g, dim=2, keepdim=True)
    return (kernel + f + g).exp()


def off(first: Tensor, second: Tensor) -> float:
    """Mass that lies elsewhere, of the worst clip."""
    return float((first.double() - second.double()).abs().flatten(1).sum(dim=1).max())


@given(
    seed=st.integers(0, 2**16),
    text=st.integers(1, 12),
    visual=st.integers(1, 40),
    ratio=st.floats(0.2, 3),
    spread=st.floats(0.01, 1),
)
@settings(max_examples=60, deadline=None)
def test_both_marginals_are_kept(seed: int, text: int, visual: int, ratio: float, spread: float) -> None:
    cost, words, regions = problem(seed, text=text, visual=visual, spread=spread)
    moved = sinkhorn(cost, words, regions, epsilon=ratio, iterations=400)
    assert (moved.plan_BLN >= 0).all()
    assert off(moved.plan_BLN.sum(dim=2), words) < 1e-5
    assert off(moved.plan_BLN.sum(dim=1), regions) < 1e-4
    assert off(moved.plan_BLN.sum(dim=1), regions) == pytest.approx(float(moved.marginal_error_B.max()), abs=1e-5)


@given(
    seed=st.integers(0, 2**16), iterations=st.integers(1, 40), ratio=st.sampled_from(RATIOS), spread=st.floats(0.01, 10)
)
@settings(max_examples=60, deadline=None)
def test_32_bits_give_what_the_log_domain_gives_in_64_even_where_nothing_converges(
    seed: int, iterations: int, ratio: float, spread: float
) -> None:
    made = problem(seed, spread=spread)
    for tau in (None, 0.5):
        moved = sinkhorn(*made, epsilon=ratio, iterations=iterations, unbalanced_tau=tau)
        damping = 1.0 if tau is None else tau / (tau + ratio)
        assert off(moved.plan_BLN, in_log_domain(made, moved.epsilon_B, iterations, damping)) < 2e-5 / ratio**0.5


@pytest.mark.parametrize("ratio", RATIOS)
def test_at_the_size_of_training_it_is_exact_too(ratio: float) -> None:
    made = problem(1, clips=2, text=40, visual=784)
    moved = sinkhorn(*made, epsilon=ratio)
    assert off(moved.plan_BLN, in_log_domain(made, moved.epsilon_B, 30)) < 1e-5


@pytest.mark.parametrize("ratio", [0.5, 0.25, 0.1])
def test_it_agrees_with_pot_in_64_bits(ratio: float) -> None:
    made = problem(2, dtype=torch.float64)
    moved = sinkhorn(*made, epsilon=ratio, iterations=2000)
    for clip, (cost, words, regions) in enumerate(zip(*made, strict=True)):
        epsilon = float(moved.epsilon_B[clip])
        plan = ot.sinkhorn(words, regions, cost, epsilon, method="sinkhorn_log", numItermax=5000, stopThr=1e-12)
        assert torch.allclose(moved.plan_BLN[clip], plan, atol=1e-9)


@pytest.mark.parametrize("ratio", [0.5, 0.25])
def test_the_unbalanced_plan_agrees_with_pot_in_64_bits(ratio: float) -> None:
    made = problem(3, dtype=torch.float64)
    moved = sinkhorn(*made, epsilon=ratio, iterations=2000, unbalanced_tau=0.5)
    for clip, (cost, words, regions) in enumerate(zip(*made, strict=True)):
        spread = float(cost.std(correction=0))
        plan = ot.unbalanced.sinkhorn_unbalanced(
            words.numpy(), regions.numpy(), cost.numpy(), ratio * spread, (np.inf, 0.5 * spread), reg_type="kl",
            numItermax=20000, stopThr=1e-13,
        )  # fmt: skip
        assert np.allclose(moved.plan_BLN[clip].numpy(), plan, atol=1e-8)
    assert float(moved.marginal_error_B.max()) < 1e-9


@given(
    seed=st.integers(0, 2**16),
    garbage=st.sampled_from([5.0, -1e4, float("inf"), float("nan")]),
    tau=st.sampled_from([None, 0.5]),
    differentiate=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_padding_changes_nothing_whatever_stands_in_it(
    seed: int, garbage: float, tau: float | None, differentiate: bool
) -> None:
    sizes = [(9, 33), (1, 20), (5, 1), (9, 12)]
    alone = [problem(seed + n, clips=1, text=text, visual=visual) for n, (text, visual) in enumerate(sizes)]
    cost, words, regions = torch.full((4, 11, 40), garbage), torch.zeros(4, 11), torch.zeros(4, 40)
    for clip, ((text, visual), (its_cost, one_words, one_regions)) in enumerate(zip(sizes, alone, strict=True)):
        cost[clip, :text, :visual] = its_cost[0]
        words[clip, :text], regions[clip, :visual] = one_words[0], one_regions[0]
    cost.requires_grad_()
    how: dict[str, object] = {"unbalanced_tau": tau, "differentiate": differentiate}
    padded = sinkhorn(cost, words, regions, epsilon=0.25, **how)  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(padded.cost_B.sum(), cost)
    for clip, ((text, visual), one) in enumerate(zip(sizes, alone, strict=True)):
        leaf = one[0].clone().requires_grad_()
        moved = sinkhorn(leaf, *one[1:], epsilon=0.25, **how)  # type: ignore[arg-type]
        (wanted,) = torch.autograd.grad(moved.cost_B.sum(), leaf)
        assert torch.allclose(padded.plan_BLN[clip, :text, :visual], moved.plan_BLN[0], atol=1e-5)
        assert torch.allclose(gradient[clip, :text, :visual], wanted[0], atol=1e-5)
        outside = torch.ones(11, 40, dtype=torch.bool)
        outside[:text, :visual] = False
        assert not padded.plan_BLN[clip][outside].any()
        assert not gradient[clip][outside].any()
        assert padded.cost_B[clip].item() == pytest.approx(moved.cost_B.item(), abs=1e-5)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_reordered_tokens_give_the_reordered_plan(seed: int) -> None:
    cost, words, regions = problem(seed)
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.randperm(size, generator=generator) for size in cost.shape[1:])
    words = words * torch.linspace(0.5, 1.5, words.shape[1])
    words = words / words.sum(dim=1, keepdim=True)
    moved = sinkhorn(cost, words, regions, epsilon=0.25)
    again = sinkhorn(cost[:, rows][:, :, columns], words[:, rows], regions[:, columns], epsilon=0.25)
    assert torch.allclose(again.plan_BLN, moved.plan_BLN[:, rows][:, :, columns], atol=1e-6)


@given(seed=st.integers(0, 2**16), scale=st.floats(0.1, 10), shift=st.floats(-1, 1))
@settings(max_examples=20, deadline=None)
def test_the_scale_and_the_zero_of_the_costs_do_not_matter(seed: int, scale: float, shift: float) -> None:
    cost, words, regions = problem(seed, dtype=torch.float64)
    for tau in (None, 0.5):
        moved = sinkhorn(cost, words, regions, epsilon=0.25, unbalanced_tau=tau)
        other = sinkhorn(scale * cost + shift, words, regions, epsilon=0.25, unbalanced_tau=tau)
        assert torch.allclose(other.plan_BLN, moved.plan_BLN, atol=1e-7)
        assert torch.allclose(other.epsilon_B, scale * moved.epsilon_B)


def test_a_large_epsilon_spreads_every_word_as_the_visual_marginal() -> None:
    cost, words, regions = problem(4)
    moved = sinkhorn(cost, words, regions, epsilon=1e4)
    assert off(moved.plan_BLN, words[:, :, None] * regions[:, None, :]) < 1e-3


def test_costs_that_are_all_the_same_spread_too() -> None:
    _, words, regions = problem(4)
    moved = sinkhorn(torch.ones(3, 9, 33), words, regions, epsilon=0.25)
    assert off(moved.plan_BLN, words[:, :, None] * regions[:, None, :]) < 1e-5
    assert moved.epsilon_B.tolist() == pytest.approx([0.25 * SPREAD_FLOOR] * 3)


def test_a_small_epsilon_gives_the_best_assignment() -> None:
    cost = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(5))
    even = torch.full((1, 12), 1 / 12)
    moved = sinkhorn(cost, even, even, epsilon=0.01, iterations=3000)
    rows, columns = linear_sum_assignment(cost[0].numpy())
    assert moved.plan_BLN[0].argmax(dim=1).tolist() == columns.tolist()
    assert float(moved.cost_B) == pytest.approx(float(cost[0, rows, columns].mean()), abs=1e-3)


def test_a_small_epsilon_gives_the_exact_transport_of_uneven_marginals() -> None:
    cost, words, regions = problem(6, dtype=torch.float64)
    exact = [float(ot.emd2(a, b, c)) for c, a, b in zip(cost, words, regions, strict=True)]
    gaps = []
    for ratio in (0.3, 0.1, 0.03):
        moved = sinkhorn(cost, words, regions, epsilon=ratio, iterations=5000)
        gaps.append(max(float(got) - best for got, best in zip(moved.cost_B, exact, strict=True)))
    assert gaps[0] > gaps[1] > gaps[2] > -1e-9
    assert gaps[2] < 1e-3


@pytest.mark.parametrize("tau", [None, 0.5])
def test_the_gradient_of_the_cost_is_that_of_the_whole_regularised_objective(tau: float | None) -> None:
    cost, words, regions = problem(7, clips=1, text=4, visual=6, dtype=torch.float64)
    cost.requires_grad_()
    moved = sinkhorn(cost, words, regions, epsilon=0.25, iterations=3000, unbalanced_tau=tau)
    (gradient,) = torch.autograd.grad(moved.cost_B.sum(), cost)
    assert torch.equal(gradient, moved.plan_BLN)
    assert not moved.plan_BLN.requires_grad
    epsilon, spread = float(moved.epsilon_B), float(moved.epsilon_B) / 0.25

    def objective(at: Tensor) -> float:
        ratio = epsilon / float(at.std(correction=0))  # the same epsilon although the spread is another
        price = None if tau is None else tau * spread / float(at.std(correction=0))
        plan = sinkhorn(at, words, regions, epsilon=ratio, iterations=3000, unbalanced_tau=price).plan_BLN
        independent = words[:, :, None] * regions[:, None, :]
        value = (plan * at).sum() + epsilon * (plan * (plan / independent).log() - plan + independent).sum()
        if tau is not None:
            mass = plan.sum(dim=1)
            value = value + tau * spread * (mass * (mass / regions).log() - mass + regions).sum()
        return float(value)

    for row, column in [(0, 0), (1, 3), (3, 5)]:
        step = torch.zeros_like(cost)
        step[0, row, column] = 1e-5
        with torch.no_grad():
            slope = (objective(cost + step) - objective(cost - step)) / 2e-5
        assert slope == pytest.approx(float(gradient[0, row, column]), abs=1e-7)


@pytest.mark.parametrize("tau", [None, 0.5])
@pytest.mark.parametrize("iterations", [1, 8])
def test_differentiated_iterations_have_the_gradient_of_what_they_compute(tau: float | None, iterations: int) -> None:
    cost, words, regions = problem(8, clips=2, text=3, visual=5, dtype=torch.float64)
    words[1, 2], regions[1, 4] = 0, 0
    words, regions = words / words.sum(dim=1, keepdim=True), regions / regions.sum(dim=1, keepdim=True)

    def run(at: Tensor) -> tuple[Tensor, Tensor]:
        moved = sinkhorn(at, words, regions, epsilon=0.5, iterations=iterations, unbalanced_tau=tau, differentiate=True)
        return moved.plan_BLN, moved.cost_B

    assert torch.autograd.gradcheck(run, (cost.requires_grad_(),))


def test_a_high_price_of_leaving_the_visual_marginal_keeps_it() -> None:
    cost, words, regions = problem(9)
    balanced = sinkhorn(cost, words, regions, epsilon=0.25)
    assert off(sinkhorn(cost, words, regions, epsilon=0.25, unbalanced_tau=1e6).plan_BLN, balanced.plan_BLN) < 1e-4


def test_unbalanced_mass_leaves_what_no_word_is_near_to() -> None:
    cost, words, regions = problem(10)
    cost[:, :, 20:] += 1.0
    noise = [
        float(sinkhorn(cost, words, regions, epsilon=0.25, unbalanced_tau=tau).plan_BLN[:, :, 20:].sum())
        for tau in (None, 1.0, 0.1)
    ]
    assert noise[0] == pytest.approx(float(regions[:, 20:].sum()), abs=1e-3)
    assert noise[2] < noise[1] < noise[0] / 3


@pytest.mark.parametrize("differentiate", [False, True])
@pytest.mark.parametrize("tau", [None, 0.5])
def test_a_clip_without_a_word_or_without_anything_to_see_costs_nothing_and_pulls_nowhere(
    tau: float | None, differentiate: bool
) -> None:
    cost, words, regions = problem(11)
    words[1], regions[2] = 0, 0
    cost.requires_grad_()
    moved = sinkhorn(cost, words, regions, epsilon=0.25, unbalanced_tau=tau, differentiate=differentiate)
    (gradient,) = torch.autograd.grad(moved.cost_B.sum(), cost)
    assert float(moved.plan_BLN[0].detach().sum()) == pytest.approx(1, abs=1e-5)
    assert torch.isfinite(gradient).all()
    for clip in (1, 2):
        assert not moved.plan_BLN[clip].any()
        assert not gradient[clip].any()
        assert moved.cost_B[clip].item() == moved.marginal_error_B[clip].item() == 0


def test_a_batch_of_no_clip_is_no_error() -> None:
    moved = sinkhorn(torch.zeros(0, 3, 4), torch.zeros(0, 3), torch.zeros(0, 4), epsilon=0.25)
    assert moved.plan_BLN.shape == (0, 3, 4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_neither_the_precision_nor_the_plan(dtype: torch.dtype) -> None:
    cost, words, regions = problem(12)
    outside = sinkhorn(cost, words, regions, epsilon=0.25)
    with torch.autocast("cpu", dtype=dtype):
        inside = sinkhorn(cost, words, regions, epsilon=0.25)
        narrow = sinkhorn(cost.to(dtype), words, regions, epsilon=0.25)
    assert torch.equal(inside.plan_BLN, outside.plan_BLN)
    assert narrow.plan_BLN.dtype == narrow.cost_B.dtype == torch.float32


@pytest.mark.parametrize("precision", ["highest", "high"])
def test_the_switch_for_tensorfloat_is_left_as_it_was(precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        sinkhorn(*problem(13), epsilon=0.25)
        assert torch.get_float32_matmul_precision() == precision
        assert torch.backends.cuda.matmul.allow_tf32 == (precision == "high")
    finally:
        torch.set_float32_matmul_precision(before)


def test_more_iterations_bring_the_columns_nearer() -> None:
    made = problem(14)
    errors = [float(sinkhorn(*made, epsilon=0.1, iterations=n).marginal_error_B.max()) for n in (1, 5, 20, 80)]
    assert errors == sorted(errors, reverse=True)


def test_what_does_not_fit_is_refused_with_what_was_expected() -> None:
    cost, words, regions = problem(15)
    with pytest.raises(ValueError, match=r"\(3, 9, 33\).*got|expected \(3, 9\) and \(3, 33\)"):
        sinkhorn(cost, regions, words, epsilon=0.25)
    with pytest.raises(ValueError, match="must be positive"):
        sinkhorn(cost, words, regions, epsilon=0.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_plan_even_with_tensorfloat_allowed() -> None:
    made = problem(16, clips=8, text=40, visual=784)
    there: Transport = sinkhorn(*(value.cuda() for value in made), epsilon=0.25)
    assert off(there.plan_BLN.cpu(), sinkhorn(*made, epsilon=0.25).plan_BLN) < 1e-5
