"""A made-up corpus of any size, column by column: what figures of a whole corpus are tried and timed on."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import snapshot as snapshots
from pipeline.store import Receipt, Store
from schemas.actions import TOLD_ACTIONS, sides_of
from schemas.corpus import TABLES
from schemas.tracks import FACE_REGIONS

LABELS = {
    "happiness": 0.27,
    "sadness": 0.19,
    "neutral": 0.18,
    "anger": 0.16,
    "surprise": 0.11,
    "fear": 0.06,
    "disgust": 0.03,
}
"""Labels, and how often they come."""

SAID = {
    "lip_corner_raise": "both lip corners rise",
    "cheek_raise": "the cheeks lift",
    "inner_brow_raise": "the inner brows rise",
    "lip_corner_lower": "the lip corners sink",
    "eye_close": "the eyes close for a moment",
    "brow_lower": "the brows draw down",
    "lip_press": "the lips press together",
    "outer_brow_raise": "the outer brows rise",
    "jaw_drop": "the jaw drops",
    "eye_widen": "the eyes widen",
    "lip_stretch": "the lips stretch",
    "nose_wrinkle": "the nose wrinkles",
    "upper_lip_raise": "the upper lip rises",
    "head_turn": "the head turns to the left",
    "gaze_lower": "the gaze sinks",
    "mouth_move": "the mouth moves",
}

DOES = {
    "happiness": ["lip_corner_raise", "cheek_raise"],
    "sadness": ["inner_brow_raise", "lip_corner_lower"],
    "neutral": ["eye_close"],
    "anger": ["brow_lower", "lip_press"],
    "surprise": ["outer_brow_raise", "jaw_drop", "eye_widen"],
    "fear": ["inner_brow_raise", "eye_widen", "lip_stretch"],
    "disgust": ["nose_wrinkle", "upper_lip_raise"],
}
"""What a made-up face of each label does mostly; what any face does now and then."""

ANY = ["head_turn", "gaze_lower", "eye_close", "jaw_drop", "mouth_move"]
HOW = ("slowly", "quickly", "slightly", "strongly", "briefly")
REASONS = {
    "prose_beyond_evidence": 0.4,
    "claim_contradicted": 0.25,
    "prose_omits_evidence": 0.2,
    "prose_forbidden_word": 0.1,
    "answer_truncated": 0.05,
}
STAGES = {
    "videos": "probe_videos",
    "tracks": "extract_tracks",
    "actions": "measure_actions",
    "drafts": "draft_descriptions",
    "descriptions": "refine_descriptions",
    "reviews": "import_reviews",
    "rejects": "extract_tracks",
}


def write_large_corpus(
    root: Path, num_tracks: int, *, num_frames: int = 40, num_buckets: int = 16, seed: int = 7
) -> Path:
    """About `num_tracks` tracks of `num_frames` frames, with reviews, in two snapshots: the second one has more."""
    store = Store.open_or_create(root, num_buckets)
    parent = None
    of_bucket: list[list[Receipt]] = [[] for _ in range(num_buckets)]
    for share in (0.9, 1.0):
        receipts = []
        for bucket in range(num_buckets):
            # The last buckets grow: a later snapshot shares the files of the others.
            size = num_tracks // num_buckets
            if share == 1.0 and bucket < num_buckets * 3 // 4 and of_bucket[bucket]:
                receipts += of_bucket[bucket]
                continue
            of_bucket[bucket] = _write_bucket(store, bucket, int(size * share), num_frames, seed)
            receipts += of_bucket[bucket]
        parent = snapshots.commit(
            store, receipts, parent=parent, source="made-up clips", config={}, software={"facescribe": "0.1.0"}
        )
    return root


def _write_bucket(store: Store, bucket: int, num: int, num_frames: int, seed: int) -> list[Receipt]:
    chance = np.random.default_rng((seed, bucket))
    ids = [hashlib.sha256(f"{seed} {bucket} {n}".encode()).hexdigest()[:32] for n in range(num)]
    label = chance.choice([*LABELS], num, p=list(LABELS.values()))
    split = chance.choice(["train", "validation", "test"], num, p=[0.72, 0.08, 0.2])
    duration_s = np.round(chance.gamma(4, 0.8, num) + 0.6, 2)
    rows: dict[str, dict[str, Any]] = {"videos": _videos(ids, label, split, duration_s, chance)}
    rows["tracks"] = _tracks(ids, duration_s, num_frames, chance)
    events, texts, claims = _told(label, duration_s, chance)
    is_draft = chance.random(num) < np.where(label == "fear", 0.24, 0.11)
    rows["actions"] = {
        "track_id": ids,
        "video_id": ids,
        "events": events,
        "motion_shares": list(chance.dirichlet([2.2, 1.4, 0.3, 0.7, 3.0, 1.2], num).astype(np.float32)),
    }
    rows["drafts"] = {"track_id": ids, "video_id": ids, "text": texts, "claims": claims}
    rows["descriptions"] = {
        "track_id": ids,
        "video_id": ids,
        "text_version": [1] * num,
        "text": texts,
        "status": np.where(is_draft, "fallback", "refined").tolist(),
        "fallback_reason": [
            str(chance.choice([*REASONS], p=[*REASONS.values()])) if draft else None for draft in is_draft
        ],
        "claims": claims,
        "num_text_tokens": [len(text.split()) + 4 for text in texts],
    }
    reviewed = [n for n in range(num) if chance.random() < 0.02]
    rows["reviews"] = _reviews(ids, reviewed, chance)
    num_refused = max(1, num // 50)
    refused = [hashlib.sha256(f"refused {bucket} {n}".encode()).hexdigest()[:32] for n in range(num_refused)]
    rows["rejects"] = {
        "stage": ["extract_tracks"] * num_refused,
        "unit_id": refused,
        "video_id": refused,
        "reason": chance.choice(["no_face", "corrupt", "nothing_measurable"], num_refused, p=[0.7, 0.2, 0.1]).tolist(),
    }
    files: dict[str, dict[str, Any]] = {}
    for table, columns in rows.items():
        if not len(next(iter(columns.values()))):
            continue
        with store.writer(TABLES[table], bucket, {"rows": num}) as writer:
            writer.append(_whole(table, columns, num))
        files.setdefault(STAGES[table], {})[table] = writer.file
    return [
        Receipt(
            stage=stage, bucket=bucket, key=str(num), files=written,
            num_units={"extract_tracks": num + num_refused, "import_reviews": len(reviewed)}.get(stage, num),
            num_rejected=num_refused if stage == "extract_tracks" else 0,
        )
        for stage, written in files.items()
    ]  # fmt: skip


def _videos(ids: list[str], label: Any, split: Any, duration_s: Any, chance: np.random.Generator) -> dict[str, Any]:
    num = len(ids)
    fold = chance.integers(1, 6, num)
    return {
        "video_id": ids,
        "path": [f"{name}/{video_id[:8]}.mp4" for name, video_id in zip(label, ids, strict=True)],
        "duration_s": duration_s,
        "mean_fps": chance.choice([24.0, 25.0, 29.97, 30.0], num),
        "label": label.tolist(),
        "split": split.tolist(),
        "licence": chance.choice(["CC-BY-4.0", "research only", ""], num, p=[0.3, 0.6, 0.1]).tolist(),
        "consent": chance.choice(["signed", "public film"], num).tolist(),
        "dataset": ["made_up@clips"] * num,
        "folds": [
            [{"protocol": "five_folds", "fold": str(n), "part": "test" if n == own else "train", "label": None}
             for n in range(1, 6)]
            for own in fold
        ],
        "captions": [[{"language": "en", "text": "She looks up."}] if n % 3 else None for n in range(num)],
    }  # fmt: skip


def _tracks(ids: list[str], duration_s: Any, num_frames: int, chance: np.random.Generator) -> dict[str, Any]:
    num = len(ids)
    pose = np.concatenate([chance.normal(0, [[22, 9, 6]], (num, 3)).clip(-88, 58)[:, None]] * num_frames, axis=1)
    covered = [1, 1, 1, 1, 1, 1, 1, 2, 2], [9, 9, 12, 12, 30, 18, 18, 10, 14]
    seen = 1 - chance.beta(*covered, (num, num_frames, len(FACE_REGIONS)))
    sharpness = np.repeat(chance.lognormal(5, 0.6, num)[:, None], num_frames, axis=1)
    return {
        "track_id": ids,
        "video_id": ids,
        "start_s": np.zeros(num),
        "end_s": duration_s - 0.04,
        "num_frames": np.full(num, num_frames),
        "median_face_px": chance.lognormal(4.8, 0.45, num).clip(24, 900),
        "start_reason": chance.choice(["video_start", "appeared", "cut"], num, p=[0.8, 0.08, 0.12]).tolist(),
        "end_reason": chance.choice(["video_end", "lost", "cut"], num, p=[0.78, 0.1, 0.12]).tolist(),
        "sharpness": list(sharpness.astype(np.float32)),
        "visibility": [cell.tobytes() for cell in seen.astype(np.float32)],
        "pose_deg": [cell.tobytes() for cell in pose.astype(np.float32)],
    }


def _told(label: Any, duration_s: Any, chance: np.random.Generator) -> tuple[list[Any], list[str], list[Any]]:
    events, texts, claims = [], [], []
    for name, end_s in zip(label, duration_s, strict=True):
        done = [one for one in DOES[name] if chance.random() < 0.9] + [one for one in ANY if chance.random() < 0.25]
        listed, words = [], []
        for action in dict.fromkeys(done):
            onset_s, length_s = chance.random() * end_s * 0.5, 0.3 + chance.random() * end_s * 0.4
            listed.append(
                {
                    "action": action,
                    "side": sides_of(action)[-1],
                    "onset_s": onset_s,
                    "apex_s": onset_s + length_s / 2,
                    "offset_s": onset_s + length_s,
                    "peak": 0.5,
                    "intensity": str(chance.choice(["slight", "moderate", "strong"], p=[0.4, 0.4, 0.2])),
                }
            )
            words.append(f"{SAID[action]} {chance.choice(HOW)}")
        text = ", then ".join(words) or "the face stays still throughout"
        events.append(listed)
        texts.append(f"{text[0].upper()}{text[1:]}.")
        claims.append([_claim(one, chance) for one in listed])
    return events, texts, claims


def _claim(event: dict[str, Any], chance: np.random.Generator) -> dict[str, Any]:
    return {
        "action": event["action"],
        "region": TOLD_ACTIONS[event["action"]].region,
        "side": event["side"],
        "start_s": event["onset_s"],
        "end_s": event["offset_s"],
        "polarity": "present",
        "intensity": event["intensity"],
        "source": "prose",
        "verdict": str(chance.choice(["supported", "not_measurable", "contradicted"], p=[0.93, 0.05, 0.02])),
        "why": "",
    }


def _reviews(ids: list[str], reviewed: list[int], chance: np.random.Generator) -> dict[str, Any]:
    at = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    told = [(n, who) for n in reviewed for who in ("anna", "ben") if who == "anna" or n % 2]
    return {
        "review_id": [f"{ids[n]}-{who}" for n, who in told],
        "track_id": [ids[n] for n, _ in told],
        "text_version": [1] * len(told),
        "decision": [
            str(chance.choice(["accept", "reject", "edit", "unsure"], p=[0.8, 0.1, 0.07, 0.03])) for _ in told
        ],
        "reviewer": [who for _, who in told],
        "reviewed_at": [at] * len(told),
    }


def _whole(table: str, columns: dict[str, Any], size: int) -> pa.Table:
    """The columns, and something of the right type wherever nothing is said."""
    declared = TABLES[table]
    num = len(next(iter(columns.values())))
    arrays = []
    for field in declared.columns:
        if field.name in columns:
            arrays.append(pa.array(columns[field.name], field.type))
        elif field.name == "unit_key":
            arrays.append(pa.array([f"{size:016x}{n:016x}" for n in range(num)], field.type))
        elif field.nullable:
            arrays.append(pa.array([None] * num, field.type))  # not pa.nulls: the parts of a struct may not be null
        else:
            arrays.append(pa.array([_nothing(field.type)] * num, field.type))
    return declared.conform(pa.table(arrays, names=[field.name for field in declared.columns]))


def _nothing(dtype: pa.DataType) -> Any:
    if pa.types.is_fixed_size_binary(dtype):
        return bytes(dtype.byte_width)
    if pa.types.is_list(dtype):
        return []
    return b"" if pa.types.is_binary(dtype) else "" if pa.types.is_string(dtype) else pa.scalar(0).cast(dtype).as_py()
