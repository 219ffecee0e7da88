"""The report: both kinds of texts apart, what is missing said, rendered truth joined, and text that stays text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from flows.audit import audit as audit_command
from pipeline.actions.blendshapes import BLENDSHAPE_NAMES
from pipeline.audit.page import write_page
from pipeline.audit.report import LABEL_FREE, LABEL_SHOWN, AuditReport, audit
from pipeline.audit.texts import AuditError
from pipeline.descriptions.evidence import Evidence
from pipeline.descriptions.judging import claim_of
from schemas.table import write_cell
from schemas.tracks import TRACKS
from schemas.truth import TRUTH
from tests.audit.conftest import (
    JAW,
    LEFT_SMILE,
    SMILE,
    SMILE_THEN_JAW,
    STILL,
    CommitTexts,
    event,
    evidence,
    relabelled,
    text_of,
)
from tests.inspection.conftest import NUM_FRAMES, times, track

HOSTILE = "<script>alert('text')</script> \u202egnp.exe {{ 7 * 7 }} [bold]"

TEXTS = [
    text_of("smiles", SMILE_THEN_JAW, evidence(LEFT_SMILE, JAW), label="joy"),
    text_of("still", STILL, evidence(), status="fallback", fallback_reason="prose_too_long", num_attempts=3),
    text_of("drops", "The jaw drops.", evidence(JAW), label="surprise"),
]


def test_the_texts_of_a_corpus_come_back_as_they_were_written(commit_texts: CommitTexts) -> None:
    report = audit(commit_texts(TEXTS))
    (kind,) = report.kinds
    assert (report.num_texts, kind.kind, kind.num_texts) == (3, LABEL_FREE, 3)
    assert kind.counterfactuals is not None and len(kind.counterfactuals) == 2
    assert all(decoy.misses == [] for decoy in kind.counterfactuals[0].decoys)
    assert kind.coverage is not None and kind.coverage[0].told.hits == kind.coverage[0].told.asked == 3
    assert kind.diversity is not None and kind.diversity.statuses[1].mean_attempts == 3.0
    assert set(report.missing) == {"truth", "drift", "references"}


def test_texts_that_saw_their_label_are_never_counted_with_the_others(commit_texts: CommitTexts) -> None:
    told = relabelled(TEXTS[2], track_id="told", video_id="told", path="told.mp4", saw_label=True)
    report = audit(commit_texts([*TEXTS, told]))
    assert [(kind.kind, kind.num_texts) for kind in report.kinds] == [(LABEL_FREE, 3), (LABEL_SHOWN, 1)]


def test_only_what_is_asked_for_is_computed(commit_texts: CommitTexts) -> None:
    report = audit(commit_texts(TEXTS), only=["diversity"])
    assert report.kinds[0].diversity is not None and report.kinds[0].counterfactuals is None
    assert report.missing["leak"] == "not asked for"
    with pytest.raises(AuditError, match="no part 'beauty'"):
        audit(commit_texts(TEXTS[:1]), only=["beauty"])


def test_two_snapshots_are_compared(commit_texts: CommitTexts) -> None:
    before = commit_texts(TEXTS)
    after = commit_texts(
        [relabelled(TEXTS[0], prose=SMILE, provenance={**TEXTS[0].provenance, "prompt": "2"}), *TEXTS[1:]]
    )
    report = audit(after, before=before, only=[])
    found = report.kinds[0].drift
    assert report.against == 1 and found is not None
    assert {tuple(one.causes): (one.num_texts, one.text_changed.hits) for one in found.by_cause} == {
        ("nothing that is recorded",): (2, 0),
        ("prompt",): (1, 1),
    }


def test_a_corpus_without_texts_says_so(commit_texts: CommitTexts) -> None:
    report = audit(commit_texts([]))
    assert report.kinds == [] and report.missing["coverage"] == "the corpus holds no descriptions"


def test_evidence_of_another_version_is_told_with_its_track(commit_texts: CommitTexts) -> None:
    corpus = commit_texts([relabelled(TEXTS[0], evidence=Evidence.model_construct(duration_s=-1.0, events=()))])
    with pytest.raises(
        AuditError,
        match=r"track smiles: .* \(duration_s: Input should be greater than or equal to 0\).*build the corpus anew",
    ):
        audit(corpus)


# --- truth


def true_row() -> dict[str, Any]:
    """A face whose left lip corner rises strongly from 0.5 to 1.5 s, in a clip of two seconds."""
    wave = np.clip(1 - np.abs(np.array(times(0.0)) - 1.0) / 0.5, 0, 1)
    weights = np.zeros((NUM_FRAMES, len(BLENDSHAPE_NAMES)), np.float32)
    weights[:, BLENDSHAPE_NAMES.index("mouthSmileLeft")] = wave
    return {
        "clip": "clip.mp4",
        "face": 0,
        "identity": "somebody",
        "label": "contempt",
        "distractors": [],
        "seed": 1,
        "times_s": times(0.0),
        "is_present": [True] * NUM_FRAMES,
        "visible_share": [1.0] * NUM_FRAMES,
        "boxes_xyxy": boxes(TRUTH),
        "pose_deg": write_cell(TRUTH.field("pose_deg"), np.zeros((NUM_FRAMES, 3))),
        "blendshapes": write_cell(TRUTH.field("blendshapes"), weights),
        "events": [],
        "cuts_s": [],
        "licence": "CC0",
    }


def boxes(table: Any) -> bytes:
    return write_cell(table.field("boxes_xyxy"), np.tile([100.0, 100.0, 200.0, 220.0], (NUM_FRAMES, 1)))


def true_track(video_id: str, track_id: str) -> Mapping[str, Any]:
    return track(track_id, video_id) | {"boxes_xyxy": boxes(TRACKS)}


def test_texts_are_held_against_what_was_drawn(commit_texts: CommitTexts) -> None:
    smile = event("lip_corner_raise", "left", 0.6, 1.4)
    jaw = event("jaw_drop", "middle", 0.6, 1.4)
    right = text_of("right", SMILE, Evidence(duration_s=1.95, events=(smile,)), path="sub/clip.mp4", video_id="v")
    elsewhere = text_of("elsewhere", SMILE, evidence(LEFT_SMILE))
    corpus = commit_texts([right, elsewhere], [true_track("v", "right")])
    report = audit(corpus, truth=TRUTH.rows([true_row()]))
    measured, drawn = report.kinds[0].coverage or []
    assert (drawn.held_against, drawn.num_texts, drawn.num_left_out) == ("truth", 1, 1)
    assert (drawn.strong_told.hits, drawn.strong_told.asked) == (1, 1)
    assert drawn.correctness[0].claims_contradicted.hits == 0
    assert report.labels_from == "the truth of the clips"
    figures = {group.held_against for group in report.kinds[0].counterfactuals or []}
    assert figures == {"measurement", "truth"}

    wrong = relabelled(
        right, prose="The jaw drops.", evidence=Evidence(duration_s=1.95, events=(jaw,)), claims=(claim_of(jaw),)
    )
    report = audit(commit_texts([wrong], [true_track("v", "right")]), truth=TRUTH.rows([true_row()]))
    measured, drawn = report.kinds[0].coverage or []
    assert measured.correctness[0].claims_contradicted.hits == 0, "the measurement is wrong and cannot say so"
    assert drawn.correctness[0].claims_contradicted.hits == 1
    assert (drawn.strong_told.hits, drawn.strong_never_measured.hits) == (0, 1)


def test_a_truth_of_other_clips_is_refused(commit_texts: CommitTexts) -> None:
    with pytest.raises(AuditError, match=r"none of the 3 videos .* one of the 1 clips of the truth"):
        audit(commit_texts(TEXTS), truth=TRUTH.rows([true_row()]))


# --- page and command


class Seen(HTMLParser):
    """The tags and the text that a browser makes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def hostile_report(commit_texts: CommitTexts) -> AuditReport:
    own = text_of(HOSTILE, HOSTILE, evidence(LEFT_SMILE), claims=(), verdicts=(), label=HOSTILE)
    before = commit_texts([relabelled(own, prose=SMILE)])
    return audit(commit_texts([own, *TEXTS]), before=before)


