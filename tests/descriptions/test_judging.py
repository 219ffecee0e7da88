"""What is made of statements: rest of the whole face, times within the clip, and true prose as a language model writes.

The prose was written by hand before the reader was tried on it, half of it before it was taught to read any of it.
"""

from __future__ import annotations

import time

import pytest

from pipeline.descriptions.check import check_prose
from pipeline.descriptions.evidence import Evidence, EvidenceEvent, UnclearSpan
from pipeline.descriptions.judging import CONTRADICTED, NOT_MEASURABLE, SUPPORTED, judge_claim, judge_prose
from schemas.actions import TOLD_ACTIONS
from schemas.answer import Claim

TOLD = (
    *("lip_corner_raise", "jaw_drop", "eye_close", "lip_funnel", "head_turn", "head_tilt", "head_raise", "head_lower"),
    *("brows_move", "eyes_move", "mouth_move", "jaw_move"),
)
"""What a measurement tells; of all else it knows what it measured, and cannot deny it."""

PEAKS = {"slight": 0.25, "moderate": 0.5, "strong": 0.9}


def event(
    action: str, side: str, onset_s: float, apex_s: float, offset_s: float, intensity: str = "moderate"
) -> EvidenceEvent:
    return EvidenceEvent(
        action=action,
        side=side,
        onset_s=onset_s,
        apex_s=apex_s,
        offset_s=offset_s,
        peak=PEAKS[intensity],
        intensity=intensity,
    )


def evidence(duration_s: float, *events: EvidenceEvent) -> Evidence:
    known = {*TOLD, *(one.action for one in events)}
    unclear = [
        UnclearSpan(action=action, start_s=0.0, end_s=duration_s, why="not_told")
        for action in TOLD_ACTIONS
        if action not in known
    ]
    return Evidence(duration_s=duration_s, events=events, unclear=tuple(unclear))


def everything_told(duration_s: float, *events: EvidenceEvent) -> Evidence:
    return Evidence(duration_s=duration_s, events=events)


def verdict(prose: str, own: Evidence) -> str:
    """The worst of a text's statements, as the check has it."""
    found = [judgement.verdict for judgement in judge_prose(prose, own)]
    return next((worst for worst in (CONTRADICTED, NOT_MEASURABLE) if worst in found), SUPPORTED if found else "none")


# --- rest, times, strength

IN_THE_MIDDLE = (event("lip_corner_raise", "both", 1.0, 1.5, 2.0), event("jaw_drop", "middle", 2.5, 2.7, 3.0))
AT_BOTH_ENDS = (event("lip_corner_raise", "both", 0.0, 0.5, 1.0), event("jaw_drop", "middle", 3.0, 3.5, 4.0))


@pytest.mark.parametrize(
    ("prose", "middle", "ends"),
    [
        ("At first the face is at rest, then the lip corners rise.", SUPPORTED, CONTRADICTED),
        ("The jaw drops, and then the face is at rest.", SUPPORTED, CONTRADICTED),
        ("At the end, the face is still.", SUPPORTED, CONTRADICTED),
        ("The face is at rest.", CONTRADICTED, CONTRADICTED),
        ("Nothing moves.", CONTRADICTED, CONTRADICTED),
        ("The face is at rest for a while.", NOT_MEASURABLE, NOT_MEASURABLE),
        ("The face is at rest until the jaw drops.", NOT_MEASURABLE, NOT_MEASURABLE),
        ("The eyes do not move.", SUPPORTED, SUPPORTED),
        ("The mouth stays closed, then opens.", NOT_MEASURABLE, NOT_MEASURABLE),
        ("The jaw drops before the smile fades.", CONTRADICTED, CONTRADICTED),
        ("A smile appears. The jaw drops before the smile fades.", CONTRADICTED, CONTRADICTED),
        ("The jaw drops only at the end.", CONTRADICTED, SUPPORTED),
        ("The lip corners rise only at the end.", CONTRADICTED, CONTRADICTED),
        ("The lip corners rise only at the start.", CONTRADICTED, SUPPORTED),
        ("The jaw drops only at the start.", CONTRADICTED, CONTRADICTED),
        ("Right at the start, the lip corners rise.", CONTRADICTED, SUPPORTED),
        ("At the end, the jaw drops.", CONTRADICTED, SUPPORTED),
        ("The jaw drops just before the end.", NOT_MEASURABLE, NOT_MEASURABLE),
        ("The jaw drops before the end.", SUPPORTED, SUPPORTED),
        ("The smile fades before the end.", SUPPORTED, SUPPORTED),
        ("The jaw drops and peaks early.", SUPPORTED, SUPPORTED),
    ],
)
def test_what_is_said_of_rest_and_of_the_ends_of_the_clip(prose: str, middle: str, ends: str) -> None:
    assert verdict(prose, everything_told(4.0, *IN_THE_MIDDLE)) == middle
    assert verdict(prose, everything_told(4.0, *AT_BOTH_ENDS)) == ends


