"""Measure what the drift between two snapshots costs as a corpus grows: time and peak memory of the whole command.

    python bench/drift.py                     # 10,000 and 50,000 tracks; some ten minutes, and 5 GB of disk
    python bench/drift.py --tracks 10000

The rows are those of a few rendered clips, over and over under new ids, with crops and landmarks left empty and without
the motion clips: the drift reads no cell of these. In the second snapshot every hundredth text is another, or each is.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import snapshot as snapshots
from pipeline.inspection.corpus import LONG_COLUMNS, Corpus
from pipeline.store import Receipt, Store
from pipeline.synthetic.corpus import write_corpus
from schemas.corpus import TABLES
from schemas.descriptions import DESCRIPTIONS
from schemas.ledger import LEDGER
from schemas.motion import MOTION

IDS = ("video_id", "track_id", "unit_id", "clip_id")
NUM_CLIPS = 8


def main() -> None:
    """Make each corpus and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", default="10000,50000", help="sizes of corpora")
    parser.add_argument("--keep", type=Path, help="keep the corpora here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="facescribe-drift-") as folder:
        place = arguments.keep or Path(folder)
        model = Corpus(build_model(place))
        print("| tracks | rows | texts that changed | seconds | peak memory | page |\n|---|---|---|---|---|---|")
        for num_tracks in map(int, arguments.tracks.split(",")):
            root = place / f"{num_tracks}"
            if not Store.is_at(root):
                multiply(model, root, num_tracks)
            for before, after, changed in ((1, 1, "none"), (1, 2, "1 %"), (1, 3, "all")):
                seconds, peak_mib, page = run(root, before, after)
                num_rows = sum(Corpus(root, after).snapshot.counts.values())
                row = (
                    f"{num_tracks:,} | {num_rows:,} | {changed} | {seconds:.1f} | {peak_mib:,.0f} MiB | {page:,.0f} KiB"
                )
                print(f"| {row} |", flush=True)


def build_model(place: Path) -> Path:
    """A corpus of a few rendered clips, built as a user builds one, with a language model that answers by rule."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.real_corpus import build_without_scheduler

    root, clips = place / "model", place / "clips"
    if not Store.is_at(root):
        write_corpus(clips, NUM_CLIPS, 7, distractors=[], size=(640, 360), fps=30.0, seconds=2.5, workers=2)
        build_without_scheduler(clips, root)
    return root


def multiply(model: Corpus, root: Path, num_tracks: int) -> None:
    """Three snapshots of `num_tracks` tracks: as the model, with one text in a hundred changed, with all of them."""
    store = Store.open_or_create(root, max(16, min(256, num_tracks // 500)))
    buckets = range(store.num_buckets)
    copies = num_tracks // model.snapshot.counts["tracks"]
    receipts = [
        receipt
        for bucket in buckets
        for receipt in of_bucket(model, store, bucket, range(bucket, copies, len(buckets)))
    ]
    commit(store, model, receipts, changed=lambda number: False)
    for share in (100, 1):
        commit(store, model, receipts, changed=lambda number, share=share: number % share == 0)


def of_bucket(model: Corpus, store: Store, bucket: int, copies: range) -> list[Receipt]:
    """The model's rows, once per copy."""
    receipts = []
    for stage in dict.fromkeys(receipt.stage for receipt in model.snapshot.receipts):
        files: dict[str, list[pa.Table]] = {}
        own = [receipt for receipt in model.snapshot.receipts if receipt.stage == stage]
        for receipt in own:
            for table, file in receipt.files.items():
                if table == MOTION.name:  # 2.4 MB each
                    continue
                rows = emptied(TABLES[table].conform(model.store.read(file)))
                files.setdefault(table, []).extend(renamed(rows, copy, bucket, store.num_buckets) for copy in copies)
        written = {table: written_file(store, table, bucket, pa.concat_tables(parts)) for table, parts in files.items()}
        counts = {name: sum(getattr(r, name) for r in own) * len(copies) for name in ("num_units", "num_rejected")}
        receipts.append(Receipt(stage=stage, bucket=bucket, key=f"{stage}-{bucket}", files=written, **counts))
    return receipts


def emptied(rows: pa.Table) -> pa.Table:
    """Without pictures and landmarks."""
    for name in LONG_COLUMNS & set(rows.column_names):
        field = rows.schema.field(name)
        width = field.type.byte_width if pa.types.is_fixed_size_binary(field.type) else 0
        cells = pa.array([b"\0" * width] * rows.num_rows, field.type)
        rows = rows.set_column(rows.column_names.index(name), field, cells)
    return rows


def renamed(rows: pa.Table, copy: int, bucket: int, num_buckets: int) -> pa.Table:
    """The rows under ids of their own that belong to the bucket."""
    for name in set(IDS) & set(rows.column_names):
        ids = [new_id(value, copy, bucket, num_buckets) for value in rows[name].to_pylist()]
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), pa.array(ids))
    return rows


