"""A corpus on disk: the same from any run, completed after an interruption, never written over something else."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import pyarrow.parquet as pq
import pytest

from pipeline.progress import listening
from pipeline.synthetic.clip import plan_clip, write_clip
from pipeline.synthetic.corpus import ALL, CorpusRecipe, FolderError, order_clips, people_of, read_truth, write_corpus
from pipeline.synthetic.distractors import DISTRACTORS
from pipeline.synthetic.recipes import LABELS
from schemas.table import describe
from schemas.truth import TRUTH

TINY = {"size": (160, 128), "fps": 5.0, "seconds": 1.0}
Stamps = dict[str, int]


def tiny_corpus(folder: Path, clips: int, seed: int = 3, workers: int = 1, **wish: object) -> Path:
    return write_corpus(folder, clips, seed, workers=workers, **{**TINY, **wish})  # type: ignore[arg-type]


def stamps(folder: Path) -> Stamps:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.mp4")}


def test_a_corpus_is_its_videos_and_one_truth(tmp_path: Path) -> None:
    truth = tiny_corpus(tmp_path / "out", 3, distractors=["cut"])
    assert truth == tmp_path / "out" / "truth.parquet"
    table = TRUTH.conform(pq.read_table(truth))
    assert table.schema.metadata == TRUTH.schema.metadata
    assert table.num_rows == 6
    clips = sorted(set(table["clip"].to_pylist()))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*clips, "corpus.json", "truth.parquet"]
    assert [name.partition("_")[0] for name in clips] == ["0000", "0001", "0002"]
    assert all(name.endswith("_cut.mp4") for name in clips)


def test_two_workers_write_what_one_writes(tmp_path: Path) -> None:
    one = tiny_corpus(tmp_path / "one", 3)
    two = tiny_corpus(tmp_path / "two", 3, workers=2)
    assert pq.read_table(one).equals(pq.read_table(two))
    for path in (tmp_path / "one").glob("*.mp4"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_an_interrupted_corpus_is_completed_and_keeps_what_was_finished(tmp_path: Path) -> None:
    def stop_after_two(stage: str, bucket: int, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(stop_after_two):
        tiny_corpus(tmp_path / "out", 4)
    assert not (tmp_path / "out" / "truth.parquet").exists(), "the truth is written last"
    before = stamps(tmp_path / "out")
    truth = tiny_corpus(tmp_path / "out", 4)
    assert len(before) == 2
    assert before.items() <= stamps(tmp_path / "out").items()
    assert pq.read_table(truth).equals(pq.read_table(tiny_corpus(tmp_path / "whole", 4)))


def test_a_finished_corpus_is_left_alone_and_can_be_enlarged(tmp_path: Path) -> None:
    tiny_corpus(tmp_path, 2)
    before = stamps(tmp_path)
    tiny_corpus(tmp_path, 2)
    assert stamps(tmp_path) == before
    tiny_corpus(tmp_path, 3)
    assert before.items() < stamps(tmp_path).items()
    assert len(set(read_truth(tmp_path)["clip"].to_pylist())) == 3


def test_a_clip_that_is_gone_is_made_again(tmp_path: Path) -> None:
    truth = pq.read_table(tiny_corpus(tmp_path, 2))
    next(tmp_path.glob("0001*.mp4")).unlink()
    assert pq.read_table(tiny_corpus(tmp_path, 2)).equals(truth)
    assert len(stamps(tmp_path)) == 2


def test_another_corpus_or_something_else_is_not_written_over(tmp_path: Path) -> None:
    tiny_corpus(tmp_path / "ours", 1)
    with pytest.raises(FolderError, match="seed there 3, here 4"):
        tiny_corpus(tmp_path / "ours", 1, seed=4)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "diary.txt").write_text("dear diary")
    with pytest.raises(FolderError, match="diary.txt"):
        tiny_corpus(tmp_path / "theirs", 1)
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["diary.txt"]


def test_labels_and_distractors_are_dealt_out_evenly() -> None:
    orders = order_clips(CorpusRecipe(seed=1), 160)
    assert set(Counter(order.recipe for order in orders).values()) == {20}
    firsts = Counter(order.name.split("_", 2)[2].partition(".")[0] if order.distractors else "" for order in orders)
    assert firsts[""] == 40
    seen = Counter(name for order in orders for name in order.distractors)
    assert set(seen) == set(DISTRACTORS)
    assert min(seen.values()) >= 8
    assert {len(order.distractors) for order in orders} == {0, 1, 2}
    assert orders[:50] == order_clips(CorpusRecipe(seed=1), 50)
    assert ALL.count("none") * 4 == len(ALL)


def test_a_clip_can_be_drawn_again_from_its_row(tmp_path: Path) -> None:
    tiny_corpus(tmp_path, 1, distractors=["crossing"])
    first, *_ = rows = read_truth(tmp_path).to_pylist()
    wish = {"label": first["label"], "distractors": first["distractors"], "identities": people_of(3)}
    again = write_clip(plan_clip(first["seed"], **wish, **TINY), tmp_path / first["clip"])  # type: ignore[arg-type]
    assert TRUTH.rows(again).to_pylist() == rows


def test_the_page_tells_every_distractor_and_column() -> None:
    page = (Path(__file__).parents[2] / "docs" / "synthetic.md").read_text(encoding="utf-8")
    missing = [name for name, meaning in DISTRACTORS.items() if f"| `{name}` | {meaning} |" not in page]
    missing += [line["column"] for line in describe([TRUTH]) if f"| {line['meaning']} |" not in page]
    assert not missing


def test_single_actions_can_be_ordered_for_calibration(tmp_path: Path) -> None:
    tiny_corpus(tmp_path, 2, recipes=["jaw_drop"], distractors=["none"])
    for row in read_truth(tmp_path).to_pylist():
        assert row["label"] == "jaw_drop"
        assert [event["action"] for event in row["events"]] == ["jaw_drop"]


def run_synth(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows", "synth", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_help_names_every_distractor_and_label() -> None:
    words = run_synth("--help").stdout.replace(",", " ").split()
    assert {*DISTRACTORS, "all", "none"} <= {word.strip(".:;`│") for word in words}
    assert set(LABELS) - {"neutral"} <= set(words)


def test_the_command_writes_a_corpus_and_its_sheet(tmp_path: Path) -> None:
    wish = ("--size", "160x128", "--fps", 5, "--seconds", 1, "--distractors", "short_miss,none", "--workers", 1)
    done = run_synth("--clips", 2, *wish, "--sheet", tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_truth(tmp_path).num_rows == 2
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape[0] == 2 * (100 + 4)
    assert run_synth("--clips", 2, *wish, "--sheet", tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--distractors", "blink"], "no distractor 'blink', the nearest is 'blinks'", id="distractor"),
        pytest.param(["--size", "640"], "expected WIDTHxHEIGHT", id="size"),
        pytest.param(["--seconds", "0"], "seconds 0: expected 1", id="length"),
    ],
)
def test_a_wrong_wish_is_told_in_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = run_synth(*arguments, tmp_path / "out")
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_synth(tmp_path / "file" / "out")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1)
    assert "Not a directory" in done.stderr
