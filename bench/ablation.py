"""From rendered clips to the ablation table: does a small network learn expressions of strangers, and from what?

    python bench/ablation.py data/ablation                      # some three hours on two cores, most of it the 27 runs
    python bench/ablation.py data/ablation --clips 70 --epochs 1 --seeds 0 --arms vision_only,balanced

Renders clips of seven expressions with head motion, speech and flickering light as distractors, splits them by person
(14 of 64 are tested on), builds a corpus, trains every arm of the ablation, and scores what words meet against what was
drawn. Every step goes on where it stopped; two calls with other --seeds and the same OUT work side by side.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from pipeline.synthetic.corpus import RECIPE_FILE, TRUTH_FILE, read_truth, write_corpus

LABELS = ("happiness", "sadness", "anger", "surprise", "fear", "disgust", "neutral")
DISTRACTORS = ("head_motion", "speech", "flicker")
ARMS = (
    "vision_only,caption_global,motion_gate,attention,balanced,unbalanced,"
    "shuffled_captions,shuffled_frames,shuffled_labels"
)
TEST_PEOPLE, SEED = 14, 21
TRAIN = """
epochs = {epochs}
batch = 16
learning_rate = 3e-3
warmup_epochs = 1
[augment]
shift = 0.02
zoom = 0.04
[resources]
threads = 1
"""
BUILD = """
[resources]
max_duplicate_share = 1.0   # seven recipes and few words: texts of different faces are often alike, and rightly so
"""


def render(folder: Path, clips: int) -> None:
    """The videos, and their truth beside the folder, where no build looks."""
    videos = folder / "videos"
    if not (folder / TRUTH_FILE).is_file():
        write_corpus(videos, clips, SEED, recipes=LABELS, distractors=DISTRACTORS, size=(320, 240), fps=15.0, workers=2)
        for name in (RECIPE_FILE, TRUTH_FILE):
            (videos / name).rename(folder / name)
    truth = read_truth(folder).to_pylist()
    people = sorted({row["identity"] for row in truth})
    tested = {people[number] for number in np.random.default_rng(5).permutation(len(people))[:TEST_PEOPLE]}
    with (folder / "annotations.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "split", "group", "licence", "consent"])
        for row in truth:
            split = "test" if row["identity"] in tested else "train"
            table.writerow([row["clip"], row["label"], split, row["identity"], "CC0-1.0", "drawn"])


def facescribe(*arguments: object) -> None:
    """Run a command of this environment's facescribe."""
    subprocess.run([sys.executable, "-m", "flows", *map(str, arguments)], check=True)


def main() -> None:
    """Render, build, ablate, align."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=1400)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--arms", default=ARMS)
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    render(out, options.clips)
    (out / "train.toml").write_text(TRAIN.format(epochs=options.epochs), encoding="utf-8")
    (out / "build.toml").write_text(BUILD, encoding="utf-8")
    given = ("--annotations", out / "annotations.csv", "--config", out / "build.toml")
    facescribe("build", out / "videos", "--root", out / "corpus", *given)
    how = ("--arms", options.arms, "--seeds", options.seeds, "--config", out / "train.toml")
    facescribe("ablate", "--root", out / "corpus", "--out", out / "runs", *how)
    for arm in ("attention", "balanced", "unbalanced"):
        for seed in options.seeds.split(","):
            if (run := out / "runs" / arm / f"seed-{seed}").is_dir():
                facescribe("align", run, "--truth", out / TRUTH_FILE)


if __name__ == "__main__":
    main()
