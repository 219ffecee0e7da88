"""`facescribe build` from a manifest and from a data set: the command as a user types it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.inspection.corpus import Corpus
from tests.answer_server import AnswerServer
from tests.flows.conftest import server_arguments
from tests.videos.datasets import dfew_tree as tree

Facescribe = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.timeout(600)
def test_a_manifest_is_built_planned_and_asked_anew(
    clips: Path, tmp_path: Path, facescribe: Facescribe, answers: AnswerServer
) -> None:
    root, server = tmp_path / "corpus", server_arguments(answers)
    (tmp_path / "list.csv").write_text(
        f"path,label,votes,fold,caption_en\n{clips}/talk.mp4,neutral,neutral=3 fear=1,1,He talks.\ngone.mp4,fear,,2,\n"
    )
    built = facescribe("build", "manifest:list.csv", "--root", root, *server)
    assert built.returncode == 0, built.stderr
    assert "manifest:list.csv: 1 of 2 videos that are named are not there, the first is 'gone.mp4'" in built.stderr
    corpus = Corpus(root)
    assert corpus.snapshot.source == "manifest:list.csv"
    assert corpus.snapshot.rejects == {"missing": 1}
    (video,) = corpus.arrow("videos").to_pylist()
    assert (video["label"], video["folds"][0]["part"], len(video["votes"])) == ("neutral", "test", 2)
    assert corpus.snapshot.counts["tracks"] == 1

    again = facescribe("build", "manifest:list.csv", "--root", root, *server)
    assert "nothing to do" in again.stdout, again.stderr
    (tmp_path / "list.csv").write_text((tmp_path / "list.csv").read_text().replace("neutral=3", "neutral=4"))
    planned = facescribe("plan", "manifest:list.csv", "--root", root, *server)
    assert "changed_label" in planned.stdout and "votes" in planned.stdout, planned.stdout + planned.stderr
    anew = facescribe("backfill", "manifest:list.csv", "--stage", "probe_videos", "--root", root, *server)
    assert anew.returncode == 0, anew.stderr
    assert {"label": "neutral", "votes": 4.0} in Corpus(root).arrow("videos").to_pylist()[0]["votes"]
    assert facescribe("check", "--root", root).returncode == 0


def test_a_plan_of_a_data_set(tmp_path: Path, facescribe: Facescribe) -> None:
    folder = tree.write_dfew(tmp_path / "DFEW")
    done = facescribe("plan", f"dfew:{folder}", "--root", tmp_path / "corpus")
    assert done.returncode == 0, done.stderr
    assert "probe_videos" in done.stdout and "40 units to compute" in done.stdout
    assert "3 of 40 videos that are named are not there" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("dfwe:x", "no data set 'dfwe', and no file or folder dfwe:x; did you mean 'dfew'?"),
        ("dfew:nowhere", "no such file or folder: nowhere"),
        ("dfew@other:.", "dfew has no variant 'other'; known: clip_224x224"),
        ("manifest:list.csv", "row 1: the path '../a.mp4' leaves the manifest's folder"),
        (
            "list.csv",
            "list.csv is a table and no video: to build from the videos that it lists, give manifest:list.csv",
        ),
    ],
)
def test_a_wrong_source_is_one_line_and_exit_code_2(
    tmp_path: Path, facescribe: Facescribe, source: str, words: str
) -> None:
    (tmp_path / "list.csv").write_text("path\n../a.mp4\n")
    done = facescribe("build", source)
    assert done.returncode == 2, done.stderr
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
