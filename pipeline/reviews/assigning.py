"""Who reviews which tracks: every track one reviewer, and a share of them all of them, each without the others."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.reviews.record import ReviewFileError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Of a reviewer, because files are called by it."""


class AssignError(ReviewFileError):
    """Tracks that cannot be dealt out as was asked: the message says why, and what to do."""


@dataclass(frozen=True)
class Assignment:
    """Tracks by reviewer, each in the order to look at them, and how many of them all reviewers get."""

    tracks: dict[str, list[str]]
    num_shared: int


def assign(track_ids: Iterable[str], reviewers: Sequence[str], share: float, seed: int) -> Assignment:
    """Deal tracks out: `share` of them to every reviewer, the others in turn. The same seed deals the same.

    Which of a reviewer's tracks others get too cannot be told from their order, and a reviewer who stops early has
    judged as large a share of both kinds.

    Raises:
        AssignError: no tracks or reviewers, a name twice or one that no file may have, or a share outside of 0 to 1.
    """
    if not reviewers:
        raise AssignError("no reviewer was named: give --reviewers anna,ben")
    for name in reviewers:
        if not NAME.fullmatch(name):
            raise AssignError(f"reviewer {name!r}: a file is called by the name, so use letters, digits, _ and -")
    if len({name.casefold() for name in reviewers}) < len(reviewers):
        raise AssignError(f"a reviewer is named twice: {', '.join(reviewers)}")
    if not 0 <= share <= 1:
        raise AssignError(f"--share {share:g}: expected a part of all tracks, from 0 to 1")
    dealt = sorted(set(track_ids), key=lambda track_id: _chance(seed, "deal", track_id))
    if not dealt:
        raise AssignError("no track to review: a build gives tracks their texts")
    num_shared = round(share * len(dealt))
    shared, rest = dealt[:num_shared], dealt[num_shared:]
    tracks = {
        name: sorted(
            [*shared, *rest[place :: len(reviewers)]], key=lambda track_id: _chance(seed, f"order {name}", track_id)
        )
        for place, name in enumerate(reviewers)
    }
    return Assignment(tracks, num_shared)


def draw(track_ids: Iterable[str], limit: int | None, seed: int) -> list[str]:
    """At most `limit` of the tracks, drawn by the seed: with a higher limit the same ones and more."""
    drawn = sorted(set(track_ids), key=lambda track_id: _chance(seed, "draw", track_id))
    return drawn[:limit]


def write_assignment(assigned: Assignment, folder: Path) -> dict[str, Path]:
    """Write FOLDER/NAME.txt for each reviewer: a track id a line, as `facescribe gallery --tracks` reads it.

    Raises:
        AssignError: a file is there with other tracks, which somebody may be at work on.
        OSError: the folder cannot be written.
    """
    paths = {name: folder / f"{name}.txt" for name in assigned.tracks}
    texts = {name: "".join(f"{track_id}\n" for track_id in listed) for name, listed in assigned.tracks.items()}
    for name, path in paths.items():
        if path.exists() and path.read_bytes() != texts[name].encode():
            raise AssignError(f"{path} is there with other tracks: move it away, or choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        path.write_text(texts[name], encoding="utf-8")
    return paths


def _chance(seed: int, what: str, track_id: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{what}\0{track_id}".encode()).digest()
