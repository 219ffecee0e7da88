"""Run two nights unattended, with the real language-model server killed in the middle of each: does every text come?

    python bench/nights.py                          # prints a table in Markdown; takes some six minutes
    python bench/nights.py --pages docs/scheduling  # also takes the pictures of Prefect's pages there; needs Chromium

A Prefect server, workers of both pools and every deployment of prefect.yaml work on the demo's clips. In the second
night one video is gone and two are new. Each night the server (`facescribe serve`) is killed with `kill -9` while it
works on questions, and started again ten seconds later. No other vLLM should run on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image

from flows.artifacts import corpus_name
from flows.demo import demo_folder
from pipeline.inspection.corpus import Corpus
from pipeline.local_server import HOST, LocalServer, free_port

REPOSITORY = Path(__file__).parents[1]
COMES_LATER = ("close_up.mp4", "face_enters.mov")
LEAVES = "talking.mp4"
DEAD_S = 10.0


class PrefectWithPages(LocalServer):
    """`prefect server start`, as a user starts it."""

    health_path = "/api/health"

    def command(self) -> list[str]:
        """On a free port."""
        return [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        """With a database of its own; the pages must be told of a port that is not the usual one."""
        return {
            "PREFECT_HOME": str(self.log_path.parent),
            "PREFECT_UI_API_URL": f"{self.origin}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }


class LanguageModel:
    """`facescribe serve` in a process of its own, to be killed."""

    def __init__(self, log_path: Path) -> None:
        self.port, self._log_path = free_port(), log_path
        self.address = f"http://{HOST}:{self.port}/v1"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "flows", "serve", "--port", str(self.port)]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
        while self._process.poll() is None:
            try:
                httpx.get(f"{self.address}/models", timeout=2)
                return
            except httpx.TransportError:
                time.sleep(1)
        raise RuntimeError(f"the language model did not come up: see {self._log_path}")

    def is_busy(self) -> bool:
        """Whether it is at work on a question."""
        metrics = httpx.get(f"http://{HOST}:{self.port}/metrics", timeout=10).text
        running = [line for line in metrics.splitlines() if line.startswith("vllm:num_requests_running")]
        return any(float(line.rsplit(" ", 1)[1]) > 0 for line in running)

    def kill(self) -> None:
        """`kill -9` to every process of it."""
        if self._process is not None:
            processes = [*psutil.Process(self._process.pid).children(recursive=True), self._process]
            for process in processes:
                process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


class Schedule:
    """The Prefect server with workers and deployments."""

    def __init__(self, server: PrefectWithPages, folder: Path) -> None:
        self.origin, self.api = server.origin, f"{server.origin}/api"
        self._folder = folder
        self._environment = os.environ | {"PREFECT_API_URL": self.api, "PREFECT_HOME": str(folder / "worker")}

    def prefect(self, *arguments: str) -> None:
        """Run the `prefect` command to its end."""
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        subprocess.run(command, cwd=REPOSITORY, env=self._environment, check=True, capture_output=True)

    @contextmanager
    def worker(self, pool: str) -> Iterator[None]:
        """A worker of a pool while the context is open."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
        with (self._folder / f"worker-{pool}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=REPOSITORY, env=self._environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=15)
            process.kill()  # where Ctrl-C is ignored, a worker hands SIGTERM on as such and stays
            process.wait()

    def ask(self, path: str, **body: Any) -> Any:
        """Ask the server; a locked SQLite is asked again, as Prefect's own clients do."""
        while (response := httpx.post(f"{self.api}/{path}", json=body, timeout=60)).status_code == 503:
            time.sleep(1)
        return response.raise_for_status().json()

    def deployment(self, name: str) -> str:
        """The id of a deployment."""
        return str(self.ask("deployments/filter", deployments={"name": {"any_": [name]}})[0]["id"])

    def state(self, run: str) -> dict[str, Any]:
        """The state of a run."""
        found: dict[str, Any] = httpx.get(f"{self.api}/flow_runs/{run}", timeout=60).json()["state"]
        return found

    def artifact(self, run: str, key: str) -> dict[str, Any]:
        """The last artifact of a run under a key."""
        wanted = {"key": {"any_": [key]}, "flow_run_id": {"any_": [run]}}
        found: dict[str, Any] = self.ask("artifacts/filter", artifacts=wanted, sort="CREATED_DESC")[0]
        return found


class Pictures:
    """Pictures of Prefect's pages, or none."""

    def __init__(self, origin: str, folder: Path | None, stack: ExitStack) -> None:
        self._origin, self._folder = origin, folder
        if folder is not None:
            from playwright.sync_api import sync_playwright

            folder.mkdir(parents=True, exist_ok=True)
            driver = stack.enter_context(sync_playwright())
            browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            self._page = browser.new_page(viewport={"width": 1120, "height": 760})
            self._page.add_init_script("localStorage.setItem('color-scheme', '\"light\"')")

    def take(
        self, name: str, page: str, *, click: str | None = None, scroll: str | None = None, height: int = 760
    ) -> None:
        """Take one, of a page; first open the tab `click`, and scroll to the words `scroll`."""
        if self._folder is None:
            return
        self._page.set_viewport_size({"width": 1120, "height": height})
        self._page.goto(f"{self._origin}{page}")
        self._page.wait_for_timeout(4000)
        if click is not None:
            self._page.get_by_text(click, exact=True).last.click()
            self._page.wait_for_timeout(2000)
        if scroll is not None:
            self._page.get_by_text(scroll, exact=True).first.scroll_into_view_if_needed()
        self._page.wait_for_timeout(1000)
        path = self._folder / f"{name}.png"
        self._page.screenshot(path=path)
        Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Run the nights and print what each pass did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=Path, help="folder for pictures of Prefect's pages")
    pages: Path | None = parser.parse_args().pages
    folder = Path(tempfile.mkdtemp(prefix="facescribe-nights-"))
    try:
        with ExitStack() as stack:
            _run(folder, pages, stack)
    finally:
        shutil.rmtree(folder)


