"""Diversity, label leak and shares: counts by hand, and a reason wherever there is no figure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipeline.audit.diversity import diversity, words_of
from pipeline.audit.figures import Share, Spread, share
from pipeline.audit.leak import leak
from tests.audit.conftest import JAW, LEFT_SMILE, SMILE, evidence, relabelled, text_of

SMILES = text_of("a", SMILE, evidence(LEFT_SMILE))


def test_lengths_and_distinct_ngrams_are_counted() -> None:
    jaw = text_of("b", "The jaw drops.", evidence(JAW))
    found = diversity([SMILES, relabelled(SMILES, track_id="c"), jaw])
    assert found.words == Spread(least=3, median=6, mean=5.0, most=6)
    assert (found.distinct_texts.hits, found.distinct_texts.asked) == (2, 3)
    assert {n: (one.hits, one.asked) for n, one in found.distinct_ngrams.items()} == {1: (8, 15), 2: (7, 12), 3: (5, 9)}
    assert found.distinct_ngrams[1].interval is None


def test_statuses_have_reasons_and_attempts() -> None:
    fell = relabelled(SMILES, track_id="b", status="fallback", fallback_reason="prose_too_long", num_attempts=3)
    unasked = relabelled(SMILES, track_id="c", num_attempts=0)
    found = diversity([SMILES, fell, unasked])
    assert [(row.status, row.reason, row.texts.hits, row.mean_attempts) for row in found.statuses] == [
        ("refined", None, 2, 1.0),
        ("fallback", "prose_too_long", 1, 3.0),
    ]


def test_equal_texts_of_other_evidence_raise_an_alarm() -> None:
    texts = [
        relabelled(SMILES, track_id=str(n), evidence=evidence(LEFT_SMILE) if n % 2 else evidence(JAW))
        for n in range(30)
    ]
    found = diversity(texts).near_duplicates
    assert found.refined.value == 1.0 and found.alarm is not None and len(found.groups[0]) == 30


def test_of_few_texts_no_share_of_duplicates_is_told() -> None:
    found = diversity([SMILES])
    assert found.near_duplicates.refined.value is None
    assert found.near_duplicates.refined.missing == "needs 20 refined texts, there are 1"
    assert found.distinct_ngrams[2].missing == "needs two texts, there are 1"


def test_words_have_no_marks() -> None:
    assert words_of("The mouth\u2019s left-hand corner, then: rest!") == [
        "the",
        "mouth's",
        "left-hand",
        "corner",
        "then",
        "rest",
    ]


def test_no_label_no_leak() -> None:
    assert leak([SMILES]).missing == "no text has a label"


def test_few_labelled_texts_tell_nothing_of_a_leak() -> None:
    found = leak([relabelled(SMILES, label="joy"), SMILES])
    assert found.num_unlabelled == 1 and found.probe is not None
    assert found.probe.tells_label is None and "too few" in found.probe.why


def test_a_hint_beside_equal_actions_is_found() -> None:
    hints = {"joy": "The left lip corner rises strongly.", "anger": "The left lip corner rises sharply."}
    texts = [
        relabelled(SMILES, track_id=f"{label}{number}", video_id=f"{label}{number}", label=label, prose=prose)
        for label, prose in hints.items()
        for number in range(30)
    ]
    found = leak(texts)
    assert found.signature == "actions, sides and strengths in order"
    assert found.probe is not None and found.probe.tells_more_than_actions is True


def test_a_share_of_nothing_has_a_reason_and_no_value() -> None:
    nothing = share(0, 0, otherwise="no such event")
    assert (nothing.value, nothing.interval, str(nothing)) == (None, None, "no such event")
    assert str(Share(hits=38, asked=40)) == "0.950 (0.835 to 0.986), 38 of 40"
    assert str(Share(hits=2, asked=3, is_sample=False)) == "0.667, 2 of 3"
    assert '"value":null' in nothing.model_dump_json()


@given(st.integers(1, 500).flatmap(lambda asked: st.tuples(st.integers(0, asked), st.just(asked))))
def test_the_interval_is_wilsons(counted: tuple[int, int]) -> None:
    expected = binomtest(*counted).proportion_ci(0.95, method="wilson")
    assert Share(hits=counted[0], asked=counted[1]).interval == pytest.approx((expected.low, expected.high), abs=1e-12)
