"""Reviews come into a corpus once, of exactly the text that was judged, and stay there whatever is built."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import snapshot as snapshots
from pipeline.check import check, forget_damaged
from pipeline.descriptions.evidence import UnclearSpan
from pipeline.descriptions.refine_stage import RefineConfig
from pipeline.garbage import Retention, collect
from pipeline.inspection.corpus import Corpus
from pipeline.reviews.importing import ImportReport, NothingToReviewError, import_reviews
from pipeline.reviews.shards import carried_over, config_of
from pipeline.reviews.standing import judged, review_columns, standing
from pipeline.store import Store
from pipeline.takedown import take_down
from tests.review_corpus import BEGAN, BETTER, SMILE, TEXT, WRONG_SIDE, Face, said, write_review_corpus

ANN, BEN, CEM = Face("ann"), Face("ben"), Face("cem")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    write_review_corpus(tmp_path / "corpus", [ANN, BEN, CEM])
    return Store.open(tmp_path / "corpus")


def texts(store: Store, face: Face) -> list[dict[str, Any]]:
    rows = Corpus(store.root).arrow("descriptions").to_pylist()
    return [row for row in rows if row["track_id"] == face.track_id]


def faults(store: Store) -> list[str]:
    """What `check` finds of reviews: the corpus is made by hand and has no ledgers."""
    told = [fault for fault in check(store).faults if fault.table in ("reviews", "descriptions")]
    return [fault.in_words() for fault in told]


def fates(report: ImportReport) -> list[tuple[str, int | None, list[str]]]:
    return [(edit.fate, edit.version, [finding.reason for finding in edit.findings]) for edit in report.edits]


def test_what_reviewers_decide_becomes_rows_of_a_new_snapshot(store: Store) -> None:
    records = [said(ANN, "accept"), said(BEN, "reject", reason="the jaw is missing"), said(CEM, "unsure", minute=3)]
    report = import_reviews(store, records, now=BEGAN + timedelta(days=1))
    assert (report.snapshot_before, report.snapshot, report.num_known) == (1, 2, 0)
    rows = Corpus(store.root).arrow("reviews").to_pylist()
    by_track = {row["track_id"]: row for row in rows}
    assert {row["decision"] for row in rows} == {"accept", "reject", "unsure"}
    row = by_track[BEN.track_id]
    assert (row["video_id"], row["reviewer"], row["reason"]) == (BEN.video_id, "anna", "the jaw is missing")
    assert (row["reviewed_at"], row["imported_at"]) == (BEGAN, BEGAN + timedelta(days=1))
    assert (row["is_blind"], row["came_from"], row["saw_label"], row["edited_text"]) == (True, "gallery", False, None)
    assert Corpus(store.root, 1).arrow("reviews").num_rows == 0
    assert faults(store) == []


def test_the_same_reviews_twice_are_there_once(store: Store) -> None:
    records = [said(ANN), said(BEN, "edit", edited=BETTER)]
    import_reviews(store, records)
    again = import_reviews(store, [*records, *records])
    assert (again.num_known, list(again.added), list(again.stale), again.snapshot) == (4, [], [], 2)
    assert Corpus(store.root).arrow("reviews").num_rows == 2
    twice = import_reviews(store, [said(CEM, minute=1), said(CEM, minute=1), said(CEM, "reject", minute=2)])
    assert (len(twice.added), twice.num_known) == (2, 1)
    frame = review_columns(store, Corpus(store.root).snapshot).set_index("track_id")
    assert frame.loc[CEM.track_id, "review"] == "reject"  # the last of one reviewer


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (said(ANN, text="Another text."), "the text is now version 1"),
        (said(ANN, version=2), "judged was version 2"),
        (said(Face("stranger")), "no such track"),
        (said(Face("dee", text=TEXT)), "no such track"),
    ],
)
def test_a_review_of_another_text_is_refused_by_name(store: Store, record: Any, words: str) -> None:
    report = import_reviews(store, [record, said(BEN)])
    assert len(report.added) == 1 and len(report.stale) == 1
    told = report.stale[0].in_words()
    assert record.track_id in told and words in told and "'anna'" in told
    alone = import_reviews(store, [record])
    assert alone.snapshot == alone.snapshot_before == 2


def test_a_track_without_a_text_has_nothing_to_judge(tmp_path: Path) -> None:
    mute = Face("mute", text=None)
    write_review_corpus(tmp_path, [mute])
    report = import_reviews(Store.open(tmp_path), [said(mute)])
    assert "has no text now" in report.stale[0].why


def test_without_a_snapshot_there_is_nothing_to_review(tmp_path: Path) -> None:
    store = Store.open_or_create(tmp_path / "empty")
    with pytest.raises(NothingToReviewError, match="no snapshot yet"):
        import_reviews(store, [said(ANN)])


def test_an_edit_that_stands_the_check_is_the_next_version(store: Store) -> None:
    report = import_reviews(store, [said(ANN, "edit", edited=f"  {BETTER}\n")])
    assert fates(report) == [("text", 2, [])]
    first, second = texts(store, ANN)
    assert (first["text"], first["status"], first["review_id"]) == (TEXT, "refined", None)
    assert (second["text"], second["status"], second["text_version"]) == (BETTER, "edited", 2)
    assert (second["review_id"], second["edited_from"]) == (report.added[0]["review_id"], 1)
    assert second["num_text_tokens"] > 5 and second["asked"] == [] and not second["saw_label"]
    claimed = {(claim["action"], claim["verdict"], claim["source"]) for claim in second["claims"]}
    assert claimed == {("lip_corner_raise", "supported", "prose"), ("jaw_drop", "supported", "prose")}
    assert second["unit_key"] != first["unit_key"]
    assert faults(store) == []


@pytest.mark.parametrize(
    ("edited", "reasons"),
    [
        (WRONG_SIDE, ["prose_contradicted"]),
        ("The left lip corner rises strongly and the nose wrinkles.", ["prose_contradicted"]),
        ("A happy face.", ["prose_forbidden_word"]),
        ("The left lip corner rises strongly, and the moon shines.", ["prose_beyond_evidence"]),
        ("The jaw drops.", ["prose_omits_evidence"]),
        ("The left lip corner rises strongly, then the jaw drops. " * 12, ["prose_malformed", "prose_too_long"]),
        ("<b>The left lip corner rises strongly.</b>", ["prose_malformed"]),
        (TEXT, ["edit_changes_nothing"]),
    ],
)
def test_an_edit_that_fails_the_check_is_kept_and_told(store: Store, edited: str, reasons: list[str]) -> None:
    report = import_reviews(store, [said(ANN, "edit", edited=edited)])
    ((fate, version, found),) = fates(report)
    assert (fate, version) == ("failed", None)
    assert set(reasons) <= set(found)
    assert [row["text"] for row in texts(store, ANN)] == [TEXT]
    assert Corpus(store.root).arrow("reviews").num_rows == 1
    ((one,),) = [standing(store, Corpus(store.root).snapshot).failed]
    assert one.fate is not None and one.fate.findings


def test_all_findings_of_an_edit_are_told_at_once(store: Store) -> None:
    edited = "The happy right lip corner rises strongly, and 3 teeth shine."
    report = import_reviews(store, [said(ANN, "edit", edited=edited)])
    words = " ".join(map(str, report.edits[0].findings))
    assert "'happy'" in words and "'3'" in words and "right" in words


def test_what_was_not_measured_may_not_be_said(tmp_path: Path) -> None:
    face = Face("dim")
    write_review_corpus(tmp_path, [face])
    unclear = UnclearSpan(action="nose_wrinkle", start_s=0.0, end_s=4.0, why="not_told")
    from pipeline.descriptions.evidence import Evidence
    from pipeline.reviews.edits import findings

    evidence = Evidence(duration_s=4.0, events=(SMILE,), unclear=(unclear,))
    found = findings("The left lip corner rises strongly and the nose wrinkles.", evidence, RefineConfig())
    assert [one.reason for one in found] == ["prose_beyond_evidence"]


def test_of_two_edits_of_one_text_the_first_counts_and_both_reviews_stay(store: Store) -> None:
    other = "The left lip corner rises strongly and the jaw drops."
    import_reviews(store, [said(ANN, "edit", edited=BETTER)])
    report = import_reviews(
        store, [said(ANN, "edit", edited=other, reviewer="ben"), said(ANN, reviewer="cem"), said(ANN, minute=9)]
    )
    assert fates(report) == [("overtaken", None, [])]
    assert len(report.superseded) == 3 and not report.stale  # they judge version 1, and do not touch version 2
    frame = review_columns(store, Corpus(store.root).snapshot).set_index("text_version")
    assert frame.loc[1, "review"] == "disputed" and 2 not in frame.index
    assert [row["text"] for row in texts(store, ANN)] == [TEXT, BETTER]


def test_an_edited_text_may_be_reviewed_and_edited_again(store: Store) -> None:
    import_reviews(store, [said(ANN, "edit", edited=BETTER)])
    shorter = "The left lip corner rises strongly."
    longer = "First the left lip corner rises strongly, then the jaw drops."
    report = import_reviews(
        store,
        [
            said(ANN, "accept", version=2, text=BETTER, reviewer="ben"),
            said(ANN, "edit", version=2, text=BETTER, edited=longer, reviewer="cem"),
        ],
    )
    assert fates(report) == [("text", 3, [])]
    assert [row["edited_from"] for row in texts(store, ANN)] == [None, 1, 2]
    back = import_reviews(store, [said(ANN, "edit", version=3, text=longer, edited=shorter)])
    assert fates(back) == [("text", 4, [])]
    assert faults(store) == []


def test_reviews_and_edits_survive_a_build_that_changes_other_texts(store: Store) -> None:
    import_reviews(store, [said(ANN, "edit", edited=BETTER), said(BEN)])
    before = Corpus(store.root).arrow("reviews")
    write_review_corpus(store.root, [ANN, BEN, replace(CEM, text="The left lip corner rises, then the jaw drops.")])
    assert Corpus(store.root).arrow("reviews") == before
    assert [row["text"] for row in texts(store, ANN)] == [TEXT, BETTER]
    assert {one.standing for one in judged(store, Corpus(store.root).snapshot)} == {"current", "superseded"}


def test_an_edit_falls_with_the_text_that_it_edited_and_comes_back_with_it(store: Store) -> None:
    import_reviews(store, [said(ANN, "edit", edited=BETTER), said(BEN)])
    changed = replace(ANN, text="The left lip corner rises strongly and the jaw drops.")
    write_review_corpus(store.root, [changed, BEN, CEM])
    assert [row["text"] for row in texts(store, ANN)] == [changed.text]
    found = standing(store, Corpus(store.root).snapshot)
    assert [one.review["track_id"] for one in found.stale] == [ANN.track_id]
    assert found.stale[0].fate is not None and found.stale[0].fate.fate == "withdrawn"
    assert found.num_edited == 0 and found.num_reviewed == 1
    assert faults(store) == []
    write_review_corpus(store.root, [ANN, BEN, CEM])
    assert [row["text"] for row in texts(store, ANN)] == [TEXT, BETTER]


def test_an_edit_falls_when_the_evidence_no_longer_shows_what_it_says(store: Store) -> None:
    import_reviews(store, [said(ANN, "edit", edited=BETTER)])
    write_review_corpus(store.root, [replace(ANN, events=(SMILE,)), BEN, CEM])
    assert [row["text"] for row in texts(store, ANN)] == [TEXT]
    (one,) = standing(store, Corpus(store.root).snapshot).failed
    assert one.fate is not None and one.fate.findings[0].reason == "prose_contradicted"


def test_an_edit_is_held_against_the_rules_of_the_build(store: Store) -> None:
    import_reviews(store, [said(ANN, "edit", edited=f"{BETTER[:-1]} while the left lip corner is raised.")])
    if len(texts(store, ANN)) == 1:
        import_reviews(store, [said(ANN, "edit", edited=BETTER, minute=1)])
    assert len(texts(store, ANN)) == 2
    many = RefineConfig(token_budget=20)
    tokens = texts(store, ANN)[1]["num_text_tokens"]
    write_review_corpus(store.root, [ANN, BEN, CEM], many)
    assert len(texts(store, ANN)) == (2 if tokens <= 20 else 1)


def test_reviews_stay_when_their_video_leaves_the_source(store: Store) -> None:
    import_reviews(store, [said(ANN, "edit", edited=BETTER), said(BEN)])
    write_review_corpus(store.root, [BEN, CEM])
    assert Corpus(store.root).arrow("reviews").num_rows == 2
    assert texts(store, ANN) == []
    assert faults(store) == []
    write_review_corpus(store.root, [ANN, BEN, CEM])
    assert [row["text"] for row in texts(store, ANN)] == [TEXT, BETTER]


@pytest.mark.parametrize(
    ("split", "is_blind", "labels_hidden", "fate"),
    [
        ("test", False, False, "failed"),
        (None, False, False, "failed"),
        ("train", False, False, "text"),
        ("test", True, False, "text"),
        ("test", False, True, "text"),
    ],
)
def test_who_saw_the_label_may_write_for_train_alone(
    tmp_path: Path, split: str | None, is_blind: bool, labels_hidden: bool, fate: str
) -> None:
    face = Face("ann", label="happiness", split=split)
    write_review_corpus(tmp_path, [face])
    store = Store.open(tmp_path)
    report = import_reviews(store, [said(face, "edit", edited=BETTER, is_blind=is_blind)], labels_hidden=labels_hidden)
    assert [edit.fate for edit in report.edits] == [fate]
    if fate == "failed":
        assert report.edits[0].findings[0].reason == "label_in_view"
    else:
        saw = not is_blind and not labels_hidden
        assert [row["saw_label"] for row in texts(store, face)] == [False, saw]


def test_a_take_down_takes_the_reviews_of_the_video_and_no_others(store: Store) -> None:
    reason = "a scar beside the left eye, as told by the family"
    records = [said(ANN, "edit", edited=BETTER, reason=reason), said(BEN, "edit", edited=BETTER), said(CEM)]
    import_reviews(store, records)
    report = take_down(store, [ANN.video_id])
    assert report.is_clean
    rows = Corpus(store.root).arrow("reviews").to_pylist()
    assert {row["track_id"] for row in rows} == {BEN.track_id, CEM.track_id}
    assert [row["text"] for row in texts(store, BEN)] == [TEXT, BETTER] and texts(store, ANN) == []
    for path in store.root.rglob("*.parquet"):
        assert reason.encode() not in path.read_bytes()
    assert faults(store) == []
    newest = Corpus(store.root).snapshot
    written = [receipt for receipt in newest.receipts if receipt.stage == "import_reviews"]
    others = [receipt for receipt in newest.receipts if receipt.stage != "import_reviews"]
    assert carried_over(store, written, others, config_of(newest), may_write=False) == written
    assert import_reviews(store, [records[0]]).stale


def test_garbage_collection_keeps_what_the_newest_snapshot_has(store: Store) -> None:
    import_reviews(store, [said(ANN, "edit", edited=BETTER)])
    import_reviews(store, [said(BEN)])
    collect(store, Retention(keep_snapshots=1, keep_days=0, grace_hours=0))
    assert store.snapshot_numbers() == [3]
    assert len(texts(store, ANN)) == 2 and Corpus(store.root).arrow("reviews").num_rows == 2
    write_review_corpus(store.root, [ANN, BEN, CEM])
    assert len(texts(store, ANN)) == 2


def test_damaged_reviews_are_told_and_given_up_only_when_asked(store: Store) -> None:
    import_reviews(store, [said(ANN, "edit", edited=BETTER), said(BEN)])
    file = Corpus(store.root).snapshot.files("reviews")[0]
    path = store.root / file.path
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(bytes(damaged))
    (told,) = [fault for fault in check(store).faults if fault.table == "reviews"]
    assert "no build makes reviews anew" in told.next and "review import" in told.next
    _, removed = forget_damaged(store)
    assert file.path in removed
    write_review_corpus(store.root, [ANN, BEN, CEM])
    assert Corpus(store.root).arrow("reviews").num_rows == 2 - file.rows
    report = import_reviews(store, [said(ANN, "edit", edited=BETTER), said(BEN)])
    assert len(report.added) == file.rows and len(texts(store, ANN)) == 2
    assert faults(store) == []


def test_a_damaged_shard_of_edits_is_made_anew_from_the_reviews(store: Store) -> None:
    import_reviews(store, [said(ANN, "edit", edited=BETTER)])
    receipt = next(r for r in Corpus(store.root).snapshot.receipts if r.stage == "import_reviews")
    store.remove(receipt.files["descriptions"].path)
    write_review_corpus(store.root, [ANN, BEN, CEM])
    assert len(texts(store, ANN)) == 2


def test_a_text_that_is_not_its_reviews_is_told(store: Store) -> None:
    import_reviews(store, [said(ANN, "edit", edited=BETTER)])
    corpus = Corpus(store.root)
    receipt = next(r for r in corpus.snapshot.receipts if r.stage == "import_reviews")
    from schemas.descriptions import DESCRIPTIONS

    rows = store.read(receipt.files["descriptions"]).to_pylist()
    made_from = {"stage": "import_reviews", "bucket": receipt.bucket}
    with store.writer(DESCRIPTIONS, receipt.bucket, made_from) as writer:
        writer.append(DESCRIPTIONS.rows([{**row, "text": WRONG_SIDE} for row in rows]))
    assert writer.file is not None
    forged = receipt.model_copy(update={"files": {**receipt.files, "descriptions": writer.file}, "key": "f" * 32})
    store.write_receipt(forged)
    others = [r for r in corpus.snapshot.receipts if r is not receipt]
    snapshots.commit(
        store, [*others, forged], parent=corpus.snapshot, source="faces", config=corpus.snapshot.config, software={}
    )
    (told,) = faults(store)
    assert ANN.track_id in told and "the words of a review" in told


def test_drift_and_diff_tell_what_came_of_reviews(store: Store) -> None:
    import_reviews(store, [said(ANN, "edit", edited=BETTER), said(BEN)])
    corpus = Corpus(store.root)
    tables = {one.table: one for one in snapshots.diff(store, snapshots.read(store, 1), corpus.snapshot)}
    assert len(tables["reviews"].added) == 2 and tables["descriptions"].added == [(ANN.track_id, 2)]
    frame = corpus.drift(1)
    edited = frame[frame["table"] == "descriptions"]
    assert list(edited["what"]) == ["added"] and list(edited["cause"]) == ["reviewed"]
    assert list(edited["text_after"]) == [BETTER]
    assert (frame["table"] == "reviews").sum() == 2


def test_dataframes_show_what_was_decided_last(store: Store) -> None:
    records = [
        said(ANN, "edit", edited=BETTER),
        said(BEN, "accept", minute=2),
        said(BEN, "reject", minute=1),
        said(BEN, "accept", reviewer="ben"),
        said(CEM, "unsure"),
        said(CEM, "reject", reviewer="ben"),
    ]
    import_reviews(store, records)
    write_review_corpus(store.root, [ANN, BEN, CEM, Face("dua")])
    frame = Corpus(store.root).descriptions()
    told = {
        (row["track_id"], row["text_version"]): (row["review"], row["num_reviews"], row["reviewers"])
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records")
    }
    assert told == {
        (ANN.track_id, 1): ("edit", 1, "anna"),
        (ANN.track_id, 2): (None, None, None),
        (BEN.track_id, 1): ("accept", 2, "anna, ben"),
        (CEM.track_id, 1): ("disputed", 2, "anna, ben"),
        (Face("dua").track_id, 1): (None, None, None),
    }
    by_hand = review_columns(store, Corpus(store.root).snapshot)
    assert [told[of] for of in zip(by_hand["track_id"], by_hand["text_version"], strict=True)] == list(
        zip(by_hand["review"], by_hand["num_reviews"], by_hand["reviewers"], strict=True)
    )
    changed = replace(BEN, text="The left lip corner rises strongly and the jaw drops.")
    write_review_corpus(store.root, [ANN, changed, CEM])
    frame = Corpus(store.root).descriptions(where="review is not null")
    assert BEN.track_id not in set(frame["track_id"])  # what was said was of another text


def test_imports_side_by_side_lose_nothing(store: Store) -> None:
    records = [said(face, decision, minute=n) for n, decision in enumerate(["accept", "reject"]) for face in (ANN, BEN)]
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda record: import_reviews(Store.open(store.root), [record]), records))
    assert sorted(report.snapshot for report in reports) == [2, 3, 4, 5]
    assert Corpus(store.root).arrow("reviews").num_rows == 4


def test_an_import_waits_for_the_run_before(store: Store) -> None:
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with store.turn("a long build", wait_s=0, on_wait=told.append):
            begun = pool.submit(import_reviews, Store.open(store.root), [said(ANN)], on_wait=told.append)
            while not told:
                assert not begun.done()
        assert begun.result().snapshot == 2
    assert "a long build" in told[0]


def killed_after(root: Path, num_steps: int) -> bool:
    """Take ANN down in a process of its own, which ends like by `kill -9` before a step; whether it did."""
    child = os.fork()
    if child == 0:
        left = num_steps

        def dying(change: Callable[..., Any]) -> Callable[..., Any]:
            def step(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                if left == 0:
                    os._exit(9)
                left -= 1
                return change(*arguments, **named)

            return step

        for name in ("_put", "remove", "adopt", "rewrite"):
            setattr(Store, name, dying(getattr(Store, name)))
        take_down(Store.open(root), [ANN.video_id])
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 9


@pytest.mark.slow
def test_a_take_down_that_is_killed_anywhere_ends_with_the_same_reviews(store: Store, tmp_path: Path) -> None:
    import_reviews(store, [said(ANN, "edit", edited=BETTER, reason="what was said of ann"), said(BEN), said(CEM)])
    steps = 0
    while True:
        root = Path(shutil.copytree(store.root, tmp_path / f"killed {steps}"))
        if not killed_after(root, steps):
            break
        again = Store.open(root)
        if steps % 5 == 3:
            write_review_corpus(root, [BEN, CEM])  # a build between, which knows the deny list
            if again.denied().hashes:
                assert Corpus(root).arrow("reviews").num_rows == 2
        assert take_down(again, [ANN.video_id]).is_clean, steps
        assert {row["track_id"] for row in Corpus(root).arrow("reviews").to_pylist()} == {BEN.track_id, CEM.track_id}
        assert faults(again) == [], steps
        shutil.rmtree(root)
        steps += 1
    assert steps > 20
