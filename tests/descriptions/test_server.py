from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import platformdirs
import pytest

from pipeline.descriptions.ask import Reply, Request, RequestRefused, ask_all, engine_version, list_models
from pipeline.descriptions.server import EmbeddedServer, ServerSettings
from pipeline.local_server import ServerError

READY_TIMEOUT_S = 280.0
GONE_TIMEOUT_S = 25.0

Found = TypeVar("Found")

OWNER = """
import sys, time
from pathlib import Path
from pipeline.descriptions.server import EmbeddedServer, ServerSettings
from pipeline.local_server import ServerError

folder, cache, log = map(Path, sys.argv[1:4])
server = EmbeddedServer(ServerSettings(folder, "tiny", cache, log))
server.start()
print(server.pid, flush=True)
server.wait_until_ready(280)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def settings(language_model_folder: Path, tmp_path: Path) -> ServerSettings:
    cache = platformdirs.user_cache_path("facescribe") / "tests" / "vllm"
    return ServerSettings(language_model_folder, "tiny", cache, tmp_path / "server.log")


def below(pid: int) -> list[int]:
    """The process and all that descend from it."""
    pids = [pid]
    for parent in pids:  # which grows meanwhile
        for thread in Path(f"/proc/{parent}/task").glob("*/children"):
            pids += [int(child) for child in thread.read_text().split()]
    return pids


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def left_of(pids: list[int]) -> list[int]:
    """Which of the processes still run after a while. One that ended and waits to be reaped does not run."""
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while (left := [pid for pid in pids if is_running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.server
@pytest.mark.timeout(420)
def test_it_starts_answers_by_a_schema_and_leaves_nothing(settings: ServerSettings) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "why": {"type": "string", "maxLength": 60}},
        "required": ["city", "why"],
        "additionalProperties": False,
    }
    question = [{"role": "user", "content": "Which city is the capital of France? Answer as JSON."}]
    asked = Request("tiny", question, schema, max_tokens=64)
    too_long = Request("tiny", [{"role": "user", "content": "smile " * 4000}])
    other_model = Request("huge", question)
    with EmbeddedServer(settings) as server:
        server.wait_until_ready(READY_TIMEOUT_S)
        assert server.pid is not None
        processes = below(server.pid)
        assert any("EngineCore" in name_of(pid) for pid in processes), "else this proves little"
        assert list_models(server.address) == ["tiny"]
        assert engine_version(server.address) == "0.32.0"

        answers = dict(ask_all([asked, too_long, asked], address=server.address, concurrency=2))
        other = dict(ask_all([other_model], address=server.address, concurrency=1))
    assert left_of(processes) == []

    first, refused, again = answers[0], answers[1], answers[2]
    assert isinstance(first, Reply)
    assert isinstance(again, Reply)
    assert first.finish_reason == "stop"
    assert set(json.loads(first.text)) == {"city", "why"}
    assert json.loads(first.text)["city"] in {"Paris", "Rome"}
    assert isinstance(refused, RequestRefused)
    assert "2048" in str(refused)
    assert "huge" in str(other[0])
    assert "HTTP 404" in str(other[0])


@pytest.mark.server
@pytest.mark.timeout(420)
@pytest.mark.parametrize("killed", ["owner", "supervisor"])
def test_kill_9_leaves_nothing(settings: ServerSettings, killed: str) -> None:
    paths = [str(path) for path in (settings.model_folder, settings.cache_folder, settings.log_path)]
    command = [sys.executable, "-c", OWNER, *paths]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            supervisor_pid = int(owner.stdout.readline())
            assert owner.stdout.readline() == "ready\n"
            processes = below(supervisor_pid)
            assert len(processes) >= 4, "supervisor, API server, engine, worker"
            os.kill(owner.pid if killed == "owner" else supervisor_pid, signal.SIGKILL)
            assert left_of(processes) == []
        finally:
            owner.kill()


# What follows needs no model: the server is another program in its place, so it takes no time.


@pytest.fixture
def replace_vllm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], ServerSettings]:
    """Settings whose `vllm` is a shell script instead."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")

    def settings_for(script: str) -> ServerSettings:
        program = tmp_path / "vllm"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr("pipeline.descriptions.server._vllm_program", lambda: program)
        return ServerSettings(tmp_path / "model", "tiny", tmp_path / "cache", tmp_path / "logs" / "server.log")

    return settings_for


