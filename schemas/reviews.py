"""REVIEWS: one row per human decision on a text, append-only."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import Table, column

DECISIONS = ("accept", "reject", "edit", "unsure")

REVIEWS = Table(
    name="reviews",
    version=2,
    meaning="one row per human decision on one version of one text; rows are added and never changed",
    primary_key=("review_id",),
    columns=(
        column("review_id", pa.string(), "hash of reviewer, time and the text judged"),
        column("video_id", pa.string(), "the video that the face was found in", nullable=True),
        column("track_id", pa.string(), "the described track"),
        column("text_version", pa.int32(), "the version of the text that was judged"),
        column("text_sha256", pa.string(), "SHA-256 of exactly the text that was judged"),
        column("decision", pa.string(), f"one of: {', '.join(DECISIONS)}"),
        column("reason", pa.string(), "the reviewer's words", nullable=True),
        column("edited_text", pa.string(), "the reviewer's text, where the decision is edit", nullable=True),
        column("reviewer", pa.string(), "who decided"),
        column("reviewed_at", pa.timestamp("us", tz="UTC"), "when", unit="UTC"),
        column("is_blind", pa.bool_(), "whether the reviewer saw no other's decision", nullable=True),
        column("came_from", pa.string(), "gallery, label_studio or argilla", nullable=True),
        column("imported_at", pa.timestamp("us", tz="UTC"), "when it was imported", unit="UTC", nullable=True),
    ),
)
