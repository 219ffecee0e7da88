"""From a data set on a disk to the table of its protocol, and to the same corpus from a text-only export."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.inspection.corpus import Corpus
from pipeline.synthetic.corpus import write_corpus
from tests.answer_server import AnswerServer
from tests.flows.conftest import server_arguments

Facescribe = Callable[..., "subprocess.CompletedProcess[str]"]

ACTORS = ("01", "05", "09", "13", "17", "21")
"""One of each of the six folds."""

EMOTIONS = {"01": "neutral", "03": "happiness", "05": "anger"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ravdess_is_verified_built_trained_given_on_and_made_again(
    tmp_path: Path, facescribe: Facescribe, answers: AnswerServer
) -> None:
    rendered = tmp_path / "rendered"
    write_corpus(rendered, len(ACTORS) * len(EMOTIONS), 3, distractors=(), size=(320, 240), fps=15, seconds=1.5)
    videos = sorted(rendered.glob("*.mp4"))
    source, root = tmp_path / "RAVDESS", tmp_path / "corpus"
    for actor in ACTORS:
        (source / f"Actor_{actor}").mkdir(parents=True)
        for emotion in EMOTIONS:
            videos.pop().rename(source / f"Actor_{actor}" / f"01-01-{emotion}-01-01-01-{actor}.mp4")

    verified = facescribe("verify", f"ravdess:{source}", "--json", tmp_path / "verified.json")
    told = json.loads((tmp_path / "verified.json").read_text())
    assert verified.returncode == 1, "18 of 1,440 takes are no whole RAVDESS"
    assert {fault["kind"] for fault in told["faults"] if not fault["is_known"]} == {"missing"}

    built = facescribe("build", f"ravdess:{source}", "--root", root, *server_arguments(answers))
    assert built.returncode == 0, built.stderr
    corpus = Corpus(root)
    assert corpus.snapshot.dataset is not None
    assert corpus.snapshot.dataset.fingerprint == told["fingerprint"]
    rows = corpus.arrow("videos", ["label", "group", "folds"]).to_pylist()
    assert {row["label"] for row in rows} == set(EMOTIONS.values())
    assert all(sum(fold["part"] == "test" for fold in row["folds"]) == 1 for row in rows)

    (tmp_path / "train.toml").write_text("epochs = 1\nbatch = 6\n[model]\nsmall_channels = 8\nwidth = 32\n")
    arguments = ("--root", root, "--protocol", "ravdess", "--out", tmp_path / "runs", "--config", "train.toml")
    trained = facescribe("train", *arguments, "--fold", "all")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "UAR" in trained.stdout and (tmp_path / "runs" / "crossval.html").is_file()

    out, again = tmp_path / "out", tmp_path / "again"
    given = facescribe("export", out, "--root", root, "--text-only", "--without-licence", "rendered faces")
    assert given.returncode == 0, given.stderr
    assert json.loads((out / "export.json").read_text())["dataset"]["name"] == "ravdess"
    made = facescribe("rebuild", out, "--source", source, "--root", again)
    assert made.returncode == 0, made.stdout + made.stderr
    for table, columns in {
        "tracks": ["track_id", "boxes_xyxy", "times_s"],
        "motion": ["clip_id", "frames", "motion_weights"],
        "descriptions": ["track_id", "text", "status"],
    }.items():
        assert Corpus(again).arrow(table, columns).equals(corpus.arrow(table, columns)), table
