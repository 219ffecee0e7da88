"""A corpus in object storage, read like one on disk; nothing is ever written there.

A place is named by a URI that pyarrow knows, such as `s3://bucket/corpus` or
`s3://bucket/corpus?endpoint_override=http://127.0.0.1:9000&region=us-east-1`; any other scheme goes to fsspec, if its
package is installed. Who may read is said where that store says it: AWS_ACCESS_KEY_ID and its like, or a role.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from pipeline.store import ShardFile, Store, StoreError
from schemas.table import SCHEMA_VERSION


def open_store(place: str | Path) -> Store:
    """The corpus at a folder or a URI.

    Raises:
        StoreError: there is none, it cannot be reached, or it is of a newer schema version.
    """
    uri = str(place)
    if "://" not in uri:
        return Store.open(Path(place))
    try:
        files, root = pafs.FileSystem.from_uri(uri)
    except pa.ArrowInvalid as unknown:
        files, root = _by_fsspec(uri, unknown)
    if isinstance(files, pafs.LocalFileSystem):
        return Store.open(Path(root))
    return RemoteStore.at(uri, files, root)


def open_input(store: Store, path: str) -> pa.Buffer | pa.NativeFile:
    """A file of a corpus by its path below the root, to read any part of: all of it, mapped, where it lies on disk.

    Raises:
        FileNotFoundError: it is gone.
    """
    if isinstance(store, RemoteStore):
        return store.open_input(path)
    with (store.root / path).open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return pa.py_buffer(b"")
        return pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


class RemoteStore(Store):
    """A corpus behind a URI. What writes, locks, or lists files is of a corpus on disk alone."""

    def __init__(self, uri: str, files: pafs.FileSystem, prefix: str, num_buckets: int) -> None:
        super().__init__(Path(uri.partition("?")[0]), num_buckets)  # said in messages, never opened
        self._uri, self._files, self._prefix = uri, files, PurePosixPath(prefix)

    @classmethod
    def at(cls, uri: str, files: pafs.FileSystem, prefix: str) -> RemoteStore:
        """Open the corpus below `prefix`. Raises StoreError."""
        try:
            with files.open_input_file(str(PurePosixPath(prefix) / "corpus.json")) as file:
                facts = json.loads(file.read())
            version, num_buckets = int(facts["schema_version"]), int(facts["num_buckets"])
        except FileNotFoundError:
            raise StoreError(
                f"no corpus at {uri}: there is no corpus.json; copy a corpus folder there, or name its prefix"
            ) from None
        except OSError as error:
            raise StoreError(
                f"cannot read {uri} ({error}): look at the address, at the region, and at the credentials "
                "in the environment"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{uri}: corpus.json is no corpus file ({type(error).__name__}: {error})") from error
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{uri} was made by schema version {version}, this facescribe knows up to {SCHEMA_VERSION}: upgrade it"
            )
        return cls(uri, files, prefix, num_buckets)

    def open_input(self, path: str) -> pa.NativeFile:
        """A file by its path below the root, any part of which can be read alone. Raises FileNotFoundError."""
        return self._files.open_input_file(self._below(path))

    def read(self, file: ShardFile, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of a shard, or only the named columns: no other column is fetched."""
        names = None if columns is None else list(columns)
        return pq.read_table(self._below(file.path), columns=names, filesystem=self._files, partitioning=None)

    def dataset(self, files: Sequence[ShardFile], schema: pa.Schema) -> pads.Dataset:
        """Shards of a table together, to be asked for some columns and rows; columns that a file lacks are null."""
        paths = [self._below(file.path) for file in files]
        return pads.dataset(paths, schema=schema, filesystem=self._files, format="parquet", partitioning=None)

    def iter_batches(self, file: ShardFile) -> Iterator[pa.Table]:
        """The rows of a shard, one row group at a time."""
        with self.open_input(file.path) as source, pq.ParquetFile(source) as parquet:
            for group in range(parquet.num_row_groups):
                yield parquet.read_row_group(group)

    def path(self, file: ShardFile) -> str:
        """A URI of the shard that pyarrow can open."""
        place, mark, query = self._uri.partition("?")
        return f"{place.rstrip('/')}/{file.path}{mark}{query}"

    def snapshot_numbers(self) -> list[int]:
        """Numbers of all snapshots, ascending."""
        listed = self._files.get_file_info(pafs.FileSelector(self._below("snapshots"), allow_not_found=True))
        return sorted(int(PurePosixPath(info.path).stem) for info in listed if info.path.endswith(".json"))

    def read_snapshot(self, number: int) -> bytes:
        """The JSON of one snapshot. Raises FileNotFoundError."""
        with self.open_input(f"snapshots/{number:06d}.json") as file:
            return bytes(file.read())

    def _below(self, path: str) -> str:
        return str(self._prefix / path)


def _by_fsspec(uri: str, unknown: Exception) -> tuple[pafs.FileSystem, str]:
    try:
        import fsspec

        files, root = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise StoreError(
            f"cannot open {uri}: neither pyarrow ({unknown}) nor fsspec ({error}) knows this kind of place; "
            "install the fsspec package for it, or copy the corpus to disk"
        ) from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(files)), root
