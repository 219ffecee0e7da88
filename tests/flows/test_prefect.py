"""prefect.yaml against a real Prefect server: it deploys, a process worker runs it, and its schedule schedules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import prefect_api
from flows.artifacts import corpus_name
from flows.prefect_api import PrefectServer
from pipeline.inspection.corpus import Corpus
from pipeline.local_server import ServerError, free_port
from pipeline.training.manifest import Manifest
from pipeline.training.run_folder import RunFolder
from tests.answer_server import MODEL, AnswerServer, answering, join_notes
from tests.real_corpus import NUM_FRAMES, cut_clip
from tests.training_corpus import write_training_corpus

REPOSITORY = Path(__file__).parents[2]
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]


class ScheduledServer(PrefectServer):
    """A server with its services: the scheduler is what makes runs out of a cron line."""

    def environment(self) -> dict[str, str]:
        home = str(self.log_path.parent)
        return {"PREFECT_UI_ENABLED": "0", "PREFECT_HOME": home, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ScheduledServer(tmp_path_factory.mktemp("prefect") / "server.log") as server:
        server.wait_until_ready(120)
        yield f"{server.origin}/api"


def test_a_prefect_server_that_is_named_and_not_there_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_api, "ANSWER_TIMEOUT_S", 0.0)
    address = f"http://127.0.0.1:{free_port()}/api"
    with (
        temporary_settings({PREFECT_API_URL: address}),
        pytest.raises(ServerError, match=f"no Prefect server answers at PREFECT_API_URL = {address}.*or unset"),
        prefect_api.prefect_api(),
    ):
        pass


@pytest.fixture
def prefect(api: str, tmp_path: Path) -> Callable[..., str]:
    """Run the `prefect` command against the server; the words it prints."""
    environment = os.environ | {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "home"), "NO_COLOR": "1"}

    def run(*arguments: str, cwd: Path = REPOSITORY) -> str:
        command = [*PREFECT, *arguments]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def ask(api: str, path: str, **body: Any) -> Any:
    for _ in range(10):
        response = httpx.post(f"{api}/{path}", json=body, timeout=30)
        if (
            response.status_code != httpx.codes.SERVICE_UNAVAILABLE
        ):  # SQLite was locked: Prefect's clients ask again too
            break
        time.sleep(1)
    response.raise_for_status()
    return response.json()


@pytest.mark.server
@pytest.mark.timeout(600)
def test_the_deployment_runs_once_on_a_process_worker(
    api: str, prefect: Callable[..., str], clips: Path, tmp_path: Path, answers: AnswerServer
) -> None:
    for pool in ("cpu", "gpu"):
        prefect("work-pool", "create", pool, "--type", "process", "--overwrite")
    assert "successfully created" in prefect("deploy", "--all")
    root = tmp_path / "corpus"
    parameters = {
        "source": str(clips),
        "root": str(root),
        "config": {"descriptions": {"model": MODEL}},
        "resources": {"server": answers.address},
    }
    run = ask(api, f"deployments/{deployed(api, 'build')}/create_flow_run", parameters=parameters)

    prefect("worker", "start", "--pool", "cpu", "--run-once")

    ended = httpx.get(f"{api}/flow_runs/{run['id']}", timeout=30).json()
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    assert Corpus(root).snapshot.counts["descriptions"] == 2
    assert len(answers.requests) == 2


@pytest.mark.server
@pytest.mark.timeout(300)
def test_a_training_runs_on_the_pool_of_the_gpus(api: str, prefect: Callable[..., str], tmp_path: Path) -> None:
    prefect("work-pool", "create", "gpu", "--type", "process", "--overwrite")
    prefect("deploy", "--name", "train")
    write_training_corpus(tmp_path / "corpus")
    parameters = {
        "root": str(tmp_path / "corpus"),
        "runs": str(tmp_path / "runs"),
        "config": {"epochs": 1, "model": {"width": 16, "small_channels": 8, "heads": 2}},
        "resources": {"device": "cpu", "threads": 1},
    }
    run = ask(api, f"deployments/{deployed(api, 'train')}/create_flow_run", parameters=parameters)

    prefect("worker", "start", "--pool", "gpu", "--run-once")

    ended = httpx.get(f"{api}/flow_runs/{run['id']}", timeout=30).json()
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    (folder,) = (tmp_path / "runs").iterdir()
    assert RunFolder.open(folder).is_done
    assert artifact(api, run["id"], tmp_path / "corpus", "progress") == 100.0


@pytest.mark.server
@pytest.mark.timeout(600)
def test_a_cron_line_really_schedules_runs(api: str, prefect: Callable[..., str], tmp_path: Path) -> None:
    """With SQLAlchemy 2.1 the scheduler fails without a word and this stays at none."""
    prefect("work-pool", "create", "cpu", "--type", "process", "--overwrite")
    written = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    (deployment,) = written["deployments"] = [one for one in written["deployments"] if one["name"] == "nightly"]
    deployment["name"] = "nightly-on"
    deployment["schedules"][0]["active"] = True
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump(written))
    prefect("deploy", "--all", cwd=tmp_path)
    deadline = time.monotonic() + 150
    scheduled: list[Any] = []
    while not scheduled and time.monotonic() < deadline:
        time.sleep(2)
        scheduled = [
            run
            for run in ask(api, "flow_runs/filter", flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}})
            if run["auto_scheduled"]
        ]
    assert scheduled, "the scheduler made no run of an active cron schedule"
    assert {run["expected_start_time"][11:19] for run in scheduled} == {"01:00:00"}, "02:00 of Berlin in winter"


@pytest.fixture
def worker(api: str, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start process workers of a pool; they end with the test."""
    environment = os.environ | {"PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "home"), "NO_COLOR": "1"}
    started: list[subprocess.Popen[bytes]] = []

    def start(pool: str) -> subprocess.Popen[bytes]:
        command = [*PREFECT, "worker", "start", "--pool", pool]
        with (tmp_path / f"worker-{pool}.log").open("ab") as log:
            started.append(subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
    _, left = psutil.wait_procs([psutil.Process(process.pid) for process in started], timeout=15)
    for process in left:  # where Ctrl-C is ignored, a worker hands SIGTERM on as such and stays
        process.kill()
    for process in started:
        process.wait()


def deployed(api: str, name: str) -> str:
    (found,) = ask(api, "deployments/filter", deployments={"name": {"any_": [name]}})
    return str(found["id"])


def ended(api: str, flow_run_id: str, within_s: float = 150) -> dict[str, Any]:
    """The run, once it is over."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        run: dict[str, Any] = httpx.get(f"{api}/flow_runs/{flow_run_id}", timeout=30).json()
        if run["state"]["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}:
            return run
        time.sleep(1)
    raise AssertionError(f"still {run['state']} after {within_s} s")


def artifact(api: str, flow_run_id: str, root: Path, what: str) -> Any:
    """The data of the last artifact of this name that a run published; tables as rows."""
    found = ask(
        api,
        "artifacts/filter",
        artifacts={"key": {"any_": [f"{corpus_name(root)}-{what}"]}, "flow_run_id": {"any_": [flow_run_id]}},
        sort="CREATED_DESC",
    )
    assert found, f"no artifact {what} of this run"
    return json.loads(found[0]["data"]) if found[0]["type"] == "table" else found[0]["data"]


@pytest.mark.server
@pytest.mark.timeout(600)
def test_two_unattended_nights_the_second_with_other_videos_and_a_server_that_dies(
    api: str,
    prefect: Callable[..., str],
    worker: Callable[[str], subprocess.Popen[bytes]],
    clips: Path,
    assets: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    for pool in ("cpu", "gpu"):
        prefect("work-pool", "create", pool, "--type", "process", "--overwrite")
    prefect("deploy", "--all")
    worker("cpu"), worker("gpu")
    source, root, told = tmp_path / "videos", tmp_path / "corpus", tmp_path / "told.json"
    shutil.copytree(clips, source)
    port = free_port()
    parameters = {
        "source": str(source),
        "root": str(root),
        "config": {"descriptions": {"model": MODEL}},
        "resources": {"server": f"http://127.0.0.1:{port}/v1", "request_attempts": 2},
        "num_canaries": 2,
        "notify_command": f"tee {told}",
    }

    def night() -> str:
        return str(ask(api, f"deployments/{deployed(api, 'nightly')}/create_flow_run", parameters=parameters)["id"])

    with answering(port):
        first = ended(api, night_id := night())
    assert first["state"]["type"] == "COMPLETED", first["state"]
    assert Corpus(root).snapshot.counts["descriptions"] == 2
    counts = {row["table"]: row for row in artifact(api, night_id, root, "counts")}
    assert (counts["descriptions"]["before"], counts["descriptions"]["now"]) == (0, 2)
    assert {(row["reason"], row["units"]) for row in artifact(api, night_id, root, "rejects")} == {
        ("no_face", 1),
        ("not_a_video", 1),
    }

    (source / "talk.mp4").unlink()
    cut_clip(assets("single_face.mp4"), source / "smile_later.mp4", first=NUM_FRAMES)
    cut_clip(assets("carphone_pristine.mp4"), source / "talk_later.mp4", first=NUM_FRAMES)
    is_dying, is_dead = threading.Event(), threading.Event()

    def die_at_the_second_question(request: dict[str, Any]) -> str:
        if len(answers.requests) > 1:
            is_dying.set()
            is_dead.wait(60)
        return join_notes(request)

    with answering(port) as answers:
        answers.answer = die_at_the_second_question
        night_id = night()
        assert is_dying.wait(120), "the language model was never asked"
    is_dead.set()
    time.sleep(8)
    with answering(port):
        second = ended(api, night_id)

    assert second["state"]["type"] == "COMPLETED", second["state"]
    assert "2 passes" in second["state"]["message"]
    assert "waited for the language-model server" in second["state"]["message"]
    corpus = Corpus(root)
    assert corpus.snapshot.number == 3
    assert set(corpus.descriptions()["path"]) == {"man/smile.mp4", "talk_later.mp4", "smile_later.mp4"}
    assert set(corpus.descriptions()["status"]) == {"refined"}
    assert corpus.snapshot.rejects == {"no_face": 1, "not_a_video": 1}
    planned = {(row["stage"], row["cause"]): row["units"] for row in artifact(api, night_id, root, "plan")}
    assert planned["probe_videos", "new_video"] == "2"
    assert planned["probe_videos", "removed"] == "1"
    done = {row["stage"]: row for row in artifact(api, night_id, root, "planned-and-done")}
    assert done["probe_videos"]["computed"] == "2"
    assert artifact(api, night_id, root, "progress") == 100.0
    assert "canaries asked" in artifact(api, night_id, root, "night")
    assert "descriptions" in artifact(api, night_id, root, "drift")
    assert (root / "pages" / "gallery.html").is_file()
    assert (root / "pages" / "drift-000001-000003.html").is_file()
    assert json.loads(told.read_text())["ended"] == "completed"

    events = ask(api, "events/filter", filter={"event": {"name": ["facescribe.snapshot.committed"]}})["events"]
    ours = [event for event in events if event["payload"]["root"] == str(root)]
    assert {event["payload"]["number"]: event["resource"]["facescribe.is_described"] for event in ours} == {
        1: "true",
        2: "false",
        3: "true",
    }
    deployment = {"deployment_id": {"any_": [deployed(api, "train-on-new-snapshot")]}}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        training = ask(api, "flow_runs/filter", flow_runs=deployment)
        runs = {run["parameters"]["snapshot"]: run["id"] for run in training if run["parameters"]["root"] == str(root)}
        if 3 in runs:
            break
        time.sleep(1)
    assert set(runs) == {1, 3}, "a snapshot whose texts wait for a server is nothing to train on"
    assert all(ended(api, run_id)["state"]["type"] == "COMPLETED" for run_id in runs.values())
    manifest = Manifest.model_validate_json((root / "training" / "000003.json").read_bytes())
    assert manifest.num_clips == 3
    assert all((root / file.path).is_file() for files in manifest.files.values() for file in files)


@pytest.mark.server
@pytest.mark.timeout(300)
def test_a_second_night_is_told_of_the_first_and_may_begin_once_that_is_killed(
    api: str,
    prefect: Callable[..., str],
    worker: Callable[[str], subprocess.Popen[bytes]],
    clips: Path,
    tmp_path: Path,
    answers: AnswerServer,
) -> None:
    prefect("work-pool", "create", "cpu", "--type", "process", "--overwrite")
    prefect("deploy", "--name", "nightly")
    at_work = worker("cpu")
    root, told = tmp_path / "corpus", tmp_path / "told.json"
    parameters = {
        "source": str(clips),
        "root": str(root),
        "config": {"descriptions": {"model": MODEL}},
        "resources": {"server": answers.address},
        "notify_command": f"tee {told}",
    }
    create = f"deployments/{deployed(api, 'nightly')}/create_flow_run"
    answers.may_answer.clear()
    killed = str(ask(api, create, parameters=parameters)["id"])
    assert answers.asked.wait(120), "the language model was never asked"
    beside = ended(api, str(ask(api, create, parameters=parameters)["id"]))
    assert (beside["state"]["type"], beside["state"]["message"]) == (
        "CANCELLED",
        "Deployment concurrency limit reached.",
    )
    for process in psutil.Process(at_work.pid).children():
        process.kill()
    answers.may_answer.set()
    assert ended(api, killed)["state"]["type"] == "CRASHED"
    again = ended(api, str(ask(api, create, parameters=parameters)["id"]))

    assert again["state"]["type"] == "COMPLETED", again["state"]
    assert Corpus(root).snapshot.number == 1
    assert "# The night crashed" in artifact(api, killed, root, "night")
    events = ask(api, "events/filter", filter={"event": {"name": ["facescribe.nightly.failed"]}})["events"]
    (event,) = (event for event in events if event["payload"]["flow_run"] == killed)
    assert event["resource"]["facescribe.ended"] == "crashed"
    assert json.loads(told.read_text())["ended"] == "completed"
