"""Cuts are found where shots of real videos were put together, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.videos.cuts import CutFinder
from pipeline.videos.frames import probe, read_frames

Assets = Callable[[str], Path]
Picture = NDArray[np.uint8]


def frames_of(path: Path, number: int) -> list[Picture]:
    return [frame.rgb for frame in islice(read_frames(path, probe(path).decoder), number)]


def cuts_in(frames: Iterable[Picture]) -> list[int]:
    finder = CutFinder(threshold=3.0)
    for number, rgb in enumerate(frames):
        finder.see(rgb, number / 25)
    return finder.cuts()


@pytest.fixture(scope="module")
def man(assets: Assets) -> list[Picture]:
    return frames_of(assets("single_face.mp4"), 40)


@pytest.fixture(scope="module")
def woman(assets: Assets) -> list[Picture]:
    return frames_of(assets("WolfgangLanger_Pexels.mp4"), 40)


def test_each_shot_begins_at_its_first_frame(man: list[Picture], woman: list[Picture]) -> None:
    assert cuts_in([*man[:20], *woman[:15], *man[20:]]) == [20, 35]


def test_what_passes_the_camera_breaks_the_picture_and_is_no_cut(man: list[Picture], woman: list[Picture]) -> None:
    finder = CutFinder(threshold=3.0)
    for number, rgb in enumerate([*man[:20], *woman[:4], *man[20:]]):
        finder.see(rgb, number / 25)
    assert (finder.breaks(), finder.cuts()) == ([20, 24], [])


def test_a_shot_that_comes_back_after_a_while_is_a_cut(man: list[Picture], woman: list[Picture]) -> None:
    assert cuts_in([*man[:20], *woman[:12], *man[20:]]) == [20, 32]


def test_a_face_that_leaves_at_a_cut_is_seen(assets: Assets) -> None:
    assert cuts_in(frames_of(assets("face_noface.mov"), 100)) == [73]


def test_flickering_light_is_no_cut(man: list[Picture]) -> None:
    light = 1 + 0.25 * np.sin(1.3 * np.arange(len(man)))
    assert cuts_in(np.clip(rgb * gain, 0, 255).astype(np.uint8) for rgb, gain in zip(man, light, strict=True)) == []


def test_a_shaking_camera_is_no_cut(man: list[Picture]) -> None:
    shifts = np.random.default_rng(0).integers(-20, 20, (len(man), 2)).tolist()
    shaken = (
        cv2.warpAffine(
            rgb, np.array([[1, 0, x], [0, 1, y]], np.float64), rgb.shape[1::-1], borderMode=cv2.BORDER_REFLECT
        )
        for rgb, (x, y) in zip(man, shifts, strict=True)
    )
    assert cuts_in(rgb.astype(np.uint8) for rgb in shaken) == []


def test_a_frame_that_may_begin_a_shot_is_told_at_once(man: list[Picture], woman: list[Picture]) -> None:
    finder = CutFinder(threshold=3.0)
    told = [finder.see(rgb, number / 25) for number, rgb in enumerate([*man[:10], *woman[:10]])]
    assert told == [number in (0, 10) for number in range(20)]


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_video_of_few_frames_has_no_cut(man: list[Picture], number: int) -> None:
    assert cuts_in(man[:number]) == []
