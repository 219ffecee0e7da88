"""The refine stage against a server that goes wrong in every way: nothing wrong is accepted, nothing is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.descriptions.check import check_prose
from pipeline.descriptions.draft_stage import DraftConfig, draft_row
from pipeline.descriptions.evidence import Evidence, EvidenceEvent
from pipeline.descriptions.label_policy import LabelLeakError, refuse_seen_labels
from pipeline.descriptions.prompt import PROMPTS
from pipeline.descriptions.refine_stage import REFINE_DESCRIPTIONS, RefineConfig
from pipeline.run import ShardInput, ShardResult, run_stage
from pipeline.stage import Resources
from pipeline.store import Receipt, Store
from schemas.actions import INTENSITIES
from schemas.descriptions import DESCRIPTIONS, DRAFTS
from schemas.rejects import REJECTS
from schemas.videos import VIDEOS
from tests.descriptions.fault_server import (
    ANSWER_FAULTS,
    FAULTS,
    MODEL,
    TRANSIENT_FAULTS,
    Body,
    Fault,
    FaultServer,
    fault_server,
    in_turn,
    question_of,
)

Rows = list[dict[str, Any]]


def event(action: str, side: str, onset_s: float, intensity: str = "strong") -> EvidenceEvent:
    peak = (0.3, 0.5, 0.9)[INTENSITIES.index(intensity)]
    times = {"onset_s": onset_s, "apex_s": onset_s + 0.5, "offset_s": onset_s + 1.2}
    return EvidenceEvent(action=action, side=side, **times, peak=peak, intensity=intensity)


FACES = {
    "smile": Evidence(duration_s=6.0, events=(event("lip_corner_raise", "both", 1.0),)),
    "jaw": Evidence(duration_s=6.0, events=(event("jaw_drop", "middle", 2.0, "moderate"),)),
    "two": Evidence(duration_s=6.0, events=(event("eye_close", "left", 0.5), event("lip_corner_raise", "right", 3.0))),
    "head": Evidence(duration_s=6.0, events=(event("head_turn", "left", 1.0, "moderate"),)),
}


def draft_of(name: str, evidence: Evidence) -> dict[str, Any]:
    return {**draft_row(name, f"video of {name}", evidence, DraftConfig()), "unit_key": "", "seen_text": None}


def video_row(name: str, **more: Any) -> dict[str, Any]:
    numbers = {"size_bytes": 1, "num_frames": 1, "width_px": 1, "height_px": 1, "rotation_deg": 0}
    words = dict.fromkeys(("unit_key", "path", "codec", "container", "decoder"), "x")
    rest = {"other_paths": [], "duration_s": 1.0, "mean_fps": 1.0, "has_audio": False}
    return {"video_id": f"video of {name}", **words, **numbers, **rest, **more}


def well_answered(body: Body) -> str:
    """Each note as a sentence: true, and so accepted."""
    notes = re.findall(r"Notes: ([^.]*)\.", question_of(body))[-1].split("; ")
    return json.dumps({"description": " ".join(f"{note[0].upper()}{note[1:]}." for note in notes)})


class Refinery:
    """The stage on one shard of a store, run as often as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open_or_create(folder / "corpus", 1)
        self.drafts: Rows = [draft_of(name, evidence) for name, evidence in FACES.items()]
        self.videos: Rows = [video_row(name) for name in FACES]
        self.previous: Receipt | None = None

    def run(self, server: FaultServer, config: RefineConfig | None = None, **resources: Any) -> ShardResult:
        inputs = [shard_input(DRAFTS.rows(self.drafts)), shard_input(VIDEOS.rows(self.videos))]
        patience = {"request_timeout_s": 1.0, "request_attempts": 2, "first_pause_s": 0.01}
        known = {name: value for name, value in patience.items() if name in Resources.model_fields}
        how = Resources(server=server.address, answers=self.store.answers, **(known | resources))
        config = config or RefineConfig(model=MODEL)
        result = run_stage(REFINE_DESCRIPTIONS, 0, inputs, config, how, self.store, self.previous)
        self.previous = result.receipt
        return result

    def rows(self, result: ShardResult, name: str = DESCRIPTIONS.name) -> dict[str, dict[str, Any]]:
        file = result.receipt.files.get(name)
        key = "track_id" if name == DESCRIPTIONS.name else "unit_id"
        return {row[key]: row for row in self.store.read(file).to_pylist()} if file else {}


def shard_input(rows: pa.Table) -> ShardInput:
    return ShardInput(key=str(hash(str(rows.to_pylist()))), rows=rows)


@pytest.fixture
def refinery(tmp_path: Path) -> Refinery:
    return Refinery(tmp_path)


