"""AFEW (EmotiW 2016 and later): clips from films, each with one label of seven, which is the name of its folder.

On the disk::

    AFEW_Face/train/Happy/013736360/*.png   faces, a folder of frames a clip; also validation (Former-DFER)
    Train_AFEW/Happy/013736360.avi          videos; also Val_AFEW (as published)

What copies differ in: `train_afew`, `val_afew`, `Val`, `Anger` for `Angry`, with or without a folder around them. All
of these are read. There is no annotation file. The labels of the test part were never published, so that it is not
read and papers measure on the validation part: 773 and 383 clips by the organisers' table. Former-DFER's lists have
two more of anger and two fewer of neutral in train; copies of frames lack up to two clips of validation.

A clip goes by `train/Happy/013736360`. Its split is train or validation; in the protocol `afew`, fold 1, validation is
the test part, as it is in papers. Films are not published, so that nothing keeps them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.videos.datasets import on_disk
from pipeline.videos.datasets.clip_notes import ClipNotes
from pipeline.videos.datasets.listing import DatasetError, Fault, FoldPart, Listing
from pipeline.videos.label_names import DFEW_LABELS, label_name

TITLE = "AFEW (EmotiW 2016)"
LICENCE = "AFEW: non-commercial research alone, no redistribution (agreement with the EmotiW organisers)"
LABELS = DFEW_LABELS
PROTOCOL = "afew"

VARIANTS: Mapping[str, str] = {
    "faces": "cropped faces, a folder of frames a clip",
    "clips": "videos",
}

_TOPS = ("AFEW_Face", "AFEW")
_SPLITS: Mapping[str, Sequence[str]] = {
    "train": ("train", "Train_AFEW", "AFEW_train"),
    "validation": ("validation", "val", "Val_AFEW", "validation_AFEW", "AFEW_val"),
}
_PART = {"train": "train", "validation": "test"}
_WORDS = dict(zip(LABELS, ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear"), strict=True))

PUBLISHED: Mapping[tuple[str, str, str], Mapping[str, int]] = {
    (PROTOCOL, "1", "train"): dict(zip(LABELS, (150, 117, 144, 133, 74, 74, 81), strict=True)),
    (PROTOCOL, "1", "test"): dict(zip(LABELS, (63, 61, 63, 64, 46, 40, 46), strict=True)),
}
"""By the table of EmotiW 2016, as albanie/mcnDatasets repeats it."""


def read(folder: Path, variant: str | None = None) -> Listing:
    """List AFEW below `folder`, which holds `train` and `validation`, or `Train_AFEW` and `Val_AFEW`.

    Raises:
        DatasetError: no such folder or variant, or no clips of it.
    """
    if not folder.is_dir():
        raise DatasetError(f"no folder {folder}: give the folder of {TITLE}")
    if variant is not None and variant not in VARIANTS:
        raise DatasetError(f"{TITLE} has no variant {variant!r}: it has {', '.join(VARIANTS)}")
    for name in (variant,) if variant else tuple(VARIANTS):
        faults: list[Fault] = []
        notes = ClipNotes(faults)
        paths = {split: _read_split(folder, split, name, notes, faults) for split in _SPLITS}
        if any(paths.values()):
            break
    else:
        packed = [path for top in (folder, on_disk.find(folder, *_TOPS)) if top for path in on_disk.archives(top)]
        hint = f"; {on_disk.below(folder, packed[0])} is still packed: unpack it" if packed else ""
        held = ", ".join(on_disk.below(folder, entry.path) for entry in on_disk.entries(folder)[:12]) or "nothing"
        looked = "train/Happy/CLIP/*.png" if name == "faces" else "Train_AFEW/Happy/CLIP.avi"
        raise DatasetError(f"{folder} holds no clips of {TITLE}: looked for {looked}; the folder holds {held}{hint}")
    for split, found in paths.items():
        if not found:
            faults.append(Fault("missing_file", split, f"no folder of {split}: looked for {', '.join(_SPLITS[split])}"))
    test = on_disk.find(folder, "test", "Test_AFEW", *(f"{top}/test" for top in _TOPS))
    if test:
        detail = "its labels were never published: the folder is not read"
        faults.append(Fault("extra", on_disk.below(folder, test), detail, is_known=True))
    return Listing(
        dataset="afew",
        variant=name,
        folder=folder,
        clips=notes.clips(
            {clip: path for found in paths.values() for clip, path in found.items()},
            licence=LICENCE,
            splits={clip: split for split, found in paths.items() for clip in found},
        ),
        faults=tuple(faults),
        is_frames=name == "faces",
        published=PUBLISHED,
    )


def _read_split(folder: Path, split: str, variant: str, notes: ClipNotes, faults: list[Fault]) -> dict[str, str]:
    """Path of each clip of a split by its name, noted with its label."""
    tops = [place for top in ("", *_TOPS) for name in _SPLITS[split] for place in (f"{top}/{name}".strip("/"),)]
    paths: dict[str, str] = {}
    place = on_disk.find(folder, *tops)
    for word in on_disk.entries(place) if place and place.is_dir() else ():
        label = label_name(word.name)
        if not word.is_dir():
            continue
        if label not in LABELS:
            detail = f"a folder whose name is none of {', '.join(_WORDS.values())}: its clips are left out"
            faults.append(Fault("unknown_label", on_disk.below(folder, word.path), detail))
            continue
        for entry in on_disk.entries(Path(word)):
            is_clip = entry.is_dir() if variant == "faces" else entry.name.lower().endswith(on_disk.VIDEO_ENDINGS)
            if not is_clip:
                continue
            path = on_disk.below(folder, entry.path)
            stem = entry.name if variant == "faces" else entry.name.rsplit(".", 1)[0]
            name = f"{split}/{_WORDS[label]}/{stem}"
            if name in paths:
                detail = f"clip {name} is there twice; {paths[name]} is the one that is read"
                faults.append(Fault("extra", path, detail))
                continue
            paths[name] = path
            notes.label(name, label, path)
            notes.part(name, FoldPart(PROTOCOL, "1", _PART[split]), path)
    _tell_of_two_labels(paths, faults)
    return paths


def _tell_of_two_labels(paths: Mapping[str, str], faults: list[Fault]) -> None:
    """A clip that lies in the folders of two labels was moved by hand, or copied."""
    first: dict[str, str] = {}
    for name, path in paths.items():
        other = first.setdefault(name.rsplit("/", 1)[1], path)
        if other != path:
            detail = f"a clip of the same name has another label at {other}: keep the one that is right"
            faults.append(Fault("label_conflict", path, detail))
