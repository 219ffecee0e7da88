from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.tracks.crop import crop
from pipeline.tracks.detectors import open_detector
from pipeline.tracks.networks import (
    NUM_LANDMARKS,
    FaceNetworks,
    Landmarks,
    Network,
    landmark_box,
    load_network,
    roi_of_detection,
    roi_of_landmarks,
)
from pipeline.videos.frames import probe, read_frames

Assets = Callable[[str], Path]

_FACE = np.random.default_rng(0).normal(200, 30, (NUM_LANDMARKS, 3)).astype(np.float32)
_FACE[[33, 263], :2] = [[180, 190], [220, 190]]


@pytest.fixture(scope="module")
def networks(assets: Assets) -> FaceNetworks:
    return FaceNetworks(assets("face_landmarker.task"))


def test_the_runtime_computes_what_opencv_computes(assets: Assets) -> None:
    with zipfile.ZipFile(assets("face_landmarker.task")) as task:
        model = task.read("face_landmarks_detector.tflite")
    matrix = np.array([[0.6, 0, -100], [0, 0.6, 0]])
    image = np.divide(crop(_frames(assets("single_face.mp4"), 1)[0], matrix, 256)[None], 255, dtype=np.float32)
    other = cv2.dnn.readNetFromTFLite(np.frombuffer(model, np.uint8))
    other.setInput(image.transpose(0, 3, 1, 2).copy())
    expected = np.asarray(other.forward("Identity"), np.float32).reshape(-1)
    np.testing.assert_allclose(Network(model)(image)["Identity"].reshape(-1), expected, atol=0.01)


def test_a_face_is_followed_by_its_landmarks_alone(assets: Assets, networks: FaceNetworks) -> None:
    frames = _frames(assets("single_face.mp4"), 72)
    face = _detect(networks, frames[0])
    for rgb in frames[1:]:
        face = networks.landmarks(rgb, roi_of_landmarks(face.points))
        assert face.presence > 0.9
    found = _detect(networks, frames[-1])
    eye_distance = np.linalg.norm(found.points[33] - found.points[263])
    assert np.linalg.norm(face.points[:, :2] - found.points[:, :2], axis=1).mean() < 0.03 * eye_distance


def test_presence_falls_in_the_frame_that_the_face_has_left(assets: Assets, networks: FaceNetworks) -> None:
    frames = _frames(assets("face_noface.mov"), 73)  # the last one is the first without the face
    face = _detect(networks, frames[-2])
    assert face.presence > 0.9
    assert networks.landmarks(frames[-1], roi_of_landmarks(face.points)).presence < 0.1


def test_the_landmark_box_is_the_smallest_that_holds_them_all() -> None:
    left, top, right, bottom = landmark_box(_FACE)
    x, y = _FACE[:, 0], _FACE[:, 1]
    assert (left, top, right, bottom) == (x.min(), y.min(), x.max(), y.max())


@given(x=st.floats(-500, 500), y=st.floats(-500, 500), scale=st.floats(0.1, 10), quarter_turns=st.integers(0, 3))
def test_the_roi_moves_grows_and_turns_with_the_face(x: float, y: float, scale: float, quarter_turns: int) -> None:
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter_turns]
    moved = _FACE.copy()
    moved[:, :2] = scale * _FACE[:, :2] @ np.array([[cos, sin], [-sin, cos]]) + [x, y]
    before, after = roi_of_landmarks(_FACE), roi_of_landmarks(moved)
    assert after.side_px == pytest.approx(scale * before.side_px, rel=1e-3)
    assert np.cos(after.angle_rad - before.angle_rad - quarter_turns * np.pi / 2) == pytest.approx(1, abs=1e-3)
    expected_x = scale * (cos * before.centre_x - sin * before.centre_y) + x
    assert after.centre_x == pytest.approx(expected_x, abs=1e-3 * (1 + abs(x) + 300 * scale))


def test_files_that_hold_no_such_network_are_refused_by_name(assets: Assets) -> None:
    with pytest.raises(ValueError, match=r"single_face\.mp4 is not a \.task file"):
        FaceNetworks(assets("single_face.mp4"))
    with pytest.raises(ValueError, match=r"face_landmarker\.task holds no other\.tflite"):
        load_network(assets("face_landmarker.task"), "other.tflite")


def _detect(networks: FaceNetworks, rgb: NDArray[np.uint8]) -> Landmarks:
    found = open_detector("near").detect(rgb, min_score=0.5)
    return networks.landmarks(rgb, roi_of_detection(found.boxes_xyxy[0], found.keypoints_xy[0]))


def _frames(path: Path, number: int) -> list[NDArray[np.uint8]]:
    decoder = probe(path).decoder
    return [frame.rgb for frame, _ in zip(read_frames(path, decoder), range(number), strict=False)]
