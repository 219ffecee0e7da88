"""Write a small FERV39k in its exact layout: names, spaces and the official lists, contents made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

SCENES = ("Action", "DailyLife", "War")
WORDS = ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear")
LABELS = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")

CLIPS: tuple[tuple[str, str], ...] = tuple(
    (f"{scene}/{word}/{number:04d}", "test" if number % 3 == 0 else "train")
    for scene in SCENES
    for word in WORDS
    for number in range(1, 4)
)
"""Name and part of each clip: 63, a third of them in test; 0001 is there for every scene and label."""

Write = Callable[[Path, str], None]
"""Writes a clip: gets the folder of frames or the path of a video, and the clip's name."""


def label_of(name: str) -> str:
    """Our name of a clip's label."""
    return LABELS[WORDS.index(name.split("/")[1])]


def stub_frames(folder: Path, name: str) -> None:
    """Two frames that are no pictures, numbered without zeros."""
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"{number}.jpg").write_bytes(f"frame {number} of {name}".encode())


def stub_video(path: Path, name: str) -> None:
    """A video that is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"video {name}".encode())


def write_ferv39k(
    folder: Path,
    variants: Sequence[str] = ("faces",),
    *,
    frames: Write = stub_frames,
    video: Write = stub_video,
    lists: bool = True,
    scenes: bool = False,
) -> Path:
    """Write FERV39k below `folder` and return it."""
    for variant in variants:
        for name, _ in CLIPS:
            if variant == "faces":
                frames(folder / "2_ClipsforFaceCrop" / name, name)
            else:
                video(folder / "0_7_LabelClips" / f"{name}.mp4", name)
    if lists:
        write_lists(folder / "4_setups/All_scenes")
    if scenes:
        for scene in SCENES:
            for part in ("train", "test"):
                _write_list(folder / f"4_setups/22_scenes/{scene}/{part}_{scene}.csv", part, scene)
    return folder


def write_lists(folder: Path) -> None:
    """Write train_All.csv and test_All.csv."""
    for part in ("train", "test"):
        _write_list(folder / f"{part}_All.csv", part, "")


def _write_list(path: Path, part: str, scene: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} {name.split('/')[1]}\n" for name, side in CLIPS if side == part and name.startswith(scene)]
    path.write_bytes("".join(lines).encode())
