"""The gallery: text stays text, nothing is asked of a network, what is missing is explained, and the page works."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.inspection.corpus import Corpus
from pipeline.inspection.gallery import write_gallery
from pipeline.inspection.timeline import Clock, choose_clip_frames, lanes_of, middles
from pipeline.progress import listening
from schemas.motion import CLIP_FRAMES, MOTION
from schemas.table import write_cell
from tests.inspection.chromium import needs_chromium, opened

if TYPE_CHECKING:
    from tests.inspection.conftest import MakeCorpus


class Seen(HTMLParser):
    """What a browser makes of a page: its tags with their attributes, and its text by the tag it stands in."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.inside: list[str] = []
        self.scripts: list[str] = []
        self.json: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.inside.append("")
        self.text += " " if tag == "td" else ""

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] == "script":
            kind = next(attributes for tag, attributes in reversed(self.tags) if tag == "script").get("type")
            (self.json if kind == "application/json" else self.scripts).append(data)
        elif self.inside and self.inside[-1] != "style":
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]


@pytest.fixture
def page(hostile_corpus: Corpus, tmp_path: Path) -> str:
    return write_gallery(hostile_corpus, tmp_path / "out" / "gallery.html").read_text(encoding="utf-8")


def test_hostile_text_comes_out_as_text(page: str) -> None:
    seen = Seen(page)
    assert len(seen.scripts) == 1
    assert not [value for _, attributes in seen.tags for value in attributes if value.startswith("on")]
    for harmless in (
        "a/<script>alert('path')</script>⟨U+202E⟩4pm.exe 😀 \" & '.mp4",
        "<img src=x onerror=alert(1)></p></article><script>alert('text')</script> ⟨U+202E⟩evil שלום 😀",
        "]]> <!-- </td> claim 2 says \"left\" & 'right' {{ 7 * 7 }} https://example.invalid/x.png",
        '{"description": "</pre><script>alert(3)</script>"}',
        "a model <i>of</i> words",
        "label <b>joy</b> (kept from the writer)",
    ):
        assert harmless in seen.text
    assert "\u202e" not in page, "a character that turns the direction of text is named, so that a path cannot lie"


def test_nothing_is_asked_of_a_network(page: str) -> None:
    seen = Seen(page)
    sources = [*seen.attributes("src"), *seen.attributes("href"), *seen.attributes("data"), *seen.attributes("action")]
    assert sources
    assert [source for source in sources if not source.startswith(("data:", "#"))] == []
    assert "url(" not in page
    assert "@import" not in page
    assert not {tag for tag, _ in seen.tags} & {"iframe", "object", "embed", "base", "audio", "video"}
    assert [tag["method"] for name, tag in seen.tags if name == "form"] == ["dialog"], (
        "which closes it and sends nothing"
    )


