"""Drift: what became of each text, and whether the words or the measurement changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit.drift import UNEXPLAINED, drift, track_drift
from pipeline.audit.figures import Share, change_between
from tests.audit.conftest import (
    JAW,
    LEFT_SMILE,
    SMILE,
    SMILE_THEN_JAW,
    any_evidence,
    event,
    evidence,
    relabelled,
    text_of,
)

SMILES = text_of("a", SMILE, evidence(LEFT_SMILE))


@given(st.lists(any_evidence(), max_size=4))
def test_a_corpus_has_not_drifted_from_itself(found: list[object]) -> None:
    texts = [text_of(str(number), SMILE, own) for number, own in enumerate(found)]  # type: ignore[arg-type]
    nothing = drift(texts, texts)
    assert nothing.tracks == [] and not any(shift.is_certain for shift in nothing.mix)
    assert [(one.causes, one.mean_similarity) for one in nothing.by_cause] == ([([UNEXPLAINED], 1.0)] if texts else [])


def test_a_change_of_the_prompt_is_told_from_one_of_the_measurement() -> None:
    asked_anew = relabelled(SMILES, prose="The left lip corner lifts.", provenance={**SMILES.provenance, "prompt": "2"})
    measured_anew = text_of("a", SMILE_THEN_JAW, evidence(LEFT_SMILE, JAW))
    assert track_drift(SMILES, asked_anew).causes == ["prompt"]
    assert track_drift(SMILES, measured_anew).causes == ["evidence"]
    assert track_drift(SMILES, relabelled(asked_anew, evidence=measured_anew.evidence)).causes == ["evidence", "prompt"]


def test_claims_are_matched_by_what_they_say_and_when() -> None:
    earlier, later = event("jaw_drop", "middle", 0.0, 1.0), event("jaw_drop", "middle", 2.0, 3.0)
    before = text_of("a", "The jaw drops, then drops again.", evidence(earlier, later))
    moved = event("jaw_drop", "middle", 2.2, 3.2, "moderate")
    after = text_of("a", "The jaw drops and the left lip corner rises.", evidence(moved, LEFT_SMILE))
    found = track_drift(before, after)
    assert found.gained == ["lip_corner_raise (left, strong, 0.5 to 1.5 s)"]
    assert found.lost == ["jaw_drop (middle, strong, 0.0 to 1.0 s)"]
    assert found.changed == ["jaw_drop (middle, strong, 2.0 to 3.0 s) -> jaw_drop (middle, moderate, 2.2 to 3.2 s)"]
    assert found.num_words == (6, 9) and 0 < found.similarity < 1


def test_status_and_verdicts_are_followed() -> None:
    fell = relabelled(SMILES, status="fallback", fallback_reason="prose_too_long", verdicts=("contradicted",))
    found = track_drift(SMILES, fell)
    assert (found.status_before, found.status_after) == ("refined", "fallback: prose_too_long")
    assert found.verdicts == ["lip_corner_raise (left, strong, 0.5 to 1.5 s): supported -> contradicted"]
    assert not found.is_same and found.similarity == 1.0


def test_tracks_of_one_snapshot_alone_are_listed() -> None:
    found = drift([SMILES, relabelled(SMILES, track_id="gone")], [SMILES, relabelled(SMILES, track_id="new")])
    assert (found.only_before, found.only_after) == (["gone"], ["new"])
    assert found.tracks == []


def test_a_shift_of_the_mix_is_told_with_its_interval() -> None:
    before = [relabelled(SMILES, track_id=str(number), label="joy") for number in range(50)]
    dropped = text_of("", "The jaw drops.", evidence(JAW))
    after = [relabelled(dropped if number < 40 else SMILES, track_id=str(number), label="joy") for number in range(50)]
    shifts = {(shift.kind, shift.name): shift for shift in drift(before, after).mix}
    jaw = shifts["claim", "jaw_drop"]
    assert (jaw.before.value, jaw.after.value, jaw.is_certain) == (0.0, 0.8, True)
    assert jaw.change is not None and jaw.change[0] < 0.8 < jaw.change[1]
    assert not shifts["label", "joy"].is_certain


def test_the_interval_of_a_change_is_newcombes() -> None:
    # Newcombe 1998, table II, method 10: 56/70 - 48/80 gives 0.0524 to 0.3339
    low, high = change_between(Share(hits=48, asked=80), Share(hits=56, asked=70)) or (0.0, 0.0)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
    assert change_between(Share(missing="no texts before"), Share(hits=1, asked=2)) is None