def _run(folder: Path, pages: Path | None, stack: ExitStack) -> None:
    videos, later, root = demo_folder(folder / "videos"), folder / "later", folder / "corpus"
    later.mkdir()
    for name in COMES_LATER:
        (videos / name).rename(later / name)
    (folder / "prefect").mkdir()
    server = stack.enter_context(PrefectWithPages(folder / "prefect" / "server.log"))
    model = LanguageModel(folder / "model.log")
    stack.callback(model.kill)
    model.start()
    server.wait_until_ready(120)
    schedule, pictures = Schedule(server, folder), Pictures(server.origin, pages, stack)
    for pool in ("cpu", "gpu"):
        schedule.prefect("work-pool", "create", pool, "--type", "process")
        stack.enter_context(schedule.worker(pool))
    schedule.prefect("deploy", "--all")
    parameters = {
        "source": str(videos),
        "root": str(root),
        "resources": {"server": model.address, "request_attempts": 2},
        "num_canaries": 4,
    }
    columns = ("pass", "snapshot", "units computed", "texts", "taken over", "tokens", "seconds", "left waiting")
    print(f"| night | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    told = []
    for night in (1, 2):
        if night == 2:
            (videos / LEAVES).unlink()
            for name in COMES_LATER:
                (later / name).rename(videos / name)
        run = schedule.ask(f"deployments/{schedule.deployment('nightly')}/create_flow_run", parameters=parameters)["id"]
        while not model.is_busy() and not _is_over(schedule.state(run)):
            time.sleep(0.1)
        model.kill()
        time.sleep(DEAD_S)
        if night == 2:
            pictures.take("run", f"/runs/flow-run/{run}", click="Artifacts", height=1000)
        model.start()
        while not _is_over(state := schedule.state(run)):
            time.sleep(1)
        passes = schedule.artifact(run, f"{corpus_name(root)}-passes")
        for row in json.loads(passes["data"]):
            print(f"| {night} | {' | '.join(str(row[name]) for name in columns)} |")
        told.append(f"night {night}: {state['name']}, {state['message']}")
    statuses = Corpus(root).descriptions()["status"].value_counts().to_dict()
    print("", *told, f"texts: {statuses}; rejects: {Corpus(root).snapshot.rejects}", sep="\n")
    _training(schedule)
    _take_pages(schedule, pictures, run, corpus_name(root))


def _training(schedule: Schedule) -> None:
    wanted = {"deployment_id": {"any_": [schedule.deployment("train-on-new-snapshot")]}}
    time.sleep(20)  # the trigger, the worker's poll, and the run
    runs = schedule.ask("flow_runs/filter", flow_runs=wanted, sort="EXPECTED_START_TIME_ASC")
    print(
        "trainings prepared:", ", ".join(f"of snapshot {r['parameters']['snapshot']}, {r['state_name']}" for r in runs)
    )


def _take_pages(schedule: Schedule, pictures: Pictures, run: str, corpus: str) -> None:
    pictures.take("deployments", "/deployments", height=640)
    pictures.take(
        "form", f"/deployments/deployment/{schedule.deployment('nightly')}/run", scroll="max_passes (Optional)"
    )
    for what in ("plan", "drift"):
        artifact = schedule.artifact(run, f"{corpus}-{what}")
        pictures.take(what, f"/artifacts/artifact/{artifact['id']}")
    pictures.take("automation", "/automations", height=400)


def _is_over(state: dict[str, Any]) -> bool:
    return state["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


if __name__ == "__main__":
    main()
