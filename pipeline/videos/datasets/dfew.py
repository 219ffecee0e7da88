"""DFEW: 16,372 clips from films, each seen by ten annotators; 12,059 have one label of seven, 11,697 of those a face.

On the disk, as published (1.0, 17 October 2020)::

    Clip/original/*.mp4                                 16,372 videos, ids without zeros in front (1.mp4)
    Clip/clip_224x224/00001/00001_00001.jpg             15,906 folders of aligned faces, as long as the clip is
    Clip/clip_224x224_16f/00001/*.jpg                   the same, interpolated in time to 16 frames
    EmoLabel_DataSplit/train(single-labeled)/set_1.csv  to set_5.csv; also test(single-labeled)
    Annotation/annotation.xlsx                          seven columns of votes, the clip, its label (0: none)

What copies differ in: `train(single_labeled)`, `train_set_1.csv` (S2D), `label/single_trainset_1.csv` (the authors'
code), `Clip/jpg_256` or `clip_jpg_256` for `clip_224x224` (MAE-DFER). All of these are read. What goes wrong: splits
and annotation are zips within the zip; the frames of `clip_224x224` are 256 pixels wide; frames at native length and
interpolated ones are no substitutes for each other; numbers of frames are not padded in some copies.

466 clips have no face and so no frames: 362 with a single label, which are in no fold, and 104 others. That is known,
and no fault. The folds divide clips and not films or persons; nothing published says which clips share one.

A clip goes by its number without zeros. Protocol: `dfew`, folds 1 to 5, without a validation part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.videos.datasets import on_disk
from pipeline.videos.datasets.annotation_files import cell_text, read_csv, read_sheet
from pipeline.videos.datasets.clip_notes import ClipNotes
from pipeline.videos.datasets.listing import DatasetError, Fault, FoldPart, Listing
from pipeline.videos.label_names import DFEW_LABELS, label_name

TITLE = "DFEW (2020)"
LICENCE = "DFEW: non-commercial research and education alone, no redistribution (licence by e-mail from the authors)"
LABELS = DFEW_LABELS
PROTOCOL = "dfew"
FOLDS = ("1", "2", "3", "4", "5")
PARTS = ("train", "test")

VARIANTS: Mapping[str, str] = {
    "clip_224x224": "aligned faces, a folder of frames a clip, at native length",
    "clip_224x224_16f": "aligned faces, interpolated in time to 16 frames",
    "original": "videos as cut from the films",
}

_PLACES: Mapping[str, Sequence[str]] = {
    "clip_224x224": (
        "Clip/clip_224x224",
        "Clip/jpg_256",
        "Clip/clip_jpg_256",
        "clip_224x224",
        "DFEW_Frame_Face",
        "data",
    ),
    "clip_224x224_16f": ("Clip/clip_224x224_16f", "Clip/jpg_224_16f", "clip_224x224_16f"),
    "original": ("Clip/original", "original"),
}

NUM_WITHOUT_FACE = 466
"""Clips of the 16,372 that have a video and no frames."""

_SIZES = {"1": (9356, 2341), "2": (9356, 2341), "3": (9357, 2340), "4": (9358, 2339), "5": (9361, 2336)}

PUBLISHED: Mapping[tuple[str, str, str], Mapping[str, int]] = {
    **{(PROTOCOL, fold, part): {"": size} for fold in FOLDS for part, size in zip(PARTS, _SIZES[fold], strict=True)},
    (PROTOCOL, "1", "train"): dict(zip(LABELS, (1956, 1515, 2135, 1738, 1175, 116, 721), strict=True)),
    (PROTOCOL, "1", "test"): dict(zip(LABELS, (489, 379, 534, 435, 294, 29, 181), strict=True)),
}
"""Sizes of the folds by the set's README; classes of fold 1 by the lists of DFER-CLIP. The label "" is all together."""

_ID = re.compile(r"0*([1-9]\d{0,4})")
_VOTES = re.compile(r"(\d)\s*[._-]?\s*([a-z]+)")
_SPLIT_FOLDERS = ("EmoLabel_DataSplit", "label", "EmoLabel DataSplit (single-labeled)")


