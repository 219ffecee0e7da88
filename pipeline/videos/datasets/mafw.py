"""MAFW: 10,045 clips from films, series and short videos, judged by eleven annotators and described in two languages.

On the disk, as published (2022)::

    data/clips/00025.mp4                                   10,045 videos
    data/frames/00025/*                                    faces cut from them, a folder of frames a clip
    Labels/annotation.xlsx                                 clip, invalid, and how far each of 11 labels was chosen
    Labels/single-set.xlsx                                 9,172 clips: clip, 11 columns, single_label (1 to 11)
    Labels/multi-set.xlsx                                  4,058 clips: clip, 11 columns, multi_label (`1,2`)
    Labels/descriptive_text.xlsx                           8,034 clips: clip, Chinese, English; no header
    Train & Test Set/single/no_caption/set_1/train.txt     `00025.mp4 anger`, CRLF; to set_5; also test.txt
    Train & Test Set/single/with_caption/set_1/train.txt   tabs, GB18030, CRLF: clip, label, Chinese, English
    Train & Test Set/compound/…                            the same for 8,996 clips; `anger_disgust`

What copies differ in: `single_set.xlsx`, `split` (MAE-DFER), `anno` (S2D), `data/frames/frames`. All of these are
read. What goes wrong: the lists with captions are no UTF-8, and hold no neutral clip, since neutral clips have no
caption (1,138; that is known, and no fault), so that a network trained with them never sees one of eleven classes;
frames that users cut from the videos show the scene and not the face (MAE-DFER fell to 21 WAR on them).

A clip goes by its number with zeros, `00025`. Its label is the single one; its compound one stands in the folds.
Protocols: `mafw-single` (11 classes) and `mafw-compound` (43), folds 1 to 5, without a validation part. The captions
were written by people who knew the expression: references, no input. Persons and films are not published.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.videos.datasets import on_disk
from pipeline.videos.datasets.annotation_files import cell_text, read_lines, read_sheet
from pipeline.videos.datasets.clip_notes import ClipNotes
from pipeline.videos.datasets.listing import DatasetError, Fault, FoldPart, Listing
from pipeline.videos.label_names import MAFW_LABELS, compound_name, label_name

TITLE = "MAFW (2022)"
LICENCE = "MAFW: non-commercial research alone, no redistribution (agreement signed by academic staff)"
LABELS = MAFW_LABELS
SINGLE, COMPOUND = "mafw-single", "mafw-compound"
FOLDS = ("1", "2", "3", "4", "5")
PARTS = ("train", "test")

VARIANTS: Mapping[str, str] = {
    "frames": "faces cut by the authors, a folder of frames a clip",
    "clips": "videos",
}

_PLACES: Mapping[str, Sequence[str]] = {"frames": ("data/frames", "frames"), "clips": ("data/clips", "clips")}
_LISTS = ("Train & Test Set", "train_test_set/Train & Test Set", "train_test_set", "split", "data/anno", "anno")

_SIZES = {
    SINGLE: ((7333, 1839), (7335, 1837), (7339, 1833), (7340, 1832), (7341, 1831)),
    COMPOUND: ((7178, 1818), (7187, 1809), (7198, 1798), (7208, 1788), (7213, 1783)),
}

PUBLISHED: Mapping[tuple[str, str, str], Mapping[str, int]] = {
    **{
        (protocol, fold, part): {"": size}
        for protocol, sizes in _SIZES.items()
        for fold, both in zip(FOLDS, sizes, strict=True)
        for part, size in zip(PARTS, both, strict=True)
    },
    (SINGLE, "1", "train"): dict(zip(LABELS, (1112, 511, 500, 993, 910, 1176, 857, 188, 732, 209, 145), strict=True)),
    (SINGLE, "1", "test"): dict(zip(LABELS, (278, 128, 125, 249, 228, 294, 215, 48, 184, 53, 37), strict=True)),
}
"""Lines of the published lists without captions; classes of fold 1 beside those of single-set.xlsx: 1390, 639, 625,
1242, 1138, 1470, 1072, 236, 916, 262, 182. The label "" is all together."""

_ID = re.compile(r"(\d{1,5})(?:\.\w+)?")
_CHINESE = re.compile("[\u3400-\u9fff]")
_NO_CAPTION = re.compile(r"\s*(\S+)[ \t]+(\S+)\s*")


def read(folder: Path, variant: str | None = None) -> Listing:
    """List MAFW below `folder`, which holds `data`, `Labels` and `Train & Test Set`.

    Raises:
        DatasetError: no clips of the variant, or neither lists nor labels, packed or not.
    """
    variant, place = on_disk.choose_variant(TITLE, folder, variant, _PLACES, _has_clips)
    is_frames = variant == "frames"
    faults: list[Fault] = []
    found = on_disk.clip_folders(place, _is_id, 1) if is_frames else on_disk.clip_files(place, 1)
    paths = on_disk.by_name(folder, found, _id, faults)
    notes = ClipNotes(faults)
    read_from: list[Path] = []
    for protocol in (SINGLE, COMPOUND):
        read_from += _read_lists(folder, protocol, notes, faults)
    read_from += _read_sheets(folder, notes, faults)
    for protocol in (SINGLE, COMPOUND):
        read_from += _read_captions(folder, protocol, notes, faults)
    if any(notes.languages_of(name) for name in notes.names):
        _tell_of_lacking_captions(notes, faults)
    if not read_from and not any("packed" in fault.detail for fault in faults if fault.kind == "missing_file"):
        raise DatasetError(
            f"{folder}: clips of {TITLE}, but neither Train & Test Set/single/no_caption nor Labels/annotation.xlsx: "
            "put them beside data, as they come with the set"
        )
    for name in notes.names:
        if name not in paths:
            faults.append(Fault("missing", name, f"no {'folder' if is_frames else 'video'} of it in {place.name}"))
    if any(fault.kind == "missing" for fault in faults):
        for packed in on_disk.archives(place):
            faults.append(Fault("missing_file", on_disk.below(folder, packed), "still packed: unpack it"))
    has_votes = any(path.stem.lower() == "annotation" for path in read_from)
    detail = "Labels/annotation.xlsx does not name it"
    if not has_votes:
        detail = "in no list, as clips without a single label are; Labels/annotation.xlsx would tell"
    faults.extend(notes.extra(paths, detail, is_known=not has_votes))
    return Listing(
        dataset="mafw",
        variant=variant,
        folder=folder,
        clips=notes.clips(paths, licence=LICENCE),
        faults=tuple(faults),
        annotation_files=tuple(sorted(on_disk.below(folder, path) for path in read_from)),
        is_frames=is_frames,
        published=PUBLISHED,
    )


def _is_id(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= 5


def _id(name: str) -> str | None:
    found = _ID.fullmatch(name)
    return f"{int(found[1]):05d}" if found and name.isascii() else None


def _has_clips(place: Path) -> bool:
    return bool(next(on_disk.clip_folders(place, _is_id, 1), None) or next(on_disk.clip_files(place, 1), None))


def _label(word: str, protocol: str) -> str | None:
    """Our name of a label as a list of the protocol writes it."""
    if protocol == COMPOUND:
        return compound_name(word, LABELS)
    return label_name(word) if label_name(word) in LABELS else None


def _lists(folder: Path, protocol: str, kind: str, faults: list[Fault]) -> Iterator[tuple[str, str, Path]]:
    """Fold, part and file of each list that is there; one that is not is a fault, or their folder if all lack."""
    own = f"{protocol.removeprefix('mafw-')}/{kind}"
    top = on_disk.find(folder, *(f"{place}/{own}" for place in _LISTS))
    if top is None or not top.is_dir():
        packed = [
            path for place in (folder, on_disk.find(folder, *_LISTS)) if place for path in on_disk.archives(place)
        ]
        packed = [path for path in packed if re.search("train|test|split|single|compound|anno", path.name.lower())]
        detail = f"not there: looked for it in {', '.join(_LISTS)}"
        if packed:
            detail = f"{on_disk.below(folder, packed[0])} is still packed: unpack it where it lies"
        faults.append(Fault("missing_file", f"{_LISTS[0]}/{own}", detail))
        return
    for fold in FOLDS:
        for part in PARTS:
            path = on_disk.find(top, f"set_{fold}/{part}.txt")
            if path is not None:
                yield fold, part, path
            else:
                where = f"{on_disk.below(folder, top)}/set_{fold}/{part}.txt"
                faults.append(Fault("missing_file", where, f"not there: fold {fold} of {protocol} is not whole"))


def _read_lists(folder: Path, protocol: str, notes: ClipNotes, faults: list[Fault]) -> list[Path]:
    """Note labels and folds of the lists without captions."""
    read_from: list[Path] = []
    for fold, part, path in _lists(folder, protocol, "no_caption", faults):
        read_from.append(path)
        for where, line in read_lines(folder, path, faults, others=("gb18030",)):
            found = _NO_CAPTION.fullmatch(line)
            name = _id(found[1]) if found else None
            if found is None or name is None:
                faults.append(
                    Fault("bad_line", where, f"expected a clip and a label, such as 00025.mp4 anger: {line!r}")
                )
                continue
            _note(protocol, fold, part, name, found[2], where, notes, faults)
    return read_from


def _note(
    protocol: str, fold: str, part: str, name: str, word: str, where: str, notes: ClipNotes, faults: list[Fault]
) -> None:
    label = _label(word, protocol)
    if label is None:
        parts = " or several joined by _" if protocol == COMPOUND else ""
        faults.append(Fault("unknown_label", where, f"clip {name}: {word!r} is none of {', '.join(LABELS)}{parts}"))
    elif protocol == SINGLE:
        notes.label(name, label, where)
    notes.part(name, FoldPart(protocol, fold, part, label if protocol == COMPOUND else None), where)


def _read_captions(folder: Path, protocol: str, notes: ClipNotes, faults: list[Fault]) -> list[Path]:
    """Note captions of the lists with them. Folds are taken from these lists only where the others are not there."""
    read_from: list[Path] = []
    has_lists = notes.has_protocol(protocol)
    for fold, part, path in _lists(folder, protocol, "with_caption", faults):
        read_from.append(path)
        for where, line in read_lines(folder, path, faults, "gb18030", others=("utf-8-sig",)):
            cells = [cell.strip() for cell in line.split("\t")]
            name = _id(cells[0])
            if name is None or len(cells) < 4 or not all(cells[1:4]):
                detail = f"expected clip, label, Chinese and English with tabs between: {line[:90]!r}"
                faults.append(Fault("bad_line", where, detail))
                continue
            _note_captions(name, cells[2:], where, notes, faults)
            if not has_lists:
                _note(protocol, fold, part, name, cells[1], where, notes, faults)
                continue
            said, label = notes.part_of(name, protocol, fold), _label(cells[1], protocol)
            if said is None or said.part != part:
                detail = f"clip {name} is in {part} here, and in {said.part if said else 'no part'} without captions"
                faults.append(Fault("both_sides" if said else "extra", where, detail))
            if label is None:
                faults.append(Fault("unknown_label", where, f"clip {name}: {cells[1]!r} is none of the set"))
            elif protocol == SINGLE:
                notes.label(name, label, where)
            elif said and said.label not in (None, label):
                detail = f"clip {name}: {label} here, {said.label} in the list without captions"
                faults.append(Fault("label_conflict", where, detail))
    return read_from


def _note_captions(name: str, texts: Sequence[str], where: str, notes: ClipNotes, faults: list[Fault]) -> None:
    """Note texts by the language that they are in: columns are swapped in some copies."""
    by_language: dict[str, str] = {}
    for text in texts:
        language = "zh" if _CHINESE.search(text) else "en"
        if "\ufffd" in text:
            faults.append(Fault("bad_line", where, f"clip {name}: a caption that cannot be decoded is left out"))
        elif text and by_language.setdefault(language, text) != text:
            faults.append(Fault("bad_line", where, f"clip {name}: two texts in {language}: the first is kept"))
    for language, text in by_language.items():
        notes.caption(name, language, text, where)


def _tell_of_lacking_captions(notes: ClipNotes, faults: list[Fault]) -> None:
    """Every clip that has a single label has two captions, but for those that are neutral."""
    for name in notes.names:
        lacks = {"en", "zh"} - notes.languages_of(name)
        if lacks and notes.part_of(name, SINGLE, FOLDS[0]) and notes.label_of(name) not in (None, "neutral"):
            detail = f"no caption in {' and '.join(sorted(lacks))}; all but neutral clips were published with both"
            faults.append(Fault("no_caption", name, detail))


def _read_sheets(folder: Path, notes: ClipNotes, faults: list[Fault]) -> list[Path]:
    """Note votes, labels and captions of the four workbooks."""
    read_from: list[Path] = []
    for name, take in (
        ("annotation", _take_votes),
        ("single_set", _take_single),
        ("multi_set", _take_compound),
        ("descriptive_text", _take_texts),
    ):
        path = on_disk.find(folder, f"Labels/{name}.xlsx", f"labels/Labels/{name}.xlsx", f"{name}.xlsx")
        if path is None:
            packed = [path for path in on_disk.archives(folder) if "label" in path.name.lower()]
            detail = f"{packed[0].name} is still packed: unpack it where it lies" if packed else "not there"
            faults.append(Fault("missing_file", f"Labels/{name}.xlsx", detail))
            continue
        read_from.append(path)
        take(read_sheet(folder, path, faults), notes, faults)
    return read_from


_Rows = Sequence[tuple[str, tuple[Any, ...]]]


def _with_header(rows: _Rows, columns: Sequence[Sequence[str]], faults: list[Fault]) -> Iterator[tuple[str, list[str]]]:
    """Cells of `columns`, each given by the names that it goes by, in every row after the header."""
    if not rows:
        return
    header = [cell_text(cell).lower() for cell in rows[0][1]]
    places = [next((header.index(name) for name in names if name in header), -1) for names in columns]
    if -1 in places:
        wanted = ", ".join(names[0] for names in columns)
        detail = f"expected the columns {wanted}, got {header}: the file is left out"
        faults.append(Fault("bad_line", rows[0][0], detail))
        return
    for where, row in rows[1:]:
        yield where, [cell_text(row[place]) if place < len(row) else "" for place in places]


_CLIP_COLUMN = ("clip", "name", "video", "filename")


def _take_votes(rows: _Rows, notes: ClipNotes, faults: list[Fault]) -> None:
    for where, (clip, *cells) in _with_header(rows, (_CLIP_COLUMN, *((label,) for label in LABELS)), faults):
        name, votes = _id(clip), [_share(cell) for cell in cells]
        if name is None or None in votes:
            faults.append(Fault("bad_line", where, f"expected a clip and 11 numbers, got {[clip, *cells]}"))
        else:
            notes.votes(
                name, {label: vote for label, vote in zip(LABELS, votes, strict=True) if vote is not None}, where
            )


def _share(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _take_single(rows: _Rows, notes: ClipNotes, faults: list[Fault]) -> None:
    for where, (clip, number) in _with_header(rows, (_CLIP_COLUMN, ("single_label", "label")), faults):
        name, label = _id(clip), _numbered(number)
        if name is None:
            faults.append(Fault("bad_line", where, f"expected a clip, got {clip!r}"))
        elif label is None:
            faults.append(Fault("unknown_label", where, f"clip {name}: expected 1 to {len(LABELS)}, got {number!r}"))
        else:
            notes.label(name, label, where)


def _take_compound(rows: _Rows, notes: ClipNotes, faults: list[Fault]) -> None:
    """Compare with the folds: the sheet has no folds of its own, and clips of one label are not in it."""
    for where, (clip, numbers) in _with_header(rows, (_CLIP_COLUMN, ("multi_label", "label")), faults):
        name = _id(clip)
        parts = [_numbered(number) for number in re.split(r"[,\uff0c\u3001\s]+", numbers.strip("[]() "))]
        label = compound_name("_".join(part or "?" for part in parts), LABELS)
        if name is None:
            faults.append(Fault("bad_line", where, f"expected a clip, got {clip!r}"))
        elif label is None:
            faults.append(Fault("unknown_label", where, f"clip {name}: expected numbers such as 1,2, got {numbers!r}"))
        else:
            notes.name(name)
            said = {part.label for fold in FOLDS if (part := notes.part_of(name, COMPOUND, fold))} - {None, label}
            if said:
                detail = (
                    f"clip {name}: {label} here, {' and '.join(sorted(filter(None, said)))} in the lists of compound"
                )
                faults.append(Fault("label_conflict", where, detail))


def _numbered(number: str) -> str | None:
    return LABELS[int(number) - 1] if re.fullmatch(r"[1-9]|10|11", number) else None


def _take_texts(rows: _Rows, notes: ClipNotes, faults: list[Fault]) -> None:
    for number, (where, row) in enumerate(rows):
        name, texts = _id(cell_text(row[0])), [cell_text(cell) for cell in row[1:] if cell_text(cell)]
        if name is None:
            if number:  # some copies have a header
                faults.append(Fault("bad_line", where, f"expected a clip, got {cell_text(row[0])!r}"))
        elif len(texts) < 2:
            faults.append(
                Fault("bad_line", where, f"clip {name}: expected Chinese and English, got {len(texts)} texts")
            )
        else:
            _note_captions(name, texts, where, notes, faults)
