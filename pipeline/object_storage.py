"""Files below a prefix in object storage: S3 and what speaks as it does, Google Cloud Storage, Azure.

An address is a URI such as `s3://bucket/corpus`, with options behind it where the environment does not say them:
`s3://bucket/corpus?endpoint_override=http://127.0.0.1:9000&region=us-east-1`. Who may read and write is said by the
environment alone, where that store looks for it: AWS_ACCESS_KEY_ID and its like, or a role. Any other scheme is read
through fsspec, if its package is installed (pipeline/other_places.py). How to set it up is in docs/object-storage.md.

Whoever sends a request can lose the answer to it. So a request is repeated, and a name that is there already counts as
given by us if what lies there is what we sent.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

import obstore
from obstore import exceptions as told

from pipeline.files import (
    Files,
    Folder,
    Hold,
    StorageError,
    StorageRefusedError,
    StoredFile,
    StoreError,
    content_of,
)
from pipeline.leases import hold_alone, hold_together, holder_of
from pipeline.object_file import ObjectFile, Span, open_object
from pipeline.shard_cache import ShardCache

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az"}
"""Of addresses, and what the client calls them."""

_OPTIONS = {"endpoint_override": "endpoint", "region": "region", "anonymous": "skip_signature"}
"""Of an address, and what the client calls them. The rest of those that pyarrow knows hold keys, or are not needed."""

_NOT_NEEDED = {"scheme", "allow_bucket_creation", "allow_bucket_deletion"}

TRIES = 4
"""Of one write or read here, each of which the client has repeated by itself where it could."""

WAIT_S = 0.5
"""Before the second try; twice as long before each further one."""

RETRY_S = 120.0
"""The client repeats a request that fails for a passing reason for so long: 503, a lost or silent connection."""

SILENT_S = 30.0
"""Without a byte, after which a connection counts as lost."""

CHUNK_BYTES = 8 << 20
"""Of a part of a large file that is sent, or of what is received before it is written."""

_REFUSED = re.compile(
    r"status(?: code:)? 40[013]|169\.254\.169\.254|metadata\.google\.internal|credential", re.IGNORECASE
)
"""In what the client tells: an answer that another try does not mend, or that it found no credentials and asked the
address at which a machine in a cloud is told its role."""

_NO_BUCKET = "NoSuchBucket"


def files_of(uri: str) -> Files:
    """The files below the prefix that a URI names. Nothing is asked yet.

    Raises:
        StoreError: the address names no bucket, holds a key, or is of a kind that nobody knows.
    """
    parts = urlsplit(uri)
    scheme = parts.scheme.lower()
    if scheme == "file":
        return Folder(Path(parts.path))
    if scheme not in SCHEMES:
        from pipeline.other_places import OtherPlace

        return OtherPlace(uri)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "@" in parts.netloc or any(word in name for name in options for word in ("key", "secret", "token", "password")):
        raise StoreError(
            f"an address of {scheme}://{parts.netloc.rpartition('@')[2]} holds a key: addresses are written to logs "
            "and reports. Give keys in the environment alone, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if unknown := sorted(options.keys() - _OPTIONS.keys() - _NOT_NEEDED):
        raise StoreError(f"{uri} has an option {unknown[0]!r}; known are {', '.join(_OPTIONS)}")
    if not parts.netloc:
        raise StoreError(f"{uri} names no bucket: expected {scheme}://BUCKET/PREFIX")
    if options.get("scheme") and "://" not in options.get("endpoint_override", "://"):
        options["endpoint_override"] = f"{options['scheme']}://{options['endpoint_override']}"
    given = tuple(sorted((_OPTIONS[name], value) for name, value in options.items() if name in _OPTIONS))
    return Objects(uri, SCHEMES[scheme], parts.netloc, parts.path.strip("/"), given)


@lru_cache(maxsize=64)
def _client(url: str, options: tuple[tuple[str, str], ...]) -> ObjectStore:
    config = dict(options)
    if url.startswith("s3://"):
        config["checksum_algorithm"] = "SHA256"  # by which the server refuses what arrived otherwise than it was sent
    settings: dict[str, Any] = {
        "config": config,
        "client_options": {
            "allow_http": True,
            "connect_timeout": timedelta(seconds=10),
            "read_timeout": timedelta(seconds=SILENT_S),
            "timeout": timedelta(minutes=30),
        },
        "retry_config": {
            "max_retries": 12,
            "retry_timeout": timedelta(seconds=RETRY_S),
            "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=15), "base": 2},
        },
    }
    store: ObjectStore = obstore.store.from_url(url, **settings)
    return store


class Objects:
    """Files below a prefix. May be sent to another process, and used by any number of threads."""

    folder: Path | None = None

    def __init__(self, uri: str, scheme: str, bucket: str, prefix: str, options: tuple[tuple[str, str], ...]) -> None:
        self._uri = uri
        self._url = f"{scheme}://{bucket}/{prefix}"
        self._options = options
        endpoint = dict(options).get("endpoint") or os.environ.get("AWS_ENDPOINT_URL", "")
        self.address = f"{scheme}://{bucket}/{prefix}".rstrip("/")
        self.key = f"{scheme}://{'/'.join(filter(None, (urlsplit(endpoint).netloc, bucket, prefix)))}"
        self._cache = ShardCache(self.key)

    def __reduce__(self) -> tuple[Callable[[str], Files], tuple[str]]:
        return files_of, (self._uri,)

    @property
    def _store(self) -> ObjectStore:
        return _client(self._url, self._options)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """In the cache of this machine."""
        with self._cache.temporary() as path:
            yield path

    def place(self, temporary: Path, path: str, *, only_if_absent: bool = False) -> bool:
        """Sent whole, with its checksum. A shard stays in this machine's cache: the next stage will read it."""
        given = self._send(path, temporary, only_if_absent=only_if_absent)
        if path.startswith("shards/"):
            self._cache.adopt(temporary, path)
        return given

    def _send(self, path: str, sent: Path, *, only_if_absent: bool) -> bool:
        num_bytes = sent.stat().st_size
        for tried in range(TRIES):
            try:
                with self._errors_told(path):
                    if only_if_absent:
                        obstore.put(self._store, path, sent.read_bytes(), mode="create")
                    else:
                        obstore.put(self._store, path, sent, chunk_size=CHUNK_BYTES)
                    if obstore.head(self._store, path)["size"] != num_bytes:
                        raise StorageError(
                            f"{self.uri(path)} arrived with another size than the {num_bytes} bytes sent"
                        )
                return True
            except told.AlreadyExistsError:
                return self._is_ours(path, sent) is True
            except StorageError as error:
                if not error.may_pass:
                    raise
                is_ours = self._is_ours(path, sent)
                if is_ours or (only_if_absent and is_ours is not None):
                    return is_ours
                self._wait_or_raise(tried, error)
        raise AssertionError  # the last try returns or raises

    def _is_ours(self, path: str, sent: Path) -> bool | None:
        """Whether what lies there is what we sent, in a request whose answer was lost; None if nothing does."""
        try:
            with self.fetched(path) as there:
                return content_of(there) == content_of(sent)
        except FileNotFoundError:
            return None

    def _wait_or_raise(self, tried: int, error: StorageError) -> None:
        if tried == TRIES - 1 or not error.may_pass:
            raise error
        time.sleep(WAIT_S * 2**tried)

    def read(self, path: str) -> bytes:
        """Of a small file: all at once."""
        return bytes(self._repeated(path, lambda: obstore.get(self._store, path).bytes()))

    def _repeated(self, path: str, ask: Callable[[], Any]) -> Any:
        """What is asked may be half of what was to come, which the client repeats only until it begins to come."""
        for tried in range(TRIES):
            try:
                with self._errors_told(path):
                    return ask()
            except StorageError as error:
                self._wait_or_raise(tried, error)
        raise AssertionError

    def source(self, path: str, num_bytes: int | None = None) -> ObjectFile:
        """Read by ranges, straight from the store."""
        return open_object(partial(self._spans, path), self.size(path) if num_bytes is None else num_bytes)

    def _spans(self, path: str, spans: Sequence[Span]) -> list[bytes]:
        starts, ends = [start for start, _ in spans], [end for _, end in spans]
        got = self._repeated(path, lambda: obstore.get_ranges(self._store, path, starts=starts, ends=ends))
        return [bytes(part) for part in got]

    def local(self, path: str) -> Path:
        """Out of the cache, which it is fetched into first, and only if its bytes are what its name says."""
        return self._cache.get(path, self._fetch)

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """A copy, made for this."""
        with self._cache.temporary() as copy:
            self._fetch(path, copy)
            yield copy

    def _fetch(self, path: str, into: Path) -> None:
        def fetch() -> None:
            with into.open("wb") as file:
                for part in obstore.get(self._store, path).stream(min_chunk_size=CHUNK_BYTES):
                    file.write(part)

        self._repeated(path, fetch)

    def uri(self, path: str) -> str:
        """Which pyarrow can open, by the options of the address."""
        place, mark, query = self._uri.partition("?")
        return f"{place.rstrip('/')}/{path}{mark}{query}"

    def size(self, path: str) -> int:
        """As the store says."""
        return int(self._repeated(path, lambda: obstore.head(self._store, path))["size"])

    def names(self) -> list[str]:
        """Of objects and of prefixes below the root."""
        listed = self._repeated("", lambda: obstore.list_with_delimiter(self._store))
        return [*listed["common_prefixes"], *(one["path"] for one in listed["objects"])]

    def listed(self, below: str = "") -> list[StoredFile]:
        """Page by page, as the store lists them."""
        rows = self._repeated(below, lambda: obstore.list(self._store, prefix=below or None).collect())
        found = [StoredFile(one["path"], one["size"], one["last_modified"].timestamp()) for one in rows]
        return sorted(found, key=lambda file: file.path)

    def remove(self, path: str) -> None:
        """Here and in this machine's cache."""
        self._cache.forget(path)
        try:
            self._repeated(path, lambda: obstore.delete(self._store, path))
        except FileNotFoundError:
            return

    def hold(self, name: str, who: str = "", *, alone: bool) -> Hold | None:
        """By a lease: see pipeline/leases.py."""
        return hold_alone(self, name, who) if alone else hold_together(self, name, who)

    def holder(self, name: str) -> str:
        """As the lease says."""
        return holder_of(self, name)

    def begin(self) -> None:
        """Forgets what is cached of shards that are gone, and tries whether "create only if absent" is kept here."""
        self._cache.keep_only(file.path for file in self.listed("shards"))
        probe = f"tmp/{uuid.uuid4().hex}"
        first, second = (self.put_if(probe, text, None) for text in (b"first", b"second"))
        self.remove(probe)
        if first is None or second is not None:
            raise StoreError(
                f"{self.address} does not know conditional writes (If-None-Match), so that two runs could overwrite "
                "each other's snapshots: use a store that does, or a newer version of its server"
            )

    def get_with_tag(self, path: str) -> tuple[bytes, str]:
        """A small file with the tag that changes whenever it does. Raises FileNotFoundError."""

        def get() -> tuple[bytes, str]:
            answer = obstore.get(self._store, path)
            return bytes(answer.bytes()), answer.meta["e_tag"] or ""

        found: tuple[bytes, str] = self._repeated(path, get)
        return found

    def put_if(self, path: str, data: bytes, tag: str | None) -> str | None:
        """Write a small file if it has still this tag, or, with None, if there is none; its new tag, or None.

        The data must be nobody else's: by them a write is known as our own whose answer was lost.
        """
        for tried in range(TRIES):
            try:
                with self._errors_told(path):
                    mode: Any = "create" if tag is None else {"e_tag": tag}
                    return obstore.put(self._store, path, data, mode=mode)["e_tag"] or ""
            except (told.AlreadyExistsError, told.PreconditionError, FileNotFoundError, StorageError) as error:
                try:
                    there, its_tag = self.get_with_tag(path)
                    if there == data:
                        return its_tag
                except FileNotFoundError:
                    pass
                if not isinstance(error, StorageError):
                    return None
                self._wait_or_raise(tried, error)
        raise AssertionError

    def put(self, path: str, data: bytes) -> datetime:
        """Write a small file; when that was, by the store's clock."""
        self._repeated(path, lambda: obstore.put(self._store, path, data))
        changed: datetime = self._repeated(path, lambda: obstore.head(self._store, path))["last_modified"]
        return changed

    @contextmanager
    def _errors_told(self, path: str) -> Iterator[None]:
        try:
            yield
        except told.NotFoundError as error:
            if _NO_BUCKET in str(error):
                self._tell(path, error)
            raise FileNotFoundError(2, "no such object", self.uri(path)) from error
        except (told.AlreadyExistsError, told.PreconditionError):
            raise
        except told.BaseError as error:
            self._tell(path, error)

    def _tell(self, path: str, error: told.BaseError) -> NoReturn:
        words = " ".join(str(error).partition("Debug source:")[0].split())
        short = words if len(words) <= 400 else f"{words[:400]} …"
        if _NO_BUCKET in words:
            raise StorageRefusedError(f"{self.address}: there is no such bucket; make it first") from error
        if _REFUSED.search(words) or isinstance(error, told.PermissionDeniedError | told.UnauthenticatedError):
            raise StorageRefusedError(
                f"{self.address} refuses who asks ({short}): look at the credentials in the environment, such as "
                "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, whether they have expired and what "
                "they allow; then run the same again, it goes on where it stopped"
            ) from error
        raise StorageError(
            f"{self.address} cannot be reached for {path or 'its list'} ({short}): look at the address, the region and "
            "the network; then run the same again, it goes on where it stopped"
        ) from error
