"""List whatever a source's address names: a folder, a data set by its own annotation, or the videos of a manifest.

Of a data set just its clips are listed. A clip that the annotation names and that is not there is a row, which ends
among the rejects as `missing`; files that no annotation names are told in a note, as is everything else that the
reader found wrong. All of it, item by item, is what `facescribe verify` is for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.videos.annotations import Annotations, read_manifest
from pipeline.videos.clip_listing import list_clips, missing_row
from pipeline.videos.datasets.fingerprint import ClipSize
from pipeline.videos.datasets.listing import DatasetClip, Fault, Listing
from pipeline.videos.datasets.registry import SourceAddress, read_dataset
from pipeline.videos.paths import LEADS_OUT
from pipeline.videos.sources import (
    MISSING,
    NO_ANNOTATIONS,
    Memory,
    SourceError,
    annotation_of,
    contradicted,
    list_source,
    source_folder,
    sources_of,
    unmatched,
)

NUM_NAMED = 3
"""Of each kind of thing that is told in a note."""


@dataclass(frozen=True)
class ListedSource:
    """What a source holds, and what its own annotation says of it."""

    sources: pa.Table
    """SOURCES."""

    memory: Memory
    """For the next listing."""

    folder: Path
    """That the paths of the rows are below."""

    notes: tuple[str, ...] = ()
    """What the user should know, in sentences."""

    listing: Listing | None = None
    """Of a data set."""

    sizes: Mapping[str, ClipSize] = field(default_factory=dict)
    """Of each clip of a data set that is there, by its path."""


def memory_path(address: SourceAddress) -> Path:
    """What the memory of a source's listing is kept under: each variant of a data set has one of its own."""
    if address.kind == "dataset":
        return address.path / f".{address.name}@{address.variant or ''}"
    return address.path


def list_address(
    address: SourceAddress,
    memory: Mapping[str, tuple[int, int, str]],
    annotations: Annotations = NO_ANNOTATIONS,
    *,
    may_read: bool = True,
    leave_out: Path | None = None,
    links_out: bool = False,
) -> ListedSource:
    """List a source, with what its own annotation and `annotations` say of its videos.

    A value in `annotations` stands over the source's own, cell by cell; an empty cell says nothing. The other
    arguments are those of `list_source`.

    Raises:
        SourceError: nothing is there, or none of the videos that are named.
        DatasetError: the folder is no data set of the kind that was named.
        AnnotationError: the manifest cannot be used.
    """
    if address.kind == "folder":
        sources, remembered = list_source(
            address.path, memory, annotations, may_read=may_read, leave_out=leave_out, links_out=links_out
        )
        notes = (*_notes_of_links(address, sources), *_notes_of_table(address, annotations, {}, sources))
        return ListedSource(sources, remembered, source_folder(address.path), notes)
    listing = read_dataset(address) if address.kind == "dataset" else None
    if listing is None:
        folder = address.path.parent
        own = read_manifest(address.path)
        absent: dict[str, str] = {}
    else:
        folder = listing.folder
        own, absent = _of_listing(listing)
    paths = [path for path in own if path not in absent]
    rows, remembered, sizes = list_clips(folder, paths, memory, may_read=may_read, links_out=links_out)
    missing = [row["path"] for row in rows if (row["read_error"] or "").startswith(MISSING)]
    if len(missing) == len(paths):
        raise SourceError(_none_there(address, folder, [*missing, *absent]))
    rows += [missing_row(path, why) for path, why in absent.items()]
    sources = sources_of(rows, own, annotations)
    notes = (
        *_notes_of_missing(address, len(own), [*missing, *absent]),
        *_notes_of_links(address, sources),
        *(_notes_of_faults(address, listing.faults) if listing is not None else ()),
        *_notes_of_table(address, annotations, own, sources),
    )
    return ListedSource(sources, remembered, folder, notes, listing, sizes)


