"""Load what was calibrated of whole regions: the estimate of each action, and from where a region is said to move."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pipeline.actions.limits import MovementLimits

CALIBRATED = Path(__file__).with_name("coarse.toml")
"""Written by bench/calibrate_coarse.py, which says how."""


class CoarseRegion(BaseModel):
    """How one region is judged. Limits are in estimated weights, which fall short of the drawn ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    is_told: bool
    """Whether a movement of the region can be told from one of its neighbours."""

    is_deniable: bool
    """Whether what lies below `absent_below` shows that the region does not move."""

    limits: MovementLimits

    pulled_along_by: Mapping[str, float] = Field(default_factory=dict)
    """Neighbours, and the part of their movement that is taken off because it moves this region's landmarks too."""


class CoarseModel(BaseModel):
    """What was calibrated: the estimate of each action, and how each region is judged."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    signals: tuple[str, ...]
    """What the estimates read: names of `measures.signals`, mean of both sides, then the head's turn in degrees."""

    weights: Mapping[str, tuple[float, ...]]
    """For each action the weight of each signal."""

    regions: Mapping[str, CoarseRegion]


@cache
def calibrated_coarse() -> CoarseModel:
    """The model that comes with the program."""
    return CoarseModel.model_validate(
        {name: table for name, table in tomllib.loads(CALIBRATED.read_text(encoding="utf-8")).items() if name != "made"}
    )


@cache
def weights_digest() -> str:
    """Digest of the estimates' weights: what is computed with others has another key."""
    model = calibrated_coarse().model_dump_json(exclude={"regions"})
    return hashlib.sha256(model.encode()).hexdigest()[:16]
