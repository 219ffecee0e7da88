"""Write RAVDESS in its exact layout: the names of all 1,440 spoken takes, contents made up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ACTORS = tuple(f"{number:02d}" for number in range(1, 25))

Write = Callable[[Path, int], None]
"""Writes a video: gets its path and a number of its own."""


def stub_video(path: Path, number: int) -> None:
    """A video that is none, for tests that open none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"video {number}".encode())


def names(kind: str, actor: str) -> Iterator[str]:
    """The takes of an actor; `kind` is modality and channel, such as `01-01`. Neutral is never strong."""
    for emotion in range(1, 9 if kind.endswith("01") else 7):
        for intensity in (1,) if emotion == 1 else (1, 2):
            for statement, repetition in itertools.product((1, 2), (1, 2)):
                yield f"{kind}-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor}"


def write_ravdess(
    folder: Path,
    actors: Sequence[str] = ACTORS,
    kinds: Sequence[str] = ("01-01",),
    *,
    place: str = "Actor_{actor}",
    video: Write = stub_video,
) -> Path:
    """Write RAVDESS below `folder` and return it; `place` holds `{actor}`."""
    number = 0
    for kind, actor in itertools.product(kinds, actors):
        for name in names(kind, actor):
            number += 1
            suffix = "wav" if kind.startswith("03") else "mp4"
            video(folder / place.format(actor=actor) / f"{name}.{suffix}", number)
    return folder
