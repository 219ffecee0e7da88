"""Measure how fast each region of a face moves, with the head's own movement taken out, and each region's share of it.

Shape letters: T = frames of a track, R = regions in the order of schemas.actions.REGIONS. A face unit is that of
`geometry.py`, about 5 cm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.actions.events import smoothed, stretches
from pipeline.actions.geometry import REGION_POINTS, in_face_frame
from pipeline.actions.measurable import Flags, Passport, Series
from schemas.actions import REGIONS

# Speed that 95 of 100 frames of rendered faces at rest keep below: while the head is still, and for each degree a
# second that it turns (the mesh of a turning face bends). By region, in face units a second.
_STILL = np.array([0.045, 0.045, 0.060, 0.030, 0.085, 0.100])
_PER_TURN = np.array([0.0024, 0.0016, 0.0030, 0.0022, 0.0045, 0.0090])


def motion_energy(
    times_s: Series,
    landmarks_px: NDArray[np.float32],
    pose_deg: NDArray[np.float32],
    is_gap_before: Flags,
    smoothing_s: float,
) -> NDArray[np.float32]:
    """Mean speed of each region's landmarks within the face, face units per second [T, R]; landmarks [T, 478, 3].

    Measured across the face, not in depth, from landmarks that are smoothed in time. 0 in the first frame and in the
    first after a gap.
    """
    points = in_face_frame(landmarks_px, pose_deg)
    energy = np.zeros((len(times_s), len(REGIONS)), np.float32)
    for stretch in stretches(np.ones(len(times_s), np.bool_), is_gap_before):
        steps_s = np.diff(times_s[stretch])[:, None]
        for number, region in enumerate(REGIONS):
            places = smoothed(times_s[stretch], points[stretch, REGION_POINTS[region], :2], smoothing_s)
            speed = np.linalg.norm(np.diff(places, axis=0), axis=2) / np.maximum(steps_s, 1e-9)
            energy[stretch, number][1:] = speed.mean(axis=1)
    return energy


def motion_shares(
    energy: NDArray[np.float32], passport: Passport, is_measurable: Flags, is_gap_before: Flags, smoothing_s: float
) -> NDArray[np.float32]:
    """Share of each region in all that the face moved above its noise floor [R]: they sum to 1, or nothing moved.

    energy [T, R] as `motion_energy` gives it, counted in the measurable frames.
    """
    floor = noise_floor(passport.times_s, passport.pose_deg, is_gap_before, smoothing_s)
    total = np.maximum(energy - floor, 0.0)[is_measurable].sum(axis=0)
    shares = total / total.sum() if total.sum() > 0 else np.zeros(len(REGIONS))
    return np.asarray(shares, np.float32)


def noise_floor(times_s: Series, pose_deg: NDArray[np.float32], is_gap_before: Flags, smoothing_s: float) -> Series:
    """Speed that each region of a face at rest hardly exceeds while its head turns as it does [T, R]."""
    turning = np.zeros(len(times_s))
    for stretch in stretches(np.ones(len(times_s), np.bool_), is_gap_before):
        pose = smoothed(times_s[stretch], pose_deg[stretch], smoothing_s)
        steps_s = np.maximum(np.diff(times_s[stretch]), 1e-9)
        turning[stretch][1:] = np.linalg.norm(np.diff(pose, axis=0), axis=1) / steps_s
    return np.asarray(_STILL + _PER_TURN * turning[:, None])
