"""The commands that build a corpus, and that say before what a build would do: build, plan, backfill."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.ending import FAILED, INTERRUPTED, fail

if TYPE_CHECKING:
    from flows.corpus import BuildReport
    from pipeline.inspection.corpus import Corpus
    from pipeline.plan import Plan
    from pipeline.stage import Resources
    from pipeline.walk import BuildConfig

DEFAULT_ROOT = "data/corpus"

Root = Annotated[
    str,
    typer.Option("--root", envvar="FACESCRIBE_ROOT", help="The corpus: a folder, or a URI such as s3://bucket/corpus."),
]
Source = Annotated[
    str,
    typer.Argument(
        help="A folder of videos, searched whole, or one video; a data set by its own annotation, as dfew:PATH; or a "
        "table that lists videos, as manifest:FILE.csv."
    ),
]
Config = Annotated[Path | None, typer.Option(help="A build.toml: what to compute, section by section.")]
Annotations = Annotated[
    Path | None,
    typer.Option(
        help="CSV or Parquet: path or video_id, and label, votes, split, fold, group, caption, licence, consent as far "
        "as known."
    ),
]
Server = Annotated[str | None, typer.Option(help="An OpenAI-compatible server to ask instead, as http://HOST:PORT/v1.")]
Model = Annotated[str | None, typer.Option(help="The name that this server knows its model by.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Shards computed side by side.")]
Runner = Annotated[
    Literal["threads", "dask", "ray"] | None,
    typer.Option(help="What computes shards: threads, or processes of a Dask or Ray cluster."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Address of that cluster, as tcp://HOST:8786. Without it, processes of this machine are started."
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option(allow_dash=True, help="Where each event is written as a line of JSON; - is standard error."),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port on the loopback address where Prometheus finds the run's figures."),
]
MetricsFile = Annotated[
    Path | None, typer.Option(help="A .prom file that the run's figures are written to at its end.")
]
Buckets = Annotated[int, typer.Option(min=1, help="Shards per table, for a new corpus only.")]


def build(
    source: Source,
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    annotations: Annotations = None,
    server: Server = None,
    model: Model = None,
    workers: Workers = None,
    buckets: Buckets = 16,
    log_file: LogFile = None,
    metrics_port: MetricsPort = None,
    metrics_file: MetricsFile = None,
    runner: Runner = None,
    cluster: Cluster = None,
) -> None:
    """Bring a corpus up to date with a source: tracks, actions, motion, descriptions.

    Run again over the same input it computes nothing and asks the language model nothing. Interrupted at any moment,
    the same command goes on where it stopped. It begins with a plan, as `facescribe plan` shows it, and ends by holding
    the plan against what was done.

        facescribe build my_videos/

        facescribe build my_videos/ --root /data/corpus --config build.toml --annotations labels.csv

        facescribe build dfew:/data/DFEW --root /data/dfew

        facescribe build manifest:list.csv

        facescribe build my_videos/ --server http://127.0.0.1:8000/v1 --model Qwen3-8B
    """
    from flows.console import console, progress_bars
    from pipeline.store import Store
    from pipeline.telemetry.events import tell
    from pipeline.telemetry.observing import corpus_is, observed
    from pipeline.walk import open_walk

    _refuse_missing(source)
    what, how = _settings(config, server, model, workers, log_file, metrics_port, metrics_file, runner, cluster)
    signal.signal(signal.SIGINT, _stop_after_what_is_under_way)

    try:
        with observed(how, str(root)) as how:
            with progress_bars():
                store = Store.open_or_create(root, buckets)
                with store.in_use():  # what the listing remembers may name no video that is being taken down
                    walk = open_walk(store, source, what, annotations)
                is_done = walk.is_done()
            if is_done and walk.previous is not None:
                tell(corpus_is(walk.previous, is_new=False))
            else:
                from pipeline.planning import plan_walk

                planned = plan_walk(walk)
                console.print(f"plan: {planned.summary()}", highlight=False)
            with progress_bars():
                report = None if is_done else run_flow(source, root, what, how, buckets, annotations)
    except KeyboardInterrupt:  # here, because typer would end without a word
        fail("interrupted; what was finished is kept, the same command goes on from there", INTERRUPTED)
    from pipeline.inspection.corpus import Corpus

    corpus = Corpus(root)
    _print_build(corpus, report, walk.notes)
    if not corpus.snapshot.counts["tracks"]:
        fail("no face track came out of this source: `facescribe show rejects` says why", FAILED)


def plan(
    source: Source,
    root: Root = DEFAULT_ROOT,
    config: Config = None,
    annotations: Annotations = None,
    server: Server = None,
    model: Model = None,
    workers: Workers = None,
    buckets: Buckets = 16,
    json: Annotated[bool, typer.Option("--json", help="The whole plan as JSON.")] = False,
    read: Annotated[
        bool, typer.Option("--read", help="Read new and changed files, to tell copies and moved files from new ones.")
    ] = False,
) -> None:
    """Say what a build would compute, why, and what it would cost. Reads only metadata and changes nothing.

    Looked at are names, sizes and times of files, and the corpus' ledgers. What hangs on whether something else comes
    out otherwise than before is told as "may"; what new videos will hold is guessed from the videos so far. Estimates
    are from the corpus' own history.

        facescribe plan my_videos/

        facescribe plan my_videos/ --config tomorrow.toml --json
    """
    from flows.console import progress_bars
    from pipeline.planning import plan_walk
    from pipeline.store import Store
    from pipeline.walk import open_walk

    _refuse_missing(source)
    what, _ = _settings(config, server, model, workers)
    with progress_bars():
        store = Store.open(root) if Store.is_at(root) else Store.not_yet(root, buckets)
        planned = plan_walk(open_walk(store, source, what, annotations, may_read=read, may_write=False))
    if json:
        print(planned.model_dump_json(indent=1))
    else:
        _print_plan(planned)


def backfill(
    source: Source,
    stage: Annotated[str, typer.Option(help="The stage whose units are asked for anew, such as refine_descriptions.")],
    root: Root = DEFAULT_ROOT,
    query: Annotated[
        str | None, typer.Option(help="SQL that gives a column unit_id, track_id or video_id; without: all units.")
    ] = None,
    config: Config = None,
    annotations: Annotations = None,
    server: Server = None,
    model: Model = None,
    workers: Workers = None,
    log_file: LogFile = None,
    metrics_port: MetricsPort = None,
    metrics_file: MetricsFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many units there are.")] = False,
) -> None:
    """Compute units anew that nothing has changed for, then build. A language model is asked again, too.

    What comes out as before ends there; what comes out otherwise goes on to the stages behind. Interrupted, the same
    command goes on where it stopped, and so does a plain build.

        facescribe backfill my_videos/ --stage extract_tracks --query "select video_id from rejects where reason = 'no_face'"

        facescribe backfill my_videos/ --stage refine_descriptions --query "select track_id from descriptions where asked[1].prompt = 'refine_2'"
    """  # noqa: E501
    import duckdb

    from flows.console import console
    from pipeline.backfill import ask_anew, units_of
    from pipeline.inspection.corpus import Corpus
    from pipeline.videos.annotations import read_annotations

    _refuse_missing(source)
    _settings(config, server, model, workers)  # what is wrong there is told before a unit is marked
    if annotations is not None:
        read_annotations(annotations)
    corpus = Corpus(root)
    try:
        with corpus.store.in_use():
            num_units = (
                sum(map(len, units_of(corpus, stage, query).values())) if dry_run else ask_anew(corpus, stage, query)
            )
    except duckdb.Error as error:
        raise typer.BadParameter(str(error), param_hint="--query") from error
    console.print(f"{num_units} units of {stage} {'would be' if dry_run else 'are'} asked for anew", highlight=False)
    if num_units and not dry_run:
        build(
            source,
            root,
            config,
            annotations,
            server,
            model,
            workers,
            log_file=log_file,
            metrics_port=metrics_port,
            metrics_file=metrics_file,
        )


def _refuse_missing(source: str) -> None:
    from pipeline.videos.datasets.listing import DatasetError
    from pipeline.videos.datasets.registry import parse_source

    try:
        address = parse_source(source)
    except DatasetError as error:
        raise typer.BadParameter(str(error), param_hint="SOURCE") from error
    if not address.path.exists():
        raise typer.BadParameter(f"no such file or folder: {address.path}", param_hint="SOURCE")


def _settings(
    config: Path | None,
    server: str | None,
    model: str | None,
    workers: int | None,
    log_file: Path | None = None,
    metrics_port: int | None = None,
    metrics_file: Path | None = None,
    runner: str | None = None,
    cluster: str | None = None,
) -> tuple[BuildConfig, Resources]:
    """What to compute and how: the build file, and over it what stands on the command line."""
    from pipeline.walk import load_build_file

    settings = load_build_file(config)
    what, how = settings.build, settings.resources
    if model is not None:
        stated = {"model": model, "model_revision": "not stated", "model_licence": "not stated", "engine": "not stated"}
        what = what.model_copy(update={"descriptions": what.descriptions.model_copy(update=stated)})
    given = {
        "server": server,
        "workers": workers,
        "log_file": log_file,
        "metrics_port": metrics_port,
        "metrics_file": metrics_file,
        "runner": runner,
        "cluster": cluster,
    }
    how = how.model_copy(update={name: value for name, value in given.items() if value is not None})
    if how.cluster is not None and how.runner == "threads":
        raise typer.BadParameter("say what it is: --runner dask or --runner ray", param_hint="--cluster")
    return what, how


def _stop_after_what_is_under_way(number: int, frame: object) -> None:
    """Ctrl-C: the shards at work are finished and kept. Again: at once; the servers end with this process."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    print("stopping once the shards under way are written; Ctrl-C again stops at once", file=sys.stderr)
    raise KeyboardInterrupt


