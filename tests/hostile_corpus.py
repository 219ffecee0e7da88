"""A corpus in which everything that a person, a file or a model wrote would do harm if it were anything but text."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

from pipeline import snapshot as snapshots
from pipeline.store import Receipt, Store
from schemas.corpus import TABLES
from tests.audit.conftest import JAW, LEFT_SMILE, evidence
from tests.inspection.conftest import NUM_FRAMES, actions, clip, crop, description, draft, reject, track, video

ESC = "\x1b"

HOSTILE = {
    "html": '</p></article></svg><img src=x onerror="window.__owned=1"><svg onload="window.__owned=2"><b>bold</b>',
    "script": "</script><script>window.__owned=3;fetch('https://owned.invalid/?a')</script>",
    "half_comment": "<!--<script> ]]> <style>*{display:none}</style><iframe src=\"javascript:parent.__owned=4\">",
    "attribute": "\" onmouseover=\"window.__owned=5\" x=' autofocus onfocus='window.__owned=6' `",
    "css": "</style><style>body{background:url(https://owned.invalid/x.png)}</style> expression(alert(1)) }",
    "address": "javascript:window.__owned=7 https://owned.invalid/ file:///etc/hosts data:text/html,<script>1</script>",
    "sql": "'); drop table videos; -- \" ' ; select 1 /* $$",
    "markdown": "[a](javascript:window.__owned=8) ![b](https://owned.invalid/x.png) <b>c</b> | d |\n\n---\n# e\n```\n`",
    "turned": "\u202egpm.4pm.exe\u202c \u2066\u2067\u2069 \u200f\u200e\u05e9\u05dc\u05dd \u0639\u0631\u0628\u064a",
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f600 \ufdfd",
    "combining": "Z" + "\u0301\u0316\u035b\u0489" * 20 + "algo",
    "control": "a\x00b\x01c\x07\x08\x0b\x0c\x1c\x7f\x85\u2028\u2029\ufeffd",
    "formula": "=HYPERLINK(\"https://owned.invalid\",\"x\")&cmd|' /C calc'!A0",
    "escape": f"{ESC}[31mred{ESC}[0m{ESC}]0;title\x07{ESC}[2J\x9b31m{ESC}]8;;https://owned.invalid{ESC}\\x",
    "one_word": "W" * 10_000,
    "many_words": "the lip corners rise and " * 400,
    "template": "{{ 7 * 7 }}{% for x in y %}{# z #} ${7*7} #{7*7} %s {0} [bold red]x[/] [/nope] :smile:",
    "prototype": "__proto__",
    "nothing": "NaN",
}  # fmt: skip
"""By what it tries. What runs would set `window.__owned` or ask owned.invalid."""


def of(kind: str, number: int) -> str:
    """32 hex digits that stand for a video ("v") or a track ("t")."""
    return hashlib.sha256(f"{kind} {number}".encode()).hexdigest()[:32]


def write_hostile_corpus(root: Path) -> Path:
    """Two snapshots; in the second one every text, label and path is hostile."""
    store = Store.open_or_create(root, num_buckets=1)
    parent = None
    for is_hostile in (False, True):
        files: dict[str, dict[str, Any]] = {}
        for place, listed in _rows(is_hostile).items():
            stage, table = place.split("/")
            key = {} if table == "reviews" else {"unit_key": ""}
            keyed = [row | dict.fromkeys(key, f"{is_hostile:d}{number:031x}") for number, row in enumerate(listed)]
            with store.writer(TABLES[table], 0, {"stage": stage, "hostile": is_hostile}) as writer:
                writer.append(TABLES[table].rows(keyed))
            files.setdefault(stage, {})[table] = writer.file
        receipts = [
            Receipt(stage=stage, bucket=0, key=str(is_hostile), files=written, num_units=len(HOSTILE))
            for stage, written in files.items()
        ]
        source = HOSTILE["html"] + HOSTILE["turned"] + HOSTILE["escape"] if is_hostile else "videos"
        parent = snapshots.commit(store, receipts, parent=parent, source=source, config={}, software={})
    return root


def _rows(is_hostile: bool) -> dict[str, list[dict[str, Any]]]:
    told = evidence(LEFT_SMILE, JAW).model_dump_json()
    rows: dict[str, list[dict[str, Any]]] = {}

    def add(place: str, *listed: dict[str, Any]) -> None:
        rows.setdefault(place, []).extend(listed)

    for number, hostile in enumerate(HOSTILE.values()):
        said = hostile if is_hostile else "Both lip corners rise."
        name = hostile if is_hostile else "plain"
        video_id, track_id = of("v", number), of("t", number)
        add("probe_videos/videos", _video(number, name))
        add("extract_tracks/tracks", track(track_id, video_id))
        add("measure_actions/actions", actions(track_id, video_id))
        add("draft_descriptions/drafts", draft(track_id, video_id) | {
            "text": said, "evidence": told, "seen_text": said, "seen_frames_s": [0.1], "seen_asked": _asked(said),
        })  # fmt: skip
        add("refine_descriptions/descriptions", _description(number, said))
        refused = of("refused", number)
        add("probe_videos/rejects", reject("probe_videos", refused, refused, "corrupt", path=name, detail=said))
        if is_hostile:
            add("import_reviews/reviews", _review(number, said, "edit" if number % 2 else "reject"))
            add("import_reviews/reviews", _review(number, said, "accept", reviewer="ben"))
    add("extract_tracks/crops", *(crop(of("t", 0), of("v", 0), position) for position in range(NUM_FRAMES)))
    add("encode_motion/motion", clip(of("t", 1), of("v", 1)))
    return rows


def _video(number: int, said: str) -> dict[str, Any]:
    fold = {"protocol": said, "fold": said, "part": said, "label": said}
    return video(
        of("v", number),
        f"{number}/{said}.mp4",
        other_paths=[said],
        label=said,
        split=said if number % 3 else "train",
        group=said,
        licence=said,
        consent=said,
        dataset=said,
        clip_name=said,
        codec=said,
        decoder=said,
        votes=[{"label": said, "votes": 2.0}],
        folds=[fold],
        captions=[{"language": said, "text": said}, {"language": "en", "text": said}],
    )


def _asked(said: str) -> dict[str, Any]:
    return {
        "prompt": said,
        "request_sha256": "e" * 64,
        "model": said,
        "model_revision": said,
        "model_licence": said,
        "engine": said,
        "sampling": "{}",
        "raw_answer": said,
        "finish_reason": said,
        "prompt_tokens": 10,
        "completion_tokens": 10,
        "fault": "prose_contradicted",
        "fault_detail": said,
    }


def _description(number: int, said: str) -> dict[str, Any]:
    made = description(of("t", number), of("v", number), text=said, status="refined", num_text_tokens=10)
    made["claims"] = [claim | {"why": said} for claim in made["claims"]]
    made["asked"] = [_asked(said)]
    if number % 2:
        made |= {"status": "fallback", "fallback_reason": "prose_contradicted", "fallback_detail": said}
    return made


def _review(number: int, said: str, decision: str, reviewer: str | None = None) -> dict[str, Any]:
    at = dt.datetime(2030, 1, 1, 12, 0, number, tzinfo=dt.UTC)
    return {
        "review_id": of(f"review {decision}", number),
        "video_id": of("v", number),
        "track_id": of("t", number),
        "text_version": 1,
        "text_sha256": hashlib.sha256(said.encode()).hexdigest(),
        "decision": decision,
        "reason": said,
        "edited_text": said if decision == "edit" else None,
        "reviewer": said if reviewer is None else reviewer,
        "reviewed_at": at,
        "is_blind": True,
        "came_from": "gallery",
        "imported_at": at,
    }
