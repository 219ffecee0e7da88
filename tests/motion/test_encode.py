"""Clips of sixteen frames, and weights that point at what moves on its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.motion.config import MotionConfig
from pipeline.motion.encode import clip_spans, encode_clips, motion_weights, sample_positions

CONFIG = MotionConfig()


def times(num_frames: int, fps: float = 30.0) -> np.ndarray[Any, Any]:
    return np.arange(num_frames) / fps


def no_gaps(num_frames: int) -> np.ndarray[Any, Any]:
    return np.zeros(num_frames, bool)


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


def a_moving_square(position: int) -> np.ndarray[Any, Any]:
    picture = np.full((224, 224, 3), 90, np.uint8)
    shift = position % 16
    picture[128:144, 96 + shift : 112 + shift] = 255
    return picture


def test_weight_lies_where_something_moves() -> None:
    (clip,) = encode_clips(times(32), no_gaps(32), a_moving_square, CONFIG)
    weights = clip.motion_weights.astype(np.float32)
    assert weights[:, 8, 6:8].mean() > 0.8
    weights[:, 8, 5:9] = 0
    assert weights.max() == 0


def test_light_that_changes_everywhere_has_no_weight() -> None:
    def flicker(position: int) -> np.ndarray[Any, Any]:
        return np.full((224, 224, 3), 90 + 40 * (position % 2), np.uint8)

    (clip,) = encode_clips(times(32), no_gaps(32), flicker, CONFIG)
    assert clip.motion_weights.max() == 0
    assert clip.is_motion_known[:15].all()


def test_a_still_clip_has_no_weight() -> None:
    (clip,) = encode_clips(times(32), no_gaps(32), lambda _: np.zeros((224, 224, 3), np.uint8), CONFIG)
    assert clip.motion_weights.max() == 0


def test_a_gap_and_the_end_of_the_track_are_masked() -> None:
    is_gap_before = no_gaps(16)
    is_gap_before[5] = True
    (clip,) = encode_clips(times(16), is_gap_before, a_moving_square, CONFIG)
    assert clip.is_motion_known.tolist() == [1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    assert clip.motion_weights[4].max() == 0
    assert clip.motion_weights[15].max() == 0


def test_a_short_track_is_padded_and_a_shorter_one_gives_none() -> None:
    (clip,) = encode_clips(times(10), no_gaps(10), a_moving_square, CONFIG)
    assert clip.is_padding.tolist() == [0] * 10 + [1] * 6
    assert clip.is_motion_known[10:].max() == 0
    assert not list(encode_clips(times(7), no_gaps(7), a_moving_square, CONFIG))


@given(st.floats(0.1, 50))
def test_weights_do_not_depend_on_contrast(gain: float) -> None:
    differences = np.random.default_rng(0).gamma(0.5, 1.0, (16, 14, 14))
    known = np.ones(16, bool)
    weights = [motion_weights(scale * differences, known, CONFIG).astype(np.float32) for scale in (1.0, gain)]
    np.testing.assert_allclose(weights[0], weights[1], atol=2e-3)
