"""Find texts by their words (BM25 over SQLite's FTS5, which is in Python) or by their meaning (the packaged encoder).

The index lives in memory and ends with the process: a copy of texts on disk would outlive a take-down.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipeline.model.text import TextTower

Found = list[tuple[int, float]]
"""Place of each text in what was searched, and its score; the best first."""

MOST_INDEXES = 2
"""Indexes that are kept: the last ones asked for."""

MOST_BY_MEANING = 5_000
"""Texts that are compared by meaning: on two busy cores the encoder reads a dozen a second."""

_PARTS = re.compile(r'"([^"]*)"|(\S+)')

Kept = TypeVar("Kept")

_indexes: OrderedDict[str, Any] = OrderedDict()
_encoder: list[TextTower] = []


def search_by_words(texts: Sequence[str], query: str, limit: int) -> Found:
    """The texts that hold any word of the query, in any of its forms; scores are BM25, higher is better.

    No sign of a query is an operator: words in double quotes stand together, all else is words.
    """
    wanted = words_of(query)
    if not wanted or not texts:
        return []
    index = _kept(_key("words", texts), lambda: _index_words(texts))
    sql = "select rowid, -bm25(texts) from texts where texts match ? order by bm25(texts), rowid limit ?"
    try:
        return [(int(place), float(score)) for place, score in index.execute(sql, (wanted, limit))]
    except sqlite3.OperationalError as error:
        raise ValueError(f"cannot search for {query!r}: {error}; expected words") from error


def words_of(query: str) -> str:
    """The query in the language of FTS5: phrases in quotes, any of which may be there."""
    clean = "".join(sign if sign.isprintable() else " " for sign in query.encode("utf-8", "replace").decode())
    parts = [phrase or word.replace('"', " ") for phrase, word in _PARTS.findall(clean)]
    return " OR ".join(f'"{part.strip()}"' for part in parts if any(sign.isalnum() for sign in part))


def _index_words(texts: Sequence[str]) -> sqlite3.Connection:
    """An index that holds words and places, not the texts."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        connection.execute("create virtual table texts using fts5(text, content='', tokenize='porter unicode61')")
    except sqlite3.OperationalError as error:
        raise RuntimeError(
            f"this Python's SQLite has no full-text search ({error}): use a Python whose SQLite has FTS5, or search "
            "with corpus.sql(\"select * from texts where text ilike '%word%'\")"
        ) from error
    connection.executemany("insert into texts(rowid, text) values (?, ?)", enumerate(texts))
    connection.commit()
    return connection


def search_by_meaning(texts: Sequence[str], query: str, limit: int) -> Found:
    """The texts nearest to the query, by the cosine of sentence embeddings (-1 to 1).

    Raises:
        ValueError: more texts than are compared in a reasonable time, or a query without a word.
        pipeline.assets.AssetError: the packaged weights cannot be fetched.
    """
    if len(texts) > MOST_BY_MEANING:
        raise ValueError(
            f"{len(texts)} texts are too many to compare by meaning (at most {MOST_BY_MEANING}): filter or sample the "
            "frame first, or search by='words'"
        )
    if not any(sign.isalnum() for sign in query):
        raise ValueError(f"the query {query!r} has no word to compare")
    if not texts:
        return []
    vectors = _kept(_key("meaning", texts), lambda: _embedded(texts))
    scores = vectors @ _embedded([query])[0]
    best = sorted(range(len(texts)), key=lambda place: (-scores[place], place))[:limit]
    return [(place, float(scores[place])) for place in best]


def _embedded(texts: Sequence[str]) -> NDArray[np.float32]:
    """Sentence embeddings [texts, width] of length 1; 0 for a text without a word. Equal texts are read once."""
    distinct = list(dict.fromkeys(texts))
    vectors = dict(zip(distinct, _read(distinct), strict=True))
    return np.stack([vectors[text] for text in texts])


def _read(texts: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    from pipeline.model.text import MiniLM, TextTowerError

    if not _encoder:
        _encoder.append(MiniLM())
    tower = _encoder[0]
    for start in range(0, len(texts), 64):
        batch = texts[start : start + 64]
        try:
            yield from (np.asarray(one.pooled_E.numpy(), np.float32) for one in tower.encode(batch))
        except TextTowerError:  # of one of them: each by itself
            yield from (_read_one(tower, text) for text in batch)


def _read_one(tower: TextTower, text: str) -> NDArray[np.float32]:
    """A text by as much of its beginning as the encoder reads."""
    from pipeline.model.text import TextTowerError

    while any(sign.isalnum() for sign in text):
        try:
            return np.asarray(tower.encode([text])[0].pooled_E.numpy(), np.float32)
        except TextTowerError:
            text = text[: min(len(text) // 2, 1000)]
    return np.zeros(tower.width, np.float32)


def _kept(key: str, make: Callable[[], Kept]) -> Kept:
    """What was made for `key`, or made now; the ones longest unused are let go."""
    if key not in _indexes:
        _indexes[key] = make()
    _indexes.move_to_end(key)
    while len(_indexes) > MOST_INDEXES:
        _indexes.popitem(last=False)
    found: Kept = _indexes[key]
    return found


def _key(kind: str, texts: Sequence[str]) -> str:
    digest = hashlib.blake2b(f"{kind} {len(texts)}".encode())
    for text in texts:
        digest.update(text.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()
