"""Write the audit as one HTML page that asks nothing of a network."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline.audit.panels import Gauge, panels_of
from pipeline.audit.report import AuditReport


def write_page(report: AuditReport, path: Path) -> Path:
    """Write the report as HTML at `path`, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_name_unseen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["gauge"] = lambda cell: isinstance(cell, Gauge)
    page = environment.get_template("report.html.j2").render(report=report, kinds=panels_of(report))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        beside.write_text(page, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _name_unseen(value: Any) -> Any:
    """Characters that are not seen, those that turn the direction of text among them, by their number."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return "" if value is None else value
    return "".join(letter if letter.isprintable() else f"⟨U+{ord(letter):04X}⟩" for letter in value)
