"""Write tables of a snapshot as plain Parquet files into a folder of their own, with checksums and a card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline import progress
from pipeline.export.card import write_card
from pipeline.export.folder import ExportError, refuse_folder, whole_folder
from pipeline.export.gate import refuse_what_may_not_leave
from pipeline.export.record import Export, record_of, write_record
from pipeline.inspection.corpus import Corpus
from schemas.corpus import TABLES

EXPORTED = ("videos", "tracks", "actions", "drafts", "descriptions", "motion")


def refuse_unknown_tables(tables: Sequence[str]) -> None:
    """Raise ExportError for a table that there is none of, or for no table at all."""
    if unknown := [name for name in tables if name not in TABLES]:
        raise ExportError(f"no table {unknown[0]!r}; the tables are: {', '.join(TABLES)}")
    if not tables:
        raise ExportError(f"no table was named; the tables are: {', '.join(TABLES)}")


def export_parquet(
    corpus: Corpus, folder: Path, tables: Sequence[str] = EXPORTED, without_licence: str | None = None
) -> Export:
    """Write the tables as `folder`/TABLE/*.parquet, with `export.json` and `checksums.sha256` (for `sha256sum -c`).

    The folder is there whole or not at all.

    Raises:
        ExportError: the folder is not empty or lies in the corpus, or there is no such table.
        LicenceError: a video has no licence or consent, and `without_licence` does not say why it may go out.
        LabelLeakError: a text saw its label and is not of the split to train on.
    """
    refuse_folder(corpus, folder)
    refuse_unknown_tables(tables)
    num_without = refuse_what_may_not_leave(corpus, tables, without_licence)
    rows = {name: corpus.snapshot.counts.get(name, 0) for name in tables}
    made = record_of(corpus, "parquet", rows, num_without, without_licence)
    with whole_folder(folder) as out:
        _copy(corpus, out, tables)
        write_record(out, made)
        write_card(out, corpus, made, data_files_of_tables(rows))
    return made


def _copy(corpus: Corpus, folder: Path, tables: Sequence[str]) -> None:
    wanted = [(name, receipt) for name in tables for receipt in corpus.snapshot.receipts if name in receipt.files]
    for number, (name, receipt) in enumerate(wanted):
        target = folder / name / f"{receipt.stage}-{receipt.bucket:04d}.parquet"
        target.parent.mkdir(exist_ok=True)
        with corpus.store.fetched(receipt.files[name].path) as file:
            shutil.copyfile(file, target)
        progress.report("export", 0, done=number + 1, total=len(wanted))


def data_files_of_tables(rows: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """For the card: each table that has rows as a configuration of one split, which is no split of the data."""
    return {name: {"all_rows": f"{name}/*.parquet"} for name, count in rows.items() if count}
