"""`facescribe review export`, and what `facescribe review import` asks of files of other tools than the gallery."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.building import DEFAULT_ROOT, Root

if TYPE_CHECKING:
    from pipeline.reviews.answers import Answers

TOOLS = ("label-studio", "argilla")


@dataclass(frozen=True)
class Given:
    """What the command line says of files of reviews."""

    root: str
    time_map: Path | None
    reviewers: dict[str, str]

    @classmethod
    def of(cls, format: str, root: str, time_map: Path | None, reviewers: list[str]) -> Given:
        """Checked. Raises typer.BadParameter for what the format does not have, or needs."""
        if (format == "label-studio") != (time_map is not None):
            why = (
                "give the folder that `facescribe review export` wrote: its time_map.json says what each frame shows"
                if format == "label-studio"
                else f"belongs to --format label-studio, not to {format}"
            )
            raise typer.BadParameter(why, param_hint="--map")
        if reviewers and format not in TOOLS:
            raise typer.BadParameter(f"{format} has names already, no ids: leave it out", param_hint="--reviewer")
        return cls(root, time_map, dict(_id_and_name(one) for one in reviewers))


def _id_and_name(given: str) -> tuple[str, str]:
    known, _, name = given.partition("=")
    if not known.strip() or not name.strip():
        raise typer.BadParameter(f"expected ID=NAME, such as 3=anna, got {given!r}", param_hint="--reviewer")
    return known.strip(), name.strip()


def read_from_label_studio(path: Path, given: Given) -> Answers:
    """What reviewers did in Label Studio."""
    from pipeline.reviews.label_studio_answers import read_label_studio
    from pipeline.reviews.time_map import read_time_map

    assert given.time_map is not None
    return read_label_studio(path, read_time_map(given.time_map), given.reviewers)


def read_from_argilla(path: Path, given: Given) -> Answers:
    """What reviewers answered in Argilla."""
    from pipeline.inspection.corpus import Corpus
    from pipeline.reviews.argilla_answers import read_argilla

    return read_argilla(path, given.reviewers, Corpus(given.root).arrow("reviews").to_pylist())


def send_out(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder outside of the corpus.")],
    format: Annotated[str, typer.Option("--format", help="label-studio or argilla.")],
    root: Root = DEFAULT_ROOT,
    tracks: Annotated[
        Path | None, typer.Option(help="A file with a track id a line, such as `assign` writes; by default all.")
    ] = None,
    snapshot: Annotated[int | None, typer.Option(help="An older snapshot.")] = None,
    media_url: Annotated[
        str | None,
        typer.Option(help="Of label-studio: what the films' names are added to, where they are served otherwise."),
    ] = None,
    without_licence: Annotated[
        str | None, typer.Option(help="Why videos without licence or consent may go out, in words that are kept.")
    ] = None,
) -> None:
    """Write texts for reviewers in Label Studio or Argilla. docs/label-studio.md says how to set these up.

    Label Studio gets a film of each face with the claims as spans on its time line; Argilla gets words alone. Refused
    are videos without licence or consent, and texts whose writer saw the label outside of the split `train`.

        facescribe review export out/ --format label-studio --tracks reviews/anna.txt

        facescribe review export out/ --format argilla --without-licence "our own faces, for the test bench"
    """
    from flows.console import console, progress_bars
    from pipeline.inspection.corpus import Corpus
    from pipeline.reviews.argilla import export_argilla
    from pipeline.reviews.label_studio import MEDIA_URL, export_label_studio
    from pipeline.reviews.outgoing import read_track_list
    from pipeline.store import Store

    if format not in TOOLS:
        raise typer.BadParameter(f"no format {format!r}; there are: {', '.join(TOOLS)}", param_hint="--format")
    if media_url is not None and format != "label-studio":
        raise typer.BadParameter("Argilla gets no films: leave it out", param_hint="--media-url")
    named = None if tracks is None else read_track_list(tracks)
    with Store.open(root).in_use(), progress_bars():
        corpus = Corpus(root, snapshot)
        if format == "argilla":
            made = export_argilla(corpus, folder, named, without_licence)
        else:
            made = export_label_studio(corpus, folder, named, without_licence, media_url=media_url or MEDIA_URL)
    console.print(f"{made.num_texts} texts of snapshot {made.snapshot} for {format}", highlight=False)
    if made.num_videos_without_licence:
        count = made.num_videos_without_licence
        console.print(f"{count} videos lack a licence or consent; export.json says why they went out", highlight=False)
    if format == "label-studio":
        console.print("keep time_map.json: `facescribe review import` needs it (--map)", highlight=False)
    console.print(f"folder: {folder.resolve()}", highlight=False, soft_wrap=True)
