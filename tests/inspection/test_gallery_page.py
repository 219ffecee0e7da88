"""The gallery in a browser: filters, orders, keys, links from words to evidence, reviews that become a file."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from playwright.sync_api import expect

from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery import write_gallery
from pipeline.reviews.record import read_review_file
from schemas.table import write_cell
from schemas.tracks import TRACKS
from tests.inspection.chromium import needs_chromium, opened, serious_faults
from tests.inspection.conftest import NUM_FRAMES, actions, clip, crop, description, draft, track, video

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.inspection.conftest import MakeCorpus

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs_chromium]

TEXT = "The left lip corner rises strongly, then the jaw drops."
DRAFT = "The left lip corner rises strongly until the end."
LABELS = ("happiness", "fear", "neutral")
NUM_TRACKS = 9
FULL = f"{0:032x}"
"""The track that has motion, landmarks and two claims; the others have three crops."""


def track_id(number: int) -> str:
    return f"{number:032x}"


def claims(verdict: str = "supported") -> list[dict[str, Any]]:
    said = {"intensity": "strong", "source": "prose", "polarity": "present", "why": "measured", "region": "mouth"}
    smile = {"action": "lip_corner_raise", "side": "left", "start_s": 0.4, "end_s": 0.8, "verdict": "supported"}
    drop = {"action": "jaw_drop", "side": "middle", "start_s": 1.0, "end_s": 1.4, "verdict": verdict, "region": "jaw"}
    return [said | smile, said | drop]


def with_landmarks(row: dict[str, Any]) -> dict[str, Any]:
    """A face in the middle of its crop of 224 px: random places around it, and eyes where they belong."""
    points = np.random.default_rng(0).uniform(60, 160, (NUM_FRAMES, 478, 3)).astype(np.float32)
    points[:, [33, 133, 263, 362], 0] = [60, 90, 164, 134]
    transforms = np.tile(np.eye(2, 3, dtype=np.float32), (NUM_FRAMES, 1, 1))
    return row | {
        "landmarks_px": write_cell(TRACKS.field("landmarks_px"), points),
        "transforms": write_cell(TRACKS.field("transforms"), transforms),
    }


@pytest.fixture
def mixed_corpus(make_corpus: MakeCorpus) -> Corpus:
    """Nine tracks of three classes and two splits; the first in full, every third a fallback, the last without text."""
    videos = [f"{number + 100:032x}" for number in range(NUM_TRACKS)]
    described = [
        description(
            track_id(n),
            videos[n],
            text=TEXT if n == 0 else f"Text number {n}. The jaw drops.",
            claims=claims("contradicted" if n == 4 else "supported"),
            status="fallback" if n % 3 == 1 else "refined",
            fallback_reason="prose_contradicted" if n % 3 == 1 else None,
        )
        for n in range(NUM_TRACKS - 1)
    ]
    return make_corpus(
        {
            "probe_videos/videos": [
                video(videos[n], f"clip_{n}.mp4", label=LABELS[n % 3], split="train" if n < NUM_TRACKS // 2 else "test")
                for n in range(NUM_TRACKS)
            ],
            "extract_tracks/tracks": [
                with_landmarks(track(track_id(n), videos[n])) | {"median_face_px": 50.0 + 10 * n}
                for n in range(NUM_TRACKS)
            ],
            "extract_tracks/crops": [
                crop(track_id(n), videos[n], at) for n in range(1, NUM_TRACKS) for at in (1, 18, 38)
            ],
            "measure_actions/actions": [actions(track_id(n), videos[n]) for n in range(NUM_TRACKS)],
            "encode_motion/motion": [clip(FULL, videos[0])],
            "draft_descriptions/drafts": [draft(track_id(n), videos[n]) | {"text": DRAFT} for n in range(NUM_TRACKS)],
            "refine_descriptions/descriptions": described,
        }
    )


@contextmanager
def gallery(corpus: Corpus, folder: Path, address: str = "", **options: Any) -> Iterator[Page]:
    """The corpus as one page, without a complaint at its end."""
    options = {"viewport": {"width": 1280, "height": 900}} | options
    with opened(write_gallery(corpus, folder / "gallery.html"), address, **options) as (page, complaints):
        yield page
        assert complaints == []


def paths(page: Page) -> list[str]:
    return [str(name) for name in page.locator("article:visible h2 bdi").all_text_contents()]


def test_filters_and_orders(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with gallery(mixed_corpus, tmp_path) as page:
        page.locator("#by-label").select_option("fear")
        assert paths(page) == ["clip_1.mp4", "clip_4.mp4", "clip_7.mp4"]
        page.locator("#by-split").select_option("test")
        assert paths(page) == ["clip_4.mp4", "clip_7.mp4"]
        page.locator("#by-verdict").select_option("contradicted")
        assert paths(page) == ["clip_4.mp4"]
        page.get_by_role("searchbox").fill("nothing like it")
        page.get_by_role("button", name="Show all tracks").click()
        assert len(paths(page)) == NUM_TRACKS

        page.locator("#by-reason").select_option("prose_contradicted")
        assert len(paths(page)) == 3
        page.locator("#by-reason").select_option("*")
        page.locator("#by-quality").select_option("poor")
        assert paths(page) == ["clip_0.mp4", "clip_1.mp4"], "faces under 64 px"
        page.locator("#by-quality").select_option("*")
        page.locator("#sort").select_option("worst")
        assert paths(page)[0] == "clip_4.mp4"
        page.locator("#sort").select_option("small")
        assert paths(page) == [f"clip_{n}.mp4" for n in range(NUM_TRACKS)]
        page.locator("#sort").select_option("mixed")
        mixed = paths(page)
        assert mixed != sorted(mixed)
        page.locator("#sort").select_option("")
        assert paths(page) == [f"clip_{n}.mp4" for n in range(NUM_TRACKS)], "as listed"
        assert "jaw drop (9)" in page.locator("#by-action").inner_text()


def test_words_and_claims_light_up_their_evidence(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with gallery(mixed_corpus, tmp_path) as page:
        first = page.locator("article").first
        said = first.locator(".said")
        assert said.all_inner_texts()[0].startswith("The left lip corner rises strongly")
        said.nth(0).hover()
        band = first.locator(".claimed i")
        assert band.count() == 1
        assert band.get_attribute("style") == "left: 20.513%; width: 20.513%;", "0.4 to 0.8 s of 1.95 s"
        assert first.locator(".lane.lit").get_attribute("data-action") == "lip_corner_raise"
        assert first.locator("tr.lit").get_attribute("data-claim") == "0"
        assert first.locator(".regions g.lit").get_attribute("data-region") == "mouth"
        assert first.locator(".plot .claim.lit").count() == 1
        moment = float(first.locator(".moment .time").inner_text().split()[0])
        assert 0.4 < moment < 0.8, "the picture shows the middle of the claim"

        said.nth(1).focus()
        page.mouse.move(5, 5)
        first.locator("tr[data-claim='1']").focus()
        assert first.locator(".said.lit").inner_text().strip() == "the jaw drops."
        assert first.locator(".lane.lit").get_attribute("data-action") == "jaw_drop"
        assert first.locator(".regions g.lit").get_attribute("data-region") == "jaw"
        page.get_by_role("searchbox").focus()
        assert first.locator(".lit").count() == 0


def test_the_word_diff_has_signs_and_not_colour_alone(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with gallery(mixed_corpus, tmp_path) as page:
        diff = page.locator("article").first.locator(".diff")
        assert diff.locator("del").all_inner_texts() == ["until the end"]
        assert diff.locator("ins").all_inner_texts() == [", then the jaw drops"]
        sign = "(element) => getComputedStyle(element, '::before').content"
        assert diff.locator("del").evaluate(sign) == '"\N{MINUS SIGN} "'
        assert diff.locator("ins").evaluate(sign) == '"+ "'
        assert str(page.locator(".verdict.contradicted").text_content()).split() == ["✗", "contradicted"]


def test_the_film_plays_in_real_time(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with gallery(mixed_corpus, tmp_path) as page:
        first = page.locator("article").first
        page.keyboard.press("j")
        began = page.evaluate("performance.now()")
        page.keyboard.press("Space")
        play = first.locator(".play")
        assert play.get_attribute("aria-pressed") == "true"
        expect(first.locator(".moment .time")).to_have_text(re.compile(r"^(0\.[89]|1)"))
        took_s = (page.evaluate("performance.now()") - began) / 1000
        assert took_s > 0.6, "0.05 to 0.80 s of the track"
        page.keyboard.press("Space")
        assert play.get_attribute("aria-pressed") == "false"
        at = first.locator(".moment .time").inner_text()
        page.wait_for_timeout(300)
        assert first.locator(".moment .time").inner_text() == at


def test_keys_and_permalinks(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with gallery(mixed_corpus, tmp_path, f"#track-{track_id(3)}") as page:
        assert page.locator("article.current h2 bdi").inner_text() == "clip_3.mp4"
        assert page.locator(f"#track-{track_id(3)}").is_visible()
        page.keyboard.press("j")
        expect(page).to_have_url(re.compile(rf"#track-{track_id(4)}$"))
        page.keyboard.press("k")
        page.keyboard.press("k")
        expect(page).to_have_url(re.compile(rf"#track-{track_id(2)}$"))
        page.keyboard.press("/")
        page.keyboard.type("aje number 5")
        assert page.get_by_role("searchbox").input_value() == "aje number 5", "letters in a field are no keys"
        page.get_by_role("searchbox").fill("number 5")
        page.keyboard.press("Escape")
        assert paths(page) == ["clip_5.mp4"]
        page.keyboard.press("?")
        assert page.get_by_role("dialog").is_visible()
        page.keyboard.press("Escape")
        page.evaluate(f"location.hash = '#track-{track_id(7)}'")
        page.wait_for_selector("article.current h2:has-text('clip_7')")
        assert page.locator(f"#track-{track_id(7)}").is_visible(), "a link shows its row, whatever was filtered"


def another_tab(page: Page, decided: str) -> Page:
    """The same page once more, when the browser has told it what was decided in the first.

    It is not loaded anew instead: what a private window stores is then lost now and then, on a busy machine.
    """
    until = time.monotonic() + 20
    tab = page.context.new_page()
    tab.goto(page.url)
    while not tab.locator("#decided").inner_text().startswith(decided):
        assert time.monotonic() < until, "the browser keeps what was decided"
        tab.reload()
    return tab


def test_a_review_becomes_a_file_as_the_importer_reads_it(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with gallery(mixed_corpus, tmp_path) as page:
        page.keyboard.press("j")
        page.keyboard.press("a")
        page.keyboard.press("j")
        page.keyboard.press("r")
        page.keyboard.type("the jaw <b>does not</b> drop")
        page.keyboard.press("Enter")
        page.keyboard.press("e")
        edited = page.locator("article.current .edited")
        assert edited.input_value() == "Text number 2. The jaw drops."
        edited.fill("The jaw drops.")
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("u")
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        page.keyboard.press("a")
        page.keyboard.press("a")
        assert page.locator("#decided").inner_text() == "4 of 8 decided: ✓ 1 accept, ✗ 1 reject, ✎ 1 edit, ? 1 unsure"

        page.get_by_role("button", name="Save reviews").click()
        assert "Who decided?" in page.locator("#said").inner_text()
        page.get_by_label("Reviewer").fill("anna")
        with page.expect_download() as download:
            page.get_by_role("button", name="Save reviews").click()
        target = tmp_path / "reviews.json"
        download.value.save_as(target)
        assert download.value.suggested_filename == "reviews-corpus-1-anna.json"

        tab = another_tab(page, "4 of 8 decided")
        tab.locator("#by-review").select_option("reject")
        assert paths(tab) == ["clip_1.mp4"]
        assert tab.locator("article:visible .reason").input_value() == "the jaw <b>does not</b> drop"

        page.evaluate("localStorage.clear()")
        page.reload()
        assert page.locator("#decided").inner_text() == "0 of 8 decided"
        page.locator("#load").set_input_files(target)
        expect(page.locator("#decided")).to_have_text(re.compile("^4 of 8"))

    file = json.loads(target.read_text(encoding="utf-8"))
    assert list(file) == ["format", "version", "corpus", "snapshot", "reviewer", "saved_at", "is_blind", "reviews"]
    assert (file["corpus"], file["snapshot"], file["is_blind"]) == ("corpus", 1, False)
    records = read_review_file(target)
    assert [(r.track_id, r.decision, r.reason, r.edited_text, r.text_version, r.reviewer) for r in records] == [
        (track_id(0), "accept", None, None, 1, "anna"),
        (track_id(1), "reject", "the jaw <b>does not</b> drop", None, 1, "anna"),
        (track_id(2), "edit", None, "The jaw drops.", 1, "anna"),
        (track_id(3), "unsure", None, None, 1, "anna"),
    ]


def test_blind_hides_what_could_lead_a_reviewer(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with gallery(mixed_corpus, tmp_path) as page:
        page.get_by_label("Reviewer").fill("ben")
        page.get_by_label("Blind").check()
        shown = page.locator("article").first.inner_text() + page.locator(".tools").inner_text()
        for hidden in ("Refined", "supported", "happiness", "until the end", "Class", "Verdicts"):
            assert hidden not in shown
        assert TEXT in shown
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Accept").first.click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Save reviews").click()
        target = tmp_path / "blind.json"
        download.value.save_as(target)
        assert [record.is_blind for record in read_review_file(target)] == [True]
        page.get_by_label("Blind").uncheck()
        page.get_by_role("button", name="Accept").nth(1).click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Save reviews").click()
        download.value.save_as(target)
        assert {record.is_blind for record in read_review_file(target)} == {False}
        assert "1 of them were not blind" in page.locator("#said").inner_text()


def test_files_that_are_no_reviews_are_refused_in_words(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with gallery(mixed_corpus, tmp_path) as page:
        for content, words in (("{", "is no JSON"), ('{"format": "other"}', "is no file of reviews")):
            wrong = tmp_path / "wrong.json"
            wrong.write_text(content)
            page.locator("#said").evaluate("(element) => { element.textContent = '' }")
            page.locator("#load").set_input_files(wrong)
            expect(page.locator("#said")).to_contain_text(words)
        hostile = {"track_id": FULL, "text_version": 1, "text_sha256": "0" * 64, "decision": "constructor"}
        wrong.write_text(json.dumps({"format": "facescribe reviews", "version": 1, "reviews": [hostile, None, 3]}))
        page.locator("#load").set_input_files(wrong)
        expect(page.locator("#said")).to_contain_text("Loaded 0 of 3")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(mixed_corpus: Corpus, tmp_path: Path, scheme: str) -> None:
    with gallery(mixed_corpus, tmp_path, color_scheme=scheme) as page:
        assert serious_faults(page) == []
        page.keyboard.press("j")
        page.keyboard.press("r")
        page.locator("article").first.locator(".said").first.hover()
        for details in page.locator("article").first.locator("details").all():
            details.evaluate("(element) => { element.open = true }")
        assert serious_faults(page) == []
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        assert serious_faults(page) == []


def test_a_phone_needs_no_scrolling_sideways(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with gallery(mixed_corpus, tmp_path, viewport={"width": 360, "height": 740}) as page:
        page.get_by_text("Filter, sort, review").click()
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.get_by_label("Sort").is_visible()


def test_print_shows_tracks_and_no_controls(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with gallery(mixed_corpus, tmp_path, color_scheme="dark") as page:
        page.emulate_media(media="print")
        for hidden in (".bar", ".tools", ".decisions", ".play"):
            assert not page.locator(hidden).first.is_visible()
        assert page.locator("article").first.locator(".prose").first.is_visible()
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == "rgb(255, 255, 255)", "ink is dark on white, whatever the screen's theme"
        page.emulate_media(media=None)
        pdf = page.pdf()
        assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 2 * NUM_TRACKS


@contextmanager
def folder_of(corpus: Corpus, folder: Path, address: str = "", **options: Any) -> Iterator[Page]:
    """The corpus as an index with files of two tracks each."""
    options = {"viewport": {"width": 1400, "height": 900}} | options
    path = write_gallery(corpus, folder / "gallery.html", one_file=4, per_file=2)
    with opened(path, address, **options) as (page, complaints):
        yield page
        assert complaints == []


def test_a_folder_has_an_index_and_a_file_for_some_tracks_each(mixed_corpus: Corpus, tmp_path: Path) -> None:
    path = write_gallery(mixed_corpus, tmp_path / "gallery.html", one_file=4, per_file=2)
    files = sorted(file.name for file in (tmp_path / "gallery_pages").iterdir())
    assert files == [f"{n:04}.html" for n in range(1, 6)]
    assert path.stat().st_size < 150_000
    write_gallery(mixed_corpus, path, one_file=4, per_file=5)
    assert len(list((tmp_path / "gallery_pages").iterdir())) == 2, "files of an earlier gallery are gone"
    write_gallery(mixed_corpus, path, limit=2)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "corpus", path]


def test_the_index_shows_a_row_in_full_and_filters_all_rows(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with folder_of(mixed_corpus, tmp_path) as page:
        detail = page.frame_locator("#detail")
        detail.get_by_role("heading", name="clip_0.mp4").wait_for()
        assert page.locator(".row").count() == NUM_TRACKS
        page.keyboard.press("j")
        detail.get_by_role("heading", name="clip_1.mp4").wait_for()
        page.keyboard.press("j")
        detail.get_by_role("heading", name="clip_2.mp4").wait_for()
        expect(page).to_have_url(re.compile(rf"#track-{track_id(2)}$"))
        assert detail.locator("article:visible").count() == 1
        page.locator("#by-label").select_option("fear")
        assert page.locator(".row .title").all_inner_texts() == ["clip_1.mp4", "clip_4.mp4", "clip_7.mp4"]
        assert page.locator("#count").inner_text() == "3 of 9 tracks"
        page.locator(".row").nth(2).click()
        detail.get_by_role("heading", name="clip_7.mp4").wait_for()
        assert serious_faults(page) == []


def test_what_is_decided_in_the_frame_is_kept_by_the_index(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with folder_of(mixed_corpus, tmp_path, f"#track-{track_id(4)}") as page:
        detail = page.frame_locator("#detail")
        detail.get_by_role("heading", name="clip_4.mp4").wait_for()
        page.keyboard.press("a")
        page.get_by_text("✓ 1 accept").wait_for()
        detail.locator("article:visible").get_by_role("button", name="Reject").click()
        page.get_by_text("✗ 1 reject").wait_for()
        page.keyboard.type("no")
        page.keyboard.press("Enter")
        detail.get_by_role("heading", name="clip_5.mp4").wait_for()
        detail.locator("article:visible").get_by_role("button", name="Unsure").click()
        page.get_by_text("? 1 unsure").wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        detail.get_by_role("heading", name="clip_6.mp4").wait_for()
        page.get_by_label("Reviewer").fill("anna")
        with page.expect_download() as download:
            page.get_by_role("button", name="Save reviews").click()
        download.value.save_as(tmp_path / "reviews.json")
    records = read_review_file(tmp_path / "reviews.json")
    assert [(r.track_id, r.decision, r.reason) for r in records] == [
        (track_id(4), "reject", "no"),
        (track_id(5), "unsure", None),
    ]


def test_on_a_phone_a_row_leads_to_its_page_and_back(mixed_corpus: Corpus, tmp_path: Path) -> None:
    with folder_of(mixed_corpus, tmp_path, viewport={"width": 390, "height": 844}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.locator(".row").nth(3).click()
        page.wait_for_url(re.compile(r"0002\.html#track-"))
        assert page.locator("article.current h2 bdi").inner_text() == "clip_3.mp4"
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.get_by_role("link", name="all tracks").click()
        page.wait_for_url(re.compile(r"gallery\.html"))


def test_hostile_text_in_an_index_stays_text(hostile_corpus: Corpus, tmp_path: Path) -> None:
    path = write_gallery(hostile_corpus, tmp_path / "gallery.html", one_file=1, per_file=2)
    with opened(path, viewport={"width": 1400, "height": 900}) as (page, complaints):
        page.frame_locator("#detail").get_by_role("heading").first.wait_for()
        row = page.locator(".row").first
        assert row.locator(".title").inner_text() == "a/<script>alert('path')</script>⟨U+202E⟩4pm.exe 😀 \" & '.mp4"
        assert "<b>joy</b>" in row.inner_text()
        assert page.locator("li script, li b b, li img[onerror]").count() == 0
        page.keyboard.press("j")
        page.keyboard.press("e")
        assert complaints == []
