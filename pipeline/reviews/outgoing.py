"""Texts that go out to be reviewed in another tool: which, with what beside them, and whether they may leave at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.descriptions.evidence import Evidence
from pipeline.descriptions.label_policy import refuse_seen_labels
from pipeline.export.folder import ExportError
from pipeline.export.licence_policy import refuse_unlicensed
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.page import name_unseen
from pipeline.store import now

OUTGOING = "export.json"

OF_TEXT = ("track_id", "text_version", "video_id", "text", "claims", "saw_label")


@dataclass(frozen=True)
class OutgoingText:
    """The newest text of one track."""

    track_id: str
    video_id: str
    text_version: int
    text: str
    draft: str
    evidence: str
    """In lines."""
    claims: Sequence[Mapping[str, Any]]
    """As in DESCRIPTIONS, times from the track's start."""


class Outgoing(BaseModel):
    """What an export for review holds, as `export.json` says beside it."""

    format: str
    corpus: str
    snapshot: int
    exported_at: str
    num_texts: int
    num_videos_without_licence: int
    without_licence: str | None
    """Why videos without licence or consent went out, in words."""


def read_track_list(path: Path) -> list[str]:
    """Track ids, one a line; empty lines and those that begin with # are left out.

    Raises:
        ExportError: the file cannot be read, or names no track.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"cannot read the list of tracks {path}: {error}") from error
    ids = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not ids:
        raise ExportError(f"{path} names no track: write one track id a line (`facescribe show tracks`)")
    return list(dict.fromkeys(ids))


def texts_to_review(
    corpus: Corpus, format: str, track_ids: Sequence[str] | None, without_licence: str | None
) -> tuple[list[OutgoingText], Outgoing]:
    """The newest text of each track that has one, or of the named tracks in their order; then by video and start.

    Returns:
        The texts, and what an export of them in `format` says of itself.

    Raises:
        ExportError: a named track is not there or has no text, or nothing is described.
        LicenceError: a video of them has no licence or consent, and `without_licence` does not say why it may go out.
        LabelLeakError: a text saw its label and is not of the split to train on.
    """
    newest = {row["track_id"]: row for row in corpus.arrow("descriptions", OF_TEXT, track_ids).to_pylist()}
    if track_ids is not None and (missing := [one for one in track_ids if one not in newest]):
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ExportError(
            f"the corpus has no text of the track {missing[0]!r}{more}: `facescribe show descriptions --columns "
            "track_id,text` lists those that have one"
        )
    if not newest:
        raise ExportError(f"snapshot {corpus.snapshot.number} describes no track: there is nothing to review")
    videos = {
        row["video_id"]: row
        for row in corpus.arrow("videos", ["video_id", "path", "licence", "consent", "split"]).to_pylist()
    }
    gone_out = {row["video_id"] for row in newest.values()}
    num_without = refuse_unlicensed([videos[video_id] for video_id in sorted(gone_out)], without_licence)
    refuse_seen_labels([{**row, "split": videos[row["video_id"]]["split"]} for row in newest.values()])
    drafts = {
        row["track_id"]: row for row in corpus.arrow("drafts", ["track_id", "text", "evidence"], newest).to_pylist()
    }
    order = list(track_ids) if track_ids is not None else _in_order(corpus, newest, videos)
    texts = [_outgoing(newest[track_id], drafts.get(track_id)) for track_id in order]
    return texts, Outgoing(
        format=format,
        corpus=corpus.store.name,
        snapshot=corpus.snapshot.number,
        exported_at=now(),
        num_texts=len(texts),
        num_videos_without_licence=num_without,
        without_licence=without_licence,
    )


def _in_order(corpus: Corpus, wanted: Collection[str], videos: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = corpus.arrow("tracks", ["track_id", "video_id", "start_s"], wanted).to_pylist()
    rows.sort(key=lambda row: (videos[row["video_id"]]["path"], row["start_s"], row["track_id"]))
    return [row["track_id"] for row in rows]


def _outgoing(text: Mapping[str, Any], draft: Mapping[str, Any] | None) -> OutgoingText:
    return OutgoingText(
        track_id=text["track_id"],
        video_id=text["video_id"],
        text_version=text["text_version"],
        text=text["text"],
        draft=draft["text"] if draft else "",
        evidence="\n".join(evidence_lines(draft["evidence"])) if draft else "",
        claims=text["claims"],
    )


def evidence_lines(evidence: str) -> Iterator[str]:
    """What was measured, an event or a stretch a line; JSON that is no evidence stays as it is."""
    try:
        measured = Evidence.model_validate_json(evidence)
    except ValidationError:
        yield evidence
        return
    yield f"measured for {measured.duration_s:.2f} s"
    for event in measured.events:
        span = f"{event.onset_s:.2f} to {event.offset_s:.2f} s, most at {event.apex_s:.2f} s"
        yield f"{event.action.replace('_', ' ')} ({event.side}), {event.intensity}: {span}"
    for hidden in measured.unmeasured:
        yield f"nothing could be measured from {hidden.start_s:.2f} to {hidden.end_s:.2f} s ({hidden.why})"


def claim_in_words(claim: Mapping[str, Any]) -> str:
    """A claim on one line: what, where, when, and what the check said of it."""
    what = f"{'no ' if claim['polarity'] == 'absent' else ''}{claim['action'].replace('_', ' ')} ({claim['side']})"
    how = f", {claim['intensity']}" if claim["polarity"] != "absent" else ""
    span = f"{claim['start_s']:.2f} to {claim['end_s']:.2f} s"
    return f"{what}{how}: {span}; {claim['verdict'].replace('_', ' ')}"


def shown(text: str) -> str:
    """The text as a tool of others shows it: as on our own pages, what cannot be seen, or turns text, is named."""
    return str(name_unseen(text.replace("\r\n", "\n")))


def is_same_text(one: str, other: str) -> bool:
    """Whether two texts differ by no more than a form in a browser changes by itself: line ends, space around."""
    return _as_typed(one) == _as_typed(other)


def _as_typed(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
