"""Files below a root, wherever that is: what a Store needs of a place. A folder is one, object_storage.py another."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pipeline.object_file import ObjectFile


LEFTOVER_S = 24 * 3600
"""Age from which a temporary file is a killed run's: one that is still written is touched far more often."""

_SPOILT = re.compile(r"[a-z0-9+.-]{2,}:/(?!/)")
"""An address that went through `Path`, which takes the second slash away."""


class StoreError(Exception):
    """A root that cannot be used: the message says what, where, and what to do next."""


class StorageError(StoreError):
    """Object storage that did not do what was asked. `may_pass`: whether the same can go well another time."""

    may_pass = True


class StorageRefusedError(StorageError):
    """It knows who asks, or does not, and refuses: a person has to see to it."""

    may_pass = False


@dataclass(frozen=True)
class StoredFile:
    """A file below the root as it lies there: its path below it, its bytes, when it was last written, in seconds."""

    path: str
    bytes: int
    changed_s: float

    @property
    def number(self) -> int:
        """Of a snapshot, or of what is kept by a snapshot's number."""
        return int(Path(self.path).stem)


class Hold(Protocol):
    """A place is held, until this is released."""

    def refuse_lost(self) -> None:
        """Raise StoreError if it is held no more: nothing must be changed then."""

    def release(self) -> None:
        """Hold it no more."""


class Files(Protocol):
    """Files below a root, by their path below it. What is placed under a name is seen whole or not at all.

    Raises (each method):
        FileNotFoundError: there is no such file.
        StoreError: the place cannot be reached, or refuses; a folder raises OSError.
    """

    @property
    def address(self) -> str:
        """As people give it, without what only tells how to get there."""

    @property
    def key(self) -> str:
        """The same for every way to name the place."""

    @property
    def folder(self) -> Path | None:
        """Where it is one on this machine."""

    def temporary(self) -> AbstractContextManager[Path]:
        """A file name on this machine that no one else uses; what lies there afterwards is deleted."""

    def place(self, temporary: Path, path: str, *, only_if_absent: bool = False) -> bool:
        """Give a finished file its name; whether it was given, which `only_if_absent` leaves to the first who asks."""

    def read(self, path: str) -> bytes:
        """All of a small file."""

    def source(self, path: str, num_bytes: int | None = None) -> str | ObjectFile:
        """What pyarrow opens to read any part of a file alone. Who knows its size spares a question."""

    def local(self, path: str) -> Path:
        """All of a shard on this machine, as its name says it is; it may be gone later, and had again."""

    def fetched(self, path: str) -> AbstractContextManager[Path]:
        """All of a file on this machine as it lies there now, damaged or not, while the context is open."""

    def uri(self, path: str) -> str:
        """What another program finds a file by."""

    def size(self, path: str) -> int:
        """In bytes."""

    def names(self) -> list[str]:
        """What lies right below the root."""

    def listed(self, below: str = "") -> list[StoredFile]:
        """Every file below a folder, or all of them, by name."""

    def remove(self, path: str) -> None:
        """Delete a file; nothing happens if it is gone."""

    def hold(self, name: str, who: str = "", *, alone: bool) -> Hold | None:
        """Hold a name, side by side with others or alone; None if another is in the way. `who` is told to others."""

    def holder(self, name: str) -> str:
        """Who said to hold the name alone, if anybody did."""

    def begin(self) -> None:
        """Before a run that writes: clear away what killed runs left. Raises if nothing can be written."""


def files_at(root: str | Path) -> Files:
    """The files below a folder, or below the URI of a prefix in object storage.

    Raises:
        StoreError: such an address cannot be used.
    """
    if "://" not in str(root):
        if isinstance(root, Path) and _SPOILT.match(str(root)):
            raise StoreError(f"{root} was an address before it was made a Path: give it as text")
        return Folder(Path(root))
    from pipeline.object_storage import files_of  # what it needs is loaded where it is used

    return files_of(str(root))


def absolute(root: str | Path) -> str:
    """The address by which the same place is found from any folder."""
    return str(root) if "://" in str(root) else str(Path(root).resolve())


class Folder:
    """A folder on a disk of this machine, or on one that several share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.address, self.folder = str(root), root

    @property
    def key(self) -> str:
        """Its path without links."""
        return str(self._root.resolve())

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """In `tmp` below the root, from where a file gets its name by a rename."""
        path = self._root / "tmp" / uuid.uuid4().hex
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def place(self, temporary: Path, path: str, *, only_if_absent: bool = False) -> bool:
        """By a rename, or by a link, which fails if the name exists; flushed before."""
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not only_if_absent:
            temporary.replace(target)
            return True
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        return True

    def read(self, path: str) -> bytes:
        """Its bytes."""
        return (self._root / path).read_bytes()

    def source(self, path: str, num_bytes: int | None = None) -> str:
        """The path of the file."""
        return str(self._root / path)

    def local(self, path: str) -> Path:
        """The file itself."""
        return self._root / path

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """The file itself, whatever it is."""
        yield self._root / path

    def uri(self, path: str) -> str:
        """The path of the file."""
        return str(self._root / path)

    def size(self, path: str) -> int:
        """As the file system says."""
        return (self._root / path).stat().st_size

    def names(self) -> list[str]:
        """Of files and folders."""
        return [path.name for path in self._root.iterdir()] if self._root.is_dir() else []

    def listed(self, below: str = "") -> list[StoredFile]:
        """Without following links."""
        found = []
        for folder, _, names in os.walk(self._root / below):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # a name beside which a file was made, and that is gone by now
                    facts = path.lstat()
                    found.append(StoredFile(str(path.relative_to(self._root)), facts.st_size, facts.st_mtime))
        return sorted(found, key=lambda file: file.path)

    def remove(self, path: str) -> None:
        """Unlink it."""
        (self._root / path).unlink(missing_ok=True)

    def hold(self, name: str, who: str = "", *, alone: bool) -> Hold | None:
        """By a lock of the file system, which ends with the process, however that ends, even by `kill -9`."""
        file = (self._root / name).open("a+")
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            if who:
                file.truncate(0)
                file.write(who)
                file.flush()
        except BlockingIOError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise
        return _Locked(file, is_named=bool(who))

    def holder(self, name: str) -> str:
        """What stands in the file that is locked."""
        return (self._root / name).read_text() if (self._root / name).exists() else ""

    def begin(self) -> None:
        """Raises OSError if no file can be written."""
        with self.temporary() as probe:
            probe.touch()
            # By the file system's clock, which need not be this machine's. A run on another machine may hold files
            # here too, so that the age alone is asked, never whether a process lives.
            now_s = probe.stat().st_mtime
            for path in (self._root / "tmp").iterdir():
                with suppress(OSError):  # another run may have been faster
                    if now_s - path.stat().st_mtime > LEFTOVER_S:
                        path.unlink()


class _Locked:
    """A locked file."""

    def __init__(self, file: IO[str], *, is_named: bool) -> None:
        self._file, self._is_named = file, is_named

    def refuse_lost(self) -> None:
        """A file system's lock is never lost."""

    def release(self) -> None:
        """Let it go; the name of who held it goes first."""
        with self._file:
            if self._is_named:
                self._file.truncate(0)


def content_of(path: Path) -> str:
    """Leading hex digits of the SHA-256 of a file's bytes: what a shard is named by. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
