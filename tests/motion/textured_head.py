"""A head whose picture and landmarks are exact at any turn: a ball with a pattern, one part of which can act."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schemas.motion import CROP_PX

NUM_LANDMARKS = 478
RADIUS_PX, CENTRE_PX = 95.0, 112.0
MOUTH = np.array([0.0, 0.35, -np.sqrt(1 - 0.35**2)])
"""The part that acts, as a direction from the middle of the head: x right, y down, z away."""


@dataclass(frozen=True)
class Look:
    """How the head is held, how far its mouth has moved (parts of the radius), and what the light does to it."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    action: float = 0.0
    gain: float = 1.0
    offset: float = 0.0


@lru_cache(maxsize=64)
def grey_of(look: Look) -> NDArray[np.float32]:
    """Its picture in grey levels [P, P], not rounded; kept, so leave it as it is."""
    x, y = (np.mgrid[:CROP_PX, :CROP_PX][::-1] + 0.5 - CENTRE_PX) / RADIUS_PX
    squared = x**2 + y**2
    is_head = squared < 1
    seen = np.stack([x, y, -np.sqrt(np.where(is_head, 1 - squared, 0))], axis=-1)
    on_head = seen @ _turn(look)  # the transpose turns back
    near = np.exp(-((on_head - MOUTH) ** 2).sum(axis=-1) / (2 * 0.15**2))
    on_head[..., 1] -= look.action * near
    waves, phases, heights = _pattern()
    pattern = 110 + (np.sin(on_head @ waves + phases) * heights).sum(axis=-1)
    return np.where(is_head, look.gain * pattern + look.offset, 40).astype(np.float32)


def rgb_of(look: Look) -> NDArray[np.uint8]:
    """Its picture as a crop, uint8 [P, P, 3]."""
    levels = np.clip(np.round(grey_of(look)), 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def landmarks_of(look: Look) -> NDArray[np.float32]:
    """478 points of it [N, 3] in pixels of the crop; the action moves none of them."""
    return (_points() @ _turn(look).T * RADIUS_PX + [CENTRE_PX, CENTRE_PX, 0.0]).astype(np.float32)


def patch_of_mouth(look: Look) -> tuple[int, int]:
    """Row and column of the 14 x 14 patch in which the middle of the acting part is seen."""
    x, y, _ = (_turn(look) @ MOUTH) * RADIUS_PX + CENTRE_PX
    return int(y // 16), int(x // 16)


def _turn(look: Look) -> NDArray[np.float64]:
    yaw, pitch = np.radians([look.yaw_deg, look.pitch_deg])
    about_y = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    return np.asarray(about_y @ about_x)


@lru_cache(maxsize=1)
def _points() -> NDArray[np.float64]:
    """Spread evenly over the front, up to 55 degrees from its middle."""
    number = np.arange(NUM_LANDMARKS)
    z = 1 - (1 - np.cos(np.radians(55))) * (number * 89 % NUM_LANDMARKS + 0.5) / NUM_LANDMARKS
    angle, ring = number * 89 % NUM_LANDMARKS * np.pi * (3 - np.sqrt(5)), np.sqrt(1 - z**2)
    return np.column_stack([ring * np.cos(angle), ring * np.sin(angle), -z])


@lru_cache(maxsize=1)
def _pattern() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(5)
    ways = rng.normal(size=(3, 24))
    waves = ways / np.linalg.norm(ways, axis=0) * rng.uniform(8, 34, 24)
    return waves, rng.uniform(0, 2 * np.pi, 24), rng.uniform(4, 9, 24)