def test_hostile_text_comes_out_as_text_and_nothing_is_loaded(hostile_report: AuditReport, tmp_path: Path) -> None:
    page = write_page(hostile_report, tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    seen = Seen(page)
    assert "script" not in seen.tags and not re.search(r"(?:src|href|url)\s*[=(]", page)
    assert "<script>alert('text')</script> ⟨U+202E⟩gnp.exe {{ 7 * 7 }} [bold]" in seen.text
    assert "\u202e" not in page
    assert seen.tags.count("svg") > 20


def test_the_report_comes_back_from_its_json(hostile_report: AuditReport) -> None:
    assert AuditReport.model_validate_json(hostile_report.model_dump_json()) == hostile_report


def test_the_command_prints_and_writes_its_report(
    commit_texts: CommitTexts, hostile_report: AuditReport, tmp_path: Path
) -> None:
    app = typer.Typer()
    app.command()(audit_command)
    options = ["--root", hostile_report.root, "--against", "1", "--json", str(tmp_path / "a" / "audit.json")]
    done = CliRunner().invoke(app, [*options, "--html", str(tmp_path / "audit.html")])
    assert done.exit_code == 0, done.output
    for told in ("At a glance", "flipped_side", "Label leak", "Drift by cause", "no truth was given"):
        assert told in done.output
    assert json.loads((tmp_path / "a" / "audit.json").read_text())["num_texts"] == 4
    assert (tmp_path / "audit.html").stat().st_size > 5000

    refused = CliRunner().invoke(app, ["--root", hostile_report.root, "--only", "beauty"])
    assert refused.exit_code == 2 and "no part 'beauty'" in refused.output
    pq.write_table(pa.table({"x": [1]}), tmp_path / "truth.parquet")
    refused = CliRunner().invoke(app, ["--root", hostile_report.root, "--truth", str(tmp_path / "truth.parquet")])
    assert refused.exit_code == 2 and "no truth.parquet" in refused.output
