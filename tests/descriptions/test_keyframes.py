from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.descriptions.evidence import Evidence, EvidenceEvent, UnmeasuredSpan
from pipeline.descriptions.keyframes import FRAME_S, MIN_STEP_S, KeyFrame, choose_key_times, key_frames, see_request
from schemas.actions import FACIAL_ACTIONS, HEAD_ACTIONS, INTENSITIES, sides_of

ANY_TIME = st.floats(0, 1).map(lambda share: round(share, 3))


def event(onset_s: float, apex_s: float, offset_s: float, **given: Any) -> EvidenceEvent:
    said = {"action": "lip_corner_raise", "side": "both", "peak": 0.8, "intensity": "strong", **given}
    return EvidenceEvent(onset_s=onset_s, apex_s=apex_s, offset_s=offset_s, **said)


def hidden(start_s: float, end_s: float) -> UnmeasuredSpan:
    return UnmeasuredSpan(start_s=start_s, end_s=end_s, why="covered")


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Tracks from a moment to a minute, with events of every kind anywhere and with unmeasured spans."""
    duration_s = draw(st.sampled_from([0.04, 0.2, 1.0, 2.4, 10.0, 60.0]))
    events = []
    for _ in range(draw(st.integers(0, 6))):
        onset_s, apex_s, offset_s = sorted(draw(ANY_TIME) * duration_s for _ in range(3))
        action = draw(st.sampled_from([*FACIAL_ACTIONS, *HEAD_ACTIONS]))
        side, intensity = draw(st.sampled_from(sides_of(action))), draw(st.sampled_from(INTENSITIES))
        peak = draw(st.floats(0.1, 1.5))
        events.append(event(onset_s, apex_s, offset_s, action=action, side=side, peak=peak, intensity=intensity))
    spans = []
    for _ in range(draw(st.integers(0, 3))):
        spans.append(hidden(*sorted(draw(ANY_TIME) * duration_s for _ in range(2))))
    return Evidence(duration_s=duration_s, events=tuple(events), unmeasured=tuple(spans))


def is_hidden(time_s: float, evidence: Evidence) -> bool:
    return any(span.start_s <= time_s <= span.end_s for span in evidence.unmeasured)


@given(evidences(), st.integers(1, 5), st.integers(0, 4))
def test_times_are_ordered_unique_within_the_track_and_as_many_as_asked(
    evidence: Evidence, at_least: int, more: int
) -> None:
    times_s = choose_key_times(evidence, at_least=at_least, at_most=at_least + more)
    assert all(earlier < later for earlier, later in pairwise(times_s))
    assert times_s[0] >= 0
    assert times_s[-1] <= evidence.duration_s
    assert 1 <= len(times_s) <= at_least + more
    if not evidence.unmeasured:
        assert len(times_s) >= at_least
    assert times_s == choose_key_times(evidence.model_copy(), at_least=at_least, at_most=at_least + more)


@given(evidences())
def test_no_time_is_unmeasured_unless_all_of_the_track_is(evidence: Evidence) -> None:
    edges = [0.0, evidence.duration_s]
    edges += [edge for span in evidence.unmeasured for edge in (span.start_s, span.end_s)]
    between = [(before + after) / 2 for before, after in pairwise(sorted(edges)) if after - before > 1e-9]
    if any(not is_hidden(time_s, evidence) for time_s in between):
        assert not any(is_hidden(time_s, evidence) for time_s in choose_key_times(evidence))
    assert choose_key_times(evidence)


@given(evidences())
def test_the_apex_of_the_strongest_event_is_always_among_them(evidence: Evidence) -> None:
    strongest = evidence.strongest
    if strongest is not None and not is_hidden(strongest.apex_s, evidence):
        assert strongest.apex_s in choose_key_times(evidence, at_least=1, at_most=1)
        assert strongest.apex_s in choose_key_times(evidence)


def test_one_event_is_shown_before_at_its_begin_at_its_apex_at_its_end_and_after() -> None:
    evidence = Evidence(duration_s=4.0, events=(event(1.0, 1.6, 2.8),))
    assert choose_key_times(evidence) == [0.0, 1.0, 1.6, 2.8, 4.0]


def test_the_strongest_events_go_first_when_there_are_many() -> None:
    weak = [event(time_s, time_s + 0.2, time_s + 0.4, peak=0.2, intensity="slight") for time_s in (0.5, 1.5, 2.5, 7.0)]
    evidence = Evidence(duration_s=9.0, events=(*weak, event(4.0, 5.0, 6.0)))
    times_s = choose_key_times(evidence)
    assert len(times_s) == 8
    assert {0.0, 4.0, 5.0, 6.0, 9.0} < set(times_s)


def test_a_still_face_is_shown_at_even_steps() -> None:
    assert choose_key_times(Evidence(duration_s=3.0, events=())) == pytest.approx([0, 1, 2, 3], abs=FRAME_S)


def test_two_events_at_once_are_shown_once() -> None:
    together = (event(1.0, 1.6, 2.8), event(1.02, 1.65, 2.75, action="cheek_raise", peak=0.5))
    times_s = choose_key_times(Evidence(duration_s=4.0, events=together))
    assert times_s == [0.0, 1.0, 1.6, 2.8, 4.0]
    assert min(later - earlier for earlier, later in pairwise(times_s)) >= MIN_STEP_S


def test_the_first_and_last_frames_are_the_first_and_last_that_were_measured() -> None:
    evidence = Evidence(duration_s=4.0, events=(event(1.5, 2.0, 2.5),), unmeasured=(hidden(0, 0.8), hidden(3.1, 4.0)))
    times_s = choose_key_times(evidence)
    assert times_s[0] == pytest.approx(0.8, abs=FRAME_S)
    assert times_s[-1] == pytest.approx(3.1, abs=FRAME_S)


def test_bounds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="got at_least 5 and at_most 4"):
        choose_key_times(Evidence(duration_s=1.0, events=()), at_least=5, at_most=4)


# Frames of a track that starts 12 s into its video, at 25 a second.


def shown(num_frames: int, key_times_s: list[float], *unmeasured: UnmeasuredSpan) -> list[KeyFrame]:
    crops = pa.array([b"crop %d" % position for position in range(num_frames)])
    times_s = [12 + position / 25 for position in range(num_frames)]
    evidence = Evidence(duration_s=times_s[-1] - times_s[0], events=(), unmeasured=unmeasured)
    return key_frames(crops, times_s, key_times_s, evidence)


def test_the_stored_crops_nearest_to_the_times_are_taken_as_they_are() -> None:
    frames = shown(50, [0.0, 0.33, 1.96])
    assert [frame.position for frame in frames] == [0, 8, 49]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.32, 1.96])
    assert [frame.jpeg for frame in frames] == [b"crop 0", b"crop 8", b"crop 49"]
    assert base64.b64decode(frames[1].data_uri.removeprefix("data:image/jpeg;base64,")) == b"crop 8"


def test_times_that_meet_in_one_crop_give_it_once() -> None:
    assert [frame.position for frame in shown(3, [0.0, 0.01, 0.05, 0.08])] == [0, 1, 2]


def test_an_unmeasured_frame_is_passed_over_unless_all_are() -> None:
    assert [frame.position for frame in shown(20, [0.39], hidden(0.19, 0.41))] == [11]
    all_of_it = hidden(0.0, 0.37), hidden(0.39, 0.77)  # two reasons, one after the other: no frame lies between them
    assert [frame.position for frame in shown(20, [0.0, 0.37], *all_of_it)] == [0, 9]


def test_crops_that_do_not_belong_to_the_times_are_refused() -> None:
    with pytest.raises(ValueError, match="4 crops of a track, expected one for each of its 5 times"):
        key_frames(pa.array([b"crop"] * 4), [0.0, 0.1, 0.2, 0.3, 0.4], [0.0], Evidence(duration_s=0.4, events=()))


def test_the_request_shows_each_frame_after_its_place_and_asks_last() -> None:
    frames = [KeyFrame(0, 0.0, b"one"), KeyFrame(30, 1.2, b"two")]
    request = see_request(frames, model="tiny-vision")
    system, question = request.messages
    assert system["role"] == "system"
    parts = [part.get("text") or part["image_url"]["url"] for part in question["content"]]
    assert parts[:4] == ["frame 1 of 2, 0.0 s", frames[0].data_uri, "frame 2 of 2, 1.2 s", frames[1].data_uri]
    assert [part["type"] for part in question["content"]] == ["text", "image_url", "text", "image_url", "text"]
    assert parts[4].endswith("?")
    assert (request.model, request.max_tokens, request.json_schema) == ("tiny-vision", 256, None)


def test_another_picture_time_or_order_is_another_request() -> None:
    one, two = KeyFrame(0, 0.0, b"one"), KeyFrame(30, 1.2, b"two")
    shown = ([one, two], [two, one], [one], [one, KeyFrame(30, 1.2, b"three")], [one, KeyFrame(35, 1.4, b"two")])
    assert len({see_request(frames, model="tiny-vision").canonical() for frames in shown}) == len(shown)


def test_no_frames_are_no_request() -> None:
    with pytest.raises(ValueError, match="no frames to show"):
        see_request([], model="tiny-vision")
