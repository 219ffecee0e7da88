"""A small corpus of rows made by hand, with text in it that would do harm if it were anything but text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline import snapshot as snapshots
from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.inspection.corpus import Corpus
from pipeline.store import Receipt, Store
from schemas.actions import ACTION_SIDES, ACTIONS, FACIAL_ACTIONS, REGIONS
from schemas.corpus import TABLES
from schemas.motion import CLIP_FRAMES, CROP_PX, GRID, MOTION
from schemas.table import write_cell
from schemas.tracks import FACE_REGIONS, TRACKS

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by stage and table, written as "stage/table"."""

MakeCorpus = Callable[[Rows], Corpus]

HOSTILE_PATH = "a/<script>alert('path')</script>\u202e4pm.exe 😀 \" & '.mp4"
HOSTILE_TEXT = (
    "The lip corners rise. <img src=x onerror=alert(1)></p></article><script>alert('text')</script> \u202eevil שלום 😀"
)
HOSTILE_DETAIL = "]]> <!-- </td> claim 2 says \"left\" & 'right' {{ 7 * 7 }} https://example.invalid/x.png"

NUM_FRAMES = 40
FIRST, SECOND, THIRD = "1" * 32, "2" * 32, "3" * 32
FACE, SHORT_FACE, LATER_FACE = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def make_corpus(tmp_path: Path) -> MakeCorpus:
    """Commits rows as a corpus with one bucket and opens it."""

    def make(rows: Rows) -> Corpus:
        store = Store.open_or_create(tmp_path / "corpus", num_buckets=1)
        files: dict[str, dict[str, Any]] = {}
        for place, listed in rows.items():
            stage, table = place.split("/")
            keyed = [{"unit_key": f"{number:032x}", **row} for number, row in enumerate(listed)]
            with store.writer(TABLES[table], 0, {"stage": stage}) as writer:
                writer.append(TABLES[table].rows(keyed))
            files.setdefault(stage, {})[table] = writer.file
        receipts = [
            Receipt(stage=stage, bucket=0, key="0", files=written, num_units=1, num_rejected=0, num_transient=0)
            for stage, written in files.items()
        ]
        snapshots.commit(store, receipts, parent=None, source="videos", config={}, software={"facescribe": "0.1.0"})
        return Corpus(store.root)

    return make


@pytest.fixture
def hostile_corpus(make_corpus: MakeCorpus) -> Corpus:
    """A track of everything whose text fell back, one of crops only, one refined that starts late; a refused video."""
    return make_corpus(
        {
            "probe_videos/videos": [video(FIRST, HOSTILE_PATH, label="<b>joy</b>"), video(SECOND, "b/two.mp4")],
            "probe_videos/rejects": [
                reject("probe_videos", THIRD, THIRD, "corrupt", path=HOSTILE_PATH + "2", detail=HOSTILE_DETAIL)
            ],
            "extract_tracks/tracks": [track(FACE, FIRST), track(SHORT_FACE, SECOND), track(LATER_FACE, SECOND, 3.2)],
            "extract_tracks/crops": [crop(SHORT_FACE, SECOND, position) for position in range(NUM_FRAMES)],
            "measure_actions/actions": [actions(FACE, FIRST), actions(LATER_FACE, SECOND, 3.2)],
            "measure_actions/rejects": [
                reject("measure_actions", SHORT_FACE, SECOND, "nothing_measurable", detail="0.10 s could be measured")
            ],
            "encode_motion/motion": [clip(FACE, FIRST), clip(LATER_FACE, SECOND, 3.2)],
            "encode_motion/rejects": [
                reject("encode_motion", SHORT_FACE, SECOND, "track_too_short", detail=HOSTILE_DETAIL)
            ],
            "draft_descriptions/drafts": [draft(FACE, FIRST), draft(LATER_FACE, SECOND)],
            "refine_descriptions/descriptions": [
                description(FACE, FIRST, text="An older text.", status="refined"),
                description(
                    FACE,
                    FIRST,
                    text_version=2,
                    status="fallback",
                    fallback_reason="claim_contradicted",
                    fallback_detail=HOSTILE_DETAIL,
                ),
                description(LATER_FACE, SECOND, text="Both lip corners rise.", status="refined"),
            ],
        }
    )


