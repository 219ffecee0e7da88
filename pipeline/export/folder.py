"""A folder that goes out: it is there whole, with the hash of every file, or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import progress
from pipeline.inspection.corpus import Corpus

CHECKSUMS = "checksums.sha256"


class ExportError(ValueError):
    """A folder, a table or a format that cannot be exported: the message says which, and what to do."""


def refuse_folder(corpus: Corpus, folder: Path) -> None:
    """Raise ExportError unless the folder is new or empty, and outside of the corpus."""
    root = corpus.store.folder
    if root is not None and folder.resolve().is_relative_to(root.resolve()):
        raise ExportError(f"{folder} lies in the corpus {root}: choose a folder outside of it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder} is not an empty folder: choose a new or an empty one")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `folder` when all went well; then every file in it has its checksum.

    Whatever ends the writing leaves nothing, but for a kill: that leaves `.NAME.partial` beside it, which the next
    export to the same place removes.

    Raises:
        ExportError: another export writes there now.
    """
    folder = folder.resolve()  # "." has no name, and what a link leads to is what is meant
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.partial")
    beside.mkdir(exist_ok=True)
    lock = os.open(beside, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, even by `kill -9`
        except BlockingIOError:
            raise ExportError(
                f"another export writes to {folder} now: wait for its end, or choose another folder"
            ) from None
        try:
            _clear(beside)
            yield beside
            _write_checksums(beside)
            os.rename(beside, folder)  # noqa: PTH104 (over an empty folder too, and never over a file)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    finally:
        os.close(lock)


def _clear(folder: Path) -> None:
    """Remove what an export that was killed left."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write_checksums(folder: Path) -> None:
    """One line per file, as `sha256sum -c` reads it. Each file is on the disk when its line is written."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = []
    for number, path in enumerate(paths):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder)}\n")
        progress.report("checksums", 0, done=number + 1, total=len(paths))
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def faults_of_checksums(folder: Path) -> list[str]:
    """What of a folder is not as its checksums say, in words; empty: all is well.

    Raises:
        ExportError: there is no list of checksums.
    """
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(
            f"{folder} holds no {CHECKSUMS} ({error}): give the folder that `facescribe export` wrote"
        ) from None
    faults = []
    for number, line in enumerate(lines):
        expected, _, name = line.partition("  ")
        try:
            fault = _fault_of(folder, name, expected)
        except (OSError, RuntimeError, ValueError) as error:  # a name that no file can have, or links in a circle
            fault = f"line {number + 1} of {CHECKSUMS} names what cannot be read ({str(error)[:200]})"
        if fault is not None:
            faults.append(fault)
        progress.report("check_export", 0, done=number + 1, total=len(lines))
    return faults


def _fault_of(folder: Path, name: str, expected: str) -> str | None:
    path = folder / name
    if not name or not path.resolve().is_relative_to(folder.resolve()):
        return f"a line of {CHECKSUMS} names no file of the folder: {name!r:.200}"
    if not path.is_file():
        return f"{name} is not there"
    with path.open("rb") as file:
        is_same = hashlib.file_digest(file, "sha256").hexdigest() == expected
    return None if is_same else f"{name} has other bytes than it was exported with"
