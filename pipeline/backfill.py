"""Ask for units anew that nothing has changed for: all of a stage, or those that a query finds."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.walk import WALK
from schemas.ledger import LEDGER

if TYPE_CHECKING:
    from pipeline.inspection.corpus import Corpus

ID_COLUMNS = ("unit_id", "track_id", "video_id")


class BackfillError(ValueError):
    """A backfill that names no stage or no units: the message says what was got and what is expected."""


def ask_anew(corpus: Corpus, stage: str, query: str | None = None) -> int:
    """Mark units so that the next build computes them though nothing has changed; return how many.

    A mark is one more generation than the unit has in this snapshot. So the same call repeated before the next snapshot
    marks nothing further, and an interrupted backfill goes on where it stopped. Answers that a language model gave in
    an earlier generation do not serve again.

    Args:
        corpus: at its newest snapshot.
        stage: the name of a stage of the walk.
        query: SQL over the corpus' tables that gives a column unit_id, track_id or video_id; None is every unit.

    Raises:
        BackfillError: no such stage, or the query gives none of these columns.
        duckdb.Error: the query is wrong.
    """
    store, units = corpus.store, units_of(corpus, stage, query)
    for bucket, marked in units.items():
        store.write_generations(stage, bucket, store.generations(stage, bucket) | marked)
    return sum(map(len, units.values()))


def units_of(corpus: Corpus, stage: str, query: str | None = None) -> dict[int, dict[str, int]]:
    """By bucket, the units that `ask_anew` would mark, and the generation that it would give them. Errors as there."""
    if stage not in (names := [one.name for one in WALK]):
        raise BackfillError(f"no stage {stage!r}; the stages are: {', '.join(names)}")
    wanted = None if query is None else _ids(corpus, query)
    marks: dict[int, dict[str, int]] = defaultdict(dict)
    for receipt in corpus.snapshot.receipts:
        if receipt.stage != stage or LEDGER.name not in receipt.files:
            continue
        lines = corpus.store.read(receipt.files[LEDGER.name], ["unit_id", "video_id", "generation"])
        for line in lines.to_pylist():
            if wanted is None or line["unit_id"] in wanted or line["video_id"] in wanted:
                marks[receipt.bucket][line["unit_id"]] = line["generation"] + 1
    return marks


def _ids(corpus: Corpus, query: str) -> set[str]:
    answer = corpus.connect().sql(query)
    if answer is None:
        raise BackfillError(f"the query {query!r} gives no rows: expected a select")
    found: pa.Table = answer.to_arrow_table()
    column = next((name for name in ID_COLUMNS if name in found.column_names), None)
    if column is None or not pa.types.is_string(found[column].type):
        got = ", ".join(f"{field.name} ({field.type})" for field in found.schema)
        raise BackfillError(f"the query gives the columns {got}; expected one of {', '.join(ID_COLUMNS)}, as text")
    return set(found[column].to_pylist())
