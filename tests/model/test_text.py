"""Texts as the packaged sentence encoder reads them."""

from __future__ import annotations

import pytest
import torch

from pipeline.model.class_text import CLASS_TEXTS, class_texts
from pipeline.model.text import MAX_TOKENS, MiniLM, TextTowerError, are_words, stack_texts

TEXT = "The lip corners rise on both sides, then the left brow lowers slightly."


@pytest.fixture(scope="module")
def tower() -> MiniLM:
    return MiniLM()


def test_the_words_that_count_are_those_that_name_what_a_face_shows(tower: MiniLM) -> None:
    (read,) = tower.encode([TEXT])
    words = [
        TEXT[first:stop] for (first, stop), counts in zip(read.spans, read.is_word_L.tolist(), strict=True) if counts
    ]
    assert words == ["lip", "corners", "rise", "both", "sides", "left", "brow", "lowers", "slightly"]
    assert len(read.spans) == len(read.tokens_LE) == len(read.is_word_L)


def test_texts_of_the_same_meaning_are_nearer_than_others(tower: MiniLM) -> None:
    smile, joy, frown = tower.encode(["smiles broadly with raised cheeks", "happy and joyful", "frowns angrily"])
    assert float(smile.pooled_E @ joy.pooled_E) > float(smile.pooled_E @ frown.pooled_E) + 0.1


def test_a_text_is_read_the_same_beside_a_longer_one(tower: MiniLM) -> None:
    (alone,) = tower.encode(["the jaw drops"])
    beside, _ = tower.encode(["the jaw drops", TEXT])
    assert torch.allclose(alone.tokens_LE, beside.tokens_LE, atol=1e-5)


def test_a_text_that_is_too_long_is_refused_and_never_cut(tower: MiniLM) -> None:
    with pytest.raises(TextTowerError, match="never cut"):
        tower.encode(["brow " * (MAX_TOKENS + 1)])


def test_a_text_without_a_word_is_refused(tower: MiniLM) -> None:
    with pytest.raises(TextTowerError, match="without a word"):
        tower.encode([""])


def test_a_word_in_pieces_is_looked_at_whole() -> None:
    assert are_words("then there", [(0, 2), (2, 4), (5, 10)]) == [False, False, False]
    assert are_words("dimples, 3.", [(0, 3), (3, 7), (7, 8), (9, 10), (10, 11)]) == [True, True, False, False, False]


def test_a_clip_without_a_text_is_zeros_that_say_so(tower: MiniLM) -> None:
    (read,) = tower.encode([TEXT])
    text, is_word, has_text = stack_texts([read, None], tower.width)
    assert has_text.tolist() == [True, False]
    assert (text[1] == 0).all() and not is_word[1].any()


def test_every_class_of_the_field_is_told_apart_by_its_text(tower: MiniLM) -> None:
    read = torch.stack([one.pooled_E for one in tower.encode(class_texts(list(CLASS_TEXTS)))])
    nearness = read @ read.T - torch.eye(len(read))
    assert float(nearness.max()) < 0.97
    assert class_texts(["boredom"]) == ["the face of a person who feels boredom"]
