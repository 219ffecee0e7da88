"""Hold a data set on a disk against its own annotation and against the counts that it was published with.

What names and annotation files tell, its reader has told (`Listing.faults`). Here the clips are looked at
(`looking.py`) and the rest of `FAULTS` is found: content, frames, persons on both sides, counts. Each thing that is
wrong is one fault, told once: where a hole in the numbering explains a missing frame, only the hole is told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median_low
from typing import Any

from natsort import natsorted
from pydantic import BaseModel, ConfigDict, computed_field

from pipeline.videos.datasets.fingerprint import fingerprint
from pipeline.videos.datasets.frame_versions import length_faults, size_faults
from pipeline.videos.datasets.listing import FAULTS, DatasetClip, Fault, FoldPart, Listing
from pipeline.videos.datasets.looking import Look, hash_clips, look_at_clips
from pipeline.videos.paths import is_address

NEXT: Mapping[str, str] = {
    "missing": "See whether an archive is still packed or its download broke off; a build goes on without these clips.",
    "extra": "They are left out. If they are many, the annotation is of another version than the clips.",
    "bad_line": "Compare the file with the publisher's, and mend the line: until then it is left out.",
    "bad_encoding": "Fetch the file anew: some program saved it otherwise, and words in it may be damaged.",
    "missing_file": "Put it where the set has it; where an archive is named, unpack that.",
    "unknown_label": "Compare the line with the publisher's; until then the clip has no label from it.",
    "label_conflict": "Find out which one is right and mend the other: until then the clip has no label.",
    "named_twice": "Take one of the lines away; if the lines are of different clips, mend the name.",
    "no_caption": "Fetch that file anew, or take the clip without a caption: nothing but captions needs it.",
    "both_sides": "Take it out of train: a network is tested on what it was shown.",
    "shared_group": "Train with folds that keep persons and films apart (`-identity`), or say where you publish that"
    " yours do not.",
    "frame_count": "Fetch or extract the clip again: frames were lost or the list is of another version.",
    "frame_gap": "Fetch the clip again if a copy lost frames. A build takes each hole for a gap in time.",
    "frame_version": "Do not mix versions: keep one, and name it in the address (`NAME@VARIANT:PATH`). A network that"
    " learned on one does much worse on another.",
    "frame_size": "Fetch the clip again, or scale all alike: these were made in another way than the others.",
    "duplicate": "Keep one, above all where one is in train and the other in test.",
    "unreadable": "Fetch the file again. A build refuses the clip, and `facescribe show rejects` names it.",
    "published_count": "Compare the lists with the publisher's. Results on other clips do not stand beside published"
    " ones.",
}
"""By kind of fault, what to do about it."""

HOLES_PUBLISHED: Mapping[str, str] = {
    "affwild2": "as published: frames in which no face was found are left out",
    "afew": "as published: frames in which no face was found are left out",
}
"""Sets whose numbering has holes by design."""

MOST_NAMED = 3
"""Clips that a sentence names."""


class Told(BaseModel):
    """A fault with the words that go with it."""

    model_config = ConfigDict(frozen=True)

    kind: str
    where: str
    detail: str
    is_known: bool
    """The set was published so."""


class ClassCount(BaseModel):
    """How many clips of a class there are in a part of a fold."""

    model_config = ConfigDict(frozen=True)

    protocol: str
    """Empty: all clips of the set."""
    fold: str
    part: str
    label: str | None
    """None: all classes together, those without a label among them."""
    expected: int
    """By the annotation."""
    found: int
    """Of these, clips that are there and can be read."""
    published: int | None
    """None where it is not known."""


class Sized(BaseModel):
    """A size of frames, and how many frames have it."""

    model_config = ConfigDict(frozen=True)

    width_px: int
    height_px: int
    num_frames: int


class Verification(BaseModel):
    """What was looked at, what was counted, and every fault."""

    dataset: str
    variant: str
    folder: str
    is_frames: bool
    is_deep: bool
    fingerprint: str | None
    """As the snapshot of a build records it; None where an annotation file could not be read a second time."""
    labels: tuple[str, ...]
    num_expected: int
    """Clips that the annotation names."""
    num_found: int
    """Of these, clips that are there and can be read."""
    num_frames: int
    """Of all folders of frames, and of videos that were decoded."""
    num_bytes: int
    num_not_opened: int
    """Objects in a store: it was asked whether they are there, and none was fetched."""
    frames_per_clip: tuple[int, int, int] | None
    """Fewest, median, most."""
    sizes: tuple[Sized, ...]
    """The most frequent first."""
    counts: tuple[ClassCount, ...]
    faults: tuple[Told, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def kinds(self) -> dict[str, dict[str, Any]]:
        """By kind of fault that was found: how many, how many of them known, what it means and what to do next."""
        known, every = Counter(f.kind for f in self.faults if f.is_known), Counter(f.kind for f in self.faults)
        return {
            kind: {
                "faults": every[kind] - known[kind],
                "known": known[kind],
                "meaning": FAULTS[kind],
                "next": NEXT[kind],
            }
            for kind in FAULTS
            if every[kind]
        }

    @computed_field  # type: ignore[prop-decorator]
    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong but what is known of the set."""
        return all(fault.is_known for fault in self.faults)


