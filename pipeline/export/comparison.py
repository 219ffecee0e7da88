"""What a rebuild made, held against the export that it was made from: the means, then every row and column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from pipeline.export.reading import ReadExport
from pipeline.export.record import Export
from pipeline.export.text_only import STAYS_BEHIND, text_only_rows
from pipeline.inspection.corpus import Corpus
from pipeline.walk import WALK, BuildConfig, software
from schemas.corpus import TABLES

NOT_COMPARED: Mapping[str, frozenset[str]] = {
    "": frozenset({"unit_key"}),
    "videos": frozenset({"path", "other_paths"}),
    "rejects": frozenset({"path", "detail"}),
}
"""Columns, of every table and of some, that may be another: where a copy lies, and keys, of which `rebuild` tells."""

MOST_TOLD = 5
"""Keys and values that are told of each difference."""


class Means(BaseModel):
    """Something that rows are made with, and that is not here what it was there."""

    what: str
    there: str
    here: str


class TableComparison(BaseModel):
    """How the rows of one table compare, of the videos that are here."""

    table: str
    num_same: int
    num_differing: int
    columns: dict[str, int]
    """Rows by column that differs."""
    examples: list[str]
    missing: int
    """Rows of the export that are not here."""
    extra: int
    """Rows that the export has not."""

    @property
    def is_same(self) -> bool:
        """Whether every row is there and as it was."""
        return not (self.num_differing or self.missing or self.extra)


class RebuildReport(BaseModel):
    """What a rebuild found, made, and whether that is what was exported."""

    export: str
    exported_snapshot: int
    snapshot: int
    num_videos: int
    """Of the export."""
    num_videos_here: int
    missing: list[str]
    """Paths of videos whose content is not here."""
    changed: list[str]
    """Paths at which other content lies."""
    num_others: int
    num_computed: dict[str, int]
    """Units by stage; for drafts and descriptions, taken from the export."""
    means: list[Means]
    notes: list[str]
    other_ids: dict[str, str]
    """Tracks here that are the same face in the same frames as one of the export, whose id is another."""
    texts_of_another_measurement: int
    """Texts that were taken for a measurement that is not the one they were written from."""
    tables: list[TableComparison]

    @property
    def is_same(self) -> bool:
        """Whether all videos are here and every row is as it was."""
        return self.num_videos_here == self.num_videos and all(table.is_same for table in self.tables)


def compare_means(record: Export, config: BuildConfig) -> list[Means]:
    """Versions of stages, hashes of weights and of prompts, and software that are not what they were there."""
    found = []
    for stage in WALK:
        there, here = record.made_with.get(stage.name, {}), stage.made_with(config.of(stage))
        for part in ("weights", "files"):
            for name in sorted({*there.get(part, {}), *here[part]}):
                pair = (str(there.get(part, {}).get(name, "none")), str(here[part].get(name, "none")))
                found.append((f"{stage.name}, {part}: {name}", *pair))
        found.append((f"{stage.name}, version", str(there.get("version", "?")), str(here["version"])))
    now = software()
    found += [(name, record.software.get(name, "not stated"), now.get(name, "none")) for name in record.software]
    return [Means(what=what, there=there, here=here) for what, there, here in found if there != here]


def compare_tables(exported: ReadExport, corpus: Corpus, videos: Collection[str]) -> list[TableComparison]:
    """Hold every exported table against the same of the corpus, for these videos.

    Where both count buckets alike, one bucket of a table is in memory at a time, else a table.
    """
    is_alike = exported.record.num_buckets == corpus.store.num_buckets
    buckets = [*range(corpus.store.num_buckets)] if is_alike else [None]
    return [_compare(exported, corpus, name, buckets, videos) for name in STAYS_BEHIND]


def _compare(
    exported: ReadExport, corpus: Corpus, name: str, buckets: Collection[int | None], videos: Collection[str]
) -> TableComparison:
    key = TABLES[name].primary_key
    passed_over = NOT_COMPARED[""] | NOT_COMPARED.get(name, frozenset())
    columns: Counter[str] = Counter()
    examples: list[str] = []
    num_same = num_differing = missing = extra = 0
    for bucket in buckets:
        rows = (row for row in exported.rows(name, bucket=bucket) if row["video_id"] in videos)
        there = {tuple(row[part] for part in key): row for row in rows}
        for row in _rows_here(corpus, name, bucket):
            its = tuple(row[part] for part in key)
            if (other := there.pop(its, None)) is None:
                extra += 1
                _tell(examples, f"{' '.join(map(str, its))}: not in the export")
                continue
            differing = [
                column
                for column in other
                if column not in passed_over and not _is_equal(other[column], row.get(column))
            ]
            columns.update(differing)
            num_same, num_differing = num_same + (not differing), num_differing + bool(differing)
            if differing:
                column = differing[0]
                pair = f"{_short(other[column])} there, {_short(row.get(column))} here"
                _tell(examples, f"{' '.join(map(str, its))}: {column}: {pair}")
        missing += len(there)
        for its in there:
            _tell(examples, f"{' '.join(map(str, its))}: not here")
    return TableComparison(
        table=name,
        num_same=num_same,
        num_differing=num_differing,
        columns=dict(columns.most_common()),
        examples=examples,
        missing=missing,
        extra=extra,
    )


def _rows_here(corpus: Corpus, name: str, bucket: int | None) -> Iterator[dict[str, Any]]:
    for receipt in corpus.snapshot.receipts:
        if name in receipt.files and bucket in (None, receipt.bucket):
            for rows in text_only_rows(corpus, receipt, name):
                yield from rows.to_pylist()


def _is_equal(one: Any, other: Any) -> bool:
    return bool(one == other or repr(one) == repr(other))  # NaN is not equal to itself, and is the same here


def _tell(examples: list[str], words: str) -> None:
    if len(examples) < MOST_TOLD:
        examples.append(words)


def _short(value: Any) -> str:
    text = str(value) if not isinstance(value, bytes) else value.hex()
    return text if len(text) <= 60 else f"{text[:57]}…"
