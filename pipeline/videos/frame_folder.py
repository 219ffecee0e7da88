"""A clip that is a folder of pictures, one a frame: which files are its frames, in which order, and what its id is.

So DFEW's `clip_224x224`, the face crops of FERV39k and AFEW, and Aff-Wild2's `cropped_aligned` come. A frame's number
is the last whole number in its name without the ending, whatever stands before it and however it is padded: 7 in
`7.jpg`, `00007.jpg` and `00012_00007.jpg`. Numbers give order and time; where some are missing, time has passed.

Nothing here opens a picture: `picture_decoding.py` does, in a decoder process.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from pipeline.videos.frames import VideoError
from pipeline.videos.paths import path_text

FRAME_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""In any case. What else lies in the folder makes it no clip."""

LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "__macosx")
"""What file browsers leave in folders, in any case: passed over, as are names that begin with a dot."""

NOT_REGULAR = "not a regular file"
"""The words of the OSError for a pipe or a device, as `sources.py` records them."""

_NUMBER = re.compile(r"[0-9]+")  # not \d, which also takes the digits of other scripts
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FrameFiles:
    """The frames of one folder, in natural order: by number."""

    names: tuple[str, ...]
    """Of the files, as the system gives them."""

    numbers: tuple[int, ...]
    """Of the frames, growing. The first may be any."""

    @property
    def holes(self) -> tuple[tuple[int, int], ...]:
        """The first and the last missing number of each stretch that is missing between two frames."""
        return tuple((before + 1, after - 1) for before, after in pairwise(self.numbers) if after - before > 1)


class FolderState(NamedTuple):
    """What can be seen of a folder without reading its files; when it is another, so is the clip."""

    num_files: int
    size_bytes: int
    """Of all files together."""
    changed_ns: int
    """The newest time of change of its files and of itself, in nanoseconds."""


def list_frames(folder: Path) -> FrameFiles:
    """The frames of a folder, by their names alone.

    Raises:
        VideoError: `empty_file` where there is no picture, `not_a_video` where other files or folders lie beside the
            pictures, `no_times` where a frame has no number or two have the same, `unreadable`, `not_a_file`.
    """
    try:
        return order_frames(folder, _names_in(folder))
    except OSError as error:
        reason = "not_a_file" if error.errno in (errno.ELOOP, errno.ENOTDIR) else "unreadable"
        raise VideoError(reason, f"{error.strerror}: {_name(folder)}") from error


def order_frames(folder: Path, names: Sequence[str]) -> FrameFiles:
    """As `list_frames`, of the names that a folder was seen to hold. `folder` is for the words of errors only.

    Raises:
        VideoError: as `list_frames`, for what names can tell.
    """
    aliens = sorted(name for name in names if not is_frame(name))
    if aliens:
        others = f" and {len(aliens) - 1} more" if len(aliens) > 1 else ""
        what = f"{_name(folder)} holds {path_text(aliens[0])}{others}, which is no frame"
        raise VideoError("not_a_video", f"{what}: a clip's folder holds only pictures ({', '.join(FRAME_ENDINGS)})")
    if not names:
        raise VideoError("empty_file", f"{_name(folder)} holds no picture")
    by_number: dict[int, str] = {}
    for name in sorted(names):
        number = number_of(name)
        if number is None:
            raise VideoError(
                "no_times", f"{_name(folder)}/{path_text(name)} has no number in its name: when is it shown?"
            )
        if number in by_number:
            both = f"{path_text(by_number[number])} and {path_text(name)}"
            raise VideoError("no_times", f"{_name(folder)} holds frame {number} twice: {both}")
        by_number[number] = name
    numbers = sorted(by_number)
    return FrameFiles(tuple(by_number[number] for number in numbers), tuple(numbers))


def is_frame(name: str) -> bool:
    """Whether a file's name is that of a picture."""
    return name.lower().endswith(FRAME_ENDINGS)


def number_of(name: str) -> int | None:
    """The frame's number: the last whole number of the name without its ending."""
    found = _NUMBER.findall(os.path.splitext(name)[0])  # noqa: PTH122 - a Path for each of many names takes long
    return int(found[-1]) if found else None


def hash_frames(folder: Path) -> tuple[str, int]:
    """The id of a clip that is a folder, and the bytes of its files together.

    The id is 32 hex digits over every frame's bytes and number, in natural order. Numbers are counted from the first
    frame's, so that a copy that begins with another number is the same clip, and padding, prefix and ending do not
    matter. What is no clip has an id too, to be refused under: names that are no frame's enter it as they are.

    Raises:
        OSError: the folder or a file in it cannot be read, or is no regular file (`NOT_REGULAR`).
    """
    names = _names_in(folder)
    try:
        files = order_frames(folder, names)
        keyed = [
            (str(number - files.numbers[0]), name) for name, number in zip(files.names, files.numbers, strict=True)
        ]
    except VideoError:
        keyed = [(path_text(name), name) for name in sorted(names)]
    digest = hashlib.sha256(b"frames:")
    size_bytes = 0
    for key, name in keyed:
        path = f"{folder}/{name}"
        facts = os.stat(path)  # noqa: PTH116 - see number_of
        if stat.S_ISDIR(facts.st_mode):
            digest.update(f"{key}/folder:".encode())
            continue
        if not stat.S_ISREG(facts.st_mode):  # asked before it is opened: opening a named pipe waits for ever
            raise OSError(0, NOT_REGULAR)
        inner = hashlib.sha256()
        with open(path, "rb") as file:  # noqa: PTH123 - see number_of
            while chunk := file.read(_CHUNK_BYTES):
                inner.update(chunk)
                size_bytes += len(chunk)
        digest.update(f"{key}/{inner.hexdigest()}:".encode())
    return digest.hexdigest()[:32], size_bytes


def folder_state(folder: Path) -> FolderState:
    """Number and size of a folder's files and the newest change.

    Raises:
        OSError: the folder or a file in it is gone, or may not be looked at.
    """
    num_files, size_bytes, changed_ns = 0, 0, os.stat(folder).st_mtime_ns  # noqa: PTH116 - see number_of
    for name in _names_in(folder):
        facts = os.stat(f"{folder}/{name}")  # noqa: PTH116 - see number_of
        num_files += 1
        size_bytes += 0 if stat.S_ISDIR(facts.st_mode) else facts.st_size
        changed_ns = max(changed_ns, facts.st_mtime_ns)
    return FolderState(num_files, size_bytes, changed_ns)


def _names_in(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if not (name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS)]  # noqa: PTH208


def _name(folder: Path) -> str:
    return path_text(folder.name)  # without its parents: a reject does not depend on where the folder lay
