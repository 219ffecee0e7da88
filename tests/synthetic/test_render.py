from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES, BlendshapeNetwork
from pipeline.synthetic.person import face_mesh, make_person
from pipeline.synthetic.raster import draw_triangles
from pipeline.synthetic.render import FaceState, Light, Rendered, render
from pipeline.tracks.networks import FaceNetworks, Roi
from pipeline.tracks.quality import pose_deg

LIGHT = Light(direction=(0.4, 0.5, 1.0), ambient=0.4, strength=0.7, colour=(1.0, 1.0, 1.0))
WALL = np.full((256, 320, 3), 120, np.uint8)
Landmarker = Callable[[FaceState], NDArray[np.float32]]


def a_face(
    seed: int = 0,
    units: Mapping[str, float] | None = None,
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0),
    centre: tuple[float, float] = (160.0, 128.0),
    height_px: float = 150.0,
) -> FaceState:
    return FaceState(make_person(seed), units or {}, *pose, centre_xy=centre, height_px=height_px)


def drawn(*faces: FaceState) -> Rendered:
    return render(WALL, faces, LIGHT)


def iou(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    overlap = np.prod(np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None))
    return float(overlap / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - overlap))


@pytest.fixture(scope="module")
def landmarks_of(assets: Callable[[str], Path]) -> Landmarker:
    """The landmarks [478, 3] that MediaPipe's network sees in a rendered face."""
    networks = FaceNetworks(assets("face_landmarker.task"))

    def measure(face: FaceState) -> NDArray[np.float32]:
        rendered = drawn(face)
        left, top, right, bottom = rendered.boxes_xyxy[0].tolist()
        side = 1.4 * max(right - left, bottom - top)
        roi = Roi((left + right) / 2, (top + bottom) / 2, side, float(np.radians(face.roll_deg)))
        found = networks.landmarks(rendered.rgb, roi)
        assert found.presence > 0.9
        return found.points

    return measure


@pytest.fixture(scope="module")
def blendshapes_of(landmarks_of: Landmarker, assets: Callable[[str], Path]) -> Callable[[FaceState], dict[str, float]]:
    network = BlendshapeNetwork(assets("face_landmarker.task"))
    return lambda face: dict(zip(BLENDSHAPE_NAMES, network.measure(landmarks_of(face)[None])[0].tolist(), strict=True))


@pytest.mark.parametrize(
    "pose", [(30, 0, 0), (-30, 0, 0), (15, 0, 0), (0, 15, 0), (0, -15, 0), (0, 0, 20), (0, 0, -20)]
)
def test_the_pose_is_measured_as_it_was_drawn(pose: tuple[float, float, float], landmarks_of: Landmarker) -> None:
    measured = np.median([pose_deg(landmarks_of(a_face(seed, pose=pose))[None])[0] for seed in range(5)], axis=0)
    assert measured == pytest.approx(pose, abs=8)


def test_the_box_is_that_of_the_landmarks(landmarks_of: Landmarker) -> None:
    overlaps = []
    for seed in range(6):
        for pose in ((0, 0, 0), (25, 5, 0), (-30, 0, 10)):
            face = a_face(seed, pose=pose)
            points = landmarks_of(face)[:, :2]
            overlaps.append(iou(drawn(face).boxes_xyxy[0], np.concatenate([points.min(axis=0), points.max(axis=0)])))
    assert np.median(overlaps) >= 0.9


@pytest.mark.parametrize("action", ["mouthSmile", "eyeBlink", "browDown", "browOuterUp"])
@pytest.mark.parametrize(("side", "other"), [("Left", "Right"), ("Right", "Left")])
def test_an_action_is_seen_on_the_persons_own_side(
    action: str, side: str, other: str, blendshapes_of: Callable[[FaceState], dict[str, float]]
) -> None:
    rises = {side: [], other: []}  # type: dict[str, list[float]]
    for seed in (3, 7, 9):
        rest, moved = blendshapes_of(a_face(seed)), blendshapes_of(a_face(seed, {action + side: 1.0}))
        for each, values in rises.items():
            values.append(moved[action + each] - rest[action + each])
    assert np.median(rises[side]) > 0.1
    assert np.median(rises[side]) > np.median(rises[other])


@pytest.mark.parametrize("action", ["jawOpen", "mouthPucker", "browInnerUp"])
def test_an_action_of_the_middle_is_seen(action: str, blendshapes_of: Callable[[FaceState], dict[str, float]]) -> None:
    rises = [blendshapes_of(a_face(s, {action: 1.0}))[action] - blendshapes_of(a_face(s))[action] for s in (3, 7, 9)]
    assert np.median(rises) > 0.2