def _of_listing(listing: Listing) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What a set says of each clip by its path, and of clips that are not there why; these go by their names."""
    name = f"{listing.dataset}@{listing.variant}"
    why = {fault.where: fault.detail for fault in listing.faults if fault.kind == "missing"}
    taken = {clip.path for clip in listing.clips if clip.path is not None}
    own, absent = {}, {}
    for clip in listing.clips:
        path = clip.path
        if path is None:
            path = clip.name if clip.name not in taken else f"{name}/{clip.name}"
            absent[path] = why.get(clip.name, "")
        own[path] = _said_of(clip, name)
    return own, absent


def _said_of(clip: DatasetClip, dataset: str) -> dict[str, Any]:
    """The columns ANNOTATIONS of a clip."""
    votes = [{"label": label, "votes": float(count)} for label, count in sorted((clip.votes or {}).items())]
    folds = [
        {"protocol": one.protocol, "fold": one.fold, "part": one.part, "label": one.label}
        for one in sorted(clip.folds, key=lambda one: (one.protocol, one.fold))
    ]
    return {
        "label": clip.label,
        "split": clip.split,
        "group": clip.group,
        "licence": clip.licence,
        "consent": clip.consent,
        "dataset": dataset,
        "clip_name": clip.name,
        "votes": votes or None,
        "folds": folds or None,
        "captions": [{"language": one.language, "text": one.text} for one in clip.captions] or None,
    }


def _none_there(address: SourceAddress, folder: Path, missing: Sequence[str]) -> str:
    first = ", ".join(missing[:NUM_NAMED])
    if address.kind == "manifest":
        return (
            f"{address.path}: none of the {len(missing):,} videos that it lists is there; looked for {first} below "
            f"{folder}: relative paths are below the manifest's folder"
        )
    return f"{address}: none of the {len(missing):,} clips that its annotation names is there, such as {first}"


def _notes_of_missing(address: SourceAddress, num_named: int, missing: Sequence[str]) -> list[str]:
    if not missing:
        return []
    named = (
        f"{address}: {len(missing):,} of {num_named:,} videos that are named are not there, {_first(missing)}; each "
    )
    return [named + "is refused as `missing`" + _see_verify(address)]


def _notes_of_links(address: SourceAddress, sources: pa.Table) -> list[str]:
    led = [row["path"] for row in sources.select(["path", "read_error"]).to_pylist() if row["read_error"] == LEADS_OUT]
    if not led:
        return []
    return [
        f"{address}: {len(led):,} videos are links that lead out of it, and are refused, {_first(led)}; "
        "where you trust them, set `links_out = true` in the section [videos] of the build file"
    ]


def _notes_of_faults(address: SourceAddress, faults: Sequence[Fault]) -> list[str]:
    """One sentence for each kind. What is missing is told by its rows; what is known of the set as published, not."""
    told = [fault for fault in faults if not fault.is_known and fault.kind != "missing"]
    notes = []
    for kind, count in Counter(fault.kind for fault in told).items():
        those = [fault for fault in told if fault.kind == kind]
        if kind == "extra":
            what = f"{count:,} files that its annotation does not name are left out, {_first([f.where for f in those])}"
        else:
            what = f"{count:,} times {kind.replace('_', ' ')}, the first: {those[0].where}: {those[0].detail}"
        notes.append(f"{address}: {what}{_see_verify(address)}")
    return notes


def _notes_of_table(
    address: SourceAddress, annotations: Annotations, own: Annotations, sources: pa.Table
) -> tuple[str, ...]:
    """What is odd in what people say of the videos of a source."""
    notes = []
    if strangers := unmatched(annotations, sources):
        notes.append(f"annotated files that are not in {address}: {len(strangers)}, the first is {strangers[0]!r}")
    if torn := [*contradicted(annotations, sources), *contradicted(own, sources)]:
        notes.append(f"copies that are annotated otherwise, so that none of it is taken: {len(torn)}, {torn[0]}")
    changed = [
        f"{row['path']}: {name}"
        for row in (sources.select(["video_id", "path", "other_paths"]).to_pylist() if own and annotations else ())
        for name, value in annotation_of(row, annotations).items()
        if value is not None and annotation_of(row, own).get(name) not in (None, value)
    ]
    if changed:
        notes.append(f"annotations that stand over the source's own: {len(changed)}, the first is of {changed[0]}")
    return tuple(notes)


def _first(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:NUM_NAMED])
    return f"the first {'is' if len(names) == 1 else 'are'} {shown}"


def _see_verify(address: SourceAddress) -> str:
    return f": `facescribe verify {address}` lists all" if address.kind != "folder" else ""
