"""`facescribe review …` as people type it: what it prints, how it ends, and that nothing moves the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.__main__ import main
from pipeline.inspection.corpus import Corpus
from pipeline.reviews.importing import import_reviews
from pipeline.store import Store
from pipeline.training.clips import list_clips
from tests.clip_corpus import MadeTrack, write_clip_corpus
from tests.review_corpus import BEGAN, BETTER, WRONG_SIDE, Face, said, write_review_corpus, write_review_file

FACES = [Face(name) for name in ("ann", "ben", "cem", "dua", "eva")]
ANN, BEN, CEM = FACES[:3]
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e[bold]\n\rgone"

Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_review_corpus(tmp_path / "corpus", FACES)
    return tmp_path / "corpus"


@pytest.fixture
def typed(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command: its exit code, and what it printed on both streams."""

    def run(*words: object, at_root: bool = True) -> tuple[int, str, str]:
        arguments = [*map(str, words), *(["--root", str(root)] if at_root else [])]
        monkeypatch.setattr(sys, "argv", ["facescribe", "review", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        printed = capsys.readouterr()
        return 0 if code is None else int(code), printed.out, printed.err

    return run


def test_import_takes_files_of_several_reviewers_and_says_what_came_of_edits(typed: Type, tmp_path: Path) -> None:
    anna = write_review_file(tmp_path / "anna.json", [said(ANN, "edit", edited=BETTER), said(BEN), said(CEM, "unsure")])
    other = [said(BEN, "reject", reviewer="ben"), said(CEM, "edit", edited=WRONG_SIDE, reviewer="ben")]
    ben = write_review_file(tmp_path / "ben.json", other)
    code, out, _ = typed("import", anna, ben)
    assert code == 0
    assert "taken: 5 reviews (2 edit, 1 accept, 1 unsure, 1 reject): snapshot 2" in out
    assert f"{ANN.track_id}, version 2: {BETTER}" in out
    assert "edits that are kept as reviews and give no text: 1" in out
    assert f"{CEM.track_id}, edited by ben: prose_contradicted" in out
    code, out, _ = typed("import", anna, ben)
    assert code == 0 and "taken: 0 reviews" in out and "there already: 5" in out
    told = json.loads(typed("import", anna, "--json")[1])
    assert (told["num_known"], told["snapshot"], told["added"]) == (3, 2, [])


def test_a_stale_review_is_named_and_the_exit_code_says_so(typed: Type, tmp_path: Path, root: Path) -> None:
    file = write_review_file(tmp_path / "anna.json", [said(ANN, text="An older text."), said(BEN)])
    code, out, _ = typed("import", file)
    assert code == 1
    assert "taken: 1 reviews" in out and "refused as stale: 1" in out
    assert f"{ANN.track_id}, accept by 'anna' of 2026-01-31 12:00 UTC: judged was version 1" in out
    assert "the text is now version 1" in out and "The left lip corner" in out
    told = json.loads(typed("import", file, "--json")[1])
    assert told["stale"][0]["track_id"] == ANN.track_id and told["num_known"] == 1


def test_a_damaged_file_leaves_the_corpus_as_it_was(typed: Type, tmp_path: Path, root: Path) -> None:
    good = write_review_file(tmp_path / "good.json", [said(ANN)])
    bad = tmp_path / "bad.json"
    bad.write_bytes(good.read_bytes()[:-20])
    code, out, err = typed("import", good, bad)
    assert (code, out) == (2, "") and f"{bad} is damaged" in err
    assert typed("import", tmp_path / "none.json")[0] == 2
    assert Corpus(root).snapshot.number == 1
    code, _, err = typed("import", good, "--format", "pdf")
    assert code == 2 and "gallery" in err


def test_a_build_that_works_there_is_waited_for(typed: Type, tmp_path: Path, root: Path, monkeypatch: object) -> None:
    file = write_review_file(tmp_path / "anna.json", [said(ANN)])
    with Store.open(root).in_use(alone=True):
        code, _, err = typed("import", file)
    assert code == 1 and "in use" in err
    assert typed("import", file)[0] == 0


def test_status_counts_by_decision_and_reviewer_and_lists_what_failed(typed: Type, tmp_path: Path, root: Path) -> None:
    code, out, _ = typed("status")
    assert code == 0 and "5 texts, 0 reviewed" in out
    records = [
        said(ANN, "edit", edited=WRONG_SIDE),
        said(BEN),
        said(BEN, "reject", reviewer="ben"),
        said(CEM, "reject", reason="too short"),
        said(FACES[3], "edit", edited=BETTER),
    ]
    import_reviews(Store.open(root), records)
    _, out, _ = typed("status")
    assert "5 texts, 3 reviewed, 1 of them by several; 1 edited texts" in out
    assert ["anna", "1", "1", "1", "0"] in [line.split() for line in out.splitlines()]
    assert "edits that gave no text: 1" in out and "prose_contradicted" in out
    assert "an edit has replaced since: 1" in out
    write_review_corpus(root, [Face("cem", text="The left lip corner rises strongly and the jaw drops."), *FACES[3:]])
    _, out, _ = typed("status")
    assert "reviews of texts that are no longer there: 4" in out
    told = json.loads(typed("status", "--json")[1])
    assert (told["num_texts"], told["num_reviewed"], told["num_edited"], len(told["stale"])) == (3, 0, 1, 4)
    assert json.loads(typed("status", "--json", "--snapshot", 2)[1])["num_reviewed"] == 3


def test_agreement_says_numbers_words_and_what_differs(typed: Type, root: Path) -> None:
    assert "no text was judged by several people" in typed("agreement")[1]
    both = [said(face, "accept" if place else "reject", reviewer=name) for name in ("anna", "ben")
            for place, face in enumerate(FACES[:4])]  # fmt: skip
    differing = [
        said(FACES[4], "accept"),
        said(FACES[4], "reject", reviewer="ben", reason="no such movement"),
        said(ANN, "unsure", reviewer="cem", is_blind=False),
    ]
    import_reviews(Store.open(root), [*both, *differing])
    code, out, _ = typed("agreement")
    assert code == 0
    assert "5 texts judged by several of 2 reviewers" in out and "only 5 shared texts" in out
    assert "anna and ben: same decision on 80% of 5 texts, Cohen's kappa 0.55 (95 % between" in out
    assert "moderate agreement" in out and "Krippendorff's alpha 0.57" in out  # 1 - 9 * 2 / (2 * 3 * 7)
    assert f"{FACES[4].track_id}, version 1: anna accept; ben reject (no such movement)" in out
    assert "left out, not known to be blind: 1 decisions" in out
    assert "3 reviewers" in typed("agreement", "--all")[1]
    told = json.loads(typed("agreement", "--json")[1])
    assert told["pairs"][0]["num_shared"] == 5 and len(told["differing"]) == 1


def test_assign_writes_a_file_for_each(typed: Type, tmp_path: Path) -> None:
    out = tmp_path / "dealt"
    code, told, _ = typed("assign", "--reviewers", "anna, ben", "--share", "0.4", "--seed", "1", "--out", out)
    assert code == 0 and "anna: 4 tracks, 2 of them for all" in told
    anna, ben = ((out / f"{name}.txt").read_text().split() for name in ("anna", "ben"))
    assert len(set(anna) & set(ben)) == 2 and set(anna) | set(ben) == {face.track_id for face in FACES}
    assert typed("assign", "--reviewers", "anna,ben", "--share", "0.4", "--out", out)[0] == 0
    code, _, err = typed("assign", "--reviewers", "anna,ben", "--share", "0.9", "--out", out)
    assert code == 2 and "is there with other tracks" in err
    assert typed("assign", "--reviewers", "anna,a/b", "--out", out)[0] == 2


def test_nothing_that_people_wrote_moves_the_terminal(typed: Type, root: Path) -> None:
    records = [
        said(ANN, "edit", edited=HOSTILE, reason=HOSTILE, reviewer=HOSTILE.strip()),
        said(BEN, "reject", reason=HOSTILE),
        said(BEN, "accept", reviewer=HOSTILE.strip()),
    ]
    import_reviews(Store.open(root), records, now=BEGAN)
    for command in ("status", "agreement"):
        _, out, _ = typed(command)
        assert "<script>" in out and not {"\x1b", "\u202e", "\r"} & set(out), command
        assert "[bold]" in out
        _, as_json, _ = typed(command, "--json")
        assert not {"\x1b", "\u202e", "\r"} & set(as_json) and json.loads(as_json)


def test_a_hostile_file_is_told_without_moving_the_terminal(typed: Type, tmp_path: Path) -> None:
    stranger = said(Face("stranger"), reviewer=HOSTILE.strip()).model_copy(update={"track_id": HOSTILE})
    code, out, _ = typed("import", write_review_file(tmp_path / "a.json", [stranger]))
    assert code == 1 and "no such track" in out and not {"\x1b", "\u202e", "\r"} & set(out)


def test_training_reads_no_text_that_reviewers_reject(tmp_path: Path) -> None:
    tracks = [MadeTrack("v"), MadeTrack("w"), MadeTrack("x")]
    corpus = write_clip_corpus(tmp_path / "clips", tracks)
    from pipeline.reviews.record import ReviewRecord, sha256_of

    def of(track: MadeTrack, decision: str, reviewer: str = "anna", version: int = 1) -> ReviewRecord:
        return said(ANN, decision, reviewer=reviewer, version=version).model_copy(
            update={"track_id": track.track_id, "text_sha256": sha256_of(track.texts[0])}
        )

    before = list_clips(corpus)
    reviews = [
        of(tracks[0], "reject"),
        of(tracks[1], "reject"),
        of(tracks[1], "accept", "ben"),
        of(tracks[2], "accept"),
    ]
    assert not import_reviews(Store.open(corpus), reviews).stale
    after = list_clips(corpus)
    texts = {row["track_id"]: row["text"] for row in after.table.to_pylist()}
    assert texts == {"v-a": None, "w-a": "The lips part.", "x-a": "The lips part."}
    assert len(after) == len(before) and list_clips(corpus, snapshot=1).key == before.key
