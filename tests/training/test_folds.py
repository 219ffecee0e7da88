"""Folds: read in both forms, matched without losing a video in silence, and divided anew by who is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.training.clips import ClipList
from pipeline.training.folds import (
    Entry,
    Fold,
    FoldError,
    Folds,
    Matched,
    identity_folds,
    match_folds,
    read_folds,
    split_of_fold,
)
from pipeline.training.splits import SplitConfig
from pipeline.videos.label_names import label_name

Video = tuple[str, str | None, str | None]
"""Path, label, group."""


def clips_of(videos: Sequence[Video], clips_each: int = 1) -> ClipList:
    """A clip list of these videos; only the columns that splits look at."""
    rows = [
        {
            "clip_id": f"{path}#{number}",
            "track_id": path,
            "video_id": f"id of {path}",
            "path": path,
            "label": label,
            "split": None,
            "group": group,
            "saw_label": False,
            "draft_saw_label": False,
            "file": "f",
            "row_group": 0,
            "row": 0,
        }
        for path, label, group in videos
        for number in range(clips_each)
    ]
    texts = ("clip_id", "track_id", "video_id", "path", "label", "split", "group", "file")
    flags, places = ("saw_label", "draft_saw_label"), ("row_group", "row")
    schema = pa.schema(
        [
            *((name, pa.string()) for name in texts),
            *((name, pa.bool_()) for name in flags),
            *((name, pa.int32()) for name in places),
        ]
    )
    return ClipList(pa.Table.from_pylist(sorted(rows, key=lambda row: str(row["clip_id"])), schema=schema), "corpus", 3)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def dfew(folder: Path) -> Path:
    """Two folds as DFEW lays them out; names with and without zeros before them, as both are in circulation."""
    write(folder / "train(single-labeled)" / "set_1.csv", "video_name,label", "00001,1", "2,4")
    write(folder / "test(single-labeled)" / "set_1.csv", "video_name,label", "3,6", "00004,1")
    write(folder / "train(single-labeled)" / "set_2.csv", "video_name,label", "3,6", "00004,1")
    write(folder / "test(single-labeled)" / "set_2.csv", "video_name,label", "1,1", "00002,4")
    return folder


def test_dfews_folder_is_read_as_it_comes(tmp_path: Path) -> None:
    folds = read_folds(dfew(tmp_path / "EmoLabel_DataSplit"))
    assert [fold.name for fold in folds.folds] == ["1", "2"] and folds.key == "name"
    assert folds.folds[0].entries == {
        "1": Entry("train", "happiness"),
        "2": Entry("train", "anger"),
        "3": Entry("test", "disgust"),
        "4": Entry("test", "happiness"),
    }
    assert read_folds(dfew(tmp_path / "DFEW" / "EmoLabel_DataSplit").parent).folds == folds.folds


@pytest.mark.parametrize("names", [("Clip/original/{}.mp4", "1 2 3 4"), ("{}.avi", "00001 00002 00003 00004")])
def test_dfews_names_find_their_videos_padded_or_not_and_bring_the_labels(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    form, numbers = names
    clips = clips_of([(form.format(number), None, None) for number in numbers.split()], clips_each=2)
    matched = match_folds(read_folds(dfew(tmp_path)), clips)
    assert not matched.missing_in_words() and matched.num_unlisted == 0
    label = dict(zip(matched.clips.table["path"].to_pylist(), matched.clips.table["label"].to_pylist(), strict=True))
    assert list(label.values()) == ["happiness", "anger", "disgust", "happiness"]
    assert clips.table["label"].null_count == 8 and matched.clips.key != clips.key


def test_a_file_names_folds_parts_and_labels(tmp_path: Path) -> None:
    path = write(
        tmp_path / "folds.csv",
        "path,fold,split,label",
        "a.mp4,1,train,Happy",
        "b.mp4,1,validation,sad",
        "c.mp4,1,test,Fear",
    )
    folds = read_folds(path)
    (fold,) = folds.folds
    assert fold.entries["a.mp4"] == Entry("train", "happiness") and fold.entries["b.mp4"].part == "validation"
    table = pa.csv.read_csv(path).append_column("video_id", pa.array(["x", "y", "z"])).drop_columns(["path"])
    pq.write_table(table, tmp_path / "folds.parquet")
    again = read_folds(tmp_path / "folds.parquet")
    assert again.key == "video_id" and list(again.folds[0].entries.values()) == list(fold.entries.values())


def test_without_parts_a_video_is_tested_in_its_fold_and_trains_in_the_others(tmp_path: Path) -> None:
    lines = [f"{number}.mp4,{number % 3 + 1}" for number in range(9)]
    folds = read_folds(write(tmp_path / "folds.csv", "path,fold", *lines)).folds
    assert [fold.name for fold in folds] == ["1", "2", "3"]
    for fold in folds:
        assert Counter(entry.part for entry in fold.entries.values()) == {"train": 6, "test": 3}
    assert set().union(*(fold.of_part("test") for fold in folds)) == {f"{number}.mp4" for number in range(9)}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["path,split", "a,train"], "expected the columns path or video_id, and fold"),
        (
            ["path,fold,split", "a,1,training"],
            "row 1 has the split 'training'; expected one of train, validation, test",
        ),
        (["path,fold,split", "a,1,train", "a,1,test"], "path 'a' is in fold 1 twice, again in row 2"),
        (["path,fold,split", "a,1,train"], "fold 1 has no video of the part 'test'"),
        (["path,fold,split,label", "a,1,train,3"], "row 1 has the label '3': give names"),
        (["path,fold", "a,1", "a,2", "b,1"], "1 videos are in several folds, the first is 'a'"),
        (["path,fold,split", ",1,train"], "row 1 has no path"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_its_row(tmp_path: Path, lines: list[str], told: str) -> None:
    with pytest.raises(FoldError) as refused:
        read_folds(write(tmp_path / "folds.csv", *lines))
    assert told in str(refused.value) and "folds.csv" in str(refused.value)


def test_a_folder_that_is_none_of_dfews_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FoldError, match="has no lists of folds: expected DFEW's EmoLabel_DataSplit"):
        read_folds(tmp_path)
    with pytest.raises(FoldError, match="no folds at"):
        read_folds(tmp_path / "no")
    write(tmp_path / "train" / "set_1.csv", "video_name,label", "1,0")
    with pytest.raises(FoldError, match=r"label 0; DFEW numbers them from 1 \(happiness\) to 7 \(fear\)"):
        read_folds(tmp_path)


def test_what_the_corpus_lacks_is_listed_and_what_no_fold_names_is_counted(tmp_path: Path) -> None:
    clips = clips_of(
        [
            ("clips/1.mp4", None, None),
            ("clips/2.mp4", None, None),
            ("clips/77.mp4", None, None),
            ("clips/3.mp4", None, None),
        ]
    )
    matched = match_folds(read_folds(dfew(tmp_path)), clips)
    assert matched.num_unlisted == 1
    assert matched.missing_in_words() == [
        "1 videos that the folds name have no training clip in the corpus: '4'. Test videos among them: 1 of fold 1. "
        "`facescribe show rejects` says why a video gave none."
    ]
    assert matched.lost == {"4": Entry("test", "happiness")}
    with pytest.raises(FoldError, match=r"none of the videos .* by name, such as '3', the corpus has 'else.mp4'"):
        match_folds(read_folds(tmp_path), clips_of([("else.mp4", "fear", None)]))


def test_a_path_is_found_by_its_end_whichever_side_has_more_of_it(tmp_path: Path) -> None:
    lines = ["path,fold,split", "1.mp4,1,train", "/data/of/author/clips/2.mp4,1,test"]
    clips = clips_of([("clips/1.mp4", "fear", None), ("clips/2.mp4", "fear", None)])
    matched = match_folds(read_folds(write(tmp_path / "folds.csv", *lines)), clips)
    assert matched.folds[0].of_part("test") == {"id of clips/2.mp4"} and not matched.missing_in_words()
    twice = clips_of([("clips/1.mp4", "fear", None), ("other/1.mp4", "fear", None), ("clips/2.mp4", "fear", None)])
    with pytest.raises(FoldError, match=r"'1.mp4' fits 2 videos of the corpus \('clips/1.mp4', 'other/1.mp4'\)"):
        match_folds(read_folds(tmp_path / "folds.csv"), twice)


def test_labels_that_disagree_are_refused_and_spellings_are_not(tmp_path: Path) -> None:
    lines = ["path,fold,split,label", "a.mp4,1,train,Happy", "b.mp4,1,test,Sad"]
    folds = read_folds(write(tmp_path / "folds.csv", *lines))
    same = match_folds(folds, clips_of([("a.mp4", "joy", None), ("b.mp4", "sadness", None)]))
    assert same.clips.table["label"].to_pylist() == ["happiness", "sadness"]
    with pytest.raises(FoldError, match=r"a.mp4 is 'happiness' in fold 1 .* and 'fear' in the corpus: which is right"):
        match_folds(folds, clips_of([("a.mp4", "fear", None), ("b.mp4", "sadness", None)]))
    bare = read_folds(write(tmp_path / "bare.csv", "path,fold,split", "a.mp4,1,train", "b.mp4,1,test"))
    with pytest.raises(FoldError, match="has a label neither in .* nor in the corpus"):
        match_folds(bare, clips_of([("a.mp4", None, None), ("b.mp4", "fear", None)]))


PEOPLE = [(f"{number:02d}.mp4", ("fear", "anger")[number % 2], f"person {number // 4}") for number in range(40)]


def official(folds: int = 5) -> Matched:
    """Folds that ignore who is in the videos, as DFEW's do."""
    clips = clips_of(PEOPLE)
    said = {
        str(fold): Fold(
            str(fold),
            {
                path: Entry("test" if number % folds == fold else "train", label)
                for number, (path, label, _) in enumerate(PEOPLE)
            },
        )
        for fold in range(folds)
    }
    return match_folds(Folds(Path("folds"), "path", tuple(said.values())), clips)


