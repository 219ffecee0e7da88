"""Write a folder of labelled clips and the truth about them; go on where an interrupted run stopped."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.progress import report
from pipeline.synthetic.clip import write_clip
from pipeline.synthetic.distractors import DISTRACTORS, check_distractors
from pipeline.synthetic.person import face_mesh
from pipeline.synthetic.plan import VERSION, plan_clip
from pipeline.synthetic.recipes import LABELS, recipe_kind
from schemas.truth import TRUTH

TRUTH_FILE, RECIPE_FILE, PARTS = "truth.parquet", "corpus.json", ".parts"

NUM_PEOPLE = 64
"""Persons of a corpus: each is seen in several clips, so that a split by person can be made. Another seed, others."""

PLAIN = "none"
"""Among the distractors of a corpus: a clip without any."""

ALL = (PLAIN,) * 5 + tuple(DISTRACTORS)
"""A quarter of the clips plain, the others with every distractor in turn."""

SECOND_SHARE = 0.3
"""Share of the distracted clips that get a second distractor."""


class FolderError(ValueError):
    """The folder is not ours to write to: it holds something else, or a corpus made in another way."""


class WorkerError(RuntimeError):
    """A process that rendered clips is gone."""


@dataclass(frozen=True)
class CorpusRecipe:
    """All that decides what the clips of a corpus are, except how many they are. Written beside them."""

    seed: int = 7
    recipes: tuple[str, ...] = LABELS
    distractors: tuple[str, ...] = ALL
    size: tuple[int, int] = (640, 360)
    fps: float = 30.0
    seconds: float = 2.5
    version: int = VERSION


@dataclass(frozen=True)
class ClipOrder:
    """One clip to be made: its file name, its own seed, and what it shows."""

    name: str
    seed: int
    recipe: str
    distractors: tuple[str, ...]


def write_corpus(
    folder: Path,
    clips: int,
    seed: int = 7,
    *,
    recipes: Sequence[str] = LABELS,
    distractors: Sequence[str] = ALL,
    size: tuple[int, int] = (640, 360),
    fps: float = 30.0,
    seconds: float = 2.5,
    workers: int = 1,
) -> Path:
    """Write `clips` videos and, last, truth.parquet; return the path of that.

    Recipes (labels or single actions) and distractors are dealt out in turn, so that every one is seen equally often;
    "none" among the distractors is a clip without any. Finished clips of an earlier run are kept, so an interrupted
    corpus is completed and a smaller one enlarged; its first clips are the same. Progress: `pipeline.progress`.

    Raises:
        FolderError: the folder holds something else, or a corpus of another seed, size, …
        RecipeError, DistractorError, ClipError: something asked for that no clip can be.
        WorkerError: a worker process was killed; the finished clips are kept.
        OSError: the folder cannot be written.
    """
    recipe = CorpusRecipe(seed, tuple(recipes), _in_order(distractors), size, fps, seconds)
    orders = order_clips(recipe, clips)
    plan_clip(0, size=size, fps=fps, seconds=seconds)  # a size that no clip can have fails here, not in a worker
    _claim(folder, recipe)
    rows = _finished_rows(folder)
    waiting = [order for order in orders if order.name not in rows]
    report("synthesize_clips", 0, done=clips - len(waiting), total=clips)
    for number, (name, made) in enumerate(_make_all(folder, recipe, waiting, workers), start=1):
        rows[name] = made
        report("synthesize_clips", 0, done=clips - len(waiting) + number, total=clips)
    truth = pa.concat_tables([rows[name] for name in sorted(rows)]) if rows else TRUTH.empty()
    _write_parquet(TRUTH.conform(truth), folder / TRUTH_FILE)
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    return folder / TRUTH_FILE


def read_truth(folder: Path) -> pa.Table:
    """The table TRUTH of a corpus that `write_corpus` finished.

    Raises:
        FileNotFoundError: there is none.
    """
    return TRUTH.conform(pq.read_table(folder / TRUTH_FILE, partitioning=None))


def order_clips(recipe: CorpusRecipe, clips: int) -> list[ClipOrder]:
    """What each clip shows. Clip k is the same however many follow it.

    Raises:
        RecipeError: a recipe that is neither a label nor an action.
    """
    for name in recipe.recipes:
        recipe_kind(name)
    orders = []
    for number in range(clips):
        rng = np.random.default_rng([recipe.seed, number])
        name = _dealt(recipe.recipes, recipe.seed, number)
        first = _dealt(recipe.distractors, recipe.seed + 1, number)
        others = [other for other in dict.fromkeys(recipe.distractors) if other not in (first, PLAIN)]
        chosen = [] if first == PLAIN else [first]
        if chosen and others and rng.random() < SECOND_SHARE:
            chosen.append(str(rng.choice(others)))
        clip = "_".join([f"{number:04d}", name, *chosen]) + ".mp4"
        orders.append(ClipOrder(clip, int(rng.integers(2**31)), name, check_distractors(chosen)))
    return orders


def people_of(seed: int) -> tuple[int, ...]:
    """The seeds of the NUM_PEOPLE persons of a corpus; two corpora share one by chance only (2^31 there are)."""
    return tuple(int(person) for person in np.random.default_rng([seed, NUM_PEOPLE]).integers(2**31, size=NUM_PEOPLE))


def _dealt(names: Sequence[str], seed: int, number: int) -> str:
    """The name on place `number` of one shuffled pack after another."""
    pack, place = divmod(number, len(names))
    return names[int(np.random.default_rng([seed, len(names), pack]).permutation(len(names))[place])]


def _in_order(distractors: Sequence[str]) -> tuple[str, ...]:
    known = check_distractors(name for name in distractors if name != PLAIN)
    return (PLAIN,) * (list(distractors).count(PLAIN) or not known) + known


def _claim(folder: Path, recipe: CorpusRecipe) -> None:
    """Make the folder, or make sure that it holds clips of this recipe."""
    ours = json.loads(json.dumps(asdict(recipe)))
    file = folder / RECIPE_FILE
    folder.mkdir(parents=True, exist_ok=True)
    if file.is_file():
        theirs = _read_recipe(file)
        other = [name for name in ours if theirs.get(name) != ours[name]]
        if other:
            said = "; ".join(f"{name} there {theirs.get(name)}, here {ours[name]}" for name in other)
            raise FolderError(f"{folder} holds a corpus made in another way ({said}): name another folder")
    elif found := next(folder.iterdir(), None):
        raise FolderError(f"{folder} holds something else ({found.name}, …): name a new or empty folder")
    else:
        file.write_text(json.dumps(ours, indent=1) + "\n", encoding="utf-8")
    (folder / PARTS).mkdir(exist_ok=True)


def _read_recipe(file: Path) -> Mapping[str, Any]:
    try:
        recipe = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        recipe = None
    if not isinstance(recipe, dict):
        raise FolderError(f"{file} is not one that synth wrote: name a new or empty folder")
    return recipe


def _finished_rows(folder: Path) -> dict[str, pa.Table]:
    """Rows of the clips that are there whole: video and truth both, from the truth or from an unfinished run."""
    files = [*(folder / PARTS).glob("*.parquet"), *folder.glob(TRUTH_FILE)]
    tables = [TRUTH.conform(pq.read_table(file, partitioning=None)) for file in files]
    rows: dict[str, pa.Table] = {}
    for table in tables:
        clips = table["clip"].to_pylist()
        for name in dict.fromkeys(clips):
            if (folder / name).is_file():
                rows[name] = table.slice(clips.index(name), clips.count(name))
    return rows


def _make_all(
    folder: Path, recipe: CorpusRecipe, orders: Sequence[ClipOrder], workers: int
) -> Iterator[tuple[str, pa.Table]]:
    """Render the clips, `workers` at a time, and yield the rows of each when it is done."""
    if workers <= 1 or len(orders) <= 1:
        for order in orders:
            yield order.name, make_clip(folder, recipe, order)
        return
    face_mesh()  # fetched and unpacked once, before several processes want it
    with _pool(min(workers, len(orders))) as pool:
        futures: dict[Future[pa.Table], str] = {
            pool.submit(make_clip, folder, recipe, order): order.name for order in orders
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            words = "a rendering process was killed, perhaps for want of memory: finished clips are kept, run it again"
            raise WorkerError(f"{words} with fewer workers") from error


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that render; when the reader stops early, what waits is dropped and what is under way is finished."""
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (os.getpid(),))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(owner_pid: int) -> None:
    """Ctrl-C is the owner's to hear; a dead owner's workers end too; and one process keeps to one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != owner_pid:
        os._exit(1)  # it died before we asked to be told
    cv2.setNumThreads(1)


def make_clip(folder: Path, recipe: CorpusRecipe, order: ClipOrder) -> pa.Table:
    """Render one clip into the folder; its rows are kept beside the others' until the truth is written."""
    is_label = recipe_kind(order.recipe) == "label"
    plan = plan_clip(
        order.seed,
        label=order.recipe if is_label else None,
        action=None if is_label else order.recipe,
        distractors=order.distractors,
        size=recipe.size,
        fps=recipe.fps,
        seconds=recipe.seconds,
        identities=people_of(recipe.seed),
    )
    rows = TRUTH.rows(write_clip(plan, folder / order.name))
    _write_parquet(rows, folder / PARTS / f"{order.name}.parquet")
    return rows


def _write_parquet(table: pa.Table, path: Path) -> None:
    part = path.with_name(f".{path.name}.part")
    pq.write_table(table, part, compression="zstd")
    part.replace(path)
