"""A search finds the texts that hold its words, whatever else stands there, and nothing in a query is an operator."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.inspection.corpus import Corpus
from pipeline.inspection.search import MOST_BY_MEANING, search_by_meaning, search_by_words, words_of
from tests.clip_corpus import MadeTrack, write_clip_corpus

TEXTS = [
    "The lip corners rise on both sides.",
    "The left lip corner rises; an asymmetric smile.",
    "The brows lower and the jaw drops.",
    "",
]

WORDS = st.text(st.characters(whitelist_categories=("Ll", "Lu")), min_size=1, max_size=12)
ANYTHING = st.text(st.characters(codec="utf-8"), max_size=80)


@given(st.lists(ANYTHING, min_size=1, max_size=8), WORDS, st.data())
@settings(max_examples=150, deadline=None)
def test_a_planted_word_is_found(texts: list[str], word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(texts) - 1))
    planted = [*texts]
    planted[place] = f"{texts[place]} {word} {data.draw(ANYTHING)}".replace("\x00", " ")
    assert place in [found for found, _ in search_by_words(planted, word, len(planted))]


@given(ANYTHING)
@settings(max_examples=200, deadline=None)
def test_any_query_is_words_and_no_command(query: str) -> None:
    found = search_by_words(TEXTS, query, 10)
    assert all(0 <= place < len(TEXTS) for place, _ in found)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_forms_of_a_word_phrases_and_order() -> None:
    assert [place for place, _ in search_by_words(TEXTS, "smiling asymmetric", 10)] == [1]
    assert {place for place, _ in search_by_words(TEXTS, "rising", 10)} == {0, 1}
    assert {place for place, _ in search_by_words(TEXTS, '"lip corner rises" jaw', 10)} == {0, 1, 2}
    assert {place for place, _ in search_by_words(TEXTS, '"left lip"', 10)} == {1}
    assert search_by_words(TEXTS, "asymmetric smile corners", 1)[0][0] == 1
    assert search_by_words(TEXTS, "NOT AND (", 10) == search_by_words(TEXTS, "and not", 10)
    assert search_by_words(TEXTS, "!?", 10) == [] and search_by_words([], "jaw", 10) == []
    assert words_of('say "lip corner" AND* x"y') == '"say" OR "lip corner" OR "AND*" OR "x y"'


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    tracks = [MadeTrack(f"v{n}", texts=("An older text.", text)) for n, text in enumerate(TEXTS[:3])]
    return Corpus(write_clip_corpus(tmp_path_factory.mktemp("search"), tracks))


def test_a_corpus_is_searched_in_its_newest_texts(corpus: Corpus) -> None:
    found = corpus.search("asymmetric smile")
    assert found["track_id"].tolist() == ["v1-a"] and found["score"].iloc[0] > 0
    assert corpus.search("older").empty
    assert len(corpus.descriptions().facescribe.search("older")) == 3
    assert len(corpus.tracks().facescribe.search("jaw").facescribe.claims()) == 0


def test_wrong_questions_say_what_is_right(corpus: Corpus) -> None:
    with pytest.raises(ValueError, match="by: expected 'words' or 'meaning', got 'sound'"):
        corpus.search("jaw", by="sound")
    with pytest.raises(ValueError, match="limit: expected a number of rows from 1 on, got 0"):
        corpus.search("jaw", limit=0)
    with pytest.raises(ValueError, match="5001 texts are too many to compare by meaning"):
        search_by_meaning(["x"] * (MOST_BY_MEANING + 1), "jaw", 1)
    with pytest.raises(ValueError, match="has no word to compare"):
        search_by_meaning(["x"], "!", 1)


@pytest.mark.slow
def test_meaning_finds_what_no_word_of_the_query_says(corpus: Corpus) -> None:
    wanted = "the mouth falls open"
    assert corpus.search("mouth falls open").empty
    assert corpus.search(wanted, by="meaning", limit=1)["text"].tolist() == [TEXTS[2]]
    hostile = ["W" * 10_000, "", "😀 !!", "the lip corners rise and " * 400, TEXTS[2]]
    assert search_by_meaning(hostile, wanted, 5)[0][0] == 4
    frame = corpus.adopt(pd.DataFrame({"track_id": ["v0-a", "v1-a"], "text": ["The jaw drops.", "Brows."]}))
    assert frame.facescribe.search("open mouth", by="meaning")["track_id"].tolist() == ["v0-a", "v1-a"]


def test_nothing_of_a_search_lies_on_disk(corpus: Corpus, tmp_path: Path) -> None:
    before = sorted(path.name for path in corpus.store.root.rglob("*"))
    corpus.search("jaw")
    assert sorted(path.name for path in corpus.store.root.rglob("*")) == before
