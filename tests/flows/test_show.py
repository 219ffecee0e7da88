"""The commands that read a corpus: what they print, and what they say to a wrong question."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real_corpus import build_without_scheduler

Facescribe = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    root = tmp_path_factory.mktemp("show") / "corpus"
    build_without_scheduler(clips, root)
    return root


def test_show_puts_the_draft_beside_the_text(root: Path, facescribe: Facescribe) -> None:
    printed = facescribe("show", "descriptions", "--root", root).stdout
    assert [word for word in printed.split() if word in {"path", "status", "draft", "text"}] == [
        "path",
        "status",
        "draft",
        "text",
    ]
    assert "man/smile.mp4" in printed


def test_show_as_json_is_one_whole_row_a_line(root: Path, facescribe: Facescribe) -> None:
    lines = facescribe("show", "actions", "--json", "--root", root).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 2
    assert all(event["offset_s"] >= event["onset_s"] for row in rows for event in row["events"])


def test_sql_sees_every_table(root: Path, facescribe: Facescribe) -> None:
    query = "select v.path, count(*) as n from tracks t join videos v using (video_id) group by 1 order by 1"
    lines = facescribe("show", "--sql", query, "--json", "--root", root).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [{"path": "man/smile.mp4", "n": 1}, {"path": "talk.mp4", "n": 1}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trakcs",), "no table 'trakcs'; the tables are: sources, videos"),
        ((), "give either a TABLE or --sql"),
        (("tracks", "--columns", "length"), "no column 'length'; there are: track_id"),
        (("--sql", "selec 1"), "syntax error"),
    ],
)
def test_a_wrong_question_is_wrong_usage(
    root: Path, facescribe: Facescribe, arguments: tuple[str, ...], words: str
) -> None:
    done = facescribe("show", *arguments, "--root", root)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_status_and_gallery(root: Path, facescribe: Facescribe) -> None:
    status = facescribe("status", "--root", root).stdout
    assert "rejects       2 (1 no_face, 1 not_a_video)" in status
    written = facescribe("gallery", "--root", root)
    assert written.stdout.strip() == f"gallery: {root / 'gallery.html'}"
    assert (root / "gallery.html").stat().st_size > 50_000


@pytest.mark.parametrize(
    "command",
    [
        "build",
        "plan",
        "backfill",
        "show",
        "status",
        "log",
        "diff",
        "drift",
        "gallery",
        "audit",
        "serve",
        "synth",
        "assets",
        "gc",
        "check",
        "takedown",
        "export",
    ],
)
def test_every_command_is_documented_where_people_look(command: str, facescribe: Facescribe) -> None:
    assert command in (Path(__file__).parents[2] / "README.md").read_text()
    helped = facescribe(command, "--help")
    assert helped.returncode == 0
    assert len(helped.stdout.split()) > 15


def test_assets_lists_licences(facescribe: Facescribe) -> None:
    printed = facescribe("assets").stdout
    assert "face_landmarker.task" in printed
    assert "Apache-2.0" in printed
