"""A corpus at any other kind of address that fsspec has a package for, such as `hf://datasets/…`: it is read only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import NoReturn

from pipeline.files import Files, Hold, StorageRefusedError, StoredFile, StoreError
from pipeline.object_file import ObjectFile, Span, open_object
from pipeline.shard_cache import ShardCache


class OtherPlace:
    """Files below an address that fsspec knows."""

    folder: Path | None = None

    def __init__(self, uri: str) -> None:
        """Raises StoreError if it knows no such kind of place."""
        self.address = self.key = uri
        self._cache = ShardCache(uri)
        try:
            import fsspec

            self._files, self._root = fsspec.core.url_to_fs(uri)
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"cannot open {uri}: neither this program nor fsspec ({error}) knows this kind of place; install the "
                "fsspec package for it, or copy the corpus to disk"
            ) from error

    def __reduce__(self) -> tuple[Callable[[str], OtherPlace], tuple[str]]:
        return OtherPlace, (self.address,)

    def temporary(self) -> AbstractContextManager[Path]:
        """In the cache of this machine."""
        return self._cache.temporary()

    def read(self, path: str) -> bytes:
        """Its bytes."""
        return bytes(self._files.cat_file(f"{self._root}/{path}"))

    def source(self, path: str, num_bytes: int | None = None) -> ObjectFile:
        """Read by ranges, where that kind of place can."""
        where = f"{self._root}/{path}"

        def read_spans(spans: Sequence[Span]) -> list[bytes]:
            return [bytes(self._files.cat_file(where, start, end)) for start, end in spans]

        return open_object(read_spans, self.size(path) if num_bytes is None else num_bytes)

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
        self._files.get_file(f"{self._root}/{path}", str(into))

    def uri(self, path: str) -> str:
        """By which fsspec opens it."""
        return f"{self.address.rstrip('/')}/{path}"

    def size(self, path: str) -> int:
        """As the place says."""
        return int(self._files.info(f"{self._root}/{path}")["size"])

    def names(self) -> list[str]:
        """Of files and folders."""
        return [PurePosixPath(name).name for name in self._files.ls(self._root, detail=False)]

    def listed(self, below: str = "") -> list[StoredFile]:
        """Every file."""
        begin = len(self._root.rstrip("/")) + 1
        infos = self._files.find(f"{self._root}/{below}".rstrip("/"), detail=True)
        # When they were written says each kind of place in its own way, and nothing that is only read asks it.
        found = [StoredFile(path[begin:], int(info["size"]), 0.0) for path, info in infos.items()]
        return sorted(found, key=lambda file: file.path)

    def place(self, temporary: Path, path: str, *, only_if_absent: bool = False) -> NoReturn:
        """Raises StorageRefusedError."""
        self._refuse()

    def remove(self, path: str) -> NoReturn:
        """Raises StorageRefusedError."""
        self._refuse()

    def hold(self, name: str, who: str = "", *, alone: bool) -> Hold | None:
        """Raises StorageRefusedError."""
        self._refuse()

    def holder(self, name: str) -> str:
        """Nobody works here."""
        return ""

    def begin(self) -> NoReturn:
        """Raises StorageRefusedError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StorageRefusedError(f"{self.address} is only read: build in a folder, or below s3://, gs:// or az://")


def _is_files(place: OtherPlace) -> Files:  # mypy holds the class against the protocol
    return place
