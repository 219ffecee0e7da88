"""The command `facescribe overview`: a corpus in figures, printed, as one page of pictures, and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.building import DEFAULT_ROOT, Root
from flows.ending import FAILED, fail

if TYPE_CHECKING:
    from pipeline.inspection.corpus import Corpus
    from pipeline.inspection.overview import Overview
    from pipeline.inspection.overview_page import Bars

NO_DRIFT = 0
"""The number that no snapshot has: compare with none."""

MOST_LINES = 12
"""Bars of a picture that a terminal shows; the page and the JSON have more."""

BAR_CHARACTERS = 30


def overview(
    root: Root = DEFAULT_ROOT,
    html: Annotated[Path | None, typer.Option("--html", help="Write one page of pictures here.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write every figure here.")] = None,
    snapshot: Annotated[int | None, typer.Option(help="An older snapshot; by default the newest.")] = None,
    against: Annotated[
        int | None, typer.Option(help="Tell what is new since this snapshot; by default the one before; 0: none.")
    ] = None,
) -> None:
    """Tell what a corpus holds: counts, labels, faces, actions, texts, licences, reviews, and what is new in it.

    facescribe overview

    facescribe overview --root data/corpus --html overview.html --json overview.json
    """
    from pipeline.inspection.corpus import Corpus
    from pipeline.inspection.overview import OverviewError, overview_of
    from pipeline.inspection.overview_page import write_overview

    corpus = Corpus(root, snapshot)
    try:
        found = overview_of(corpus, _earlier(root, corpus, against))
    except OverviewError as error:
        fail(str(error), FAILED)
    _print(found)
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_text(found.model_dump_json(indent=1), encoding="utf-8")
    if html is not None:
        from flows.console import console

        console.print(
            f"overview: {write_overview(found, html).resolve()}", highlight=False, markup=False, soft_wrap=True
        )


def _earlier(root: str, corpus: Corpus, against: int | None) -> Corpus | None:
    from pipeline.inspection.corpus import Corpus

    number = corpus.snapshot.number
    if against == NO_DRIFT:
        return None
    if against is not None and against >= number:
        raise typer.BadParameter(f"{against} is not before {number}: give an earlier snapshot", param_hint="--against")
    if against is not None:
        return Corpus(root, against)
    # The parent may be gone by a take-down or a garbage collection.
    before = max((one for one in corpus.store.snapshot_numbers() if one < number), default=None)
    return None if before is None else Corpus(root, before)


def _print(found: Overview) -> None:
    from flows.console import console
    from pipeline.inspection.overview_page import bars_of, corpus_title, percent, short
    from pipeline.inspection.page import name_unseen

    console.rule(name_unseen(f"{corpus_title(found)}, snapshot {found.snapshot}"))
    told = {
        "videos": f"{found.num_rows('videos'):,}",
        "face tracks": f"{found.num_rows('tracks'):,}, {found.num_seconds / 3600:.1f} hours of faces",
        "texts": f"{found.texts.num_texts:,}, {percent(found.accepted)} of them more than the draft",
        "training clips": f"{found.num_rows('motion'):,}",
        "refused": f"{found.num_rows('rejects'):,}",
    }
    for name, one in (("length of a track, s", found.track_durations), ("size of a face, px", found.face_sizes),
                      ("words of a text", found.texts.words)):  # fmt: skip
        if one is not None:
            told[name] = f"median {short(one.median)}, nine in ten between {short(one.low)} and {short(one.high)}"
    told["different words"] = f"{found.texts.vocabulary:,}; {percent(found.texts.distinct_texts)} of the texts differ"
    if found.reviews is not None:
        told["reviewed"] = f"{found.reviews.reviewed.hits:,} texts, {found.reviews.num_reviews:,} decisions"
    if found.drift is not None:
        texts = ", ".join(f"{count:,} {what}" for what, count in found.drift.texts.items())
        told[f"texts since snapshot {found.drift.before}"] = texts or "all the same"
    width = max(map(len, told))
    for name, words in told.items():
        console.print(f"  {name:<{width}}  {words}", highlight=False, markup=False)
    if found.drift is not None and found.drift.num_rewritten:
        words = f"ALARM: {found.drift.num_rewritten:,} rows were rewritten; `facescribe drift` tells which"
        console.print(words, style="bold red", highlight=False, markup=False)
    bars = bars_of(found)
    for which in ("refusals", "classes", "statuses", "actions", "grounds"):
        _print_bars(bars[which])


def _print_bars(bars: Bars) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from flows.console import console
    from pipeline.inspection.page import name_unseen

    if not bars.rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=bars.title, title_justify="left", title_style="bold")
    table.add_column(bars.head, max_width=40, overflow="fold")
    table.add_column("", min_width=BAR_CHARACTERS, no_wrap=True)
    table.add_column("number", justify="right")
    table.add_column(bars.told_head, justify="right")
    for row in bars.rows[:MOST_LINES]:
        drawn = "█" * max(round(BAR_CHARACTERS * row.total / bars.most(row)), int(row.total > 0))
        name = name_unseen(" ".join((row.name or "not stated").split()))
        table.add_row(Text(name if len(name) <= 80 else f"{name[:79]}…"), drawn, f"{row.total:,}", row.told)
    if len(bars.rows) > MOST_LINES:
        table.add_row(f"… {len(bars.rows) - MOST_LINES:,} more", "", "", "")
    console.print(table)
