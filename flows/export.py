"""The command `facescribe export`: a snapshot for others to read, in the form that they read."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.building import DEFAULT_ROOT, Root
from flows.ending import FAILED, fail

if TYPE_CHECKING:
    from pipeline.export.record import Export
    from pipeline.inspection.corpus import Corpus

FORMATS = ("parquet", "huggingface", "webdataset", "csv")

FULL = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EFBIG: "a file would be larger than is allowed here",
}


def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder outside of the corpus.")],
    root: Root = DEFAULT_ROOT,
    snapshot: Annotated[int | None, typer.Option(help="The snapshot to export; by default the newest.")] = None,
    format: Annotated[str, typer.Option("--format", help="parquet, huggingface, webdataset or csv.")] = "parquet",
    tables: Annotated[
        str | None,
        typer.Option(
            help="Of parquet and csv, with commas between; by default videos, tracks, actions, drafts, descriptions, "
            "motion."
        ),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option("--with", help="Of huggingface: also the training clips, with motion, frames, or motion,frames."),
    ] = None,
    text_only: Annotated[
        bool,
        typer.Option("--text-only", help="No pixels, crops, landmarks or motion: `facescribe rebuild` makes them."),
    ] = False,
    without_licence: Annotated[
        str | None, typer.Option(help="Why videos without licence or consent may go out, in words that are kept.")
    ] = None,
) -> None:
    """Write a snapshot for others: data files, checksums, and a card. The folder is there whole or not at all.

    Refused are videos without licence or consent (columns of `--annotations` at a build), and texts whose writer saw
    the label outside of the split `train`.

        facescribe export out/

        facescribe export out/ --format huggingface --with motion,frames

        facescribe export out/ --text-only

        facescribe export out/ --tables videos,descriptions --without-licence "our own faces, for the test bench"
    """
    from flows.console import console, progress_bars
    from pipeline.inspection.corpus import Corpus
    from pipeline.store import Store

    if format not in FORMATS:
        near = difflib.get_close_matches(format, FORMATS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise typer.BadParameter(f"no format {format!r}; {hint}there are: {', '.join(FORMATS)}", param_hint="--format")
    _refuse_what_does_not_fit(format, tables, beside, text_only)
    try:
        with Store.open(root).in_use(), progress_bars():
            made = _export(
                Corpus(root, snapshot), folder, format, _names(tables), _names(beside), text_only, without_licence
            )
    except OSError as error:
        why = FULL.get(error.errno or 0) or (FULL[errno.ENOSPC] if "[errno 28]" in str(error).lower() else None)
        if why is None:
            raise
        fail(f"{why}: nothing of the export to {folder} is kept; give it a folder with more room", FAILED)
    counts = ", ".join(f"{name} {count}" for name, count in made.rows.items())
    console.print(f"exported snapshot {made.snapshot}: {counts}", highlight=False)
    if made.num_videos_without_licence:
        count = made.num_videos_without_licence
        console.print(f"{count} videos lack a licence or consent; export.json says why they went out", highlight=False)
    console.print(f"folder: {folder.resolve()}", highlight=False, soft_wrap=True)


def _refuse_what_does_not_fit(format: str, tables: str | None, beside: str | None, text_only: bool) -> None:
    if tables is not None and format not in ("parquet", "csv"):
        raise typer.BadParameter(f"{format} has no tables to choose from: leave it out", param_hint="--tables")
    if beside is not None and format != "huggingface":
        raise typer.BadParameter(f"belongs to --format huggingface, not to {format}", param_hint="--with")
    if text_only and format != "parquet":
        raise typer.BadParameter(
            f"goes with --format parquet, which can be rebuilt from, not with {format} (huggingface without --with, "
            "and csv, hold no pixels either)",
            param_hint="--text-only",
        )
    if text_only and tables is not None:
        raise typer.BadParameter("chooses the tables itself: leave --tables out", param_hint="--text-only")


def _names(listed: str | None) -> tuple[str, ...] | None:
    return None if listed is None else tuple(name for part in listed.split(",") if (name := part.strip()))


def _export(
    corpus: Corpus,
    folder: Path,
    format: str,
    tables: Sequence[str] | None,
    beside: Sequence[str] | None,
    text_only: bool,
    without_licence: str | None,
) -> Export:
    from pipeline.export.csv_tables import export_csv
    from pipeline.export.huggingface import export_huggingface
    from pipeline.export.parquet import EXPORTED, export_parquet
    from pipeline.export.tar_shards import export_webdataset
    from pipeline.export.text_only import export_text_only

    if text_only:
        return export_text_only(corpus, folder, without_licence)
    if format == "huggingface":
        return export_huggingface(corpus, folder, beside or (), without_licence)
    if format == "webdataset":
        return export_webdataset(corpus, folder, without_licence)
    named = EXPORTED if tables is None else tables
    return {"parquet": export_parquet, "csv": export_csv}[format](corpus, folder, named, without_licence)
