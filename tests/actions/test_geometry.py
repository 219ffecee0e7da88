from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.actions.geometry import features, in_face_frame
from pipeline.tracks.quality import _CANONICAL, _RIGID, pose_deg

LEFT_CORNER, RIGHT_CORNER = (291, 308), (61, 78)


def face() -> NDArray[np.float64]:
    """Landmarks [478, 3] that are no face but have its rigid points, facing the camera."""
    points = np.random.default_rng(0).uniform(-6, 6, (478, 3))
    points[list(_RIGID)] = _CANONICAL
    return points


def turned(points: NDArray[np.float64], yaw: float, pitch: float, roll: float) -> NDArray[np.float32]:
    """Landmarks in pixels [1, 478, 3] of the face turned by angles in degrees, as pose_deg gives them, and moved."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    seen = points @ (about_z @ about_y @ about_x).T * 17.0 + [320, 180, 0]
    return np.asarray(seen[None], np.float32)


@settings(max_examples=40, deadline=None)
@given(yaw=st.floats(-50, 50), pitch=st.floats(-40, 40), roll=st.floats(-60, 60))
def test_pose_place_and_size_are_taken_out(yaw: float, pitch: float, roll: float) -> None:
    straight, seen = turned(face(), 0, 0, 0), turned(face(), yaw, pitch, roll)
    assert pose_deg(seen)[0] == pytest.approx([yaw, pitch, roll], abs=0.1)
    expected = in_face_frame(straight, pose_deg(straight))
    assert np.allclose(in_face_frame(seen * 2.5 + 40, pose_deg(seen)), expected, atol=2e-3)


def test_a_raised_corner_of_the_mouth_raises_its_own_side_alone() -> None:
    before = features(turned(face(), 15, 5, -10), np.array([[15, 5, -10]], np.float32))
    smiling = face()
    smiling[list(LEFT_CORNER), 1] -= 1.0  # y points down
    after = features(turned(smiling, 15, 5, -10), np.array([[15, 5, -10]], np.float32))
    change = after["lip_corner_up"] - before["lip_corner_up"]
    assert change[0, 0] > 0.1 and abs(change[0, 1]) < 1e-3
    assert np.allclose(after["inner_brow_up"], before["inner_brow_up"], atol=1e-3)


@pytest.mark.parametrize(
    ("feature", "moved", "by"),
    [
        ("inner_brow_up", (55, 107, 65, 66), (0, -1, 0)),
        ("brows_together", (55, 107, 65, 66), (1, 0, 0)),  # the right brow, moved to the image's right
        ("upper_lid_up", (158, 159, 160), (0, -1, 0)),
        ("lower_lid_up", (144, 145, 153), (0, -1, 0)),
        ("cheek_up", (50, 101, 118, 117), (0, -1, 0)),
        ("nostril_up", (48, 64, 98, 129), (0, -1, 0)),
        ("lip_corner_out", RIGHT_CORNER, (-1, 0, 0)),
    ],
)
def test_a_feature_grows_with_what_its_name_says(
    feature: str, moved: tuple[int, ...], by: tuple[float, float, float]
) -> None:
    points = face()
    points[:, 0] = np.where(np.isin(np.arange(478), moved), -2.0, points[:, 0])  # on the right half of the face
    pushed = points.copy()
    pushed[list(moved)] += by
    straight = np.zeros((1, 3), np.float32)
    rises = features(turned(pushed, 0, 0, 0), straight)[feature] - features(turned(points, 0, 0, 0), straight)[feature]
    assert rises[0, 1] > 0.05, "the right side moved as named"
    assert abs(rises[0, 0]) < 1e-3, "the left side did not move"
