"""Described tracks made by hand: events, evidence, texts that tell them, and a corpus that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import strategies as st

from pipeline import snapshot as snapshots
from pipeline.audit.texts import ASKED_FIELDS, Text
from pipeline.descriptions.evidence import Evidence, EvidenceEvent, UnclearSpan, UnmeasuredSpan
from pipeline.descriptions.judging import claim_of, claim_row
from pipeline.inspection.corpus import Corpus
from pipeline.store import Receipt, Store
from schemas.actions import FACIAL_ACTIONS, INTENSITIES, UNCLEAR_REASONS, sides_of
from schemas.corpus import TABLES

DURATION_S = 4.0

SMILE = "The left lip corner rises strongly."
SMILE_THEN_JAW = "The left lip corner rises strongly, then the jaw drops."
STILL = "The face stays still throughout."


class CommitTexts(Protocol):
    """Commits texts, and tracks if a test needs them, as the next snapshot of a corpus; opens it at that snapshot."""

    def __call__(
        self,
        texts: Sequence[Text],
        tracks: Sequence[Mapping[str, Any]] = (),
        captions: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
    ) -> Corpus: ...


def event(
    action: str, side: str, onset_s: float = 0.5, offset_s: float = 1.5, intensity: str = "strong"
) -> EvidenceEvent:
    return EvidenceEvent(
        action=action,
        side=side,
        onset_s=onset_s,
        apex_s=(onset_s + offset_s) / 2,
        offset_s=offset_s,
        peak=0.8,
        intensity=intensity,
    )


def evidence(*events: EvidenceEvent, **more: Any) -> Evidence:
    return Evidence(duration_s=DURATION_S, events=events, **more)


LEFT_SMILE = event("lip_corner_raise", "left")
JAW = event("jaw_drop", "middle", 2.0, 3.0)


def text_of(track_id: str, prose: str, own: Evidence, **more: Any) -> Text:
    """A text that claims every event of its evidence."""
    claims = tuple(claim_of(one) for one in own.events)
    asked = dict.fromkeys(ASKED_FIELDS, "1")
    facts: dict[str, Any] = {
        "claims": claims,
        "verdicts": ("supported",) * len(claims),
        "num_tokens": len(prose.split()) + 1,
        "num_attempts": 1,
        "provenance": {"template": "template 2", **asked},
        "video_id": f"video of {track_id}",
        "path": f"{track_id}.mp4",
    }
    return Text(track_id, prose, own, **(facts | more))


@pytest.fixture
def commit_texts(tmp_path: Path) -> CommitTexts:
    def commit(
        texts: Sequence[Text],
        tracks: Sequence[Mapping[str, Any]] = (),
        captions: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
    ) -> Corpus:
        store = Store.open_or_create(tmp_path / "corpus", num_buckets=1)
        parent = snapshots.newest(store)
        number = 1 if parent is None else parent.number + 1
        rows = {
            "probe_videos/videos": [_video(text) | {"captions": (captions or {}).get(text.video_id)} for text in texts],
            "extract_tracks/tracks": tracks,
            "draft_descriptions/drafts": [_draft(text) for text in texts],
            "refine_descriptions/descriptions": [_description(text) for text in texts],
        }
        receipts = [_receipt(store, place, listed, number) for place, listed in rows.items()]
        snapshots.commit(store, receipts, parent=parent, source="videos", config={}, software={})
        return Corpus(store.root, number)

    return commit


def _receipt(store: Store, place: str, rows: Sequence[Mapping[str, Any]], number: int) -> Receipt:
    stage, table = place.split("/")
    keyed = [{"unit_key": f"{row_number:032x}", **row} for row_number, row in enumerate(rows)]
    with store.writer(TABLES[table], 0, {"stage": stage, "snapshot": number}) as writer:
        writer.append(TABLES[table].rows(keyed))
    return Receipt(
        stage=stage,
        bucket=0,
        key=str(number),
        files={table: writer.file} if writer.file else {},
        num_units=len(keyed),
        num_rejected=0,
        num_transient=0,
    )


def _video(text: Text) -> dict[str, Any]:
    return {
        "video_id": text.video_id,
        "path": text.path,
        "other_paths": [],
        "size_bytes": 1000,
        "duration_s": DURATION_S,
        "num_frames": 100,
        "mean_fps": 25.0,
        "width_px": 640,
        "height_px": 360,
        "rotation_deg": 0,
        "codec": "h264",
        "container": "mp4",
        "has_audio": False,
        "decoder": "decord 0.6.0",
        "label": text.label,
        "group": text.group,
    }


def _draft(text: Text) -> dict[str, Any]:
    return {
        "track_id": text.track_id,
        "video_id": text.video_id,
        "text": text.prose,
        "claims": _claims(text),
        "num_text_tokens": text.num_tokens,
        "evidence": text.evidence.model_dump_json(),
        "writer": text.provenance["template"],
        "saw_label": False,
    }


def _description(text: Text) -> dict[str, Any]:
    request = {
        **{name: text.provenance[name] for name in ASKED_FIELDS},
        "request_sha256": "e" * 64,
        "model_licence": "Apache-2.0",
        "raw_answer": "{}",
        "finish_reason": "stop",
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "fault": None,
        "fault_detail": None,
    }
    return {
        "track_id": text.track_id,
        "text_version": 1,
        "video_id": text.video_id,
        "text": text.prose,
        "status": text.status,
        "fallback_reason": text.fallback_reason,
        "fallback_detail": None,
        "claims": _claims(text),
        "num_text_tokens": text.num_tokens,
        "asked": [request] * text.num_attempts,
        "saw_label": text.saw_label,
    }


def _claims(text: Text) -> list[dict[str, Any]]:
    return [claim_row(c, "template", (v, "why")) for c, v in zip(text.claims, text.verdicts, strict=True)]


def relabelled(text: Text, **changes: Any) -> Text:
    return replace(text, **changes)


# --- any evidence at all

_TIMES = st.integers(0, 400).map(lambda hundredths: hundredths / 100)


@st.composite
def events(draw: st.DrawFn) -> EvidenceEvent:
    action = draw(st.sampled_from(sorted(FACIAL_ACTIONS)))
    onset_s, apex_s, offset_s = sorted(draw(st.tuples(_TIMES, _TIMES, _TIMES)))
    return EvidenceEvent(
        action=action,
        side=draw(st.sampled_from(sides_of(action))),
        onset_s=onset_s,
        apex_s=apex_s,
        offset_s=offset_s,
        peak=draw(st.integers(1, 10)) / 10,
        intensity=draw(st.sampled_from(INTENSITIES)),
    )


@st.composite
def any_evidence(draw: st.DrawFn) -> Evidence:
    listed = draw(st.lists(events(), max_size=4))
    spans = draw(st.lists(st.tuples(_TIMES, _TIMES).map(sorted), max_size=2))
    unclear = [
        UnclearSpan(
            action=draw(st.sampled_from(sorted(FACIAL_ACTIONS))),
            side=draw(st.sampled_from(("left", "right", "both"))),
            start_s=start_s,
            end_s=end_s,
            why=draw(st.sampled_from(sorted(UNCLEAR_REASONS))),
        )
        for start_s, end_s in spans
    ]
    hidden = [UnmeasuredSpan(start_s=3.5, end_s=4.0, why="blurred")] if draw(st.booleans()) else []
    listed.sort(key=lambda one: (one.onset_s, one.offset_s))
    return Evidence(duration_s=DURATION_S, events=tuple(listed), unclear=tuple(unclear), unmeasured=tuple(hidden))
