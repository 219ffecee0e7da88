"""Measure how a corpus of a million description rows opens, beside plain pandas over the same files.

    python bench/open_corpus.py                              # a made-up corpus below the folder for temporary files
    python bench/open_corpus.py --rows 100000 --only "open, count by status"

The rows are made up and written in the corpus's own form: four tracks a video, a description and a draft each with two
claims, its evidence and one model's answer, and some crops, which nothing may read unasked. Every task runs in a
process of its own, with imports done before the clock starts; the files are in the page cache, because each is read
once before. Seconds are the median of `--rounds` processes, memory is the process's peak beyond what it held before the
task. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import snapshot as snapshots
from pipeline.inspection.corpus import Corpus
from pipeline.store import Receipt, Store
from schemas.corpus import TABLES
from schemas.table import Table

CHUNK = 50_000
TRACKS_PER_VIDEO = 4
LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
ACTIONS = ("lip_corner_raise", "brow_lower", "jaw_drop", "eye_widen", "inner_brow_raise", "lip_corner_lower")
WORDS = ("The lip corners rise", "The brows lower", "The jaw drops", "The eyes widen", "The inner brows rise", "The lip corners sink")  # fmt: skip  # noqa: E501
SIDES = ("left", "right", "both")
NUM_CROPS = 20_000


def write(root: Path, num_rows: int, num_buckets: int) -> None:
    """Write the corpus, if it is not there whole."""
    if Store.is_at(root) and snapshots.newest(Store.open(root)) is not None:
        return
    store = Store.open_or_create(root, num_buckets)
    receipts = []
    for bucket in range(num_buckets):
        files: dict[str, Any] = {}
        tables = ("videos", "tracks", "actions", "drafts", "descriptions", "crops")
        writers = {name: store.writer(TABLES[name], bucket, {"stage": "made"}) for name in tables}
        for writer in writers.values():
            writer.__enter__()
        for first in range(0, num_rows // num_buckets, CHUNK):
            count = min(CHUNK, num_rows // num_buckets - first)
            for name, rows in chunk(bucket, num_buckets, first, count).items():
                writers[name].append(rows)
        for name, writer in writers.items():
            writer.__exit__(None, None, None)
            files[name] = writer.file
        files = {name: file for name, file in files.items() if file is not None}
        receipts.append(Receipt(stage="made", bucket=bucket, key="0" * 32, files=files, num_units=1))
    snapshots.commit(store, receipts, parent=None, source="made up", config={}, software={})


def chunk(bucket: int, num_buckets: int, first: int, count: int) -> dict[str, pa.Table]:
    """Rows of every table for `count` tracks."""
    chance = np.random.default_rng([bucket, first])
    numbers = np.arange(first, first + count)
    video_numbers = numbers // TRACKS_PER_VIDEO
    video_ids = np.array([video_id(number, bucket, num_buckets) for number in np.unique(video_numbers)])
    of_track = video_ids[video_numbers - video_numbers[0]]
    track_ids = pa.array([f"{video}-{number:08d}" for video, number in zip(of_track, numbers, strict=True)])
    same = {"track_id": track_ids, "video_id": pa.array(of_track), "unit_key": track_ids}
    action, side = chance.integers(0, len(ACTIONS), (count, 2)), chance.integers(0, len(SIDES), (count, 2))
    start_s = chance.uniform(0, 3, (count, 2)).round(2)
    texts = [
        f"{WORDS[a]} on the {SIDES[s]} side from {t} s, then the {WORDS[b].lower()[4:]} at {u} s, scene {n}."
        for (a, b), s, (t, u), n in zip(
            action.tolist(), side[:, 0].tolist(), start_s.tolist(), numbers.tolist(), strict=True
        )
    ]
    verdicts = chance.choice(["supported", "contradicted", "not_measurable"], (count, 2), p=[0.9, 0.02, 0.08])
    claims = claims_of(action, side, start_s, verdicts)
    is_fallback = chance.random(count) < 0.1
    reason = ["claim_contradicted" if one else None for one in is_fallback.tolist()]
    evidence = [
        json.dumps({"duration_s": 4.0, "events": [
            {"action": ACTIONS[a], "side": SIDES[s], "onset_s": t, "apex_s": t + 0.4, "offset_s": t + 0.8, "peak": 0.5,
             "intensity": "moderate"}]})
        for (a, _), (s, _), (t, _) in zip(action.tolist(), side.tolist(), start_s.tolist(), strict=True)
    ]  # fmt: skip
    asked_type = TABLES["descriptions"].field("asked").type
    asked = pa.ListArray.from_arrays(
        pa.array(np.arange(count + 1, dtype=np.int32)),
        pa.StructArray.from_arrays(
            [answers(asked_type.value_type.field(place), texts, reason) for place in range(13)],
            fields=[asked_type.value_type.field(place) for place in range(13)],
        ),
    ).cast(asked_type)
    described = {
        **same, "text_version": np.ones(count), "text": texts, "claims": claims, "asked": asked,
        "status": np.where(is_fallback, "fallback", "refined"), "fallback_reason": reason,
        "fallback_detail": ["claim 1: said of side left" if one else None for one in is_fallback.tolist()],
        "num_text_tokens": np.full(count, 24),
    }  # fmt: skip
    drafted = {**same, "text": texts, "claims": claims, "evidence": evidence, "writer": ["template 2"] * count}
    places = numpy_of_labels(video_ids)
    videos = {
        "video_id": video_ids, "unit_key": video_ids,
        "path": [f"{LABELS[place]}/{one}.mp4" for place, one in zip(places, video_ids, strict=True)],
        "label": [LABELS[place] for place in places], "split": ["train"] * len(video_ids),
    }  # fmt: skip
    num_crops = min(count, NUM_CROPS // num_buckets if first == 0 else 0)
    crops = {
        "track_id": track_ids[:num_crops], "video_id": pa.array(of_track[:num_crops]),
        "crop_jpeg": [chance.bytes(8000) for _ in range(num_crops)],
    }  # fmt: skip
    tracks = {**same, "start_s": np.zeros(count), "end_s": np.full(count, 4.0), "num_frames": np.full(count, 120)}
    made = {"videos": videos, "tracks": tracks, "actions": same, "drafts": drafted, "descriptions": described}
    return {name: filled(TABLES[name], rows) for name, rows in {**made, "crops": crops}.items()}


def video_id(number: int, bucket: int, num_buckets: int) -> str:
    """An id that belongs to the bucket."""
    digits = int(hashlib.sha256(f"{bucket} {number}".encode()).hexdigest()[:32], 16)
    return f"{(digits - digits % num_buckets + bucket) % (1 << 128):032x}"


def numpy_of_labels(video_ids: np.ndarray[Any, Any]) -> list[int]:
    """The place in LABELS of each video."""
    return [int(one[:8], 16) % len(LABELS) for one in video_ids.tolist()]


def claims_of(action: Any, side: Any, start_s: Any, verdicts: Any) -> pa.Array:
    """Two claims a text, as the column's own type."""
    wanted = TABLES["descriptions"].field("claims").type
    count = action.size
    values = {
        "action": np.array(ACTIONS)[action.ravel()], "region": ["mouth"] * count,
        "side": np.array(SIDES)[side.ravel()], "start_s": start_s.ravel(), "end_s": start_s.ravel() + 0.8,
        "polarity": ["present"] * count, "intensity": ["moderate"] * count, "source": ["answer"] * count,
        "verdict": verdicts.ravel(), "why": ["measured"] * count,
    }  # fmt: skip
    fields = [wanted.value_type.field(place) for place in range(wanted.value_type.num_fields)]
    structs = pa.StructArray.from_arrays([pa.array(values[f.name]).cast(f.type) for f in fields], fields=fields)
    return pa.ListArray.from_arrays(pa.array(np.arange(0, count + 1, 2, dtype=np.int32)), structs).cast(wanted)


