"""Texts go to Argilla and come back as the decisions that each person took there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.__main__ import app
from pipeline.export.folder import faults_of_checksums
from pipeline.export.licence_policy import LicenceError
from pipeline.inspection.corpus import Corpus
from pipeline.reviews.argilla import export_argilla
from pipeline.reviews.argilla_answers import read_argilla
from pipeline.reviews.importing import import_reviews
from pipeline.reviews.record import ReviewFileError, sha256_of
from schemas.reviews import DECISIONS
from tests.reviews.film_corpus import Film, write_film_corpus

REAL_TOOLS = os.environ.get("FACESCRIBE_REVIEW_TOOLS_PYTHON")

HOSTILE = "<script>alert(1)</script> **bold** [x](javascript:alert(2)) \u202eevil $\\alpha$ \U0001f600"

ANN, BEN, CEM = Film("ann"), Film("ben", text="The brows rise."), Film("cem", text=HOSTILE)
ANNA_ID, BEN_ID = "cbcf0f66-ea37-43c6-b1f4-328e68ce1e3d", "0f4a4be5-5a0f-4f6e-9b1a-1a2b3c4d5e6f"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return write_film_corpus(tmp_path / "corpus", [ANN, BEN, CEM])


@pytest.fixture
def sent(corpus: Corpus, tmp_path: Path) -> Path:
    export_argilla(corpus, tmp_path / "out")
    return tmp_path / "out"


def records_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["track_id"]: one for one in json.loads((folder / "records.json").read_text())}


def answered(record: Mapping[str, Any], *said: tuple[str, Mapping[str, str]]) -> dict[str, Any]:
    """A record as `records.to_json` of argilla 2.8 writes it: responses by question, with value and user."""
    responses: dict[str, list[dict[str, str]]] = {}
    for user_id, values in said:
        for question, value in values.items():
            responses.setdefault(question, []).append({"value": value, "user_id": user_id})
    return {**record, "responses": responses, "status": "completed", "_server_id": BEN_ID}


def write(path: Path, records: Sequence[Mapping[str, Any]] | Mapping[str, Any], changed_s: float = 1.77e9) -> Path:
    path.write_text(json.dumps(records), encoding="utf-8")
    os.utime(path, (changed_s, changed_s))
    return path


def test_the_folder_is_what_from_disk_reads(sent: Path, tmp_path: Path) -> None:
    assert faults_of_checksums(sent) == []
    settings = json.loads((sent / ".argilla" / "settings.json").read_text())
    assert [field["name"] for field in settings["fields"]] == ["text", "draft", "evidence"]
    decision, edited, reason = settings["questions"]
    assert [option["value"] for option in decision["settings"]["options"]] == list(DECISIONS)
    assert (decision["required"], edited["name"], reason["name"]) == (True, "edited_text", "reason")
    texts = [one for one in [*settings["fields"], edited, reason] if one["settings"]["type"] == "text"]
    assert len(texts) == 5 and not any(one["settings"]["use_markdown"] for one in texts)
    record = records_of(sent)[ANN.track_id]
    assert record["metadata"] == {"track_id": ANN.track_id, "text_version": 1, "text_sha256": sha256_of(ANN.text)}
    assert record["fields"]["text"] == record["suggestions"]["edited_text"]["value"] == ANN.text
    assert "claimed: jaw drop (middle), strong: 0.20 to 0.60 s; supported" in record["fields"]["evidence"]
    for path in sent.rglob("*.json"):
        told = path.read_text(encoding="utf-8")
        assert str(tmp_path) not in told and "ann.mp4" not in told


def test_what_each_person_answered_is_a_review(corpus: Corpus, sent: Path, tmp_path: Path) -> None:
    there = records_of(sent)
    path = write(
        tmp_path / "records.json",
        [
            answered(
                there[ANN.track_id],
                (ANNA_ID, {"decision": "edit", "edited_text": "The jaw drops.", "reason": "weaker"}),
                (BEN_ID, {"decision": "accept", "edited_text": ANN.text}),
            ),
            answered(there[BEN.track_id]),
        ],
    )
    answers = read_argilla(path, {ANNA_ID: "anna"})
    assert answers.left_out == []
    told = {(one.reviewer, one.decision, one.edited_text, one.reason) for one in answers.records}
    assert told == {("anna", "edit", "The jaw drops.", "weaker"), (f"argilla:{BEN_ID}", "accept", None, None)}
    assert {(one.came_from, one.spans, one.is_blind) for one in answers.records} == {("argilla", None, None)}
    report = import_reviews(corpus.store, answers.records)
    assert (len(report.added), report.stale) == (2, [])


def test_where_the_file_says_no_time_the_same_answer_keeps_the_first(
    corpus: Corpus, sent: Path, tmp_path: Path
) -> None:
    record = answered(records_of(sent)[ANN.track_id], (ANNA_ID, {"decision": "accept"}))
    first = read_argilla(write(tmp_path / "first.json", [record], 1.77e9)).records
    assert first[0].reviewed_at == datetime.fromtimestamp(1.77e9, UTC)
    import_reviews(corpus.store, first)
    known = Corpus(corpus.store.root).arrow("reviews").to_pylist()
    again = read_argilla(write(tmp_path / "again.json", [record], 1.78e9), known=known).records
    assert [one.review_id for one in again] == [one.review_id for one in first]
    assert import_reviews(corpus.store, again).num_known == 1
    other = answered(records_of(sent)[ANN.track_id], (ANNA_ID, {"decision": "reject"}))
    changed = read_argilla(write(tmp_path / "changed.json", [other], 1.78e9), known=known).records
    assert changed[0].reviewed_at == datetime.fromtimestamp(1.78e9, UTC)


def test_the_servers_own_records_say_when_and_whether_submitted(sent: Path, tmp_path: Path) -> None:
    def response(user_id: str, status: str, values: Mapping[str, str]) -> dict[str, Any]:
        told = {name: {"value": value} for name, value in values.items()}
        stamps = {"inserted_at": "2026-01-31T11:00:00.5", "updated_at": "2026-01-31T12:00:00.250000"}
        return {"id": user_id, "values": told, "status": status, "user_id": user_id, **stamps}

    record = records_of(sent)[BEN.track_id]
    responses = [
        response(ANNA_ID, "submitted", {"decision": "reject", "reason": "they do not"}),
        response(BEN_ID, "draft", {"decision": "accept"}),
        {**response("third", "discarded", {}), "values": None},
    ]
    whole = {"items": [{**record, "external_id": record["id"], "responses": responses, "suggestions": []}], "total": 1}
    answers = read_argilla(write(tmp_path / "server.json", whole))
    (one,) = answers.records
    assert (one.decision, one.reviewed_at) == ("reject", datetime(2026, 1, 31, 12, 0, 0, 250000, tzinfo=UTC))
    assert ["draft, not submitted" in line or "discarded, not submitted" in line for line in answers.left_out] == [
        True
    ] * 2


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"reason": "?"}, "no decision"),
        ({"decision": "edit", "edited_text": "The jaw drops strongly."}, "the text was not changed"),
        ({"decision": "edit"}, "the text was not changed"),
        ({"decision": "accept", "edited_text": "Other."}, "the text was changed, but the decision is accept"),
        ({"decision": "perhaps"}, "decision: "),
        ({"decision": "accept", "reason": "x" * 10_001}, "reason: "),
    ],
)
def test_what_is_no_decision_is_left_out_and_named(
    sent: Path, tmp_path: Path, values: dict[str, str], why: str
) -> None:
    record = answered(records_of(sent)[ANN.track_id], (ANNA_ID, values), (BEN_ID, {"decision": "unsure"}))
    answers = read_argilla(write(tmp_path / "records.json", [record]))
    assert [one.decision for one in answers.records] == ["unsure"]
    assert len(answers.left_out) == 1 and why in answers.left_out[0] and ANNA_ID in answers.left_out[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "is damaged: no JSON"),
        ('{"fields": {}}', "holds no records of Argilla"),
        ('[{"text": "x", "decision.responses": ["accept"]}]', "exported nested and not flattened"),
        ('[{"fields": {"text": 3}, "metadata": {}}]', "nothing of the file was taken"),
        ("[" * 100_000, "is damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "records.json"
    path.write_text(content)
    with pytest.raises(ReviewFileError, match=words):
        read_argilla(path)


def test_hostile_text_stays_text_and_goes_round(corpus: Corpus, sent: Path, tmp_path: Path) -> None:
    record = records_of(sent)[CEM.track_id]
    assert record["fields"]["text"] == HOSTILE.replace("\u202e", "⟨U+202E⟩")
    (one,) = read_argilla(
        write(
            tmp_path / "records.json",
            [answered(record, (ANNA_ID, {"decision": "accept", "edited_text": record["fields"]["text"]}))],
        )
    ).records
    assert (one.text_sha256, one.edited_text) == (sha256_of(HOSTILE), None)
    assert import_reviews(corpus.store, [one]).stale == []


def test_words_need_a_licence_too(tmp_path: Path) -> None:
    corpus = write_film_corpus(tmp_path / "corpus", [Film("dan", video={})])
    with pytest.raises(LicenceError):
        export_argilla(corpus, tmp_path / "out")
    assert export_argilla(corpus, tmp_path / "out", None, "a test").num_videos_without_licence == 1


def test_as_people_type_it(corpus: Corpus, tmp_path: Path) -> None:
    root, out = str(corpus.store.root), tmp_path / "out"
    run = CliRunner()
    outcome = run.invoke(app, ["review", "export", str(out), "--format", "argilla", "--root", root])
    assert (outcome.exit_code, "3 texts of snapshot 1 for argilla" in outcome.output) == (0, True), outcome.output
    record = answered(records_of(out)[ANN.track_id], (ANNA_ID, {"decision": "accept"}), (BEN_ID, {"reason": "?"}))
    back = write(tmp_path / "back.json", [record])
    asked = ["review", "import", str(back), "--format", "argilla", "--root", root, "--reviewer", f"{ANNA_ID}=anna"]
    outcome = run.invoke(app, asked)
    assert (outcome.exit_code, "taken: 1 reviews (1 accept)" in outcome.output) == (0, True), outcome.output
    assert "no decision" in outcome.output
    write(back, [record], 1.79e9)
    assert "there already: 1" in run.invoke(app, asked).output
    assert run.invoke(app, [*asked, "--map", str(out)]).exit_code == 2
    media = ["review", "export", str(tmp_path / "x"), "--format", "argilla", "--root", root, "--media-url", "x"]
    assert run.invoke(app, media).exit_code == 2


@pytest.mark.slow
@pytest.mark.skipif(REAL_TOOLS is None, reason="FACESCRIBE_REVIEW_TOOLS_PYTHON names no Python with argilla")
def test_the_real_package_reads_the_folder_and_writes_what_is_read(sent: Path, tmp_path: Path) -> None:
    script, back = Path(__file__).with_name("real_tools.py"), tmp_path / "back.json"
    told = subprocess.run(
        [str(REAL_TOOLS), str(script), "argilla", str(sent), str(back)], capture_output=True, check=True
    )
    found = json.loads(told.stdout)
    assert found["fields"] == ["text", "draft", "evidence"]
    assert found["questions"] == ["decision", "edited_text", "reason"]
    assert found["num_records"] == found["num_sent"] == 3
    assert sorted(found["texts"]) == sorted(one["fields"]["text"] for one in records_of(sent).values())
    answers = read_argilla(back)
    assert sorted(one.decision for one in answers.records) == ["accept", "edit", "reject"]
    assert {one.reviewer for one in answers.records} == {
        f"argilla:00000000-0000-0000-0000-00000000000{n}" for n in "12"
    }
