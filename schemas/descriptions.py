"""DRAFTS and DESCRIPTIONS: what was written from the measurement, and the refined, checked text beside it."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import UNIT_KEY_MEANING, Table, column

SOURCES_OF_CLAIMS = {
    "template": "one of the measured events that the template tells",
    "answer": "listed by the language model",
    "prose": "read from the language model's prose, with the span of the event that it tells",
}

CLAIM = pa.struct(
    [
        pa.field("action", pa.string(), nullable=False),
        pa.field("region", pa.string(), nullable=False),
        pa.field("side", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("polarity", pa.string(), nullable=False),
        pa.field("intensity", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("why", pa.string(), nullable=False),
    ]
)

ASKED = pa.struct(
    [
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("request_sha256", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("model_revision", pa.string(), nullable=False),
        pa.field("model_licence", pa.string(), nullable=False),
        pa.field("engine", pa.string(), nullable=False),
        pa.field("sampling", pa.string(), nullable=False),
        pa.field("raw_answer", pa.string(), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),
        pa.field("prompt_tokens", pa.int32(), nullable=False),
        pa.field("completion_tokens", pa.int32(), nullable=False),
        pa.field("fault", pa.string()),
        pa.field("fault_detail", pa.string()),
    ]
)
"""One request to a language model and its answer as it came.

`prompt` names the prompt file, whose text is part of the request; `request_sha256` is of the exact body that was sent;
`model_revision` is the hash or revision of the weights and `engine` what serves them, as the config states; `sampling`
is JSON; `fault` is why the answer was not used, one of FALLBACK_REASONS, or null.
"""

DRAFTS = Table(
    name="drafts",
    version=2,
    meaning="one row per described track: what was measured, in words, and what a vision-language model saw in it",
    primary_key=("track_id",),
    columns=(
        column("track_id", pa.string(), "the track"),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("video_id", pa.string(), "the video that the face was found in"),
        column("text", pa.string(), "the template's description of the evidence; no language model, no chance"),
        column("claims", pa.list_(CLAIM), "what the text claims, event by event"),
        column("num_text_tokens", pa.int32(), "tokens of the text, counted by the text encoder's own tokenizer"),
        column("evidence", pa.string(), "JSON: what the text was written from and what the check holds claims against"),
        column("writer", pa.string(), "name and version of the template"),
        column("seen_text", pa.string(), "what a vision-language model says of key frames; unchecked", nullable=True),
        column("seen_frames_s", pa.list_(pa.float64()), "times of those frames", unit="second", nullable=True),
        column("seen_asked", ASKED, "how the vision-language model was asked, and its raw answer", nullable=True),
        column("saw_label", pa.bool_(), "whether the writer was shown the emotion label"),
    ),
)

STATUSES = {
    "refined": "the language model's prose, with every claim supported and nothing said beyond the evidence",
    "fallback": "the draft's text, because the language model's answers failed the check",
    "edited": "a reviewer's text, which stood the same check as a language model's",
}

FALLBACK_REASONS = {
    "answer_truncated": "the answer hit the token limit",
    "answer_not_json": "the answer is not the JSON that was asked for",
    "claim_contradicted": "a claim is contradicted by the measurement",
    "claim_not_supported": "a claim is about something that was not measured",
    "prose_beyond_claims": "the prose says something that is not among its own claims",
    "prose_contradicted": "the prose says something that the measurement contradicts",
    "prose_beyond_evidence": "the prose says something that no measurement shows",
    "prose_omits_evidence": "the prose leaves out a strong action of the evidence",
    "prose_forbidden_word": "the prose names an emotion, an identity, an age, an ethnicity or a clinical state",
    "prose_malformed": "the prose repeats itself, breaks off, or holds numbers or fragments of the prompt",
    "prose_too_long": "the prose is over the token budget of the text encoder",
}

DESCRIPTIONS = Table(
    name="descriptions",
    version=3,
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
        column("fallback_detail", pa.string(), "what the check saw in the last answer", nullable=True),
        column(
            "claims",
            pa.list_(CLAIM),
            "what the text claims, with verdict (supported, contradicted, not_measurable) and why. "
            + "; ".join(f"{name}: {meaning}" for name, meaning in SOURCES_OF_CLAIMS.items()),
        ),
        column("num_text_tokens", pa.int32(), "tokens of the text, counted by the text encoder's own tokenizer"),
        column("asked", pa.list_(ASKED), "every request for this text in order, with its answer as it came"),
        column("saw_label", pa.bool_(), "whether the writer was shown the emotion label: for training splits only"),
        column("review_id", pa.string(), "of an edited text: the review that it came with", nullable=True),
        column("edited_from", pa.int32(), "of an edited text: the version that the reviewer edited", nullable=True),
    ),
)
