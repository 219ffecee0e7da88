"""One short text that says which copy of a data set was read: two copies agree in it, or they are not the same set.

It is made of what is cheap to know: the bytes of the annotation files, and of every clip its name, its place below the
set's folder, how many files it is and how many bytes they have. So another version of the frames (native or 16, 224 or
256 pixels), another split file, a clip that was lost on the way or re-encoded shows. A clip whose bytes were changed
and whose size was not does not: for that the corpus has the hash of every clip (`video_id`).

Where the set lies, who owns the files and when they were changed is left out: a faithful copy on another machine has
the same fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.videos.datasets.listing import Listing
from pipeline.videos.paths import path_of

VERSION = 1
"""Of what goes into the hash. It is hashed too."""

LENGTH = 32
"""Hexadecimal digits of a fingerprint, as of a video_id."""


@dataclass(frozen=True, slots=True)
class ClipSize:
    """How much of a clip is there: one file, or a folder of frames."""

    num_files: int
    """1 for a video file; of a folder of frames, what `frame_folder.folder_state` counts."""

    num_bytes: int
    """Of all of them."""


def fingerprint(listing: Listing, frames: Mapping[str, ClipSize]) -> str:
    """Hash what was read of a set: 32 hexadecimal digits.

    `frames` has the size of every clip that is there, by its path as the listing gives it; one that it lacks counts as
    a clip that is not there, as one with no path does. The order of the clips and of the annotation files means
    nothing, and what the reader understood of them neither: labels and folds are in the bytes or in the names.

    Raises:
        OSError: an annotation file that was read for the listing cannot be read any more.
    """
    digest = hashlib.sha256()
    _add(digest, VERSION, listing.dataset, listing.variant)
    for name in sorted(set(listing.annotation_files)):
        with path_of(listing.folder, name).open("rb") as file:
            _add(digest, name, hashlib.file_digest(file, "sha256").hexdigest())
    for clip in sorted(listing.clips, key=lambda clip: clip.name):
        size = None if clip.path is None else frames.get(clip.path)
        path, num_files, num_bytes = (None, 0, 0) if size is None else (clip.path, size.num_files, size.num_bytes)
        _add(digest, clip.name, path, num_files, num_bytes)
    return digest.hexdigest()[:LENGTH]


def _add(digest: hashlib._Hash, *facts: str | int | None) -> None:
    """As JSON, one line: no two different rows give the same bytes. Names that are no Unicode are escaped."""
    digest.update(json.dumps(facts, ensure_ascii=True).encode("ascii") + b"\n")
