from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.assets import ASSETS
from pipeline.tracks.detectors import DETECTOR_WEIGHTS, Detections, Detector, DetectorName, open_detector
from pipeline.tracks.networks import FaceNetworks, landmark_box, roi_of_detection

Assets = Callable[[str], Path]


@pytest.fixture(scope="module")
def near() -> Detector:
    return open_detector("near")


@pytest.fixture(scope="module")
def far() -> Detector:
    return open_detector("far")


@pytest.fixture(scope="module")
def group(assets: Assets) -> NDArray[np.uint8]:
    """Five people; their faces are 90 to 120 of 1000 pixels high."""
    return _read(assets("multi_face.jpg"))


@pytest.mark.parametrize("width", [1000, 640, 320, 160])
def test_the_far_detector_finds_a_group_at_any_resolution(
    assets: Assets, far: Detector, group: NDArray[np.uint8], width: int
) -> None:
    rgb = cv2.resize(group, (width, width * 2 // 3), interpolation=cv2.INTER_AREA).astype(np.uint8)
    faces = _faces(assets, rgb, far.detect(rgb, min_score=0.5))
    assert len(faces) == 5
    heights = [(bottom - top) * 1000 / width for _, top, _, bottom in faces]
    assert min(heights) > 80 and max(heights) < 140


def test_the_far_detector_finds_faces_of_thirty_pixels_in_a_wide_picture(
    assets: Assets, near: Detector, far: Detector, group: NDArray[np.uint8]
) -> None:
    rgb = np.full((360, 640, 3), 128, np.uint8)
    rgb[80:280, 200:500] = cv2.resize(group, (300, 200), interpolation=cv2.INTER_AREA)
    assert len(_faces(assets, rgb, far.detect(rgb, min_score=0.5))) == 5
    assert len(near.detect(rgb, min_score=0.5).scores) == 0, "the near detector's limit, as its docstring says, moved"


def test_both_find_a_large_face_once_and_in_the_same_place(assets: Assets, near: Detector, far: Detector) -> None:
    rgb = _read_frame(assets("single_face.mp4"))
    (from_near,), (from_far,) = (_faces(assets, rgb, detector.detect(rgb, min_score=0.5)) for detector in (near, far))
    np.testing.assert_allclose(from_near, from_far, atol=0.05 * (from_far[3] - from_far[1]))


@pytest.mark.parametrize("name", DETECTOR_WEIGHTS)
def test_no_face_is_believed_where_there_is_none(assets: Assets, name: DetectorName) -> None:
    rgb = _read_frame(assets("no_face.mp4"))
    assert _faces(assets, rgb, open_detector(name).detect(rgb, min_score=0.5)) == []


def test_what_is_found_comes_best_first_and_is_above_the_asked_score(far: Detector, group: NDArray[np.uint8]) -> None:
    all_scores = far.detect(group, min_score=0.5).scores
    assert (np.diff(all_scores) <= 0).all()
    asked = float(all_scores[2])
    np.testing.assert_array_equal(far.detect(group, min_score=asked).scores, all_scores[:3])


def test_no_face_is_reported_twice(far: Detector, group: NDArray[np.uint8]) -> None:
    found = far.detect(np.hstack([group, group]), min_score=0.5)
    for (left, top, right, bottom), other in combinations(found.boxes_xyxy, 2):
        width = max(0, min(right, other[2]) - max(left, other[0]))
        height = max(0, min(bottom, other[3]) - max(top, other[1]))
        assert width * height < 0.5 * (right - left) * (bottom - top)


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1), (7, 3), (2, 900)])
@pytest.mark.parametrize("name", DETECTOR_WEIGHTS)
def test_a_frame_of_any_shape_is_looked_at(name: DetectorName, shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    found = open_detector(name).detect(rgb, min_score=0.5)
    assert found.boxes_xyxy.shape == (len(found.scores), 4)
    assert found.keypoints_xy.shape == (len(found.scores), 6, 2)


def test_the_weights_of_every_detector_are_known_assets() -> None:
    assert {name for names in DETECTOR_WEIGHTS.values() for name in names} <= set(ASSETS)


def _faces(assets: Assets, rgb: NDArray[np.uint8], found: Detections) -> list[NDArray[np.float32]]:
    """The landmark boxes of what the landmark network takes for a face too."""
    networks = FaceNetworks(assets("face_landmarker.task"))
    rois = [roi_of_detection(box, points) for box, points in zip(found.boxes_xyxy, found.keypoints_xy, strict=True)]
    meshes = [networks.landmarks(rgb, roi) for roi in rois]
    return [landmark_box(mesh.points) for mesh in meshes if mesh.presence > 0.5]


def _read(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path))
    assert image is not None, f"cannot read {path.name}"
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)


def _read_frame(path: Path) -> NDArray[np.uint8]:
    is_read, image = cv2.VideoCapture(str(path)).read()
    assert is_read, f"cannot read {path.name}"
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)
