"""Coverage: an event is told by its own action and side at its own time, and one mention tells one event."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from pipeline.audit.coverage import coverage, judged_by_measurement
from pipeline.audit.figures import Share
from pipeline.descriptions.draft import draft_of
from pipeline.descriptions.evidence import Evidence
from pipeline.descriptions.judging import claim_of
from tests.audit.conftest import JAW, LEFT_SMILE, SMILE, SMILE_THEN_JAW, any_evidence, event, evidence, text_of


def test_a_mention_and_a_claim_of_the_same_event_tell_it_once() -> None:
    found = coverage(
        [text_of("a", SMILE, evidence(LEFT_SMILE, JAW), claims=(claim_of(LEFT_SMILE),), verdicts=("supported",))]
    )
    assert (found.told.hits, found.told.asked) == (1, 2)
    assert [(one.action, one.told.hits) for one in found.by_action] == [("lip_corner_raise", 1), ("jaw_drop", 0)]


def test_strong_events_of_the_head_are_counted_apart_from_those_of_the_face() -> None:
    turn = event("head_turn", "left")
    found = coverage([text_of("a", SMILE, evidence(LEFT_SMILE, turn), claims=(), verdicts=())])
    assert [(one.hits, one.asked) for one in (found.strong_told, found.strong_face_told)] == [(1, 2), (1, 1)]


def test_prose_alone_tells_what_it_mentions() -> None:
    found = coverage([text_of("a", SMILE_THEN_JAW, evidence(LEFT_SMILE, JAW), claims=(), verdicts=())])
    assert (found.told.hits, found.strong_told.hits) == (2, 2)
    assert found.only_region_told == Share(missing="every event is told")


def test_one_mention_tells_one_of_two_equal_movements() -> None:
    twice = evidence(event("jaw_drop", "middle", 0.5, 1.0), event("jaw_drop", "middle", 2.0, 2.5))
    assert len(judged_by_measurement(text_of("a", "The jaw drops.", twice, claims=(), verdicts=())).told) == 1


def test_the_other_side_is_not_told() -> None:
    both = evidence(LEFT_SMILE, event("lip_corner_raise", "right", 2.5, 3.5))
    assert judged_by_measurement(text_of("a", SMILE, both, claims=(), verdicts=())).told == {LEFT_SMILE}


def test_a_contradicted_claim_tells_nothing_and_is_counted() -> None:
    wrong = claim_of(event("jaw_drop", "middle", 3.0, 3.9))
    found = coverage([text_of("a", SMILE, evidence(LEFT_SMILE), claims=(wrong,), verdicts=("supported",))])
    assert found.told.hits == 1
    assert str(found.correctness[0].claims_contradicted) == "1.000 (0.207 to 1.000), 1 of 1"
    assert found.correctness[0].statements_contradicted.hits == 0


def test_refined_and_fallback_texts_are_also_counted_apart() -> None:
    own = evidence(LEFT_SMILE)
    found = coverage([text_of("a", SMILE, own), text_of("b", SMILE, own, status="fallback")])
    assert [(row.status, row.num_texts) for row in found.correctness] == [("all", 2), ("refined", 1), ("fallback", 1)]


def test_nothing_to_tell_is_said_and_not_zero() -> None:
    found = coverage([text_of("a", "The face stays still.", evidence())])
    assert found.told.value is None and found.told.missing == "no such event"
    assert found.correctness[0].claims_contradicted.missing == "nothing is said"


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50, deadline=None)
@given(any_evidence())
def test_all_claims_together_tell_all_events(own: Evidence) -> None:
    claims = tuple(claim_of(one) for one in own.events)
    text = text_of("a", draft_of(own, max_events=3).text, own, claims=claims, verdicts=("supported",) * len(claims))
    found = coverage([text])
    assert found.told.hits == found.told.asked == len(own.events)
    assert found.correctness[0].claims_contradicted.hits == 0
