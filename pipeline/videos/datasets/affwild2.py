"""Aff-Wild2 (ABAW): videos of the web, each frame labelled with one of eight expressions; no label of a whole clip.

On the disk, as the organisers hand it out::

    annotations/EXPR_Classification_Challenge/Train_Set/120-120-1280x720.txt        also Validation_Set
    cropped_aligned/120-120-1280x720/00001.jpg                                      112 x 112 pixels
    cropped/120-120-1280x720/00001.jpg                                              the same faces, not aligned

The folder of annotations is called `EXPR_Set` or `5th_ABAW_Annotations/EXPR_Classification_Challenge` and the like in
other years; frames may lie in several folders (`cropped_aligned_new_50_vids`), which are read as one.

An annotation has one line of names, `Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other` (no `Other` before
2022), and then a whole number a frame of the video: 0 to 7, or -1 where it is not valid. Line n after the first is
image n, 00001.jpg being the first; a frame with no face found has a line and no image. Where two persons are in a
video, the second one has files of its own: `video59_right.txt`, `video49_left`; both are one video, and one group.

Label: None, unless all valid frames of a clip agree. Votes: how many valid frames have which label. Split: by the
folder of the annotation. The videos of the test set and those that have other annotations alone (valence, action
units) are told in one line; `names_of_videos_in_each_test_set/Expression_*.txt`, where it is there, makes clips of the
former. How many clips have which label was never published, since clips have none.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from natsort import natsorted

from pipeline.videos.datasets import on_disk
from pipeline.videos.datasets.listing import DatasetClip, DatasetError, Fault, FoldPart, Listing
from pipeline.videos.datasets.rows import read_text, split_lines
from pipeline.videos.label_names import label_name
from pipeline.videos.paths import path_of, path_text

TITLE = "Aff-Wild2 (ABAW, 2018 to 2025)"
LICENCE = "Aff-Wild2: non-commercial research alone, no redistribution (agreement with the organisers)"
LABELS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
"""What 0 to 7 mean."""

PROTOCOL = "affwild2"

VARIANTS: Mapping[str, str] = {
    "cropped_aligned": "aligned faces of 112 pixels, a folder of frames a person and video",
    "cropped": "faces as they were found, a folder of frames a person and video",
}

_SETS: Mapping[str, str] = {"Train_Set": "train", "Validation_Set": "validation"}
_VALUE = re.compile(r"-1|\d{1,3}", re.ASCII)
_SIDE = re.compile(r"(.+?)_(?:left|right)")
_FRAME = re.compile(r"(\d{1,8})\.(?:jpg|jpeg|png|bmp)", re.IGNORECASE | re.ASCII)
_MOST_NAMED = 3
"""Bad lines of one file that are told by their number and content; what is more is told with them."""


@dataclass
class FrameLabels:
    """What one annotation file says."""

    num_lines: int = 0
    """After the line of names."""

    votes: Counter[str] = field(default_factory=Counter)
    """Valid frames by our name of the label."""

    valid: list[int] = field(default_factory=list)
    """Numbers of the images that are valid, from 1."""


def read(folder: Path, variant: str | None = None) -> Listing:
    """List Aff-Wild2 below `folder`, which holds `annotations` and `cropped_aligned`.

    Raises:
        DatasetError: no annotation of expressions is there, or more than one year's; or no frames.
    """
    if variant not in (None, *VARIANTS):
        raise DatasetError(f"{TITLE} has no variant {variant!r}: it has {', '.join(VARIANTS)}")
    annotations = _find_annotations(folder)
    variant, paths = _find_frames(folder, variant)
    faults: list[Fault] = []
    clips: dict[str, DatasetClip] = {}
    files: list[str] = []
    sides: dict[str, dict[str, str]] = {}
    for set_name, part in _SETS.items():
        place = on_disk.find(annotations, set_name)
        for entry in on_disk.entries(place) if place else ():
            if not entry.name.lower().endswith(".txt"):
                continue
            file, name = on_disk.below(folder, entry.path), path_text(Path(entry.name).stem)
            files.append(file)
            labels = read_frame_labels(folder, file, faults)
            if name in clips:  # kept in the part that is tested on, so that no test leaks
                detail = f"{name} is in {clips[name].split} and in {part}: it is kept in {part}"
                faults.append(Fault("both_sides", file, detail))
            group = group_of(name)
            sides.setdefault(group, {}).setdefault(part, name)
            clips[name] = _clip(name, paths.get(name), part, labels)
            faults += _frame_faults(folder, clips[name], labels)
    faults += (
        Fault("shared_group", group, f"{' and '.join(parts.values())} are one video, in {' and in '.join(parts)}")
        for group, parts in sides.items()
        if len(parts) > 1
    )
    for file, name in _tested(folder, annotations, faults):
        if name not in clips:
            clips[name] = _clip(name, paths.get(name), "test", None)
            faults += _frame_faults(folder, clips[name], None)
        elif clips[name].split == "test":
            faults.append(Fault("named_twice", file, f"{name} is named above"))
        else:
            detail = f"{name} has an annotation in {clips[name].split}: it is kept in test"
            faults.append(Fault("both_sides", file, detail))
            clips[name] = replace(clips[name], split="test", folds=(FoldPart(PROTOCOL, "1", "test"),))
    if others := natsorted(set(paths) - set(clips)):
        detail = f"frames of {len(others)} videos without an annotation of expressions, such as {others[0]}"
        faults.append(Fault("extra", variant, f"{detail}: of the test set or of other challenges", is_known=True))
    return Listing(
        dataset="affwild2",
        variant=variant,
        folder=folder,
        clips=tuple(natsorted(clips.values(), key=lambda clip: clip.name)),
        faults=tuple(faults),
        annotation_files=tuple(dict.fromkeys((*files, *(_test_lists(folder, annotations))))),
        is_frames=True,
    )


def group_of(name: str) -> str:
    """The video that a clip is of: two persons of one have the endings `_left` and `_right`, or one has none."""
    side = _SIDE.fullmatch(name)
    return side[1] if side else name


def read_frame_labels(folder: Path, file: str, faults: list[Fault]) -> FrameLabels:
    """Read one annotation file. A line that is none counts as a frame that is not valid, so that no number shifts.

    A line of names that is not the set's leaves out the whole file, because its numbers could mean anything.
    """
    labels = FrameLabels()
    text = read_text(folder, file, faults)
    if text is None:
        return labels
    lines = split_lines(text)
    while lines and not lines[-1].strip():
        lines.pop()
    names = [label_name(word).lower() for word in (lines[0] if lines else "").strip().rstrip(",").split(",")]
    if names not in (list(LABELS), list(LABELS[:-1])):
        detail = (
            f"expected the line Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other; found {lines[:1]!r:.90}"
        )
        faults.append(Fault("bad_line", f"{file}:1", f"{detail}; the whole file is left out"))
        return labels
    labels.num_lines = len(lines) - 1
    bad: dict[str, list[int]] = {"bad_line": [], "unknown_label": []}
    for number, line in enumerate(lines[1:], 1):
        value = line.strip()
        if not _VALUE.fullmatch(value):
            bad["bad_line"].append(number)
        elif value == "-1":
            continue
        elif int(value) >= len(names):
            bad["unknown_label"].append(number)
        else:
            labels.votes[names[int(value)]] += 1
            labels.valid.append(number)
    for kind, numbers in bad.items():
        for number in numbers[:_MOST_NAMED]:
            detail = f"image {number}: expected -1 or 0 to {len(names) - 1}, found {lines[number][:40]!r}; not valid"
            faults.append(Fault(kind, f"{file}:{number + 1}", detail))
        if rest := [str(number + 1) for number in numbers[_MOST_NAMED:]]:
            faults.append(Fault(kind, file, f"so are {len(rest)} more lines: {', '.join(rest)}"))
    return labels


def _clip(name: str, path: str | None, part: str, labels: FrameLabels | None) -> DatasetClip:
    votes = dict(labels.votes) if labels else {}
    return DatasetClip(
        name=name,
        path=path,
        label=next(iter(votes)) if len(votes) == 1 else None,
        votes={label: float(votes[label]) for label in LABELS if label in votes} or None,
        split=part,
        folds=(FoldPart(PROTOCOL, "1", part),),
        group=group_of(name),
        licence=LICENCE,
    )


def _frame_faults(folder: Path, clip: DatasetClip, labels: FrameLabels | None) -> Iterator[Fault]:
    """What the names of a clip's images say beside its annotation."""
    if clip.path is None:
        yield Fault("missing", clip.name, "no folder of frames of this name")
        return
    try:
        names = os.listdir(path_of(folder, clip.path))  # noqa: PTH208 - two and a half million names in all
    except OSError as error:
        yield Fault("unreadable", clip.name, f"{clip.path}: {error.strerror or type(error).__name__}")
        return
    numbers = {int(image[1]) for name in names if (image := _FRAME.fullmatch(name))}
    if not numbers:
        yield Fault("missing", clip.name, f"{clip.path} holds no frame such as 00001.jpg")
        return
    if labels is None or not labels.num_lines:
        return
    beyond = [number for number in numbers if not 1 <= number <= labels.num_lines]
    if beyond:
        found = f"{len(beyond)} images beyond them, up to {max(beyond)}"
        yield Fault("frame_count", clip.name, f"the annotation has {labels.num_lines} lines; {found}")
    holes = labels.num_lines - (len(numbers) - len(beyond))
    if holes:
        unseen = sum(1 for number in labels.valid if number not in numbers)
        detail = f"{holes} of {labels.num_lines} lines have no image, {unseen} of them a label: no face was found there"
        yield Fault("frame_gap", clip.name, detail, is_known=True)