def assert_sound(rows: Mapping[str, Mapping[str, Any]], drafts: Sequence[Mapping[str, Any]]) -> None:
    """Every accepted text stands the check again, every other is its draft."""
    text_of = {draft["track_id"]: draft["text"] for draft in drafts}
    for name, row in rows.items():
        if row["status"] == "refined":
            assert check_prose(row["text"], FACES[name]) is None and row["fallback_reason"] is None
            assert row["claims"] and all(claim["verdict"] == "supported" for claim in row["claims"])
        else:
            assert row["text"] == text_of[name] and row["fallback_reason"] and row["fallback_detail"]
        assert "<" not in row["text"] and "gnore" not in row["text"] and "sorry" not in row["text"]


def test_right_answers_are_accepted_with_everything_that_they_were_made_with(refinery: Refinery) -> None:
    with fault_server(answer=well_answered) as server:
        rows = refinery.rows(refinery.run(server))
    assert {row["status"] for row in rows.values()} == {"refined"}
    assert_sound(rows, refinery.drafts)
    (asked,) = rows["smile"]["asked"]
    assert asked["model"] == MODEL and asked["engine"] == "vllm 0.32.0" and asked["finish_reason"] == "stop"
    assert json.loads(asked["sampling"])["temperature"] == 0 and len(asked["request_sha256"]) == 64
    (claim,) = rows["smile"]["claims"]
    assert (claim["action"], claim["start_s"], claim["end_s"], claim["source"]) == (
        "lip_corner_raise",
        1.0,
        2.2,
        "prose",
    )
    assert not any(row["saw_label"] for row in rows.values())


@pytest.mark.parametrize("fault", sorted(ANSWER_FAULTS))
def test_a_wrong_answer_never_passes_and_is_asked_for_twice_more(refinery: Refinery, fault: str) -> None:
    with fault_server(lambda _: fault, answer=well_answered) as server:
        rows = refinery.rows(refinery.run(server))
    assert set(rows) == set(FACES)
    assert_sound(rows, refinery.drafts)
    for row in rows.values():
        if fault != "another_tracks_answer":
            assert row["status"] == "fallback"
        assert len(row["asked"]) == (3 if row["status"] == "fallback" else len(row["asked"]))


@pytest.mark.parametrize("fault", sorted(TRANSIENT_FAULTS))
def test_no_answer_is_a_passing_refusal_and_the_next_run_asks_again(refinery: Refinery, fault: str) -> None:
    with fault_server(lambda _: fault, answer=well_answered) as server:
        result = refinery.run(server, request_timeout_s=0.3)
        refused = refinery.rows(result, REJECTS.name)
        assert set(refused) == set(FACES) and not refinery.rows(result)
        assert {row["reason"] for row in refused.values()} == {"server_unavailable"}
        assert all(row["is_transient"] for row in refused.values()) and not result.receipt.is_settled
    with fault_server(answer=well_answered) as server:
        rows = refinery.rows(refinery.run(server))
    assert {row["status"] for row in rows.values()} == {"refined"} and set(rows) == set(FACES)