def new_id(value: str, copy: int, bucket: int, num_buckets: int) -> str:
    """An id of a copy, in the bucket that its rows lie in."""
    hashed = int(hashlib.md5(f"{value}{copy}".encode()).hexdigest(), 16)
    return f"{(hashed // num_buckets * num_buckets + bucket) % 16**32:032x}"


def written_file(store: Store, table: str, bucket: int, rows: pa.Table) -> Any:
    """The file of the rows."""
    with store.writer(TABLES[table], bucket, {"by": "bench"}) as writer:
        writer.append(rows)
    return writer.file


def commit(store: Store, model: Corpus, receipts: list[Receipt], *, changed: Callable[[int], bool]) -> None:
    """A snapshot in which the texts of some tracks were asked for with another prompt."""
    parent = snapshots.newest(store)
    made_with = {stage: dict(made) for stage, made in model.snapshot.made_with.items()}
    kept = []
    for receipt in receipts:
        if receipt.stage == "refine_descriptions" and parent is not None:
            made_with["refine_descriptions"]["files"] = {"prompt": "another"}
            rows, lines = (store.read(receipt.files[table]) for table in (DESCRIPTIONS.name, LEDGER.name))
            is_other = {t: changed(int(t[-8:], 16)) for t in rows["track_id"].to_pylist()}
            rows = edited(rows, "text", [is_other[t] for t in rows["track_id"].to_pylist()], " The eyes close.")
            lines_other = [is_other[t] for t in lines["unit_id"].to_pylist()]
            files = {
                DESCRIPTIONS.name: edited(rows, "unit_key", [is_other[t] for t in rows["track_id"].to_pylist()], "x"),
                LEDGER.name: edited(lines, "request_key", lines_other, "x"),
            }
            for name in ("unit_key", "output_key"):
                files[LEDGER.name] = edited(files[LEDGER.name], name, lines_other, "x")
            written = {table: written_file(store, table, receipt.bucket, part) for table, part in files.items()}
            kept.append(receipt.model_copy(update={"files": {**receipt.files, **written}}))
        else:
            kept.append(receipt)
    snapshots.commit(
        store, kept, parent=parent, source="bench", config=model.snapshot.config, made_with=made_with, software={}
    )


def edited(rows: pa.Table, name: str, flags: list[bool], added: str) -> pa.Table:
    """The rows with some words more in a column where the flag is set."""
    values = rows[name].combine_chunks()
    longer = pc.binary_join_element_wise(values, pa.scalar(added), "")
    return rows.set_column(
        rows.column_names.index(name), rows.schema.field(name), pc.if_else(pa.array(flags), longer, values)
    )


def run(root: Path, before: int, after: int) -> tuple[float, float, float]:
    """Seconds, peak memory in MiB and size of the page in KiB of `facescribe drift`."""
    page = root / "drift.html"
    command = [
        sys.executable,
        "-m",
        "flows",
        "drift",
        str(before),
        str(after),
        "--root",
        str(root),
        "--html",
        str(page),
    ]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.monotonic() - began, used.ru_maxrss / 1024, page.stat().st_size / 1024


if __name__ == "__main__":
    main()