@pytest.mark.parametrize("prose", ["The face is at rest.", "At first the face is at rest.", "Nothing moves."])
def test_rest_of_the_whole_face_needs_every_action_to_be_told(prose: str) -> None:
    assert verdict(prose, everything_told(3.0)) == SUPPORTED
    assert verdict(prose, evidence(3.0)) == NOT_MEASURABLE


def test_only_needs_to_know_of_the_rest_of_the_clip() -> None:
    late = event("jaw_drop", "middle", 3.0, 3.4, 3.9)
    hidden = UnclearSpan(action="jaw_drop", side="middle", start_s=0.5, end_s=0.9, why="covered")
    flank = UnclearSpan(action="jaw_drop", side="middle", start_s=2.8, end_s=3.0)
    for doubt, expected in ((hidden, NOT_MEASURABLE), (flank, SUPPORTED)):
        own = Evidence(duration_s=4.0, events=(late,), unclear=(doubt,))
        assert verdict("The jaw drops only at the end.", own) == expected


def test_a_peak_is_early_or_late_within_its_movement() -> None:
    late = everything_told(4.0, event("jaw_drop", "middle", 0.5, 1.8, 2.0))
    assert verdict("The jaw drops and peaks late.", late) == SUPPORTED
    assert verdict("The jaw drops and peaks early.", late) == CONTRADICTED


def test_of_a_region_that_moves_no_strength_contradicts() -> None:
    own = evidence(3.0, event("mouth_move", "middle", 1.0, 1.5, 2.0, "slight"))
    claim = Claim(action="mouth_move", side="middle", start_s=1.0, end_s=2.0, polarity="present", intensity="strong")
    assert judge_claim(claim, own)[0] == SUPPORTED
    assert verdict("The mouth moves strongly.", own) == NOT_MEASURABLE
    assert verdict("The mouth moves.", own) == SUPPORTED


@pytest.mark.parametrize(
    "prose",
    [
        "The jaw drops before the smile fades.",
        "A smile fades after the jaw drops.",
        "The jaw drops, then a smile fades.",
    ],
)
def test_what_is_before_an_end_may_be_after_the_beginning(prose: str) -> None:
    assert verdict(prose, SMILE_AND_JAW) != CONTRADICTED


def test_brows_that_lower_after_they_rose_come_to_rest_or_act() -> None:
    raised = event("inner_brow_raise", "middle", 0.5, 0.8, 1.2)
    prose = "The inner brows rise, then lower."
    assert verdict(prose, everything_told(3.0, raised)) == SUPPORTED
    assert verdict(prose, everything_told(3.0, raised, event("brow_lower", "both", 1.5, 1.8, 2.2))) == SUPPORTED
    until_the_end = raised.model_copy(update={"offset_s": 3.0})
    assert verdict(prose, everything_told(3.0, until_the_end)) == CONTRADICTED
    assert verdict("The inner brows rise, then lower strongly.", everything_told(3.0, raised)) == CONTRADICTED
    assert verdict("The brows lower.", everything_told(3.0, raised)) == CONTRADICTED


