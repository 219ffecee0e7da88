from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.descriptions.check import check_prose
from pipeline.descriptions.claims import mentions
from pipeline.descriptions.draft import draft_text
from pipeline.descriptions.evidence import Evidence, EvidenceEvent, UnmeasuredSpan
from schemas.actions import FACIAL_ACTIONS, INTENSITIES, UNMEASURED_REASONS


def event(action: str, side: str, onset_s: float, apex_s: float, offset_s: float, peak: float = 0.5) -> EvidenceEvent:
    return EvidenceEvent(
        action=action,
        side=side,
        onset_s=onset_s,
        apex_s=apex_s,
        offset_s=offset_s,
        peak=peak,
        intensity=INTENSITIES[min(int(peak * 3), 2)],
    )


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Random evidence such as the measurement can give: an action's events on one side follow each other."""
    duration_s = draw(st.floats(0.5, 30))
    events = []
    for action in draw(st.lists(st.sampled_from(sorted(FACIAL_ACTIONS)), unique=True, max_size=8)):
        cuts = sorted(draw(st.lists(st.floats(0, 1), min_size=6, max_size=6)))
        for first in draw(st.sampled_from([[0], [0, 3]])):
            onset_s, apex_s, offset_s = (duration_s * cut for cut in cuts[first : first + 3])
            if offset_s - onset_s < 0.2:  # shorter ones are no events
                continue
            side = "middle" if FACIAL_ACTIONS[action].middle else draw(st.sampled_from(["left", "right", "both"]))
            events.append(event(action, side, onset_s, apex_s, offset_s, draw(st.floats(0.05, 1))))
    spans = draw(st.lists(st.sampled_from(sorted(UNMEASURED_REASONS)), max_size=1))
    hidden = [UnmeasuredSpan(start_s=duration_s / 3, end_s=duration_s / 2, why=why) for why in spans]
    return Evidence(duration_s=duration_s, events=tuple(events), unmeasured=tuple(hidden))


@settings(max_examples=300, deadline=None)
@given(evidence=evidences(), max_events=st.integers(1, 12))
def test_a_draft_passes_the_check_that_refinements_must_pass(evidence: Evidence, max_events: int) -> None:
    text = draft_text(evidence, max_events=max_events)
    assert check_prose(text, evidence) is None, text


@settings(max_examples=100, deadline=None)
@given(evidence=evidences())
def test_every_event_is_told_once_in_the_order_of_onsets(evidence: Evidence) -> None:
    told = mentions(draft_text(evidence, max_events=100))
    expected = sorted(evidence.events, key=lambda event: (event.onset_s, event.offset_s, event.action, event.side))
    assert [mention.actions for mention in told] == [(event.action,) for event in expected]
    assert [mention.side or "middle" for mention in told] == [event.side for event in expected]


@settings(max_examples=50, deadline=None)
@given(evidence=evidences())
def test_the_same_evidence_gives_the_same_text_also_after_a_round_trip(evidence: Evidence) -> None:
    again = Evidence.model_validate_json(evidence.model_dump_json())
    assert again == evidence
    assert draft_text(again, max_events=6) == draft_text(evidence, max_events=6)


@pytest.mark.parametrize("action", FACIAL_ACTIONS)
def test_every_action_can_be_told_on_every_side_it_has(action: str) -> None:
    for side in ("middle",) if FACIAL_ACTIONS[action].middle else ("left", "right", "both"):
        evidence = Evidence(duration_s=4.0, events=(event(action, side, 1.0, 2.0, 3.0),))
        text = draft_text(evidence, max_events=1)
        (mention,) = mentions(text)
        assert mention.actions == (action,) and (mention.side or "middle") == side, text


def test_times_are_told_with_one_decimal() -> None:
    evidence = Evidence(duration_s=5.0, events=(event("jaw_drop", "middle", 1.0333, 2.0667, 3.1, 0.9),))
    text = draft_text(evidence, max_events=6)
    assert text.startswith("The jaw drops ") and all(told in text for told in ("1.0 s", "2.1 s", "3.1 s"))


def test_of_many_events_the_strongest_of_each_action_comes_first() -> None:
    smiles = [event("lip_corner_raise", "both", t, t + 0.5, t + 1.0, 0.9) for t in (0.0, 2.0, 4.0)]
    evidence = Evidence(duration_s=6.0, events=(*smiles, event("jaw_drop", "middle", 1.0, 1.2, 1.4, 0.4)))
    told = mentions(draft_text(evidence, max_events=2))
    assert {mention.actions for mention in told} == {("lip_corner_raise",), ("jaw_drop",)}


def test_rest_is_said_and_so_is_what_was_not_measurable() -> None:
    hidden = UnmeasuredSpan(start_s=1.0, end_s=2.0, why="turned_away")
    assert "no movement" in draft_text(Evidence(duration_s=3.0, events=()), max_events=6)
    text = draft_text(Evidence(duration_s=3.0, events=(), unmeasured=(hidden,)), max_events=6)
    assert text.startswith("Where it can be measured") and "From 1.0 s to 2.0 s the face cannot be measured" in text
