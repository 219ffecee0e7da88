"""One human decision on one version of one text, as every reader of review files gives it; and the gallery's own file.

    {"format": "facescribe reviews", "version": 1, "corpus": NAME, "snapshot": N, "reviewer": "anna",
     "saved_at": "2026-01-31T12:00:00Z", "is_blind": true,
     "reviews": [{"track_id": "…", "text_version": 1, "text_sha256": "64 hex digits", "decision": "edit",
                  "reason": "…" or null, "edited_text": "…" or null, "reviewed_at": "2026-01-31T11:58:03Z"}]}

A file is taken whole or not at all: one that holds something else than it should is refused, with the place.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import from_json

from schemas.reviews import DECISIONS

FORMAT, VERSION = "facescribe reviews", 1

MOST_BYTES = 256 << 20
"""Largest review file that is read: some 500 bytes a review, so that this is half a million of them."""

MOST_CHARACTERS = 10_000
"""Longest reason or edited text. A text that training can use has a few hundred."""

MOST_CHARACTERS_OF_NAME = 200

Decision = Literal["accept", "reject", "edit", "unsure"]
if set(DECISIONS) != set(Decision.__args__):  # type: ignore[attr-defined]
    raise AssertionError("the decisions of the table and of review files differ")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS_OF_NAME)]
Words = Annotated[str, Field(max_length=MOST_CHARACTERS)]


class ReviewFileError(Exception):
    """A review file that cannot be used: which file, which place in it, what is wrong, and what to do."""


def sha256_of(text: str) -> str:
    """What says that exactly this text was judged: SHA-256 of its UTF-8 bytes, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class _Judgement(BaseModel):
    """What a reviewer said of one text. `edited_text` is there if, and only if, the decision is `edit`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    track_id: Name
    text_version: Annotated[int, Field(ge=1, lt=2**31)]
    text_sha256: Sha256
    decision: Decision
    reason: Words | None = None
    edited_text: Words | None = None
    reviewed_at: AwareDatetime

    @field_validator("reviewed_at")
    @classmethod
    def _in_utc(cls, value: datetime) -> datetime:
        try:
            return value.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("a time that no calendar has") from error

    @field_validator("reason")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return (value or "").strip() or None

    @model_validator(mode="after")
    def _edit_has_text(self) -> Self:
        if (self.decision == "edit") != bool((self.edited_text or "").strip()):
            had = "no edited_text" if self.decision == "edit" else "an edited_text"
            raise ValueError(f"decision {self.decision!r} with {had}: an edit has one, and nothing else has")
        return self


class SpanChange(BaseModel):
    """A claim's span that a reviewer moved, removed or added, in presentation time of the video (seconds).

    Of one that was removed there is no start and end, of one that was added no claim and no earlier place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    change: Literal["moved", "removed", "added"]
    claim: Annotated[int, Field(ge=0)] | None
    """Which of the text's claims, counted from 0."""
    region: Name
    start_s: float | None = None
    end_s: float | None = None
    was_start_s: float | None = None
    was_end_s: float | None = None


class ReviewRecord(_Judgement):
    """One decision, with who took it and where it came from: what an importer takes, whatever tool it was made in."""

    reviewer: Name
    is_blind: bool | None = None
    """Whether the reviewer saw no other's decision; None where the tool does not say."""
    came_from: Literal["gallery", "label_studio", "argilla"] = "gallery"
    spans: tuple[SpanChange, ...] | None = None
    """Spans that the reviewer changed; None where the tool shows none."""

    @field_validator("reviewer")
    @classmethod
    def _has_a_name(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("the reviewer has no name")
        return value.strip()

    @property
    def review_id(self) -> str:
        """The same for the same decision, however often it is imported, and from however many files."""
        said = (
            self.reviewer,
            self.reviewed_at.isoformat(timespec="microseconds"),
            self.track_id,
            str(self.text_version),
            self.text_sha256,
            self.decision,
            self.reason or "",
            self.edited_text or "",
            *(span.model_dump_json() for span in self.spans or ()),
        )
        return hashlib.sha256("\0".join(said).encode("utf-8")).hexdigest()[:32]


class ReviewFile(BaseModel):
    """What the gallery saves."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["facescribe reviews"]
    version: Literal[1]
    corpus: Annotated[str, Field(max_length=4096)]
    snapshot: Annotated[int, Field(ge=0)]
    reviewer: Name
    saved_at: AwareDatetime
    is_blind: bool
    reviews: list[_Judgement]


def read_review_file(path: Path) -> list[ReviewRecord]:
    """Read a file that the gallery saved, in the order in which it lists the decisions.

    Raises:
        ReviewFileError: not there, too large, no JSON, of another program or version, or something in it is not what it
            should be. Nothing of such a file is taken.
    """
    data = read_bytes(path)
    try:
        head: Any = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise ReviewFileError(
            f"{path} is damaged: no JSON ({error}); save the reviews in the gallery again, its page still has them"
        ) from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ReviewFileError(
            f'{path} is no review file: expected "format": "{FORMAT}", got '
            f"{_short(head.get('format')) if isinstance(head, dict) else type(head).__name__}; `facescribe gallery` "
            "writes the page that saves one; files of other tools need --format"
        )
    if head.get("version") != VERSION or isinstance(head.get("version"), bool):
        raise ReviewFileError(
            f"{path}: review file of version {_short(head.get('version'))}, this facescribe reads version {VERSION}: "
            "upgrade facescribe, or write the gallery with this one and save again"
        )
    try:
        file = ReviewFile.model_validate_json(data)
        return [
            ReviewRecord(**judgement.model_dump(), reviewer=file.reviewer, is_blind=file.is_blind)
            for judgement in file.reviews
        ]
    except ValidationError as error:
        raise ReviewFileError(f"{path}: {in_words(error)}; nothing of the file was taken") from error


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file of reviews, whichever tool wrote it.

    Raises:
        ReviewFileError: it is not there, cannot be read, or is larger than `most` bytes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ReviewFileError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > most:
        raise ReviewFileError(f"{path} is larger than {most >> 20} MB: no review file is; is it the right file?")
    return data


def in_words(error: ValidationError) -> str:
    """The first fault that pydantic found: its place, what was expected, what was there."""
    first = error.errors(include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    message = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in ("value_error", "missing") else f", got {_short(first['input'])}"
    return f"{place + ': ' if place else ''}{message}{got}"


def _short(value: object) -> str:
    shown = repr(value)  # which shows no control character as itself
    return shown if len(shown) <= 80 else shown[:79] + "…"
