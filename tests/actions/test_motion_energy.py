from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.actions.geometry import REGION_POINTS
from pipeline.actions.measurable import Passport
from pipeline.actions.motion_energy import motion_energy, motion_shares
from pipeline.tracks.quality import _CANONICAL, _RIGID
from schemas.actions import REGIONS
from schemas.tracks import FACE_REGIONS

NUM = 60
TIMES_S = np.arange(NUM) / 30
SIGMA_S = 0.05
NO_GAP = np.zeros(NUM, np.bool_)


def landmarks(region: str, speed: float) -> NDArray[np.float32]:
    """A face [T, 478, 3] in pixels whose `region` moves down, `speed` face units (5.06 cm) a second; 20 px a cm."""
    points = np.random.default_rng(0).uniform(-6, 6, (478, 3))
    points[list(_RIGID)] = _CANONICAL
    face = np.repeat(points[None], NUM, axis=0)
    rigid = points[[33, 133, 263, 362, 168, 6, 197, 195, 127, 356, 234, 454]]
    unit_cm = np.sqrt(((rigid - rigid.mean(axis=0)) ** 2).sum(axis=1).mean())
    face[:, REGION_POINTS[region], 1] += speed * unit_cm * TIMES_S[:, None]
    return np.asarray(face * 20 + 300, np.float32)


def shares_of(points: NDArray[np.float32], pose_deg: NDArray[np.float32]) -> NDArray[np.float32]:
    ones = np.ones(NUM, np.float32)
    seen = np.ones((NUM, len(FACE_REGIONS)), np.float32)
    passport = Passport(TIMES_S, ones, pose_deg, 200 * ones, 100 * ones, seen)
    energy = motion_energy(TIMES_S, points, pose_deg, NO_GAP, SIGMA_S)
    return motion_shares(energy, passport, np.ones(NUM, np.bool_), NO_GAP, SIGMA_S)


def test_points_of_regions_are_no_rigid_points_and_belong_to_one_region() -> None:
    assert tuple(REGION_POINTS) == REGIONS
    every = [point for points in REGION_POINTS.values() for point in points]
    assert len(every) == len(set(every))
    assert not set(every) & {33, 133, 263, 362, 168, 6, 197, 195, 127, 356, 234, 454}


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_that_moves_alone_has_its_speed_and_all_of_the_share(region: str) -> None:
    pose_deg = np.zeros((NUM, 3), np.float32)
    energy = motion_energy(TIMES_S, landmarks(region, 0.5), pose_deg, NO_GAP, SIGMA_S)
    assert energy.dtype == np.float32 and energy.shape == (NUM, len(REGIONS))
    here = REGIONS.index(region)
    assert energy[10:-10, here] == pytest.approx(0.5, rel=0.02)
    assert np.delete(energy, here, axis=1) == pytest.approx(0.0, abs=1e-3)
    assert shares_of(landmarks(region, 0.5), pose_deg).tolist() == pytest.approx(np.eye(len(REGIONS))[here])


def test_across_a_gap_nothing_moves() -> None:
    points = landmarks("mouth", 0.5)
    points[30:] += 100
    points[30:, REGION_POINTS["mouth"], 1] += 200
    is_gap_before = np.arange(NUM) == 30
    energy = motion_energy(TIMES_S, points, np.zeros((NUM, 3), np.float32), is_gap_before, SIGMA_S)
    assert not energy[[0, 30]].any()
    assert energy.max() < 0.6


def test_what_stays_below_the_noise_has_no_share_and_a_turning_head_raises_the_noise() -> None:
    still = np.zeros((NUM, 3), np.float32)
    assert not shares_of(landmarks("mouth", 0.05), still).any()
    turning = still.copy()
    turning[:, 0] = 40 * TIMES_S
    energy = motion_energy(TIMES_S, landmarks("mouth", 0.2), still, NO_GAP, SIGMA_S)
    ones = np.ones(NUM, np.float32)
    seen = np.ones((NUM, len(FACE_REGIONS)), np.float32)
    for pose_deg, is_moving in ((still, True), (turning, False)):
        passport = Passport(TIMES_S, ones, pose_deg, 200 * ones, 100 * ones, seen)
        assert motion_shares(energy, passport, NO_GAP == 0, NO_GAP, SIGMA_S).any() == is_moving
