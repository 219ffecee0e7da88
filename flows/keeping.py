"""The commands that keep a corpus in order: gc, check, takedown. What they promise is in docs/keeping.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.building import DEFAULT_ROOT, Root
from flows.ending import FAILED, WRONG_USAGE, fail

if TYPE_CHECKING:
    from pipeline.check import CheckReport
    from pipeline.takedown import TakedownReport

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")]


def gc(
    root: Root = DEFAULT_ROOT,
    keep_snapshots: Annotated[int, typer.Option(min=1, help="The newest so many snapshots are kept.")] = 10,
    keep_days: Annotated[float, typer.Option(min=0, help="Those of the last so many days are kept too.")] = 30.0,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="What a run that was broken off wrote stays so long, for it to go on.")
    ] = 24.0,
    delete: Annotated[
        bool, typer.Option("--delete", help="Really delete; without it, only say what would be.")
    ] = False,
    json: Json = False,
) -> None:
    """Delete old snapshots, and the shards that nothing needs any more. Without --delete it only tells.

    The newest snapshot is always kept. A build after it computes nothing that it would not have computed before.

        facescribe gc --keep-snapshots 30

        facescribe gc --keep-snapshots 30 --keep-days 0 --delete
    """
    import pandas as pd

    from flows.console import console, print_frame
    from pipeline.garbage import KINDS, Retention, collect, find_garbage
    from pipeline.store import Store

    rule = Retention(keep_snapshots=keep_snapshots, keep_days=keep_days, grace_hours=grace_hours)
    store = Store.open(root)
    found = collect(store, rule) if delete else find_garbage(store, rule)
    if json:
        print(found.model_dump_json(indent=1))
        return
    rows = [
        {"what": kind, "files": len(found.files[kind]), "MB": found.bytes[kind] / 1e6, "are": meaning}
        for kind, meaning in KINDS.items()
    ]
    print_frame(pd.DataFrame(rows), None, limit=len(rows))
    num_files, num_bytes = sum(map(len, found.files.values())), sum(found.bytes.values())
    kept = ", ".join(map(str, found.kept)) or "none, there is none yet"
    console.print(f"snapshots that stay: {kept}", highlight=False)
    did = "deleted" if delete else "would delete"
    console.print(f"{did} {num_files} files, {num_bytes / 1e6:.1f} MB", highlight=False)
    if num_files and not delete:
        console.print("nothing was deleted: the same with --delete deletes them")


def check(
    root: Root = DEFAULT_ROOT,
    snapshot: Annotated[int | None, typer.Option(help="The snapshot to check; by default the newest.")] = None,
    all: Annotated[bool, typer.Option("--all", help="Check every snapshot.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Do not hash the bytes; look at all else.")] = False,
    forget_damaged: Annotated[
        bool, typer.Option("--forget-damaged", help="Remove what is damaged, so that the next build makes it anew.")
    ] = False,
    json: Json = False,
) -> None:
    """Verify that a corpus is what it says it is: files, hashes, schemas, keys, ledgers, sums. Exit code 1 if not.

    Every fault is told with its table, bucket and file, what was expected and got, and what to do next.

        facescribe check

        facescribe check --all --quick

        facescribe check --forget-damaged
    """
    from flows.console import progress_bars
    from pipeline.check import check as check_corpus
    from pipeline.check import forget_damaged as forget
    from pipeline.store import Store

    if all and snapshot is not None:
        raise typer.BadParameter("give either a snapshot or --all", param_hint="--snapshot")
    store = Store.open(root)
    numbers = store.snapshot_numbers() if all else None if snapshot is None else [snapshot]
    if forget_damaged and quick:
        raise typer.BadParameter("what is damaged is known by its hash: leave --quick out", param_hint="--quick")
    removed: list[str] | None = None
    with progress_bars():
        if forget_damaged:
            report, removed = forget(store, numbers)
        else:
            report = check_corpus(store, numbers, quick=quick)
    if json:
        print(report.model_dump_json(indent=1))
    else:
        _print_check(report, removed)
    if any(not (removed is not None and fault.damaged) for fault in report.faults):
        raise SystemExit(FAILED)


def _print_check(report: CheckReport, removed: list[str] | None) -> None:
    from flows.console import console

    for fault in report.faults:
        console.print(fault.in_words(), highlight=False, markup=False, soft_wrap=True)
    looked = f"{report.num_files} files, {report.num_rows} rows"
    hashed = "no bytes hashed" if report.is_quick else f"{report.num_bytes / 1e6:.1f} MB hashed"
    of = f"snapshot {', '.join(map(str, report.snapshots)) or 'none, there is none yet'}"
    console.print(f"{of}: {looked}, {hashed}; faults: {len(report.faults) or 'none'}", highlight=False)
    if removed is not None:
        console.print(f"removed {len(removed)} files; `facescribe build` makes them anew", highlight=False)


def takedown(
    videos: Annotated[
        list[str] | None, typer.Argument(help="Ids, or paths below the source as the corpus knows them.")
    ] = None,
    root: Root = DEFAULT_ROOT,
    listed: Annotated[Path | None, typer.Option("--list", help="A file with an id or a path a line.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")] = False,
    json: Json = False,
) -> None:
    """Take videos down for good: out of every table, file and memory, with a report that proves it.

    They stay on a deny list and do not come back with the next build. Killed at any moment, the same command finishes
    it; without a name it finishes what was broken off. Exit code 1 if something of them was still found.

        facescribe takedown b6897c3e632670e9855da593fbd3adea

        facescribe takedown people/anna.mp4 --root data/corpus

        facescribe takedown --list withdrawn.txt --yes
    """
    from flows.console import progress_bars
    from pipeline.store import Store
    from pipeline.takedown import find_videos, left_to_do, read_names, take_down

    names = list(videos or ())
    if listed is not None:
        try:
            names += read_names(listed)
        except FileNotFoundError as error:
            raise typer.BadParameter(f"no such file: {listed}", param_hint="--list") from error
    store = Store.open(root)
    left = left_to_do(store)
    if not names and not left:
        raise typer.BadParameter("give at least one VIDEO_ID or path, or --list", param_hint="VIDEOS")
    found = {} if left else find_videos(store, names)  # what was broken off may have removed what a path meant
    if not yes:
        _ask(store.address, found or {name: [] for name in [*names, *left]})
    with progress_bars():
        report = take_down(store, names)
    print(report.model_dump_json(indent=1)) if json else _print_takedown(store.address, report)
    if not report.is_clean:
        raise SystemExit(FAILED)


def _ask(root: str, found: dict[str, list[str]]) -> None:
    if not sys.stdin.isatty():
        fail("taking down cannot be undone: with no terminal to ask at, say --yes", WRONG_USAGE)
    for name, ids in found.items():
        print(f"  {name}" + (f"  ({', '.join(ids)})" if ids and ids != [name] else ""))
    typer.confirm(f"Take these {len(found)} videos out of {root} for good? This cannot be undone", abort=True)


def _print_takedown(root: str, report: TakedownReport) -> None:
    from flows.console import console

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    search = report.search
    kinds = ", ".join(f"{count} {kind}" for kind, count in search.looked_for.items())
    for video_id in report.unknown:
        say(f"{video_id} was not in the corpus; it is on the deny list now")
    say(f"taken down: {len(report.videos)} videos; snapshot {report.snapshot_before} -> {report.snapshot_after}")
    say(f"rewritten: {len(report.rewritten)} files; deleted: {len(report.deleted)} files")
    say(f"looked for: {kinds}")
    say(
        f"searched: {search.files_searched} files, {search.bytes_searched / 1e6:.1f} MB byte by byte; "
        f"{search.parquet_files_decoded} Parquet files and {search.answers_read} answers decoded"
    )
    for found in search.found:
        told = ", ".join(f"{count} {kind}" for kind, count in found.traces.items())
        say(f"STILL HOLDS A TRACE: {root}/{found.file} ({told}; {found.how})")
    if search.found:
        say("facescribe did not write these: delete them or move them out of the root, then the same command again")
    else:
        say("found: nothing")
    say(f"report: {root}/takedowns/{report.number:06d}.json")
