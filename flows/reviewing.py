"""The commands of reviews: `facescribe review import`, `export` and others. docs/review.md says how."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.building import DEFAULT_ROOT, Root
from flows.ending import FAILED
from flows.review_tools import Given, read_from_argilla, read_from_label_studio, send_out

if TYPE_CHECKING:
    from pipeline.reviews.agreement import Agreement, Coefficient
    from pipeline.reviews.answers import Answers
    from pipeline.reviews.edits import EditFate
    from pipeline.reviews.importing import ImportReport
    from pipeline.reviews.standing import Judged, Standing

review = typer.Typer(
    no_args_is_help=True,
    help="Take what people decided on texts into the corpus, and see how far they agree.",
)


review.command("export")(send_out)


def _gallery(path: Path, given: Given) -> Answers:
    from pipeline.reviews.answers import Answers
    from pipeline.reviews.record import read_review_file

    return Answers(read_review_file(path))


READERS: dict[str, Callable[[Path, Given], Answers]] = {
    "gallery": _gallery,
    "label-studio": read_from_label_studio,
    "argilla": read_from_argilla,
}
"""By the name that --format takes: what reads a file of that tool. Each imports its module when it is called."""

MOST_LISTED = 20
"""Lines of one kind that a command prints; --json has all of them."""

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")]
Snapshot = Annotated[int | None, typer.Option(help="An older snapshot.")]


@review.command("import")
def take_in(
    files: Annotated[list[Path], typer.Argument(help="Files of reviews, of one reviewer or of several.")],
    root: Root = DEFAULT_ROOT,
    format: Annotated[
        str, typer.Option("--format", help="The tool that wrote the files: gallery, label-studio or argilla.")
    ] = "gallery",
    time_map: Annotated[
        Path | None,
        typer.Option("--map", help="Of label-studio: the folder of the export, or the time_map.json in it."),
    ] = None,
    reviewer: Annotated[
        list[str] | None,
        typer.Option(help="Of label-studio and argilla: ID=NAME, who an id or e-mail of the tool is; again for each."),
    ] = None,
    labels_hidden: Annotated[
        bool, typer.Option("--labels-hidden", help="The reviewers were shown no emotion label.")
    ] = False,
    json: Json = False,
) -> None:
    """Take reviews into the corpus. Those of a text that is no longer there are refused by name: exit code 1.

    Every file is read before anything is taken. A review that the corpus has already adds nothing. An edited text
    becomes a new version if it stands the same check as a language model's text; else it is told what is wrong with it.

        facescribe review import anna.json ben.json

        facescribe review import reviews/*.json --root data/corpus

        facescribe review import project-2.json --format label-studio --map out/ --reviewer 1=anna
    """
    from flows.console import progress_bars
    from pipeline.reviews.importing import import_reviews
    from pipeline.store import Store

    if format not in READERS:
        raise typer.BadParameter(f"no format {format!r}; there are: {', '.join(READERS)}", param_hint="--format")
    given = Given.of(format, root, time_map, reviewer or [])
    answers = [READERS[format](path, given) for path in files]
    records = [record for one in answers for record in one.records]
    left_out = [line for one in answers for line in one.left_out]
    store = Store.open(root)
    with progress_bars():
        report = import_reviews(store, records, labels_hidden=labels_hidden, on_wait=_say_error)
    if json:
        print(_import_json(report, left_out))
    else:
        _print_import(report)
        _list("left out, since they are no decision or contradict themselves", left_out)
    if report.stale:
        raise SystemExit(FAILED)


@review.command()
def status(root: Root = DEFAULT_ROOT, snapshot: Snapshot = None, json: Json = False) -> None:
    """Say what was decided by whom, which reviews are stale, and which edits gave no text and why.

    facescribe review status
    """
    from flows.console import print_rows
    from pipeline.inspection.corpus import Corpus
    from pipeline.reviews.standing import standing
    from schemas.reviews import DECISIONS

    corpus = Corpus(root, snapshot)
    found = standing(corpus.store, corpus.snapshot)
    if json:
        print(_standing_json(found))
        return
    _say(
        f"snapshot {corpus.snapshot.number}: {found.num_texts} texts, {found.num_reviewed} reviewed, "
        f"{found.num_double} of them by several; {found.num_edited} edited texts"
    )
    rows = [[_plain(name), *(str(count) for count in counts.values())] for name, counts in found.by_reviewer.items()]
    if rows:
        print_rows(["reviewer", *DECISIONS], rows)
    _list("edits that gave no text", [_edit_in_words(one) for one in found.failed])
    _list("reviews of texts that are no longer there", [_review_in_words(one) for one in found.stale])
    if found.superseded:
        _say(f"reviews of texts that an edit has replaced since: {len(found.superseded)}")


@review.command("agreement")
def agree(
    root: Root = DEFAULT_ROOT,
    all: Annotated[
        bool, typer.Option("--all", help="Count decisions too that are not known to be blind to others'.")
    ] = False,
    snapshot: Snapshot = None,
    json: Json = False,
) -> None:
    """Say how far reviewers agree on what several of them judged: kappa of two, alpha of all, and where they differ.

    facescribe review agreement

    facescribe review agreement --all --json
    """
    from pipeline.inspection.corpus import Corpus
    from pipeline.reviews.agreement import agreement
    from pipeline.reviews.standing import judged

    corpus = Corpus(root, snapshot)
    reviews = [one.review for one in judged(corpus.store, corpus.snapshot)]
    found = agreement(reviews, blind_only=not all)
    if json:
        print(_as_json(found))
    else:
        _print_agreement(found)


@review.command()
def assign(
    reviewers: Annotated[str, typer.Option(help="Names with commas between; each becomes the name of a file.")],
    root: Root = DEFAULT_ROOT,
    share: Annotated[float, typer.Option(min=0, max=1, help="Part of the tracks that every reviewer gets.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="The same seed deals the same tracks.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Deal out so many tracks, drawn by the seed.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of the files.")] = Path("reviews"),
) -> None:
    """Deal the described tracks out to reviewers, a share of them to all: OUT/NAME.txt, a track id a line.

    facescribe review assign --reviewers anna,ben --share 0.2 --seed 1

    facescribe gallery --tracks reviews/anna.txt
    """
    from pipeline.inspection.corpus import Corpus
    from pipeline.reviews.assigning import assign as deal
    from pipeline.reviews.assigning import draw, write_assignment

    names = [name for part in reviewers.split(",") if (name := part.strip())]
    tracks = Corpus(root).arrow("descriptions", ["track_id"])["track_id"].to_pylist()
    assigned = deal(draw(tracks, limit, seed), names, share, seed)
    for name, path in write_assignment(assigned, out).items():
        _say(f"{name}: {len(assigned.tracks[name])} tracks, {assigned.num_shared} of them for all: {path}")


def _print_import(report: ImportReport) -> None:
    from pipeline.reviews.importing import count_of_decisions

    counted = ", ".join(f"{count} {decision}" for decision, count in count_of_decisions(report.added).items())
    at = "" if report.snapshot == report.snapshot_before else f": snapshot {report.snapshot}"
    _say(f"taken: {len(report.added)} reviews{f' ({counted})' if counted else ''}{at}")
    if report.num_known:
        _say(f"there already: {report.num_known}")
    if report.superseded:
        _say(f"of a version that was edited since, which they do not touch: {len(report.superseded)}")
    made = [fate for fate in report.edits if fate.fate == "text"]
    _list(
        "edited texts that stood the check",
        [f"{fate.review['track_id']}, version {fate.version}: {fate.review['edited_text']}" for fate in made],
    )
    _list(
        "edits that are kept as reviews and give no text",
        [_fate_in_words(fate) for fate in report.edits if fate.fate != "text"],
    )
    _list("refused as stale", [one.in_words() for one in report.stale])


def _print_agreement(found: Agreement) -> None:
    from pipeline.reviews.agreement import alpha_in_words, caution, kappa_in_words

    if not found.num_shared:
        _say("no text was judged by several people" + ("" if not found.num_not_blind else " who were blind to others"))
    else:
        _say(f"{found.num_shared} texts judged by several of {len(found.reviewers)} reviewers")
        if warning := caution(found.num_shared):
            _say(warning)
        _say(f"Krippendorff's alpha {_number(found.alpha)}: {alpha_in_words(found.alpha)}")
        for pair in found.pairs:
            _say(
                f"{pair.first} and {pair.second}: same decision on {pair.share_same:.0%} of {pair.num_shared} texts, "
                f"Cohen's kappa {_number(pair.kappa)}: {kappa_in_words(pair.kappa)}"
            )
    if found.num_not_blind:
        _say(f"left out, not known to be blind: {found.num_not_blind} decisions; --all counts them")
    lines = [
        f"{one.track_id}, version {one.text_version}: "
        + "; ".join(f"{name} {said}{f' ({why})' if why else ''}" for name, (said, why) in one.decisions.items())
        for one in found.differing
    ]
    _list("they differ on", lines)


def _number(found: Coefficient) -> str:
    if found.value is None:
        return "is not defined"
    interval = "" if found.low is None else f" (95 % between {found.low:.2f} and {found.high:.2f})"
    return f"{found.value:.2f}{interval}"


def _fate_in_words(fate: EditFate) -> str:
    from pipeline.reviews.edits import FATES

    of = f"{fate.review['track_id']}, edited by {fate.review['reviewer']}"
    why = "; ".join(map(str, fate.findings)) or FATES[fate.fate]
    return f"{of}: {why}"


def _edit_in_words(one: Judged) -> str:
    assert one.fate is not None  # only edits are asked
    return _fate_in_words(one.fate)


def _review_in_words(one: Judged) -> str:
    said = one.review
    return f"{said['track_id']}, version {said['text_version']}: {said['decision']} by {said['reviewer']}"


def _list(title: str, lines: list[str]) -> None:
    if lines:
        _say(f"{title}: {len(lines)}")
        for line in lines[:MOST_LISTED]:
            _say(f"  {line}")
        if len(lines) > MOST_LISTED:
            _say(f"  … {len(lines) - MOST_LISTED} more; --json lists all")


def _say(line: str) -> None:
    from flows.console import console

    console.print(_plain(line), highlight=False, markup=False, soft_wrap=True)


def _say_error(line: str) -> None:
    print(f"facescribe: {line}", file=sys.stderr)


def _plain(text: str) -> str:
    """Without what moves a terminal's cursor or turns its writing round: names, reasons and texts may hold anything."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _import_json(report: ImportReport, left_out: list[str]) -> str:
    return _as_json(
        {
            "snapshot_before": report.snapshot_before,
            "snapshot": report.snapshot,
            "added": [row["review_id"] for row in report.added],
            "num_known": report.num_known,
            "superseded": [row["review_id"] for row in report.superseded],
            "edits": [_fate_json(fate) for fate in report.edits],
            "stale": [{**one.record.model_dump(mode="json"), "why": one.why} for one in report.stale],
            "left_out": left_out,
        }
    )


def _standing_json(found: Standing) -> str:
    counts = {name: getattr(found, name) for name in ("num_texts", "num_reviewed", "num_double", "num_edited")}
    listed = {
        "stale": [one.review for one in found.stale],
        "superseded": [one.review for one in found.superseded],
        "edits_without_text": [_fate_json(one.fate) for one in found.failed if one.fate is not None],
    }
    return _as_json({**counts, "by_reviewer": found.by_reviewer, **listed})


def _fate_json(fate: EditFate) -> dict[str, object]:
    found = [asdict(finding) for finding in fate.findings]
    of = {name: fate.review[name] for name in ("review_id", "track_id", "reviewer", "edited_text")}
    return {**of, "fate": fate.fate, "text_version": fate.version, "findings": found}


def _as_json(value: object) -> str:
    import json

    return json.dumps(asdict(value) if is_dataclass(value) and not isinstance(value, type) else value, default=str)
