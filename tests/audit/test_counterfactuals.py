"""Counterfactuals: decoys change one thing, nothing that could not be told counts, and a tie is a miss."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.audit.counterfactuals import (
    DECOYS,
    READINGS,
    WHOLE,
    DecoyFigures,
    WrongClips,
    counterfactuals,
    fit_of,
    flipped_side,
    is_distinguishable,
    negated_action,
    neutral_face,
    reversed_time,
    stretched,
)
from pipeline.audit.texts import Text
from pipeline.descriptions.draft import draft_of
from pipeline.descriptions.evidence import Evidence, UnclearSpan
from tests.audit.conftest import (
    JAW,
    LEFT_SMILE,
    SMILE,
    SMILE_THEN_JAW,
    STILL,
    any_evidence,
    event,
    evidence,
    text_of,
)

PROSE_ALONE = "prose alone"


def figures_of(texts: list[Text], reading: str = WHOLE) -> dict[str, DecoyFigures]:
    figures = counterfactuals(texts, {text.track_id: text.evidence for text in texts}, reading)
    return {figure.decoy: figure for figure in figures}


@given(any_evidence())
def test_a_mirror_twice_and_time_run_back_twice_change_nothing(own: Evidence) -> None:
    assert flipped_side(flipped_side(own)) == own
    twice = reversed_time(reversed_time(own))
    assert sorted(twice.events, key=repr) == sorted(own.events, key=repr)
    assert (twice.unclear, twice.unmeasured) == (own.unclear, own.unmeasured)
    assert stretched(own, own.duration_s) == own


@given(any_evidence())
def test_time_run_back_keeps_every_duration_and_stays_in_order(own: Evidence) -> None:
    back = reversed_time(own)
    assert [one.onset_s for one in back.events] == sorted(one.onset_s for one in back.events)
    assert sorted(round(e.duration_s, 5) for e in back.events) == sorted(round(e.duration_s, 5) for e in own.events)
    assert all(one.onset_s <= one.apex_s <= one.offset_s for one in back.events)


@given(any_evidence())
def test_what_was_measured_is_never_told_from_itself(own: Evidence) -> None:
    assert not is_distinguishable(own, own)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50, deadline=None)
@given(st.lists(any_evidence(), min_size=1, max_size=3), st.sampled_from(list(READINGS)))
def test_every_text_of_a_decoy_is_right_or_missed_or_not_asked(found: list[Evidence], reading: str) -> None:
    texts = [drafted(str(number), own) for number, own in enumerate(found)]
    for figures in figures_of(texts, reading).values():
        told = figures.right.hits + len(figures.misses)
        assert told == figures.right.asked
        assert told + figures.num_not_distinguishable + figures.num_not_made == len(texts)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50, deadline=None)
@given(any_evidence())
def test_a_draft_never_prefers_evidence_that_is_its_own_again(own: Evidence) -> None:
    other, twin = drafted("a", own), drafted("b", own)
    figures = figures_of([other, twin])["wrong_clip"]
    assert figures.right.asked == 0 and figures.num_not_made == 2


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50, deadline=None)
@given(any_evidence())
def test_the_number_of_statements_is_the_same_for_all_evidence(own: Evidence) -> None:
    text = drafted("a", own)
    decoys = [own, flipped_side(own), reversed_time(own), neutral_face(own)]
    assert len({fit_of(text.prose, text.claims, one).num_statements for one in decoys}) == 1


def drafted(track_id: str, own: Evidence) -> Text:
    draft = draft_of(own, max_events=3)
    return text_of(track_id, draft.text, own, claims=draft.claims, verdicts=("supported",) * len(draft.claims))


def test_a_true_text_of_a_one_sided_smile_refuses_each_decoy() -> None:
    texts = [
        text_of("smiles", SMILE_THEN_JAW, evidence(LEFT_SMILE, JAW)),
        text_of("frowns", "The brows lower.", evidence(event("brow_lower", "both", 0.2, 1.0))),
    ]
    figures = figures_of(texts)
    assert {name: (figure.right.hits, len(figure.misses)) for name, figure in figures.items()} == {
        "wrong_clip": (2, 0),
        "flipped_side": (1, 0),
        "reversed_time": (2, 0),
        "negated_action": (2, 0),
        "neutral_face": (2, 0),
    }
    assert figures["flipped_side"].num_not_distinguishable == 1, "both brows lower: a mirror shows the same"


def test_a_text_that_says_no_side_misses_the_mirror() -> None:
    text = text_of("a", "The lip corner rises.", evidence(LEFT_SMILE), claims=(), verdicts=())
    figures = figures_of([text])["flipped_side"]
    assert figures.right.hits == 0
    (miss,) = figures.misses
    assert (miss.track_id, miss.own, miss.decoy) == ("a", *["1 supported, 0 contradicted of 1"] * 2)
    assert not miss.is_left_out, "the text tells the smile, only not on which side"


def test_a_miss_of_a_text_that_leaves_out_what_differs_is_told_from_others() -> None:
    text = text_of("a", "The jaw drops.", evidence(LEFT_SMILE, JAW), claims=(), verdicts=())
    figures = figures_of([text])["flipped_side"]
    assert (figures.right.hits, figures.num_left_out) == (0, 1)


def test_a_text_that_says_nothing_misses_every_decoy_that_could_be_told() -> None:
    text = text_of("a", "It is a face.", evidence(LEFT_SMILE), claims=(), verdicts=())
    figures = figures_of([text])
    assert all(figure.right.hits == 0 for figure in figures.values())
    assert {name for name, figure in figures.items() if figure.misses} == set(DECOYS) - {"wrong_clip"}


def test_claims_count_only_where_they_are_asked_for() -> None:
    text = text_of("a", "It is a face.", evidence(LEFT_SMILE))
    assert figures_of([text], WHOLE)["neutral_face"].right.hits == 1
    assert figures_of([text], PROSE_ALONE)["neutral_face"].right.hits == 0


def test_a_still_face_is_told_from_a_moving_one() -> None:
    texts = [text_of("still", STILL, evidence()), text_of("smiles", SMILE, evidence(LEFT_SMILE))]
    figures = figures_of(texts)
    assert figures["wrong_clip"].right.hits == 2
    assert figures["neutral_face"].num_not_distinguishable == 1
    assert figures["negated_action"].num_not_made == 1


def test_the_negated_action_is_the_strongest_told_and_clearly_at_rest() -> None:
    doubt = UnclearSpan(action="jaw_drop", side="both", start_s=0.0, end_s=4.0)
    own = evidence(LEFT_SMILE, JAW, unclear=(doubt,))
    assert negated_action(own, "jaw_drop") == evidence(LEFT_SMILE)
    text = text_of("a", "The jaw drops.", own, claims=(), verdicts=())
    assert figures_of([text])["negated_action"].right.hits == 1, "the smile is as strong, but it is not told"


def test_the_wrong_clip_is_always_the_same_and_as_long() -> None:
    pool: dict[str, Any] = {str(number): evidence(LEFT_SMILE) for number in range(5)}
    pool["other"] = Evidence(duration_s=8.0, events=(event("jaw_drop", "middle", 2.0, 4.0),))
    chosen = [WrongClips(pool)("0") for _ in range(2)]
    assert chosen[0] == chosen[1] == evidence(event("jaw_drop", "middle", 1.0, 2.0))
    assert WrongClips({"0": pool["0"], "1": pool["1"]})("0") is None


def test_texts_without_such_evidence_are_not_asked() -> None:
    texts = [text_of("a", SMILE, evidence(LEFT_SMILE)), text_of("b", SMILE, evidence(LEFT_SMILE))]
    (first, *_) = counterfactuals(texts, {"a": evidence(LEFT_SMILE)}, WHOLE)
    assert first.right.asked + first.num_not_distinguishable + first.num_not_made == 1


def test_an_unknown_reading_is_refused() -> None:
    with pytest.raises(KeyError, match="no reading 'aloud'"):
        counterfactuals([], {}, "aloud")
