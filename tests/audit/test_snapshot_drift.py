"""The drift between two snapshots: every change that was made is found, counted once, and told with its cause."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pipeline import snapshot as snapshots
from pipeline.audit.changes import changes
from pipeline.audit.snapshot_drift import UNRECORDED, SnapshotDrift, snapshot_drift
from pipeline.causes import CAUSES
from pipeline.descriptions.canary import ask_canaries
from pipeline.descriptions.refine_stage import REFINE_DESCRIPTIONS
from pipeline.inspection.corpus import Corpus
from pipeline.snapshot import Snapshot
from pipeline.stage import Resources
from pipeline.store import Receipt, Store
from pipeline.walk import BuildConfig
from schemas.corpus import TABLES
from schemas.descriptions import DESCRIPTIONS
from schemas.ledger import LEDGER
from tests.answer_server import answering, join_notes
from tests.real_corpus import asking_by_rule, build_without_scheduler, cut_clip

SMILE, TALK, ROOM, NOTES = "man/smile.mp4", "talk.mp4", "room.mp4", "notes.mp4"
LABELS = {SMILE: "happiness", TALK: "neutral"}

STAGES_OF_A_FACE = ("list_sources", "probe_videos", "extract_tracks", "measure_actions", "encode_motion",
                    "draft_descriptions", "refine_descriptions")  # fmt: skip

Answer = Callable[[dict[str, Any]], str]


@dataclass
class Place:
    """A source and the corpus that is built from it, snapshot after snapshot."""

    source: Path
    root: Path

    def build(
        self,
        labels: Mapping[str, str] = LABELS,
        answer: Answer = join_notes,
        split: str = "",
        **descriptions: Any,
    ) -> SnapshotDrift:
        """Build once more; the drift since the snapshot before."""
        annotations = self.annotations(labels, split)
        build_without_scheduler(self.source, self.root, config(**descriptions), annotations, answer)
        return self.drift()

    def drift(self) -> SnapshotDrift:
        newest = Corpus(self.root)
        assert newest.snapshot.parent is not None
        return snapshot_drift(Corpus(self.root, newest.snapshot.parent), newest)

    def annotations(self, labels: Mapping[str, str], split: str = "") -> Path:
        path = self.root.parent / "annotations.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("path", "label", "split"), *((*item, split) for item in labels.items())])
        return path

    def frame(self) -> pd.DataFrame:
        newest = Corpus(self.root)
        assert newest.snapshot.parent is not None
        return newest.drift(newest.snapshot.parent)


def config(**descriptions: Any) -> BuildConfig:
    usual = BuildConfig()
    return usual.model_copy(update={"descriptions": usual.descriptions.model_copy(update=descriptions)})


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Place:
    """A corpus of two faces, an empty room and a file that is no video."""
    folder = tmp_path_factory.mktemp("drift")
    place = Place(Path(shutil.copytree(clips, folder / "clips")), folder / "corpus")
    build_without_scheduler(place.source, place.root, config(), place.annotations(LABELS))
    return place


@pytest.fixture
def place(first: Place, tmp_path: Path) -> Place:
    shutil.copytree(first.source, tmp_path / "clips")
    shutil.copytree(first.root, tmp_path / "corpus")
    return Place(tmp_path / "clips", tmp_path / "corpus")


def units(report: SnapshotDrift) -> dict[tuple[str, str], int]:
    """Units by stage and what began it."""
    counted = Counter[tuple[str, str]]()
    for one in report.units:
        counted[one.stage, one.root] += one.num_units
    return dict(counted)


def rows(report: SnapshotDrift) -> dict[str, dict[str, int]]:
    """Rows that differ, by table."""
    found = {one.table: one.model_dump(exclude={"table", "same"}) for one in report.tables}
    return {table: counts for table, one in found.items() if (counts := {what: n for what, n in one.items() if n})}


def shouting(request: dict[str, Any]) -> str:
    """Other words, which the check refuses."""
    return json.dumps({"description": "The person is happy."})


# --- each cause


def test_a_snapshot_has_not_drifted_from_itself(first: Place) -> None:
    corpus = Corpus(first.root)
    report = snapshot_drift(corpus, corpus)
    assert (rows(report), report.units, report.num_rewritten, report.texts.num_changed) == ({}, [], 0, 0)
    assert report.problems == [] and [one.num_in for one in report.balance[0]] == [4, 3, 2, 2, 2, 2]
    assert corpus.drift(1).empty
    assert all(shift.before == shift.after for shift in report.corpus.shares)


def test_a_new_video_is_told_as_such_down_to_its_text(place: Place, assets: Callable[[str], Path]) -> None:
    cut_clip(assets("single_face.mp4"), place.source / "later.mp4", first=40)
    report = place.build()
    assert units(report) == dict.fromkeys([(stage, "new_video") for stage in STAGES_OF_A_FACE], 1)
    assert {table: counts for table, counts in rows(report).items() if table not in ("crops", "motion")} == {
        table: {"added": 1} for table in ("sources", "videos", "tracks", "actions", "drafts", "descriptions")
    }
    assert (report.texts.num_added, report.texts.num_changed) == (1, 0)
    assert set(place.frame()["path"]) == {"later.mp4"} and set(place.frame()["cause"]) == {"new_video"}


def test_a_removed_video_is_told_as_such_down_to_its_text(place: Place) -> None:
    (place.source / TALK).unlink()
    report = place.build()
    assert units(report) == dict.fromkeys([(stage, "removed") for stage in STAGES_OF_A_FACE], 1)
    (text,) = place.frame().query("table == 'descriptions'").to_dict("records")
    assert (text["what"], text["path"], text["status_before"], text["text_after"]) == ("removed", TALK, "refined", None)


def test_a_video_that_was_taken_down_is_told_as_such(place: Place) -> None:
    (video_id,) = Corpus(place.root).sql(f"select video_id from videos where path = '{TALK}'")["video_id"]
    Store.open(place.root).deny([video_id])
    report = place.build()
    assert {(one.root, one.detail) for one in report.units} == {("removed", "taken down")}


def test_other_bytes_under_the_same_path_are_a_changed_video(place: Place, assets: Callable[[str], Path]) -> None:
    (place.source / TALK).unlink()
    cut_clip(assets("single_face.mp4"), place.source / TALK, first=40)
    report = place.build()
    assert units(report) == dict.fromkeys([(stage, "changed_video") for stage in STAGES_OF_A_FACE], 2)
    assert rows(report)["descriptions"] == {"added": 1, "removed": 1}


def test_a_moved_video_touches_what_says_where_it_is_and_no_text(place: Place) -> None:
    (place.source / TALK).rename(place.source / "elsewhere.mp4")
    report = place.build({SMILE: "happiness", "elsewhere.mp4": "neutral"})
    assert units(report) == {("list_sources", "moved"): 1, ("probe_videos", "moved"): 1}
    assert rows(report) == {"sources": {"changed": 1}, "videos": {"changed": 1}}
    assert {one.detail for one in report.units} == {"talk.mp4 -> elsewhere.mp4"}


def test_a_changed_label_is_told_with_both_and_shifts_the_mix(place: Place) -> None:
    report = place.build({**LABELS, TALK: "sadness"})
    assert units(report) == {("list_sources", "changed_label"): 1, ("probe_videos", "changed_label"): 1}
    assert {one.detail for one in report.units} == {"label: neutral -> sadness"}
    mix = {one.name: (one.before.hits, one.after.hits) for one in report.corpus.of("label")}
    assert mix == {"happiness": (1, 1), "neutral": (1, 0), "sadness": (0, 1)}


def test_a_changed_prompt_text_changes_texts_and_nothing_else(place: Place, tmp_path: Path) -> None:
    prompt = tmp_path / "mine.toml"
    prompt.write_text('system = "Say it."\nuser = "Notes: {notes}."\nagain = "Again: {fault}"\n')
    place.build(prompt=str(prompt))
    prompt.write_text('system = "Say it well."\nuser = "Notes: {notes}."\nagain = "Again: {fault}"\n')
    report = place.build(prompt=str(prompt), answer=shouting)
    assert units(report) == {("refine_descriptions", "prompt_changed"): 2}
    assert rows(report) == {"descriptions": {"changed": 2}}
    assert report.texts.by_root == {"prompt_changed": 2} and report.texts.num_unrecorded == 0
    assert {(one.text.status_before, one.text.status_after) for one in report.texts.shown} == {
        ("refined", "fallback: prose_forbidden_word")
    }
    accepted = {one.name: (one.before.hits, one.after.hits) for one in report.corpus.of("texts")}
    assert accepted == {"refined": (2, 0), "fallback": (0, 2)}


def test_another_model_and_another_config_are_told_apart_from_each_other(place: Place) -> None:
    weights = place.build(model_revision="another")
    engine = place.build(model_revision="another", engine="vllm 9")
    budget = place.build(model_revision="another", engine="vllm 9", token_budget=70)
    assert [units(report) for report in (weights, engine, budget)] == [
        {("refine_descriptions", cause): 2} for cause in ("weights_changed", "engine_changed", "config_changed")
    ]
    assert budget.stages == {"refine_descriptions": ("config_changed", "token_budget: 60 -> 70")}
    assert rows(budget) == {"descriptions": {"recomputed": 2}}, "the same answers under another budget"
    assert (weights.texts.num_asked, budget.texts.num_asked) == (2, 0)


def test_what_began_stages_before_is_told_at_the_text(place: Place) -> None:
    usual = config()
    other = usual.model_copy(update={"actions": usual.actions.model_copy(update={"max_pitch_deg": 1.0})})
    build_without_scheduler(place.source, place.root, other, place.annotations(LABELS))
    report = place.drift()
    assert report.stages == {"measure_actions": ("config_changed", "max_pitch_deg: 35.0 -> 1.0")}
    assert told(report) == {
        "measure_actions": ("config_changed", "config_changed", "max_pitch_deg: 35.0 -> 1.0"),
        "draft_descriptions": ("removed", "config_changed", "max_pitch_deg: 35.0 -> 1.0"),
        "refine_descriptions": ("removed", "config_changed", "max_pitch_deg: 35.0 -> 1.0"),
    }
    assert told(place.build()) == {
        "measure_actions": ("config_changed", "config_changed", "max_pitch_deg: 1.0 -> 35.0"),
        "draft_descriptions": ("input_changed", "config_changed", "max_pitch_deg: 1.0 -> 35.0"),
        "refine_descriptions": ("input_changed", "config_changed", "max_pitch_deg: 1.0 -> 35.0"),
    }


def told(report: SnapshotDrift) -> dict[str, tuple[str, str, str]]:
    return {one.stage: (one.cause, one.root, one.detail) for one in report.units}


def test_a_label_that_the_writer_sees_is_what_began_the_change_of_its_text(place: Place, tmp_path: Path) -> None:
    prompt = tmp_path / "mine.toml"
    prompt.write_text(
        'system = "Say it."\nuser = "Notes: {notes}."\nlabel = " Label: {label}."\nagain = "Again: {fault}"\n'
    )
    sees: dict[str, Any] = {"prompt": str(prompt), "label": "train", "max_retries": 0}
    place.build(split="train", **sees)
    report = place.build({**LABELS, TALK: "sadness"}, split="train", **sees)
    assert units(report) == dict.fromkeys(
        [(stage, "changed_label") for stage in ("list_sources", "probe_videos", "refine_descriptions")], 1
    )
    assert {one.cause for one in report.units if one.stage == "refine_descriptions"} == {"prompt_changed"}


def test_a_unit_that_waited_and_came_is_a_retry(place: Place) -> None:
    def broken(request: dict[str, Any]) -> str:
        raise ConnectionAbortedError

    waiting = place.build(answer=broken, model_revision="another")
    assert units(waiting) == {("refine_descriptions", "weights_changed"): 2}
    assert rows(waiting) == {"descriptions": {"removed": 2}, "rejects": {"added": 2}}
    (refused,) = [one for one in waiting.corpus.of("refusal") if one.name.startswith("refine")]
    assert (refused.name, refused.before.hits, refused.after.hits) == (
        "refine_descriptions: server_unavailable",
        0,
        2,
    )
    came = place.build(model_revision="another")
    assert units(came) == {("refine_descriptions", "retry"): 2}
    assert came.num_rewritten == 0 and waiting.problems == came.problems == []


def test_a_text_that_was_asked_for_once_more_is_held_against_the_noise_of_the_canaries(place: Place) -> None:
    def night(answer: Answer = join_notes) -> None:
        corpus = Corpus(place.root)
        with answering() as answers:
            answers.answer = answer
            asked = asking_by_rule(config()).descriptions
            ask_canaries(corpus.store, corpus.snapshot, asked, Resources(server=answers.address))

    night()
    night()
    night(shouting)
    store = Store.open(place.root)
    for receipt in Corpus(place.root).snapshot.receipts:
        if receipt.stage == REFINE_DESCRIPTIONS.name and LEDGER.name in receipt.files:
            tracks = store.read(receipt.files[LEDGER.name])["unit_id"].to_pylist()
            store.write_generations(receipt.stage, receipt.bucket, dict.fromkeys(tracks, 1))
    report = place.build(answer=shouting)
    assert units(report) == {("refine_descriptions", "backfill"): 2}
    texts = report.texts
    assert (texts.num_asked, texts.num_asked_again, texts.num_asked_again_changed) == (2, 2, 2)
    assert (report.canaries.noise.hits, report.canaries.noise.asked) == (2, 4)
    said = " ".join(report.in_words())
    assert "Of 2 changed texts, 2 have a recorded cause (backfill 2), 0 have none" in said
    assert "At the canaries' noise of 50.0% one would expect 1.0 (0.3 to 1.7) of the 2 texts" in said
    assert "2 texts were asked for once more in the same words of the same model: 2 changed" in said


# --- what must not be


def recommitted(place: Place, table: str, change: Callable[[pa.Table], pa.Table], *, with_ledger: bool) -> None:
    """Commit a snapshot in which someone changed rows of a table behind the back of the build."""
    store, before = Store.open(place.root), Corpus(place.root).snapshot
    receipts = []
    for receipt in before.receipts:
        files = dict(receipt.files)
        if table in files:
            files[table] = rewritten(store, receipt.bucket, table, change(store.read(files[table])))
            if with_ledger:
                lines = store.read(files[LEDGER.name])
                other = pa.array(["f" * 32] * lines.num_rows)
                lines = lines.set_column(lines.column_names.index("output_key"), lines.field("output_key"), other)
                files[LEDGER.name] = rewritten(store, receipt.bucket, LEDGER.name, lines)
        receipts.append(receipt.model_copy(update={"files": files}))
    commit(store, before, receipts)


def commit(store: Store, before: Snapshot, receipts: Sequence[Receipt]) -> None:
    """The same snapshot once more, of other receipts."""
    snapshots.commit(
        store,
        receipts,
        parent=before,
        source=before.source,
        config=before.config,
        made_with=before.made_with,
        software=before.software,
    )


def rewritten(store: Store, bucket: int, table: str, rows_: pa.Table) -> Any:
    with store.writer(TABLES[table], bucket, {"by": "hand"}) as writer:
        writer.append(TABLES[table].conform(rows_))
    return writer.file


def with_column(name: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(found: pa.Table) -> pa.Table:
        field = found.schema.field(name)
        return found.set_column(found.column_names.index(name), field, pa.array([value] * found.num_rows, field.type))

    return change


def test_a_text_that_was_changed_by_hand_is_told_loudly(place: Place) -> None:
    recommitted(place, DESCRIPTIONS.name, with_column("text", "The person is happy."), with_ledger=False)
    report = place.drift()
    assert rows(report) == {"descriptions": {"rewritten": 2}}
    assert report.in_words()[0] == ("ALARM: 2 rows or units came out otherwise though they were made from the same.")
    assert {one.where for one in report.rewritten} == {"descriptions"}
    assert report.texts.by_root == {UNRECORDED: 2}
    assert set(place.frame()["what"]) == {"rewritten"}


def test_cells_that_are_too_long_to_read_are_told_by_the_ledger(place: Place) -> None:
    recommitted(place, "crops", with_column("crop_jpeg", b"another picture"), with_ledger=True)
    report = place.drift()
    assert rows(report) == {}
    assert {one.where for one in report.rewritten} == {"ledger of extract_tracks"} and report.num_rewritten == 3


def test_a_sum_that_does_not_add_up_is_told_with_its_stage(place: Place) -> None:
    store, before = Store.open(place.root), Corpus(place.root).snapshot
    receipts = [
        receipt.model_copy(update={"num_units": receipt.num_units + 1})
        if receipt.stage == "measure_actions"
        else receipt
        for receipt in before.receipts
    ]
    commit(store, before, receipts)
    report = place.drift()
    (problem,) = report.problems
    assert problem.startswith("snapshot 2, measure_actions: 2 rows went in, ")
    assert report.in_words()[-1] == problem


def test_a_corpus_from_before_there_were_ledgers_is_compared_without_them(place: Place) -> None:
    store, before = Store.open(place.root), Corpus(place.root).snapshot
    receipts = [
        receipt.model_copy(
            update={"files": {name: file for name, file in receipt.files.items() if name != LEDGER.name}}
        )
        for receipt in before.receipts
        if receipt.stage != "list_sources"
    ]
    old = before.model_copy(update={"number": 2, "made_with": {}, "receipts": receipts})
    store.create_snapshot(2, old.model_dump_json())
    place.build(token_budget=70, answer=shouting)
    report = place.drift()
    assert rows(report)["descriptions"] == {"changed": 2}
    assert {one.root for one in report.units if one.stage == "refine_descriptions"} == {UNRECORDED}
    assert report.texts.by_root == {UNRECORDED: 2}
    assert report.balance[0][0].num_in is None and report.problems == []


# --- forms


def test_the_frame_has_a_line_for_each_row_with_its_cause(place: Place) -> None:
    place.build({**LABELS, TALK: "sadness"}, answer=shouting, model_revision="another")
    frame = place.frame()
    found = changes(Corpus(place.root, 1), Corpus(place.root, 2))
    assert len(frame) == len(found.rows) == 4
    assert set(frame["cause"]) <= set(CAUSES)
    texts = {row["path"]: row for row in frame[frame["table"] == "descriptions"].to_dict("records")}
    assert (texts[TALK]["status_before"], texts[TALK]["status_after"]) == ("refined", "fallback")
    assert 0 <= texts[SMILE]["similarity"] <= 1
    assert frame[frame["table"] == "videos"][["path", "cause", "detail"]].to_numpy().tolist() == [
        [TALK, "changed_label", "label: neutral -> sadness"]
    ]
    with pytest.raises(KeyError, match="no snapshot 9"):
        Corpus(place.root).drift(9)


def test_the_report_comes_back_from_its_json_and_its_markdown_holds_text_as_text(place: Place) -> None:
    report = place.build({**LABELS, TALK: "<img src=x>|[x](y)"})
    assert SnapshotDrift.model_validate_json(report.model_dump_json()) == report
    markdown = report.to_markdown()
    assert "<" not in markdown and "[x]" not in markdown and "| sources | 0 | 0 | 1 | 0 | 0 | 3 |" in markdown
