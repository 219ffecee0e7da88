from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.descriptions.check import check, check_prose
from pipeline.descriptions.evidence import Evidence, EvidenceEvent, UnclearSpan, UnmeasuredSpan
from pipeline.descriptions.words import EMOTION_WORDS, FORBIDDEN, VOCABULARY
from schemas.descriptions import CLAIM

EVIDENCE = Evidence(
    duration_s=6.0,
    events=(
        EvidenceEvent(
            action="eye_widen",
            side="left",
            onset_s=0.4,
            apex_s=1.0,
            offset_s=1.5,
            peak=0.45,
            intensity="moderate",
        ),
        EvidenceEvent(
            action="outer_brow_raise",
            side="left",
            onset_s=0.5,
            apex_s=0.8,
            offset_s=1.2,
            peak=0.5,
            intensity="slight",
        ),
        EvidenceEvent(
            action="lip_corner_raise",
            side="both",
            onset_s=2.0,
            apex_s=2.8,
            offset_s=4.0,
            peak=0.9,
            intensity="strong",
        ),
    ),
    unmeasured=(UnmeasuredSpan(start_s=5.0, end_s=5.5, why="turned_away"),),
    unclear=(
        UnclearSpan(action="outer_brow_raise", start_s=0.4, end_s=1.3),
        UnclearSpan(action="lip_corner_raise", start_s=1.9, end_s=4.1),
        UnclearSpan(action="lip_press", start_s=1.0, end_s=2.0),
        UnclearSpan(action="cheek_raise", start_s=0.0, end_s=6.0, why="not_told"),
        UnclearSpan(action="nose_wrinkle", start_s=0.0, end_s=6.0, why="not_told"),
        UnclearSpan(action="eye_widen", side="right", start_s=0.0, end_s=3.0, why="far_side"),
    ),
)
WIDEN = {"action": "eye_widen", "start_s": 0.5, "end_s": 1.4, "intensity": "moderate"}
STILL = Evidence(
    duration_s=4.0,
    events=(),
    unclear=(UnclearSpan(action="cheek_raise", start_s=0.0, end_s=4.0, why="not_told"),),
)
GOOD = "The left outer brow rises slightly. Then both lip corners rise strongly."


def claim(**changed: Any) -> dict[str, Any]:
    smile = {"action": "lip_corner_raise", "side": "both", "start_s": 2.0, "end_s": 4.0}
    return {**smile, "polarity": "present", "intensity": "strong", **changed}


def answer(*claims: dict[str, Any], description: str = GOOD) -> str:
    return json.dumps({"claims": claims, "description": description})


def test_a_true_answer_is_kept_with_its_claims() -> None:
    verdict = check(answer(claim()), "stop", EVIDENCE)
    assert (verdict.text, verdict.fault) == (GOOD, None)
    (row,) = verdict.claims
    assert row["verdict"] == "supported" and set(row) == {field.name for field in CLAIM}


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "supported"),
        ({"start_s": 2.5, "end_s": 2.6}, "supported"),
        ({"start_s": 1.8, "end_s": 4.2}, "supported"),
        ({"side": "middle"}, "supported"),
        ({"intensity": "moderate"}, "supported"),
        (
            {"action": "outer_brow_raise", "side": "left", "start_s": 0.5, "end_s": 1.2, "intensity": "slight"},
            "supported",
        ),
        ({"polarity": "absent", "action": "jaw_drop", "start_s": 0.0, "end_s": 4.0}, "supported"),
        ({"polarity": "absent", "start_s": 0.0, "end_s": 2.0}, "supported"),
        ({"side": "left"}, "contradicted"),
        ({"intensity": "slight"}, "contradicted"),
        ({"action": "outer_brow_raise", "side": "right", "start_s": 0.5, "end_s": 1.2}, "contradicted"),
        ({"action": "jaw_drop", "side": "middle"}, "contradicted"),
        ({"start_s": 0.0, "end_s": 1.0}, "contradicted"),
        ({"start_s": 0.0, "end_s": 4.0}, "contradicted"),
        ({"polarity": "absent"}, "contradicted"),
        ({"polarity": "absent", "start_s": 0.0, "end_s": 6.0}, "contradicted"),
        ({"start_s": 4.8, "end_s": 5.6}, "not_measurable"),
        ({"action": "lip_press", "start_s": 1.0, "end_s": 1.8}, "not_measurable"),
        ({"polarity": "absent", "action": "lip_press", "start_s": 1.0, "end_s": 1.8}, "not_measurable"),
        ({"action": "cheek_raise"}, "not_measurable"),
        ({"polarity": "absent", "action": "nose_wrinkle"}, "not_measurable"),
        ({"polarity": "absent", "action": "jaw_drop", "start_s": 4.0, "end_s": 6.0}, "not_measurable"),
        ({"start_s": 4.0, "end_s": 2.0}, "not_measurable"),
        ({"polarity": "absent", "action": "jaw_drop", "start_s": 1.0, "end_s": 1.1}, "not_measurable"),
        ({"action": "jaw_drop", "start_s": 0.0, "end_s": 9.0}, "not_measurable"),
        ({**WIDEN, "side": "left"}, "supported"),
        ({**WIDEN, "side": "both"}, "not_measurable"),  # the right eye was turned away
        ({**WIDEN, "side": "right"}, "not_measurable"),
        ({**WIDEN, "side": "right", "start_s": 3.2, "end_s": 4.0}, "contradicted"),
        ({**WIDEN, "polarity": "absent", "side": "right", "start_s": 2.0, "end_s": 2.8}, "not_measurable"),
        ({**WIDEN, "polarity": "absent", "side": "left", "start_s": 2.0, "end_s": 2.8}, "supported"),
    ],
)
def test_claims_have_three_outcomes(changed: dict[str, Any], verdict: str) -> None:
    judged = check(answer(claim(**changed)), "stop", EVIDENCE)
    assert judged.claims[0]["verdict"] == verdict, judged.claims[0]["why"]
    reasons = {"supported": None, "contradicted": "claim_contradicted", "not_measurable": "claim_not_supported"}
    assert (judged.fault and judged.fault.reason) == reasons[verdict]
    assert judged.text == (GOOD if verdict == "supported" else None)


