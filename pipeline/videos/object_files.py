"""Videos in object storage: fetched once into the user's cache, kept by content, found again by their address.

An address is `s3://bucket/key`, with options behind it as pyarrow knows them (`?endpoint_override=…&region=…`), or of
any kind that fsspec knows, such as `https://…`. Who may read is said where that store says it: AWS_ACCESS_KEY_ID and
its like, or a role.

    objects/index/ADDRESS.json   what an address held when it was last fetched: size, state, content
    objects/content/ab/ID        the bytes, by the first 32 hex digits of their SHA-256
    objects/partial/             what was fetched so far of an object: the next try goes on behind it
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from filelock import FileLock
from pydantic import BaseModel, ValidationError

from pipeline import progress
from pipeline.assets import cache_folder

CHUNK_BYTES = 4 << 20
NUM_LOOKING, NUM_FETCHING = 16, 4
NUM_TRIES = 3
WAIT_S = 0.5
"""Before the second try; four times as long before the third."""

_BY_ARROW = {"s3", "gs", "gcs"}
_OPTIONS = re.compile(r"\?(?=(?:endpoint_override|region|scheme|tls_ca_file_path|anonymous)=)")


@dataclass(frozen=True, slots=True)
class ObjectState:
    """What a store tells of an object without sending it; when it is another, so is the object."""

    size_bytes: int
    changed: int
    """A number made of the store's tag of the object, or its time of change."""


class _Entry(BaseModel):
    """What an address held when it was last fetched."""

    address: str
    size_bytes: int
    changed: int
    video_id: str


class _Store(Protocol):
    def look(self, path: str) -> ObjectState: ...
    def open(self, path: str) -> AbstractContextManager[IO[bytes]]: ...


def look_at(addresses: Sequence[str]) -> dict[str, ObjectState | OSError]:
    """What the stores tell of each object, or why they do not. Asks many at a time; fetches nothing."""

    def look(address: str) -> ObjectState | OSError:
        try:
            store, path = _store_of(address)
            return store.look(path)
        except OSError as error:
            return error

    found: dict[str, ObjectState | OSError] = {}
    with ThreadPoolExecutor(NUM_LOOKING) as threads:
        for done, (address, state) in enumerate(zip(addresses, threads.map(look, addresses), strict=True), 1):
            found[address] = state
            progress.report("look_at_objects", 0, done=done, total=len(addresses))
    return found


def known_id(address: str, state: ObjectState) -> str | None:
    """The content of an object that was fetched in this state before, whether or not its bytes are still here."""
    entry = _entry(address)
    if entry is None or (entry.size_bytes, entry.changed) != (state.size_bytes, state.changed):
        return None
    return entry.video_id


def fetch(states: Mapping[str, ObjectState]) -> dict[str, str | OSError]:
    """Bring objects into the cache, some at a time: the id of each, or why it could not be had.

    What was fetched in part is gone on with. Progress is told in megabytes.

    Raises:
        OSError: the disk of the cache has no room for them all.
    """
    total = sum(state.size_bytes for state in states.values())
    _refuse_too_large(total)
    lock, done = Lock(), 0

    def arrived(num_bytes: int) -> None:
        nonlocal done
        with lock:
            done += num_bytes
            progress.report("fetch_objects_MB", 0, done=round(done / 1e6), total=max(1, round(total / 1e6)))

    found: dict[str, str | OSError] = {}
    with ThreadPoolExecutor(NUM_FETCHING) as threads:
        under_way = {threads.submit(_fetch, address, state, arrived): address for address, state in states.items()}
        try:
            for future in as_completed(under_way):
                error = future.exception()
                if error is not None and not isinstance(error, OSError):
                    raise error
                found[under_way[future]] = error if isinstance(error, OSError) else future.result()
        except BaseException:
            threads.shutdown(cancel_futures=True, wait=False)
            raise
    return found


def local_copy(address: str) -> Path:
    """The bytes of an object on this machine, as its corpus knows them: fetched again if the cache was cleared.

    Raises:
        OSError: it is not here and cannot be fetched.
    """
    entry = _entry(address)
    if entry is not None:
        path = _content(entry.video_id)
        if path.is_file() and path.stat().st_size == entry.size_bytes:
            return path
    store, path_there = _store_of(address)
    return _content(_fetch(address, store.look(path_there), lambda _: None))


def forget(video_ids: Iterable[str]) -> int:
    """Delete the bytes of these videos, and what is known of their addresses; how many files that were."""
    gone, removed = set(video_ids), 0
    for path in (_content(video_id) for video_id in gone):
        if path.exists():
            path.unlink()
            removed += 1
    for path in _folder("index").glob("*.json") if _folder("index").is_dir() else ():
        entry = _read_entry(path)
        if entry is None or entry.video_id in gone:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _fetch(address: str, state: ObjectState, arrived: Callable[[int], None]) -> str:
    """The id of an object, whose bytes are in the cache then. Two that ask for it wait for each other."""
    partial = _folder("partial") / _key(f"{address}\n{state.size_bytes}\n{state.changed}")
    partial.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(partial.with_name(f"{partial.name[:2]}.lock")):  # not one a file: they stay
        known = known_id(address, state)
        if known is not None and _content(known).is_file():
            arrived(state.size_bytes)
            return known
        arrived(partial.stat().st_size if partial.exists() else 0)
        for tried in range(NUM_TRIES):
            try:
                _go_on(address, state, partial, arrived)
                break
            except OSError as error:
                if tried == NUM_TRIES - 1 or isinstance(error, FileNotFoundError | PermissionError):
                    raise
                time.sleep(WAIT_S * 4**tried)
        with partial.open("rb") as file:
            video_id = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        place = _content(video_id)
        place.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(place)
        entry = _Entry(address=address, size_bytes=state.size_bytes, changed=state.changed, video_id=video_id)
        _write_entry(entry)
    return video_id


