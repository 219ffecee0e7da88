"""Read what a gallery shows of one track: its film, its curves, its texts with their claims, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.inspection import timeline
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery_regions import outlines_of
from pipeline.inspection.gallery_rows import Row
from pipeline.inspection.gallery_text import pieces_of, word_changes
from pipeline.inspection.timeline import Clock, FilmFrame
from pipeline.walk import WALK
from schemas.actions import TOLD_ACTIONS
from schemas.descriptions import FALLBACK_REASONS
from schemas.rejects import REASONS

CROPS_SHOWN = 12
"""Pictures of a track that has no motion clips."""

MADE_BY = {table.name: stage.name for stage in WALK for table in stage.writes}

NEEDS = {"actions": ("actions",), "motion": ("motion",), "drafts": ("actions", "drafts")}
NEEDS["descriptions"] = (*NEEDS["drafts"], "descriptions")
"""For each table, the tables without whose row for a track it has none either, in the order of the walk."""

TRACK_COLUMNS = (
    "track_id", "video_id", "unit_key", "start_s", "end_s", "num_frames", "is_gap_before", "median_face_px",
    "decoder", "detector", "weights", "landmarks_px", "transforms",
)  # fmt: skip
ACTION_COLUMNS = ("times_s", "measures", "measurable", "events", "unmeasured", "unclear")
DESCRIPTION_COLUMNS = (
    "text_version", "unit_key", "text", "status", "fallback_reason", "fallback_detail", "claims", "num_text_tokens",
    "asked", "saw_label",
)  # fmt: skip


@dataclass(frozen=True)
class ClaimSpan(timeline.Span):
    """A claim's stretch of the time axis: `number` is its place in the text's claims."""

    number: int
    verdict: str


def track_facts(
    corpus: Corpus,
    row: Row,
    rejects: Mapping[str, Mapping[str, Any]],
    reviews: Sequence[Mapping[str, Any]],
    *,
    is_blurred: bool = False,
) -> dict[str, Any]:
    """What the article of one track is written from. `rejects`: of this track, by stage."""
    ids = row.video_id, row.track_id
    (passport,) = corpus.of_track("tracks", *ids, TRACK_COLUMNS).to_pylist()
    clock = Clock(passport["start_s"], passport["end_s"])
    film, num_clips = _film(corpus, ids, passport["num_frames"], clock, is_blurred)
    actions = corpus.of_track("actions", *ids, ACTION_COLUMNS).to_pylist()
    drafts = corpus.of_track("drafts", *ids, ["text", "writer", "seen_text"]).to_pylist()
    description = _description(corpus, row)
    claims = description["claims"] if description else []
    found = {"actions": actions, "drafts": drafts, "descriptions": description, "motion": num_clips}
    is_compared = bool(drafts and description and drafts[0]["text"] != description["text"])
    pointed_at = {(claim["region"], claim["side"]) for claim in claims}
    if actions:
        told = (event for event in actions[0]["events"] if event["action"] in TOLD_ACTIONS)
        pointed_at |= {(TOLD_ACTIONS[event["action"]].region, event["side"]) for event in told}
    return {
        **passport,
        "row": row,
        "clock": clock,
        "film": film,
        "num_clips": num_clips,
        "outlines": outlines_of(passport, pointed_at) if pointed_at else [],
        "lanes": timeline.lanes_of(actions[0], passport["is_gap_before"], clock, {claim["action"] for claim in claims})
        if actions
        else None,
        "claim_spans": _claim_spans(claims, clock),
        "events": actions[0]["events"] if actions else [],
        "regions": {name: action.region for name, action in TOLD_ACTIONS.items()},
        "draft": drafts[0] if drafts else None,
        "description": description,
        "pieces": pieces_of(description["text"], claims) if description else [],
        "changes": word_changes(drafts[0]["text"], description["text"]) if is_compared and description else None,
        "fallback": _fallback_in_words(description),
        "reviews": reviews,
        "missing": {table: _why_missing(table, rejects) for table, rows in found.items() if not rows},
    }


def _film(
    corpus: Corpus, ids: tuple[str, str], num_frames: int, clock: Clock, is_blurred: bool
) -> tuple[list[FilmFrame], int]:
    """Up to sixteen frames of the track's motion clips and the number of clips; without clips, crops of the track."""
    clips = corpus.of_track("motion", *ids, ["clip_id", "start_s", "is_padding"])
    if not clips.num_rows:
        crops = corpus.of_track(
            "crops", *ids, ["time_s", "crop_jpeg"], position=timeline.middles(num_frames, CROPS_SHOWN)
        )
        return list(timeline.film_of_crops(crops, clock, is_blurred=is_blurred)), 0
    chosen = timeline.choose_clip_frames(clips)
    columns = ["clip_id", "times_s", "frames", "motion_weights", "is_motion_known"]
    wanted = corpus.of_track("motion", *ids, columns, clip_id=sorted({clip_id for clip_id, _, _ in chosen}))
    return list(timeline.film_of_clips(wanted, chosen, clock, is_blurred=is_blurred)), clips.num_rows


def _description(corpus: Corpus, row: Row) -> dict[str, Any] | None:
    if row.text_version is None:
        return None
    ids = row.video_id, row.track_id
    rows = corpus.of_track("descriptions", *ids, DESCRIPTION_COLUMNS, text_version=[row.text_version])
    (description,) = rows.to_pylist()
    return dict(description)


def _claim_spans(claims: Sequence[Mapping[str, Any]], clock: Clock) -> dict[str, list[ClaimSpan]]:
    """Where the claims of each action lie. Times of claims count from the track's start."""
    spans: dict[str, list[ClaimSpan]] = {}
    for number, claim in enumerate(claims):
        left, right = (
            min(100.0, max(0.0, clock.percent(clock.start_s + claim[name]))) for name in ("start_s", "end_s")
        )
        words = (
            f"claimed: {claim['action'].replace('_', ' ')} {claim['polarity']}, "
            f"{claim['start_s']:.2f} to {claim['end_s']:.2f} s, {claim['verdict'].replace('_', ' ')}"
        )
        span = ClaimSpan(left, round(max(0.0, right - left), 3), words, number, claim["verdict"])
        spans.setdefault(claim["action"], []).append(span)
    return spans


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
