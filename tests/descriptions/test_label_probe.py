"""The probe: quiet where the words follow the actions alone, loud where they hint at the label, mute on too little."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from pipeline.descriptions.label_probe import ProbeReport, _bag, _fit, _rotated, probe

LABELS = ("happiness", "sadness", "anger", "surprise")
ACTIONS = (
    "both lip corners rise",
    "both cheeks lift",
    "the inner brows rise",
    "both lip corners turn down",
    "both brows lower",
    "the lips press together",
    "the jaw drops",
    "both eyes widen",
)
HINTS = {"happiness": "bright", "sadness": "heavy", "anger": "hard", "surprise": "startled"}


Corpus = tuple[list[str], list[str], list[tuple[str, ...]], list[int]]


def corpus(num: int, *, hint_share: float = 0.0, seed: int = 0) -> Corpus:
    """Texts by a template from actions that go with a label more often than not; some with a hint slipped in."""
    chance = np.random.default_rng(seed)
    texts, labels, signatures, persons = [], [], [], []
    for number in range(num):
        label = int(chance.integers(len(LABELS)))
        usual = [2 * label, 2 * label + 1]
        actions = [ACTIONS[int(chance.choice(usual if chance.random() < 0.6 else 8))] for _ in range(2)]
        clauses = [f"{action} {chance.choice(['slightly', 'clearly', 'strongly'])}" for action in actions]
        hint = f" The look is {HINTS[LABELS[label]]}." if chance.random() < hint_share else ""
        texts.append(f"{clauses[0].capitalize()}{chance.choice([', then ', ' while ', ' and '])}{clauses[1]}.{hint}")
        labels.append(LABELS[label])
        signatures.append(tuple(actions))
        persons.append(number % 30)
    return texts, labels, signatures, persons


def probed(rows: Corpus, *, permutations: int = 99) -> ProbeReport:
    texts, labels, signatures, persons = rows
    return probe(texts, labels, signatures, groups=persons, permutations=permutations)


def test_texts_that_follow_the_actions_tell_the_label_but_no_more_than_the_actions() -> None:
    report = probed(corpus(400))
    assert report.tells_label is True
    assert report.tells_more_than_actions is False
    beyond = report.beyond_actions
    assert beyond is not None
    assert beyond.uar.low <= beyond.uar.observed <= beyond.uar.high
    assert report.at_all is not None
    assert abs(report.at_all.uar.chance - 0.25) < 0.03
    assert beyond.uar.chance > 0.4  # the actions do tell much of the label
    assert "beyond the actions: not that it shows" in report.in_words()


def test_a_hint_in_a_third_of_the_texts_is_found_and_named() -> None:
    report = probed(corpus(400, hint_share=0.3))
    assert report.tells_more_than_actions is True
    assert {"bright", "heavy", "hard", "startled"} & set(report.telling)
    assert "Look for:" in report.in_words()


@pytest.mark.slow
def test_without_a_hint_it_cries_out_about_as_often_as_it_says() -> None:
    cries = [bool(probed(corpus(150, seed=seed), permutations=39).tells_more_than_actions) for seed in range(60)]
    assert sum(cries) <= 8  # of 60 at 5 %: 3 expected, more than 8 in one of two hundred such series


def test_labels_that_go_with_nothing_are_not_told_at_all() -> None:
    texts, labels, signatures, persons = corpus(200)
    shuffled = np.random.default_rng(3).permutation(labels).tolist()
    assert probe(texts, shuffled, signatures, groups=persons, permutations=99).tells_label is False


def test_a_persons_own_wording_is_a_hint_only_if_persons_are_not_kept_together() -> None:
    persons = [number % 12 for number in range(240)]
    texts = [f"the jaw drops word{person}" for person in persons]
    labels = [LABELS[person % 2] for person in persons]
    apart = probe(texts, labels, ["jaw"] * 240, permutations=39)
    together = probe(texts, labels, ["jaw"] * 240, groups=persons, permutations=39)
    assert apart.tells_more_than_actions is True
    assert together.tells_more_than_actions is False


@pytest.mark.parametrize(
    ("texts", "labels", "groups", "why"),
    [
        ([], [], None, "0 texts are too few"),
        (["a"], ["x"], None, "1 texts are too few"),
        (["a b"] * 50, ["x"] * 50, None, "all texts have the same label"),
        (["a b"] * 50, ["x", "y"] * 25, ["p"] * 50, "all texts are of one group"),
    ],
)
def test_too_little_gives_a_report_that_says_so(
    texts: list[str], labels: list[str], groups: list[str] | None, why: str
) -> None:
    report = probe(texts, labels, [()] * len(texts), groups=groups)
    assert report.tells_label is None
    assert report.tells_more_than_actions is None
    assert why in report.in_words()


def test_actions_that_fix_the_label_leave_the_second_question_open() -> None:
    texts, labels, _, _ = corpus(100)
    report = probe(texts, labels, labels, permutations=19)
    assert report.tells_label is True
    assert report.tells_more_than_actions is None
    assert (report.num_strata, report.num_movable_strata, report.movable_share) == (4, 0, 0.0)
    assert "beyond the actions" not in report.in_words().replace("tells more than the actions cannot be told", "")
    assert "A coarser signature may give them" in report.in_words()


@pytest.mark.parametrize("texts", [[""] * 60, ["the face stays near rest"] * 60, [f"word{n}" for n in range(60)]])
def test_texts_without_any_difference_to_learn_tell_nothing(texts: list[str]) -> None:
    report = probe(texts, list(LABELS[:3]) * 20, [()] * 60, permutations=19)
    assert report.tells_label is False
    assert report.tells_more_than_actions is False


def test_a_label_of_one_text_is_no_obstacle() -> None:
    texts, labels, signatures, _ = corpus(100)
    assert probe(texts, ["rare", *labels[1:]], signatures, permutations=19).num_labels == 5


def test_the_same_seed_gives_the_same_report() -> None:
    assert probed(corpus(120), permutations=19) == probed(corpus(120), permutations=19)


def test_misfits_are_refused() -> None:
    with pytest.raises(ValueError, match="one length, got 2, 1, 2, 2"):
        probe(["a", "b"], ["x"], [1, 2])
    with pytest.raises(ValueError, match="at least 2 folds and 19 permutations"):
        probe(["a"], ["x"], [1], permutations=10)


def test_the_weights_are_nearly_those_of_a_general_optimiser() -> None:
    texts, labels, _, _ = corpus(80)
    _, x = _bag(texts)
    z = _rotated(x).astype(np.float64)
    assert np.allclose(z @ z.T, x @ x.T, atol=1e-4)
    label = np.unique(labels, return_inverse=True)[1]
    prior = np.log(np.bincount(label) / len(label))

    def loss(flat: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        weights = flat.reshape(z.shape[1], 4)
        logits = z @ weights + prior
        return float(np.sum(np.log(np.exp(logits).sum(axis=1)) - logits[range(80), label]) + 0.5 * np.sum(weights**2))

    best = minimize(loss, np.zeros(z.shape[1] * 4), method="L-BFGS-B", options={"maxiter": 50, "maxfun": 10**6})
    own = _fit(z.astype(np.float32), np.ones(80, dtype=bool), label[None], prior[None].astype(np.float32))
    assert loss(own.ravel().astype(np.float64)) - best.fun < 1e-3 * (loss(np.zeros(own.size)) - best.fun)
