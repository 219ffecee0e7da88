from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.descriptions.check import TextRules, check_prose
from pipeline.descriptions.claims import mentions
from pipeline.descriptions.draft import draft_of, in_words, must_tell, notes_of
from pipeline.descriptions.evidence import Evidence, EvidenceEvent, UnclearSpan, UnmeasuredSpan
from pipeline.descriptions.judging import judge_claim
from schemas.actions import COARSE_ACTIONS, INTENSITIES, TOLD_ACTIONS, UNMEASURED_REASONS, sides_of


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
    for action in draw(st.lists(st.sampled_from(sorted(TOLD_ACTIONS)), unique=True, max_size=8)):
        cuts = sorted(draw(st.lists(st.floats(0, 1), min_size=6, max_size=6)))
        for first in draw(st.sampled_from([[0], [0, 3]])):
            onset_s, apex_s, offset_s = (duration_s * cut for cut in cuts[first : first + 3])
            if offset_s - onset_s < 0.2:  # shorter ones are no events
                continue
            side = draw(st.sampled_from(sides_of(action)))
            events.append(event(action, side, onset_s, apex_s, offset_s, draw(st.floats(0.05, 1))))
    told = {event.action for event in events}
    unclear = [
        UnclearSpan(action=action, start_s=0.0, end_s=duration_s, why="not_told")
        for action in draw(st.lists(st.sampled_from(sorted(TOLD_ACTIONS)), unique=True))
        if action not in told
    ]
    spans = draw(st.lists(st.sampled_from(sorted(UNMEASURED_REASONS)), max_size=1))
    hidden = [UnmeasuredSpan(start_s=duration_s / 3, end_s=duration_s / 2, why=why) for why in spans]
    return Evidence(duration_s=duration_s, events=tuple(events), unmeasured=tuple(hidden), unclear=tuple(unclear))


@settings(max_examples=300, deadline=None)
@given(evidence=evidences(), max_events=st.integers(1, 12), token_budget=st.integers(40, 75))
def test_a_draft_passes_the_check_that_refinements_must_pass(
    evidence: Evidence, max_events: int, token_budget: int
) -> None:
    draft = draft_of(evidence, max_events=max_events, token_budget=token_budget)
    assert check_prose(draft.text, evidence, TextRules(token_budget=token_budget)) is None, draft.text
    assert draft.num_tokens <= token_budget
    assert {judge_claim(claim, evidence)[0] for claim in draft.claims} <= {"supported"}, draft.claims


@settings(max_examples=100, deadline=None)
@given(evidence=evidences())
def test_notes_told_one_after_the_other_pass_too(evidence: Evidence) -> None:
    text = " ".join(f"{note[0].upper()}{note[1:]}." for note in dict.fromkeys(notes_of(evidence, max_events=3)))
    rules = TextRules(token_budget=100, must_tell=must_tell(evidence, max_events=3))
    assert check_prose(text, evidence, rules) is None, text


@settings(max_examples=100, deadline=None)
@given(evidence=evidences())
def test_every_event_is_told_in_the_order_of_onsets_and_claimed_with_its_times(evidence: Evidence) -> None:
    draft = draft_of(evidence, max_events=100, token_budget=2000)
    told = [mention for mention in mentions(draft.text) if mention.polarity == "present"]
    onsets = [claim.start_s for claim in draft.claims if claim.polarity == "present"]
    assert onsets == sorted(onsets) and len(told) == len(onsets)
    assert [mention.actions for mention in told] == [(c.action,) for c in draft.claims if c.polarity == "present"]


@settings(max_examples=50, deadline=None)
@given(evidence=evidences())
def test_the_same_evidence_gives_the_same_text_also_after_a_round_trip(evidence: Evidence) -> None:
    again = Evidence.model_validate_json(evidence.model_dump_json())
    assert again == evidence
    assert draft_of(again, max_events=6) == draft_of(evidence, max_events=6)


@pytest.mark.parametrize(("action", "side"), [(action, side) for action in TOLD_ACTIONS for side in sides_of(action)])
def test_every_action_can_be_told_on_every_side_it_has(action: str, side: str) -> None:
    evidence = Evidence(duration_s=4.0, events=(event(action, side, 1.0, 2.0, 3.0),))
    text = draft_of(evidence, max_events=1).text
    (mention,) = mentions(text)
    assert mention.actions == (action,) and (mention.side or "middle") == side, text
    assert f"[{action}, {side}, moderate]" in in_words(evidence) and "from 1.0 to 3.0 s" in in_words(evidence)


def test_of_many_events_the_strongest_of_each_action_comes_first() -> None:
    smiles = [event("lip_corner_raise", "both", t, t + 0.5, t + 1.0, 0.9) for t in (0.0, 2.0, 4.0)]
    evidence = Evidence(duration_s=6.0, events=(*smiles, event("jaw_drop", "middle", 1.0, 1.2, 1.4, 0.4)))
    told = mentions(draft_of(evidence, max_events=2).text)
    assert {mention.actions for mention in told} == {("lip_corner_raise",), ("jaw_drop",)}


def test_a_region_is_said_to_move_only_where_nothing_finer_is_told() -> None:
    coarse = event("mouth_move", "middle", 1.0, 1.5, 2.0)
    smile = event("lip_corner_raise", "both", 1.0, 1.5, 2.0)
    assert "mouth moves" in draft_of(Evidence(duration_s=4.0, events=(coarse,)), max_events=6).text
    assert "mouth moves" not in draft_of(Evidence(duration_s=4.0, events=(coarse, smile)), max_events=6).text
    assert all(action in TOLD_ACTIONS for action in COARSE_ACTIONS)


def test_order_and_simultaneity_are_told() -> None:
    first = event("jaw_drop", "middle", 0.5, 1.0, 1.8)
    at_once = event("eye_close", "both", 0.55, 1.0, 1.8)
    later = event("lip_corner_raise", "left", 3.0, 3.5, 5.9, 0.9)
    text = draft_of(Evidence(duration_s=6.0, events=(later, first, at_once)), max_events=6).text
    assert " while both eyes close" in text and "until the end" in text
    assert text.index("jaw drops") < text.index("eyes close") < text.index("left lip corner rises")


def test_of_a_face_at_rest_only_what_surely_was_not_is_said() -> None:
    still = Evidence(duration_s=3.0, events=())
    assert draft_of(still, max_events=6).text.startswith("The lip corners do not rise.")
    unclear = [UnclearSpan(action=action, start_s=0.0, end_s=3.0, why="not_told") for action in TOLD_ACTIONS]
    assert draft_of(still.model_copy(update={"unclear": tuple(unclear)}), max_events=6).text == (
        "What the face does cannot be told."
    )
    hidden = UnmeasuredSpan(start_s=1.0, end_s=2.0, why="turned_away")
    text = draft_of(still.model_copy(update={"unmeasured": (hidden,)}), max_events=6).text
    assert "the face cannot be measured, because it is turned away" in text or "cannot be told" in text