def verify(listing: Listing, *, deep: bool = False, labels: Sequence[str] = ()) -> Verification:
    """Look at every clip of a set and tell everything that is wrong.

    Args:
        deep: decode every picture, and open every video with the decoder; without it, first and last bytes are read.
        labels: the set's classes in their order; without it, those that were met.
    """
    paths = [clip.path for clip in listing.clips if clip.path is not None]
    looks = look_at_clips(listing.folder, paths, deep=deep)
    hashes = hash_clips(listing.folder, looks)
    sizes = {path: look.size for path, look in looks.items() if look.size is not None}
    faults = list(_told_once(listing, _found(listing, looks, hashes)))
    try:
        copy = fingerprint(listing, sizes)
    except OSError as error:
        copy = None
        faults.append(Fault("unreadable", str(error.filename), f"an annotation file: {error.strerror}"))
    pixels: Counter[tuple[int, int]] = Counter()
    for look in looks.values():
        pixels.update(look.pixels if look.is_folder else {})
    lengths = [look.num_frames for look in looks.values() if look.num_frames is not None]
    order = list(FAULTS)
    found = {clip.name for clip in listing.clips if _is_found(clip, looks)}
    return Verification(
        dataset=listing.dataset,
        variant=listing.variant,
        folder=str(listing.folder),
        is_frames=listing.is_frames,
        is_deep=deep,
        fingerprint=copy,
        labels=tuple(labels) or tuple(natsorted({clip.label for clip in listing.clips if clip.label is not None})),
        num_expected=len(listing.clips),
        num_found=len(found),
        num_frames=sum(lengths),
        num_bytes=sum(size.num_bytes for size in sizes.values()),
        num_not_opened=sum(map(is_address, looks)),
        frames_per_clip=(min(lengths), median_low(lengths), max(lengths)) if lengths else None,
        sizes=tuple(Sized(width_px=w, height_px=h, num_frames=count) for (w, h), count in pixels.most_common()),
        counts=tuple(_counts(listing, found, labels)),
        faults=tuple(
            Told(kind=fault.kind, where=fault.where, detail=fault.detail, is_known=fault.is_known)
            for fault in natsorted(faults, key=lambda fault: (order.index(fault.kind), fault.is_known, fault.where))
        ),
    )


def _is_found(clip: DatasetClip, looks: Mapping[str, Look]) -> bool:
    look = None if clip.path is None else looks[clip.path]
    return look is not None and look.is_there and look.problem is None


def _told_once(listing: Listing, found: Iterable[Fault]) -> Iterator[Fault]:
    """What the reader told, and what was found beyond it: a reader may name a clip, or its path."""
    yield from listing.faults
    told = {(fault.kind, fault.where) for fault in listing.faults}
    path_of_clip = {clip.name: clip.path for clip in listing.clips}
    for fault in found:
        if not {(fault.kind, fault.where), (fault.kind, path_of_clip.get(fault.where))} & told:
            yield fault


