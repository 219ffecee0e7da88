"""What every HTML page of ours has in common: hostile text stays text, and a file is there whole or not at all."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import jinja2
from markupsafe import Markup

from pipeline.inspection.panels import Gauge, Swing

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, those that turn the direction of text among them: what they do is not seen, so they are named."""


def html_environment(folder: Path) -> jinja2.Environment:
    """Templates of `folder`, and the panels that all pages share.

    Everything is escaped, a name that is not there is an error, what is not seen is named.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=name_unseen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["gauge"] = lambda cell: isinstance(cell, Gauge)
    environment.tests["swing"] = lambda cell: isinstance(cell, Swing)
    return environment


def name_unseen(value: Any) -> Any:
    """A value as a page shows it: in text, what is not seen and turns what stands beside it is named."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", value)
    return value


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that appears at `path` when everything is written, and not at all after an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with beside.open("x", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