@pytest.mark.parametrize(
    ("raw", "finish_reason", "reason"),
    [
        (answer(claim()), "length", "answer_truncated"),
        (answer(claim()), None, "answer_truncated"),
        (answer(claim())[:-20], "length", "answer_truncated"),
        (answer(claim())[:-20], "stop", "answer_not_json"),
        ("", "stop", "answer_not_json"),
        ("null", "stop", "answer_not_json"),
        ("[]", "stop", "answer_not_json"),
        (GOOD, "stop", "answer_not_json"),
        (f"Sure! {answer(claim())}", "stop", "answer_not_json"),
        ('{"claims": []}', "stop", "answer_not_json"),
        (answer(claim(action="happiness")), "stop", "answer_not_json"),
        (answer(claim(confidence=1)), "stop", "answer_not_json"),
        (answer(claim(start_s=-1)), "stop", "answer_not_json"),
        (answer(claim(start_s="NaN")), "stop", "answer_not_json"),
        (answer(*[claim()] * 7), "stop", "answer_not_json"),
        (answer(claim(), description=""), "stop", "answer_not_json"),
        (answer(claim(), description="   "), "stop", "prose_malformed"),
        (answer(claim(), description="The lip corners rise. " * 40), "stop", "answer_not_json"),
    ],
)
def test_an_answer_of_another_form_falls_back(raw: str, finish_reason: str | None, reason: str) -> None:
    verdict = check(raw, finish_reason, EVIDENCE)
    assert verdict.text is None and verdict.fault is not None
    assert verdict.fault.reason == reason and verdict.fault.detail


@pytest.mark.parametrize(
    "prose",
    [
        GOOD,
        "The person smiles broadly.",
        "They raise the left eyebrow, then smile.",
        "The left outer brow lifts briefly before the corners of the mouth are pulled up on both sides.",
        "There is a strong smile after the left outer brow rises.",
        "The person smiles strongly. For some time the face cannot be measured.",
        "The left eye widens while the left outer brow rises slightly. Later, both lip corners rise strongly.",
        "First the left eye widens clearly. Then the lip corners rise strongly, before easing off.",
    ],
)
def test_true_prose_passes(prose: str) -> None:
    assert check_prose(prose, EVIDENCE) is None


