"""Videos in object storage: fetched once, gone on with where it broke off, found again by their address."""

from __future__ import annotations

import functools
import http.server
import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest

from pipeline import progress
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Resources
from pipeline.store import Store
from pipeline.takedown import take_down
from pipeline.videos import object_files
from pipeline.videos.object_files import ObjectState, fetch, local_copy, look_at
from pipeline.videos.paths import path_of
from pipeline.videos.sources import SourceError
from pipeline.videos.stage import PROBE_VIDEOS
from pipeline.walk import BuildConfig, Walk, open_walk
from tests.s3_server import s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """host:port of an S3 server."""
    with s3_server() as place:
        yield place


Put = Callable[[str, bytes], str]


@pytest.fixture
def put(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Put]:
    """Puts an object into a bucket and says its address; the cache is an empty folder."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("FACESCRIBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(object_files, "WAIT_S", 0.01)
    query = f"endpoint_override=http://{server}&region=us-east-1"
    files, bucket = pafs.FileSystem.from_uri(f"s3://clips?{query}&allow_bucket_creation=true")
    files.create_dir(bucket)

    def put_object(key: str, content: bytes) -> str:
        with files.open_output_stream(f"clips/{key}") as stream:
            stream.write(content)
        return f"s3://clips/{key}?{query}"

    yield put_object
    object_files._by_arrow.cache_clear()


def manifest(folder: Path, *addresses: str) -> str:
    path = folder / "list.csv"
    path.write_text("path,label\n" + "".join(f"{address},joy\n" for address in addresses))
    return f"manifest:{path}"


def walked(source: str, root: Path, *, may_read: bool = True) -> Walk:
    return open_walk(Store.open_or_create(root, 2), source, BuildConfig(), may_read=may_read)


def ids(walk: Walk) -> dict[str, str]:
    return {row["path"]: row["video_id"] for part in walk.sources.values() for row in part.to_pylist()}


def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are fetched from here on."""
    noted: list[str] = []
    go_on = object_files._go_on

    def note(address: str, *args: Any) -> None:
        noted.append(address)
        go_on(address, *args)

    monkeypatch.setattr(object_files, "_go_on", note)
    return noted


