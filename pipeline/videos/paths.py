"""Write the path of a file as text that can be stored and printed, and find the file again by it."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")


def path_text(name: str) -> str:
    r"""A path as it is stored and printed: bytes that are no UTF-8, control characters and backslashes become `\xNN`.

    Thus every name is text that harms no terminal, and `path_of` finds the file again.
    """
    return _NOT_TEXT.sub(lambda found: "".join(f"\\x{byte:02X}" for byte in os.fsencode(found[0])), name)


def path_of(folder: Path, text: str) -> Path:
    """The file below `folder` whose stored path is `text`: what `path_text` did, undone."""
    name = re.sub(rb"\\x([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return folder / os.fsdecode(name)
