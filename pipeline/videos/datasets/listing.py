"""What every reader of a data set yields: its clips as the set's own annotation tells of them, and what is wrong there.

A reader reads annotation files and the names of files and folders. It opens no picture and no video, so that a set of
16,000 clips is listed in seconds; what needs a look inside is found by `verify.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

FAULTS: Mapping[str, str] = {
    "missing": "the annotation names a clip that is not there",
    "extra": "a clip is there that no annotation names",
    "bad_line": "a line of an annotation file that cannot be understood; it is left out",
    "bad_encoding": "an annotation file is not in the encoding that the set is published in",
    "missing_file": "an annotation file of the set is not there",
    "unknown_label": "a label that the set does not have",
    "label_conflict": "two files, or two lines of one, give a clip different labels",
    "no_caption": "a clip lacks the caption that its set gives it",
    "named_twice": "a list names a clip twice",
    "both_sides": "a clip is in train and in test of the same fold",
    "shared_group": "a person or film is in train and in test of the same fold",
    "frame_count": "a clip has another number of frames than its annotation says",
    "frame_gap": "the numbers of a clip's frames have holes",
    "frame_version": "frames of another version of the set than the others or than was asked for",
    "frame_size": "frames of another size in pixels than the others",
    "duplicate": "two clips have the same content",
    "unreadable": "a file that cannot be opened, or no picture, or no video",
    "published_count": "another number of clips than the set was published with",
}
"""What may be wrong with a set on a disk: the closed list of `Fault.kind`."""

MOST_OF_A_DETAIL = 800
"""Characters of `Fault.detail` that are kept."""


@dataclass(frozen=True, slots=True)
class FoldPart:
    """That a clip is of one part in one fold of a protocol."""

    protocol: str
    """The set's protocol, such as `dfew` or `mafw-single`; with `-identity` where persons are kept apart."""
    fold: str
    part: str
    """train, validation or test."""
    label: str | None = None
    """By our name, where the protocol has classes of its own, such as `anger_disgust` of MAFW's compound expressions;
    None: the clip's own label."""


@dataclass(frozen=True, slots=True)
class Caption:
    """What a person wrote of a clip."""

    language: str
    """As in BCP 47: en, zh."""
    text: str


@dataclass(frozen=True, slots=True)
class DatasetClip:
    """One clip, as the annotation of its set tells of it."""

    name: str
    """What the set calls it: the key that its annotation files use."""

    path: str | None
    """Below the set's folder, with forward slashes: a video file, or a folder of frames. None: it is not there."""

    label: str | None = None
    """By our name (`pipeline.videos.label_names`); None where the set gives no single one."""

    votes: Mapping[str, float] | None = None
    """How many annotators (or frames, where frames are labelled) said what, by our names."""

    split: str | None = None
    """train, validation or test, where the set has one official division."""

    folds: tuple[FoldPart, ...] = ()

    group: str | None = None
    """The person or film that must not be on both sides of a split."""

    captions: tuple[Caption, ...] = ()

    licence: str | None = None
    consent: str | None = None

    num_frames: int | None = None
    """That the annotation states."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a set on a disk."""

    kind: str
    """One of FAULTS."""

    where: str
    """The clip, the file, or the file and line."""

    detail: str
    """What was found and what was expected."""

    is_known: bool = False
    """The set was published so: told, and no reason to stop."""

    def __post_init__(self) -> None:
        """Cut what is too long to be read: a damaged file may have a line of a megabyte."""
        if len(self.detail) > MOST_OF_A_DETAIL:
            half = MOST_OF_A_DETAIL // 2
            object.__setattr__(self, "detail", f"{self.detail[:half]} [...] {self.detail[-half:]}")


@dataclass(frozen=True)
class Listing:
    """A data set on a disk."""

    dataset: str
    """Name of the reader."""

    variant: str
    """Which of the forms that a set comes in, such as `original` (videos) or `clip_224x224` (frames)."""

    folder: Path
    clips: tuple[DatasetClip, ...]
    """In the natural order of their names. Each name once, each path at most once."""

    faults: tuple[Fault, ...] = ()
    """Found in the annotation and in names alone."""

    annotation_files: tuple[str, ...] = ()
    """Below the folder: what was read, for the fingerprint."""

    is_frames: bool = False
    """Whether clips are folders of frames that show one face each."""

    published: Mapping[tuple[str, str, str], Mapping[str, int]] = field(default_factory=dict)
    """How many clips the set was published with, by (protocol, fold, part) and our label name. Where a set has no
    folds, the fold is "". The label "" is all clips together: it stands alone where no more than the sum is known."""


class DatasetError(Exception):
    """A folder that is no data set of the kind that was named: the message says what was looked for and found."""


class Reader(Protocol):
    """A module of this package."""

    TITLE: str
    """In words, with the year."""

    LICENCE: str
    """Of the videos, in words: what goes into the column licence."""

    LABELS: tuple[str, ...]
    """Our names, in the set's official order."""

    VARIANTS: Mapping[str, str]
    """Forms that the set comes in, and what each is; the first one found is read unless one is named."""

    def read(self, folder: Path, variant: str | None = None) -> Listing:
        """List the set below `folder`.

        Raises:
            DatasetError: it is not there, or not in the variant that was named.
        """
        ...
