"""The commands that keep a corpus in order, as a user runs them: what they print, and their exit codes."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.__main__ import main
from pipeline.inspection.corpus import Corpus
from pipeline.store import Store
from tests.answer_server import AnswerServer
from tests.flows.conftest import server_arguments
from tests.real_corpus import build_without_scheduler

Facescribe = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    root = tmp_path_factory.mktemp("keeping") / "corpus"
    build_without_scheduler(clips, root)
    return root


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "corpus"))


def test_check_ends_with_one_if_anything_is_wrong_and_mends_what_can_be(root: Path, facescribe: Facescribe) -> None:
    done = facescribe("check", "--root", root)
    assert (done.returncode, done.stdout.strip().split("; ")[-1]) == (0, "faults: none")
    path = Path(Corpus(root).files("crops")[0])
    path.write_bytes(path.read_bytes()[:-1])
    done = facescribe("check", "--root", root, "--all", "--quick")
    assert done.returncode == 1
    assert f"shards/crops/0002/{path.name}, table crops, bucket 2: expected" in done.stdout
    assert "faults: 1" in done.stdout
    told = json.loads(facescribe("check", "--root", root, "--json").stdout)
    assert [fault["table"] for fault in told["faults"]] == ["crops"]
    done = facescribe("check", "--root", root, "--forget-damaged")
    assert done.returncode == 0
    assert "removed 2 files; `facescribe build` makes them anew" in done.stdout
    assert facescribe("check", "--root", root).returncode == 1, "until the build"


def test_gc_only_tells_unless_it_shall_delete(root: Path, facescribe: Facescribe) -> None:
    (root / "tmp" / "left").write_bytes(bytes(1000))
    os.utime(root / "tmp" / "left", (0, 0))
    told = facescribe("gc", "--root", root)
    assert told.returncode == 0
    assert "would delete 1 files" in told.stdout
    assert "nothing was deleted: the same with --delete deletes them" in told.stdout
    assert json.loads(facescribe("gc", "--root", root, "--json").stdout)["bytes"]["tmp"] == 1000
    done = facescribe("gc", "--root", root, "--delete")
    assert "deleted 1 files" in done.stdout
    assert not (root / "tmp" / "left").exists()


def test_a_take_down_asks_first(root: Path, facescribe: Facescribe) -> None:
    refused = facescribe("takedown", "talk.mp4", "--root", root)
    assert refused.returncode == 2
    assert "cannot be undone: with no terminal to ask at, say --yes" in refused.stderr
    for answer, code in ((b"n\n", 1), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "flows", "takedown", "talk.mp4", "--root", str(root)]
        os.write(ours, answer)
        asked = subprocess.run(command, stdin=theirs, capture_output=True, text=True, timeout=120)
        assert "Take these 1 videos out of" in asked.stdout
        assert asked.returncode == code, asked.stderr
        os.close(ours)
        os.close(theirs)
        assert ("talk.mp4" in Corpus(root).videos().path.to_list()) == (code == 1)


def test_a_list_is_taken_down_and_what_is_still_found_is_named(
    root: Path, tmp_path: Path, facescribe: Facescribe
) -> None:
    track_id = str(Corpus(root).tracks().track_id[0])
    notes = root / "notes.txt"
    notes.write_text(f"see {track_id}")
    listed = tmp_path / "withdrawn.txt"
    listed.write_text(f"man/smile.mp4\ntalk.mp4\n\n{'0' * 31}1\n")
    done = facescribe("takedown", "--list", listed, "--yes", "--root", root)
    assert done.returncode == 1
    assert f"{'0' * 31}1 was not in the corpus; it is on the deny list now" in done.stdout
    assert f"STILL HOLDS A TRACE: {notes} (1 track_id; byte by byte)" in done.stdout
    assert "delete them or move them out of the root, then the same command again" in done.stdout
    notes.unlink()
    done = facescribe("takedown", "--list", listed, "--yes", "--root", root)
    assert done.returncode == 0
    assert "taken down: 3 videos; snapshot 1 -> 2" in done.stdout
    assert "found: nothing" in done.stdout
    assert f"report: {root}/takedowns/000001.json" in done.stdout
    assert facescribe("takedown", "--yes", "--root", root).returncode == 2, "nothing is left to do"
    assert facescribe("takedown", "no/such.mp4", "--yes", "--root", root).returncode == 2


def test_a_build_is_refused_while_files_are_deleted_and_the_other_way_round(
    root: Path, clips: Path, facescribe: Facescribe, answers: AnswerServer
) -> None:
    store = Store.open(root)
    with store.in_use(alone=True):
        (clips_copy := root.parent / "clips").mkdir()
        shutil.copyfile(clips / "talk.mp4", clips_copy / "other.mp4")
        done = facescribe("build", clips_copy, "--root", root, *server_arguments(answers))
        assert done.returncode == 1
        assert "files are being deleted there; wait, then run the same command again" in done.stderr
    with store.in_use():
        for command in (("takedown", "talk.mp4", "--yes"), ("gc", "--delete"), ("check", "--forget-damaged")):
            done = facescribe(*command, "--root", root)
            assert done.returncode == 1
            assert "a build works there; wait for its end, then run the same command again" in done.stderr
        assert facescribe("check", "--root", root).returncode == 0
        assert facescribe("gc", "--root", root).returncode == 0


def test_export_asks_for_a_licence(root: Path, tmp_path: Path, facescribe: Facescribe) -> None:
    done = facescribe("export", tmp_path / "out", "--root", root)
    assert done.returncode == 1
    assert "of 3 videos 3 lack a licence and 3 lack a consent" in done.stderr
    done = facescribe("export", tmp_path / "out", "--root", root, "--without-licence", "our own", "--tables", "videos")
    assert done.returncode == 0
    assert "exported snapshot 1: videos 3" in done.stdout
    assert "3 videos lack a licence or consent; export.json says why they went out" in done.stdout
    done = facescribe("export", tmp_path / "out", "--root", root, "--without-licence", "our own")
    assert done.returncode == 2
    assert "out is not an empty folder" in done.stderr


def test_a_command_that_is_interrupted_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.check.check", interrupt)
    monkeypatch.setattr(sys, "argv", ["facescribe", "check", "--root", str(root)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert "facescribe: interrupted; what is finished is kept" in capsys.readouterr().err
