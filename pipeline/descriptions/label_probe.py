"""Probe whether texts tell their label, and whether they tell more of it than the measured actions do.

A classifier learns the label from the words alone, and its score on texts that it has not seen is held against the
score that it reaches with shuffled labels. Two ways to shuffle ask two questions:

- over all texts: does the text tell the label at all? It will: a smile goes with happiness, and a text that is true to
  the face tells the smile. This is no fault.
- among texts of equal signature, that is of equal measured actions: does the text tell the label *beyond* the actions?
  The actions tell just as much of the shuffled labels as of the true ones, so only what else is in the words, a hint at
  the emotion say, can lift the true score above the shuffled ones.

What it can show: that wording goes with the label among texts of equal actions, as far as a bag of words and word pairs
can carry it, with the error rate of the test (5 %).

What it cannot: that a text is free of the label. A hint that is too rare, or said by the order of sentences, passes.
Where few texts share a signature, or those that do share their label too, nothing can be shuffled and nothing is told;
a coarser signature allows more and balances less. Whatever the signature leaves out (strength, duration, times) counts
as "beyond the actions" if the text tells it and it goes with the label: a finding is a reason to read the texts, and
`telling` names the words to look for. With `groups`, no person is in both the texts that are learnt from and those that
are scored, so that a person's own way to be described is no hint; without, it may be taken for one.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

SIGNIFICANT = 0.05
"""Share of shuffles that may score as high by chance before a finding is not called one."""

MIN_TEXTS = 20
"""Texts below which nothing is told."""

MIN_MOVABLE = 30
"""Texts whose label can change in a shuffle among equal actions, below which that question is not answered."""

_MAX_TERMS = 4000
_PENALTY = 1.0
_STEPS = 20

_Floats = npt.NDArray[np.float32]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """A score of the classifier beside the same score with shuffled labels; all are shares from 0 to 1."""

    observed: float
    chance: float
    """Mean over the shuffles."""
    low: float
    high: float
    """The middle 95 % of the shuffles."""
    p: float
    """Share of shuffles, the true labels among them, that score at least as high."""


@dataclass(frozen=True)
class Comparison:
    """The classifier against one way to shuffle, on the texts whose label that way can change."""

    num_texts: int
    uar: Score
    """Mean over the labels of the recall of each (unweighted average recall); the verdict goes by this one."""
    accuracy: Score


@dataclass(frozen=True)
class ProbeReport:
    """What the probe found. A verdict of None: it cannot be told, and `why` says why."""

    num_texts: int
    num_labels: int
    num_groups: int
    num_strata: int
    """Different signatures."""
    num_movable_strata: int
    """Signatures under which there is more than one label, so that a shuffle can change any."""
    num_movable: int
    """Texts of those signatures."""
    at_all: Comparison | None
    beyond_actions: Comparison | None
    telling: tuple[str, ...]
    """Words and word pairs that go with a label most among texts of equal actions, if there is such a finding."""
    why: str

    @property
    def tells_label(self) -> bool | None:
        """Whether the text tells the label at all."""
        return None if self.at_all is None else self.at_all.uar.p <= SIGNIFICANT

    @property
    def tells_more_than_actions(self) -> bool | None:
        """Whether the text tells more of the label than the measured actions do."""
        return None if self.beyond_actions is None else self.beyond_actions.uar.p <= SIGNIFICANT

    @property
    def movable_share(self) -> float:
        """Share of the texts whose label a shuffle among equal actions can change."""
        return self.num_movable / self.num_texts if self.num_texts else 0.0

    def in_words(self) -> str:
        """The report as a few lines of English."""
        lines = [
            f"{self.num_texts} texts, {self.num_labels} labels, {self.num_groups} persons or groups. Equal actions: "
            f"{self.num_movable_strata} of {self.num_strata} signatures have texts of several labels, "
            f"{self.num_movable} texts ({self.movable_share:.0%})."
        ]
        lines += _in_words("The text tells the label", self.tells_label, self.at_all)
        lines += _in_words(
            "The text tells the label beyond the actions", self.tells_more_than_actions, self.beyond_actions
        )
        if self.telling:
            lines.append(f"Look for: {', '.join(self.telling)}.")
        return "\n".join([*lines, self.why] if self.why else lines)


def probe(
    texts: Sequence[str],
    labels: Sequence[str],
    signatures: Sequence[Hashable],
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
    folds: int = 5,
    permutations: int = 200,
) -> ProbeReport:
    """Cross-validate a bag-of-words classifier of the label, and hold its score against shuffled labels.

    The classifier is multinomial logistic regression with an L2 penalty on the tf-idf of words and word pairs, its
    intercepts fixed at the labels' log shares; each label's recall is of the answers without those shares. Texts are
    divided without a look at their labels, so that the true labels are one shuffle among equals and p is exact.

    Source: H. Ojala and G. C. Garriga, "Permutation tests for studying classifier performance", 2010; D. Böhning,
    "Multinomial logistic regression algorithm", 1992 (the bound that the steps go by).

    Args:
        texts: N texts.
        labels: N labels of them.
        signatures: N values; equal ones stand for equal measured actions, as tuples of (action, side).
        groups: N values; texts of one value (a person) are all learnt from or all scored. None: each text its own.
        seed: of the division and the shuffles.
        folds: parts that are scored in turn.
        permutations: shuffles of each kind, at least 19 (with fewer, nothing can come out at 5 %).

    Raises:
        ValueError: the sequences differ in length, or `folds` or `permutations` is too small.
    """
    _refuse_misfits(texts, labels, signatures, groups, folds, permutations)
    chance = np.random.default_rng(seed)
    names, label_N = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    group_N = _numbered(range(len(texts)) if groups is None else groups)
    strata = _strata(signatures)
    movable = [rows for rows in strata if len(set(label_N[rows])) > 1]
    num_movable = sum(map(len, movable))
    num_groups = len(set(group_N))
    why = _why_nothing(len(texts), len(names), num_groups)
    at_all = beyond = None
    telling: tuple[str, ...] = ()
    if not why:
        terms, x_ND = _bag(texts)
        z_NR = _rotated(x_ND)
        fold_N = _fold_of(group_N, min(folds, num_groups), chance)
        everything = [np.arange(len(texts))]
        at_all = _compare(z_NR, label_N, len(names), fold_N, everything, permutations, chance)
        why = _why_not_beyond(num_movable)
        if not why:
            beyond = _compare(z_NR, label_N, len(names), fold_N, movable, permutations, chance)
            if beyond.uar.p <= SIGNIFICANT:
                telling = _telling(terms, x_ND, label_N, movable)
    return ProbeReport(
        len(texts), len(names), num_groups, len(strata), len(movable), num_movable, at_all, beyond, telling, why
    )


def _refuse_misfits(
    texts: Sequence[str],
    labels: Sequence[str],
    signatures: Sequence[Hashable],
    groups: Sequence[Hashable] | None,
    folds: int,
    permutations: int,
) -> None:
    lengths = [len(texts), len(labels), len(signatures), len(texts if groups is None else groups)]
    if len(set(lengths)) > 1:
        raise ValueError(
            "texts, labels, signatures and groups must be of one length, got {}, {}, {}, {}".format(*lengths)
        )
    if folds < 2 or permutations < 19:
        raise ValueError(f"at least 2 folds and 19 permutations are needed, got {folds} and {permutations}")


def _why_nothing(num_texts: int, num_labels: int, num_groups: int) -> str:
    if num_texts < MIN_TEXTS:
        return f"It cannot be told: {num_texts} texts are too few, at least {MIN_TEXTS} are needed."
    if num_labels < 2:
        return "It cannot be told: all texts have the same label."
    if num_groups < 2:
        return "It cannot be told: all texts are of one group, so none can be scored that was not learnt from."
    return ""


def _why_not_beyond(num_movable: int) -> str:
    if num_movable >= MIN_MOVABLE:
        return ""
    return (
        f"Whether the text tells more than the actions cannot be told: {num_movable} texts share their signature with "
        f"a text of another label, at least {MIN_MOVABLE} are needed. A coarser signature may give them."
    )


def _numbered(values: Sequence[Hashable]) -> _Ints:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)


def _strata(signatures: Sequence[Hashable]) -> list[_Ints]:
    """Row numbers of each signature."""
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for row, signature in enumerate(signatures):
        rows[signature].append(row)
    return [np.array(listed, dtype=np.int64) for listed in rows.values()]


def _fold_of(group_N: _Ints, folds: int, chance: np.random.Generator) -> _Ints:
    """Number of each text's fold: groups in random order, each to the fold that is smallest so far."""
    sizes = np.bincount(group_N)
    filled = np.zeros(folds, dtype=np.int64)
    fold_of_group = np.empty(len(sizes), dtype=np.int64)
    for group in chance.permutation(len(sizes)):
        fold_of_group[group] = filled.argmin()
        filled[fold_of_group[group]] += sizes[group]
    return fold_of_group[group_N]


