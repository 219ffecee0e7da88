"""`facescribe build` over real clips: what comes out, what a second run does, and what bad input gets."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.inspection.corpus import Corpus
from tests.answer_server import AnswerServer
from tests.flows.conftest import content, server_arguments

Facescribe = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.timeout(600)
def test_build_reuse_change_and_removal(
    clips: Path, tmp_path: Path, facescribe: Facescribe, answers: AnswerServer
) -> None:
    """One corpus through its life; each step builds on the one before."""
    root, server = tmp_path / "corpus", server_arguments(answers)
    source = tmp_path / "videos"
    subprocess.run(["cp", "-r", str(clips), str(source)], check=True)

    first = facescribe("build", source, "--root", root, *server)
    assert first.returncode == 0, first.stderr
    corpus = Corpus(root)
    counts = corpus.snapshot.counts
    assert (counts["videos"], counts["tracks"], counts["descriptions"], counts["motion"]) == (3, 2, 2, 2)
    assert corpus.snapshot.rejects == {"no_face": 1, "not_a_video": 1}
    assert len(answers.requests) == 2
    assert set(corpus.rejects()["path"]) == {"notes.mp4", "room.mp4"}

    # A second run computes nothing, asks nothing, and says so.
    answers.requests.clear()
    second = facescribe("build", source, "--root", root, *server)
    assert second.returncode == 0, second.stderr
    assert "nothing to do" in second.stdout
    assert "asked the language model nothing" in second.stdout
    assert not answers.requests
    assert Corpus(root).snapshot.number == 1

    # A moved file is the same video: probed again for its path, and nothing after that.
    (source / "man" / "smile.mp4").rename(source / "renamed.mp4")
    moved = facescribe("build", source, "--root", root, *server)
    assert "units computed: probe_videos 1;" in moved.stdout, moved.stdout + moved.stderr
    assert not answers.requests
    assert "renamed.mp4" in set(Corpus(root).videos()["path"])

    # A removed file leaves every table.
    (source / "talk.mp4").unlink()
    removed = facescribe("build", source, "--root", root, *server)
    assert removed.returncode == 0, removed.stderr
    assert {name: Corpus(root).snapshot.counts[name] for name in ("videos", "tracks", "descriptions")} == {
        "videos": 2,
        "tracks": 1,
        "descriptions": 1,
    }
    assert not answers.requests
    assert len(Corpus(root, snapshot=1).tracks()) == 2, "an older snapshot can still be read"

    # log and diff tell the story.
    assert [line.split()[1] for line in facescribe("log", "--root", root).stdout.splitlines() if "20" in line] == list(
        "321"
    )
    compared = facescribe("diff", 1, 3, "--root", root).stdout
    (tracks,) = (line for line in compared.splitlines() if " tracks " in line)
    assert [word for word in tracks.split() if word.isdigit()] == ["0", "1", "0", "1"]


@pytest.mark.timeout(600)
def test_a_server_that_is_away_refuses_as_transient_and_the_next_run_picks_it_up(
    clips: Path, tmp_path: Path, facescribe: Facescribe, answers: AnswerServer
) -> None:
    root, config = tmp_path / "corpus", tmp_path / "build.toml"
    config.write_text(
        '[descriptions]\nmodel = "by-rule"\n[resources]\nrequest_attempts = 2\nserver = "http://127.0.0.1:9/v1"\n'
    )

    away = facescribe("build", clips, "--root", root, "--config", config)
    assert away.returncode == 0, away.stderr
    corpus = Corpus(root)
    assert corpus.snapshot.rejects["server_unavailable"] == 2
    assert corpus.snapshot.counts["drafts"] == 2
    waiting = facescribe("status", "--root", root).stdout
    assert "2 units were refused for a passing reason: the next build tries them again" in waiting

    back = facescribe("build", clips, "--root", root, "--config", config, "--server", answers.address)
    assert "units computed: refine_descriptions 2;" in back.stdout, back.stdout + back.stderr
    assert Corpus(root).snapshot.counts["descriptions"] == 2
    assert "server_unavailable" not in Corpus(root).snapshot.rejects

    whole = facescribe("build", clips, "--root", tmp_path / "whole", "--config", config, "--server", answers.address)
    assert whole.returncode == 0, whole.stderr
    assert content(root) == content(tmp_path / "whole")


class TestWrongInput:
    """Each is one line on standard error and the right exit code; no traceback."""

    def check(self, done: subprocess.CompletedProcess[str], code: int, words: str) -> None:
        assert done.returncode == code, done.stderr
        assert words in " ".join(done.stderr.replace("│", " ").split())
        assert "Traceback" not in done.stderr

    def test_a_path_that_does_not_exist(self, facescribe: Facescribe) -> None:
        self.check(facescribe("build", "nowhere"), 2, "no such file or folder: nowhere")

    def test_an_empty_folder(self, tmp_path: Path, facescribe: Facescribe) -> None:
        (tmp_path / "empty").mkdir()
        self.check(facescribe("build", tmp_path / "empty"), 2, "give a folder that holds videos, or one video file")

    def test_a_misspelt_config_field(self, clips: Path, tmp_path: Path, facescribe: Facescribe) -> None:
        (tmp_path / "build.toml").write_text("[tracks]\nmin_trak_s = 1\n")
        done = facescribe("build", clips, "--config", tmp_path / "build.toml")
        self.check(done, 2, "unknown field 'tracks.min_trak_s'; did you mean 'min_track_s'?")
        assert not (tmp_path / "data").exists(), "nothing is made before the config is known to be good"

    def test_a_misspelt_config_section(self, clips: Path, tmp_path: Path, facescribe: Facescribe) -> None:
        (tmp_path / "build.toml").write_text("[trakcs]\nmin_track_s = 1\n")
        done = facescribe("build", clips, "--config", tmp_path / "build.toml")
        self.check(done, 2, "unknown field 'trakcs'; did you mean 'tracks'?")

    def test_a_wrong_config_value(self, clips: Path, tmp_path: Path, facescribe: Facescribe) -> None:
        (tmp_path / "build.toml").write_text("[resources]\nworkers = 0\n")
        done = facescribe("build", clips, "--config", tmp_path / "build.toml")
        self.check(done, 2, "resources.workers: Input should be greater than or equal to 1, got 0")

    def test_a_prompt_that_does_not_exist(self, clips: Path, tmp_path: Path, facescribe: Facescribe) -> None:
        (tmp_path / "build.toml").write_text('[descriptions]\nprompt = "refin_1"\n')
        done = facescribe("build", clips, "--config", tmp_path / "build.toml")
        self.check(done, 2, "no prompt 'refin_1'; there are: claims_2, refine_2, see_1")

    def test_a_root_that_holds_something_else(self, clips: Path, facescribe: Facescribe) -> None:
        self.check(facescribe("build", clips, "--root", clips), 1, "is not empty and not a corpus")

    def test_an_unwritable_root(self, clips: Path, facescribe: Facescribe) -> None:
        self.check(facescribe("build", clips, "--root", "/proc/corpus"), 1, "cannot write to /proc/corpus")

    def test_a_newer_schema(self, clips: Path, tmp_path: Path, facescribe: Facescribe) -> None:
        (tmp_path / "new").mkdir()
        facts = {"format": "facescribe corpus", "schema_version": 99, "num_buckets": 4}
        (tmp_path / "new" / "corpus.json").write_text(json.dumps(facts))
        self.check(facescribe("build", clips, "--root", tmp_path / "new"), 1, "was made by schema version 99")

    def test_no_corpus_yet(self, tmp_path: Path, facescribe: Facescribe) -> None:
        self.check(facescribe("show", "tracks", "--root", tmp_path / "x"), 1, "run `facescribe build SOURCE --root")

    def test_an_unknown_command(self, facescribe: Facescribe) -> None:
        self.check(facescribe("bild"), 2, "No such command 'bild'")

    def test_nothing_at_all_came_out(self, tmp_path: Path, facescribe: Facescribe) -> None:
        (tmp_path / "videos").mkdir()
        (tmp_path / "videos" / "a.mp4").write_bytes(b"no video")
        done = facescribe("build", tmp_path / "videos", "--root", tmp_path / "corpus")
        self.check(done, 1, "no face track came out of this source: `facescribe show rejects` says why")
        assert Corpus(tmp_path / "corpus").rejects()["reason"].tolist() == ["not_a_video"]
