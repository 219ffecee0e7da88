"""Write the audit as one HTML page that asks nothing of a network."""

from __future__ import annotations

from pathlib import Path

from pipeline.audit.panels import Gauge, panels_of
from pipeline.audit.report import AuditReport
from pipeline.audit.snapshot_drift import SnapshotDrift
from pipeline.inspection.page import html_environment, whole_file


def write_page(report: AuditReport, path: Path) -> Path:
    """Write the report as HTML at `path`, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    environment = html_environment(Path(__file__).parent)
    environment.tests["gauge"] = lambda cell: isinstance(cell, Gauge)
    page = environment.get_template("report.html.j2").render(report=report, kinds=panels_of(report))
    with whole_file(path) as file:
        file.write(page)
    return path


def write_drift_page(report: SnapshotDrift, path: Path) -> Path:
    """Write the drift between two snapshots as HTML at `path`, whole or not at all. Raises as `write_page`."""
    page = html_environment(Path(__file__).parent).from_string("<!doctype html><pre>{{ words }}</pre>")
    with whole_file(path) as file:
        file.write(page.render(words=report.to_markdown()))
    return path
