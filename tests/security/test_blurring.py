"""On pages that leave the house the face network no longer knows who is seen."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.inspection.blurring import CELLS, blurred
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery import write_gallery
from pipeline.tracks.crop import crop, locate, transforms
from pipeline.tracks.detectors import open_detector
from pipeline.tracks.identity import IDENTITY_WEIGHTS, IdentityNetwork, identity_distance
from pipeline.tracks.networks import FaceNetworks, roi_of_detection, roi_of_landmarks
from pipeline.videos.frames import decord_version, read_frames
from tests.hostile_corpus import write_hostile_corpus

Assets = Callable[[str], Path]
KNOWN_BELOW = 0.6
"""Distance below which dlib's network takes two pictures for one person."""


def face(assets: Assets, name: str, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A crop as the corpus keeps it, and its landmarks."""
    rgb = next(frame.rgb for frame in read_frames(assets(name), decord_version()) if frame.index == number)
    found = open_detector("near").detect(rgb, min_score=0.5)
    networks = FaceNetworks(assets("face_landmarker.task"))
    first = networks.landmarks(rgb, roi_of_detection(found.boxes_xyxy[0], found.keypoints_xy[0]))
    points = networks.landmarks(rgb, roi_of_landmarks(first.points)).points
    matrix = transforms(locate(points[None]), 224)[0]
    placed = points.copy()
    placed[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return crop(rgb, matrix, 224), placed


def test_the_face_network_no_longer_knows_the_person(assets: Assets) -> None:
    network = IdentityNetwork(assets(IDENTITY_WEIGHTS))
    before, after = face(assets, "single_face.mp4", 0), face(assets, "single_face.mp4", 70)
    known = network.embed(*before)
    assert identity_distance(known, network.embed(*after)) < 0.45, "without blurring it does"
    for picture, points in (before, after):
        assert identity_distance(known, network.embed(blurred(picture), points)) > KNOWN_BELOW + 0.1


def test_what_is_shown_is_made_from_few_colours_alone(assets: Assets) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    cells = 224 // CELLS
    few = picture.reshape(CELLS, cells, CELLS, cells, 3).mean(axis=(1, 3))
    mosaic = np.rint(few).astype(np.uint8).repeat(cells, axis=0).repeat(cells, axis=1)
    assert blurred(picture).shape == picture.shape
    assert np.abs(blurred(mosaic).astype(int) - blurred(picture)).max() <= 1, "a mosaic of the colours gives the same"


@pytest.mark.parametrize("one_file", [200, 5], ids=["one file", "an index with small pictures"])
def test_no_picture_of_a_blurred_gallery_is_sharp(tmp_path: Path, one_file: int) -> None:
    corpus = Corpus(write_hostile_corpus(tmp_path / "corpus"))
    seen = {}
    for is_blurred in (False, True):
        page = tmp_path / str(is_blurred) / "gallery.html"
        write_gallery(corpus, page, one_file=one_file, per_file=5, is_blurred=is_blurred)
        text = "".join(path.read_text() for path in page.parent.rglob("*.html"))
        assert ("faces are blurred" in text) == is_blurred
        seen[is_blurred] = [
            sharpness(found) for found in re.findall('data:image/(?:jpeg|webp);base64,([^"\\\\]+)', text)
        ]
    assert len(seen[True]) == len(seen[False]) >= 10
    assert max(seen[True]) < min(max(seen[False]), 40.0)


def sharpness(encoded: str) -> float:
    """Variance of the Laplacian of a picture that is brought to one size."""
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return float(cv2.Laplacian(cv2.resize(picture, (128, 128)), cv2.CV_64F).var())
