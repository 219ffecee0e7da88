"""Write a small MAFW in its exact layout: names, tabs, GB18030 and CRLF as published, contents made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import openpyxl

LABELS = (
    *("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise", "contempt", "anxiety"),
    *("helplessness", "disappointment"),
)
NUM_CLIPS = 44
FOLDS = (1, 2, 3, 4, 5)

SINGLE = {clip: LABELS[clip % 11] for clip in range(1, NUM_CLIPS + 1) if clip % 20}
"""Single label by clip; two clips have none."""

COMPOUND = {
    clip: f"{label}_{LABELS[LABELS.index(label) + 1]}" if label in ("anger", "sadness") else label
    for clip, label in SINGLE.items()
    if clip != 44
}
"""Compound label by clip: anger_disgust, sadness_surprise, or the single one. Clip 44 is in no fold of compound."""

CAPTIONED = [clip for clip, label in SINGLE.items() if label != "neutral"]

Write = Callable[[Path, int], None]
"""Writes a clip: gets the folder of frames or the path of a video, and the clip's number."""


def chinese(clip: int) -> str:
    """The Chinese caption of a clip."""
    return f"一个人看着第{clip}个镜头\uff0c眉头紧蹙\uff0c微微皱鼻。"


def english(clip: int) -> str:
    """The English caption of a clip."""
    return f"A person looks at camera {clip}. The deep frown, and the slightly wrinkled nose."


def tested_in(clip: int) -> int:
    """The fold that tests a clip."""
    return clip % 5 + 1


def stub_frames(folder: Path, clip: int) -> None:
    """Two frames that are no pictures."""
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"{number:05d}.png").write_bytes(f"frame {number} of {clip}".encode())


def stub_video(path: Path, clip: int) -> None:
    """A video that is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"video {clip}".encode())


def write_mafw(
    folder: Path,
    variants: Sequence[str] = ("frames",),
    *,
    frames: Write = stub_frames,
    video: Write = stub_video,
    lists: bool = True,
    sheets: bool = True,
) -> Path:
    """Write MAFW below `folder` and return it."""
    for variant in variants:
        for clip in range(1, NUM_CLIPS + 1):
            if variant == "frames":
                frames(folder / f"data/frames/{clip:05d}", clip)
            else:
                video(folder / f"data/clips/{clip:05d}.mp4", clip)
    if lists:
        write_lists(folder / "Train & Test Set")
    if sheets:
        write_sheets(folder / "Labels")
    return folder


def write_lists(folder: Path, encoding: str = "gb18030") -> None:
    """Write the forty lists."""
    for protocol, labels in (("single", SINGLE), ("compound", COMPOUND)):
        for fold in FOLDS:
            for part in ("train", "test"):
                clips = [clip for clip in labels if (tested_in(clip) == fold) == (part == "test")]
                plain = [f"{clip:05d}.mp4 {labels[clip]}\r\n" for clip in clips]
                texts = [
                    f"{clip:05d}.mp4\t{labels[clip]}\t{chinese(clip)}\t{english(clip)}\r\n"
                    for clip in clips
                    if clip in CAPTIONED
                ]
                _write(folder / f"{protocol}/no_caption/set_{fold}/{part}.txt", "".join(plain).encode())
                _write(folder / f"{protocol}/with_caption/set_{fold}/{part}.txt", "".join(texts).encode(encoding))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def votes_of(clip: int) -> tuple[float, ...]:
    """How far each label was chosen: 8 of 11 for the clip's own, 3 for the next; shared by three where it has none."""
    shares = [0.0] * 11
    at = clip % 11
    shares[at], shares[(at + 1) % 11] = (8 / 11, 3 / 11) if clip in SINGLE else (4 / 11, 4 / 11)
    if clip not in SINGLE:
        shares[(at + 2) % 11] = 3 / 11
    return tuple(shares)


def write_sheets(folder: Path) -> None:
    """Write the four workbooks."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(1, NUM_CLIPS + 1)
    annotation = [(f"{n:05d}.mp4", 0 if n in SINGLE else -1, *votes_of(n)) for n in numbers]
    _sheet(folder / "annotation.xlsx", [("clip", "invalid", *LABELS), *annotation])
    single = [(f"{n:05d}.mp4", *votes_of(n), LABELS.index(label) + 1) for n, label in SINGLE.items()]
    _sheet(folder / "single-set.xlsx", [("clip", *LABELS, "single_label"), *single])
    multi = [
        (f"{n:05d}.mp4", *votes_of(n), ",".join(str(LABELS.index(part) + 1) for part in label.split("_")))
        for n, label in COMPOUND.items()
        if "_" in label
    ]
    _sheet(folder / "multi-set.xlsx", [("clip", *LABELS, "multi_label"), *multi])
    _sheet(folder / "descriptive_text.xlsx", [(f"{n:05d}.mp4", chinese(n), english(n)) for n in CAPTIONED])


def _sheet(path: Path, rows: Sequence[tuple[object, ...]]) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in rows:
        sheet.append(row)
    book.save(path)
