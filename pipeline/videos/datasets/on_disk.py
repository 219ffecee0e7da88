"""Find a set's folders, files and clips on a disk, however a copy of it spells their names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from natsort import natsorted

from pipeline.videos.datasets.listing import DatasetError, Fault
from pipeline.videos.paths import path_text

VIDEO_ENDINGS = (".mp4", ".avi", ".mkv", ".mov", ".flv", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv")
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
ARCHIVE_ENDINGS = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz")


def plain_name(name: str) -> str:
    """A name without what copies differ in: `Train & Test Set`, `Train_&_Test_Set` and `train-&-test set` are one."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, in natural order, without names that begin with a dot; nothing if it may not be listed."""
    try:
        with os.scandir(folder) as found:
            shown = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
            return natsorted(shown, key=lambda entry: entry.name)  # `1` after `0001`, whatever the disk's order
    except OSError:
        return []


def find(folder: Path, *spellings: str) -> Path | None:
    """The first of `spellings` (paths below `folder`, with forward slashes) that is there, however it is written."""
    for spelling in spellings:
        places = [folder]
        for part in spelling.split("/"):
            wanted = plain_name(part)
            places = [Path(entry) for place in places for entry in entries(place) if plain_name(entry.name) == wanted]
        if places:
            return places[0]
    return None


def below(folder: Path, path: Path | str) -> str:
    """A path as text below the set's folder, with forward slashes."""
    return path_text(Path(os.path.relpath(path, folder)).as_posix())


def archives(folder: Path) -> list[Path]:
    """Archives that lie in a folder, not looked into."""
    return [Path(entry) for entry in entries(folder) if entry.name.lower().endswith(ARCHIVE_ENDINGS)]


def choose_variant(
    title: str,
    folder: Path,
    variant: str | None,
    places: Mapping[str, Sequence[str]],
    has_clips: Callable[[Path], bool],
) -> tuple[str, Path]:
    """Which variant of a set is read, and the folder of its clips: the one named, or the first that is there.

    `places` are the variants in the order in which they are preferred, each with the spellings of its folder.

    Raises:
        DatasetError: no such folder, no such variant, or none of its clips is there.
    """
    if not folder.is_dir():
        raise DatasetError(f"no folder {folder}: give the folder of {title}")
    if variant is not None and variant not in places:
        raise DatasetError(f"{title} has no variant {variant!r}: it has {', '.join(places)}")
    zipped: list[Path] = []
    for name in (variant,) if variant else places:
        place = find(folder, *places[name])
        if place and place.is_dir() and has_clips(place):
            return name, place
        if place and place.is_dir():
            zipped += archives(place)
        for spelling in places[name]:
            parent, _, wanted = spelling.rpartition("/")
            holder = find(folder, parent) if parent else folder
            inside = archives(holder) if holder else []
            zipped += [path for path in inside if plain_name(path.name).startswith(plain_name(wanted))]
    looked = ", ".join(places[name][0] for name in ((variant,) if variant else places))
    if zipped:
        raise DatasetError(
            f"{folder}: clips of {title} are still packed, such as {below(folder, zipped[0])}: unpack each archive "
            f"where it lies (looked for {looked})"
        )
    held = ", ".join(path_text(entry.name) for entry in entries(folder)[:12]) or "nothing"
    raise DatasetError(f"{folder} holds no clips of {title}: looked for {looked}; the folder holds {held}")


def clip_files(place: Path, depth: int) -> Iterator[os.DirEntry[str]]:
    """Every file with a video's ending in `place` and folders `depth` levels below it."""
    for entry in entries(place):
        if entry.is_dir():
            if depth:
                yield from clip_files(Path(entry), depth - 1)
        elif entry.name.lower().endswith(VIDEO_ENDINGS):
            yield entry


def clip_folders(place: Path, is_clip: Callable[[str], bool], depth: int) -> Iterator[os.DirEntry[str]]:
    """Every folder whose name is a clip's, in `place` and folders `depth` levels below it; no clip lies in a clip."""
    for entry in entries(place):
        if not entry.is_dir():
            continue
        if is_clip(entry.name):
            yield entry
        elif depth:
            yield from clip_folders(Path(entry), is_clip, depth - 1)


def by_name(
    folder: Path, found: Iterator[os.DirEntry[str]], name_of: Callable[[str], str | None], faults: list[Fault]
) -> dict[str, str]:
    """Path below `folder` of each clip by its name; what has no clip's name, or one that is taken, is a fault."""
    paths: dict[str, str] = {}
    for entry in found:
        path, name = below(folder, entry.path), name_of(entry.name)
        if name is None:
            faults.append(Fault("extra", path, "its name is none that clips of this set have"))
        elif name in paths:
            faults.append(Fault("extra", path, f"clip {name} is there twice; {paths[name]} is the one that is read"))
        else:
            paths[name] = path
    return paths
