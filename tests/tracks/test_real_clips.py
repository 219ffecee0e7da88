"""Tracks, crops and actions of real videos, with the real networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES, BlendshapeNetwork
from pipeline.tracks.config import TrackConfig
from pipeline.tracks.extract import FaceTrack, ReadFrames, crop_tracks, extract_tracks
from pipeline.tracks.networks import FaceNetworks, roi_of_detection
from pipeline.videos.frames import Frame, probe, read_frames

Assets = Callable[[str], Path]


@pytest.fixture(scope="module")
def networks(assets: Assets) -> FaceNetworks:
    return FaceNetworks(assets("face_landmarker.task"))


def reader(path: Path) -> ReadFrames:
    return partial(read_frames, path, probe(path).decoder)


@pytest.fixture(scope="module")
def smiling(assets: Assets, networks: FaceNetworks) -> FaceTrack:
    """The track of single_face.mp4: a man, neutral at first, smiles broadly."""
    (track,) = extract_tracks(reader(assets("single_face.mp4")), networks, TrackConfig())
    return track


@pytest.mark.parametrize(
    ("name", "start_s", "end_s", "start_reason", "end_reason"),
    [
        ("single_face.mp4", 0.0, 2.37, "video_start", "video_end"),
        ("carphone_pristine.mp4", 0.0, 3.97, "video_start", "video_end"),
        ("face_noface.mov", 0.0, 2.37, "video_start", "lost"),
        ("noface_face.mov", 3.95, 6.31, "appeared", "lost"),  # the last frame shows no face
    ],
)
def test_one_track_from_the_right_second_to_the_right_second(
    assets: Assets,
    networks: FaceNetworks,
    name: str,
    start_s: float,
    end_s: float,
    start_reason: str,
    end_reason: str,
) -> None:
    (track,) = extract_tracks(reader(assets(name)), networks, TrackConfig())
    assert track.times_s[[0, -1]] == pytest.approx([start_s, end_s], abs=0.05)
    assert (track.start_reason, track.end_reason) == (start_reason, end_reason)
    assert not track.is_gap_before.any()


@pytest.mark.timeout(120)
def test_a_hand_over_the_face_does_not_break_its_track(assets: Assets, networks: FaceNetworks) -> None:
    (track,) = extract_tracks(reader(assets("WolfgangLanger_Pexels.mp4")), networks, TrackConfig())
    assert len(track.times_s) >= 465  # of 472 frames
    assert np.abs(track.pose_deg).max() < 45


def test_no_face_gives_no_track(assets: Assets, networks: FaceNetworks) -> None:
    assert extract_tracks(reader(assets("no_face.mp4")), networks, TrackConfig()) == []


def test_several_faces_are_found_and_each_has_its_landmarks(assets: Assets, networks: FaceNetworks) -> None:
    # In the whole picture, of 1000 px, its faces are too small for the detector.
    rgb = cv2.cvtColor(_read_image(assets("multi_face.jpg")), cv2.COLOR_BGR2RGB)[200:540, 320:820].astype(np.uint8)
    found = networks.detect(rgb, min_score=0.5)
    assert len(found.scores) == 4
    for box, keypoints in zip(found.boxes_xyxy, found.keypoints_xy, strict=True):
        mesh = networks.landmarks(rgb, roi_of_detection(box, keypoints))
        assert mesh.presence > 0.9
        eye, nose_tip = mesh.points[[33, 133], :2].mean(axis=0), mesh.points[1, :2]
        tolerance_px = 0.15 * (box[2] - box[0])
        np.testing.assert_allclose(eye, keypoints[0], atol=tolerance_px)
        np.testing.assert_allclose(nose_tip, keypoints[2], atol=tolerance_px)


def test_a_smile_is_measured_where_it_happens(assets: Assets, smiling: FaceTrack) -> None:
    actions = BlendshapeNetwork(assets("face_landmarker.task")).measure(smiling.landmarks_px)
    quarter = len(actions) // 4
    assert ((actions >= 0) & (actions <= 1)).all()
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        smile = actions[:, BLENDSHAPE_NAMES.index(name)]
        assert smile[:quarter].mean() < 0.05
        assert smile[-quarter:].mean() == pytest.approx(0.78, abs=0.06)
    blink = actions[:, [BLENDSHAPE_NAMES.index("eyeBlinkLeft"), BLENDSHAPE_NAMES.index("eyeBlinkRight")]]
    closed_s = smiling.times_s[blink.min(axis=1) > 0.4]
    assert len(closed_s) and (closed_s[0] > 0.8) and (closed_s[-1] < 1.2), "he blinks once, about one second in"


def test_actions_ignore_place_and_size_of_the_face(assets: Assets, smiling: FaceTrack) -> None:
    network = BlendshapeNetwork(assets("face_landmarker.task"))
    points = smiling.landmarks_px[::24]
    np.testing.assert_allclose(network.measure(3 * points + 50), network.measure(points), atol=1e-3)


def test_no_landmarks_give_no_actions_and_wrong_ones_are_refused(assets: Assets) -> None:
    network = BlendshapeNetwork(assets("face_landmarker.task"))
    assert network.measure(np.empty((0, 478, 3), np.float32)).shape == (0, 52)
    with pytest.raises(ValueError, match=r"expected shape \[T, 478, 3\], got \[1, 468, 3\]"):
        network.measure(np.empty((1, 468, 3), np.float32))


def test_crops_come_in_order_and_hold_still(assets: Assets, smiling: FaceTrack) -> None:
    crops = list(crop_tracks(reader(assets("single_face.mp4")), [smiling], 224))
    assert [(number, position) for number, position, _ in crops] == [(0, t) for t in range(len(smiling.times_s))]
    forehead = np.array([rgb[40:70, 72:152].mean(axis=2) for _, _, rgb in crops])
    moves = [cv2.phaseCorrelate(before, after)[0] for before, after in pairwise(forehead)]
    assert np.percentile(np.hypot(*np.transpose(moves)), 95) < 1.0, "the crop wanders from frame to frame"


def test_crops_of_another_video_are_refused(assets: Assets, smiling: FaceTrack) -> None:
    def first_frames_only() -> Iterator[Frame]:
        return islice(reader(assets("single_face.mp4"))(), 5)

    with pytest.raises(ValueError, match=r"lacks 67 frames .* the first is frame 5"):
        list(crop_tracks(first_frames_only, [smiling], 224))


def test_a_file_that_is_no_task_file_is_refused_by_name(assets: Assets) -> None:
    with pytest.raises(ValueError, match=r"single_face\.mp4 is not a \.task file"):
        FaceNetworks(assets("single_face.mp4"))


def _read_image(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path))
    assert image is not None, f"cannot read {path.name}"
    return image.astype(np.uint8)
