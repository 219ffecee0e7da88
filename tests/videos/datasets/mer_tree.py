"""Write a small MER of 2023, 2024 or 2025 in its exact layout, contents made up."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

EMOTIONS = ("neutral", "angry", "happy", "sad", "worried", "surprise")

Write = Callable[[Path, int], None]
"""Writes a video: gets its path and a number of its own."""

REASON = (
    'In the video, the corners of the mouth go down, and the eyes are wet.\nThe words are "I see".\n\nSadness, then.'
)
"""Over several lines, with quotation marks and a comma, as such texts are."""


def stub_video(path: Path, number: int) -> None:
    """A video that is none, for tests that open none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"video {number}".encode())


def sample(number: int) -> str:
    """The name of a clip."""
    return f"sample_{number:08d}"


def labels(numbers: Iterable[int]) -> list[tuple[str, str]]:
    """Name and emotion of clips."""
    return [(sample(number), EMOTIONS[number % 6]) for number in numbers]


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table in UTF-8 with LF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def write_mer2023(folder: Path, *, tables: str = "{part}-label.csv", video: Write = stub_video) -> Path:
    """Twelve clips to train on, three, two and four labelled ones to test on, and six in test3 without a label."""
    for part, numbers in (("train", range(12)), ("test1", range(20, 23)), ("test2", range(30, 32))):
        for number in numbers:
            video(folder / part / f"{sample(number)}.avi", number)
        rows = [(name, label, "0.5") for name, label in labels(numbers)]
        path = "train-label.csv" if part == "train" else tables.format(part=part)
        write_table(folder / path, ("name", "discrete", "valence"), rows)
    for number in range(40, 50):
        video(folder / "test3" / f"samplenew_{number:08d}.mp4", number)
    rows3 = [(f"samplenew_{number:08d}", EMOTIONS[number % 6]) for number in range(40, 44)]
    write_table(folder / tables.format(part="test3"), ("name", "discrete"), rows3)
    return folder


def write_mer2024(folder: Path, *, video: Write = stub_video) -> Path:
    """Ten labelled clips and five without a label."""
    for number in range(10):
        video(folder / "video-labeled" / f"{sample(number)}.mp4", number)
    for number in range(100, 105):
        video(folder / "video-unlabeled" / f"samplenew3_{number:08d}.mp4", number)
    write_table(
        folder / "label-disdim.csv", ("name", "discrete", "valence"), [(*row, "-1.0") for row in labels(range(10))]
    )
    return folder


def write_mer2025(folder: Path, *, video: Write = stub_video) -> Path:
    """Twelve labelled clips, four candidates, two of OV-MERD, three of MER-Caption+ and one that nothing names."""
    for number in range(22):
        video(folder / "video" / f"{sample(number)}.mp4", number)
    write_table(
        folder / "track1_train_disdim.csv", ("name", "discrete", "valence"), [(*row, "0") for row in labels(range(12))]
    )
    write_table(folder / "track_all_candidates.csv", ("name",), [(sample(number),) for number in range(12, 16)])
    spoken = [(sample(number), "我知道了", "I see, really") for number in range(21)]
    write_table(folder / "subtitle_chieng.csv", ("name", "chinese", "english"), spoken)
    for which, numbers in (("ovmerd", range(16, 18)), ("mercaptionplus", range(18, 21))):
        opened = [(sample(number), "['sad', 'helpless']") for number in numbers]
        write_table(folder / f"track2_train_{which}.csv", ("name", "openset"), opened)
        told = [(sample(number), REASON) for number in numbers]
        write_table(folder / f"track3_train_{which}.csv", ("name", "reason"), told)
    return folder
