"""The command `facescribe verify`: is a data set on a disk what its annotation says, before anything runs on it?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.ending import FAILED, WRONG_USAGE, fail

if TYPE_CHECKING:
    from pipeline.inspection.panels import Panel
    from pipeline.videos.datasets.listing import Listing
    from pipeline.videos.datasets.registry import SourceAddress


def verify(
    source: Annotated[str, typer.Argument(help="NAME:PATH, NAME@VARIANT:PATH or manifest:FILE, as for `build`.")],
    deep: Annotated[
        bool, typer.Option("--deep", help="Decode every picture, and open every video with the decoder.")
    ] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write every figure and every fault here.")] = None,
    faults: Annotated[Path | None, typer.Option(help="Write every fault here, a line each, as CSV.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write the report as one HTML page to look at.")] = None,
) -> None:
    """Hold a data set against its own annotation and against the counts that it was published with. Changes nothing.

    Expected and found clips by split, fold and class; missing and extra files; numbers and sizes of frames, and whether
    they are of one version; equal content; files that cannot be read; contradictions; persons or films on both sides
    of a split. Exit code 1 if anything is wrong that is not known of the set as it was published.

        facescribe verify dfew:/data/DFEW

        facescribe verify dfew@clip_224x224_16f:/data/DFEW --page dfew.html

        facescribe verify manifest:my_videos.csv --deep --faults faults.csv
    """
    from flows.audit import print_panels
    from flows.console import console, progress_bars
    from pipeline.inspection.verification import (
        panels_of_verification,
        verdict,
        write_faults,
        write_verification_page,
    )
    from pipeline.videos.datasets.listing import DatasetError
    from pipeline.videos.datasets.registry import parse_source
    from pipeline.videos.datasets.verify import verify as verify_listing

    began = time.monotonic()
    try:
        address = parse_source(source)
        listing, title, labels = _listed(address)
    except DatasetError as error:
        fail(str(error), WRONG_USAGE)
    console.print(
        f"{title}, {listing.variant}: {listing.folder.resolve()}", highlight=False, markup=False, soft_wrap=True
    )
    with progress_bars():
        report = verify_listing(listing, deep=deep, labels=labels)
    for panel in panels_of_verification(report):
        if panel.part == "counts":
            _print_counts(panel)
        else:
            print_panels([panel])
    written = []
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_text(report.model_dump_json(indent=1), encoding="utf-8")
        written.append(json)
    if faults is not None:
        written.append(write_faults(report, faults))
    if page is not None:
        written.append(write_verification_page(report, title, page))
    console.print()
    for path in written:
        console.print(f"written: {path.resolve()}", highlight=False, markup=False, soft_wrap=True)
    seconds = time.monotonic() - began
    console.print(f"{verdict(report)} ({seconds:.1f} s)", style="bold", highlight=False, markup=False, soft_wrap=True)
    if not report.is_clean:
        raise SystemExit(FAILED)


def _print_counts(panel: Panel) -> None:
    """A table of counts, in as many pieces, one below the other, as the width of the terminal asks for."""
    from flows.console import console, print_rows

    console.print(f"\n{panel.title}", style="bold", highlight=False, markup=False)
    console.print(panel.meaning, style="dim", highlight=False, markup=False)
    # Parts stand under their fold: `1 train` is as narrow as `train`.
    lines = [[name.replace(" ", "\n") for name in panel.columns], *([str(cell) for cell in row] for row in panel.rows)]
    widths = [max(len(word) for cell in column for word in cell.split("\n")) + 3 for column in zip(*lines, strict=True)]
    begin = 1
    while begin < len(widths):
        end, room = begin + 1, console.width - 2 - widths[0] - widths[begin]
        while end < len(widths) and room >= widths[end]:
            room -= widths[end]
            end += 1
        names, *rows = [[line[0], *line[begin:end]] for line in lines]
        print_rows(names, rows)
        begin = end


def _listed(address: SourceAddress) -> tuple[Listing, str, tuple[str, ...]]:
    """The listing, the title of the set, and its classes in their order.

    Raises:
        DatasetError: there is no such set there; the message says where it seems to be, if near.
        AnnotationError: a manifest that cannot be used.
    """
    from pipeline.videos.datasets.listing import DatasetError
    from pipeline.videos.datasets.manifest import list_manifest
    from pipeline.videos.datasets.nearby import find_nearby
    from pipeline.videos.datasets.registry import read_dataset, reader_of

    if address.kind == "manifest":
        return list_manifest(address.path), f"Manifest {address.path.name}", ()
    if address.kind == "folder":
        raise DatasetError(_which_set(address.path))
    try:
        listing = read_dataset(address)
    except DatasetError as error:
        near = find_nearby(address)
        hint = f". {near} looks right: facescribe verify {address.name}:{near}" if near is not None else ""
        raise DatasetError(f"{error}{hint}") from error
    reader = reader_of(str(address.name))
    return listing, reader.TITLE, reader.LABELS


def _which_set(path: Path) -> str:
    """What is wrong with a path alone, and what it seems to be."""
    from pipeline.videos.datasets.nearby import guess_set
    from pipeline.videos.datasets.registry import READERS

    if not path.exists():
        return f"there is no such file or folder: {path}; expected NAME:PATH, such as dfew:/data/DFEW"
    if path.is_file() and path.suffix.lower() in (".csv", ".parquet"):
        return f"{path} does not say what it is; a table of videos is verified so: facescribe verify manifest:{path}"
    if path.is_dir() and (name := guess_set(path)) is not None:
        return f"{path} does not say which data set it is; it looks like {name}: facescribe verify {name}:{path}"
    return (
        f"{path} does not say which data set it is; write NAME:PATH with one of {', '.join(READERS)}, or manifest:FILE "
        "for a table of your own (a plain folder of videos has no annotation to be held against)"
    )
