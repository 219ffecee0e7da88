"""Measure whether memory stays flat and speed the same from a short video to a long one.

    python bench/length.py                  # 20 s and 20 min; takes some ten minutes
    python bench/length.py --minutes 2

The long video is a real clip, repeated without encoding it again. Each is probed, tracked and measured in a process of
its own, which looks at it from the first byte to the last written row. Peak memory is the largest sum of resident set
sizes of that process and all below it, looked at ten times a second. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.walk import BuildConfig

CLIP = "WolfgangLanger_Pexels.mp4"


@dataclass(frozen=True)
class Figures:
    """What one video took: its frames and length, seconds of each stage, and the largest memory."""

    num_frames: int
    duration_s: float
    num_tracks: int
    stages_s: dict[str, float]
    peak_bytes: int


def machine() -> str:
    """Processor, number of cores, Python, in a sentence that goes above every table."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux
    return f"Machine: {model}, {_num_cores()} cores, {platform.system()}, Python {platform.python_version()}."


def _num_cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_stages(
    source: Path, root: Path, config: BuildConfig | None = None, *, workers: int = 1, buckets: int = 16
) -> dict[str, float]:
    """Probe, track and measure the videos of `source` into a corpus at `root`; seconds of the clock for each stage.

    Without a scheduler. Committed, so that the corpus can be read.
    """
    from pipeline.actions.stage import MEASURE_ACTIONS
    from pipeline.stage import Resources
    from pipeline.store import Store
    from pipeline.tracks.stage import EXTRACT_TRACKS
    from pipeline.videos.sources import source_folder
    from pipeline.videos.stage import PROBE_VIDEOS
    from pipeline.walk import BuildConfig, open_walk

    walk = open_walk(Store.open_or_create(root, buckets), source, config or BuildConfig())
    resources = Resources(source=source_folder(source), workers=workers)
    stages_s = {}
    with ThreadPoolExecutor(workers) as pool:
        for stage in (PROBE_VIDEOS, EXTRACT_TRACKS, MEASURE_ACTIONS):
            began = time.monotonic()
            list(pool.map(partial(walk.run, stage, resources=resources), walk.take_settled(stage)))
            stages_s[stage.name] = time.monotonic() - began
    walk.commit(source)
    return stages_s


def repeat_video(source: Path, target: Path, seconds: float) -> None:
    """Write `source`'s video stream to `target` again and again until it lasts `seconds`; nothing is encoded anew."""
    import av

    with av.open(str(target), "w") as written, av.open(str(source)) as template:
        like = template.streams.video[0]
        stream, tick_s = written.add_stream_from_template(like), float(like.time_base or 1)
        offset = 0
        while not offset or offset * tick_s < seconds:
            with av.open(str(source)) as read:
                packets = [packet for packet in read.demux(video=0) if packet.size]
                starts = offset - min(packet.dts or 0 for packet in packets)
                offset += sum(packet.duration or 0 for packet in packets)
                for packet in packets:
                    packet.pts, packet.dts = (packet.pts or 0) + starts, (packet.dts or 0) + starts
                    packet.stream = stream
                    written.mux(packet)


def measure(video: Path) -> Figures:
    """Run the stages on one video in a process of its own, and watch its memory."""
    with tempfile.TemporaryDirectory(prefix="facescribe-bench-") as root:
        command = [sys.executable, str(Path(__file__).resolve()), "--inside", str(video), root]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        watch = TreeMemory(child.pid)
        said, _ = child.communicate()
        peak_bytes = watch.stop()
    if child.returncode:
        raise SystemExit(f"{video.name}: the stages failed, see above")
    return Figures(peak_bytes=peak_bytes, **json.loads(said.splitlines()[-1]))


class TreeMemory:
    """The largest sum of resident set sizes of a process and all below it, looked at ten times a second."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak_bytes = pid, 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The largest sum so far, in bytes."""
        self._is_over.set()
        self._thread.join()
        return self._peak_bytes

    def _watch(self) -> None:
        import psutil

        while not self._is_over.wait(0.1):
            total = 0
            try:
                top = psutil.Process(self._pid)
                for process in [top, *top.children(recursive=True)]:
                    total += process.memory_info().rss
            except psutil.Error:
                pass  # one of them has just ended
            self._peak_bytes = max(self._peak_bytes, total)


def _inside(video: Path, root: Path) -> dict[str, Any]:
    """What the process of one video says at its end."""
    from pipeline.inspection.corpus import Corpus

    stages_s = run_stages(video, root)
    videos = Corpus(root).arrow("videos", ["num_frames", "duration_s"]).to_pylist()
    return {**videos[0], "num_tracks": Corpus(root).arrow("tracks", ["track_id"]).num_rows, "stages_s": stages_s}


def main() -> None:
    """Make both videos, measure both, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="length of the long video")
    parser.add_argument("--inside", nargs=2, type=Path, metavar=("VIDEO", "ROOT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(_inside(*arguments.inside)))
        return

    from pipeline.assets import fetch

    clip = fetch(CLIP)
    print(f"{machine()}\n")
    print(
        "| video | frames | tracks | probe, s | tracks, s | actions, s | source frames per second | peak memory, MiB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    peaks = []
    with tempfile.TemporaryDirectory(prefix="facescribe-bench-") as folder:
        for seconds in (0.0, 60 * arguments.minutes):
            video = Path(folder, f"{clip.stem}_{seconds:.0f}s{clip.suffix}")
            repeat_video(clip, video, seconds)
            got = measure(video)
            peaks.append(got.peak_bytes)
            stages = " | ".join(f"{stage_s:.1f}" for stage_s in got.stages_s.values())
            fps = got.num_frames / sum(got.stages_s.values())
            row = f"| {got.duration_s:.0f} s | {got.num_frames} | {got.num_tracks} | {stages} | {fps:.0f} |"
            print(f"{row} {got.peak_bytes / 2**20:.0f} |", flush=True)
            video.unlink()
    print(f"\nPeak memory of the long video over that of the short one: {peaks[1] / peaks[0]:.2f}.")


if __name__ == "__main__":
    main()
