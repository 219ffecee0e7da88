"""Count what is computed again after each kind of change, stage by stage, over a hundred clips.

    python bench/reuse.py                # a table in Markdown; some five minutes, most of them for the first build

The clips are pieces of two real videos, each with one face. A server that answers by rule stands in for the language
model, for what is counted is who is asked, not what is said. Every change begins from the same first build.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import planning
from pipeline import walk as walking
from pipeline.assets import fetch
from pipeline.descriptions.prompt import PROMPTS
from pipeline.descriptions.refine_stage import EMBEDDED_WEIGHTS, RefineConfig
from pipeline.plan import Plan
from pipeline.planning import plan_walk
from pipeline.stage import Resources, Stage
from pipeline.store import Store
from pipeline.walk import WALK, BuildConfig, open_walk
from tests.answer_server import answering
from tests.real_corpus import asking_by_rule, cut_clip

PIECES = 80
"""That the first video gives."""
BUCKETS = 16


@dataclass
class Run:
    """What is built: a place with `videos` and `corpus`, by which config and stages, and with which annotations."""

    place: Path
    config: BuildConfig = field(default_factory=BuildConfig)
    annotations: Path | None = None
    stages: Sequence[Stage[Any]] = WALK


def main() -> None:
    """Build, change, build again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="facescribe-reuse-"))
    try:
        with answering() as answers:
            base = Run(folder / "base", with_prompt(folder / "own.toml"))
            make_clips(base.place / "videos", arguments.clips)
            build = partial(build_again, server=answers.address)
            print(f"| changed | {' | '.join(stage.name for stage in WALK)} | s | plan: sure / at most |")
            print("|---" * (len(WALK) + 3) + "|")
            say("all (first build)", *build(base))
            for change in CHANGES:
                with_prompt(folder / "own.toml")  # as it was at first, where a change has changed it
                run = replace(base, place=folder / change.__name__)
                shutil.copytree(base.place, run.place)
                say(str(change.__doc__), *build(change(run)))
                shutil.rmtree(run.place)
    finally:
        shutil.rmtree(folder)


def make_clips(videos: Path, count: int) -> None:
    """Pieces of two videos, each begun a frame later than the one before."""
    videos.mkdir(parents=True)
    for number in range(count):
        name, first = ("carphone_pristine.mp4", number) if number < PIECES else ("single_face.mp4", number - PIECES)
        cut_clip(fetch(name), videos / f"{number:03d}.mp4", first=first)


def build_again(run: Run, server: str) -> tuple[dict[str, tuple[int, int]], float, Plan]:
    """Units computed and asked for, by stage; seconds; and the plan before it."""
    walking.WALK = planning.WALK = tuple(run.stages)
    began = time.monotonic()
    walk = open_walk(
        Store.open_or_create(run.place / "corpus", BUCKETS),
        run.place / "videos",
        asking_by_rule(run.config),
        run.annotations,
    )
    plan = plan_walk(walk)
    walk.keep_sources()
    resources = Resources(source=run.place / "videos", server=server)
    computed = {}
    for stage in run.stages:
        with ThreadPoolExecutor(resources.workers) as pool:
            results = list(pool.map(partial(walk.run, stage, resources=resources), walk.take_settled(stage)))
        total = sum(receipt.num_units for receipt in walk.receipts if receipt.stage == stage.name)
        computed[stage.name] = (sum(result.num_computed for result in results), total)
    walk.commit(run.place / "videos", max_duplicate_share=1.0)  # two faces, and so the texts are much alike
    return computed, time.monotonic() - began, plan


def say(change: str, computed: dict[str, tuple[int, int]], seconds: float, plan: Plan) -> None:
    """Print one row."""
    cells = [f"**{count}** / {total}" if count else f"0 / {total}" for count, total in computed.values()]
    sure = sum(stage.num("will") + stage.num("about") for stage in plan.stages)
    most = sum(work.num_units for stage in plan.stages for work in stage.work)
    print(f"| {change} | {' | '.join(cells)} | {seconds:.1f} | {sure} / {most} |", flush=True)


def nothing(run: Run) -> Run:
    """nothing"""
    return run


def inputs(run: Run) -> Run:
    """1 % of the inputs: one clip more"""
    cut_clip(fetch("single_face.mp4"), run.place / "videos" / "more.mp4", first=34)
    return run


def replaced(run: Run) -> Run:
    """1 % of the inputs: one clip has other bytes"""
    cut_clip(fetch("single_face.mp4"), run.place / "videos" / "001.mp4", first=35)
    return run


def removed(run: Run) -> Run:
    """one clip less"""
    (run.place / "videos" / "001.mp4").unlink()
    return run


def moved(run: Run) -> Run:
    """every clip moved into another folder"""
    (run.place / "videos").rename(run.place / "moved")
    (run.place / "videos").mkdir()
    (run.place / "moved").rename(run.place / "videos" / "moved")
    return run


def label(run: Run) -> Run:
    """one label"""
    (run.place / "labels.csv").write_text("path,label\n001.mp4,neutral\n")
    return replace(run, annotations=run.place / "labels.csv")


def prompt_line(run: Run) -> Run:
    """one line of the prompt"""
    return replace(
        run, config=with_prompt(run.place.parent / "own.toml", lambda text: text.replace("Notes:", "The notes:", 1))
    )


def language_model(run: Run) -> Run:
    """the weights of the language model"""
    refine = run.config.descriptions.model_copy(update={"model_revision": "another"})
    return replace(run, config=run.config.model_copy(update={"descriptions": refine}))


def face_networks(run: Run) -> Run:
    """the weights that tracks are made with, to the same tracks"""
    return replace(run, stages=changed("extract_tracks", weights=(*WALK[1].weights, EMBEDDED_WEIGHTS)))


def actions_version(run: Run) -> Run:
    """the version of measure_actions, to the same actions"""
    return replace(run, stages=changed("measure_actions", version=99))


def draft_length(run: Run) -> Run:
    """how much a draft may tell (max_events 6 -> 1)"""
    return replace(
        run, config=run.config.model_copy(update={"drafts": run.config.drafts.model_copy(update={"max_events": 1})})
    )


CHANGES: tuple[Callable[[Run], Run], ...] = (
    nothing, inputs, replaced, removed, moved, label, prompt_line, language_model, face_networks, actions_version,
    draft_length,
)  # fmt: skip


def changed(name: str, **fields: Any) -> tuple[Stage[Any], ...]:
    """The walk with one stage changed."""
    return tuple(replace(stage, **fields) if stage.name == name else stage for stage in WALK)


def with_prompt(path: Path, change: Callable[[str], str] = str) -> BuildConfig:
    """A config whose prompt is the file at `path`, written anew."""
    path.write_text(change((PROMPTS / "refine_2.toml").read_text()))
    return BuildConfig(descriptions=RefineConfig(prompt=str(path)))


if __name__ == "__main__":
    main()
