"""REVIEWS: one row per human decision on a text, append-only."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import Table, column

DECISIONS = ("accept", "reject", "edit", "unsure")

REVIEWS = Table(
    name="reviews",
    version=1,
    meaning="one row per human decision on one version of one text; rows are added and never changed",
    primary_key=("review_id",),
    columns=(
        column("review_id", pa.string(), "hash of reviewer, time and the text judged"),
        column("track_id", pa.string(), "the described track"),
        column("text_version", pa.int32(), "the version of the text that was judged"),
        column("text_sha256", pa.string(), "SHA-256 of exactly the text that was judged"),
        column("decision", pa.string(), f"one of: {', '.join(DECISIONS)}"),
        column("reason", pa.string(), "the reviewer's words", nullable=True),
        column("edited_text", pa.string(), "the reviewer's text, where the decision is edit", nullable=True),
        column("reviewer", pa.string(), "who decided"),
        column("reviewed_at", pa.timestamp("us", tz="UTC"), "when", unit="UTC"),
    ),
)
