"""Texts go to Label Studio and come back as the decisions that were taken there, spans in presentation time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from flows.__main__ import app
from pipeline.descriptions.label_policy import LabelLeakError
from pipeline.export.folder import ExportError, faults_of_checksums
from pipeline.export.licence_policy import LicenceError
from pipeline.inspection.corpus import Corpus
from pipeline.reviews.answers import Answers
from pipeline.reviews.importing import import_reviews
from pipeline.reviews.label_studio import export_label_studio
from pipeline.reviews.label_studio_answers import read_label_studio
from pipeline.reviews.record import ReviewFileError, sha256_of
from pipeline.reviews.time_map import TimeMap, read_time_map
from pipeline.store import Store
from pipeline.videos.frames import av_version, read_frames
from schemas.reviews import DECISIONS
from tests.reviews.film_corpus import SIDE_PX, Film, claim, crop_saying, number_of, numbers_in_film, write_film_corpus

REAL_TOOLS = os.environ.get("FACESCRIBE_REVIEW_TOOLS_PYTHON")
"""A Python with label-studio-sdk and argilla, which have requirements of their own."""

HOSTILE = (
    "</Text><script>alert(1)</script> $video {{7*7}} \u202eevil\u202c \u200f\u05e9\u05dc\u05d5\u05dd \U0001f600 \"'& "
    "]]> <img src=x onerror=alert(2)>"
)

# A phone's clock: 30 frames a second, then 20 in the dark, with jitter and a pause.
GAPS_S = [1 / 30] * 20 + [1 / 20 + 0.003 * (-1) ** n for n in range(20)] + [0.31] + [1 / 30] * 12
UNSTEADY = tuple(np.cumsum([2.5, *GAPS_S]).tolist())

ANN = Film("ann")
BEN = Film("ben", times_s=UNSTEADY, claims=(claim("mouth", 0.1, 0.5), claim("eyes", 0.0, 2.4, polarity="absent")))
WHEN = datetime(2026, 1, 31, 12, 0, 0, 250000, tzinfo=UTC)

Export = Callable[..., tuple[Path, TimeMap]]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return write_film_corpus(tmp_path / "corpus", [ANN, BEN])


@pytest.fixture
def sent(corpus: Corpus, tmp_path: Path) -> Path:
    export_label_studio(corpus, tmp_path / "out")
    return tmp_path / "out"


def write_unsteady_clip(path: Path) -> Path:
    """An MP4 whose frames say their number and are shown at UNSTEADY, to a 90000th of a second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"crf": "18"})
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 90_000)
        for number, time_s in enumerate(UNSTEADY):
            decoded: Any = cv2.imdecode(np.frombuffer(crop_saying(number), np.uint8), cv2.IMREAD_COLOR_RGB)
            frame = av.VideoFrame.from_ndarray(decoded, format="rgb24")
            frame.pts, frame.time_base = round(time_s * 90_000), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def tasks_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {task["data"]["track_id"]: task for task in json.loads((folder / "tasks.json").read_text())}


def annotated(
    task: Mapping[str, Any],
    decision: str | None = "accept",
    *,
    text: str | None = None,
    reason: str | None = None,
    spans: Mapping[str, tuple[int, int, str] | None] | None = None,
    number: int = 1,
    from_prediction: bool = True,
    **more: Any,
) -> dict[str, Any]:
    """A task with one annotation as Label Studio 1.23 exports it (JSON), begun from the prediction.

    `spans`: by region id, first and last frame and label, or None for a region that was deleted.
    """
    begun = task["predictions"][0]["result"] if from_prediction else []
    results = [{**json.loads(json.dumps(result)), "origin": "prediction"} for result in begun]
    for region, span in (spans or {}).items():
        results = [result for result in results if result["id"] != region]
        if span is not None:
            value = {"ranges": [{"start": span[0], "end": span[1]}], "timelinelabels": [span[2]]}
            results.append(result_of(region, "claims", "timelinelabels", value))
    if text is not None:
        results = [result for result in results if result["id"] != "text"]
        results.append(result_of("text", "edited_text", "textarea", {"text": [text]}))
    if decision is not None:
        results.append(result_of("9iYmBTp2SW", "decision", "choices", {"choices": [decision]}))
    if reason is not None:
        results.append(result_of("vIeEChkcDG", "reason", "textarea", {"text": [reason]}))
    annotation = {
        "id": number,
        "completed_by": 1,
        "result": results,
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-01-31T11:59:00.000000Z",
        "updated_at": "2026-01-31T12:00:00.250000Z",
        "draft_created_at": None,
        "lead_time": 5.691,
        "prediction": {"id": 1, "result": begun},
        "result_count": len(results),
        "unique_id": "7e6b2f6c-fd29-4659-880c-d9fac3e9997a",
        "parent_prediction": 1 if from_prediction else None,
        "parent_annotation": None,
        **more,
    }
    plain = {"drafts": [], "predictions": [1], "meta": {}, "inner_id": 1, "total_annotations": 1, "project": 1}
    return {"id": number, "annotations": [annotation], "data": task["data"], **plain}


