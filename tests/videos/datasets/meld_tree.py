"""Write a small MELD in its exact layout: tables as published, with commas and quotation marks in what is said."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HEADER = (
    *("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID"),
    *("Season", "Episode", "StartTime", "EndTime"),
)
EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")

SAID = (
    "also I was the point person on my company\x92s transition from the KL-5 to GR-6 system.",
    "You liked it? You really liked it?",
    "she's probably gonna realize, \"Hey, you're not Bob.\"",
    "Uhh….",
    "What's he gonna do,\u2028right?",
)
"""A control character in place of an apostrophe, as in the published table of train; commas; quotation marks."""

SIZES: Mapping[str, Sequence[int]] = {"train": (4, 3, 7), "dev": (3, 5), "test": (7, 2)}
"""Of each part, how many utterances each dialogue has; dialogues begin at 0 in each."""

FOLDERS: Mapping[str, str] = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}

Write = Callable[[Path, int], None]
"""Writes a video: gets its path and a number of its own."""


def stub_video(path: Path, number: int) -> None:
    """A video that is none, for tests that open none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"video {number}".encode())


def utterances(part: str) -> list[tuple[int, int, str]]:
    """Dialogue, utterance and emotion of each row of a part."""
    pairs = [(dialogue, turn) for dialogue, size in enumerate(SIZES[part]) for turn in range(size)]
    return [(dialogue, turn, EMOTIONS[at % 7]) for at, (dialogue, turn) in enumerate(pairs)]


def write_meld(
    folder: Path,
    *,
    folders: Mapping[str, str] = FOLDERS,
    table: str = "{part}_sent_emo.csv",
    video: Write = stub_video,
) -> Path:
    """Write MELD below `folder` and return it; `table` holds `{part}`."""
    number = 0
    for part in SIZES:
        for dialogue, turn, _ in utterances(part):
            number += 1
            video(folder / folders[part] / f"dia{dialogue}_utt{turn}.mp4", number)
        write_table(folder / table.format(part=part), utterances(part))
    return folder


def write_table(path: Path, rows: Sequence[tuple[int, int, str]], more: Sequence[str] = ()) -> None:
    """A table of a part in UTF-8 with LF; `more` are lines as they are to stand after the rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(HEADER)
        for number, (dialogue, turn, emotion) in enumerate(rows, 1):
            times = (f"00:16:{number % 60:02d},059", f"00:16:{number % 60:02d},931")
            said = SAID[number % len(SAID)]
            table.writerow([number, said, "Chandler", emotion, "neutral", dialogue, turn, 8, 21, *times])
        file.write("".join(f"{line}\n" for line in more))
