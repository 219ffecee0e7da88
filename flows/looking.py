"""The command `facescribe gallery`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.building import DEFAULT_ROOT, Root


def gallery(
    root: Root = DEFAULT_ROOT,
    output: Annotated[
        Path | None, typer.Option(help="Where the page goes; by default gallery.html in the root, or here for a URI.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most tracks on the page; by default all.")] = None,
    tracks: Annotated[
        Path | None, typer.Option(help="A file of track ids, one a line: only these, in its order.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="An SQL condition over tracks, videos and descriptions: only what fits.")
    ] = None,
    snapshot: Annotated[int | None, typer.Option(help="An older snapshot.")] = None,
    blur: Annotated[
        bool,
        typer.Option("--blur", help="Show no picture that tells whose face it is: for pages that leave the house."),
    ] = False,
) -> None:
    """Write pages to look at: per track its film, motion, action curves, draft and refined text, and to judge it.

    facescribe gallery

    facescribe gallery --where "label = 'fear' and status = 'fallback'"

    facescribe gallery --tracks worst.txt --limit 50 --output worst.html

    Up to 200 tracks are one file. More are an index with a folder beside it, which stays quick with ten thousand.
    """
    from flows.console import console, progress_bars
    from pipeline.inspection.corpus import Corpus
    from pipeline.inspection.gallery import write_gallery
    from pipeline.inspection.gallery_rows import ChoiceError, read_track_ids

    try:
        default = Path("gallery.html") if "://" in root else Path(root, "gallery.html")
        chosen = read_track_ids(tracks) if tracks is not None else None
        with progress_bars():
            path = write_gallery(
                Corpus(root, snapshot),
                output or default,
                limit=limit,
                tracks=chosen,
                where=where,
                is_blurred=blur,
            )
    except ChoiceError as error:
        raise typer.BadParameter(str(error)) from error
    console.print(f"gallery: {path.resolve()}", highlight=False, soft_wrap=True)
