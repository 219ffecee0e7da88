"""Find texts that say nearly the same of different evidence, and refuse a corpus that holds many of them.

A text of its own evidence alone is at fault in such a pair: a model that answers everything alike. Texts of equal
evidence may be equal, as those of still faces are.

Near-identical: the Jaccard index of the sets of three successive words is at least a threshold. In a text of forty
words 0.85 is one other word; in a text of twenty, one at its edge.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasketch import MinHash, MinHashLSH
from datasketch.hashfunc import sha1_hash32

THRESHOLD = 0.85
"""Jaccard index from which two texts are near-identical."""

MAX_SHARE = 0.2
"""Share of the refined texts that may be near-duplicates."""

MIN_TEXTS = 20
"""Refined texts below which no share is judged: of few, a fifth is soon reached by chance."""

_WORDS_PER_SHINGLE = 3
_NUM_HASHES = 128
_INDEX_MARGIN = 0.9
_FALSE_HIT_AND_MISS = (0.02, 0.98)  # a false candidate costs an exact comparison, a missed one is never seen again
_MOST_OF_A_GROUP = 200
"""Members that further texts are compared with: else 30,000 texts all alike would be half a billion comparisons."""

_GROUPS_QUOTED = 3
_TEXTS_QUOTED = 2

_Signature = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DescribedText:
    """One text of the corpus and what it was written from."""

    track_id: str
    text: str
    status: str
    """One of `schemas.descriptions.STATUSES`; the alarm counts those that are "refined"."""
    signature: _Signature
    """What was measured: (action, side) of each event, in order."""


@dataclass(frozen=True)
class DuplicateReport:
    """The near-duplicates among some texts."""

    num_texts: int
    num_refined: int
    groups: tuple[tuple[DescribedText, ...], ...]
    """Texts joined by pairs that differ in signature and hardly in words; most refined texts first."""

    @property
    def num_refined_duplicates(self) -> int:
        """Refined texts that are in a group."""
        return sum(text.status == "refined" for group in self.groups for text in group)

    @property
    def share(self) -> float:
        """Share of the refined texts that are in a group; 0 where none is refined."""
        return self.num_refined_duplicates / self.num_refined if self.num_refined else 0.0


class DuplicateAlarm(RuntimeError):
    """Too many refined texts say nearly the same of different evidence; `report` has the groups."""

    def __init__(self, report: DuplicateReport, max_share: float) -> None:
        self.report = report
        quoted = "\n".join(_quote(group) for group in report.groups[:_GROUPS_QUOTED])
        super().__init__(
            f"{report.num_refined_duplicates} of {report.num_refined} refined texts ({report.share:.0%}; at most "
            f"{max_share:.0%} are let pass) are nearly the same as a text of other evidence. The largest of "
            f"{len(report.groups)} groups:\n{quoted}\n"
            "The language model seems to answer alike whatever was measured, or to copy an example of its prompt. Use "
            "another prompt or a larger model ([descriptions] prompt, model) and build again; if the texts are right "
            "as they are, raise max_duplicate_share under [resources]."
        )


def find_duplicates(texts: Sequence[DescribedText], *, threshold: float = THRESHOLD) -> DuplicateReport:
    """Group the texts of different signatures whose words are near-identical. Case and punctuation do not count.

    Candidates come from MinHash with locality-sensitive hashing, seeded, so that equal input gives an equal report;
    each is then compared exactly. A pair just above the threshold is missed with a probability of some 0.1 %, and so
    may a text be that is near to none of the first 200 of a group; nothing below the threshold is ever reported.
    100,000 texts take about half a minute.

    Source: A. Broder, "On the resemblance and containment of documents", 1997; J. Leskovec, A. Rajaraman and
    J. Ullman, "Mining of Massive Datasets", chapter 3.

    Args:
        texts: in any order.
        threshold: Jaccard index from which two texts are near-identical, above 0 and at most 1.
    """
    by_words: dict[tuple[str, ...], list[DescribedText]] = defaultdict(list)
    for text in texts:
        by_words[_words(text.text)].append(text)
    members = list(by_words.values())
    shingles = [_shingles(words) for words in by_words]
    joined: dict[int, list[DescribedText]] = defaultdict(list)
    for root, equal in zip(_joined(shingles, [_signatures(m) for m in members], threshold), members, strict=True):
        joined[root] += equal
    groups = [tuple(group) for group in joined.values() if len(_signatures(group)) > 1]
    groups.sort(key=lambda group: (_num_refined(group), len(group)), reverse=True)
    return DuplicateReport(len(texts), _num_refined(texts), tuple(groups))


def refuse_duplicates(
    texts: Sequence[DescribedText],
    *,
    max_share: float = MAX_SHARE,
    min_texts: int = MIN_TEXTS,
    threshold: float = THRESHOLD,
) -> DuplicateReport:
    """Return the report of `find_duplicates`, or raise the alarm.

    Args:
        texts: all texts of the corpus; refined ones are held against the others too.
        max_share: share of the refined texts that may be in groups of near-duplicates.
        min_texts: refined texts below which nothing is refused.
        threshold: as in `find_duplicates`.

    Raises:
        DuplicateAlarm: more than `max_share` of at least `min_texts` refined texts are near-duplicates.
    """
    report = find_duplicates(texts, threshold=threshold)
    if report.num_refined >= min_texts and report.share > max_share:
        raise DuplicateAlarm(report, max_share)
    return report


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.lower()))


def _shingles(words: tuple[str, ...]) -> frozenset[str]:
    """Each three successive words; of a shorter text, all of it."""
    last = max(len(words) - _WORDS_PER_SHINGLE, 0)
    return frozenset(" ".join(words[first : first + _WORDS_PER_SHINGLE]) for first in range(last + 1))


def _joined(shingles: Sequence[frozenset[str]], signatures: Sequence[set[_Signature]], threshold: float) -> list[int]:
    """For each set of shingles the number of its group's first member: those that near-identical pairs lead to."""
    parents = list(range(len(shingles)))
    # Looking a little below the threshold makes it unlikely to miss a pair above it.
    index = MinHashLSH(threshold=_INDEX_MARGIN * threshold, num_perm=_NUM_HASHES, weights=_FALSE_HIT_AND_MISS)
    num_indexed: Counter[int] = Counter()
    for number, sketch in enumerate(_sketches(shingles)):
        for candidate in index.query(sketch):
            root, own_root = _root(parents, candidate), _root(parents, number)
            if root == own_root:
                continue
            differ = len(signatures[number] | signatures[candidate]) > 1
            if differ and _jaccard(shingles[number], shingles[candidate]) >= threshold:
                parents[max(root, own_root)] = min(root, own_root)
        group = _root(parents, number)
        num_indexed[group] += 1
        if num_indexed[group] <= _MOST_OF_A_GROUP:
            index.insert(number, sketch)
    return [_root(parents, number) for number in range(len(parents))]


