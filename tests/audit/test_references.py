"""Captions that people wrote as references: a score is told beside that of other clips, or it is not told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.audit import audit as audit_command
from pipeline.assets import AssetError
from pipeline.audit import references as references_module
from pipeline.audit.diversity import words_of
from pipeline.audit.panels import panels_of
from pipeline.audit.references import ANY, MEASURES, OTHER_LABEL, SAME_LABEL, Measured, References, references
from pipeline.audit.report import audit
from pipeline.audit.texts import Text
from pipeline.inspection.corpus import Corpus
from tests.audit.conftest import evidence, text_of

MOVES = {
    "happiness": ("The lip corners rise", "The cheeks lift", "The mouth opens wide"),
    "sadness": ("The inner brows rise", "The lip corners turn down", "The chin pushes up"),
}
WHEN = ("at once", "slowly", "twice in a row", "towards the end")


@pytest.fixture(autouse=True)
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder is another test's: here similarity is the share of common words, in either direction."""

    def alike(sentences: Sequence[str]) -> tuple[Callable[[str, str], float | None], int]:
        def score(text: str, caption: str) -> float | None:
            one, other = set(words_of(text)), set(words_of(caption))
            return len(one & other) / len(one | other) if len(caption) < 200 else None

        return score, sum(len(one) >= 200 for one in set(sentences))

    monkeypatch.setattr(references_module, "_similarity", alike)


def made() -> tuple[list[Text], dict[str, list[dict[str, str]]]]:
    """24 clips, each told by a text; its caption says the same face in other words, and what else people see."""
    texts, captions = [], {}
    for label, moves in MOVES.items():
        for move in moves:
            for number, when in enumerate(WHEN):
                text = text_of(f"{move} {when}", f"{move} {when}.", evidence(), label=label, group=f"p{number}")
                texts.append(text)
                captions[text.video_id] = [{"language": "en", "text": f"A woman with {label}: {move.lower()} {when}"}]
    return texts, captions


def measured(found: Sequence[References], name: str) -> Measured:
    (one,) = found
    return next(own for own in one.measures if own.measure == name)


@pytest.mark.parametrize("name", list(MEASURES))
def test_texts_of_their_own_clips_score_above_both_baselines(name: str) -> None:
    found = measured(references(*made()), name)
    same, other = found.against
    assert (same.baseline, other.baseline) == (SAME_LABEL, OTHER_LABEL)
    assert found.own.num_texts == same.own_less.num_texts == 24
    assert found.own.value and same.score.value and other.score.value
    assert found.own.value > same.score.value > other.score.value
    assert same.prefers_own.value == other.prefers_own.value == 1.0
    assert same.own_less.interval is not None and same.own_less.interval[0] > 0


@pytest.mark.parametrize("name", list(MEASURES))
def test_texts_that_tell_the_label_alone_are_no_better_than_their_label(name: str) -> None:
    texts, captions = made()
    blind = [text_of(one.track_id, f"A woman with {one.label}", evidence(), label=one.label) for one in texts]
    same, other = measured(references(blind, captions), name).against
    assert same.prefers_own.value == pytest.approx(0.5, abs=0.1)
    assert other.prefers_own.value and other.prefers_own.value > 0.9


def test_texts_of_other_clips_prefer_nothing() -> None:
    texts, captions = made()
    shuffled = dict(zip(captions, [*list(captions.values())[7:], *list(captions.values())[:7]], strict=True))
    same, other = measured(references(texts, shuffled), "chrF").against
    assert same.own_less.value is not None and same.own_less.value < 0
    assert other.prefers_own.value is not None and other.prefers_own.value < 0.8


def test_another_language_is_counted_and_not_scored_and_an_unknown_one_says_what_to_do() -> None:
    texts, captions = made()
    for listed in captions.values():
        listed.append({"language": "zh", "text": "一名女子嘴角上扬"})
    first = texts[0].video_id
    captions[first] = [*captions[first], {"language": "und", "text": "ein Lächeln"}]
    english, chinese, unknown = references(texts, captions)
    assert (english.language, english.missing) == ("en", None)
    assert (chinese.language, chinese.num_captions, chinese.measures) == ("zh", 24, [])
    assert chinese.missing is not None and "across languages" in chinese.missing
    assert unknown.missing is not None and "caption_en" in unknown.missing


