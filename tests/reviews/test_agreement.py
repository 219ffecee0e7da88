"""Agreement against tables worked out by hand, published examples, and other libraries."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reviews.agreement import (
    Coefficient,
    agreement,
    alpha_in_words,
    caution,
    cohen_kappa,
    kappa_in_words,
    krippendorff_alpha,
)
from pipeline.reviews.edits import Row
from pipeline.reviews.record import ReviewRecord
from schemas.reviews import DECISIONS
from tests.review_corpus import Face, said

FACES = [Face(f"face {number}") for number in range(50)]


def row(record: ReviewRecord) -> Row:
    return {**record.model_dump(), "review_id": record.review_id, "imported_at": None}


def test_kappa_of_the_textbook_table() -> None:
    # 50 applications: both yes 20, A alone 5, B alone 10, both no 15: observed 0.7, by chance 0.5, kappa 0.4.
    first = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    second = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert cohen_kappa(first, second) == pytest.approx(0.4)


def test_alpha_of_krippendorffs_example() -> None:
    # "Computing Krippendorff's alpha-reliability", 2011, section C: four observers, values missing, alpha 0.743.
    nan = -1
    told = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
            [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
        ]
    )
    counts = np.array([[(told[:, unit] == kind).sum() for kind in range(1, 6)] for unit in range(12)])
    assert krippendorff_alpha(counts) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_two_reviewers_by_hand() -> None:
    # Ten texts, binary: 6 both accept, 2 both reject, 2 differ. Of 20 values 14 accept and 6 reject; alpha is
    # 1 - (n - 1) * D / (n0 * n1) = 1 - 19 * 2 / (14 * 6), D the number of differing pairs.
    counts = np.array([[2, 0, 0, 0]] * 6 + [[0, 2, 0, 0]] * 2 + [[1, 1, 0, 0]] * 2)
    assert krippendorff_alpha(counts) == pytest.approx(1 - 19 * 2 / (14 * 6))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
def test_both_agree_with_other_libraries(pairs: list[tuple[int, int]]) -> None:
    import krippendorff
    from sklearn.metrics import cohen_kappa_score

    first, second = np.array(pairs).T
    own = cohen_kappa(first, second)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = cohen_kappa_score(first, second)
    assert (own is None and not 0 <= theirs < 1) or own == pytest.approx(theirs)
    counts = np.array([[pair.count(kind) for kind in range(4)] for pair in pairs])
    alpha = krippendorff_alpha(counts)
    if alpha is None:
        assert len({value for pair in pairs for value in pair}) == 1
    else:
        reliability = np.array([first, second])
        assert alpha == pytest.approx(krippendorff.alpha(reliability, level_of_measurement="nominal"))


def test_two_reviewers_of_the_same_texts() -> None:
    reviews = []
    for number, face in enumerate(FACES):
        anna = "accept" if number < 25 else "reject"
        ben = "accept" if number < 20 or 25 <= number < 35 else "reject"
        reviews += [row(said(face, anna)), row(said(face, ben, reviewer="ben", reason="too long"))]
    found = agreement(reviews)
    assert (found.reviewers, found.num_shared, found.num_not_blind) == (["anna", "ben"], 50, 0)
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.num_shared, pair.share_same) == ("anna", "ben", 50, 0.7)
    assert pair.kappa.value == pytest.approx(0.4)
    assert pair.kappa.low is not None and pair.kappa.high is not None
    assert 0.1 < pair.kappa.low < 0.4 < pair.kappa.high < 0.7
    # The large-sample interval of kappa here is 0.4 ± 1.96 * 0.13.
    assert pair.kappa.low == pytest.approx(0.4 - 1.96 * 0.13, abs=0.07)
    assert pair.kappa.high == pytest.approx(0.4 + 1.96 * 0.13, abs=0.07)
    assert kappa_in_words(pair.kappa) == "fair agreement"
    assert "not reliable" in alpha_in_words(found.alpha)
    assert len(found.differing) == 15
    assert found.differing[0].decisions["ben"][1] == "too long"
    assert agreement(reviews) == found  # no chance but that of the seed


def test_only_blind_decisions_on_exactly_the_same_text_count() -> None:
    face, other = FACES[:2]
    reviews = [
        row(said(face, "accept")),
        row(said(face, "reject", reviewer="ben", text="Another text.")),
        row(said(other, "accept")),
        row(said(other, "reject", reviewer="ben", is_blind=False)),
        row(said(other, "reject", reviewer="cem", is_blind=None)),
    ]
    found = agreement(reviews)
    assert (found.num_shared, found.num_not_blind, found.alpha) == (0, 2, Coefficient(None))
    assert agreement(reviews, blind_only=False).num_shared == 1


def test_of_one_reviewer_the_last_decision_counts() -> None:
    face = FACES[0]
    reviews = [row(said(face, "reject", minute=5)), row(said(face, "accept")), row(said(face, "reject", reviewer="b"))]
    assert agreement(reviews).differing == []


def test_three_reviewers_have_three_pairs_and_one_alpha() -> None:
    reviews = [
        row(said(face, DECISIONS[(number + (name == "cem")) % 2], reviewer=name))
        for number, face in enumerate(FACES[:10])
        for name in ("anna", "ben", "cem")
    ]
    found = agreement(reviews, resamples=50)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("anna", "ben"), ("anna", "cem"), ("ben", "cem")]
    assert [pair.kappa.value for pair in found.pairs] == pytest.approx([1.0, -1.0, -1.0])
    assert "poor" in kappa_in_words(found.pairs[1].kappa) and "perfect" in kappa_in_words(found.pairs[0].kappa)


def test_where_all_say_the_same_nothing_can_be_said() -> None:
    reviews = [row(said(face, reviewer=name)) for face in FACES[:5] for name in ("anna", "ben")]
    found = agreement(reviews)
    assert found.alpha == Coefficient(None) and found.pairs[0].kappa.value is None
    assert found.pairs[0].share_same == 1.0
    assert "not defined" in alpha_in_words(found.alpha) and "not defined" in kappa_in_words(found.pairs[0].kappa)
    assert agreement([]).num_shared == 0


def test_words() -> None:
    assert [kappa_in_words(Coefficient(value)).split(" agr")[0] for value in (0.0, 0.3, 0.5, 0.7, 0.9)] == [
        "slight",
        "fair",
        "moderate",
        "substantial",
        "almost perfect",
    ]
    assert "relied on" in alpha_in_words(Coefficient(0.8)) and "tentative" in alpha_in_words(Coefficient(0.7))
    assert caution(49) is not None and caution(50) is None and caution(0) is None
