"""The loss: known answers, its laws, and that its shares over ranks add up to the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from pipeline.model.network import Readout
from pipeline.training.config import LossConfig
from pipeline.training.loss import NO_TEXT, Objective, contrast_sum, cross_entropy, one_hot, prior_of

torch.set_num_threads(1)


def readout(logits_BK: Tensor, width: int = 4, transport: float = 0.0) -> Readout:
    size = len(logits_BK)
    clip_BD = functional.normalize(torch.randn(size, width, generator=torch.Generator().manual_seed(1)), dim=-1)
    caption_BD = functional.normalize(torch.randn(size, width, generator=torch.Generator().manual_seed(2)), dim=-1)
    return Readout(logits_BK, clip_BD, caption_BD, torch.full((size,), transport), None, {})


def objective(prior: Sequence[float], **config: float) -> Objective:
    return Objective(LossConfig.model_validate(config), torch.tensor(prior))


def keys(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def test_without_anything_known_it_is_the_logarithm_of_the_number_of_classes() -> None:
    target = one_hot(["b", "a"], ["a", "b", "c", "d"])
    found = objective([0.25] * 4, contrast_weight=0)(readout(torch.zeros(2, 4)), target, keys(-1, -1), 2)
    assert found.classes.item() == pytest.approx(math.log(4))
    assert found.total.item() == pytest.approx(math.log(4))


def test_the_adjustment_makes_the_prior_the_answer_of_a_network_that_knows_nothing() -> None:
    """Menon et al.: with equal logits the loss is that of guessing by the prior, so none of it is left to be learnt."""
    prior = [0.9, 0.1]
    found = objective(prior, contrast_weight=0)(
        readout(torch.zeros(10, 2)), one_hot(["a"] * 9 + ["b"], ["a", "b"]), keys(*[-1] * 10), 10
    )
    assert found.classes.item() == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))


def test_a_rare_class_costs_more_with_the_adjustment_and_none_of_it_is_plain() -> None:
    logits, rare = readout(torch.zeros(1, 2)), one_hot(["b"], ["a", "b"])
    costs = [
        objective([0.9, 0.1], logit_adjustment=tau, contrast_weight=0)(logits, rare, keys(-1), 1).classes.item()
        for tau in (0.0, 0.5, 1.0)
    ]
    assert costs[0] == pytest.approx(math.log(2))
    assert costs[0] < costs[1] < costs[2] == pytest.approx(-math.log(0.1))


def test_a_distribution_of_votes_costs_its_cross_entropy() -> None:
    target = torch.tensor([[0.7, 0.3, 0.0]])
    logits = torch.tensor([[2.0, 1.0, -torch.inf]])
    p = torch.softmax(torch.tensor([2.0, 1.0]), 0)
    assert cross_entropy(logits, target).item() == pytest.approx(float(-0.7 * p[0].log() - 0.3 * p[1].log()))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 999))
def test_it_is_least_where_the_network_says_the_target_itself(size: int, classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    target = torch.softmax(torch.randn(size, classes, generator=generator, dtype=torch.float64), -1)
    other = torch.randn(size, classes, generator=generator, dtype=torch.float64)
    assert (cross_entropy(other, target) >= cross_entropy(target.log(), target) - 1e-9).all()


def test_a_class_without_a_clip_is_counted_as_one_so_that_no_logit_is_infinite() -> None:
    prior = prior_of(one_hot(["a"] * 9, ["a", "b"]))
    assert prior.tolist() == pytest.approx([0.9, 0.1])


def test_the_terms_have_their_weights() -> None:
    target, key = one_hot(["a", "b"], ["a", "b"]), keys(1, 2)
    found = objective([0.5, 0.5], transport_weight=0.1, contrast_weight=0.2)(
        readout(torch.zeros(2, 2), transport=0.7), target, key, 2
    )
    assert found.transport.item() == pytest.approx(0.7)
    assert found.total.item() == pytest.approx(math.log(2) + 0.07 + 0.2 * found.contrast.item())


# --- the contrast


def test_clips_that_match_their_captions_and_no_other_cost_next_to_nothing() -> None:
    alike = torch.eye(4)
    assert contrast_sum(alike, alike, keys(1, 2, 3, 4), torch.tensor(50.0)).item() == pytest.approx(0, abs=1e-6)


def test_clips_that_cannot_be_told_apart_cost_the_logarithm_of_how_many_there_are() -> None:
    same = functional.normalize(torch.ones(5, 3), dim=-1)
    found = contrast_sum(same, same, keys(1, 2, 3, 4, 5), torch.tensor(10.0))
    assert found.item() / 5 == pytest.approx(math.log(5))


def test_clips_with_the_same_text_are_no_negatives_of_each_other() -> None:
    same = functional.normalize(torch.ones(3, 3), dim=-1)
    assert contrast_sum(same, same, keys(7, 7, 7), torch.tensor(10.0)).item() == pytest.approx(0, abs=1e-6)
    two = contrast_sum(same, same, keys(7, 7, 8), torch.tensor(10.0)).item()
    assert two == pytest.approx(2 * math.log(2) + math.log(3)), "the third has two negatives, the others one"


def test_a_clip_without_a_text_costs_nothing_and_is_nobodys_negative() -> None:
    torch.manual_seed(0)
    clip, caption = (functional.normalize(torch.randn(4, 8), dim=-1) for _ in range(2))
    scale = torch.tensor(5.0)
    three = contrast_sum(clip[:3], caption[:3], keys(1, 2, 3), scale)
    four = contrast_sum(clip, caption, keys(1, 2, 3, NO_TEXT), scale)
    assert torch.allclose(three, four)
    none = contrast_sum(clip, torch.zeros(4, 8), keys(*[NO_TEXT] * 4), scale)
    assert none.item() == 0


def test_a_batch_of_nothing_costs_nothing_and_has_a_gradient() -> None:
    nothing = torch.zeros(0, 4, requires_grad=True)
    contrast_sum(nothing, nothing, keys(), torch.tensor(5.0)).backward()  # type: ignore[no-untyped-call]
    assert nothing.grad is not None


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 6), st.integers(0, 999))
def test_the_order_of_the_clips_does_not_matter(size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    clip, caption = (functional.normalize(torch.randn(size, 5, generator=generator), dim=-1) for _ in range(2))
    key = torch.randint(-1, 3, (size,), generator=generator)
    order = torch.randperm(size, generator=generator)
    scale = torch.tensor(7.0)
    before = contrast_sum(clip, caption, key, scale)
    after = contrast_sum(clip[order], caption[order], key[order], scale)
    assert torch.allclose(before, after, atol=1e-4)
    assert before >= -1e-5


def test_no_gradient_is_other_than_a_number() -> None:
    clip = torch.zeros(3, 4, requires_grad=True)
    found = contrast_sum(functional.normalize(clip, dim=-1), torch.zeros(3, 4), keys(1, NO_TEXT, 1), torch.tensor(14.0))
    found.backward()  # type: ignore[no-untyped-call]
    assert clip.grad is not None and clip.grad.isfinite().all()


def test_the_temperature_is_learnt_only_where_the_config_says_so() -> None:
    assert not list(objective([0.5, 0.5]).parameters())
    learns = objective([0.5, 0.5], learns_temperature=True)
    target = one_hot(["a", "b"], ["a", "b"])
    learns(readout(torch.zeros(2, 2)), target, keys(1, 2), 2).total.backward()
    assert learns.log_scale.grad is not None and learns.log_scale.grad.abs() > 0
