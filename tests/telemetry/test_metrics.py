"""The figures of a run: what Prometheus finds while it lasts, what a file keeps of it, and that shards add up."""

from __future__ import annotations

import pickle
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pipeline import progress
from pipeline.run import ShardResult
from pipeline.stage import Resources
from pipeline.store import Receipt
from pipeline.telemetry import metrics
from pipeline.telemetry.events import (
    Event,
    ShardEnded,
    ShardHandedOut,
    ShardWaits,
    UnitEnded,
    tell,
)
from pipeline.telemetry.metrics import RunFigures, ServerFigures
from pipeline.telemetry.observing import observed
from pipeline.telemetry.tally import BOUNDS_S, Tally

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def no_servers() -> list[ServerFigures]:
    return []


def text_of(*events: Event) -> Samples:
    figures = RunFigures()
    for event in events:
        figures.hear(event)
    return samples(metrics.as_text(metrics.registry_of(figures, no_servers)))


def unit(unit: str, reason: str | None = None, **more: Any) -> UnitEnded:
    return UnitEnded(stage="s", shard=0, unit=unit, reason=reason, **{"seconds": 0.02, **more})


ENDED = ShardEnded(
    stage="s", shard=0, num_computed=3, num_taken_over=5, num_refused=1, num_tokens=7, seconds=2.5
)  # fmt: skip


def result(process: str | None = None, **tally: Any) -> ShardResult:
    receipt = Receipt(stage="s", bucket=0, key="k", files={}, num_units=3)
    more = {} if process is None else {"process": process}
    return ShardResult(receipt, 3, 5, 10.0, 12.5, 7, Tally(**tally), **more)


def test_units_add_up_by_stage_outcome_and_reason() -> None:
    found = text_of(
        unit("a", num_rows=2, num_bytes=100, num_tokens=7), unit("b"), unit("c", "no_face"), ENDED, result().came_back()
    )
    assert value(found, "facescribe_units_total", stage="s", outcome="done") == 2
    assert value(found, "facescribe_units_total", stage="s", outcome="refused") == 1
    assert value(found, "facescribe_units_total", stage="s", outcome="taken_over") == 5
    assert value(found, "facescribe_refused_total", stage="s", reason="no_face") == 1
    assert value(found, "facescribe_tokens_total", stage="s") == 7
    assert value(found, "facescribe_rows_total", stage="s") == 2
    assert value(found, "facescribe_row_bytes_total", stage="s") == 100
    assert value(found, "facescribe_shard_seconds_total", stage="s") == 2.5
    assert value(found, "facescribe_shards_total", stage="s", outcome="done") == 1
    assert value(found, "facescribe_unit_seconds_count", stage="s") == 3
    assert value(found, "facescribe_unit_seconds_sum", stage="s") == pytest.approx(0.06)
    assert value(found, "facescribe_unit_seconds_bucket", stage="s", le="0.01") == 0
    assert value(found, "facescribe_unit_seconds_bucket", stage="s", le="0.03") == 3
    assert value(found, "facescribe_unit_seconds_bucket", stage="s", le="+Inf") == 3


def test_a_shard_of_another_process_is_added_once_it_is_back_and_one_of_this_process_is_not_added_twice() -> None:
    elsewhere: ShardResult = pickle.loads(
        pickle.dumps(result("another", num_done=3, num_taken_over=5, num_tokens=7, seconds=2.0))
    )
    found = text_of(elsewhere.came_back())
    assert value(found, "facescribe_units_total", stage="s", outcome="done") == 3
    assert value(found, "facescribe_units_total", stage="s", outcome="taken_over") == 5
    assert value(found, "facescribe_tokens_total", stage="s") == 7
    assert value(found, "facescribe_shard_seconds_total", stage="s") == 2.5
    here = text_of(unit("a"), ENDED, result(num_done=3, num_taken_over=5).came_back())
    assert value(here, "facescribe_units_total", stage="s", outcome="done") == 1
    assert value(here, "facescribe_units_total", stage="s", outcome="taken_over") == 5
    assert value(here, "facescribe_shard_seconds_total", stage="s") == 2.5


