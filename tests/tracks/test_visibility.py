"""Whether a thing in front of a face is noticed, and nothing else is: on a real face that things were painted over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.assets import fetch
from pipeline.tracks.config import TrackConfig
from pipeline.tracks.extract import extract_tracks
from pipeline.tracks.stage import open_networks
from pipeline.tracks.visibility import region_features, visibility
from pipeline.videos.frames import Frame, probe, read_frames
from schemas.tracks import FACE_REGIONS

Picture = NDArray[np.uint8]
Paint = Callable[[Picture], None]
Flags = NDArray[np.bool_]

NUM_FRAMES = 72  # of single_face.mp4: 640x360, a man who hardly moves, neutral at first, then smiles broadly
SKIN = (185, 132, 108)
MIDDLE = range(20, 40)


@cache
def frames() -> list[Frame]:
    path = fetch("single_face.mp4")
    return list(read_frames(path, probe(path).decoder))


@cache
def landmarks_px() -> NDArray[np.float32]:
    """Of the middle of the clip [478, 2]; it moves by a few pixels."""
    with extract_tracks(lambda: iter(frames()), open_networks(TrackConfig()), TrackConfig()) as extraction:
        (track,) = extraction.tracks
        return extraction.landmarks_px(track)[NUM_FRAMES // 2, :, :2].copy()


def covered(paint: Paint, when: range) -> dict[str, Flags]:
    """What is noticed as covered [T] in each region when something is painted over the frames `when`."""

    def read() -> Iterator[Frame]:
        for number, frame in enumerate(frames()):
            rgb = frame.rgb.copy()
            if number in when:
                paint(rgb)
            yield Frame(frame.index, frame.time_s, rgb)

    with extract_tracks(read, open_networks(TrackConfig()), TrackConfig()) as extraction:
        (track,) = extraction.tracks
        assert len(track.times_s) == NUM_FRAMES, "the face was lost behind the thing: make it smaller"
        return dict(zip(FACE_REGIONS, (extraction.visibility(track) < 0.5).T, strict=True))


def bar(colour: tuple[int, int, int], *, at: int, height: float) -> Paint:
    """A level bar over one landmark, `height` times as high as the eyes are apart."""
    points = landmarks_px()
    half = height * float(np.linalg.norm(points[33] - points[263])) / 2
    top, bottom = int(points[at, 1] - half), int(points[at, 1] + half)
    return lambda rgb: rgb[top:bottom].__setitem__(slice(None), colour)


def patch(colour: tuple[int, int, int], *, at: int, width: float) -> Paint:
    """A shaded ellipse around one landmark, `width` times as wide as the eyes are apart."""
    points = landmarks_px()
    radius = width * float(np.linalg.norm(points[33] - points[263])) / 2
    centre = (round(float(points[at, 0])), round(float(points[at, 1])))

    def paint(rgb: Picture) -> None:
        for part in (1.0, 0.8, 0.6, 0.4):
            shade = [value * (1.08 - 0.25 * part) for value in colour]
            cv2.ellipse(rgb, centre, (round(radius * part), round(0.7 * radius * part)), 0, 0, 360, shade, -1)

    return paint


def nothing(rgb: Picture) -> None:
    """Leave the picture as it is."""


def test_of_a_smile_with_nothing_before_it_hardly_a_region_is_called_covered() -> None:
    flags = np.stack(list(covered(nothing, range(0)).values()))
    assert flags.mean() <= 0.02


@pytest.mark.parametrize("colour", [(20, 20, 20), (60, 110, 200), (235, 235, 235)])
def test_a_bar_over_the_mouth_is_noticed_and_the_eyes_stay_seen(colour: tuple[int, int, int]) -> None:
    flags = covered(bar(colour, at=13, height=0.5), MIDDLE)
    is_there = np.isin(np.arange(NUM_FRAMES), MIDDLE)
    assert flags["mouth"][is_there].mean() >= 0.9
    assert flags["mouth"][~is_there].mean() <= 0.05
    assert max(flags[eye][is_there].mean() for eye in ("eye_left", "eye_right")) <= 0.1


@pytest.mark.parametrize("when", [MIDDLE, range(10, 60), range(NUM_FRAMES)], ids=["short", "long", "always"])
def test_a_thing_of_the_colour_of_skin_over_the_mouth_is_noticed_however_long_it_stays(when: range) -> None:
    flags = covered(patch(SKIN, at=13, width=0.9), when)
    is_there = np.isin(np.arange(NUM_FRAMES), when)
    assert flags["mouth"][is_there].mean() >= 0.9
    assert not flags["mouth"][~is_there].any()


@pytest.mark.parametrize(("cheek", "side", "other"), [(50, "right", "left"), (280, "left", "right")])
def test_left_and_right_are_the_persons_own(cheek: int, side: str, other: str) -> None:
    flags = covered(patch((40, 90, 60), at=cheek, width=0.6), MIDDLE)
    assert flags[f"cheek_{side}"][MIDDLE].mean() >= 0.9
    assert flags[f"cheek_{other}"][MIDDLE].mean() <= 0.1


def test_flickering_light_covers_nothing() -> None:
    gains = 0.85 + 0.15 * np.sin(np.arange(NUM_FRAMES) * 1.3)
    number = iter(range(10 * NUM_FRAMES))

    def flicker(rgb: Picture) -> None:
        rgb[:] = cv2.convertScaleAbs(rgb, alpha=float(gains[next(number) % NUM_FRAMES]))

    assert np.stack(list(covered(flicker, range(NUM_FRAMES)).values())).mean() <= 0.03


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), brighter=st.floats(-1, 1))
def test_light_that_changes_with_time_changes_nothing(seed: int, brighter: float) -> None:
    rng = np.random.default_rng(seed)
    face = rng.normal(size=(1, 9, 16, 4), scale=0.3) + rng.normal(size=(30, 9, 16, 4), scale=0.02)
    light = brighter * rng.normal(size=(30, 1, 1, 4)) * [1, 0.2, 0.2, 0.3]
    straight = np.zeros((30, 3), np.float32)
    dark, bright = ((face + added).astype(np.float32).reshape(30, 9, 64) for added in (np.zeros(1), light))
    np.testing.assert_allclose(visibility(dark, straight), visibility(bright, straight), atol=0.02)


def test_a_track_of_one_frame_and_one_of_none_have_an_answer() -> None:
    crop = np.full((224, 224, 3), 128, np.uint8)
    points = np.random.default_rng(0).uniform(-20, 250, (478, 2)).astype(np.float32)
    features = region_features(crop, points)[None]
    assert features.dtype == np.float32
    one = visibility(features, np.zeros((1, 3), np.float32))
    assert one.shape == (1, 9) and one.dtype == np.float32
    assert one[0, FACE_REGIONS.index("mouth")] < 0.5, "an even grey has no mouth"
    assert visibility(features[:0], np.zeros((0, 3), np.float32)).shape == (0, 9)
