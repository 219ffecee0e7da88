"""The stage on rows of TRACKS and CROPS: crops of any size, cuts within a track, and what enters the key."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from pipeline.motion.config import MotionConfig
from pipeline.motion.stage import ENCODE_MOTION
from pipeline.stage import Done, Refused, Resources, Unit
from schemas.motion import MOTION
from schemas.table import read_cell
from schemas.tracks import CROPS, TRACKS
from tests.motion.textured_head import Look, landmarks_of, rgb_of

CONFIG = MotionConfig()


def unit_of(num_frames: int, crop_px: int = 224, cuts_s: tuple[float, ...] = ()) -> Unit:
    """A face that acts for so many frames, cut out of frames that are its crops, half as large again."""
    looks = [Look(action=0.06 * float(np.sin(2 * np.pi * n / 8))) for n in range(num_frames)]
    times_s = np.arange(num_frames) / 30
    scale = crop_px / 224
    to_crop = np.array([[scale / 1.5, 0, 0], [0, scale / 1.5, 0]], np.float32)
    track = {
        "track_id": "t",
        "video_id": "v",
        "times_s": times_s.tolist(),
        "cuts_s": list(cuts_s),
        "is_gap_before": [False] * num_frames,
        "landmarks_px": np.stack([1.5 * landmarks_of(look) for look in looks]).astype(np.float32).tobytes(),
        "transforms": np.broadcast_to(to_crop, (num_frames, 2, 3)).tobytes(),
    }
    crops = [
        {"track_id": "t", "position": n, "crop_jpeg": jpeg_of(cv2.resize(rgb_of(look), (crop_px, crop_px)))}
        for n, look in enumerate(looks)
    ]
    tables = {TRACKS.name: [track], CROPS.name: crops}
    rows = {read.table.name: table_of(read.table.schema, tables[read.table.name]) for read in ENCODE_MOTION.reads}
    return Unit("t", "k", rows)


def jpeg_of(rgb: np.ndarray[Any, Any]) -> bytes:
    return bytes(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


def table_of(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    wanted = pa.schema([schema.field(name) for name in rows[0]])
    return pa.Table.from_pylist(rows, schema=wanted)


def outcome_of(unit: Unit, config: MotionConfig = CONFIG) -> Done | Refused:
    (outcome,) = ENCODE_MOTION.run([unit], config, Resources())
    return outcome


def clip_of(unit: Unit, config: MotionConfig = CONFIG) -> dict[str, np.ndarray[Any, Any]]:
    outcome = outcome_of(unit, config)
    assert isinstance(outcome, Done)
    (row,) = outcome.rows[MOTION.name]
    tensors = ("frames", "motion_weights", "is_motion_known", "times_s")
    return {name: read_cell(MOTION.field(name), row[name]) for name in tensors}


@pytest.mark.parametrize("crop_px", [160, 448])
def test_crops_of_another_size_give_the_same_weights_in_the_same_places(crop_px: int) -> None:
    usual, other = (clip_of(unit_of(32, px))["motion_weights"].astype(np.float64) for px in (224, crop_px))
    assert usual.max() == 1
    assert np.corrcoef(usual.ravel(), other.ravel())[0, 1] > 0.9


def test_no_frame_is_compared_with_one_beyond_a_cut() -> None:
    clip = clip_of(unit_of(16, cuts_s=(-1.0, 5 / 30, 9.0)), MotionConfig(step_s=0))
    assert clip["is_motion_known"].tolist() == [1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    assert clip["motion_weights"][4].max() == 0


def test_a_track_of_too_few_frames_is_refused_with_how_many_it_takes() -> None:
    refused = outcome_of(unit_of(7))
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.detail) == ("track_too_short", "the track has 7 frames, one clip needs 8")


def test_all_that_the_weights_are_made_from_enters_the_key() -> None:
    content = {read.table.name: set(read.content) for read in ENCODE_MOTION.reads}
    assert {"times_s", "cuts_s", "is_gap_before", "landmarks_px", "transforms"} <= content[TRACKS.name]
    assert "crop_jpeg" in content[CROPS.name]
