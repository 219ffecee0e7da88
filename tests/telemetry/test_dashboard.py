"""The dashboard and the alerts that come with the project name only what a run tells, and Prometheus' own words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from pipeline.run import ShardResult
from pipeline.store import Receipt
from pipeline.telemetry import metrics
from pipeline.telemetry.events import CorpusIs, Event, RunBegan, ShardEnded, ShardHandedOut, ShardWaits, UnitEnded
from pipeline.telemetry.metrics import RunFigures
from pipeline.telemetry.tally import Tally

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "facescribe.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
PAGE = ROOT / "docs" / "observability.md"

OF_PROMETHEUS = {
    "sum", "by", "rate", "increase", "max", "min", "time", "histogram_quantile", "clamp_min", "or", "on", "and", "le",
    "without", "absent", "vector", "up", "unless", "topk", "bool", "scalar", "ignoring", "count",
}  # fmt: skip


@dataclass(frozen=True)
class Figures:
    address: str
    in_flight: int = 3
    limit: float = 8.0
    is_aside: bool = False
    pace_s: float = 0.5
    num_answered: int = 10
    num_failed: int = 2
    num_set_aside: int = 1


def every_metric() -> dict[str, set[str]]:
    """All that a run can tell: the labels of each series, by its name."""
    figures = RunFigures()
    shard: dict[str, Any] = {"stage": "s", "shard": 0}
    ended: dict[str, Any] = {"num_computed": 1, "num_taken_over": 1, "num_refused": 1, "num_tokens": 1}
    said: dict[str, Any] = {"rows": {"videos": 1}, "rejects": {"no_face": 1}, "work_s": {"s": 1.0}}
    receipt = Receipt(stage="s", bucket=0, key="k", files={}, num_units=1)
    events: list[Event] = [
        RunBegan(run="r", root="c", version="1"),
        ShardWaits(**shard),
        ShardHandedOut(**shard),
        UnitEnded(**shard, unit="a", seconds=1.0),
        UnitEnded(**shard, unit="b", seconds=1.0, reason="no_face"),
        ShardEnded(**shard, **ended, seconds=1.0),
        ShardResult(receipt, 1, 1, 0.0, 1.0, 1, Tally()).came_back(),
        CorpusIs(snapshot=1, is_new=True, num_waiting=0, **said, num_tokens={"s": 1}),
    ]
    for event in events:
        figures.hear(event)
    figures.note_progress("s", 0, 1, 2)
    text = metrics.as_text(metrics.registry_of(figures, lambda: [Figures("http://one/v1")]))
    known: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            known.setdefault(sample.name, set()).update(sample.labels)
    return known


KNOWN = every_metric()


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for panel in panels():
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in json.loads(DASHBOARD.read_text(encoding="utf-8"))["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
    for rule in rules():
        yield rule["expr"]


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_names_only_figures_and_labels_that_there_are(expression: str) -> None:
    assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")
    plain = re.sub(r'"[^"]*"', "", expression)
    named = set(re.findall(r"(?<![\w$])[a-z_]{3,}(?![\w(]*=)", re.sub(r"\[[^]]*\]", "", plain)))
    labels = {label for name in named if name in KNOWN for label in KNOWN[name]} | {"job", "instance"}
    used = named & KNOWN.keys()
    assert used or named & {"up"}, f"no figure in {expression}"
    strange = named - KNOWN.keys() - labels - OF_PROMETHEUS - {"label_values"}
    assert not strange, f"{expression} names {strange}"
    for name, selector in re.findall(r"(\w+)\{([^}]*)\}", plain):
        assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= KNOWN[name] | {"job", "instance"}


def test_every_figure_of_a_run_is_shown_or_explained() -> None:
    shown = " ".join([*expressions(), PAGE.read_text(encoding="utf-8")])
    ours = {re.sub("_(bucket|count|sum|created)$", "", name) for name in KNOWN if name.startswith("facescribe_")}
    assert {name for name in ours if name not in shown} == set()


def test_a_panel_is_one_that_grafana_reads_and_lies_beside_the_others() -> None:
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert board["title"] and board["uid"] and board["schemaVersion"] >= 39 and board["id"] is None
    assert [one["name"] for one in board["templating"]["list"]] == ["datasource", "instance"]
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["type"] in {"timeseries", "stat", "bargauge", "table", "row"} and panel["title"]
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    identities = [panel["id"] for panel in panels()]
    assert len(set(identities)) == len(identities)


def test_an_alert_says_what_happened_what_to_do_and_how_grave_it_is() -> None:
    assert len(rules()) >= 5
    for rule in rules():
        assert re.fullmatch("Facescribe[A-Za-z]+", rule["alert"])
        assert re.fullmatch(r"\d+[smhd]", rule["for"])
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]
        assert rule["alert"] in PAGE.read_text(encoding="utf-8")