def test_people_on_both_sides_of_an_official_fold_are_counted_and_stay() -> None:
    matched = official()
    found = split_of_fold(matched, matched.folds[0], SplitConfig(validation_share=0.2), seed=0)
    assert (found.num_shared_groups, found.num_shared_test) == (8, 8)
    parts = Counter(found.plan.table["split"].to_pylist())
    assert parts["test"] == 8 and parts["train"] + parts["validation"] == 32 and parts["validation"] >= 4
    by_group = {
        part: {row["group"] for row in found.plan.table.to_pylist() if row["split"] == part}
        for part in ("train", "validation")
    }
    assert not by_group["train"] & by_group["validation"], "validation is carved by whole groups"


def test_folds_by_identity_test_the_same_videos_and_share_nobody() -> None:
    matched = official()
    made = identity_folds(matched, seed=0)
    assert [fold.name for fold in made] == [fold.name for fold in matched.folds]
    tested = [video for fold in made for video in fold.of_part("test")]
    assert sorted(tested) == sorted(video for fold in matched.folds for video in fold.of_part("test"))
    for fold in made:
        assert 4 <= len(fold.of_part("test")) <= 12
        found = split_of_fold(matched, fold, SplitConfig(), seed=0)
        assert (found.num_shared_groups, found.num_shared_test) == (0, 0)
    assert made == identity_folds(matched, seed=0)