def _sketches(shingles: Sequence[frozenset[str]]) -> Iterator[MinHash]:
    hashes: dict[str, int] = {}  # the same few thousand shingles come again and again
    empty = MinHash(num_perm=_NUM_HASHES, seed=1, hashfunc=hashes.__getitem__)
    for own in shingles:
        for shingle in own:
            if shingle not in hashes:
                hashes[shingle] = sha1_hash32(shingle.encode())
        sketch = empty.copy()
        sketch.update_batch(own)
        yield sketch


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = number = parents[parents[number]]
    return number


def _signatures(texts: Sequence[DescribedText]) -> set[_Signature]:
    return {text.signature for text in texts}


def _num_refined(texts: Sequence[DescribedText]) -> int:
    return sum(text.status == "refined" for text in texts)


def _quote(group: Sequence[DescribedText]) -> str:
    """The group's size, and texts of different signatures out of it."""
    by_signature = {text.signature: text for text in reversed(group)}
    shown = list(by_signature.values())[::-1][:_TEXTS_QUOTED]
    lines = [f'    "{text.text}" of {text.track_id}, measured: {_told(text.signature)}' for text in shown]
    return "\n".join([f"  {len(group)} texts of {len(by_signature)} different measurements, such as", *lines])


def _told(signature: _Signature) -> str:
    return ", ".join(f"{action} ({side})" for action, side in signature) or "nothing"