# --- true prose, in the manner of the prompt: in the order of time, plain English, no numbers

SMILE_AND_JAW = evidence(
    3.0,
    event("lip_corner_raise", "both", 0.5, 1.2, 2.6, "strong"),
    event("jaw_drop", "middle", 1.0, 1.5, 2.0, "moderate"),
)
BROW_THEN_TURN = evidence(
    4.0,
    event("outer_brow_raise", "left", 0.3, 0.6, 1.0, "slight"),
    event("head_turn", "left", 1.5, 2.6, 3.95, "moderate"),
)
BROWS_TWICE = evidence(
    5.0,
    event("brow_lower", "both", 0.0, 0.5, 1.2, "moderate"),
    event("lip_press", "both", 1.6, 2.0, 2.4, "slight"),
    event("brow_lower", "both", 3.0, 3.4, 4.0, "slight"),
)
MOUTH_AND_BLINKS = evidence(
    3.5,
    event("mouth_move", "middle", 0.6, 1.0, 1.4, "moderate"),
    event("eye_close", "both", 0.9, 1.0, 1.2, "strong"),
    event("eye_close", "both", 2.6, 2.7, 2.85, "strong"),
)
AT_REST = evidence(
    2.5,
)
SLOW_SMILE = evidence(
    3.0,
    event("head_tilt", "right", 0.2, 1.0, 2.9, "slight"),
    event("lip_corner_raise", "right", 1.0, 2.4, 3.0, "strong"),
    event("eye_narrow", "right", 1.6, 2.0, 2.6, "slight"),
)

