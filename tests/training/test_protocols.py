"""Protocols that lie in the corpus: found by name, with every video told that they name and that gave no clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from flows.evaluating import crossval as crossval_command
from flows.train import train as train_command
from pipeline.inspection.corpus import Corpus
from pipeline.training.clips import list_clips
from pipeline.training.config import TrainConfig, TrainResources
from pipeline.training.crossval import CrossValidation, crossval, in_words, panels_of
from pipeline.training.folds import FoldError, Matched
from pipeline.training.protocols import match_protocol, protocols_of
from pipeline.training.published import KINDS, TITLES, markdown_of_published, panel_of_published, published
from pipeline.training.run_folder import RunFolder
from pipeline.training.series import SeriesError
from pipeline.videos.datasets.listing import FoldPart
from tests.training_corpus import LABELS, write_training_corpus

HOW = TrainResources(device="cpu", threads=1)
PEOPLE = tuple(f"p{number}" for number in range(6))
TRAIN = """
epochs = 1
batch = 6
model = {width = 16, small_channels = 8, heads = 2, sinkhorn_iterations = 5}
resources = {threads = 1, device = "cpu"}
"""
COMPOUND = {"happiness": "happiness_surprise", "sadness": "anger_sadness", "surprise": "fear_surprise"}


def tiny(**changes: Any) -> TrainConfig:
    model = {"width": 16, "small_channels": 8, "heads": 2, "sinkhorn_iterations": 5}
    return TrainConfig.model_validate({"epochs": 1, "batch": 6, "learning_rate": 4e-3, "model": model, **changes})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cell(*parts: FoldPart) -> list[dict[str, Any]]:
    """Parts as `videos.folds` holds them."""
    return [{"protocol": one.protocol, "fold": one.fold, "part": one.part, "label": one.label} for one in parts]


def parts_of(number: int, place: int, label: str) -> list[dict[str, Any]]:
    """Of each video: two folds that ignore who is in it, one official split, and compound folds with other labels."""
    return cell(
        *(FoldPart("dfew", str(fold), "test" if (number + place) % 2 + 1 == fold else "train") for fold in (1, 2)),
        FoldPart("ferv39k", "1", "test" if number >= 4 else "train"),
        *(
            FoldPart("mafw-compound", str(fold), "test" if number % 2 + 1 == fold else "train", COMPOUND[label])
            for fold in (1, 2)
        ),
    )


def columns_of(**more: Any) -> dict[str, dict[str, Any]]:
    return {
        f"{person}/{label}.mp4": {
            "clip_name": f"{number:02d}{place}",
            "folds": parts_of(number, place, label),
            **more,
        }
        for number, person in enumerate(PEOPLE)
        for place, label in enumerate(LABELS)
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighteen videos of three protocols; one of them gave no clip, and two more files could not be opened at all."""
    root = tmp_path_factory.mktemp("protocols") / "corpus"
    write_training_corpus(
        root,
        PEOPLE,
        (),
        video_columns=columns_of(),
        without_clips=["p0/sadness.mp4"],
        unopened={
            "broken/1.mp4": {
                "clip_name": "15906",
                "label": "surprise",
                "folds": cell(FoldPart("dfew", "1", "train"), FoldPart("dfew", "2", "test")),
            },
            "broken/2.mp4": {"folds": cell(FoldPart("ferv39k", "1", "test"))},
        },
    )
    return root


def matched_of(root: Path, name: str) -> Matched:
    corpus = Corpus(root)
    return match_protocol(name, corpus, list_clips(corpus))


def test_the_protocols_of_a_corpus_are_known_with_their_folds(root: Path) -> None:
    assert protocols_of(Corpus(root)) == {"dfew": ["1", "2"], "ferv39k": ["1"], "mafw-compound": ["1", "2"]}


def test_what_a_protocol_names_and_the_corpus_lacks_is_told_by_its_name_in_the_set(root: Path) -> None:
    matched = matched_of(root, "dfew")
    assert [fold.name for fold in matched.folds] == ["1", "2"] and matched.source == "protocol dfew"
    assert all(len(fold.entries) == 17 for fold in matched.folds) and matched.num_unlisted == 0
    assert {fold: {name: entry.part for name, entry in lost.items()} for fold, lost in matched.missing.items()} == {
        "1": {"001": "train", "15906": "train"},
        "2": {"001": "test", "15906": "test"},
    }
    assert {entry.label for entry in matched.lost.values()} == {"sadness", "surprise"}
    assert matched.missing_in_words() == [
        "2 videos that the folds name have no training clip in the corpus: '001', '15906'. Test videos among them: "
        "2 of fold 2. `facescribe show rejects` says why a video gave none."
    ]
    assert matched_of(root, "ferv39k").lost.keys() == {"001", "broken/2.mp4"}, "a file without a name by its path"


def test_an_unknown_protocol_is_told_with_those_that_there_are(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FoldError) as refused:
        matched_of(root, "mafw")
    assert "no protocol 'mafw' in snapshot 1" in str(refused.value)
    assert "there are: dfew (2 folds), ferv39k (1 fold), mafw-compound (2 folds)" in str(refused.value)
    write_training_corpus(tmp_path / "plain", PEOPLE[:2])
    with pytest.raises(FoldError, match=r"has no folds at all\. Build from a data set, such as `facescribe build dfew"):
        matched_of(tmp_path / "plain", "dfew")


