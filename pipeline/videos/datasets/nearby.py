"""Find the folder of a data set near a folder that is not it: one level too high or too deep is the usual mistake."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipeline.videos.datasets.listing import DatasetError
from pipeline.videos.datasets.registry import READERS, SourceAddress, read_dataset

LEVELS = 2
"""How far up and down is looked."""

MOST_FOLDERS = 40
"""Folders that are tried; a set's own folders of clips are many more, and none of them is the set's."""

MOST_S = 10.0
"""Seconds after which no other folder is tried."""


def find_nearby(address: SourceAddress) -> Path | None:
    """The folder below or above the one that was named that can be read as the set; None if there is none near."""
    end = time.monotonic() + MOST_S
    for folder in _candidates(address.path):
        if time.monotonic() > end:
            return None
        if _holds_clips(replace(address, path=folder)):
            return folder
    return None


def guess_set(folder: Path) -> str | None:
    """The name of the data set that a folder can be read as; None if it is none or could be several."""
    fitting = [name for name in READERS if _holds_clips(SourceAddress("dataset", folder, name))]
    return fitting[0] if len(fitting) == 1 else None


def _holds_clips(address: SourceAddress) -> bool:
    try:
        return any(clip.path is not None for clip in read_dataset(address).clips)
    except (DatasetError, OSError):
        return False


def _candidates(place: Path) -> Iterator[Path]:
    """First up, for that is quick, then down, level by level."""
    up = [parent for parent in list(place.absolute().parents)[: LEVELS + 1] if parent != Path("/")]
    there = [parent for parent in up if parent.is_dir()]
    yield from there[:LEVELS]
    level = [place] if place.is_dir() else there[:1]
    tried = 0
    for _ in range(LEVELS):
        below: list[Path] = []
        for folder in level:
            below += _folders(folder, MOST_FOLDERS - tried - len(below))
        yield from below
        tried += len(below)
        level = below


def _folders(folder: Path, most: int) -> list[Path]:
    found: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if len(found) >= most:
                    break
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=True):
                    found.append(Path(entry.path))
    except OSError:
        return []
    return sorted(found)
