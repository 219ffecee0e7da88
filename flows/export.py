"""The command `facescribe export`: tables of a snapshot for others to read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.building import DEFAULT_ROOT, Root


def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder outside of the corpus.")],
    root: Root = DEFAULT_ROOT,
    snapshot: Annotated[int | None, typer.Option(help="The snapshot to export; by default the newest.")] = None,
    tables: Annotated[
        str | None,
        typer.Option(help="With commas between; by default videos, tracks, actions, drafts, descriptions, motion."),
    ] = None,
    without_licence: Annotated[
        str | None, typer.Option(help="Why videos without licence or consent may go out, in words that are kept.")
    ] = None,
) -> None:
    """Write tables of a snapshot as plain Parquet files, with checksums. The folder is there whole or not at all.

    Refused are videos without licence or consent (columns of `--annotations` at a build), and texts whose writer saw
    the label outside of the split `train`.

        facescribe export out/

        facescribe export out/ --tables videos,descriptions --without-licence "our own faces, for the test bench"
    """
    from flows.console import console
    from pipeline.export.parquet import EXPORTED, export_parquet
    from pipeline.inspection.corpus import Corpus
    from pipeline.store import Store

    names = EXPORTED if tables is None else tuple(name for part in tables.split(",") if (name := part.strip()))
    with Store.open(root).in_use():
        made = export_parquet(Corpus(root, snapshot), folder, names, without_licence)
    counts = ", ".join(f"{name} {count}" for name, count in made.rows.items())
    console.print(f"exported snapshot {made.snapshot}: {counts}", highlight=False)
    if made.num_videos_without_licence:
        count = made.num_videos_without_licence
        console.print(f"{count} videos lack a licence or consent; export.json says why they went out", highlight=False)
    console.print(f"folder: {folder.resolve()}", highlight=False, soft_wrap=True)