def _found(listing: Listing, looks: Mapping[str, Look], hashes: Mapping[str, str]) -> Iterator[Fault]:
    yield from _missing(listing, looks)
    for clip in listing.clips:
        if clip.path is not None and (problem := looks[clip.path].problem) is not None:
            yield Fault("unreadable", clip.name, problem)
    for fault in length_faults(listing, looks):
        why = HOLES_PUBLISHED.get(listing.dataset) if fault.kind == "frame_gap" else None
        yield Fault(fault.kind, fault.where, f"{fault.detail}; {why}", is_known=True) if why else fault
    yield from size_faults(listing, looks)
    yield from _duplicates(listing, hashes)
    yield from _both_sides(listing)
    yield from _shared_groups(listing)
    yield from _published(listing)


def _missing(listing: Listing, looks: Mapping[str, Look]) -> Iterator[Fault]:
    told = {fault.where for fault in listing.faults if fault.kind in ("missing", "unreadable")}
    for clip in listing.clips:
        if clip.path is None and clip.name not in told:
            yield Fault("missing", clip.name, "the annotation names it, and no file or folder has its name")
        elif clip.path is not None and not looks[clip.path].is_there:
            yield Fault("missing", clip.name, f"there is no {clip.path}")


# --- content


def _duplicates(listing: Listing, hashes: Mapping[str, str]) -> Iterator[Fault]:
    first_with: dict[str, DatasetClip] = {}
    for clip in listing.clips:
        content = None if clip.path is None else hashes.get(clip.path)
        if content is None:
            continue
        first = first_with.setdefault(content, clip)
        if first is not clip:
            worse = "".join([*_labels_differ(first, clip), *_sides_differ(listing, first, clip)])
            yield Fault("duplicate", clip.name, f"{clip.path} has the same content as {first.path}{worse}")


def _labels_differ(first: DatasetClip, clip: DatasetClip) -> Iterator[str]:
    if first.label != clip.label:
        yield f"; it is labelled {clip.label or 'with nothing'}, that one {first.label or 'with nothing'}"


def _sides_differ(listing: Listing, first: DatasetClip, clip: DatasetClip) -> Iterator[str]:
    there = {(part.protocol, part.fold): part.part for part in parts_of(listing, first)}
    differ = [part for part in parts_of(listing, clip) if there.get((part.protocol, part.fold), part.part) != part.part]
    if differ:
        part = differ[0]
        others = f" and {len(differ) - 1} more of its folds" if len(differ) > 1 else ""
        in_there = there[part.protocol, part.fold]
        yield f"; it is in {part.part}, that one in {in_there} of {_fold_words(part)}{others}"


# --- folds


def parts_of(listing: Listing, clip: DatasetClip) -> tuple[FoldPart, ...]:
    """The parts that a clip is in. The official division is a protocol of one fold without number, named as the set."""
    is_said = any(part.protocol == listing.dataset for part in clip.folds)
    official = () if clip.split is None or is_said else (FoldPart(listing.dataset, "", clip.split),)
    return clip.folds + official


def _fold_words(part: FoldPart) -> str:
    return f"{part.protocol} fold {part.fold}" if part.fold else part.protocol


def _both_sides(listing: Listing) -> Iterator[Fault]:
    """Readers tell this of their lists; a table of one's own may say it too."""
    told = {fault.where for fault in listing.faults if fault.kind == "both_sides"}
    for clip in listing.clips:
        sides: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for part in parts_of(listing, clip):
            sides[part.protocol, part.fold].add(part.part)
        wrong = [
            f"{_fold_words(FoldPart(*key, ''))}: {' and '.join(sorted(s))}" for key, s in sides.items() if len(s) > 1
        ]
        if wrong and clip.name not in told:
            yield Fault("both_sides", clip.name, "; ".join(natsorted(wrong)))


