"""Chance in clips: what it may change, what stays, and that it hangs on seed, epoch and clip alone."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.augment import Change, change_clips, draw_changes, mirror_words
from pipeline.training.config import AugmentConfig

torch.set_num_threads(1)

NOTHING = AugmentConfig(flip=0, shift=0, zoom=0, brightness=0, contrast=0, saturation=0)
SIDE, GRID = 28, 14


def clips(size: int = 2, frames: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (size, frames, SIDE, SIDE, 3), generator=generator, dtype=torch.uint8)
    return pictures, torch.rand(size, frames, GRID, GRID, generator=generator)


def change(size: int = 2, *, flip: bool = False, zoom: float = 1.0, shift: tuple[float, float] = (0, 0)) -> Change:
    one = torch.ones(size)
    return Change(torch.full((size,), flip), one * zoom, torch.tensor([shift] * size).float(), one, one, one)


def test_no_change_leaves_every_bit_as_it_is() -> None:
    frames, motion = clips()
    same, moved = change_clips(frames, motion, draw_changes(NOTHING, 0, 0, ["a", "b"]))
    assert torch.equal(same, frames)
    assert torch.allclose(moved, motion, atol=1e-6)


def test_a_flip_mirrors_frames_and_motion_exactly_and_twice_is_nothing() -> None:
    frames, motion = clips()
    flipped, moved = change_clips(frames, motion, change(flip=True))
    assert torch.equal(flipped, frames.flip(3))
    assert torch.allclose(moved, motion.flip(3), atol=1e-5)
    again, back = change_clips(flipped, moved, change(flip=True))
    assert torch.equal(again, frames)
    assert torch.allclose(back, motion, atol=1e-5)


def test_a_shift_moves_motion_along_with_the_face_and_brings_none_in() -> None:
    frames, motion = clips()
    patch = SIDE // GRID
    shifted, moved = change_clips(frames, motion, change(shift=(3 / GRID, -2 / GRID)))
    assert torch.equal(shifted[:, :, : -2 * patch, 3 * patch :], frames[:, :, 2 * patch :, : -3 * patch])
    assert torch.allclose(moved[:, :, :-2, 3:], motion[:, :, 2:, :-3], atol=1e-5)
    assert (moved[:, :, :, :3] < 1e-5).all() and (moved[:, :, -2:] < 1e-5).all()
    assert torch.equal(shifted[:, :, : -2 * patch, 0], frames[:, :, 2 * patch :, 0]), "the edge repeats"


def test_a_zoom_makes_the_middle_larger_in_frames_and_motion_alike() -> None:
    frames = torch.zeros(1, 2, SIDE, SIDE, 3, dtype=torch.uint8)
    motion = torch.zeros(1, 2, GRID, GRID)
    frames[:, :, 10:18, 10:18] = 200
    motion[:, :, 5:9, 5:9] = 1
    larger, moved = change_clips(frames, motion, change(1, zoom=1.4))
    pooled = larger.float().mean(-1).view(1, 2, GRID, 2, GRID, 2).mean((3, 5)) / 200
    assert pooled.sum() > 1.7 * 2 * 16
    assert torch.allclose(pooled, moved, atol=0.3) and (pooled - moved).abs().mean() < 0.02


def test_light_changes_every_frame_of_a_clip_in_the_same_way() -> None:
    still = clips(1, 1)[0].expand(1, 4, SIDE, SIDE, 3).contiguous()
    config = AugmentConfig(flip=0.5, brightness=0.4, contrast=0.4, saturation=0.4)
    changed, _ = change_clips(still, torch.zeros(1, 4, GRID, GRID), draw_changes(config, 1, 2, ["a"]))
    assert not torch.equal(changed, still)
    assert all(torch.equal(changed[:, 0], changed[:, frame]) for frame in range(4)), "a still face must stay still"


def test_brightness_contrast_and_saturation_do_what_their_names_say() -> None:
    frames = torch.randint(
        60, 140, (1, 2, SIDE, SIDE, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    weights = torch.tensor([0.299, 0.587, 0.114])

    def lit(brightness: float = 1.0, contrast: float = 1.0, saturation: float = 1.0) -> torch.Tensor:
        factors = [torch.tensor([factor]) for factor in (brightness, contrast, saturation)]
        nothing = change(1)
        made = Change(nothing.is_flipped_B, nothing.zoom_B, nothing.shift_B2, *factors)
        return change_clips(frames, torch.zeros(1, 2, GRID, GRID), made)[0].float()

    grey = frames.float() @ weights
    assert torch.allclose(lit(brightness=1.2), 1.2 * frames.float(), atol=0.51)
    assert torch.allclose(lit(contrast=0.5) @ weights, grey.mean() + 0.5 * (grey - grey.mean()), atol=0.6)
    assert torch.allclose(lit(saturation=0.0), grey[..., None].expand(-1, -1, -1, -1, 3), atol=0.51)
    assert torch.allclose(lit(saturation=1.3) @ weights, grey, atol=0.6), "how light a place is stays as it is"


def test_what_is_drawn_hangs_on_seed_epoch_and_clip_and_not_on_the_company() -> None:
    config = AugmentConfig()
    together = draw_changes(config, 0, 3, ["a", "b", "c"])
    alone = draw_changes(config, 0, 3, ["b"])
    assert together.zoom_B[1] == alone.zoom_B[0]
    assert torch.equal(together.shift_B2[1], alone.shift_B2[0])
    others = [draw_changes(config, 0, 4, ["b"]), draw_changes(config, 1, 3, ["b"]), draw_changes(config, 0, 3, ["a"])]
    assert len({float(other.zoom_B) for other in [alone, *others]}) == 4


def test_draws_stay_within_their_bounds_and_flips_are_as_frequent_as_said() -> None:
    drawn = draw_changes(AugmentConfig(flip=0.3, shift=0.1, zoom=0.2), 0, 0, [str(number) for number in range(2000)])
    assert drawn.shift_B2.abs().max() <= 0.1 and (drawn.zoom_B - 1).abs().max() <= 0.2
    assert 0.26 < drawn.is_flipped_B.float().mean() < 0.34


def test_an_empty_batch_stays_empty() -> None:
    frames, motion = clips(0)
    assert len(change_clips(frames, motion, draw_changes(AugmentConfig(), 0, 0, []))[0]) == 0


@pytest.mark.parametrize(
    ("said", "mirrored"),
    [
        ("The left brow rises.", "The right brow rises."),
        ("Left brow up, RIGHT eye shut.", "Right brow up, LEFT eye shut."),
        ("The head turns left, then right.", "The head turns right, then left."),
        ("The gaze moves leftwards.", "The gaze moves rightwards."),
        ("The left-hand corner rises right after the brows.", "The right-hand corner rises right after the brows."),
        ("The head turns right at the start.", "The head turns left at the start."),
        ("Right at the start the jaw drops.", "Right at the start the jaw drops."),
        ("Brows rise right before lips part, on the right.", "Brows rise right before lips part, on the left."),
        ("Bright eyes leave the cleft alone.", "Bright eyes leave the cleft alone."),
        ("", ""),
    ],
)
def test_left_and_right_change_places_where_they_are_sides(said: str, mirrored: str) -> None:
    assert mirror_words(said) == mirrored
    assert mirror_words(mirrored) == said


WORDS = ["left", "right", "Left", "the", "turns", "after", "at", "start", "brow", "slightly", ".", ", ", "-hand", "to"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join))
def test_a_text_mirrored_twice_is_the_text_and_nothing_but_sides_changes(text: str) -> None:
    mirrored = mirror_words(text)
    assert mirror_words(mirrored) == text
    side = re.compile(r"left|right", re.IGNORECASE)
    assert side.sub("*", mirrored) == side.sub("*", text)