def result_of(id: str, name: str, type: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"value": value, "id": id, "from_name": name, "to_name": "video", "type": type, "origin": "manual"}


def read(tmp_path: Path, sent: Path, exported: Sequence[Mapping[str, Any]], **more: Any) -> Answers:
    path = tmp_path / "project.json"
    path.write_text(json.dumps(exported), encoding="utf-8")
    return read_label_studio(path, read_time_map(sent), **more)


def test_the_folder_holds_tasks_films_and_a_map_and_names_no_machine(sent: Path, tmp_path: Path) -> None:
    assert faults_of_checksums(sent) == []
    names = sorted(path.name for path in sent.iterdir())
    assert names == ["checksums.sha256", "export.json", "labeling.xml", "media", "tasks.json", "time_map.json"]
    task = tasks_of(sent)[ANN.track_id]
    assert task["data"]["video"] == f"/data/local-files/?d=media/{ANN.track_id}.mp4"
    assert (sent / "media" / f"{ANN.track_id}.mp4").is_file()
    assert (task["data"]["fps"], task["data"]["text_sha256"]) == (30, sha256_of(ANN.text))
    for path in sent.glob("*.*"):
        told = path.read_text(encoding="utf-8")
        assert str(tmp_path) not in told and str(Path.home()) not in told, path
        assert "ann.mp4" not in told, path  # nor whose video it is


def test_claims_are_spans_on_the_films_own_frames(sent: Path) -> None:
    (spans, text) = tasks_of(sent)[ANN.track_id]["predictions"][0]["result"]
    # 0.2 s to 0.6 s at 30 frames a second: frames 6 to 18 from 0, which Label Studio counts from 1.
    assert spans["value"] == {"ranges": [{"start": 7, "end": 19}], "timelinelabels": ["jaw"]}
    assert (spans["id"], spans["type"], spans["from_name"]) == ("claim-0", "timelinelabels", "claims")
    assert spans["meta"]["text"] == ["jaw drop (middle), strong: 0.20 to 0.60 s; supported"]
    assert text["value"] == {"text": [ANN.text]}


def test_the_interface_has_every_control_and_all_of_it_is_ours(sent: Path) -> None:
    tree = ET.fromstring((sent / "labeling.xml").read_text())
    video = tree.find("Video")
    assert video is not None and (video.get("value"), video.get("frameRate")) == ("$video", "$fps")
    choices = [choice.get("value") for choice in tree.findall("Choices/Choice")]
    assert choices == list(DECISIONS)
    labels = {label.get("value") for label in tree.findall("TimelineLabels/Label")}
    assert {"jaw", "mouth", "eyes", "brows", "head", "gaze"} <= labels
    assert [area.get("name") for area in tree.findall("TextArea")] == ["edited_text", "reason"]


def test_films_of_unsteady_clips_show_what_their_map_says(sent: Path) -> None:
    for track in read_time_map(sent).tracks:
        numbers, _, rate = numbers_in_film(sent / "media" / f"{track.track_id}.mp4")
        assert (numbers, rate) == (track.shown, track.fps)
        assert set(numbers) == set(range(len(track.times_s)))


