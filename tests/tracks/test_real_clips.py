"""Tracks, crops and actions of real videos, with the real networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.actions.blendshapes import BLENDSHAPE_NAMES, BlendshapeNetwork
from pipeline.tracks.config import TrackConfig
from pipeline.tracks.extract import Extraction, FaceTrack, Networks, ReadFrames, extract_tracks
from pipeline.tracks.stage import open_networks
from pipeline.videos.frames import Frame, probe, read_frames

Assets = Callable[[str], Path]


@pytest.fixture(scope="module")
def networks() -> Networks:
    return open_networks(TrackConfig())


def reader(path: Path) -> ReadFrames:
    return partial(read_frames, path, probe(path).decoder)


def spliced(*parts: tuple[Path, int, int]) -> ReadFrames:
    """Frames `from` to before `to` of each video, one after the other at 25 a second, brought to 640x360."""

    def read() -> Iterator[Frame]:
        frames = chain.from_iterable(islice(reader(path)(), start, stop) for path, start, stop in parts)
        for index, frame in enumerate(frames):
            yield Frame(index, index / 25, cv2.resize(frame.rgb, (640, 360)).astype(np.uint8))

    return read


@pytest.fixture(scope="module")
def smile(assets: Assets, networks: Networks) -> Iterator[Extraction]:
    """single_face.mp4: a man, neutral at first, smiles broadly."""
    with extract_tracks(reader(assets("single_face.mp4")), networks, TrackConfig()) as extraction:
        yield extraction


@pytest.fixture(scope="module")
def smiling(smile: Extraction) -> FaceTrack:
    (track,) = smile.tracks
    return track


@pytest.mark.parametrize("redetect_every", [1, 5])
@pytest.mark.parametrize(
    ("name", "start_s", "end_s", "start_reason", "end_reason"),
    [
        ("single_face.mp4", 0.0, 2.37, "video_start", "video_end"),
        ("carphone_pristine.mp4", 0.0, 3.97, "video_start", "video_end"),
        ("face_noface.mov", 0.0, 2.37, "video_start", "lost"),  # one blank frame lies before the cut
        ("noface_face.mov", 3.95, 6.31, "cut", "lost"),  # the last frame shows no face
    ],
)
def test_one_track_from_the_right_second_to_the_right_second(
    assets: Assets,
    networks: Networks,
    name: str,
    start_s: float,
    end_s: float,
    start_reason: str,
    end_reason: str,
    redetect_every: int,
) -> None:
    config = TrackConfig(redetect_every=redetect_every)
    with extract_tracks(reader(assets(name)), networks, config) as extraction:
        (track,) = extraction.tracks
    assert track.times_s[[0, -1]] == pytest.approx([start_s, end_s], abs=0.05)
    assert (track.start_reason, track.end_reason) == (start_reason, end_reason)
    assert not track.is_gap_before.any()
    assert track.identity_distances.max() < config.same_person_below


@pytest.mark.timeout(120)
def test_a_hand_over_the_face_does_not_break_its_track(assets: Assets, networks: Networks) -> None:
    with extract_tracks(reader(assets("WolfgangLanger_Pexels.mp4")), networks, TrackConfig()) as extraction:
        (track,) = extraction.tracks
    assert len(track.times_s) >= 465  # of 472 frames
    assert np.abs(track.pose_deg).max() < 45
    assert track.identity_distances.max() < TrackConfig().other_person_above


def test_no_face_gives_no_track(assets: Assets, networks: Networks) -> None:
    with extract_tracks(reader(assets("no_face.mp4")), networks, TrackConfig()) as extraction:
        assert extraction.tracks == []


def test_a_cut_between_people_ends_one_track_and_begins_another(assets: Assets, networks: Networks) -> None:
    man, woman = assets("single_face.mp4"), assets("WolfgangLanger_Pexels.mp4")
    with extract_tracks(spliced((man, 0, 20), (woman, 0, 20)), networks, TrackConfig()) as extraction:
        before, after = extraction.tracks
    assert extraction.cuts_s == [0.8]
    assert (before.times_s[-1], before.end_reason) == (0.76, "cut")
    assert (after.times_s[0], after.start_reason) == (0.8, "cut")


def test_another_person_in_the_same_place_begins_another_track_even_where_no_cut_was_seen(
    assets: Assets, networks: Networks
) -> None:
    man, woman = assets("single_face.mp4"), assets("WolfgangLanger_Pexels.mp4")
    blind = TrackConfig(cut_threshold=1e6, min_iou=0.05)
    with extract_tracks(spliced((man, 0, 30), (woman, 0, 30)), networks, blind) as extraction:
        assert extraction.cuts_s == []
        assert not any(track.times_s[0] < 1.2 <= track.times_s[-1] for track in extraction.tracks)
        assert [len(track.times_s) for track in extraction.tracks] == [30, 30]


def test_a_short_miss_is_a_gap_that_is_told(assets: Assets, networks: Networks) -> None:
    def read() -> Iterator[Frame]:
        for frame in islice(reader(assets("single_face.mp4"))(), 40):
            yield Frame(frame.index, frame.time_s, frame.rgb if frame.index not in (20, 21) else frame.rgb // 50)

    with extract_tracks(read, networks, TrackConfig()) as extraction:
        (track,) = extraction.tracks
    assert track.frame_indices.tolist() == [index for index in range(40) if index not in (20, 21)]
    assert track.is_gap_before.nonzero()[0].tolist() == [20]


def test_a_long_track_is_cut_into_equal_parts(assets: Assets, networks: Networks) -> None:
    config = TrackConfig(max_track_s=1.0)
    with extract_tracks(reader(assets("single_face.mp4")), networks, config) as extraction:
        parts = extraction.tracks
        assert [len(list(extraction.crops_jpeg(part))) for part in parts] == [24, 24, 24]
    assert np.concatenate([part.frame_indices for part in parts]).tolist() == list(range(72))
    reasons = [(part.start_reason, part.end_reason) for part in parts]
    assert reasons == [("video_start", "max_length"), ("max_length", "max_length"), ("max_length", "video_end")]


def test_a_smile_is_measured_where_it_happens(assets: Assets, smile: Extraction, smiling: FaceTrack) -> None:
    actions = BlendshapeNetwork(assets("face_landmarker.task")).measure(smile.landmarks_px(smiling))
    quarter = len(actions) // 4
    assert ((actions >= 0) & (actions <= 1)).all()
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        score = actions[:, BLENDSHAPE_NAMES.index(name)]
        assert score[:quarter].mean() < 0.05
        assert score[-quarter:].mean() == pytest.approx(0.78, abs=0.06)
    blink = actions[:, [BLENDSHAPE_NAMES.index("eyeBlinkLeft"), BLENDSHAPE_NAMES.index("eyeBlinkRight")]]
    closed_s = smiling.times_s[blink.min(axis=1) > 0.4]
    assert len(closed_s) and (closed_s[0] > 0.8) and (closed_s[-1] < 1.2), "he blinks once, about one second in"


def test_actions_ignore_place_and_size_of_the_face(assets: Assets, smile: Extraction, smiling: FaceTrack) -> None:
    network = BlendshapeNetwork(assets("face_landmarker.task"))
    points = smile.landmarks_px(smiling)[::24]
    np.testing.assert_allclose(network.measure(3 * points + 50), network.measure(points), atol=1e-3)


def test_no_landmarks_give_no_actions_and_wrong_ones_are_refused(assets: Assets) -> None:
    network = BlendshapeNetwork(assets("face_landmarker.task"))
    assert network.measure(np.empty((0, 478, 3), np.float32)).shape == (0, 52)
    with pytest.raises(ValueError, match=r"expected shape \[T, 478, 3\], got \[1, 468, 3\]"):
        network.measure(np.empty((1, 468, 3), np.float32))


def test_crops_come_in_order_and_hold_still(smile: Extraction, smiling: FaceTrack) -> None:
    crops: list[Any] = [
        cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in smile.crops_jpeg(smiling)
    ]
    assert [rgb.shape for rgb in crops] == [(224, 224, 3)] * len(smiling.times_s)
    forehead = np.array([rgb[40:70, 72:152].mean(axis=2) for rgb in crops])
    moves = [cv2.phaseCorrelate(before, after)[0] for before, after in pairwise(forehead)]
    assert np.percentile(np.hypot(*np.transpose(moves)), 95) < 1.0, "the crop wanders from frame to frame"


def test_a_video_that_changes_between_its_two_readings_is_refused(assets: Assets, networks: Networks) -> None:
    readings = iter([72, 5])

    def read() -> Iterator[Frame]:
        return islice(reader(assets("single_face.mp4"))(), next(readings))

    with pytest.raises(ValueError, match=r"lacks 67 frames .* the first is frame 5"):
        extract_tracks(read, networks, TrackConfig())
