"""What every test may ask for: the pinned files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from pipeline.assets import fetch
from tests.real_corpus import cut_clip

os.environ["COLUMNS"] = "200"  # tables of commands are as wide in whatever order tests import what prints them

settings.register_profile("facescribe", deadline=None)  # how long an example takes is the machine's business
settings.load_profile("facescribe")


@pytest.fixture(scope="session")
def assets() -> Callable[[str], Path]:
    """The cached path of an asset by its name, such as "single_face.mp4"; fetched by pip the first time."""
    return fetch


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, assets: Callable[[str], Path]) -> Path:
    """Two short face clips in folders of their own, a clip of an empty room, and a file that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    cut_clip(assets("single_face.mp4"), folder / "man" / "smile.mp4")
    cut_clip(assets("carphone_pristine.mp4"), folder / "talk.mp4")
    cut_clip(assets("no_face.mp4"), folder / "room.mp4")
    (folder / "notes.mp4").write_bytes(b"not a video at all")
    return folder
