"""Crops and pose: what a transform must keep, whatever the camera did."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.tracks.crop import EYES_X, EYES_Y, LEFT_EYE, RIGHT_EYE, SCALE_S, align, crop, locate, smooth
from pipeline.tracks.quality import _CANONICAL, _RIGID, pose_deg, sharpness

SIZE = 224
Points = NDArray[np.float32]


def face(*, yaw_deg: float = 0, pitch_deg: float = 0, roll_deg: float = 0) -> Points:
    """The canonical face [478, 3] around (200, 150) px, 10 px a centimetre. Points that no test reads are noise."""
    points = np.random.default_rng(0).normal(size=(478, 3))
    points[list(_RIGID)] = _CANONICAL
    yaw, pitch, roll = np.radians([yaw_deg, pitch_deg, roll_deg])
    turn_x, _ = cv2.Rodrigues(np.array([-pitch, 0, 0]))
    turn_y, _ = cv2.Rodrigues(np.array([0, -yaw, 0]))
    turn_z, _ = cv2.Rodrigues(np.array([0, 0, roll]))
    return (10 * points @ (turn_z @ turn_y @ turn_x).T + [200, 150, 0]).astype(np.float32)


def moved(points: Points, *, scale: float, roll_deg: float, shift: tuple[float, float]) -> Points:
    """The points after the camera zoomed, rolled and shifted."""
    turn, _ = cv2.Rodrigues(np.array([0, 0, np.radians(roll_deg)]))
    return (scale * points @ turn.T + [*shift, 0]).astype(np.float32)


def in_crop(points: Points, transforms: NDArray[np.float32]) -> NDArray[np.float64]:
    """Points [T, 478, 2] in pixels of the crops."""
    xy: NDArray[np.float64] = (
        np.einsum("tij,tkj->tki", transforms[:, :, :2], points[..., :2]) + transforms[:, None, :, 2]
    )
    return xy


def aligned(points: Points, *, fps: float = 30, gaps: tuple[int, ...] = ()) -> NDArray[np.float32]:
    return align(locate(points), np.arange(len(points)) / fps, np.isin(np.arange(len(points)), gaps), SIZE)


@settings(deadline=None, max_examples=40)
@given(
    scale=st.floats(0.2, 5),
    roll_deg=st.floats(-170, 170),
    shift=st.tuples(st.floats(-500, 2000), st.floats(-500, 2000)),
    seed=st.integers(0, 9),
)
def test_a_similarity_of_the_frame_changes_no_crop_coordinate(
    scale: float, roll_deg: float, shift: tuple[float, float], seed: int
) -> None:
    jitter = np.random.default_rng(seed).normal(size=(12, 478, 3), scale=0.5)
    track = (face(yaw_deg=10) + jitter).astype(np.float32)
    other = moved(track, scale=scale, roll_deg=roll_deg, shift=shift)
    np.testing.assert_allclose(in_crop(other, aligned(other)), in_crop(track, aligned(track)), atol=0.1)


@given(yaw_deg=st.floats(-60, 60), roll_deg=st.floats(-60, 60))
def test_the_eyes_lie_level_in_their_place(yaw_deg: float, roll_deg: float) -> None:
    track = face(yaw_deg=yaw_deg, roll_deg=roll_deg)[None]
    right, left = (in_crop(track, aligned(track))[0, list(eye)].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE))
    np.testing.assert_allclose((right + left) / 2, [EYES_X * SIZE, EYES_Y * SIZE], atol=0.01)
    assert left[1] == pytest.approx(right[1], abs=0.01)
    assert left[0] > right[0], "the subject's left eye lies right in the picture"


@pytest.mark.parametrize("yaw_deg", [0, 20, 45])
def test_a_turned_face_is_not_enlarged(yaw_deg: float) -> None:
    scale = np.hypot(*aligned(face(yaw_deg=yaw_deg)[None])[0, :, 0])
    assert scale == pytest.approx(np.hypot(*aligned(face()[None])[0, :, 0]), rel=1e-4)


def test_a_face_is_0_365_sides_wide_between_the_outer_eye_corners() -> None:
    xy = in_crop(face()[None], aligned(face()[None]))[0]
    assert (xy[263, 0] - xy[33, 0]) / SIZE == pytest.approx(0.365, abs=0.001)


def test_smoothing_never_reaches_across_a_gap() -> None:
    near, far = face(), moved(face(), scale=1.5, roll_deg=0, shift=(0, 0))
    track = np.array([near] * 10 + [far] * 10)
    np.testing.assert_allclose(aligned(track, gaps=(10,))[:10], aligned(track[:10]))
    np.testing.assert_allclose(aligned(track, gaps=(10,))[10:], aligned(track[10:]))
    assert not np.allclose(aligned(track)[:10], aligned(track[:10]), atol=0.01), "without the gap it does reach across"


def test_a_track_may_be_one_frame_long() -> None:
    assert np.isfinite(aligned(face()[None])).all()


@given(rate=st.floats(-50, 50), bend=st.floats(-50, 50), seed=st.integers(0, 99))
def test_smoothing_keeps_steady_motion_at_an_unsteady_frame_rate(rate: float, bend: float, seed: int) -> None:
    times_s = np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.06, size=40))
    parabola = (rate * times_s + bend * times_s**2)[:, None]
    np.testing.assert_allclose(smooth(parabola, times_s, SCALE_S), parabola, atol=1e-6)


@pytest.mark.parametrize("scale", [0.07, 0.3, 0.6, 1.0, 2.5])
def test_a_crop_shows_what_its_transform_says(scale: float) -> None:
    """A round blob lands where its centre is mapped to, to a tenth of a pixel, at every scale and with a turn."""
    side_px, radius_px = round(300 / scale), 12 / scale
    y, x = np.mgrid[:side_px, :side_px] + 0.5
    centre = np.array([0.55, 0.45]) * side_px
    blob = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * radius_px**2))
    turn = scale * np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    matrix = np.column_stack([turn, [112, 100] - turn @ centre])
    cut = crop(np.repeat(blob[..., None], 3, axis=2).astype(np.uint8), matrix, SIZE)
    assert cut.shape == (SIZE, SIZE, 3)
    weights = cut[..., 0].astype(np.float64)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    np.testing.assert_allclose([np.average(x, weights=weights), np.average(y, weights=weights)], [112, 100], atol=0.1)


@given(yaw=st.floats(-70, 70), pitch=st.floats(-50, 50), roll=st.floats(-80, 80))
def test_pose_is_read_back(yaw: float, pitch: float, roll: float) -> None:
    points = face(yaw_deg=yaw, pitch_deg=pitch, roll_deg=roll)
    np.testing.assert_allclose(pose_deg(points[None])[0], [yaw, pitch, roll], atol=0.01)


def test_pose_has_the_signs_it_says() -> None:
    nose_tip = _CANONICAL[7]
    for pose, axis, sign in (({"yaw_deg": 30}, 0, 1), ({"pitch_deg": 30}, 1, -1)):
        turned, straight = face(**pose)[_RIGID[7]], face()[_RIGID[7]]
        assert sign * (turned - straight)[axis] > 0, f"{pose} moved the nose at {nose_tip} the other way"
    right_eye, left_eye = face(roll_deg=30)[33], face(roll_deg=30)[263]
    assert left_eye[1] > right_eye[1], "clockwise as seen: the eye at the right of the image goes down"


def test_blur_lowers_sharpness() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    assert sharpness(cv2.GaussianBlur(rgb, (0, 0), 2).astype(np.uint8)) < sharpness(rgb) / 4