TRUE_PROSE = [
    (SMILE_AND_JAW, "Both lip corners rise strongly, then the jaw drops clearly and briefly."),
    (SMILE_AND_JAW, "The lip corners rise strongly on both sides while the jaw drops moderately."),
    (SMILE_AND_JAW, "The person smiles broadly. While smiling, the jaw drops briefly."),
    (SMILE_AND_JAW, "A strong smile forms first. The jaw then drops clearly before the smile fades."),
    (SMILE_AND_JAW, "Both corners of the mouth rise strongly, followed by a clear drop of the jaw."),
    (
        SMILE_AND_JAW,
        (
            "The lip corners rise strongly, and shortly after, the mouth opens moderately. The smile fades before "
            "the end."
        ),
    ),
    (SMILE_AND_JAW, "A wide smile appears on both sides of the mouth, accompanied by a brief opening of the mouth."),
    (
        SMILE_AND_JAW,
        (
            "The mouth corners lift strongly. Then the jaw lowers clearly for a short time and closes again "
            "before the smile fades."
        ),
    ),
    (SMILE_AND_JAW, "Both lip corners rise strongly and are held while the jaw briefly drops and then closes."),
    (SMILE_AND_JAW, "As the smile grows, the jaw drops clearly."),
    (
        SMILE_AND_JAW,
        ("The lip corners rise strongly before the jaw drops. The jaw closes again while the smile is held."),
    ),
    (SMILE_AND_JAW, "The lip corners begin to rise strongly, and then the jaw drops clearly."),
    (SMILE_AND_JAW, "The lip corners rise strongly on both sides, and the jaw drops clearly a moment later."),
    (SMILE_AND_JAW, "The mouth widens into a strong smile, then the jaw drops."),
    (SMILE_AND_JAW, "A strong upward movement of both lip corners is followed by a brief, clear jaw drop."),
    (SMILE_AND_JAW, "The person smiles strongly, and while the smile is held, the jaw drops clearly and briefly."),
    (SMILE_AND_JAW, "Both lip corners pull upward strongly. The jaw drops clearly, then both relax."),
    (SMILE_AND_JAW, "The smile begins first and the jaw drops shortly after. Both ease before the end."),
    (
        SMILE_AND_JAW,
        (
            "Both lip corners rise strongly and remain raised while the jaw drops clearly. The jaw then closes, "
            "and the lip corners lower."
        ),
    ),
    (
        BROW_THEN_TURN,
        ("The left outer brow rises slightly and briefly, then the head turns to the left until the end."),
    ),
    (
        BROW_THEN_TURN,
        (
            "The outer part of the left eyebrow lifts slightly for a moment. Then the head turns clearly to the "
            "left and stays there until the end."
        ),
    ),
    (BROW_THEN_TURN, "First, the left outer brow rises slightly. After that, the head turns clearly to the left."),
    (
        BROW_THEN_TURN,
        (
            "The left outer brow briefly rises slightly before the head turns clearly to the left and remains "
            "turned until the end."
        ),
    ),
    (BROW_THEN_TURN, "The left outer eyebrow raises slightly, followed by a clear turn of the head to the left."),
    (BROW_THEN_TURN, "The left outer brow is slightly raised early on. Later, the head turns to the left."),
    (
        BROW_THEN_TURN,
        (
            "Briefly, the left outer brow lifts a little. The head then turns clearly to the left and holds this "
            "position until the end."
        ),
    ),
    (BROW_THEN_TURN, "A slight raise of the left outer brow is followed by a clear head turn to the left."),
    (BROW_THEN_TURN, "The head turns clearly to the left after the left outer brow rises slightly."),
    (BROW_THEN_TURN, "The left outer brow rises slightly, then lowers, and the head turns clearly to the left."),
    (BROW_THEN_TURN, "The left outer brow rises slightly at first, and the head then turns clearly to the left."),
    (
        BROW_THEN_TURN,
        (
            "There is a slight, brief raise of the left outer brow, and then the head turns to the left and stays "
            "turned."
        ),
    ),
    (BROW_THEN_TURN, "After a slight lift of the left outer brow, the head turns clearly to the person's left."),
    (BROW_THEN_TURN, "The left outer brow briefly rises before the head slowly turns to the left."),
    (
        BROWS_TWICE,
        (
            "From the start, both brows are clearly lowered. Then the lips press together slightly, and the brows "
            "lower again."
        ),
    ),
    (
        BROWS_TWICE,
        (
            "Both brows lower clearly at the start, then relax. The lips press together slightly before the brows "
            "lower slightly again."
        ),
    ),
    (
        BROWS_TWICE,
        (
            "The brows lower clearly from the beginning. Later the lips press slightly together. Finally, the "
            "brows lower again slightly."
        ),
    ),
    (
        BROWS_TWICE,
        (
            "Both brows are lowered clearly at first, then the lips press together slightly, and then both brows "
            "lower again."
        ),
    ),
    (BROWS_TWICE, "The brows start out clearly lowered. They ease, and then the lips are pressed together slightly."),
    (
        BROWS_TWICE,
        ("The brows draw together clearly at the beginning. The lips then press together slightly and briefly."),
    ),
    (BROWS_TWICE, "Both brows lower clearly, then return to rest. The lips press together slightly."),
    (BROWS_TWICE, "The brows lower clearly, then ease, and later lower slightly once more."),
    (
        BROWS_TWICE,
        (
            "The brows are knit clearly at first and relax. Afterwards, the lips press together briefly, and "
            "finally the brows knit again."
        ),
    ),
    (BROWS_TWICE, "Both brows lower clearly. After they relax, the lips press together slightly."),
    (
        BROWS_TWICE,
        (
            "The brows start lowered and relax. Then the lips press together slightly, before both brows lower "
            "slightly again."
        ),
    ),
    (BROWS_TWICE, "The clip begins with clearly lowered brows. Then the lips press together slightly and briefly."),
    (
        BROWS_TWICE,
        (
            "Both brows are clearly lowered at the beginning and then ease. The lips press slightly, and later "
            "the brows lower slightly again before easing."
        ),
    ),
    (BROWS_TWICE, "The brows lower clearly, the lips press together slightly, and the brows lower again."),
    (BROWS_TWICE, "Clearly lowered brows ease, then the lips press together slightly."),
    (MOUTH_AND_BLINKS, "The eyes close briefly while the mouth moves."),
    (MOUTH_AND_BLINKS, "The mouth moves, and both eyes close briefly. Later, the eyes close again."),
    (MOUTH_AND_BLINKS, "The mouth moves while the eyes blink. The eyes blink again later."),
    (MOUTH_AND_BLINKS, "Both eyes close briefly while the mouth moves, then close again near the end."),
    (MOUTH_AND_BLINKS, "The mouth moves first. The eyes blink briefly, and later they blink again."),
    (MOUTH_AND_BLINKS, "Movement around the mouth is accompanied by a brief closing of the eyes."),
    (MOUTH_AND_BLINKS, "The eyes blink twice."),
    (MOUTH_AND_BLINKS, "Both eyes briefly close during the mouth movement and close again later."),
    (
        MOUTH_AND_BLINKS,
        ("The mouth moves early, with both eyes closing briefly. Both eyes close briefly again toward the end."),
    ),
    (MOUTH_AND_BLINKS, "The person blinks while the mouth moves, and blinks again later."),
    (
        MOUTH_AND_BLINKS,
        ("The mouth moves while both eyes briefly close and open again. Later, the eyes close once more."),
    ),
    (MOUTH_AND_BLINKS, "There is movement of the mouth, and the eyes blink. The eyes blink again later."),
    (AT_REST, "The lip corners do not rise, the jaw does not drop, and the eyes do not close."),
    (AT_REST, "The eyes stay open and the jaw does not drop."),
    (AT_REST, "There is no smile, and the mouth does not open."),
    (AT_REST, "The head does not turn, and the lip corners do not rise."),
    (AT_REST, "The lip corners do not rise. The jaw stays closed. The eyes do not close."),
    (AT_REST, "The eyes do not close and the jaw does not drop at any time."),
    (AT_REST, "Neither the lip corners rise nor does the jaw drop."),
    (AT_REST, "No rise of the lip corners, no drop of the jaw and no closing of the eyes is seen."),
    (AT_REST, "The brows do not move. The mouth does not move. The head does not turn or tilt."),
    (AT_REST, "Throughout, the eyes do not close, and the head does not turn."),
    (AT_REST, "The head remains still, and the jaw does not drop."),
    (AT_REST, "The lip corners stay at rest and the jaw does not drop."),
    (AT_REST, "No smile appears, and the eyes remain open throughout."),
    (AT_REST, "The face shows no smile, and the jaw does not drop."),
    (
        SLOW_SMILE,
        ("The head tilts slightly to the right, then the right lip corner rises strongly and slowly until the end."),
    ),
    (
        SLOW_SMILE,
        (
            "While the head is tilted slightly to the right, the right lip corner slowly rises strongly. The "
            "right eye narrows slightly."
        ),
    ),
    (
        SLOW_SMILE,
        ("The right lip corner rises slowly and strongly until the end, with the right eye narrowing slightly."),
    ),
    (
        SLOW_SMILE,
        (
            "The head first tilts slightly to the right. Then the right corner of the mouth rises strongly while "
            "the right eye narrows slightly."
        ),
    ),
    (
        SLOW_SMILE,
        (
            "With the head slightly tilted to the right, the right lip corner gradually rises strongly and the "
            "right eye narrows a little."
        ),
    ),
    (
        SLOW_SMILE,
        ("A slight tilt of the head to the right is followed by a strong, slow rise of the right lip corner."),
    ),
    (SLOW_SMILE, "The right lip corner lifts strongly and slowly, staying raised until the end."),
    (
        SLOW_SMILE,
        (
            "The head tilts slightly to the right throughout. The right lip corner rises strongly, and the right "
            "eye then narrows slightly."
        ),
    ),
    (SLOW_SMILE, "A strong smile develops slowly on the right side, and the right eye narrows slightly."),
    (SLOW_SMILE, "The right lip corner rises strongly, lasting until the end, while the right eye narrows slightly."),
    (
        SLOW_SMILE,
        (
            "The head tilts slightly to the right and stays tilted. The right lip corner slowly rises strongly "
            "until the end."
        ),
    ),
    (
        SLOW_SMILE,
        (
            "The right corner of the mouth lifts strongly and gradually, while the right eye narrows slightly and "
            "then relaxes."
        ),
    ),
    (
        SLOW_SMILE,
        ("A slight head tilt to the right comes first, then a strong rise of the right lip corner until the end."),
    ),
    (SLOW_SMILE, "The right side of the mouth curls up strongly and slowly, and the right eye narrows slightly."),
]

