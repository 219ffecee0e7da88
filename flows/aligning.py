"""The command `align`: what the words of a corpus meet in the frames, as a finished network aligns them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.evaluating import Device, opened_run, resources_of, split_of, told

DISAGREEMENTS, ALIGNMENT, PICTURES = "disagreements.parquet", "alignment.parquet", "alignments"


def align(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run whose network aligns words.")],
    split: Annotated[str, typer.Option(help="Of which clips: test, validation or train.")] = "test",
    truth: Annotated[
        Path | None,
        typer.Option(help="truth.parquet of rendered clips: score against what was drawn, not against the claims."),
    ] = None,
    pictures: Annotated[int, typer.Option(min=0, help="Draw this many clips, those of the longest texts.")] = 4,
    limit: Annotated[int, typer.Option(min=1, help="Most texts to list that disagree with their clip.")] = 50,
    device: Device = None,
) -> None:
    """Tell which words meet which regions and moments, how often rightly, and which texts disagree with their clip.

    Right is the region of an action, and the time of its claim. The mass of the words that tell it (`own`) stands
    beside that of all words on the same place (`all`) and even mass (`chance`): only `own` above `all` is alignment of
    words. Writes into the run's folder: alignment.parquet (a row per told action), disagreements.parquet (texts to
    refine again, the worst first) and alignments/*.png. How to read them: docs/alignment.md.

        facescribe align runs/first

        facescribe align runs/first --truth data/synthetic/truth.parquet --pictures 8
    """
    from flows.console import console, print_frame, progress_bars
    from pipeline.training.alignment_picture import draw_alignments
    from pipeline.training.alignment_scores import disagreements, measure_alignment, read_truth, summarise_alignment
    from pipeline.training.predict import Predictor

    part, how = split_of(split), resources_of(device)
    place = how.torch_device
    with told():
        finished = opened_run(run, "RUN")
        events = None if truth is None else read_truth(truth)
        with progress_bars():
            asked = Predictor(finished, resources=how)
            rows = measure_alignment(finished, asked.clips, asked.positions(part), truth=events, device=place)
            rows.to_parquet(run / ALIGNMENT)
            clip_ids = rows.drop_duplicates("clip_id").sort_values("text", key=lambda text: -text.str.len())["clip_id"]
            place_of = {clip: number for number, clip in enumerate(asked.clips.table["clip_id"].to_pylist())}
            shown = [place_of[clip] for clip in clip_ids[:pictures]]
            drawn = draw_alignments(finished, asked.clips, shown, run / PICTURES, device=place)
    listed = disagreements(rows, limit)
    listed.to_parquet(run / DISAGREEMENTS)
    print_frame(summarise_alignment(rows).round(3), None, 20)
    console.print(
        f"{len(rows)} told actions of {rows['video_id'].nunique()} videos; {len(listed)} disagree with their clip: "
        f"{(run / DISAGREEMENTS).resolve()}; pictures: {len(drawn)} in {(run / PICTURES).resolve()}",
        highlight=False,
        soft_wrap=True,
    )
