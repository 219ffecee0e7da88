"""The commands `evaluate`, `compare`, `crossval`, `ablate`: what they print and write, and how they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from flows.evaluating import ablate, compare, crossval, evaluate
from tests.training_corpus import LABELS, write_training_corpus

PEOPLE = tuple(f"p{number}" for number in range(6))
TRAIN = """
epochs = 1
batch = 6
model = {width = 16, small_channels = 8, heads = 2, sinkhorn_iterations = 5}
resources = {threads = 1, device = "cpu"}
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, a train.toml, and an ablation of two arms with two seeds."""
    folder = tmp_path_factory.mktemp("commands")
    write_training_corpus(folder / "corpus", PEOPLE, PEOPLE[3:])
    (folder / "train.toml").write_text(TRAIN, encoding="utf-8")
    done = call(
        ablate,
        *("--root", folder / "corpus", "--out", folder / "runs", "--config", folder / "train.toml"),
        *("--arms", "vision_only, balanced", "--seeds", "0,1"),
    )
    assert done.exit_code == 0, done.output
    (folder / "said.txt").write_text(done.output, encoding="utf-8")
    return folder


def call(command: Callable[..., Any], *arguments: object) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})


def flat(result: Result) -> str:
    return " ".join(result.output.replace("│", " ").split())


def test_an_ablation_prints_its_progress_its_table_and_where_the_page_is(work: Path) -> None:
    said = (work / "said.txt").read_text(encoding="utf-8")
    assert "run 1 of 4: vision_only, seed 0: is trained, UAR" in said and "run 4 of 4: balanced, seed 1" in said
    assert "difference to balanced" in said and "UAR under the controls" in said
    assert str(work / "runs" / "ablation.html") in said.replace("\n", "")


def test_one_run_is_told_in_full_and_several_by_their_mean(work: Path) -> None:
    arm = work / "runs" / "balanced"
    one = call(evaluate, arm / "seed-0", "--json", work / "one.json", "--device", "cpu")
    assert one.exit_code == 0, one.output
    for words in ("nothing was selected", "Recall by label", "Controls", "shuffled_captions", "report.html"):
        assert words in flat(one), words
    (found,) = json.loads((work / "one.json").read_text(encoding="utf-8"))
    assert found["controls"][0]["figures"]["labels"] == sorted(LABELS)
    both = call(evaluate, arm / "seed-0", arm / "seed-1", "--controls", "none")
    assert "Mean of 2 runs" in flat(both) and "Controls" not in flat(both)


def test_two_sides_are_compared_and_the_videos_counted(work: Path) -> None:
    runs = [work / "runs" / arm / f"seed-{seed}" for arm in ("balanced", "vision_only") for seed in (0, 1)]
    found = call(compare, *runs[:2], "--to", runs[2], "--to", runs[3], "--json", work / "compared.json")
    assert found.exit_code == 0, found.output
    assert "2 and 2 runs, 9 videos" in flat(found) and "draws by group (3)" in flat(found)
    assert {"uar", "war", "recalls"} <= json.loads((work / "compared.json").read_text(encoding="utf-8")).keys()


def test_folds_are_run_and_told(work: Path) -> None:
    rows = [f"{person}/{label}.mp4,{number % 2}" for number, person in enumerate(PEOPLE) for label in LABELS]
    (work / "folds.csv").write_text("\n".join(["path,fold", *rows]), encoding="utf-8")
    options = ("--root", work / "corpus", "--config", work / "train.toml", "--protocols", "official")
    found = call(crossval, *options, "--folds", work / "folds.csv", "--out", work / "folds")
    assert found.exit_code == 0, found.output
    assert "Mean of the folds" in flat(found) and "run 2 of 2: official, fold 1, seed 0" in flat(found)
    assert (work / "folds" / "crossval.html").exists()


@pytest.mark.parametrize(
    ("command", "arguments", "told"),
    [
        (evaluate, ["nowhere"], "no run at nowhere: `facescribe train --out nowhere` makes one"),
        (evaluate, ["RUN", "--split", "dev"], "no part 'dev'; there are: train, validation, test"),
        (evaluate, ["RUN", "--controls", "no_sound"], "no control 'no_sound'; there are: all, none, no_text"),
        (evaluate, ["RUN", "--beside", "nowhere"], "--beside"),
        (compare, ["RUN"], "Missing option '--to'"),
        (ablate, ["--out", "o", "--arms", "gate"], "no arm 'gate'; there are: vision_only, caption_global"),
        (ablate, ["--out", "o", "--seeds", "one"], "got 'one', expected numbers with commas between, such as 0,1,2"),
        (
            crossval,
            ["--out", "o", "--folds", "FOLDS", "--protocols", "film"],
            "no 'film'; there are: official, identity",
        ),
    ],
)
def test_wrong_usage_is_told_with_what_there_is(
    work: Path, command: Callable[..., Any], arguments: list[str], told: str
) -> None:
    places = {"RUN": work / "runs" / "balanced" / "seed-0", "FOLDS": work / "folds.csv"}
    found = call(command, *(places.get(one, one) for one in arguments))
    assert found.exit_code == 2 and told in flat(found), found.output


def test_an_error_is_one_line_and_says_what_to_do(work: Path) -> None:
    run = work / "runs" / "balanced" / "seed-0"
    command = [sys.executable, "-m", "flows", "compare", str(run), "--to", str(run), "--control", "shuffled_frames"]
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0
    command = [sys.executable, "-m", "flows", "crossval", "--folds", str(work / "no.csv"), "--out", str(work / "o")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("facescribe: no folds at ") and "DFEW" in done.stderr
    assert done.stderr.count("\n") == 1
