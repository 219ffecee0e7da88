"""Reviews of a real corpus: builds carry them over and have nothing to do after them, and every way out knows them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.check import check
from pipeline.export.licence_policy import LicenceError
from pipeline.export.parquet import export_parquet
from pipeline.export.reading import read_export
from pipeline.export.rebuild import rebuild
from pipeline.export.text_only import export_text_only
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery import write_gallery
from pipeline.reviews.importing import import_reviews
from pipeline.reviews.record import ReviewRecord, read_review_file, sha256_of
from pipeline.reviews.standing import standing
from pipeline.store import Store
from pipeline.takedown import take_down
from pipeline.walk import open_walk
from tests.answer_server import join_notes
from tests.inspection.chromium import needs_chromium, opened
from tests.real_corpus import asking_by_rule, build_without_scheduler
from tests.review_corpus import BEGAN


def in_other_words(request: dict[str, Any]) -> str:
    """The same answer with its first sentence's end put otherwise, so that every text is another."""
    answer = json.loads(join_notes(request))
    answer["description"] = answer["description"].rstrip(".") + "!"
    return json.dumps(answer)


def is_up_to_date(clips: Path, root: Path) -> bool:
    return open_walk(Store.open(root), clips, asking_by_rule()).is_done()


def review_of(row: dict[str, Any], decision: str, edited: str | None = None) -> ReviewRecord:
    return ReviewRecord(
        track_id=row["track_id"],
        text_version=row["text_version"],
        text_sha256=sha256_of(row["text"]),
        decision=decision,  # type: ignore[arg-type]
        edited_text=edited,
        reviewed_at=BEGAN,
        reviewer="anna",
        is_blind=True,
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    root = tmp_path_factory.mktemp("reviewed") / "corpus"
    build_without_scheduler(clips, root, keeps_answers=True)
    rows = Corpus(root).arrow("descriptions").to_pylist()
    edited = rows[0]["text"].rstrip(".") + "!"
    records = [review_of(rows[0], "edit", edited), *(review_of(row, "reject") for row in rows[1:])]
    report = import_reviews(Store.open(root), records)
    assert [edit.fate for edit in report.edits] == ["text"], report.edits
    return root


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "corpus"))


def test_a_build_after_an_import_has_nothing_to_do(root: Path, clips: Path) -> None:
    assert is_up_to_date(clips, root)
    assert check(Store.open(root)).faults == []
    built = build_without_scheduler(clips, root)
    assert not any(built.computed.values())
    assert Store.open(root).snapshot_numbers() == [1, 2]


def test_reviews_survive_a_build_that_leaves_texts_as_they_are(root: Path, clips: Path, tmp_path: Path) -> None:
    more = Path(shutil.copytree(clips, tmp_path / "more"))
    (more / "other.mp4").write_bytes(b"not a video either")
    build_without_scheduler(more, root)
    corpus = Corpus(root)
    assert corpus.snapshot.number == 3 and corpus.snapshot.counts["reviews"] == 2
    assert "edited" in corpus.arrow("descriptions", ["status"])["status"].to_pylist()
    assert check(Store.open(root)).faults == []


def test_a_build_that_writes_other_texts_takes_edits_back_and_keeps_reviews(root: Path, clips: Path) -> None:
    config = asking_by_rule()
    config = config.model_copy(update={"descriptions": config.descriptions.model_copy(update={"max_tokens": 191})})
    build_without_scheduler(clips, root, config, answer=in_other_words)
    corpus = Corpus(root)
    assert corpus.snapshot.counts["reviews"] == 2
    assert set(corpus.arrow("descriptions", ["text_version"])["text_version"].to_pylist()) == {1}
    found = standing(corpus.store, corpus.snapshot)
    assert (len(found.stale), found.num_edited, found.num_reviewed) == (2, 0, 0)
    assert check(corpus.store).faults == []
    build_without_scheduler(clips, root, keeps_answers=True)
    assert "edited" in Corpus(root).arrow("descriptions", ["status"])["status"].to_pylist()


def test_after_a_take_down_a_build_has_nothing_to_do(root: Path, clips: Path, tmp_path: Path) -> None:
    corpus = Corpus(root)
    edited = next(row for row in corpus.arrow("descriptions").to_pylist() if row["status"] == "edited")
    store = Store.open(root)
    assert take_down(store, [edited["video_id"]]).is_clean
    left = Corpus(root)
    assert left.snapshot.counts["reviews"] == 1
    assert edited["track_id"] not in left.arrow("reviews", ["track_id"])["track_id"].to_pylist()
    assert is_up_to_date(clips, root)
    assert check(store).faults == []


