"""Write down what a training measures, as it goes: TensorBoard's event files, and rows in metrics.parquet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.training.checkpoint import appearing_whole
from schemas.table import Table, column

METRICS = Table(
    name="metrics",
    version=1,
    meaning="one logged figure of a training",
    primary_key=("step", "split", "name"),
    columns=(
        column("step", pa.int64(), "steps of the optimizer before it was measured"),
        column("epoch", pa.int32(), "epoch that the step belongs to, from 0"),
        column("name", pa.string(), "what was measured"),
        column("value", pa.float64(), "what came out; not a number where it was none"),
        column("split", pa.string(), "train or validation: of which clips"),
    ),
)


class Logbook:
    """The log of one run. One that goes on from a checkpoint forgets what was logged after it."""

    def __init__(self, folder: Path, *, from_step: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._path = folder / "metrics.parquet"
        self._events: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=from_step)
        self._rows: list[dict[str, Any]] = []
        kept = METRICS.empty()
        if self._path.exists():
            kept = METRICS.conform(pq.read_table(self._path, partitioning=None))
        self._before = kept.filter(pc.less_equal(kept["step"], from_step)) if from_step else METRICS.empty()

    def log(self, step: int, epoch: int, split: str, figures: Mapping[str, float]) -> None:
        """Add figures."""
        for name, value in figures.items():
            self._events.add_scalar(f"{split}/{name}", value, step)
            self._rows.append({"step": step, "epoch": epoch, "name": name, "value": float(value), "split": split})

    def write(self) -> None:
        """Put everything on disk. Raises OSError."""
        self._events.flush()
        rows = pa.concat_tables([self._before, pa.Table.from_pylist(self._rows, schema=self._before.schema)])
        with appearing_whole(self._path) as temporary:
            pq.write_table(rows, temporary, compression="zstd")

    def close(self) -> None:
        """End TensorBoard's thread."""
        self._events.close()


def read_metrics(folder: Path) -> pa.Table:
    """What a run logged, as METRICS; empty if it logged nothing yet."""
    path = folder / "metrics.parquet"
    return METRICS.conform(pq.read_table(path, partitioning=None)) if path.exists() else METRICS.empty()


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    """Without those that are no number."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}