def test_faults_mixed_at_random_lose_nothing_and_end(refinery: Refinery) -> None:
    names = sorted(FAULTS)
    refinery.drafts = [draft_of(name, evidence) for name, evidence in FACES.items()]
    count = iter(range(10_000))

    def plan(_: Body) -> str | Fault | None:
        number = next(count)
        return names[number // 2 % len(names)] if number % 2 else None

    for _ in range(12):
        with fault_server(plan, answer=well_answered) as server:
            result = refinery.run(server, request_timeout_s=0.3, request_attempts=3)
        ended = {**refinery.rows(result), **refinery.rows(result, REJECTS.name)}
        assert set(ended) == set(FACES)
        assert_sound(refinery.rows(result), refinery.drafts)
        if result.receipt.is_settled:
            break
    assert result.receipt.is_settled


def test_a_fault_is_quoted_and_the_mended_answer_is_taken(refinery: Refinery, tmp_path: Path) -> None:
    quoting = prompt_file(
        tmp_path, lambda text: re.sub("again = .*", 'again = "Wrong: {fault}. Notes: {notes}."', text)
    )
    refinery.drafts, refinery.videos = refinery.drafts[:1], refinery.videos[:1]
    wrong = json.dumps({"description": "Both lip corners rise strongly and the brows lower."})

    def answer(body: Body) -> str:
        return wrong if len(body["messages"]) < 12 else well_answered(body)

    with fault_server(answer=answer) as server:
        (row,) = refinery.rows(refinery.run(server, RefineConfig(model=MODEL, prompt=quoting))).values()
    assert row["status"] == "refined" and len(row["asked"]) == 2
    assert row["asked"][0]["fault"] == "prose_contradicted" and row["asked"][1]["fault"] is None
    assert row["asked"][0]["request_sha256"] != row["asked"][1]["request_sha256"]
    assert server.bodies[1]["messages"][-2] == {"role": "assistant", "content": wrong}
    assert row["asked"][0]["fault_detail"] in question_of(server.bodies[1])
    assert "brows lower" in question_of(server.bodies[1])


def test_answers_before_a_failure_are_kept_and_not_asked_for_again(refinery: Refinery) -> None:
    refinery.drafts, refinery.videos = refinery.drafts[:1], refinery.videos[:1]
    with fault_server(in_turn("refusal_in_form", "internal_error"), answer=well_answered) as server:
        assert not refinery.rows(refinery.run(server))
    with fault_server(answer=well_answered) as server:
        (row,) = refinery.rows(refinery.run(server)).values()
    assert len(server.bodies) == 1 and len(row["asked"]) == 2 and row["status"] == "refined"


def test_a_run_that_changes_nothing_asks_nothing(refinery: Refinery) -> None:
    with fault_server(answer=well_answered) as server:
        first = refinery.run(server)
        assert len(server.bodies) == len(FACES)
        second = refinery.run(server)
        assert len(server.bodies) == len(FACES) and second.receipt == first.receipt


def prompt_file(folder: Path, edit: Callable[[str], str] = lambda text: text) -> str:
    text = (PROMPTS / "refine_2.toml").read_text().replace("[[examples]]", 'seen = " Seen: {seen}"\n[[examples]]', 1)
    path = folder / "own.toml"
    path.write_text(edit(text))
    return str(path)


def test_one_word_of_a_prompt_asks_anew_for_just_the_rows_that_it_touches(refinery: Refinery, tmp_path: Path) -> None:
    refinery.drafts[0]["seen_text"] = "The mouth widens."
    config = RefineConfig(model=MODEL, prompt=prompt_file(tmp_path))
    with fault_server(answer=well_answered) as server:
        refinery.run(server, config)
        server.bodies.clear()
        prompt_file(tmp_path, lambda text: text.replace("Seen:", "Observed:"))
        assert refinery.run(server, config).num_computed == 1
        (body,) = server.bodies
        assert "Observed: The mouth widens." in question_of(body)
        server.bodies.clear()
        prompt_file(tmp_path, lambda text: text.replace("Keep every note", "Keep each note"))
        assert refinery.run(server, config).num_computed == len(FACES) == len(server.bodies)
        prompt_file(tmp_path)
        assert refinery.run(server, config).num_computed == 0, "what was asked before is known"


@pytest.mark.parametrize("name", sorted(set(RefineConfig.model_fields)))
def test_every_field_of_the_config_changes_the_key(refinery: Refinery, name: str, tmp_path: Path) -> None:
    changed: dict[str, Any] = {
        "prompt": "claims_2",
        "max_notes": 2,
        "max_claims": 3,
        "max_retries": 1,
        "max_tokens": 99,
        "temperature": 0.5,
        "top_p": 0.5,
        "seed": 7,
        "token_budget": 50,
        "may_name_emotions": True,
        "label": "train",
    }
    inputs = {DRAFTS.name: DRAFTS.rows(refinery.drafts), VIDEOS.name: VIDEOS.rows(refinery.videos)}
    config = RefineConfig()
    other = RefineConfig(**{name: changed.get(name, "another")})
    keys = [[unit.unit_key for unit in REFINE_DESCRIPTIONS.units(inputs, one)] for one in (config, other)]
    assert not set(keys[0]) & set(keys[1])


def labelled(refinery: Refinery, **split_of: str | None) -> None:
    refinery.videos = [video_row(name, label="happiness", split=split_of.get(name)) for name in FACES]


def test_the_label_is_told_to_nobody_by_default(refinery: Refinery) -> None:
    labelled(refinery, smile="train")
    with fault_server(answer=well_answered) as server:
        rows = refinery.rows(refinery.run(server))
        assert "happiness" not in json.dumps(server.bodies) and not any(row["saw_label"] for row in rows.values())
        labelled(refinery, smile="test")
        assert refinery.run(server).num_computed == 0  # a label is no part of a question that does not hold it


def test_the_label_is_told_for_the_training_split_alone_and_such_rows_are_refused_elsewhere(
    refinery: Refinery, tmp_path: Path
) -> None:
    labelled(refinery, smile="train", two="test")
    path = tmp_path / "labels.toml"
    path.write_text(
        (PROMPTS / "refine_2.toml")
        .read_text()
        .replace("[[examples]]", 'label = " It is {label}. Notes: {notes}."\n[[examples]]', 1)
    )
    with fault_server(answer=well_answered) as server:
        rows = refinery.rows(refinery.run(server, RefineConfig(model=MODEL, prompt=str(path), label="train")))
    told = [body for body in server.bodies if "It is happiness" in question_of(body)]
    assert len(told) == 1 and {name for name, row in rows.items() if row["saw_label"]} == {"smile"}
    refuse_seen_labels({**rows[name], "split": "train" if name == "smile" else "test"} for name in rows)
    with pytest.raises(LabelLeakError, match="smile"):
        refuse_seen_labels({**row, "split": "test"} for row in rows.values())
