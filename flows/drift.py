"""The command `facescribe drift`: what changed between two snapshots, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.building import DEFAULT_ROOT, Root

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.audit.snapshot_drift import SnapshotDrift
    from pipeline.inspection.corpus import Corpus

FAILED = 1

REWRITTEN, UNBALANCED = "rewritten", "unbalanced"

ROWS = {".csv", ".parquet"}
"""Endings of files for the dataframe."""


def drift(
    before: Annotated[int | None, typer.Argument(help="A snapshot; by default the parent of AFTER.")] = None,
    after: Annotated[int | None, typer.Argument(help="A later one; by default the newest.")] = None,
    root: Root = DEFAULT_ROOT,
    html: Annotated[Path | None, typer.Option(help="Write the report here as one page.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write every figure here.")] = None,
    rows: Annotated[Path | None, typer.Option(help="Write each row that is not the same: a .csv or .parquet.")] = None,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with 1 on these, with commas between: rewritten, unbalanced.")
    ] = None,
) -> None:
    """Tell what changed between two snapshots, and why: rows, texts, figures, and noise of the language model.

    Files that both share are not opened for it. Every change has a cause: a new or changed video, a label, a version,
    weights, an engine, a prompt, a config. Canaries, asked every night, say how much of the rest is noise.

        facescribe drift

        facescribe drift 3 7 --html drift.html --rows drift.parquet
    """
    from pipeline.audit.changes import changes, frame_of_changes
    from pipeline.audit.page import write_drift_page
    from pipeline.audit.snapshot_drift import snapshot_drift
    from pipeline.audit.texts import AuditError

    wanted = {name for part in (fail_on or "").split(",") if (name := part.strip())}
    if unknown := sorted(wanted - {REWRITTEN, UNBALANCED}):
        raise typer.BadParameter(f"no {unknown[0]!r}; there are: {REWRITTEN}, {UNBALANCED}", param_hint="--fail-on")
    if rows is not None and rows.suffix not in ROWS:
        raise typer.BadParameter(f"{rows} ends in neither .csv nor .parquet", param_hint="--rows")
    older, newer = _opened(root, before, after)
    found = changes(older, newer)
    try:
        report = snapshot_drift(older, newer, found)
    except AuditError as error:
        print(f"facescribe: {error}", file=sys.stderr)
        raise SystemExit(FAILED) from error
    _print(report)
    if rows is not None:
        _write_rows(frame_of_changes(older, newer, found), rows)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_text(report.model_dump_json(indent=1), encoding="utf-8")
    if html is not None:
        write_drift_page(report, html)
    if (REWRITTEN in wanted and report.num_rewritten) or (UNBALANCED in wanted and report.problems):
        raise SystemExit(FAILED)


def _opened(root: str, before: int | None, after: int | None) -> tuple[Corpus, Corpus]:
    from pipeline.inspection.corpus import Corpus

    newer = Corpus(root, after)
    number = newer.snapshot.number
    # The parent may be gone by a take-down or a garbage collection.
    earlier = [one for one in newer.store.snapshot_numbers() if one < number]
    older = max(earlier, default=None) if before is None else before
    if older is None:
        raise typer.BadParameter(
            f"snapshot {number} of {root} is the first that is there: there is none to compare it with",
            param_hint="BEFORE",
        )
    if older > number:
        raise typer.BadParameter(f"{older} is later than {number}: give the earlier one first", param_hint="BEFORE")
    return Corpus(root, older), newer


def _print(report: SnapshotDrift) -> None:
    from flows.audit import print_panels
    from flows.console import console
    from pipeline.audit.drift_panels import panels_of_drift

    console.rule(f"snapshot {report.before} -> {report.after}")
    for line in report.in_words():
        console.print(line, style="bold red" if line.startswith("ALARM") else None, highlight=False, markup=False)
    print_panels(panels_of_drift(report))


def _write_rows(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        from pipeline.csv_cells import QUOTED, defused

        texts = frame.select_dtypes(["object", "string"]).columns
        frame.assign(**{str(name): frame[name].map(defused, na_action="ignore") for name in texts}).to_csv(
            path, index=False, quoting=QUOTED
        )
    else:
        frame.to_parquet(path, index=False)
