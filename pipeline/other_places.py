"""A corpus at any other kind of address that fsspec has a package for, such as `hf://datasets/…`: it is read only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.fs as pafs

from pipeline.files import Files, Hold, StoredFile, StoreError
from pipeline.shard_cache import ShardCache

CHUNK_BYTES = 8 << 20


class OtherPlace:
    """Files below an address that fsspec knows."""

    folder: Path | None = None

    def __init__(self, uri: str) -> None:
        """Raises StoreError if it knows no such kind of place."""
        self.address = self.key = uri
        self._cache = ShardCache(uri)
        try:
            import fsspec

            files, self._root = fsspec.core.url_to_fs(uri)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"cannot open {uri}: neither this program nor fsspec ({error}) knows this kind of place; install the "
                "fsspec package for it, or copy the corpus to disk"
            ) from error
        self._files = pafs.PyFileSystem(pafs.FSSpecHandler(files))

    def __reduce__(self) -> tuple[Callable[[str], OtherPlace], tuple[str]]:
        return OtherPlace, (self.address,)

    def temporary(self) -> AbstractContextManager[Path]:
        """In the cache of this machine."""
        return self._cache.temporary()

    def read(self, path: str) -> bytes:
        """Its bytes."""
        with self.source(path) as file:
            return bytes(file.read())

    def source(self, path: str, num_bytes: int | None = None) -> pa.NativeFile:
        """Read by ranges, where that kind of place can."""
        return self._files.open_input_file(f"{self._root}/{path}")

    def local(self, path: str) -> Path:
        """Out of the cache, which it is fetched into first."""
        return self._cache.get(path, self._fetch)

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """A copy, made for this."""
        with self.temporary() as copy:
            self._fetch(path, copy)
            yield copy

    def _fetch(self, path: str, into: Path) -> None:
        with self.source(path) as there, into.open("wb") as file:
            while chunk := there.read(CHUNK_BYTES):
                file.write(chunk)

    def uri(self, path: str) -> str:
        """By which fsspec opens it."""
        return f"{self.address.rstrip('/')}/{path}"

    def size(self, path: str) -> int:
        """As the place says."""
        info = self._files.get_file_info(f"{self._root}/{path}")
        if info.type != pafs.FileType.File:
            raise FileNotFoundError(2, "no such file", self.uri(path))
        return int(info.size)

    def names(self) -> list[str]:
        """Of files and folders."""
        return [info.base_name for info in self._infos("", recursive=False)]

    def listed(self, below: str = "") -> list[StoredFile]:
        """Every file."""
        begin = len(self._root.rstrip("/")) + 1
        files = [info for info in self._infos(below, recursive=True) if info.type == pafs.FileType.File]
        found = [StoredFile(info.path[begin:], info.size, (info.mtime_ns or 0) / 1e9) for info in files]
        return sorted(found, key=lambda file: file.path)

    def _infos(self, below: str, *, recursive: bool) -> list[Any]:
        where = f"{self._root}/{below}".rstrip("/")
        return list(self._files.get_file_info(pafs.FileSelector(where, allow_not_found=True, recursive=recursive)))

    def place(self, temporary: Path, path: str, *, only_if_absent: bool = False) -> NoReturn:
        """Raises StoreError."""
        self._refuse()

    def remove(self, path: str) -> NoReturn:
        """Raises StoreError."""
        self._refuse()

    def hold(self, name: str, who: str = "", *, alone: bool) -> Hold | None:
        """Raises StoreError."""
        self._refuse()

    def holder(self, name: str) -> str:
        """Nobody works here."""
        return ""

    def begin(self) -> NoReturn:
        """Raises StoreError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreError(f"{self.address} is only read: build in a folder, or below s3://, gs:// or az://")


def _is_files(place: OtherPlace) -> Files:  # mypy holds the class against the protocol
    return place
