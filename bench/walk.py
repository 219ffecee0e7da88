"""Measure the walk on the demo's clips: frames per second by stage, share outside stages, no-op run, peak memory.

    python bench/walk.py            # prints a table in Markdown; takes some two minutes

Starts from an empty corpus, with the embedded language model. Weights and clips must be there (`facescribe assets
--fetch`), so that the network is not measured. Peak memory is that of the command's own process; the language-model
server's is given beside it, as the largest proportional set size seen of all its processes.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from flows.building import run_flow
from flows.demo import demo_folder
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Resources
from pipeline.walk import BuildConfig


class Descendants:
    """The largest proportional set size of all processes below this one, looked at twice a second."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._is_over.set()
        self._thread.join()
        return self.peak_bytes

    def _watch(self) -> None:
        import psutil

        while not self._is_over.wait(0.5):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak_bytes = max(self.peak_bytes, total)


def main() -> None:
    """Build, build again, and print what it took."""
    folder = Path(tempfile.mkdtemp(prefix="facescribe-bench-"))
    try:
        videos, root = demo_folder(folder / "videos"), folder / "corpus"
        servers = Descendants()
        began = time.monotonic()
        report = run_flow(videos, root, BuildConfig(), Resources(), 16)
        flow_s = time.monotonic() - began
        peak_servers = servers.stop()
        peak_own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        began = time.monotonic()
        command = [sys.executable, "-m", "flows", "build", str(videos), "--root", str(root)]
        again = subprocess.run(command, capture_output=True, text=True, check=True)
        again_s = time.monotonic() - began
        assert "nothing to do" in again.stdout, again.stdout

        frames = int(Corpus(root).videos()["num_frames"].sum())
        tracks = report.stages["extract_tracks"]
        in_stages_s = report.busy_s + report.language_model_wait_s
        print("| figure | value |\n|---|---|")
        for name, stage in report.stages.items():
            units = f"{stage.num_computed} units"
            print(f"| `{name}` | {units}, {stage.busy_s:.2f} s of the clock, {stage.work_s:.2f} s of work |")
        print(f"| waiting for the language-model server to start | {report.language_model_wait_s:.1f} s |")
        print(f"| source frames per second, track stage | {frames / tracks.busy_s:.0f} ({frames} frames, 2 workers) |")
        print(f"| flow | {report.wall_s:.1f} s; with starting and stopping Prefect's API {flow_s:.1f} s |")
        print(f"| outside stages, of the flow | {1 - in_stages_s / report.wall_s:.1%} |")
        print(f"| outside stages, of flow and Prefect's start and stop | {1 - in_stages_s / flow_s:.1%} |")
        print(f"| the same command again | {again_s:.2f} s |")
        print(f"| peak memory, own process | {peak_own / 2**20:.0f} MiB |")
        print(f"| peak memory, servers (vLLM and Prefect, PSS) | {peak_servers / 2**20:.0f} MiB |")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
