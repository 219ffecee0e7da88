"""Which data sets are known by name, and what the address of a source means: `dfew:/data/DFEW`, `manifest:list.csv`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from natsort import natsorted

from pipeline.videos.datasets.listing import DatasetError, Listing, Reader

PEER_LISTS = "peer_lists"
"""A folder below a set's own: lists of other projects, as `peer_lists/dfer-clip/DFEW_set_1_train.txt`."""

READERS: Mapping[str, str] = MappingProxyType(
    {
        name: f"pipeline.videos.datasets.{name}"
        for name in ("dfew", "ferv39k", "mafw", "afew", "crema_d", "ravdess", "meld", "affwild2", "mer")
    }
)
"""By name, the module that reads the set; imported when the set is asked for, and not before."""

MANIFEST = "manifest"
"""Begins the address of a table that lists videos."""

_SPELLINGS = {"cremad": "crema_d", "affwild": "affwild2", "abaw": "affwild2"}
"""Other ways to write a name, without marks between letters."""

_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_-]+)(?:@([^:/]+))?:(.*)", re.DOTALL)

SourceKind = Literal["folder", "dataset", "manifest"]


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """Where videos come from: what stands after `facescribe build`."""

    kind: SourceKind
    """`folder`: a folder that is searched whole, or one video. `dataset`: by its annotation. `manifest`: by a table."""

    path: Path
    """The folder or file."""

    name: str | None = None
    """Of a data set: one of READERS."""

    variant: str | None = None
    """Of a data set, if one was asked for: which of the forms that it comes in."""

    def __str__(self) -> str:
        """The address as `parse_source` reads it."""
        if self.kind == "manifest":
            return f"{MANIFEST}:{self.path}"
        if self.kind == "dataset":
            return f"{self.name}{f'@{self.variant}' if self.variant else ''}:{self.path}"
        return f"./{self.path}" if _NAMED.fullmatch(str(self.path)) else str(self.path)


def parse_source(text: str | Path) -> SourceAddress:
    """Read `NAME:PATH`, `NAME@VARIANT:PATH`, `manifest:FILE`, or a plain path.

    What has no known name before its first colon is a plain path, if something lies there; `./dfew:old` is a folder.
    `~` is the user's home.

    Raises:
        DatasetError: no path after a name, a variant of a manifest, or a name that is not known where no such path is.
    """
    text = str(text)
    parts = _NAMED.fullmatch(text)
    if parts is None:
        return SourceAddress("folder", Path(text).expanduser() if text.startswith("~") else Path(text))
    said, variant, place = parts.groups()
    name = reader_name(said)
    if name is None and said.lower() != MANIFEST:
        if Path(text).exists() or place.startswith("//"):
            return SourceAddress("folder", Path(text))
        near = difflib.get_close_matches(said.lower(), (*READERS, MANIFEST), n=1, cutoff=0.7)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join((*READERS, MANIFEST))}"
        raise DatasetError(f"no data set {said!r}, and no file or folder {text}; {hint}")
    if not place:
        raise DatasetError(
            f"{text}: nothing stands after the colon; expected NAME:PATH, such as {name or MANIFEST}:/data"
        )
    path = Path(place).expanduser()
    if name is None:
        if variant is not None:
            raise DatasetError(f"{text}: a manifest has no variant; write {MANIFEST}:{place}")
        return SourceAddress("manifest", path)
    return SourceAddress("dataset", path, name, variant)


def reader_name(said: str) -> str | None:
    """The name in READERS of a data set as people write it (`CREMA-D`, `aff-wild2`); None if there is none."""
    plain = re.sub(r"[_-]", "", said.lower())
    names = {name.replace("_", ""): name for name in READERS}
    return names.get(plain) or _SPELLINGS.get(plain)


def reader_of(name: str) -> Reader:
    """The module that reads a data set.

    Raises:
        DatasetError: the name is not known, or this installation has no reader for it.
    """
    module = READERS.get(name)
    if module is None:
        raise DatasetError(f"no data set {name!r}; known: {', '.join(READERS)}")
    try:
        reader: Reader = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise DatasetError(
            f"this facescribe has no reader for {name} ({module} is not there); list its clips in a table "
            f"and build from {MANIFEST}:TABLE.csv"
        ) from error
    return reader


def read_dataset(address: SourceAddress) -> Listing:
    """List the data set at an address: its clips as its own annotation, and lists in PEER_LISTS, tell of them.

    Raises:
        DatasetError: the address names no data set, nothing is there, or not the set or the variant that was named.
    """
    if address.kind != "dataset" or address.name is None:
        raise DatasetError(f"{address} names no data set; expected NAME:PATH, with NAME one of {', '.join(READERS)}")
    reader = reader_of(address.name)
    if address.variant is not None and address.variant not in reader.VARIANTS:
        near = difflib.get_close_matches(address.variant, reader.VARIANTS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(reader.VARIANTS)}"
        raise DatasetError(f"{address.name} has no variant {address.variant!r}; {hint}")
    if not address.path.is_dir():
        what = "is a file" if address.path.exists() else "there is no such folder"
        raise DatasetError(f"{address}: {what}; give the folder that the set was unpacked into")
    return _with_peer_lists(reader.read(address.path, address.variant))


def _with_peer_lists(listing: Listing) -> Listing:
    """With the folds of every list below PEER_LISTS, each as a protocol of its own."""
    from pipeline.videos.datasets.flat_lists import with_list

    for path in natsorted((listing.folder / PEER_LISTS).rglob("*")):
        if path.suffix in (".txt", ".csv") and path.is_file() and not path.name.startswith("."):
            below = path.relative_to(listing.folder)
            order = below.parts[1] if len(below.parts) > 2 else None
            listing = with_list(listing, path, order=order)
            listing = replace(listing, annotation_files=(*listing.annotation_files, below.as_posix()))
    return listing
