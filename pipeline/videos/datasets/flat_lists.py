"""Import lists in the forms that peers publish: a line a clip, no header, labels as numbers, paths of other machines.

    /data/DFEW/DFEW_Frame_Face/00001 144 0          frames     DFER-CLIP, Former-DFER: path, frames, label
    /media/me/DFEW/Clip/jpg_256/00001 0             labels     MAE-DFER, SVFAP, S2D, CLAIP-Emo: path, label
    /a/frames/00025 /a/audio_16k/00025.wav 3        audio      HiCMAE: video, audio, label

Where a path begins is the business of the machine that it was written on: a clip is found by how its path ends, with
or without zeros and file endings. What the numbers mean is in no file: the order of labels is given by name, and
checked against the labels that the set itself gives these clips.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.videos.datasets.annotation_files import read_lines
from pipeline.videos.datasets.listing import DatasetClip, DatasetError, Fault, FoldPart, Listing
from pipeline.videos.label_names import LABEL_ORDERS, LabelOrder, label_name, label_order, orders_that_fit

FORMS: Mapping[str, re.Pattern[str]] = {
    "audio": re.compile(
        r"\s*+(?P<path>\S(?:.*?\S)??)\s++(?P<audio>\S.*\.(?:wav|mp3|flac|m4a))\s++(?P<label>\d{1,9}+)\s*+",
        re.IGNORECASE,
    ),
    "frames": re.compile(r"\s*+(?P<path>\S(?:.*?\S)??)\s++(?P<frames>\d{1,9}+)\s++(?P<label>\d{1,9}+)\s*+"),
    "labels": re.compile(r"\s*+(?P<path>\S(?:.*?[^\s,])??)[\s,]++(?P<label>\d{1,9}+)\s*+"),
}
"""What a line holds. A file is in one form: the first of these that its first line is in. What is repeated gives
nothing back (`++`), or a long line of spaces would take hours."""

MOST_CHARACTERS = 10_000
"""Of a line: two paths are shorter."""

MOST_DISPUTED = 0.01
"""The share of a list's clips that may have another label than the set gives them: more is another order."""


@dataclass(frozen=True, slots=True)
class FlatEntry:
    """One line of a list."""

    where: str
    """File and line."""
    path: str
    number: str
    """What stands for the label."""
    num_frames: int | None = None
    audio: str | None = None


def read_flat_list(path: Path, faults: list[Fault]) -> list[FlatEntry]:
    """The lines of a list; one that is in another form than the first is a fault and left out."""
    entries: list[FlatEntry] = []
    form = ""
    for where, line in read_lines(path.parent, path, faults):
        is_short = len(line) <= MOST_CHARACTERS
        form = form or next((name for name, pattern in FORMS.items() if is_short and pattern.fullmatch(line)), "")
        found = FORMS[form].fullmatch(line) if form and is_short else None
        if found is None:
            expected = f"form {form!r} as above" if form else "a path and a number for the label at its end"
            faults.append(Fault("bad_line", where, f"expected {expected}, got {line[:120]!r}"))
            continue
        said = found.groupdict()
        frames = said.get("frames")
        entries.append(
            FlatEntry(where, said["path"].strip('"'), said["label"], int(frames) if frames else None, said.get("audio"))
        )
    return entries


def fold_and_part(path: Path) -> tuple[str, str] | None:
    """What `DFEW_set_1_train.txt` and `split01/test.csv` are lists of; fold 1 where no name has a number.

    None if neither the file's name nor that of its folder says which part it is.
    """
    part = re.search("train|test|validation|val", path.name.lower()) or re.search(
        "train|test|validation|val", path.parent.name.lower()
    )
    fold = re.search(r"(?:set|split|fold|fd)_?0*([1-9]\d?)", f"{path.parent.name}/{path.name}".lower())
    if part is None:
        return None
    return (fold[1] if fold else "1"), {"val": "validation"}.get(part[0], part[0])


def with_list(
    listing: Listing,
    path: Path,
    *,
    order: str | None = None,
    protocol: str | None = None,
    fold: str | None = None,
    part: str | None = None,
) -> Listing:
    """A data set with the folds of a peer's list added to its clips, and with what the list contradicts as faults.

    `order` names the source of the list, such as `dfer-clip`; without it, it is told from the labels that the set gives
    the same clips. `protocol` is DATASET-ORDER unless given, such as `dfew-dfer-clip`; `fold` and `part` are taken from
    the name of the file.

    Raises:
        DatasetError: no such order, none can be told, the numbers are in another order than the one named, no clip of
            the list is in the set, or the name does not say the part.
    """
    faults: list[Fault] = []
    entries = read_flat_list(path, faults)
    named = fold_and_part(path)
    if part is None and named is None:
        raise DatasetError(f"{path}: neither its name nor its folder says train, validation or test: give the part")
    part, fold = part or (named[1] if named else ""), fold or (named[0] if named else "1")
    matched = _match(listing, entries, faults)
    if not matched:
        example = f"; its first is {entries[0].path}" if entries else ""
        raise DatasetError(f"{path}: no clip of its {len(entries)} lines is in {listing.dataset}{example}")
    chosen = _choose_order(listing, path, matched, order, (fold, part))
    protocol = protocol or f"{listing.dataset}-{chosen.name}"
    changed: dict[str, DatasetClip] = {}
    for entry, clip in matched:
        label = chosen.label(entry.number)
        if clip.name in changed:
            faults.append(Fault("named_twice", entry.where, f"clip {clip.name}: its first line is kept"))
            continue
        if label is None:
            detail = f"clip {clip.name}: {entry.number} is no number of {chosen.name}'s order"
            faults.append(Fault("unknown_label", entry.where, detail))
        elif clip.label not in (None, label):
            detail = f"clip {clip.name}: {label} here, {clip.label} in the set's own annotation"
            faults.append(Fault("label_conflict", entry.where, detail))
        folds = _with_part(clip, FoldPart(protocol, fold, part, label if label != clip.label else None), entry, faults)
        num_frames = entry.num_frames if clip.num_frames is None else clip.num_frames
        changed[clip.name] = replace(clip, folds=folds, num_frames=num_frames)
    return replace(
        listing,
        clips=tuple(changed.get(clip.name, clip) for clip in listing.clips),
        faults=(*listing.faults, *faults),
    )