def _find_annotations(folder: Path) -> Path:
    """The folder that holds Train_Set and Validation_Set of the expressions."""
    found = [
        place
        for pattern in ("EXPR*", "*/EXPR*", "*/*/EXPR*")
        for place in natsorted(folder.glob(pattern))
        if on_disk.find(place, "Train_Set") or on_disk.find(place, "Validation_Set")
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        held = ", ".join(path_text(entry.name) for entry in on_disk.entries(folder)[:12]) or "nothing"
        wanted = "annotations/EXPR_Classification_Challenge/Train_Set"
        raise DatasetError(f"{folder} holds no annotation of {TITLE}: looked for {wanted}; found {held}")
    places = ", ".join(on_disk.below(folder, place) for place in found)
    raise DatasetError(f"{folder} holds annotations of several years: {places}; leave one of them in it")


def _find_frames(folder: Path, variant: str | None) -> tuple[str, dict[str, str]]:
    """Which variant is there, and the folder of each clip's frames; all folders of the variant are read as one."""
    for name in (variant,) if variant else VARIANTS:
        places = [entry for entry in on_disk.entries(folder) if entry.is_dir() and _is_of(entry.name, name)]
        paths: dict[str, str] = {}
        for place in places:
            for entry in on_disk.entries(Path(place)):
                if entry.is_dir():
                    paths.setdefault(path_text(entry.name), on_disk.below(folder, entry.path))
        if paths:
            return name, paths
    held = ", ".join(path_text(entry.name) for entry in on_disk.entries(folder)[:12]) or "nothing"
    wanted = " or ".join((variant,) if variant else VARIANTS)
    raise DatasetError(f"{folder} holds no frames of {TITLE}: looked for folders in {wanted}; found {held}")


def _is_of(name: str, variant: str) -> bool:
    """Whether a folder is one of a variant's: `cropped_aligned_new_50_vids` is of `cropped_aligned` alone."""
    plain = on_disk.plain_name(name)
    if variant == "cropped":
        return plain.startswith("cropped") and not plain.startswith("croppedaligned")
    return plain.startswith(on_disk.plain_name(variant))


def _test_lists(folder: Path, annotations: Path) -> list[str]:
    """Files that name the videos of the test set, below the set's folder."""
    places = dict.fromkeys((folder, annotations.parent))
    return [
        on_disk.below(folder, file)
        for place in places
        for pattern in ("Expression*test_set*.txt", "*test_set*/Expression*.txt")
        for file in natsorted(place.glob(pattern))
    ]


def _tested(folder: Path, annotations: Path, faults: list[Fault]) -> Iterator[tuple[str, str]]:
    """The videos that the lists of the test set name, after where."""
    for file in _test_lists(folder, annotations):
        for number, line in enumerate(split_lines(read_text(folder, file, faults) or ""), 1):
            if line.strip():
                yield f"{file}:{number}", path_text(line.strip())
