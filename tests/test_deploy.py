"""The files under deploy/: what no engine here can run is at least read by what knows its language."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from flows.__main__ import app
from pipeline.stage import Resources

DEPLOY = Path(__file__).parents[1] / "deploy"
CONTAINERS = sorted((DEPLOY / "containers").iterdir())
SCRIPTS = sorted((DEPLOY / "slurm").glob("*.sh"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


@pytest.mark.parametrize("path", CONTAINERS, ids=lambda path: path.stem)
def test_the_linter_finds_nothing_in_a_container_file_and_it_runs_as_no_root(path: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    users = [line.split()[1] for line in path.read_text().splitlines() if line.startswith("USER ")]
    assert users[-1:] == ["1000"]
    assert ":latest" not in path.read_text()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_bash_ends_at_the_first_error_and_says_how_it_is_called(path: Path) -> None:
    done = subprocess.run([shutil.which("bash") or "bash", "-n", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "set -euo pipefail" in path.read_text()
    assert f"deploy/slurm/{path.name}" in path.read_text().split("set -euo")[0]


def test_what_the_build_script_asks_of_facescribe_exists() -> None:
    build: Any = get_command(app).commands["build"]  # type: ignore[attr-defined]
    known = {name for option in build.params for name in option.opts}
    words = (DEPLOY / "slurm" / "build.sh").read_text().split("facescribe build ")[-1].split()
    assert {word for word in words if word.startswith("--")} <= known
    assert Resources(runner="dask", cluster="tls://10.0.0.1:8786").cluster


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for one in yaml.safe_load_all(path.read_text()):
            yield f"{path.stem}: {one['kind']} {one['metadata']['name']}", one


@pytest.mark.parametrize(("name", "one"), list(objects()), ids=[name for name, _ in objects()])
def test_a_workload_asks_for_what_it_takes_and_for_no_rights(name: str, one: dict[str, Any]) -> None:
    assert set(one) <= {"apiVersion", "kind", "metadata", "spec"}
    if one["kind"] not in {"Deployment", "Job"}:
        return
    pod = one["spec"]["template"]["spec"]
    if one["kind"] == "Deployment":
        assert one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"]
    role = one["spec"]["template"]["metadata"]["labels"]["role"]
    mounted = {volume["name"] for volume in pod.get("volumes", ())}
    for container in pod["containers"]:
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) is (role in {"serving", "training"})
        assert container["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert not container["image"].endswith(":latest")
        assert {mount["name"] for mount in container.get("volumeMounts", ())} <= mounted
        # A worker that computes needs no key of a language model: the flow asks.
        keys = {source["secretRef"]["name"] for source in container.get("envFrom", ())}
        assert ("facescribe-serving" in keys) is (role in {"serving", "flow"})


def test_services_find_what_they_are_named_for() -> None:
    labels = [one["spec"]["template"]["metadata"]["labels"] for _, one in objects() if one["kind"] == "Deployment"]
    selectors = [one["spec"]["selector"] for _, one in objects() if one["kind"] == "Service"]
    assert selectors
    assert all(selector in labels for selector in selectors)