def answers(field: pa.Field, texts: list[str], reason: Any) -> pa.Array:
    """One column of the requests: the answer repeats the text, as models' answers do."""
    if field.name == "raw_answer":
        return pa.array([json.dumps({"claims": [], "description": text * 2}) for text in texts])
    if field.name == "fault":
        return pa.array(reason, pa.string())
    if field.name == "request_sha256":
        return pa.array([hashlib.sha256(text.encode()).hexdigest() for text in texts])
    if pa.types.is_string(field.type):
        return pa.nulls(len(texts), pa.string()) if field.nullable else pa.array([field.name] * len(texts))
    return pa.array(np.full(len(texts), 100), field.type)


def filled(table: Table, rows: dict[str, Any]) -> pa.Table:
    """The columns that are given, and something plain in all others that must have a value."""
    count = len(next(iter(rows.values())))
    return pa.Table.from_arrays(
        [array_of(field, rows.get(field.name), count) for field in table.columns], schema=table.schema
    )


def array_of(field: pa.Field, given: Any, count: int) -> pa.Array:
    """One column, as its own type."""
    if given is not None:
        found = given if isinstance(given, pa.Array) else pa.array(given)
        return found.cast(field.type)
    if field.nullable:
        return pa.array([None] * count, field.type)  # the parts of a null struct may not be null themselves
    if pa.types.is_list(field.type):
        return pa.array([[]] * count, field.type)
    plain: Any = 0
    if pa.types.is_fixed_size_binary(field.type):
        plain = bytes(field.type.byte_width)
    elif pa.types.is_binary(field.type):
        plain = b""
    elif pa.types.is_string(field.type):
        plain = ""
    elif pa.types.is_boolean(field.type):
        plain = False
    return pa.array([plain] * count, field.type)