def test_a_program_that_dies_is_an_error_with_the_end_of_its_log(
    replace_vllm: Callable[[str], ServerSettings],
) -> None:
    settings = replace_vllm("echo loading; echo 'out of memory' >&2; exit 3")
    with EmbeddedServer(settings) as server, pytest.raises(ServerError) as raised:
        server.wait_until_ready(20)
    for part in ("ended with status 3", str(settings.log_path), "loading", "out of memory"):
        assert part in str(raised.value)


def test_a_program_that_does_not_come_up_is_stopped(replace_vllm: Callable[[str], ServerSettings]) -> None:
    server = EmbeddedServer(replace_vllm("echo still loading; sleep 600 & sleep 600"))
    server.start()
    processes = wait_for(lambda: below(server.pid or 0), at_least=4)
    with pytest.raises(ServerError, match=r"did not answer within 0 s(.|\n)*still loading"):
        server.wait_until_ready(0.1)
    assert left_of(processes) == []
    assert server.pid is None


def test_children_that_ignore_sigterm_or_leave_the_group_are_ended_too(
    replace_vllm: Callable[[str], ServerSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.local_server.STOP_GRACE_S", 0.5)
    stubborn = "(trap '' TERM; while true; do sleep 0.1; done) & setsid sleep 600 & sleep 600"
    with EmbeddedServer(replace_vllm(stubborn)) as server:
        processes = wait_for(lambda: below(server.pid or 0), at_least=5)
    assert left_of(processes) == []


def test_the_programs_temporary_files_are_removed(
    replace_vllm: Callable[[str], ServerSettings], tmp_path: Path
) -> None:
    settings = replace_vllm('touch "$TMPDIR/left"; echo "$TMPDIR"; exec sleep 600')
    with EmbeddedServer(settings):
        (folder,) = wait_for(lambda: settings.log_path.read_text().split(), at_least=1)
        assert Path(folder).is_dir()
    assert not Path(folder).exists()


def test_only_a_vision_model_is_told_how_many_images_and_more_arguments_come_last(
    replace_vllm: Callable[[str], ServerSettings],
) -> None:
    settings = replace_vllm("exit 0")
    assert "--limit-mm-per-prompt" not in EmbeddedServer(settings).command()
    seeing = replace(settings, max_images=8, more_arguments=("--tensor-parallel-size", "2"))
    *arguments, last_but_one, last = EmbeddedServer(seeing).command()
    assert arguments[arguments.index("--limit-mm-per-prompt") + 1] == '{"image": 8}'
    assert (last_but_one, last) == ("--tensor-parallel-size", "2")


def test_the_address_is_known_before_the_start_and_two_servers_differ(
    replace_vllm: Callable[[str], ServerSettings],
) -> None:
    settings = replace_vllm("exit 0")
    first, second = EmbeddedServer(settings), EmbeddedServer(settings)
    assert first.address.startswith("http://127.0.0.1:")
    assert first.address.endswith("/v1")
    assert first.address != second.address


def test_stop_may_be_called_at_any_time(replace_vllm: Callable[[str], ServerSettings]) -> None:
    server = EmbeddedServer(replace_vllm("exec sleep 600"))
    server.stop()
    server.start()
    with pytest.raises(ServerError, match="was started already"):
        server.start()
    server.stop()
    server.stop()
    with pytest.raises(ServerError, match=r"call start\(\) first"):
        server.wait_until_ready(1)


def test_a_taken_port_is_said_and_the_other_program_not_taken_for_ours(
    replace_vllm: Callable[[str], ServerSettings],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = EmbeddedServer(replace(replace_vllm("exec sleep 600"), port=port))
        with pytest.raises(ServerError, match=f"port {port} of 127.0.0.1 is taken"):
            server.start()
    assert server.pid is None


def test_a_missing_model_is_said_before_anything_starts(tmp_path: Path) -> None:
    server = EmbeddedServer(ServerSettings(tmp_path / "none", "tiny", tmp_path, tmp_path / "log"))
    with pytest.raises(ServerError, match="convert it first"):
        server.start()


def wait_for(look: Callable[[], list[Found]], *, at_least: int) -> list[Found]:
    deadline = time.monotonic() + 10
    while len(found := look()) < at_least:
        assert time.monotonic() < deadline, f"expected at least {at_least}, got {found}"
        time.sleep(0.05)
    return found