def test_a_protocol_with_labels_of_its_own_learns_those(root: Path) -> None:
    matched = matched_of(root, "mafw-compound")
    assert set(matched.clips.table["label"].to_pylist()) == set(COMPOUND.values())
    assert set(matched_of(root, "dfew").clips.table["label"].to_pylist()) == set(LABELS)
    assert {entry.label for entry in matched.lost.values()} == {"anger_sadness"}


def test_a_video_in_two_parts_of_a_fold_is_refused_by_name(tmp_path: Path) -> None:
    twice = cell(FoldPart("dfew", "1", "train"), FoldPart("dfew", "1", "test"))
    write_training_corpus(tmp_path / "c", PEOPLE, video_columns={"p1/sadness.mp4": {"clip_name": "7", "folds": twice}})
    with pytest.raises(FoldError, match=r"7 is in fold 1 of protocol dfew twice, as train \(sadness\) and as test"):
        matched_of(tmp_path / "c", "dfew")
    odd = cell(FoldPart("dfew", "1", "dev"))
    write_training_corpus(tmp_path / "d", PEOPLE, video_columns={"p1/sadness.mp4": {"folds": odd}})
    with pytest.raises(FoldError, match=r"sadness.mp4 has the part 'dev' .* expected one of train, validation"):
        matched_of(tmp_path / "d", "dfew")


def test_a_video_with_a_label_nowhere_is_refused_with_what_to_do(tmp_path: Path) -> None:
    columns = columns_of()
    columns["p2/surprise.mp4"]["label"] = None
    write_training_corpus(tmp_path / "c", PEOPLE, video_columns=columns)
    with pytest.raises(FoldError, match=r"p2/surprise.mp4 has a label neither in protocol dfew nor in the corpus"):
        matched_of(tmp_path / "c", "dfew")
    assert matched_of(tmp_path / "c", "mafw-compound").folds, "there the protocol itself has one"


_PART = st.sampled_from(("train", "validation", "test"))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("12"), _PART), max_size=4), st.booleans())
def test_whatever_the_folds_say_every_video_that_is_named_is_matched_missing_or_refused(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str, str]], has_clip: bool
) -> None:
    path = "p0/sadness.mp4"
    folds = cell(*(FoldPart(*one) for one in said))
    root = tmp_path_factory.mktemp("any") / "c"
    write_training_corpus(
        root,
        PEOPLE[:2],
        labels=LABELS[:2],
        video_columns={path: {"clip_name": "named", "folds": folds}},
        without_clips=() if has_clip else [path],
    )
    for name in {protocol for protocol, _, _ in said}:
        own = [(fold, part) for protocol, fold, part in said if protocol == name]
        if len(set(own)) > len({fold for fold, _ in own}):
            with pytest.raises(FoldError, match="video named is in fold"):
                matched_of(root, name)
            continue
        matched = matched_of(root, name)
        found = {fold.name for fold in matched.folds if fold.entries}
        missing = {fold for fold, lost in matched.missing.items() if "named" in lost}
        assert (found, missing) == (({f for f, _ in own}, set()) if has_clip else (set(), {f for f, _ in own}))


# --- trained


def test_one_fold_at_a_time_and_then_the_table_of_all(root: Path, tmp_path: Path) -> None:
    matched = matched_of(root, "dfew")
    told: list[str] = []

    def run(**options: Any) -> CrossValidation:
        told.clear()
        return crossval(
            matched,
            tmp_path,
            tiny(),
            HOW,
            listen=lambda step: told.append(f"{step.name}: {step.what.partition(',')[0]}") if step.is_over else None,
            **options,
        )

    one = run(only=["2"])
    assert told == ["official, fold 2, seed 0: is trained", "identity, fold 2, seed 0: is trained"]
    assert [fold.fold for fold in one.divisions[0].folds] == ["2"]
    assert one.divisions[0].folds[0].num_missing_test == 2 and one.divisions[0].uar.deviation is None
    assert "One fold: nothing is known of the deviation between folds." in " ".join(in_words(one))

    whole = run()
    assert Counter(line.rpartition(" ")[2] for line in told) == {"there": 2, "trained": 2}
    official, identity = whole.divisions
    assert [fold.fold for fold in official.folds] == ["1", "2"] and official.folds[1] == one.divisions[0].folds[0]
    assert official.folds[0].num_shared_groups > 0 and all(not fold.num_shared_groups for fold in identity.folds)
    assert whole.identity_less_official is not None and whole.source == "protocol dfew"
    assert {row[0] for row in panels_of(whole)[-1].rows} == {"official", "identity"}
    facts = RunFolder.open(tmp_path / "official" / "fold-1" / "seed-0").facts
    assert facts.config.labels == tuple(sorted(LABELS))

    with pytest.raises(FoldError, match="protocol dfew has no fold '3'; there are: 1, 2"):
        run(only=["3"])
    with pytest.raises(SeriesError, match="folds are 1, 1: give different ones"):
        run(only=["1", "1"])


