"""Chance by purpose: every random choice of a training has a stream of its own, named by what it is for.

A stream hangs on its name alone, such as (seed, "crop", epoch, clip_id): neither the rank or worker that draws, nor how
many numbers something else took before, changes what comes out. One stream for everything would: a network with one
more layer takes more numbers for its first weights, and the clips would come in another order.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np


def seed_of(*name: str | int) -> int:
    """A seed for this purpose: 63 bits of the hash of its name."""
    digest = hashlib.sha256(json.dumps(name).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*name: str | int) -> np.random.Generator:
    """The stream of this purpose, from its beginning."""
    return np.random.Generator(np.random.PCG64(seed_of(*name)))
