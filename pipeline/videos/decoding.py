"""Decode videos with decord and PyAV, in a process of its own that `decoder_process.py` starts and may lose.

decord reads first. PyAV reads where decord is known to be wrong or cannot read at all; `_decord_reads` says where. A
folder is a clip of pictures: `picture_decoding.py` reads it.

What is done with odd files, the same in every reading:

- Frames are the displayed picture in RGB: turned as the container asks, whatever the pixel format, without its alpha.
  Interlaced pictures are given as they are stored, both fields in one. Pixels that are not square stay as stored.
- The first video stream that is no cover picture is read, as FFmpeg chooses it.
- A frame of another size than the first (calls recorded by WebRTC) is scaled to the first; where that would distort it,
  the video is refused.
- A frame without a time of its own (none, or not after the frame before) is never shown by a player and is left out.
  Times below zero are kept. Times that jump back are refused.

A request is a line of JSON on standard input; the answers, frames among them, go to standard output.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import re
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pipeline.videos.decoder_process import HEADER
from pipeline.videos.frames import Frame, Limits, VideoError, VideoFacts, av_version, decord_version
from pipeline.videos.picture_decoding import probe_folder, read_folder
from pipeline.videos.refusing import in_words, name_of, reasons, refuse_distorting, refuse_large, refuse_long

if TYPE_CHECKING:
    import av
    import av.container

FRAMES_AHEAD = 4
"""Decoded and waiting for the consumer, beside what the pipe holds."""

DECORD_BATCH = 8
"""Frames asked of decord at once; more are no faster."""

DECORD_BATCH_BYTES = 64 << 20
"""Of large frames fewer are asked for, but always one."""

NOT_DECORDS_CONTAINERS = ("mpegts", "mpeg")
"""Where decord puts the nearest picture in place of one that it cannot reach, and says so only in its log."""

NOT_DECORDS_CODECS = ("vp8", "vp9")
"""Whose pictures may change their size, which decord hides by stretching them."""

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,apng,mxf,dv,rm,nut,ivf,wtv,nsv,vob,"
    "h264,hevc,m4v,mpegvideo,mpeg1video,mpeg2video,wav,mp3,flac,aac,ac3,aiff,au,w64,amr,caf,opus"
)
"""Demuxers that may open a file. FFmpeg has others that take a still picture or a text for a video, or that read a list
and open the files and addresses in it."""

CONTAINER_STARTS = (b"RIFF", b"\x1aE\xdf\xa3", b"FLV", b"OggS", b"\x00\x00\x01\xba", b"G@", b"GIF8")
"""First bytes of AVI, Matroska, Flash, Ogg, MPEG program and transport streams. MP4 has `ftyp` after its first four."""

CLOCK_JUMP_S = 1.0
"""A time this far before the one before it is another clock and not a frame out of order."""

SAME_PICTURE = 2.0
"""Grey levels, on average, that the two decoders' first frames may differ by."""

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38

MOST_WRITTEN_BYTES = 16 << 20
"""Of any file: what libraries print of a damaged video goes to one, and nothing else is written."""

MOST_OPEN_FILES = 256

Beat = Callable[[], None]
"""Called while there is progress that shows no frame."""


def probe(
    path: Path, limits: Limits, assumed_fps: float, beat: Beat = lambda: None, *, with_decord: bool = True
) -> VideoFacts:
    """As `frames.probe`, in this process."""
    if path.is_dir():
        return probe_folder(path, limits, assumed_fps, beat)
    _refuse_what_is_no_file(path)
    with _while_unchanged(path), reasons(path):
        facts, first_rgb = _open_first(path, limits)
        packets = _packets(path, _state(path), beat)
        frame_px = facts.width_px * facts.height_px
        refuse_long(path, len(packets.times_s), frame_px, _lasts_s(packets.times_s), limits)
        _refuse_cut_short(path, packets)
        if with_decord and _decord_reads(path, facts, first_rgb, packets):
            times_s, decoder = packets.times_s, decord_version()
        else:
            times_s, decoder = _times_of_av(path, limits, frame_px, beat), av_version()
    if not len(times_s):
        raise VideoError("corrupt", f"{name_of(path)} holds a video stream but no frame of it decodes")
    last_step_s = packets.last_step_s or (float(times_s[-1] - times_s[-2]) if len(times_s) > 1 else 0.0)
    duration_s = float(times_s[-1] - times_s[0]) + last_step_s
    mean_fps = len(times_s) / duration_s if duration_s > 0 else 0.0
    return replace(facts, duration_s=duration_s, num_frames=len(times_s), mean_fps=mean_fps, decoder=decoder)