def _go_on(address: str, state: ObjectState, partial: Path, arrived: Callable[[int], None]) -> None:
    """Fetch what is not there yet of an object."""
    store, path = _store_of(address)
    with partial.open("ab") as file:
        have = file.tell()
        if have > state.size_bytes:  # not of this object
            file.truncate(0)
            have = 0
        if have < state.size_bytes:
            with store.open(path) as there:
                there.seek(have)
                while have < state.size_bytes and (chunk := there.read(min(CHUNK_BYTES, state.size_bytes - have))):
                    file.write(chunk)
                    have += len(chunk)
                    arrived(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    if have != state.size_bytes:
        raise OSError(f"{address} ended after {have:,} of {state.size_bytes:,} bytes")
    if store.look(path) != state:
        partial.unlink()
        raise OSError(f"{address} was changed while it was fetched: run again")


def _refuse_too_large(num_bytes: int) -> None:
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    facts = os.statvfs(folder)
    free = facts.f_bavail * facts.f_frsize
    if num_bytes > free:
        raise OSError(
            f"{num_bytes / 1e9:.1f} GB are to be fetched and {folder} has room for {free / 1e9:.1f} GB: set "
            "FACESCRIBE_CACHE to a folder on a larger disk, or list fewer objects"
        )


def _folder(kind: str) -> Path:
    return cache_folder() / "objects" / kind


def _content(video_id: str) -> Path:
    return _folder("content") / video_id[:2] / video_id


def _key(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:32]


def _entry(address: str) -> _Entry | None:
    entry = _read_entry(_folder("index") / f"{_key(address)}.json")
    return entry if entry is not None and entry.address == address else None


def _read_entry(path: Path) -> _Entry | None:
    try:
        return _Entry.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _write_entry(entry: _Entry) -> None:
    path = _folder("index") / f"{_key(entry.address)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.new")
    beside.write_text(entry.model_dump_json(), encoding="utf-8")
    beside.replace(path)


def _store_of(address: str) -> tuple[_Store, str]:
    """Who is asked for an object, and by which name. Raises OSError."""
    scheme, _, rest = address.partition("://")
    if scheme.lower() in _BY_ARROW:
        place, *options = _OPTIONS.split(rest, maxsplit=1)
        bucket, _, key = place.partition("/")
        if not bucket or not key:
            raise OSError(f"{address} names no object: expected {scheme}://BUCKET/KEY")
        store = _by_arrow(scheme, bucket, options[0] if options else "")
        if store is not None:
            return store, f"{bucket}/{key}"
    return _by_fsspec(f"{scheme}://{urlsplit(address).netloc}"), address


class _Arrow:
    """A store that pyarrow speaks with by itself."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def look(self, path: str) -> ObjectState:
        """Raises OSError."""
        from pyarrow import fs

        info = self._files.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError(2, "No such object")
        if info.type != fs.FileType.File:
            raise IsADirectoryError(21, "a prefix, and no object: list the objects below it, one in a row")
        return ObjectState(info.size, _number(info.size, info.mtime_ns))

    def open(self, path: str) -> Any:
        """Raises OSError."""
        return self._files.open_input_file(path)


class _Fsspec:
    """A store that fsspec has a package for."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def look(self, path: str) -> ObjectState:
        """Raises OSError."""
        with _as_os_error(path):
            info = self._files.info(self._files._strip_protocol(path))
        if info.get("type") == "directory":
            raise IsADirectoryError(21, "a folder, and no object: list the objects in it, one in a row")
        if info.get("size") is None:
            raise OSError(f"{path}: the server does not say how many bytes it has")
        tags = [
            str(info[name]) for name in ("ETag", "etag", "LastModified", "mtime", "updated", "created") if name in info
        ]
        return ObjectState(int(info["size"]), _number(info["size"], *tags))

    @contextmanager
    def open(self, path: str) -> Iterator[Any]:
        """Raises OSError."""
        with (
            _as_os_error(path),
            self._files.open(self._files._strip_protocol(path), "rb", block_size=CHUNK_BYTES) as file,
        ):
            yield file


@contextmanager
def _as_os_error(path: str) -> Iterator[None]:
    """Every store has errors of its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{path}: {type(error).__name__}: {error}") from error


@lru_cache(maxsize=64)
def _by_arrow(scheme: str, bucket: str, options: str) -> _Store | None:
    import pyarrow as pa
    from pyarrow import fs

    try:
        files, _ = fs.FileSystem.from_uri(f"{scheme}://{bucket}{f'?{options}' if options else ''}")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return _Arrow(files)


@lru_cache(maxsize=64)
def _by_fsspec(place: str) -> _Store:
    try:
        import fsspec

        return _Fsspec(fsspec.core.url_to_fs(place)[0])
    except (ImportError, ValueError) as error:
        raise OSError(
            f"cannot open {place}: neither pyarrow nor fsspec ({error}) knows this kind of address; install the "
            "package that fsspec has for it, or copy the videos to disk"
        ) from error


def _number(*facts: Any) -> int:
    """As 62 bits: what remembers it keeps whole numbers."""
    return int.from_bytes(hashlib.sha256(repr(facts).encode()).digest()[:8]) >> 2
