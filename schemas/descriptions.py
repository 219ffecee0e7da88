"""DRAFTS and DESCRIPTIONS: the template's text from the measurement, and the refined, checked text beside it."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import UNIT_KEY_MEANING, Table, column

DRAFTS = Table(
    name="drafts",
    version=1,
    meaning="one row per described track: what was measured, in words, written without a language model",
    primary_key=("track_id",),
    columns=(
        column("track_id", pa.string(), "the track"),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("video_id", pa.string(), "the video that the face was found in"),
        column("text", pa.string(), "deterministic description of the evidence"),
        column("evidence", pa.string(), "JSON: what the text was written from and what the check holds claims against"),
        column("writer", pa.string(), "name and version of the template"),
        column("saw_label", pa.bool_(), "whether the writer was shown the emotion label"),
    ),
)

CLAIM = pa.struct(
    [
        pa.field("action", pa.string(), nullable=False),
        pa.field("region", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("polarity", pa.string(), nullable=False),
        pa.field("intensity", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("why", pa.string(), nullable=False),
    ]
)

STATUSES = {
    "refined": "the language model's prose, with every claim supported and nothing said beyond the evidence",
    "fallback": "the draft's text, because the language model's answer failed the check",
}

FALLBACK_REASONS = {
    "answer_truncated": "the answer hit the token limit",
    "answer_not_json": "the answer is not the JSON that was asked for",
    "claim_contradicted": "a claim is contradicted by the measurement",
    "claim_not_supported": "a claim is about something that was not measured",
    "prose_beyond_evidence": "the prose names an action, a side or an order that the evidence does not show",
    "prose_omits_evidence": "the prose leaves out a strong action of the evidence",
    "prose_forbidden_word": "the prose names an emotion, an identity, an age, an ethnicity or a clinical state",
    "prose_malformed": "the prose repeats itself, breaks off, or holds fragments of the prompt",
}

DESCRIPTIONS = Table(
    name="descriptions",
    version=1,
    meaning="one row per described track and version of its text; a refinement adds a row and overwrites none",
    primary_key=("track_id", "text_version"),
    columns=(
        column("track_id", pa.string(), "the track"),
        column("text_version", pa.int32(), "1 for the first text after the draft"),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("video_id", pa.string(), "the video that the face was found in"),
        column("text", pa.string(), "the description; never an error message"),
        column("status", pa.string(), "; ".join(f"{name}: {meaning}" for name, meaning in STATUSES.items())),
        column("fallback_reason", pa.string(), f"one of: {', '.join(FALLBACK_REASONS)}", nullable=True),
        column("fallback_detail", pa.string(), "what the check saw", nullable=True),
        column("claims", pa.list_(CLAIM), "claims of the answer with verdict: supported, contradicted, not_measurable"),
        column("raw_answer", pa.string(), "the language model's answer as it came", nullable=True),
        column("finish_reason", pa.string(), "why the language model stopped", nullable=True),
        column("prompt_tokens", pa.int32(), "tokens of the request", nullable=True),
        column("completion_tokens", pa.int32(), "tokens of the answer", nullable=True),
        column("prompt", pa.string(), "name of the prompt file; its text is part of the request"),
        column("request_sha256", pa.string(), "SHA-256 of the exact request that was sent"),
        column("model", pa.string(), "name of the language model as asked for"),
        column("model_revision", pa.string(), "SHA-256 of its weights, or the revision that the config states"),
        column("model_licence", pa.string(), "licence of its weights"),
        column("engine", pa.string(), "name and version of the serving engine, as the config states"),
        column("saw_label", pa.bool_(), "whether the writer was shown the emotion label"),
    ),
)
