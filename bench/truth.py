"""Score tracks and actions against the truth of rendered clips that nothing was chosen on, with the goals beside them.

    python bench/truth.py                                       # twelve clips of each kind; takes some twenty minutes
    python bench/truth.py --clips 4 --sets plain crossing cut
    python bench/truth.py --set tracks.detector=far --set tracks.redetect_every=1,tracks.detector=far

Each `--set` is one more run with these fields of the config changed, beside the run with none. Clips are rendered once
and kept under build/truth. Their seeds are not those that thresholds are calibrated on, and so are their persons.
Prints tables in Markdown. Rendered faces show that the chain is right; of its accuracy on people they show nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.length import machine, run_stages
from pipeline.inspection.corpus import Corpus
from pipeline.synthetic.corpus import PLAIN, read_truth, write_corpus
from pipeline.synthetic.recipes import LABELS
from pipeline.synthetic.score import (
    NO_FACE,
    NOT_SEEN,
    ActionScores,
    FaceScores,
    Match,
    face_figures,
    match_clips,
    score_actions,
)
from pipeline.tracks.crop import crop
from pipeline.walk import BuildConfig
from schemas.actions import ACTIONS, FACIAL_ACTIONS
from schemas.table import read_cell
from schemas.tracks import TRACKS

FOLDER = Path(__file__).resolve().parents[1] / "build" / "truth"

HELD_OUT_SEED = 770_000
"""First seed of the sets. Whatever is calibrated must keep below."""


@dataclass(frozen=True)
class ClipSet:
    """A kind of clips: what the faces do, what makes it hard, and how long it lasts."""

    distractors: tuple[str, ...]
    recipes: tuple[str, ...] = LABELS
    seconds: float = 2.5


SETS = {
    "plain": ClipSet((PLAIN,)),
    "actions": ClipSet((PLAIN,), tuple(FACIAL_ACTIONS)),
    "crossing": ClipSet(("crossing",)),
    "cut": ClipSet(("cut",)),
    "short_miss": ClipSet(("short_miss",)),
    "leave_and_return": ClipSet(("leave_and_return",), seconds=6.0),  # else what returns is too short for a track
    "several": ClipSet(("several",)),
    "small": ClipSet(("small",)),
    "profile": ClipSet(("profile",)),
    "occluders": ClipSet(("occluding_hand", "occluding_bar")),
    "head_motion": ClipSet(("head_motion",), ("neutral",)),
    "disturbed": ClipSet(("camera_shake", "speech", "blinks", "flicker", "variable_frame_rate")),
}
NO_SWITCH_SETS = ("crossing", "cut", "short_miss")
CLIPS_PER_ACTION = 3
COUNTS = ("events", "unasked")

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What one config made of one set: faces, clip by clip; actions; motion energies, track by track."""

    matches: dict[str, Match]
    actions: ActionScores
    energies: list[Energies]

    @property
    def faces(self) -> FaceScores:
        """The figures of the faces."""
        return FaceScores({clip: face_figures(matched) for clip, matched in self.matches.items()})


@dataclass(frozen=True)
class Energies:
    """How much the face of one track changes from frame to frame, in grey levels and in grey levels squared."""

    aligned: float
    fixed: float
    aligned_squared: float
    fixed_squared: float


def render_set(name: str, clips: int, workers: int) -> Path:
    """Render the clips of one set, or complete those that are there; their folder."""
    kind = SETS[name]
    clips = CLIPS_PER_ACTION * len(kind.recipes) if name == "actions" else clips
    folder, seed = FOLDER / f"{name}_{clips}", HELD_OUT_SEED + 10 * list(SETS).index(name)
    print(f"rendering {clips} clips of {name}, as far as they are not there", file=sys.stderr)
    write_corpus(
        folder,
        clips,
        seed,
        recipes=kind.recipes,
        distractors=kind.distractors,
        seconds=kind.seconds,
        workers=workers,
    )
    return folder