def read(folder: Path, variant: str | None = None) -> Listing:
    """List DFEW below `folder`, which holds `Clip` and `EmoLabel_DataSplit`.

    Raises:
        DatasetError: no clips of the variant, or neither splits nor votes, packed or not.
    """
    variant, place = on_disk.choose_variant(TITLE, folder, variant, _PLACES, _has_clips)
    is_frames = variant != "original"
    faults: list[Fault] = []
    found = on_disk.clip_folders(place, _is_id, 2) if is_frames else on_disk.clip_files(place, 2)
    paths = on_disk.by_name(folder, found, _id, faults)
    notes = ClipNotes(faults)
    read_from = _read_splits(folder, notes, faults)
    sheet = _find_sheet(folder, faults)
    if sheet:
        read_from.append(sheet)
        _read_votes(folder, sheet, notes, faults)
    if not read_from and not any(fault.kind == "missing_file" and "unpack" in fault.detail for fault in faults):
        raise DatasetError(
            f"{folder}: clips of {TITLE}, but neither EmoLabel_DataSplit/train(single-labeled)/set_1.csv nor "
            "Annotation/annotation.xlsx: put them beside Clip, as they come with the set"
        )
    _compare(folder, place, notes, paths, faults, has_votes=sheet is not None, is_frames=is_frames)
    if variant == "clip_224x224_16f":
        for name in notes.names:
            notes.frames(name, 16)
    return Listing(
        dataset="dfew",
        variant=variant,
        folder=folder,
        clips=notes.clips(paths, licence=LICENCE),
        faults=tuple(faults),
        annotation_files=tuple(sorted(on_disk.below(folder, path) for path in read_from)),
        is_frames=is_frames,
        published=PUBLISHED,
    )


def _is_id(name: str) -> bool:
    return _ID.fullmatch(name) is not None


def _id(name: str) -> str | None:
    found = _ID.fullmatch(name.rsplit(".", 1)[0])
    return found[1] if found else None


def _has_clips(place: Path) -> bool:
    found = next(on_disk.clip_folders(place, _is_id, 2), None) or next(on_disk.clip_files(place, 2), None)
    return found is not None


def _read_splits(folder: Path, notes: ClipNotes, faults: list[Fault]) -> list[Path]:
    """Note what the ten lists say, and return the files."""
    top = on_disk.find(folder, *_SPLIT_FOLDERS)
    lists: dict[tuple[str, str], list[Path]] = {}
    packed: list[Path] = []
    for path in [] if top is None else _files(top, 2):
        key = _fold_and_part(path)
        if path.name.lower().endswith(on_disk.ARCHIVE_ENDINGS):
            packed.append(path)
        elif key:
            lists.setdefault(key, []).append(path)
    read_from: list[Path] = []
    for fold in FOLDS:
        for part in PARTS:
            found = lists.get((fold, part), [])
            if not found:
                faults.append(_missing_list(folder, fold, part, packed))
            for other in found[1:]:
                if other.read_bytes() != found[0].read_bytes():
                    detail = f"another list for {part} of fold {fold}; {on_disk.below(folder, found[0])} is read"
                    faults.append(Fault("extra", on_disk.below(folder, other), detail))
            for path in found[:1]:
                read_from.append(path)
                _read_split(folder, path, FoldPart(PROTOCOL, fold, part), notes, faults)
    return read_from


def _files(folder: Path, depth: int) -> list[Path]:
    found: list[Path] = []
    for entry in on_disk.entries(folder):
        if entry.is_file():
            found.append(Path(entry))
        elif depth:
            found += _files(Path(entry), depth - 1)
    return found


def _fold_and_part(path: Path) -> tuple[str, str] | None:
    """What `train(single-labeled)/set_1.csv`, `train_set_1.csv` and `single_trainset_1.csv` are lists of."""
    number = re.search(r"set_?([1-5])\.csv$", path.name.lower())
    said = re.search("train|test", path.name.lower()) or re.search("train|test", path.parent.name.lower())
    return (number[1], said[0]) if number and said and "multi" not in path.parent.name.lower() else None


def _missing_list(folder: Path, fold: str, part: str, packed: Sequence[Path]) -> Fault:
    where = f"EmoLabel_DataSplit/{part}(single-labeled)/set_{fold}.csv"
    for path in packed:
        if part in path.name.lower() or len(packed) == 1:
            return Fault(
                "missing_file", where, f"{on_disk.below(folder, path)} is still packed: unpack it where it lies"
            )
    return Fault("missing_file", where, f"not there: fold {fold} has no {part} part")


def _read_split(folder: Path, path: Path, part: FoldPart, notes: ClipNotes, faults: list[Fault]) -> None:
    for where, (name, number) in read_csv(folder, path, faults, (("video_name", "clip_name", "name"), ("label",))):
        clip = _id(name)
        if clip is None:
            faults.append(Fault("bad_line", where, f"expected the number of a clip, got {name!r}"))
            continue
        notes.part(clip, part, where)
        label = _label(number)
        if label is None:
            faults.append(Fault("unknown_label", where, f"clip {clip}: expected 1 to {len(LABELS)}, got {number!r}"))
        else:
            notes.label(clip, label, where)


