"""The overview: figures that can be counted by hand, pictures that say what they show, and a page for everybody."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from flows.__main__ import app
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.histogram import Histogram, histogram
from pipeline.inspection.overview import Overview, OverviewError, overview_of
from pipeline.inspection.overview_page import Bar, Bars, bars_of, percent, place, short, ticks, write_overview
from pipeline.store import Store
from schemas.tracks import FACE_REGIONS
from tests.large_corpus import write_large_corpus

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.inspection.conftest import MakeCorpus

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_large_corpus(tmp_path_factory.mktemp("overview") / "corpus", 400, num_frames=8, num_buckets=4)


@pytest.fixture(scope="module")
def corpus(root: Path) -> Corpus:
    return Corpus(root)


@pytest.fixture(scope="module")
def found(corpus: Corpus, root: Path) -> Overview:
    return overview_of(corpus, Corpus(root, 1))


# --- figures, counted a second time in another way


def test_counts_are_those_of_the_dataframes(corpus: Corpus, found: Overview) -> None:
    videos, texts = corpus.arrow("videos").to_pandas(), corpus.arrow("descriptions").to_pandas()
    assert found.num_rows("videos") == len(videos) == sum(one.num_videos for one in found.classes)
    for one in found.classes:
        of_class = videos[videos["label"] == one.label]
        assert one.by_split == of_class["split"].value_counts().to_dict()
        drafts = texts[texts["video_id"].isin(of_class["video_id"])]["status"].eq("fallback").sum()
        assert (one.num_texts, one.num_drafts) == (len(of_class), drafts)
    assert found.accepted.hits == texts["status"].eq("refined").sum()
    reasons = {one.reason: one.num_texts for one in found.statuses if one.reason}
    assert reasons == texts["fallback_reason"].value_counts().to_dict()
    assert sum(one.num_units for one in found.refusals) == found.num_rows("rejects")
    assert all(one.meaning for one in found.refusals)
    assert sum(part.num_videos for part in found.parts if part.fold == "1") == len(videos)


def test_lengths_sizes_and_poses_are_those_of_the_tracks(corpus: Corpus, found: Overview) -> None:
    tracks = corpus.arrow("tracks").to_pandas()
    durations_s = tracks["end_s"] - tracks["start_s"]
    assert found.num_seconds == pytest.approx(durations_s.sum())
    assert found.track_durations is not None and found.track_durations.median == pytest.approx(durations_s.median())
    assert found.face_sizes is not None and sum(found.face_sizes.counts) == len(tracks)
    sharpness = tracks["sharpness"].map(np.mean)
    assert found.sharpness is not None and found.sharpness.most == pytest.approx(sharpness.max(), rel=1e-5)
    pose_deg = np.stack([np.frombuffer(cell, "<f4").reshape(-1, 3).mean(axis=0) for cell in tracks["pose_deg"]])
    assert found.poses is not None and found.poses.frontal.hits == (np.abs(pose_deg[:, :2]) <= 15).all(axis=1).sum()
    assert np.sum(found.poses.counts) == len(tracks)
    seen = np.concatenate([np.frombuffer(cell, "<f4").reshape(-1, len(FACE_REGIONS)) for cell in tracks["visibility"]])
    for at, one in enumerate(found.visibility):
        assert one.mean == pytest.approx(seen[:, at].mean(), rel=1e-5)
        assert one.covered.hits == (seen[:, at] < 0.5).sum()


def test_actions_that_come_together_are_counted_track_by_track(corpus: Corpus, found: Overview) -> None:
    events = [list(one) for one in corpus.arrow("actions", ["events"]).to_pandas()["events"]]
    names = found.together.actions
    assert sorted(names) == sorted({event["action"] for listed in events for event in listed})
    for row, one in enumerate(names):
        for column, other in enumerate(names):
            pairs = [
                [(a, b) for a in track if a["action"] == one for b in track if b["action"] == other]
                for track in events
            ]  # fmt: skip
            both = [max(listed, key=_overlap) for listed in pairs if listed]
            assert found.together.in_track[row][column] == len(both)
            assert found.together.at_once[row][column] == sum(_overlap(pair) >= 0 for pair in both)
    counted = {one.action: one for one in found.actions}
    assert all(counted[name].num_tracks == found.together.in_track[at][at] for at, name in enumerate(names))
    assert sum(one.num_events for one in found.actions) == sum(map(len, events))


def _overlap(pair: tuple[dict[str, float], dict[str, float]]) -> float:
    one, other = pair
    return min(one["offset_s"], other["offset_s"]) - max(one["onset_s"], other["onset_s"])


def test_words_and_phrases(corpus: Corpus, found: Overview) -> None:
    texts = [text.lower() for text in corpus.arrow("descriptions", ["text"])["text"].to_pylist()]
    words = [re.findall(r"[a-z]+", text) for text in texts]
    assert found.texts.num_words == sum(map(len, words))
    assert found.texts.vocabulary == len({word for listed in words for word in listed})
    assert found.texts.phrases
    for one in found.texts.phrases:
        assert one.texts.hits == sum(f" {one.words} " in f" {' '.join(listed)} " for listed in words)
    parts = [
        tuple(one.words.split()[at : at + 3]) for one in found.texts.phrases for at in range(len(one.words.split()) - 2)
    ]
    assert len(parts) == len(set(parts)), "no phrase is told twice in other lengths"


def test_reviews_and_what_is_new(corpus: Corpus, found: Overview) -> None:
    reviews = corpus.arrow("reviews").to_pandas()
    assert found.reviews is not None and found.reviews.decisions == reviews["decision"].value_counts().to_dict()
    decided = reviews.groupby("track_id")["decision"]
    assert found.reviews.reviewed.hits == len(decided)
    shared = decided.count()[decided.count() > 1].index
    assert found.reviews.agreeing.asked == len(shared)
    assert found.reviews.agreeing.hits == (decided.nunique()[shared] == 1).sum()
    assert found.drift is not None and found.drift.before == 1
    assert found.drift.texts["added"] == 10


def test_a_corpus_of_almost_nothing_is_told_too(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    from tests.inspection.conftest import FIRST, video

    found = overview_of(make_corpus({"probe_videos/videos": [video(FIRST, "one.mp4")]}))
    assert (found.accepted.value, found.poses, found.reviews, found.drift) == (None, None, None, None)
    page = write_overview(found, tmp_path / "overview.html").read_text(encoding="utf-8")
    assert "no action was measured" in page and "nobody has reviewed a text yet" in page


def test_a_corpus_that_cannot_be_counted_says_so(root: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(root, broken)
    corpus = Corpus(broken)
    Path(corpus.files("actions")[0]).write_bytes(b"PAR1")
    with pytest.raises(OverviewError, match=r"snapshot 2 of .*broken cannot be counted .*`facescribe check`"):
        overview_of(corpus)


# --- histograms


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.booleans())
@example([25.0, -5e-324], False)
def test_a_histogram_counts_every_number_once(numbers: list[float], is_whole: bool) -> None:
    found = histogram(np.array([*numbers, np.nan]), "second", is_whole=is_whole)
    assert found is not None
    assert sum(found.counts) == found.num == len(numbers) and found.num_missing == 1
    assert len(found.edges) == len(found.counts) + 1 <= 60
    assert found.edges[0] <= min(numbers) and found.edges == sorted(set(found.edges))
    assert found.num_beyond == sum(number > found.edges[-1] for number in numbers)
    assert len(ticks(found)) <= 7
    assert all(0 <= place(found, number) <= 1 for number in numbers)


def test_no_numbers_have_no_histogram() -> None:
    assert histogram(np.array([np.nan, np.inf]), "second") is None


def test_lengths_begin_at_nothing_and_end_with_the_last_that_matters() -> None:
    numbers = np.concatenate([np.full(990, 2.0), np.full(9, 5.0), [1000.0]])
    found = histogram(numbers, "second")
    assert found is not None and found.edges[0] == 0 and found.edges[-1] < 6 and found.num_beyond == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "none"), (0.0, "0.0 %"), (0.0004, "< 0.1 %"), (0.07, "7.0 %"), (0.5, "50 %"), (0.9996, "> 99.9 %")],
)
def test_a_share_is_never_called_nothing_or_all_where_it_is_not(value: float | None, words: str) -> None:
    assert percent(value) == words


@pytest.mark.parametrize(("value", "words"), [(3.0, "3"), (3.14159, "3.14"), (31.4159, "31.4"), (31415.9, "31,416")])
def test_numbers_have_three_digits_or_so(value: float, words: str) -> None:
    assert short(value) == words


# --- pictures


def test_bars_have_one_scale_and_tell_their_parts(found: Overview) -> None:
    bars = bars_of(found)
    assert all(sum(row.parts) == row.total <= one.most(row) for one in bars.values() for row in one.rows)
    labels = bars["classes"]
    assert labels.detail(labels.rows[0]) == " · ".join(
        f"{count:,} {name}" for name in found.splits if (count := found.classes[0].by_split.get(name, 0))
    )
    actions = {one.action.replace("_", " "): one for one in found.actions}
    assert all(row.total == actions[str(row.name)].num_tracks for row in bars["actions"].rows)


def test_more_names_than_a_page_bears_are_counted(found: Overview, tmp_path: Path) -> None:
    template = found.classes[0]
    classes = [template.model_copy(update={"label": f"label {number}"}) for number in range(200)]
    page = write_overview(found.model_copy(update={"classes": classes}), tmp_path / "overview.html")
    assert "and 170 more, which --json has" in page.read_text(encoding="utf-8")


def test_a_bar_without_parts_is_none() -> None:
    bars = Bars("", "", "", (Bar("a", (0, 0)),), ("x", "y"))
    assert bars.most(bars.rows[0]) == 1 and bars.detail(bars.rows[0]) == ""


# --- the command


def run(root: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["overview", "--root", str(root), *map(str, arguments)])


def test_the_command_prints_and_writes_the_same_figures(root: Path, found: Overview, tmp_path: Path) -> None:
    html, written = tmp_path / "a" / "overview.html", tmp_path / "b" / "overview.json"
    done = run(root, "--html", html, "--json", written)
    assert done.exit_code == 0, done.output
    assert Overview.model_validate(json.loads(written.read_text())) == found
    for words in ("corpus, snapshot 2", "face tracks", "texts since snapshot 1", "happiness", "lip corner raise"):
        assert words in done.output
    assert html.stat().st_size > 50_000


def test_older_snapshots_and_none_to_compare_with(root: Path) -> None:
    assert "since snapshot" not in run(root, "--snapshot", 1).output
    assert "since snapshot" not in run(root, "--against", 0).output
    assert "since snapshot 1" in run(root, "--against", 1).output
    refused = run(root, "--against", 2)
    assert refused.exit_code == 2
    assert "2 is not before 2: give an earlier snapshot" in " ".join(refused.output.replace("│", " ").split())


# --- the page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_for_everybody(found: Overview, tmp_path: Path, browser: Browser, scheme: str, width: int) -> None:
    """No fault that axe calls serious or critical; with every table unfolded, too."""
    from axe_playwright_python.sync_playwright import Axe

    path = write_overview(found, tmp_path / "overview.html")
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        bypass_csp=True,  # axe is a script that is put into the page
    )
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    faults = [
        (fault["id"], fault["nodes"][0]["html"])
        for fault in Axe().run(page).response["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert faults == [] and said == []
    context.close()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_every_picture_has_words_and_paper_has_no_dark_mode(found: Overview, tmp_path: Path, browser: Browser) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(write_overview(found, tmp_path / "overview.html").as_uri())
    assert page.locator("svg:not([aria-label]):not([aria-hidden])").count() == 0
    assert page.locator("figure:not(:has(h3))").count() == 0
    assert page.locator("script, img, link, iframe").count() == 0
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    assert page.locator("nav").is_hidden()
    page.close()


def test_frames_are_read_in_place_from_any_part_of_a_file(corpus: Corpus) -> None:
    from pipeline.inspection.overview import _seen_in

    store: Store = corpus.store
    (batch,) = store.read(corpus.snapshot.files("tracks")[0]).combine_chunks().to_batches()
    whole, part = _seen_in(batch), _seen_in(batch.slice(3, 5))
    for name in ("durations_s", "sharpness", "pose_deg"):
        assert np.array_equal(part[name], whole[name][3:8])
    assert part["num_frames"][0] == 5 * 8


def test_a_histogram_is_plain_data() -> None:
    found = histogram(np.array([1.0, 2.0, 4.0]), "second")
    assert found is not None and Histogram.model_validate_json(found.model_dump_json()) == found
