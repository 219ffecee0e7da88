"""A span comes back from a steady film as the time of what was shown, whatever the clip's own clock."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reviews.record import ReviewFileError
from pipeline.reviews.review_copy import HIGHEST_FPS, CopyPlan, plan_copy, write_copy
from pipeline.reviews.time_map import ClaimSpan, TimeMap, TrackMap, frames_of_span, read_time_map
from tests.reviews.film_corpus import STEADY, crop_saying, numbers_in_film

GAPS_S = st.lists(st.floats(1 / HIGHEST_FPS + 1e-6, 2.0), min_size=0, max_size=60)
STARTS_S = st.floats(-5.0, 1e5)


def track_map(times_s: list[float], plan: CopyPlan, claims: list[ClaimSpan] | None = None) -> TrackMap:
    return TrackMap(
        track_id="t",
        text_version=1,
        text="The jaw drops.",
        fps=plan.fps,
        times_s=times_s,
        shown=plan.shown.tolist(),
        claims=claims or [],
        media_sha256="0" * 64,
    )


@pytest.mark.parametrize(("rate", "fps"), [(25.0, 25), (30.0, 30), (30000 / 1001, 30), (60.0, 60), (12.5, 13)])
def test_a_steady_clip_is_shown_at_its_own_rate(rate: float, fps: int) -> None:
    plan = plan_copy([7.0 + frame / rate for frame in range(100)])
    assert plan.fps == fps
    assert np.unique(plan.shown).tolist() == list(range(100))
    assert fps != round(rate, 6) or plan.shown.tolist() == list(range(100))


def test_times_that_a_container_rounds_to_milliseconds_are_a_steady_clip() -> None:
    plan = plan_copy([round(frame / 30, 3) for frame in range(300)])
    assert (plan.fps, plan.shown.tolist()) == (30, list(range(300)))


@settings(deadline=None)
@given(GAPS_S, STARTS_S)
def test_every_frame_is_shown_where_a_rate_can_show_it(gaps_s: list[float], start_s: float) -> None:
    times = np.cumsum([start_s, *gaps_s])
    plan = plan_copy(times.tolist())
    assert np.unique(plan.shown).tolist() == list(range(len(times)))
    assert (np.diff(plan.shown) >= 0).all()


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 0.5), min_size=1, max_size=60), STARTS_S)
def test_a_frame_of_the_film_shows_what_the_video_showed_then(gaps_s: list[float], start_s: float) -> None:
    times = np.cumsum([start_s, *gaps_s])
    plan = plan_copy(times.tolist())
    middles = times[0] + (np.arange(len(plan.shown)) + 0.5) / plan.fps
    is_last = plan.shown == len(times) - 1
    assert (times[plan.shown] <= middles + 1e-6).all()
    following = times[np.minimum(plan.shown + 1, len(times) - 1)]
    assert (is_last | (middles <= following + 1e-6)).all()


@settings(deadline=None)
@given(GAPS_S, STARTS_S, st.floats(0, 1), st.floats(0, 1))
def test_a_span_comes_back_within_half_a_frame(gaps_s: list[float], start_s: float, one: float, two: float) -> None:
    times = np.cumsum([start_s, *gaps_s])
    plan = plan_copy(times.tolist())
    track = track_map(times.tolist(), plan)
    wanted = sorted(float(times[0] + part * (times[-1] - times[0])) for part in (one, two))
    first, last = frames_of_span(times.tolist(), plan.shown.tolist(), wanted[0], wanted[1])
    assert 1 <= first <= last <= track.num_frames
    for frame, time_s in zip((first, last), wanted, strict=True):
        nearest_s = float(np.abs(times - time_s).min())  # at most half of the gap that the time lies in
        assert abs(track.time_of(frame) - time_s) <= nearest_s + 1e-9
    # The span covers all of the film that shows its ends.
    assert first == 1 or plan.shown[first - 2] < plan.shown[first - 1]
    assert last == track.num_frames or plan.shown[last] > plan.shown[last - 1]


@settings(deadline=None)
@given(GAPS_S, STARTS_S)
def test_frames_go_to_times_and_back(gaps_s: list[float], start_s: float) -> None:
    times = np.cumsum([start_s, *gaps_s]).tolist()
    plan = plan_copy(times)
    track = track_map(times, plan)
    for frame in range(1, track.num_frames + 1):
        time_s = track.time_of(frame)
        first, last = frames_of_span(times, plan.shown.tolist(), time_s, time_s)
        assert first <= frame <= last
        assert track.time_of(first) == track.time_of(last) == time_s


@pytest.mark.parametrize("frame", [0, -1, 37])
def test_a_frame_that_the_film_does_not_have_is_refused(frame: int) -> None:
    with pytest.raises(ValueError, match=f"frame {frame} of a copy with 36"):
        track_map(list(STEADY), plan_copy(STEADY)).time_of(frame)


@pytest.mark.parametrize("times_s", [[], [1.0, 1.0], [1.0, 0.5], [0.0, float("nan")]])
def test_times_that_do_not_rise_are_refused(times_s: list[float]) -> None:
    with pytest.raises(ValueError, match="times_s: expected"):
        plan_copy(times_s)


@settings(deadline=None, max_examples=8)
@given(st.lists(st.sampled_from([0.009, 1 / 60, 0.033, 0.034, 0.05, 0.2]), min_size=0, max_size=40))
def test_the_written_film_shows_what_the_plan_says(
    tmp_path_factory: pytest.TempPathFactory, gaps_s: list[float]
) -> None:
    times = np.cumsum([3.0, *gaps_s]).tolist()
    plan = plan_copy(times)
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_copy(path, plan, [crop_saying(number) for number in range(len(times))])
    numbers, film_times_s, rate = numbers_in_film(path)
    assert numbers == plan.shown.tolist()
    assert rate == plan.fps
    np.testing.assert_allclose(film_times_s, np.arange(len(numbers)) / plan.fps, atol=1e-6)  # and begins at 0 s


def test_while_the_face_is_away_its_last_picture_is_dimmed(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 1.0, 1.1]
    plan = plan_copy(times, [False, False, False, True, False])
    held = np.flatnonzero(plan.is_held)
    assert set(plan.shown[held]) == {2}
    assert held[0] / plan.fps == pytest.approx(0.4, abs=0.05)
    assert not plan_copy(times).is_held.any()


def test_a_map_reads_back_and_says_when_it_was_changed(tmp_path: Path) -> None:
    plan = plan_copy(STEADY)
    span = ClaimSpan(region="jaw", start_s=0.2, end_s=0.6, first_frame=7, last_frame=19)
    track = track_map(list(STEADY), plan, [span])
    whole = TimeMap(corpus="c", snapshot=1, exported_at="2026-01-01T00:00:00+00:00", tracks=[track])
    path = tmp_path / "time_map.json"
    path.write_text(json.dumps(whole.model_dump()))
    assert read_time_map(path) == read_time_map(tmp_path) == whole
    assert read_time_map(path).tracks[0].sha256 == track.sha256
    assert track.model_copy(update={"times_s": [*STEADY[:-1], 9.0]}).sha256 != track.sha256
    assert track.model_copy(update={"text": "The jaw drops!"}).sha256 != track.sha256


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "is no time map"),
        ({"tracks": [{}]}, r"tracks\[0\]"),
        ({"tracks": 3}, "tracks: "),
        ({"extra": 1}, "extra"),
    ],
)
def test_another_file_is_no_map(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "time_map.json"
    whole = TimeMap(corpus="c", snapshot=1, exported_at="x", tracks=[])
    path.write_text(json.dumps({**whole.model_dump(), **change}))
    with pytest.raises(ReviewFileError, match=words):
        read_time_map(path)


def test_a_map_with_impossible_frames_is_refused(tmp_path: Path) -> None:
    track = track_map([0.0, 0.1], plan_copy([0.0, 0.1])).model_dump()
    whole = TimeMap(corpus="c", snapshot=1, exported_at="x", tracks=[]).model_dump()
    path = tmp_path / "time_map.json"
    changes: list[dict[str, object]] = [{"shown": [0, 2]}, {"shown": [1, 0]}, {"times_s": [1.0, 0.0]}, {"shown": []}]
    for change in changes:
        path.write_text(json.dumps({**whole, "tracks": [{**track, **change}]}))
        with pytest.raises(ReviewFileError, match=r"tracks\[0\]"):
            read_time_map(path)
    path.write_text("[" * 100_000)
    with pytest.raises(ReviewFileError, match="is damaged"):
        read_time_map(path)