def test_objects_are_fetched_once_and_found_at_later_stages(
    put: Put, tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = fetched(monkeypatch)
    talk, gone = (
        put("some/my talk.mp4", (clips / "talk.mp4").read_bytes()),
        put("x", b"").replace("clips/x", "clips/gone"),
    )
    source, root = manifest(tmp_path, talk, gone, str(clips / "man" / "smile.mp4")), tmp_path / "corpus"
    told: list[str] = []
    with progress.listening(lambda stage, *_: told.append(stage)):
        walk = walked(source, root)
    assert "fetch_objects_MB" in told and noted == [talk]
    walk.keep_sources()
    for bucket in walk.take_settled(PROBE_VIDEOS):
        walk.run(PROBE_VIDEOS, bucket, Resources(source=walk.folder))
    walk.commit(source)
    videos = Corpus(root).arrow("videos", ["path", "num_frames", "label"]).to_pylist()
    assert {row["path"]: row["label"] for row in videos} == {talk: "joy", str(clips / "man" / "smile.mp4"): "joy"}
    assert [row["reason"] for row in Corpus(root).arrow("rejects").to_pylist()] == ["missing"]
    assert ids(walked(source, root)) == ids(walk)
    assert ids(walked(source, tmp_path / "another corpus")) == ids(walk)
    assert noted == [talk]


def test_a_cleared_cache_is_filled_again_when_a_stage_asks(put: Put, tmp_path: Path, monkeypatch: Any) -> None:
    address = put("a.mp4", b"first")
    source, root = manifest(tmp_path, address), tmp_path / "corpus"
    walked(source, root)
    noted = fetched(monkeypatch)
    monkeypatch.setenv("FACESCRIBE_CACHE", str(tmp_path / "another"))
    walked(source, root)
    assert noted == []  # nothing needs the bytes yet
    assert path_of(tmp_path, address).read_bytes() == b"first"
    assert noted == [address]


def test_a_changed_object_is_another_video(put: Put, tmp_path: Path) -> None:
    address = put("b.mp4", b"first")
    source, root = manifest(tmp_path, address), tmp_path / "corpus"
    before = ids(walked(source, root))
    time.sleep(1.1)  # S3 tells times in whole seconds
    put("b.mp4", b"other")
    assert ids(walked(source, root)) != before
    assert local_copy(address).read_bytes() == b"other"


def test_a_plan_looks_at_objects_and_fetches_none(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = fetched(monkeypatch)
    (video_id,) = ids(walked(manifest(tmp_path, put("c.mp4", b"first")), tmp_path / "corpus", may_read=False)).values()
    assert video_id.startswith("unread:") and noted == []


def test_what_broke_off_is_gone_on_with(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(range(256)) * 40
    address = put("d.mp4", content)
    monkeypatch.setattr(object_files, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(object_files, "NUM_TRIES", 1)
    read_from: list[int] = []
    open_object = object_files._Arrow.open

    class Breaking(io.RawIOBase):
        def __init__(self, there: Any, num_reads: int) -> None:
            self._there, self._left = there, num_reads

        def seek(self, place: int, whence: int = 0) -> int:
            read_from.append(place)
            return int(self._there.seek(place))

        def read(self, size: int = -1) -> bytes:
            self._left -= 1
            if self._left < 0:
                raise OSError("the line is dead")
            return bytes(self._there.read(size))

    monkeypatch.setattr(object_files._Arrow, "open", lambda self, path: Breaking(open_object(self, path), 3))
    states: dict[str, ObjectState] = {k: v for k, v in look_at([address]).items() if isinstance(v, ObjectState)}
    (error,) = fetch(states).values()
    assert isinstance(error, OSError) and "the line is dead" in str(error)
    monkeypatch.setattr(object_files._Arrow, "open", lambda self, path: Breaking(open_object(self, path), 100))
    told: list[tuple[int, int]] = []
    with progress.listening(lambda _, __, done, total: told.append((done, total))):
        fetch(states)
    assert read_from == [0, 3000]
    assert local_copy(address).read_bytes() == content


def test_an_object_that_cannot_be_fetched_waits_for_another_run(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = put("e.mp4", b"good"), put("f.mp4", b"bad")
    go_on = object_files._go_on

    def fail(address: str, *args: Any) -> None:
        if address == bad:
            raise PermissionError(13, "Access denied")
        go_on(address, *args)

    monkeypatch.setattr(object_files, "_go_on", fail)
    source, root = manifest(tmp_path, good, bad), tmp_path / "corpus"
    walk = walked(source, root)
    errors = {row["path"]: row["read_error"] for part in walk.sources.values() for row in part.to_pylist()}
    assert errors == {good: None, bad: "Access denied"}
    monkeypatch.setattr(object_files, "_go_on", go_on)
    assert local_copy(bad).read_bytes() == b"bad"


def test_a_store_that_does_not_answer_is_told_at_once(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = put("g.mp4", b"x").replace("s3://clips", "s3://nothing-here")
    with pytest.raises(SourceError, match="not there|none of the 1 videos|none of 1 objects"):
        walked(manifest(tmp_path, address), tmp_path / "corpus")
    with pytest.raises(SourceError, match="none of 1 objects can be looked at; oss://x/y: cannot open oss://x"):
        walked(manifest(tmp_path, "oss://x/y"), tmp_path / "corpus")  # a store whose package is not installed


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(put: Put) -> None:
    with pytest.raises(OSError, match="are to be fetched and .* set FACESCRIBE_CACHE to a folder on a larger disk"):
        fetch({"s3://clips/huge": ObjectState(10**18, 1)})


def test_a_video_that_is_taken_down_leaves_the_cache_too(put: Put, tmp_path: Path) -> None:
    address, other = put("h.mp4", b"of somebody"), put("i.mp4", b"of another")
    source, root = manifest(tmp_path, address, other), tmp_path / "corpus"
    walk = walked(source, root)
    walk.keep_sources()
    for bucket in walk.take_settled(PROBE_VIDEOS):
        walk.run(PROBE_VIDEOS, bucket, Resources(source=walk.folder))
    walk.commit(source)
    path, others = local_copy(address), local_copy(other)
    take_down(Store.open(root), [address])
    assert not path.exists() and others.exists()
    assert not any(address.encode() in file.read_bytes() for file in (tmp_path / "cache").rglob("*.json"))


def test_a_web_server_is_asked_through_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESCRIBE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.mp4").write_bytes(b"served bytes")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        source = manifest(tmp_path, f"{place}/a.mp4", f"{place}/gone.mp4")
        walk = walked(source, tmp_path / "corpus")
        rows = {row["path"]: row for part in walk.sources.values() for row in part.to_pylist()}
        assert rows[f"{place}/gone.mp4"]["read_error"] == "not there"
        assert path_of(tmp_path, f"{place}/a.mp4").read_bytes() == b"served bytes"
        server.shutdown()