def test_what_is_not_scored_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, captions = made()
    captions["nobody"] = [{"language": "en", "text": "Nobody wrote a text of this."}]
    captions[texts[0].video_id] = [{"language": "en", "text": "word " * 60}]
    beside = text_of("a second face", "The brows rise.", evidence(), video_id=texts[1].video_id, label="happiness")
    monkeypatch.setattr(references_module, "MOST_TEXTS", 20)
    (found,) = references([*texts, beside], captions)
    assert (found.num_clips, found.num_undescribed, found.num_other_tracks, found.num_left_out) == (25, 1, 1, 4)
    monkeypatch.setattr(references_module, "MOST_TEXTS", 100)
    similar = measured(references(texts, captions), "similarity")
    assert similar.num_unread == 1 and similar.own.num_texts == 23


def test_without_labels_the_baseline_is_any_other_clip_and_one_clip_has_none() -> None:
    texts, captions = made()
    plain = [text_of(one.track_id, one.prose, evidence()) for one in texts]
    (any_other,) = measured(references(plain, captions), "chrF").against
    assert any_other.baseline == ANY and any_other.prefers_own.value == 1.0
    (found,) = references(plain[:1], captions)
    assert found.missing == "1 described videos have a caption: without those of other clips there is no baseline"
    assert references(plain, {}) == []


def test_where_several_people_wrote_of_a_clip_what_they_reach_is_told_beside() -> None:
    texts, captions = made()
    for listed in captions.values():
        listed.append({"language": "en", "text": listed[0]["text"].replace("A woman", "Somebody")})
    found = measured(references(texts, captions), "ROUGE-L")
    assert found.people.num_texts == 24 and found.people.value is not None and found.own.value is not None
    assert found.people.value > found.own.value


def test_an_encoder_that_cannot_be_had_is_told_and_the_rest_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(sentences: Sequence[str]) -> Any:
        raise AssetError("no network")

    monkeypatch.setattr(references_module, "_similarity", away)
    found = references(*made())
    assert measured(found, "similarity").missing == "the encoder is not at hand: no network"
    assert measured(found, "chrF").own.num_texts == 24


_WORDS = st.lists(st.sampled_from(["brow", "lip", "rises", "jaw", "drops"]), max_size=8).map(" ".join)


@given(_WORDS, _WORDS)
def test_rouge_l_is_the_longest_common_subsequence(one: str, other: str) -> None:
    def longest(left: list[str], right: list[str]) -> int:
        if not left or not right:
            return 0
        if left[-1] == right[-1]:
            return 1 + longest(left[:-1], right[:-1])
        return max(longest(left[:-1], right), longest(left, right[:-1]))

    words = one.split()[:5], other.split()[:5]
    found = references_module._rouge_l(" ".join(words[0]), " ".join(words[1]))
    assert found == pytest.approx(2 * longest(*words) / (sum(map(len, words)) or 1))


# --- in the report


def commit(commit_texts: Callable[..., Corpus]) -> Corpus:
    texts, captions = made()
    return commit_texts(texts, captions=captions)


def test_the_audit_tells_them_and_says_where_there_are_none(commit_texts: Callable[..., Corpus]) -> None:
    report = audit(commit(commit_texts), only=["references"])
    (kind,) = report.kinds
    assert kind.references is not None and kind.references[0].num_captions == 24
    (heading, panels), *_ = panels_of(report)
    (panel,) = [panel for panel in panels if panel.part == "references"]
    assert len(panel.rows) == 8 and "knew the label" in panel.meaning and "24 texts" in heading
    assert any("prefers the caption of its own clip" in str(row[0]) for row in panels[0].rows)
    plain = audit(commit_texts(made()[0]), only=["references"])
    assert plain.missing["references"] == "no video has a caption that a person wrote"
    assert plain.kinds[0].references is None


def test_the_command_prints_them(commit_texts: Callable[..., Corpus], tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(audit_command)
    options = ["--root", str(commit(commit_texts).store.root), "--only", "references"]
    done = CliRunner().invoke(app, [*options, "--html", str(tmp_path / "audit.html")], env={"COLUMNS": "250"})
    assert done.exit_code == 0, done.output
    assert "Held against what people wrote: en" in done.output
    assert "Held against what people wrote" in (tmp_path / "audit.html").read_text(encoding="utf-8")