REFUSED_PROSE = [
    (
        SMILE_AND_JAW,
        "The lip corners pull up strongly and stay raised. The jaw drops briefly in between.",
        "prose_beyond_evidence",
    ),  # in between what, is not said
    (
        BROW_THEN_TURN,
        ("The left outer brow lifts slightly and quickly returns to rest. The head turns to the left until the end."),
        "prose_beyond_evidence",
    ),  # how fast it falls is not measured
    (MOUTH_AND_BLINKS, "Both eyes close briefly two times.", "prose_malformed"),  # a number
    (
        MOUTH_AND_BLINKS,
        "The eyes blink during the movement of the mouth and again toward the end.",
        "prose_contradicted",
    ),  # ellipsis: what comes again, is not said
    (
        AT_REST,
        "The jaw does not drop, the lips do not part, and the eyes do not close.",
        "prose_beyond_evidence",
    ),  # whether the lips part cannot be told
    (
        AT_REST,
        "The head does not turn, tilt, rise or lower.",
        "prose_beyond_evidence",
    ),  # a list of verbs under one denial
    (
        SLOW_SMILE,
        "The head tilts slightly toward the right shoulder.",
        "prose_beyond_evidence",
    ),  # a shoulder is nothing that is measured
    (
        SLOW_SMILE,
        ("The head is tilted slightly to the right almost from the start. Then the right lip corner rises strongly."),
        "prose_beyond_evidence",
    ),  # "almost" is a hedge, of what it hedges nobody knows
]


