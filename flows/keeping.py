"""The commands that keep a corpus in order: gc, check, takedown. What they promise is in docs/keeping.md."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.building import DEFAULT_ROOT, Root
from flows.ending import FAILED, fail

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
