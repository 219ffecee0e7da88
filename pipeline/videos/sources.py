"""List what a source holds by content: every file under a folder, with what people say of it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import progress
from pipeline.videos.annotations import Annotations
from pipeline.videos.paths import LEADS_OUT, leads_out, path_text
from schemas.videos import SOURCES

Memory = dict[str, tuple[int, int, str]]
"""For each path its size, its time of change in nanoseconds, and the hash of its bytes when they were last read.

Of a folder of frames: all its files' size, and the newest change of any of them or of itself. Of an object in a store:
its size, and a number made of what the store says of its state."""

RACY_NS = 2_000_000_000
"""A file changed this shortly before it was read may change again within one tick of its clock: not remembered."""


UNREAD = "unread:"
"""Begins the id of a file whose bytes were not looked at."""

NO_ANNOTATIONS: Annotations = {}


class SourceError(Exception):
    """A source that cannot be listed: the message says which, why, and what to do."""


NO_FILE = ("not a regular file", LEADS_OUT, os.strerror(errno.ELOOP))
"""The `read_error`s that no other day will mend."""

MISSING = "not there"
"""Begins the `read_error` of a clip that is named and that is not there. Such a clip is a row, so that it ends among
the rejects and not in silence; when it comes, the listing is another one."""


def reason_of(read_error: str) -> str:
    """Why a row of the source with this `read_error` is refused: one of REASONS."""
    if read_error.split(":", 1)[0] == MISSING:
        return "missing"
    return "not_a_file" if read_error in NO_FILE else "unreadable"


TABLES = (".csv", ".tsv", ".parquet", ".xlsx")
"""Endings of files that list videos and are none."""


def source_folder(source: Path) -> Path:
    """The folder that the paths of a source are relative to."""
    return source if source.is_dir() else source.parent


def list_source(
    source: Path,
    memory: Mapping[str, tuple[int, int, str]],
    annotations: Annotations = NO_ANNOTATIONS,
    *,
    may_read: bool = True,
    leave_out: Path | None = None,
    links_out: bool = False,
) -> tuple[pa.Table, Memory]:
    """Hash every file of `source` (a folder, searched whole, or one file) into SOURCES, in id order.

    `memory` of an earlier listing spares the reading of files whose size and time of change are the same; what is
    returned beside the table is the memory for the next one.

    `annotations` are put beside the files that they name. With `may_read` off no file is opened: one that memory does
    not know gets an id that begins with UNREAD, which stands for it until it is read. `leave_out` is a folder below the
    source that is not looked at: the corpus itself. `links_out`: whether symbolic links that lead out of the source are
    followed; else each is a row that says so.

    Names that begin with a dot are not looked at. Files of equal bytes are one row with several paths. A file that
    cannot be read is a row too, with the reason, so that it ends among the rejects and not in silence.

    Raises:
        SourceError: the path does not exist, holds no file, or lies in what is to be left out.
    """
    if not source.exists():
        raise SourceError(f"no such file or folder: {source}")
    if leave_out is not None and source.resolve().is_relative_to(leave_out.resolve()):
        raise SourceError(f"{source} lies in the corpus at {leave_out}: give a source or a --root outside of it")
    if source.is_file() and source.suffix.lower() in TABLES:
        raise SourceError(
            f"{source} is a table and no video: to build from the videos that it lists, give manifest:{source}"
        )
    names = _files_under(source, leave_out) if source.is_dir() else [source.name]
    if not names:
        raise SourceError(f"no files in {source}: give a folder that holds videos, or one video file")
    folder = source_folder(source)
    remembered: Memory = {}
    rows = []
    for done, name in enumerate(names, 1):
        rows.append(_source_row(folder, name, memory, remembered, may_read, links_out=links_out or source.is_file()))
        progress.report("list_source", 0, done=done, total=len(names))
    return sources_of(rows, annotations), remembered


def sources_of(rows: Iterable[dict[str, Any]], *annotations: Annotations) -> pa.Table:
    """SOURCES of listed files, in id order: those of equal content are one row, and what is said of them is beside it.

    Of several annotations a later one's values stand over an earlier one's.
    """
    by_id: dict[str, dict[str, Any]] = {}
    for row in rows:
        first = by_id.setdefault(str(row["video_id"]), row)
        if first is not row:
            first["other_paths"].append(row["path"])
    for row in by_id.values():
        for said in annotations:
            row.update({name: value for name, value in annotation_of(row, said).items() if value is not None})
    return SOURCES.rows(by_id[video_id] for video_id in sorted(by_id))


def annotation_of(row: Mapping[str, Any], annotations: Annotations) -> dict[str, Any]:
    """What is said of a video by its id and by each of its paths; of what they disagree on, nothing is said.

    Copies may have captions of their own, which are all told. Of folds, each is looked at by itself: one in which
    a copy trains and another is tested is left out. What a set calls its clip is of the first copy.
    """
    if not annotations:
        return {}
    found = [annotations[key] for key in _keys_of(row) if key in annotations]
    if len(found) == 1:
        return dict(found[0])
    return {name: _agreed(name, found)[0] for name in dict.fromkeys(name for said in found for name in said)}


def _agreed(name: str, found: Sequence[Mapping[str, Any]]) -> tuple[Any, bool]:
    """What copies say together of one thing, and whether they disagree."""
    values = [said[name] for said in found if said.get(name) is not None]
    if name == "clip_name" or not values:
        return (values[0] if values else None), False
    if name == "captions":
        every = [one for value in values for one in value]
        return [one for place, one in enumerate(every) if one not in every[:place]], False
    if name == "folds":
        by_fold: dict[tuple[str, str], list[Any]] = {}
        for one in (one for value in values for one in value):
            same = by_fold.setdefault((one["protocol"], one["fold"]), [])
            same.extend([] if one in same else [one])
        agreed = [same[0] for _, same in sorted(by_fold.items()) if len(same) == 1]
        return agreed or None, len(agreed) < len(by_fold)
    is_torn = any(value != values[0] for value in values)
    return None if is_torn else values[0], is_torn


def contradicted(annotations: Annotations, sources: pa.Table) -> list[str]:
    """Videos whose copies are annotated otherwise, in words: `a.mp4 and b.mp4: label`."""
    torn = []
    for row in sources.select(["video_id", "path", "other_paths"]).to_pylist() if annotations else ():
        keys = [key for key in _keys_of(row) if key in annotations]
        found = [annotations[key] for key in keys]
        for name in dict.fromkeys(name for said in found for name in said) if len(keys) > 1 else ():
            if _agreed(name, found)[1]:
                torn.append(f"{' and '.join(keys)}: {name}")
    return torn


def _keys_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (row["video_id"], row["path"], *row["other_paths"])


def unmatched(annotations: Annotations, sources: pa.Table) -> list[str]:
    """Paths and ids that are annotated and not in the source."""
    named = set(sources["video_id"].to_pylist()) | set(sources["path"].to_pylist())
    for paths in sources["other_paths"].to_pylist():
        named.update(paths)
    return sorted(annotations.keys() - named)


def _files_under(folder: Path, leave_out: Path | None) -> list[str]:
    """Names of files below a folder, as strings: a Path for each would take half the time of a large listing."""
    found: list[str] = []
    closed: list[str] = []  # folders that may not be listed: each is one row, so that it is not passed over in silence
    walk = os.walk(folder, onerror=lambda error: closed.append(os.path.relpath(error.filename, folder)))
    root = leave_out.resolve() if leave_out else None
    for parent, folders, names in walk:  # follows no symbolic link to a folder, so no loop
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if root is not None and root.name in folders and Path(parent, root.name).resolve() == root:
            folders.remove(root.name)
        below = os.path.relpath(parent, folder)
        begin = "" if below == os.curdir else f"{below}/"
        found += [begin + name for name in sorted(names) if not name.startswith(".")]
    return found + closed


def _source_row(
    folder: Path,
    name: str,
    memory: Mapping[str, tuple[int, int, str]],
    remembered: Memory,
    may_read: bool,
    *,
    links_out: bool,
) -> dict[str, Any]:
    text, path = path_text(name), f"{folder}/{name}"
    try:
        facts = os.lstat(path)
        if stat.S_ISLNK(facts.st_mode):
            if not links_out and leads_out(folder, path):
                raise OSError(0, LEADS_OUT)
            facts = os.stat(path)  # noqa: PTH116 - see _files_under
        size, changed_ns = facts.st_size, facts.st_mtime_ns
        known = memory.get(text)
        read_error = None
        if known and (known[0], known[1]) == (size, changed_ns):
            video_id = known[2]
        elif may_read:
            video_id = hash_file(folder / name)
        else:
            video_id = UNREAD + hashlib.sha256(os.fsencode(name)).hexdigest()[:24]
        if time.time_ns() - changed_ns > RACY_NS and not video_id.startswith(UNREAD):
            remembered[text] = (size, changed_ns, video_id)
    except OSError as error:
        video_id = hashlib.sha256(b"unreadable:" + os.fsencode(name)).hexdigest()[:32]
        size, read_error = 0, error.strerror or type(error).__name__
    return {"video_id": video_id, "path": text, "other_paths": [], "size_bytes": size, "read_error": read_error}


def hash_file(path: Path) -> str:
    """The id of a file's content. Raises OSError."""
    if path.is_dir():
        next(path.iterdir(), None)  # raises why not: only folders that could not be listed come here
    if not path.is_file():
        raise OSError(0, "not a regular file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
