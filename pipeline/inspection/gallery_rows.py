"""Choose the tracks of a gallery, and say of each what its filters, its search and its orders go by."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery_text import share_changed
from pipeline.inspection.page import name_unseen

GOOD_FACE_PX, POOR_FACE_PX = 100.0, 64.0
GOOD_MEASURED, POOR_MEASURED = 0.9, 0.5

QUALITIES = {
    "good": f"face of {GOOD_FACE_PX:.0f} px or more, measured in {GOOD_MEASURED:.0%} of its frames or more",
    "fair": "neither good nor poor",
    "poor": f"face under {POOR_FACE_PX:.0f} px, or measured in less than {POOR_MEASURED:.0%} of its frames",
}

VERDICTS = ("supported", "contradicted", "not_measurable")

_CHOSEN = """
select distinct tracks.track_id from tracks
join videos using (video_id)
left join (
    select * from descriptions qualify row_number() over (partition by track_id order by text_version desc) = 1
) as descriptions using (track_id)
where (
{where}
)
"""


class ChoiceError(ValueError):
    """The tracks of a page cannot be chosen as was asked."""


@dataclass(frozen=True)
class Row:
    """One track, as lists and filters see it: what its article shows is read later, track by track."""

    track_id: str
    video_id: str
    path: str
    label: str | None
    split: str | None
    place: int
    num_places: int
    start_s: float
    end_s: float
    face_px: float
    measured: float | None
    """Share of its frames in which the face could be measured; None where it was not measured at all."""
    text_version: int | None
    text: str | None
    text_sha256: str | None
    """Of the text as it is stored, which is what a review is of."""
    status: str
    reason: str | None
    detail: str | None
    draft: str | None
    actions: tuple[str, ...]
    """Actions that its text claims to be seen, and those with events."""
    verdicts: tuple[int, int, int]
    """How many claims of its text are supported, contradicted, not measurable."""

    @property
    def quality(self) -> str:
        """Good, fair or poor, by the size of the face and by how much of it could be measured."""
        measured = self.measured or 0.0
        if self.face_px < POOR_FACE_PX or measured < POOR_MEASURED:
            return "poor"
        return "good" if self.face_px >= GOOD_FACE_PX and measured >= GOOD_MEASURED else "fair"


def read_track_ids(path: Path) -> list[str]:
    """The track ids of a file, one a line, in its order; what follows an id after a space or comma is left out.

    Raises:
        ChoiceError: the file cannot be read, or names no track.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ChoiceError(f"{path}: expected a text file with a track id in each line: {error}") from error
    ids = [words[0].strip("\"'") for line in lines if (words := line.replace(",", " ").split())]
    ids = [track_id for track_id in dict.fromkeys(ids) if track_id != "track_id"]
    if not ids:
        raise ChoiceError(f"{path} names no track: expected a track id in each line, as `facescribe show` prints them")
    return ids


def choose_rows(
    corpus: Corpus, tracks: Sequence[str] | None = None, where: str | None = None, limit: int | None = None
) -> tuple[list[Row], int]:
    """The rows to show, and how many tracks there are: by path and start, or in the order of `tracks`.

    Raises:
        ChoiceError: a track is not in the snapshot, the condition is no SQL, or `limit` is negative.
    """
    if limit is not None and limit < 0:
        raise ChoiceError(f"limit: expected the number of tracks to show, 0 or more, got {limit}")
    rows = _every_row(corpus)
    total = len(rows)
    if tracks is not None:
        by_id = {row.track_id: row for row in rows}
        if strange := [track for track in tracks if track not in by_id]:
            raise ChoiceError(
                f"snapshot {corpus.snapshot.number} has no track {strange[0]!r}"
                f"{f' and {len(strange) - 1} more of those asked for' if len(strange) > 1 else ''}: "
                "`facescribe show tracks --columns track_id` lists them"
            )
        rows = [by_id[track] for track in dict.fromkeys(tracks)]
    if where is not None:
        fitting = _where(corpus, where)
        rows = [row for row in rows if row.track_id in fitting]
    return rows[:limit], total


def _where(corpus: Corpus, where: str) -> set[str]:
    import duckdb

    try:
        found = corpus.sql(_CHOSEN.format(where=where))
    except duckdb.Error as error:
        raise ChoiceError(
            f"where {where!r}: expected an SQL condition over tracks, videos and descriptions, such as "
            f"\"label = 'fear' and status = 'fallback'\"; DuckDB says: {error}"
        ) from error
    return set(found["track_id"])


