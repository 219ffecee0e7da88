"""The texts that are audited: the newest of each track, with its claims, its evidence and how it was asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from pipeline.descriptions.evidence import Evidence
from pipeline.descriptions.refine_stage import RefineConfig
from pipeline.inspection.corpus import Corpus
from schemas.answer import Claim

ASKED_FIELDS = ("prompt", "model", "model_revision", "engine", "sampling")
"""What of a request to a language model may change from one version of a text to the next."""

_DESCRIPTION = (
    "track_id", "video_id", "text", "status", "fallback_reason", "claims", "num_text_tokens", "asked", "saw_label",
)  # fmt: skip


Captions = Mapping[str, Sequence[Mapping[str, str]]]
"""What people wrote of each video, by video_id: structs of language and text."""


class AuditError(ValueError):
    """What was to be audited cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Text:
    """One track's description with all that it is held against.

    `verdicts` are the stored ones, one for each of `claims`. `provenance` says what made the text: the template and,
    where a language model was asked, each of ASKED_FIELDS.
    """

    track_id: str
    prose: str
    evidence: Evidence
    claims: tuple[Claim, ...] = ()
    verdicts: tuple[str, ...] = ()
    status: str = "refined"
    fallback_reason: str | None = None
    saw_label: bool = False
    num_tokens: int | None = None
    num_attempts: int = 0
    provenance: Mapping[str, str] = field(default_factory=dict)
    video_id: str = ""
    path: str = ""
    label: str | None = None
    group: str | None = None
    num_notes: int = RefineConfig().max_notes
    """Events that the writer was told of first, as the corpus was configured."""


def texts_of(corpus: Corpus, of_tracks: Collection[str] | None = None) -> list[Text]:
    """The newest text of every described track, or of those in `of_tracks`, by track.

    Raises:
        AuditError: the tables are of another version than this program's, or a draft's evidence cannot be read.
    """
    rows = _rows(corpus, "descriptions", _DESCRIPTION, of_tracks)
    newest = {row["track_id"]: row for row in rows}  # later versions come later
    rows = _rows(corpus, "drafts", ("track_id", "evidence", "writer", "saw_label"), of_tracks)
    drafts = {row["track_id"]: row for row in rows}
    videos = {row["video_id"]: row for row in _rows(corpus, "videos", ("video_id", "path", "label", "group"))}
    config = RefineConfig.model_construct(**corpus.snapshot.config.get("descriptions", {}))
    return [
        replace(_text(row, drafts[track_id], videos[row["video_id"]]), num_notes=config.max_notes)
        for track_id, row in newest.items()
    ]


def captions_of(corpus: Corpus) -> Captions:
    """What people wrote of each video of which anybody did. No text was written with these in view.

    Raises:
        AuditError: the table is of another version than this program's.
    """
    rows = _rows(corpus, "videos", ("video_id", "captions"))
    return {row["video_id"]: row["captions"] for row in rows if row["captions"]}


def _rows(
    corpus: Corpus, table: str, columns: tuple[str, ...], of_tracks: Collection[str] | None = None
) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = corpus.arrow(table, columns, of_tracks).to_pylist()
    except (KeyError, pa.ArrowException) as error:
        raise AuditError(
            f"snapshot {corpus.snapshot.number} of {corpus.store.address}: its table {table} was written by another "
            f"version of this program ({error}): build the corpus anew, or read it with that version"
        ) from error
    return rows


def _text(row: Mapping[str, Any], draft: Mapping[str, Any], video: Mapping[str, Any]) -> Text:
    asked = row["asked"] or []
    made_by = {name: ", ".join(sorted({str(request[name]) for request in asked})) for name in ASKED_FIELDS}
    return Text(
        track_id=row["track_id"],
        prose=row["text"],
        evidence=_evidence(row["track_id"], draft["evidence"]),
        claims=tuple(_claim(stored) for stored in row["claims"]),
        verdicts=tuple(stored["verdict"] for stored in row["claims"]),
        status=row["status"],
        fallback_reason=row["fallback_reason"],
        saw_label=row["saw_label"] or draft["saw_label"],
        num_tokens=row["num_text_tokens"],
        num_attempts=len(asked),
        provenance={"template": draft["writer"], **made_by},
        video_id=row["video_id"],
        path=video["path"],
        label=video["label"],
        group=video["group"],
    )


def _evidence(track_id: str, stored: str) -> Evidence:
    try:
        return Evidence.model_validate_json(stored)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AuditError(
            f"track {track_id}: the evidence of its draft cannot be read ({where}: {first['msg']}): it was written by "
            "another version of this program; build the corpus anew"
        ) from error


def _claim(stored: Mapping[str, Any]) -> Claim:
    return Claim(**{name: stored[name] for name in Claim.model_fields})