def test_exports_hold_edited_texts_and_a_rebuild_takes_them(root: Path, clips: Path, tmp_path: Path) -> None:
    corpus = Corpus(root)
    export_parquet(corpus, tmp_path / "parquet", ["descriptions"], without_licence="a test")
    import pandas as pd

    told = pd.read_parquet(tmp_path / "parquet" / "descriptions")
    assert "edited" in set(told["status"]) and "reviewer" not in told.columns
    export_text_only(corpus, tmp_path / "texts", without_licence="a test")
    report = rebuild(read_export(tmp_path / "texts"), clips, Store.open_or_create(tmp_path / "rebuilt", 4))
    assert report.is_same, [table for table in report.tables if not table.is_same]
    rows = Corpus(tmp_path / "rebuilt").arrow("descriptions", ["status", "text"]).to_pylist()
    assert [row["text"] for row in rows if row["status"] == "edited"]


@pytest.mark.browser
@needs_chromium
def test_a_text_that_is_edited_in_the_gallery_is_in_the_next_one(root: Path, tmp_path: Path) -> None:
    corpus, store = Corpus(root), Store.open(root)
    before = next(row for row in corpus.arrow("reviews").to_pylist() if row["decision"] == "reject")
    (row,) = [row for row in corpus.arrow("descriptions").to_pylist() if row["track_id"] == before["track_id"]]
    edited = row["text"].rstrip(".") + "!"
    page_file = write_gallery(corpus, tmp_path / "gallery.html", tracks=[row["track_id"]])
    with opened(page_file, viewport={"width": 1280, "height": 900}) as (page, complaints):
        page.get_by_label("Reviewer").fill("ben")
        page.get_by_label("Blind").check()
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("e")
        page.locator("article.current .edited").fill(edited)
        page.keyboard.press("Escape")
        with page.expect_download() as download:
            page.get_by_role("button", name="Save reviews").click()
        download.value.save_as(tmp_path / "ben.json")
        assert complaints == []
    report = import_reviews(store, read_review_file(tmp_path / "ben.json"))
    assert not report.stale and [(edit.fate, edit.version) for edit in report.edits] == [("text", 2)], report
    after = Corpus(root)
    versions = after.of_track("descriptions", row["video_id"], row["track_id"], ["text"])
    assert versions["text"].to_pylist() == [row["text"], edited]
    with opened(write_gallery(after, tmp_path / "next.html")) as (page, complaints):
        article = page.locator(f"#track-{row['track_id']}")
        said = article.text_content() or ""  # not the inner text: that is empty until a track comes into view
        assert "Edited by a reviewer" in said and edited in said
        assert "None" not in (article.locator(".status").text_content() or "")
        assert complaints == []
    again = import_reviews(store, read_review_file(tmp_path / "ben.json"))
    assert (again.num_known, again.snapshot) == (1, after.snapshot.number)


def test_a_card_says_what_people_judged_and_reviews_need_terms(root: Path, clips: Path, tmp_path: Path) -> None:
    corpus = Corpus(root)
    export_parquet(corpus, tmp_path / "one", ["descriptions"], without_licence="a test")
    card = (tmp_path / "one" / "README.md").read_text()
    assert "**Checked by people**: 1 of 2 texts" in card and "1 are a person's" in card
    licences = tmp_path / "licences.csv"
    paths = corpus.arrow("sources", ["path"])["path"].to_pylist()
    licences.write_text("path,licence,consent\n" + "".join(f"{path},CC0-1.0,given\n" for path in paths))
    build_without_scheduler(clips, root, annotations=licences)
    export_parquet(Corpus(root), tmp_path / "two", ["reviews"])
    fewer = Path(shutil.copytree(clips, tmp_path / "fewer", ignore=shutil.ignore_patterns("man")))
    told = [f"{name}.mp4,CC0-1.0,given" for name in ("talk", "room", "notes")]
    licences.write_text("\n".join(["path,licence,consent", *told]))
    build_without_scheduler(fewer, root, annotations=licences)
    left = Corpus(root)
    assert left.snapshot.counts["reviews"] == 2 and left.snapshot.counts["tracks"] == 1
    with pytest.raises(LicenceError, match="which left the source"):
        export_parquet(left, tmp_path / "three", ["reviews"])
