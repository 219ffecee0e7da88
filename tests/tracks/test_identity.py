from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.tracks.crop import crop
from pipeline.tracks.detectors import open_detector
from pipeline.tracks.identity import _ANCHORS, IDENTITY_WEIGHTS, IdentityNetwork, _chip_matrix, identity_distance
from pipeline.tracks.networks import FaceNetworks, roi_of_detection, roi_of_landmarks

Assets = Callable[[str], Path]
Face = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""A frame and the landmarks of the face in it."""


@pytest.fixture(scope="module")
def network(assets: Assets) -> IdentityNetwork:
    return IdentityNetwork(assets(IDENTITY_WEIGHTS))


@pytest.fixture(scope="module")
def man(assets: Assets) -> Face:
    return _face(assets, "single_face.mp4", 0)


def test_a_smile_leaves_the_person_the_same(assets: Assets, network: IdentityNetwork, man: Face) -> None:
    smiling = _face(assets, "single_face.mp4", 70)
    assert identity_distance(network.embed(*man), network.embed(*smiling)) < 0.4


def test_another_video_of_the_person_gives_the_same_person(assets: Assets, network: IdentityNetwork, man: Face) -> None:
    assert identity_distance(network.embed(*man), network.embed(*_face(assets, "noface_face.mov", 140))) < 0.4


@pytest.mark.parametrize("name", ["WolfgangLanger_Pexels.mp4", "carphone_pristine.mp4"])
def test_other_people_are_far_off(assets: Assets, network: IdentityNetwork, man: Face, name: str) -> None:
    assert identity_distance(network.embed(*man), network.embed(*_face(assets, name, 100))) > 0.65


def test_a_tilted_head_is_the_same_person(network: IdentityNetwork, man: Face) -> None:
    rgb, landmarks = man
    x, y = landmarks[:, :2].mean(axis=0).tolist()
    turn = cv2.getRotationMatrix2D((x, y), 30, 1)
    tilted = cv2.warpAffine(rgb, turn, rgb.shape[1::-1], borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)
    points = landmarks.copy()
    points[:, :2] = landmarks[:, :2] @ turn[:, :2].T + turn[:, 2]
    assert identity_distance(network.embed(rgb, landmarks), network.embed(tilted, points)) < 0.15


def test_the_face_is_cut_as_dlib_cuts_it(man: Face) -> None:
    rgb, landmarks = man
    landmarks = np.rint(landmarks)  # dlib takes whole pixels only
    points = [dlib.point(int(x), int(y)) for x, y, _ in landmarks[list(_ANCHORS)]]
    detection = dlib.full_object_detection(dlib.rectangle(0, 0, 10, 10), points)
    expected = dlib.get_face_chip(rgb, detection, size=150, padding=0.25)
    got = crop(rgb, _chip_matrix(landmarks + 0.5), 150)  # its origin is the centre of the first pixel
    (dx, dy), _ = cv2.phaseCorrelate(expected.mean(axis=2), got.mean(axis=2))
    assert np.hypot(dx, dy) < 0.5
    assert np.abs(expected.astype(int) - got).mean() < 3


def test_what_cannot_be_used_is_refused(assets: Assets, network: IdentityNetwork, man: Face) -> None:
    with pytest.raises(ValueError, match=r"expected shape \[478, 3\], got \[468, 3\]"):
        network.embed(man[0], man[1][:468])
    with pytest.raises(RuntimeError):
        IdentityNetwork(assets("single_face.mp4"))


def _face(assets: Assets, name: str, frame: int) -> Face:
    video = cv2.VideoCapture(str(assets(name)))
    for _ in range(frame + 1):
        is_read, image = video.read()
        assert is_read, f"{name} has no frame {frame}"
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)
    found = open_detector("near").detect(rgb, min_score=0.5)
    networks = FaceNetworks(assets("face_landmarker.task"))
    first = networks.landmarks(rgb, roi_of_detection(found.boxes_xyxy[0], found.keypoints_xy[0]))
    return rgb, networks.landmarks(rgb, roi_of_landmarks(first.points)).points
