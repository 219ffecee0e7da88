"""Clips of sixteen frames, and weights that are masked where nothing can be known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.motion.config import MotionConfig
from pipeline.motion.encode import (
    AlignedTrack,
    Clip,
    clip_spans,
    compared_with,
    encode_clips,
    motion_weights,
    sample_positions,
)
from tests.motion.textured_head import Look, landmarks_of, patch_of_mouth, rgb_of

CONFIG = MotionConfig()
NEXT = MotionConfig(step_s=0)


def times(num_frames: int, fps: float = 30.0) -> np.ndarray[Any, Any]:
    return np.arange(num_frames) / fps


def no_breaks(num_frames: int) -> np.ndarray[Any, Any]:
    return np.zeros(num_frames, bool)


def track_of(
    look: Callable[[int], Look], times_s: np.ndarray[Any, Any], is_break_before: np.ndarray[Any, Any] | None = None
) -> AlignedTrack:
    """A face that at each position of its track looks so."""
    looks = [look(position) for position in range(len(times_s))]
    return AlignedTrack(
        times_s=times_s,
        is_break_before=no_breaks(len(times_s)) if is_break_before is None else is_break_before,
        landmarks=np.stack([landmarks_of(one) for one in looks]),
        read_crop=lambda position: rgb_of(looks[position]),
    )


def acting(position: int) -> Look:
    """A mouth that goes up and down four times a second at 30 frames a second."""
    return Look(action=0.06 * float(np.sin(2 * np.pi * position / 8)))


def one_clip(track: AlignedTrack, config: MotionConfig = CONFIG) -> Clip:
    (clip,) = encode_clips(track, config)
    return clip


@given(st.integers(1, 400), st.floats(5, 60), st.floats(0.2, 5))
def test_clips_cover_every_frame_once_and_none_is_longer_than_asked(num_frames: int, fps: float, clip_s: float) -> None:
    times_s = times(num_frames, fps)
    spans = clip_spans(times_s, clip_s)
    assert np.concatenate(spans).tolist() == list(range(num_frames))
    assert all(times_s[span[-1]] - times_s[span[0]] <= clip_s + 1e-9 for span in spans)


@given(st.integers(1, 200))
def test_samples_rise_and_padding_repeats_the_last_frame(num_frames: int) -> None:
    positions, is_padding = sample_positions(np.arange(num_frames))
    assert len(positions) == 16
    kept = positions[is_padding == 0]
    assert (np.diff(kept) > 0).all()
    assert len(kept) == min(num_frames, 16)
    assert (positions[is_padding == 1] == num_frames - 1).all()


def test_weight_lies_where_a_face_acts_while_its_head_turns() -> None:
    def look(position: int) -> Look:
        turning = 12 * float(np.sin(2 * np.pi * position / 60))
        return Look(yaw_deg=turning, pitch_deg=-turning / 2, action=acting(position).action)

    clip = one_clip(track_of(look, times(48)))
    weights = clip.motion_weights.astype(np.float32)
    near = np.zeros_like(weights)
    for number, position in enumerate(clip.positions.tolist()):
        row, column = patch_of_mouth(look(position))
        near[number, row - 2 : row + 3, column - 2 : column + 3] = 1
    assert (weights * near).sum() > 0.85 * weights.sum()
    assert weights.max() == 1


def test_a_face_that_only_turns_gets_little_weight() -> None:
    turning = track_of(lambda position: Look(yaw_deg=12 * float(np.sin(2 * np.pi * position / 60))), times(48))
    acted = one_clip(track_of(acting, times(48))).motion_weights.astype(np.float32)
    assert one_clip(turning).motion_weights.astype(np.float32).sum() < 0.05 * acted.sum()


def test_light_that_flickers_has_no_weight() -> None:
    clip = one_clip(track_of(lambda position: Look(gain=(0.7, 1.1, 0.9)[position % 3]), times(32)))
    assert clip.motion_weights.max() == 0
    assert clip.is_motion_known[:15].all()


def test_a_still_clip_has_no_weight() -> None:
    assert one_clip(track_of(lambda _: Look(), times(32))).motion_weights.max() == 0


def test_gaps_cuts_and_the_end_of_the_track_are_masked() -> None:
    is_break_before = no_breaks(16)
    is_break_before[5] = True
    clip = one_clip(track_of(acting, times(16), is_break_before), NEXT)
    assert clip.is_motion_known.tolist() == [1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    assert clip.motion_weights[4].max() == 0
    assert clip.motion_weights[15].max() == 0
    assert clip.motion_weights.max() > 0


@given(st.lists(st.tuples(st.floats(0.01, 0.3), st.booleans()), min_size=1, max_size=30), st.floats(0, 0.5), st.data())
def test_a_frame_is_compared_within_its_stretch_with_the_first_that_is_late_enough(
    steps: list[tuple[float, bool]], step_s: float, data: st.DataObject
) -> None:
    times_s = np.cumsum([step for step, _ in steps])
    breaks = np.array([is_break for _, is_break in steps])
    position = data.draw(st.integers(0, len(steps) - 1))
    other = compared_with(times_s, breaks, position, step_s)
    if other is None:
        assert position == len(steps) - 1 or breaks[position + 1]
        return
    assert other > position and not breaks[position + 1 : other + 1].any()
    is_late = times_s[position + 1 : other] - times_s[position] >= step_s
    assert not is_late.any()
    is_last = other == len(steps) - 1 or breaks[other + 1]
    assert is_last or times_s[other] - times_s[position] >= step_s - 1e-5


def test_a_short_track_is_padded_and_a_shorter_one_gives_none() -> None:
    clip = one_clip(track_of(acting, times(10)), NEXT)
    assert clip.is_padding.tolist() == [0] * 10 + [1] * 6
    assert clip.is_motion_known.tolist() == [1] * 9 + [0] * 7
    assert clip.motion_weights[:9].max() > 0
    assert clip.motion_weights[9:].max() == 0
    assert (clip.frames[10:] == clip.frames[9]).all()
    assert not list(encode_clips(track_of(acting, times(7)), CONFIG))


def test_a_steady_action_weighs_alike_at_uneven_frame_times() -> None:
    times_s = np.cumsum(np.random.default_rng(1).choice([0.02, 0.04, 0.06, 0.1], size=40))
    clip = one_clip(track_of(lambda position: Look(action=0.3 * float(times_s[position]) - 0.3), times_s))
    sums = clip.motion_weights.astype(np.float32).sum(axis=(1, 2))[clip.is_motion_known == 1]
    assert len(sums) >= 15
    assert sums[:-1].min() > 0.4 * sums.max()  # the last may have a very short way to the end of the track


def test_the_same_track_gives_the_same_clip() -> None:
    first, second = (one_clip(track_of(acting, times(24))) for _ in range(2))
    for name in ("frames", "motion_weights", "is_motion_known", "is_padding", "times_s"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@settings(deadline=None)
@given(
    st.integers(0, 2**31),
    st.floats(0, 20),
    st.lists(st.booleans(), min_size=16, max_size=16),
    st.floats(1, 20),
    st.floats(0.3, 2),
)
def test_weights_are_0_to_1_rise_with_what_changed_and_are_0_where_unknown(
    seed: int, size: float, known: list[bool], scale_mad: float, gamma: float
) -> None:
    changes = size * np.random.default_rng(seed).gamma(0.3, 1.0, (16, 14, 14))
    is_known = np.array(known)
    weights = motion_weights(changes, is_known, MotionConfig(scale_mad=scale_mad, gamma=gamma))
    assert weights.min() >= 0 and weights.max() <= 1
    assert not weights[~is_known].any()
    order = np.argsort(changes[is_known], axis=None)
    assert (np.diff(weights[is_known].ravel()[order].astype(np.float32)) >= 0).all()


def test_a_face_at_rest_is_not_scaled_up_to_full_weight() -> None:
    changes = np.full((16, 14, 14), 0.2 * CONFIG.least_reach)
    assert motion_weights(changes, np.ones(16, bool), CONFIG).max() < 0.25
