"""A review file is taken whole or refused with the place: however it was damaged, and whatever it holds."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.reviews.record import (
    MOST_CHARACTERS,
    ReviewFileError,
    ReviewRecord,
    read_bytes,
    read_review_file,
    sha256_of,
)
from schemas.reviews import DECISIONS
from tests.review_corpus import BETTER, Face, said, write_review_file

ANN, BEN = Face("ann"), Face("ben")
HOSTILE = "<script>alert(1)</script> \u202eabc\x1b[31m 😀 '; drop table reviews; --"
SAID = [said(ANN, reason=HOSTILE), said(BEN, "edit", edited=BETTER, minute=5)]
on_files = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def file_of(path: Path, **changed: Any) -> dict[str, Any]:
    """The content of a good file, with changes to its head, or to the first review where the head has no such key."""
    content: dict[str, Any] = json.loads(write_review_file(path, SAID).read_text())
    for name, value in changed.items():
        (content if name in content else content["reviews"][0])[name] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    return content


def test_a_file_gives_its_records_in_order(tmp_path: Path) -> None:
    assert read_review_file(write_review_file(tmp_path / "anna.json", SAID)) == SAID


def test_the_hash_is_of_the_text_as_it_is_stored() -> None:
    for text in ("The lips part.", "A\u0301 \u202e", "  spaces stay \n"):
        assert sha256_of(text) == hashlib.sha256(text.encode()).hexdigest()
    assert sha256_of("A\u0301") != sha256_of("\u00c1")  # nothing is normalised


def test_a_time_of_another_zone_is_the_same_time(tmp_path: Path) -> None:
    file_of(tmp_path / "a.json", reviewed_at="2026-01-31T14:00:00+02:00")
    (first, _) = read_review_file(tmp_path / "a.json")
    assert first.reviewed_at == datetime(2026, 1, 31, 12, tzinfo=UTC) and first.review_id == SAID[0].review_id


def test_an_id_is_of_all_that_was_said() -> None:
    different = [
        said(ANN),
        said(BEN),
        said(ANN, "reject"),
        said(ANN, reason="why"),
        said(ANN, reviewer="ben"),
        said(ANN, minute=1),
        said(ANN, version=2),
        said(ANN, text="another"),
        said(ANN, "edit", edited="one"),
        said(ANN, "edit", edited="two"),
    ]
    assert len({record.review_id for record in different}) == len(different)
    assert said(ANN, is_blind=None).review_id == said(ANN).review_id


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"format": "other reviews"}, ['expected "format": "facescribe reviews"', "'other reviews'", "--format"]),
        ({"version": 2}, ["version 2", "reads version 1", "upgrade"]),
        ({"version": True}, ["version True"]),
        ({"reviewer": " "}, ["the reviewer has no name"]),
        ({"is_blind": "yes"}, ["is_blind", "got 'yes'"]),
        ({"decision": "maybe"}, ["reviews[0].decision", "'accept'", "got 'maybe'", "nothing of the file was taken"]),
        ({"text_version": 0}, ["reviews[0].text_version", "got 0"]),
        ({"text_version": 2**31}, ["reviews[0].text_version"]),
        ({"text_sha256": "A" * 64}, ["reviews[0].text_sha256"]),
        ({"text_sha256": "a" * 64 + "\n"}, ["reviews[0].text_sha256"]),
        ({"reviewed_at": "2026-01-31T12:00:00"}, ["reviews[0].reviewed_at", "timezone"]),
        ({"reviewed_at": "0001-01-01T00:00:00+02:00"}, ["reviews[0].reviewed_at", "no calendar"]),
        ({"decision": "edit"}, ["decision 'edit' with no edited_text"]),
        ({"edited_text": "words"}, ["decision 'accept' with an edited_text"]),
        ({"reason": "x" * (MOST_CHARACTERS + 1)}, ["reviews[0].reason", "10000 characters"]),
        ({"mood": "good"}, ["reviews[0].mood"]),
        ({"track_id": ""}, ["reviews[0].track_id"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, changed: dict[str, Any], words: list[str]) -> None:
    path = tmp_path / "anna.json"
    file_of(path, **changed)
    with pytest.raises(ReviewFileError) as raised:
        read_review_file(path)
    assert all(word in str(raised.value) for word in [str(path), *words]), raised.value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[]", "got list"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b'{"format": NaN}', "no JSON"),
        (b"9" * 10_000, "no JSON"),
        (b'{"reviews": "\\ud800"}', "no JSON"),
        (b"PAR1", "no JSON"),
    ],
)
def test_what_is_no_json_or_another_file_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ReviewFileError, match=words):
        read_review_file(tmp_path / "a.json")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReviewFileError, match="No such file"):
        read_review_file(tmp_path / "none.json")
    with pytest.raises(ReviewFileError, match="Is a directory"):
        read_review_file(tmp_path)
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(ReviewFileError, match="is it the right file"):
        read_bytes(tmp_path / "large", most=10)


@on_files
@given(st.data())
def test_a_damaged_file_is_refused_or_says_the_same(tmp_path: Path, data: st.DataObject) -> None:
    path = write_review_file(tmp_path / "anna.json", SAID)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "drop"]))
        if kind == "flip":
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del content[max(place, 1) :]
        elif kind == "insert":
            content[place:place] = data.draw(st.binary(min_size=1, max_size=4))
        else:
            del content[place : place + data.draw(st.integers(1, 40))]
        content = content or bytearray(b" ")
    path.write_bytes(bytes(content))
    try:
        records = read_review_file(path)
    except ReviewFileError as error:
        assert str(path) in str(error) and "\n" not in str(error).split(str(path))[-1][:60]
        return
    assert all(isinstance(record, ReviewRecord) and record.decision in DECISIONS for record in records)
    assert all(len(record.text_sha256) == 64 and record.reviewed_at.tzinfo is UTC for record in records)


@on_files
@given(st.dictionaries(st.sampled_from(["format", "version", "reviewer", "is_blind", "reviews", "x"]), anything))
def test_whatever_a_file_holds_it_is_read_or_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    path = write_review_file(tmp_path / "anna.json", SAID)
    path.write_text(json.dumps(json.loads(path.read_text()) | changed), encoding="utf-8")
    try:
        assert len(read_review_file(path)) <= len(SAID)
    except ReviewFileError as error:
        assert str(path) in str(error)


@on_files
@given(st.text(max_size=60), st.text(min_size=1, max_size=60).filter(lambda name: name.strip()))
def test_words_and_names_come_through_as_they_are(tmp_path: Path, reason: str, reviewer: str) -> None:
    path = write_review_file(tmp_path / "anna.json", SAID[:1])
    file = json.loads(path.read_text())
    file["reviewer"], file["reviews"][0]["reason"] = reviewer, reason
    path.write_text(json.dumps(file), encoding="utf-8")
    (record,) = read_review_file(path)
    assert record.reviewer == reviewer.strip() and record.reason == (reason.strip() or None)