def test_the_policy_allows_exactly_the_script_of_the_page(page: str) -> None:
    seen = Seen(page)
    (policy,) = [tag["content"] for name, tag in seen.tags if name == "meta" and "http-equiv" in tag]
    digest = base64.b64encode(hashlib.sha256(seen.scripts[0].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; ")
    assert f"script-src 'sha256-{digest}';" in policy


def test_every_picture_says_what_it_is(page: str) -> None:
    pictures = [attributes for tag, attributes in Seen(page).tags if tag == "img"]
    faces = [picture for picture in pictures if picture["class"] == "face"]
    assert len(faces) == (16 + 1) + (12 + 1) + (16 + 1)
    assert all(re.match(r"Aligned face at \d+\.\d\d s", face["alt"]) for face in faces)
    assert sum("motion not known" in face["alt"] for face in faces) == 2
    assert all(picture["alt"] == "" for picture in pictures if picture["class"] == "heat"), "the heat is decoration"


def test_the_page_says_how_each_text_came_about(page: str) -> None:
    text = " ".join(Seen(page).text.split())
    assert "▲ Fallback to the draft" in text
    assert "Fallback: a claim is contradicted by the measurement." in text
    assert "version 2" in text
    assert "An older text." not in text
    assert "✓ Refined" in text
    assert "✗ contradicted" in text
    assert "? not measurable" in text


def test_what_is_missing_is_explained(page: str) -> None:
    text = " ".join(Seen(page).text.split())
    assert "No motion clips: the track has too few frames for one training clip (encode_motion: ]]>" in text
    nothing = "the face was never visible well enough to measure an action (measure_actions: 0.10 s could be measured)"
    assert f"No curves: {nothing}" in text
    assert f"No draft: {nothing}" in text
    assert f"No description: {nothing}" in text


def test_times_count_from_the_tracks_start_as_the_texts_do(page: str) -> None:
    later = page[page.index('id="track-ccc') :]
    text = " ".join(Seen(later).text.split())
    assert "1.95 s, from 3.20 s of the video" in text
    assert "0.40 s 1.00 s 1.60 s" in text, "onset, apex and offset of an event"
    assert "not measured: the head is turned too far, 1.80 to 1.95 s; no face found, 1.45 to 1.50 s" in text


def test_a_limit_shows_fewer_tracks_and_says_so(hostile_corpus: Corpus, tmp_path: Path) -> None:
    page = write_gallery(hostile_corpus, tmp_path / "gallery.html", limit=1).read_text(encoding="utf-8")
    text = " ".join(Seen(page).text.split())
    assert page.count("<article") == 1
    assert "This page shows the first 1 of 3 tracks" in text
    assert "facescribe gallery --limit 3" in text
    with pytest.raises(ValueError, match="got -1"):
        write_gallery(hostile_corpus, tmp_path / "gallery.html", limit=-1)


def test_an_empty_corpus_has_a_page(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    page = write_gallery(make_corpus({}), tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert "This snapshot holds no face tracks" in page
    assert "every input ended as a row" in page


def test_progress_is_told(hostile_corpus: Corpus, tmp_path: Path) -> None:
    told: list[tuple[Any, ...]] = []
    with listening(lambda *report: told.append(report)):
        write_gallery(hostile_corpus, tmp_path / "gallery.html")
    assert told == [("write_gallery", 0, done, 3) for done in range(4)]


def test_a_page_is_written_whole_or_not_at_all(hostile_corpus: Corpus, tmp_path: Path) -> None:
    def stop(stage: str, bucket: int, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    target = tmp_path / "pages" / "gallery.html"
    target.parent.mkdir()
    target.write_text("the page before")
    with listening(stop), pytest.raises(KeyboardInterrupt):
        write_gallery(hostile_corpus, target)
    assert [path.read_text() for path in target.parent.iterdir()] == ["the page before"]


def test_one_track_is_read_without_the_others(hostile_corpus: Corpus) -> None:
    crops = hostile_corpus.of_track("crops", "2" * 32, "b" * 32, ["time_s"], position=[9, 0])
    assert crops.to_pydict() == {"time_s": [0.0, 0.45]}
    assert hostile_corpus.of_track("crops", "1" * 32, "a" * 32, ["time_s"]).num_rows == 0


def test_middles_lie_in_equal_segments() -> None:
    assert middles(40, 4) == [5, 15, 25, 35]
    assert middles(3, 12) == [0, 1, 2]
    assert middles(0, 12) == []


def test_the_film_takes_real_frames_of_every_clip() -> None:
    def is_padding(num_real: int) -> bytes:
        return write_cell(MOTION.field("is_padding"), np.arange(CLIP_FRAMES) >= num_real)

    clips = pa.table(
        {"clip_id": ["late", "early"], "start_s": [4.0, 0.0], "is_padding": [is_padding(8), is_padding(16)]}
    )
    chosen = choose_clip_frames(clips)
    assert len(chosen) == CLIP_FRAMES
    assert [clip_id for clip_id, _, _ in chosen] == ["early"] * 11 + ["late"] * 5
    assert {number for _, number, frame in chosen if frame >= 8} == {1}, "frame 8 and later of clip 2 are padding"


def test_ticks_are_few_and_round() -> None:
    assert [label for _, label in Clock(3.2, 5.2).ticks()] == [
        "0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1",
        "1.2",
        "1.4",
        "1.6",
        "1.8",
        "2",
    ]
    assert len(Clock(0, 3600).ticks()) <= 11
    assert Clock(1.0, 1.0).percent(1.0) == 50.0


def test_curves_leave_out_what_was_not_measured_and_do_not_bridge_gaps(hostile_corpus: Corpus) -> None:
    columns = ["times_s", "measures", "measurable", "events", "unmeasured", "unclear"]
    (actions,) = hostile_corpus.of_track("actions", "1" * 32, "a" * 32, columns).to_pylist()
    lanes = lanes_of(actions, [frame == 30 for frame in range(40)], Clock(0.0, 1.95))
    assert [lane.name for lane in lanes.shown] == ["lip corner raise", "jaw drop"]
    assert lanes.scale == 0.75
    left = lanes.shown[0].paths["left"]
    assert left.count("M") == 2, "one piece before the gap and one after it"
    assert left.count("M") + left.count("L") == 36, "the last four frames were not measured"
    bar = lanes.shown[0].bars[0]
    assert (bar.side, bar.intensity, round(bar.apex)) == ("left", "strong", 50)


def test_events_beside_the_facial_actions_are_bars_without_a_curve(hostile_corpus: Corpus) -> None:
    columns = ["times_s", "measures", "measurable", "events", "unmeasured", "unclear"]
    (actions,) = hostile_corpus.of_track("actions", "1" * 32, "a" * 32, columns).to_pylist()
    turn = actions["events"][0] | {"action": "head_turn", "side": "left", "peak": 1.4}
    move = actions["events"][0] | {"action": "brows_move", "side": "middle", "peak": 0.5}
    actions["events"] += [turn, move]
    lanes = lanes_of(actions, [False] * 40, Clock(0.0, 1.95))
    assert [lane.name for lane in lanes.shown] == ["head turn", "lip corner raise", "brows move", "jaw drop"]
    assert [len(lane.bars) for lane in lanes.shown] == [1, 1, 1, 1]
    assert lanes.shown[0].paths == {} and lanes.scale == 0.75, "a turn of the head is on no scale of the face's"


@pytest.mark.browser
@needs_chromium
def test_the_page_works_in_a_browser(hostile_corpus: Corpus, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    path = write_gallery(hostile_corpus, tmp_path / "gallery.html")
    with opened(path, viewport={"width": 1280, "height": 900}) as (page, complaints):
        articles = page.locator("article:visible")
        assert articles.count() == 3

        page.get_by_role("button", name="Fallback").click()
        assert articles.count() == 1
        assert page.locator("#count").inner_text() == "1 of 3 tracks"
        page.get_by_role("button", name="All 3").click()

        page.get_by_role("searchbox").fill("BOTH lip corners")
        assert articles.count() == 1
        page.get_by_role("searchbox").fill("no such words")
        page.get_by_role("button", name="Show all tracks").click()
        assert articles.count() == 3

        first = articles.first
        slider = first.get_by_role("slider")
        slider.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert first.locator("figure.now figcaption").inner_text() == "0.30"
        assert first.locator(".time").inner_text() == slider.get_attribute("aria-valuetext") == "0.30 s"

        film = first.locator(".film").bounding_box()
        assert film is not None
        page.mouse.move(film["x"] + film["width"] / 2, film["y"] + film["height"] + 80)
        assert first.locator(".cursor").is_visible()
        assert first.locator(".readout").first.inner_text() == "L 0.70 R 0.28"

        heat = first.locator("figure .heat").first
        expect(heat).to_have_css("opacity", "1")
        page.get_by_label("Motion", exact=False).uncheck()
        expect(heat).to_have_css("opacity", "0")

        assert page.evaluate("[...document.images].filter(i => i.complete && i.src && !i.naturalWidth).length") == 0
        assert page.screenshot(path=tmp_path / "gallery.png", full_page=True)
        assert complaints == []


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_can_be_read(hostile_corpus: Corpus, tmp_path: Path, scheme: str) -> None:
    path = write_gallery(hostile_corpus, tmp_path / "gallery.html")
    with opened(path, viewport={"width": 390, "height": 844}, color_scheme=scheme) as (page, complaints):
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate(LOWEST_CONTRAST) >= 4.5
        assert complaints == []


LOWEST_CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => channels(colour).slice(0, 3)
    .map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const withText = [...document.body.querySelectorAll("*")].filter((element) =>
    element.tagName !== "SCRIPT" && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  return Math.min(...withText.map((element) => {
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
}"""
