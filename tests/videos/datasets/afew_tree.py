"""Write a small AFEW in its exact layout: names of folders and clips as published, contents made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

WORDS = ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear")
LABELS = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")

CLIPS: tuple[tuple[str, str, str], ...] = tuple(
    (split, word, f"0{minute:02d}{place}{number}360")
    for split, minute, per_word in (("train", 12, 3), ("validation", 31, 2))
    for place, word in enumerate(WORDS)
    for number in range(per_word)
)
"""Split, folder and name of each clip: 21 and 14, named by their time in the film."""

Write = Callable[[Path, str], None]
"""Writes a clip: gets the folder of frames or the path of a video, and the clip's name."""


def stub_frames(folder: Path, name: str) -> None:
    """Two frames that are no pictures."""
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"{number:05d}.png").write_bytes(f"frame {number} of {name}".encode())


def stub_video(path: Path, name: str) -> None:
    """A video that is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"video {name}".encode())


def write_afew(folder: Path, variant: str = "faces", *, frames: Write = stub_frames, video: Write = stub_video) -> Path:
    """Write AFEW below `folder` and return it."""
    videos = {"train": "Train_AFEW", "validation": "Val_AFEW"}
    for split, word, clip in CLIPS:
        if variant == "faces":
            frames(folder / f"AFEW_Face/{split}/{word}/{clip}", clip)
        else:
            video(folder / f"{videos[split]}/{word}/{clip}.avi", clip)
    return folder