def _with_part(clip: DatasetClip, part: FoldPart, entry: FlatEntry, faults: list[Fault]) -> tuple[FoldPart, ...]:
    """The clip's folds with one more; where another list of the fold names it too, it stays in test alone."""
    key = (part.protocol, part.fold)
    others = tuple(one for one in clip.folds if (one.protocol, one.fold) != key)
    before = next((one for one in clip.folds if (one.protocol, one.fold) == key), None)
    if before is None:
        return (*others, part)
    if before.part == part.part:
        faults.append(Fault("named_twice", entry.where, f"clip {clip.name}: another list has it in {part.part} too"))
        return clip.folds
    detail = f"clip {clip.name}: {part.part} here, {before.part} in another list of fold {part.fold}"
    faults.append(Fault("both_sides", entry.where, f"{detail}: it is kept in test alone"))
    return clip.folds if before.part == "test" else (*others, part)


def _match(listing: Listing, entries: Sequence[FlatEntry], faults: list[Fault]) -> list[tuple[FlatEntry, DatasetClip]]:
    """Each line with the clip whose name its path ends with."""
    clips = {_key(clip.name): clip for clip in listing.clips}
    depth = max((len(key) for key in clips), default=1)
    matched: list[tuple[FlatEntry, DatasetClip]] = []
    for entry in entries:
        clip = clips.get(_key(entry.path)[-depth:])
        if clip is None:
            faults.append(Fault("missing", entry.where, f"{entry.path}: no clip of {listing.dataset} is called so"))
        else:
            matched.append((entry, clip))
    return matched


def _key(path: str) -> tuple[str, ...]:
    """The parts of a path without what copies differ in: zeros, file endings, `Angry` or `Anger`, `val`."""
    parts = [part for part in re.split(r"[/\\]", path) if part]
    if parts:
        parts[-1] = re.sub(r"\.\w{2,4}$", "", parts[-1])
    plain = [label_name(part).casefold() for part in parts]
    return tuple(part.lstrip("0") if part.isdigit() else {"val": "validation"}.get(part, part) for part in plain)


def _choose_order(
    listing: Listing,
    path: Path,
    matched: Sequence[tuple[FlatEntry, DatasetClip]],
    name: str | None,
    fold_and_part: tuple[str, str],
) -> LabelOrder:
    orders = [order for order in LABEL_ORDERS if order.dataset == listing.dataset]
    share = {order: _disputed(order, matched) for order in orders}
    agreeing = [order for order in orders if share[order] <= MOST_DISPUTED]
    by_counts = _by_counts(listing, matched, fold_and_part)
    if name is None:
        if not agreeing and not by_counts:
            raise DatasetError(
                f"{path}: its numbers are in no order of labels that is known for {listing.dataset}: give one of "
                f"{', '.join(order.name for order in orders) or 'none'}, or a manifest with names"
            )
        return (agreeing or by_counts)[0]
    try:
        order = label_order(listing.dataset, name)
    except ValueError as error:
        raise DatasetError(f"{path}: {error}") from error
    right = [one for one in orders if share[one] == min(share.values())]
    if share[order] > MOST_DISPUTED and order not in right:
        told = ", ".join(one.name for one in right)
        raise DatasetError(
            f"{path}: by the order of {name}, {share[order]:.0%} of its {len(matched)} clips have another label than "
            f"{listing.dataset} gives them; the numbers are those of {told}"
        )
    return order


def _disputed(order: LabelOrder, matched: Sequence[tuple[FlatEntry, DatasetClip]]) -> float:
    """Share of the clips that have a label in the set, and another one or none by the list; 1 if none has one."""
    labelled = [(entry, clip) for entry, clip in matched if clip.label is not None]
    differing = sum(order.label(entry.number) != clip.label for entry, clip in labelled)
    return differing / len(labelled) if labelled else 1.0


def _by_counts(
    listing: Listing, matched: Sequence[tuple[FlatEntry, DatasetClip]], fold_and_part: tuple[str, str]
) -> list[LabelOrder]:
    """The orders under which published numbers of clips come out; for sets whose own labels are not there."""
    fold, part = fold_and_part
    numbers = Counter(entry.number for entry, _ in matched)
    for (_, one, side), counts in listing.published.items():
        if (one, side) == (fold, part) and "" not in counts:
            return orders_that_fit(listing.dataset, numbers, counts)
    return []
