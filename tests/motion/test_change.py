"""What a face changes on its own is found; what its head, the light or noise changes is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.motion.change import change
from pipeline.motion.config import MotionConfig
from pipeline.motion.head import (
    STABLE,
    brought_back,
    face_cover,
    landmarks_in_crop,
    moved_by_head,
    shift_field,
)
from schemas.motion import CROP_PX
from tests.motion.textured_head import Look, grey_of, landmarks_of, patch_of_mouth

CONFIG = MotionConfig()
ACTION = 0.04
"""Of the radius: some 4 px, as a lip corner in a tenth of a second."""

turns = st.tuples(st.floats(-9, 9), st.floats(-9, 9)).filter(lambda turn: max(map(abs, turn)) > 3)
few = settings(max_examples=8, deadline=None)


def changed(before: Look, after: Look, config: MotionConfig = CONFIG) -> NDArray[np.float32]:
    return change(grey_of(before), grey_of(after), landmarks_of(before), landmarks_of(after), config)


def around_mouth(patches: NDArray[np.float32], look: Look) -> float:
    """Share of what changed that lies within two patches of the middle of the acting part."""
    row, column = patch_of_mouth(look)
    return float(patches[row - 2 : row + 3, column - 2 : column + 3].sum() / max(float(patches.sum()), 1e-9))


@few
@given(turns)
def test_a_still_face_whose_head_turns_changes_little(turn: tuple[float, float]) -> None:
    before, after = Look(), Look(*turn)
    still = landmarks_of(before)
    untreated = change(grey_of(before), grey_of(after), still, still, CONFIG.model_copy(update={"frame_medians": 0.0}))
    acting = changed(before, Look(action=ACTION))
    assert changed(before, after).sum() < 0.1 * acting.sum()
    assert changed(before, after).sum() < 0.02 * untreated.sum()


@few
@given(turns)
def test_an_action_while_the_head_turns_is_found_where_it_is(turn: tuple[float, float]) -> None:
    found = changed(Look(), Look(*turn, action=ACTION))
    assert around_mouth(found, Look()) > 0.85
    assert found.sum() > 0.4 * changed(Look(), Look(action=ACTION)).sum()


@few
@given(st.floats(0.5, 1.6), st.floats(-25, 25))
def test_light_that_changes_is_no_change(gain: float, offset: float) -> None:
    assert changed(Look(), Look(gain=gain, offset=offset)).max() == 0


@few
@given(st.floats(0.5, 1.6), st.floats(0.5, 1.6), st.floats(-25, 25))
def test_what_changes_is_the_same_under_any_gain_and_in_flickering_light(
    gain: float, later_gain: float, offset: float
) -> None:
    before, after = Look(), Look(yaw_deg=4, action=ACTION)
    lit = changed(replace(before, gain=gain), replace(after, gain=later_gain, offset=offset))
    np.testing.assert_allclose(lit, changed(before, after), atol=0.03 * float(changed(before, after).max()))


def test_noise_and_a_shift_within_the_landmarks_error_are_no_change() -> None:
    rng, face, points = np.random.default_rng(0), grey_of(Look()), landmarks_of(Look())
    noisy = face + rng.normal(0, 2, face.shape).astype(np.float32)
    assert change(face, noisy, points, points, CONFIG).max() == 0
    everywhere = np.full((CROP_PX, CROP_PX, 2), 0.4, np.float32)
    assert change(face, brought_back(face, everywhere), points, points, CONFIG).max() == 0


def test_what_moves_behind_the_face_is_no_change() -> None:
    face, points = grey_of(Look()), landmarks_of(Look())
    behind = face_cover(points[:, :2], CONFIG.edge_px) == 0
    moved = np.where(behind, np.random.default_rng(0).uniform(0, 255, face.shape), face).astype(np.float32)
    found = change(face, moved, points, points, CONFIG)
    inside = face_cover(points[:, :2], 4 * CONFIG.light_px)
    assert found[inside[8::16, 8::16] == 1].max() == 0


def test_a_face_without_area_changes_nothing() -> None:
    points = np.full((478, 3), 100.0, np.float32)
    assert change(grey_of(Look()), grey_of(Look(action=ACTION)), points, points, CONFIG).max() == 0


@few
@given(
    st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
    st.floats(0.7, 1.4),
    st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
    st.integers(0, 2**31),
)
def test_the_heads_motion_is_read_off_the_stable_points_whatever_the_others_do(
    turn: tuple[float, float], scale: float, shift: tuple[float, float], seed: int
) -> None:
    before = landmarks_of(Look())
    true = scale * landmarks_of(Look(*turn)).astype(np.float64) + [*shift, 0.0]
    after = true + np.random.default_rng(seed).normal(0, 5, true.shape)
    after[STABLE, :] = true[STABLE, :]
    np.testing.assert_allclose(moved_by_head(before, after.astype(np.float32)), true, atol=2e-2)


def test_landmarks_lie_in_the_crop_where_its_transform_puts_them() -> None:
    points = np.array([[[10.0, 20.0, 3.0], [30.0, 20.0, -1.0]]], np.float32)
    matrix = np.array([[[0.0, -2.0, 100.0], [2.0, 0.0, 5.0]]], np.float32)  # a quarter turn, twice as large
    expected = [[[60.0, 25.0, 6.0], [60.0, 65.0, -2.0]]]
    np.testing.assert_allclose(landmarks_in_crop(points, matrix, 1.0), expected)
    np.testing.assert_allclose(landmarks_in_crop(points, matrix, 0.5), np.array(expected) / 2)


@few
@given(st.floats(-6, 6), st.floats(-6, 6))
def test_a_picture_moved_by_a_constant_field_is_brought_back(x: float, y: float) -> None:
    points = landmarks_of(Look())[:, :2]
    field = shift_field(points, np.full((len(points), 2), (x, y)))
    np.testing.assert_allclose(field, np.broadcast_to((x, y), field.shape), atol=1e-4)
    face = grey_of(Look())
    there_and_back = brought_back(brought_back(face, field), -field)
    inside = slice(60, 164)
    assert np.abs(there_and_back - face)[inside, inside].mean() < 3


@pytest.mark.parametrize("edge_px", [4.0, 16.0])
def test_the_cover_of_a_face_begins_within_its_outline_and_ends_at_the_crops_border(edge_px: float) -> None:
    square = np.array([[-50, 40], [100, 40], [100, 180], [-50, 180]], np.float32)
    cover = face_cover(square, edge_px)
    assert cover[100, 40] == 1
    assert cover[100, int(101 - edge_px / 2)] == 0
    assert cover[100, 0] == 0
    assert cover[30].max() == 0
