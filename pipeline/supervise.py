"""Run a program for as long as its owner lives, and leave none of its processes behind.

    python -I supervise.py OWNER_PID GRACE_S PROGRAM [ARGUMENT ...]

The server is several processes, and those of vLLM outlive a killed parent. This small one stands between the owner and
them: when the owner is gone (however it went), or asks with SIGTERM, or the program ends by itself, it ends the whole
process group and waits until every process is gone. It ends with the program's own exit status.

It is run by its path and isolated (`-I`), so it imports the standard library only and starts in milliseconds. Linux.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

LOOK_EVERY_S = 0.2

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def supervise(owner_pid: int, grace_s: float, command: list[str]) -> int:
    """Run `command` until it ends, `owner_pid` is no longer our parent, or SIGTERM; then end its group.

    The program's temporary folder is one of its own, removed at the end: vLLM leaves sockets and files in it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans of the program come to us, so we can wait for them
    asked_to_stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda got, _: asked_to_stop.append(got))

    with tempfile.TemporaryDirectory(prefix="facescribe-", ignore_cleanup_errors=True) as own_temporary:
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": own_temporary},
            start_new_session=True,
            # Should we be killed ourselves. Safe here: this process has one thread.
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0),  # noqa: PLW1509
        )
        # The parent is asked for, not a pipe: a forked sibling could hold a pipe's other end open after the owner died.
        while program.poll() is None and os.getppid() == owner_pid and not asked_to_stop:
            time.sleep(LOOK_EVERY_S)
        _end_group(program, grace_s)
    return program.returncode


def _end_group(program: subprocess.Popen[bytes], grace_s: float) -> None:
    """SIGTERM to the group, SIGKILL after the grace, and wait for all that came to us."""
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while _have_children(program) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    while _have_children(program):
        for pid in _children():  # and not the group: one that left the group is ours all the same
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK_EVERY_S)


def _have_children(program: subprocess.Popen[bytes]) -> bool:
    """Whether any process of the program is left; those that ended are reaped, the program's status is kept."""
    if program.poll() is None:
        return True
    with suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
    return False


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


if __name__ == "__main__":
    status = supervise(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
    sys.exit(status if status >= 0 else 128 - status)  # as a shell says "ended by this signal"