def video(video_id: str, path: str, **more: Any) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "path": path,
        "other_paths": [],
        "size_bytes": 1000,
        "duration_s": 2.0,
        "num_frames": NUM_FRAMES,
        "mean_fps": 20.0,
        "width_px": 640,
        "height_px": 360,
        "rotation_deg": 0,
        "codec": "h264",
        "container": "mp4",
        "has_audio": False,
        "decoder": "decord 0.6.0",
        **more,
    }


def times(start_s: float) -> list[float]:
    return [start_s + frame / 20 for frame in range(NUM_FRAMES)]


def track(track_id: str, video_id: str, start_s: float = 0.0) -> dict[str, Any]:
    shapes = {"boxes_xyxy": (4,), "landmarks_px": (478, 3), "transforms": (2, 3), "pose_deg": (3,)}
    cells = {
        name: write_cell(TRACKS.field(name), np.zeros((NUM_FRAMES, *shape), np.float32))
        for name, shape in shapes.items()
    }
    seen = write_cell(TRACKS.field("visibility"), np.ones((NUM_FRAMES, len(FACE_REGIONS)), np.float32))
    return cells | {
        "visibility": seen,
        "track_id": track_id,
        "video_id": video_id,
        "start_s": times(start_s)[0],
        "end_s": times(start_s)[-1],
        "num_frames": NUM_FRAMES,
        "frame_width_px": 640,
        "frame_height_px": 360,
        "times_s": times(start_s),
        "frame_indices": list(range(NUM_FRAMES)),
        "is_gap_before": [frame == 30 for frame in range(NUM_FRAMES)],
        "detection_scores": [0.9] * NUM_FRAMES,
        "presence": [0.9] * NUM_FRAMES,
        "median_face_px": 120.0,
        "start_reason": "video_start",
        "end_reason": "video_end",
        "decoder": "decord 0.6.0",
        "detector": "BlazeFace",
        "weights": [{"name": "face_landmarker.task", "sha256": "f" * 64, "licence": "Apache-2.0"}],
        "cuts_s": [],
        "gaps": [],
        "sharpness": [200.0] * NUM_FRAMES,
        "identity_times_s": [],
        "identity_distances": [],
    }


def picture(frame: int) -> np.ndarray[Any, Any]:
    rgb = np.full((CROP_PX, CROP_PX, 3), (200, 160, 140), np.uint8)
    cv2.circle(rgb, (112, 84 + frame), 40, (90, 60, 50), -1)
    return rgb


def crop(track_id: str, video_id: str, position: int) -> dict[str, Any]:
    encoded = cv2.imencode(".jpg", cv2.cvtColor(picture(position), cv2.COLOR_RGB2BGR))[1].tobytes()
    return {
        "track_id": track_id,
        "position": position,
        "video_id": video_id,
        "time_s": position / 20,
        "crop_jpeg": encoded,
        "sharpness": 100.0,
    }


