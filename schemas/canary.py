"""CANARY: one row per canary and night: a question that never changes, and what the model of that night answered."""

from __future__ import annotations

import pyarrow as pa

from schemas.descriptions import FALLBACK_REASONS
from schemas.table import Table, column

CANARY = Table(
    name="canary",
    version=1,
    meaning="one row per canary and night, beside the snapshots: it tells a changed model or engine from all else",
    primary_key=("night", "canary_id"),
    columns=(
        column("night", pa.int32(), "number of the night, from 1; each night is one file"),
        column(
            "canary_id", pa.string(), "hash of the track, the frozen question, and what its answers are held against"
        ),
        column("video_id", pa.string(), "the video that the question is about"),
        column("track_id", pa.string(), "the track that the question is about, as it was when the question was frozen"),
        column("frozen_at", pa.string(), "when the question was frozen, in UTC"),
        column("asked_at", pa.string(), "when this night asked it, in UTC"),
        column("snapshot", pa.int32(), "the newest snapshot when it was asked"),
        column("request", pa.string(), "JSON of the frozen first request, all of it but the model's name"),
        column("evidence", pa.string(), "JSON of the evidence that answers are held against, frozen with it"),
        column("rules", pa.string(), "JSON of the fields of the config that the check goes by, frozen with it"),
        column("check_version", pa.int32(), "version of refine_descriptions, whose check judged the answer"),
        column("model", pa.string(), "name of the model that was asked"),
        column("model_revision", pa.string(), "hash or revision of its weights, as the config states"),
        column("engine", pa.string(), "what served it, as the config states"),
        column("raw_answer", pa.string(), "the answer as it came; null where none came", nullable=True),
        column("finish_reason", pa.string(), "why the answer ended", nullable=True),
        column("prompt_tokens", pa.int32(), "tokens of the question", nullable=True),
        column("completion_tokens", pa.int32(), "tokens of the answer", nullable=True),
        column("text", pa.string(), "the text, if the answer stood the check", nullable=True),
        column("fault", pa.string(), f"why it did not, one of: {', '.join(FALLBACK_REASONS)}", nullable=True),
        column("failure", pa.string(), "why no answer came, or why it could not be judged", nullable=True),
    ),
)
