"""Send texts out to Label Studio: a film of each track's crops, its claims as spans on the time line, its text to edit.

    labeling.xml     the labelling interface, for Settings > Labeling Interface > Code
    tasks.json       one task a track, with a prediction: claims as spans, the text in its field
    media/*.mp4      the review copies
    time_map.json    which presentation time each frame shows; needed for the import, and no part of what is uploaded
    export.json      what this folder holds

Formats: https://labelstud.io/guide/tasks, /guide/predictions, /tags/timelinelabels, /tags/video. Label Studio counts
frames from 1 by the `frameRate` that it is told, both ends of a span included; here each task tells its copy's own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import progress
from pipeline.export.folder import refuse_folder, whole_folder
from pipeline.inspection.corpus import Corpus
from pipeline.reviews.outgoing import OUTGOING, Outgoing, OutgoingText, claim_in_words, shown, texts_to_review
from pipeline.reviews.review_copy import plan_copy, write_copy
from pipeline.reviews.time_map import TIME_MAP, ClaimSpan, TimeMap, TrackMap, frames_of_span
from schemas.actions import TOLD_ACTIONS
from schemas.reviews import DECISIONS

MEDIA = "media"

MEDIA_URL = f"/data/local-files/?d={MEDIA}/"
"""Label Studio's address of files below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, where that is the export's folder."""

REGION_COLOURS = {
    "brows": "#4269d0",
    "eyes": "#6cc5b0",
    "nose": "#9c6b4e",
    "cheeks": "#ff8ab7",
    "mouth": "#ff725c",
    "jaw": "#efb118",
    "head": "#a463f2",
    "gaze": "#3ca951",
}
if set(REGION_COLOURS) != {told.region for told in TOLD_ACTIONS.values()}:
    raise AssertionError("the labels of the interface are not the regions of the actions")

CLAIMS, DECISION, TEXT, REASON = "claims", "decision", "edited_text", "reason"
"""Names of the controls, by which results are told apart."""

CLAIM_ID = "claim-"
"""Regions that stand for a claim have this, and its number from 0, as their id. Label Studio keeps ids."""

_PLAIN_NAME = re.compile(r"[0-9A-Za-z_-]{1,64}")


def labelling_interface() -> str:
    """The labelling interface as Label Studio's XML. It holds nothing of the data."""
    labels = "\n".join(
        f'    <Label value="{region}" background="{colour}"/>' for region, colour in REGION_COLOURS.items()
    )
    choices = "\n".join(f'    <Choice value="{decision}"/>' for decision in DECISIONS)
    return f"""<View style="overflow-wrap: anywhere">
  <Video name="video" value="$video" frameRate="$fps" height="360" timelineHeight="150" muted="true"/>
  <TimelineLabels name="{CLAIMS}" toName="video">
{labels}
  </TimelineLabels>
  <Header value="The text" size="5"/>
  <Text name="text" value="$text"/>
  <Header value="What it claims, and what the check says of that" size="5"/>
  <Text name="claims_told" value="$claims_told"/>
  <Header value="Is it what the face does?" size="5"/>
  <Choices name="{DECISION}" toName="video" choice="single-radio" showInline="true" required="true"
           requiredMessage="Choose accept, reject, edit or unsure.">
{choices}
  </Choices>
  <Header value="Your text, where you choose edit (point at it: the pencil opens it)" size="5"/>
  <TextArea name="{TEXT}" toName="video" rows="4" maxSubmissions="1" editable="true" showSubmitButton="true"/>
  <Header value="Why" size="5"/>
  <TextArea name="{REASON}" toName="video" rows="2" maxSubmissions="1" editable="true" showSubmitButton="true"/>
</View>
"""


