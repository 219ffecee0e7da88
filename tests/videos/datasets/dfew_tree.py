"""Write a small DFEW in its exact layout: names, headers, line ends and folds as published, contents made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import openpyxl

NUM_CLIPS = 40
LABELS = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
FOLDS = (1, 2, 3, 4, 5)

LABEL_IDS: Mapping[int, int] = {clip: 0 if clip % 8 == 0 else clip % 8 for clip in range(1, NUM_CLIPS + 1)}
"""By clip: 1 to 7, or 0 for the five that have no single label."""

WITHOUT_FACE = (7, 16, 23)
"""Clips without frames: 7 and 23 have a single label, 16 has none. They are in no fold."""

IN_FOLDS = tuple(clip for clip, label in LABEL_IDS.items() if label and clip not in WITHOUT_FACE)

Write = Callable[[Path, int], None]
"""Writes a clip: gets the folder of frames or the path of a video, and the clip's number."""


def stub_frames(folder: Path, clip: int) -> None:
    """Three frames that are no pictures, for tests that open none; numbers start at 1 and are padded to five digits."""
    folder.mkdir(parents=True)
    for number in (1, 2, 3):
        (folder / f"{clip:05d}_{number:05d}.jpg").write_bytes(f"frame {number} of {clip}".encode())


def stub_video(path: Path, clip: int) -> None:
    """A video that is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"video {clip}".encode())


def tested_in(clip: int) -> int:
    """The fold that tests a clip."""
    return clip % 5 + 1


def write_dfew(
    folder: Path,
    variants: Sequence[str] = ("clip_224x224",),
    *,
    frames: Write = stub_frames,
    video: Write = stub_video,
    splits: bool = True,
    votes: bool = True,
) -> Path:
    """Write DFEW below `folder` and return it."""
    for variant in variants:
        for clip in range(1, NUM_CLIPS + 1):
            if variant == "original":
                video(folder / f"Clip/original/{clip}.mp4", clip)
            elif clip not in WITHOUT_FACE:
                frames(folder / f"Clip/{variant}/{clip:05d}", clip)
    if splits:
        write_splits(folder)
    if votes:
        write_votes(folder / "Annotation/annotation.xlsx")
    return folder


def write_splits(folder: Path, name: str = "EmoLabel_DataSplit/{part}(single-labeled)/set_{fold}.csv") -> None:
    """Write the ten lists; `name` holds `{part}` and `{fold}`."""
    for fold in FOLDS:
        for part in ("train", "test"):
            path = folder / name.format(part=part, fold=fold)
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [f"{clip},{LABEL_IDS[clip]}" for clip in IN_FOLDS if (tested_in(clip) == fold) == (part == "test")]
            path.write_bytes("\r\n".join(["video_name,label", *rows, ""]).encode())


def votes_of(clip: int) -> tuple[int, ...]:
    """Ten votes, by label in the set's order: seven for its label and the rest for the next, or no majority."""
    label = LABEL_IDS[clip]
    counts = [0] * 7
    if label:
        counts[label - 1] += 7
        counts[label % 7] += 3
    else:
        counts[0], counts[3], counts[6] = 4, 3, 3
    return tuple(counts)


def write_votes(path: Path) -> None:
    """Write annotation.xlsx."""
    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["1happy", "2sad", "3neutral", "4angry", "5surprise", "6disgust", "7fear", "order", "label"])
    for clip in range(1, NUM_CLIPS + 1):
        sheet.append([*votes_of(clip), clip, LABEL_IDS[clip]])
    book.save(path)
