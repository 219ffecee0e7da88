"""No file hurts a run: each bad one ends with its reason, soon, and the next is read."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.run import ShardInput, run_stage
from pipeline.stage import Resources, content_hash
from pipeline.store import Store
from pipeline.videos import decoder_process
from pipeline.videos.config import VideoConfig
from pipeline.videos.frames import (
    DECODERS_OWN,
    Limits,
    VideoError,
    av_version,
    decord_version,
    other_decoder,
    probe,
    read_frames,
)
from pipeline.videos.paths import path_of, path_text
from pipeline.videos.sources import list_source
from pipeline.videos.stage import PROBE_VIDEOS
from schemas.rejects import REASONS, REJECTS
from schemas.videos import VIDEOS
from tests.videos.fault_files import write_fault_corpus, write_video, write_what_aborts_decord

BOTH = pytest.mark.parametrize("decoder", [decord_version(), av_version()])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_video(tmp_path / "clip.mp4", size=(320, 240), ticks=range(60))
    return tmp_path / "clip.mp4"


@pytest.fixture(autouse=True)
def no_decoder_is_left_from_before() -> None:
    while decoder_process._idle:
        decoder_process._idle.pop().kill()


def decoders() -> list[psutil.Process]:
    """The decoder processes of this process that run."""
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in children if "pipeline.videos.decoding" in child.cmdline()]


def probe_stage(source: Path, root: Path, sources: Any, config: VideoConfig | None = None) -> dict[str, dict[str, Any]]:
    """What the stage says of each source by its path: its row of VIDEOS, or of REJECTS."""
    store = Store.open_or_create(root, 1)
    given = ShardInput(content_hash([sources]), rows=sources)
    resources = Resources(source=source, decode_timeout_s=20)
    files = run_stage(PROBE_VIDEOS, 0, [given], config or VideoConfig(), resources, store).receipt.files
    told = [store.read(files[name]) for name in (VIDEOS.name, REJECTS.name) if name in files]
    return {row["path"]: row for rows in told for row in rows.to_pylist()}


@pytest.mark.timeout(120)
def test_every_file_of_the_fault_corpus_ends_as_a_row_or_with_its_reason(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    expected = {path_text(name): reason for name, reason in write_fault_corpus(source).items()}
    sources, _ = list_source(source, {}, links_out=True)
    assert set(sources["path"].to_pylist()) == set(expected), "every file is listed, and no two are the same content"

    began = time.monotonic()
    rows = probe_stage(source, tmp_path / "corpus", sources)
    ended = {path: row.get("reason") or read_to_the_end(path_of(source, path), row) for path, row in rows.items()}
    assert ended == expected
    assert len(expected) >= 24
    assert set(expected.values()) - {"ok"} <= set(REASONS)
    assert time.monotonic() - began < 60
    details = [row["detail"] for row in rows.values() if "reason" in row]
    assert not any(str(tmp_path) in detail for detail in details), "a reject must not depend on where the file lay"
    assert len(decoders()) == 1, "one process at a time reads them all"


def read_to_the_end(path: Path, row: dict[str, Any]) -> str:
    decoder: str | None = row["decoder"]
    reason = "ok"
    while decoder is not None:
        try:
            frames = [(f.index, f.rgb.shape) for f in read_frames(path, decoder)]
        except VideoError as error:
            reason, decoder = error.reason, other_decoder(decoder) if error.reason in DECODERS_OWN else None
        else:
            assert frames == [(index, (row["height_px"], row["width_px"], 3)) for index in range(row["num_frames"])]
            return "ok"
    return reason


@pytest.mark.parametrize("reason", ["no_times", "too_large", "corrupt"])
def test_what_cannot_be_mended_is_not_tried_again(reason: str) -> None:
    assert not REASONS[reason].is_transient


@BOTH
def test_a_decoder_that_hangs_is_ended_and_the_next_video_is_read(clip: Path, decoder: str) -> None:
    frames = read_frames(clip, decoder, Limits(timeout_s=1.0))
    next(frames)
    (child,) = decoders()
    child.suspend()
    began = time.monotonic()
    with pytest.raises(VideoError, match=r"no new frame in 1 s") as refused:
        for _ in frames:
            pass
    assert refused.value.reason == "decoder_hung"
    assert 1.0 <= time.monotonic() - began < 10.0
    gone, _ = psutil.wait_procs([child], timeout=5)
    assert gone
    assert sum(1 for _ in read_frames(clip, decoder)) == 60


def test_a_hang_while_probing_is_ended_and_tried_without_decord(clip: Path) -> None:
    probe(clip)
    (child,) = decoders()
    child.suspend()
    facts = probe(clip, Limits(timeout_s=0.5))
    assert (facts.decoder, facts.num_frames) == (av_version(), 60)
    assert decoders() != [child]


@BOTH
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_decoder_that_crashes_takes_only_its_video_with_it(clip: Path, decoder: str, end: signal.Signals) -> None:
    frames = read_frames(clip, decoder)
    next(frames)
    (child,) = decoders()
    child.send_signal(end)
    with pytest.raises(VideoError, match=end.name) as refused:
        for _ in frames:
            pass
    assert refused.value.reason == "decoder_crashed"
    assert sum(1 for _ in read_frames(clip, decoder)) == 60


def test_what_ends_decord_is_read_by_av(tmp_path: Path) -> None:
    write_what_aborts_decord(tmp_path / "broken.mp4")
    with pytest.raises(VideoError) as refused:
        list(read_frames(tmp_path / "broken.mp4", decord_version()))
    assert refused.value.reason == "decoder_crashed"
    facts = probe(tmp_path / "broken.mp4")
    assert (facts.decoder, facts.num_frames) == (av_version(), 50)


def test_an_idle_decoder_that_died_is_nobodys_fault(clip: Path) -> None:
    probe(clip)
    (child,) = decoders()
    child.kill()
    psutil.wait_procs([child], timeout=5)
    assert probe(clip).num_frames == 60


def test_a_decoder_is_replaced_before_its_memory_is_full_of_holes(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_process, "MOST_REQUESTS", 2)
    served = []
    for _ in range(4):
        probe(clip)
        served.append([decoder.pid for decoder in decoder_process._idle])

    assert [len(idle) for idle in served] == [1, 0, 1, 0]
    assert served[0] != served[2]


@BOTH
def test_a_reading_that_is_closed_early_leaves_its_decoder_to_the_next(clip: Path, decoder: str) -> None:
    for _ in range(3):
        frames = read_frames(clip, decoder)
        next(frames)
        (child,) = decoders()
        frames.close()  # type: ignore[attr-defined]  # a generator
        assert decoders() == [child]
        assert [frame.index for frame in read_frames(clip, decoder)] == list(range(60))
        assert decoders() == [child]


def test_frames_are_decoded_ahead_of_a_slow_consumer(clip: Path) -> None:
    frames = read_frames(clip, av_version())
    next(frames)
    time.sleep(0.5)
    (child,) = decoders()
    child.suspend()
    assert [next(frames).index for _ in range(3)] == [1, 2, 3]
    child.resume()
    assert sum(1 for _ in frames) == 56


def test_the_consumers_own_time_is_not_the_decoders(clip: Path) -> None:
    probe(clip)
    frames = read_frames(clip, av_version(), Limits(timeout_s=0.3))
    for _ in zip(range(3), frames, strict=False):
        time.sleep(0.5)
    assert sum(1 for _ in frames) == 57


def test_threads_read_side_by_side_and_a_thread_that_ends_takes_no_decoder_along(clip: Path) -> None:
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(sum(1 for _ in read_frames(clip, decord_version()))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [60, 60]
    before = decoders()
    assert 1 <= len(before) <= 2
    assert probe(clip).num_frames == 60
    assert decoders() == before


OWNER = """
import sys, time
from pathlib import Path
from pipeline.videos.frames import av_version, read_frames

