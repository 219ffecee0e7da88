"""Find one's own copies of the videos of an export, wherever they lie below a folder: by their content alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import progress
from pipeline.store import Store
from pipeline.videos.frame_folder import LEFT_BY_SYSTEMS, folder_state, hash_frames, is_frame
from pipeline.videos.paths import path_text
from pipeline.videos.sources import RACY_NS, SourceError, hash_file
from schemas.videos import ANNOTATIONS, SOURCES

ANNOTATED = tuple(column.name for column in ANNOTATIONS)


@dataclass(frozen=True)
class OwnCopies:
    """What of an export's videos is here."""

    folder: Path
    """What the paths are below."""

    sources: pa.Table
    """Rows of SOURCES of the videos that are here: paths of these copies, and what the export says of them."""

    missing: tuple[str, ...]
    """Paths, in the export, of videos whose content is nowhere here, and at whose path nothing lies."""

    changed: tuple[str, ...]
    """Likewise, but something of another content lies at that path."""

    num_others: int
    """Files, or folders of frames, that are no video of the export."""


def find_own_copies(source: Path, videos: Mapping[str, Mapping[str, Any]], store: Store) -> OwnCopies:
    """Look for videos by the hash of their bytes, and for folders of frames by the hash of their frames.

    What was read is remembered in the store by size and time of change, so that the next look reads nothing twice.

    Args:
        source: a folder that is searched whole, or one video.
        videos: by id, what the export says of each: path and ANNOTATIONS.

    Raises:
        SourceError: nothing lies at `source`.
    """
    if not source.exists():
        raise SourceError(f"no such file or folder: {source}")
    folder = source if source.is_dir() else source.parent
    names = sorted(_clips_under(source, store.folder) if source.is_dir() else [source.name])
    memory = store.read_memory(source)
    remembered: dict[str, tuple[int, int, str]] = {}
    denied = store.denied()
    rows: dict[str, dict[str, Any]] = {}
    there: set[str] = set()
    num_others = 0
    for number, name in enumerate(names):
        text = path_text(name)
        there.add(text)
        found = _id_of(folder / name, memory.get(text))
        progress.report("list_source", 0, done=number + 1, total=len(names))
        if found is None:
            continue
        size_bytes, changed_ns, video_id = found
        if time.time_ns() - changed_ns > RACY_NS and not denied.holds(video_id):
            remembered[text] = found
        if video_id not in videos or denied.holds(video_id):
            num_others += 1
        elif video_id in rows:
            rows[video_id]["other_paths"].append(text)
        else:
            said = {column: videos[video_id].get(column) for column in ANNOTATED}
            facts = {"path": text, "other_paths": [], "size_bytes": size_bytes, "read_error": None}
            rows[video_id] = {"video_id": video_id, **facts, **said}
    store.write_memory(source, memory | remembered)
    lacking = sorted(str(video["path"]) for video_id, video in videos.items() if video_id not in rows)
    return OwnCopies(
        folder=folder,
        sources=SOURCES.rows(rows[video_id] for video_id in sorted(rows)),
        missing=tuple(path for path in lacking if path not in there),
        changed=tuple(path for path in lacking if path in there),
        num_others=num_others,
    )


def _clips_under(folder: Path, leave_out: Path | None) -> Iterator[str]:
    """Names below the folder of every file, and of every folder that holds nothing but pictures instead of these."""
    root = leave_out.resolve() if leave_out is not None else None
    for parent, folders, names in os.walk(folder):  # follows no symbolic link to a folder, so no loop
        folders[:] = [name for name in folders if not name.startswith(".") and Path(parent, name).resolve() != root]
        shown = [name for name in names if not name.startswith(".") and name.lower() not in LEFT_BY_SYSTEMS]
        below = os.path.relpath(parent, folder)
        if shown and not folders and below != os.curdir and all(map(is_frame, shown)):
            yield below
            continue
        begin = "" if below == os.curdir else f"{below}/"
        yield from (begin + name for name in shown)


def _id_of(path: Path, known: tuple[int, int, str] | None) -> tuple[int, int, str] | None:
    """Size, time of change and id of a video; None where it cannot be read, which makes it a missing one."""
    try:
        if path.is_dir():
            state = folder_state(path)
            size_bytes, changed_ns = state.size_bytes, state.changed_ns
        else:
            facts = path.stat()
            size_bytes, changed_ns = facts.st_size, facts.st_mtime_ns
        if known is not None and tuple(known[:2]) == (size_bytes, changed_ns):
            return known
        video_id = hash_frames(path)[0] if path.is_dir() else hash_file(path)
    except OSError:
        return None
    return size_bytes, changed_ns, video_id