def _every_row(corpus: Corpus) -> list[Row]:
    videos = {
        video["video_id"]: video for video in corpus.arrow("videos", ["video_id", "path", "label", "split"]).to_pylist()
    }
    columns = ["track_id", "text_version", "status", "text", "fallback_reason", "fallback_detail", "claims"]
    # In key order, so a later version comes later and is the one that stays.
    texts = {text["track_id"]: text for text in corpus.arrow("descriptions", columns).to_pylist()}
    drafts = dict(zip(*corpus.arrow("drafts", ["track_id", "text"]).to_pydict().values(), strict=True))
    measured = {
        row["track_id"]: row for row in corpus.arrow("actions", ["track_id", "events", "is_measurable"]).to_pylist()
    }
    names = ["track_id", "video_id", "start_s", "end_s", "median_face_px"]
    tracks: list[dict[str, Any]] = corpus.arrow("tracks", names).to_pylist()
    tracks.sort(key=lambda track: (videos[track["video_id"]]["path"], track["start_s"], track["track_id"]))
    totals = Counter(track["video_id"] for track in tracks)
    places: Counter[str] = Counter()
    rows = []
    for track in tracks:
        places[track["video_id"]] += 1
        text, actions = texts.get(track["track_id"]), measured.get(track["track_id"])
        rows.append(
            Row(
                track_id=track["track_id"],
                video_id=track["video_id"],
                path=videos[track["video_id"]]["path"],
                label=videos[track["video_id"]]["label"],
                split=videos[track["video_id"]]["split"],
                place=places[track["video_id"]],
                num_places=totals[track["video_id"]],
                start_s=track["start_s"],
                end_s=track["end_s"],
                face_px=track["median_face_px"],
                measured=_share(actions["is_measurable"]) if actions else None,
                draft=drafts.get(track["track_id"]),
                actions=_actions(text, actions),
                **_of_text(text),
            )
        )
    return rows


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0


def _actions(text: Mapping[str, Any] | None, actions: Mapping[str, Any] | None) -> tuple[str, ...]:
    claimed = {claim["action"] for claim in text["claims"] if claim["polarity"] == "present"} if text else set()
    return tuple(sorted(claimed | {event["action"] for event in (actions["events"] if actions else ())}))


def _of_text(text: Mapping[str, Any] | None) -> dict[str, Any]:
    if text is None:
        nothing = dict.fromkeys(("text_version", "text", "text_sha256", "reason", "detail"))
        return {**nothing, "status": "none", "verdicts": (0, 0, 0)}
    verdicts = Counter(claim["verdict"] for claim in text["claims"])
    return {
        "text_version": text["text_version"],
        "text": text["text"],
        "text_sha256": hashlib.sha256(text["text"].encode()).hexdigest(),
        "reason": text["fallback_reason"],
        "detail": text["fallback_detail"],
        "status": text["status"],
        "verdicts": tuple(verdicts[verdict] for verdict in VERDICTS),
    }


def index_of(rows: Sequence[Row], thumbs: Mapping[str, str], page_of: Mapping[str, str]) -> dict[str, Any]:
    """What the page's script filters, searches and sorts: one list a column, with what is not seen named.

    thumbs: a data URI for each track id, or none. page_of: the file of each track's article, none in a single page.
    """
    names = sorted({action for row in rows for action in row.actions})
    place = {action: number for number, action in enumerate(names)}
    files = list(dict.fromkeys(page_of.values()))
    numbers = {file: number for number, file in enumerate(files)}
    return {
        "actions": names,
        "files": files,
        "id": [row.track_id for row in rows],
        "file": [numbers[page_of[row.track_id]] for row in rows] if page_of else [],
        "path": [name_unseen(row.path) for row in rows],
        "place": [f"face {row.place} of {row.num_places}" if row.num_places > 1 else "" for row in rows],
        "label": [name_unseen(row.label) for row in rows],
        "split": [name_unseen(row.split) for row in rows],
        "status": [row.status for row in rows],
        "reason": [row.reason for row in rows],
        "detail": [name_unseen(row.detail) for row in rows],
        "text": [name_unseen(row.text) for row in rows],
        "draft": [name_unseen(row.draft) if row.draft != row.text else None for row in rows],
        "version": [row.text_version for row in rows],
        "sha256": [row.text_sha256 for row in rows],
        "seconds": [round(row.end_s - row.start_s, 2) for row in rows],
        "face_px": [round(row.face_px) for row in rows],
        "quality": [row.quality for row in rows],
        "action": [[place[action] for action in row.actions] for row in rows],
        "verdicts": [row.verdicts for row in rows],
        "changed": [
            round(share_changed(row.draft, row.text), 3) if row.draft is not None and row.text is not None else 0
            for row in rows
        ],
        "thumb": [thumbs.get(row.track_id, "") for row in rows] if thumbs else [],
    }