def score_set(folder: Path, config: BuildConfig, workers: int, *, is_motion_wanted: bool) -> Scores:
    """Run the stages on a folder of clips and score what came out."""
    truth = read_truth(folder)
    with tempfile.TemporaryDirectory(prefix="facescribe-bench-") as root:
        run_stages(folder, Path(root), config, workers=workers)
        corpus = Corpus(root)
        names = {row["video_id"]: row["path"] for row in corpus.arrow("videos", ["video_id", "path"]).to_pylist()}
        tracks, actions = corpus.arrow(TRACKS.name), corpus.arrow(ACTIONS.name)
        return Scores(
            matches=match_clips(truth, tracks, names),
            actions=score_actions(truth, tracks, actions, names),
            energies=list(_energies(corpus, tracks, names, folder)) if is_motion_wanted else [],
        )


def _energies(corpus: Corpus, tracks: pa.Table, names: dict[str, str], folder: Path) -> Iterator[Energies]:
    """For each track: how its stored crops change, and how those of a box that stands still at its median place do."""
    for track in tracks.to_pylist():
        rows = corpus.of_track("crops", track["video_id"], track["track_id"], ["position", "crop_jpeg"]).to_pylist()
        jpegs = [np.frombuffer(row["crop_jpeg"], np.uint8) for row in rows]
        aligned = np.array([cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE) for jpeg in jpegs], np.float32)
        landmarks = read_cell(TRACKS.field("landmarks_px"), track["landmarks_px"])[..., :2].astype(np.float64)
        transforms = read_cell(TRACKS.field("transforms"), track["transforms"]).astype(np.float64)
        fixed_matrix = _fixed_transform(read_cell(TRACKS.field("boxes_xyxy"), track["boxes_xyxy"]), transforms, aligned)
        fixed = np.array(list(_fixed_crops(folder / names[track["video_id"]], track, fixed_matrix, aligned.shape[1])))
        is_next = ~np.array(track["is_gap_before"][1:], np.bool_)
        a, a2 = _change(
            aligned, [_to_crop(points, m) for points, m in zip(landmarks, transforms, strict=True)], is_next
        )
        f, f2 = _change(fixed, [_to_crop(points, fixed_matrix) for points in landmarks], is_next)
        yield Energies(a, f, a2, f2)


def _fixed_transform(boxes: NDArray[Any], transforms: Matrix, crops: NDArray[np.float32]) -> Matrix:
    """[2, 3] that brings the middle of the median box to the crop's middle, at the median scale of the track's own."""
    left, top, right, bottom = np.median(boxes, axis=0).tolist()
    scale = float(np.median(np.hypot(transforms[:, 0, 0], transforms[:, 0, 1])))
    half = crops.shape[1] / 2
    return np.array([[scale, 0, half - scale * (left + right) / 2], [0, scale, half - scale * (top + bottom) / 2]])