def test_decisions_come_back_as_they_were_taken(sent: Path, tmp_path: Path) -> None:
    tasks = tasks_of(sent)
    exported = [
        annotated(tasks[ANN.track_id], "edit", text="The jaw drops.", reason="not that strongly"),
        annotated(tasks[BEN.track_id], "unsure", number=2, completed_by={"id": 7, "email": "ben@example.org"}),
    ]
    answers = read(tmp_path, sent, exported)
    assert answers.left_out == []
    edit, unsure = answers.records
    assert (edit.track_id, edit.text_version, edit.text_sha256) == (ANN.track_id, 1, sha256_of(ANN.text))
    assert (edit.decision, edit.edited_text, edit.reason) == ("edit", "The jaw drops.", "not that strongly")
    assert (edit.reviewer, edit.reviewed_at, edit.came_from) == ("label-studio:1", WHEN, "label_studio")
    assert (edit.spans, edit.is_blind) == ((), None)
    assert (unsure.decision, unsure.edited_text, unsure.reviewer) == ("unsure", None, "ben@example.org")
    named = read(tmp_path, sent, exported, reviewers={"1": "anna", "ben@example.org": "ben"})
    assert [record.reviewer for record in named.records] == ["anna", "ben"]


def test_they_become_rows_of_the_corpus_once(corpus: Corpus, sent: Path, tmp_path: Path) -> None:
    tasks = tasks_of(sent)
    exported = [annotated(tasks[BEN.track_id], "reject", spans={"claim-1": None, "claim-0": (5, 9, "mouth")})]
    records = read(tmp_path, sent, exported).records
    assert len(import_reviews(corpus.store, records).added) == 1
    assert import_reviews(corpus.store, read(tmp_path, sent, exported).records).num_known == 1
    (row,) = Corpus(corpus.store.root).arrow("reviews").to_pylist()
    assert (row["decision"], row["came_from"], row["reviewed_at"]) == ("reject", "label_studio", WHEN)
    moved, removed = sorted(row["spans"], key=lambda span: span["claim"])
    assert (moved["change"], removed["change"], removed["region"]) == ("moved", "removed", "eyes")
    assert removed["was_start_s"] == pytest.approx(BEN.times_s[0])


def test_spans_of_an_unsteady_clip_come_back_within_half_a_frame(sent: Path, tmp_path: Path) -> None:
    """A reviewer stops the film at what is seen; a rate alone would be off by many frames here."""
    task = tasks_of(sent)[BEN.track_id]
    numbers, _, _ = numbers_in_film(sent / "media" / f"{BEN.track_id}.mp4")
    drift_s = 0.0
    for first in range(0, len(UNSTEADY) - 8, 3):
        starts_at, ends_at = numbers.index(first) + 1, len(numbers) - numbers[::-1].index(first + 8)
        exported = [annotated(task, "accept", spans={"claim-0": (starts_at, ends_at, "mouth")})]
        (record,) = read(tmp_path, sent, exported).records
        moved = next(one for one in record.spans or () if one.claim == 0)
        assert moved.start_s is not None and moved.end_s is not None
        half_s = min(np.diff(UNSTEADY)) / 2
        assert abs(moved.start_s - UNSTEADY[first]) < half_s and abs(moved.end_s - UNSTEADY[first + 8]) < half_s
        assert (moved.was_start_s, moved.was_end_s) == (UNSTEADY[0] + 0.1, UNSTEADY[0] + 0.5)
        mean_fps = (len(UNSTEADY) - 1) / (UNSTEADY[-1] - UNSTEADY[0])
        drift_s = max(drift_s, abs(first / mean_fps - (UNSTEADY[first] - UNSTEADY[0])))
    assert drift_s > 0.2  # what counting the clip's own frames at its mean rate would have been off by


