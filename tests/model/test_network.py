"""The whole network on small random batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model.batch import ClipBatch
from pipeline.model.config import ModelConfig
from pipeline.model.gate import MotionGate, visual_marginal
from pipeline.model.network import GraceNetwork
from pipeline.model.towers import ClipTower, SmallTower, TowerError

CLASSES, WIDTH = 4, 24


def batch_of(count: int, side: int = 56, words: int = 9, seed: int = 0) -> ClipBatch:
    generator = torch.Generator().manual_seed(seed)
    return ClipBatch(
        frames_BTSS3=torch.randint(0, 255, (count, 16, side, side, 3), dtype=torch.uint8, generator=generator),
        motion_BTGG=torch.rand(count, 16, 14, 14, generator=generator),
        is_motion_known_BT=torch.rand(count, 16, generator=generator) > 0.2,
        is_padding_BT=torch.zeros(count, 16, dtype=torch.bool),
        text_BLE=torch.randn(count, words, WIDTH, generator=generator),
        is_word_BL=torch.rand(count, words, generator=generator) > 0.3,
        has_text_B=torch.ones(count, dtype=torch.bool),
    )


def network_of(**config: Any) -> GraceNetwork:
    torch.manual_seed(0)
    return GraceNetwork(ModelConfig(width=32, frame_px=56, **config), torch.randn(CLASSES, WIDTH)).eval()


ALIGNMENTS = ("none", "attention", "balanced", "unbalanced")


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_every_alignment_gives_finite_answers_and_gradients(alignment: Any) -> None:
    network, batch = network_of(alignment=alignment), batch_of(3)
    read = network(batch)
    assert read.logits_BK.shape == (3, CLASSES)
    (read.logits_BK.square().sum() + read.transport_B.sum() + read.caption_BD[:, 0].sum()).backward()
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_a_clip_is_judged_the_same_whatever_lies_beside_it(alignment: Any) -> None:
    network, batch = network_of(alignment=alignment), batch_of(3)
    alone = {field: getattr(batch, field)[1:2] for field in batch.__dataclass_fields__}
    together, single = network(batch), network(ClipBatch(**alone))
    assert torch.allclose(together.logits_BK[1], single.logits_BK[0], atol=1e-4)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_what_pads_a_text_says_nothing(alignment: Any) -> None:
    network, batch = network_of(alignment=alignment), batch_of(2)
    longer = replace(
        batch,
        text_BLE=torch.cat([batch.text_BLE, 50 * torch.randn(2, 5, WIDTH)], dim=1),
        is_word_BL=torch.cat([batch.is_word_BL, torch.zeros(2, 5, dtype=torch.bool)], dim=1),
    )
    assert torch.allclose(network(batch).logits_BK, network(longer).logits_BK, atol=1e-4)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_without_its_text_a_clip_is_judged_by_its_frames_alone(alignment: Any) -> None:
    network = network_of(alignment=alignment)
    _open_all(network)
    batch, other = batch_of(2), batch_of(2, seed=9)
    mute = replace(batch, has_text_B=torch.zeros(2, dtype=torch.bool))
    also_mute = replace(mute, text_BLE=other.text_BLE, is_word_BL=other.is_word_BL)
    read = network(mute)
    assert torch.equal(read.logits_BK, network(also_mute).logits_BK)
    assert read.logits_BK.isfinite().all() and (read.transport_B == 0).all()
    if alignment != "none":
        assert read.plan_BLN is not None and (read.plan_BLN == 0).all()


def test_at_first_neither_motion_nor_text_changes_what_is_said_of_a_clip() -> None:
    network, batch = network_of(), batch_of(2)
    other = batch_of(2, seed=9)
    changed = replace(batch, motion_BTGG=other.motion_BTGG, text_BLE=other.text_BLE, is_word_BL=other.is_word_BL)
    assert torch.allclose(network(batch).logits_BK, network(changed).logits_BK, atol=1e-5)


@pytest.mark.parametrize("alignment", ["attention", "balanced", "unbalanced"])
def test_a_plan_sums_to_one_and_gives_each_word_its_share(
    alignment: Literal["attention", "balanced", "unbalanced"],
) -> None:
    network, batch = network_of(alignment=alignment), batch_of(3)
    plan = network(batch).plan_BLN
    assert plan is not None and plan.shape == (3, 9, 16 * 49)
    assert torch.allclose(plan.sum((1, 2)), torch.ones(3), atol=1e-3)
    assert (plan[~batch.is_word_BL] == 0).all()


def test_frames_that_only_repeat_the_last_one_change_nothing() -> None:
    network, batch = network_of(), batch_of(1)
    padded = replace(batch, is_padding_BT=torch.arange(16)[None] >= 10, is_motion_known_BT=torch.arange(16)[None] < 10)
    frames, motion = padded.frames_BTSS3.clone(), padded.motion_BTGG.clone()
    motion[:, 10:] = 0.7
    plan, other = network(padded).plan_BLN, network(replace(padded, frames_BTSS3=frames, motion_BTGG=motion)).plan_BLN
    assert plan is not None and other is not None
    assert (plan[:, :, 10 * 49 :] == 0).all()
    assert torch.allclose(plan, other, atol=1e-6)


def test_the_embedding_of_the_frames_holds_no_word() -> None:
    network, batch = network_of(), batch_of(2)
    _open_all(network)
    other = replace(batch, text_BLE=batch_of(2, seed=5).text_BLE)
    assert torch.equal(network(batch).clip_BD, network(other).clip_BD)


def test_a_closed_gate_leaves_patches_as_they_are_and_unknown_motion_always_does() -> None:
    gate, patches, motion = MotionGate(), torch.randn(2, 16, 8, 14, 14), torch.rand(2, 16, 14, 14)
    known = torch.ones(2, 16, dtype=torch.bool)
    known[:, 3] = False
    assert torch.equal(gate(patches, motion, known), patches)
    gate.opening.data.fill_(1.0)
    weighed = gate(patches, motion, known)
    assert torch.equal(weighed[:, 3], patches[:, 3])
    assert not torch.equal(weighed[:, 4], patches[:, 4])
    strongest, weakest = motion[0, 4].argmax(), motion[0, 4].argmin()
    ratio = (weighed / patches)[0, 4, 0].flatten()
    assert ratio[strongest] > 1 > ratio[weakest]


@given(
    seed=st.integers(0, 2**20), floor=st.floats(0.05, 1.0), num_known=st.integers(0, 16), num_seen=st.integers(1, 16)
)
@settings(max_examples=40, deadline=None)
def test_the_visual_marginal_is_a_distribution_over_the_frames_that_are_seen(
    seed: int, floor: float, num_known: int, num_seen: int
) -> None:
    motion = torch.rand(1, 16, 14, 14, generator=torch.Generator().manual_seed(seed)).square()
    known, seen = torch.arange(16)[None] < num_known, torch.arange(16)[None] < num_seen
    marginal = visual_marginal(motion, known, seen, 7, floor)
    assert torch.allclose(marginal.sum(1), torch.ones(1), atol=1e-5)
    assert (marginal[:, num_seen * 49 :] == 0).all()
    assert marginal[:, : num_seen * 49].min() >= 0.99 * floor / (num_seen * 49)


def test_a_clip_that_does_not_move_is_even() -> None:
    everywhere = torch.ones(1, 16, dtype=torch.bool)
    marginal = visual_marginal(torch.zeros(1, 16, 14, 14), everywhere, everywhere, 7, 0.2)
    assert torch.allclose(marginal, torch.full((1, 784), 1 / 784))


def test_a_frame_size_that_makes_no_grid_is_refused() -> None:
    with pytest.raises(TowerError, match="expected a multiple of 56, got 70"):
        SmallTower(ModelConfig(frame_px=70))


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP model of random weights in the real layout, tiny but for its grid of patches."""
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = CLIPConfig(
        text_config=shape | {"vocab_size": 600, "projection_dim": 16, "bos_token_id": 0, "eos_token_id": 1},
        vision_config=shape | {"image_size": 56, "patch_size": 4, "projection_dim": 16},
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(folder)
    return folder


def test_a_clip_tower_learns_through_lora_alone(clip_folder: Path) -> None:
    network = network_of(tower="clip", tower_path=clip_folder)
    assert isinstance(network.tower, ClipTower)
    network(batch_of(2)).logits_BK.sum().backward()
    learning = {name for name, value in network.tower.model.named_parameters() if value.requires_grad}
    assert learning and all("lora_" in name for name in learning)
    assert any(value.grad is not None and value.grad.abs().sum() > 0 for value in network.tower.model.parameters())


@pytest.mark.slow
def test_a_compiled_clip_tower_says_and_learns_the_same(clip_folder: Path) -> None:
    """Slow for the C++ compiler, which torch needs on a CPU."""
    config = ModelConfig(tower="clip", tower_path=clip_folder, frame_px=56)
    frames, gradients = batch_of(2).frames_BTSS3, []
    for compiles in (False, True):
        torch.manual_seed(0)
        tower = ClipTower(config)
        if compiles:
            tower.compile_layers()
        patches = tower(frames)
        patches.square().mean().backward()
        learnt = {name: value.grad for name, value in tower.named_parameters() if value.grad is not None}
        gradients.append({"patches": patches.detach(), **learnt})
    assert gradients[0].keys() == gradients[1].keys()
    for name, exact in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], exact, rtol=1e-3, atol=1e-5, msg=name)


