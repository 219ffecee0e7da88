"""Write a small Aff-Wild2 in its exact layout: one number a frame, and images for the frames with a face."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

NAMES = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"

FRAMES: Mapping[str, Mapping[str, Sequence[int]]] = {
    "Train_Set": {
        "120-120-1280x720": (0, 0, 1, -1, 1, 1),
        "video59": (4, 4, 4, -1, 4),
        "video59_right": (5, 6, 7, 7, 7),
        "2-30-640x360": (-1, -1, -1),
    },
    "Validation_Set": {"6-30-1920x1080_left": (2, 3, 3), "6-30-1920x1080_right": (3, 3, 3, 3)},
}
"""By video, the label of each frame."""

WITHOUT_FACE: Mapping[str, Sequence[int]] = {"120-120-1280x720": (2,), "video59_right": (1, 5)}
"""Numbers of frames that have a line and no image."""

TESTED = ("9-15-1920x1080", "video99_left")
"""Videos of the test set: frames and no annotation."""

Write = Callable[[Path, int], None]
"""Writes an image: gets its path and a number of its own."""


def stub_frame(path: Path, number: int) -> None:
    """An image that is none, for tests that open none."""
    path.write_bytes(f"image {number}".encode())


def write_affwild2(
    folder: Path,
    *,
    annotations: str = "annotations/EXPR_Classification_Challenge",
    frames: str = "cropped_aligned",
    test_list: bool = False,
    frame: Write = stub_frame,
) -> Path:
    """Write Aff-Wild2 below `folder` and return it."""
    number = 0
    for set_name, videos in FRAMES.items():
        for name, labels in videos.items():
            write_annotation(folder / annotations / set_name / f"{name}.txt", labels)
            (folder / frames / name).mkdir(parents=True)
            for image in range(1, len(labels) + 1):
                number += 1
                if image not in WITHOUT_FACE.get(name, ()):
                    frame(folder / frames / name / f"{image:05d}.jpg", number)
    for name in TESTED:
        (folder / frames / name).mkdir(parents=True)
        frame(folder / frames / name / "00001.jpg", 900)
    if test_list:
        path = folder / "names_of_videos_in_each_test_set/Expression_Classification_Challenge_test_set_release.txt"
        path.parent.mkdir()
        path.write_bytes("\n".join([*TESTED, ""]).encode())
    return folder


def write_annotation(path: Path, lines: Sequence[int | str], names: str = NAMES) -> None:
    """One annotation file: a line of names, then one line a frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([names, *map(str, lines), ""]).encode())