def _shared_groups(listing: Listing) -> Iterator[Fault]:
    """One fault for a person or film and a fold. A clip that is itself on both sides is told as such."""
    members: defaultdict[tuple[str, str, str], defaultdict[str, list[str]]]
    members = defaultdict(lambda: defaultdict(list))
    for clip in listing.clips:
        parts = parts_of(listing, clip) if clip.group is not None else ()
        times = Counter((part.protocol, part.fold) for part in parts)
        for part in (part for part in parts if times[part.protocol, part.fold] == 1):
            members[part.protocol, part.fold, str(clip.group)][part.part].append(clip.name)
    for (protocol, fold, group), sides in members.items():
        if len(sides) > 1:
            told = "; ".join(f"{part}: {_named(names)}" for part, names in sorted(sides.items()))
            yield Fault("shared_group", group, f"{_fold_words(FoldPart(protocol, fold, ''))}: {told}")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(natsorted(names)[:MOST_NAMED]) + more


# --- counts


def _cells(listing: Listing, names: set[str] | None = None) -> Counter[tuple[str, str, str, str | None]]:
    """Clips by protocol, fold, part and label, with None for all labels; protocol "" is the whole set."""
    cells: Counter[tuple[str, str, str, str | None]] = Counter()
    for clip in listing.clips:
        if names is not None and clip.name not in names:
            continue
        for part in (FoldPart("", "", ""), *parts_of(listing, clip)):
            cells[part.protocol, part.fold, part.part, None] += 1
            if (label := part.label or clip.label) is not None:
                cells[part.protocol, part.fold, part.part, label] += 1
    return cells


def _published_cells(listing: Listing) -> dict[tuple[str, str, str, str | None], int]:
    """As `_cells`, of what the set was published with. The label "" of a reader is all together."""
    cells: dict[tuple[str, str, str, str | None], int] = {}
    for (protocol, fold, part), by_label in listing.published.items():
        for label, count in by_label.items():
            cells[protocol, fold, part, label or None] = count
        if "" not in by_label and by_label:
            cells[protocol, fold, part, None] = sum(by_label.values())
    return cells


def _counts(listing: Listing, found: set[str], labels: Sequence[str]) -> Iterator[ClassCount]:
    expected, there, published = _cells(listing), _cells(listing, found), _published_cells(listing)
    parts = natsorted({key[:3] for key in (*expected, *published)}, key=lambda key: (key[0], key[1], _place(key[2])))
    place = {label: number for number, label in enumerate(labels)}
    for part in parts:
        met = {key[3] for key in (*expected, *published) if key[:3] == part and key[3] is not None}
        ordered = sorted(met, key=lambda label: (place.get(label, len(place)), label))
        for label in (*ordered, None):
            key = (*part, label)
            yield ClassCount(
                protocol=part[0],
                fold=part[1],
                part=part[2],
                label=label,
                expected=expected[key],
                found=there[key],
                published=published.get(key),
            )


def _place(part: str) -> tuple[int, str]:
    known = ("train", "validation", "test")
    return (known.index(part) if part in known else len(known), part)


def _published(listing: Listing) -> Iterator[Fault]:
    """One fault for each part of a fold whose list is not as published. Of a list that is not there, that is told."""
    expected, published = _cells(listing), _published_cells(listing)
    lacks_a_list = any(fault.kind == "missing_file" for fault in listing.faults)
    for part in dict.fromkeys(key[:3] for key in published):
        total = (*part, None)
        if not expected[total] and lacks_a_list:
            continue
        wrong = [key for key in published if key[:3] == part and key[3] is not None and expected[key] != published[key]]
        told = [f"{expected[key]} of {key[3]}, published {published[key]}" for key in wrong]
        if expected[total] != published.get(total, expected[total]):
            told.insert(0, f"{expected[total]} clips, published {published[total]}")
        if told:
            where = " ".join(filter(None, (_fold_words(FoldPart(*part)), part[2]))) or listing.dataset
            yield Fault("published_count", where, "; ".join(told))