def export_label_studio(
    corpus: Corpus,
    folder: Path,
    track_ids: Sequence[str] | None = None,
    without_licence: str | None = None,
    *,
    media_url: str = MEDIA_URL,
) -> Outgoing:
    """Write the folder, whole or not at all. Memory: the texts, and one track's crops.

    Args:
        track_ids: in the order of their tasks; None: every track that has a text.
        media_url: what a copy's file name is added to, so that Label Studio finds it.

    Raises:
        ExportError: the folder is not empty or lies in the corpus, or there is nothing to review.
        LicenceError: a video has no licence or consent, and `without_licence` does not say why it may go out.
        LabelLeakError: a text saw its label and is not of the split to train on.
    """
    refuse_folder(corpus, folder)
    texts, made = texts_to_review(corpus, "label-studio", track_ids, without_licence)
    with whole_folder(folder) as out:
        (out / MEDIA).mkdir()
        tracks, tasks = [], []
        for number, text in enumerate(texts):
            name = media_name(text.track_id)
            track = _send_out(corpus, text, out / MEDIA / name)
            tracks.append(track)
            tasks.append(_task(text, track, media_url + name, made))
            progress.report("review_copies", 0, done=number + 1, total=len(texts))
        time_map = TimeMap(corpus=made.corpus, snapshot=made.snapshot, exported_at=made.exported_at, tracks=tracks)
        # ASCII alone: whatever a text holds, the file can be looked at in a terminal.
        (out / "tasks.json").write_text(json.dumps(tasks, indent=1) + "\n", encoding="ascii")
        (out / TIME_MAP).write_text(json.dumps(time_map.model_dump()) + "\n", encoding="ascii")
        (out / "labeling.xml").write_text(labelling_interface(), encoding="utf-8")
        (out / OUTGOING).write_text(made.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return made


def media_name(track_id: str) -> str:
    """File name of a track's copy: its id, or the id's hash where that is no plain name."""
    plain = track_id if _PLAIN_NAME.fullmatch(track_id) else hashlib.sha256(track_id.encode()).hexdigest()[:32]
    return f"{plain}.mp4"


def _send_out(corpus: Corpus, text: OutgoingText, file: Path) -> TrackMap:
    """Write a track's review copy, and say what it shows when."""
    ids = text.video_id, text.track_id
    (passport,) = corpus.of_track("tracks", *ids, ["times_s", "is_gap_before"]).to_pylist()
    crops = corpus.of_track("crops", *ids, ["time_s", "crop_jpeg"]).to_pydict()
    # Of what the crops show, their own times are the truth; they are the track's, frame by frame.
    is_gap_before = passport["is_gap_before"] if passport["times_s"] == crops["time_s"] else None
    plan = plan_copy(crops["time_s"], is_gap_before)
    write_copy(file, plan, crops["crop_jpeg"])
    with file.open("rb") as written:
        media_sha256 = hashlib.file_digest(written, "sha256").hexdigest()
    times_s, seen = crops["time_s"], plan.shown.tolist()
    return TrackMap(
        track_id=text.track_id,
        text_version=text.text_version,
        text=text.text,
        fps=plan.fps,
        times_s=times_s,
        shown=seen,
        claims=[_span_of(claim, times_s, seen) for claim in text.claims],
        media_sha256=media_sha256,
    )


def _span_of(claim: dict[str, Any] | Any, times_s: Sequence[float], seen: Sequence[int]) -> ClaimSpan:
    """A claim's times count from the track's start, which is the first of its frames."""
    start_s, end_s = times_s[0] + claim["start_s"], times_s[0] + claim["end_s"]
    first, last = frames_of_span(times_s, seen, start_s, end_s)
    return ClaimSpan(region=claim["region"], start_s=start_s, end_s=end_s, first_frame=first, last_frame=last)


def _task(text: OutgoingText, track: TrackMap, video: str, made: Outgoing) -> dict[str, Any]:
    told = [claim_in_words(claim) for claim in text.claims]
    spans = [
        {
            "id": f"{CLAIM_ID}{number}",
            "from_name": CLAIMS,
            "to_name": "video",
            "type": "timelinelabels",
            "value": {
                "ranges": [{"start": span.first_frame, "end": span.last_frame}],
                "timelinelabels": [span.region],
            },
            "meta": {"text": [shown(words)]},
        }
        for number, (span, words) in enumerate(zip(track.claims, told, strict=True))
    ]
    to_edit = {
        "id": "text",
        "from_name": TEXT,
        "to_name": "video",
        "type": "textarea",
        "value": {"text": [shown(text.text)]},
    }
    return {
        "data": {
            "video": video,
            "fps": track.fps,
            "text": shown(text.text),
            "claims_told": shown("\n".join(told)) or "It claims nothing that is checked.",
            "track_id": text.track_id,
            "text_version": text.text_version,
            "text_sha256": track.text_sha256,
            "time_map_sha256": track.sha256,
        },
        "predictions": [{"model_version": f"facescribe snapshot {made.snapshot}", "result": [*spans, to_edit]}],
    }