def _bag(texts: Sequence[str]) -> tuple[list[str], _Floats]:
    """The terms that are in at least two texts, the most frequent ones, and their tf-idf [N, D], rows of length 1."""
    counts = [Counter(_terms(text)) for text in texts]
    spread = Counter(term for counted in counts for term in counted)
    terms = [term for term, number in spread.most_common(_MAX_TERMS) if number > 1]
    columns = {term: column for column, term in enumerate(terms)}
    x_ND = np.zeros((len(texts), len(terms)), dtype=np.float32)
    for row, counted in enumerate(counts):
        for term in counted.keys() & columns.keys():
            x_ND[row, columns[term]] = counted[term] * (1 + np.log(len(texts) / spread[term]))
    lengths = np.linalg.norm(x_ND, axis=1, keepdims=True)
    return terms, x_ND / np.where(lengths > 0, lengths, 1)


def _terms(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return [*words, *(f"{one} {following}" for one, following in pairwise(words))]


def _rotated(x_ND: _Floats) -> _Floats:
    """The same rows [N, R] along the principal axes: R is at most N and D, and no distance or angle changes."""
    if x_ND.shape[1] == 0:
        return x_ND
    is_wide = x_ND.shape[0] <= x_ND.shape[1]
    values, vectors = np.linalg.eigh(x_ND @ x_ND.T if is_wide else x_ND.T @ x_ND)
    kept = values > 1e-5 * values[-1]
    rotated = vectors[:, kept] * np.sqrt(values[kept]) if is_wide else x_ND @ vectors[:, kept]
    return np.ascontiguousarray(rotated, dtype=np.float32)


def _compare(
    z_NR: _Floats,
    label_N: _Ints,
    num_labels: int,
    fold_N: _Ints,
    strata: Sequence[_Ints],
    permutations: int,
    chance: np.random.Generator,
) -> Comparison:
    """Score the true labels and those shuffled within the strata, on the texts of the strata."""
    label_PN = np.tile(label_N, (permutations + 1, 1))
    for rows in strata:
        label_PN[1:, rows] = chance.permuted(label_PN[1:, rows], axis=1)
    fair_PN, plain_PN = _answers(z_NR, label_PN, num_labels, fold_N)
    scored = np.sort(np.concatenate(strata))
    true_PN = label_PN[:, scored]
    uar_P = _uar(fair_PN[:, scored], true_PN, num_labels)
    accuracy_P = (plain_PN[:, scored] == true_PN).mean(axis=1)
    return Comparison(len(scored), _score(uar_P), _score(accuracy_P))


def _answers(z_NR: _Floats, label_PN: _Ints, num_labels: int, fold_N: _Ints) -> tuple[_Ints, _Ints]:
    """Each text's label by a classifier that has not seen it, without and with the labels' shares; both [P, N]."""
    fair_PN, plain_PN = np.empty_like(label_PN), np.empty_like(label_PN)
    for fold in range(fold_N.max() + 1):
        seen, unseen = fold_N != fold, fold_N == fold
        learnt_PN = label_PN[:, seen]
        counts_PK = np.stack([(learnt_PN == label).sum(axis=1) for label in range(num_labels)], axis=1)
        prior_PK = np.log((counts_PK + 0.5) / (counts_PK + 0.5).sum(axis=1, keepdims=True)).astype(np.float32)
        weights_RC = _fit(z_NR, seen, learnt_PN, prior_PK)
        logits_NPK = (z_NR[unseen] @ weights_RC).reshape(-1, *prior_PK.shape)
        fair_PN[:, unseen] = logits_NPK.argmax(axis=2).T
        plain_PN[:, unseen] = (logits_NPK + prior_PK).argmax(axis=2).T
    return fair_PN, plain_PN


def _fit(z_NR: _Floats, seen: npt.NDArray[np.bool_], label_PN: _Ints, prior_PK: _Floats) -> _Floats:
    """Weights [R, P * K] of all P classifiers at once: accelerated steps, each scaled by a bound of the curvature.

    Half the rows' second moment bounds the curvature of multinomial logistic regression (Böhning 1992). Along the
    principal axes of all rows, of which the seen ones are a part, it is diagonal.
    """
    z_nR, (num_P, num_K) = z_NR[seen], prior_PK.shape
    wanted_nC = (label_PN.T[:, :, None] == np.arange(num_K)).astype(np.float32).reshape(len(z_nR), -1)
    step_R1 = (1 / (0.5 * (z_NR**2).sum(axis=0) + _PENALTY))[:, None]
    weights_RC = ahead_RC = np.zeros((z_nR.shape[1], num_P * num_K), dtype=np.float32)
    for step in range(_STEPS):
        logits_nPK = (z_nR @ ahead_RC).reshape(-1, num_P, num_K) + prior_PK
        shares_nPK = np.exp(logits_nPK - logits_nPK.max(axis=2, keepdims=True))
        shares_nPK /= shares_nPK.sum(axis=2, keepdims=True)
        slope_RC = z_nR.T @ (shares_nPK.reshape(wanted_nC.shape) - wanted_nC) + _PENALTY * ahead_RC
        before_RC, weights_RC = weights_RC, ahead_RC - step_R1 * slope_RC
        ahead_RC = weights_RC + np.float32(step / (step + 3)) * (weights_RC - before_RC)
    return weights_RC


def _uar(answer_PN: _Ints, true_PN: _Ints, num_labels: int) -> npt.NDArray[np.float64]:
    recalls = []
    for label in range(num_labels):
        is_label = true_PN == label
        if is_label[0].any():  # as often in each shuffle as in the true labels
            recalls.append((is_label & (answer_PN == label)).sum(axis=1) / is_label.sum(axis=1))
    return np.asarray(np.mean(recalls, axis=0))


def _score(score_P: npt.NDArray[np.float64]) -> Score:
    observed, shuffled = score_P[0], score_P[1:]
    low, high = np.quantile(shuffled, [0.025, 0.975])
    p = np.mean(score_P >= observed - 1e-9)  # rounding in the last place is no difference
    return Score(float(observed), float(shuffled.mean()), float(low), float(high), float(p))


def _telling(terms: Sequence[str], x_ND: _Floats, label_N: _Ints, strata: Sequence[_Ints]) -> tuple[str, ...]:
    """The terms whose presence differs most between the labels of one stratum, over what chance would give."""
    has_ND = x_ND > 0
    gap_DK = np.zeros((len(terms), label_N.max() + 1))
    spread_DK = np.full_like(gap_DK, 1.0)  # so that a term of one or two texts does not come first
    for rows in strata:
        has_D = has_ND[rows].mean(axis=0)
        for label in np.unique(label_N[rows]):
            own = rows[label_N[rows] == label]
            gap_DK[:, label] += (has_ND[own] - has_D).sum(axis=0)
            spread_DK[:, label] += has_D * (1 - has_D) * len(own) * (1 - len(own) / len(rows))
    order = np.argsort(-np.abs(gap_DK / np.sqrt(spread_DK)).max(axis=1))
    return tuple(terms[number] for number in order[:5])


def _in_words(question: str, verdict: bool | None, found: Comparison | None) -> list[str]:
    if found is None:
        return []
    answer, score = ("yes" if verdict else "not that it shows"), found.uar
    return [
        f"{question}: {answer}. Recall {score.observed:.3f}, shuffled {score.chance:.3f} ({score.low:.3f} to "
        f"{score.high:.3f}), p {score.p:.3f}; accuracy {found.accuracy.observed:.3f}, shuffled "
        f"{found.accuracy.chance:.3f}; {found.num_texts} texts."
    ]