def read(path: Path, decoder: str, assumed_fps: float, beat: Beat = lambda: None) -> Iterator[Frame]:
    """As `frames.read_frames`, in this process."""
    if path.is_dir():
        yield from read_folder(path, assumed_fps, beat)
        return
    _refuse_what_is_no_file(path)
    with _while_unchanged(path), reasons(path):
        yield from _read_with_decord(path, beat) if decoder == decord_version() else _read_with_av(path, beat)


# --- the file


def _refuse_what_is_no_file(path: Path) -> None:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # asked before it is opened: opening a named pipe waits for ever
            raise VideoError("not_a_file", f"{name_of(path)} is a pipe or a device")
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        reason = "not_a_file" if error.errno == errno.ELOOP else "unreadable"
        raise VideoError(reason, f"{error.strerror}: {name_of(path)}") from error
    if facts.st_size == 0:
        raise VideoError("empty_file", f"{name_of(path)} has no bytes")


State = tuple[int, int, int]


def _state(path: Path) -> State | None:
    """Which file it is and when it was changed, None where it is gone."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


@contextmanager
def _while_unchanged(path: Path) -> Iterator[None]:
    """What is read of a file that changes meanwhile is of neither version: refuse it, whatever else was seen."""
    before = _state(path)
    try:
        yield
    except VideoError as error:
        if _state(path) != before:
            raise VideoError("file_changed", f"{name_of(path)} was changed while it was read") from error
        raise
    if _state(path) != before:
        raise VideoError("file_changed", f"{name_of(path)} was changed while it was read")


# --- the container


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    import av
    from av.stream import Disposition

    # An absolute path cannot be taken for the address of another protocol.
    name = os.path.abspath(path)  # noqa: PTH100  # Path.absolute keeps `..`, which is the same to us; this is text
    with av.open(name, options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}) as container:
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream) or stream.disposition & Disposition.attached_pic:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
            cover = " (a cover picture)" if stream is not None else ""
            raise VideoError("no_video_stream", f"{name_of(path)} has no video stream; its streams: {kinds}{cover}")
        yield container, stream


def _open_first(path: Path, limits: Limits) -> tuple[VideoFacts, NDArray[np.uint8]]:
    """What the container says, and the first picture as it is displayed."""
    import av

    try:
        with _opened(path) as (container, stream):
            refuse_large(name_of(path), stream.width, stream.height, limits)
            stream.codec_context.options = {"max_pixels": str(limits.max_frame_px)}
            first = next(container.decode(stream), None)
            if first is None:
                raise VideoError("corrupt", f"{name_of(path)} holds a video stream but no frame of it decodes")
            refuse_large(name_of(path), first.width, first.height, limits)
            rgb = _displayed(first, _Look.of(first))
            facts = VideoFacts(
                duration_s=0.0,
                num_frames=0,
                mean_fps=0.0,
                width_px=rgb.shape[1],
                height_px=rgb.shape[0],
                rotation_deg=int(first.rotation),
                codec=stream.codec_context.name,
                container=container.format.name,
                has_audio=bool(container.streams.audio),
                decoder="",
            )
    except (av.error.InvalidDataError, av.error.ArgumentError) as error:  # the second where no demuxer may open it
        if _looks_like_a_container(path):
            raise VideoError("corrupt", f"{name_of(path)} begins like a video and cannot be opened") from error
        raise VideoError("not_a_video", f"{name_of(path)} is no media container that is known") from error
    return facts, rgb


def _looks_like_a_container(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" or start.startswith(CONTAINER_STARTS)


@dataclass(frozen=True)
class _Packets:
    """What the packets of a video stream say, read without decoding them."""

    times_s: NDArray[np.float64]
    """[T] presentation times, sorted."""

    last_step_s: float
    """How long the last packet is to be shown."""

    num_declared: int
    """Frames that the header announces, 0 where it does not."""

    declared_s: float
    """Presentation time at which the header says that the video ends; minus infinity where it does not."""

    is_last_damaged: bool
    has_new_headers: bool


@lru_cache(maxsize=1)  # a video is read twice in a row, and both readings need the times
def _packets(path: Path, state: State, beat: Beat) -> _Packets:
    with _opened(path) as (container, stream):
        times: list[float] = []
        end_s, last_step_s, is_damaged, has_new_headers = -np.inf, 0.0, False, False
        num_declared, declared_s = stream.frames, _declared_end_s(container, stream)
        for packet in container.demux(stream):
            beat()
            if not packet.size or packet.pts is None:
                continue
            times.append(float(packet.pts * packet.time_base))
            is_damaged = packet.is_corrupt and container.format.name != "mpegts"  # a broadcast begins and ends anywhere
            has_new_headers |= packet.has_sidedata("new_extradata")
            if times[-1] > end_s:
                end_s, last_step_s = times[-1], float((packet.duration or 0) * packet.time_base)
    times_s = np.sort(np.array(times, dtype=np.float64))
    return _Packets(times_s, last_step_s, num_declared, declared_s, is_damaged, has_new_headers)


def _declared_end_s(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if "matroska" not in container.format.name:  # in others FFmpeg guesses a duration from the bit rate
        return -np.inf
    if match := re.fullmatch(r"(\d{1,6}):(\d{1,2}):(\d{1,2}(?:\.\d*)?)", stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = match.groups()
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else -np.inf  # else that of the sound


def _refuse_cut_short(path: Path, packets: _Packets) -> None:
    """A file cut short decodes without an error, so its header must tell.

    A count that is too high is no proof: AVI and MP4 count pictures that were dropped in recording, though they are not
    there, and edit lists hide pictures. So the time counts: what ends when its header says that it ends is whole, with
    as many frames as there are. Without a declared count only Matroska's declared end is trusted.
    """
    times_s = packets.times_s
    if packets.is_last_damaged:
        raise VideoError("corrupt", f"{name_of(path)} ends in the middle of a frame: the file is cut short")
    if not len(times_s) or (packets.num_declared and packets.num_declared <= len(times_s)):
        return
    missing_s = packets.declared_s - float(times_s[-1]) - packets.last_step_s
    tolerance_s = max(0.1, 2 * float(np.median(np.diff(times_s)))) if len(times_s) > 1 else 0.1
    if missing_s > tolerance_s:
        holds = f"holds {len(times_s)} frames and ends {missing_s:.2f} s before its declared end"
        raise VideoError("corrupt", f"{name_of(path)} {holds}: the file is cut short")


# --- decord


def _decord_reads(path: Path, facts: VideoFacts, first_rgb: NDArray[np.uint8], packets: _Packets) -> bool:
    """Whether decord gives each frame the time that the container states, and the same first picture as PyAV.

    With an edit list decord's times start below zero and its frame numbers point at other frames. On rotated pictures,
    and on widths that are padded, it may fail. AV1 and broken indexes it cannot open.
    """
    times_s = packets.times_s
    if facts.rotation_deg or facts.container in NOT_DECORDS_CONTAINERS or facts.codec in NOT_DECORDS_CODECS:
        return False
    if packets.has_new_headers or not len(times_s) or times_s[0] < 0 or (np.diff(times_s) <= 0).any():
        return False
    try:
        reader = _open_decord(path)
        if len(reader) != len(times_s):
            return False
        seen_s = reader.get_frame_timestamp(range(len(times_s)))[:, 0]
        rgb = reader.get_batch([0]).asnumpy()[0]  # as it is read later; `reader[0]` fails where rows are padded
    except Exception:  # whatever decord cannot open, PyAV is asked next
        return False
    if np.abs(seen_s - times_s).max() >= 1e-3 or rgb.shape != first_rgb.shape:
        return False
    return bool(np.abs(rgb.astype(np.int16) - first_rgb).mean() <= SAME_PICTURE)


def _open_decord(path: Path) -> Any:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    # One thread a reader: shards are what runs side by side. A reader is never shared between threads (it aborts).
    return decord.VideoReader(os.path.abspath(path), num_threads=1)  # noqa: PTH100


def _read_with_decord(path: Path, beat: Beat) -> Iterator[Frame]:
    times_s = _packets(path, _state(path), beat).times_s  # decord's own are float32
    reader = _open_decord(path)
    if len(reader) != len(times_s):
        raise VideoError("corrupt", f"{name_of(path)}: decord counts {len(reader)} frames of {len(times_s)}")
    start, size = 0, 1
    while start < len(reader):
        beat()
        indices = list(range(start, min(start + size, len(reader))))
        pictures = reader.get_batch(indices).asnumpy()
        for index, rgb in zip(indices, pictures, strict=True):
            yield Frame(index, float(times_s[index]), rgb)
        start += len(indices)
        size = max(1, min(DECORD_BATCH, DECORD_BATCH_BYTES // pictures[0].nbytes))


# --- PyAV


@dataclass(frozen=True)
class _Look:
    """How the first frame is shown, and so every frame: size in pixels as stored, rotation in degrees."""

    width: int
    height: int
    rotation: int

    @classmethod
    def of(cls, frame: av.VideoFrame) -> _Look:
        return cls(frame.width, frame.height, frame.rotation)


def _read_with_av(path: Path, beat: Beat) -> Iterator[Frame]:
    for index, (time_s, frame, look) in enumerate(_frames_of_av(path, beat)):
        yield Frame(index, time_s, _displayed(frame, look))


def _lasts_s(times_s: NDArray[np.float64] | Sequence[float]) -> float:
    return float(times_s[-1] - times_s[0]) if len(times_s) else 0.0


def _times_of_av(path: Path, limits: Limits, frame_px: int, beat: Beat) -> NDArray[np.float64]:
    times_s: list[float] = []
    for time_s, _, _ in _frames_of_av(path, beat):
        times_s.append(time_s)
        refuse_long(path, len(times_s), frame_px, _lasts_s(times_s), limits)
    return np.array(times_s, dtype=np.float64)


def _frames_of_av(path: Path, beat: Beat) -> Iterator[tuple[float, av.VideoFrame, _Look]]:
    """The frames that have a time of their own, not yet converted."""
    with _opened(path) as (container, stream):
        # AVI states no presentation times: with B-frames those that FFmpeg guesses are right as a set, not in order.
        own_s = _packets(path, _state(path), beat).times_s if container.format.name == "avi" else None
        last_s, look, num_seen = -np.inf, None, 0
        for number, frame in enumerate(container.decode(stream)):
            beat()
            look = look or _Look.of(frame)
            refuse_distorting(path, f"frame {number}", (frame.width, frame.height), (look.width, look.height))
            time_s = frame.time if own_s is None else float(own_s[number]) if number < len(own_s) else None
            if time_s is not None and time_s < last_s - CLOCK_JUMP_S:
                detail = f"{name_of(path)}: the times jump back from {last_s:.2f} to {time_s:.2f} s at frame {number}"
                raise VideoError("no_times", detail)
            if time_s is not None and time_s > last_s:
                yield time_s, frame, look
                last_s, num_seen = time_s, num_seen + 1
        if look is not None and not num_seen:
            raise VideoError("no_times", f"{name_of(path)}: its frames have no presentation times")


def _displayed(frame: av.VideoFrame, look: _Look) -> NDArray[np.uint8]:
    """RGB [H, W, 3] of the frame, scaled to the first frame's size and turned upright."""
    stored = frame.to_ndarray(format="rgb24", width=look.width, height=look.height)
    return np.ascontiguousarray(np.rot90(stored, look.rotation // 90), dtype=np.uint8)


# --- the process


class _StopError(BaseException):
    """The frames are no longer wanted. No Exception, because those are taken for damage of the file."""


class _Service:
    """Answers one request after the other; the only user of the process's standard streams."""

    def __init__(self) -> None:
        self._answers = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries that print must not print among the frames
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._ahead: queue.Queue[tuple[dict[str, Any], NDArray[np.uint8] | None]] = queue.Queue(FRAMES_AHEAD)
        self._number = self._stopped = 0
        self._last_answer_s = time.monotonic()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._write, daemon=True).start()

    def run(self) -> NoReturn:
        """Until the standard input ends."""
        self._put({"kind": "alive"})
        while True:
            request = self._requests.get()
            self._number = request["number"]
            self._put(self._answer(request))

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer all but the last message, and return that."""
        path, limits = Path(request["path"]), Limits(**request["limits"])
        try:
            _limit_memory(limits.memory_bytes)
            if request["do"] == "probe":
                facts = probe(path, limits, request["assumed_fps"], self._beat, with_decord=request["with_decord"])
                self._put({"kind": "facts", "facts": asdict(facts)})
            else:
                for frame in read(path, request["decoder"], request["assumed_fps"], self._beat):
                    message = {"kind": "frame", "index": frame.index, "time_s": frame.time_s, "shape": frame.rgb.shape}
                    self._put(message, frame.rgb)
        except _StopError:
            return {"kind": "end"}
        except VideoError as error:
            return {"kind": "refused", "reason": error.reason, "detail": error.detail}
        except Exception as error:  # a defect of ours, which the other side raises
            return {"kind": "failed", "detail": in_words(error)}
        return {"kind": "end"}

    def _beat(self) -> None:
        if self._stopped == self._number:
            raise _StopError
        if time.monotonic() > self._last_answer_s + 1:
            self._put({"kind": "alive"})

    def _put(self, message: dict[str, Any], rgb: NDArray[np.uint8] | None = None) -> None:
        self._ahead.put((message, rgb))
        self._last_answer_s = time.monotonic()

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            request = json.loads(line)
            if request["do"] == "stop":
                self._stopped = request["number"]
            else:
                self._requests.put(request)
        os._exit(0)  # nobody is there any more; what the main thread does need not end

    def _write(self) -> None:
        try:
            while True:
                message, rgb = self._ahead.get()
                text = json.dumps(message).encode()
                self._write_all(memoryview(HEADER.pack(len(text)) + text))
                if rgb is not None:
                    self._write_all(memoryview(rgb.reshape(-1)))  # type: ignore[arg-type]  # NumPy is a buffer
        except OSError:
            os._exit(0)

    def _write_all(self, rest: memoryview) -> None:
        while rest:
            rest = rest[os.write(self._answers, rest) :]


def _limit_memory(most_bytes: int) -> None:
    with suppress(ImportError, ValueError, OSError):  # not every system has the limit, or lets it be raised again
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most_bytes, hard))


def _confine() -> None:
    """Take from this process what a decoder never needs. For good: the limits cannot be raised again.

    No picture of its memory is left behind by a crash, for it holds faces; no large file is written, not many are open,
    and no program that it could start has other rights.
    """
    with suppress(ImportError, ValueError, OSError):  # not every system has all of them
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_WRITTEN_BYTES, MOST_WRITTEN_BYTES))
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _end_with(parent_pid: int) -> None:
    """End when the parent is killed, even while a decoder holds the interpreter and nobody sees the input end."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:
            os._exit(0)


if __name__ == "__main__":
    _end_with(int(sys.argv[1]))
    _confine()
    _Service().run()
