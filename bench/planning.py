"""Measure what planning costs as a corpus grows: time and peak memory of whole commands.

    python bench/planning.py                       # 10^4, 10^5 and 10^6 units; some five minutes
    python bench/planning.py --units 10000,100000

The files of the source are real and tiny, one track to each. Ledgers, sources, descriptions and receipts are made up
in the shape that a build leaves; the other shards are one byte each, which also shows that a plan never opens one.
Each command runs in a process of its own, `facescribe plan` and `facescribe build`, as a user runs them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import snapshot as snapshots
from pipeline.inspection.corpus import Corpus
from pipeline.stage import Stage
from pipeline.store import Receipt, ShardFile, Store
from pipeline.walk import WALK, BuildConfig, Walk, open_walk
from schemas.descriptions import DESCRIPTIONS
from schemas.ledger import DONE, LEDGER
from schemas.table import Table

LONG_AGO_S = 10 * 24 * 3600

TOLD = ("units to compute", "nothing to do", "units computed")
"""In the sentence that sums a command up."""


def main() -> None:
    """Make each corpus and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", default="10000,100000,1000000", help="sizes of corpora, in units of all stages")
    parser.add_argument("--tracks", type=int, default=100_000, help="size of the corpus of the nightly without changes")
    arguments = parser.parse_args()
    print("| corpus | command | changed | seconds | peak memory | what it says |\n|---|---|---|---|---|---|")
    for num_units in map(int, arguments.units.split(",")):
        measure(f"{num_units:,} units", num_units // len(WALK), [nothing, one_per_cent, prompt, tracks])
    measure(f"{arguments.tracks:,} tracks", arguments.tracks, [], also_build=True)


def measure(name: str, num_videos: int, changes: list[Any], *, also_build: bool = False) -> None:
    """Make a corpus of so many videos and run the commands on it."""
    folder = Path(tempfile.mkdtemp(prefix="facescribe-planning-"))
    try:
        videos, root = folder / "videos", folder / "corpus"
        make_files(videos, 0, num_videos)
        make_corpus(videos, root, num_buckets=max(16, min(256, num_videos // 500)))
        for change in changes:
            arguments = change(folder, num_videos)
            say(name, "plan", change.__doc__, run("plan", videos, "--root", root, *arguments))
        if also_build:
            say(name, "build", nothing.__doc__, run("build", videos, "--root", root))
            say(name, "nightly", nothing.__doc__, run_night(videos, root))
    finally:
        shutil.rmtree(folder)


def nothing(folder: Path, num_videos: int) -> list[str]:
    """nothing"""
    return []


def one_per_cent(folder: Path, num_videos: int) -> list[str]:
    """1 % of the videos new, 1 % gone, 1 % with a label"""
    share = num_videos // 100
    videos = folder / "videos"
    make_files(videos, num_videos, share)
    for number in range(share):
        path_of(videos, number).unlink()
    labelled = [path_of(Path(), number).as_posix() for number in range(share, 2 * share)]
    (folder / "labels.csv").write_text("path,label\n" + "".join(f"{path},neutral\n" for path in labelled))
    return ["--annotations", str(folder / "labels.csv")]


def prompt(folder: Path, num_videos: int) -> list[str]:
    """the same, and the prompt"""
    (folder / "build.toml").write_text('[descriptions]\nprompt = "claims_2"\n')
    return ["--annotations", str(folder / "labels.csv"), "--config", str(folder / "build.toml")]


def tracks(folder: Path, num_videos: int) -> list[str]:
    """the same, and how tracks are made, on which all else hangs"""
    (folder / "build.toml").write_text('[tracks]\nmin_track_s = 1.5\n[descriptions]\nprompt = "claims_2"\n')
    return ["--annotations", str(folder / "labels.csv"), "--config", str(folder / "build.toml")]


def make_files(folder: Path, first: int, count: int) -> None:
    """Tiny files of different bytes, a thousand to a folder, that were last changed long ago."""
    when = time.time() - LONG_AGO_S
    for number in range(first, first + count):
        path = path_of(folder, number)
        if number % 1000 == 0 or number == first:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video %d" % number)
        os.utime(path, (when, when))


def path_of(folder: Path, number: int) -> Path:
    """Where the file of a number lies."""
    return folder / f"{number // 1000:04d}" / f"{number:07d}.mp4"


def make_corpus(videos: Path, root: Path, num_buckets: int) -> None:
    """A first snapshot in which every stage is done."""
    walk = open_walk(Store.open_or_create(root, num_buckets), videos, BuildConfig())
    walk.keep_sources()
    for stage in WALK:
        for bucket, rows in walk.sources.items():
            walk.note(made_up(walk, stage, bucket, rows["video_id"].to_pylist()))
    config = walk.config
    made_with = {stage.name: stage.made_with(config.of(stage)) for stage in WALK}
    stated = {"config": config.model_dump(mode="json"), "made_with": made_with, "software": {}}
    snapshots.commit(walk.store, walk.receipts, parent=None, source=str(videos), **stated)
    assert open_walk(walk.store, videos, BuildConfig()).is_done()
    assert Corpus(root).snapshot.counts["tracks"]


def made_up(walk: Walk, stage: Stage[Any], bucket: int, video_ids: list[str]) -> Receipt:
    """What a stage would have left for a bucket."""
    store = walk.store
    key = walk.shard_key(stage, bucket)
    unit_ids = video_ids if stage.unit == "video_id" else [hashed(f"track {one}") for one in video_ids]
    files = {}
    for table in stage.writes:
        made = descriptions(video_ids, unit_ids) if table is DESCRIPTIONS else None
        files[table.name] = (
            written(store, table, bucket, made) if made else unread(store, table, bucket, key, len(unit_ids))
        )
    files[LEDGER.name] = written(store, LEDGER, bucket, ledger(stage, video_ids, unit_ids))
    receipt = Receipt(stage=stage.name, bucket=bucket, key=key, files=files, num_units=len(unit_ids))
    store.write_receipt(receipt)
    return receipt


def ledger(stage: Stage[Any], video_ids: list[str], unit_ids: list[str]) -> pa.Table:
    """Lines of units that are done."""
    count = len(unit_ids)
    request_keys = [hashed(f"request {one}") * 2 for one in unit_ids] if stage.request else [None] * count
    return LEDGER.conform(
        pa.table(
            {
                "stage": [stage.name] * count,
                "unit_id": unit_ids,
                "video_id": video_ids,
                "unit_key": [hashed(f"{stage.name} {one}") for one in unit_ids],
                "content_key": [hashed(f"content {stage.name} {one}") * 2 for one in unit_ids],
                "request_key": request_keys,
                "generation": [0] * count,
                "outcome": [DONE] * count,
                "reason": [None] * count,
                "is_transient": [False] * count,
                "output_key": [hashed(f"output {stage.name} {one}") for one in unit_ids],
                "num_rows": [1] * count,
                "num_bytes": [1000] * count,
                "work_s": [0.1] * count,
                "num_tokens": [300 if stage.request else 0] * count,
            },
            schema=LEDGER.schema,
        )
    )


def descriptions(video_ids: list[str], track_ids: list[str]) -> pa.Table:
    """Texts, which a build that does nothing counts by their status. They are fallbacks: no alarm of equal ones."""
    count = len(track_ids)
    columns = {
        "track_id": track_ids,
        "text_version": [1] * count,
        "unit_key": track_ids,
        "video_id": video_ids,
        "text": ["The eyes close."] * count,
        "status": ["fallback"] * count,
        "fallback_reason": ["answer_not_json"] * count,
        "fallback_detail": [""] * count,
        "claims": [[]] * count,
        "num_text_tokens": [5] * count,
        "asked": [[]] * count,
        "saw_label": [False] * count,
    }
    return DESCRIPTIONS.conform(pa.table(columns, schema=DESCRIPTIONS.schema))


def written(store: Store, table: Table, bucket: int, rows: pa.Table) -> ShardFile:
    """A real shard."""
    with store.writer(table, bucket, {"made": "up"}) as writer:
        writer.append(rows)
    assert writer.file is not None
    return writer.file


def unread(store: Store, table: Table, bucket: int, key: str, rows: int) -> ShardFile:
    """A shard that is there and is no Parquet."""
    content = hashed(f"{table.name} {bucket} {key}")
    file = ShardFile(path=f"shards/{table.name}/{bucket:04d}/{content}.parquet", rows=rows, bytes=1)
    path = Path(store.path(file))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return file


def hashed(text: str) -> str:
    """32 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def run(*arguments: object) -> tuple[float, int, str]:
    """Run `facescribe`; its seconds, its peak memory in bytes, and the sentence that sums it up."""
    return timed([sys.executable, "-m", "flows", *map(str, arguments)])


def run_night(videos: Path, root: Path) -> tuple[float, int, str]:
    """Run the nightly flow, with its Prefect server; without canaries and gallery, for there are no crops and texts."""
    code = (
        "import sys; from pathlib import Path\n"
        "from flows.nightly import nightly; from flows.prefect_api import prefect_api\n"
        "with prefect_api(): print(nightly(*map(Path, sys.argv[1:]), num_canaries=0, make_gallery=False).summary())"
    )
    return timed([sys.executable, "-c", code, str(videos), str(root)])


def timed(command: list[str]) -> tuple[float, int, str]:
    """Run a command in a process whose only child it is."""
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True); "
        "print(done.stdout, end=''); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); "
        "sys.exit(done.returncode)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    lines = done.stdout.splitlines()
    told = next(line for line in lines if any(words in line for words in TOLD))
    return time.monotonic() - began, int(lines[-1]) * 1024, told


def say(name: str, command: str, change: str | None, measured: tuple[float, int, str]) -> None:
    """Print one row."""
    seconds, peak, told = measured
    print(f"| {name} | `{command}` | {change} | {seconds:.1f} | {peak / 2**20:.0f} MiB | {told} |", flush=True)


if __name__ == "__main__":
    main()
