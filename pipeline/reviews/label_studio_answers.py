"""Read what reviewers did in Label Studio: its JSON export, held against the time map of what was sent out.

Format: https://labelstud.io/guide/export (JSON): a list of tasks with `data` and `annotations`, each of these with
`completed_by` (an id, or a person with an e-mail), `updated_at` and `result`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.reviews.answers import Answers, ContradictionError, checked_edit
from pipeline.reviews.label_studio import CLAIM_ID, CLAIMS, DECISION, REASON, TEXT
from pipeline.reviews.record import ReviewFileError, ReviewRecord, SpanChange, in_words, read_bytes
from pipeline.reviews.time_map import TimeMap, TrackMap

MOST_BYTES = 1 << 30


class _Person(BaseModel):
    id: int | None = None
    email: str | None = None


class _Result(BaseModel):
    id: str = ""
    from_name: str = ""
    type: str = ""
    value: dict[str, Any] = Field(default_factory=dict)


class _Annotation(BaseModel):
    id: int | None = None
    completed_by: _Person | int | str | None = None
    result: list[_Result]
    was_cancelled: bool = False
    updated_at: AwareDatetime | None = None
    created_at: AwareDatetime | None = None
    parent_prediction: int | None = None

    def when(self) -> datetime | None:
        """The last change: the same in every export until it is changed again."""
        return self.updated_at or self.created_at


class _Data(BaseModel):
    fps: float
    track_id: str
    text_version: int
    text_sha256: str
    time_map_sha256: str


class _Task(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: int | None = None
    data: _Data
    annotations: list[_Annotation]


_TASKS = TypeAdapter(list[_Task])


def read_label_studio(path: Path, time_map: TimeMap, reviewers: Mapping[str, str] | None = None) -> Answers:
    """Every annotation as a decision. Tasks without one are still open, and nothing.

    Args:
        time_map: of the export that the tasks were imported from.
        reviewers: names of people by their id or e-mail in Label Studio; who has none keeps the e-mail, or the id.

    Raises:
        ReviewFileError: no JSON export, tasks of another export than the map, or spans in frames that the copy does not
            have. Nothing of such a file is taken.
    """
    tasks = _read_tasks(path)
    tracks = time_map.by_track()
    answers = Answers()
    for number, task in enumerate(tasks):
        where = f"{path}: task {task.id if task.id is not None else f'at [{number}]'}"
        track = _track_of(task, tracks, where)
        for annotation in task.annotations:
            which = f"{where}, annotation {annotation.id}"
            if (why := _no_answer(annotation)) is not None:
                answers.left_out.append(f"{which}: {why}")
                continue
            spans = tuple(_span_changes(annotation, track, which))
            try:
                answers.records.append(_record(annotation, track, spans, reviewers or {}))
            except ValidationError as error:
                answers.left_out.append(f"{which}: {in_words(error)}")
            except ContradictionError as error:
                answers.left_out.append(f"{which}: {error}")
    return answers


def _read_tasks(path: Path) -> list[_Task]:
    try:
        listed: Any = json.loads(read_bytes(path, MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise ReviewFileError(f"{path} is damaged: no JSON ({error}); export again in Label Studio") from error
    if isinstance(listed, dict) and "annotations" in listed:
        listed = [listed]
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ReviewFileError(f"{path} is no export of Label Studio: expected a list of tasks; choose the format JSON")
    if listed and all("annotations" not in one for one in listed):
        raise ReviewFileError(
            f"{path} holds tasks without annotations: choose the format JSON in Label Studio's export (JSON-MIN and "
            "CSV leave out what says which text was judged); tasks.json is what goes in, not what comes out"
        )
    try:
        return _TASKS.validate_python(listed)
    except ValidationError as error:
        raise ReviewFileError(
            f"{path}: {in_words(error)}; nothing of the file was taken. Is it a project that was made from "
            "`facescribe review export`?"
        ) from error


def _track_of(task: _Task, tracks: Mapping[str, TrackMap], where: str) -> TrackMap:
    """The part of the map that the task was made with."""
    track = tracks.get(task.data.track_id)
    if track is None or track.sha256 != task.data.time_map_sha256:
        had = "does not have this track" if track is None else "tells other times or another text of this track"
        raise ReviewFileError(
            f"{where} is of another export than the time map, which {had}: give --map the time_map.json of the export "
            "whose tasks.json was imported; nothing of the file was taken"
        )
    if (task.data.fps, task.data.text_version, task.data.text_sha256) != (
        track.fps,
        track.text_version,
        track.text_sha256,
    ):
        raise ReviewFileError(
            f"{where}: its data was changed in Label Studio: expected {track.fps} frames a second and version "
            f"{track.text_version} of the text as sent out; nothing of the file was taken"
        )
    return track


def _no_answer(annotation: _Annotation) -> str | None:
    if annotation.was_cancelled:
        return "skipped by the reviewer"
    if annotation.when() is None:
        return "it has no time"
    if len(_values(annotation, DECISION, "choices")) != 1:
        return "no decision: one of accept, reject, edit, unsure is needed"
    return None


def _values(annotation: _Annotation, control: str, name: str) -> list[str]:
    """What was chosen or written in a control, all of it."""
    found: list[str] = []
    for result in annotation.result:
        if result.from_name == control:
            said = result.value.get(name)
            found += [str(one) for one in (said if isinstance(said, list) else [said] if said is not None else [])]
    return found


def _record(
    annotation: _Annotation, track: TrackMap, spans: tuple[SpanChange, ...], reviewers: Mapping[str, str]
) -> ReviewRecord:
    (decision,) = _values(annotation, DECISION, "choices")
    written = "\n".join(_values(annotation, TEXT, "text"))
    edited = checked_edit(decision, written, track.text)
    return ReviewRecord.model_validate(
        {
            "track_id": track.track_id,
            "text_version": track.text_version,
            "text_sha256": track.text_sha256,
            "decision": decision,
            "reason": "\n".join(_values(annotation, REASON, "text")) or None,
            "edited_text": edited,
            "reviewed_at": annotation.when(),
            "reviewer": _name_of(annotation.completed_by, reviewers),
            "came_from": "label_studio",
            "spans": spans,
        }
    )


def _name_of(completed_by: _Person | int | str | None, reviewers: Mapping[str, str]) -> str:
    person = completed_by if isinstance(completed_by, _Person) else _Person()
    if isinstance(completed_by, int):
        person = _Person(id=completed_by)
    elif isinstance(completed_by, str):
        person = _Person(email=completed_by)
    for known in (person.email, person.id):
        if known is not None and (name := reviewers.get(str(known))) is not None:
            return name
    return person.email or (f"label-studio:{person.id}" if person.id is not None else "")


def _span_changes(annotation: _Annotation, track: TrackMap, which: str) -> Iterator[SpanChange]:
    """What became of the claims' spans. What lies where it lay, on the copy's frames, has not changed at all."""
    left = dict(enumerate(track.claims))
    began_from_claims = annotation.parent_prediction is not None
    for result in annotation.result:
        if result.from_name != CLAIMS:
            continue
        region, spans = _region_and_spans(result, track, which)
        number = _claim_number(result.id, len(track.claims))
        began_from_claims |= number is not None
        for start_s, end_s in spans:
            claim = left.pop(number, None) if number is not None else None
            if claim is None or number is None:
                yield SpanChange(change="added", claim=None, region=region, start_s=start_s, end_s=end_s)
                continue
            was = track.time_of(claim.first_frame), track.time_of(claim.last_frame)
            if (region, start_s, end_s) != (claim.region, *was):
                yield SpanChange(
                    change="moved",
                    claim=number,
                    region=region,
                    # An end that was not moved is still exactly where the claim has it.
                    start_s=claim.start_s if start_s == was[0] else start_s,
                    end_s=claim.end_s if end_s == was[1] else end_s,
                    was_start_s=claim.start_s,
                    was_end_s=claim.end_s,
                )
    if began_from_claims:  # else the reviewer was not shown them as spans, and removed none
        for number, claim in sorted(left.items()):
            yield SpanChange(
                change="removed",
                claim=number,
                region=claim.region,
                was_start_s=claim.start_s,
                was_end_s=claim.end_s,
            )


def _region_and_spans(result: _Result, track: TrackMap, which: str) -> tuple[str, list[tuple[float, float]]]:
    """The label of a result and its spans in presentation time."""
    labels, ranges = result.value.get("timelinelabels"), result.value.get("ranges")
    if not isinstance(ranges, list):
        raise ReviewFileError(f"{which}: a span without ranges; expected Label Studio's timelinelabels")
    spans = []
    for one in ranges:
        try:
            frames = sorted((_frame(one["start"]), _frame(one["end"])))
            spans.append((track.time_of(frames[0]), track.time_of(frames[1])))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ReviewFileError(
                f"{which}: a span that the review copy does not have ({error}), in {one!r:.80}: was frameRate changed "
                "in the labelling interface? It must be $fps; nothing of the file was taken"
            ) from error
    region = str(labels[0]) if isinstance(labels, list) and labels else "unnamed"
    if any("\ud800" <= letter <= "\udfff" for letter in region):
        raise ReviewFileError(f"{which}: a span whose label is half a surrogate pair, {region!r:.80}, which is no text")
    return region[:200] or "unnamed", spans


def _frame(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise ValueError(f"frame {value!r:.40}")
    return int(value)


def _claim_number(result_id: str, num_claims: int) -> int | None:
    number = result_id.removeprefix(CLAIM_ID)
    is_claim = result_id.startswith(CLAIM_ID) and number.isascii() and number.isdigit() and len(number) < 5
    return int(number) if is_claim and int(number) < num_claims else None
