"""Parsers of what people say of texts: the gallery's files, Label Studio, Argilla, and the time map between."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipeline.reviews.argilla_answers import read_argilla
from pipeline.reviews.label_studio_answers import read_label_studio
from pipeline.reviews.record import ReviewFileError, ReviewRecord, read_review_file, sha256_of
from pipeline.reviews.time_map import ClaimSpan, TimeMap, TrackMap, frames_of_span, read_time_map
from schemas.reviews import DECISIONS
from tests.fuzz.law import Read, Target

TEXT = "The jaw drops strongly."
TRACK = "0" * 32 + "-0"
WHEN = "2026-01-31T11:58:03Z"

MAP = TimeMap(
    corpus="corpus",
    snapshot=1,
    exported_at=WHEN,
    tracks=[
        TrackMap(
            track_id=TRACK,
            text_version=1,
            text=TEXT,
            fps=30,
            times_s=[frame / 30 for frame in range(12)],
            shown=list(range(12)),
            claims=[ClaimSpan(region="jaw", start_s=0.1, end_s=0.3, first_frame=4, last_frame=10)],
            media_sha256="0" * 64,
        )
    ],
)

_GALLERY = {
    "format": "facescribe reviews",
    "version": 1,
    "corpus": "corpus",
    "snapshot": 1,
    "reviewer": "anna",
    "saved_at": WHEN,
    "is_blind": True,
    "reviews": [
        {
            "track_id": TRACK,
            "text_version": 1,
            "text_sha256": sha256_of(TEXT),
            "decision": decision,
            "reason": None,
            "edited_text": "The jaw drops." if decision == "edit" else None,
            "reviewed_at": WHEN,
        }
        for decision in DECISIONS
    ],
}

_RESULTS: list[dict[str, Any]] = [
    {
        "id": "claim-0",
        "from_name": "claims",
        "to_name": "video",
        "type": "timelinelabels",
        "value": {"ranges": [{"start": 2, "end": 9}], "timelinelabels": ["jaw"]},
    },
    {"id": "x", "from_name": "decision", "to_name": "text", "type": "choices", "value": {"choices": ["edit"]}},
    {"id": "text", "from_name": "edited_text", "type": "textarea", "value": {"text": ["The jaw drops."]}},
    {"id": "y", "from_name": "reason", "type": "textarea", "value": {"text": ["too strong"]}},
]
_TASK = {
    "id": 1,
    "data": {
        "fps": 30,
        "track_id": TRACK,
        "text_version": 1,
        "text_sha256": sha256_of(TEXT),
        "time_map_sha256": MAP.tracks[0].sha256,
    },
    "annotations": [
        {
            "id": 7,
            "completed_by": {"id": 1, "email": "a@b.c"},
            "result": _RESULTS,
            "was_cancelled": False,
            "updated_at": WHEN,
            "created_at": WHEN,
            "parent_prediction": 3,
        }
    ],
}

_METADATA = {"track_id": TRACK, "text_version": 1, "text_sha256": sha256_of(TEXT)}
_BY_QUESTION = {
    "id": "r",
    "fields": {"text": TEXT, "draft": "", "evidence": ""},
    "metadata": _METADATA,
    "responses": {
        "decision": [{"value": "edit", "user_id": "u"}],
        "edited_text": [{"value": "The jaw drops.", "user_id": "u"}],
        "reason": [{"value": "why", "user_id": "u"}],
    },
}
_OF_SERVER = {
    "id": "r",
    "fields": {"text": TEXT},
    "metadata": _METADATA,
    "responses": [
        {
            "values": {"decision": {"value": "accept"}, "edited_text": {"value": TEXT}},
            "user_id": "u",
            "status": "submitted",
            "updated_at": "2026-01-31T11:58:03.123456",
        }
    ],
}

_WORDS = (
    *DECISIONS,
    *("track_id", "text_version", "text_sha256", "decision", "reason", "edited_text", "reviewed_at", "reviewer"),
    *("completed_by", "result", "value", "ranges", "start", "end", "choices", "text", "claims", "claim-0", "claim-1"),
    *("timelinelabels", "submitted", "draft", "responses", "updated_at", "annotations", "items", "times_s", "shown"),
    *(WHEN, "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-01-31", "fps", TEXT, TRACK),
)


def _as_file(name: str, parser: Callable[[Path], Iterable[ReviewRecord]]) -> Callable[[Path], Read]:
    """What an import does with decisions: each gets an id, and becomes a row."""

    def open_(folder: Path) -> Read:
        path = folder / name

        def read(data: bytes) -> None:
            path.write_bytes(data)
            os.utime(path, (1.77e9, 1.77e9))
            for record in parser(path):
                json.dumps([record.review_id, record.model_dump(mode="json")], ensure_ascii=False).encode()

        return read

    return open_


def _open_map(folder: Path) -> Read:
    path = folder / "time_map.json"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        for track in read_time_map(path).by_track().values():
            _ = track.sha256, track.text_sha256, track.time_of(1)
            frames_of_span(track.times_s, track.shown, track.times_s[0], track.times_s[-1])

    return read


def _json(*values: object) -> Callable[[], Iterable[bytes]]:
    return lambda: [json.dumps(value).encode() for value in values]


TARGETS = (
    Target(
        *("review_file", (ReviewFileError,), _json(_GALLERY), _as_file("anna.json", read_review_file)),
        form="json",
        words=_WORDS,
    ),
    Target(
        *("label_studio", (ReviewFileError,), _json([_TASK], _TASK)),
        open=_as_file("project.json", lambda path: read_label_studio(path, MAP, {"1": "anna"}).records),
        form="json",
        words=_WORDS,
    ),
    Target(
        *("argilla", (ReviewFileError,), _json([_BY_QUESTION], {"items": [_OF_SERVER]})),
        open=_as_file("records.json", lambda path: read_argilla(path, {"u": "anna"}).records),
        form="json",
        words=_WORDS,
    ),
    Target("time_map", (ReviewFileError,), _json(MAP.model_dump()), _open_map, form="json", words=_WORDS),
)