def test_without_groups_there_are_no_folds_by_identity_and_it_says_so() -> None:
    matched = official()
    table = matched.clips.table
    bare = ClipList(
        table.set_column(table.column_names.index("group"), "group", pa.nulls(40, pa.string())), "corpus", 3
    )
    with pytest.raises(FoldError, match="40 of 40 videos have no group, the first is .* Give groups"):
        identity_folds(Matched("folds", bare, matched.folds, {}, 0), seed=0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 7)), min_size=24, max_size=60), st.integers(0, 5))
def test_whoever_is_in_the_videos_nobody_is_ever_on_both_sides(people: list[tuple[str, int]], seed: int) -> None:
    videos: list[Video] = [(f"{n}.mp4", label, f"p{person}") for n, (label, person) in enumerate(people)]
    folds = [
        Fold(str(fold), {f"{n}.mp4": Entry("test" if n % 3 == fold else "train", None) for n in range(len(people))})
        for fold in range(3)
    ]
    matched = match_folds(Folds(Path("folds"), "path", tuple(folds)), clips_of(videos))
    try:
        made = identity_folds(matched, seed)
    except FoldError as error:
        assert "fewer groups than folds" in str(error)
        return
    group = {f"id of {path}": person for path, _, person in videos}
    for fold in made:
        assert not {group[v] for v in fold.of_part("test")} & {group[v] for v in fold.of_part("train")}
        assert fold.entries.keys() == matched.folds[0].entries.keys()


def test_spellings_are_one_name_and_a_word_that_is_not_known_stays() -> None:
    assert [label_name(word) for word in ("Happy", "joy", " Neutral ", "ANG", "boredom")] == [
        "happiness", "happiness", "neutral", "anger", "boredom"
    ]  # fmt: skip
