"""Write tables of a snapshot as plain Parquet files into a folder of their own, with checksums."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from pipeline.descriptions.label_policy import refuse_seen_labels
from pipeline.export.licence_policy import refuse_unlicensed
from pipeline.inspection.corpus import Corpus
from pipeline.store import now
from schemas.corpus import TABLES

EXPORTED = ("videos", "tracks", "actions", "drafts", "descriptions", "motion")

TEXT_TABLES = ("drafts", "descriptions")

OF_EVERY_SOURCE = {"sources", "rejects", "ledger"}
"""Tables that speak of files that are no row of `videos`."""


class ExportError(ValueError):
    """A folder or a table that cannot be exported: the message says which, and what to do."""


class Export(BaseModel):
    """What an export holds, as `export.json` says beside it."""

    snapshot: int
    snapshot_created_at: str
    exported_at: str
    rows: dict[str, int]
    """By table. A table without rows has no file."""
    num_videos_without_licence: int
    without_licence: str | None
    """Why videos without licence or consent went out, in words."""
    software: dict[str, str]


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
    _refuse_folder(corpus, folder)
    if unknown := [name for name in tables if name not in TABLES]:
        raise ExportError(f"no table {unknown[0]!r}; the tables are: {', '.join(TABLES)}")
    if not tables:
        raise ExportError(f"no table was named; the tables are: {', '.join(TABLES)}")
    of_every = "sources" if OF_EVERY_SOURCE & set(tables) else "videos"
    num_without = refuse_unlicensed(corpus.arrow(of_every, ["path", "licence", "consent"]).to_pylist(), without_licence)
    splits = dict(zip(*corpus.arrow("videos", ["video_id", "split"]).to_pydict().values(), strict=True))
    for name in (name for name in TEXT_TABLES if name in tables):
        rows = corpus.arrow(name, ["track_id", "video_id", "saw_label"]).to_pylist()
        refuse_seen_labels([{**row, "split": splits[row["video_id"]]} for row in rows])
    made = Export(
        snapshot=corpus.snapshot.number,
        snapshot_created_at=corpus.snapshot.created_at,
        exported_at=now(),
        rows={name: corpus.snapshot.counts.get(name, 0) for name in tables},
        num_videos_without_licence=num_without,
        without_licence=without_licence,
        software=corpus.snapshot.software,
    )
    folder = folder.resolve()  # "." has no name, and what a link leads to is what is meant
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)  # of an export that was killed
    try:
        beside.mkdir()
        _write(corpus, beside, tables, made)
        os.rename(beside, folder)  # noqa: PTH104 (over an empty folder too, and never over a file)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return made


def _refuse_folder(corpus: Corpus, folder: Path) -> None:
    if folder.resolve().is_relative_to(corpus.store.root.resolve()):
        raise ExportError(f"{folder} lies in the corpus {corpus.store.root}: choose a folder outside of it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder} is not an empty folder: choose a new or an empty one")


def _write(corpus: Corpus, folder: Path, tables: Sequence[str], made: Export) -> None:
    for name in tables:
        for receipt in corpus.snapshot.receipts:
            if name in receipt.files:
                target = folder / name / f"{receipt.stage}-{receipt.bucket:04d}.parquet"
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(corpus.store.path(receipt.files[name]), target)
    (folder / "export.json").write_text(made.model_dump_json(indent=1), encoding="utf-8")
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder)}\n")
    (folder / "checksums.sha256").write_text("".join(lines), encoding="utf-8")