@pytest.mark.parametrize(
    ("prose", "reason"),
    [
        # negation
        ("There is no smile.", "prose_contradicted"),
        ("The left outer brow rises without smiling.", "prose_contradicted"),
        ("The person smiles. The left eyebrow does not rise.", "prose_contradicted"),
        ("The lip corners never rise.", "prose_contradicted"),
        ("A smile is absent.", "prose_contradicted"),
        ("The person smiles, but not at all.", "prose_beyond_evidence"),
        ("The person barely smiles.", "prose_beyond_evidence"),
        (
            "The person smiles with no press of the lips.",
            "prose_beyond_evidence",
        ),  # cannot be denied: part not measured
        # side
        ("The lip corners rise strongly. The right outer brow rises.", "prose_contradicted"),
        ("The left lip corner rises strongly.", "prose_contradicted"),
        ("The lip corners rise strongly, more on the left side.", "prose_beyond_evidence"),
        ("The lip corners rise. Both outer brows rise.", "prose_contradicted"),
        ("The person smiles on one side.", "prose_contradicted"),
        # order and time
        ("The person smiles, then the left outer brow rises.", "prose_contradicted"),
        ("The person smiles before the left outer brow rises.", "prose_contradicted"),
        ("The left outer brow rises after the person smiles.", "prose_contradicted"),
        ("The left outer brow rises while the lip corners rise.", "prose_contradicted"),
        ("The person smiles from the start.", "prose_contradicted"),
        ("The person smiles until the end.", "prose_contradicted"),
        ("The person smiles briefly.", "prose_contradicted"),
        ("The person smiles again and again.", "prose_contradicted"),
        ("The person smiles. The left outer brow rises slowly and stays up to the end.", "prose_contradicted"),
        # intensity
        ("The person smiles slightly.", "prose_contradicted"),
        ("There is a hint of a smile.", "prose_contradicted"),
        ("The person smiles. The left outer brow rises strongly.", "prose_contradicted"),
        # numbers
        ("Both lip corners rise strongly from 3.2 s.", "prose_malformed"),
        ("The person smiles for two seconds.", "prose_malformed"),
        # invention
        ("The person smiles and the eyes narrow.", "prose_beyond_evidence"),
        ("The person smiles and the lips press together.", "prose_beyond_evidence"),
        ("The person smiles and the jaw drops.", "prose_beyond_evidence"),
        ("The person frowns, then smiles.", "prose_beyond_evidence"),
        ("The person smiles with furrowed brows.", "prose_beyond_evidence"),
        ("The person smiles with bright eyes.", "prose_beyond_evidence"),
        ("The person smiles and the eyes come forward.", "prose_beyond_evidence"),
        ("The person smiles and tilts the head.", "prose_beyond_evidence"),
        ("The person smiles under blue lights.", "prose_forbidden_word"),
        ("The person smiles. The lips turn.", "prose_beyond_evidence"),
        # stillness against events
        ("The face stays at rest. The person smiles.", "prose_contradicted"),
        ("The person smiles, then the face is motionless.", "prose_beyond_evidence"),  # part not measured
        ("The face does not move, and the person smiles.", "prose_contradicted"),
        # omission
        ("The left outer brow rises slightly.", "prose_omits_evidence"),
        # forbidden words
        ("The person smiles happily.", "prose_forbidden_word"),
        ("The woman smiles.", "prose_forbidden_word"),
        ("A young person smiles.", "prose_forbidden_word"),
        ("An Asian person smiles.", "prose_forbidden_word"),
        ("His lip corners rise.", "prose_forbidden_word"),
        ("The smile of a patient.", "prose_forbidden_word"),
        ("The person smiles in a joy-filled way.", "prose_forbidden_word"),
        # form
        ("The person smiles on the left. The left, the left, the left.", "prose_malformed"),
        ("The lips rise, the lips rise.", "prose_malformed"),
        ("The person smiles", "prose_malformed"),
        ("The person smiles and the", "prose_malformed"),
        ("Человек улыбается.", "prose_malformed"),
        ("The person smiles. 人微笑。", "prose_malformed"),
        ("The person smiles \U0001f600.", "prose_malformed"),
        ("The person smiles. The person smiles.", "prose_malformed"),
        ("The person smiles, the left outer brow rises, and the person smiles.", "prose_malformed"),
        ("The lips rise and rise and rise and rise and rise.", "prose_malformed"),
        ("The the the person smiles.", "prose_malformed"),
        ('{"claims": []} The person smiles.', "prose_malformed"),
        ("Description: the person smiles.", "prose_malformed"),
        ("The lip_corner_raise is strong.", "prose_malformed"),
        ("**The person smiles.**", "prose_malformed"),
        ("...", "prose_malformed"),
        # another language in our letters
        ("Las comisuras de los labios suben.", "prose_beyond_evidence"),
        ("I cannot describe this.", "prose_forbidden_word"),
    ],
)
def test_doubtful_prose_fails(prose: str, reason: str) -> None:
    fault = check_prose(prose, EVIDENCE)
    assert fault is not None and fault.reason == reason, fault


@pytest.mark.parametrize(
    ("prose", "reason"),
    [
        ("The lip corners do not rise, and the jaw does not drop.", None),
        ("The face stays near rest throughout.", "prose_beyond_evidence"),
        ("The face is motionless, and the person does not smile.", "prose_beyond_evidence"),
        ("Hello.", "prose_beyond_evidence"),
        ("The face is seen.", "prose_omits_evidence"),
        ("The face stays at rest, then the person smiles.", "prose_contradicted"),
        ("The face stays at rest, and the cheeks do not lift.", "prose_beyond_evidence"),  # too weakly measured
        ("The face stays at rest. It cannot be measured at the end.", "prose_contradicted"),
    ],
)
def test_of_a_still_face_only_what_was_surely_at_rest_may_be_said(prose: str, reason: str | None) -> None:
    fault = check_prose(prose, STILL)
    assert (fault and fault.reason) == reason, fault


def test_no_word_is_both_forbidden_and_known() -> None:
    assert not (FORBIDDEN | EMOTION_WORDS) & VOCABULARY
