"""Shards of a corpus in object storage that lie on this machine too, because they are read whole.

They go by the hash of their bytes, which is looked at when they are fetched. The folder is bounded: what was not used
for longest goes first. Any number of processes may use it, and anybody may delete it.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePosixPath

from filelock import FileLock

from pipeline.assets import cache_folder
from pipeline.files import LEFTOVER_S, StoreError, content_of

CACHE_GB = 50.0
"""Unless FACESCRIBE_SHARD_CACHE_GB says otherwise."""

IN_USE_S = 60.0
"""What was asked for so shortly ago may be about to be opened: it stays."""


NAME = "corpus.txt"
"""Of the file that says which corpus a folder of the cache is of: who wants to delete one has to know."""


def corpus_cache(key: str) -> Path:
    """The folder for what this machine keeps of a corpus in object storage: nothing but a cache. Made if need be."""
    folder = cache_folder() / "corpora" / hashlib.sha256(key.encode()).hexdigest()[:16]
    if not (folder / NAME).exists():
        folder.mkdir(parents=True, exist_ok=True)
        address = key.rpartition("@")[2].partition("?")[0]  # without a key, if one stands in it
        (folder / NAME).write_text(f"{address}\n", encoding="utf-8")
    return folder


class ShardCache:
    """The cached shards of one corpus."""

    def __init__(self, key: str) -> None:
        """`key` names the corpus. Nothing is made before it is needed."""
        self._key = key

    @cached_property
    def folder(self) -> Path:
        """Where they lie."""
        return corpus_cache(self._key)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A file name beside them that no one else uses; what lies there afterwards is deleted."""
        path = self.folder / "tmp" / uuid.uuid4().hex
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def get(self, path: str, fetch: Callable[[str, Path], None]) -> Path:
        """A shard by its path below the root, fetched first if it is not here.

        Raises:
            StoreError: what was fetched is not what its name says.
        """
        there = self._place(path)
        if self._is_used(there):
            return there
        locks = self.folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / there.name[:2]):  # not one a file: they stay
            if not self._is_used(there):
                with self.temporary() as new:
                    fetch(path, new)
                    if content_of(new) != PurePosixPath(path).stem:
                        raise StoreError(
                            f"{path} is damaged: its bytes do not hash to its name; `facescribe check "
                            "--forget-damaged` removes it, and the next build makes it anew"
                        )
                    self.adopt(new, path)
        return there

    def adopt(self, file: Path, path: str) -> None:
        """Move a file here whose bytes are known to be what its name says."""
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        self._make_room(file.stat().st_size)
        file.replace(place)

    def forget(self, path: str) -> None:
        """Delete a shard here, if it is one and is here."""
        if path.startswith("shards/"):
            self._place(path).unlink(missing_ok=True)

    def keep_only(self, paths: Iterable[str]) -> None:
        """Delete what another machine deleted from the corpus, and what killed runs left."""
        kept = {PurePosixPath(path).name for path in paths}
        gone = [path for path, _ in _files(self.folder / "shards") if path.name not in kept]
        left = [path for path, facts in _files(self.folder / "tmp") if time.time() - facts.st_mtime > LEFTOVER_S]
        for path in (*gone, *left):
            path.unlink(missing_ok=True)

    def _place(self, path: str) -> Path:
        return self.folder / "shards" / PurePosixPath(path).name

    def _is_used(self, place: Path) -> bool:
        """Whether it is here; that it was asked for is noted."""
        try:
            if time.time() - place.stat().st_mtime > IN_USE_S / 2:
                os.utime(place)
        except FileNotFoundError:
            return False
        return True

    def _make_room(self, num_bytes: int) -> None:
        limit = float(os.environ.get("FACESCRIBE_SHARD_CACHE_GB", CACHE_GB)) * 1e9
        there = sorted(_files(self.folder / "shards"), key=lambda file: file[1].st_mtime)
        total = num_bytes + sum(facts.st_size for _, facts in there)
        for path, facts in there:
            if total <= limit or time.time() - facts.st_mtime < IN_USE_S:
                return
            path.unlink(missing_ok=True)
            total -= facts.st_size


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The files in a folder that other processes change, too."""
    for entry in os.scandir(folder) if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            yield Path(entry.path), entry.stat()