def test_spans_name_the_frame_of_the_source_that_the_reviewer_saw(tmp_path: Path) -> None:
    """From a file whose container states uneven times, through decoding, film and answer, back to its frame."""
    source = write_unsteady_clip(tmp_path / "phone.mp4")
    of_source = {frame.time_s: number_of(frame.rgb) for frame in read_frames(source, av_version())}
    assert list(of_source.values()) == list(range(len(UNSTEADY)))
    corpus = write_film_corpus(tmp_path / "corpus", [Film("phone", times_s=tuple(of_source))])
    export_label_studio(corpus, tmp_path / "out")
    (task,) = tasks_of(tmp_path / "out").values()
    (film,) = (tmp_path / "out" / "media").iterdir()
    numbers, _, _ = numbers_in_film(film)
    for frame in range(1, len(numbers) + 1, 5):
        (record,) = read(tmp_path, tmp_path / "out", [annotated(task, spans={"new": (frame, frame, "jaw")})]).records
        added = next(one for one in record.spans or () if one.change == "added")
        assert added.start_s is not None and of_source[added.start_s] == numbers[frame - 1]


def test_an_end_that_stays_is_the_claims_own_and_a_span_that_stays_is_no_change(sent: Path, tmp_path: Path) -> None:
    task = tasks_of(sent)[ANN.track_id]
    (record,) = read(tmp_path, sent, [annotated(task, spans={"claim-0": (7, 25, "jaw")})]).records
    (moved,) = record.spans or ()
    assert (moved.change, moved.start_s, moved.end_s) == ("moved", 0.2, 24 / 30)
    (record,) = read(tmp_path, sent, [annotated(task, spans={"claim-0": (19, 7, "jaw")})]).records
    assert record.spans == ()  # dragged from right to left
    (record,) = read(tmp_path, sent, [annotated(task, spans={"claim-0": (7, 19, "mouth")})]).records
    assert [(one.change, one.region, one.start_s) for one in record.spans or ()] == [("moved", "mouth", 0.2)]


def test_spans_are_added_and_removed(sent: Path, tmp_path: Path) -> None:
    task = tasks_of(sent)[ANN.track_id]
    spans = {"claim-0": None, "3eKOJ5ndoM": (1, 3, "brows")}
    (record,) = read(tmp_path, sent, [annotated(task, spans=spans)]).records
    told = [(one.change, one.claim, one.region, one.start_s, one.was_end_s) for one in record.spans or ()]
    assert told == [("added", None, "brows", 0.0, None), ("removed", 0, "jaw", None, pytest.approx(0.6))]
    # Who began without the prediction was not shown the claims as spans, and removed none.
    exported = [annotated(task, spans={"3eKOJ5ndoM": (1, 3, "brows")}, from_prediction=False)]
    (record,) = read(tmp_path, sent, exported).records
    assert [one.change for one in record.spans or ()] == ["added"]


def test_a_map_of_another_export_is_refused(corpus: Corpus, sent: Path, tmp_path: Path) -> None:
    exported = [annotated(tasks_of(sent)[ANN.track_id])]
    others = {
        "other times": Film("ann", times_s=tuple(time_s * 1.01 for time_s in ANN.times_s)),
        "another text": Film("ann", text="The brows rise."),
        "other claims": Film("ann", claims=(claim("jaw", 0.2, 0.7),)),
        "no such track": Film("cem"),
    }
    for name, film in others.items():
        there = tmp_path / name
        export_label_studio(write_film_corpus(there / "corpus", [film]), there / "out")
        with pytest.raises(ReviewFileError, match="is of another export than the time map"):
            read(tmp_path, there / "out", exported)
    # The same export made again is the same map: nothing of it has changed.
    export_label_studio(corpus, tmp_path / "again")
    assert len(read(tmp_path, tmp_path / "again", exported).records) == 1


def test_a_map_that_was_changed_is_refused(sent: Path, tmp_path: Path) -> None:
    path = sent / "time_map.json"
    told = json.loads(path.read_text())
    told["tracks"][0]["times_s"][3] += 0.001
    path.write_text(json.dumps(told))
    track_id = told["tracks"][0]["track_id"]
    with pytest.raises(ReviewFileError, match=r"is of another export than the time map.*nothing of the file was taken"):
        read(tmp_path, sent, [annotated(tasks_of(sent)[track_id])])


@pytest.mark.parametrize("data", [{"fps": 25}, {"text_version": 2}, {"text_sha256": "0" * 64}])
def test_data_that_was_changed_in_label_studio_is_refused(sent: Path, tmp_path: Path, data: dict[str, Any]) -> None:
    exported = annotated(tasks_of(sent)[ANN.track_id])
    exported["data"] = {**exported["data"], **data}
    with pytest.raises(ReviewFileError, match="its data was changed in Label Studio: expected 30 frames a second"):
        read(tmp_path, sent, [exported])


