"""How a command ends: its exit codes, and one line on standard error."""

from __future__ import annotations

import sys
from typing import NoReturn

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


def fail(message: str, code: int) -> NoReturn:
    """End the command with a line that says why."""
    from pipeline.inspection.page import name_unseen  # here, so that `--help` does not load templates

    print(f"facescribe: {name_unseen(message)}", file=sys.stderr)
    raise SystemExit(code)
