"""Why a unit is computed, told from what the ledger and the snapshot recorded of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.causes import CAUSES, Cause, cause_of_stage, cause_of_unit

MADE: dict[str, Any] = {
    "stage": "refine_descriptions",
    "version": 2,
    "config": {"model": "small", "model_revision": "1", "engine": "vllm 1", "prompt": "refine_2", "temperature": 0.0},
    "weights": {"a.task": "123"},
    "files": {"prompt": "p", "prompt.seen": "s"},
}
LINE: dict[str, Any] = {
    "unit_key": "k", "content_key": "c", "request_key": "r", "generation": 0, "is_transient": False, "reason": None,
}  # fmt: skip


def made(**config: object) -> dict[str, Any]:
    return MADE | {"config": MADE["config"] | config}


@pytest.mark.parametrize(
    ("after", "name", "detail"),
    [
        (MADE | {"version": 3}, "version_raised", "2 -> 3"),
        (MADE | {"weights": {"a.task": "124"}}, "weights_changed", "a.task"),
        (made(model="large"), "weights_changed", "model: small -> large"),
        (made(model_revision="2"), "weights_changed", "model_revision: 1 -> 2"),
        (made(engine="vllm 2"), "engine_changed", "engine: vllm 1 -> vllm 2"),
        (made(prompt="claims_2"), "prompt_changed", "prompt: refine_2 -> claims_2"),
        (MADE | {"files": {"prompt": "q", "prompt.seen": "s"}}, "prompt_changed", "the text of prompt"),
        (made(temperature=0.2), "config_changed", "temperature: 0.0 -> 0.2"),
        (made(temperature=0.2, prompt="claims_2"), "prompt_changed", "prompt: refine_2 -> claims_2, temperature"),
    ],
)
def test_what_changed_of_a_stage_is_named_with_both_values(after: Mapping[str, Any], name: str, detail: str) -> None:
    cause = cause_of_stage(MADE, after)
    assert cause is not None
    assert (cause.name, cause.is_sure) == (name, True)
    assert cause.detail.startswith(detail)


def test_a_stage_that_is_as_it_was_has_no_cause() -> None:
    assert cause_of_stage(MADE, made()) is None


def test_a_part_of_a_prompt_that_only_some_are_told_is_not_sure() -> None:
    cause = cause_of_stage(MADE, MADE | {"files": {"prompt": "p", "prompt.seen": "t"}})
    assert cause == Cause("prompt_changed", "the text of prompt.seen", is_sure=False)


def test_a_snapshot_that_did_not_record_how_it_was_made_says_so() -> None:
    cause = cause_of_stage(None, MADE)
    assert cause is not None
    assert cause.name == "unrecorded"


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        (LINE, LINE, None),
        (LINE | {"is_transient": True}, LINE, "retry"),
        (LINE, LINE | {"unit_key": "l", "content_key": "d"}, "input_changed"),
        (LINE, LINE | {"unit_key": "l", "content_key": "d", "generation": 1}, "input_changed"),
        (LINE, LINE | {"unit_key": "l", "generation": 1}, "backfill"),
        (LINE, LINE | {"unit_key": "l", "request_key": "q"}, "prompt_changed"),
        (LINE, LINE | {"unit_key": "l"}, "unrecorded"),
        (None, LINE, "input_changed"),
    ],
)
def test_why_a_unit_is_computed(before: Mapping[str, Any] | None, after: Mapping[str, Any], name: str | None) -> None:
    cause = cause_of_unit(before, after, None, is_root=False)
    assert (cause.name if cause else None) == name


def test_what_is_new_to_the_stage_that_reads_the_source_is_a_new_video() -> None:
    assert cause_of_unit(None, LINE, None, is_root=True) == Cause("new_video")


def test_a_change_of_the_stage_explains_a_changed_request() -> None:
    raised = Cause("version_raised", "2 -> 3")
    assert cause_of_unit(LINE, LINE | {"unit_key": "l", "request_key": "q"}, raised, is_root=False) == raised


def test_a_cause_is_one_of_the_closed_list() -> None:
    with pytest.raises(ValueError, match="'bad luck' is no cause of the closed list"):
        Cause("bad luck")
    assert all(meaning for meaning in CAUSES.values())