@pytest.mark.parametrize("span", [(0, 5), (7, 37), (1, 4000), (-1, 3)])
def test_frames_that_the_film_does_not_have_tell_of_a_changed_rate(
    sent: Path, tmp_path: Path, span: tuple[int, int]
) -> None:
    exported = [annotated(tasks_of(sent)[ANN.track_id], spans={"claim-0": (*span, "jaw")})]
    with pytest.raises(ReviewFileError, match=r"a span that the review copy does not have.*was frameRate changed"):
        read(tmp_path, sent, exported)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"was_cancelled": True}, "skipped by the reviewer"),
        ({"decision": None}, "no decision: one of accept, reject, edit, unsure is needed"),
        ({"decision": "edit"}, "the decision is edit, but the text was not changed"),
        ({"decision": "edit", "text": "  The jaw drops strongly.\r\n"}, "but the text was not changed"),
        ({"decision": "accept", "text": "The jaw drops."}, "the text was changed, but the decision is accept"),
        ({"decision": "perhaps"}, "decision: "),
        ({"reason": "x" * 10_001}, "reason: "),
        ({"completed_by": None}, "reviewer"),
        ({"updated_at": None, "created_at": None}, "it has no time"),
    ],
)
def test_what_is_no_decision_is_left_out_and_named(sent: Path, tmp_path: Path, more: dict[str, Any], why: str) -> None:
    tasks = tasks_of(sent)
    exported = [annotated(tasks[BEN.track_id], number=4), annotated(tasks[ANN.track_id], number=5, **more)]
    answers = read(tmp_path, sent, exported)
    assert [record.track_id for record in answers.records] == [BEN.track_id]
    (line,) = answers.left_out
    assert "task 5, annotation 5" in line and why in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "is damaged: no JSON"),
        ("3", "is no export of Label Studio"),
        ('[{"video": "a.mp4", "decision": "edit", "annotator": 1}]', "choose the format JSON"),
        ('[{"annotations": [], "data": {"text": "x"}}]', r"data\.fps.*a project that was made from"),
        ('[{"annotations": [{"result": 3}], "data": {}}]', "nothing of the file was taken"),
        ("[" * 100_000, "is damaged"),
    ],
)
def test_other_files_are_refused(sent: Path, tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "project.json"
    path.write_text(content)
    with pytest.raises(ReviewFileError, match=words):
        read_label_studio(path, read_time_map(sent))


def test_open_tasks_are_nothing(sent: Path, tmp_path: Path) -> None:
    exported = annotated(tasks_of(sent)[ANN.track_id]) | {"annotations": []}
    assert read(tmp_path, sent, [exported]) == Answers()
    assert read(tmp_path, sent, []) == Answers()


def test_hostile_text_stays_text_and_goes_round(tmp_path: Path) -> None:
    hostile = Film(
        "../</View>", text=HOSTILE, claims=(claim("jaw", 0, 1, why=HOSTILE),), track_name="../../evil\u202e/<x>&$video"
    )
    corpus = write_film_corpus(tmp_path / "corpus", [hostile])
    out = tmp_path / "out"
    export_label_studio(corpus, out)
    (film,) = (out / "media").iterdir()
    assert re.fullmatch(r"[0-9a-f]{32}\.mp4", film.name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "out"]
    assert HOSTILE not in (out / "labeling.xml").read_text() and "script" not in (out / "labeling.xml").read_text()
    told = (out / "tasks.json").read_text(encoding="ascii")
    task = json.loads(told)[0]
    shown = HOSTILE.replace("\u202e", "⟨U+202E⟩").replace("\u202c", "⟨U+202C⟩")
    assert task["data"]["text"] == shown == task["predictions"][0]["result"][-1]["value"]["text"][0]
    assert not set("\u202e\u202c") & set(json.dumps(task["data"]["claims_told"], ensure_ascii=False))
    # Left as it is, the text was not changed, though what cannot be seen is named in the form.
    (record,) = read(tmp_path, out, [annotated(task)]).records
    assert (record.text_sha256, record.edited_text) == (sha256_of(HOSTILE), None)
    (record,) = read(tmp_path, out, [annotated(task, "edit", text=HOSTILE + "!", reason=HOSTILE)]).records
    assert (record.edited_text, record.reason) == ((HOSTILE + "!").strip(), HOSTILE)
    assert len(import_reviews(corpus.store, [record]).added) == 1


def test_no_video_leaves_without_licence_or_in_view_of_its_label(tmp_path: Path) -> None:
    films = [ANN, Film("dan", video={"licence": "CC0-1.0"}), Film("eva", saw_label=True)]
    corpus = write_film_corpus(tmp_path / "corpus", films)
    with pytest.raises(LicenceError, match="of 3 videos 1 lack a consent"):
        export_label_studio(corpus, tmp_path / "out")
    with pytest.raises(LabelLeakError):
        export_label_studio(corpus, tmp_path / "out", without_licence="a test")
    assert not (tmp_path / "out").exists()
    # What is not asked for stands in nobody's way.
    assert export_label_studio(corpus, tmp_path / "out", [ANN.track_id]).num_videos_without_licence == 0
    made = export_label_studio(corpus, tmp_path / "two", [films[1].track_id, ANN.track_id], "a test")
    assert (made.num_texts, made.num_videos_without_licence, made.without_licence) == (2, 1, "a test")
    assert list(tasks_of(tmp_path / "two")) == [films[1].track_id, ANN.track_id]
    with pytest.raises(ExportError, match="the corpus has no text of the track 'nobody'"):
        export_label_studio(corpus, tmp_path / "three", ["nobody"])


def test_as_people_type_it(corpus: Corpus, tmp_path: Path) -> None:
    root, out, listed = str(corpus.store.root), tmp_path / "out", tmp_path / "anna.txt"
    listed.write_text(f"# for anna\n{BEN.track_id}\n\n")
    run = CliRunner()
    outcome = run.invoke(
        app, ["review", "export", str(out), "--format", "label-studio", "--root", root, "--tracks", str(listed)]
    )
    assert outcome.exit_code == 0, outcome.output
    assert "1 texts of snapshot 1 for label-studio" in outcome.output
    exported = tmp_path / "project.json"
    exported.write_text(json.dumps([annotated(tasks_of(out)[BEN.track_id], "accept")]))
    asked = ["review", "import", str(exported), "--format", "label-studio", "--root", root]
    assert run.invoke(app, asked).exit_code == 2
    outcome = run.invoke(app, [*asked, "--map", str(out), "--reviewer", "1=anna"])
    assert (outcome.exit_code, "taken: 1 reviews (1 accept)" in outcome.output) == (0, True), outcome.output
    (row,) = Corpus(root).arrow("reviews").to_pylist()
    assert (row["reviewer"], row["decision"]) == ("anna", "accept")
    for wrong in (["--reviewer", "anna"], ["--format", "gallery", "--map", str(out)], ["--format", "excel"]):
        assert run.invoke(app, [*asked, "--map", str(out), *wrong]).exit_code == 2
    assert run.invoke(app, ["review", "export", str(tmp_path / "x"), "--format", "csv", "--root", root]).exit_code == 2
    assert Store.open(Path(root)) is not None


@pytest.mark.slow
@pytest.mark.skipif(REAL_TOOLS is None, reason="FACESCRIBE_REVIEW_TOOLS_PYTHON names no Python with label-studio-sdk")
def test_the_real_sdk_finds_no_fault(sent: Path, tmp_path: Path) -> None:
    tasks = tasks_of(sent)
    exported = tmp_path / "project.json"
    exported.write_text(json.dumps([annotated(task, "edit", text="x", reason=HOSTILE) for task in tasks.values()]))
    script = Path(__file__).with_name("real_tools.py")
    told = subprocess.run(
        [str(REAL_TOOLS), str(script), "label-studio", str(sent), str(exported)], capture_output=True, check=True
    )
    found = json.loads(told.stdout)
    assert found["controls"] == ["claims", "decision", "edited_text", "reason"]
    assert (found["num_tasks"], found["num_annotations"]) == (2, 2)
    assert (found["faults"], found["sees_faults"]) == ([], True)