frames = read_frames(Path(sys.argv[1]), av_version())
next(frames)
if sys.argv[2] == "idle":
    frames.close()
print("reading", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("doing", ["idle", "reading", "hung"])
def test_a_decoder_ends_with_a_process_that_is_killed(clip: Path, doing: str) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(clip), doing], stdout=subprocess.PIPE)
    try:
        assert owner.stdout and owner.stdout.readline() == b"reading\n"
        (child,) = psutil.Process(owner.pid).children()
        if doing == "hung":
            child.suspend()
    finally:
        owner.kill()
        owner.communicate()
    gone, _ = psutil.wait_procs([child], timeout=5)
    assert gone


def test_what_needs_too_much_memory_is_too_large(tmp_path: Path) -> None:
    small = write_video(tmp_path / "small.gif", codec="gif", pixels="rgb8", ticks=range(2))
    large = tmp_path / "large.gif"
    large.write_bytes(small[:6] + struct.pack("<2H", 7000, 7000) + small[10:])
    with pytest.raises(VideoError, match="needs more memory") as refused:
        probe(large, Limits(memory_bytes=500 << 20))
    assert refused.value.reason == "too_large"
    assert probe(large).num_frames == 2


def test_the_config_says_how_large_a_video_may_be(clip: Path, tmp_path: Path) -> None:
    sources, _ = list_source(clip, {})
    for number, config in enumerate([VideoConfig(max_frames=59), VideoConfig(max_frame_px=320 * 240 - 1)]):
        (row,) = probe_stage(tmp_path, tmp_path / f"corpus{number}", sources, config).values()
        assert row["reason"] == "too_large"


