"""What verifying a data set found, as tables with a sentence each: what the terminal prints and a page shows."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from pipeline.csv_cells import QUOTED, defused
from pipeline.inspection.page import html_environment, whole_file
from pipeline.inspection.panels import Cell, Gauge, Panel
from pipeline.videos.datasets.verify import ClassCount, Verification

FEW = 5
"""Faults of a kind that a terminal shows."""

MANY = 2000
"""Faults of a kind that a page shows."""

MOST_SIZES = 4
"""Sizes of frames that are named; of the rest, how many they are."""

FAULT_COLUMNS = ("kind", "where", "detail", "known")


def panels_of_verification(report: Verification, most: int = FEW) -> list[Panel]:
    """What the set is, its counts, and its faults by kind: of each the first `most`."""
    return [_glance(report), *_counts(report), *_faults(report, most)]


def verdict(report: Verification) -> str:
    """The last line: what was found in one sentence."""
    wrong = [(kind, told["faults"]) for kind, told in report.kinds.items() if told["faults"]]
    known = sum(told["known"] for told in report.kinds.values())
    beside = f"; {known} known of this set as it was published" if known else ""
    if not wrong:
        return f"clean: nothing is wrong{beside}"
    listed = ", ".join(f"{count:,} {kind}" for kind, count in wrong)
    total = sum(count for _, count in wrong)
    return f"{total:,} {'fault' if total == 1 else 'faults'}: {listed}{beside}"


def _glance(report: Verification) -> Panel:
    share = report.num_found / report.num_expected if report.num_expected else None
    rows: list[tuple[Cell, ...]] = [
        ("clips that the annotation names", f"{report.num_expected:,}"),
        ("of these, there and readable", Gauge(share, f"{report.num_found:,}")),
    ]
    if report.frames_per_clip is not None:
        fewest, middle, most = report.frames_per_clip
        each = str(fewest) if fewest == most else f"{fewest} to {most}, median {middle}"
        rows.append(("frames", f"{report.num_frames:,}; in each clip {each}"))
    if report.sizes:
        total = sum(size.num_frames for size in report.sizes)
        told = [f"{size.width_px} x {size.height_px} px" for size in report.sizes[:MOST_SIZES]]
        if len(report.sizes) > 1:
            shares = [f"{100 * size.num_frames / total:.1f} % " for size in report.sizes[:MOST_SIZES]]
            told = [share + words for share, words in zip(shares, told, strict=True)]
        rest = f" and {len(report.sizes) - MOST_SIZES} more sizes" if len(report.sizes) > MOST_SIZES else ""
        rows.append(("size of frames", ", ".join(told) + rest))
    rows.append(("bytes", f"{report.num_bytes / 1e9:.2f} GB" if report.num_bytes >= 1e8 else f"{report.num_bytes:,}"))
    if report.num_not_opened:
        rows.append(("objects in a store, which were not opened", f"{report.num_not_opened:,}"))
    looked = "every picture and video was decoded" if report.is_deep else "first and last bytes; --deep decodes"
    rows += [("looked at", looked), ("fingerprint", report.fingerprint or "none, for an annotation file is gone")]
    return Panel("glance", "At a glance", "", ("what", "found"), rows)


def _counts(report: Verification) -> Iterator[Panel]:
    """A table for each protocol: classes down, parts of folds across. A lone protocol has the whole set beside it."""
    place = {label: number for number, label in enumerate(report.labels)}
    protocols = list(dict.fromkeys(cell.protocol for cell in report.counts))
    is_lone = len(protocols) <= 2
    for protocol in protocols[1:] if is_lone and len(protocols) > 1 else protocols:
        cells = [cell for cell in report.counts if cell.protocol in (protocol, *([""] if is_lone else []))]
        met = {cell.label for cell in cells if cell.label is not None}
        found = {(cell.protocol, cell.fold, cell.part, cell.label): cell for cell in cells}
        parts = list(dict.fromkeys(key[:3] for key in found))
        labels = (*sorted(met, key=lambda label: (place.get(label, len(place)), label)), None)
        rows: list[tuple[Cell, ...]] = [
            (label or "all", *(_count(found.get((*part, label))) for part in parts)) for label in labels
        ]
        names = [" ".join(filter(None, part[1:])) if part[0] else "set" for part in parts]
        meaning = (
            'Clips that are there and can be read; after "of", how many the annotation names; after "pub", how many '
            "it was published with. Both are told only where they differ."
        )
        yield Panel("counts", f"Clips by {protocol or 'class'}", meaning, ("class", *names), rows)


def _count(cell: ClassCount | None) -> Cell:
    if cell is None:
        return "0"
    lines = [str(cell.found)]
    if cell.found != cell.expected:
        lines.append(f"of {cell.expected}")
    if cell.published not in (None, cell.expected):
        lines.append(f"pub {cell.published}")
    return "\n".join(lines)


def _faults(report: Verification, most: int) -> Iterator[Panel]:
    for kind, told in report.kinds.items():
        faults = [fault for fault in report.faults if fault.kind == kind]
        has_known = bool(told["known"])
        rows: list[tuple[Cell, ...]] = []
        for fault in faults[:most]:
            row = (fault.where, fault.detail)
            rows.append((*row, "known" if fault.is_known else "") if has_known else row)
        if len(faults) > most:
            rows.append(("…", f"{len(faults) - most:,} more", *([""] if has_known else [])))
        counted = [f"{told['faults']:,}"] if told["faults"] else []
        counted += [f"{told['known']:,} known of the set"] if has_known else []
        next_ = f" {told['next']}" if told["faults"] else ""
        columns = ("where", "what was found", *(["as published"] if has_known else []))
        meaning = told["meaning"][0].upper() + told["meaning"][1:]
        yield Panel("faults", f"{kind}: {' and '.join(counted)}", f"{meaning}.{next_}", columns, rows)


def write_faults(report: Verification, path: Path) -> Path:
    """Write every fault as a line of a CSV file at `path`, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(path) as file:
        lines = csv.writer(file, lineterminator="\n", quoting=QUOTED)
        lines.writerow(FAULT_COLUMNS)
        for fault in report.faults:
            lines.writerow((fault.kind, defused(fault.where), defused(fault.detail), "yes" if fault.is_known else "no"))
    return path


def write_verification_page(report: Verification, title: str, path: Path) -> Path:
    """Write the report as one HTML page at `path`, whole or not at all. Raises as `write_faults`."""
    template = html_environment(Path(__file__).parent).get_template("verification.html.j2")
    panels = panels_of_verification(report, MANY)
    page = template.render(report=report, title=title, panels=panels, verdict=verdict(report))
    with whole_file(path) as file:
        file.write(page)
    return path
