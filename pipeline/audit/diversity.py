"""Diversity: how long the texts are, how much they repeat one another, and how they came about."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from pipeline.audit.figures import Share, Spread, share, spread
from pipeline.audit.texts import Text
from pipeline.descriptions.draft import told_actions
from pipeline.descriptions.duplicates import MAX_SHARE, MIN_TEXTS, DescribedText, find_duplicates

NGRAMS = (1, 2, 3)

_WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*")


class StatusShare(BaseModel):
    """How many texts ended with one status for one reason, and after how many requests."""

    model_config = ConfigDict(frozen=True)

    status: str
    reason: str | None
    texts: Share
    mean_attempts: float | None
    """None where none of them was asked for."""


class NearDuplicates(BaseModel):
    """Texts that say nearly the same of different evidence."""

    model_config = ConfigDict(frozen=True)

    refined: Share
    """Refined texts that are near to a text of other evidence."""
    alarm: str | None
    """Why these are too many, or None."""
    groups: list[list[tuple[str, str]]]
    """Track and text of each, the largest group first."""


class Diversity(BaseModel):
    """Length, repetition and status of some texts."""

    model_config = ConfigDict(frozen=True)

    num_texts: int
    words: Spread | None
    tokens: Spread | None
    distinct_texts: Share
    distinct_ngrams: dict[int, Share]
    """Different n-grams of words among all of them; the more texts, the smaller it gets by itself."""
    statuses: list[StatusShare]
    near_duplicates: NearDuplicates


def diversity(texts: Sequence[Text]) -> Diversity:
    """Count lengths, n-grams and statuses.

    Source: J. Li et al., "A Diversity-Promoting Objective Function for Neural Conversation Models", 2016, for
    distinct-n.
    """
    words = [words_of(text.prose) for text in texts]
    return Diversity(
        num_texts=len(texts),
        words=spread([len(listed) for listed in words]),
        tokens=spread([text.num_tokens for text in texts if text.num_tokens is not None]),
        distinct_texts=share(
            len({tuple(listed) for listed in words}), len(words), otherwise="no texts", is_sample=False
        ),
        distinct_ngrams={n: distinct_ngrams(words, n) for n in NGRAMS},
        statuses=_statuses(texts),
        near_duplicates=_near_duplicates(texts),
    )


def words_of(prose: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return _WORD.findall(prose.lower().replace("\u2019", "'"))


def distinct_ngrams(words: Sequence[Sequence[str]], n: int) -> Share:
    """Different n-grams among all of them."""
    if len(words) < 2:
        return Share(missing=f"needs two texts, there are {len(words)}", is_sample=False)
    found = [tuple(listed[at : at + n]) for listed in words for at in range(len(listed) - n + 1)]
    return share(len(set(found)), len(found), otherwise=f"no text has {n} words", is_sample=False)


def _statuses(texts: Sequence[Text]) -> list[StatusShare]:
    counts = Counter((text.status, text.fallback_reason) for text in texts)
    rows = []
    for (status, reason), count in counts.most_common():
        asked = [t.num_attempts for t in texts if (t.status, t.fallback_reason) == (status, reason) and t.num_attempts]
        rows.append(
            StatusShare(
                status=status,
                reason=reason,
                texts=share(count, len(texts), otherwise="no texts"),
                mean_attempts=sum(asked) / len(asked) if asked else None,
            )
        )
    return rows


def _near_duplicates(texts: Sequence[Text]) -> NearDuplicates:
    found = find_duplicates([_described(text) for text in texts])
    few = f"needs {MIN_TEXTS} refined texts, there are {found.num_refined}"
    is_told = found.num_refined >= MIN_TEXTS
    alarm = f"more than {MAX_SHARE:.0%} of the refined texts" if is_told and found.share > MAX_SHARE else None
    return NearDuplicates(
        refined=Share(hits=found.num_refined_duplicates, asked=found.num_refined, missing=None if is_told else few),
        alarm=alarm,
        groups=[[(text.track_id, text.text) for text in group] for group in found.groups],
    )


def _described(text: Text) -> DescribedText:
    told = told_actions(text.evidence, max_events=text.num_notes)
    return DescribedText(text.track_id, text.prose, text.status, told)
