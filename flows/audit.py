"""The command `facescribe audit`: tests of the texts themselves, with a report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.building import DEFAULT_ROOT, Root

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.audit.report import AuditReport
    from pipeline.inspection.panels import Panel

FAILED = 1


def audit(
    root: Root = DEFAULT_ROOT,
    truth: Annotated[
        Path | None, typer.Option(help="truth.parquet of rendered clips: also hold the texts against what was drawn.")
    ] = None,
    against: Annotated[int | None, typer.Option(help="An older snapshot: tell what became of its texts.")] = None,
    snapshot: Annotated[int | None, typer.Option(help="The snapshot to audit; by default the newest.")] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Parts, with commas between: counterfactuals, leak, coverage, diversity, references."),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write every figure and every miss here.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report as one page to look at.")] = None,
) -> None:
    """Test the descriptions of a corpus: do they tell their own video, all of it, and not the label?

    Counterfactuals (does a text fit its own evidence better than a changed one), label leak, coverage of what was
    measured or drawn, diversity, likeness to captions that people wrote (beside captions of other clips), and with
    `--against` what changed since another snapshot. What a figure cannot show is in docs/audit.md.

        facescribe audit --html audit.html

        facescribe audit --root data/synthetic/corpus --truth data/synthetic/truth.parquet

        facescribe audit --against 3 --only diversity
    """
    from pipeline.audit.page import write_page
    from pipeline.audit.report import PARTS
    from pipeline.audit.report import audit as audit_corpus
    from pipeline.audit.texts import AuditError
    from pipeline.inspection.corpus import Corpus

    parts = PARTS if only is None else tuple(name for part in only.split(",") if (name := part.strip()))
    if unknown := [name for name in parts if name not in PARTS]:
        raise typer.BadParameter(f"no part {unknown[0]!r}; there are: {', '.join(PARTS)}", param_hint="--only")
    drawn = None if truth is None else _read_truth(truth)
    before = None if against is None else Corpus(root, against)
    try:
        report = audit_corpus(Corpus(root, snapshot), truth=drawn, before=before, only=parts)
    except AuditError as error:
        print(f"facescribe: {error}", file=sys.stderr)
        raise SystemExit(FAILED) from error
    _print(report)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_text(report.model_dump_json(indent=1), encoding="utf-8")
    if html is not None:
        write_page(report, html)


def _read_truth(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from schemas.table import SchemaError
    from schemas.truth import TRUTH

    try:
        return TRUTH.conform(pq.read_table(path, partitioning=None))
    except FileNotFoundError as error:
        raise typer.BadParameter(f"no such file: {path}", param_hint="--truth") from error
    except (pa.ArrowException, SchemaError) as error:
        raise typer.BadParameter(f"{path} is no truth.parquet of `facescribe synth`: {error}") from error


def _print(report: AuditReport) -> None:
    from flows.console import console
    from pipeline.audit.panels import panels_of

    for heading, panels in panels_of(report):
        console.rule(heading)
        print_panels(panels)


def print_panels(panels: Sequence[Panel]) -> None:
    """Print tables with their sentences; of long lists only how long they are."""
    import pandas as pd

    from flows.console import console, print_frame

    for panel in panels:
        if panel.is_list:
            if panel.rows:
                console.print(f"\n{panel.title}: {len(panel.rows)}, to be read in --html and --json", markup=False)
            continue
        console.print(f"\n{panel.title}", style="bold", highlight=False, markup=False)
        if panel.meaning:
            console.print(panel.meaning, style="dim", highlight=False, markup=False)
        if panel.missing:
            console.print(f"  {panel.missing}", highlight=False, markup=False)
            continue
        rows = [["" if cell is None else str(cell) for cell in row] for row in panel.rows]
        print_frame(pd.DataFrame(rows, columns=list(panel.columns)), None, limit=len(rows) or 1)