def test_a_clip_tower_gives_the_patches_that_transformers_gives(clip_folder: Path) -> None:
    from transformers import CLIPVisionModel

    tower = ClipTower(ModelConfig(tower="clip", tower_path=clip_folder, frame_px=56, lora_rank=0)).eval()
    frames = batch_of(1).frames_BTSS3
    model: Any = CLIPVisionModel
    reference = model.from_pretrained(clip_folder).eval()
    vision = getattr(reference, "vision_model", reference)
    with torch.no_grad():
        pictures = (frames[0].permute(0, 3, 1, 2).float() / 255 - tower.mean) / tower.std
        expected = vision.post_layernorm(vision(pixel_values=pictures).last_hidden_state[:, 1:])
        got = tower(frames)[0].flatten(2).transpose(1, 2)
    assert torch.allclose(got, expected, atol=1e-5)


def test_a_clip_tower_whose_patches_make_another_grid_is_refused(clip_folder: Path) -> None:
    with pytest.raises(TowerError, match="expected 14 a side"):
        ClipTower(ModelConfig(tower="clip", tower_path=clip_folder, frame_px=112))


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(TowerError, match=r"no config\.json in"):
        ClipTower(ModelConfig(tower="clip", tower_path=tmp_path))


def test_a_clip_tower_needs_a_folder() -> None:
    with pytest.raises(ValueError, match="needs tower_path"):
        ModelConfig(tower="clip")


def _open_all(network: GraceNetwork) -> None:
    for name, parameter in network.named_parameters():
        if name.endswith("opening"):
            parameter.data.fill_(0.7)
