"""The page and the command of the drift: text stays text, and what must not be is loud."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner, Result

from flows.drift import drift as drift_command
from pipeline.audit import snapshot_drift as drift_module
from pipeline.audit.drift_panels import word_diff
from pipeline.audit.page import write_drift_page
from pipeline.audit.snapshot_drift import SnapshotDrift, snapshot_drift
from pipeline.inspection.corpus import Corpus
from pipeline.store import Store
from schemas.canary import CANARY
from tests.audit.conftest import (
    JAW,
    LEFT_SMILE,
    SMILE,
    SMILE_THEN_JAW,
    CommitTexts,
    evidence,
    relabelled,
    text_of,
)
from tests.audit.test_report import HOSTILE, Seen

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

NAMED = "<script>alert('text')</script> ⟨U+202E⟩gnp.exe {{ 7 * 7 }} [bold]"


def canary_night(store: Store, night: int, answer: str) -> None:
    row = {
        "night": night,
        "canary_id": "1",
        "video_id": "v",
        "track_id": HOSTILE,
        "frozen_at": "2030-01-01",
        "asked_at": HOSTILE,
        "snapshot": night,
        "request": "{}",
        "evidence": "{}",
        "rules": "{}",
        "check_version": 2,
        "model": HOSTILE,
        "model_revision": "1",
        "engine": "2",
        "raw_answer": answer,
        "text": answer,
    }
    store.create_canaries(night, CANARY.rows([row]))


@pytest.fixture
def hostile(commit_texts: CommitTexts) -> SnapshotDrift:
    """Everything that a person or a model wrote would do harm if it were anything but text."""
    own = text_of(
        HOSTILE, HOSTILE, evidence(LEFT_SMILE), claims=(), verdicts=(), label=HOSTILE, path=HOSTILE, video_id="a" * 32
    )
    before = commit_texts([relabelled(own, prose=SMILE, label="joy", fallback_reason=HOSTILE, status="fallback")])
    after = commit_texts([own, text_of("new", SMILE_THEN_JAW, evidence(LEFT_SMILE, JAW), video_id="b" * 32)])
    canary_night(after.store, 1, "Before.")
    canary_night(after.store, 2, HOSTILE)
    return snapshot_drift(before, after)


def test_hostile_text_comes_out_as_text_and_nothing_is_loaded(hostile: SnapshotDrift, tmp_path: Path) -> None:
    page = write_drift_page(hostile, tmp_path / "out" / "drift.html").read_text(encoding="utf-8")
    seen = Seen(page)
    assert not {"script", "img", "link", "iframe"} & set(seen.tags)
    assert not re.search(r"(?:src|href|url)\s*[=(]", page) and "\u202e" not in page
    told = re.sub(r"\s+", " ", seen.text)
    for place in (f"before · fallback: {NAMED}", f"after · refined{NAMED}", f"{NAMED} {NAMED}"):
        assert place.replace(" ", "") in told.replace(" ", ""), place
    assert "lang=" in page and 'name="viewport"' in page and "light-dark(" in page


def test_what_was_rewritten_stands_first_and_loud(hostile: SnapshotDrift, tmp_path: Path) -> None:
    assert hostile.num_rewritten > 0, "rows of the two texts have equal unit keys here"
    seen = Seen(write_drift_page(hostile, tmp_path / "drift.html").read_text(encoding="utf-8")).text
    assert seen.index("ALARM") < seen.index("Rows by table")
    calm = hostile.model_copy(update={"num_rewritten": 0, "rewritten": []})
    assert "ALARM" not in write_drift_page(calm, tmp_path / "drift.html").read_text(encoding="utf-8")


def test_more_texts_than_a_page_bears_are_cut_and_counted(
    commit_texts: CommitTexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_module, "SHOWN", 3)
    monkeypatch.setattr(drift_module, "COMPARED_TEXTS", 6)
    texts = [text_of(f"{number}", SMILE, evidence(LEFT_SMILE), video_id=f"{number:032x}") for number in range(8)]
    before = commit_texts(texts)
    report = snapshot_drift(before, commit_texts([relabelled(text, prose="The lip corner lifts.") for text in texts]))
    assert (report.texts.num_changed, report.texts.num_compared, len(report.texts.shown)) == (8, 6, 3)
    seen = Seen(write_drift_page(report, tmp_path / "drift.html").read_text(encoding="utf-8")).text
    assert "3 of 8 changed texts, of each cause the least alike; the dataframe has all." in seen
    assert "Of 8, 6 by chance." in seen


@pytest.mark.parametrize(
    ("before", "after", "lost", "gained"),
    [
        ("The jaw drops.", "The jaw drops.", [], []),
        ("The jaw drops.", "The jaw drops slowly.", ["drops."], ["drops slowly."]),
        ("a b c", "a c", ["b "], []),
        ("", "new", [], ["new"]),
    ],
)
def test_the_words_that_the_other_text_lacks_are_marked(
    before: str, after: str, lost: Sequence[str], gained: Sequence[str]
) -> None:
    sides = word_diff(before, after)
    assert ["".join(text for _, text in side) for side in sides] == [before, after]
    assert [[text for is_other, text in side if is_other] for side in sides] == [lost, gained]


# --- the command


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(drift_command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_prints_and_writes(hostile: SnapshotDrift, tmp_path: Path) -> None:
    outputs = {ending: tmp_path / "a" / f"drift.{ending}" for ending in ("html", "json", "csv", "parquet")}
    written = ["--html", outputs["html"], "--json", outputs["json"], "--rows", outputs["csv"]]
    done = run("--root", hostile.root, *written)
    assert done.exit_code == 0, done.output
    for words in ("snapshot 1 -> 2", "ALARM", "Rows by table", "Noise, and the model", "Acceptance", "Does it add up?"):
        assert words in done.output
    assert SnapshotDrift.model_validate(json.loads(outputs["json"].read_text())) == hostile
    assert outputs["html"].stat().st_size > 5000
    assert run(1, 2, "--root", hostile.root, "--rows", outputs["parquet"]).exit_code == 0
    rows = pd.read_parquet(outputs["parquet"])
    assert len(rows) == len(pd.read_csv(outputs["csv"])) == len(Corpus(hostile.root).drift(1)) > 0


def test_the_command_can_fail_on_what_must_not_be(hostile: SnapshotDrift) -> None:
    assert run("--root", hostile.root, "--fail-on", "rewritten").exit_code == 1
    assert run(2, 2, "--root", hostile.root, "--fail-on", "rewritten").exit_code == 0


def test_the_earlier_snapshot_comes_first(hostile: SnapshotDrift) -> None:
    refused = run(2, 1, "--root", hostile.root)
    assert refused.exit_code == 2
    assert "2 is later than 1: give the earlier one first" in " ".join(refused.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, 1), "is the first that is there: there is none to compare it with"),
        (("--fail-on", "beauty"), "no 'beauty'; there are: rewritten, unbalanced"),
        (("--rows", "drift.xlsx"), "neither .csv nor .parquet"),
    ],
)
def test_a_wrong_question_is_wrong_usage(commit_texts: CommitTexts, arguments: tuple[object, ...], words: str) -> None:
    corpus = commit_texts([text_of("a", SMILE, evidence(LEFT_SMILE))])
    refused = run(*(argument for argument in arguments if argument not in (None, 1)), "--root", corpus.store.root)
    assert refused.exit_code == 2
    assert words in " ".join(refused.output.replace("│", " ").split())


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_says_nothing_to_the_console(
    hostile: SnapshotDrift, tmp_path: Path, scheme: str
) -> None:
    from playwright.sync_api import sync_playwright

    page_path = write_drift_page(hostile, tmp_path / "drift.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(page_path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert said == []
        browser.close()
