"""How long the overview of a corpus takes, beside reading its tables into pandas, and how much memory.

    python bench/overview.py --tracks 100000

A made-up corpus is written below --folder once and used again. Files are read before the clock starts, so that times
are of a warm disk cache. Each measurement is a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.inspection.corpus import Corpus
from pipeline.inspection.overview import overview_of
from pipeline.inspection.overview_page import write_overview

WAYS: dict[str, Callable[[Corpus], Any]] = {
    "overview": overview_of,
    "overview, with what is new": lambda corpus: overview_of(corpus, Corpus(corpus.store.root, 1)),
    "the page": lambda corpus: write_overview(overview_of(corpus), Path(corpus.store.root).parent / "overview.html"),
    "tracks, actions and descriptions into pandas": lambda corpus: [
        pd.read_parquet(file) for name in ("tracks", "actions", "descriptions") for file in corpus.files(name)
    ],
}


def main() -> None:
    """Write the corpus if it is not there, and time each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "facescribe_overview")
    parser.add_argument("--way", choices=WAYS)
    given = parser.parse_args()
    root = given.folder / f"corpus_{given.tracks}"
    if given.way:
        measure(root, given.way)
        return
    if not root.exists():
        from tests.large_corpus import write_large_corpus

        write_large_corpus(root, given.tracks)
    size = sum(file.stat().st_size for file in root.rglob("*.parquet"))
    print(f"{given.tracks} tracks of 40 frames, {size / 1e6:.0f} MB of Parquet in two snapshots")
    for way in WAYS:
        again = ["--tracks", str(given.tracks), "--folder", str(given.folder), "--way", way]
        subprocess.run([sys.executable, __file__, *again], check=True)


def measure(root: Path, way: str) -> None:
    """Print seconds and peak memory of one way."""
    corpus = Corpus(root)
    for name in ("videos", "tracks", "actions", "descriptions"):
        for file in corpus.files(name):
            Path(file).read_bytes()
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.perf_counter()
    kept = WAYS[way](corpus)
    took_s = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{way}: {took_s:.2f} s, peak {peak_mb:.0f} MB ({before_mb:.0f} MB before)")
    del kept


if __name__ == "__main__":
    main()