def test_a_single_official_split_is_a_protocol_of_one_fold(root: Path, tmp_path: Path) -> None:
    found = crossval(matched_of(root, "ferv39k"), tmp_path, tiny(), HOW)
    (official,) = found.divisions
    assert [(fold.fold, fold.num_test) for fold in official.folds] == [("1", 6)]
    assert found.not_run == {"identity": "nobody is on both sides of a fold as its source made it"}


def test_folds_that_a_set_brings_with_persons_kept_apart_are_taken_for_those_by_identity(tmp_path: Path) -> None:
    columns = columns_of()
    for number, person in enumerate(PEOPLE):
        for label in LABELS:
            columns[f"{person}/{label}.mp4"]["folds"] += cell(
                *(
                    FoldPart("dfew-identity", str(fold), "test" if number % 2 + 1 == fold else "train")
                    for fold in (1, 2)
                )
            )
    write_training_corpus(tmp_path / "c", PEOPLE, video_columns=columns)
    matched = matched_of(tmp_path / "c", "dfew")
    tested = matched.identity[0].of_part("test")
    table = matched.clips.table.to_pylist()
    assert {row["group"] for row in table if row["video_id"] in tested} == {"p0", "p2", "p4"}
    assert [fold.name for fold in matched_of(tmp_path / "c", "dfew-identity").folds] == ["1", "2"]


# --- commands


def call(command: Callable[..., Any], *arguments: object) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})


def flat(result: Result) -> str:
    return " ".join(result.output.replace("│", " ").split())


def test_train_with_a_protocol_prints_the_table_of_a_paper(root: Path, tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text(TRAIN, encoding="utf-8")
    options = ("--root", root, "--config", tmp_path / "train.toml", "--protocol", "dfew", "--out", tmp_path / "runs")
    done = call(train_command, *options, "--fold", "1", "--by", "official")
    assert done.exit_code == 0, done.output
    assert "run 1 of 1: official, fold 1, seed 0: is trained" in flat(done)
    done = call(train_command, *options, "--fold", "all", "--beside-published")
    assert done.exit_code == 0, done.output
    told = flat(done)
    for words in ("official, fold 1, seed 0: was there", "run 4 of 4: identity, fold 2", "Mean of the folds"):
        assert words in told, words
    assert "2 videos that the folds name have no training clip in the corpus: '001', '15906'" in told
    assert "Published by others: DFEW" in told and "none of it was measured here" in told and "59.61 / 71.25" in told
    assert "Published by others: DFEW" in (tmp_path / "runs" / "crossval.md").read_text(encoding="utf-8")
    rows = pq.read_table(tmp_path / "runs" / "crossval.parquet").to_pylist()
    assert [(row["division"], row["fold"]) for row in rows] == [
        (division, fold) for division in ("official", "identity") for fold in ("1", "2")
    ]
    again = call(crossval_command, *options)
    assert again.exit_code == 0 and flat(again).count("was there") == 4, "both commands are one"


@pytest.mark.parametrize(
    ("command", "arguments", "told"),
    [
        (train_command, ["--fold", "3"], "need --protocol NAME"),
        (train_command, ["--protocol", "dfew", "--by", "film"], "no 'film'; there are: official, identity, both"),
        (crossval_command, [], "give either --protocol NAME or --folds FILE"),
        (crossval_command, ["--protocol", "dfew", "--folds", "f.csv"], "give either --protocol NAME or --folds FILE"),
        (crossval_command, ["--folds", "f.csv", "--beside-published"], "figures are published of protocols"),
    ],
)
def test_wrong_usage_is_told(
    root: Path, tmp_path: Path, command: Callable[..., Any], arguments: list[str], told: str
) -> None:
    done = call(command, "--root", root, "--out", tmp_path / "o", *arguments)
    assert done.exit_code == 2 and told in flat(done), done.output


# --- what others published


def test_published_figures_are_whole_and_marked_as_not_ours() -> None:
    methods = published()
    assert len({one.name for one in methods}) == len(methods) and {one.kind for one in methods} == set(KINDS)
    for one in methods:
        assert one.source and one.figures and set(one.figures) <= set(TITLES)
        for figure in one.figures.values():
            assert figure.war is not None and 20 < figure.war < 100 and (figure.uar is None or 20 < figure.uar < 100)
    panel = panel_of_published("dfew")
    assert "none of it was measured here" in panel.meaning
    assert ("visual with text", "DFER-CLIP", "59.61 / 71.25") in {row[:3] for row in panel.rows}
    assert ("audio and visual", "CLAIP-Emo", "- / 80.14") in {row[:3] for row in panel.rows}
    assert "of the official folds of dfew" in panel_of_published("dfew-identity").meaning
    assert "no published figures are known of mafw-compound" in (panel_of_published("mafw-compound").missing or "")


def test_the_page_of_results_holds_the_same_figures() -> None:
    page = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
    assert markdown_of_published() in page, "write `markdown_of_published()` of pipeline/training/published.py into it"