def test_the_same_seed_is_the_same_person_and_picture() -> None:
    first = drawn(a_face(5)).rgb
    make_person.cache_clear()
    assert np.array_equal(first, drawn(a_face(5)).rgb)


def test_other_seeds_are_other_people() -> None:
    shapes = [make_person(seed).vertices for seed in range(6)]
    distances = [np.abs(one - other).max() for i, one in enumerate(shapes) for other in shapes[:i]]
    assert min(distances) > 0.05


def test_every_unit_moves_the_picture() -> None:
    rest = drawn(a_face(3)).rgb.astype(int)
    for unit in face_mesh().units:
        opened = {"jawOpen": 0.5} if unit == "tongueOut" else {}
        before = drawn(a_face(3, opened)).rgb.astype(int) if opened else rest
        assert np.abs(drawn(a_face(3, {**opened, unit: 1.0})).rgb - before).max() > 20, unit


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown facial unit 'mouthSmile'"):
        drawn(a_face(0, {"mouthSmile": 1.0}))


def test_the_background_is_left_as_it_was() -> None:
    before = WALL.copy()
    rendered = drawn(a_face(height_px=40))
    assert np.array_equal(WALL, before)
    assert np.array_equal(rendered.rgb[:, :60], WALL[:, :60])


def test_the_later_face_hides_the_earlier_one() -> None:
    behind, before = a_face(1, centre=(140.0, 128.0)), a_face(2, centre=(180.0, 128.0))
    alone, both = drawn(behind), drawn(behind, before)
    assert np.count_nonzero(alone.face_of_pixel == 0) == alone.num_face_pixels[0]
    assert np.count_nonzero(both.face_of_pixel == 1) == both.num_face_pixels[1]
    assert 0 < np.count_nonzero(both.face_of_pixel == 0) < 0.8 * both.num_face_pixels[0]
    assert np.array_equal(both.num_face_pixels[:1], alone.num_face_pixels)


@pytest.mark.parametrize("centre", [(-30.0, 128.0), (160.0, -20.0), (330.0, 270.0), (5000.0, -400.0)])
def test_a_face_outside_the_frame_keeps_its_pixels_and_box(centre: tuple[float, float]) -> None:
    inside, outside = drawn(a_face()), drawn(a_face(centre=centre))
    shift = np.array([*centre, *centre], np.float32) - (160, 128, 160, 128)
    assert outside.num_face_pixels[0] == inside.num_face_pixels[0]
    assert outside.boxes_xyxy[0] == pytest.approx(inside.boxes_xyxy[0] + shift, abs=1e-3)
    assert np.count_nonzero(outside.face_of_pixel == 0) < inside.num_face_pixels[0]


def test_the_face_region_is_as_tall_as_was_asked() -> None:
    for height_px in (40.0, 90.0, 200.0):
        _, top, _, bottom = drawn(a_face(height_px=height_px)).boxes_xyxy[0].tolist()
        assert bottom - top == pytest.approx(height_px, rel=0.06)


def test_the_lamp_lights_the_side_it_stands_on() -> None:
    from_the_right = Light(direction=(1.0, 0.2, 0.3), ambient=0.3, strength=0.8, colour=(1.0, 1.0, 1.0))
    rendered = render(WALL, [a_face(7)], from_the_right)
    rows, columns = np.nonzero(rendered.face_of_pixel == 0)
    brightness = rendered.rgb[rows, columns].mean(axis=1)
    assert brightness[columns > 165].mean() > 1.2 * brightness[columns < 155].mean()


corner = st.tuples(st.floats(-4, 20), st.floats(-4, 16))


@given(points=st.tuples(corner, corner, corner))
@settings(max_examples=60, deadline=None)
def test_triangles_that_share_a_side_leave_no_gap_and_count_no_pixel_twice(
    points: tuple[tuple[float, float], ...],
) -> None:
    xy, depth, carried = np.array([*points, (0, 0)]), np.zeros(4), np.zeros((4, 1), np.float32)

    def pixels(*triangle: int) -> list[int]:
        return list(draw_triangles(xy, depth, carried, np.array([triangle]), (16, 12)).pixels)

    xy[3] = xy[0] + 0.4 * (xy[1] - xy[0]) + 0.3 * (xy[2] - xy[0])  # inside: three triangles make up the whole
    parts = [pixels(0, 1, 3), pixels(1, 2, 3), pixels(2, 0, 3)]
    joined = sorted(pixel for part in parts for pixel in part)
    assert len(joined) == len(set(joined))
    assert joined == sorted(pixels(0, 1, 2))
