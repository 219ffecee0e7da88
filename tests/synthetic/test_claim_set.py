"""Known claims: true ones and false ones, told apart by what was drawn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pipeline.descriptions.judging import CONTRADICTED, SUPPORTED
from pipeline.synthetic.claim_set import KINDS, TRUE_KINDS, KnownClaim, known_claims
from pipeline.synthetic.recipes import blend, plan_recipe
from pipeline.synthetic.truth_evidence import DrawnFace, drawn_face, judge_against_truth
from schemas.actions import COARSE_ACTIONS, FACIAL_ACTIONS
from schemas.table import write_cell
from schemas.truth import TRUTH

TIMES_S = np.arange(76) / 30.0


def a_face(recipe: str, side: str | None = None, peak: float | None = 1.0, seed: int = 3) -> DrawnFace:
    """A face that follows one recipe, a label or an action, and holds its head still."""
    movements = plan_recipe(recipe, np.random.default_rng(seed), 0.0, 2.5, side=side, peak=peak)
    row = {
        "clip": f"{recipe}.mp4",
        "face": 0,
        "label": recipe,
        "times_s": TIMES_S.tolist(),
        "is_present": [True] * len(TIMES_S),
        "visible_share": [1.0] * len(TIMES_S),
        "pose_deg": write_cell(TRUTH.field("pose_deg"), np.zeros((len(TIMES_S), 3))),
        "blendshapes": write_cell(TRUTH.field("blendshapes"), blend(movements, TIMES_S)),
    }
    return drawn_face(row, 0.0, float(TIMES_S[-1]))


def of_kind(kind: str, known: list[KnownClaim]) -> list[KnownClaim]:
    return [one for one in known if one.kind == kind]


@pytest.mark.parametrize("recipe", ["happiness", "fear", "contempt", "neutral"])
def test_as_many_are_true_as_false_and_the_drawn_face_says_so(recipe: str) -> None:
    face = a_face(recipe)
    known = known_claims(face, 1)
    assert Counter(one.verdict for one in known)[SUPPORTED] * 2 == len(known) >= 40
    verdicts = [verdict for verdict, _ in judge_against_truth([one.claim for one in known], face)]
    assert verdicts == [one.verdict for one in known]
    assert all((one.verdict == SUPPORTED) == (one.kind in TRUE_KINDS) for one in known)


def test_the_same_seed_gives_the_same_claims_another_seed_others_and_the_number_is_bounded() -> None:
    face = a_face("fear")
    assert known_claims(face, 1) == known_claims(face, 1) != known_claims(face, 2)
    assert len(known_claims(face, 1, most=20)) == 20
    assert set(Counter(one.kind for one in known_claims(face, 1, most=20))) >= {"true_event", "true_absence", "negated"}


def test_every_kind_is_offered_where_there_is_something_to_falsify() -> None:
    faces = [a_face("outer_brow_raise", "left", peak, seed) for peak in (0.35, 1.0) for seed in range(4)]
    assert {one.kind for face in faces for one in known_claims(face, 1)} == set(KINDS)


def test_a_face_at_rest_can_only_be_denied_or_given_what_it_does_not_do() -> None:
    assert {one.kind for one in known_claims(a_face("neutral"), 1)} == {"true_absence", "swapped"}


def test_a_region_moves_with_any_of_its_actions_and_is_denied_only_where_its_skin_is_at_rest() -> None:
    known = known_claims(a_face("jaw_drop"), 1)
    claimed = {(one.kind, one.claim.action) for one in known if one.claim.action in COARSE_ACTIONS}
    assert {action for kind, action in claimed if kind == "true_event"} == {"jaw_move"}
    assert {action for kind, action in claimed if kind == "negated"} == {"jaw_move"}
    assert {action for kind, action in claimed if kind in ("true_absence", "swapped")} == {"brows_move", "eyes_move"}


def test_what_is_too_weak_to_be_sure_of_is_neither_claimed_nor_denied() -> None:
    known = known_claims(a_face("jaw_drop", peak=0.2), 1)
    assert {one.kind for one in known} == {"true_absence", "swapped"}
    assert "jaw_drop" not in {one.claim.action for one in known}


def test_a_flipped_side_is_said_in_words() -> None:
    known = of_kind("flipped_side", known_claims(a_face("lip_corner_raise", "left"), 1))
    assert known
    assert all(one.claim.side == "right" and "the right lip corner" in one.sentence.lower() for one in known)


def test_denials_are_worded_in_several_ways() -> None:
    faces = [a_face("lip_corner_raise", "both", seed=seed) for seed in range(12)]
    denials = [one for seed, face in enumerate(faces) for one in of_kind("negated", known_claims(face, seed))]
    sentences = {one.sentence for one in denials if one.claim.action == "lip_corner_raise"}
    assert sentences == {
        "The lip corners do not rise.",
        "At no time do the lip corners rise.",
        "The clip passes without raising the lip corners.",
        "There is no smile.",
    }


@pytest.mark.parametrize("action", FACIAL_ACTIONS)
def test_every_action_has_its_sentences(action: str) -> None:
    sides = ("left", "both") if not FACIAL_ACTIONS[action].middle else (None,)
    known = [one for side in sides for seed in range(3) for one in known_claims(a_face(action, side), seed)]
    told = [one.sentence for one in known if one.claim.action == action]
    assert {one.verdict for one in known if one.claim.action == action} == {SUPPORTED, CONTRADICTED}
    for sentence in told:
        assert sentence[0].isupper(), sentence
        assert sentence.endswith("."), sentence
        assert "  " not in sentence, sentence
