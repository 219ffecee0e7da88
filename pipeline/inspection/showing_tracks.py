"""Tracks as they are looked at in a notebook (film, curves, text and claims as one HTML fragment) or in a terminal.

The fragment holds no script and asks nothing of a network: pictures are part of it, text is escaped.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.inspection import timeline
from pipeline.inspection.page import html_environment
from pipeline.inspection.showing_terminal import SIGNS, plain
from pipeline.inspection.timeline import Clock
from schemas.descriptions import FALLBACK_REASONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.inspection.corpus import Corpus

FRAMES_SHOWN = 8
MOST_CHARACTERS = 2000
"""Characters of a text that are shown; the frame has all."""


@dataclass(frozen=True)
class TracksShown:
    """Some tracks of a corpus; reads them when it is looked at."""

    corpus: Corpus
    tracks: Sequence[str]
    num_tracks: int

    def __len__(self) -> int:
        return len(self.tracks)

    def __str__(self) -> str:
        blocks = [_in_words(_facts(self.corpus, track_id)) for track_id in self.tracks]
        return "\n\n".join([*blocks, *self._rest()]) or "no tracks"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        template = html_environment(Path(__file__).parent).get_template("showing.html.j2")
        return template.render(
            tracks=[_facts(self.corpus, track_id, has_pictures=True) for track_id in self.tracks],
            rest=self._rest(),
            signs={word: sign for word, (sign, _) in SIGNS.items()},
        )

    def save(self, path: str | Path) -> Path:
        """Write the tracks as a page of their own, which no script of anybody can run in.

        Raises:
            OSError: the file cannot be written.
        """
        from pipeline.inspection.page import whole_file

        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
        with whole_file(Path(path)) as file:
            file.write(
                '<!doctype html><html lang="en"><meta charset="utf-8">'
                f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">'
                '<meta name="viewport" content="width=device-width"><title>Tracks</title>'
                f"<main>{self._repr_html_()}</main></html>\n"
            )
        return Path(path)

    def _rest(self) -> list[str]:
        left = self.num_tracks - len(self.tracks)
        return [f"… {left} more tracks; show(limit={self.num_tracks}) shows all"] if left > 0 else []


def _facts(corpus: Corpus, track_id: str, *, has_pictures: bool = False) -> dict[str, Any]:
    """What is shown of a track; what it has no row of is None."""
    ids = corpus.video_of(track_id), track_id
    (video,) = corpus.of_video(ids[0], ["path", "label", "split"]).to_pylist()
    (track,) = corpus.of_track("tracks", *ids, ["start_s", "end_s", "num_frames", "is_gap_before"]).to_pylist()
    clock = Clock(track["start_s"], track["end_s"])
    texts = corpus.of_track("descriptions", *ids, list(_TEXT)).to_pylist()
    drafts = corpus.of_track("drafts", *ids, ["text"]).to_pylist()
    facts: dict[str, Any] = {
        "track_id": track_id,
        "video": video,
        "clock": clock,
        "text": {**texts[-1], "text": _cut(texts[-1]["text"])} if texts else None,
        "draft": _cut(drafts[0]["text"]) if drafts else None,
        "fallback": FALLBACK_REASONS.get(str(texts[-1]["fallback_reason"])) if texts else None,
        "film": [],
        "lanes": None,
    }
    if has_pictures:
        actions = corpus.of_track(
            "actions", *ids, ["times_s", "measures", "measurable", "events", "unmeasured", "unclear"]
        )
        if actions.num_rows:
            facts["lanes"] = timeline.lanes_of(actions.to_pylist()[0], track["is_gap_before"], clock)
        facts["film"] = _film(corpus, ids, track["num_frames"], clock)
    return facts


_TEXT = ("text_version", "text", "status", "fallback_reason", "fallback_detail", "claims")


def _film(corpus: Corpus, ids: tuple[str, str], num_frames: int, clock: Clock) -> list[timeline.FilmFrame]:
    """Crops of the track, evenly spread; without crops, frames of its motion clips."""
    places = timeline.middles(num_frames, FRAMES_SHOWN)
    crops = corpus.of_track("crops", *ids, ["time_s", "crop_jpeg"], position=places)
    if crops.num_rows:
        return list(timeline.film_of_crops(crops, clock))
    clips = corpus.of_track("motion", *ids, ["clip_id", "start_s", "is_padding"])
    if not clips.num_rows:
        return []
    chosen = timeline.choose_clip_frames(clips)[::2]
    columns = ["clip_id", "times_s", "frames", "motion_weights", "is_motion_known"]
    wanted = corpus.of_track("motion", *ids, columns, clip_id=sorted({clip_id for clip_id, _, _ in chosen}))
    return list(timeline.film_of_clips(wanted, chosen, clock))


def _in_words(facts: dict[str, Any]) -> str:
    """A track in lines: whose it is, its text, each claim with its verdict by sign."""
    video, text, clock = facts["video"], facts["text"], facts["clock"]
    label = f" · {plain(video['label'])}" if video["label"] else ""
    head = f"{plain(video['path'])} · {plain(facts['track_id'])} · {clock.end_s - clock.start_s:.1f} s{label}"
    if text is None:
        return f"{head}\n  no text"
    sign = SIGNS.get(text["status"], ("·", ""))[0]
    why = f": {facts['fallback']}" if facts["fallback"] else ""
    lines = [head, f"  {sign} {plain(text['status'])}{why}", f"  {plain(text['text'])}"]
    for claim in text["claims"]:
        mark = SIGNS.get(claim["verdict"], ("·", ""))[0]
        denied = "no " if claim["polarity"] == "absent" else ""
        said = f"{denied}{claim['action'].replace('_', ' ')}, {claim['side']}, {claim['intensity']}"
        lines.append(
            f"    {mark} {plain(said)}, {claim['start_s']:.2f} to {claim['end_s']:.2f} s: {plain(claim['why'])}"
        )
    return "\n".join(lines)


def _cut(text: str) -> str:
    return (
        text
        if len(text) <= MOST_CHARACTERS
        else f"{text[:MOST_CHARACTERS]} … {len(text) - MOST_CHARACTERS} more characters"
    )
