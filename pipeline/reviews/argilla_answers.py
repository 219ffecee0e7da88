"""Read what reviewers answered in Argilla: `records.json`, or what its server says of records.

`Dataset.to_disk` and `records.to_json` write responses by question, each with `value` and `user_id`; they leave out
when an answer was given, and whether it was submitted. The server's own JSON (GET
datasets/…/records?include=responses) says both.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, TypeAdapter, ValidationError, field_validator

from pipeline.reviews.answers import Answers, ContradictionError, checked_edit
from pipeline.reviews.argilla import DECISION, REASON, TEXT
from pipeline.reviews.record import ReviewFileError, ReviewRecord, in_words, read_bytes

MOST_BYTES = 1 << 30

SAME = ("reviewer", "track_id", "text_version", "text_sha256", "decision", "reason", "edited_text")
"""What makes a decision the same one, where nothing says when it was taken."""


class _Value(BaseModel):
    value: str | None = None
    user_id: str | None = None


class _OfServer(BaseModel):
    values: dict[str, _Value] | None = None
    user_id: str | None = None
    status: str
    updated_at: AwareDatetime | None = None

    @field_validator("updated_at", mode="before")
    @classmethod
    def _server_time_is_utc(cls, value: Any) -> Any:
        """Argilla's server states UTC without saying so."""
        is_bare = isinstance(value, str) and "T" in value and not value.endswith("Z") and "+" not in value
        return f"{value}Z" if is_bare else value


class _Fields(BaseModel):
    text: str


class _Metadata(BaseModel):
    track_id: str
    text_version: int
    text_sha256: str


class _Record(BaseModel):
    id: str | None = None
    fields: _Fields
    metadata: _Metadata
    responses: dict[str, list[_Value]] | list[_OfServer] | None = None


_RECORDS = TypeAdapter(list[_Record])


@dataclass(frozen=True)
class _Said:
    """What one person answered to one record."""

    user_id: str
    values: Mapping[str, str]
    status: str | None
    when: datetime | None


def read_argilla(
    path: Path,
    reviewers: Mapping[str, str] | None = None,
    known: Iterable[Mapping[str, Any]] = (),
) -> Answers:
    """Every person's answer to every record as a decision. Records without one are still open, and nothing.

    Where the file does not say when an answer was given, it is the time of the same answer among `known`, else that of
    the file's last change: so the same answers are the same reviews, however often they are exported.

    Args:
        reviewers: names of people by their id in Argilla; who has none is `argilla:` and the id.
        known: rows of REVIEWS that are there already.

    Raises:
        ReviewFileError: it is no such file, or not of an export of ours. Nothing of such a file is taken.
    """
    records = _read_records(path)
    of_file = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
    times = {_sameness(row): row["reviewed_at"] for row in known if row.get("came_from") == "argilla"}
    answers = Answers()
    for number, record in enumerate(records):
        for said in _each_said(record):
            which = f"{path}: record {record.id or f'at [{number}]'!s:.100}, user {said.user_id!s:.100}"
            if said.status not in (None, "submitted"):
                answers.left_out.append(f"{which}: {said.status}, not submitted")
                continue
            if not said.values.get(DECISION):
                answers.left_out.append(f"{which}: no decision: one of accept, reject, edit, unsure is needed")
                continue
            try:
                answers.records.append(_review(record, said, reviewers or {}, times, of_file))
            except ValidationError as error:
                answers.left_out.append(f"{which}: {in_words(error)}")
            except ContradictionError as error:
                answers.left_out.append(f"{which}: {error}")
    return answers


def _read_records(path: Path) -> list[_Record]:
    try:
        listed: Any = json.loads(read_bytes(path, MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise ReviewFileError(f"{path} is damaged: no JSON ({error}); export again from Argilla") from error
    if isinstance(listed, dict) and isinstance(listed.get("items"), list):
        listed = listed["items"]
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ReviewFileError(
            f"{path} holds no records of Argilla: expected a list, as `dataset.records.to_json(path)` or "
            "`dataset.to_disk(folder)` writes it (records.json)"
        )
    try:
        return _RECORDS.validate_python(listed)
    except ValidationError as error:
        raise ReviewFileError(
            f"{path}: {in_words(error)}; nothing of the file was taken. Is it a data set that was made from "
            "`facescribe review export --format argilla`, exported nested and not flattened?"
        ) from error


def _each_said(record: _Record) -> Iterator[_Said]:
    """Each person's answer, by the person's id."""
    if isinstance(record.responses, list):
        for one in record.responses:
            values = {name: value.value for name, value in (one.values or {}).items() if value.value is not None}
            yield _Said(one.user_id or "", values, one.status, one.updated_at)
        return
    by_user: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for question, responses in (record.responses or {}).items():
        for response in responses:
            if response.value is not None:
                by_user[response.user_id or ""][question] = response.value
    for user_id, values in sorted(by_user.items()):
        yield _Said(user_id, values, None, None)


def _review(
    record: _Record,
    said: _Said,
    reviewers: Mapping[str, str],
    times: Mapping[tuple[Any, ...], datetime],
    of_file: datetime,
) -> ReviewRecord:
    decision = said.values[DECISION]
    review = ReviewRecord.model_validate(
        {
            "track_id": record.metadata.track_id,
            "text_version": record.metadata.text_version,
            "text_sha256": record.metadata.text_sha256,
            "decision": decision,
            "reason": said.values.get(REASON),
            "edited_text": checked_edit(decision, said.values.get(TEXT, ""), record.fields.text),
            "reviewed_at": said.when or of_file,
            "reviewer": reviewers.get(said.user_id) or (f"argilla:{said.user_id}" if said.user_id else ""),
            "came_from": "argilla",
        }
    )
    if said.when is None and (before := times.get(_sameness(review.model_dump()))) is not None:
        return review.model_copy(update={"reviewed_at": before.astimezone(UTC)})
    return review


def _sameness(review: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(review[name] for name in SAME)
