"""A corpus of tracks whose crops say which frame they are, at any times, with texts and claims.

Every crop carries its position in the track as eight blocks, black or white, lowest bit at the left.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import snapshot as snapshots
from pipeline.inspection.corpus import Corpus
from pipeline.store import Receipt, Store
from schemas.corpus import TABLES
from tests.training_corpus import filled

SIDE_PX, BITS = 224, 8
BLOCK_PX = SIDE_PX // BITS

STEADY = tuple(frame / 30 for frame in range(36))


def claim(region: str, start_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    """A claim of a text, with times from the track's start."""
    said = {"action": "jaw_drop", "side": "middle", "polarity": "present", "intensity": "strong", "source": "template"}
    return {**said, "region": region, "start_s": start_s, "end_s": end_s, "verdict": "supported", "why": "", **more}


@dataclass(frozen=True)
class Film:
    """A described track of a video of its own."""

    name: str
    text: str = "The jaw drops strongly."
    times_s: tuple[float, ...] = STEADY
    claims: tuple[Mapping[str, Any], ...] = field(default_factory=lambda: (claim("jaw", 0.2, 0.6),))
    is_gap_before: tuple[bool, ...] | None = None
    video: Mapping[str, Any] = field(default_factory=lambda: {"licence": "CC0-1.0", "consent": "rendered, nobody"})
    saw_label: bool = False
    track_name: str | None = None

    @property
    def video_id(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()[:32]

    @property
    def track_id(self) -> str:
        return self.track_name or f"{self.video_id}-0"


def write_film_corpus(root: Path, films: Sequence[Film]) -> Corpus:
    """Commit one snapshot of these films, with the next text version of each where it has one already."""
    store = Store.open_or_create(root, 2)
    rows: defaultdict[tuple[str, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for film in films:
        bucket = store.bucket_of(film.video_id)
        ids = {"track_id": film.track_id, "video_id": film.video_id}
        gaps = film.is_gap_before or (False,) * len(film.times_s)
        of_track = {"times_s": film.times_s, "is_gap_before": gaps, "num_frames": len(film.times_s)}
        ends = {"start_s": film.times_s[0], "end_s": film.times_s[-1]}
        rows["probe_videos", "videos", bucket].append(
            {"video_id": film.video_id, "path": f"{film.name}.mp4", **film.video}
        )
        rows["extract_tracks", "tracks", bucket].append({**ids, **of_track, **ends})
        rows["extract_tracks", "crops", bucket] += [
            {**ids, "position": number, "time_s": time_s, "crop_jpeg": crop_saying(number)}
            for number, time_s in enumerate(film.times_s)
        ]
        rows["draft_descriptions", "drafts", bucket].append({**ids, "text": "A draft.", "evidence": "{}"})
        made = {"text_version": 1, "text": film.text, "claims": list(film.claims), "saw_label": film.saw_label}
        rows["refine_descriptions", "descriptions", bucket].append({**ids, **made, "status": "refined"})
    receipts = []
    for (stage, name, bucket), listed in rows.items():
        table = TABLES[name]
        with store.writer(table, bucket, {"stage": stage, "bucket": bucket}) as writer:
            writer.append(table.rows(filled(table, row) for row in listed))
        assert writer.file is not None
        receipts.append(
            Receipt(stage=stage, bucket=bucket, key=f"{name}-1", files={name: writer.file}, num_units=len(listed))
        )
    parent = snapshots.newest(store)
    snapshots.commit(store, receipts, parent=parent, source="films", config={}, software={})
    return Corpus(root)


def crop_saying(number: int) -> bytes:
    """A crop, JPEG, that says a number from 0 to 255."""
    rgb = np.full((SIDE_PX, SIDE_PX, 3), 120, np.uint8)
    for bit in range(BITS):
        rgb[60:160, bit * BLOCK_PX : (bit + 1) * BLOCK_PX] = 250 if number >> bit & 1 else 5
    return bytes(cv2.imencode(".jpg", rgb)[1].tobytes())


def number_of(rgb: NDArray[Any]) -> int:
    """What a picture says, dimmed or not: the grey around the blocks is the measure."""
    middle, around = rgb[90:130].mean(axis=(0, 2)), float(rgb[:40].mean())
    return sum(1 << bit for bit in range(BITS) if middle[bit * BLOCK_PX + BLOCK_PX // 2] > around)


def numbers_in_film(path: Path) -> tuple[list[int], list[float], float]:
    """What each frame says, its time in seconds, and the frames a second that the film states."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert not container.streams.audio
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        frames = list(container.decode(stream))
        rate = stream.average_rate
    assert rate is not None
    numbers = [number_of(frame.to_ndarray(format="rgb24")) for frame in frames]
    return numbers, [float(frame.time or 0.0) for frame in frames], float(rate)