def run_flow(
    source: Path | str,
    root: str | Path,
    what: BuildConfig,
    how: Resources,
    buckets: int,
    annotations: Path | None = None,
) -> BuildReport:
    """Run `build_corpus` on this machine, against the user's Prefect API or one that lives as long as the run."""
    from pipeline.descriptions.embedded import embedded_language_model

    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # bars and the report tell all; read at the import
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with embedded_language_model() as language_model:
        if how.server is None:
            language_model.warm_up()  # starts beside Prefect
        from flows.corpus import build_corpus
        from flows.prefect_api import prefect_api

        with prefect_api():
            return build_corpus(source, root, what, how, buckets, annotations)


def _print_build(corpus: Corpus, report: BuildReport | None, notes: tuple[str, ...]) -> None:
    from flows.console import console, print_counts, print_rows
    from pipeline.plan import COMPARED, compare, compared_rows

    number = corpus.snapshot.number
    for note in notes if report is None else report.warnings:
        print(f"facescribe: {note}", file=sys.stderr)
    if report is None:
        console.print(
            f"nothing to do: snapshot {number} is up to date; computed nothing, asked the language model nothing"
        )
    else:
        computed = {name: stage.num_computed for name, stage in report.stages.items() if stage.num_computed}
        words = ", ".join(f"{name} {count}" for name, count in computed.items()) or "nothing"
        kept = sum(stage.num_taken_over for stage in report.stages.values())
        console.print(f"snapshot {number}{'' if report.is_new else ' (unchanged)'} in {report.wall_s:.1f} s")
        console.print(f"units computed: {words}; taken over: {kept}")
        if rows := compared_rows(compare(report.plan, report.stages)):
            print_rows(COMPARED, rows)
    print_counts(corpus)


def _print_plan(planned: Plan) -> None:
    from flows.console import console, print_rows
    from pipeline.plan import PLANNED, planned_rows

    if rows := planned_rows(planned):
        print_rows(PLANNED, rows)
    console.print(planned.summary(), highlight=False)
    for note in planned.notes:
        console.print(note, highlight=False)