def tasks(root: Path) -> dict[str, Callable[[], Any]]:
    """What is measured, by name. Each opens the corpus itself."""
    files = Corpus(root).files("descriptions")
    fear = "label = 'fear'"

    def pandas_of(columns: list[str] | None) -> Callable[[], Any]:
        import pandas as pd

        return lambda: pd.concat([pd.read_parquet(file, columns=columns) for file in files])

    counted = "select status, count(*) from descriptions group by status"
    return {
        "open": lambda: Corpus(root),
        "open, count by status in SQL": lambda: Corpus(root).sql(counted),
        "open, first 20 texts": lambda: Corpus(root).descriptions(limit=20),
        "open, 20 fallbacks of class fear": lambda: Corpus(root).descriptions(
            where=f"{fear} and status = 'fallback'", limit=20
        ),
        "open, ten worst contradicted of fear": lambda: Corpus(root).sql(
            f"select * from contradicted where {fear} limit 10"
        ),
        "open, newest_texts(): all rows, 10 columns": lambda: Corpus(root).newest_texts(),
        "open, descriptions(): all rows, 17 columns": lambda: Corpus(root).descriptions(),
        "open, fallbacks()": lambda: Corpus(root).fallbacks(),
        "open, claims() of class fear": lambda: claims_of_fear(root),
        "open, first search (the index is made)": lambda: Corpus(root).search("jaw drops left"),
        "pandas.read_parquet, track_id, status and text": pandas_of(["track_id", "status", "text"]),
        "pandas.read_parquet, all columns": pandas_of(None),
    }


def claims_of_fear(root: Path) -> Any:
    """Every claim of every text of one class, with verdict and evidence."""
    return Corpus(root).descriptions(["track_id", "text_version"], where="label = 'fear'").facescribe.claims()


def measure(root: Path, name: str) -> None:
    """One task in this process; prints seconds, bytes and rows as JSON."""
    import duckdb  # noqa: F401
    import pandas as pd  # noqa: F401

    task = tasks(root)[name]
    held = peak_bytes()
    began = time.perf_counter()
    rows = task()
    seconds = time.perf_counter() - began
    num_rows = len(rows) if hasattr(rows, "__len__") else 0
    print(json.dumps({"seconds": seconds, "bytes": peak_bytes() - held, "rows": num_rows}))


def peak_bytes() -> int:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Write the corpus where there is none, measure every task in processes of its own, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--buckets", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", help="a task by name; may be given several times")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "open_corpus")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    root = asked.folder / str(asked.rows)
    write(root, asked.rows, asked.buckets)
    if asked.measure:
        return measure(root, asked.measure)
    for file in root.rglob("shards/descriptions/**/*.parquet"):
        file.read_bytes()
    print(f"{asked.rows} description rows, {os.cpu_count()} cores\n")
    print("| task | seconds | range | peak memory, MB | rows |\n|---|---|---|---|---|")
    for name in asked.only or tasks(root):
        command = [
            sys.executable,
            __file__,
            "--rows",
            str(asked.rows),
            "--folder",
            str(asked.folder),
            "--measure",
            name,
        ]
        runs = [json.loads(subprocess.check_output(command)) for _ in range(asked.rounds)]
        seconds = sorted(run["seconds"] for run in runs)
        spread = f"{seconds[0]:.2f} to {seconds[-1]:.2f}"
        memory = statistics.median(run["bytes"] for run in runs) / 1e6
        print(
            f"| {name} | {statistics.median(seconds):.2f} | {spread} | {memory:.0f} | {runs[0]['rows']} |", flush=True
        )
    return None


if __name__ == "__main__":
    main()
