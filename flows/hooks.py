"""How a night's end is told: what a page of Prefect says of it, an event, and a command of the user's."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.logging.loggers import flow_run_logger

from flows.artifacts import NIGHT_FAILED, emit, publish_of_run

COMMAND_TIMEOUT_S = 60.0


def tell_completed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The night did what it could; its own report says what."""
    _notify(flow_run, state, "completed")


def tell_failed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The night ended with an error that a person must look at."""
    _tell(flow_run, state, "failed", "Nothing that was computed is lost. See to the cause, then run it again.")


def tell_crashed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The process ended without a word: killed, out of memory, or the machine went down."""
    _tell(flow_run, state, "crashed", "Run it again: it goes on where it stopped. Was there too little memory?")


def tell_cancelled(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Someone cancelled the night."""
    _tell(flow_run, state, "cancelled", "Run it again when it suits: it goes on where it stopped.")


def _tell(flow_run: FlowRun, state: State[Any], how: str, what_to_do: str) -> None:
    root = str(flow_run.parameters["root"])
    words = f"# The night {how}\n\n{state.message or 'no message'}\n\n{what_to_do}"
    publish_of_run(root, "night", words, flow_run.id)
    emit(NIGHT_FAILED, root, {"facescribe.ended": how}, {"flow_run": str(flow_run.id), "message": state.message})
    _notify(flow_run, state, how)


def _notify(flow_run: FlowRun, state: State[Any], how: str) -> None:
    """Run the user's command, if there is one; that it fails is no failure of the night."""
    command = flow_run.parameters.get("notify_command")
    if not command:
        return
    told = {
        "ended": how,
        "message": state.message,
        "root": str(flow_run.parameters["root"]),
        "flow_run": str(flow_run.id),
        "name": flow_run.name,
    }
    try:
        subprocess.run(shlex.split(command), input=json.dumps(told), text=True, timeout=COMMAND_TIMEOUT_S, check=True)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        flow_run_logger(flow_run).error("notify_command failed: %s", error)
