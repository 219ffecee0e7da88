"""REVIEWS: one row per human decision on a text, append-only."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import Table, column

DECISIONS = ("accept", "reject", "edit", "unsure")

SPAN_CHANGES = {
    "moved": "the claim's span or region is another now",
    "removed": "the claim's span was taken away",
    "added": "a span that no claim has",
}

SPAN_CHANGE = pa.struct(
    [
        pa.field("change", pa.string(), nullable=False),
        pa.field("claim", pa.int32()),
        pa.field("region", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("was_start_s", pa.float64()),
        pa.field("was_end_s", pa.float64()),
    ]
)
"""A claim's span that the reviewer changed, in presentation time of the video.

`claim` counts the text's claims from 0, and is null for a span that was added; start and end are null for one that was
removed; `was_…` is where the claim's span lay.
"""

REVIEWS = Table(
    name="reviews",
    version=3,
    meaning="one row per human decision on one version of one text; rows are added and never changed",
    primary_key=("review_id",),
    columns=(
        column("review_id", pa.string(), "hash of reviewer, time, the text judged and what was decided"),
        column("video_id", pa.string(), "the video that the face was found in", nullable=True),
        column("track_id", pa.string(), "the described track"),
        column("text_version", pa.int32(), "the version of the text that was judged"),
        column("text_sha256", pa.string(), "SHA-256 of exactly the text that was judged"),
        column("decision", pa.string(), f"one of: {', '.join(DECISIONS)}"),
        column("reason", pa.string(), "the reviewer's words", nullable=True),
        column("edited_text", pa.string(), "the reviewer's text, where the decision is edit", nullable=True),
        column(
            "spans",
            pa.list_(SPAN_CHANGE),
            "spans of claims that the reviewer changed, in presentation time; null where the tool shows none. "
            + "; ".join(f"{name}: {meaning}" for name, meaning in SPAN_CHANGES.items()),
            nullable=True,
            unit="second",
        ),
        column("reviewer", pa.string(), "who decided"),
        column("reviewed_at", pa.timestamp("us", tz="UTC"), "when", unit="UTC"),
        column("is_blind", pa.bool_(), "whether the reviewer saw no other's decision", nullable=True),
        column(
            "saw_label", pa.bool_(), "whether the reviewer was shown the emotion label while judging", nullable=True
        ),
        column("came_from", pa.string(), "gallery, label_studio or argilla", nullable=True),
        column("imported_at", pa.timestamp("us", tz="UTC"), "when it was imported", unit="UTC", nullable=True),
    ),
)