@pytest.mark.parametrize(("own", "prose"), TRUE_PROSE)
def test_true_prose_is_accepted(own: Evidence, prose: str) -> None:
    assert check_prose(prose, own) is None


@pytest.mark.parametrize(("own", "prose", "reason"), REFUSED_PROSE)
def test_true_prose_that_cannot_be_shown_to_be_true_is_refused(own: Evidence, prose: str, reason: str) -> None:
    fault = check_prose(prose, own)
    assert fault is not None and fault.reason == reason, fault


def test_no_true_prose_is_accepted_of_another_face() -> None:
    faces = (SMILE_AND_JAW, BROW_THEN_TURN, BROWS_TWICE, MOUTH_AND_BLINKS, AT_REST, SLOW_SMILE)
    for own, prose in TRUE_PROSE:
        for other in faces:
            assert other is own or check_prose(prose, other) is not None, prose


def test_a_text_is_read_once_however_many_evidences_it_is_held_against() -> None:
    texts = [f"{prose} The jaw {'very ' * number}drops." for number, (_, prose) in enumerate(TRUE_PROSE)]
    costs_s = []
    for _ in range(2):
        began_s = time.process_time()
        for text in texts:
            judge_prose(text, SMILE_AND_JAW)
        costs_s.append(time.process_time() - began_s)
    assert costs_s[1] < 0.7 * costs_s[0]