def test_a_file_that_changed_since_it_was_listed_is_for_the_next_run(clip: Path, tmp_path: Path) -> None:
    sources, _ = list_source(clip, {})
    write_video(clip, ticks=range(20))
    (row,) = probe_stage(tmp_path, tmp_path / "corpus", sources).values()
    assert (row["reason"], row["is_transient"]) == ("file_changed", True)


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replaced(path: Path) -> None:
    path.with_name("other").write_bytes(path.read_bytes())
    path.with_name("other").rename(path)


@BOTH
@pytest.mark.parametrize("change", [appended, cut, replaced, Path.unlink])
def test_a_file_that_changes_while_it_is_read_is_of_no_version(
    clip: Path, decoder: str, change: Callable[[Path], None]
) -> None:
    frames = read_frames(clip, decoder)
    next(frames)
    change(clip)
    with pytest.raises(VideoError) as refused:
        for _ in frames:
            pass
    assert refused.value.reason == "file_changed"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "empty_file", id="no bytes"),
        pytest.param(b"dear diary, " * 50, "not_a_video", id="text"),
        pytest.param(bytes(2000), "not_a_video", id="zeros"),
        pytest.param(b"\0\0\0\x18ftypmp42" + bytes(200), "corrupt", id="an mp4 that ends after its first box"),
        pytest.param(b"\x1aE\xdf\xa3" + b"\xff" * 300, "corrupt", id="a Matroska file of noise"),
    ],
)
def test_bad_bytes_have_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError) as refused:
        probe(path)
    assert refused.value.reason == reason


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as refused:
        probe(tmp_path / "gone.mp4")
    assert refused.value.reason == "unreadable"


def test_a_pipe_does_not_make_the_reader_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    began = time.monotonic()
    with pytest.raises(VideoError) as refused:
        probe(tmp_path / "pipe.mp4")
    assert refused.value.reason == "not_a_file"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/python"])
def test_a_decoder_that_cannot_start_is_told_and_blames_no_video(
    clip: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(RuntimeError, match="the decoder process did not start"):
        probe(clip)


def test_probing_again_gives_the_same_facts(clip: Path) -> None:
    assert probe(clip) == probe(clip)
