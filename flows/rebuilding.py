"""The command `facescribe rebuild`: a corpus from a text-only export and one's own copy of the videos."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.ending import FAILED, fail

if TYPE_CHECKING:
    from pipeline.export.comparison import RebuildReport

WAIT_S = 12 * 3600.0
"""Longest wait for another run on the same corpus."""


def rebuild(
    export: Annotated[Path, typer.Argument(help="The folder that `facescribe export --text-only` wrote.")],
    source: Annotated[
        str,
        typer.Option(help="One's own copy of the videos: a folder, searched whole, or a data set as dfew:/data/DFEW."),
    ],
    root: Annotated[
        str, typer.Option(help="The corpus to make: a new or empty folder or URI, or one of the same rebuild.")
    ],
    workers: Annotated[int, typer.Option(min=1, help="Shards computed side by side.")] = 2,
    json: Annotated[Path | None, typer.Option("--json", help="Write the whole report into this file.")] = None,
) -> None:
    """Make the corpus again that a text-only export is of, and say whether it is the same.

    Videos are found by their content, whatever they are called. Tracks, actions and motion are computed with the
    export's own config; texts are taken from the export, and no language model is asked. Then every row is compared.

    Exit codes: 0 every video is here and every row is the same, 1 not, and the report says what, 2 wrong usage.
    Interrupted, the same command goes on where it stopped.

        facescribe rebuild their_export/ --source my_copy/ --root data/theirs
    """
    from flows.console import progress_bars
    from pipeline.export.reading import RebuildError, read_export
    from pipeline.export.rebuild import rebuild as make_again
    from pipeline.files import absolute
    from pipeline.stage import Resources
    from pipeline.store import Store
    from pipeline.videos.datasets.registry import parse_source

    folder = parse_source(source).path
    if not folder.exists():
        raise typer.BadParameter(f"no such file or folder: {folder}", param_hint="--source")
    with progress_bars():
        exported = read_export(export)
        if Path(absolute(root)).is_relative_to(export.resolve()):
            raise RebuildError(f"{root} lies in the export: choose a --root outside of it")
        store = Store.open_or_create(root, exported.record.num_buckets)
        who, tell = f"rebuild (process {os.getpid()})", lambda words: print(f"facescribe: {words}", file=sys.stderr)
        with store.turn(who, wait_s=WAIT_S, on_wait=tell), store.in_use():
            report = make_again(exported, folder, store, Resources(workers=workers))
    if json is not None:
        json.write_text(report.model_dump_json(indent=1), encoding="utf-8")
    _print(report)
    if not report.is_same:
        fail("the rebuild is not the same as the export: see above", FAILED)


def _print(report: RebuildReport) -> None:
    from flows.console import console, print_rows

    def say(words: str) -> None:
        console.print(words, highlight=False, markup=False, soft_wrap=True)

    say(f"videos: {report.num_videos_here} of {report.num_videos} are here; {report.num_others} others passed over")
    for what, paths in (("missing", report.missing), ("changed", report.changed)):
        if paths:
            more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
            say(f"  {what}: {', '.join(paths[:5])}{more}")
    computed = ", ".join(f"{name} {count}" for name, count in report.num_computed.items() if count) or "nothing"
    say(f"snapshot {report.snapshot}; units made: {computed}; no language model was asked")
    for note in report.notes:
        say(note)
    if report.means:
        say("made with other means than the export was:")
        print_rows(("what", "there", "here"), [(one.what, one.there[:48], one.here[:48]) for one in report.means])
    print_rows(
        ("table", "same", "differing", "missing", "extra"),
        [
            (one.table, *(str(n) for n in (one.num_same, one.num_differing, one.missing, one.extra)))
            for one in report.tables
        ],
    )
    for table in report.tables:
        if table.columns:
            columns = ", ".join(f"{name} ({count})" for name, count in table.columns.items())
            say(f"{table.table} differ in: {columns}")
        for example in table.examples:
            say(f"  {table.table} {example}")
    if report.other_ids:
        ours, theirs = next(iter(report.other_ids.items()))
        say(
            f"tracks of another id that are the same face: {len(report.other_ids)}, such as {theirs} there, {ours} here"
        )
    if report.texts_of_another_measurement:
        say(
            f"texts taken for another measurement than they were written from: {report.texts_of_another_measurement}; "
            "`facescribe build` would write these anew"
        )
    say(
        "the same: every row is as it was exported"
        if report.is_same
        else f"not the same as the export of snapshot {report.exported_snapshot}"
    )
