"""Write the audit, and the drift between two snapshots, as HTML pages that ask nothing of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from pipeline.audit.changes import WHAT
from pipeline.audit.drift_panels import panels_of_drift, word_diff
from pipeline.audit.panels import panels_of
from pipeline.audit.report import AuditReport
from pipeline.audit.snapshot_drift import SnapshotDrift
from pipeline.inspection.page import html_environment, whole_file


def write_page(report: AuditReport, path: Path) -> Path:
    """Write the report as HTML at `path`, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    return _write(_environment(), "report.html.j2", path, report=report, kinds=panels_of(report))


def write_drift_page(report: SnapshotDrift, path: Path) -> Path:
    """Write the drift between two snapshots as HTML at `path`. Raises as `write_page`."""
    environment = _environment()
    environment.globals["word_diff"] = word_diff
    whats = (*WHAT, "same")
    return _write(environment, "drift.html.j2", path, report=report, panels=panels_of_drift(report), whats=whats)


def _environment() -> jinja2.Environment:
    return html_environment(Path(__file__).parent)


def _write(environment: jinja2.Environment, template: str, path: Path, **facts: Any) -> Path:
    page = environment.get_template(template).render(facts)
    with whole_file(path) as file:
        file.write(page)
    return path
