"""List just the clips that an annotation or a manifest names: videos, folders of frames, objects in a store."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import progress
from pipeline.videos.datasets.fingerprint import ClipSize
from pipeline.videos.paths import LEADS_OUT, is_address, leads_out, name_of
from pipeline.videos.sources import MISSING, RACY_NS, UNREAD, Memory, SourceError, hash_file

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def list_clips(
    folder: Path,
    paths: Sequence[str],
    memory: Mapping[str, tuple[int, int, str]],
    *,
    may_read: bool = True,
    links_out: bool = False,
) -> tuple[list[dict[str, Any]], Memory, dict[str, ClipSize]]:
    """Rows of SOURCES, without annotations, of just these paths: videos, folders of frames, addresses of objects.

    `paths` are as the corpus stores them. A path with nothing there is a row too, whose `read_error` begins with
    MISSING; one that symbolic links lead out of `folder`, one that says so, unless `links_out` lets them. Whole paths
    name what they name. Also returned are the memory for the next listing, and the size of each clip that is there.

    Raises:
        SourceError: there are objects, and none of them can be looked at, or they do not all fit on the cache's disk.
    """
    remembered: Memory = {}
    sizes: dict[str, ClipSize] = {}
    objects = _object_rows([path for path in paths if is_address(path)], memory, remembered, may_read)
    rows = []
    for done, path in enumerate(paths, 1):
        row = objects.get(path) or _clip_row(folder, path, memory, remembered, sizes, may_read, links_out)
        rows.append(row)
        progress.report("list_source", 0, done=done, total=len(paths))
    return rows, remembered, sizes


def _clip_row(
    folder: Path,
    text: str,
    memory: Mapping[str, tuple[int, int, str]],
    remembered: Memory,
    sizes: dict[str, ClipSize],
    may_read: bool,
    links_out: bool,
) -> dict[str, Any]:
    name = name_of(text)
    path = folder / name
    try:
        facts = path.stat()
        is_folder = stat.S_ISDIR(facts.st_mode)
        if not links_out and _leads_out(folder, name, is_folder):
            raise OSError(0, LEADS_OUT)
        num_files, size, changed_ns = _folder_state(path) if is_folder else (1, facts.st_size, facts.st_mtime_ns)
        known = memory.get(text)
        if known and (known[0], known[1]) == (size, changed_ns):
            video_id = known[2]
        elif not may_read:
            video_id = UNREAD + hashlib.sha256(os.fsencode(text)).hexdigest()[:24]
        elif is_folder:
            video_id, size = _hash_frames(path)
        else:
            video_id = hash_file(path)
        if time.time_ns() - changed_ns > RACY_NS and not video_id.startswith(UNREAD):
            remembered[text] = (size, changed_ns, video_id)
        sizes[text] = ClipSize(num_files, size)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return missing_row(text)
        return _row(_id_of_path("unreadable", text), text, 0, _in_words(error))
    return _row(video_id, text, size)


def _leads_out(folder: Path, name: str, is_folder: bool) -> bool:
    """Whether a clip, or a picture in it, is elsewhere than below the source. Raises OSError."""
    is_whole = os.path.isabs(name)  # noqa: PTH117 - a Path for each of many names takes long
    place = f"{folder}/{name}" if not is_whole else name
    if not is_whole and leads_out(folder, place):
        return True
    if not is_folder:
        return False
    with os.scandir(place) as entries:  # which tells links without a look at each
        links = [entry.path for entry in entries if entry.is_symlink()]
    return any(leads_out(Path(place) if is_whole else folder, link) for link in links)


def missing_row(text: str, why: str = "") -> dict[str, Any]:
    """The row of a clip that is named and not there."""
    return _row(_id_of_path("missing", text), text, 0, f"{MISSING}: {why}" if why else MISSING)


def _row(video_id: str, text: str, size_bytes: int, read_error: str | None = None) -> dict[str, Any]:
    return {"video_id": video_id, "path": text, "other_paths": [], "size_bytes": size_bytes, "read_error": read_error}


def _object_rows(
    texts: Sequence[str], memory: Mapping[str, tuple[int, int, str]], remembered: Memory, may_read: bool
) -> dict[str, dict[str, Any]]:
    if not texts:
        return {}
    from pipeline.videos import object_files

    address = {text: name_of(text) for text in texts}
    states = object_files.look_at(list(address.values()))
    errors = {text: error for text in texts if isinstance(error := states[address[text]], OSError)}
    if len(errors) == len(texts):
        raise SourceError(
            f"none of {len(texts)} objects can be looked at; {texts[0]}: {_in_words(errors[texts[0]])}. Look at the "
            "addresses, at the region, and at the credentials in the environment"
        )
    there = {text: state for text in texts if isinstance(state := states[address[text]], object_files.ObjectState)}
    ids: dict[str, str | OSError] = {}
    for text, state in there.items():
        known = memory.get(text)
        is_known = known is not None and (known[0], known[1]) == (state.size_bytes, state.changed)
        known_id = known[2] if known is not None and is_known else object_files.known_id(address[text], state)
        if known_id is not None:
            ids[text] = known_id
        elif not may_read:
            ids[text] = UNREAD + hashlib.sha256(os.fsencode(text)).hexdigest()[:24]
    wanted = {address[text]: state for text, state in there.items() if text not in ids}
    if wanted:
        try:
            fetched = object_files.fetch(wanted)
        except OSError as error:
            raise SourceError(str(error)) from error
        ids |= {text: fetched[address[text]] for text in there if text not in ids}
    rows = {}
    for text in texts:
        found = errors.get(text) or ids[text]
        if isinstance(found, FileNotFoundError):
            rows[text] = missing_row(text)
        elif isinstance(found, OSError):
            rows[text] = _row(_id_of_path("unreadable", text), text, 0, _in_words(found))
        else:
            state = there[text]
            if not found.startswith(UNREAD):
                remembered[text] = (state.size_bytes, state.changed, found)
            rows[text] = _row(found, text, state.size_bytes)
    return rows


def _in_words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def _folder_state(path: Path) -> tuple[int, int, int]:
    from pipeline.videos.frame_folder import folder_state

    return folder_state(path)


def _hash_frames(path: Path) -> tuple[str, int]:
    from pipeline.videos.frame_folder import hash_frames

    return hash_frames(path)


def _id_of_path(why: str, text: str) -> str:
    return hashlib.sha256(f"{why}:".encode() + os.fsencode(name_of(text))).hexdigest()[:32]