def _label(number: str) -> str | None:
    found = re.fullmatch(r"([1-7])(?:\.0)?", number)
    return LABELS[int(found[1]) - 1] if found else None


def _find_sheet(folder: Path, faults: list[Fault]) -> Path | None:
    sheet = on_disk.find(folder, "Annotation/annotation.xlsx", "annotation.xlsx")
    if sheet is None:
        place = on_disk.find(folder, "Annotation")
        packed = on_disk.archives(place) if place else []
        detail = "not there: clips have no votes, and those without a single label are not known"
        if packed:
            detail = f"{on_disk.below(folder, packed[0])} is still packed: unpack it where it lies"
        faults.append(Fault("missing_file", "Annotation/annotation.xlsx", detail))
    return sheet


def _read_votes(folder: Path, path: Path, notes: ClipNotes, faults: list[Fault]) -> None:
    rows = read_sheet(folder, path, faults)
    columns = _columns(rows[0][1]) if rows else {}
    if len(columns) < len(LABELS) + 2:
        if rows:
            detail = f"expected 1happy to 7fear, order and label, got {[cell_text(cell) for cell in rows[0][1]]}"
            faults.append(Fault("bad_line", rows[0][0], detail))
        return
    for where, row in rows[1:]:
        cells = {column: cell_text(row[place]) if place < len(row) else "" for column, place in columns.items()}
        clip, number = _id(cells["order"]), cells["label"]
        votes = {name: _count(cells[name]) for name in LABELS}
        if clip is None or None in votes.values():
            detail = f"expected the number of a clip and {len(LABELS)} numbers of votes, got {list(cells.values())}"
            faults.append(Fault("bad_line", where, detail))
            continue
        notes.votes(clip, {name: count for name, count in votes.items() if count is not None}, where)
        label = _label(number)
        if label is not None:
            notes.label(clip, label, where)
        elif number == "0":
            notes.no_label(clip, where)
        else:
            detail = f"clip {clip}: expected 0 to {len(LABELS)}, got {number!r}"
            faults.append(Fault("unknown_label", where, detail))


def _columns(header: Sequence[Any]) -> dict[str, int]:
    """Place of each label's votes, of the clip (`order`) and of the label; a label whose number is not ours is none."""
    found: dict[str, int] = {}
    for place, cell in enumerate(header):
        text = cell_text(cell).lower()
        votes = _VOTES.fullmatch(text)
        if votes and label_name(votes[2]) in LABELS and LABELS.index(label_name(votes[2])) + 1 == int(votes[1]):
            found[label_name(votes[2])] = place
        elif text in ("order", "clip_name", "video_name", "clip"):
            found.setdefault("order", place)
        elif text in ("label", "annotation"):
            found.setdefault("label", place)
    return found


def _count(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,4}(\.\d+)?", text) else None


def _compare(
    folder: Path,
    place: Path,
    notes: ClipNotes,
    paths: Mapping[str, str],
    faults: list[Fault],
    *,
    has_votes: bool,
    is_frames: bool,
) -> None:
    """Tell of clips that are named and not there, and the other way round."""
    for name in notes.names:
        if name not in paths and (notes.is_in_a_fold(name) or not is_frames):
            faults.append(Fault("missing", name, f"no {'folder' if is_frames else 'video'} of it in {place.name}"))
    faceless = [name for name in notes.names if name not in paths and not notes.is_in_a_fold(name)] if is_frames else []
    is_known = len(faceless) <= NUM_WITHOUT_FACE
    for name in faceless:
        faults.append(
            Fault("missing", name, "no frames, and in no fold: as published of clips without a face", is_known)
        )
    if not is_known:
        detail = f"{len(faceless)} clips that are in no fold have no frames; {NUM_WITHOUT_FACE} were published without"
        faults.append(Fault("published_count", place.name, detail))
    if any(fault.kind == "missing" and not fault.is_known for fault in faults):
        for path in on_disk.archives(place):
            faults.append(Fault("missing_file", on_disk.below(folder, path), "still packed, and clips lack: unpack it"))
    detail = "Annotation/annotation.xlsx does not name it"
    if not has_votes:
        detail = "in no fold, as clips without a single label are; Annotation/annotation.xlsx would tell"
    faults.extend(notes.extra(paths, detail, is_known=not has_votes))
