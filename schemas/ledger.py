"""LEDGER: one row per unit that a stage was asked for: what it was made from, how it ended, and what it cost."""

from __future__ import annotations

import pyarrow as pa

from schemas.rejects import REASONS
from schemas.table import UNIT_KEY_MEANING, Table, column

DONE, REFUSED = "done", "refused"
OUTCOMES = {DONE: "the stage wrote rows for it", REFUSED: "it is a row of rejects, with a reason"}

LEDGER = Table(
    name="ledger",
    version=1,
    meaning="one row per unit that a stage was asked for, so that every unit can be accounted for",
    primary_key=("stage", "unit_id"),
    columns=(
        column("stage", pa.string(), "the stage that was asked"),
        column("unit_id", pa.string(), "the video_id or track_id that it was asked for"),
        column("video_id", pa.string(), "the video that the unit belongs to"),
        column("unit_key", pa.string(), UNIT_KEY_MEANING),
        column("content_key", pa.string(), "hash of the input values alone, without stage, version and config"),
        column("request_key", pa.string(), "hash of the exact first request to a language model", nullable=True),
        column("generation", pa.int32(), "how often a backfill has asked for the unit anew"),
        column("outcome", pa.string(), "; ".join(f"{name}: {meaning}" for name, meaning in OUTCOMES.items())),
        column("reason", pa.string(), f"why it was refused, one of: {', '.join(REASONS)}", nullable=True),
        column("is_transient", pa.bool_(), "whether the next run tries the unit again"),
        column("output_key", pa.string(), "hash of the rows that were written, without their unit_key", nullable=True),
        column("num_rows", pa.int32(), "rows that were written, over all tables of the stage"),
        column("num_bytes", pa.int64(), "size of these rows in memory, before compression", unit="byte"),
        column("work_s", pa.float64(), "time that the unit took when it was computed", unit="second", nullable=True),
        column("num_tokens", pa.int64(), "tokens of the requests and answers that its rows were made from"),
    ),
)

COSTS = ("work_s",)
"""Columns that differ from run to run though the work is the same."""
