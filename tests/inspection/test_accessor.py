"""`df.facescribe` on frames of a corpus: claims with evidence, what is contradicted, samples, changes, pictures."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.descriptions.judging import CLAIM_TOLERANCE_S
from pipeline.inspection import frames_sql
from pipeline.inspection.corpus import Corpus
from pipeline.store import Receipt, Store
from tests.clip_corpus import MadeTrack, write_clip_corpus
from tests.inspection.conftest import (
    FACE,
    FIRST,
    HOSTILE_PATH,
    LATER_FACE,
    SHORT_FACE,
    MakeCorpus,
    description,
    draft,
    track,
    video,
)

EVENT = {"action": "lip_corner_raise", "side": "left", "onset_s": 0.4, "apex_s": 1.0, "offset_s": 1.6, "peak": 0.7}
EVENT |= {"intensity": "strong"}
CLAIM = {"action": "lip_corner_raise", "region": "mouth", "side": "left", "start_s": 0.4, "end_s": 1.6}
CLAIM |= {"polarity": "present", "intensity": "strong", "source": "answer", "verdict": "supported", "why": "measured"}


def with_events(track_id: str, *events: dict[str, Any]) -> dict[str, Any]:
    return draft(track_id, FIRST) | {"evidence": json.dumps({"duration_s": 2.0, "events": events})}


def test_a_claim_stands_beside_its_verdict_and_the_event_that_shares_most_time_with_it(make_corpus: MakeCorpus) -> None:
    brief = EVENT | {"onset_s": 0.1, "apex_s": 0.2, "offset_s": 0.5, "peak": 0.9, "side": "right"}
    far = EVENT | {"onset_s": 5.0, "apex_s": 5.5, "offset_s": 6.0}
    claims = [CLAIM, CLAIM | {"action": "jaw_drop", "verdict": "contradicted", "why": "at rest"}]
    corpus = make_corpus(
        {
            "probe_videos/videos": [video(FIRST, "a.mp4", label="fear")],
            "extract_tracks/tracks": [track(FACE, FIRST)],
            "draft_descriptions/drafts": [with_events(FACE, brief, EVENT, far)],
            "refine_descriptions/descriptions": [description(FACE, FIRST, claims=claims, status="refined")],
        }
    )
    rise, drop = corpus.descriptions().facescribe.claims().to_dict("records")
    assert (rise["claim"], rise["verdict"], rise["path"], rise["label"]) == (1, "supported", "a.mp4", "fear")
    assert (rise["measured_side"], rise["measured_onset_s"], rise["measured_peak"]) == ("left", 0.4, 0.7)
    assert rise["num_events"] == 2
    assert (drop["claim"], drop["verdict"], drop["num_events"]) == (2, "contradicted", 0)
    assert pd.isna(drop["measured_side"])


def test_a_claim_of_a_whole_region_is_told_with_any_event_of_it(make_corpus: MakeCorpus) -> None:
    from schemas.actions import COARSE_ACTIONS

    mouth = next(name for name, told in COARSE_ACTIONS.items() if told.region == "mouth")
    corpus = make_corpus(
        {
            "draft_descriptions/drafts": [with_events(FACE, EVENT)],
            "refine_descriptions/descriptions": [
                description(FACE, FIRST, claims=[CLAIM | {"action": mouth}], status="refined")
            ],
        }
    )
    (claim,) = corpus.claims().to_dict("records")
    assert claim["measured_action"] == "lip_corner_raise"


def test_the_tolerance_is_that_of_the_check() -> None:
    assert frames_sql.CLAIM_TOLERANCE_S == CLAIM_TOLERANCE_S


COUNTS = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), min_size=1, max_size=6)
"""How many claims each version of each text has."""


@given(COUNTS, st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_there_are_as_many_claims_as_the_texts_hold(counts: list[list[int]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = of_descriptions(
            Path(folder),
            [
                description(f"{n:032x}", FIRST, text_version=v, claims=[CLAIM] * many, status="refined")
                for n, versions in enumerate(counts)
                for v, many in enumerate(versions, start=1)
            ],
        )
        texts = corpus.descriptions()
        total = sum(map(sum, counts))
        assert len(texts.facescribe.claims()) == len(corpus.claims()) == total
        kept = texts[[data.draw(st.booleans()) for _ in range(len(texts))]]
        assert len(kept.facescribe.claims()) == sum(len(claims) for claims in kept["claims"])
        newest = corpus.adopt(pd.DataFrame({"track_id": [f"{n:032x}" for n in range(len(counts))]}))
        assert len(newest.facescribe.claims()) == sum(versions[-1] for versions in counts)


def of_descriptions(root: Path, rows: list[dict[str, Any]]) -> Corpus:
    from pipeline import snapshot as snapshots
    from schemas.corpus import TABLES

    store = Store.open_or_create(root / "corpus", 1)
    with store.writer(TABLES["descriptions"], 0, {}) as writer:
        writer.append(TABLES["descriptions"].rows([{"unit_key": f"{n:032x}", **row} for n, row in enumerate(rows)]))
    assert writer.file is not None
    receipt = Receipt(stage="made", bucket=0, key="0", files={"descriptions": writer.file}, num_units=1)
    snapshots.commit(store, [receipt], parent=None, source="made", config={}, software={})
    return Corpus(store.root)


def test_the_worst_contradicted_come_first_and_refused_answers_last(make_corpus: MakeCorpus) -> None:
    against = CLAIM | {"verdict": "contradicted", "why": "at rest"}
    refused = {**description(FACE, FIRST)["asked"][0], "fault": "prose_contradicted", "fault_detail": "no"}
    rows = [
        description("1" * 32, FIRST, claims=[CLAIM], status="refined"),
        description("2" * 32, FIRST, claims=[against, CLAIM, CLAIM], status="refined"),
        description("3" * 32, FIRST, claims=[against, against], status="refined"),
        description("4" * 32, FIRST, claims=[against, CLAIM], status="refined"),
        description("5" * 32, FIRST, claims=[CLAIM], status="fallback", fallback_reason="answer_not_json"),
        description("6" * 32, FIRST, claims=[], asked=[refused] * 2, status="fallback",
                    fallback_reason="prose_contradicted", fallback_detail="the brows do not rise"),
        description("7" * 32, FIRST, claims=[against] * 3, status="refined"),
        description("7" * 32, FIRST, text_version=2, claims=[CLAIM], status="refined"),
    ]  # fmt: skip
    corpus = make_corpus({"refine_descriptions/descriptions": rows})
    worst = corpus.contradicted()
    assert [track_id[0] for track_id in worst["track_id"]] == ["3", "4", "2", "6"]
    assert worst["num_contradicted"].tolist() == [2, 1, 1, 0]
    assert worst["num_refused_answers"].tolist() == [0, 0, 0, 2]
    assert worst["why"].iloc[-1] == "refused: the brows do not rise"
    every_version = corpus.descriptions().facescribe.contradicted()
    assert every_version["track_id"].iloc[0] == "7" * 32 and every_version["text_version"].iloc[0] == 1


def test_fallbacks_say_why_in_words_and_what_was_answered(hostile_corpus: Corpus) -> None:
    (fallback,) = hostile_corpus.fallbacks().to_dict("records")
    assert fallback["meaning"] == "a claim is contradicted by the measurement"
    assert fallback["num_answers"] == 1 and "alert(3)" in fallback["last_answer"]
    assert len(hostile_corpus.videos().facescribe.fallbacks()) == 1


def test_a_frame_remembers_its_corpus_through_what_pandas_does(hostile_corpus: Corpus, tmp_path: Path) -> None:
    texts = hostile_corpus.descriptions()
    for frame in (
        texts[texts["status"] == "refined"],
        texts.sort_values("text").head(1),
        texts.assign(more=1)[["track_id", "text_version", "more"]],
        texts.groupby("status", group_keys=False).head(1),
    ):
        assert frame.facescribe.corpus.snapshot == hostile_corpus.snapshot
        assert len(frame.facescribe.claims()) == 3 * len(frame)
    texts[["track_id", "text_version"]].to_parquet(tmp_path / "kept.parquet")
    assert len(pd.read_parquet(tmp_path / "kept.parquet").facescribe.claims()) == 9


def test_a_frame_of_nowhere_says_how_to_tell_it(hostile_corpus: Corpus) -> None:
    stranger: Any = pd.DataFrame({"track_id": [FACE]})
    with pytest.raises(AttributeError, match=r"does not know its corpus.*corpus\.adopt"):
        _ = stranger.facescribe
    assert len(hostile_corpus.adopt(stranger).facescribe.claims()) == 3
    with pytest.raises(KeyError, match="expected a column track_id or video_id, got: x"):
        hostile_corpus.adopt(pd.DataFrame({"x": [1]}))
    with pytest.raises(KeyError, match="the frame names no texts"):
        hostile_corpus.sql("select 1 as x").facescribe.claims()


def test_an_older_snapshot_is_asked_about_itself(tmp_path: Path) -> None:
    root = write_clip_corpus(tmp_path, [MadeTrack("v", texts=("The lips part.",))])
    old = Corpus(root).descriptions()
    write_clip_corpus(tmp_path, [MadeTrack("v", texts=("The jaw drops.",)), MadeTrack("w")])
    assert old.facescribe.texts()["text"].tolist() == ["The lips part."]
    assert set(Corpus(root).newest_texts()["text"]) == {"The jaw drops.", "The lips part."}


# --- samples


LABELS = st.sampled_from(["fear", "anger", None, "=1+1"])


@given(st.lists(LABELS, max_size=40), st.integers(1, 5), st.integers(0, 9), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_a_sample_is_balanced_and_the_same_whatever_the_order(
    sampled: Corpus, labels: list[str | None], per_class: int, seed: int, chance: Any
) -> None:
    rows = [{"track_id": f"t{n}", "label": label} for n, label in enumerate(labels)]
    frame = sampled.adopt(pd.DataFrame(rows, columns=["track_id", "label"]))
    drawn = frame.facescribe.sample(per_class, seed=seed)
    counts, there = Counter(drawn["label"].fillna("none")), Counter("none" if one is None else one for one in labels)
    assert counts == {label: min(per_class, count) for label, count in there.items()}
    chance.shuffle(rows)
    again = sampled.adopt(pd.DataFrame(rows, columns=["track_id", "label"])).facescribe.sample(per_class, seed=seed)
    assert again["track_id"].tolist() == drawn["track_id"].tolist()
    if labels:
        more = sampled.adopt(pd.DataFrame([*rows, {"track_id": "new", "label": "fear"}]))
        lost = set(drawn["track_id"]) - set(more.facescribe.sample(per_class, seed=seed)["track_id"])
        assert len(lost) <= 1


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    tracks = [MadeTrack(f"v{n}", label="fear" if n % 3 else "anger", num_clips=0) for n in range(12)]
    return Corpus(write_clip_corpus(tmp_path_factory.mktemp("sampled"), tracks))


def test_another_seed_draws_others_and_labels_are_looked_up(sampled: Corpus) -> None:
    seeds = [tuple(sampled.sample(2, seed=seed)["track_id"]) for seed in range(6)]
    assert len(set(seeds)) > 1
    tracks = sampled.tracks()
    assert "label" not in tracks.columns
    assert len(tracks.facescribe.sample(2)) == 4
    with pytest.raises(KeyError, match="no column 'age' to sample by"):
        tracks.facescribe.sample(2, by="age")
    with pytest.raises(ValueError, match="per_class: expected a number of rows from 1 on, got 0"):
        sampled.sample(0)


# --- laziness


def test_no_crop_and_no_clip_is_read_unasked(hostile_corpus: Corpus) -> None:
    for table in ("crops", "motion"):
        for file in hostile_corpus.files(table):
            Path(file).write_bytes(b"nobody may read this")
    texts = Corpus(hostile_corpus.store.root).descriptions()
    asked = texts.facescribe
    assert len(asked.claims()) == 9 and len(asked.contradicted()) and len(asked.fallbacks()) == 1
    assert len(asked.search("lip")) and len(asked.sample(1)) and asked.evidence(FACE)
    assert len(asked.show()) == 2
    assert "supported" not in str(asked.show()) and "✓" in str(asked.show())
    with pytest.raises(Exception, match="Parquet"):
        asked.show()._repr_html_()


def test_columns_conditions_and_limits_are_those_that_were_named(hostile_corpus: Corpus) -> None:
    few = hostile_corpus.descriptions(["text", "asked"], where="status = 'refined' -- all\n", limit=1)
    assert list(few.columns) == ["text", "asked"] and few["text"].tolist() == ["An older text."]
    assert few["asked"][0][0]["model"] == "a model <i>of</i> words"
    with pytest.raises(KeyError, match="descriptions have no column 'txt'; there are: path, track_id"):
        hostile_corpus.descriptions(["txt"])


# --- pictures and changes


def test_measures_are_above_rest_over_the_tracks_own_time_and_unknown_where_not_measurable(
    hostile_corpus: Corpus,
) -> None:
    curves = hostile_corpus.measures(LATER_FACE)
    assert curves.index[0] == 0.0 and curves.index.name == "time_s"
    left, right = curves["lip_corner_raise"]["left"], curves["lip_corner_raise"]["right"]
    assert float(left.max()) == pytest.approx(0.7, abs=0.01) and float(right.max()) == pytest.approx(0.28, abs=0.01)
    assert left.iloc[36:].isna().all() and left.iloc[:36].notna().all()
    with pytest.raises(KeyError, match="no measured track nobody"):
        hostile_corpus.measures("nobody")


def test_the_plot_marks_each_claim_with_its_verdict(hostile_corpus: Corpus, tmp_path: Path) -> None:
    figure = hostile_corpus.descriptions().facescribe.evidence(FACE)
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert [word[0] for word in words] == ["✓", "✗", "?"]
    assert "$" not in figure.axes[0].get_title(loc="left")
    figure.savefig(tmp_path / "evidence.png")
    assert (tmp_path / "evidence.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="the frame is of 2 tracks: say which"):
        hostile_corpus.descriptions().facescribe.evidence()


def test_what_is_shown_in_a_notebook_is_text_and_pictures_alone(hostile_corpus: Corpus) -> None:
    html = hostile_corpus.tracks().facescribe.show()._repr_html_()
    assert html.count('class="fs-track"') == 3
    assert html.count("data:image/jpeg;base64,") == 24
    assert "<script" not in html and "onerror=alert" not in html.replace("&lt;img src=x onerror=alert(1)&gt;", "")
    assert "\u202e" not in html and "⟨U+202E⟩" in html
    assert "http" not in html.replace("https://example.invalid/x.png", "")
    only = hostile_corpus.tracks().facescribe.show(limit=1)
    assert "2 more tracks; show(limit=3) shows all" in str(only)
    assert str(hostile_corpus.tracks().head(0).facescribe.show()) == "no tracks"


@pytest.mark.browser
def test_a_page_of_tracks_runs_nothing_and_asks_for_nothing(hostile_corpus: Corpus, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    saved = hostile_corpus.tracks().facescribe.show().save(tmp_path / "tracks.html")
    changed = hostile_corpus.descriptions().facescribe.diff(1)
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=_chromium())
        except sync_api.Error as error:
            pytest.skip(f"no Chromium: {error}")
        page = browser.new_page(viewport={"width": 380, "height": 800})
        asked: list[str] = []
        dialogs: list[str] = []
        page.on("request", lambda request: asked.append(request.url))

        def dismiss(dialog: Any) -> None:
            dialogs.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", dismiss)
        page.goto(saved.as_uri())
        assert page.locator("img").count() == 24
        assert page.evaluate("[...document.images].every(one => one.naturalWidth > 0)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.set_content(f"<body>{changed._repr_html_()}</body>")
        assert [url for url in asked if not url.startswith(("data:", "file:"))] == [] and dialogs == []
        browser.close()


def _chromium() -> str | None:
    return next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()), None)


@pytest.fixture
def two_snapshots(tmp_path: Path) -> Corpus:
    first = [MadeTrack("same"), MadeTrack("gone"), MadeTrack("other", texts=("The <b>left</b> brow rises.",))]
    write_clip_corpus(tmp_path, first)
    evil = "The <b>right</b> brow rises. <script>alert(1)</script>\u202e"
    second = [MadeTrack("same"), MadeTrack("new"), MadeTrack("other", texts=(evil,))]
    return Corpus(write_clip_corpus(tmp_path, second))


def test_changes_of_texts_are_marked_word_by_word(two_snapshots: Corpus) -> None:
    changes = two_snapshots.descriptions().facescribe.diff(1)
    assert changes.frame.set_index("track_id")["what"].to_dict() == {
        "other-a": "changed",
        "new-a": "added",
        "gone-a": "removed",
    }
    assert (len(changes), changes.num_same) == (3, 1)
    told = str(changes)
    assert told.startswith("snapshot 1 to 2: 1 changed, 1 added, 1 removed, 1 the same")
    assert "[-left-] {+right+}" in told and "\u202e" not in told
    html = changes._repr_html_()
    assert "<del>left</del> <ins>right</ins>" in html
    assert "<script" not in html and "&lt;b&gt;" in html.replace(" ", "") and "\u202e" not in html
    one = two_snapshots.descriptions(where="track_id = 'same-a'")
    assert set(one.facescribe.diff(1).frame["what"]) == {"removed"}
    assert len(two_snapshots.descriptions().facescribe.diff(two_snapshots)) == 0
    with pytest.raises(KeyError, match="no snapshot 9"):
        two_snapshots.descriptions().facescribe.diff(9)


def test_pandas_shows_hostile_rows_as_text(hostile_corpus: Corpus) -> None:
    html = hostile_corpus.descriptions()._repr_html_()  # type: ignore[operator]
    assert "<script>" not in html and "<img" not in html
    assert HOSTILE_PATH in hostile_corpus.descriptions()["path"].tolist()


def test_lists_stay_in_arrow_and_are_plain_python_when_looked_at(hostile_corpus: Corpus) -> None:
    claims = hostile_corpus.descriptions()["claims"]
    assert isinstance(claims.dtype, pd.ArrowDtype)
    assert claims[0][1]["verdict"] == "contradicted"
    events = hostile_corpus.actions()["events"][0]
    assert isinstance(events, list) and events[0]["action"] == "lip_corner_raise"
    assert np.isfinite(events[0]["peak"]) and SHORT_FACE not in set(hostile_corpus.actions()["track_id"])
