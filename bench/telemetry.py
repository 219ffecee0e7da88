"""Measure what telling costs: a stage that does nothing but end its units, with and without figures and log.

    python bench/telemetry.py            # prints a table in Markdown; takes about a minute

Each way is run in turn, several times over, so that what else the machine does touches all of them; given is the
smallest. A unit of the real stages takes from a millisecond (a draft) to seconds (tracks of a video).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.run import ShardInput, each_unit, run_stage
from pipeline.stage import Done, Outcome, Read, Resources, Stage, StageConfig, Unit, content_hash
from pipeline.store import Store
from pipeline.telemetry import metrics
from pipeline.telemetry.metrics import RunFigures
from pipeline.telemetry.observing import observed
from schemas.table import UNIT_KEY_MEANING, Table, column

NUM_UNITS, ROUNDS = 500, 5
WORDS = Table("words", 1, "given", ("video_id",), (column("video_id", pa.string(), "id"),))
VIDEOS = Table(
    "videos",  # a name that the store knows
    1,
    "made",
    ("video_id",),
    (column("video_id", pa.string(), "id"), column("unit_key", pa.string(), UNIT_KEY_MEANING)),
)


def work(units: Sequence[Unit], config: StageConfig, resources: Resources) -> Iterator[Outcome]:
    """End every unit with one row."""
    yield from each_unit(units, lambda unit: Done(unit, {"videos": [{"video_id": unit.unit_id}]}))


STAGE = Stage("nothing", 1, (Read(WORDS, ("video_id",)),), (VIDEOS,), "video_id", StageConfig, work)


def one_shard(folder: Path, resources: Resources) -> float:
    """Seconds of a shard in a new corpus."""
    store = Store.open_or_create(folder / "corpus", 1)
    rows = WORDS.rows({"video_id": f"{number:032x}"} for number in range(NUM_UNITS))
    given = ShardInput(content_hash([rows]), rows=rows)
    began = time.process_time()
    run_stage(STAGE, 0, [given], StageConfig(), resources, store)
    return time.process_time() - began


def main() -> None:
    """Print what a unit costs, and a look at the figures."""
    ways = {
        "nothing asked for, no run around it": None,
        "figures": Resources(metrics_port=0),
        "figures, log at INFO": Resources(metrics_port=0, log_file=Path("run.jsonl")),
        "figures, log at DEBUG: a line for each unit": Resources(
            metrics_port=0, log_file=Path("run.jsonl"), log_level="DEBUG"
        ),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, how in ways.items():
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                if how is None:
                    took[name].append(one_shard(folder, Resources()))
                    continue
                log = None if how.log_file is None else folder / how.log_file
                with observed(how.model_copy(update={"log_file": log}), str(folder)) as resources:
                    took[name].append(one_shard(folder, resources))
    least = min(took["nothing asked for, no run around it"])
    print(f"| {NUM_UNITS} units that do nothing | microseconds a unit | more than without |\n|---|---|---|")
    for name, seconds in took.items():
        print(f"| {name} | {min(seconds) / NUM_UNITS * 1e6:.0f} | {(min(seconds) - least) / NUM_UNITS * 1e6:+.0f} |")
    registry = metrics.registry_of(RunFigures(), list)
    looks = []
    for _ in range(100):
        began = time.process_time()
        metrics.as_text(registry)
        looks.append(time.process_time() - began)
    print(f"\na look at the figures: {min(looks) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