def test_shards_wait_are_at_work_and_come_back() -> None:
    waits, out = (kind(stage="s", shard=0) for kind in (ShardWaits, ShardHandedOut))
    for events, waiting, under_way in (
        ((waits, waits, out), 1, 1),
        ((waits, waits, out, out, result().came_back()), 0, 1),
    ):
        found = text_of(*events)
        assert value(found, "facescribe_shards_waiting", stage="s") == waiting
        assert value(found, "facescribe_shards_under_way", stage="s") == under_way


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "no_face", "server_unavailable"]),
            st.floats(0, 1000),
            st.integers(0, 9),
            st.integers(0, 9),
            st.integers(0, 9),
        )
    ),
    st.integers(0, 5),
)
def test_tallies_of_parts_add_up_to_the_tally_of_all(
    ended: list[tuple[str | None, float, int, int, int]], cut: int
) -> None:
    whole, parts = Tally(), [Tally(), Tally()]
    for position, one in enumerate(ended):
        whole.enter(*one)
        parts[position < cut].enter(*one)
    total = Tally()
    for part in parts:
        total.add(part)
    assert total.took == whole.took and sum(total.took) == len(ended)
    assert (total.num_done, total.refused, total.num_tokens) == (whole.num_done, whole.refused, whole.num_tokens)
    assert total.seconds == pytest.approx(whole.seconds)


def test_the_bounds_ascend() -> None:
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))


@dataclass(frozen=True)
class Figures:
    address: str
    in_flight: int = 3
    limit: float = float("inf")
    is_aside: bool = False
    pace_s: float = 0.5
    num_answered: int = 10
    num_failed: int = 2
    num_set_aside: int = 1


def test_each_language_model_server_has_its_figures_and_of_its_url_only_host_and_port_are_told() -> None:
    servers = [
        Figures("http://user:secret@one:8000/v1"),
        Figures("http://one:8000/v1", limit=4),
        Figures("http://two/v1"),
    ]
    text = metrics.as_text(metrics.registry_of(RunFigures(), lambda: servers))
    assert "secret" not in text
    found = samples(text)
    assert value(found, "facescribe_server_in_flight", server="one:8000") == 6
    assert value(found, "facescribe_server_limit", server="one:8000") == 4
    assert value(found, "facescribe_server_limit", server="two") == float("inf")
    assert value(found, "facescribe_server_failed_total", server="two") == 2


def test_a_child_counts_into_the_memory_below() -> None:
    def now() -> tuple[float, float]:
        found = text_of()
        return value(found, "facescribe_child_processes"), value(found, "facescribe_child_memory_bytes")

    before = now()
    with subprocess.Popen(
        [sys.executable, "-c", "x = b'x' * (1 << 26); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        during = now()
        child.communicate(b"\n")
    assert during[0] == before[0] + 1
    assert during[1] - before[1] > 1 << 26


def test_figures_are_served_on_loopback_while_the_run_lasts_and_no_longer() -> None:
    figures = RunFigures()
    with metrics.served(metrics.registry_of(figures, no_servers), 0) as port:
        figures.hear(unit("a"))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            found = samples(answer.read().decode())
    assert value(found, "facescribe_units_total", stage="s", outcome="done") == 1
    assert value(found, "process_resident_memory_bytes") > 0
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)


def test_a_port_that_is_taken_is_said_before_anything_begins() -> None:
    with (
        metrics.served(metrics.registry_of(RunFigures(), no_servers), 0) as port,
        pytest.raises(OSError),
        observed(Resources(metrics_port=port), "corpus"),
    ):
        raise AssertionError("began")


def test_a_run_leaves_its_figures_in_a_file_and_keeps_when_one_last_ended_well(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "run.prom"
    with observed(Resources(metrics_file=path), "corpus"):
        tell(unit("a"))
        progress.report("s", 0, done=1, total=2)
    first = samples(path.read_text())
    assert value(first, "facescribe_units_total", stage="s", outcome="done") == 1
    assert value(first, "facescribe_units_ended", stage="s") == 1
    assert value(first, "facescribe_units_known", stage="s") == 2
    assert value(first, "facescribe_run_failed") == 0
    well_at = value(first, metrics.LAST_SUCCESS)
    assert well_at > 0
    with pytest.raises(RuntimeError), observed(Resources(metrics_file=path), "corpus"):
        raise RuntimeError
    second = samples(path.read_text())
    assert value(second, "facescribe_run_failed") == 1
    assert value(second, metrics.LAST_SUCCESS) == well_at
    assert list(path.parent.iterdir()) == [path]


def test_a_file_of_figures_that_cannot_be_read_tells_of_no_success(tmp_path: Path) -> None:
    path = tmp_path / "run.prom"
    assert metrics.last_success(path) == 0
    path.write_text("no figures {{{\n")
    assert metrics.last_success(path) == 0