def _fixed_crops(path: Path, track: dict[str, Any], matrix: Matrix, size: int) -> Iterator[NDArray[np.float32]]:
    """Grey crops [size, size] of the track's frames by one transform, decoded by PyAV and joined by time."""
    wanted = {round(time_s, 4) for time_s in track["times_s"]}
    with av.open(str(path)) as video:
        for frame in video.decode(video=0):
            if round(float(frame.time or 0.0), 4) in wanted:
                rgb = crop(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False), matrix, size)
                yield cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _to_crop(points: Matrix, matrix: Matrix) -> Matrix:
    moved: Matrix = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def _change(crops: NDArray[np.float32], points: Sequence[Matrix], is_next: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean absolute and mean squared change [grey level] of successive crops [T, H, W] where both show the face."""
    masks = []
    for place in points:
        mask = np.zeros(crops.shape[1:], np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(place).astype(np.int32)), 1)
        masks.append(mask > 0)
    changes = [(crops[at + 1] - crops[at])[masks[at] & masks[at + 1]] for at in np.flatnonzero(is_next).tolist()]
    every = np.concatenate(changes)
    return float(np.abs(every).mean()), float((every**2).mean())


def config_of(changes: str) -> BuildConfig:
    """A config from "tracks.detector=far,tracks.redetect_every=1"; an empty string changes nothing.

    Raises:
        pydantic.ValidationError: an unknown field or a wrong value.
    """
    nested: dict[str, dict[str, Any]] = {}
    for change in filter(None, changes.split(",")):
        place, _, value = change.partition("=")
        stage, _, name = place.partition(".")
        try:
            nested.setdefault(stage, {})[name] = json.loads(value)
        except json.JSONDecodeError:
            nested.setdefault(stage, {})[name] = value  # a word
    return BuildConfig.model_validate(nested)


def print_sets(scores: dict[str, Scores]) -> None:
    """One row for each set."""
    print(
        "| set | clips | sightings | recall | false per frame | switches | fragmentations | restarts | over cuts |",
        end="",
    )
    print(" IoU median | late start, s | early end, s | apex error, frames | mean F1 |")
    print("|---" * 14 + "|")
    for name, score in {**scores, "all": _together(scores)}.items():
        faces, actions = score.faces.pooled, score.actions
        row = faces.row()
        print(
            f"| {name} | {len(score.faces.clips)} | {faces.num_wanted} | {faces.recall:.4f}"
            f" | {faces.false_per_frame:.4f}"
            f" | {faces.num_switches} | {faces.num_fragmentations} | {faces.num_restarts} | {faces.num_across_cuts}"
            f" | {faces.iou_median:.3f} | {row['late_start_s']:.3f} (max {row['late_start_s_max']:.2f})"
            f" | {row['early_end_s']:.3f} (max {row['early_end_s_max']:.2f})"
            f" | {np.median(actions.pooled.apex_errors_frames or [np.nan]):.2f} | {actions.mean_f1:.3f} |"
        )


def _together(scores: dict[str, Scores]) -> Scores:
    matches = {f"{name}/{clip}": matched for name, score in scores.items() for clip, matched in score.matches.items()}
    first, *others = (score.actions for score in scores.values())
    energies = [energy for score in scores.values() for energy in score.energies]
    return Scores(matches, sum(others, first), energies)


def print_faults(scores: dict[str, Scores], least_recall: float) -> None:
    """For each clip with a fault a line per track, a sign per frame: the face that it has, x none, space no box."""
    for clip, matched in _together(scores).matches.items():
        figures = face_figures(matched)
        num_faults = figures.num_switches + figures.num_fragmentations + figures.num_across_cuts
        if not num_faults and figures.recall >= least_recall:
            continue
        print(f"\n{clip}: recall {figures.recall:.3f}, {figures.num_switches} switches, ", end="")
        print(f"{figures.num_fragmentations} fragmentations, {figures.num_across_cuts} over cuts\n\n```")
        for track_id, owner in zip(matched.track_ids, matched.owner.tolist(), strict=True):
            signs = [{NOT_SEEN: " ", NO_FACE: "x"}.get(face, str(face)) for face in owner]
            print(f"track {track_id[:6]} |{''.join(signs)}|")
        for face, (is_wanted, is_ignored) in enumerate(zip(matched.is_wanted, matched.is_ignored, strict=True)):
            signs = [
                "#" if wanted else "." if ignored else " "
                for wanted, ignored in zip(is_wanted, is_ignored, strict=True)
            ]
            print(f"face {face:<7} |{''.join(signs)}|")
        print("```")


def print_actions(scores: ActionScores) -> None:
    """One row for each action."""
    columns = {
        "events": "events",
        "unasked": "not measurable",
        "precision": "precision",
        "recall": "recall",
        "f1": "F1",
        "right_side": "right side",
        "apex_error_frames": "apex error, frames",
        "measurable_share": "frames measurable",
        "frame_precision": "frame precision",
        "frame_recall": "frame recall",
        "frame_f1": "frame F1",
        "denied_share": "frames wrongly denied",
    }
    frame = scores.to_frame()
    print(f"| action | unit | {' | '.join(columns.values())} |\n|---|---|{'---|' * len(columns)}")
    for _, row in frame.iterrows():
        cells = [
            "" if pd.isna(row[name]) else str(row[name]) if name in COUNTS else f"{row[name]:.2f}" for name in columns
        ]
        print(f"| {row['action']} | {FACIAL_ACTIONS[row['action']].action_unit} | {' | '.join(cells)} |")


@dataclass(frozen=True)
class Goal:
    """One line of the last table: what is wanted, in words, what was got, and whether that is enough."""

    text: str
    value: float
    is_met: bool


def goals(scores: dict[str, Scores]) -> list[Goal]:
    """The goals, as far as the sets that were run can tell."""
    together = _together(scores)
    faces, actions = together.faces.pooled, together.actions
    share = len(actions.called_measurable) / max(1, len(actions.shown))
    found = [_at_least(f"face recall in `{name}` >= 0.99", s.faces.pooled.recall, 0.99) for name, s in scores.items()]
    found.append(_at_least("face recall in all sets >= 0.99", faces.recall, 0.99))
    for name in [name for name in NO_SWITCH_SETS if name in scores]:
        pooled = scores[name].faces.pooled
        found.append(_at_most(f"identity switches in `{name}` 0", pooled.num_switches + pooled.num_across_cuts, 0))
    found.append(_at_most("identity switches in all sets 0", faces.num_switches + faces.num_across_cuts, 0))
    found.append(_at_least("box IoU, median >= 0.85", faces.iou_median, 0.85))
    apex = float(np.median(actions.pooled.apex_errors_frames or [np.nan]))
    found.append(_at_most("apex error, median <= 2 frames", apex, 2))
    found.append(_at_least("mean F1 of events of the measurable actions >= 0.75", actions.mean_f1, 0.75))
    found.append(_at_least("their frames: mean F1 (no goal)", actions.mean_frame_f1, 0))
    found.append(_at_least("share of the shown actions that is called measurable (no goal)", share, 0))
    pooled_actions = actions.pooled
    found.append(
        _at_least(
            "share of frames called measurable (no goal)",
            pooled_actions.num_measurable / max(1, pooled_actions.num_seen),
            0,
        )
    )
    if energies := together.energies:
        ratio = np.median([energy.aligned / energy.fixed for energy in energies])
        squared = np.median([energy.aligned_squared / energy.fixed_squared for energy in energies])
        found.append(_at_most("residual motion of a moving head <= 0.25 (squared change)", float(squared), 0.25))
        found.append(_at_most("the same, absolute change <= 0.25", float(ratio), 0.25))
    return found


def _at_least(text: str, value: float, goal: float) -> Goal:
    return Goal(text, value, value >= goal)


def _at_most(text: str, value: float, goal: float) -> Goal:
    return Goal(text, value, value <= goal)


def print_goals(columns: dict[str, list[Goal]]) -> None:
    """One row for each goal, one column for each config; what is missed is in bold."""
    print(f"| goal | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for row in zip(*columns.values(), strict=True):
        cells = [f"{goal.value:.3f}" if goal.is_met else f"**{goal.value:.3f}**" for goal in row]
        print(f"| {row[0].text} | {' | '.join(cells)} |")


def main() -> None:
    """Render what is missing, run every config on every set, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12, help="clips of each set")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="sets to run")
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], metavar="STAGE.FIELD=VALUE,…", help="run too"
    )
    parser.add_argument("--workers", type=int, default=2, help="clips rendered, and shards computed, side by side")
    parser.add_argument("--least-recall", type=float, default=0.9, help="show a clip's tracks where recall is below")
    parser.add_argument("--no-defaults", action="store_true", help="leave out the run without changes")
    arguments = parser.parse_args()

    folders = {name: render_set(name, arguments.clips, arguments.workers) for name in arguments.sets}
    print(f"{machine()} Seeds from {HELD_OUT_SEED}.")
    columns = {}
    for changes in [*([] if arguments.no_defaults else [""]), *arguments.changes]:
        config, title = config_of(changes), changes or "defaults"
        print(f"{title}", file=sys.stderr)
        scores = {
            name: score_set(folder, config, arguments.workers, is_motion_wanted=name == "head_motion")
            for name, folder in folders.items()
        }
        print(f"\n## {title}\n")
        print_sets(scores)
        print_faults(scores, arguments.least_recall)
        print()
        print_actions(_together(scores).actions)
        columns[title] = goals(scores)
    print("\n## Goals\n")
    print_goals(columns)


if __name__ == "__main__":
    main()