def actions(track_id: str, video_id: str, start_s: float = 0.0) -> dict[str, Any]:
    scores = np.zeros((NUM_FRAMES, len(BLENDSHAPE_NAMES)), np.float32)
    wave = np.sin(np.linspace(0, np.pi, NUM_FRAMES)) * 0.7
    for name, strength in {"mouthSmileLeft": 1.0, "mouthSmileRight": 0.4, "jawOpen": 0.6}.items():
        scores[:, BLENDSHAPE_NAMES.index(name)] = wave * strength
    measures = np.zeros((NUM_FRAMES, len(FACIAL_ACTIONS), len(ACTION_SIDES)), np.float32)
    for name, strengths in {"lip_corner_raise": (1.0, 0.4), "jaw_drop": (0.6, 0.6)}.items():
        measures[:, list(FACIAL_ACTIONS).index(name)] = np.outer(wave, strengths)
    is_measurable = np.arange(NUM_FRAMES) < 36
    event = {"onset_s": start_s + 0.4, "apex_s": start_s + 1.0, "offset_s": start_s + 1.6}
    return {
        "track_id": track_id,
        "video_id": video_id,
        "times_s": times(start_s),
        "blendshapes": write_cell(ACTIONS.field("blendshapes"), scores),
        "baseline": [0.0] * len(BLENDSHAPE_NAMES),
        "measures": write_cell(ACTIONS.field("measures"), measures),
        "rest_share": write_cell(ACTIONS.field("rest_share"), np.ones(measures.shape[1:])),
        "measurable": write_cell(
            ACTIONS.field("measurable"), np.broadcast_to(is_measurable[:, None, None], measures.shape)
        ),
        "events": [
            {"action": "lip_corner_raise", "side": "left", "peak": 0.7, "intensity": "strong", **event},
            {"action": "jaw_drop", "side": "middle", "peak": 0.4, "intensity": "slight", **event},
        ],
        "motion_energy": write_cell(ACTIONS.field("motion_energy"), np.zeros((NUM_FRAMES, len(REGIONS)), np.float32)),
        "motion_shares": [0.0] * len(REGIONS),
        "is_measurable": is_measurable.tolist(),
        "unmeasured": [{"start_s": start_s + 1.8, "end_s": start_s + 1.95, "why": "turned_away"}],
        "unclear": [],
    }


def clip(track_id: str, video_id: str, start_s: float = 0.0) -> dict[str, Any]:
    chosen = [times(start_s)[int((frame + 0.5) * NUM_FRAMES / CLIP_FRAMES)] for frame in range(CLIP_FRAMES)]
    weights = np.zeros((CLIP_FRAMES, GRID, GRID))
    weights[:-1, 8:12, 4:10] = 1
    arrays = {
        "times_s": np.array(chosen),
        "frames": np.stack([picture(frame) for frame in range(CLIP_FRAMES)]),
        "motion_weights": weights,
        "is_motion_known": np.arange(CLIP_FRAMES) < CLIP_FRAMES - 1,
        "is_padding": np.zeros(CLIP_FRAMES),
    }
    return {name: write_cell(MOTION.field(name), array) for name, array in arrays.items()} | {
        "clip_id": track_id[::-1],
        "track_id": track_id,
        "video_id": video_id,
        "start_s": chosen[0],
        "end_s": chosen[-1],
    }


def draft(track_id: str, video_id: str) -> dict[str, Any]:
    return {
        "track_id": track_id,
        "video_id": video_id,
        "text": "The left lip corner rises strongly.",
        "claims": [],
        "num_text_tokens": 7,
        "evidence": "{}",
        "writer": "template 2",
        "saw_label": False,
    }


def description(track_id: str, video_id: str, **more: Any) -> dict[str, Any]:
    claim = {"action": "lip_corner_raise", "region": "mouth", "side": "left", "start_s": 0.4, "end_s": 1.6}
    claim |= {"source": "answer"}
    asked = {
        "prompt": "refine_2",
        "request_sha256": "e" * 64,
        "model": "a model <i>of</i> words",
        "model_revision": "revision 1",
        "model_licence": "Apache-2.0",
        "engine": "vllm 0.32.0",
        "sampling": "{}",
        "raw_answer": '{"description": "</pre><script>alert(3)</script>"}',
        "finish_reason": "stop",
        "prompt_tokens": 1200,
        "completion_tokens": 80,
        "fault": None,
        "fault_detail": None,
    }
    return {
        "track_id": track_id,
        "text_version": 1,
        "video_id": video_id,
        "text": HOSTILE_TEXT,
        "claims": [
            claim | {"polarity": "present", "intensity": "strong", "verdict": "supported", "why": HOSTILE_DETAIL},
            claim | {"polarity": "absent", "intensity": "slight", "verdict": "contradicted", "why": "it rises"},
            claim | {"polarity": "absent", "intensity": "slight", "verdict": "not_measurable", "why": "turned away"},
        ],
        "num_text_tokens": 12,
        "asked": [asked],
        "saw_label": False,
        **more,
    }


def reject(stage: str, unit_id: str, video_id: str, reason: str, **more: Any) -> dict[str, Any]:
    return {
        "stage": stage,
        "unit_id": unit_id,
        "video_id": video_id,
        "reason": reason,
        "is_transient": False,
        **more,
    }
