"""Write a corpus as one HTML file to look at: film, motion, curves and texts of its tracks, and what was refused.

The page asks nothing of a network: pictures are part of it, and its own policy forbids everything else.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.inspection import timeline
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.page import html_environment, whole_file
from pipeline.inspection.timeline import Clock, FilmFrame
from pipeline.progress import report
from pipeline.walk import WALK
from schemas.descriptions import FALLBACK_REASONS
from schemas.rejects import REASONS

CROPS_SHOWN = 12
"""Pictures of a track that has no motion clips."""

REJECTS_SHOWN = 1000

MADE_BY = {table.name: stage.name for stage in WALK for table in stage.writes}

NEEDS = {"actions": ("actions",), "motion": ("motion",), "drafts": ("actions", "drafts")}
NEEDS["descriptions"] = (*NEEDS["drafts"], "descriptions")
"""For each table, the tables without whose row for a track it has none either, in the order of the walk."""

TRACK_COLUMNS = (
    "track_id", "video_id", "unit_key", "start_s", "end_s", "num_frames", "is_gap_before", "median_face_px",
    "decoder", "detector", "weights",
)  # fmt: skip
DESCRIPTION_COLUMNS = (
    "text_version", "unit_key", "text", "status", "fallback_reason", "fallback_detail", "claims", "num_text_tokens",
    "asked", "saw_label",
)  # fmt: skip


def write_gallery(corpus: Corpus, path: Path, *, limit: int = 200) -> Path:
    """Write the first `limit` tracks, by video path and start, as one HTML file at `path`, whole or not at all.

    Raises:
        ValueError: `limit` is negative.
        OSError: the file cannot be written.
    """
    if limit < 0:
        raise ValueError(f"limit: expected the number of tracks to show, 0 or more, got {limit}")
    tracks = _tracks_in_order(corpus)
    shown = tracks[:limit]
    with whole_file(path) as file:
        for piece in (
            html_environment(Path(__file__).parent)
            .get_template("gallery.html.j2")
            .generate(
                **_page_facts(corpus, tracks, shown),
                tracks=_each_reported(corpus, shown),
                rejects=_rejects(corpus)[:REJECTS_SHOWN],
                style=_inline("gallery.css"),
                script=_inline("gallery.js"),
                script_sha256=base64.b64encode(hashlib.sha256(_inline("gallery.js").encode()).digest()).decode(),
            )
        ):
            file.write(piece)
    return path


def _inline(name: str) -> Markup:
    return Markup(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _tracks_in_order(corpus: Corpus) -> list[dict[str, Any]]:
    """Every track by path and start: its ids, its video's row, its place in the video, its newest text's status."""
    videos = {video["video_id"]: video for video in corpus.arrow("videos", ["video_id", "path", "label"]).to_pylist()}
    texts = corpus.arrow("descriptions", ["track_id", "text_version", "status"]).to_pylist()
    newest = {text["track_id"]: text for text in texts}  # in key order, so a later version comes later
    tracks: list[dict[str, Any]] = corpus.arrow("tracks", ["track_id", "video_id", "start_s"]).to_pylist()
    tracks.sort(key=lambda track: (videos[track["video_id"]]["path"], track["start_s"], track["track_id"]))
    totals = Counter(track["video_id"] for track in tracks)
    places: Counter[str] = Counter()
    for track in tracks:
        places[track["video_id"]] += 1
        text = newest.get(track["track_id"])
        track["video"] = videos[track["video_id"]]
        track["place"], track["num_places"] = places[track["video_id"]], totals[track["video_id"]]
        track["text_version"], track["status"] = (text["text_version"], text["status"]) if text else (None, "none")
    return tracks


def _page_facts(
    corpus: Corpus, tracks: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    snapshot = corpus.snapshot
    return {
        "name": corpus.store.root.resolve().name,
        "snapshot": snapshot,
        "counts": snapshot.counts,
        "statuses": Counter(track["status"] for track in tracks),
        "shown_statuses": Counter(track["status"] for track in shown),
        "num_tracks": len(tracks),
        "num_shown": len(shown),
        "reject_reasons": sorted(snapshot.rejects.items(), key=lambda item: (-item[1], item[0])),
        "num_rejects": sum(snapshot.rejects.values()),
        "meanings": {name: reason.meaning for name, reason in REASONS.items()},
    }


def _rejects(corpus: Corpus) -> list[dict[str, Any]]:
    """Every reject in the order of the walk."""
    order = {stage.name: number for number, stage in enumerate(WALK)}
    frame = corpus.rejects().astype(object)
    rejects: list[Any] = frame.where(frame.notna(), None).to_dict(orient="records")
    return sorted(rejects, key=lambda reject: (order.get(reject["stage"], len(WALK)), reject["path"] or ""))


def _each_reported(corpus: Corpus, shown: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """What the template needs of each track, read one track at a time."""
    rejects: dict[str, dict[str, dict[str, Any]]] = {}
    for reject in _rejects(corpus):
        rejects.setdefault(reject["unit_id"], {})[reject["stage"]] = reject
    report("write_gallery", 0, done=0, total=len(shown))
    for done, track in enumerate(shown, start=1):
        yield _track_facts(corpus, track, rejects.get(track["track_id"], {}))
        report("write_gallery", 0, done=done, total=len(shown))


def _track_facts(corpus: Corpus, known: Mapping[str, Any], rejects: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    ids = known["video_id"], known["track_id"]
    (passport,) = corpus.of_track("tracks", *ids, TRACK_COLUMNS).to_pylist()
    clock = Clock(passport["start_s"], passport["end_s"])
    film, num_clips = _film(corpus, ids, passport["num_frames"], clock)
    columns = ["times_s", "measures", "measurable", "events", "unmeasured", "unclear"]
    actions = corpus.of_track("actions", *ids, columns).to_pylist()
    drafts = corpus.of_track("drafts", *ids, ["text", "writer", "seen_text"]).to_pylist()
    description = _description(corpus, ids, known["text_version"])
    found = {"actions": actions, "drafts": drafts, "descriptions": description, "motion": num_clips}
    return {
        **known,
        **passport,
        "clock": clock,
        "film": film,
        "num_clips": num_clips,
        "lanes": timeline.lanes_of(actions[0], passport["is_gap_before"], clock) if actions else None,
        "events": actions[0]["events"] if actions else [],
        "draft": drafts[0] if drafts else None,
        "description": description,
        "fallback": _fallback_in_words(description),
        "missing": {table: _why_missing(table, rejects) for table, rows in found.items() if not rows},
    }


def _film(corpus: Corpus, ids: tuple[str, str], num_frames: int, clock: Clock) -> tuple[list[FilmFrame], int]:
    """Up to sixteen frames of the track's motion clips and the number of clips; without clips, crops of the track."""
    clips = corpus.of_track("motion", *ids, ["clip_id", "start_s", "is_padding"])
    if not clips.num_rows:
        crops = corpus.of_track(
            "crops", *ids, ["time_s", "crop_jpeg"], position=timeline.middles(num_frames, CROPS_SHOWN)
        )
        return list(timeline.film_of_crops(crops, clock)), 0
    chosen = timeline.choose_clip_frames(clips)
    columns = ["clip_id", "times_s", "frames", "motion_weights", "is_motion_known"]
    wanted = corpus.of_track("motion", *ids, columns, clip_id=sorted({clip_id for clip_id, _, _ in chosen}))
    return list(timeline.film_of_clips(wanted, chosen, clock)), clips.num_rows


def _description(corpus: Corpus, ids: tuple[str, str], text_version: int | None) -> dict[str, Any] | None:
    if text_version is None:
        return None
    rows = corpus.of_track("descriptions", *ids, DESCRIPTION_COLUMNS, text_version=[text_version])
    (description,) = rows.to_pylist()
    return dict(description)


def _fallback_in_words(description: Mapping[str, Any] | None) -> str | None:
    if description is None or description["fallback_reason"] is None:
        return None
    reason: str = description["fallback_reason"]
    return FALLBACK_REASONS.get(reason, reason)


def _why_missing(table: str, rejects: Mapping[str, Mapping[str, Any]]) -> str:
    """Why a track has no row in `table`, from its rejects by stage."""
    for needed in NEEDS[table]:
        if reject := rejects.get(MADE_BY[needed]):
            reason = REASONS.get(reject["reason"])
            return f"{reason.meaning if reason else reject['reason']} ({MADE_BY[needed]}: {reject['detail']})"
    return f"the stage {MADE_BY[table]} has no result for this track in this snapshot"
