"""prefect.yaml against a real Prefect server: it deploys, a process worker runs it, and its schedule schedules."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flows.prefect_api import PrefectServer
from pipeline.inspection.corpus import Corpus
from tests.answer_server import MODEL, AnswerServer

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
    response = httpx.post(f"{api}/{path}", json=body, timeout=30)
    response.raise_for_status()
    return response.json()


@pytest.mark.server
@pytest.mark.timeout(600)
def test_the_deployment_runs_once_on_a_process_worker(
    api: str, prefect: Callable[..., str], clips: Path, tmp_path: Path, answers: AnswerServer
) -> None:
    prefect("work-pool", "create", "cpu", "--type", "process", "--overwrite")
    assert "successfully created" in prefect("deploy", "--all")
    root = tmp_path / "corpus"
    parameters = {
        "source": str(clips),
        "root": str(root),
        "config": {"descriptions": {"model": MODEL}},
        "resources": {"server": answers.address},
    }
    (deployment,) = ask(api, "deployments/filter")
    run = ask(api, f"deployments/{deployment['id']}/create_flow_run", parameters=parameters)

    prefect("worker", "start", "--pool", "cpu", "--run-once")

    ended = httpx.get(f"{api}/flow_runs/{run['id']}", timeout=30).json()
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    assert Corpus(root).snapshot.counts["descriptions"] == 2
    assert len(answers.requests) == 2


@pytest.mark.server
@pytest.mark.timeout(600)
def test_a_cron_line_really_schedules_runs(api: str, prefect: Callable[..., str], tmp_path: Path) -> None:
    """With SQLAlchemy 2.1 the scheduler fails without a word and this stays at none."""
    prefect("work-pool", "create", "cpu", "--type", "process", "--overwrite")
    written = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())
    (deployment,) = written["deployments"]
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
    assert {run["expected_start_time"][11:19] for run in scheduled} == {"02:00:00"}
