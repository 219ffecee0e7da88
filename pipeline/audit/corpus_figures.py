"""Figures of all texts of a snapshot: acceptance, length, diversity, agreement with the measurement, mix, refusals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipeline.audit.diversity import distinct_ngrams, words_of
from pipeline.audit.drift import MixShift, shifts
from pipeline.audit.texts import AuditError
from pipeline.inspection.corpus import Corpus

NUM_DISTINCT = (1, 2)
"""n of the n-grams that are counted."""

COUNTED_TEXTS = 20_000
"""Texts whose words are counted, chosen by hash where there are more."""


class NumberShift(BaseModel):
    """A figure that is no share, before and after; None where there is nothing to count."""

    model_config = ConfigDict(frozen=True)

    name: str
    before: float | None
    after: float | None


class CorpusShift(BaseModel):
    """How the figures of two snapshots differ."""

    model_config = ConfigDict(frozen=True)

    shares: list[MixShift]
    numbers: list[NumberShift]

    def of(self, kind: str) -> list[MixShift]:
        """The shares of one kind."""
        return [one for one in self.shares if one.kind == kind]


KINDS = {
    "texts": "share of all texts",
    "fallback": "share of all texts that are the draft, by reason",
    "claims": "share of the texts' claims, by verdict against their own evidence",
    "claim": "share of the texts that claim an action",
    "measured": "share of the measured tracks in which an action was found",
    "label": "share of the labelled videos",
    "refusal": "share of the units of its stage that were refused for it",
}

_COUNTS = {
    "texts": "select status, count(*) from newest_texts group by 1",
    "fallback": "select fallback_reason, count(*) from newest_texts where fallback_reason is not null group by 1",
    "claims": "select c.verdict, count(*) from (select unnest(claims) as c from newest_texts) group by 1",
    "claim": """select c.action, count(distinct track_id) from (select track_id, unnest(claims) as c from newest_texts)
        where c.polarity = 'present' group by 1""",
    "measured": """select e.action, count(distinct track_id) from (select track_id, unnest(events) as e from actions)
        group by 1""",
    "label": "select label, count(*) from videos where label is not null group by 1",
}

_ASKED = {
    "texts": "select count(*) from newest_texts",
    "fallback": "select count(*) from newest_texts",
    "claims": "select coalesce(sum(len(claims)), 0)::bigint from newest_texts",
    "claim": "select count(*) from newest_texts",
    "measured": "select count(*) from actions",
    "label": "select count(*) from videos where label is not null",
}

_NUMBERS = {
    "texts": "select count(*) from newest_texts",
    "texts whose writer saw the label": "select count(*) from newest_texts where saw_label",
    "tokens of a text, mean": "select avg(num_text_tokens) from newest_texts",
    "claims of a text, mean": "select avg(len(claims)) from newest_texts",
    "requests for a text, mean": "select avg(len(asked)) from newest_texts",
    "measured events of a track, mean": "select avg(len(events)) from actions",
}

_NEWEST = """create view newest_texts as select * from descriptions
    qualify row_number() over (partition by track_id order by text_version desc) = 1"""


@dataclass(frozen=True)
class _Figures:
    """Of one snapshot: how often each name of a kind was counted, out of how many; and plain numbers."""

    counts: Mapping[str, Mapping[str, int]]
    asked: Mapping[str, int]
    refused: Mapping[str, Mapping[str, int]]
    """By stage and reason."""
    num_units: Mapping[str, int]
    numbers: Mapping[str, float | None]


def corpus_shift(before: Corpus, after: Corpus) -> CorpusShift:
    """Compare the figures of all texts of two snapshots. Reads the columns that they need, of every file.

    Raises:
        AuditError: a table is of another version than this program's.
    """
    old, new = _figures(before), _figures(after)
    shares = [
        one
        for kind in _COUNTS
        for one in shifts(kind, old.counts[kind], old.asked[kind], new.counts[kind], new.asked[kind])
    ]
    for stage in dict.fromkeys([*old.refused, *new.refused]):
        then, now = old.refused.get(stage, {}), new.refused.get(stage, {})
        told = shifts("refusal", then, old.num_units.get(stage, 0), now, new.num_units.get(stage, 0))
        shares += [one.model_copy(update={"name": f"{stage}: {one.name}"}) for one in told]
    numbers = [NumberShift(name=name, before=old.numbers[name], after=new.numbers[name]) for name in new.numbers]
    return CorpusShift(shares=shares, numbers=numbers)


def _figures(corpus: Corpus) -> _Figures:
    import duckdb

    try:
        return _counted(corpus)
    except duckdb.Error as error:
        raise AuditError(
            f"snapshot {corpus.snapshot.number} of {corpus.store.address} was written by another version of this "
            f"program ({error}): read it with that version"
        ) from error


def _counted(corpus: Corpus) -> _Figures:
    with corpus.connect() as connection:
        connection.execute(_NEWEST)

        def rows(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query).fetchall()

        refused: dict[str, dict[str, int]] = {}
        for stage, reason, count in rows("select stage, reason, count(*) from rejects group by all order by all"):
            refused.setdefault(stage, {})[reason] = count
        counted = rows(f"select text from newest_texts order by md5(track_id) limit {COUNTED_TEXTS}")
        words = [words_of(text) for (text,) in counted]
        numbers = {name: rows(query)[0][0] for name, query in _NUMBERS.items()}
        return _Figures(
            counts={kind: dict(sorted(rows(query))) for kind, query in _COUNTS.items()},
            asked={kind: rows(query)[0][0] for kind, query in _ASKED.items()},
            refused=refused,
            num_units=_num_units(corpus),
            numbers=numbers | _of_words(words),
        )


def _num_units(corpus: Corpus) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for receipt in corpus.snapshot.receipts:
        counted[receipt.stage] += receipt.num_units
    return counted


def _of_words(words: Sequence[Sequence[str]]) -> dict[str, float | None]:
    return {
        "words of a text, mean": fmean(len(listed) for listed in words) if words else None,
        "different texts, share": len({tuple(listed) for listed in words}) / len(words) if words else None,
        **{f"distinct-{n}": distinct_ngrams(words, n).value for n in NUM_DISTINCT},
    }
