"""Texts of the gallery: what changed against the draft, and which clause makes which claim."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.inspection.gallery_text import MOST_WORDS, Piece, pieces_of, share_changed, word_changes

SMILE = {"action": "lip_corner_raise", "side": "left", "polarity": "present"}
DROP = {"action": "jaw_drop", "side": "middle", "polarity": "present"}
STILL = {"action": "brows_move", "side": "both", "polarity": "absent"}


def test_a_diff_names_words_that_came_and_went() -> None:
    changes = word_changes("The jaw drops slightly.", "First the jaw drops.")
    assert changes is not None
    told = [(c.kind, c.words) for c in changes]
    assert told == [("in", "First"), ("same", "the jaw drops"), ("out", "slightly"), ("same", ".")]
    assert changes[-1].follows_closely and not changes[0].follows_closely


def test_a_text_too_long_to_compare_is_not_compared() -> None:
    assert word_changes("one " * (MOST_WORDS + 1), "two") is None
    assert word_changes("", "") == []


@given(st.text(max_size=60), st.text(max_size=60))
def test_both_texts_can_be_read_from_a_diff(before: str, after: str) -> None:
    changes = word_changes(before, after)
    assert changes is not None
    new = "".join(change.words for change in changes if change.kind != "out")
    old = "".join(change.words for change in changes if change.kind != "in")
    assert "".join(new.split()) == "".join(after.split())
    assert "".join(old.split()).casefold() == "".join(before.split()).casefold()
    assert 0 <= share_changed(before, after) <= 1


def test_each_clause_is_linked_to_the_claims_that_it_makes() -> None:
    text = "The left lip corner rises strongly, then the jaw drops. The brows stay at rest. Odd words."
    pieces = pieces_of(text, [DROP, SMILE, STILL])
    assert [piece for piece in pieces if piece.claims] == [
        Piece("The left lip corner rises strongly, then ", (1,)),
        Piece("the jaw drops. ", (0,)),
        Piece("The brows stay at rest. ", (2,)),
    ]
    assert pieces[-1] == Piece("Odd words.")


def test_a_side_that_is_said_chooses_among_claims_of_one_action() -> None:
    right = SMILE | {"side": "right"}
    (piece,) = pieces_of("The right lip corner rises.", [SMILE, right])
    assert piece.claims == (1,)


@given(st.text(max_size=200))
def test_pieces_joined_are_the_text(text: str) -> None:
    assert "".join(piece.text for piece in pieces_of(text, [SMILE])) == text
